"""The primitive of stored matrices and its rules, each a rebind of the primitive itself.

``stored`` multiplies the rows of x by one matrix M of compressed rows: row i has the entries
``k = indptr[i] .. indptr[i + 1] - 1``, in columns ``indices[k]``, with weights ``data[k]``, or
``data[0]`` where there is one weight for all.

    scatter:  y = x @ M      x along the rows, y along the columns
    gather:   y = x @ M.T    x along the columns, y along the rows

It is bilinear in x and data, so jvp binds it with one tangent at a time. The transpose in x is the
product in the other direction, and a batch of x is more rows. Rows of M whose x is 0 contribute
nothing, whatever their weights, and cost nothing in the native scatter.

The transpose in data is the primitive ``outer``, for rows of r and c:

    outer:    d[k] = sum over b of r[b, row of k] * c[b, indices[k]]

It is bilinear too, and its transposes are the products above with the cotangent as data.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int32, Num, Shaped

from evops.engine import gpu, jvps, spike_lists
from evops.engine.compat import (
    Cotangent,
    Dims,
    Linear,
    Operand,
    Primitive,
    ShapedArray,
    Tracer,
    ad,
    typed_like,
)
from evops.engine.primitive import register


def stored(
    x: Shaped[Operand, "x n_in"] | spike_lists.Listed,
    data: Num[Operand, " w"],
    indices: Int32[Operand, " nnz"],
    indptr: Int32[Operand, " n_rows_1"],
    *,
    dtype: np.dtype,
    n_out: int,
    gather: bool,
    backend: str,
) -> Num[Array, "x n_out"]:
    """Bind `stored`; the result is (X, n_out) of `dtype`.

    Args:
        x: (X, n_in), bool, with a list or without, or of `dtype`.
        data: (nnz,), or (1,) for one weight; of any type that `dtype` holds. It is converted as it
            is read, as a copy would cost more than the product.
        indices: (nnz,) int32, the columns.
        indptr: (n_rows + 1,) int32.
        dtype: int32, float32 or float64.
        n_out: entries of a result.
        gather: False to scatter, True to gather.
        backend: "native" or "jnp".
    """
    # The gathering handler multiplies each entry of x, so it takes numbers only.
    if gather and x.dtype == bool:
        x = x.astype(dtype)
    x, listed = spike_lists.operand(x)
    statics = {"dtype": np.dtype(dtype), "n_out": n_out, "gather": gather, "backend": backend}
    return _bind(x, data, indices, indptr, listed=listed, **statics)


def _bind(
    x: Shaped[Operand, "x width"],
    data: Num[Operand, " w"],
    *pattern: Operand,
    listed: int = 0,
    **statics: Any,
) -> Num[Array, "x n_out"]:
    """The primitive, with one weight where a program closes over weights that are all equal.

    XLA makes a broadcast of such a constant, and writes it out at every call.
    """
    return stored_p.bind(x, one_if_equal(x, data), *pattern, listed=listed, **statics)


def one_if_equal(x: Shaped[Operand, "*n"], data: Num[Operand, " w"]) -> Num[Operand, " w_or_1"]:
    """The first of known weights that are equal to the bit, where x is traced; else all of them."""
    if not isinstance(x, Tracer) or isinstance(data, Tracer) or data.shape in ((0,), (1,)):
        return data
    devices = data.devices() if isinstance(data, jax.Array) else ()
    if any(device.platform != "cpu" for device in devices):
        return data  # a copy from a card would take longer than it writes the constant
    bits = np.asarray(data).view(f"u{data.dtype.itemsize}")
    some = slice(None, None, -(-bits.size // 64))  # most that differ do so here
    equal = (bits[some] == bits[0]).all() and (bits == bits[0]).all()
    return np.asarray(data)[:1] if equal else data


def row_of(indptr: Int32[Operand, " n_rows_1"], nnz: int) -> Int32[Array, " nnz"]:
    """The row of every entry, (nnz,) int32: -1 before the first row, n_rows after the last."""
    # One mark for each row that begins, empty rows too: marks add up to the number of the row. One
    # place more than entries, for rows that begin after the last.
    indptr = lax.optimization_barrier(indptr)  # for XLA adds these up for minutes where it is known
    begun = jnp.zeros(nnz + 1, jnp.int32).at[indptr].add(1, mode="drop")
    return jnp.cumsum(begun, dtype=jnp.int32)[:nnz] - 1


def valid(
    indices: Int32[Operand, " nnz"], indptr: Int32[Operand, " n_rows_1"], columns: int
) -> tuple[Bool[Array, " nnz"], Bool[Array, " nnz"], Bool[Array, ""]]:
    """Which entries may be used, which lie in a row, and whether indptr is that of rows.

    Leaves of a `CSR` may be traced, so nothing can check them before the program runs.
    """
    nnz = indices.shape[0]
    every = jnp.arange(nnz, dtype=jnp.int32)
    of_row = (every >= indptr[0]) & (every < indptr[-1])
    rows = (indptr[0] >= 0) & (indptr[-1] <= nnz) & (indptr[:-1] <= indptr[1:]).all()
    return of_row & rows & (indices >= 0) & (indices < columns), of_row, rows


def _poisoned(y: Num[Array, "*n"], wrong: Bool[Array, "*m"]) -> Num[Array, "*n"]:
    """`y`, NaN where `wrong`, which has its shape or is a scalar: plain XLA cannot raise.

    Integers stay as they are, since they have no NaN.
    """
    return jnp.where(wrong, jnp.nan, y) if jnp.issubdtype(y.dtype, jnp.floating) else y


def value(
    x: Shaped[Array, "x n_in"],
    data: Num[Array, " w"],
    indices: Int32[Array, " nnz"],
    indptr: Int32[Array, " n_rows_1"],
    *,
    dtype: np.dtype,
    n_out: int,
    gather: bool,
) -> Num[Array, "x n_out"]:
    """The jnp path: every entry is read, one row of x after another.

    Entries out of range contribute nothing; a float result that they belong to is NaN.
    """
    # One pass over all entries: XLA has no loop over the rows that fired, whose number varies.
    row = row_of(indptr, indices.shape[0])
    zeros = jnp.zeros(n_out, dtype)
    usable, of_row, rows = valid(indices, indptr, x.shape[1] if gather else n_out)
    none = jnp.zeros((), dtype)

    # Terms that are not valid are 0, although the addition drops those past the end: jnp wraps
    # negative indices around.
    def scatter(x):
        fired = x if x.dtype == bool else x != 0
        hit = fired[row]
        # `where`, not a product with a mask: 0 times an infinite weight would be NaN.
        term = jnp.where(hit & usable, x[row].astype(dtype) * data.astype(dtype), none)
        y = zeros.at[indices].add(term, mode="drop")
        return _poisoned(y, (hit & of_row & ~usable).any() | (~rows & fired.any()))

    def gather_(x):
        at = x[indices]
        fired = at if at.dtype == bool else at != 0
        term = jnp.where(fired & usable, at.astype(dtype) * data.astype(dtype), none)
        y = zeros.at[row].add(term, mode="drop", indices_are_sorted=True)
        return _poisoned(y, (of_row & ~usable).any() | ~rows)

    # A map over the rows of x: side by side they would take rows times entries of memory.
    return lax.map(gather_ if gather else scatter, x)


def _shape(
    x: Shaped[ShapedArray, "x n_in"],
    data: Num[ShapedArray, " w"],
    indices: Int32[ShapedArray, " nnz"],
    indptr: Int32[ShapedArray, " n_rows_1"],
    *,
    dtype: np.dtype,
    n_out: int,
    gather: bool,
    **_: Any,
) -> ShapedArray:
    assert x.ndim == 2 and indices.ndim == indptr.ndim == 1
    assert data.shape in ((1,), indices.shape) and x.dtype in (bool, dtype)
    assert (n_out if gather else x.shape[1]) == indptr.shape[0] - 1
    return ShapedArray((x.shape[0], n_out), dtype)


def transpose(
    ct: Cotangent,
    x: Linear,
    data: Linear,
    indices: Operand,
    indptr: Operand,
    *,
    n_out: int,
    gather: bool,
    listed: int = 0,
    **statics: Any,
) -> tuple[Array | None, ...]:
    """The cotangent of x or of data: of the one that is undefined."""
    if isinstance(ct, ad.Zero):
        return (None,) * 4
    bind = functools.partial(_bind, **statics)
    if ad.is_undefined_primal(x):
        n_x = x.aval.shape[1]
        return bind(ct, data, indices, indptr, n_out=n_x, gather=not gather), None, None, None
    # One weight for all: its derivative is the sum of all that it is multiplied with, which is the
    # product with weight 1. Entry by entry, as below, it would take an array of all entries.
    if data.aval.shape == (1,):
        unit = jnp.ones(1, ct.dtype)
        hits = bind(x, unit, indices, indptr, n_out=n_out, gather=gather, listed=listed)
        total = (ct * hits).sum()[None]
    else:
        x = spike_lists.flags_of(x, listed).astype(ct.dtype)
        rows = (ct, x) if gather else (x, ct)
        total = outer_p.bind(*rows, indices, indptr, backend=statics["backend"])
    return None, total.astype(data.aval.dtype), None, None


def _batch(
    operands: Sequence[Operand], dims: Dims, **statics: Any
) -> tuple[Num[Array, "batch x n_out"], int]:
    # Batches of x alone are more rows of one call. Other matrices each need a call.
    if dims[0] is not None and all(d is None for d in dims[1:]):
        x = jnp.moveaxis(operands[0], dims[0], 0)
        size, rows, n_x = x.shape
        out = stored_p.bind(x.reshape(size * rows, n_x), *operands[1:], **statics)
        return out.reshape(size, rows, out.shape[-1]), 0
    return each(stored_p, operands, dims, **statics)


def each(
    primitive: Primitive, operands: Sequence[Operand], dims: Dims, **statics: Any
) -> tuple[Num[Array, "batch *n"], int]:
    """The primitive for one member of a batch after another."""
    moved = {i: jnp.moveaxis(operands[i], d, 0) for i, d in enumerate(dims) if d is not None}

    def one(batch: dict[int, Array]) -> Array:
        every = (batch.get(i, o) for i, o in enumerate(operands))
        return primitive.bind(*every, **statics)

    return lax.map(one, moved), 0


def native(*, dtype: np.dtype, n_out: int, gather: bool) -> tuple[str, dict[str, Any]]:
    """The CPU's target and its attributes."""
    del dtype, n_out  # the handler sees them in the result
    return ("evops_stored_gather" if gather else "evops_stored_scatter"), {}


stored_p = register(
    "evops_stored",
    shape=_shape,
    value=value,
    jvp=jvps.bilinear(_bind),
    transpose=transpose,
    batch=_batch,
    native=native,
    gpu=gpu.stored,
    spikes=0,
)


def outer_value(
    r: Num[Array, "b n_rows"],
    c: Num[Array, "b n_columns"],
    indices: Int32[Array, " nnz"],
    indptr: Int32[Array, " n_rows_1"],
) -> Num[Array, " nnz"]:
    """The jnp path; no kernel does this on a GPU. Entries out of range are NaN."""
    row = row_of(indptr, indices.shape[0])

    # A scan over the batch: side by side its members would take rows times entries of memory.
    def add(total, pair):
        return total + pair[0][row] * pair[1][indices], None

    zeros = typed_like(jnp.zeros(indices.shape, r.dtype), r)
    total = lax.scan(add, zeros, (r, c))[0]
    return _poisoned(total, ~valid(indices, indptr, c.shape[1])[0])


def _outer_shape(
    r: Num[ShapedArray, "b n_rows"],
    c: Num[ShapedArray, "b n_columns"],
    indices: Int32[ShapedArray, " nnz"],
    indptr: Int32[ShapedArray, " n_rows_1"],
    **_: Any,
) -> ShapedArray:
    assert r.ndim == c.ndim == 2 and r.shape[0] == c.shape[0] and r.dtype == c.dtype
    assert indices.ndim == indptr.ndim == 1 and r.shape[1] == indptr.shape[0] - 1
    return ShapedArray(indices.shape, r.dtype)


def _outer_transpose(
    ct: Cotangent, r: Linear, c: Linear, indices: Operand, indptr: Operand, *, backend: str
) -> tuple[Array | None, ...]:
    if isinstance(ct, ad.Zero):
        return (None,) * 4
    product = functools.partial(_bind, dtype=np.dtype(ct.dtype), backend=backend)
    pattern = indices, indptr
    if ad.is_undefined_primal(r):
        return product(c, ct, *pattern, n_out=r.aval.shape[1], gather=True), None, None, None
    return None, product(r, ct, *pattern, n_out=c.aval.shape[1], gather=False), None, None


outer_p = register(
    "evops_stored_outer",
    shape=_outer_shape,
    value=outer_value,
    jvp=jvps.bilinear(lambda *operands, **statics: outer_p.bind(*operands, **statics)),
    transpose=_outer_transpose,
    batch=lambda *operands, **statics: each(outer_p, *operands, **statics),
    native=lambda: ("evops_stored_outer", {}),
)
