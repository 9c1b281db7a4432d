"""The primitives computed in plain JAX, with the jnp reader.

The native kernels refuse delays and slots outside the ring with an error. Here they become NaN,
since plain XLA cannot raise. Integers have no NaN: there such synapses add nothing.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int32, Num, Shaped, UInt32

from evops.connectivity.format import MatrixSpec, WeightLaw
from evops.engine.jnp_reader import Rows, chunk_size, for_each_synapse, over_nonzero
from evops.engine.populations import PopulationGrid


def _weight_of(
    weight: Num[Array, "... parameters"], z: Shaped[Array, "..."], spec: MatrixSpec
) -> Num[Array, "..."]:
    """Weights of synapses with variates `z`; the last axis of `weight` has their parameters."""
    if spec.law == WeightLaw.CONSTANT:
        return weight[..., 0]
    return weight[..., 0] + weight[..., 1] * z.astype(weight.dtype)


def _scatter(
    out: Num[Array, "*b n"],
    spec: MatrixSpec,
    tables: Sequence[Array | None],
    rows: Rows,
    base: Callable[[Array], Array],
    value: Callable[[Array], Array],
    entry: Int32[Array, ""] | None = None,
) -> Num[Array, "*b n"]:
    """``out[base(delay) + post] += value(z)`` for every synapse; of a batch of `out` in `entry`."""

    def emit(out, post, exists, z, delay):
        # Candidates that are no synapses point past the end, where the addition drops them.
        target = jnp.where(exists, base(delay) + post, out.shape[-1])
        place = target if entry is None else (entry, target)
        return out.at[place].add(jnp.broadcast_to(value(z), target.shape), mode="drop")

    return for_each_synapse(spec, tables, rows, emit, out)


def _gather(
    x: Shaped[Array, " n"],
    spec: MatrixSpec,
    tables: Sequence[Array | None],
    rows: Rows,
    base: Callable[[Array], Array],
    weight: Num[Array, "... parameters"] | None,
) -> Num[Array, "..."]:
    """Per row, the sum of ``x[base(delay) + post] * weight`` over synapses where x is not 0.

    Without `weight` the sum of x; of bools it is their number, int32.
    """

    def emit(total, post, exists, z, delay):
        # Candidates past the end of x read 0: indexing would clamp them to the last.
        value = x.at[base(delay) + post].get(mode="fill", fill_value=0)
        if x.dtype == bool:
            hit, value = exists & value, jnp.ones((), total.dtype)
        else:
            hit = exists & (value != 0)
        part = value if weight is None else value * _weight_of(weight[..., None, :], z, spec)
        return total + jnp.where(hit, part, jnp.zeros((), total.dtype)).sum(-1, dtype=total.dtype)

    dtype = x.dtype if weight is None else weight.dtype
    if weight is None and x.dtype == bool:
        dtype = jnp.int32
    return for_each_synapse(spec, tables, rows, emit, jnp.zeros(rows.n_post.shape, dtype))


def product(
    x: Shaped[Array, "x n_in"],
    weight: Num[Array, "k parameters"],
    seed: UInt32[Array, "k 2"],
    table: UInt32[Array, "_ _"],
    quantiles: Int32[Array, " _"],
    *,
    spec: MatrixSpec,
    n_out: int,
    gather: bool,
    per_input: int,
) -> Num[Array, "k n_out"]:
    """The product primitive's value (see `evops.engine.ops`)."""
    tables = table.reshape(-1), quantiles, None  # no delays are drawn in a product
    inputs, n_x = x.shape
    n_matrices = weight.shape[0]
    # The table of matrix k begins at k * stride: one table for all matrices, or one each.
    stride = table.shape[1] if table.shape[0] > 1 else 0
    # A constant weight is multiplied in once, at the end. The braintaichi scheme must round after
    # every addition to stay bit-exact.
    at_end = spec.law == WeightLaw.CONSTANT and not spec.published
    # Spikes with one weight are counted in integers, so that no order of additions matters.
    counted = at_end and x.dtype == bool
    # Floats may cancel to 0, which at the end looks like a target without synapses (`_weighted`).
    # So a weight that is not finite is multiplied in at each synapse, and 1 at the end. Counts
    # cannot cancel.
    finite = jnp.isfinite(weight)
    each = jnp.where(finite, 1, weight) if at_end else weight
    end = jnp.where(finite, weight, 1) if at_end and not counted else weight
    if gather:
        shape = (n_matrices, n_out)
        k = jnp.arange(n_matrices, dtype=jnp.int32)[:, None]
        # Matrices of weight 0 cost nothing: their rows reach no neuron.
        n = jnp.where((weight != 0).any(1, keepdims=True), jnp.uint32(n_x), jnp.uint32(0))
        pre = jnp.arange(n_out, dtype=jnp.uint32)[None]
        t0, t1, pre, n = (jnp.broadcast_to(o, shape) for o in (seed[:, :1], seed[:, 1:], pre, n))
        rows = Rows(t0, t1, pre, n, longest=n_x, indptr_offset=k * stride)
        # Where the row of x begins, by the formula of `ops`; synapses are along the last axis.
        base = jnp.broadcast_to(k // per_input % inputs * n_x, shape)[..., None]
        factor = None if counted else each[:, None]
        sums = _gather(x.reshape(-1), spec, tables, rows, lambda _: base, factor)
        return _weighted(end, sums) if at_end else sums
    # Entry (row r, neuron) of x drives the matrices that read row r: `per_input` from r * per_input
    # on, and again so many in each further round, `inputs * per_input` later.
    tile = n_matrices // (inputs * per_input)
    offset = jnp.arange(tile)[:, None] * inputs * per_input
    offset = offset + jnp.arange(per_input)[None]
    offset = offset.reshape(1, -1).astype(jnp.int32)
    flat = x.reshape(-1)

    # All rows of x as one list, so that silent neurons of all of them are skipped in one loop.
    def body(out, index, valid):
        which, pre = index // n_x, index % n_x
        k = which[:, None] * per_input + offset
        active = valid[:, None] & (weight[k] != 0).any(-1)
        n = jnp.where(active, jnp.uint32(n_out), jnp.uint32(0))
        pre = jnp.broadcast_to(pre.astype(jnp.uint32)[:, None], k.shape)
        t0, t1 = seed[k, 0], seed[k, 1]
        rows = Rows(t0, t1, pre, n, longest=n_out, indptr_offset=k * stride)
        factor = flat[index][:, None, None].astype(out.dtype)

        def value(z):
            return factor if counted else factor * _weight_of(each[k][..., None, :], z, spec)

        return _scatter(out, spec, tables, rows, lambda _: (k * n_out)[..., None], value)

    out = jnp.zeros(n_matrices * n_out, jnp.int32 if counted else weight.dtype)
    out = over_nonzero(flat, chunk_size(tile * per_input, spec), body, out)
    out = out.reshape(n_matrices, n_out)
    return _weighted(end, out) if at_end else out


def _weighted(weight: Num[Array, "k 1"], sums: Num[Array, "k n"]) -> Num[Array, "k n"]:
    """`weight` times `sums`; without a synapse an infinite weight adds nothing."""
    product = weight * sums.astype(weight.dtype)
    return jnp.where(jnp.isfinite(weight) | (sums != 0), product, 0)


class _Part(NamedTuple):
    """The pairs of a push that one spec draws: their populations, operands and tables.

    Attributes:
        spec: how they are drawn.
        grid: the pre and post populations that have such pairs.
        place: indices of these populations in the whole grid.
        weight: (S, T, 1 or 2) of these populations.
        seed: (S, T, 2).
        delay: (S, T), or (n_pre, C) where neurons have delays.
        tables: those of rule, law and delays, from where the spec's begin.
    """

    spec: MatrixSpec
    grid: PopulationGrid
    place: tuple[np.ndarray, np.ndarray]
    weight: jax.Array
    seed: jax.Array
    delay: jax.Array
    tables: list[jax.Array]

    def reads(self, ring_shape: tuple[int, ...], step: Int32[Array, ""]) -> Callable[..., Any]:
        """Function of pre neurons to their populations, the rows to read, and where these go.

        The function takes neurons (n,) and which of them are valid. It returns their populations
        (n,), the rows (n, T), a function of drawn delays to places in the flat ring, and which
        delays are wrong (n, T).
        """
        (slots, n_post), grid, weight = ring_shape, self.grid, self.weight
        population, row, offsets = (jnp.asarray(a) for a in (*grid.rows(), grid.indptr_offsets()))
        post_offset = jnp.asarray(grid.post_offset, jnp.int32)[None]
        post_size = jnp.asarray(grid.post_size, jnp.uint32)[None]

        def reads(index, valid):
            s = population[index]
            if grid.delay_column:
                steps = self.delay[index][:, jnp.asarray(grid.delay_column)]
            else:
                steps = self.delay[s]
            active = (valid & (s >= 0))[:, None] & (weight[s] != 0).any(-1)
            wrong = (steps < 0) | (steps >= slots) | (step < 0)
            # Integers cannot say NaN. They are left out: jnp would let them arrive at another time.
            if not jnp.issubdtype(weight.dtype, jnp.floating):
                active = active & ~wrong
            n = jnp.where(active, post_size, jnp.uint32(0))
            pre = jnp.broadcast_to(row[index].astype(jnp.uint32)[:, None], n.shape)
            t0, t1 = (self.seed[s, :, k] for k in (0, 1))
            longest = max(grid.post_size)
            rows = Rows(t0, t1, pre, n, longest=longest, indptr_offset=offsets[s])

            def base(drawn):
                at = (step + steps[..., None] + drawn) % slots * n_post
                return at + post_offset[..., None]

            return s, rows, base, wrong

        return reads


def _parts(
    grid: PopulationGrid,
    specs: tuple[MatrixSpec, ...],
    weight: Num[Array, "s t parameters"],
    seed: UInt32[Array, "s t 2"],
    delay: Int32[Array, "_ _"],
    tables: Sequence[Array],
) -> Iterator[_Part]:
    """The parts of a push, one for each spec: a reader reads one kind of rows at a time."""
    for k, spec in enumerate(specs):
        mine = grid.specs() == k
        if not mine.any():
            continue
        pre, post = (np.flatnonzero(mine.any(axis)) for axis in (1, 0))
        begins = spec.table_offset, spec.quantiles_offset, spec.delays_offset
        own = [table[begin:] for table, begin in zip(tables, begins, strict=True)]
        # One spec for all pairs, the usual case: nothing to cut out, which saves copies.
        if mine.all():
            yield _Part(spec, grid, (pre, post), weight, seed, delay, own)
            continue
        some, key = (o[pre][:, post] for o in (weight, seed))
        # The part is a whole grid. Pairs in it that other specs draw have weight 0 here: silent.
        some = jnp.where(mine[np.ix_(pre, post)][..., None], some, 0)
        steps = delay if grid.delay_column else delay[pre][:, post]
        part = grid.select(pre, post)
        yield _Part(spec, part, (pre, post), some, key, steps, own)


def push(
    ring: Num[Array, "*b slots n_post"],
    x: Shaped[Array, " n_pre"],
    weight: Num[Array, "s t parameters"],
    seed: UInt32[Array, "s t 2"],
    delay: Int32[Array, "_ _"],
    step: Int32[Array, ""],
    table: UInt32[Array, " _"],
    quantiles: Int32[Array, " _"],
    delays: UInt32[Array, " _"],
    *,
    grid: PopulationGrid,
    specs: tuple[MatrixSpec, ...],
    entry: Int32[Array, ""] | None = None,
) -> Num[Array, "*b slots n_post"]:
    """The push primitive's value (see `evops.engine.ring`); of a batch of rings one, `entry`."""
    for part in _parts(grid, specs, weight, seed, delay, (table, quantiles, delays)):
        reads = part.reads(ring.shape[-2:], step)

        # Defaults hold the variables of this round; a closure would see those of the last.
        def body(out, index, valid, part=part, reads=reads):
            s, rows, base, wrong = reads(index, valid)
            factor = x[index][:, None, None].astype(weight.dtype)
            if jnp.issubdtype(weight.dtype, jnp.floating):
                factor = jnp.where(wrong[..., None], jnp.nan, factor)
            each = part.weight[s][..., None, :]

            def value(z):
                return factor * _weight_of(each, z, part.spec)

            # Flat in here alone: XLA copies what it clears in place in another shape than it got.
            flat = out.reshape(*out.shape[:-2], -1)
            added = _scatter(flat, part.spec, part.tables, rows, base, value, entry)
            return added.reshape(out.shape)

        ring = over_nonzero(x, chunk_size(part.weight.shape[1], part.spec), body, ring)
    return ring


def pop(
    ring: Num[Array, "slots n"], step: Int32[Array, ""]
) -> tuple[Num[Array, "slots n"], Num[Array, " n"]]:
    """The pop primitive's values (see `evops.engine.ring`)."""
    # dynamic_index clamps a step outside the ring, so another slot would come out without a word.
    wrong = (step < 0) | (step >= ring.shape[0])
    once = jnp.where(wrong, jnp.int32(0), jnp.int32(1))
    nothing = jnp.nan if jnp.issubdtype(ring.dtype, jnp.floating) else 0

    def read(carry):
        return carry[0] + 1, lax.dynamic_index_in_dim(ring, step, keepdims=False)

    # A loop of one step. What clears the slot waits for its count: XLA, which may read where `now`
    # is used, would else clear a copy of the ring.
    start = jnp.int32(0), jnp.full(ring.shape[1:], nothing, ring.dtype)
    count, now = lax.while_loop(lambda carry: carry[0] < once, read, start)
    slot = jnp.where(count == once, step, 0)
    return lax.dynamic_update_index_in_dim(ring, jnp.zeros_like(now), slot, 0), now


def push_back(
    ct: Num[Array, "slots n_post"],
    known: Shaped[Array, "..."],
    seed: UInt32[Array, "s t 2"],
    delay: Int32[Array, "_ _"],
    step: Int32[Array, ""],
    table: UInt32[Array, " _"],
    quantiles: Int32[Array, " _"],
    delays: UInt32[Array, " _"],
    *,
    of: str,
    grid: PopulationGrid,
    specs: tuple[MatrixSpec, ...],
) -> Num[Array, "..."]:
    """The push_back primitive's value (see `evops.engine.ring`)."""
    # Derivatives in x read all rows of all neurons; those in weights only rows of neurons that
    # fired.
    x: Any = None if of == "x" else known
    pairs = (*seed.shape[:2], max(spec.parameters for spec in specs))
    weight = known if x is None else jnp.ones(pairs, ct.dtype)
    total = jnp.zeros(grid.n_pre if x is None else pairs, ct.dtype)
    for part in _parts(grid, specs, weight, seed, delay, (table, quantiles, delays)):
        reads = part.reads(ct.shape, step)
        sums_of = functools.partial(_gather, ct.reshape(-1), part.spec, part.tables)

        def add_x(total, index, valid, part=part, reads=reads, sums_of=sums_of):
            s, rows, base, wrong = reads(index, valid)
            sums = jnp.where(wrong, jnp.nan, sums_of(rows, base, part.weight[s]))
            drop = jnp.where(valid, index, grid.n_pre)  # past the end: those that are no neurons
            return total.at[drop].add(sums.sum(1), mode="drop")

        def add_weight(total, index, valid, part=part, reads=reads, sums_of=sums_of):
            s, rows, base, wrong = reads(index, valid)
            # Linear in the parameters: the derivative in each is the sum with a unit weight.
            units = jnp.eye(part.spec.parameters, dtype=ct.dtype)[:, None, None]
            columns = jnp.stack([sums_of(rows, base, unit) for unit in units], -1)
            columns = jnp.where(wrong[..., None], jnp.nan, columns)
            columns = columns * jnp.asarray(x)[index][:, None, None].astype(ct.dtype)
            return total.at[s, :, : part.spec.parameters].add(columns, mode="drop")

        size = chunk_size(part.weight.shape[1], part.spec)
        if x is None:
            total = over_nonzero(jnp.ones(grid.n_pre, bool), size, add_x, total)
        else:
            own = over_nonzero(x, size, add_weight, jnp.zeros(part.weight.shape, ct.dtype))
            total = total.at[np.ix_(*part.place)].add(own)
    return total
