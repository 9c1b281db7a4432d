"""Stored matrices of synapses in compressed rows, driven by events."""

from collections.abc import Iterable
from typing import Any, SupportsFloat, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse
from jaxtyping import Shaped

from evops import inputs, synapse_lists
from evops.csc import CSC
from evops.engine import ops
from evops.errors import check_flag, check_shape
from evops.inputs import Nested
from evops.stored_matrix import StoredMatrix
from evops.structures import structure


@jax.tree_util.register_pytree_with_keys_class
class CSR(StoredMatrix):
    """A stored matrix of synapses: ``spikes @ W`` reads the rows of the neurons that fire.

    Pre neuron i has the synapses ``k = indptr[i] … indptr[i + 1] - 1``, onto post neurons
    ``indices[k]`` with weights ``data[k]``; targets need not be sorted and may repeat. A pre neuron
    whose x is 0 costs nothing (native) and contributes nothing, whatever its weights. The arrays
    are leaves of a pytree; `shape` and `backend` are static. Gradients are with respect to `data`,
    `scale` and float x. Dtypes of results: see `Matrix`.

    `push` adds spikes to a `DelayBuffer`, where each synapse has its delay; ``x @ W`` ignores
    delays. `from_edges`, `from_scipy` and `from_networkx` make a matrix of what you have, and
    `append` adds synapses to it.

    Args:
        data: weights, `(nnz,)`, or a scalar or `(1,)` for one weight of all synapses. Any unit.
            Float, or integers of up to 32 bits.
        indices: post neurons, `(nnz,)` integers in [0, n_post).
        indptr: where the synapses of each pre neuron begin, `(n_pre + 1,)` integers.
        shape: `(n_pre, n_post)`.
        delay: steps from a spike to its arrival, 1 or more: an integer for all synapses, `(nnz,)`
            integers, or None.
        scale: one float by which integer `data` are multiplied, such as numbers of contacts; or
            None.
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

    @classmethod
    def from_edges(
        cls,
        pre: Shaped[Any, "nnz"] | Nested,
        post: Shaped[Any, "nnz"] | Nested,
        weight: Shaped[Any, "..."] | SupportsFloat | Nested,
        *,
        shape: Iterable[SupportsIndex],
        delay: Shaped[Any, "..."] | SupportsIndex | Nested | None = None,
        scale: SupportsFloat | None = None,
        keep_order: bool = False,
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
            scale: a factor of integer weights, or None.
            keep_order: whether `order` has the number of each stored synapse in this list, 4 bytes
                each: ``weight[W.order]`` are the weights as they are stored, and
                ``values.at[W.order].set(W.data)`` those of the list.
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
        keep_order = check_flag("keep_order", keep_order)
        pattern, weight, delay, order = synapse_lists.by_row(pre, post, weight, delay, shape)
        W = cls(weight, *pattern, shape=shape, delay=delay, scale=scale, backend=backend)
        if keep_order:
            W.order = inputs.device_array(order.astype(np.int32))
        return W

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

        Args and errors are those of `from_edges`. Weights take the dtype of `data`; floats do not
        go into a matrix of integers, which keeps its `scale`. `delay` is needed where the matrix
        has delays, and only there (not inside ``jax.jit``). Where the matrix has an `order`, the
        list goes on with these synapses.
        """
        if (delay is None) != (self.delay is None):
            what = "needs" if delay is None else "takes no"
            raise ValueError(
                f"append {what} delay=…, as the matrix has {'' if delay is None else 'no '}delays"
            )
        given = CSR.from_edges(pre, post, weight, shape=self.shape, delay=delay)
        if not self._known():
            raise TypeError("append needs known synapses: call it outside jax.jit")
        own = self.data.dtype
        whole, also_whole = (jnp.issubdtype(W.data.dtype, jnp.integer) for W in (self, given))
        if whole and not also_whole:
            raise TypeError(
                f"weight must be integers, as those of the matrix ({own}), got {given.dtype}"
            )
        old, new = self.edges()._replace(weight=self._of_each(self.data)), given.edges()
        new = new._replace(weight=inputs.cast("weight", new.weight, own))
        both: list[Any] = [pair for pair in zip(old, new, strict=True) if pair[1] is not None]
        pre, post, weights, *delays = map(jnp.concatenate, both)
        more = {"shape": self.shape, "scale": self.scale, "backend": self._backend}
        kept = self.order is not None
        W = CSR.from_edges(
            pre, post, weights, delay=delays[0] if delays else None, keep_order=kept, **more
        )
        if self.order is not None and W.order is not None:
            own = np.arange(self.nnz, W.nnz, dtype=np.int32)
            W.order = jnp.concatenate([self.order, inputs.device_array(own)])[W.order]
        return W

    def with_weights(
        self,
        values: Shaped[Any, "..."] | SupportsFloat | Nested,
        *,
        scale: SupportsFloat | None = None,
    ) -> "CSR":
        """The same synapses with other weights, which may be traced.

        Args:
            values: weights in the order of rows, `(nnz,)`, or one for all.
            scale: a factor of integer weights, or None.
        """
        data = synapse_lists.weights("values", values, self.nnz)
        return self._of(data, synapse_lists.scale(scale, data.dtype))

    @property
    def csr(self) -> "CSR":
        """This matrix itself."""
        return self

    @structure
    def csc(self) -> CSC:
        """The same synapses with an index of their columns, made once (not inside ``jax.jit``)."""
        return CSC(self)

    def tocsr(self) -> "CSR":
        """This matrix itself, which is stored."""
        return self

    def _transposed(self) -> "CSR":
        """The transpose by its own rows, whose synapses keep the order of this matrix."""
        if not self._known():
            raise TypeError("W.T.tocsr() needs known synapses: call it outside jax.jit")
        pre, post, *_ = self.edges()
        n_pre, n_post = self._shape
        more = {"delay": self.delay, "scale": self.scale, "backend": self._backend}
        W = CSR.from_edges(post, pre, self.data, shape=(n_post, n_pre), keep_order=True, **more)
        W.order = None if self.order is None else self.order[W.order]
        return W

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
