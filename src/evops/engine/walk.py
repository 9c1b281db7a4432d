"""The jnp reader: lines of the sampler walked side by side in plain JAX.

Complete (every operator, any platform) and the oracle of the native kernels. It visits the same
positions in the same order within a line; only silent neurons are skipped, in chunks.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from evops.connectivity import sampler

# (clen, multiplier of the kernels, whether line seeds are hashed); see `LfsrGaps.scheme`.
Scheme = tuple[int, int, int]
# How many lines are walked side by side.
LINES = 1024


def _walk(line_seed, n, scheme: Scheme, visit: Callable, carry: Any) -> Any:
    """`carry` after ``carry = visit(carry, position, alive)`` at every step of all lines.

    `line_seed` and `n` (positions per line) are uint32 arrays of one shape.
    """
    start = sampler.hashed_line_state if scheme[2] else sampler.line_state

    def advance(state, position):
        state = sampler.next_state(*state)
        return state, jnp.minimum(position + sampler.gap(sampler.word(*state), scheme[0]), n)

    def running(loop):
        _, position, _ = loop
        return jnp.any(position < n)

    def step(loop):
        state, position, carry = loop
        carry = visit(carry, position.astype(jnp.int32), position < n)
        return *advance(state, position), carry

    before_first = jnp.full(line_seed.shape, 0xFFFFFFFF, jnp.uint32)
    loop = (*advance(start(line_seed), before_first), carry)
    return lax.while_loop(running, step, loop)[2]


def scatter_lines(out, seed, index, base, n, value, scheme: Scheme):
    """``out[base + position] += value`` for every line; `out` is flat, n = 0 is an idle line."""

    def visit(out, position, alive):
        target = jnp.where(alive, base + position, out.shape[0])
        return out.at[target].add(value, mode="drop")

    return _walk(seed + index, n, scheme, visit, out)


def gather_lines(x, seed, index, base, n, weight, scheme: Scheme):
    """Per line, the sum of ``x[base + position] * weight`` over positions where x is not 0."""

    def visit(total, position, alive):
        value = x.at[base + position].get(mode="fill", fill_value=0)
        return total + jnp.where(alive & (value != 0), value * weight, jnp.zeros((), x.dtype))

    zero = jnp.zeros(jnp.broadcast_shapes(jnp.shape(seed + index), jnp.shape(weight)), x.dtype)
    return _walk(jnp.broadcast_to(seed + index, zero.shape), n, scheme, visit, zero)


def over_nonzero(x, size: int, body: Callable, carry: Any) -> Any:
    """`carry` after ``body(carry, index, valid)`` over the non-zero entries, `size` at a time."""
    fired = x if x.dtype == bool else x != 0
    rank = jnp.cumsum(fired.astype(jnp.int32))
    count = rank[-1]
    place = jnp.arange(size, dtype=jnp.int32)

    def chunk(loop):
        start, carry = loop
        index = jnp.searchsorted(rank, start + place + 1).astype(jnp.int32)
        return start + size, body(carry, jnp.minimum(index, x.shape[0] - 1), start + place < count)

    start = jnp.zeros((), jnp.int32)
    return lax.while_loop(lambda loop: loop[0] < count, chunk, (start, carry))[1]


def _chunk_size(lines_per_entry: int) -> int:
    return max(1, LINES // max(lines_per_entry, 1))


def product(x, weight, seed, *, n_out: int, gather: bool, repeat: int, scheme: Scheme):
    """The product primitive's value (see `evops.engine.ops`)."""
    rows, n_x = x.shape
    instances = weight.shape[0]
    if gather:
        k = jnp.arange(instances, dtype=jnp.int32)[:, None]
        line = jnp.arange(n_out, dtype=jnp.uint32)[None]
        base = k // repeat % rows * n_x
        n = jnp.full((instances, n_out), n_x, jnp.uint32)
        n = jnp.where(weight[:, None] != 0, n, 0)
        return gather_lines(x.reshape(-1), seed[:, None], line, base, n, weight[:, None], scheme)
    tile = instances // (rows * repeat)
    offset = jnp.arange(tile)[:, None] * rows * repeat + jnp.arange(repeat)[None]
    offset = offset.reshape(1, -1).astype(jnp.int32)
    flat = x.reshape(-1)

    def body(out, index, valid):
        row, line = index // n_x, index % n_x
        k = row[:, None] * repeat + offset
        active = valid[:, None] & (weight[k] != 0)
        value = weight[k] * flat[index][:, None].astype(weight.dtype)
        n = jnp.where(active, jnp.uint32(n_out), jnp.uint32(0))
        line = line.astype(jnp.uint32)[:, None]
        return scatter_lines(out, seed[k], line, k * n_out, n, value, scheme)

    out = jnp.zeros(instances * n_out, weight.dtype)
    out = over_nonzero(flat, _chunk_size(tile * repeat), body, out)
    return out.reshape(instances, n_out)


def _push_lines(ring_shape, weight, seed, delay, step, blocks):
    """Function of pre indices: source block and, per target block, seed, line, base and length."""
    slots, n_post = ring_shape
    source, line = blocks.source_of(), blocks.line_of()
    post_offset = jnp.asarray(blocks.post_offset, jnp.int32)[None]
    post_size = jnp.asarray(blocks.post_size, jnp.uint32)[None]

    def lines(index, valid):
        s = jnp.asarray(source)[index]
        if blocks.delay_column:
            steps = delay[index][:, jnp.asarray(blocks.delay_column)]
        else:
            steps = delay[s]
        base = (step + steps) % slots * n_post + post_offset
        active = (valid & (s >= 0))[:, None] & (weight[s] != 0)
        n = jnp.where(active, post_size, jnp.uint32(0))
        return s, seed[s], jnp.asarray(line)[index].astype(jnp.uint32)[:, None], base, n

    return lines


def push(ring, x, weight, seed, delay, step, *, blocks, scheme: Scheme):
    """The push primitive's value (see `evops.engine.ops`)."""
    lines = _push_lines(ring.shape, weight, seed, delay, step, blocks)

    def body(out, index, valid):
        s, stream, line, base, n = lines(index, valid)
        value = weight[s] * x[index][:, None].astype(weight.dtype)
        return scatter_lines(out, stream, line, base, n, value, scheme)

    size = _chunk_size(weight.shape[1])
    return over_nonzero(x, size, body, ring.reshape(-1)).reshape(ring.shape)


def pop(ring, step):
    """The pop primitive's values (see `evops.engine.ops`)."""
    now = lax.dynamic_index_in_dim(ring, step, keepdims=False)
    return lax.dynamic_update_index_in_dim(ring, jnp.zeros_like(now), step, 0), now


def push_transpose(ct, x, weight, seed, delay, step, *, blocks, scheme: Scheme):
    """Cotangents of `x` and `weight` for one of the ring; the unknown of the two is None."""
    known = jnp.ones_like(seed, ct.dtype) if weight is None else weight
    lines = _push_lines(ct.shape, known, seed, delay, step, blocks)
    flat = ct.reshape(-1)
    size = _chunk_size(seed.shape[1])

    def sums(index, valid):
        s, stream, line, base, n = lines(index, valid)
        return s, gather_lines(flat, stream, line, base, n, jnp.ones((), ct.dtype), scheme)

    if weight is None:

        def add_weight(total, index, valid):
            s, total_at = sums(index, valid)
            return total.at[s].add(total_at * x[index][:, None].astype(ct.dtype), mode="drop")

        zero = jnp.zeros(seed.shape, ct.dtype)
        return None, over_nonzero(x, size, add_weight, zero)

    def add_x(total, index, valid):
        s, total_at = sums(index, valid)
        drop = jnp.where(valid, index, blocks.n_pre)
        return total.at[drop].add((total_at * weight[s]).sum(1), mode="drop")

    everyone = jnp.ones(blocks.n_pre, bool)
    return over_nonzero(everyone, size, add_x, jnp.zeros(blocks.n_pre, ct.dtype)), None
