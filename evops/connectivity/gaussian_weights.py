"""Rules and laws of weights that are Gaussians of distance, and differences of two."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np

from evops.connectivity.distance_laws import DistanceWeight
from evops.connectivity.rules import AllToAll, FixedProbability
from evops.errors import Flag, Real, check_flag, check_real, check_size, shown
from evops.space import elementary
from evops.space.kernels import Box, FunctionKernel
from evops.space.positions import entries_of

# Weights below this share of the largest do not exist, unless something else is said.
_LEAST_SHARE = 0.01


@dataclasses.dataclass(frozen=True)
class _Gaussians:
    """A sum of Gaussians of distance: widths, and the value that each has at 0."""

    sigmas: tuple[float, ...]
    peaks: tuple[float, ...]

    def __call__(self, d: Any) -> Any:
        square = -0.5 * np.square(np.asarray(d, float))
        return sum(
            peak * elementary.exp(square / sigma**2)
            for sigma, peak in zip(self.sigmas, self.peaks, strict=True)
        )


@dataclasses.dataclass(frozen=True)
class _Between:
    """1 at distances that lie beyond an odd number of the edges, 0 at others."""

    edges: tuple[float, ...]

    def __call__(self, d: Any) -> Any:
        return (np.searchsorted(self.edges, d, "right") % 2).astype(float)


def GaussianWeight(
    sigma: Real, w_max: Real = 1.0, w_min: Real | None = None, *, include_self: Flag = True
) -> tuple[FixedProbability | AllToAll, DistanceWeight]:
    """Weights that fall with distance as a Gaussian: a rule, and the law of its weights.

    ``w_max * exp(-d**2 / (2 sigma**2))`` at distance d. Pairs whose weight would be smaller than
    `w_min` do not exist: the rule decides so in whole numbers of a unit, which is the radius
    divided by 32,768. In BrainPy coordinates run from 0 to 1: ``Grid(shape, normalize=True)``.

    Args:
        sigma: standard deviation, above 0, in the unit of positions.
        w_max: weight at distance 0, any but 0.
        w_min: the least weight, positive or 0, whatever the sign; by default ``0.01 * |w_max|``.
        include_self: whether neurons connect to themselves.

    Returns:
        A rule and a law, for `Synapses`.

    Raises:
        ValueError: a number outside its range, `w_min` above ``|w_max|``.
        TypeError: one that is no real number, or is traced.

    Source: ``GaussianWeight`` of BrainPy 1.

    Example:
        >>> import evops
        >>> grid = evops.Grid((40, 40), normalize=True)
        >>> rule, law = evops.GaussianWeight(sigma=0.1, w_max=1.0)
        >>> S = evops.Synapses(rule, law, (grid, grid), seed=1)
        >>> float(S.data.max()), round(float(S.data.min()), 3)
        (1.0, 0.011)
    """
    sigma = check_size("sigma", sigma)
    peak = check_real("w_max", w_max)
    if peak == 0:
        raise ValueError("w_max must be any number but 0, got 0")
    own = check_flag("include_self", include_self)
    least = _least(w_min, abs(peak))
    if least > abs(peak):
        raise ValueError(f"w_min must be at most |w_max| = {abs(peak)}, got {least}")
    law = DistanceWeight(_Gaussians((sigma,), (peak,)))
    if least == 0:
        return AllToAll(autapses=own), law
    radius = sigma * math.sqrt(2 * math.log(abs(peak) / least))
    smallest = sigma * 2.0**-30  # a radius is above 0
    return FixedProbability(Box(max(radius, smallest)), autapses=own), law


def DifferenceOfGaussians(
    sigmas: tuple[Real, Real],
    ws_max: tuple[Real, Real],
    w_min: Real | None = None,
    *,
    include_self: Flag = True,
) -> tuple[FixedProbability | AllToAll, DistanceWeight]:
    """Weights of one Gaussian of distance less another ("Mexican hat"): a rule, and their law.

    ``ws_max[0] * exp(-d**2 / (2 sigmas[0]**2)) - ws_max[1] * exp(-d**2 / (2 sigmas[1]**2))``. Pairs
    whose weight would be smaller than `w_min`, positive or negative, do not exist; see
    `GaussianWeight`.

    Args:
        sigmas: standard deviations of the two, above 0, in the unit of positions.
        ws_max: their weights at distance 0, above 0.
        w_min: the least weight, whatever its sign, from 0 on; by default
            ``0.01 * |ws_max[0] - ws_max[1]|``.
        include_self: whether neurons connect to themselves.

    Returns:
        A rule and a law, for `Synapses`.

    Raises:
        ValueError: a number outside its range, or `w_min` above all weights.
        TypeError: one that is no real number, or is traced.

    Source: ``DOG`` of BrainPy 1.

    Example:
        >>> import evops
        >>> grid = evops.Grid((40, 40), normalize=True)
        >>> rule, law = evops.DifferenceOfGaussians(sigmas=(0.08, 0.15), ws_max=(1.0, 0.7))
        >>> S = evops.Synapses(rule, law, (grid, grid), seed=1)
        >>> round(float(S.data.max()), 3), round(float(S.data.min()), 3)
        (0.3, -0.264)
    """
    widths = _two("sigmas", sigmas)
    peaks = _two("ws_max", ws_max)
    own = check_flag("include_self", include_self)
    function = _Gaussians(widths, (peaks[0], -peaks[1]))
    law = DistanceWeight(function)
    least = _least(w_min, abs(peaks[0] - peaks[1]))
    if least == 0:
        return AllToAll(autapses=own), law
    edges = _crossings(function, least)
    if not edges:
        raise ValueError(f"w_min must be below the largest weight of the difference, got {least}")
    if abs(float(function(0.0))) >= least:
        edges = (0.0, *edges)
    kernel = FunctionKernel(
        _Between(edges), tuple(e for e in edges[:-1] if e > 0), cutoff=edges[-1]
    )
    return FixedProbability(kernel, autapses=own), law


def _crossings(function: _Gaussians, least: float) -> tuple[float, ...]:
    """Distances at which the difference of two Gaussians passes ``least`` or ``-least``."""
    (s1, s2), (a, b) = function.sigmas, function.peaks
    rates = 0.5 / s1**2, 0.5 / s2**2
    # Beyond this square both Gaussians together are below `least`.
    far = max(0.0, *(math.log(2 * abs(p) / least) / r for p, r in zip((a, b), rates, strict=True)))
    ends = [0.0, far]
    if rates[0] != rates[1]:  # of one slope, but for one extremum
        extremum = math.log(a * rates[0] / (-b * rates[1])) / (rates[0] - rates[1])
        ends = sorted({0.0, far, min(max(extremum, 0.0), far)})
    found = set()
    for low, high in itertools.pairwise(ends):
        for level in (least, -least):
            value = [float(function(math.sqrt(u))) - level for u in (low, high)]
            if (value[0] >= 0) != (value[1] >= 0):
                found.add(math.sqrt(_root(function, level, low, high)))
    return tuple(sorted(found - {0.0}))


def _root(function: _Gaussians, level: float, low: float, high: float) -> float:
    """The square of the distance between two at which the function passes a level."""
    above = float(function(math.sqrt(low))) >= level
    for _ in range(100):
        middle = (low + high) / 2
        same = (float(function(math.sqrt(middle))) >= level) == above
        low, high = (middle, high) if same else (low, middle)
    return low


def _two(name: str, value: Any) -> tuple[float, float]:
    entries = entries_of(value)
    if entries is None or len(entries) != 2:
        raise ValueError(f"{name} must be two numbers, got {shown(value)}")
    first, second = (check_size(f"{name}[{k}]", v) for k, v in enumerate(entries))
    return first, second


def _least(w_min: Any, largest: float) -> float:
    if w_min is None:
        return _LEAST_SHARE * largest
    return check_size("w_min", w_min, zero=True)
