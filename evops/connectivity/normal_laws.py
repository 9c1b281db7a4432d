"""Laws of normal weights and delays: drawn again or clipped at bounds."""

import dataclasses
import functools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any, SupportsFloat

from evops.connectivity.laws import Law, check_order, complete, static_field
from evops.errors import check_real


class BoundedNormal(Law):
    """A normal law with bounds, which are known before compilation."""

    mean: Any
    std: Any
    low: SupportsFloat | None = static_field()
    high: SupportsFloat | None = static_field()
    span: tuple[float, float] | None = dataclasses.field(
        default=None, init=False, repr=False, metadata={"static": True}
    )
    unit_quantile = staticmethod(NormalDist().inv_cdf)

    def bounds(self) -> tuple[float, float]:
        """The bounds as numbers; infinite where there are none."""
        low = -math.inf if self.low is None else check_real("low", self.low)
        high = math.inf if self.high is None else check_real("high", self.high)
        return low, high


class Normal(BoundedNormal):
    """Weights normal with mean `mean` and standard deviation `std`, truncated at bounds if given.

    The quantiles are interpolated linearly between 3072 knots: the distribution function is exact
    to 1e-5, the largest variate 6.2. With bounds, the distribution is that of drawing again until a
    weight lies within them (``redraw`` in NEST): with ``low=0`` no weight is negative. The mean and
    deviation at construction fix its shape. Later changes of these (gradients) move and scale the
    weights, without drawing again.

    A negative `std` is refused where its value is known. Inside ``jax.jit``, and where an optimiser
    changes the leaves of a law, it is not: it mirrors the weights at the mean, and bounds with
    them. So train a number whose softplus is `std`, as in the example.

    Args:
        mean: mean before truncation, any unit; may be traced if no bound is given.
        std: standard deviation before truncation, at least 0.
        low: lower bound, or None.
        high: upper bound, or None.

    Raises:
        ValueError: `std` is negative, a parameter is not finite, or the bounds leave nothing.
        TypeError: bounds with a mean or deviation that is traced or an array.

    Example:
        >>> import jax, jax.numpy as jnp, evops
        >>> evops.Normal(0.15, 0.1, low=0.0).loc_scale()
        (0.15, 0.1)
        >>> W = evops.Projection(evops.FixedOutDegree(10), evops.Normal(0.5, 0.1), (90, 80), seed=1)
        >>> def loss(mean, raw):  # small where all neurons get the same input
        ...     law = evops.Normal(mean, jax.nn.softplus(raw))
        ...     return (jnp.ones(90) @ W.replace(law=law)).var()
        >>> raw = jnp.log(jnp.expm1(0.1))  # its softplus is 0.1
        >>> for _ in range(20):
        ...     raw -= 0.5 * jax.grad(loss, 1)(0.5, raw)
        >>> bool(0 < jax.nn.softplus(raw) < 0.1)
        True
    """

    def check(self) -> None:
        check_order("std", self.std, "", 0)
        if self.low is None and self.high is None:
            return
        mean, std = check_real("mean (with bounds)", self.mean), check_real("std", self.std)
        low, high = self.bounds()
        if std == 0:
            span, inside = (-1.0, 1.0), low <= mean <= high
        else:
            span = (low - mean) / std, (high - mean) / std
            inside = low < high and _share(*span) > 2.0**-30
        if not inside:
            raise ValueError(
                f"low={self.low} and high={self.high} leave nothing of a normal distribution with "
                f"mean {mean} and std {std}: widen them"
            )
        # Static, like the bounds: the table of quantiles is made of it before compilation.
        object.__setattr__(self, "span", span)

    def quantile(self) -> Callable[[float], float] | None:
        return type(self).unit_quantile if self.span is None else _truncated(*self.span)

    def loc_scale(self) -> tuple[Any, Any]:
        """``(mean, std)``: z is standard normal, cut at the bounds."""
        return self.mean, self.std


class Clipped(BoundedNormal):
    """Weights or delays normal with mean `mean` and standard deviation `std`, clipped at bounds.

    What lies beyond a bound becomes the bound (``clip`` in Brian2, `numpy.clip`), where `Normal`
    draws again. Delays are exact: a delay of one step with ``low=1`` has the probability of all
    that lies below 1.5. Weights that are clipped may lie inside the bound by up to what 1/1024 of
    all weights span there, as between all knots of the quantiles.

    Args:
        mean: mean before clipping, any unit.
        std: standard deviation before clipping, at least 0.
        low: lower bound, or None.
        high: upper bound, or None.

    Raises:
        ValueError: `std` is negative, a parameter is not finite, `high` is below `low`, or all
            weights would lie at one bound.
        TypeError: a parameter that is traced or an array.

    Example:
        >>> import evops
        >>> evops.Clipped(15.0, 7.5, low=1).loc_scale()
        (15.0, 7.5)
    """

    def check(self) -> None:
        mean, std = check_real("mean", self.mean), check_real("std", self.std)
        check_order("std", std, "", 0)
        low, high = self.bounds()
        check_order("high", high, "low", low)
        if std == 0:
            return
        span = (low - mean) / std, (high - mean) / std
        if span[0] >= _FAR or span[1] <= -_FAR or low == high:
            raise ValueError(
                f"low={self.low} and high={self.high} make one value of a normal distribution with "
                f"mean {mean} and std {std}: use a Constant"
            )
        object.__setattr__(self, "span", span)

    def quantile(self) -> Callable[[float], float] | None:
        return type(self).unit_quantile if self.span is None else _clipped(*self.span)

    def loc_scale(self) -> tuple[Any, Any]:
        """``(mean, std)``: z is standard normal, clipped at the bounds."""
        if self.span is not None:
            return self.mean, self.std
        low, high = self.bounds()
        return min(max(self.mean, low), high), self.std


# Deviations beyond which no knot lies.
_FAR = 6.2


@functools.lru_cache(maxsize=256)
def _clipped(a: float, b: float) -> Callable[[float], float]:
    """Quantile function of a standard normal variate that is clipped at a and b."""
    normal = NormalDist()

    def quantile(u: float) -> float:
        return min(max(normal.inv_cdf(u), a), b)

    quantile.span = max(a, -60.0), min(b, 60.0)  # pyright: ignore[reportFunctionMemberAccess]
    return quantile


def _share(a: float, b: float) -> float:
    """Probability of a standard normal number between a and b; exact in both tails."""
    # In the upper tail the difference of two numbers near 1 would have no digits left.
    cdf = NormalDist().cdf
    return cdf(-a) - cdf(-b) if a > 0 else cdf(b) - cdf(a)


# Cached, so that equal bounds share a function, by which `_table` finds its table again.
@functools.lru_cache(maxsize=256)
def _truncated(a: float, b: float) -> Callable[[float], float]:
    """Quantile function of the standard normal distribution between a and b."""
    normal, share = NormalDist(), _share(a, b)

    def quantile(u: float) -> float:
        if a > 0:  # mirrored, since only small probabilities are exact
            below = normal.cdf(-b) + (1 - u) * share
            z = -normal.inv_cdf(min(max(below, 2.0**-60), 1 - 2.0**-53))
        else:
            below = normal.cdf(a) + u * share
            z = normal.inv_cdf(min(max(below, 2.0**-33), 1 - 2.0**-33))
        return min(max(z, a), b)

    quantile.span = max(a, -60.0), min(b, 60.0)  # pyright: ignore[reportFunctionMemberAccess]
    return quantile


# Now, and not at the first law: these have no decorators to wait for.
for _law in (BoundedNormal, Normal, Clipped):
    complete(_law)
