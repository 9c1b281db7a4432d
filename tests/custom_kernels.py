"""Kernels as users write them: the four of the published notebook, and small ones for each rule."""

import taichi as ti

import evops.taichi as et
from evops.taichi import lfsr88_key, lfsr88_random_integers

SCALE = 3
TABLE = (1.0, 2.5, -4.0)


class Settings:
    """What a user's notebook calls its parameters."""

    shift = 2

    class inner:
        factor = 0.5


# ---- The published notebook's kernels (its GPU kernel of I cells names the wrong number of axes).


@ti.kernel
def _multiple_area_event_mv_prob_homo_irregular_cpu_E(
    events: ti.types.ndarray(ndim=1),  # 1D array of events, where nonzero values indicate a spike.
    weight: ti.types.ndarray(ndim=1),  # 1D array of weights, one per area.
    clen: ti.types.ndarray(ndim=1),  # 1D array containing the upper limit for random integers.
    seed: ti.types.ndarray(ndim=1),  # 1D array of seeds, one per area.
    out: ti.types.ndarray(ndim=2),  # 2D output array.
):
    num_row = out.shape[1]  # Number of rows in the output array.
    num_col = events.shape[0]  # Number of columns (events) to process.
    clen0 = clen[0]  # Upper limit for random integer generation.

    for i_col in range(num_col):  # Iterate over each event.
        if events[i_col] != 0.0:  # Check if the current event occurred (nonzero).
            for i_area in range(out.shape[0]):  # Iterate over each area.
                key = lfsr88_key(seed[i_area] + i_col)
                key, i_row = lfsr88_random_integers(key, 0, clen0 - 1)
                while i_row < num_row:  # Ensure the random index is within bounds.
                    out[i_area, i_row] += weight[i_area]
                    key, inc = lfsr88_random_integers(key, 1, clen0)
                    i_row += inc


@ti.kernel
def _multiple_area_event_mv_prob_homo_irregular_gpu_E(
    events: ti.types.ndarray(ndim=1),
    weight: ti.types.ndarray(ndim=1),
    clen: ti.types.ndarray(ndim=1),
    seed: ti.types.ndarray(ndim=1),
    out: ti.types.ndarray(ndim=2),
):
    num_row = out.shape[1]
    num_col = events.shape[0]
    clen0 = clen[0]
    area_num = out.shape[0]

    # Due to the arch of GPU, use ti.ndrange for parallel processing across events and areas.
    for i_col, i_area in ti.ndrange(num_col, area_num):
        if events[i_col] != 0.0:
            key = lfsr88_key(seed[i_area] + i_col)
            key, i_row = lfsr88_random_integers(key, 0, clen0 - 1)
            while i_row < num_row:
                out[i_area, i_row] += weight[i_area]
                key, inc = lfsr88_random_integers(key, 1, clen0)
                i_row += inc


@ti.kernel
def _multiple_area_event_mv_prob_homo_irregular_cpu_I(
    events: ti.types.ndarray(ndim=2),  # 2D array of events of each area.
    weight: ti.types.ndarray(ndim=1),
    clen: ti.types.ndarray(ndim=1),
    seed: ti.types.ndarray(ndim=1),
    out: ti.types.ndarray(ndim=2),
):
    num_row = out.shape[1]
    num_col = events.shape[1]
    clen0 = clen[0]
    weight0 = weight[0]  # Each area has same weight

    for i_col in range(num_col):
        for i_area in range(out.shape[0]):  # Inhibitory neurons affect only those in their region
            if events[i_area, i_col] != 0.0:
                key = lfsr88_key(seed[i_area] + i_col)
                key, i_row = lfsr88_random_integers(key, 0, clen0 - 1)
                while i_row < num_row:
                    out[i_area, i_row] += weight0
                    key, inc = lfsr88_random_integers(key, 1, clen0)
                    i_row += inc


@ti.kernel
def _multiple_area_event_mv_prob_homo_irregular_gpu_I(
    events: ti.types.ndarray(ndim=2),
    weight: ti.types.ndarray(ndim=1),
    clen: ti.types.ndarray(ndim=1),
    seed: ti.types.ndarray(ndim=1),
    out: ti.types.ndarray(ndim=2),
):
    num_row = out.shape[1]
    num_col = events.shape[1]
    weight0 = weight[0]
    clen0 = clen[0]
    area_num = out.shape[0]

    for i_col, i_area in ti.ndrange(num_col, area_num):
        if events[i_area, i_col] != 0.0:
            key = lfsr88_key(seed[i_area] + i_col)
            key, i_row = lfsr88_random_integers(key, 0, clen0 - 1)
            while i_row < num_row:
                out[i_area, i_row] += weight0
                key, inc = lfsr88_random_integers(key, 1, clen0)
                i_row += inc


# ---- Small ones.


@ti.kernel
def double(x: ti.types.ndarray(), y: ti.types.ndarray()):
    """Any rank, any dtype."""
    for place in ti.grouped(x):
        y[place] += x[place] + x[place]


@ti.kernel
def scaled(x: ti.types.ndarray(ti.f32, 1), a: ti.f64, n: ti.i32, y: ti.types.ndarray(ti.f64, 1)):
    for i in range(n):
        y[i] = a * x[i]


@ti.kernel
def times(x: ti.types.ndarray(ndim=1), a: ti.types.ndarray(ndim=1), y: ti.types.ndarray(ndim=1)):
    for i in range(x.shape[0]):
        y[i] = a[0] * x[i]


@ti.kernel
def powers(x: ti.types.ndarray(ndim=1), highest: ti.template(), y: ti.types.ndarray(ndim=2)):
    for i in range(x.shape[0]):
        for k in ti.static(range(highest)):
            y[k, i] = x[i] ** k


@ti.kernel
def total(x: ti.types.ndarray(ndim=2), y: ti.types.ndarray(ndim=0), rows: ti.types.ndarray(ndim=1)):
    """Two results, loops after one another, one of them inside a function."""
    summed = 0.0
    for i, j in ti.ndrange(x.shape[0], x.shape[1]):
        summed += x[i, j]
    y[None] = summed
    sum_rows(x, rows)
    if rows.shape[0] > 1:
        ti.loop_config(parallelize=4)
        for i in range(1, rows.shape[0]):  # every round needs the one before
            rows[i] += rows[i - 1]


@ti.func
def sum_rows(x: ti.template(), rows: ti.template()):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            rows[i] += x[i, j]


@ti.kernel
def dense(w: ti.types.ndarray(ndim=2), x: ti.types.ndarray(ndim=1), y: ti.types.ndarray(ndim=1)):
    for i, j in ti.ndrange(w.shape[0], w.shape[1]):
        y[i] += w[i, j] * x[j]


@ti.kernel
def where_positive(x: ti.types.ndarray(ndim=1), y: ti.types.ndarray(ndim=1)):
    for i in range(x.shape[0]):
        y[i] = x[i] > 0


def _twice(value):
    return 2 * value


def make_lookup(offset):
    """A kernel with names of an enclosing function, of its module, and of others."""

    @ti.func
    def moved(value):
        return value + offset

    @ti.kernel
    def lookup(x: ti.types.ndarray(ndim=1), y: ti.types.ndarray(ndim=1)):
        for i in range(x.shape[0]):
            value = moved(x[i] * SCALE) + Settings.inner.factor + _twice(Settings.shift)
            for k in ti.static(range(len(TABLE))):
                value += TABLE[k] * ti.cos(ti.math.pi)
            y[i] = value + ti.cast(et.mix(ti.u32(i)) & ti.u32(1), ti.f32)

    return lookup


@ti.kernel
def draws(
    seed: ti.types.ndarray(ndim=1), words: ti.types.ndarray(ndim=2), reals: ti.types.ndarray(ndim=2)
):
    """Everything that both generators can draw, one after another."""
    for i in range(seed.shape[0]):
        key = et.lfsr88_key(seed[i])
        key, words[0, i] = et.lfsr88_randint(key)
        key, a = et.lfsr88_random_integers(key, -3, 5)
        words[1, i] = ti.cast(a, ti.u32)
        key, reals[0, i] = et.lfsr88_rand(key)
        key, reals[1, i] = et.lfsr88_uniform(key, -1.5, 2.0)
        key, reals[2, i] = et.lfsr88_randn(key)
        key, reals[3, i] = et.lfsr88_normal(key, 1.0, 0.5)
        words[2, i] = et.lfsr88_next_key(key)[0]
        state = et.lfsr113_key(seed[i])
        state, words[3, i] = et.lfsr113_randint(state)
        state, b = et.lfsr113_random_integers(state, -3, 5)
        words[4, i] = ti.cast(b, ti.u32)
        state, reals[4, i] = et.lfsr113_rand(state)
        state, reals[5, i] = et.lfsr113_uniform(state, -1.5, 2.0)
        state, reals[6, i] = et.lfsr113_randn(state)
        state, reals[7, i] = et.lfsr113_normal(state, 1.0, 0.5)
        words[5, i] = et.lfsr113_next_key(state)[3]


@ti.kernel
def in_degree(
    key: ti.types.ndarray(ti.u32, 1),
    scheme: ti.types.ndarray(ti.u32, 1),
    table: ti.types.ndarray(ti.u32, 1),
    n_pre: ti.template(),
    count: ti.types.ndarray(ti.i32, 1),
):
    """In-degrees of an `evops.Projection` with gaps, by the sampler's own walk."""
    n_post = ti.u32(count.shape[0])
    for pre in range(n_pre):
        gaps = et.geometric_gaps(scheme)
        for block in range((n_post >> gaps.block_bits) + 1):
            k0, k1 = et.feistel(ti.u32(pre), ti.u32(block), key[0], key[1])
            begin = ti.u32(block) << gaps.block_bits
            size = ti.min(ti.u32(1) << gaps.block_bits, n_post - begin)
            i, c, found = ti.u32(0), ti.u32(0), False
            while c < size:
                i, c, found = et.next_gap(k0, k1, i, c, gaps, table)
                if found:
                    if c < size:
                        count[begin + c] += 1
                    c += ti.u32(1)


@ti.kernel
def squares(n: ti.types.ndarray(ndim=1), y: ti.types.ndarray(ndim=2)):
    """One loop whose rounds are independent, from 1 on."""
    last = y.shape[0]
    for i, j in ti.ndrange((1, last), y.shape[1]):
        y[i, j] += ti.cast(i * i + j, ti.f32) + n[0]
