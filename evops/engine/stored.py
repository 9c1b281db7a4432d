"""The primitive of stored matrices and its rules, each a rebind of the primitive itself.

``stored`` multiplies the rows of x by one matrix M of compressed rows: row i has the entries
``k = indptr[i] .. indptr[i + 1] - 1``, in columns ``indices[k]``, with weights ``data[k]``, or
``data[0]`` where there is one weight for all.

    scatter:  y = x @ M      x along the rows, y along the columns
    gather:   y = x @ M.T    x along the columns, y along the rows

It is bilinear in x and data, so jvp binds it with one tangent at a time. The transpose in x is the
product in the other direction, and a batch of x is more rows. Rows of M whose x is 0 contribute
nothing, whatever their weights, and cost nothing in the native scatter.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int32, Num, Shaped

from evops.engine import gpu
from evops.engine.compat import (
    Cotangent,
    Dims,
    Linear,
    Operand,
    ShapedArray,
    Tangent,
    ad,
    is_zero,
    typed_like,
    zero_tangent,
)
from evops.engine.primitive import register


def stored(
    x: Shaped[Operand, "x n_in"],
    data: Num[Operand, " w"],
    indices: Int32[Operand, " nnz"],
    indptr: Int32[Operand, " n_rows_1"],
    *,
    n_out: int,
    gather: bool,
    backend: str,
) -> Num[Array, "x n_out"]:
    """Bind `stored`; the result is (X, n_out) of data's dtype.

    Args:
        x: (X, n_in), bool or of data's dtype.
        data: (nnz,), or (1,) for one weight.
        indices: (nnz,) int32, the columns.
        indptr: (n_rows + 1,) int32.
        n_out: entries of a result.
        gather: False to scatter, True to gather.
        backend: "native" or "jnp".
    """
    # The gathering handler multiplies each entry of x, so it takes numbers only.
    if gather and x.dtype == bool:
        x = x.astype(data.dtype)
    return stored_p.bind(x, data, indices, indptr, n_out=n_out, gather=gather, backend=backend)


def row_of(indptr: Int32[Operand, " n_rows_1"], nnz: int) -> Int32[Array, " nnz"]:
    """The row of every entry, (nnz,) int32: -1 before the first row, n_rows after the last."""
    # One mark for each row that begins, empty rows too: marks add up to the number of the row. One
    # place more than entries, for rows that begin after the last.
    begun = jnp.zeros(nnz + 1, jnp.int32).at[indptr].add(1, mode="drop")
    return jnp.cumsum(begun, dtype=jnp.int32)[:nnz] - 1


def _valid(
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


def _value(
    x: Shaped[Array, "x n_in"],
    data: Num[Array, " w"],
    indices: Int32[Array, " nnz"],
    indptr: Int32[Array, " n_rows_1"],
    *,
    n_out: int,
    gather: bool,
) -> Num[Array, "x n_out"]:
    """The jnp path: every entry is read, one row of x after another.

    Entries out of range contribute nothing; a float result that they belong to is NaN.
    """
    # One pass over all entries: XLA has no loop over the rows that fired, whose number varies.
    row = row_of(indptr, indices.shape[0])
    zeros = jnp.zeros(n_out, data.dtype)
    valid, of_row, rows = _valid(indices, indptr, x.shape[1] if gather else n_out)
    none = jnp.zeros((), data.dtype)

    # Terms that are not valid are 0, although the addition drops those past the end: jnp wraps
    # negative indices around.
    def scatter(x):
        fired = x if x.dtype == bool else x != 0
        hit = fired[row]
        # `where`, not a product with a mask: 0 times an infinite weight would be NaN.
        term = jnp.where(hit & valid, x[row].astype(data.dtype) * data, none)
        y = zeros.at[indices].add(term, mode="drop")
        return _poisoned(y, (hit & of_row & ~valid).any() | (~rows & fired.any()))

    def gather_(x):
        at = x[indices]
        fired = at if at.dtype == bool else at != 0
        term = jnp.where(fired & valid, at.astype(data.dtype) * data, none)
        y = zeros.at[row].add(term, mode="drop", indices_are_sorted=True)
        return _poisoned(y, (of_row & ~valid).any() | ~rows)

    # A map over the rows of x: side by side they would take rows times entries of memory.
    return lax.map(gather_ if gather else scatter, x)


def _shape(
    x: Shaped[ShapedArray, "x n_in"],
    data: Num[ShapedArray, " w"],
    indices: Int32[ShapedArray, " nnz"],
    indptr: Int32[ShapedArray, " n_rows_1"],
    *,
    n_out: int,
    gather: bool,
    **_: Any,
) -> ShapedArray:
    assert x.ndim == 2 and indices.ndim == indptr.ndim == 1
    assert data.shape in ((1,), indices.shape) and x.dtype in (bool, data.dtype)
    assert (n_out if gather else x.shape[1]) == indptr.shape[0] - 1
    return ShapedArray((x.shape[0], n_out), data.dtype)


def _jvp(
    primals: Sequence[Operand], tangents: Sequence[Tangent], **statics: Any
) -> tuple[Array, Tangent]:
    x, data, *pattern = primals
    dx, ddata, *_ = tangents
    bind = functools.partial(stored_p.bind, **statics)
    terms = [
        bind(*operands, *pattern)
        for tangent, operands in ((dx, (dx, data)), (ddata, (x, ddata)))
        if not is_zero(tangent)
    ]
    out = bind(*primals)
    return out, functools.reduce(operator.add, terms) if terms else zero_tangent(out)


def _transpose(
    ct: Cotangent,
    x: Linear,
    data: Linear,
    indices: Operand,
    indptr: Operand,
    *,
    n_out: int,
    gather: bool,
    backend: str,
) -> tuple[Array | None, ...]:
    if isinstance(ct, ad.Zero):
        return (None,) * 4
    bind = functools.partial(stored_p.bind, backend=backend)
    if ad.is_undefined_primal(x):
        n_x = x.aval.shape[1]
        return bind(ct, data, indices, indptr, n_out=n_x, gather=not gather), None, None, None
    # One weight for all: its derivative is the sum of all that it is multiplied with, which is the
    # product with weight 1. Entry by entry, as below, it would take an array of all entries.
    if data.aval.shape == (1,):
        unit = jnp.ones(1, ct.dtype)
        hits = bind(x, unit, indices, indptr, n_out=n_out, gather=gather)
        return None, (ct * hits).sum()[None], None, None
    x = x.astype(ct.dtype)
    along_rows, along_columns = (ct, x) if gather else (x, ct)
    row = row_of(indptr, indices.shape[0])

    # The derivative in the weight of an entry is x at its row times ct at its column (to gather:
    # the other way round), added up over the rows of x. A scan: side by side these would take rows
    # times entries of memory. Plain jnp on every backend, as no kernel does this.
    def add(total, pair):
        return total + pair[0][row] * pair[1][indices], None

    zeros = typed_like(jnp.zeros(data.aval.shape, ct.dtype), ct)
    total = lax.scan(add, zeros, (along_rows, along_columns))[0]
    valid = _valid(indices, indptr, along_columns.shape[1])[0]
    return None, _poisoned(total, ~valid), None, None


def _batch(
    operands: Sequence[Operand], dims: Dims, **statics: Any
) -> tuple[Num[Array, "batch x n_out"], int]:
    moved = {i: jnp.moveaxis(operands[i], d, 0) for i, d in enumerate(dims) if d is not None}
    # Batches of x alone are more rows of one call. Other matrices each need a call.
    if moved.keys() == {0}:
        size, rows, n_x = moved[0].shape
        out = stored_p.bind(moved[0].reshape(size * rows, n_x), *operands[1:], **statics)
        return out.reshape(size, rows, out.shape[-1]), 0

    def one(batch: dict[int, Array]) -> Array:
        every = (batch.get(i, o) for i, o in enumerate(operands))
        return stored_p.bind(*every, **statics)

    return lax.map(one, moved), 0


def _native(*, n_out: int, gather: bool) -> tuple[str, dict[str, Any]]:
    del n_out  # the handler sees it in the shape of the result
    return ("evops_stored_gather" if gather else "evops_stored_scatter"), {}


stored_p = register(
    "evops_stored",
    shape=_shape,
    value=_value,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    native=_native,
    gpu=gpu.stored,
)
