"""Weight laws: location, scale, and the quantiles of a fixed unit variate.

The weight of a synapse is ``loc + scale * z``, where z belongs to that synapse alone: it is drawn
from (seed, pre, post). A law consists of its parameters and the quantile function of z. Readers
interpolate a table of that function in integer arithmetic, so z has the same bits everywhere. To
add a law, write a subclass with `unit_quantile` and `loc_scale`.
"""

import contextlib
import dataclasses
import functools
import math
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int32, Num

from evops.connectivity.sampler import QUANTILE_KNOTS, QUANTILE_SLOTS
from evops.errors import check_numbers, shown
from evops.leaves import Fixed


@dataclass_transform(frozen_default=True)
class Law(Fixed):
    """Base of the weight laws; subclasses are dataclasses of their parameters (pytree leaves).

    A subclass becomes a frozen dataclass and a pytree node without decorators; decorators that do
    the same do no harm. Fields with the metadata ``static`` are no leaves; they must be hashable.
    Laws are equal if their classes and parameters are. A float32 array equals the number it holds.

    `law` of a `Projection` has its parameters as arrays, so any optimiser trains it. Elsewhere a
    law keeps what it is given. Where only arrays are trained, as in Equinox, Python floats are
    constants: ``filter_grad`` gives None for them. ``evops.Constant(jnp.float32(0.5))`` is trained.

    Attributes:
        unit_quantile: quantile function of the unit variate, on (0, 1) and with values within
            ±60, or None where all weights are `loc`.
    """

    unit_quantile: ClassVar[Callable[[float], float] | None] = None

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        # Not `cls` itself: its decorators run after this. Its bases must be dataclasses before.
        for base in cls.__bases__:
            complete(base)

    def __new__(cls, *_: Any, **__: Any) -> Any:
        """Completes the class at its first law: by then its decorators have run."""
        complete(cls)
        return object.__new__(cls)

    def __post_init__(self) -> None:
        fields = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        parameters = {f.name: getattr(self, f.name) for f in fields if not f.metadata.get("static")}
        if any(type(value) is object for value in parameters.values()):
            return  # jax's markers, if a user's registration of the class calls the constructor
        for name, value in parameters.items():
            check_numbers(name, value)
        self.check()

    def __repr__(self) -> str:
        """Class and parameters; arrays are shown as the numbers that they hold."""
        shown = (f for f in dataclasses.fields(self) if f.repr)  # pyright: ignore[reportArgumentType]
        values = (f"{f.name}={_shown(getattr(self, f.name, None))}" for f in shown)
        return f"{type(self).__name__}({', '.join(values)})"

    def _values(self) -> tuple:
        fields = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        return tuple(_value(getattr(self, f.name, None)) for f in fields)

    def __eq__(self, other: object) -> bool:
        """Whether class and parameters are equal."""
        if type(self) is not type(other):
            return NotImplemented
        return self._values() == other._values()  # pyright: ignore[reportAttributeAccessIssue]

    def __hash__(self) -> int:
        """Hash of class and parameters, so that laws can be static in programs and caches."""
        return hash((type(self), self._values()))

    def check(self) -> None:
        """Raise where parameters do not fit together; traced ones are not known yet."""

    def loc_scale(self) -> tuple[Any, Any]:
        """Location and scale of the weights, from the parameters, in the weights' unit."""
        raise NotImplementedError(f"{type(self).__name__} must define loc_scale()")

    def checked_loc_scale(self, what: str = "") -> tuple[Any, Any]:
        """`loc_scale`, which may be a user's: two numbers, the second 0 where z is not drawn.

        `what` begins the messages: of which argument the law is.
        """
        found, name = self.loc_scale(), type(self).__name__
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise TypeError(
                f"{what}loc_scale of {name} must return two numbers, got {shown(found)}"
            )
        constant = self.quantile() is None
        if constant and (isinstance(found[1], Tracer) or np.any(np.asarray(found[1]) != 0)):
            raise ValueError(
                f"{what}loc_scale of {name} must return 0 as its scale, got {found[1]!r}: without "
                "unit_quantile all weights are the location"
            )
        return found[0], found[1]

    def quantile(self) -> Callable[[float], float] | None:
        """Quantile function of z, or None. Laws that share it return one object, and one table."""
        return type(self).unit_quantile

    def table(self) -> tuple[Int32[np.ndarray, " knots"], float]:
        """The quantiles of z as whole numbers, int32, and the unit in which they count."""
        return _table(self.quantile(), type(self).__name__)

    def is_ramp(self) -> bool:
        """Whether the table has the upper bits of a word for it: kernels then need not look."""
        return _is_ramp(self.quantile(), type(self).__name__)

    def parameters(self, dtype: Any) -> Num[Array, " parameters"]:
        """What the primitive multiplies with: ``(loc,)`` or ``(loc, scale * unit)``, of `dtype`.

        Readers draw z as a whole number, so its unit goes into the scale.
        """
        loc, scale = (jnp.asarray(v).astype(dtype) for v in self.checked_loc_scale())
        if self.quantile() is None:
            return loc[None]
        unit = jnp.asarray(self.table()[1], dtype)
        return jnp.stack([loc, scale * unit])


# Weak: a class that a notebook has defined anew may go.
completed: weakref.WeakSet[type] = weakref.WeakSet()


def complete(cls: type) -> None:
    """Make a subclass of `Law` a frozen dataclass and a pytree node, unless it is one already."""
    if cls is Law or not issubclass(cls, Law) or cls in completed:
        return
    # `vars`, not `hasattr`: a subclass inherits the fields of its base.
    if "__dataclass_fields__" not in vars(cls):
        # A frozen dataclass and one that is not cannot inherit from each other.
        bases = [vars(b).get("__dataclass_params__") for b in cls.__mro__[1:]]
        frozen = all(parameters.frozen for parameters in bases if parameters)
        dataclasses.dataclass(frozen=frozen, eq=False, repr=False)(cls)
    elif cls.__dataclass_params__.eq:  # pyright: ignore[reportAttributeAccessIssue]
        # Those of dataclasses compare tuples of arrays, which have no truth value.
        cls.__eq__, cls.__hash__ = Law.__eq__, Law.__hash__
    for name in ("__setattr__", "__delattr__"):  # those of dataclasses: `Fixed` has one for all
        if name in vars(cls):
            delattr(cls, name)
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
    static = [f.name for f in fields if f.metadata.get("static")]
    names = [f.name for f in fields if f.name not in static]

    # With keys, so that jax's messages name parameters.
    def flatten(law: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        leaves = [(jax.tree_util.GetAttrKey(name), getattr(law, name)) for name in names]
        return leaves, tuple(getattr(law, name) for name in static)

    # Without __init__ and its checks: jax puts cotangents, axes and markers in place of parameters.
    def unflatten(rest: Any, leaves: Any) -> Any:
        law = object.__new__(cls)
        for name, leaf in zip([*names, *static], [*leaves, *rest], strict=True):
            object.__setattr__(law, name, leaf)
        return law

    # A second registration is an error of jax: then the user's own is there.
    with contextlib.suppress(ValueError):
        jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
    completed.add(cls)


def _shown(value: Any) -> str:
    """A parameter as text: numbers and arrays by value, tracers by type."""
    known = isinstance(value, (jax.Array, np.ndarray, np.generic)) and not isinstance(value, Tracer)
    return str(np.asarray(value)) if known else repr(value)


def _value(value: Any) -> Any:
    """A hashable stand-in for a parameter in comparisons: tracers by identity, others by value."""
    if isinstance(value, Tracer):  # its value is not known, and its == would be traced
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
def _table(
    quantile: Callable[[float], float] | None, name: str
) -> tuple[Int32[np.ndarray, " knots"], float]:
    """Knots at 0, 1/1024, … 1, then those that divide the first and the last slot (sampler.slot).

    The quantile function may be infinite at its ends, so the outermost knots are its values half a
    word (2**-33) from them.
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
    # As fine as integers allow: below 2**24, which float32 holds exactly, and in steps below 2**21,
    # since `sampler.between` multiplies them by up to 2**10 in 31 bits.
    bits = min(23 - math.ceil(math.log2(largest)), 20 - math.ceil(math.log2(steepest)), 20)
    scaled = np.round(knots * 2.0**bits)
    span = getattr(quantile, "span", None)
    # One unit inside the bounds, which `loc + scale * z` then cannot cross by rounding.
    if span is not None:
        scaled = np.clip(
            scaled, math.ceil(span[0] * 2.0**bits) + 1, math.floor(span[1] * 2.0**bits) - 1
        )
    return scaled.astype(np.int32), 2.0**-bits


@functools.lru_cache(maxsize=256)
def _is_ramp(quantile: Callable[[float], float] | None, name: str) -> bool:
    if quantile is None:
        return False
    main, first, last = np.split(_table(quantile, name)[0], 3)
    knots = np.arange(QUANTILE_SLOTS + 1)
    end = (QUANTILE_SLOTS - 1) * QUANTILE_SLOTS
    wanted = (knots * QUANTILE_SLOTS, knots, end + knots)
    return all(map(np.array_equal, (main, first, last), wanted))


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

    def loc_scale(self) -> tuple[Any, Any]:
        """``(w, 0)``: all weights are w."""
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
    unit_quantile = staticmethod(lambda u: u)

    def check(self) -> None:
        check_order("high", self.high, "low", self.low)

    def loc_scale(self) -> tuple[Any, Any]:
        """``(low, high - low)``: z is uniform on [0, 1]."""
        return self.low, jnp.subtract(self.high, self.low)


def static_field() -> Any:
    """A field of a law that is no leaf: known before compilation, None unless given."""
    return dataclasses.field(default=None, metadata={"static": True})


# Now, and not at the first law: these have no decorators to wait for.
for _law in (Constant, Uniform):
    complete(_law)


def check_order(name: str, value: Any, bound_name: str, bound: Any) -> None:
    """Raise where both are known and `value` is below `bound`.

    Args:
        name: of the value, for the message.
        value: a number, an array, or a tracer, which is not known.
        bound_name: name of the bound; empty for a number.
        bound: as `value`.
    """
    known = [not isinstance(v, Tracer) for v in (value, bound)]
    if all(known) and bool(np.any(np.asarray(value) < np.asarray(bound))):
        wanted = f"{bound_name} = {bound}" if bound_name else bound
        raise ValueError(f"{name} must be at least {wanted}, got {value}")
