"""Synapses one by one, as projections, circuits and stored matrices list them."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Int32, Num


class Edges(NamedTuple):
    """Synapses one by one: pre neuron, post neuron, weight and delay in steps (None without)."""

    pre: Int32[Array, "nnz"]
    post: Int32[Array, "nnz"]
    weight: Num[Array, "nnz"]
    delay: Int32[Array, "nnz"] | None = None

    def numpy(self) -> "Edges":
        """The same as arrays of NumPy, for simulators and libraries of graphs that want these."""
        columns: Any = (None if column is None else np.asarray(column) for column in self)
        return Edges(*columns)

    # By identity, as arrays are no truth values.
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__
