"""An index of the columns of stored synapses, which are kept by rows."""

from typing import Any, NamedTuple

import numpy as np

from evops.engine.spiked_state import shift


class ColumnIndex(NamedTuple):
    """Which synapses each post neuron has, by their numbers in the order of rows.

    Attributes:
        indptr: where each column begins in `synapses`, and where the last ends.
        synapses: the synapses, column by column, each in the order of its rows.
        guide: the row of every ``2**shift``-th synapse, and the last row: the row of a synapse is
            that of its place in the guide, or one between it and the next.
    """

    indptr: Any
    synapses: Any
    guide: Any


def of_rows(indices: np.ndarray, indptr: np.ndarray, n_post: int) -> ColumnIndex:
    """The index of known synapses, whose rows are `indptr` and whose columns `indices`."""
    synapses = np.argsort(indices, kind="stable").astype(np.int32)
    begins = np.zeros(n_post + 1, np.int32)
    np.cumsum(np.bincount(indices, minlength=n_post), out=begins[1:])
    n_pre = indptr.size - 1
    some = np.arange(0, indices.size, 1 << shift(indices.size, n_pre))
    rows = np.searchsorted(indptr, some, "right") - 1
    return ColumnIndex(begins, synapses, np.append(rows, n_pre - 1).astype(np.int32))
