"""Weight laws: location, scale, and the quantiles of a fixed unit variate.

The weight of a synapse is ``loc + scale * z``; z is a number of that synapse alone, drawn from
(seed, pre, post). A law consists of its parameters and of the quantile function of z. Readers get
that function as a table of whole numbers, and interpolate in integer arithmetic: z has the same
bits everywhere. To add a law, write a subclass with `unit_quantile` and `loc_scale`.
"""

import contextlib
import dataclasses
import functools
import math
import weakref
from collections.abc import Callable
from statistics import NormalDist
from typing import Any, ClassVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from evops.connectivity.sampler import QUANTILE_KNOTS, QUANTILE_SLOTS
from evops.errors import check_numbers, check_real
from evops.leaves import Fixed


@dataclass_transform(frozen_default=True)
class Law(Fixed):
    """Base of the weight laws; subclasses are dataclasses of their parameters (pytree leaves).

    A subclass becomes a frozen dataclass and a pytree node without a decorator; one that does the
    same does no harm. Fields with the metadata ``static`` are no leaves; they must be hashable.
    Laws are equal where class and parameters are; a float32 array is equal to the number it holds.

    Attributes:
        unit_quantile: quantile function of the unit variate, on (0, 1) and with values within
            ±60, or None where all weights are `loc`.
    """

    unit_quantile: ClassVar[Callable[[float], float] | None] = None

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        for base in cls.__bases__:
            _complete(base)

    def __new__(cls, *_, **__):
        """At the first law of a class, so that its decorators come first."""
        _complete(cls)
        return object.__new__(cls)

    def __post_init__(self):
        fields = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        parameters = {f.name: getattr(self, f.name) for f in fields if not f.metadata.get("static")}
        if any(type(value) is object for value in parameters.values()):
            return  # jax's markers, where a registration of the user's own calls the constructor
        for name, value in parameters.items():
            check_numbers(name, value)
        self.check()

    def __repr__(self) -> str:
        """Class and parameters, arrays as the numbers that they hold."""
        shown = (f for f in dataclasses.fields(self) if f.repr)  # pyright: ignore[reportArgumentType]
        values = (f"{f.name}={_shown(getattr(self, f.name, None))}" for f in shown)
        return f"{type(self).__name__}({', '.join(values)})"

    def _values(self) -> tuple:
        fields = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        return tuple(_value(getattr(self, f.name, None)) for f in fields)

    def __eq__(self, other: object) -> bool:
        """Same class and parameters."""
        if type(self) is not type(other):
            return NotImplemented
        return self._values() == other._values()  # pyright: ignore[reportAttributeAccessIssue]

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def check(self) -> None:
        """Raise where parameters that are known do not fit together."""

    def loc_scale(self) -> tuple[Any, Any]:
        """Location and scale of the weights, from the parameters."""
        raise NotImplementedError(f"{type(self).__name__} must define loc_scale()")

    def quantile(self) -> Callable[[float], float] | None:
        """Quantile function of z; the same object for laws that share it."""
        return type(self).unit_quantile

    def table(self) -> tuple[np.ndarray, float]:
        """The quantiles of z as whole numbers, int32, and the unit that they count."""
        return _table(self.quantile(), type(self).__name__)

    def parameters(self, dtype) -> jax.Array:
        """Factors of the primitive: ``(loc,)`` or ``(loc, scale * unit)``."""
        loc, scale = (jnp.asarray(v).astype(dtype) for v in self.loc_scale())
        if self.quantile() is None:
            return loc[None]
        unit = jnp.asarray(self.table()[1], dtype)
        return jnp.stack([loc, scale * unit])


_completed: weakref.WeakSet[type] = weakref.WeakSet()


def _complete(cls: type) -> None:
    """Make a subclass of `Law` a frozen dataclass and a pytree node, as far as it is not yet."""
    if cls is Law or not issubclass(cls, Law) or cls in _completed:
        return
    if "__dataclass_fields__" not in vars(cls):
        bases = [vars(b).get("__dataclass_params__") for b in cls.__mro__[1:]]
        frozen = all(parameters.frozen for parameters in bases if parameters)
        dataclasses.dataclass(frozen=frozen, eq=False, repr=False)(cls)
    elif cls.__dataclass_params__.eq:  # pyright: ignore[reportAttributeAccessIssue]
        # those of dataclasses compare tuples of arrays
        cls.__eq__, cls.__hash__ = Law.__eq__, Law.__hash__
    for name in ("__setattr__", "__delattr__"):  # dataclasses' own: `Fixed` has one for all
        if name in vars(cls):
            delattr(cls, name)
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
    static = [f.name for f in fields if f.metadata.get("static")]
    names = [f.name for f in fields if f.name not in static]

    def flatten(law):
        leaves = [(jax.tree_util.GetAttrKey(name), getattr(law, name)) for name in names]
        return leaves, tuple(getattr(law, name) for name in static)

    def unflatten(rest, leaves):  # unchecked: jax puts cotangents and markers in their place
        law = object.__new__(cls)
        for name, leaf in zip([*names, *static], [*leaves, *rest], strict=True):
            object.__setattr__(law, name, leaf)
        return law

    # A second registration is an error of jax: then the user's own is there.
    with contextlib.suppress(ValueError):
        jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
    _completed.add(cls)


def _shown(value: Any) -> str:
    known = isinstance(value, (jax.Array, np.ndarray, np.generic)) and not isinstance(value, Tracer)
    return str(np.asarray(value)) if known else repr(value)


def _value(value: Any) -> Any:
    """What a parameter is compared by: numbers by value, what is traced by identity."""
    if isinstance(value, Tracer):
        return "traced", id(value)
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        array = np.asarray(value)
        return array.item() if array.ndim == 0 else (array.shape, tuple(array.ravel().tolist()))
    try:
        hash(value)
    except TypeError:
        return "unhashable", id(value)
    return value


@functools.lru_cache(maxsize=256)
def _table(quantile: Callable[[float], float] | None, name: str) -> tuple[np.ndarray, float]:
    """Knots at 0, 1/1024, … 1, then those that divide the first and the last slot (sampler.slot).

    Where the ends of the quantile function are infinite, the last knot is its value half a word
    (2**-33) from the end.
    """
    if quantile is None:
        return np.zeros(0, np.int32), 1.0
    main = np.arange(QUANTILE_SLOTS + 1) / QUANTILE_SLOTS
    u = np.concatenate([main, main / QUANTILE_SLOTS, 1 - main[::-1] / QUANTILE_SLOTS])
    knots = np.array([float(quantile(min(max(x, 2.0**-33), 1 - 2.0**-33))) for x in u])
    largest = np.abs(knots).max()
    if knots[0] == knots[QUANTILE_SLOTS]:
        raise ValueError(
            f"unit_quantile of {name} must rise from 0 to 1, got {knots[0]} everywhere: where all "
            "weights are equal, leave it None and return them as the location"
        )
    falls = (np.diff(knots[:QUANTILE_KNOTS]) < 0).any()
    if not np.isfinite(knots).all() or largest > 60 or falls:
        raise ValueError(
            f"unit_quantile of {name} must rise from 0 to 1 and stay within ±60, "
            f"got {knots[0]} to {knots[QUANTILE_SLOTS]}"
        )
    steepest = max(np.diff(part).max() for part in np.split(knots, 3))
    # whole numbers below 2**24 (exact in float32), steps below 2**21 (sampler.between)
    bits = min(23 - math.ceil(math.log2(largest)), 20 - math.ceil(math.log2(steepest)), 20)
    scaled = np.round(knots * 2.0**bits)
    span = getattr(quantile, "span", None)
    if span is not None:  # one unit inside the bounds, which rounding then cannot cross
        scaled = np.clip(
            scaled, math.ceil(span[0] * 2.0**bits) + 1, math.floor(span[1] * 2.0**bits) - 1
        )
    return scaled.astype(np.int32), 2.0**-bits


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
        return self.w, 0


def _exact_ends(u: float) -> float:
    """Quantile function of the uniform distribution on [0, 1]: u, but 0 and 1 at the ends.

    `_table` asks half a word inside the ends, as other laws are infinite there. Without the
    rounding no weight would reach the bounds.
    """
    return u if 2.0**-33 < u < 1 - 2.0**-33 else float(round(u))


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
    unit_quantile = staticmethod(_exact_ends)

    def check(self):
        check_order("high", self.high, "low", self.low)

    def loc_scale(self):
        return self.low, jnp.subtract(self.high, self.low)


def static_field():
    """A field of a law that is known before compilation, None unless given."""
    return dataclasses.field(default=None, metadata={"static": True})


class Normal(Law):
    """Weights normal with mean `mean` and standard deviation `std`, truncated at bounds if given.

    The quantiles are interpolated linearly between 3072 knots: the distribution function is exact
    to 1e-5, the largest variate 6.2. With bounds, the distribution is that of drawing again until a
    weight lies within them (``redraw`` in NEST): with ``low=0`` no weight is negative. The mean and
    deviation at construction fix its shape. Later changes of these (gradients) move and scale the
    weights, without drawing again.

    Args:
        mean: mean before truncation, any unit; may be traced where there are no bounds.
        std: standard deviation before truncation, at least 0.
        low: lower bound, or None.
        high: upper bound, or None.

    Raises:
        ValueError: `std` is negative, a parameter is not finite, or the bounds leave nothing.
        TypeError: bounds with a mean or deviation that is traced or an array.

    Example:
        >>> import evops
        >>> evops.Normal(0.15, 0.1, low=0.0).loc_scale()
        (0.15, 0.1)
    """

    mean: Any
    std: Any
    low: float | None = static_field()
    high: float | None = static_field()
    span: tuple[float, float] | None = dataclasses.field(
        default=None, init=False, repr=False, metadata={"static": True}
    )
    unit_quantile = staticmethod(NormalDist().inv_cdf)

    def check(self):
        check_order("std", self.std, "", 0)
        if self.low is None and self.high is None:
            return
        mean, std = check_real("mean (with bounds)", self.mean), check_real("std", self.std)
        low = -math.inf if self.low is None else check_real("low", self.low)
        high = math.inf if self.high is None else check_real("high", self.high)
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
        object.__setattr__(self, "span", span)

    def quantile(self):
        """Quantiles of the normal distribution, or of its part between the bounds."""
        return type(self).unit_quantile if self.span is None else _truncated(*self.span)

    def loc_scale(self):
        return self.mean, self.std


def _share(a: float, b: float) -> float:
    """Probability between a and b; exact in both tails."""
    cdf = NormalDist().cdf
    return cdf(-a) - cdf(-b) if a > 0 else cdf(b) - cdf(a)


@functools.lru_cache(maxsize=256)
def _truncated(a: float, b: float) -> Callable[[float], float]:
    """Quantile function of the normal distribution between a and b."""
    normal, share = NormalDist(), _share(a, b)

    def quantile(u: float) -> float:
        if a > 0:  # mirrored: small probabilities are exact
            below = normal.cdf(-b) + (1 - u) * share
            z = -normal.inv_cdf(min(max(below, 2.0**-60), 1 - 2.0**-53))
        else:
            below = normal.cdf(a) + u * share
            z = normal.inv_cdf(min(max(below, 2.0**-33), 1 - 2.0**-33))
        return min(max(z, a), b)

    quantile.span = max(a, -60.0), min(b, 60.0)  # pyright: ignore[reportFunctionMemberAccess]
    return quantile


for _law in (Constant, Uniform, Normal):
    _complete(_law)


def check_order(name: str, value: Any, bound_name: str, bound: Any) -> None:
    """Raise where both are known and `value` is below `bound`, which may have no name."""
    known = [not isinstance(v, Tracer) for v in (value, bound)]
    if all(known) and bool(np.any(np.asarray(value) < np.asarray(bound))):
        wanted = f"{bound_name} = {bound}" if bound_name else bound
        raise ValueError(f"{name} must be at least {wanted}, got {value}")
