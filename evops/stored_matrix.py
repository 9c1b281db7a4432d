"""What a stored matrix of synapses holds and does; csr.py has where it comes from and goes to."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, SupportsFloat, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Num, Shaped

from evops import column_index, csr_dense, inputs, placed_matrices, synapse_lists
from evops.delays import DelayBuffer, DelayedSynapses
from evops.edges import Edges
from evops.engine import library, ops, stored
from evops.engine.compat import Tracer
from evops.engine.stored_columns import columns
from evops.errors import check_shape
from evops.inputs import Entries, Nested
from evops.leaves import dtype_of, shape_of
from evops.matrix import Matrix
from evops.spiked import SpikedUpdates
from evops.structures import Structures, spans, structure

# No leaf changes it; a program takes it as an argument.
_SEAL = np.zeros((), bool)


class StoredMatrix(Matrix, DelayedSynapses, SpikedUpdates, Structures):
    """The arrays of a `CSR`, its products, degrees and pushes."""

    _kind = "matrix"
    _weight_leaf = "data"
    _leaves = ("data", "indices", "indptr", "delay", "scale", "order")
    _children = (*_leaves, "_seal")
    _constants = ("_shape", "_longest", "_backend")
    _words: ClassVar[dict[str, np.dtype]] = {
        "seal": np.dtype(bool),
        "indices": np.dtype(np.int32),
        "indptr": np.dtype(np.int32),
        "delay": np.dtype(np.int32),
        "order": np.dtype(np.int32),
    }
    data: Num[Array, "..."]
    indices: Int32[Array, "nnz"]
    indptr: Int32[Array, "n_pre+1"]
    delay: Int32[Array, "..."] | None
    scale: Num[Array, "1"] | None
    order: Int32[Array, "nnz"] | None  # number of each synapse in the list that it comes from
    _seal: Any  # arithmetic over all leaves changes its type, and that of no index
    _shape: tuple[int, int]
    _longest: int | None  # delay in steps; None where it is traced
    _backend: str | None
    _index: Any  # of the columns, after its pattern

    def __init__(
        self,
        data: Shaped[Any, "..."] | SupportsFloat | Nested,
        indices: Shaped[Any, "nnz"] | Nested,
        indptr: Shaped[Any, "_"] | Nested,
        *,
        shape: Iterable[SupportsIndex],
        delay: Shaped[Any, "..."] | SupportsIndex | Nested | None = None,
        scale: SupportsFloat | None = None,
        backend: str | None = None,
    ):
        self._shape = check_shape("shape", shape)
        self.indices, self.indptr = synapse_lists.pattern(indices, indptr, *self._shape)
        self.data = synapse_lists.weights("data", data, self.nnz)
        self.delay, self._longest = synapse_lists.delays(delay, self.nnz)
        self.scale = synapse_lists.scale(scale, self.data.dtype)
        self.order, self._seal = None, _SEAL
        library.choose(backend)  # raises where there is none of that name
        self._backend = backend

    def __repr__(self) -> str:
        delays = f", delays of up to {self._longest} steps" if self._longest else ""
        return (
            f"CSR(shape={self.shape}, nnz={self.nnz}, dtype={self.dtype}, {self.nbytes} bytes"
            f"{delays}, backend={self._backend!r})"
        )

    def _axes(self) -> Iterator[tuple[str, Any, int]]:
        yield "data", self.data, 1
        yield "indices", self.indices, 1
        yield "indptr", self.indptr, 1
        if self.delay is not None:
            yield "delay", self.delay, 1
        if self.scale is not None:
            yield "scale", self.scale, 1
        if self.order is not None:
            yield "order", self.order, 1
        yield "seal", self._seal, 0

    @property
    def shape(self) -> tuple[int, int]:
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        return dtype_of(self.data if self.scale is None else self.scale) or np.dtype(np.float32)

    @property
    def nnz(self) -> int:
        """Number of stored synapses, those of weight 0 among them."""
        return shape_of(self.indices, 1)[0]

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, in bytes."""
        leaves = (getattr(self, name) for name in self._leaves)
        arrays: Any = (leaf for leaf in leaves if dtype_of(leaf) is not None)
        return sum(math.prod(a.shape) * a.dtype.itemsize for a in arrays)

    def edges(self, pre: Shaped[Any, "k"] | Nested | None = None) -> Edges:
        """The synapses in the order in which they are stored, or those of some neurons.

        Args:
            pre: `(k,)` pre neurons whose synapses are listed, in this order; None for all.

        Raises:
            TypeError: some neurons of synapses that are traced.
        """
        if pre is None:
            return Edges(*self._columns())
        some = synapse_lists.neurons("pre", pre, self.shape[0])
        of = self._rows(some)
        own = some[np.asarray(of.pre)].astype(np.int32)
        return of._replace(pre=inputs.device_array(own))

    def _rows(self, some: np.ndarray) -> Edges:
        """The synapses of some rows; `pre` is a number among these."""
        if not self._known():
            raise TypeError("edges of some neurons need known synapses: call it outside jax.jit")
        indptr, at = synapse_lists.of_rows(np.asarray(self.indptr), some)
        data, indices, delay = (
            leaf if leaf is None or leaf.shape != (self.nnz,) else np.asarray(leaf)[at]
            for leaf in (self.data, self.indices, self.delay)
        )
        data, indices, indptr, delay = map(inputs.device_array, (data, indices, indptr, delay))
        rows = {"data": data, "indices": indices, "indptr": indptr, "delay": delay, "order": None}
        return self._like(**rows, _shape=(some.size, self.shape[1])).edges()

    def _columns(self) -> Iterator[Any]:
        """What `Edges` has."""
        yield self._row_of()
        yield self.indices
        yield self._weight_of_each()
        yield None if self.delay is None else self._of_each(self.delay)

    def in_degree(self) -> Int32[Array, "n_post"]:
        """Number of synapses onto each post neuron."""
        n_post = self.shape[1]
        if not _on_host(self.indices):
            return jnp.zeros(n_post, jnp.int32).at[self.indices].add(jnp.int32(1))
        # On the host: a program that closes over the matrix would count at every call.
        indices, counts = np.asarray(self.indices), np.zeros(n_post, np.int32)
        for at in range(0, self.nnz, csr_dense.PIECE):
            piece = indices[at : at + csr_dense.PIECE]
            counts += np.bincount(piece[(piece >= 0) & (piece < n_post)], minlength=n_post)
        return inputs.device_array(counts)

    def out_degree(self) -> Int32[Array, "n_pre"]:
        """Number of synapses of each pre neuron."""
        return jnp.diff(self.indptr)

    def _dense(self, transposed: bool) -> jax.Array:
        dense = csr_dense.of_known if self._known() else csr_dense.of_any
        if self.scale is None:
            return dense(self, transposed=transposed)
        counts = self._of(self.data.astype(ops.accumulator(self.dtype)), None)
        return (dense(counts, transposed=transposed) * self.scale[0]).astype(self.dtype)

    @structure
    def pre_ids(self) -> Int32[Array, "nnz"]:
        """Pre neuron of each synapse."""
        return self._row_of()

    @structure
    def post_ids(self) -> Int32[Array, "nnz"]:
        """Post neuron of each synapse: `indices`."""
        return self.indices

    @structure
    def pre_slice(self) -> Int32[Array, "n_pre 2"]:
        """First synapse of each pre neuron, and the one after its last."""
        return spans(self.indptr)

    @structure
    def post_slice(self) -> Int32[Array, "n_post 2"]:
        """The same of post neurons, in the order of columns, which is that of `csc`."""
        return spans(self._column_index().indptr)

    def _numbers(self) -> tuple[Any, Any]:
        return np.arange(self.nnz, dtype=np.int32), self._column_index().synapses

    def _column_index(self) -> column_index.ColumnIndex:
        """The index of the columns, made once for each pattern."""
        pattern = self._pattern()
        if not all(map(_on_host, pattern)):
            raise TypeError(
                "columns need known synapses: make csc outside jax.jit, and hand it to the program"
            )
        known, index = vars(self).get("_index", ((None, None), None))
        if any(a is not b for a, b in zip(known, pattern, strict=True)):
            indices, indptr = map(np.asarray, pattern)
            of_rows = column_index.of_rows(indices, indptr, self.shape[1])
            with jax.ensure_compile_time_eval():  # it outlives the program that asks for it
                index = column_index.ColumnIndex(*map(inputs.device_array, of_rows))
            object.__setattr__(self, "_index", (pattern, index))
        return index

    def _pattern(self) -> tuple[jax.Array, jax.Array]:
        return self.indices, self.indptr

    def _known(self) -> bool:
        """Whether the arrays can be read on the host, which needs no program for their length."""
        # Zeros are traced inside jax.jit.
        return all(map(_on_host, (*self.tree_flatten()[0], jnp.zeros(()))))

    def _row_of(self) -> jax.Array:
        if self._known():
            return inputs.device_array(csr_dense.row_of(np.asarray(self.indptr), 0, self.nnz))
        return stored.row_of(self.indptr, self.nnz)

    def _times(self, factor: Any) -> Any:
        if self.scale is not None:
            return self._like(scale=inputs.times(self.scale, factor))
        return self._like(data=inputs.times(self.data, factor))

    def _of(self, data: jax.Array, scale: jax.Array | None) -> Any:
        """The matrix of these weights."""
        return self._like(data=data, scale=scale)

    def _weight_of_each(self) -> jax.Array:
        weight = self._of_each(self.data)
        return weight if self.scale is None else weight.astype(self.dtype) * self.scale[0]

    def _of_each(self, leaf: jax.Array) -> jax.Array:
        """A leaf that may be one number for all synapses, as one for each."""
        if leaf.shape == (self.nnz,):
            return leaf
        if self._known():
            return inputs.device_array(np.repeat(np.asarray(leaf), self.nnz))
        return jnp.broadcast_to(leaf, (self.nnz,))

    @property
    def max_delay(self) -> int:
        """Longest delay, in steps; 0 without delays.

        Raises:
            TypeError: delays that were traced when the matrix was made.
        """
        if self.delay is not None and self._longest is None:
            raise TypeError(
                "max_delay is unknown: the delays were traced when the matrix was made. Make the "
                "buffer with evops.DelayBuffer.zeros"
            )
        return self._longest or 0

    def _pushed(self, x: Entries, buffer: DelayBuffer, post_offset: int) -> DelayBuffer:
        placed = [placed_matrices.PlacedMatrix(self, 0, post_offset)]
        return placed_matrices.push(placed, x, buffer, library.choose(self._backend))

    def _product(self, x: Entries, dtype: np.dtype, transposed: bool) -> jax.Array:
        y = stored.stored(
            x,
            self.data,
            self.indices,
            self.indptr,
            dtype=dtype,
            n_out=self.shape[0 if transposed else 1],
            gather=transposed,
            backend=library.choose(self._backend),
        )
        return self._scaled(y)

    def _scaled(self, y: jax.Array) -> jax.Array:
        return y if self.scale is None else y * self.scale[0].astype(y.dtype)

    def _product_of_columns(self, v: jax.Array, dtype: np.dtype, transposed: bool) -> jax.Array:
        if not transposed:
            return super()._product_of_columns(v, dtype, transposed)
        backend = library.choose(self._backend)
        pattern = self.indices, self.indptr
        y = columns(v.astype(dtype), self.data, *pattern, dtype=dtype, backend=backend)
        return self._scaled(y)


def _on_host(leaf: Any) -> bool:
    """Whether the values of an array can be read here."""
    return not isinstance(leaf, Tracer) and getattr(leaf, "is_fully_addressable", True)
