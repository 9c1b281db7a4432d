"""What users pass, as arrays that the primitives take."""

import numbers as _numbers
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from evops.connectivity.laws import Constant, Law
from evops.connectivity.rules import LfsrGaps
from evops.engine.compat import debug_nans
from evops.errors import EvopsConnectivityWarning, check_integer

_warned: set[float] = set()


def numbers(name: str, value: Any) -> jax.Array:
    """`value` as a numeric jax array; a Python float becomes float32."""
    if _python_number(value) and not isinstance(value, _numbers.Integral):
        return jnp.asarray(value, jnp.float32)
    array = array_of(name, value)
    if array.dtype == bool:
        raise TypeError(f"{name} must be a number or an array of numbers, got dtype bool")
    return array


def _python_number(value: Any) -> bool:
    return isinstance(value, _numbers.Real) and not isinstance(value, np.generic)


def array_of(name: str, value: Any) -> jax.Array:
    """`value` as a real or bool jax array."""
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers or bools, got {value!r}") from error
    if array.dtype != bool and not jnp.issubdtype(array.dtype, jnp.number):
        raise TypeError(f"{name} must be an array of numbers or bools, got dtype {array.dtype}")
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"{name} must be real or bool, got dtype {array.dtype}")
    return array


def device_array(host: Any) -> Any:
    """A host array of numbers as a jax array, which may share its memory; others as they are.

    ``jnp.asarray`` compiles a program for every shape (jax 0.10); this compiles none.
    """
    known = isinstance(host, np.ndarray) and host.dtype.kind not in "OSUMm"
    return jax.device_put(host) if known else host


def shaped(name: str, value: Any, axes: tuple[str, ...], shape: tuple[int, ...]) -> jax.Array:
    """`value` as a real or bool jax array of that shape."""
    array = array_of(name, value)
    if array.shape != shape:
        wanted = ", ".join(f"{axis} = {extent}" for axis, extent in zip(axes, shape, strict=True))
        raise ValueError(f"{name} must have shape ({wanted}), got {array.shape}")
    return array


def events(name: str, value: Any, axes: tuple[str, ...], shape: tuple[int, ...]) -> jax.Array:
    """`value` as events: bool, or floats 0 and 1 whose derivative is that of the identity."""
    array = shaped(name, value, axes, shape)
    if array.dtype == bool:
        return array
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array != 0
    return _spikes(array)


@jax.custom_jvp
def _spikes(x):
    # On bits: XLA's comparisons take denormal numbers, which are events, for zero.
    bits = jnp.dtype(f"uint{8 * x.dtype.itemsize}")
    magnitude = lax.bitcast_convert_type(x, bits) << 1
    infinite = lax.bitcast_convert_type(jnp.full((), jnp.inf, x.dtype), bits) << 1
    return ((magnitude != 0) & (magnitude <= infinite)).astype(x.dtype)


@_spikes.defjvp
def _spikes_jvp(primals, tangents):
    return _spikes(*primals), tangents[0]


def seeds(name: str, value: Any) -> jax.Array:
    """`value` as uint32, wrapped modulo 2**32."""
    if isinstance(value, _numbers.Integral) and not isinstance(value, bool):
        return jnp.asarray(int(value) % 2**32, jnp.uint32)
    if not isinstance(value, jax.Array):
        host = np.asarray(value)
        if host.dtype.kind in "iu":
            return jnp.asarray(host.astype(np.uint32))
    array = array_of(name, value)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name} must be an integer or an array of integers, got {array.dtype}")
    return array.astype(jnp.uint32)


def stop_at_nan(y, events):
    """`y`, made NaN by a NaN among the events where ``jax.debug_nans`` is on: jax then raises."""
    if debug_nans() and jnp.issubdtype(jnp.result_type(events), jnp.floating):
        if jnp.issubdtype(y.dtype, jnp.floating):
            return jnp.where(jnp.isnan(events).any(), jnp.nan, y)
    return y


def lfsr_rule(conn_prob: Any) -> LfsrGaps:
    """The published rule, with errors that name `conn_prob`."""
    try:
        rule = LfsrGaps(conn_prob)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("p must", "conn_prob must", 1)) from None
    warn_of_density(rule)
    return rule


def warn_of_density(rule: LfsrGaps) -> None:
    """Warn, once for each probability, where the density is more than 1 % off."""
    if abs(rule.density - rule.p) <= 0.01 * rule.p or rule.p in _warned:
        return
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "evops":
        frame, level = frame.f_back, level + 1
    message = (
        f"the published scheme connects a fraction {rule.density:.6g} of all pairs where the "
        f"connection probability is {rule.p:.6g}: it draws 1 / ceil(1 / p); "
        "evops.FixedProbability draws p itself"
    )
    warnings.warn(message, EvopsConnectivityWarning, stacklevel=level)
    _warned.add(rule.p)


def seed_words(name: str, value: Any) -> jax.Array:
    """The low and the high word of a seed: an integer of up to 64 bits, or a JAX key."""
    if isinstance(value, _numbers.Integral) and not isinstance(value, (bool, np.bool_)):
        number = check_integer(name, value, -(2**63), 2**64 - 1) % 2**64
        return jnp.asarray(np.array([number & 0xFFFFFFFF, number >> 32], np.uint32))
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        if value.ndim:
            raise ValueError(f"{name} must be one integer or one JAX key, got shape {value.shape}")
        words = jax.random.key_data(value).reshape(-1)
        return jnp.stack([words[-1], words[0]]).astype(jnp.uint32)
    if np.ndim(value):
        raise ValueError(f"{name} must be one integer or one JAX key, got shape {np.shape(value)}")
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
        return seed_words(name, value.item())
    if isinstance(value, (str, bool)) or value is None:
        raise TypeError(f"{name} must be an integer or a JAX key, got {value!r}")
    low = seeds(name, value)
    value = jnp.asarray(value)
    bits = jnp.iinfo(value.dtype).bits
    if bits == 64:
        high = (value >> 32).astype(jnp.uint32)
    elif jnp.issubdtype(value.dtype, jnp.signedinteger):  # negative seeds are those modulo 2**64
        high = (value >> (bits - 1)).astype(jnp.uint32)
    else:
        high = jnp.zeros((), jnp.uint32)
    return jnp.stack([low, high])


def law(value: Any) -> Law:
    """`value` as a weight law; a number is that constant."""
    if isinstance(value, Law):
        weight_dtype(value)
        for path, parameter in jax.tree_util.tree_leaves_with_path(value):
            if np.ndim(parameter):
                name = jax.tree_util.keystr(path).lstrip(".")
                raise ValueError(f"{name} must be one number, got shape {np.shape(parameter)}")
        return value
    try:
        return law(Constant(value))
    except TypeError:
        raise TypeError(f"law must be a weight law or a number, got {value!r}") from None


def weight_dtype(value: Law) -> np.dtype:
    """Type of the weights of a law: that of its parameters, Python numbers being float32."""
    leaves = [leaf for leaf in jax.tree.leaves(value) if hasattr(leaf, "dtype")]
    types = [jax.dtypes.canonicalize_dtype(leaf.dtype) for leaf in leaves]
    varied = value.quantile() is not None
    return common_dtype(types, varied=varied) if types else np.dtype(np.float32)


def common_dtype(types: Iterable[Any], *, varied: bool = False) -> np.dtype:
    """Type that all `types` promote to; varied weights are no integers."""
    with jax.numpy_dtype_promotion("standard"):
        dtype = np.dtype(jnp.result_type(*types))
    return np.dtype(np.float32) if varied and dtype.kind in "iu" else dtype


def single(name: str, value: jax.Array) -> jax.Array:
    """`value`, which has one entry, as `(1,)`."""
    if value.size != 1:
        raise ValueError(f"{name} must be a scalar or have 1 entry, got shape {value.shape}")
    return value.reshape(1)


def weights(values: dict[str, Any], *, varied: bool) -> tuple[list[jax.Array], np.dtype]:
    """The weight parameters of one matrix, `(1,)` each, and the dtype of its weights.

    Python numbers take the dtype of the others; by themselves they are float32, and int32 where
    integers are all there is and weights do not vary.
    """
    checked = {name: single(name, numbers(name, value)) for name, value in values.items()}
    types = [a.dtype for name, a in checked.items() if not _python_number(values[name])]
    dtype = common_dtype(types or [a.dtype for a in checked.values()], varied=varied)
    # not from `checked`: a Python float is rounded once, to the type that is computed in
    return [jnp.asarray(value).reshape(1) for value in values.values()], dtype
