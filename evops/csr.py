"""Stored matrices of synapses in compressed rows, driven by events."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, SupportsFloat, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse
from jaxtyping import Array, Int32, Num, Shaped

from evops import csr_dense, inputs, placed_matrices, synapse_lists
from evops.delays import DelayBuffer, check_push
from evops.edges import Edges
from evops.engine import library, ops, stored
from evops.engine.compat import Tracer
from evops.engine.stored_columns import columns
from evops.errors import check_shape
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
        delay: steps from a spike to its arrival, 1 or more: an integer for all synapses, `(nnz,)`
            integers, or None.
        backend: "native", "jnp" or None for the fastest there is.

    Raises:
        ValueError: lengths that do not fit, indices, indptr or delays outside their range. Traced
            ones are checked where they are read. Native kernels raise an error of XLA. Plain JAX
            cannot raise: entries out of range add nothing, and float results they belong to are
            NaN; of a buffer that is the current slot.
        TypeError: complex or non-numeric arrays, a traced shape.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> W = evops.CSR([0.5, 0.1, 0.2], [0, 3, 1], [0, 2, 3], shape=(2, 4))
        >>> jnp.array([True, False]) @ W
        Array([0.5, 0. , 0. , 0.1], dtype=float32)
    """

    _leaves = ("data", "indices", "indptr", "delay")
    _words: ClassVar[dict[str, np.dtype]] = {
        "indices": np.dtype(np.int32),
        "indptr": np.dtype(np.int32),
        "delay": np.dtype(np.int32),
    }
    data: Num[Array, "..."]
    indices: Int32[Array, "nnz"]
    indptr: Int32[Array, "n_pre+1"]
    delay: Int32[Array, "..."] | None
    _shape: tuple[int, int]
    _longest: int | None  # delay in steps; None where it is traced
    _backend: str | None

    def __init__(
        self,
        data: Shaped[Any, "..."] | SupportsFloat | Nested,
        indices: Shaped[Any, "nnz"] | Nested,
        indptr: Shaped[Any, "_"] | Nested,
        *,
        shape: Iterable[SupportsIndex],
        delay: Shaped[Any, "..."] | SupportsIndex | Nested | None = None,
        backend: str | None = None,
    ):
        self._shape = check_shape("shape", shape)
        self.indices, self.indptr = synapse_lists.pattern(indices, indptr, *self._shape)
        self.data = synapse_lists.weights("data", data, self.nnz)
        self.delay, self._longest = synapse_lists.delays(delay, self.nnz)
        library.choose(backend)  # raises where there is none of that name
        self._backend = backend

    def tree_flatten(self) -> tuple[Any, Any]:
        """Weights and connections are leaves; new values of them do not recompile."""
        leaves = self.data, self.indices, self.indptr, self.delay
        return leaves, (self._shape, self._longest, self._backend)

    @classmethod
    def tree_unflatten(cls, static: Any, leaves: Any) -> "CSR":
        self = object.__new__(cls)
        self.data, self.indices, self.indptr, self.delay = leaves
        self._shape, self._longest, self._backend = static
        return self

    @classmethod
    def from_edges(
        cls,
        pre: Shaped[Any, "nnz"] | Nested,
        post: Shaped[Any, "nnz"] | Nested,
        weight: Shaped[Any, "..."] | SupportsFloat | Nested,
        *,
        shape: Iterable[SupportsIndex],
        delay: Shaped[Any, "..."] | SupportsIndex | Nested | None = None,
        backend: str | None = None,
    ) -> "CSR":
        """The matrix of a list of synapses, in any order; pairs that repeat stay apart.

        Synapses of a pre neuron keep the order of the list (not inside ``jax.jit``, where only
        weights and delays may be traced).

        Args:
            pre: pre neuron of each synapse, `(nnz,)` integers in [0, n_pre).
            post: post neuron of each, `(nnz,)` integers in [0, n_post).
            weight: of each, `(nnz,)`, or one for all. Not NaN.
            shape: `(n_pre, n_post)`.
            delay: steps of each, `(nnz,)`, or one for all, or None.
            backend: as of `CSR`.

        Raises:
            ValueError: lengths that differ, neurons, weights or delays outside their range.
            TypeError: neurons that are no integers or traced; as of `CSR`.

        Example:
            >>> import evops
            >>> W = evops.CSR.from_edges([2, 0, 2], [1, 3, 1], 0.5, shape=(3, 4), delay=[1, 2, 3])
            >>> [int(i) for i in W.edges().pre], [int(d) for d in W.edges().delay]
            ([0, 2, 2], [2, 1, 3])
        """
        shape = check_shape("shape", shape)
        pattern, weight, delay = synapse_lists.by_row(pre, post, weight, delay, shape)
        return cls(weight, *pattern, shape=shape, delay=delay, backend=backend)

    @classmethod
    def from_scipy(
        cls,
        matrix: Any,
        *,
        delay: Shaped[Any, "..."] | SupportsIndex | Nested | None = None,
        backend: str | None = None,
    ) -> "CSR":
        """The synapses of a scipy sparse matrix or array of any format; rows are pre neurons.

        Entries that repeat in a COO, CSR or CSC matrix stay apart. scipy adds them up before evops
        sees them in ``coo.tocsr()``, ``tocsc()``, ``todok()``, ``tolil()``, in
        ``sum_duplicates()``, and in arithmetic: hand over the COO matrix itself.

        Args:
            matrix: of weights.
            delay: steps of each entry, in the order of ``matrix.data``, or one for all, or None.
                For each entry only of COO and CSR matrices, whose order is plain.
            backend: as of `CSR`.
        """
        if not hasattr(matrix, "tocsr"):
            raise TypeError(f"matrix must be a scipy sparse matrix, got {type(matrix).__name__}")
        shape = check_shape("shape of matrix", matrix.shape)
        if matrix.format == "coo":
            edges = matrix.row, matrix.col, matrix.data
            return cls.from_edges(*edges, shape=shape, delay=delay, backend=backend)
        if matrix.format != "csr" and delay is not None and not isinstance(delay, SupportsIndex):
            raise ValueError(
                f"delay of each entry needs a COO or CSR matrix, got format {matrix.format!r}"
            )
        csr = matrix.tocsr()
        arrays = csr.data, csr.indices, csr.indptr
        return cls(*arrays, shape=shape, delay=delay, backend=backend)

    @classmethod
    def from_networkx(
        cls,
        graph: Any,
        *,
        weight: str | SupportsFloat = "weight",
        delay: str | SupportsIndex | None = None,
        backend: str | None = None,
    ) -> "CSR":
        """A synapse for every edge of a networkx graph; of an undirected one for both directions.

        Neuron i is the i-th of ``list(graph.nodes)``. Parallel edges stay apart.

        Args:
            graph: a `networkx.Graph`, `DiGraph`, `MultiGraph` or `MultiDiGraph`.
            weight: the attribute that holds the weights, 1 where an edge has none; or one number.
            delay: the attribute that holds the delays, which every edge has; or one number of
                steps, or None.
            backend: as of `CSR`.

        Raises:
            ValueError: an edge without delay; as of `from_edges`.
            TypeError: no graph of networkx.
        """
        columns = synapse_lists.of_graph(graph, weight, delay)
        n = len(graph.nodes)
        pre, post, weights, delays = columns
        return cls.from_edges(pre, post, weights, shape=(n, n), delay=delays, backend=backend)

    def append(
        self,
        pre: Shaped[Any, "m"] | Nested,
        post: Shaped[Any, "m"] | Nested,
        weight: Shaped[Any, "..."] | SupportsFloat | Nested,
        *,
        delay: Shaped[Any, "..."] | SupportsIndex | Nested | None = None,
    ) -> "CSR":
        """Another matrix, with these synapses after those that each pre neuron has.

        Args and errors are those of `from_edges`. Weights take the dtype of the matrix; floats do
        not go into one of integers. `delay` is needed where the matrix has delays, and only there
        (not inside ``jax.jit``).
        """
        if (delay is None) != (self.delay is None):
            what = "needs" if delay is None else "takes no"
            raise ValueError(
                f"append {what} delay=…, as the matrix has {'' if delay is None else 'no '}delays"
            )
        given = CSR.from_edges(pre, post, weight, shape=self.shape, delay=delay)
        if not self._known():
            raise TypeError("append needs known synapses: call it outside jax.jit")
        whole, also_whole = (jnp.issubdtype(W.dtype, jnp.integer) for W in (self, given))
        if whole and not also_whole:
            raise TypeError(
                f"weight must be integers, as those of the matrix ({self.dtype}), got {given.dtype}"
            )
        old, new = self.edges(), given.edges()
        new = new._replace(weight=inputs.cast("weight", new.weight, self.dtype))
        both: list[Any] = [pair for pair in zip(old, new, strict=True) if pair[1] is not None]
        pre, post, weights, *delays = map(jnp.concatenate, both)
        more = {"shape": self.shape, "backend": self._backend}
        return CSR.from_edges(pre, post, weights, delay=delays[0] if delays else None, **more)

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
        """Memory of `data`, `indices`, `indptr` and `delay`, in bytes."""
        leaves = self.data, self.indices, self.indptr, self.delay
        arrays: Any = (leaf for leaf in leaves if dtype_of(leaf) is not None)
        return sum(math.prod(a.shape) * a.dtype.itemsize for a in arrays)

    def edges(self) -> Edges:
        """The synapses in the order in which they are stored."""
        return Edges(*self._columns())

    def _columns(self) -> Iterator[Any]:
        """What `Edges` has."""
        yield self._row_of()
        yield self.indices
        yield self._of_each(self.data)
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
        return dense(self, transposed=transposed)

    def tocsr(self) -> "CSR":
        """This matrix itself, which is stored."""
        return self

    def _transposed(self) -> "CSR":
        """The transpose by its own rows, whose synapses keep the order of this matrix."""
        if not self._known():
            raise TypeError("W.T.tocsr() needs known synapses: call it outside jax.jit")
        pre, post, *_ = self.edges()
        n_pre, n_post = self._shape
        more = {"shape": (n_post, n_pre), "delay": self.delay, "backend": self._backend}
        return CSR.from_edges(post, pre, self.data, **more)

    def to_scipy(self) -> Any:
        """The same synapses as a ``scipy.sparse.csr_array``; weights of half floats in float32."""
        import scipy.sparse

        weight = self._of_each(self.data)
        if jnp.issubdtype(weight.dtype, jnp.floating):
            weight = weight.astype(ops.accumulator(weight.dtype))
        arrays = tuple(np.array(a) for a in (weight, self.indices, self.indptr))
        return scipy.sparse.csr_array(arrays, shape=self.shape)

    def to_bcsr(self) -> sparse.BCSR:
        """The same synapses as a ``jax.experimental.sparse.BCSR``, with the same arrays."""
        return sparse.BCSR((self._of_each(self.data), self.indices, self.indptr), shape=self.shape)

    def _known(self) -> bool:
        """Whether the arrays can be read on the host, which needs no program for their length."""
        # Zeros are traced inside jax.jit.
        return all(map(_on_host, (*self.tree_flatten()[0], jnp.zeros(()))))

    def _row_of(self) -> jax.Array:
        if self._known():
            return inputs.device_array(csr_dense.row_of(np.asarray(self.indptr), 0, self.nnz))
        return stored.row_of(self.indptr, self.nnz)

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

    def push(
        self,
        spikes: Shaped[Any, " n_pre"] | Nested,
        buffer: DelayBuffer,
        post_offset: SupportsIndex = 0,
    ) -> DelayBuffer:
        """The buffer after this step's spikes: their input is added at the time of its arrival.

        As `Projection.push`, with the same arguments and errors. A delay that does not fit into the
        buffer is an error when it is read: see `CSR`.
        """
        if self.delay is None:
            raise ValueError("push needs delays: make the matrix with delay=…, in steps")
        x, post_offset = check_push(spikes, self._shape[0], buffer, post_offset)
        placed = [placed_matrices.PlacedMatrix(self, 0, post_offset)]
        return placed_matrices.push(placed, x, buffer, library.choose(self._backend))

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
