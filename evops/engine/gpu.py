"""The primitives on a GPU: what their kernels need beyond the operands.

Spikes are listed before the work on them is shared out, and no handler allocates: the lists are
further results of the calls, which XLA places, so that a call is nothing but launches on XLA's
stream.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evops.connectivity.format import WeightLaw
from evops.engine.compat import ffi


def _target(native: Callable, statics) -> tuple[str, dict]:
    """The GPU's target and attributes: those of the CPU's."""
    name, attributes = native(**statics)
    return name.replace("evops_", "evops_gpu_", 1), attributes


def _lists(shape: tuple[int, ...], dtype) -> list[jax.ShapeDtypeStruct]:
    """Room for the neurons that fire in each of some rows, their values and their number."""
    rows, n = shape
    words = np.dtype(dtype).itemsize // 4
    return [
        jax.ShapeDtypeStruct((rows, n), jnp.uint32),
        jax.ShapeDtypeStruct((rows, n * words), jnp.uint32),
        jax.ShapeDtypeStruct((rows,), jnp.int32),
    ]


def _call(target: str, out, *operands, **attributes) -> Any:
    return ffi.ffi_call(target, out)(*operands, **attributes)


def product(x, weight, *rest, native, **statics):
    """`ops.product`."""
    target, attributes = _target(native, statics)
    spec, gather = statics["spec"], statics["gather"]
    shape = weight.shape[0], statics["n_out"]
    counted = x.dtype == bool and spec.law == WeightLaw.CONSTANT and weight.dtype == jnp.float32
    if gather and x.dtype == bool and not counted:
        x = x.astype(weight.dtype)
    out = [jax.ShapeDtypeStruct(shape, weight.dtype)]
    if not gather:
        out += _lists(x.shape, weight.dtype)
    return _call(target, out, x, weight, *rest, **attributes)[0]


def push(ring, x, *rest, native, **statics):
    """`ring.push`; how neurons and pairs are cut, and the specs, as arrays too."""
    target, attributes = _target(native, statics)
    grid = statics["grid"]
    columns = grid.delay_column or (0,) * len(grid.post_size)
    targets = grid.post_offset, grid.post_size, columns
    pairs = grid.specs().reshape(-1), grid.indptr_offsets().reshape(-1)
    arrays = [jnp.asarray(a, jnp.int32) for a in (*grid.rows(), *targets, *pairs)]
    arrays.append(jnp.asarray(attributes["specs"], jnp.uint32))
    out = [jax.ShapeDtypeStruct(ring.shape, ring.dtype), *_lists((1, x.shape[0]), ring.dtype)]
    call = ffi.ffi_call(target, out, input_output_aliases={0: 0})
    return call(ring, x, *rest, *arrays, **attributes)[0]


def pop(ring, step, *, native):
    """`ring.pop`."""
    target, attributes = _target(native, {})
    out = [
        jax.ShapeDtypeStruct(ring.shape, ring.dtype),
        jax.ShapeDtypeStruct(ring.shape[1:], ring.dtype),
    ]
    return ffi.ffi_call(target, out, input_output_aliases={0: 0})(ring, step, **attributes)


def stored(x, data, *rest, native, **statics):
    """`stored.stored`."""
    target, attributes = _target(native, statics)
    out = [jax.ShapeDtypeStruct((x.shape[0], statics["n_out"]), data.dtype)]
    if not statics["gather"]:
        out += _lists(x.shape, data.dtype)
    return _call(target, out, x, data, *rest, **attributes)[0]


def custom(target: str, outs, scratch: int, *operands, **attributes) -> list[Any]:
    """A user's kernel, whose tasks may leave values for each other in scratch memory."""
    more = [jax.ShapeDtypeStruct((scratch,), jnp.uint8)] if scratch else []
    return list(_call(target, [*outs, *more], *operands, **attributes)[: len(outs)])
