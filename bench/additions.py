"""How fast a GPU adds to random places: of its memory, and of what the threads of a block share.

Products with synapses that are drawn are such additions and little else, so these rates are what they are measured
against. Targets are drawn from a counter, in a few instructions, so that nothing is read.
"""

import jax
import numpy as np
import taichi as ti

import evops

THREADS = 512  # of a block that shares a target
SHARED_TARGET = 4096  # elements of it: 16 KiB
MULTIPLIERS = 0x9E3779B1, 0x85EBCA6B


@ti.func
def place(i: ti.u32, size: ti.u32) -> ti.i32:
    """A number below `size`."""
    word = (i + ti.u32(1)) * ti.u32(MULTIPLIERS[0])
    word = (word ^ (word >> ti.u32(15))) * ti.u32(MULTIPLIERS[1])
    word ^= word >> ti.u32(13)
    return ti.i32((ti.u64(word) * ti.u64(size)) >> ti.u64(32))


@ti.kernel
def to_memory(begin: ti.types.ndarray(ndim=1), count: ti.i32, y: ti.types.ndarray(ndim=1)):
    for i in range(count):
        y[place(ti.u32(i) + ti.u32(begin[0]), ti.u32(y.shape[0]))] += 1


def to_shared(dtype):
    """A kernel: each thread of each block adds `rounds` ones, and the sums of the blocks follow."""

    @ti.kernel
    def to_shared(
        begin: ti.types.ndarray(ndim=1),
        blocks: ti.i32,
        rounds: ti.i32,
        y: ti.types.ndarray(ndim=1),
    ):
        ti.loop_config(block_dim=THREADS)
        for i in range(blocks * THREADS):
            sums = ti.simt.block.SharedArray((SHARED_TARGET,), dtype)
            k = i % THREADS
            while k < SHARED_TARGET:
                sums[k] = 0
                k += THREADS
            ti.simt.block.sync()
            word = ti.u32(i) * ti.u32(rounds) + ti.u32(begin[0])
            for j in range(rounds):
                sums[place(word + ti.u32(j), ti.u32(SHARED_TARGET))] += 1
            ti.simt.block.sync()
            k = i % THREADS
            while k < SHARED_TARGET:
                y[k] += sums[k]
                k += THREADS
            ti.simt.block.sync()  # before the next round

    return to_shared


def expected(begin, count, size):
    """The sums of `count` additions, by NumPy."""
    word = (np.arange(count, dtype=np.uint32) + np.uint32(begin + 1)) * np.uint32(MULTIPLIERS[0])
    word = (word ^ (word >> np.uint32(15))) * np.uint32(MULTIPLIERS[1])
    word ^= word >> np.uint32(13)
    places = (word.astype(np.uint64) * np.uint64(size)) >> np.uint64(32)
    return np.bincount(places.astype(np.int64), minlength=size)


def memory(size, dtype, count):
    """A function of an int32 array of one element: `count` additions to `size` elements of memory."""
    op = evops.XLACustomOp(gpu_kernel=to_memory)
    outs = [jax.ShapeDtypeStruct((size,), dtype)]
    return lambda begin: op(begin, outs=outs, count=count)[0]


def shared(dtype, blocks, rounds):
    """The same for sums that each block shares; it makes ``blocks * THREADS * rounds`` additions."""
    kinds = {"int32": ti.i32, "float32": ti.f32}
    op = evops.XLACustomOp(gpu_kernel=to_shared(kinds[np.dtype(dtype).name]))
    outs = [jax.ShapeDtypeStruct((SHARED_TARGET,), dtype)]
    return lambda begin: op(begin, outs=outs, blocks=blocks, rounds=rounds)[0]
