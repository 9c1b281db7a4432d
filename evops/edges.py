"""Synapses one by one, as projections, circuits and stored matrices list them."""

from typing import NamedTuple

from jaxtyping import Array, Int32, Num


class Edges(NamedTuple):
    """Synapses one by one: pre neuron, post neuron, weight and delay in steps (None without)."""

    pre: Int32[Array, "nnz"]
    post: Int32[Array, "nnz"]
    weight: Num[Array, "nnz"]
    delay: Int32[Array, "nnz"] | None = None

    # By identity, as arrays are no truth values.
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__
