"""The jnp reader of pairs: see `evops.engine.jnp_reader`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from evops.connectivity import sampler
from evops.connectivity.format import TypedPairs


def read(
    scheme: TypedPairs,
    table: jax.Array,
    rows: Any,
    found: Callable[..., Any],
    carry: Any,
    at_once: int,
) -> Any:
    """`carry` after `found` for all targets of all rows, `at_once` of each row side by side."""
    pairs, n_pre, n_post = scheme.pre_types * scheme.post_types, scheme.n_pre, scheme.n_post
    t0, t1, pre = (a[..., None] for a in (rows.t0, rows.t1, rows.pre))
    k0, k1 = sampler.feistel(pre, jnp.uint32(0), t0, t1)
    row = jnp.zeros((), jnp.uint32)
    if pairs > 1:
        own = table[pairs + jnp.minimum(pre, n_pre - 1)]
        row = jnp.minimum(own, scheme.pre_types - 1) * jnp.uint32(scheme.post_types)

    def chunk(i, carry):
        j = i * at_once + jnp.arange(at_once, dtype=jnp.uint32)
        j = jnp.expand_dims(j, tuple(range(rows.pre.ndim)))
        kind = row
        if pairs > 1:
            other = table[pairs + n_pre + jnp.minimum(j, n_post - 1)]
            kind = row + jnp.minimum(other, scheme.post_types - 1)
        if scheme.ways:
            w, side = sampler.both_ways(pre, j, t0, t1)
        else:
            w, side = sampler.word(k0, k1, j), None
        exists = (w >> 1) < sampler.chance(table[kind])
        if scheme.ways == 2:
            exists &= sampler.leads(pre, j, side)
        return found(carry, jnp.broadcast_to(j, exists.shape), exists)

    longest = jnp.uint32((rows.longest + at_once - 1) // at_once)
    return lax.fori_loop(jnp.uint32(0), longest, chunk, carry)
