"""``M @ x`` for a stored matrix and the columns of x, as a primitive of its own.

It is the gather of `stored` with the batch as the second axis, where users have it. Turning x and
the result around, as the other product needs, takes longer than a product with few synapses. Its
rules turn the operands and bind `stored`, but for the derivatives in forward mode.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Num

from evops.engine import gpu, jvps, stored
from evops.engine.compat import (
    Cotangent,
    Dims,
    Linear,
    Operand,
    ShapedArray,
    ad,
)
from evops.engine.primitive import register


def columns(
    x: Num[Operand, "n_in x"],
    data: Num[Operand, " w"],
    indices: Int32[Operand, " nnz"],
    indptr: Int32[Operand, " n_rows_1"],
    *,
    dtype: np.dtype,
    backend: str,
) -> Num[Array, "n_rows x"]:
    """Bind the primitive; the result is (n_rows, X) of `dtype`, which x has too.

    The other operands are those of `stored.stored`.
    """
    data = stored.one_if_equal(x, data)
    return columns_p.bind(x, data, indices, indptr, dtype=np.dtype(dtype), backend=backend)


def _statics(dtype: np.dtype, n_out: int) -> dict[str, Any]:
    return {"dtype": dtype, "n_out": n_out, "gather": True}


def _value(x: Array, data: Array, indices: Array, indptr: Array, *, dtype: np.dtype) -> Array:
    statics = _statics(dtype, indptr.shape[0] - 1)
    return stored.value(x.T, data, indices, indptr, **statics).T


def _on_gpu(
    x: Array, data: Array, indices: Array, indptr: Array, *, native: Any, dtype: np.dtype
) -> Array:
    del native  # no kernel there takes columns
    statics = _statics(dtype, indptr.shape[0] - 1)
    return gpu.stored(x.T, data, indices, indptr, native=stored.native, **statics).T


def _shape(
    x: ShapedArray,
    data: ShapedArray,
    indices: ShapedArray,
    indptr: ShapedArray,
    *,
    dtype: np.dtype,
    **_: Any,
) -> ShapedArray:
    assert x.ndim == 2 and indices.ndim == indptr.ndim == 1
    assert data.shape in ((1,), indices.shape) and x.dtype == dtype
    return ShapedArray((indptr.shape[0] - 1, x.shape[1]), dtype)


def _transpose(
    ct: Cotangent,
    x: Linear,
    data: Linear,
    indices: Operand,
    indptr: Operand,
    *,
    dtype: np.dtype,
    backend: str,
) -> tuple[Array | None, ...]:
    if isinstance(ct, ad.Zero):
        return (None,) * 4
    if ad.is_undefined_primal(x):
        n_in = x.aval.shape[0]
        statics = {"dtype": dtype, "n_out": n_in, "gather": False, "backend": backend}
        return stored.stored(ct.T, data, indices, indptr, **statics).T, None, None, None
    statics = {**_statics(dtype, indptr.shape[0] - 1), "backend": backend}
    return stored.transpose(ct.T, x.T, data, indices, indptr, **statics)


def _batch(
    operands: Sequence[Operand], dims: Dims, *, dtype: np.dtype, backend: str
) -> tuple[Num[Array, "*n"], int]:
    x, *rest = operands
    x_axis, *axes = dims
    if x_axis is None or any(axis is not None for axis in axes):
        return stored.each(columns_p, operands, dims, dtype=dtype, backend=backend)
    x = jnp.moveaxis(x, x_axis, 1)  # more columns
    n_in, size, several = x.shape
    out = columns(x.reshape(n_in, size * several), *rest, dtype=dtype, backend=backend)
    return out.reshape(out.shape[0], size, several), 1


columns_p = register(
    "evops_stored_columns",
    shape=_shape,
    value=_value,
    jvp=jvps.bilinear(columns),
    transpose=_transpose,
    batch=_batch,
    native=lambda **_: ("evops_stored_columns", {}),
    gpu=_on_gpu,
)
