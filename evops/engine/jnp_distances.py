"""The jnp reader of rules of distance: see `evops.engine.jnp_reader`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from evops.connectivity import sampler
from evops.connectivity.format import (
    DISTANCE_SLOTS,
    DISTANCE_UNITS,
    MAX_SQUARE,
    NODE,
    SHAPE_WORDS,
    Distances,
)


class _Table:
    """The table of a rule of distance, by the parts of `format.distance_sections`."""

    def __init__(self, scheme: Distances, table: jax.Array, offset: Any):
        self.scheme, self._table = scheme, table
        self._offset = jnp.asarray(offset, jnp.uint32)
        (
            self.periods,
            self.jumps,
            self.truth,
            self.mask,
            self.bounds,
            self.slots,
            self.knots,
            self.pre,
            self.ids,
            self.post,
            _,
            self.nodes,
            _,
        ) = scheme.sections
        self.count = -(-scheme.n_post // NODE)

    def __getitem__(self, at: Any) -> jax.Array:
        """The words at these places, counted from the table's beginning."""
        return self._table[self._offset + jnp.asarray(at, jnp.uint32)]

    def run(self, begin: int, size: int, axes: int) -> jax.Array:
        """Words in a row, along one more axis than there are in so many."""
        return self[_last(begin + jnp.arange(size, dtype=jnp.uint32), axes)]


def _last(row: jax.Array, axes: int) -> jax.Array:
    """A row of numbers along an axis after so many others."""
    return jnp.expand_dims(row, tuple(range(axes)))


def _near(table: _Table, at: list[jax.Array]) -> jax.Array:
    """Which nodes have a box that reaches into the cut-off round places: (…, nodes)."""
    n, rows = table.count, -(-table.count // 16) * 16
    near, square = jnp.ones((), bool), jnp.zeros((), jnp.uint32)
    for axis, place in enumerate(at):
        begin = table.nodes + 2 * axis * rows
        low, high = (table.run(begin + k, n, place.ndim) for k in (0, rows))
        period, here = table[table.periods + axis], place[..., None]
        inside = (here - low) <= (high - low)
        ends = (sampler.magnitude(sampler.displacement(here, e, period)) for e in (low, high))
        apart = jnp.where(inside, 0, jnp.minimum(*ends))
        near &= apart <= DISTANCE_UNITS + 1
        square = square + apart * apart
    return near & (square <= MAX_SQUARE)


def _probability(table: _Table, square: jax.Array) -> jax.Array:
    """Probability at squares of distances, in units of 2**-31."""
    piece = jnp.zeros((), jnp.uint32)
    for k in range(table.scheme.breaks):
        piece = piece + (square >= table[table.jumps + k]).astype(jnp.uint32)
    bits = sampler.slot_bits(square)
    slot = sampler.distance_slot(square, bits)
    entry = table[table.slots + piece * DISTANCE_SLOTS + slot]
    at, part = sampler.division(entry, square, bits)
    at = jnp.minimum(at, table.scheme.knots - 2)  # a table at run time may be wrong
    return sampler.on_line(table[table.knots + at], table[table.knots + at + 1], part)


def _allowed(table: _Table, by: list[jax.Array]) -> jax.Array:
    """Whether the mask allows displacements."""
    zero = jnp.zeros((), jnp.uint32)
    x, y, z = [*by, zero, zero][:3]
    which = zero
    for shape in range(table.scheme.shapes):
        w = [table[table.mask + SHAPE_WORDS * shape + k] for k in range(SHAPE_WORDS)]
        e = [sampler.in_frame(x, y, z, *w[3 * k : 3 * k + 3]) for k in range(3)]
        which = which | (sampler.in_shape(*e, *w[9:]).astype(jnp.uint32) << shape)
    return (table[table.truth + (which >> 5)] >> (which & 31)) & 1 != 0


def read(
    scheme: Distances,
    table: jax.Array,
    rows: Any,
    found: Callable[..., Any],
    carry: Any,
) -> Any:
    """`carry` after `found` for all candidates of all rows; see `jnp_reader`."""
    t = _Table(scheme, table, 0)
    pre = jnp.minimum(rows.pre, scheme.n_pre - 1)
    at = [t[t.pre + axis * scheme.n_pre + pre] for axis in range(scheme.axes)]
    near = _near(t, at) & (rows.n_post > 0)[..., None]
    count = near.sum(-1)
    order = jnp.argsort(~near, axis=-1, stable=True)
    k0, k1 = (k[..., None] for k in sampler.feistel(rows.pre, jnp.uint32(0), rows.t0, rows.t1))
    room, inside = t.count * NODE, _last(jnp.arange(NODE, dtype=jnp.uint32), pre.ndim)

    def node(i, carry):
        place = order[..., i].astype(jnp.uint32)[..., None] * NODE + inside
        post = t[t.ids + place]
        by, square, close = [], 0, (i < count)[..., None]
        for axis in range(scheme.axes):
            to = t[t.post + axis * room + place]
            by.append(sampler.displacement(at[axis][..., None], to, t[t.periods + axis]))
            apart = sampler.magnitude(by[axis])
            close &= apart <= DISTANCE_UNITS + 1
            square = square + apart * apart
        close &= square <= MAX_SQUARE
        p = _probability(t, jnp.minimum(square, MAX_SQUARE))
        if scheme.shapes:
            close &= _allowed(t, by)
        w = sampler.word(k0, k1, post)
        hit = close & (p > t[0]) & ((w >> 1) < sampler.chance(p))
        return found(carry, post, hit)

    return lax.fori_loop(0, jnp.max(count, initial=0), node, carry)
