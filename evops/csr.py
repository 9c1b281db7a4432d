"""Stored matrices of synapses in compressed rows, driven by events."""

import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, SupportsFloat, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import sparse
from jaxtyping import Array, Int32, Num, Shaped

from evops import inputs
from evops.edges import Edges
from evops.engine import library, ops, stored
from evops.engine.compat import Tracer, typed_like
from evops.engine.stored_columns import columns
from evops.errors import check_integer, check_shape
from evops.inputs import Nested
from evops.leaves import dtype_of, shape_of
from evops.matrix import Matrix


@jax.tree_util.register_pytree_node_class
class CSR(Matrix):
    """A stored matrix of synapses: ``spikes @ W`` reads the rows of the neurons that fire.

    Pre neuron i has the synapses ``k = indptr[i] … indptr[i + 1] - 1``, onto post neurons
    ``indices[k]`` with weights ``data[k]``; targets need not be sorted and may repeat. A pre neuron
    whose x is 0 costs nothing (native) and contributes nothing, whatever its weights. `data`,
    `indices` and `indptr` are leaves of a pytree; `shape` and `backend` are static. Gradients are
    with respect to `data` and float x. Dtypes of results: see `Matrix`.

    Args:
        data: weights, `(nnz,)`, or a scalar or `(1,)` for one weight of all synapses. Any unit.
            Float, or integers of up to 32 bits.
        indices: post neurons, `(nnz,)` integers in [0, n_post).
        indptr: where the synapses of each pre neuron begin, `(n_pre + 1,)` integers.
        shape: `(n_pre, n_post)`.
        backend: "native", "jnp" or None for the fastest there is.

    Raises:
        ValueError: lengths that do not fit, indices or indptr outside their range. Traced ones are
            checked where they are read. Native kernels raise an error of XLA. Plain JAX cannot
            raise: entries out of range add nothing, and the float results they belong to are NaN.
        TypeError: complex or non-numeric arrays, a traced shape.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> W = evops.CSR([0.5, 0.1, 0.2], [0, 3, 1], [0, 2, 3], shape=(2, 4))
        >>> jnp.array([True, False]) @ W
        Array([0.5, 0. , 0. , 0.1], dtype=float32)
    """

    _leaves = ("data", "indices", "indptr")
    _words: ClassVar[dict[str, np.dtype]] = {
        "indices": np.dtype(np.int32),
        "indptr": np.dtype(np.int32),
    }
    data: Num[Array, "..."]
    indices: Int32[Array, "nnz"]
    indptr: Int32[Array, "n_pre+1"]
    _shape: tuple[int, int]
    _backend: str | None

    def __init__(
        self,
        data: Shaped[Any, "..."] | SupportsFloat | Nested,
        indices: Shaped[Any, "nnz"] | Nested,
        indptr: Shaped[Any, "_"] | Nested,
        *,
        shape: Iterable[SupportsIndex],
        backend: str | None = None,
    ):
        self._shape = check_shape("shape", shape)
        self.indices, self.indptr = _pattern(indices, indptr, *self._shape)
        self.data = _weights(data, self.nnz)
        library.choose(backend)  # raises where there is none of that name
        self._backend = backend

    def tree_flatten(self) -> tuple[Any, Any]:
        """Weights and connections are leaves; new values of them do not recompile."""
        return (self.data, self.indices, self.indptr), (self._shape, self._backend)

    @classmethod
    def tree_unflatten(cls, static: Any, leaves: Any) -> "CSR":
        self = object.__new__(cls)
        self.data, self.indices, self.indptr = leaves
        self._shape, self._backend = static
        return self

    @classmethod
    def from_scipy(cls, matrix: Any, *, backend: str | None = None) -> "CSR":
        """The synapses of a scipy sparse matrix or array of any format; rows are pre neurons."""
        if not hasattr(matrix, "tocsr"):
            raise TypeError(f"matrix must be a scipy sparse matrix, got {type(matrix).__name__}")
        shape = check_shape("shape of matrix", matrix.shape)
        csr = matrix.tocsr()
        return cls(csr.data, csr.indices, csr.indptr, shape=shape, backend=backend)

    def __repr__(self) -> str:
        return (
            f"CSR(shape={self.shape}, nnz={self.nnz}, dtype={self.dtype}, {self.nbytes} bytes, "
            f"backend={self._backend!r})"
        )

    def _axes(self) -> Iterator[tuple[str, Any, int]]:
        yield "data", self.data, 1
        yield "indices", self.indices, 1
        yield "indptr", self.indptr, 1

    @property
    def shape(self) -> tuple[int, int]:
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        return dtype_of(self.data) or np.dtype(np.float32)

    @property
    def nnz(self) -> int:
        """Number of stored synapses, those of weight 0 among them."""
        return shape_of(self.indices, 1)[0]

    @property
    def nbytes(self) -> int:
        """Memory of `data`, `indices` and `indptr`, in bytes."""
        arrays = (a for a in (self.data, self.indices, self.indptr) if dtype_of(a) is not None)
        return sum(math.prod(a.shape) * a.dtype.itemsize for a in arrays)

    def edges(self) -> Edges:
        """The synapses in the order in which they are stored."""
        return Edges(self._row_of(), self.indices, self._weight_of_each())

    def in_degree(self) -> Int32[Array, "n_post"]:
        """Number of synapses onto each post neuron."""
        n_post = self.shape[1]
        if not _on_host(self.indices):
            return jnp.zeros(n_post, jnp.int32).at[self.indices].add(jnp.int32(1))
        # On the host: a program that closes over the matrix would count at every call.
        indices, counts = np.asarray(self.indices), np.zeros(n_post, np.int32)
        for at in range(0, self.nnz, _PIECE):
            piece = indices[at : at + _PIECE]
            counts += np.bincount(piece[(piece >= 0) & (piece < n_post)], minlength=n_post)
        return inputs.device_array(counts)

    def out_degree(self) -> Int32[Array, "n_pre"]:
        """Number of synapses of each pre neuron."""
        return jnp.diff(self.indptr)

    def _dense(self, transposed: bool) -> jax.Array:
        return (_dense_of_known if self._known() else _dense)(self, transposed=transposed)

    def to_scipy(self) -> Any:
        """The same synapses as a ``scipy.sparse.csr_array``; weights of half floats in float32."""
        import scipy.sparse

        weight = self._weight_of_each()
        if jnp.issubdtype(weight.dtype, jnp.floating):
            weight = weight.astype(ops.accumulator(weight.dtype))
        arrays = tuple(np.array(a) for a in (weight, self.indices, self.indptr))
        return scipy.sparse.csr_array(arrays, shape=self.shape)

    def to_bcsr(self) -> sparse.BCSR:
        """The same synapses as a ``jax.experimental.sparse.BCSR``, with the same arrays."""
        return sparse.BCSR((self._weight_of_each(), self.indices, self.indptr), shape=self.shape)

    def _known(self) -> bool:
        """Whether the arrays can be read on the host, which needs no program for their length."""
        leaves = self.data, self.indices, self.indptr, jnp.zeros(())  # traced inside jax.jit
        return all(map(_on_host, leaves))

    def _row_of(self) -> jax.Array:
        if self._known():
            return inputs.device_array(_row_of(np.asarray(self.indptr), 0, self.nnz))
        return stored.row_of(self.indptr, self.nnz)

    def _weight_of_each(self) -> jax.Array:
        if self.data.shape == (self.nnz,):
            return self.data
        if self._known():
            return inputs.device_array(np.repeat(np.asarray(self.data), self.nnz))
        return jnp.broadcast_to(self.data, (self.nnz,))

    def _product(self, x: jax.Array, dtype: np.dtype, transposed: bool) -> jax.Array:
        return stored.stored(
            x,
            self.data,
            self.indices,
            self.indptr,
            dtype=dtype,
            n_out=self.shape[0 if transposed else 1],
            gather=transposed,
            backend=library.choose(self._backend),
        )

    def _product_of_columns(self, v: jax.Array, dtype: np.dtype, transposed: bool) -> jax.Array:
        if not transposed:
            return super()._product_of_columns(v, dtype, transposed)
        backend = library.choose(self._backend)
        pattern = self.indices, self.indptr
        return columns(v.astype(dtype), self.data, *pattern, dtype=dtype, backend=backend)


def _on_host(leaf: Any) -> bool:
    """Whether the values of an array can be read here."""
    return not isinstance(leaf, Tracer) and getattr(leaf, "is_fully_addressable", True)


def _weights(data: Any, nnz: int) -> jax.Array:
    weights = inputs.numbers("data", data, copy=True)
    if jnp.issubdtype(weights.dtype, jnp.integer) and weights.dtype.itemsize > 4:
        raise TypeError(f"data must be floats or integers of up to 32 bits, got {weights.dtype}")
    if weights.ndim > 1 or weights.size not in (1, nnz):
        raise ValueError(
            f"data must be one weight or have shape (nnz = {nnz},), got {weights.shape}"
        )
    return weights.reshape(-1).astype(weights.dtype)


def _pattern(indices: Any, indptr: Any, rows: int, columns: int) -> tuple[jax.Array, jax.Array]:
    """`indices` and `indptr` as int32, their values checked where they are known.

    Those that are traced and out of range stay so: wider integers are not cut to 32 bits.
    """
    indices, indptr = _integers("indices", indices), _integers("indptr", indptr)
    nnz = check_integer("number of synapses", indices.shape[0], 0)
    if indptr.shape != (rows + 1,):
        raise ValueError(f"indptr must have n_pre + 1 = {rows + 1} entries, got {indptr.size}")
    if not isinstance(indptr, Tracer):
        known = np.asarray(indptr)
        if known[0] != 0:
            raise ValueError(f"indptr must start at 0, got {known[0]}")
        falls = known[1:] < known[:-1]
        if falls.any():
            row = int(falls.argmax())
            raise ValueError(
                f"indptr must not decrease, got {known[row]} to {known[row + 1]} for pre {row}"
            )
        if known[-1] != nnz:
            raise ValueError(f"indptr must end at the number of indices, {nnz}, got {known[-1]}")
    if nnz and not isinstance(indices, Tracer):
        known = np.asarray(indices)
        for extreme in (known.min(), known.max()):
            if not 0 <= extreme < columns:
                raise ValueError(f"indices must be in [0, n_post = {columns}), got {extreme}")
    return _int32(indices, columns), _int32(indptr, nnz + 1)


def _int32(value: jax.Array | np.ndarray, beyond: int) -> jax.Array:
    if isinstance(value, np.ndarray):
        return inputs.device_array(value.astype(np.int32))
    if isinstance(value, Tracer) and value.dtype != jnp.int32:
        most = min(jnp.iinfo(value.dtype).max, 2**31 - 1)
        fits = (value >= 0) & (value <= jnp.asarray(most, value.dtype))
        return jnp.where(fits, value.astype(jnp.int32), jnp.int32(beyond))
    return jnp.asarray(value, jnp.int32)


def _integers(name: str, value: Any) -> jax.Array | np.ndarray:
    """`value` as an integer vector: a jax array, or a copy on the host, as jax shares memory."""
    try:
        shape = np.shape(value)
    except ValueError:  # lists of different lengths, which are named below
        shape = (0,)
    if len(shape) != 1:
        raise ValueError(f"{name} must have 1 axis, got shape {shape}")
    array = value if isinstance(value, jax.Array) else np.array(inputs.host(name, value))
    if array.size == 0 and not isinstance(value, jax.Array):
        array = array.astype(np.int32)  # an empty list has no dtype of its own
    if array.dtype != np.dtype(object) and not inputs.is_whole(array.dtype):
        raise TypeError(f"{name} must be an array of integers, got dtype {array.dtype}")
    return array


# Synapses that are added up at once, whatever their number.
_PIECE = 1 << 16
# Entries of the matrix that are added up at once, where they are cast afterwards.
_ENTRIES = 1 << 22


def _row_of(indptr: np.ndarray, begin: int, end: int) -> np.ndarray:
    """Rows of synapses ``begin … end - 1``, int32."""
    first = max(int(np.searchsorted(indptr, begin, "right")) - 1, 0)
    last = int(np.searchsorted(indptr, end, "left"))
    counts = np.diff(np.clip(indptr[first : last + 1], begin, end))
    return np.repeat(np.arange(first, last, dtype=np.int32), counts)


def _pieces(
    indptr: np.ndarray, indices: np.ndarray, begin: int, end: int, data: Any = None
) -> Iterator[tuple[Any, Any, Any]]:
    """Rows, columns and weights of synapses ``begin … end - 1``, `_PIECE` at a time.

    The last ones are filled up with entries far outside. A single weight, which is a jax array,
    comes as it is.
    """

    def filled(values, filler):
        piece = np.full(_PIECE, filler, values.dtype)
        piece[: len(values)] = values
        return inputs.device_array(piece)

    outside = np.iinfo(np.int32).max
    for at in range(begin, end, _PIECE):
        some = slice(at, min(at + _PIECE, end))
        row = filled(_row_of(indptr, at, some.stop), outside)
        weight = filled(data[some], 0) if isinstance(data, np.ndarray) else data
        yield row, filled(indices[some], outside), weight


@functools.partial(jax.jit, donate_argnums=0)
def _add(sums: jax.Array, index: tuple, values: Any) -> jax.Array:
    return sums.at[index].add(values.astype(sums.dtype), mode="drop")


@functools.partial(jax.jit, static_argnames="transposed", donate_argnums=0)
def _put(out: jax.Array, block: jax.Array, row: jax.Array, *, transposed: bool) -> jax.Array:
    start = (jnp.zeros_like(row), row) if transposed else (row, jnp.zeros_like(row))
    return lax.dynamic_update_slice(out, block.astype(out.dtype), start)


def _dense_of_known(csr: CSR, transposed: bool) -> jax.Array:
    """`_dense` in pieces of one size, so that any number of synapses takes the same programs."""
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
def _dense(csr: CSR, *, transposed: bool) -> jax.Array:
    """The same where the number of synapses is that of a program."""
    n_pre, n_post = csr.shape
    nnz, wide = csr.nnz, ops.accumulator(csr.dtype)
    size = max(min(nnz, _PIECE), 1)
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
