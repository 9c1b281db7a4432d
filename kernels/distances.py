"""The table of a rule of distance, for the readers in Taichi: boxes, probabilities, a mask.

A table at run time may be wrong. So every index stays inside it, and `post_at` may be any number.
"""

import taichi as ti

from sampler_ti import (
    displacement,
    distance_slot,
    division,
    format,
    in_frame,
    in_shape,
    magnitude,
    on_line,
    sections,
    slot_bits,
)

A = ti.template()
LEAF, NODE = format.LEAF, format.NODE
SLOTS, SHAPE_WORDS = format.DISTANCE_SLOTS, format.SHAPE_WORDS
FURTHEST, MAX_SQUARE = format.DISTANCE_UNITS + 1, format.MAX_SQUARE


@ti.func
def _sections(d):
    return sections(d.n_pre, d.n_post, d.axes, d.breaks, d.shapes, d.knots)


@ti.func
def _word(table: A, at):
    return table[ti.i32(at)]


@ti.func
def _place(d, begin, of_axis, axis, index, table: A):
    """A word of an axis, of sections that have `of_axis` words for each."""
    return _word(table, begin + ti.u32(axis) * of_axis + index)


@ti.func
def _box_bound(d, pre, box, begin, count, table: A):
    """The largest probability of a pair with a neuron in a box; 0 beyond the cut-off."""
    periods, _1, _2, _3, bounds, _5, _6, of_pre, _8, _9, _10, _11, _12 = _sections(d)
    square, near = ti.u32(0), True
    for axis in range(ti.i32(d.axes)):
        here = _place(d, of_pre, d.n_pre, axis, ti.min(pre, d.n_pre - 1), table)
        period = _word(table, periods + ti.u32(axis))
        low = _place(d, begin, count, 2 * axis, box, table)
        high = _place(d, begin, count, 2 * axis + 1, box, table)
        apart = ti.u32(0)
        if here - low > high - low:
            apart = ti.min(
                magnitude(displacement(here, low, period)),
                magnitude(displacement(here, high, period)),
            )
        near = near & (apart <= FURTHEST)
        square += apart * apart
    most = ti.u32(0)
    if near & (square <= MAX_SQUARE):
        most = _word(table, bounds + distance_slot(square, slot_bits(square)))
    return most


@ti.func
def node_bound(d, pre, node, table: A):
    _0, _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, of_nodes, _12 = _sections(d)
    nodes = (d.n_post + ti.u32(NODE - 1)) // ti.u32(NODE)
    rows = (nodes + ti.u32(LEAF - 1)) // ti.u32(LEAF) * ti.u32(LEAF)
    return _box_bound(d, pre, node, of_nodes, rows, table)


@ti.func
def leaf_bound(d, pre, leaf, table: A):
    _0, _1, _2, _3, _4, _5, _6, _7, _8, _9, of_leaves, _11, _12 = _sections(d)
    nodes = (d.n_post + ti.u32(NODE - 1)) // ti.u32(NODE)
    return _box_bound(d, pre, leaf, of_leaves, nodes * ti.u32(LEAF), table)


@ti.func
def post_at(d, place, table: A):
    """The post neuron at a place of the tree; a number that is none where there is no neuron."""
    _0, _1, _2, _3, _4, _5, _6, _7, ids, _9, _10, _11, _12 = _sections(d)
    return _word(table, ids + place)


@ti.func
def _at_square(d, square, table: A):
    _0, jumps, _2, _3, _4, slots, knots, _7, _8, _9, _10, _11, _12 = _sections(d)
    piece = ti.u32(0)
    for k in range(ti.i32(d.breaks)):
        if square >= _word(table, jumps + ti.u32(k)):
            piece += 1
    bits = slot_bits(square)
    entry = _word(table, slots + piece * SLOTS + distance_slot(square, bits))
    at, part = division(entry, square, bits)
    at = ti.min(at, d.knots - 2)
    return on_line(_word(table, knots + at), _word(table, knots + at + 1), part)


@ti.func
def _allowed(d, x, y, z, table: A):
    """Whether the mask allows a displacement."""
    _0, _1, truth, mask, _4, _5, _6, _7, _8, _9, _10, _11, _12 = _sections(d)
    which = ti.u32(0)
    for k in range(ti.i32(d.shapes)):
        w = mask + ti.u32(k * SHAPE_WORDS)
        e = ti.Vector([ti.u32(0)] * 3)
        for axis in ti.static(range(3)):
            m = w + ti.u32(3 * axis)
            e[axis] = in_frame(x, y, z, _word(table, m), _word(table, m + 1), _word(table, m + 2))
        low, span = w + ti.u32(9), w + ti.u32(12)
        if in_shape(
            e[0],
            e[1],
            e[2],
            _word(table, low),
            _word(table, low + 1),
            _word(table, low + 2),
            _word(table, span),
            _word(table, span + 1),
            _word(table, span + 2),
            _word(table, w + ti.u32(15)),
        ):
            which |= ti.u32(1) << ti.u32(k)
    return ((_word(table, truth + (which >> 5)) >> (which & 31)) & 1) != 0


@ti.func
def probability(d, pre, place, table: A):
    """Of a pair, in units of 2**-31; 0 where it is left out."""
    periods, _1, _2, _3, _4, _5, _6, of_pre, _8, of_post, _10, _11, _12 = _sections(d)
    room = (d.n_post + ti.u32(NODE - 1)) // ti.u32(NODE) * ti.u32(NODE)
    by, square, near = ti.Vector([ti.u32(0)] * 3), ti.u32(0), True
    for axis in ti.static(range(3)):
        if ti.u32(axis) < d.axes:
            here = _place(d, of_pre, d.n_pre, axis, ti.min(pre, d.n_pre - 1), table)
            there = _place(d, of_post, room, axis, place, table)
            by[axis] = displacement(here, there, _word(table, periods + ti.u32(axis)))
            apart = magnitude(by[axis])
            near = near & (apart <= FURTHEST)
            square += apart * apart
    p = ti.u32(0)
    if near & (square <= MAX_SQUARE):
        p = _at_square(d, square, table)
        if d.shapes > 0:
            if not _allowed(d, by[0], by[1], by[2], table):
                p = ti.u32(0)
    if p <= table[0]:
        p = ti.u32(0)
    return p
