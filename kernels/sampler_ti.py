"""The sampler and the draw format as Taichi functions (`evops.taichi`), and what kernels share."""

from math import pi

import taichi as ti

from _evops import module

_functions = module("taichi.py")
format = _functions._format

next_state = _functions.next_state
word88 = _functions.word88
feistel = _functions.feistel
word = _functions.word
look_up = _functions.look_up
dense_hit = _functions.dense_hit
below = _functions.below
ones = _functions.ones
permuted = _functions.permuted
moved = _functions.moved
variate_key = _functions.variate_key
slot = _functions.slot
between = _functions.between
next_gap = _functions.next_gap
TIE, WEIGHT, DELAY = _functions.TIE, _functions.WEIGHT, _functions.DELAY
SOURCES, SLOTS = _functions.SOURCES, _functions.SLOTS

displacement = _functions.displacement
magnitude = _functions.magnitude
slot_bits = _functions.slot_bits
distance_slot = _functions.distance_slot
division = _functions.division
on_line = _functions.on_line
chance = _functions.chance
in_frame = _functions.in_frame
in_shape = _functions.in_shape
both_ways = _functions.both_ways
leads = _functions.leads
# Where the parts of the table of distances begin.
sections = ti.func(format.distance_sections)

SYNAPSES_PER_BLOCK = format.SYNAPSES_PER_BLOCK
# The records of the draw format, from the words of a scheme.
uniform_gaps = _functions.unpacker(format.UniformGaps)
geometric_gaps = _functions.geometric_gaps
dense_blocks = _functions.unpacker(format.DenseBlocks)
equal_rows = _functions.unpacker(format.EqualRows)
counted_rows = _functions.unpacker(format.CountedRows)
grid_offsets = _functions.unpacker(format.GridOffsets)
distances = _functions.unpacker(format.Distances)
typed_pairs = _functions.unpacker(format.TypedPairs)

# Rows that are read side by side, so that the compiler can use vector registers.
LANES = 8
ELEMENT = {"i32": ti.i32, "f32": ti.f32, "f64": ti.f64}


def array(dtype, ndim=1):
    """An ndarray argument of a kernel."""
    return ti.types.ndarray(dtype=dtype, ndim=ndim)


@ti.func
def nobody():
    """A post neuron that does not exist."""
    return ti.u32(0) - ti.u32(1)  # a literal so large would be signed


@ti.func
def autapse(pre, words: ti.template()):
    """The post neuron to leave out: the pre neuron's own index, or nobody's."""
    leave_out = pre
    if words[1] == 0:
        leave_out = nobody()
    return leave_out


@ti.func
def neighbour(pre, i, n, grid, table: ti.template(), table_offset):
    """The post neuron, of n, at displacement i of a table, or one that does not exist."""
    plane = grid.extent_1 * grid.extent_2
    at = ti.i32(table_offset + ti.u32(3) * i)
    a = moved(pre // plane, table[at], n // plane)
    b = moved((pre % plane) // grid.extent_2, table[at + 1], grid.extent_1)
    c = moved(pre % grid.extent_2, table[at + 2], grid.extent_2)
    # Beyond the first axis lies no neuron below n, whatever the others say.
    post = (a * grid.extent_1 + b) * grid.extent_2 + c
    if (b >= grid.extent_1) | (c >= grid.extent_2):
        post = n
    return post


@ti.func
def first_state(row_seed, hashed):
    """State of a row before its first draw."""
    a, b, c = _functions.line_state(row_seed)
    if hashed != 0:
        a, b, c = _functions.hashed_line_state(row_seed)
    return a, b, c


@ti.func
def zeros(dtype: ti.template()):
    return ti.Vector([ti.cast(0, dtype)] * LANES, dtype)


@ti.func
def remainder(x, gaps):
    """x % clen for any word x, by multiplication: the same value as the sampler's ``%``.

    With reciprocal = min(floor(2**32 / clen), 2**32 - 1) the estimate q of the quotient is right or
    one too small. So x - q clen is the remainder, or the remainder plus clen. Subtracting clen is
    right in the second case and wraps around in the first; `min` takes the right one.
    """
    q = ti.cast((ti.cast(x, ti.u64) * ti.cast(gaps.reciprocal, ti.u64)) >> 32, ti.u32)
    r = x - q * gaps.clen
    return ti.min(r, r - gaps.clen)


@ti.func
def uniform(w):
    """A word as a number in [0, 1], as the braintaichi operators take it."""
    return ti.cast(w, ti.f32) * ti.f32(2.0**-32)


@ti.func
def normal(u, turn):
    """A normal number from two uniform ones (Box and Muller), as the braintaichi operators do."""
    radius = ti.sqrt(ti.f32(-2.0) * ti.log(ti.max(u, ti.f32(1e-10))))
    return radius * ti.sin(ti.f32(2 * pi) * turn)
