"""The dense matrix of a stored one, in hardly more memory than it takes."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from evops import inputs
from evops.engine import ops
from evops.engine.compat import typed_like

# Synapses that are added up at once, whatever their number.
PIECE = 1 << 16
# Entries of the matrix that are added up at once, where they are cast afterwards.
_ENTRIES = 1 << 22


def row_of(indptr: np.ndarray, begin: int, end: int) -> np.ndarray:
    """Rows of synapses ``begin … end - 1``, int32."""
    first = max(int(np.searchsorted(indptr, begin, "right")) - 1, 0)
    last = int(np.searchsorted(indptr, end, "left"))
    counts = np.diff(np.clip(indptr[first : last + 1], begin, end))
    return np.repeat(np.arange(first, last, dtype=np.int32), counts)


def _pieces(
    indptr: np.ndarray, indices: np.ndarray, begin: int, end: int, data: Any = None
) -> Iterator[tuple[Any, Any, Any]]:
    """Rows, columns and weights of synapses ``begin … end - 1``, `PIECE` at a time.

    The last ones are filled up with entries far outside. A single weight, which is a jax array,
    comes as it is.
    """

    def filled(values, filler):
        piece = np.full(PIECE, filler, values.dtype)
        piece[: len(values)] = values
        return inputs.device_array(piece)

    outside = np.iinfo(np.int32).max
    for at in range(begin, end, PIECE):
        some = slice(at, min(at + PIECE, end))
        row = filled(row_of(indptr, at, some.stop), outside)
        weight = filled(data[some], 0) if isinstance(data, np.ndarray) else data
        yield row, filled(indices[some], outside), weight


@functools.partial(jax.jit, donate_argnums=0)
def _add(sums: jax.Array, index: tuple, values: Any) -> jax.Array:
    return sums.at[index].add(values.astype(sums.dtype), mode="drop")


@functools.partial(jax.jit, static_argnames="transposed", donate_argnums=0)
def _put(out: jax.Array, block: jax.Array, row: jax.Array, *, transposed: bool) -> jax.Array:
    start = (jnp.zeros_like(row), row) if transposed else (row, jnp.zeros_like(row))
    return lax.dynamic_update_slice(out, block.astype(out.dtype), start)


def of_known(csr: Any, transposed: bool) -> jax.Array:
    """`of_any` in pieces of one size, so that any number of synapses takes the same programs."""
    n_pre, n_post = csr.shape
    indices, indptr = np.asarray(csr.indices), np.asarray(csr.indptr)
    data = csr.data if csr.data.size == 1 else np.asarray(csr.data)
    wide = ops.accumulator(csr.dtype)

    def block(row, size):
        sums = jnp.zeros((n_post, size) if transposed else (size, n_post), wide)
        span = int(indptr[row]), int(indptr[row + size])
        for pre, post, weight in _pieces(indptr, indices, *span, data):
            sums = _add(sums, (post, pre - row) if transposed else (pre - row, post), weight)
        return sums

    if wide == csr.dtype:
        return block(0, n_pre)
    out = jnp.zeros((n_post, n_pre) if transposed else csr.shape, csr.dtype)
    size = min(n_pre, max(1, _ENTRIES // n_post))
    for first in range(0, n_pre, size):
        row = min(first, n_pre - size)  # the last two blocks may overlap
        out = _put(out, block(row, size), jnp.int32(row), transposed=transposed)
    return out


@functools.partial(jax.jit, static_argnames="transposed")
def of_any(csr: Any, *, transposed: bool) -> jax.Array:
    """The matrix of a `CSR`, where the number of synapses is that of a program."""
    n_pre, n_post = csr.shape
    nnz, wide = csr.nnz, ops.accumulator(csr.dtype)
    size = max(min(nnz, PIECE), 1)
    zero = typed_like(jnp.zeros((), wide), *jax.tree.leaves(csr))
    sums = jnp.broadcast_to(zero, (n_post, n_pre) if transposed else csr.shape)
    if nnz == 0:  # no piece has an entry that could be read
        return sums.astype(csr.dtype)

    def add(i, sums):
        first = i.astype(jnp.int32) * size
        start = jnp.minimum(first, nnz - size)
        at = start + jnp.arange(size, dtype=jnp.int32)
        row = jnp.searchsorted(csr.indptr, at, side="right").astype(jnp.int32) - 1
        row = jnp.where(at < first, n_pre, row)  # what the piece before has added
        post = lax.dynamic_slice(csr.indices, (start,), (size,))
        weight = csr.data
        if weight.shape == (nnz,):
            weight = lax.dynamic_slice(weight, (start,), (size,))
        index = (post, row) if transposed else (row, post)
        return sums.at[index].add(weight.astype(wide), mode="drop")

    return lax.fori_loop(0, -(-nnz // size), add, sums).astype(csr.dtype)
