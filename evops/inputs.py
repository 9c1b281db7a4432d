"""Arguments of users as arrays that the primitives take."""

import sys
import warnings
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Never, SupportsIndex, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from evops.connectivity.laws import Constant, Law
from evops.connectivity.pair_laws import refuse_pair_law
from evops.connectivity.rules import LfsrGaps
from evops.engine.compat import Tracer
from evops.engine.spike_lists import Listed
from evops.errors import EvopsConnectivityWarning, check_integer, shown
from evops.leaves import Node, dtype_of, parts_of

_BOOL, _OBJECT = np.dtype(bool), np.dtype(object)
_OWN = ("evops", "jaxtyping")
_warned: set[float] = set()


class _Converting(type):
    def __instancecheck__(cls, value: Any) -> bool:
        known = isinstance(value, (jax.Array, np.ndarray, np.generic))
        return not known and (hasattr(value, "__jax_array__") or hasattr(value, "__array__"))


class Convertible(metaclass=_Converting):
    """What is no array of jax or numpy and has a method that makes one of it."""


# A product of numbers with a unit has the unit too; type checkers need not know.
if TYPE_CHECKING:
    Quantity: TypeAlias = Never
else:
    Quantity = Convertible
# What `array_of` takes besides arrays and numbers; annotations of arrays show their axes.
Nested = Sequence[Any] | Convertible
# Entries of a vector that the primitives take: of an array, or spikes with a list of them.
Entries = jax.Array | Listed
# What `seed_words` takes: an integer, or a key of jax.
Seed = SupportsIndex | jax.Array | np.ndarray | Convertible


def array_of(
    name: str, value: Any, dtype: Any = None, *, bools: bool = True, copy: bool = False
) -> jax.Array:
    """`value` as a real or bool jax array: the one way in for arguments of users.

    Values known on the host are checked before jax wraps them, those that are traced by dtype.

    Args:
        name: of the argument, for errors.
        value: any array, number or nested list of numbers.
        dtype: of the result; by default that of the value under jax's rules.
        bools: whether bools are numbers here.
        copy: whether the result must not share memory with `value`.

    Raises:
        ValueError: numbers beyond the dtype.
        TypeError: no numbers, complex ones, or a dtype that evops does not compute with.
    """
    array = as_given(name, value)
    check_dtype(name, array.dtype, bools)
    dtype = jax.dtypes.canonicalize_dtype(_wide(array.dtype) if dtype is None else dtype)
    if isinstance(array, jax.Array):
        return cast(name, array, dtype)
    fitting = _fitting(name, array, dtype, copy)
    return device_array(fitting) if copy else jnp.asarray(fitting)


def as_given(name: str, value: Any) -> jax.Array | np.ndarray:
    """`value` as an array of jax or, where it is on the host, of numpy; integers may be objects."""
    if isinstance(value, jax.Array):
        return value
    held = None if isinstance(value, Convertible) else getattr(value, "value", None)
    if isinstance(held, jax.Array):  # of events of brainevent, which numpy would read one by one
        return held
    wrong = f"{name} must be an array of numbers or bools, got "
    if isinstance(value, Law):
        raise TypeError(f"{name} must be numbers, got {shown(value)}: a law goes into a Projection")
    nested = parts_of(value) if isinstance(value, (list, tuple)) else []
    in_jax = hasattr(value, "__jax_array__") or any(isinstance(v, jax.Array) for v in nested)
    try:
        array = jnp.asarray(value) if in_jax else np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{wrong}{shown(value)}") from error
    except OverflowError:
        beyond = f"{name} must be within the range of its dtype, got {shown(value)}"
        raise ValueError(beyond) from None
    if not array.dtype.isnative:  # jax takes no others
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype == object or (nested and array.dtype.kind == "f"):
        # numpy makes floats, or objects, of integers that no dtype holds together
        each = array.ravel().tolist() if array.dtype == object else nested
        whole = (isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in each)
        if each and all(whole):
            return np.asarray(value, object)
    if array.dtype == object:
        raise TypeError(f"{wrong}{shown(value)}")
    return array


def is_whole(dtype: Any) -> bool:
    """Whether a dtype is one of whole numbers; numpy takes spans of time for such."""
    return jnp.issubdtype(dtype, jnp.integer) and getattr(dtype, "kind", "") != "m"


def device_array(host: Any) -> Any:
    """A host array of numbers as a jax array, which may share its memory; others as they are.

    ``jnp.asarray`` compiles a program for every shape (jax 0.10); this compiles none.
    """
    known = isinstance(host, np.ndarray) and host.dtype.kind not in "OSUMm"
    return jax.device_put(host) if known else host


def host(name: str, value: Any) -> np.ndarray:
    """`value`, which is known, as an array on the host; integers beyond 64 bits are objects."""
    return np.asarray(as_given(name, value))


def check_dtype(name: str, dtype: Any, bools: bool = True) -> None:
    """Raise where `dtype` is none that evops computes with."""
    if dtype == _BOOL:
        if not bools:
            raise TypeError(f"{name} must be a number or an array of numbers, got dtype bool")
        return
    if dtype == _OBJECT:  # integers beyond 64 bits
        return
    if getattr(dtype, "kind", "") in ("m", "M") or not jnp.issubdtype(dtype, jnp.number):
        raise TypeError(f"{name} must be an array of numbers or bools, got dtype {dtype}")
    if jnp.issubdtype(dtype, jnp.complexfloating):
        dtype = jax.dtypes.canonicalize_dtype(dtype)
        raise TypeError(f"{name} must be real or bool, got dtype {dtype}")
    info, least = (jnp.iinfo, 8) if jnp.issubdtype(dtype, jnp.integer) else (jnp.finfo, 16)
    if not least <= info(dtype).bits <= 64:
        raise TypeError(
            f"{name} must have integers of 8 to 64 bits or floats of 16 to 64, got dtype {dtype}: "
            "convert it first"
        )


def _wide(dtype: Any) -> Any:
    return np.int64 if dtype == _OBJECT else dtype


def _fitting(name: str, host: np.ndarray, dtype: np.dtype, copy: bool = False) -> np.ndarray:
    """`host` as `dtype`, which must hold its values."""
    known = host.dtype
    whole = known == _OBJECT or jnp.issubdtype(known, jnp.integer)
    if host.size and whole and jnp.issubdtype(dtype, jnp.integer):
        low, high = jnp.iinfo(dtype).min, jnp.iinfo(dtype).max
        for extreme in (host.min(), host.max()):
            if not low <= int(extreme) <= high:
                span = f"within {low} to {high} for dtype {dtype}"
                raise ValueError(f"{name} must be {span}, got {int(extreme)}")
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            array = host.astype(dtype, copy=copy)
        except OverflowError:
            array = np.asarray(np.inf, dtype)
        if jnp.issubdtype(dtype, jnp.floating) and known != dtype and known != _BOOL:
            beyond = np.isinf(array) & (True if whole else np.isfinite(host))
            if beyond.any():
                most = float(jnp.finfo(dtype).max)
                worst = host[beyond].flat[0] if beyond.shape == host.shape else "more"
                raise ValueError(f"{name} must be within ±{most:.4g} for {dtype}, got {worst}")
    return array


def cast(name: str, array: jax.Array, dtype: Any) -> jax.Array:
    """`array` as `dtype`; what is known must fit, integers that are traced wrap."""
    whole = jnp.issubdtype(array.dtype, jnp.integer) and jnp.issubdtype(dtype, jnp.integer)
    narrower = whole or np.dtype(dtype).itemsize < array.dtype.itemsize
    if narrower and array.dtype != dtype and not isinstance(array, Tracer):
        _fitting(name, np.asarray(array), np.dtype(dtype))
    return array.astype(dtype)


def entries(name: str, x: Entries, dtype: Any) -> Any:
    """`x` as primitives take it: spikes as they are, numbers as `dtype`."""
    if isinstance(x, Listed) or x.dtype == bool:
        return x
    return cast(name, x, dtype)


def numbers(name: str, value: Any, *, copy: bool = False) -> jax.Array:
    """`value` as weights: Python numbers are float32, or int32 where all are integers."""
    return array_of(name, value, weight_type(name, value), bools=False, copy=copy)


def weight_type(name: str, value: Any) -> np.dtype:
    """The dtype of weights: their own, and that of Python numbers whatever the default is."""
    own = own_dtype(value)
    if own is not None:
        return own
    array = as_given(name, value)
    whole = array.dtype == object or jnp.issubdtype(array.dtype, jnp.integer)
    check_dtype(name, array.dtype, False)
    return np.dtype(np.int32 if whole else np.float32)


def own_dtype(value: Any) -> np.dtype | None:
    """The dtype that a value has by itself: None for Python numbers, alone, in lists or traced."""
    if not isinstance(value, (list, tuple)):
        return dtype_of(value)
    types = [dtype for dtype in map(dtype_of, parts_of(value)) if dtype is not None]
    return common_dtype(types) if types else None


def shaped(name: str, value: Any, axes: tuple[str, ...], shape: tuple[int, ...]) -> jax.Array:
    """`value` as a real or bool jax array of that shape."""
    array = array_of(name, value)
    if array.shape != shape:
        wanted = ", ".join(f"{axis} = {extent}" for axis, extent in zip(axes, shape, strict=True))
        raise ValueError(f"{name} must have shape ({wanted}), got {array.shape}")
    return array


def spikes(name: str, value: Any, axes: tuple[str, ...], shape: tuple[int, ...]) -> Entries:
    """The same, or a list of spikes of that shape as it is."""
    listed = as_listed(value)
    return shaped(name, value, axes, shape) if listed is None or listed.shape != shape else listed


def as_listed(value: Any) -> Listed | None:
    """`value` if it is a list of spikes."""
    if not isinstance(value, Listed):
        return None
    if isinstance(value, Node):
        value._check_leaves()
    return value


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


def warn_of_density(rule: LfsrGaps) -> None:
    """Warn, once for each probability, where the density is more than 1 % off."""
    if abs(rule.density - rule.p) <= 0.01 * rule.p or rule.p in _warned:
        return
    warn(
        f"the published scheme connects a fraction {rule.density:.6g} of all pairs where the "
        f"connection probability is {rule.p:.6g}: it draws 1 / ceil(1 / p); "
        "evops.FixedProbability draws p itself"
    )
    _warned.add(rule.p)


def warn(message: str) -> None:
    """Warn of connections, at the line of the caller of evops."""
    frame, level = sys._getframe(), 1
    # also where a hook of jaxtyping checks the types of every call
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _OWN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, EvopsConnectivityWarning, stacklevel=level)


def seed_words(name: str, value: Any) -> jax.Array | np.ndarray:
    """The low and the high word of a seed: an integer of up to 64 bits, or a JAX key.

    ``s``, ``jax.random.key(s)`` and ``jax.random.PRNGKey(s)`` are one seed for s in 0 … 2**32 - 1:
    jax keeps more of s only under x64. Words are on the host where the seed is known.
    """
    words = key_words(name, value)
    if words is not None:
        return words
    if isinstance(value, (str, bool, np.bool_)) or value is None:
        raise TypeError(f"{name} must be an integer or a JAX key, got {shown(value)}")
    try:
        array = as_given(name, value)
    except TypeError:
        array = None
    if array is not None and array.ndim:
        raise ValueError(f"{name} must be one integer or one JAX key, got shape {array.shape}")
    if array is None or not (array.dtype == object or is_whole(array.dtype)):
        raise TypeError(f"{name} must be an integer or a JAX key, got {shown(value)}")
    if not isinstance(value, Tracer):
        number = check_integer(name, np.asarray(array).item(), -(2**63), 2**64 - 1) % 2**64
        return np.array([number & 0xFFFFFFFF, number >> 32], np.uint32)
    low, bits = value.astype(jnp.uint32), jnp.iinfo(value.dtype).bits
    if bits == 64:
        high = (value >> 32).astype(jnp.uint32)
    elif jnp.issubdtype(value.dtype, jnp.signedinteger):  # negative seeds are those modulo 2**64
        high = (value >> (bits - 1)).astype(jnp.uint32)
    else:
        high = jnp.zeros((), jnp.uint32)
    return jnp.stack([low, high])


def is_key(value: Any) -> bool:
    """Whether `value` is one JAX key, or an array of them, of `jax.random.key`."""
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def key_words(name: str, value: Any) -> jax.Array | np.ndarray | None:
    """The words of a JAX key, as of `jax.random.key` or of `jax.random.PRNGKey`; else None."""
    data = value
    if is_key(value):
        if value.ndim:
            raise ValueError(
                f"{name} must be one integer or one JAX key, got shape {value.shape} of keys"
            )
        with nullcontext() if isinstance(value, Tracer) else jax.ensure_compile_time_eval():
            data = jax.random.key_data(value)
    elif not isinstance(value, (jax.Array, np.ndarray)) or value.dtype != np.uint32:
        return None
    if data.shape not in ((2,), (4,)):  # of Threefry, and of the generators of XLA
        return None
    if isinstance(data, Tracer):
        return jnp.stack([data[-1], data[0]])
    return np.asarray(data)[[-1, 0]]


def law(value: Any) -> Law:
    """`value` as a weight law whose parameters are arrays of one settled type.

    A number is that constant. Python numbers, and weakly typed arrays, take the type of the other
    parameters; alone they are float32.
    """
    refuse_pair_law("law", value)
    number = not isinstance(value, Law)
    if number:
        try:
            value = Constant(value)
        except TypeError:
            raise TypeError(f"law must be a weight law or a number, got {shown(value)}") from None
        except ValueError as error:
            raise ValueError(str(error).replace("w must", "law must", 1)) from None
    value.table()  # errors now, where the quantiles are none, or there is no location
    value.checked_loc_scale()
    leaves, tree = jax.tree_util.tree_flatten_with_path(value)
    names = [jax.tree_util.keystr(path).lstrip(".") for path, _ in leaves]
    parameters = dict(zip(["law"] if number else names, [leaf for _, leaf in leaves], strict=True))
    for name, parameter in parameters.items():
        if np.ndim(parameter):
            raise ValueError(f"{name} must be one number, got shape {np.shape(parameter)}")
        check_dtype(name, getattr(parameter, "dtype", np.float32), bools=False)
    dtype = weight_dtype(value)
    settled = [array_of(name, p, dtype, bools=False) for name, p in parameters.items()]
    return jax.tree.unflatten(tree, settled)


def times(weights: Any, factor: Any) -> jax.Array:
    """Stored weights times one number, under the rules of jax for dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.multiply(weights, factor)


def weight_dtype(value: Any) -> np.dtype:
    """Type of the weights of a law: that of its parameters, Python numbers being float32."""
    if not isinstance(value, Law):  # what stands for a leaf in trees of jax
        return np.dtype(np.float32)
    leaves = jax.tree.leaves(value)
    types = [dtype for dtype in map(own_dtype, leaves) if dtype is not None]
    dtype = common_dtype(types or [np.float32], varied=value.quantile() is not None)
    if dtype.kind in "iu" and any(own_dtype(v) is None and _fractional(v) for v in leaves):
        return np.dtype(np.float32)
    return dtype


def _fractional(value: Any) -> bool:
    return isinstance(value, float) or jnp.issubdtype(
        getattr(value, "dtype", np.int32), jnp.floating
    )


def common_dtype(types: Iterable[Any], *, varied: bool = False) -> np.dtype:
    """Type that all `types` promote to; varied weights are no integers."""
    with jax.numpy_dtype_promotion("standard"):
        dtype = np.dtype(jnp.result_type(*types))
    return np.dtype(np.float32) if varied and dtype.kind in "iu" else dtype
