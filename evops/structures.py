"""Index structures of stored synapses: which neuron has which synapses, as arrays and as lists."""

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32

from evops import inputs
from evops.errors import check_choice
from evops.leaves import Node, checked

ROWS, COLUMNS = "pre_slice", "post_slice"
STRUCTURES = (
    *("conn_mat", "pre_ids", "post_ids", "pre2syn", "post2syn", "pre2post", "post2pre"),
    *(ROWS, COLUMNS, "csr", "csc"),
)
# What BrainPy called them first.
_FORMER = {"pre_slice_syn": ROWS, "post_slice_syn": COLUMNS}


def spans(indptr: Int32[Array, " begins"]) -> Int32[Array, "n 2"]:
    """First synapse of each neuron, and the one after its last."""
    return jnp.stack([indptr[:-1], indptr[1:]], axis=1)


class structure(property):
    """A property that is computed of the leaves, and checks them first."""

    def __init__(self, method: Callable[[Any], Any]):
        super().__init__(checked(method))


def split(values: Any, indptr: Any) -> list[np.ndarray]:
    """`values`, in order of neurons, as an array for each neuron; they share memory."""
    indptr, values = np.asarray(indptr), np.asarray(values)
    return [values[begin:end] for begin, end in itertools.pairwise(indptr)]


class Structures(Node):
    """The structures of a matrix whose synapses are numbered in an order of its own.

    Such a matrix has `pre_ids` and `post_ids`: the neurons of synapse k at k. Lists hold these
    numbers k.
    """

    if TYPE_CHECKING:  # what the subclasses have
        csr: Any  # the same synapses by rows, a `CSR`
        csc: Any  # and by columns, a `CSC`
        pre_ids: Any
        post_ids: Any

    def _numbers(self) -> tuple[Any, Any]:
        """Numbers of the synapses in the order of rows, and in that of columns."""
        raise NotImplementedError

    @structure
    def conn_mat(self) -> Bool[Array, "n_pre n_post"]:
        """Which pairs of neurons are connected."""
        rows = self.csr
        at, shape = (rows.pre_ids, rows.post_ids), rows.shape
        if not rows._known():
            return jnp.zeros(shape, bool).at[at].set(True, mode="drop")
        connected = np.zeros(shape, bool)
        connected[tuple(map(np.asarray, at))] = True
        return inputs.device_array(connected)

    @structure
    def pre2syn(self) -> list[np.ndarray]:
        """Numbers of the synapses of each pre neuron."""
        return split(self._numbers()[0], self.csr.indptr)

    @structure
    def post2syn(self) -> list[np.ndarray]:
        """Numbers of the synapses onto each post neuron."""
        return split(self._numbers()[1], self.csc.indptr)

    @structure
    def pre2post(self) -> list[np.ndarray]:
        """Post neurons of each pre neuron, once for each synapse."""
        return split(self.csr.indices, self.csr.indptr)

    @structure
    def post2pre(self) -> list[np.ndarray]:
        """Pre neurons of each post neuron, once for each synapse."""
        columns = self.csc
        return split(columns.indices, columns.indptr)

    def requires(self, *names: str) -> Any:
        """Index structures by name, which all describe the same synapses in the same order.

        Synapses are numbered in the order of rows; in a request with ``post_slice`` in that of
        columns. Lists are of numpy arrays, for use outside ``jax.jit``.

        Args:
            names: of ``conn_mat``, ``pre_ids``, ``post_ids``, ``pre2syn``, ``post2syn``,
                ``pre2post``, ``post2pre``, ``pre_slice``, ``post_slice``, ``csr``, ``csc``.

        Returns:
            The structure, or a tuple of several.

        Raises:
            ValueError: no name or an unknown one; ``pre_slice`` together with ``post_slice``.

        Example:
            >>> import evops
            >>> W = evops.CSR.from_edges([1, 0, 1], [0, 2, 2], 0.5, shape=(2, 3))
            >>> [list(map(int, structure)) for structure in W.requires("pre_ids", "post_ids")]
            [[0, 1, 1], [2, 0, 2]]
            >>> [list(map(int, synapses)) for synapses in W.requires("post2syn")]
            [[1], [], [0, 2]]
        """
        if not names:
            raise ValueError(f"requires needs names of structures: {', '.join(STRUCTURES)}")
        wanted = [check_choice("name", _former(name), STRUCTURES) for name in names]
        if ROWS in wanted and COLUMNS in wanted:
            raise ValueError(
                "pre_slice and post_slice are positions in different orders of the synapses: ask "
                "for pre_slice and post2syn, or for post_slice and pre2syn"
            )
        source = self.csc if COLUMNS in wanted else self.csr
        found = [getattr(source, name) for name in wanted]
        return tuple(found) if len(found) > 1 else found[0]


def _former(name: Any) -> Any:
    return _FORMER.get(name, name) if isinstance(name, str) else name
