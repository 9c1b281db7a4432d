"""The jnp reader: lines of the sampler walked side by side in plain JAX.

Complete (every operator, any platform) and the oracle of the native kernels. It visits the same
synapses in the same order within a line; only silent neurons are skipped, in chunks.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from evops.connectivity import sampler
from evops.connectivity.rules import COUNTED, DENSE, DIAGONAL, GAPS, LFSR, SUBSET

# Weight laws: one weight for all; from a quantile table; from the words of the published stream.
CONSTANT, QUANTILES, LFSR_UNIFORM, LFSR_NORMAL = range(4)
# How many lines are walked side by side, and how many targets of a dense block at once.
LINES, TARGETS = 1024, 64
_NOBODY = 0xFFFFFFFF


@dataclasses.dataclass(frozen=True)
class Source:
    """What of a random matrix is known when a program is compiled.

    Attributes:
        scheme: what `Rule.scheme` gives.
        law: how weights are drawn.
        synapses_per_line: expected number, for the split over threads.
        delay_bits: bits of the alias table that delays are drawn from, 0 where they are not drawn.
        table_at: where the rule's table begins, among those of several sources.
        quantiles_at: the same for the law's table.
        delays_at: the same for the delays' table.
    """

    scheme: tuple[int, int, int, int, int]
    law: int = CONSTANT
    synapses_per_line: int = 0
    delay_bits: int = 0
    table_at: int = 0
    quantiles_at: int = 0
    delays_at: int = 0

    @property
    def published(self) -> bool:
        """Whether lines are those of the published scheme."""
        return self.scheme[0] == LFSR

    @property
    def by_index(self) -> bool:
        """Whether variates belong to the synapses of a line by number, not by post neuron."""
        reader, _, _, bits, _ = self.scheme
        return reader == COUNTED or (reader == SUBSET and bits == 0)

    @property
    def words(self) -> tuple[int, ...]:
        """What push.h reads."""
        return (
            *self.scheme,
            self.law,
            self.synapses_per_line,
            self.delay_bits,
            self.table_at,
            self.quantiles_at,
            self.delays_at,
        )

    @property
    def parameters(self) -> int:
        """Weight parameters of a matrix: 1, or 2 for ``weight[0] + weight[1] * z``."""
        return 1 if self.law == CONSTANT else 2


@dataclasses.dataclass(frozen=True)
class Lines:
    """Lines to walk: key words (or seed) and index of each, all uint32 arrays of one shape.

    `n` counts the positions of each line, 0 for none; `longest` bounds it. `at` is where the starts
    of each line's matrix begin in the table, where the rule has such.
    """

    t0: jax.Array
    t1: jax.Array
    pre: jax.Array
    n: jax.Array
    longest: int
    at: Any = 0


def walk(source: Source, tables, lines: Lines, visit: Callable, carry: Any) -> Any:
    """`carry` after ``carry = visit(carry, post, exists, z, delay)`` for all synapses of all lines.

    `post` (int32), `exists`, `z` and `delay` (int32) have the shape of the lines and one more axis;
    `z` is 0 where the law has no variate, `delay` where none is drawn. `tables` are those of the
    rule (uint32), of the law and of the delays, each of one axis.
    """
    table, quantiles, delays = tables

    def see(carry, post, exists, z=None, index=None):
        counter = index if source.by_index else post
        if source.law == QUANTILES:
            at, part = sampler.slot(_word(lines, sampler.WEIGHT, counter))
            a, b = (quantiles[at + k].astype(jnp.uint32) for k in (jnp.uint32(0), jnp.uint32(1)))
            z = sampler.between(a, b, part).astype(jnp.int32).astype(jnp.float32)
        elif z is None:
            z = jnp.zeros((), jnp.float32)
        delay = jnp.zeros((), jnp.int32)
        if source.delay_bits:
            w, shift = _word(lines, sampler.DELAY, counter), 32 - source.delay_bits
            delay = sampler.look_up(delays[w >> shift], w, shift).astype(jnp.int32)
        if source.scheme[1]:
            exists = exists & (post != lines.pre[..., None])
        exists = exists & (post < lines.n[..., None])
        return visit(carry, post.astype(jnp.int32), exists, z, delay)

    reader = {
        LFSR: _lfsr,
        GAPS: _gaps,
        DENSE: _dense,
        SUBSET: _subset,
        DIAGONAL: _diagonal,
        COUNTED: _counted,
    }[source.scheme[0]]
    return reader(source, table, lines, see, carry)


def _word(lines: Lines, role: int, counter):
    """Words behind the variates of each line."""
    k0, k1 = (k[..., None] for k in sampler.variate_key(lines.pre, lines.t0, lines.t1))
    return sampler.word(k0 + role, k1, counter)


def _lfsr(source, table, lines, see, carry):
    """The published scheme; its laws draw from the same stream, before the gap."""
    del table
    clen, hashed = source.scheme[2], source.scheme[4]
    start = sampler.hashed_line_state if hashed else sampler.line_state
    draws = {LFSR_UNIFORM: 1, LFSR_NORMAL: 2}.get(source.law, 0)

    def advance(state, post):
        state = sampler.next_state(*state)
        return state, jnp.minimum(post + sampler.gap(sampler.word88(*state), clen), lines.n)

    def step(loop):
        state, post, carry = loop
        units = []
        for _ in range(draws):
            state = sampler.next_state(*state)
            units.append(sampler.word88(*state).astype(jnp.float32) * jnp.float32(2.0**-32))
        z = units[0] if draws else None
        if draws == 2:
            radius = jnp.sqrt(-2 * jnp.log(jnp.maximum(units[0], jnp.float32(1e-10))))
            z = radius * jnp.sin(jnp.float32(2 * math.pi) * units[1])
        z = None if z is None else z[..., None]
        carry = see(carry, post[..., None], jnp.ones((), bool), z)
        return *advance(state, post), carry

    before_first = jnp.full(lines.n.shape, _NOBODY, jnp.uint32)
    loop = (*advance(start(lines.t0 + lines.pre), before_first), carry)
    return lax.while_loop(lambda loop: jnp.any(loop[1] < lines.n), step, loop)[2]


def _by_block(bits: int, lines: Lines, block: Callable, carry):
    """`carry` after ``carry = block(carry, begin, k0, k1)`` for all blocks of 2**bits targets."""

    def body(b, carry):
        k0, k1 = sampler.feistel(lines.pre, b, lines.t0, lines.t1)
        return block(carry, b << bits, k0, k1)

    blocks = jnp.uint32(((lines.longest - 1) >> bits) + 1)
    return lax.fori_loop(jnp.uint32(0), blocks, body, carry)


def _gaps(source, table, lines, see, carry):
    bits, high, low = source.scheme[2:]
    shift, restart = 32 - high, (1 << high) - 1

    def block(carry, begin, k0, k1):
        size = jnp.minimum(lines.n - jnp.minimum(begin, lines.n), jnp.uint32(1 << bits))

        def step(loop):
            i, c, carry = loop
            w = sampler.word(k0, k1, i)
            gap = sampler.look_up(table[w >> shift], w, shift)
            found = gap != restart
            i = i + 1
            if low:
                w = sampler.word(k0, k1, i)
                part = sampler.look_up(table[(w >> (32 - low)) + (1 << high)], w, 32 - low)
                gap = (gap << low) + jnp.where(found, part, 0)
                i = i + 1
            c = c + gap
            carry = see(carry, (begin + c)[..., None], (found & (c < size))[..., None])
            return i, jnp.minimum(c + found.astype(jnp.uint32), 1 << bits), carry

        start = (jnp.uint32(0), jnp.zeros(size.shape, jnp.uint32), carry)
        return lax.while_loop(lambda loop: jnp.any(loop[1] < size), step, start)[2]

    return _by_block(bits, lines, block, carry)


def _dense(source, table, lines, see, carry):
    del table
    bits, whole, rest = source.scheme[2:]
    if whole == rest == 0:
        return carry

    def block(carry, begin, k0, k1):
        def chunk(first, carry):
            j = first * TARGETS + jnp.arange(TARGETS, dtype=jnp.uint32)
            j = jnp.expand_dims(j, tuple(range(k0.ndim)))
            a, b = k0[..., None], k1[..., None]
            tie = sampler.word(a + sampler.TIE, b, j)
            exists = sampler.dense_hit(sampler.word(a, b, j >> 2), j, tie, whole, jnp.uint32(rest))
            return see(carry, jnp.broadcast_to(begin + j, exists.shape), exists)

        return lax.fori_loop(jnp.uint32(0), jnp.uint32((1 << bits) // TARGETS), chunk, carry)

    return _by_block(bits, lines, block, carry)


def _permuted(k0, k1, x, bits: int, size):
    """`sampler.permuted` of x, again until it is below `size`."""
    right = bits >> 1

    def again(at):
        return jnp.where(at < size, at, sampler.permuted(k0, k1, at, bits - right, right))

    first = sampler.permuted(k0, k1, x, bits - right, right)
    return lax.while_loop(lambda at: jnp.any(at >= size), again, first)


def _subset(source, table, lines, see, carry):
    del table
    k, bits, n = source.scheme[2:]
    k0, k1 = sampler.feistel(lines.pre, jnp.uint32(0), lines.t0, lines.t1)

    def body(i, carry):
        if bits == 0:
            post = sampler.below(sampler.word(k0, k1, i), jnp.uint32(n))
        else:
            post = _permuted(k0, k1, jnp.broadcast_to(i, k0.shape), bits, n)
        return see(carry, post[..., None], jnp.ones((), bool), index=i)

    return lax.fori_loop(jnp.uint32(0), jnp.uint32(k), body, carry)


def _counted(source, table, lines, see, carry):
    k, bits, n = source.scheme[2:]
    at = jnp.asarray(lines.at, jnp.uint32) + lines.pre
    start, end = (table[at + jnp.uint32(j)] for j in (0, 1))
    count = jnp.where((lines.n > 0) & (end > start), end - start, 0)
    zero = jnp.zeros((), jnp.uint32)
    if bits == 0:
        k0, k1 = sampler.feistel(lines.pre, zero, lines.t0, lines.t1)
    else:
        k0, k1 = sampler.feistel(zero, zero + sampler.SLOTS, lines.t0, lines.t1)

    def body(i, carry):
        if bits == 0:
            post = sampler.below(sampler.word(k0, k1, i), lines.n)
        else:
            place = jnp.minimum(start + i, jnp.uint32(k * n - 1))
            post = _permuted(k0, k1, place, bits, jnp.uint32(k * n)) % n
        return see(carry, post[..., None], (i < count)[..., None], index=i)

    return lax.fori_loop(jnp.uint32(0), jnp.max(count, initial=zero), body, carry)


def line_starts(key, total: int, n_pre: int):
    """Where each line of a counted rule begins among all its synapses, `(n_pre + 1,)` uint32."""
    zero = key[0] * 0
    k0, k1 = sampler.feistel(zero, zero + sampler.SOURCES, key[0], key[1])
    size = 1 << 14
    every = jnp.arange(size, dtype=jnp.uint32)

    def chunk(c, counts):
        s = c * size + every
        source = sampler.below(sampler.word(k0, k1, s), jnp.uint32(n_pre))
        return counts.at[jnp.where(s < total, source, n_pre)].add(1, mode="drop")

    chunks = jnp.uint32(-(-total // size))
    counts = lax.fori_loop(jnp.uint32(0), chunks, chunk, jnp.zeros(n_pre, jnp.uint32))
    return jnp.concatenate([zero[None], jnp.cumsum(counts, dtype=jnp.uint32)])


def _diagonal(source, table, lines, see, carry):
    del source, table
    return see(carry, lines.pre[..., None], jnp.ones((), bool))


def over_nonzero(x, size: int, body: Callable, carry: Any) -> Any:
    """`carry` after ``body(carry, index, valid)`` over the non-zero entries, `size` at a time."""
    fired = x if x.dtype == bool else x != 0
    if x.shape[0] <= size:  # nobody needs to be looked for
        every = jnp.arange(x.shape[0], dtype=jnp.int32)
        once = jnp.any(fired).astype(jnp.int32)
        return lax.fori_loop(jnp.int32(0), once, lambda _, carry: body(carry, every, fired), carry)
    rank = jnp.cumsum(fired.astype(jnp.int32))
    count = rank[-1]
    place = jnp.arange(size, dtype=jnp.int32)

    def chunk(i, carry):
        start = i * size
        index = jnp.searchsorted(rank, start + place + 1).astype(jnp.int32)
        return body(carry, jnp.minimum(index, x.shape[0] - 1), start + place < count)

    # Chunks are counted one by one: XLA (jaxlib 0.10) drops a loop whose constant bound is less
    # than its step.
    return lax.fori_loop(jnp.int32(0), -(-count // size), chunk, carry)


def chunk_size(lines_per_entry: int, source: Source) -> int:
    """How many entries to walk at a time."""
    lines = LINES // TARGETS if source.scheme[0] == DENSE else LINES
    return max(1, lines // max(lines_per_entry, 1))
