"""How many of the synapses of a counted rule each row has, in jnp (sampler.py: counted rows)."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, UInt32

from evops.connectivity import sampler

# Words that are counted out at once: all at once would take a word for every 32 synapses.
_WORDS = 1 << 12


def draw_indptr(key: UInt32[Array, "2"], total: int, n_pre: int) -> UInt32[Array, " n_pre_1"]:
    """Where each row of a counted matrix begins among its synapses, `(n_pre + 1,)` uint32."""
    counts = _divided(key, total, n_pre)
    return jnp.concatenate([key[:1] * 0, jnp.cumsum(counts, dtype=jnp.uint32)])


def _divided(key: Array, total: int, n: int) -> Array:
    """The synapses of every row."""
    counts = (jnp.zeros(n, jnp.uint32) + key[0] * 0).at[0].add(jnp.uint32(total))
    counts = _into_powers(key, counts)
    halvings = n.bit_length() - 1  # the largest power of two is halved so often

    def halve(level, counts):
        return _halved(key, counts, jnp.uint32(1) << (halvings - 1 - level).astype(jnp.uint32))

    return lax.fori_loop(jnp.int32(0), jnp.int32(halvings), halve, counts)


def _into_powers(key: Array, counts: Array) -> Array:
    """Counts of parts of a power of two rows, the largest first, each at its first row."""
    a, rows = 0, counts.shape[0]
    while (part := 1 << (rows.bit_length() - 1)) < rows:
        k0, k1 = _key(jnp.uint32(a + part), key)
        here = counts[a]
        first = _below_fraction(k0, k1, here, part, rows)
        counts = counts.at[a].set(first).at[a + part].set(here - first)
        a, rows = a + part, rows - part
    return counts


def _key(boundary: Array, key: Array) -> tuple[Array, Array]:
    return sampler.feistel(boundary, boundary * 0 + sampler.SOURCES, key[0], key[1])


def _below_fraction(k0: Array, k1: Array, trials: Array, part: int, whole: int) -> Array:
    """How many of so many random numbers are below part / whole, digit by digit."""

    def digit(state):
        hits, left, rest, first = state
        ones = _ones(k0[None], k1[None], first[None], left[None])[0]
        double = rest + rest
        one = double >= jnp.uint32(whole)
        hits = hits + jnp.where(one, left - ones, jnp.uint32(0))
        after = jnp.where(one, ones, left - ones)
        rest = double - jnp.where(one, jnp.uint32(whole), jnp.uint32(0))
        return hits, after, rest, first + ((left + 31) >> 5)

    zero = trials * 0
    start = zero, trials, zero + jnp.uint32(part), zero
    return lax.while_loop(lambda state: (state[1] > 0) & (state[2] > 0), digit, start)[0]


def _halved(key: Array, counts: Array, half: Array) -> Array:
    """Every part of twice as many rows as `half`, in halves."""
    n = counts.shape[0]
    a = jnp.arange(max(n // 2, 1), dtype=jnp.uint32) * (half + half)
    # of parts beyond the end: out of range (for the largest part, products wrap around)
    there = jnp.arange(max(n // 2, 1), dtype=jnp.uint32) < jnp.uint32(n) // (half + half)
    at, boundary = jnp.where(there, a, jnp.uint32(n)), jnp.where(there, a + half, jnp.uint32(n))
    here = jnp.where(there, counts[jnp.where(there, a, 0)], jnp.uint32(0))
    k0, k1 = _key(a + half, key)
    first = here - _ones(k0, k1, here * 0, here)  # below one half
    return counts.at[at].set(first, mode="drop").at[boundary].set(here - first, mode="drop")


def _ones(k0: Array, k1: Array, first: Array, bits: Array) -> Array:
    """How many of `bits` bits are 1, for each key, of its words from `first` on."""
    words = (bits + 31) >> 5
    ends = jnp.cumsum(words, dtype=jnp.uint32)
    every = jnp.arange(_WORDS, dtype=jnp.uint32)

    def piece(c, total):
        g = c * _WORDS + every
        node = jnp.searchsorted(ends, g, side="right").astype(jnp.int32)
        node = jnp.minimum(node, ends.shape[0] - 1)  # past the last word, which counts for nothing
        i = g - (ends[node] - words[node])
        word = sampler.word(k0[node], k1[node], first[node] + i)
        left = bits[node] - (i << 5)
        low = (jnp.uint32(1) << jnp.minimum(left, 31)) - 1
        word = jnp.where(left >= 32, word, word & low)
        return total.at[node].add(jnp.where(g < ends[-1], sampler.ones(word), 0))

    pieces = (ends[-1] + (_WORDS - 1)) // _WORDS
    return lax.fori_loop(pieces * 0, pieces, piece, bits * 0)
