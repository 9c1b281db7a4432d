"""Errors and the checks of arguments that raise them."""

import math
import numbers
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

INT32_MAX = 2**31 - 1
_FEW, _LONG = 8, 200  # numbers and characters that errors show
# What `check_flag` takes; `check_integer` takes SupportsIndex, `check_real` SupportsFloat.
Flag = bool | np.bool_
# The same for fields of dataclasses, which hold what they are made with, or what checks make of it.
if TYPE_CHECKING:
    Integer = int
    Integers = int
    Real = float
else:
    Integer = SupportsIndex
    Integers = SupportsIndex | Sequence | np.ndarray  # one, or one for each neuron
    Real = SupportsFloat


class EvopsError(Exception):
    """Base of the errors that are evops' own."""


class BackendError(EvopsError, RuntimeError):
    """A backend was asked for by name and is not available here."""


class DataError(EvopsError, ValueError):
    """A data file is missing or malformed."""


class KernelError(EvopsError):
    """A user's kernel does not compile, or does not fit the call."""


class EvopsCacheWarning(UserWarning):
    """Compiled kernels cannot be stored, or a stored one cannot be trusted."""


class EvopsBackendWarning(UserWarning):
    """Plain JAX runs where the native kernels could."""


class EvopsConnectivityWarning(UserWarning):
    """The connections that are drawn are not the ones that were asked for."""


def check_static(name: str, value: Any) -> None:
    """Raise where `value` is a tracer and a value known before compilation is needed."""
    if isinstance(value, Tracer):
        argument = name.rpartition(": ")[2]
        marked = f" (static_argnames={argument!r})" if argument.isidentifier() else ""
        raise TypeError(
            f"{name} must be known before compilation, got a traced value; pass it as a Python "
            f"value, or mark it static in jax.jit{marked}"
        )


def check_integer(name: str, value: Any, low: int, high: int = INT32_MAX) -> int:
    """`value` as an int within [low, high]."""
    check_static(name, value)
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {shown(value)}") from None
    if not low <= number <= high:
        raise ValueError(f"{name} must be an integer from {low} to {high}, got {_short(number)}")
    return number


def check_real(name: str, value: Any) -> float:
    """`value` as a Python float, NaN and infinities refused."""
    check_static(name, value)
    if isinstance(value, (jax.Array, np.ndarray)) and value.ndim == 0 and _real(value.dtype):
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {shown(value)}")
    number = _float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {_short(value)}")
    return number


def check_size(name: str, value: Any, *, zero: bool = False) -> float:
    """`value` as a float above 0, or from 0 on with `zero`."""
    number = check_real(name, value)
    if number < 0 or (number == 0 and not zero):
        raise ValueError(f"{name} must be {'at least' if zero else 'above'} 0, got {number}")
    return number


def _real(dtype: Any) -> bool:
    """Whether a dtype is one of real numbers."""
    kind = getattr(dtype, "kind", "")
    return kind not in tuple("cbOSUmM") and bool(jnp.issubdtype(dtype, np.number))


def _float(value: Any) -> float:
    """`value` as a float, infinite where it is beyond all floats."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def shown(value: Any) -> str:
    """What was given, in an error: arrays by shape, and all else in words of bounded length."""
    quantity = mantissa_and_unit(value)
    if quantity is not None:
        return (
            f"a quantity in {quantity[1]}: give numbers; weights get their unit by W * unit, and "
            "times are divided by the time step"
        )
    if isinstance(value, (np.ndarray, jax.Array)) and value.size > _FEW:
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    text = repr(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def mantissa_and_unit(value: Any) -> tuple[Any, Any] | None:
    """Number and unit of a quantity of brainunit or saiunit; None for all else."""
    quantity = hasattr(value, "mantissa") and hasattr(value, "unit")
    return (value.mantissa, value.unit) if quantity else None


def _short(value: Any) -> str:
    """`value` in words of bounded length."""
    try:
        text = str(value)
    except ValueError:  # integers of thousands of digits
        return f"an integer of {value.bit_length()} bits"
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def check_probability(name: str, value: Any, *, zero: bool = False) -> float:
    """`value` as a probability in (0, 1], or [0, 1] with `zero`."""
    check_static(name, value)
    allowed = "[0, 1]" if zero else "(0, 1]"
    if isinstance(value, numbers.Real) and math.isnan(_float(value)):
        raise ValueError(f"{name} must be in {allowed}, got nan")
    number = check_real(name, value)
    if not 0.0 <= number <= 1.0 or (number == 0 and not zero):
        raise ValueError(f"{name} must be in {allowed}, got {number}")
    return number


def check_flag(name: str, value: Any) -> bool:
    """`value` as a bool."""
    check_static(name, value)
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def check_choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """`value` as one of the texts that are allowed."""
    # By its type first: an array that is compared with texts raises errors of its own.
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {shown(value)}")
    return value


def host_array(name: str, value: Any) -> np.ndarray:
    """`value`, which is known, as an array; one of objects where it is none."""
    check_static(name, value)
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # random keys, rows of different lengths
        return np.zeros(0, object)


def check_numbers(name: str, value: Any) -> Any:
    """`value` as it is: a finite real number, or a real floating or integer array, maybe traced."""
    if isinstance(value, Tracer) and _real(value.dtype):
        return value
    if isinstance(value, (np.ndarray, jax.Array)):
        known = _real(value.dtype)
    else:
        known = isinstance(value, (numbers.Real, np.generic))
    array = np.asarray(_float(value) if type(value) is int else value) if known else None
    if array is None or not _real(array.dtype) or array.ndim > 1:
        raise TypeError(f"{name} must be a real number, got {shown(value)}")
    if not np.isfinite(array.astype(np.float64)).all():
        raise ValueError(f"{name} must be finite, got {_short(value)}")
    return value


def check_shape(name: str, shape: Any) -> tuple[int, int]:
    """`shape` as two positive integers below 2**31."""
    check_static(name, shape)
    try:
        extents = tuple(shape)
    except TypeError:
        raise TypeError(f"{name} must be a pair of integers, got {shown(shape)}") from None
    if len(extents) != 2:
        raise ValueError(f"{name} must have 2 entries, got {len(extents)}: {shape!r}")
    rows, columns = (check_integer(f"{name}[{i}]", e, 1) for i, e in enumerate(extents))
    return rows, columns
