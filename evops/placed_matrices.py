"""Stored matrices placed among the neurons of a network, and pushed together in one call."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from evops import inputs
from evops.delays import DelayBuffer
from evops.engine import stored_ring
from evops.inputs import Entries


class PlacedMatrix(NamedTuple):
    """A `CSR` with delays, its first pre neuron among the spikes, its first post neuron."""

    matrix: Any
    pre_offset: int
    post_offset: int


def push(
    matrices: Sequence[PlacedMatrix],
    spikes: Entries,
    buffer: DelayBuffer,
    backend: str,
) -> DelayBuffer:
    """The buffer with the input from `spikes` added.

    Raises:
        ValueError: the buffer is too short for a delay, or has too few neurons.
        TypeError: the buffer's sums cannot hold weights or spikes.
    """
    dtype = buffer.sums.dtype
    operands, places = [], []
    for S, pre_offset, post_offset in matrices:
        n_pre, n_post = S.shape
        types = {"weights": S.dtype, "spikes": spikes.dtype}
        buffer.check(n_post, S._longest or 0, post_offset, **types)
        inputs.check_dtype("weights", S.dtype)
        # No kernel narrows weights as it reads them.
        data = S.data.astype(dtype) if S.data.dtype.itemsize > dtype.itemsize else S.data
        scale = jnp.ones(1, dtype) if S.scale is None else S.scale.astype(dtype)
        operands.append((data, S.indices, S.indptr, S.delay, scale))
        places.append(stored_ring.Place(pre_offset, n_pre, post_offset, n_post))
    x = inputs.entries("spikes", spikes, dtype)
    sums = stored_ring.push(
        buffer.sums, x, buffer.step, operands, places=tuple(places), backend=backend
    )
    return buffer.with_sums(sums)
