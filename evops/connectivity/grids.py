"""Rules of neurons on a grid."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from evops.connectivity import format
from evops.connectivity.rule import Rule
from evops.errors import Flag, Integer, Real, check_choice, check_flag, check_integer, check_real
from evops.space.positions import entries_of

_METRICS = ("euclidean", "chebyshev")
_AXES = 3  # of the reader; grids of fewer have axes of one place before theirs
# Places that a radius reaches: the table has 12 bytes for each.
_MOST_PLACES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Neighbours(Rule):
    """Every neuron of a grid connects to those within a radius of it.

    Pre and post neurons are the places of one grid, numbered along its last axis first (C order).
    In two dimensions radius 1 gives the 4 next neighbours, with ``metric="chebyshev"`` the 8 around
    a neuron. In the words of others: a ``grid`` mask (NEST), ``GridFour``, ``GridEight``, ``GridN``
    (BrainPy). Memory: 12 bytes for each neighbour of one neuron.

    Args:
        grid: places along each axis, for 1 to 3 axes.
        radius: the largest distance of a neighbour, in steps of the grid, at least 0.
        metric: "euclidean", or "chebyshev" for the largest displacement along an axis.
        periodic: whether the two ends of an axis are neighbours; for all axes or one for each.
        include_self: whether a neuron connects to itself.

    Raises:
        ValueError: a value outside its range, a radius that reaches more than 2**20 places, or a
            matrix whose sides are not the places of the grid.
        TypeError: a value of another type, or a traced one.

    Example:
        >>> import evops
        >>> evops.Neighbours((30, 40), periodic=True).expected_synapses((1200, 1200))
        4800.0
    """

    grid: Sequence[Integer] | np.ndarray
    radius: Real = 1.0
    metric: str = "euclidean"
    periodic: Flag | Sequence[Flag] | np.ndarray = False
    include_self: Flag = False

    def __post_init__(self) -> None:
        grid, periodic = self._checked_grid(), self.periodic
        entries = entries_of(periodic)
        periodic = (check_flag("periodic", periodic),) * len(grid) if entries is None else entries
        if len(periodic) != len(grid):
            raise ValueError(f"periodic must have {len(grid)} entries, got {periodic!r}")
        periodic = tuple(check_flag(f"periodic[{k}]", p) for k, p in enumerate(periodic))
        radius = check_real("radius", self.radius)
        if radius < 0:
            raise ValueError(f"radius must be at least 0, got {radius}")
        check_choice("metric", self.metric, _METRICS)
        check_flag("include_self", self.include_self)
        for name, value in (("grid", grid), ("periodic", periodic), ("radius", radius)):
            object.__setattr__(self, name, value)
        reached = math.prod(len(axis) for axis in self._reach)
        if reached > _MOST_PLACES:
            raise ValueError(
                f"radius must reach at most {_MOST_PLACES} places, got {radius}, which reaches "
                f"{reached} of {grid}"
            )

    def _checked_grid(self) -> tuple[int, ...]:
        extents = entries_of(self.grid)
        if extents is None:
            raise TypeError(f"grid must be a tuple of 1 to {_AXES} integers, got {self.grid!r}")
        if not 1 <= len(extents) <= _AXES:
            raise ValueError(f"grid must have 1 to {_AXES} axes, got {self.grid!r}")
        grid = tuple(
            check_integer(f"grid[{k}]", n, 1, format.MAX_EXTENT) for k, n in enumerate(extents)
        )
        check_integer("the product of grid", math.prod(grid), 1)
        return grid

    @property
    def _ends(self) -> tuple[bool, ...]:
        """Which axes are periodic."""
        assert isinstance(self.periodic, tuple)
        return tuple(map(bool, self.periodic))

    @property
    def _reach(self) -> list[range]:
        """Displacements along each axis that the radius allows."""
        reach = []
        for n, periodic in zip(self.grid, self._ends, strict=True):
            most = min(int(self.radius), n - 1)
            # Round a periodic axis, each place is reached once, the shorter way.
            low, high = (min(most, (n - 1) // 2), min(most, n // 2)) if periodic else (most, most)
            reach.append(range(-low, high + 1))
        return reach

    @functools.cached_property
    def _offsets(self) -> np.ndarray:
        """The displacements, one row for each, in the order of the places that they lead to."""
        axes = np.meshgrid(*(np.arange(r.start, r.stop) for r in self._reach), indexing="ij")
        offsets = np.stack([axis.ravel() for axis in axes], -1)
        if self.metric == "euclidean":
            # Distances are rounded as `math.sqrt` rounds: radius=math.sqrt(3) has its diagonals.
            offsets = offsets[np.sqrt(np.square(offsets.astype(float)).sum(-1)) <= self.radius]
        return offsets if self.include_self else offsets[offsets.any(-1)]

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        self.expected_synapses(shape)
        missing = _AXES - len(self.grid)
        _, rows, columns = (*(1,) * missing, *self.grid)
        return format.GridOffsets(rows, columns, len(self._offsets))

    @property
    def table(self) -> np.ndarray:
        """The displacements, as `sampler.moved` takes them."""
        n, offsets = np.array(self.grid), self._offsets
        offsets = np.where(self._ends, offsets % n - n, offsets - n * (offsets < 0))
        words = np.zeros((len(offsets), _AXES), np.uint32)
        words[:, _AXES - len(self.grid) :] = offsets.astype(np.int64).astype(np.uint32)
        return words.ravel()

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """Exactly how many there are."""
        places = math.prod(self.grid)
        if tuple(shape) != (places, places):
            raise ValueError(
                f"shape must have the {places} places of grid={self.grid} on both sides for "
                f"Neighbours, got {tuple(shape)}"
            )
        # At an end that is not periodic, as many starts are cut off as the displacement is long.
        starts = np.where(self._ends, self.grid, self.grid - np.abs(self._offsets))
        return float(starts.astype(float).prod(-1).sum())
