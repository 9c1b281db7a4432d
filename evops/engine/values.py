"""The primitives' values in plain JAX, on the jnp reader."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from evops.engine.walk import CONSTANT, Lines, Source, chunk_size, over_nonzero, walk


def _weight_of(weight, z, source: Source):
    """Weight of a synapse with variate `z`; `weight` has its parameters along the last axis."""
    if source.law == CONSTANT:
        return weight[..., 0]
    return weight[..., 0] + weight[..., 1] * z.astype(weight.dtype)


def _scatter(out, source, tables, lines: Lines, base, value):
    """``out[base(delay) + post] += value(z)`` for every synapse; `out` is flat."""

    def visit(out, post, exists, z, delay):
        target = jnp.where(exists, base(delay) + post, out.shape[0])
        return out.at[target].add(jnp.broadcast_to(value(z), target.shape), mode="drop")

    return walk(source, tables, lines, visit, out)


def _gather(x, source, tables, lines: Lines, base, weight):
    """Per line, the sum of ``x[base(delay) + post] * weight`` over synapses where x is not 0."""

    def visit(total, post, exists, z, delay):
        value = x.at[base(delay) + post].get(mode="fill", fill_value=0)
        if x.dtype == bool:
            hit, value = exists & value, jnp.ones((), total.dtype)
        else:
            hit = exists & (value != 0)
        part = value if weight is None else value * _weight_of(weight[..., None, :], z, source)
        return total + jnp.where(hit, part, jnp.zeros((), total.dtype)).sum(-1, dtype=total.dtype)

    dtype = x.dtype if weight is None else weight.dtype
    if weight is None and x.dtype == bool:
        dtype = jnp.int32
    return walk(source, tables, lines, visit, jnp.zeros(lines.n.shape, dtype))


def product(x, weight, seed, table, quantiles, *, source: Source, n_out, gather, repeat):
    """The product primitive's value (see `evops.engine.ops`)."""
    tables = table.reshape(-1), quantiles, None
    rows, n_x = x.shape
    instances = weight.shape[0]
    # where the table of instance k begins
    stride = table.shape[1] if table.shape[0] > 1 else 0
    # One weight for all is applied at the end, except where the published scheme rounds each time.
    late = source.law == CONSTANT and not source.published
    # So is one that is not finite, to x that may cancel.
    counted = late and x.dtype == bool
    finite = jnp.isfinite(weight)
    each = jnp.where(finite, 1, weight) if late else weight
    end = jnp.where(finite, weight, 1) if late and not counted else weight
    if gather:
        shape = (instances, n_out)
        k = jnp.arange(instances, dtype=jnp.int32)[:, None]
        n = jnp.where((weight != 0).any(1, keepdims=True), jnp.uint32(n_x), jnp.uint32(0))
        line = jnp.arange(n_out, dtype=jnp.uint32)[None]
        t0, t1, line, n = (jnp.broadcast_to(o, shape) for o in (seed[:, :1], seed[:, 1:], line, n))
        lines = Lines(t0, t1, line, n, longest=n_x, at=k * stride)
        base = jnp.broadcast_to(k // repeat % rows * n_x, shape)[..., None]
        factor = None if counted else each[:, None]
        sums = _gather(x.reshape(-1), source, tables, lines, lambda _: base, factor)
        return _weighted(end, sums) if late else sums
    tile = instances // (rows * repeat)
    offset = jnp.arange(tile)[:, None] * rows * repeat + jnp.arange(repeat)[None]
    offset = offset.reshape(1, -1).astype(jnp.int32)
    flat = x.reshape(-1)

    def body(out, index, valid):
        row, line = index // n_x, index % n_x
        k = row[:, None] * repeat + offset
        active = valid[:, None] & (weight[k] != 0).any(-1)
        n = jnp.where(active, jnp.uint32(n_out), jnp.uint32(0))
        line = jnp.broadcast_to(line.astype(jnp.uint32)[:, None], k.shape)
        lines = Lines(seed[k, 0], seed[k, 1], line, n, longest=n_out, at=k * stride)
        factor = flat[index][:, None, None].astype(out.dtype)

        def value(z):
            return factor if counted else factor * _weight_of(each[k][..., None, :], z, source)

        return _scatter(out, source, tables, lines, lambda _: (k * n_out)[..., None], value)

    out = jnp.zeros(instances * n_out, jnp.int32 if counted else weight.dtype)
    out = over_nonzero(flat, chunk_size(tile * repeat, source), body, out)
    out = out.reshape(instances, n_out)
    return _weighted(end, out) if late else out


def _weighted(weight, sums):
    """`weight` times `sums`; nothing comes of an infinite weight where there is no synapse."""
    product = weight * sums.astype(weight.dtype)
    return jnp.where(jnp.isfinite(weight) | (sums != 0), product, 0)


class _Part(NamedTuple):
    """What one source draws of a push: its blocks, which they are, their operands, its tables."""

    source: Source
    blocks: Any
    place: tuple[np.ndarray, np.ndarray]
    weight: jax.Array
    seed: jax.Array
    delay: jax.Array
    tables: list[jax.Array]

    def lines(self, ring_shape, step):
        """Function of pre indices: source block, lines and bases, one for every target block."""
        (slots, n_post), blocks, weight = ring_shape, self.blocks, self.weight
        block, line, starts = (jnp.asarray(a) for a in (*blocks.lines(), blocks.starts()))
        post_offset = jnp.asarray(blocks.post_offset, jnp.int32)[None]
        post_size = jnp.asarray(blocks.post_size, jnp.uint32)[None]

        def lines(index, valid):
            s = block[index]
            if blocks.delay_column:
                steps = self.delay[index][:, jnp.asarray(blocks.delay_column)]
            else:
                steps = self.delay[s]
            active = (valid & (s >= 0))[:, None] & (weight[s] != 0).any(-1)
            wrong = (steps < 0) | (steps >= slots) | (step < 0)
            if not jnp.issubdtype(weight.dtype, jnp.floating):
                active = active & ~wrong
            n = jnp.where(active, post_size, jnp.uint32(0))
            pre = jnp.broadcast_to(line[index].astype(jnp.uint32)[:, None], n.shape)
            t0, t1 = (self.seed[s, :, k] for k in (0, 1))
            walked = Lines(t0, t1, pre, n, longest=max(blocks.post_size), at=starts[s])

            def base(drawn):
                at = (step + steps[..., None] + drawn) % slots * n_post
                return at + post_offset[..., None]

            return s, walked, base, wrong

        return lines


def _parts(blocks, sources, weight, seed, delay, tables):
    """The parts of a push."""
    for k, source in enumerate(sources):
        mine = blocks.sources() == k
        if not mine.any():
            continue
        rows, columns = (np.flatnonzero(mine.any(axis)) for axis in (1, 0))
        begins = source.table_at, source.quantiles_at, source.delays_at
        own = [table[begin:] for table, begin in zip(tables, begins, strict=True)]
        if mine.all():
            yield _Part(source, blocks, (rows, columns), weight, seed, delay, own)
            continue
        some, key = (o[rows][:, columns] for o in (weight, seed))
        some = jnp.where(mine[np.ix_(rows, columns)][..., None], some, 0)
        steps = delay if blocks.delay_column else delay[rows][:, columns]
        part = blocks.select(rows, columns)
        yield _Part(source, part, (rows, columns), some, key, steps, own)


def push(ring, x, weight, seed, delay, step, table, quantiles, delays, *, blocks, sources):
    """The push primitive's value (see `evops.engine.ring`)."""
    out = ring.reshape(-1)
    for part in _parts(blocks, sources, weight, seed, delay, (table, quantiles, delays)):
        lines = part.lines(ring.shape, step)

        def body(out, index, valid, part=part, lines=lines):
            s, walked, base, wrong = lines(index, valid)
            factor = x[index][:, None, None].astype(weight.dtype)
            if jnp.issubdtype(weight.dtype, jnp.floating):  # plain XLA cannot raise
                factor = jnp.where(wrong[..., None], jnp.nan, factor)
            each = part.weight[s][..., None, :]

            def value(z):
                return factor * _weight_of(each, z, part.source)

            return _scatter(out, part.source, part.tables, walked, base, value)

        out = over_nonzero(x, chunk_size(part.weight.shape[1], part.source), body, out)
    return out.reshape(ring.shape)


def pop(ring, step):
    """The pop primitive's values (see `evops.engine.ring`)."""
    now = lax.dynamic_index_in_dim(ring, step, keepdims=False)
    wrong = (step < 0) | (step >= ring.shape[0])  # plain XLA cannot raise
    now = jnp.where(wrong, jnp.nan if jnp.issubdtype(now.dtype, jnp.floating) else 0, now)
    return lax.dynamic_update_index_in_dim(ring, jnp.zeros_like(now), step, 0), now


def push_back(ct, known, seed, delay, step, table, quantiles, delays, *, of, blocks, sources):
    """The push_back primitive's value (see `evops.engine.ring`)."""
    x: Any = None if of == "x" else known
    pairs = (*seed.shape[:2], max(source.parameters for source in sources))
    weight = known if x is None else jnp.ones(pairs, ct.dtype)
    total = jnp.zeros(blocks.n_pre if x is None else pairs, ct.dtype)
    for part in _parts(blocks, sources, weight, seed, delay, (table, quantiles, delays)):
        lines = part.lines(ct.shape, step)
        sums_of = functools.partial(_gather, ct.reshape(-1), part.source, part.tables)

        def add_x(total, index, valid, part=part, lines=lines, sums_of=sums_of):
            s, walked, base, wrong = lines(index, valid)
            sums = jnp.where(wrong, jnp.nan, sums_of(walked, base, part.weight[s]))
            drop = jnp.where(valid, index, blocks.n_pre)
            return total.at[drop].add(sums.sum(1), mode="drop")

        def add_weight(total, index, valid, part=part, lines=lines, sums_of=sums_of):
            s, walked, base, wrong = lines(index, valid)
            units = jnp.eye(part.source.parameters, dtype=ct.dtype)[:, None, None]
            columns = jnp.stack([sums_of(walked, base, unit) for unit in units], -1)
            columns = jnp.where(wrong[..., None], jnp.nan, columns)
            columns = columns * jnp.asarray(x)[index][:, None, None].astype(ct.dtype)
            return total.at[s, :, : part.source.parameters].add(columns, mode="drop")

        size = chunk_size(part.weight.shape[1], part.source)
        if x is None:
            total = over_nonzero(jnp.ones(blocks.n_pre, bool), size, add_x, total)
        else:
            own = over_nonzero(x, size, add_weight, jnp.zeros(part.weight.shape, ct.dtype))
            total = total.at[np.ix_(*part.place)].add(own)
    return total


def edges(key, tables, indptr, *, source: Source, n_post, synapses):
    """Post neuron, variate and drawn delay of every synapse (see `evops.engine.ops`)."""
    n_pre = indptr.shape[0] - 1
    tables = tables[0].reshape(-1), *tables[1:]
    size = chunk_size(1, source)
    varied = source.law != CONSTANT

    def chunk(first, carry):
        pre = first * size + jnp.arange(size, dtype=jnp.int32)
        n = jnp.where(pre < n_pre, jnp.uint32(n_post), jnp.uint32(0))
        t0, t1 = (jnp.broadcast_to(key[k], n.shape) for k in (0, 1))
        lines = Lines(t0, t1, jnp.minimum(pre, n_pre - 1).astype(jnp.uint32), n, longest=n_post)

        def visit(carry, post, exists, z, delay):
            at, *arrays = carry
            rank = at[:, None] + jnp.cumsum(exists, -1, dtype=jnp.int32) - 1
            place = jnp.where(exists, rank, synapses)
            put = [
                old.at[place].set(jnp.broadcast_to(new, place.shape), mode="drop")
                if old.size
                else old
                for old, new in zip(arrays, (post, z, delay), strict=True)
            ]
            return at + exists.sum(-1, dtype=jnp.int32), *put

        start = indptr[jnp.minimum(pre, n_pre)]
        return walk(source, tables, lines, visit, (start, *carry))[1:]

    empty = (
        jnp.zeros(synapses, jnp.int32),
        jnp.zeros(synapses if varied else 0, jnp.float32),
        jnp.zeros(synapses if source.delay_bits else 0, jnp.int32),
    )
    chunks = jnp.int32(-(-n_pre // size))
    return lax.fori_loop(jnp.int32(0), chunks, chunk, empty)
