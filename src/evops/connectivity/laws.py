"""Weight laws: location, scale, and the quantiles of a fixed unit variate.

The weight of a synapse is ``loc + scale * z``; z is a number of that synapse alone, drawn from
(seed, pre, post). A law is its parameters and the quantile function of z, as a table of whole
numbers that every reader interpolates in integer arithmetic: z has the same bits everywhere. To add
a law, write a subclass with `unit_quantile` and `loc_scale`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any, ClassVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from evops.errors import check_numbers

_SLOTS = 1024


@dataclass_transform(frozen_default=True)
class Law:
    """Base of the weight laws; subclasses are dataclasses of their parameters (pytree leaves).

    Attributes:
        unit_quantile: quantile function of the unit variate, on (0, 1) and with values within
            ±60, or None where all weights are `loc`.
    """

    unit_quantile: ClassVar[Callable[[float], float] | None] = None

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        dataclasses.dataclass(frozen=True)(cls)
        names = [f.name for f in dataclasses.fields(cls)]  # pyright: ignore[reportArgumentType]

        def flatten(law):
            return [(jax.tree_util.GetAttrKey(name), getattr(law, name)) for name in names], None

        def unflatten(_, leaves):  # unchecked: jax puts cotangents, axes and markers in their place
            law = object.__new__(cls)
            for name, leaf in zip(names, leaves, strict=True):
                object.__setattr__(law, name, leaf)
            return law

        jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)

    def __post_init__(self):
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            object.__setattr__(
                self, field.name, check_numbers(field.name, getattr(self, field.name))
            )
        self.check()

    def check(self) -> None:
        """Raise where parameters that are known do not fit together."""

    def loc_scale(self) -> tuple[Any, Any]:
        """Location and scale of the weights, from the parameters."""
        raise NotImplementedError

    @classmethod
    def table(cls) -> tuple[np.ndarray, float]:
        """The quantiles of z as whole numbers, int32, and the unit that they count."""
        return _table(cls)

    def parameters(self, dtype) -> jax.Array:
        """What the primitive multiplies: ``(loc,)`` or ``(loc, scale * unit)``."""
        loc, scale = (jnp.asarray(v).astype(dtype) for v in self.loc_scale())
        if self.unit_quantile is None:
            return loc[None]
        unit = jnp.asarray(self.table()[1], dtype)
        return jnp.stack([loc, scale * unit])


@functools.cache
def _table(law: type[Law]) -> tuple[np.ndarray, float]:
    """Knots at 0, 1/1024, … 1, then those that divide the first and the last slot (sampler.slot).

    Where the ends of the quantile function are infinite, the last knot is its value half a word
    (2**-33) from the end.
    """
    quantile = law.unit_quantile
    if quantile is None:
        return np.zeros(0, np.int32), 1.0
    main = np.arange(_SLOTS + 1) / _SLOTS
    u = np.concatenate([main, main / _SLOTS, 1 - main[::-1] / _SLOTS])
    knots = np.array([quantile(min(max(x, 2.0**-33), 1 - 2.0**-33)) for x in u])
    largest = np.abs(knots).max()
    if not np.isfinite(knots).all() or largest > 60 or (np.diff(knots[: _SLOTS + 1]) < 0).any():
        raise ValueError(
            f"unit_quantile of {law.__name__} must rise from 0 to 1 and stay within ±60, "
            f"got {knots[0]} to {knots[_SLOTS]}"
        )
    steepest = max(np.diff(part).max() for part in np.split(knots, 3))
    # whole numbers below 2**24 (exact in float32), steps below 2**21 (sampler.between)
    bits = min(23 - math.ceil(math.log2(largest)), 20 - math.ceil(math.log2(steepest)), 20)
    return np.round(knots * 2.0**bits).astype(np.int32), 2.0**-bits


class Constant(Law):
    """Every synapse has weight `w`.

    Args:
        w: the weight, any unit; may be traced.

    Example:
        >>> import evops
        >>> evops.Constant(0.5).w
        0.5
    """

    w: Any

    def loc_scale(self):
        """``(w, 0)``."""
        return self.w, 0


class Uniform(Law):
    """Weights uniform between `low` and `high`.

    Args:
        low: lower end, any unit; may be traced.
        high: upper end, at least `low`.

    Raises:
        ValueError: `high` is below `low`, or a bound is not finite.
    """

    low: Any
    high: Any
    unit_quantile = staticmethod(lambda u: u if 2.0**-33 < u < 1 - 2.0**-33 else float(round(u)))

    def check(self):
        """The bounds are in order."""
        check_order("high", self.high, "low", self.low)

    def loc_scale(self):
        """``(low, high - low)``."""
        return self.low, jnp.subtract(self.high, self.low)


class Normal(Law):
    """Weights normal with mean `mean` and standard deviation `std`.

    The quantiles are interpolated linearly between 3072 knots: the distribution function is exact
    to 1e-5, the largest variate 6.2.

    Args:
        mean: mean, any unit; may be traced.
        std: standard deviation, at least 0.

    Raises:
        ValueError: `std` is negative, or a parameter is not finite.
    """

    mean: Any
    std: Any
    unit_quantile = staticmethod(NormalDist().inv_cdf)

    def check(self):
        """The deviation is not negative."""
        check_order("std", self.std, "0", 0)

    def loc_scale(self):
        """``(mean, std)``."""
        return self.mean, self.std


def check_order(name: str, value: Any, bound_name: str, bound: Any) -> None:
    """Raise where both are known and `value` is below `bound`."""
    known = [not isinstance(v, Tracer) for v in (value, bound)]
    if all(known) and bool(np.any(np.asarray(value) < np.asarray(bound))):
        raise ValueError(f"{name} must be at least {bound_name} = {bound}, got {value}")
