"""The GPU kernels that draw nothing: lists of spikes, weights of sums, slots, stored matrices.

The form of all GPU kernels: one loop of WORKERS threads. A launch may have fewer, each of which
then does the work of several (ffi/gpu/kernels.h). Arrays are one-dimensional; sizes come as
32-bit numbers behind them.
"""

import taichi as ti

from gpu_reader import lane_total
from launch import WARP, WORKERS
from sampler_ti import array

U32 = ti.u32


def compact(x_element, element):
    """Kernel: zero `y` (words), and list the neurons of each row of x that are not 0.

    ``active`` and ``value`` have ``n`` places a row, of which the first ``count[row]`` are filled.
    """

    @ti.kernel
    def kernel(
        x: array(x_element),
        y: array(U32),
        active: array(U32),
        value: array(element),
        count: array(ti.i32),
        inputs: U32,
        n: U32,
        words: U32,
    ):
        for t in range(WORKERS):
            i = U32(t)
            while i < words:
                y[ti.i32(i)] = U32(0)
                i += U32(WORKERS)
            i = U32(t)
            while i < inputs * n:
                x_i = x[ti.i32(i)]
                if not (x_i == 0):  # NaN counts
                    row = i // n
                    k = U32(ti.atomic_add(count[ti.i32(row)], 1))
                    active[ti.i32(row * n + k)] = i - row * n
                    value[ti.i32(row * n + k)] = ti.cast(x_i, element)
                i += U32(WORKERS)

    return kernel


@ti.func
def weighted(weight, sum):
    """Their product; nothing comes of an infinite weight where there is no synapse."""
    product = weight * sum
    if (sum == 0) & (weight - weight != 0):  # infinite or NaN
        product = sum
    return product


def weigh(element, weight_element):
    """Kernel: sums to weighted sums, ``out`` in the memory of ``y`` where their sizes are equal."""

    @ti.kernel
    def kernel(
        y: array(element),
        weight: array(weight_element),
        out: array(weight_element),
        n_out: U32,
        size: U32,
    ):
        for t in range(WORKERS):
            i = U32(t)
            while i < size:
                sum = ti.cast(y[ti.i32(i)], weight_element)
                out[ti.i32(i)] = weighted(weight[ti.i32(i // n_out)], sum)
                i += U32(WORKERS)

    return kernel


def pop():
    """Kernel: hand out the sums of a slot and clear it; `words` of 32 bits each."""

    @ti.kernel
    def kernel(step: array(ti.i32), ring: array(U32), now: array(U32), slots: U32, words: U32):
        for t in range(WORKERS):
            at = ti.min(U32(step[0]), slots - U32(1)) * words
            i = U32(t)
            while i < words:
                now[ti.i32(i)] = ring[ti.i32(at + i)]
                ring[ti.i32(at + i)] = U32(0)
                i += U32(WORKERS)

    return kernel


def stored_scatter(element):
    """Kernel: ``y[row] += x[row] @ M``, M stored; a warp adds the entries of a spike's row.

    Entries whose place or column is out of range are left out: nothing is read or written there.
    """

    @ti.kernel
    def kernel(
        active: array(U32),
        value: array(element),
        count: array(ti.i32),
        data: array(element),
        indices: array(ti.i32),
        indptr: array(ti.i32),
        y: array(element),
        inputs: U32,
        n_x: U32,
        n_out: U32,
        entries: U32,
        one: U32,
    ):
        for t in range(WORKERS):
            lane = U32(t) % U32(WARP)
            shift = U32(0)
            for row in range(ti.i32(inputs)):
                tasks = U32(count[row])
                j = (U32(t) // U32(WARP) - shift) & U32(WORKERS // WARP - 1)
                while j < tasks:
                    spike = ti.i32(U32(row) * n_x + j)
                    i = ti.i32(active[spike])
                    k = U32(indptr[i]) + lane
                    end = ti.min(U32(indptr[i + 1]), entries)
                    while k < end:
                        column = U32(indices[ti.i32(k)])
                        if column < n_out:
                            w = data[ti.select(one != 0, 0, ti.i32(k))]
                            y[ti.i32(U32(row) * n_out + column)] += w * value[spike]
                        k += U32(WARP)
                    j += U32(WORKERS // WARP)
                shift += tasks

    return kernel


def stored_gather(element):
    """Kernel: ``y[row] = x[row] @ M.T``; a warp sums up the entries of a row of M."""
    total = lane_total(element)

    @ti.kernel
    def kernel(
        x: array(element),
        data: array(element),
        indices: array(ti.i32),
        indptr: array(ti.i32),
        y: array(element),
        inputs: U32,
        n_x: U32,
        n_out: U32,
        entries: U32,
        one: U32,
    ):
        for t in range(WORKERS):
            lane = U32(t) % U32(WARP)
            j = U32(t) // U32(WARP)
            while j < inputs * n_out:
                i = ti.i32(j % n_out)
                base = j // n_out * n_x
                k = U32(indptr[i]) + lane
                end = ti.min(U32(indptr[i + 1]), entries)
                sum = ti.cast(0, element)
                while k < end:
                    column = U32(indices[ti.i32(k)])
                    if column < n_x:
                        w = data[ti.select(one != 0, 0, ti.i32(k))]
                        sum += w * x[ti.i32(base + column)]
                    k += U32(WARP)
                sum = total(sum)
                if lane == 0:
                    y[ti.i32(j)] = sum
                j += U32(WORKERS // WARP)

    return kernel
