"""The primitives on a GPU, whose kernels need more memory than operands and results.

The kernels list the spikes first, and then share out the work on them. Handlers do not allocate:
XLA places the lists as further results of the call. So a call is nothing but launches on XLA's
stream, which CUDA graphs can record. Two readers have no kernels here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Num, Shaped

from evops.connectivity.format import Distances, TypedPairs, WeightLaw
from evops.engine import jnp_impl
from evops.engine.compat import ffi

# Schemes without kernels here.
_JNP = (Distances, TypedPairs)

# What `register` passes on as `native`: target and attributes of the CPU.
_Native = Callable[..., tuple[str, dict[str, Any]]]


def _target(native: _Native, statics: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The GPU's target and attributes, which follow from the CPU's."""
    name, attributes = native(**statics)
    return name.replace("evops_", "evops_gpu_", 1), attributes


def _lists(shape: tuple[int, ...], dtype: Any) -> list[jax.ShapeDtypeStruct]:
    """For each row of spikes, room for the neurons that fire, their values, and their number.

    Args:
        shape: (rows, n); all neurons may fire.
        dtype: of the values.
    """
    rows, n = shape
    # Values are words here: handlers choose the type of the sums, which are integers where spikes
    # are counted.
    words = np.dtype(dtype).itemsize // 4
    return [
        jax.ShapeDtypeStruct((rows, n), jnp.uint32),
        jax.ShapeDtypeStruct((rows, n * words), jnp.uint32),
        jax.ShapeDtypeStruct((rows,), jnp.int32),
    ]


def _call(
    target: str, out: Sequence[jax.ShapeDtypeStruct], *operands: Array, **attributes: Any
) -> Any:
    return ffi.ffi_call(target, out)(*operands, **attributes)


def product(
    x: Shaped[Array, "x n_in"],
    weight: Num[Array, "k parameters"],
    *rest: Array,
    native: _Native,
    **statics: Any,
) -> Num[Array, "k n_out"]:
    """`ops.product`; only the scattering kernels list spikes."""
    spec, gather = statics["spec"], statics["gather"]
    if isinstance(spec.scheme, _JNP):
        return jnp_impl.product(x, weight, *rest, **statics)
    target, attributes = _target(native, statics)
    shape = weight.shape[0], statics["n_out"]
    # Spikes with one float32 weight are counted, in integers. The other gathering kernels multiply
    # each entry of x, so they take numbers only.
    counted = x.dtype == bool and spec.law == WeightLaw.CONSTANT and weight.dtype == jnp.float32
    if gather and x.dtype == bool and not counted:
        x = x.astype(weight.dtype)
    out = [jax.ShapeDtypeStruct(shape, weight.dtype)]
    if not gather:
        out += _lists(x.shape, weight.dtype)
    return _call(target, out, x, weight, *rest, **attributes)[0]


def push(
    ring: Num[Array, "slots n_post"],
    x: Shaped[Array, " n_pre"],
    *rest: Array,
    native: _Native,
    **statics: Any,
) -> Num[Array, "slots n_post"]:
    """`ring.push`; the populations and the specs are arrays too, since kernels read no attributes.

    As constants of the program they are on the card already when the call runs.
    """
    if any(isinstance(spec.scheme, _JNP) for spec in statics["specs"]):
        return jnp_impl.push(ring, x, *rest, **statics)
    target, attributes = _target(native, statics)
    grid = statics["grid"]
    # Read only where each neuron has delays, but an array with an entry for each population always.
    columns = grid.delay_column or (0,) * len(grid.post_size)
    targets = grid.post_offset, grid.post_size, columns
    pairs = grid.specs().reshape(-1), grid.indptr_offsets().reshape(-1)
    arrays = [jnp.asarray(a, jnp.int32) for a in (*grid.rows(), *targets, *pairs)]
    arrays.append(jnp.asarray(attributes["specs"], jnp.uint32))
    out = [jax.ShapeDtypeStruct(ring.shape, ring.dtype), *_lists((1, x.shape[0]), ring.dtype)]
    # In place: else XLA would copy the whole ring in every step of a scan.
    call = ffi.ffi_call(target, out, input_output_aliases={0: 0})
    return call(ring, x, *rest, *arrays, **attributes)[0]


def pop(
    ring: Num[Array, "slots n_post"], step: Int32[Array, ""], *, native: _Native
) -> Sequence[Num[Array, "..."]]:
    """`ring.pop`; in place, as `push` is."""
    target, attributes = _target(native, {})
    out = [
        jax.ShapeDtypeStruct(ring.shape, ring.dtype),
        jax.ShapeDtypeStruct(ring.shape[1:], ring.dtype),
    ]
    return ffi.ffi_call(target, out, input_output_aliases={0: 0})(ring, step, **attributes)


def stored(
    x: Shaped[Array, "x n_in"],
    data: Num[Array, " w"],
    *rest: Array,
    native: _Native,
    **statics: Any,
) -> Num[Array, "x n_out"]:
    """`stored.stored`; only the scattering kernel lists spikes, and none converts weights."""
    target, attributes = _target(native, statics)
    dtype = statics["dtype"]
    out = [jax.ShapeDtypeStruct((x.shape[0], statics["n_out"]), dtype)]
    if not statics["gather"]:
        out += _lists(x.shape, dtype)
    return _call(target, out, x, data.astype(dtype), *rest, **attributes)[0]


def custom(
    target: str,
    outs: Sequence[jax.ShapeDtypeStruct],
    scratch: int,
    aliases: dict[int, int],
    *operands: Array,
    **attributes: Any,
) -> list[Any]:
    """A user's kernel, whose tasks may leave values for each other in `scratch` bytes.

    The memory is a further result, as the lists above are, and is dropped here. Operands by number
    have results in their place.
    """
    more = [jax.ShapeDtypeStruct((scratch,), jnp.uint8)] if scratch else []
    call = ffi.ffi_call(target, [*outs, *more], input_output_aliases=aliases)
    return list(call(*operands, **attributes)[: len(outs)])
