"""The readers of the sampler for a GPU: blocks of a line by one warp, 32 lanes side by side.

The synapses are those of `draw.py`. A lane draws every 32nd word; where the place of a synapse
depends on the words before (gaps), the lanes add up what they drew. A line of the published scheme
is a chain that cannot be cut: a thread walks it alone.

What to do with a synapse is a function ``put(sum, ...)`` that a walk is made with: it gets the
lane's sum so far and returns the next. The arguments of a walk:

    line: pre, t0, t1 (the key), n (post neurons), first and step: blocks first, first + step ...
    scheme: reader, skip, s2, s3, s4; its table, and where the table of this matrix starts in it
    for `put`: target, quantiles, delays, where these two begin, base, a, b, late, slots, width,
        delay_bits
"""

import taichi as ti
from walk import (
    DELAY,
    SLOTS,
    TIE,
    WEIGHT,
    below,
    between,
    dense_hit,
    feistel,
    first_state,
    look_up,
    next_state,
    normal,
    permuted,
    remainder,
    slot,
    uniform,
    variate_key,
    word,
    word88,
)

WIDTH = 32
GAPS, DENSE, SUBSET, DIAGONAL, COUNTED = 1, 2, 3, 4, 5  # as in evops.connectivity.rules
SUBSET_BLOCK = 1024
EVERY_LANE = 0xFFFFFFFF
MOST_SYNAPSES = 2**31 - 1  # of a line: what its table says may be wrong
A = ti.template()


@ti.func
def sums_so_far(x, lane):
    """The sum of x over this lane and those before."""
    for k in ti.static((1, 2, 4, 8, 16)):
        before = ti.simt.warp.shfl_up_i32(ti.u32(EVERY_LANE), x, k)
        if lane >= ti.u32(k):
            x += before
    return x


def lane_total(element):
    """Function: the sum of x over the lanes, in the first of them."""

    @ti.func
    def moved(x, k: ti.template()):
        if ti.static(element == ti.i32):
            return ti.simt.warp.shfl_down_i32(ti.u32(EVERY_LANE), x, k)
        elif ti.static(element == ti.f32):
            return ti.simt.warp.shfl_down_f32(ti.u32(EVERY_LANE), x, k)
        else:
            bits = ti.bit_cast(x, ti.u64)
            low = ti.bit_cast(ti.cast(bits, ti.u32), ti.i32)
            high = ti.bit_cast(ti.cast(bits >> ti.u64(32), ti.u32), ti.i32)
            low = ti.simt.warp.shfl_down_i32(ti.u32(EVERY_LANE), low, k)
            high = ti.simt.warp.shfl_down_i32(ti.u32(EVERY_LANE), high, k)
            joined = (ti.cast(ti.bit_cast(high, ti.u32), ti.u64) << ti.u64(32)) | ti.cast(
                ti.bit_cast(low, ti.u32), ti.u64
            )
            return ti.bit_cast(joined, ti.f64)

    @ti.func
    def total(x):
        for k in ti.static((16, 8, 4, 2, 1)):
            x += moved(x, k)
        return x

    return total


@ti.func
def variate(vk0, vk1, counter, quantiles: A, quantiles_at):
    """What a quantile table gives a synapse, a whole number of its unit."""
    at, part = slot(word(vk0 + ti.u32(WEIGHT), vk1, counter))
    a = ti.cast(quantiles[ti.i32(quantiles_at + at)], ti.u32)
    b = ti.cast(quantiles[ti.i32(quantiles_at + at) + 1], ti.u32)
    return ti.cast(ti.cast(between(a, b, part), ti.i32), ti.f32)


@ti.func
def place(post, counter, base, vk0, vk1, delays: A, delays_at, late, slots, width, delay_bits):
    """Where a synapse is added: in its slot of a ring, where it draws a delay."""
    at = base + post
    if delay_bits != 0:
        w = word(vk0 + ti.u32(DELAY), vk1, counter)
        right = ti.u32(32) - delay_bits
        steps = look_up(delays[ti.i32(delays_at + (w >> right))], w, right)
        steps = ti.min(steps, slots - ti.u32(1))
        arrival = late + steps
        if arrival >= slots:
            arrival -= slots
        at += arrival * width
    return ti.i32(at)


def _weight(element, kind):
    """Function: the weight of a synapse; some in the published scheme have drawn their z before."""

    @ti.func
    def weight(a, b, z, vk0, vk1, counter, quantiles: A, quantiles_at):
        value = a
        if ti.static(kind.varied):
            unit = z
            if ti.static(not kind.draws):
                unit = variate(vk0, vk1, counter, quantiles, quantiles_at)
            value = a + b * ti.cast(unit, element)
        return value

    return weight


def scatter_put(element, kind):
    """Function that adds a, or a + b z, to the target."""
    weight = _weight(element, kind)

    @ti.func
    def put(
        sum, post, counter, z, vk0, vk1, target: A, quantiles: A, delays: A,
        quantiles_at, delays_at, base, a, b, late, slots, width, delay_bits,
    ):  # fmt: skip
        at = place(post, counter, base, vk0, vk1, delays, delays_at, late, slots, width, delay_bits)
        target[at] += weight(a, b, z, vk0, vk1, counter, quantiles, quantiles_at)
        return sum

    return put


def gather_put(element, kind):
    """Function that sums up the inputs at the targets, times a or a + b z where `kind` says so."""
    weight = _weight(element, kind)

    @ti.func
    def put(
        sum, post, counter, z, vk0, vk1, target: A, quantiles: A, delays: A,
        quantiles_at, delays_at, base, a, b, late, slots, width, delay_bits,
    ):  # fmt: skip
        value = ti.cast(target[ti.i32(base + post)], element)
        if value != 0:
            if ti.static(kind.weighted):
                value *= weight(a, b, z, vk0, vk1, counter, quantiles, quantiles_at)
            sum += value
        return sum

    return put


def walk_of(kind, put, one_block=False):
    """Function that walks blocks of a line, see the module.

    With `one_block` no walk has a second block of targets, as where all blocks are shared out.
    """
    return _chain_walk(put, kind.draws) if kind.chain else _warp_walk(put, one_block)


@ti.func
def gap_at(k0, k1, i, high, low, table: A, table_at):
    """The gap that starts at word i of a block's key, and 1 if a synapse is behind it, else 0."""
    shift = ti.u32(32) - high
    w = word(k0, k1, i)
    g = look_up(table[ti.i32(table_at + (w >> shift))], w, shift)
    found = ti.cast(g != (ti.u32(1) << high) - ti.u32(1), ti.u32)
    if low != 0:
        w = word(k0, k1, i + ti.u32(1))
        at = table_at + (ti.u32(1) << high) + (w >> (ti.u32(32) - low))
        g = (g << low) + found * look_up(table[ti.i32(at)], w, ti.u32(32) - low)
    return g, found


def _warp_walk(put, one_block):
    """Function that walks blocks of a line of the exact sampler with all lanes of a warp."""

    @ti.func
    def walk(
        sum, lane, pre, t0, t1, n, first, step, reader, skip, s2, s3, s4, table: A, table_at,
        target: A, quantiles: A, delays: A, quantiles_at, delays_at, base, a, b, late, slots, width,
        delay_bits,
    ):  # fmt: skip
        vk0, vk1 = variate_key(pre, t0, t1)
        leave_out = pre
        if skip == 0:
            leave_out = ti.u32(EVERY_LANE)
        if reader == GAPS:
            digits = ti.u32(1)
            if s4 != 0:
                digits = ti.u32(2)
            block = first
            while (n != 0) & (block <= (n - ti.u32(1)) >> s2):
                begin = block << s2
                size = ti.min(ti.u32(1) << s2, n - begin)
                k0, k1 = feistel(pre, block, t0, t1)
                i = lane * ti.u32(2) * digits
                c = ti.u32(0)
                while c < size:
                    # two gaps a lane: sums over the lanes cost as much as the words of one
                    g0, found0 = gap_at(k0, k1, i, s3, s4, table, table_at)
                    g1, found1 = gap_at(k0, k1, i + digits, s3, s4, table, table_at)
                    both = g0 + found0 + g1 + found1
                    ends = c + ti.cast(sums_so_far(ti.cast(both, ti.i32), lane), ti.u32)
                    for second in ti.static(range(2)):
                        found = found0
                        at = ends - found1 - g1 - found0
                        if ti.static(second):
                            found = found1
                            at = ends - found1
                        if (found != 0) & (at < size) & (begin + at != leave_out):
                            sum = put(
                                sum, begin + at, begin + at, ti.f32(0.0), vk0, vk1, target,
                                quantiles, delays, quantiles_at, delays_at, base, a, b, late,
                                slots, width, delay_bits,
                            )  # fmt: skip
                    last = ti.simt.warp.shfl_sync_i32(
                        ti.u32(EVERY_LANE), ti.cast(ends, ti.i32), WIDTH - 1
                    )
                    c = ti.cast(last, ti.u32)
                    i += ti.u32(2 * WIDTH) * digits
                if ti.static(one_block):
                    break
                block += step
        elif reader == DENSE:
            block = first
            while (n != 0) & (block <= (n - ti.u32(1)) >> s2) & ((s3 != 0) | (s4 != 0)):
                begin = block << s2
                size = ti.min(ti.u32(1) << s2, n - begin)
                k0, k1 = feistel(pre, block, t0, t1)
                c = ti.u32(0)
                while c < size:
                    w = ti.cast(word(k0, k1, (c >> 2) + lane), ti.i32)
                    for quarter in ti.static(range(4)):
                        # lanes side by side take targets side by side
                        there = quarter * ti.static(WIDTH // 4) + ti.cast(lane >> 2, ti.i32)
                        w_j = ti.simt.warp.shfl_sync_i32(ti.u32(EVERY_LANE), w, there)
                        w_j = ti.cast(w_j, ti.u32)
                        j = c + ti.u32(quarter * WIDTH) + lane
                        value = (w_j >> ((lane & ti.u32(3)) << 3)) & ti.u32(255)
                        if (value <= s3) & (j < size) & (begin + j != leave_out):
                            hit = True
                            if value == s3:
                                hit = dense_hit(w_j, j, word(k0 + ti.u32(TIE), k1, j), s3, s4)
                            if hit:
                                sum = put(
                                    sum, begin + j, begin + j, ti.f32(0.0), vk0, vk1, target,
                                    quantiles, delays, quantiles_at, delays_at, base, a, b, late,
                                    slots, width, delay_bits,
                                )  # fmt: skip
                    c += ti.u32(4 * WIDTH)
                if ti.static(one_block):
                    break
                block += step
        elif reader == DIAGONAL:
            if (pre < n) & (lane == 0) & (first == 0):
                sum = put(
                    sum, pre, pre, ti.f32(0.0), vk0, vk1, target, quantiles, delays,
                    quantiles_at, delays_at, base, a, b, late, slots, width, delay_bits,
                )  # fmt: skip
        else:
            start = ti.u32(0)
            count = s2
            domain = n
            k0, k1 = feistel(pre, ti.u32(0), t0, t1)
            if reader == COUNTED:
                start = table[ti.i32(table_at + pre)]
                end = table[ti.i32(table_at + pre) + 1]
                count = ti.min(ti.max(end, start) - start, ti.u32(MOST_SYNAPSES))
                domain = s2 * n
                if s3 != 0:
                    k0, k1 = feistel(ti.u32(0), ti.u32(SLOTS), t0, t1)
            right = s3 >> 1
            left = s3 - right
            i = first * ti.u32(SUBSET_BLOCK) + lane
            while i < count:
                post = i
                if s3 == 0:
                    post = below(word(k0, k1, i), n)
                else:
                    post = permuted(k0, k1, ti.min(start + i, domain - ti.u32(1)), left, right)
                    while post >= domain:
                        post = permuted(k0, k1, post, left, right)
                    post = post % n
                counter = post
                if (reader == COUNTED) | (s3 == 0):
                    counter = i
                sum = put(
                    sum, post, counter, ti.f32(0.0), vk0, vk1, target, quantiles, delays,
                    quantiles_at, delays_at, base, a, b, late, slots, width, delay_bits,
                )  # fmt: skip
                i += ti.u32(WIDTH)
                if (i & ti.u32(SUBSET_BLOCK - 1)) < ti.u32(WIDTH):  # the next block of this walk
                    i += (step - ti.u32(1)) * ti.u32(SUBSET_BLOCK)
        return sum

    return walk


def _chain_walk(put, draws: int):
    """Function that walks a line of the published scheme, `draws` words for each weight."""

    @ti.func
    def walk(
        sum, lane, pre, t0, t1, n, first, step, reader, skip, s2, s3, s4, table: A, table_at,
        target: A, quantiles: A, delays: A, quantiles_at, delays_at, base, a, b, late, slots, width,
        delay_bits,
    ):  # fmt: skip
        vk0, vk1 = variate_key(pre, t0, t1)
        x1, x2, x3 = first_state(t0 + pre, s4)
        x1, x2, x3 = next_state(x1, x2, x3)
        post = remainder(word88(x1, x2, x3), s2, s3)
        while post < n:
            z = ti.f32(0.0)
            if ti.static(draws > 0):
                x1, x2, x3 = next_state(x1, x2, x3)
                z = uniform(word88(x1, x2, x3))
            if ti.static(draws == 2):
                x1, x2, x3 = next_state(x1, x2, x3)
                z = normal(z, uniform(word88(x1, x2, x3)))
            sum = put(
                sum, post, post, z, vk0, vk1, target, quantiles, delays,
                quantiles_at, delays_at, base, a, b, late, slots, width, delay_bits,
            )  # fmt: skip
            x1, x2, x3 = next_state(x1, x2, x3)
            post += remainder(word88(x1, x2, x3), s2, s3) + ti.u32(1)
        return sum

    return walk
