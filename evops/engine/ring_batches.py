"""Operands of a batch of rings, as the primitives of `ring` and `stored_ring` take them.

A batch is one call. Operands then have its axes in front: the first ones always, the others if they
are not the same for all rings. ``ranks`` are the axes of the operands of one ring.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from evops.engine.compat import Dims, Operand


def shapes_of_one(operands: Sequence[Any], ranks: Sequence[int]) -> list[tuple[int, ...]]:
    """Shapes of operands without the axes of a batch, which the first has wherever others do."""
    batch = operands[0].shape[: -ranks[0]]
    shapes = [o.shape[o.ndim - rank :] for o, rank in zip(operands, ranks, strict=True)]
    for operand, own in zip(operands, shapes, strict=True):
        assert operand.shape in (own, (*batch, *own))
    return shapes


def in_front(
    operands: Sequence[Operand], dims: Dims, ranks: Sequence[int], always: int
) -> list[Operand]:
    """Operands with one more axis of their batch, the first.

    The first `always` get it, and the others where they differ from entry to entry.
    """
    size = next(o.shape[d] for o, d in zip(operands, dims, strict=True) if d is not None)
    inner = list(operands[0].shape)
    if dims[0] is not None:
        del inner[dims[0]]
    batch = size, *inner[: -ranks[0]]
    out = []
    for k, (o, d, rank) in enumerate(zip(operands, dims, ranks, strict=True)):
        had = o.ndim > rank + (d is not None)  # axes of the batch that there is already
        if d is not None or had or k < always:
            o = jnp.expand_dims(o, 0) if d is None else jnp.moveaxis(o, d, 0)
            if not had:
                o = jnp.expand_dims(o, tuple(range(1, len(batch))))
            o = jnp.broadcast_to(o, (*batch, *o.shape[o.ndim - rank :]))
        out.append(o)
    return out


def one_batch(operands: Sequence[Array], ranks: Sequence[int]) -> list[Array]:
    """Operands with one axis for those of their batch."""
    size = math.prod(operands[0].shape[: -ranks[0]])
    return [
        o.reshape(size, *o.shape[o.ndim - rank :]) if o.ndim > rank else o
        for o, rank in zip(operands, ranks, strict=True)
    ]


def each(push: Callable[..., Array], ranks: Sequence[int]) -> Callable[..., Array]:
    """`push` of one ring, or of `entry` in a batch, for all entries: in place in a loop's carry."""

    def value(*operands: Array, **statics: Any) -> Array:
        if operands[0].ndim == 2:
            return push(*operands, **statics)
        ring, *rest = one_batch(operands, ranks)

        def one(k: Any, rings: Array) -> Array:
            own = (o[k] if o.ndim > r else o for o, r in zip(rest, ranks[1:], strict=True))
            return push(rings, *own, entry=k, **statics)

        size = jnp.int32(ring.shape[0])
        return jax.lax.fori_loop(jnp.int32(0), size, one, ring).reshape(operands[0].shape)

    return value
