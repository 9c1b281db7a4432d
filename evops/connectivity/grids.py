"""Rules of neurons on a grid."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from evops.connectivity import format
from evops.connectivity.rule import Rule
from evops.errors import (
    Flag,
    Integer,
    Real,
    check_choice,
    check_flag,
    check_integer,
    check_size,
    check_static,
    shown,
)
from evops.space.positions import Grid, Positions, along_axes, entries_of

_METRICS = ("euclidean", "chebyshev")
_AROUND = {4: "euclidean", 8: "chebyshev"}  # the metrics in which they lie within radius 1
_PLANE = 2
_AXES = 3  # of the reader; grids of fewer have axes of one place before theirs
# Places that a radius reaches: the table has 12 bytes for each.
_MOST_PLACES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Neighbours(Rule):
    """Every neuron of a grid connects to those within a radius of it.

    The shape is a pair of the same `Grid`; or `grid` has its places, and the shape their numbers.
    Neurons are numbered along the last axis first (C order). A radius is counted in steps of the
    grid, whatever its spacing. In the words of others: a ``grid`` mask (NEST), ``GridFour``,
    ``GridEight``, ``GridN`` (BrainPy). Memory: 12 bytes for each neighbour of one neuron.

    Args:
        grid: 4 for the next neighbours on a `Grid` of two axes, 8 for those around a neuron; or
            places along each axis, for 1 to 3 axes. None: those of the `Grid`.
        radius: the largest distance of a neighbour, in steps of the grid, at least 0; by default 1.
        metric: "euclidean", the default, or "chebyshev" for the largest displacement along an axis.
        periodic: whether the two ends of an axis are neighbours; for all axes or one for each. By
            default as the `Grid` says, or not where `grid` has the places.
        include_self: whether a neuron connects to itself.

    Raises:
        ValueError: a value outside its range, a radius that reaches more than 2**20 places, a
            matrix whose sides are not the places of the grid, or a radius, metric or ends that are
            also said elsewhere.
        TypeError: a value of another type, or a traced one.

    Example:
        >>> import evops
        >>> torus = evops.Grid((30, 40), periodic=True)
        >>> W = evops.Projection(evops.Neighbours(8), 1.0, (torus, torus), seed=1)
        >>> sorted(W.tocsr().indices[:8].tolist())
        [1, 39, 40, 41, 79, 1160, 1161, 1199]
    """

    grid: Integer | Sequence[Integer] | np.ndarray | None = None
    radius: Real | None = None
    metric: str | None = None
    periodic: Flag | Sequence[Flag] | np.ndarray | None = None
    include_self: Flag = False

    def __post_init__(self) -> None:
        check_flag("include_self", self.include_self)
        metric = check_choice(
            "metric", _METRICS[0] if self.metric is None else self.metric, _METRICS
        )
        radius = check_size("radius", 1.0 if self.radius is None else self.radius, zero=True)
        extents = None if self.grid is None else entries_of(self.grid)
        if extents is None:
            self._check_open()
            return
        grid = self._checked_grid(extents)
        periodic = along_axes(
            "periodic", False if self.periodic is None else self.periodic, len(grid)
        )
        periodic = tuple(check_flag(f"periodic[{k}]", p) for k, p in enumerate(periodic))
        values = {"grid": grid, "periodic": periodic, "radius": radius, "metric": metric}
        for name, value in values.items():
            object.__setattr__(self, name, value)
        reached = math.prod(len(axis) for axis in self._reach)
        if reached > _MOST_PLACES:
            raise ValueError(
                f"radius must reach at most {_MOST_PLACES} places, got {radius}, which reaches "
                f"{reached} of {grid}"
            )

    def _check_open(self) -> None:
        """Raise where what is said needs no grid, or says it twice."""
        if self.periodic is not None:
            raise ValueError(
                "periodic must be left out where the Grid says it, without places in grid; got "
                f"{self.periodic!r}"
            )
        if self.grid is None:
            return
        number = self.grid
        if isinstance(number, (bool, np.bool_)) or not isinstance(number, (int, np.integer)):
            check_static("grid", number)
            raise TypeError(
                f"grid must be 4, 8 or a tuple of 1 to {_AXES} integers, got {shown(number)}"
            )
        if number not in _AROUND:
            raise ValueError(
                f"grid must be 4, 8 or a tuple of 1 to {_AXES} integers, got {shown(number)}"
            )
        for name in ("radius", "metric"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name} must be left out with {number} neighbours, got {getattr(self, name)!r}"
                )

    def _checked_grid(self, extents: tuple[Any, ...]) -> tuple[int, ...]:
        if not 1 <= len(extents) <= _AXES:
            raise ValueError(f"grid must have 1 to {_AXES} axes, got {self.grid!r}")
        grid = tuple(
            check_integer(f"grid[{k}]", n, 1, format.MAX_EXTENT) for k, n in enumerate(extents)
        )
        check_integer("the product of grid", math.prod(grid), 1)
        return grid

    def placed(self, pre: Positions | None, post: Positions | None) -> "Neighbours":
        """The neighbours on this grid."""
        if pre is None and post is None:
            return self
        if not isinstance(pre, Grid) or pre != post:
            raise ValueError(
                f"shape must be a pair of the same evops.Grid for {self}, got {pre} and {post}"
            )
        given, metric = self.grid, self.metric
        if isinstance(given, tuple):
            if (given, self.periodic) != (pre.shape, pre.periodic):
                raise ValueError(f"shape must be a pair of the grid of {self}, got {pre}")
            return self
        if given is not None:
            if len(pre.shape) != _PLANE:
                raise ValueError(f"shape must be a pair of grids of two axes for {self}, got {pre}")
            metric = _AROUND[check_integer("grid", given, 0)]
        return Neighbours(pre.shape, self.radius, metric, pre.periodic, self.include_self)

    @property
    def _places(self) -> tuple[int, ...]:
        """Places along each axis, once they are known."""
        if not isinstance(self.grid, tuple):
            raise ValueError(
                f"shape must be a pair of evops.Grid for {self}, got numbers of neurons"
            )
        return self.grid

    @property
    def _ends(self) -> tuple[bool, ...]:
        """Which axes are periodic."""
        assert isinstance(self.periodic, tuple)
        return tuple(map(bool, self.periodic))

    @property
    def _radius(self) -> float:
        assert self.radius is not None
        return float(self.radius)

    @property
    def _reach(self) -> list[range]:
        """Displacements along each axis that the radius allows."""
        radius, reach = self._radius, []
        for n, periodic in zip(self._places, self._ends, strict=True):
            most = min(int(radius), n - 1)
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
            offsets = offsets[np.sqrt(np.square(offsets.astype(float)).sum(-1)) <= self._radius]
        return offsets if self.include_self else offsets[offsets.any(-1)]

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        self.expected_synapses(shape)
        missing = _AXES - len(self._places)
        _, rows, columns = (*(1,) * missing, *self._places)
        return format.GridOffsets(rows, columns, len(self._offsets))

    @property
    def table(self) -> np.ndarray:
        """The displacements, as `sampler.moved` takes them."""
        n, offsets = np.array(self._places), self._offsets
        offsets = np.where(self._ends, offsets % n - n, offsets - n * (offsets < 0))
        words = np.zeros((len(offsets), _AXES), np.uint32)
        words[:, _AXES - len(self._places) :] = offsets.astype(np.int64).astype(np.uint32)
        return words.ravel()

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """Exactly how many there are."""
        places = math.prod(self._places)
        if tuple(shape) != (places, places):
            raise ValueError(
                f"shape must have the {places} places of grid={self._places} on both sides for "
                f"Neighbours, got {tuple(shape)}"
            )
        # At an end that is not periodic, as many starts are cut off as the displacement is long.
        starts = np.where(self._ends, self._places, self._places - np.abs(self._offsets))
        return float(starts.astype(float).prod(-1).sum())
