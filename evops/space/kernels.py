"""Kernels: how likely, or how weighty, a pair of neurons is at a distance."""

import abc
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from evops.errors import Real, check_real, check_size, shown
from evops.space import elementary
from evops.space.masks import Mask, check_mask
from evops.space.positions import entries_of

LEAST = 2.0**-32  # what a word resolves: a probability below is none
MOST_BREAKPOINTS = 15


@dataclasses.dataclass(frozen=True)
class Kernel(abc.ABC):
    """A function of the distance between two neurons, up to a cut-off and inside a mask.

    In `FixedProbability` it is a probability. Where a number of synapses is given, only its ratios
    matter. Distances have the unit of the positions.

    Args:
        cutoff: the largest distance of a pair, above 0, or None.
        mask: a mask of displacements (`evops.masks`), or None.
        p_min: pairs whose value is at most this one are left out; at least 0.
    """

    cutoff: Real | None = dataclasses.field(default=None, kw_only=True)
    mask: Mask | None = dataclasses.field(default=None, kw_only=True)
    p_min: Real = dataclasses.field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        if self.cutoff is not None:
            self._number("cutoff")
        self._number("p_min", zero=True)
        if self.mask is not None:
            check_mask(self.mask)

    def _number(self, name: str, zero: bool = False) -> None:
        object.__setattr__(self, name, check_size(name, getattr(self, name), zero=zero))

    @abc.abstractmethod
    def value(self, d: np.ndarray) -> np.ndarray:
        """The function at distances d, without cut-off, mask and `p_min`."""

    def log(self, d: np.ndarray) -> np.ndarray:
        """The natural logarithm of `value`, also where that is too small for a number."""
        value = checked_values(self, d)
        with np.errstate(divide="ignore"):
            return np.where(value > 0, elementary.log(np.where(value > 0, value, 1.0)), -np.inf)

    @property
    def end(self) -> float:
        """Distance from which on the function is below 2**-32; infinite where none is known."""
        return math.inf

    @property
    def typical(self) -> float:
        """A distance over which the function changes, whatever its size."""
        return self.support

    @property
    def jumps(self) -> tuple[float, ...]:
        """Distances at which the function jumps, in ascending order."""
        return ()

    def __call__(self, d: Any) -> np.ndarray:
        """The kernel at distances d, which is 0 beyond the cut-off; without its mask."""
        d = np.asarray(d, float)
        value = checked_values(self, np.atleast_1d(d)).reshape(d.shape)
        far = self.cutoff is not None and d > self.cutoff
        return np.where(far | (value <= self.p_min), 0.0, value)

    def leaves_out(self, d: np.ndarray) -> np.ndarray:
        """Whether `p_min` leaves out pairs at distances d."""
        return self.value(d) <= self.p_min if self.p_min else np.zeros(np.shape(d), bool)

    @property
    def support(self) -> float:
        """Distance from which on the function is 0; infinite where there is none."""
        return math.inf

    def bound(self, axes: int) -> float:
        """The largest distance at which it is not 0: the least of cut-off, mask and support."""
        ends = [self.support]
        if self.cutoff is not None:
            ends.append(self.cutoff)
        if self.mask is not None:
            ends.append(self.mask.reach(axes))
        return min(ends)

    def reach(self, axes: int) -> float:
        """The largest distance at which it is 2**-32 or more."""
        return min(self.end, self.bound(axes))

    def __repr__(self) -> str:
        """Class and parameters, without those that are as they are by default."""
        shown = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not field.default and value != field.default:
                shown.append(f"{field.name}={getattr(value, '__name__', value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


def kernel_of(name: str, value: Any) -> Kernel:
    """`value` as a kernel: one, or a function of distance."""
    if isinstance(value, Kernel):
        return value
    if not callable(value):
        raise TypeError(f"{name} must be a kernel or a function of distance, got {shown(value)}")
    return FunctionKernel(value)


def checked_values(kernel: Kernel, d: np.ndarray) -> np.ndarray:
    """The kernel's function at distances d; an error where it is negative or not finite."""
    values = kernel.value(d)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if wrong.size:
        at = wrong[0]
        raise ValueError(
            f"{kernel} must be finite and at least 0 at every distance, got "
            f"{values.ravel()[at]} at {d.ravel()[at]}"
        )
    return values


@dataclasses.dataclass(frozen=True, repr=False)
class FunctionKernel(Kernel):
    """Any function of distance.

    Args:
        function: of a NumPy array of distances, or of one distance. It is continuous between
            `breakpoints`.
        breakpoints: distances at which it jumps, in ascending order, at most 15.
        cutoff: as of `Kernel`, as are `mask` and `p_min`. `FixedProbability` needs it, or a mask
            that ends.

    Raises:
        ValueError: a parameter outside its range.
        TypeError: a parameter of another type, or a traced one.

    Example:
        >>> import numpy as np, evops
        >>> kernel = evops.FunctionKernel(lambda d: 0.3 / (1 + d), cutoff=2.0)
        >>> kernel(np.array([0.0, 0.5, 3.0]))
        array([0.3, 0.2, 0. ])
    """

    function: Callable[[Any], Any]
    breakpoints: tuple[Real, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.function):
            raise TypeError(f"function must be a function of distance, got {self.function!r}")
        points = entries_of(self.breakpoints)
        if points is None:
            raise TypeError(f"breakpoints must be a tuple of distances, got {self.breakpoints!r}")
        points = tuple(check_real(f"breakpoints[{k}]", p) for k, p in enumerate(points))
        _check_jumps("breakpoints", points)
        object.__setattr__(self, "breakpoints", points)

    def value(self, d: np.ndarray) -> np.ndarray:
        try:
            values = np.asarray(self.function(d), float)
            if values.shape == d.shape:
                return values
            if values.shape == ():
                return np.full(d.shape, float(values))
        except (TypeError, ValueError):  # a function of one distance, such as one with math.exp
            pass
        each = (float(self.function(float(x))) for x in d.ravel())
        return np.fromiter(each, float, d.size).reshape(d.shape)

    @property
    def jumps(self) -> tuple[float, ...]:
        return tuple(self.breakpoints)


def _check_jumps(name: str, points: tuple[float, ...]) -> None:
    if len(points) > MOST_BREAKPOINTS:
        raise ValueError(f"{name} must be at most {MOST_BREAKPOINTS}, got {len(points)}")
    if any(b <= a for a, b in zip((0.0, *points), points, strict=False)):
        raise ValueError(f"{name} must rise, the first above 0, got {points}")


@dataclasses.dataclass(frozen=True, repr=False)
class Gaussian(Kernel):
    """``peak * exp(-d**2 / (2 sigma**2))``: ``gaussian`` in NEST, ``GaussianProb`` in BrainPy.

    Args:
        sigma: standard deviation, above 0.
        peak: the value at distance 0, above 0.
        cutoff: as of `Kernel`, as are `mask` and `p_min`.

    Example:
        >>> import evops
        >>> float(evops.Gaussian(0.1, 0.4)(0.1).round(4))
        0.2426
    """

    sigma: Real
    peak: Real = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("sigma")
        self._number("peak")

    def value(self, d: np.ndarray) -> np.ndarray:
        return self.peak * elementary.exp(-0.5 * np.square(d / self.sigma))

    def log(self, d: np.ndarray) -> np.ndarray:
        return -0.5 * np.square(d / self.sigma)

    @property
    def typical(self) -> float:
        return float(self.sigma)

    @property
    def end(self) -> float:
        return self.sigma * math.sqrt(2 * max(math.log(self.peak / LEAST), LEAST))


@dataclasses.dataclass(frozen=True, repr=False)
class Exponential(Kernel):
    """``peak * exp(-d / length)``: ``exponential`` in NEST.

    Args:
        length: the distance within which it falls to 1 / e, above 0 (``beta`` in NEST).
        peak: the value at distance 0, above 0.
        cutoff: as of `Kernel`, as are `mask` and `p_min`.
    """

    length: Real
    peak: Real = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("length")
        self._number("peak")

    def value(self, d: np.ndarray) -> np.ndarray:
        return self.peak * elementary.exp(-d / self.length)

    def log(self, d: np.ndarray) -> np.ndarray:
        return -d / self.length

    @property
    def typical(self) -> float:
        return float(self.length)

    @property
    def end(self) -> float:
        return self.length * max(math.log(self.peak / LEAST), LEAST)


@dataclasses.dataclass(frozen=True, repr=False)
class Gamma(Kernel):
    """``scale * d**(kappa - 1) * exp(-d / theta) / (theta**kappa * Gamma(kappa))``, as in NEST.

    Args:
        kappa: shape, at least 1: below, it has no value at distance 0.
        theta: length, above 0.
        scale: factor of the density of the gamma distribution, above 0.
        cutoff: as of `Kernel`, as are `mask` and `p_min`.
    """

    kappa: Real
    theta: Real = 1.0
    scale: Real = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("kappa", "theta", "scale"):
            self._number(name)
        if self.kappa < 1:
            raise ValueError(f"kappa must be at least 1, got {self.kappa}")

    def _log(self, x: Any) -> Any:
        """Logarithm of the value at x thetas."""
        power = (self.kappa - 1) * elementary.log(np.maximum(x, 1e-300)) if self.kappa > 1 else 0.0
        return power - x - math.lgamma(self.kappa) + math.log(self.scale / self.theta)

    def value(self, d: np.ndarray) -> np.ndarray:
        return elementary.exp(self._log(d / self.theta))

    def log(self, d: np.ndarray) -> np.ndarray:
        log = self._log(d / self.theta)
        return np.where(d > 0, log, -np.inf) if self.kappa > 1 else log

    @property
    def typical(self) -> float:
        return float(self.theta)

    @property
    def end(self) -> float:
        low = high = self.kappa  # beyond the mode
        while self._log(high) > math.log(LEAST):
            high *= 2
        for _ in range(64):
            middle = (low + high) / 2
            low, high = (middle, high) if self._log(middle) > math.log(LEAST) else (low, middle)
        return self.theta * high


@dataclasses.dataclass(frozen=True, repr=False)
class Box(Kernel):
    """The same value up to a distance, or inside a mask.

    Args:
        radius: the largest distance, above 0; None with a mask or a cut-off.
        peak: the value, above 0.
        cutoff: as of `Kernel`, as are `mask` and `p_min`.
    """

    radius: Real | None = None
    peak: Real = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("peak")
        if self.radius is not None:
            self._number("radius")

    def value(self, d: np.ndarray) -> np.ndarray:
        return np.full(np.shape(d), float(self.peak))

    def __call__(self, d: Any) -> np.ndarray:
        inside = True if self.radius is None else np.asarray(d) <= self.radius
        return np.where(inside, super().__call__(d), 0.0)

    @property
    def support(self) -> float:
        return math.inf if self.radius is None else float(self.radius)


@dataclasses.dataclass(frozen=True, repr=False)
class Table(Kernel):
    """Values at given distances, linear between them and 0 beyond the last.

    Args:
        distances: in ascending order, at least 2, from 0 on; twice the same is a jump.
        values: one for each distance, at least 0.
        cutoff: as of `Kernel`, as are `mask` and `p_min`.
    """

    distances: tuple[Real, ...]
    values: tuple[Real, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("distances", "values"):
            entries = entries_of(getattr(self, name))
            if entries is None or len(entries) < 2:
                raise ValueError(f"{name} must be at least 2 numbers, got {getattr(self, name)!r}")
            numbers = tuple(check_real(f"{name}[{k}]", v) for k, v in enumerate(entries))
            object.__setattr__(self, name, numbers)
        n, given = len(self.distances), len(self.values)
        if n != given:
            raise ValueError(f"values must have an entry for each of {n} distances, got {given}")
        d = self.distances
        falls = any(b < a for a, b in itertools.pairwise(d))
        if falls or d[0] < 0 or d[-1] == 0 or any(a == c for a, c in zip(d, d[2:], strict=False)):
            raise ValueError(f"distances must rise from 0 or above, each at most twice, got {d}")
        if min(self.values) < 0:
            raise ValueError(f"values must be at least 0, got {min(self.values)}")
        _check_jumps("repeated distances", self.jumps)

    @functools.cached_property
    def _lines(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.distances), np.array(self.values)

    def value(self, d: np.ndarray) -> np.ndarray:
        x, y = self._lines
        # Of two values at one distance the second holds from there on.
        k = np.clip(np.searchsorted(x, d, "right") - 1, 0, len(x) - 2)
        part = np.clip((d - x[k]) / np.maximum(x[k + 1] - x[k], np.finfo(float).tiny), 0, 1)
        return np.where(d > x[-1], 0.0, y[k] + (y[k + 1] - y[k]) * part)

    @property
    def support(self) -> float:
        return float(self.distances[-1])

    @property
    def jumps(self) -> tuple[float, ...]:
        d = self.distances
        return tuple(a for a, b in itertools.pairwise(d) if a == b and 0 < a < d[-1])
