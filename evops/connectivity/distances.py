"""The rule of pairs that are connected with a probability of their distance."""

import dataclasses
import functools
import math

import numpy as np

from evops.connectivity import distance_tables, format, position_tree
from evops.connectivity.rule import Rule
from evops.space import pairs
from evops.space.kernels import Kernel
from evops.space.masks import Frame, Mask, check_places, truth
from evops.space.positions import Positions

# Pre neurons of which the pairs are counted, to say about how many synapses there are.
_SAMPLED = 64


@dataclasses.dataclass(frozen=True)
class DistanceRule(Rule):
    """`FixedProbability` of a kernel, between positions; made where a projection is."""

    kernel: Kernel
    pre: Positions
    post: Positions
    autapses: bool

    def __post_init__(self) -> None:
        check_places(self.kernel.mask, self.pre, self.post)

    def __repr__(self) -> str:
        flags = "" if self.autapses else ", autapses=False"
        return f"FixedProbability({self.kernel}{flags}, error={self._kernel.error:.1e})"

    @property
    def _kernel(self) -> distance_tables.DistanceTable:
        return distance_tables.table_of(self.kernel, self.pre.axes)

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        """The reader of distances; positions have the shape."""
        assert shape == (len(self.pre), len(self.post))
        mask = self.kernel.mask
        return format.Distances(
            *shape,
            self.pre.axes,
            len(self._kernel.breaks),
            0 if mask is None else len(mask.shapes()),
            len(self._kernel.knots),
            exclude_autapses=not self.autapses,
        )

    @property
    def table(self) -> np.ndarray:
        """Kernel, mask and positions: see `format.distance_sections`."""
        return self._table

    @functools.cached_property
    def _table(self) -> np.ndarray:
        kernel, axes = self._kernel, self.pre.axes
        pre, periods = position_tree.whole("pre", self.pre, kernel.unit)
        post, _ = position_tree.whole("post", self.post, kernel.unit)
        order = position_tree.order_of(post)
        sorted_post, n = post[order], len(order)
        nodes = -(-n // format.NODE)
        room = nodes * format.NODE
        ids = np.full(room, format.MAX_WORD, np.int64)
        ids[:n] = order
        padded = sorted_post[np.minimum(np.arange(room), n - 1)]
        leaves = room // format.LEAF
        rows = -(-nodes // format.LEAF) * format.LEAF
        parts = [
            [kernel.least],
            periods,
            kernel.breaks,
            *_mask_words(self.kernel.mask, axes, kernel.unit),
            kernel.bounds,
            kernel.slots,
            kernel.knots,
            pre.T.ravel(),
            ids,
            padded.T.ravel(),
            position_tree.boxes(sorted_post, format.LEAF, leaves).ravel(),
            position_tree.boxes(sorted_post, format.NODE, rows).ravel(),
        ]
        words = np.concatenate([np.asarray(part, np.int64) for part in parts])
        table = (words & format.MAX_WORD).astype(np.uint32)
        table.flags.writeable = False
        return table

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """About how many, from some of the pre neurons."""
        del shape
        return self._expected

    @functools.cached_property
    def _expected(self) -> float:
        n = len(self.pre)
        some = np.unique(np.linspace(0, n - 1, min(n, _SAMPLED)).astype(np.int64))
        total, everyone = 0.0, np.arange(len(self.post))
        for i in some:
            p = pairs.values(self.kernel, self.pre, i, self.post, everyone)
            if not self.autapses and i < len(p):
                p[i] = 0
            total += float(p.sum())
        return total / len(some) * n


def _mask_words(mask: Mask | None, axes: int, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Which sets of shapes are allowed, 8 words, and the shapes, 16 words each."""
    if mask is None:
        return np.full(format.TRUTH_WORDS, format.MAX_WORD, np.int64), np.zeros(0, np.int64)
    shapes, allowed = truth(mask)
    bits = np.zeros(32 * format.TRUTH_WORDS, np.int64)
    bits[: len(allowed)] = allowed
    sets = (bits.reshape(-1, 32) << np.arange(32)).sum(1)
    return sets, np.concatenate([_shape_words(shape.frame(axes), unit) for shape in shapes])


def _shape_words(frame: Frame, unit: float) -> np.ndarray:
    """Factors, low ends, spans and square of `sampler.in_shape`."""
    axes, far = len(frame.centre), 1 << 18  # no displacement is so long
    units, square = format.DISTANCE_UNITS, format.MAX_WORD
    scale = 1.0
    if math.isfinite(frame.radius):
        # Squares of three coordinates fit into a word up to a radius of so many units. What a
        # larger ball has within the cut-off is nearly a half-space: coarser units do.
        radius = frame.radius / unit
        while radius * scale > units:
            scale /= 2
        square = int((radius * scale + 1) ** 2)
    turn, low, span = np.zeros((3, 3)), np.full(3, -1.0), np.full(3, 2.0)
    turn[:axes, :axes] = frame.turn * scale
    centre = np.rint(frame.centre / unit * scale)
    # A boundary belongs to a shape, to within a unit; in whole numbers, so that the middle is one.
    half = np.floor(frame.half / unit * scale + 1) if square != format.MAX_WORD else None
    if half is not None:
        low[:axes], span[:axes] = centre - half, 2 * half
    else:
        ends = [(frame.centre + side * frame.half) / unit for side in (-1, 1)]
        low[:axes] = np.clip(np.ceil(ends[0] - 1), -far, far)
        span[:axes] = np.clip(np.floor(ends[1] + 1), -far, far) - low[:axes]
    low = np.clip(low, -(2.0**30), 2.0**30)
    return np.concatenate([np.rint(turn * units).ravel(), low, span, [square]]).astype(np.int64)
