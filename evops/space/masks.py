"""Masks: which displacements from a pre to a post neuron a rule of distance allows."""

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from evops.errors import Real, check_integer, check_real, shown
from evops.space.positions import AXES, Positions, along_axes, check_alike, entries_of

MOST_SHAPES = 8  # of a mask


class Mask(abc.ABC):
    """A set of displacements from pre to post neurons, in the unit of their positions.

    Masks are combined as sets: ``a | b``, ``a & b``, ``a - b`` and ``~a``. Boundaries belong to a
    shape. They are exact to 1/32768 of the cut-off, or of the radius of a larger ball or ellipse.
    """

    @abc.abstractmethod
    def contains(self, by: np.ndarray) -> np.ndarray:
        """Whether each displacement `(…, axes)` is inside."""

    @abc.abstractmethod
    def reach(self, axes: int) -> float:
        """The longest displacement inside; infinite where there is none."""

    @abc.abstractmethod
    def shapes(self) -> tuple["Shape", ...]:
        """The shapes of which the mask consists, each once."""

    @abc.abstractmethod
    def holds(self, inside: dict["Shape", np.ndarray]) -> np.ndarray:
        """Whether a displacement is inside, by the shapes in which it is."""

    def __or__(self, other: Any) -> "Mask":
        return _Either(self, _mask(other))

    def __and__(self, other: Any) -> "Mask":
        return _Both(self, _mask(other))

    def __sub__(self, other: Any) -> "Mask":
        return _Both(self, ~_mask(other))

    def __invert__(self) -> "Mask":
        return _Not(self)


def _mask(value: Any) -> Mask:
    if not isinstance(value, Mask):
        raise TypeError(f"a mask is combined with masks, got {shown(value)}")
    return value


def check_mask(mask: Any, axes: int | None = None) -> None:
    """Raise where `mask` is none, has too many shapes, or shapes of another number of axes."""
    if not isinstance(mask, Mask):
        raise TypeError(f"mask must be a mask such as masks.Ball, got {shown(mask)}")
    check_integer("number of shapes of a mask", len(mask.shapes()), 1, MOST_SHAPES)
    for shape in mask.shapes() if axes else ():
        shape.check_axes(axes or 0)


def check_places(mask: Mask | None, pre: Positions, post: Positions) -> None:
    """Raise where two sides lie in different spaces, or a mask in another than they."""
    check_alike(pre, post)
    if mask is not None:
        check_mask(mask, pre.axes)


def truth(mask: Mask) -> tuple[tuple["Shape", ...], np.ndarray]:
    """The shapes of a mask, and for each set of them whether a displacement in just these is in.

    Shape k is in the sets whose bit k is 1.
    """
    shapes = mask.shapes()
    sets = np.arange(1 << len(shapes))
    return shapes, mask.holds({s: (sets >> k & 1).astype(bool) for k, s in enumerate(shapes)})


@dataclasses.dataclass(frozen=True)
class _Either(Mask):
    first: Mask
    second: Mask

    def contains(self, by: np.ndarray) -> np.ndarray:
        return self.first.contains(by) | self.second.contains(by)

    def reach(self, axes: int) -> float:
        return max(self.first.reach(axes), self.second.reach(axes))

    def shapes(self) -> tuple["Shape", ...]:
        return tuple(dict.fromkeys(self.first.shapes() + self.second.shapes()))

    def holds(self, inside: dict["Shape", np.ndarray]) -> np.ndarray:
        return self.first.holds(inside) | self.second.holds(inside)

    def __repr__(self) -> str:
        return f"({self.first} | {self.second})"


@dataclasses.dataclass(frozen=True)
class _Both(_Either):
    def contains(self, by: np.ndarray) -> np.ndarray:
        return self.first.contains(by) & self.second.contains(by)

    def reach(self, axes: int) -> float:
        return min(self.first.reach(axes), self.second.reach(axes))

    def holds(self, inside: dict["Shape", np.ndarray]) -> np.ndarray:
        return self.first.holds(inside) & self.second.holds(inside)

    def __repr__(self) -> str:
        return f"({self.first} & {self.second})"


@dataclasses.dataclass(frozen=True)
class _Not(Mask):
    mask: Mask

    def contains(self, by: np.ndarray) -> np.ndarray:
        return ~self.mask.contains(by)

    def reach(self, axes: int) -> float:
        return math.inf

    def shapes(self) -> tuple["Shape", ...]:
        return self.mask.shapes()

    def holds(self, inside: dict["Shape", np.ndarray]) -> np.ndarray:
        return ~self.mask.holds(inside)

    def __repr__(self) -> str:
        return f"~{self.mask}"


@dataclasses.dataclass(frozen=True)
class Frame:
    """A shape in a frame of its own: e = turn @ by - centre.

    Inside is where ``|e[k]| <= half[k]`` for all k, and ``|e| <= radius``.
    """

    turn: np.ndarray
    centre: np.ndarray
    half: np.ndarray
    radius: float


class Shape(Mask):
    """A mask of one shape."""

    @abc.abstractmethod
    def frame(self, axes: int) -> Frame:
        """The shape in `axes` dimensions."""

    def check_axes(self, axes: int) -> None:
        """Raise where the shape is not one of `axes` dimensions."""
        self.frame(axes)

    def contains(self, by: np.ndarray) -> np.ndarray:
        frame = self.frame(by.shape[-1])
        # One product after another: those of matrices round differently on other machines.
        turned = sum(by[..., k, None] * frame.turn[:, k] for k in range(by.shape[-1]))
        e = turned - frame.centre
        inside = (np.abs(e) <= frame.half).all(-1)
        square = sum(np.square(e[..., k]) for k in range(e.shape[-1]))
        return np.asarray(inside & (square <= frame.radius**2))

    def shapes(self) -> tuple["Shape", ...]:
        return (self,)

    def holds(self, inside: dict["Shape", np.ndarray]) -> np.ndarray:
        return inside[self]


def _numbers(name: str, value: Any, least: float | None = None) -> Any:
    """A real number, or one for each axis; all of them above `least`, where it is given."""
    entries = entries_of(value)
    if entries is not None and not 1 <= len(entries) <= AXES:
        raise ValueError(f"{name} must have 1 to {AXES} entries, got {shown(value)}")
    names = [name] if entries is None else [f"{name}[{k}]" for k in range(len(entries))]
    given = (value,) if entries is None else entries
    numbers = tuple(check_real(n, v) for n, v in zip(names, given, strict=True))
    for which, number in zip(names, numbers, strict=True):
        if least is not None and number <= least:
            raise ValueError(f"{which} must be above {least}, got {number}")
    return numbers[0] if entries is None else numbers


def _vector(name: str, value: Any, axes: int) -> np.ndarray:
    return np.array(along_axes(name, value, axes), float)


def _turn(angle: float, axes: int) -> np.ndarray:
    """What turns back by an angle, in degrees, in the plane of the first two axes."""
    turn = np.eye(axes)
    if axes > 1:
        a = math.radians(angle)
        turn[:2, :2] = [[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]]
    return turn


def _check_angle(angle: float, values: Any) -> None:
    if angle and entries_of(values) is not None and len(values) < 2:
        raise ValueError(f"angle must be 0 in one dimension, got {angle}")


@dataclasses.dataclass(frozen=True)
class Ball(Shape):
    """Displacements up to a distance from `center`; a disc in two dimensions, a ``circular`` mask.

    Args:
        radius: the largest distance, above 0.
        center: the displacement it lies around; one number for all axes, or one for each.
    """

    radius: Real
    center: Any = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "radius", check_real("radius", self.radius))
        if self.radius <= 0:
            raise ValueError(f"radius must be above 0, got {self.radius}")
        object.__setattr__(self, "center", _numbers("center", self.center))

    def frame(self, axes: int) -> Frame:
        center = _vector("center", self.center, axes)
        return Frame(np.eye(axes), center, np.full(axes, self.radius), self.radius)

    def reach(self, axes: int) -> float:
        return self.radius + float(np.linalg.norm(_vector("center", self.center, axes)))


def Doughnut(inner: float, outer: float, center: Any = 0.0) -> Mask:
    """Displacements further than `inner` from `center`, and up to `outer`; ``doughnut`` in NEST."""
    whole, hole = Ball(outer, center), Ball(inner, center)
    if hole.radius >= whole.radius:
        raise ValueError(f"inner must be below outer = {whole.radius}, got {hole.radius}")
    return whole - hole


@dataclasses.dataclass(frozen=True)
class Box(Shape):
    """Displacements from `low` to `high` along each axis; a ``rectangular`` or ``box`` mask.

    Args:
        low: the least displacement along each axis; one number for all, or one for each.
        high: the largest, above `low`.
        angle: degrees by which the box is turned round its middle, from the first axis to the
            second.
    """

    low: Any
    high: Any
    angle: Real = 0.0

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        object.__setattr__(self, "angle", check_real("angle", self.angle))
        axes = max(len(entries_of(v) or ()) for v in (self.low, self.high)) or 1
        low, high = (_vector(n, getattr(self, n), axes) for n in ("low", "high"))
        if (low >= high).any():
            raise ValueError(f"high must be above low = {self.low}, got {self.high}")
        _check_angle(self.angle, self.low)

    def _ends(self, axes: int) -> tuple[np.ndarray, np.ndarray]:
        return _vector("low", self.low, axes), _vector("high", self.high, axes)

    def frame(self, axes: int) -> Frame:
        low, high = self._ends(axes)
        turn = _turn(self.angle, axes)
        return Frame(turn, turn @ ((low + high) / 2), (high - low) / 2, math.inf)

    def reach(self, axes: int) -> float:
        low, high = self._ends(axes)
        if self.angle:
            return float(np.linalg.norm((low + high) / 2) + np.linalg.norm((high - low) / 2))
        return float(np.linalg.norm(np.maximum(np.abs(low), np.abs(high))))


@dataclasses.dataclass(frozen=True)
class Ellipse(Shape):
    """Displacements within an ellipse or ellipsoid; ``elliptical`` and ``ellipsoidal`` in NEST.

    Args:
        diameters: its length along each of its axes, above 0.
        center: the displacement it lies around; one number for all axes, or one for each.
        angle: degrees by which it is turned, from the first axis to the second.
    """

    diameters: Sequence[Real] | np.ndarray
    center: Any = 0.0
    angle: Real = 0.0

    def __post_init__(self) -> None:
        diameters = _numbers("diameters", self.diameters, 0.0)
        if not isinstance(diameters, tuple):
            raise TypeError(f"diameters must be a number for each axis, got {self.diameters!r}")
        object.__setattr__(self, "diameters", diameters)
        object.__setattr__(self, "center", _numbers("center", self.center))
        object.__setattr__(self, "angle", check_real("angle", self.angle))
        _check_angle(self.angle, diameters)

    def frame(self, axes: int) -> Frame:
        semi = _vector("diameters", self.diameters, axes) / 2
        radius = float(semi.min())
        turn = (radius / semi)[:, None] * _turn(self.angle, axes)
        center = turn @ _vector("center", self.center, axes)
        return Frame(turn, center, np.full(axes, radius), radius)

    def reach(self, axes: int) -> float:
        center = _vector("center", self.center, axes)
        return float(np.linalg.norm(center)) + max(self.diameters) / 2
