"""The readers of the sampler for a GPU: blocks of a row by one warp, 32 lanes side by side.

The synapses are those of `draw.py`. A lane draws every 32nd word; where the place of a synapse
depends on the words before (gaps), the lanes add up their draws. A row of the braintaichi scheme is
a chain that cannot be cut: a thread draws it alone.
A reader hands each synapse to the function `emit` that it is made with (gpu_emit.py).
"""

import taichi as ti

from gpu_emit import U32, A, Key
from launch import WARP
from sampler_ti import (
    SLOTS,
    SYNAPSES_PER_BLOCK,
    TIE,
    autapse,
    below,
    counted_rows,
    dense_blocks,
    dense_hit,
    equal_rows,
    feistel,
    first_state,
    format,
    geometric_gaps,
    grid_offsets,
    look_up,
    neighbour,
    next_state,
    normal,
    permuted,
    remainder,
    uniform,
    uniform_gaps,
    variate_key,
    word,
    word88,
)

READER = {reader.name: int(reader) for reader in format.Reader}
# Taichi's calls between lanes take signed numbers only.
ALL_LANES = 0xFFFFFFFF
# Of a row: where its blocks are shared out, `first` is this warp's and `step` leads to its next.
Row = ti.types.struct(pre=U32, t0=U32, t1=U32, n=U32, first=U32, step=U32)


@ti.func
def sums_so_far(x, lane):
    """The sum of x over this lane and those before."""
    for k in ti.static((1, 2, 4, 8, 16)):
        before = ti.simt.warp.shfl_up_i32(U32(ALL_LANES), x, k)
        if lane >= U32(k):
            x += before
    return x


def lane_total(element):
    """Function: the sum of x over the lanes, in the first of them."""

    @ti.func
    def moved(x, k: ti.template()):
        if ti.static(element == ti.i32):
            return ti.simt.warp.shfl_down_i32(U32(ALL_LANES), x, k)
        elif ti.static(element == ti.f32):
            return ti.simt.warp.shfl_down_f32(U32(ALL_LANES), x, k)
        else:  # there is none for 64 bits: halves go by themselves
            bits = ti.bit_cast(x, ti.u64)
            low = ti.bit_cast(ti.cast(bits, U32), ti.i32)
            high = ti.bit_cast(ti.cast(bits >> ti.u64(32), U32), ti.i32)
            low = ti.simt.warp.shfl_down_i32(U32(ALL_LANES), low, k)
            high = ti.simt.warp.shfl_down_i32(U32(ALL_LANES), high, k)
            joined = (ti.cast(ti.bit_cast(high, U32), ti.u64) << ti.u64(32)) | ti.cast(
                ti.bit_cast(low, U32), ti.u64
            )
            return ti.bit_cast(joined, ti.f64)

    @ti.func
    def total(x):
        for k in ti.static((16, 8, 4, 2, 1)):
            x += moved(x, k)
        return x

    return total


def reader_of(kind, emit, one_block=False, grids=True):
    """Function that reads blocks of a row; see the module.

    With `one_block` no warp has a second block of targets, as where all blocks are shared out.
    Without `grids` rows are no grid offsets, unless `kind` says that all are.
    """
    if kind.chain:
        return _chain(emit, kind.draws)
    return _grid(emit) if kind.grid else _warp(emit, one_block, grids)


@ti.func
def gap_at(k0, k1, i, gaps, table: A, table_offset):
    """The gap that starts at word i of a block's key, and 1 if a synapse is behind it, else 0."""
    high, low = gaps.high_digit_bits, gaps.low_digit_bits
    shift = U32(32) - high
    w = word(k0, k1, i)
    g = look_up(table[ti.i32(table_offset + (w >> shift))], w, shift)
    found = ti.cast(g != (U32(1) << high) - U32(1), U32)
    if low != 0:
        w = word(k0, k1, i + U32(1))
        at = table_offset + (U32(1) << high) + (w >> (U32(32) - low))
        g = (g << low) + found * look_up(table[ti.i32(at)], w, U32(32) - low)
    return g, found


@ti.func
def next_of_warp(i, row):
    """The next number of a lane that has number i, in this block or in the next of its warp."""
    i += U32(WARP)
    if (i & U32(SYNAPSES_PER_BLOCK - 1)) < U32(WARP):
        i += (row.step - U32(1)) * U32(SYNAPSES_PER_BLOCK)
    return i


def _warp(emit, one_block, grids):
    """Function that reads blocks of a row of the exact sampler with all lanes of a warp."""
    read_grid_offsets = _grid(emit)

    @ti.func
    def read_geometric_gaps(
        sum, lane, row, key, leave_out, scheme: A, table: A, table_offset, target: A,
        quantiles: A, delays: A, sink,
    ):  # fmt: skip
        gaps = geometric_gaps(scheme)
        digits = U32(1)
        if gaps.low_digit_bits != 0:
            digits = U32(2)
        block = row.first
        while (row.n != 0) & (block <= (row.n - U32(1)) >> gaps.block_bits):
            begin = block << gaps.block_bits
            size = ti.min(U32(1) << gaps.block_bits, row.n - begin)
            k0, k1 = feistel(row.pre, block, row.t0, row.t1)
            i = lane * U32(2) * digits
            c = U32(0)
            while c < size:
                # two gaps a lane: sums over the lanes cost as much as the words of one
                g0, found0 = gap_at(k0, k1, i, gaps, table, table_offset)
                g1, found1 = gap_at(k0, k1, i + digits, gaps, table, table_offset)
                both = g0 + found0 + g1 + found1
                ends = c + ti.cast(sums_so_far(ti.cast(both, ti.i32), lane), U32)
                for second in ti.static(range(2)):
                    found = found0
                    post = ends - found1 - g1 - found0
                    if ti.static(second):
                        found = found1
                        post = ends - found1
                    if (found != 0) & (post < size) & (begin + post != leave_out):
                        sum = emit(
                            sum, begin + post, begin + post, ti.f32(0.0), key, target, quantiles,
                            delays, sink,
                        )  # fmt: skip
                last = ti.simt.warp.shfl_sync_i32(U32(ALL_LANES), ti.cast(ends, ti.i32), WARP - 1)
                c = ti.cast(last, U32)
                i += U32(2 * WARP) * digits
            if ti.static(one_block):
                break
            block += row.step
        return sum

    @ti.func
    def read_dense_blocks(
        sum, lane, row, key, leave_out, scheme: A, target: A, quantiles: A, delays: A, sink
    ):
        dense = dense_blocks(scheme)
        block = row.first
        while (
            (row.n != 0)
            & (block <= (row.n - U32(1)) >> dense.block_bits)
            & ((dense.threshold != 0) | (dense.tie_threshold != 0))
        ):
            begin = block << dense.block_bits
            size = ti.min(U32(1) << dense.block_bits, row.n - begin)
            k0, k1 = feistel(row.pre, block, row.t0, row.t1)
            c = U32(0)
            while c < size:
                w = ti.cast(word(k0, k1, (c >> 2) + lane), ti.i32)
                for quarter in ti.static(range(4)):
                    # lanes side by side take targets side by side: their words lie with others
                    there = quarter * ti.static(WARP // 4) + ti.cast(lane >> 2, ti.i32)
                    w_j = ti.cast(ti.simt.warp.shfl_sync_i32(U32(ALL_LANES), w, there), U32)
                    j = c + U32(quarter * WARP) + lane
                    value = (w_j >> ((lane & U32(3)) << 3)) & U32(255)
                    near = value <= dense.threshold
                    if near & (j < size) & (begin + j != leave_out):
                        hit = True
                        if value == dense.threshold:  # a second word decides, for one in 256
                            tie = word(k0 + U32(TIE), k1, j)
                            hit = dense_hit(w_j, j, tie, dense.threshold, dense.tie_threshold)
                        if hit:
                            sum = emit(
                                sum, begin + j, begin + j, ti.f32(0.0), key, target, quantiles,
                                delays, sink,
                            )  # fmt: skip
                c += U32(4 * WARP)
            if ti.static(one_block):
                break
            block += row.step
        return sum

    @ti.func
    def read_by_number(
        sum, lane, row, key, k0, k1, start, count, domain, high_count, low_bits, by_rank,
        target: A, quantiles: A, delays: A, sink,
    ):  # fmt: skip
        """Synapses that a row has by number: `count` of them from slot `start` of `domain` on."""
        i = row.first * U32(SYNAPSES_PER_BLOCK) + lane
        while i < count:
            post = i
            if low_bits == 0:
                post = below(word(k0, k1, i), row.n)
            else:
                # one call, at least once: with another before the loop ptxas runs out of registers
                post = domain
                place = ti.min(start + i, domain - U32(1))
                while post >= domain:
                    post = permuted(k0, k1, place, high_count, low_bits)
                    place = post
                post = post % row.n
            counter = post
            if by_rank:
                counter = i
            sum = emit(sum, post, counter, ti.f32(0.0), key, target, quantiles, delays, sink)
            i = next_of_warp(i, row)
        return sum

    @ti.func
    def read(
        sum, lane, row, scheme: A, table: A, table_offset, target: A, quantiles: A,
        delays: A, sink,
    ):  # fmt: skip
        k0, k1 = variate_key(row.pre, row.t0, row.t1)
        key = Key(k0, k1)
        leave_out = autapse(row.pre, scheme)
        reader = scheme[0]
        if reader == ti.static(READER["GEOMETRIC_GAPS"]):
            sum = read_geometric_gaps(
                sum, lane, row, key, leave_out, scheme, table, table_offset, target, quantiles,
                delays, sink,
            )  # fmt: skip
        elif reader == ti.static(READER["DENSE_BLOCKS"]):
            sum = read_dense_blocks(
                sum, lane, row, key, leave_out, scheme, target, quantiles, delays, sink
            )
        elif reader == ti.static(READER["DIAGONAL"]):
            if (row.pre < row.n) & (lane == 0) & (row.first == 0):
                sum = emit(sum, row.pre, row.pre, ti.f32(0.0), key, target, quantiles, delays, sink)
        elif reader == ti.static(READER["GRID_OFFSETS"]):
            if ti.static(grids):
                sum = read_grid_offsets(
                    sum, lane, row, scheme, table, table_offset, target, quantiles, delays, sink
                )
        else:
            start = U32(0)
            rows = equal_rows(scheme)
            count = rows.k
            high_count = rows.high_count
            low_bits = rows.low_bits
            domain = row.n
            by_rank = low_bits == 0
            k0, k1 = feistel(row.pre, U32(0), row.t0, row.t1)
            if reader == ti.static(READER["COUNTED_ROWS"]):
                counted = counted_rows(scheme)
                start = table[ti.i32(table_offset + row.pre)]
                end = table[ti.i32(table_offset + row.pre) + 1]
                # a table at run time may be wrong: no count leads outside the domain
                count = ti.min(ti.max(end, start) - start, U32(ti.static(format.MAX_SYNAPSES)))
                domain = counted.slots * row.n
                by_rank = True
                if low_bits != 0:
                    k0, k1 = feistel(U32(0), U32(SLOTS), row.t0, row.t1)
            sum = read_by_number(
                sum, lane, row, key, k0, k1, start, count, domain, high_count, low_bits, by_rank,
                target, quantiles, delays, sink,
            )  # fmt: skip
        return sum

    return read


def _grid(emit):
    """Function that reads grid offsets, a displacement for each lane.

    Its loop is not that of other synapses by number: in one with it, products from the other side
    took 8 registers more, and one block less found room.
    """

    @ti.func
    def read(
        sum, lane, row, scheme: A, table: A, table_offset, target: A, quantiles: A,
        delays: A, sink,
    ):  # fmt: skip
        k0, k1 = variate_key(row.pre, row.t0, row.t1)
        key = Key(k0, k1)
        grid = grid_offsets(scheme)
        i = row.first * U32(SYNAPSES_PER_BLOCK) + lane
        while i < grid.offsets:
            post = neighbour(row.pre, i, row.n, grid, table, table_offset)
            if post < row.n:
                sum = emit(sum, post, post, ti.f32(0.0), key, target, quantiles, delays, sink)
            i = next_of_warp(i, row)
        return sum

    return read


def _chain(emit, draws: int):
    """Function that reads a row of the braintaichi scheme, `draws` words for each weight."""

    @ti.func
    def read(
        sum, lane, row, scheme: A, table: A, table_offset, target: A, quantiles: A,
        delays: A, sink,
    ):  # fmt: skip
        k0, k1 = variate_key(row.pre, row.t0, row.t1)
        key = Key(k0, k1)
        gaps = uniform_gaps(scheme)
        x1, x2, x3 = first_state(row.t0 + row.pre, gaps.hashed)
        x1, x2, x3 = next_state(x1, x2, x3)
        post = remainder(word88(x1, x2, x3), gaps)
        while post < row.n:
            z = ti.f32(0.0)
            if ti.static(draws > 0):
                x1, x2, x3 = next_state(x1, x2, x3)
                z = uniform(word88(x1, x2, x3))
            if ti.static(draws == 2):
                x1, x2, x3 = next_state(x1, x2, x3)
                z = normal(z, uniform(word88(x1, x2, x3)))
            sum = emit(sum, post, post, z, key, target, quantiles, delays, sink)
            x1, x2, x3 = next_state(x1, x2, x3)
            post += remainder(word88(x1, x2, x3), gaps) + U32(1)
        return sum

    return read
