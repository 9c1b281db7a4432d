"""Stored synapses with an index of their columns, for what postsynaptic spikes do."""

from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import numpy as np
from jaxtyping import Array, Int32, Num

from evops.edges import Edges
from evops.engine import stored
from evops.inputs import Entries
from evops.leaves import shape_of
from evops.matrix import Matrix
from evops.spiked import SpikedUpdates
from evops.stored_matrix import StoredMatrix
from evops.structures import Structures, spans, structure


@jax.tree_util.register_pytree_with_keys_class
class CSC(Matrix, SpikedUpdates, Structures):
    """A `CSR` together with an index of its columns: the synapses onto each post neuron.

    It multiplies as its `matrix` does, whose arrays it shares. Its own structures are in the order
    of columns: post neuron j has the synapses ``k = indptr[j] … indptr[j + 1] - 1``, from pre
    neurons ``indices[k]``. `synapses[k]` is the number of that synapse in the order of rows, as
    ``matrix.data`` and states of synapses have it. Synapses of one post neuron are in the order of
    their rows.

    The index takes 4 bytes for each synapse and post neuron, and up to 8 for each pre neuron. All
    arrays are leaves of a pytree, so that a program may take the matrix as an argument.

    Args:
        matrix: a `CSR` whose synapses are known: not inside ``jax.jit``.

    Raises:
        TypeError: no `CSR`, or traced synapses.

    Example:
        >>> import evops
        >>> W = evops.CSR.from_edges([1, 0, 1], [0, 2, 2], [0.5, 1.0, 2.0], shape=(2, 3))
        >>> [int(k) for k in W.csc.synapses], [float(w) for w in W.csc.data]
        ([1, 0, 2], [0.5, 1.0, 2.0])
    """

    _name = "csc"
    _weight_leaf = "matrix.data"
    _leaves = ("indptr", "synapses", "guide")
    _children = ("matrix", *_leaves)
    _words: ClassVar[dict[str, np.dtype]] = dict.fromkeys(_leaves, np.dtype(np.int32))
    matrix: StoredMatrix
    indptr: Int32[Array, "n_post+1"]
    synapses: Int32[Array, "nnz"]
    guide: Int32[Array, "_"]  # the row of every 2**shift-th synapse, and the last row

    def __init__(self, matrix: StoredMatrix):
        if not isinstance(matrix, StoredMatrix):
            raise TypeError(f"matrix must be a CSR, got {type(matrix).__name__}")
        self.matrix = matrix
        self.indptr, self.synapses, self.guide = matrix._column_index()

    def __repr__(self) -> str:
        return f"CSC({self.matrix!r}, index of {self.nbytes - self.matrix.nbytes} bytes)"

    def _axes(self) -> Iterator[tuple[str, Any, int]]:
        for name in self._leaves:
            yield name, getattr(self, name), 1

    def _times(self, factor: Any) -> "CSC":
        return self._like(matrix=self.matrix._times(factor))

    def _check_leaves(self, name: str | None = None) -> None:
        self.matrix._check_leaves(name)
        super()._check_leaves(name)

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape

    @property
    def dtype(self) -> np.dtype:
        return self.matrix.dtype

    @property
    def nnz(self) -> int:
        """Number of synapses."""
        return self.matrix.nnz

    @property
    def nbytes(self) -> int:
        """Memory of the matrix and of the index, in bytes."""
        own = (self.indptr, self.synapses, self.guide)
        return self.matrix.nbytes + sum(4 * shape_of(leaf, 1)[0] for leaf in own)

    @property
    def csr(self) -> Any:
        """The matrix by rows."""
        return self.matrix

    @property
    def csc(self) -> "CSC":
        """This matrix itself."""
        return self

    def _numbers(self) -> tuple[Any, Any]:
        """By rows, where each synapse stands among the columns; by columns, all in order."""
        known = np.asarray(self.synapses)
        every = np.arange(known.size, dtype=np.int32)
        places = np.empty_like(every)
        places[known] = every
        return places, every

    @structure
    def pre_ids(self) -> Int32[Array, "nnz"]:
        """Pre neuron of each synapse."""
        return self.matrix.pre_ids[self.synapses]

    indices = pre_ids

    @structure
    def post_ids(self) -> Int32[Array, "nnz"]:
        """Post neuron of each synapse."""
        return stored.row_of(self.indptr, self.nnz)

    @structure
    def post_slice(self) -> Int32[Array, "n_post 2"]:
        """First synapse of each post neuron, and the one after its last."""
        return spans(self.indptr)

    @structure
    def data(self) -> Num[Array, "..."]:
        """Weights as of ``matrix.data``, or one for all."""
        return self._in_order(self.matrix.data)

    @structure
    def delay(self) -> Int32[Array, "..."] | None:
        """Delays as of ``matrix.delay``, or one for all, or None."""
        delay = self.matrix.delay
        return None if delay is None else self._in_order(delay)

    def _in_order(self, leaf: jax.Array) -> jax.Array:
        return leaf[self.synapses] if leaf.shape == (self.nnz,) else leaf

    def edges(self) -> Edges:
        """The synapses in the order of columns."""
        (pre, post, weight, delay), at = self.matrix.edges(), self.synapses
        return Edges(pre[at], post[at], weight[at], None if delay is None else delay[at])

    def tocsr(self) -> Any:
        """The matrix by rows."""
        return self.matrix

    def _dense(self, transposed: bool) -> jax.Array:
        return self.matrix._dense(transposed)

    def _product(self, x: Entries, dtype: np.dtype, transposed: bool) -> jax.Array:
        return self.matrix._product(x, dtype, transposed)

    def _product_of_columns(self, v: jax.Array, dtype: np.dtype, transposed: bool) -> jax.Array:
        return self.matrix._product_of_columns(v, dtype, transposed)
