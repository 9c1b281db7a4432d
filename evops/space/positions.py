"""Where neurons lie: points in one to three dimensions, and grids of them."""

import math
from collections.abc import Sequence
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np

from evops.errors import (
    Flag,
    check_flag,
    check_integer,
    check_size,
    check_static,
    host_array,
    shown,
)
from evops.leaves import Fixed, digest_of

AXES = 3  # at most


def entries_of(value: Any) -> tuple[Any, ...] | None:
    """The entries of a tuple, list or array; None for what is one thing."""
    if isinstance(value, np.ndarray):
        return tuple(value) if value.ndim else None
    named = isinstance(value, (str, bytes))
    return tuple(value) if isinstance(value, Sequence) and not named else None


def along_axes(name: str, value: Any, axes: int) -> tuple[Any, ...]:
    """One value for each axis: those given, or the same for all."""
    entries = entries_of(value)
    if entries is None:
        return (value,) * axes
    if len(entries) != axes:
        raise ValueError(f"{name} must have {axes} entries, one for each axis, got {shown(value)}")
    return entries


class Positions(Fixed):
    """Positions of neurons, in place of their number wherever a shape is asked for.

    Rules and laws of distance measure in the unit of the coordinates. On a periodic axis the
    distance is that the shorter way round.

    Args:
        coordinates: `(n, axes)` real numbers, 1 to 3 axes, any unit; `(n,)` for one axis.
        periodic: for each axis its period, in the unit of the coordinates, or None; one for all.

    Attributes:
        coordinates: `(n, axes)` float64, not writeable.
        periods: the period of each axis, or None.

    Raises:
        ValueError: no neuron, more than 3 axes, coordinates or periods that are NaN, infinite or
            out of range.
        TypeError: coordinates that are no real numbers, or are traced.

    Example:
        >>> import numpy as np, evops
        >>> x = evops.Positions(np.random.default_rng(0).random((1000, 2)), periodic=1.0)
        >>> len(x), x.periods
        (1000, (1.0, 1.0))
    """

    coordinates: np.ndarray
    periods: tuple[float | None, ...]
    _digest: bytes

    def __init__(
        self,
        coordinates: Any,
        periodic: SupportsFloat | Sequence[SupportsFloat | None] | np.ndarray | None = None,
    ):
        points = _points(coordinates)
        if periodic is False:
            periodic = None
        periods = along_axes("periodic", periodic, points.shape[1])
        self._place(points, tuple(_period(f"periodic[{k}]", p) for k, p in enumerate(periods)))

    def _place(self, points: np.ndarray, periods: tuple[float | None, ...]) -> None:
        points.flags.writeable = False
        self.coordinates, self.periods = points, periods
        self._digest = digest_of(points, periods)

    @property
    def axes(self) -> int:
        """Number of axes, 1 to 3."""
        return self.coordinates.shape[1]

    def __len__(self) -> int:
        """Number of neurons."""
        return self.coordinates.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The coordinates, as `numpy.asarray` asks for them."""
        return np.array(self.coordinates, dtype, copy=copy)

    def __eq__(self, other: object) -> bool:
        """The same coordinates and periods."""
        return isinstance(other, Positions) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        periodic = "" if not any(self.periods) else f", periodic={self.periods}"
        return f"Positions({len(self)} neurons, {self.axes} axes{periodic})"

    def __getitem__(self, which: slice | np.ndarray | Sequence[int]) -> "Positions":
        """Some of the neurons, by a slice, a mask or indices."""
        if isinstance(which, (int, np.integer)):
            which = slice(which, which + 1 or None)
        return Positions(self.coordinates[which], self.periods)

    def displacements(self, i: Any, post: "Positions", j: Any) -> np.ndarray:
        """From neurons i of these to neurons j of `post`, the shorter way: `(…, axes)`.

        `i` and `j` are indices that broadcast against each other.
        """
        check_alike(self, post)
        by = post.coordinates[j] - self.coordinates[i]
        for axis, period in enumerate(self.periods):
            if period is not None:
                by[..., axis] -= np.round(by[..., axis] / period) * period
        return by

    def distances(self, i: Any, post: "Positions", j: Any) -> np.ndarray:
        """Euclidean distances of neurons i from neurons j of `post`; see `displacements`."""
        return np.sqrt(np.square(self.displacements(i, post, j)).sum(-1))


class Grid(Positions):
    """Positions on a grid, numbered along its last axis first.

    Args:
        shape: places along each axis, for 1 to 3 axes.
        spacing: between neighbours, for all axes or one for each, in any unit.
        periodic: whether the two ends of an axis are neighbours; for all axes or one for each. The
            period is as many spacings as there are places.
        normalize: whether coordinates are index / (places - 1), from 0 to 1, as in BrainPy.

    Attributes:
        shape: places along each axis.
        periodic: for each axis, whether its two ends are neighbours.

    Raises:
        ValueError: no axis or more than 3, a number of places below 1, a spacing that is not above
            0, or one beside ``normalize=True``.
        TypeError: a value of another type, or a traced one.

    Example:
        >>> import evops
        >>> evops.Grid((2, 3), spacing=0.5).coordinates[4]
        array([0.5, 0.5])
    """

    shape: tuple[int, ...]
    periodic: tuple[bool, ...]

    def __init__(
        self,
        shape: SupportsIndex | Sequence[SupportsIndex] | np.ndarray,
        spacing: SupportsFloat | Sequence[SupportsFloat] | np.ndarray | None = None,
        periodic: Flag | Sequence[Flag] | np.ndarray = False,
        *,
        normalize: Flag = False,
    ):
        extents = check_extents("shape", shape)
        self.shape, axes = extents, len(extents)
        ends = along_axes("periodic", periodic, axes)
        self.periodic = tuple(bool(check_flag(f"periodic[{k}]", p)) for k, p in enumerate(ends))
        if check_flag("normalize", normalize):
            if spacing is not None:
                raise ValueError(
                    f"spacing must be left out with normalize=True, which sets it; got "
                    f"{shown(spacing)}"
                )
            steps = tuple(1 / max(n - 1, 1) for n in extents)
        else:
            given = along_axes("spacing", 1.0 if spacing is None else spacing, axes)
            steps = tuple(check_size(f"spacing[{k}]", s) for k, s in enumerate(given))
        index = np.indices(extents, np.int32).reshape(axes, -1).T
        periods = tuple(
            n * s if end else None for n, s, end in zip(extents, steps, self.periodic, strict=True)
        )
        self._place(np.ascontiguousarray(index * np.array(steps)), periods)

    def __repr__(self) -> str:
        periodic = "" if not any(self.periodic) else f", periodic={self.periodic}"
        return f"Grid({self.shape}{periodic})"


def check_extents(name: str, shape: Any) -> tuple[int, ...]:
    """`shape` as places along 1 to 3 axes, each from 1 on."""
    check_static(name, shape)
    extents = entries_of(shape)
    if extents is None:
        if not isinstance(shape, (int, np.integer)) or isinstance(shape, bool):
            raise TypeError(f"{name} must be a tuple of 1 to {AXES} integers, got {shown(shape)}")
        extents = (shape,)
    if not 1 <= len(extents) <= AXES:
        raise ValueError(f"{name} must have 1 to {AXES} axes, got {shown(shape)}")
    extents = tuple(check_integer(f"{name}[{k}]", n, 1) for k, n in enumerate(extents))
    check_integer(f"the product of {name}", math.prod(extents), 1)
    return extents


def check_alike(pre: Positions, post: Positions) -> None:
    """Raise where two sides lie in different spaces."""
    if pre.axes != post.axes:
        raise ValueError(f"positions must have equally many axes, got {pre} and {post}")
    if pre.periods != post.periods:
        raise ValueError(
            f"positions must have the same periods, got {pre.periods} of the pre and "
            f"{post.periods} of the post neurons"
        )


def _points(coordinates: Any) -> np.ndarray:
    if isinstance(coordinates, Positions):
        raise TypeError(f"coordinates must be an array, got {coordinates}; give its .coordinates")
    points = host_array("coordinates", coordinates)
    if points.dtype.kind not in "fiu":
        raise TypeError(
            f"coordinates must be an array (n, axes) of real numbers, got {type(coordinates)}: "
            f"{shown(coordinates)}"
        )
    if points.ndim == 1:
        points = points.reshape(-1, 1)
    shape = tuple(points.shape)
    if len(shape) != 2 or not 1 <= shape[1] <= AXES or shape[0] == 0:
        raise ValueError(
            f"coordinates must have shape (n, axes) with at least 1 neuron and 1 to {AXES} axes, "
            f"got {np.shape(coordinates)}"
        )
    check_integer("number of neurons", shape[0], 1)
    points = np.array(points, np.float64)
    wrong = np.argwhere(~np.isfinite(points))
    if wrong.size:
        i, axis = wrong[0]
        raise ValueError(f"coordinates must be finite, got {points[i, axis]} at [{i}, {axis}]")
    return points


def _period(name: str, value: Any) -> float | None:
    if value is None or value is False:
        return None
    if value is True:
        raise TypeError(f"{name} must be the length of a period, got True")
    return check_size(name, value)
