"""The primitive that lists spikes, once for all calls that take them (spike_lists.py)."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, UInt8

from evops.engine import jvps, spike_lists
from evops.engine.compat import Dims, Operand, ShapedArray
from evops.engine.primitive import register


def list_spikes(
    flags: Bool[Operand, "rows n"], *, capacity: int, backend: str
) -> UInt8[Array, "rows width"]:
    """Bind the primitive: rows of flags with a list of at most `capacity` spikes behind each."""
    return list_spikes_p.bind(flags, capacity=capacity, backend=backend)


def _shape(flags: Bool[ShapedArray, "rows n"], *, capacity: int, **_: Any) -> ShapedArray:
    rows, n = flags.shape
    return ShapedArray((rows, n + spike_lists.WORD * (1 + capacity)), np.dtype(np.uint8))


def _value(flags: Bool[Array, "rows n"], *, capacity: int) -> UInt8[Array, "rows width"]:
    n = flags.shape[1]
    which = functools.partial(jnp.nonzero, size=capacity, fill_value=n)
    indices = jax.vmap(lambda row: which(row)[0].astype(jnp.int32))(flags)
    count = flags.sum(1, keepdims=True, dtype=jnp.int32)
    return spike_lists.pack(flags, jnp.concatenate([count, indices], 1))


def _batch(operands: Sequence[Operand], dims: Dims, **statics: Any) -> tuple[Array, int]:
    flags: Any = jnp.moveaxis(operands[0], dims[0], 0)
    out = list_spikes_p.bind(flags.reshape(-1, flags.shape[-1]), **statics)
    return out.reshape(*flags.shape[:-1], out.shape[-1]), 0


list_spikes_p = register(
    "evops_list_spikes",
    shape=_shape,
    value=_value,
    jvp=jvps.of_integers(lambda *operands, **statics: list_spikes_p.bind(*operands, **statics)),
    transpose=lambda *_, **__: (None,),
    batch=_batch,
    native=lambda *, capacity: ("evops_list_spikes", {"listed": np.int64(1 + capacity)}),
)
