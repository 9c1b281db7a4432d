"""The jnp reader: the synapses of many rows at once, in plain JAX.

It serves every operator on any platform, and is the oracle of the native kernels: it visits the
same synapses in the same order within a row. Arrays of XLA have fixed sizes, so it reads the rows
of neurons that fire in chunks.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Shaped, UInt32

from evops.connectivity import sampler
from evops.connectivity.format import (
    MAX_WORD,
    CountedRows,
    DenseBlocks,
    Diagonal,
    Distances,
    EqualRows,
    GeometricGaps,
    GridOffsets,
    MatrixSpec,
    TypedPairs,
    UniformGaps,
    WeightLaw,
)
from evops.engine import jnp_distances, jnp_pairs

# How many rows are read side by side, and how many targets of a dense block at once: enough for
# XLA's loops to be long, few enough for their arrays to stay in the cache.
ROWS, TARGETS = 1024, 64
# Words that the laws of the braintaichi scheme take from the row's stream for each weight. So with
# one seed each law has other synapses.
_DRAWS = {WeightLaw.LFSR_UNIFORM: 1, WeightLaw.LFSR_NORMAL: 2}


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows to read, all uint32 arrays of one shape.

    Attributes:
        t0: first key word of each row's matrix; in the braintaichi scheme its seed.
        t1: second key word.
        pre: index of the row.
        n_post: post neurons that the row reaches, 0 for none.
        longest: bound of `n_post` that is known when the program is compiled.
        indptr_offset: where the row counts of each matrix begin in the table, if it has row counts.
    """

    t0: jax.Array
    t1: jax.Array
    pre: jax.Array
    n_post: jax.Array
    longest: int
    indptr_offset: Any = 0


def for_each_synapse(
    spec: MatrixSpec,
    tables: Sequence[Any],
    rows: Rows,
    emit: Callable[..., Any],
    carry: Any,
) -> Any:
    """`carry` after ``carry = emit(carry, post, exists, z, delay)`` for all synapses of all rows.

    Args:
        spec: how rows, weights and delays are drawn.
        tables: those of the rule (uint32), of the law (int32) and of the delays (uint32, or None
            where none are drawn), each of one axis.
        rows: the rows to read.
        emit: gets candidates for synapses. `post` (int32), `exists`, `z` and `delay` (int32) have
            the shape of the rows and one more axis, or broadcast to it. `z` is 0 where the law has
            no variate, `delay` where none is drawn.
        carry: what `emit` begins with.
    """
    table, quantiles, delays = tables

    # What readers call: they find targets, and know nothing of weights, delays and autapses.
    def found(carry, post, exists, z=None, rank=None):
        # Variates belong to (pre, post), unless two neurons may have several synapses: these would
        # all get one weight, so each has its number in the row as counter.
        counter = rank if spec.scheme.by_rank else post
        if spec.law == WeightLaw.QUANTILES:
            # Integers up to the last step: then z has the same bits on every backend.
            at, part = sampler.slot(_word(rows, sampler.WEIGHT, counter))
            a, b = (quantiles[at + k].astype(jnp.uint32) for k in (jnp.uint32(0), jnp.uint32(1)))
            z = sampler.between(a, b, part).astype(jnp.int32).astype(jnp.float32)
        elif z is None:
            z = jnp.zeros((), jnp.float32)
        delay = jnp.zeros((), jnp.int32)
        if spec.delay_bits:
            w, shift = _word(rows, sampler.DELAY, counter), 32 - spec.delay_bits
            delay = sampler.look_up(delays[w >> shift], w, shift).astype(jnp.int32)
        if spec.scheme.exclude_autapses:
            exists = exists & (post != rows.pre[..., None])
        # Readers run past the end of short rows, which wait there for longer ones.
        exists = exists & (post < rows.n_post[..., None])
        return emit(carry, post.astype(jnp.int32), exists, z, delay)

    return _READERS[type(spec.scheme)](spec, table, rows, found, carry)


def _word(rows: Rows, role: int, counter: Any) -> UInt32[Array, "..."]:
    """Words behind the variates of each row; `counter` is a number or has one more axis."""
    k0, k1 = (k[..., None] for k in sampler.variate_key(rows.pre, rows.t0, rows.t1))
    return sampler.word(k0 + role, k1, counter)


# A reader takes the spec, the rule's table, rows, `found` and the carry, and returns the carry.
# Synapses of many rows are found side by side. Rows have different numbers of them, hence loops
# that end with the longest row (`while_loop`) and not a scan, whose length must be known.


def _uniform_gaps(
    spec: MatrixSpec, table: Array, rows: Rows, found: Callable[..., Any], carry: Any
) -> Any:
    """The braintaichi scheme; its laws draw from the same stream, before the gap."""
    del table
    scheme = spec.scheme
    assert isinstance(scheme, UniformGaps)
    start = sampler.hashed_line_state if scheme.hashed else sampler.line_state
    draws = _DRAWS.get(spec.law, 0)

    # A row that has ended waits at n_post for the others: further gaps would wrap its index around.
    def advance(state, post):
        state = sampler.next_state(*state)
        post = post + sampler.gap(sampler.word88(*state), scheme.clen)
        return state, jnp.minimum(post, rows.n_post)

    def step(loop):
        state, post, carry = loop
        units = []
        for _ in range(draws):
            state = sampler.next_state(*state)
            units.append(sampler.word88(*state).astype(jnp.float32) * jnp.float32(2.0**-32))
        z = units[0] if draws else None
        if draws == 2:  # Box and Muller; the first number may be 0, whose logarithm is infinite
            radius = jnp.sqrt(-2 * jnp.log(jnp.maximum(units[0], jnp.float32(1e-10))))
            z = radius * jnp.sin(jnp.float32(2 * math.pi) * units[1])
        z = None if z is None else z[..., None]
        carry = found(carry, post[..., None], jnp.ones((), bool), z)
        return *advance(state, post), carry

    before_first = jnp.full(rows.n_post.shape, MAX_WORD, jnp.uint32)  # the first gap leads from -1
    loop = (*advance(start(rows.t0 + rows.pre), before_first), carry)
    # All rows step together until the last has ended; `found` drops what lies beyond n_post.
    return lax.while_loop(lambda loop: jnp.any(loop[1] < rows.n_post), step, loop)[2]


def _by_block(bits: int, rows: Rows, block: Callable[..., Any], carry: Any) -> Any:
    """`carry` after ``carry = block(carry, begin, k0, k1)`` for all blocks of 2**bits targets.

    All rows read their block number b together, each under its own key.
    """

    def body(b, carry):
        k0, k1 = sampler.feistel(rows.pre, b, rows.t0, rows.t1)
        return block(carry, b << bits, k0, k1)

    blocks = jnp.uint32(((rows.longest - 1) >> bits) + 1)  # none where `longest` is 0
    return lax.fori_loop(jnp.uint32(0), blocks, body, carry)


def _geometric_gaps(
    spec: MatrixSpec, table: Array, rows: Rows, found: Callable[..., Any], carry: Any
) -> Any:
    scheme = spec.scheme
    assert isinstance(scheme, GeometricGaps)
    bits, high, low = scheme.block_bits, scheme.high_digit_bits, scheme.low_digit_bits
    shift, restart = 32 - high, (1 << high) - 1

    def block(carry, begin, k0, k1):
        # Targets of the row in this block; without the inner minimum a short row would wrap around.
        n = rows.n_post
        size = jnp.minimum(n - jnp.minimum(begin, n), jnp.uint32(1 << bits))

        def step(loop):
            i, c, carry = loop
            w = sampler.word(k0, k1, i)
            gap = sampler.look_up(table[w >> shift], w, shift)
            hit = gap != restart  # the last outcome says that the gap goes on
            i = i + 1
            if low:
                # The second word is drawn in any case, so that all rows stay at the same word i.
                w = sampler.word(k0, k1, i)
                part = sampler.look_up(table[(w >> (32 - low)) + (1 << high)], w, 32 - low)
                gap = (gap << low) + jnp.where(hit, part, 0)
                i = i + 1
            c = c + gap
            carry = found(carry, (begin + c)[..., None], (hit & (c < size))[..., None])
            # Capped, as rows that have ended step on with the others and would wrap around.
            return i, jnp.minimum(c + hit.astype(jnp.uint32), 1 << bits), carry

        start = (jnp.uint32(0), jnp.zeros(size.shape, jnp.uint32), carry)
        return lax.while_loop(lambda loop: jnp.any(loop[1] < size), step, start)[2]

    return _by_block(bits, rows, block, carry)


def _dense_blocks(
    spec: MatrixSpec, table: Array, rows: Rows, found: Callable[..., Any], carry: Any
) -> Any:
    del table
    scheme = spec.scheme
    assert isinstance(scheme, DenseBlocks)
    bits, whole, rest = scheme.block_bits, scheme.threshold, scheme.tie_threshold
    if whole == rest == 0:  # p = 0
        return carry

    def block(carry, begin, k0, k1):
        def chunk(first, carry):
            j = first * TARGETS + jnp.arange(TARGETS, dtype=jnp.uint32)
            j = jnp.expand_dims(j, tuple(range(k0.ndim)))
            a, b = k0[..., None], k1[..., None]
            # One target in 256 needs its second word, but targets are computed side by side. `rest`
            # may be 2**31 or more, which a plain number in jnp may not.
            tie = sampler.word(a + sampler.TIE, b, j)
            exists = sampler.dense_hit(sampler.word(a, b, j >> 2), j, tie, whole, jnp.uint32(rest))
            return found(carry, jnp.broadcast_to(begin + j, exists.shape), exists)

        return lax.fori_loop(jnp.uint32(0), jnp.uint32((1 << bits) // TARGETS), chunk, carry)

    return _by_block(bits, rows, block, carry)


def _permuted(
    k0: UInt32[Array, "*rows"],
    k1: UInt32[Array, "*rows"],
    x: UInt32[Array, "*rows"],
    scheme: EqualRows | CountedRows,
    size: Any,
) -> UInt32[Array, "*rows"]:
    """`sampler.permuted` of x, again until it is below `size`."""

    def permuted(at):
        high_count, low_bits = jnp.uint32(scheme.high_count), jnp.uint32(scheme.low_bits)
        return sampler.permuted(k0, k1, at, high_count, low_bits)

    def again(at):
        return jnp.where(at < size, at, permuted(at))

    # The domain may be larger. What falls outside is permuted again, which stays one to one: the
    # cycle through x comes back to x, so it meets a number below `size`.
    first = permuted(x)
    return lax.while_loop(lambda at: jnp.any(at >= size), again, first)


def _equal_rows(
    spec: MatrixSpec, table: Array, rows: Rows, found: Callable[..., Any], carry: Any
) -> Any:
    del table
    scheme = spec.scheme
    assert isinstance(scheme, EqualRows)
    n = scheme.n_post
    k0, k1 = sampler.feistel(rows.pre, jnp.uint32(0), rows.t0, rows.t1)

    def body(i, carry):
        if scheme.low_bits == 0:
            post = sampler.below(sampler.word(k0, k1, i), jnp.uint32(n))
        else:
            post = _permuted(k0, k1, jnp.broadcast_to(i, k0.shape), scheme, n)
        return found(carry, post[..., None], jnp.ones((), bool), rank=i)

    return lax.fori_loop(jnp.uint32(0), jnp.uint32(scheme.k), body, carry)


def _counted_rows(
    spec: MatrixSpec, table: Array, rows: Rows, found: Callable[..., Any], carry: Any
) -> Any:
    scheme = spec.scheme
    assert isinstance(scheme, CountedRows)
    k, uniform, n = scheme.slots, scheme.low_bits == 0, scheme.n_post
    at = jnp.asarray(rows.indptr_offset, jnp.uint32) + rows.pre
    start, end = (table[at + jnp.uint32(j)] for j in (0, 1))
    # The table is an operand and may hold anything: counts that fall are no rows.
    count = jnp.where((rows.n_post > 0) & (end > start), end - start, 0)
    zero = jnp.zeros((), jnp.uint32)
    # Uniform targets have a key for each row. Slots are permuted for the whole matrix, so that
    # every post neuron gets its number of synapses, whichever rows they belong to.
    if uniform:
        k0, k1 = sampler.feistel(rows.pre, zero, rows.t0, rows.t1)
    else:
        k0, k1 = sampler.feistel(zero, zero + sampler.SLOTS, rows.t0, rows.t1)

    def body(i, carry):
        if uniform:
            post = sampler.below(sampler.word(k0, k1, i), rows.n_post)
        else:
            # Rows that have ended read past their slots, outside what is permuted.
            place = jnp.minimum(start + i, jnp.uint32(k * n - 1))
            post = _permuted(k0, k1, place, scheme, jnp.uint32(k * n)) % n
        return found(carry, post[..., None], (i < count)[..., None], rank=i)

    return lax.fori_loop(jnp.uint32(0), jnp.max(count, initial=zero), body, carry)


def _diagonal(
    spec: MatrixSpec, table: Array, rows: Rows, found: Callable[..., Any], carry: Any
) -> Any:
    del spec, table
    return found(carry, rows.pre[..., None], jnp.ones((), bool))


def _grid_offsets(
    spec: MatrixSpec, table: Array, rows: Rows, found: Callable[..., Any], carry: Any
) -> Any:
    scheme = spec.scheme
    assert isinstance(scheme, GridOffsets)
    if scheme.offsets == 0:  # a table without entries cannot be indexed, even in a loop of no turns
        return carry
    rows_of_plane, columns = jnp.uint32(scheme.extent_1), jnp.uint32(scheme.extent_2)
    plane = rows_of_plane * columns
    extents = rows.n_post // plane, rows_of_plane, columns
    places = rows.pre // plane, rows.pre % plane // columns, rows.pre % columns

    def body(i: Array, carry: Any) -> Any:
        to = []
        for axis, (place, extent) in enumerate(zip(places, extents, strict=True)):
            by = table[jnp.uint32(3) * i + jnp.uint32(axis)]
            to.append(sampler.moved(place, by, extent))
        a, b, c = to
        # Beyond the first axis lies no neuron below n_post, whatever the others say.
        post = (a * rows_of_plane + b) * columns + c
        exists = (b < rows_of_plane) & (c < columns)
        return found(carry, post[..., None], exists[..., None])

    return lax.fori_loop(jnp.uint32(0), jnp.uint32(scheme.offsets), body, carry)


def _distances(
    spec: MatrixSpec, table: Array, rows: Rows, found: Callable[..., Any], carry: Any
) -> Any:
    assert isinstance(spec.scheme, Distances)
    return jnp_distances.read(spec.scheme, table, rows, found, carry)


def _typed_pairs(
    spec: MatrixSpec, table: Array, rows: Rows, found: Callable[..., Any], carry: Any
) -> Any:
    assert isinstance(spec.scheme, TypedPairs)
    return jnp_pairs.read(spec.scheme, table, rows, found, carry, TARGETS)


_READERS: dict[type, Callable[..., Any]] = {
    UniformGaps: _uniform_gaps,
    GeometricGaps: _geometric_gaps,
    DenseBlocks: _dense_blocks,
    EqualRows: _equal_rows,
    Diagonal: _diagonal,
    CountedRows: _counted_rows,
    GridOffsets: _grid_offsets,
    Distances: _distances,
    TypedPairs: _typed_pairs,
}


def over_nonzero(x: Shaped[Array, " n"], size: int, body: Callable[..., Any], carry: Any) -> Any:
    """`carry` after ``carry = body(carry, index, valid)`` for chunks of the non-zero entries of x.

    `index` and `valid` have `size` entries, or n if that is less. Entries that are not valid fill
    the last chunk.
    """
    fired = x if x.dtype == bool else x != 0
    # All neurons fit into one chunk: no list of those that fired is needed, and the program is half
    # as long to compile. A loop of one or no step skips the chunk where none fired.
    if x.shape[0] <= size:
        every = jnp.arange(x.shape[0], dtype=jnp.int32)
        once = jnp.any(fired).astype(jnp.int32)
        return lax.fori_loop(jnp.int32(0), once, lambda _, carry: body(carry, every, fired), carry)
    # The k-th neuron that fired is where the running count first reaches k: no sort, no scatter.
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


def chunk_size(rows_per_entry: int, spec: MatrixSpec) -> int:
    """How many entries of x to read the rows of at a time.

    Readers that try many targets at once for each row have fewer rows.
    """
    many = isinstance(spec.scheme, (DenseBlocks, Distances, TypedPairs))
    rows = ROWS // TARGETS if many else ROWS
    return max(1, rows // max(rows_per_entry, 1))
