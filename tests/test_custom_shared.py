"""Users' GPU kernels whose threads share arrays and wait for each other, run as in test_custom_gpu.py."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import taichi as ti

from test_custom_gpu import assemble, compiled, op

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))
import additions
import evops

pytestmark = pytest.mark.gpu_code

block, warp = ti.simt.block, ti.simt.warp
STRUCT = jax.ShapeDtypeStruct
A1 = ti.types.ndarray(ndim=1)


@ti.kernel
def turned(x: A1, y: A1):
    """Each block turns its part around; the last one is not full."""
    ti.loop_config(block_dim=256)
    for i in range(900):
        shared = block.SharedArray((256,), ti.f32)
        shared[i % 256] = x[i]
        block.sync()
        y[i] = shared[ti.min(255, 899 - i // 256 * 256) - i % 256]


@ti.kernel
def histogram(x: A1, counts: A1, blocks: A1):
    """Sums of each block first, in two arrays of other types; rounds enough for every thread."""
    ti.loop_config(block_dim=512)
    for i in range(4 * 512):
        thread = i % 512
        few = block.SharedArray((64,), ti.i32)
        weighted = block.SharedArray((8, 8), ti.f64)
        if thread < 64:
            few[thread] = 0
            weighted[thread // 8, thread % 8] = 0.0
        block.sync()
        j = i
        while j < x.shape[0]:
            ti.atomic_add(few[x[j]], 1)
            ti.atomic_add(weighted[x[j] // 8, x[j] % 8], 0.5)
            j += 4 * 512
        block.sync()
        if thread < 64:
            counts[thread] += few[thread]
            ti.atomic_add(blocks[i // 512], weighted[thread // 8, thread % 8])


@ti.kernel
def garbage(y: A1):
    ti.loop_config(block_dim=64)
    for i in range(128):
        shared = block.SharedArray((64,), ti.i32)
        block.sync()
        y[i] = shared[i % 64]
        shared[i % 64] = i


@ti.kernel
def prefix(x: A1, y: A1):
    """Running sums of the values of a block: within warps, then over them."""
    ti.loop_config(block_dim=128)
    for i in range(512):
        totals = block.SharedArray((4,), ti.i32)
        lane = i % 32
        sum = x[i]
        for k in ti.static(range(5)):
            other = warp.shfl_up_i32(ti.u32(0xFFFFFFFF), sum, 1 << k)
            if lane >= 1 << k:
                sum += other
        if lane == 31:
            totals[i // 32 % 4] = sum
        block.sync()
        for k in range(i // 32 % 4):
            sum += totals[k]
        y[i] = sum


@ti.kernel
def votes(x: A1, y: ti.types.ndarray(ndim=2)):
    ti.loop_config(block_dim=96)
    for i in range(300):
        y[0, i] = block.sync_any_nonzero(x[i])
        y[1, i] = block.sync_all_nonzero(x[i])
        y[2, i] = block.sync_count_nonzero(x[i])


@ti.kernel
def loops(x: A1, y: A1):
    """Arrays of several loops, which Taichi gives one name, and one of vectors."""
    ti.loop_config(block_dim=32)
    for i in range(128):
        shared = block.SharedArray((32,), ti.f32)
        shared[i % 32] = x[i]
        block.sync()
        y[i] = shared[31 - i % 32]
    ti.loop_config(block_dim=64)
    for i in range(128):
        shared = block.SharedArray((64,), ti.f64)
        shared[i % 64] = x[i]
        block.sync()
        y[i] += ti.cast(shared[63 - i % 64], ti.f32)
    ti.loop_config(block_dim=32)
    for i in range(128):
        shared = block.SharedArray((16, 2), ti.math.vec3)
        shared[i % 16, i // 16 % 2] = ti.math.vec3(x[i], 0, 1)
        block.sync()
        y[i] += shared[15 - i % 16, i // 16 % 2].sum()


@ti.kernel
def one_too_large(x: A1, y: A1):
    for i in range(128):
        shared = block.SharedArray((6145,), ti.f64)
        shared[i] = x[i]
        block.sync()
        y[i] = shared[127 - i]


@ti.kernel
def together_too_large(x: A1, y: A1):
    for i in range(128):
        shared = block.SharedArray((6144,), ti.f64)
        shared[i] = x[i]
        block.sync()
        y[i] = shared[127 - i]
    for i in range(128):
        shared = block.SharedArray((6000,), ti.f32)
        other = block.SharedArray((6300,), ti.i32)
        shared[i] = x[i]
        other[i] = i
        block.sync()
        y[i] += shared[127 - i] + other[127 - i]


@ti.kernel
def of_nobody(x: A1, y: A1):
    shared = block.SharedArray((128,), ti.f32)
    for i in range(128):
        shared[i] = x[i]
        block.sync()
        y[i] = shared[127 - i]


@ti.kernel
def halves(x: A1, y: A1):
    """Half of a warp waits for the block, half for the warp: neither comes."""
    ti.loop_config(block_dim=64)
    for i in range(64):
        if i % 32 < 16:
            block.sync()
        else:
            y[i] = warp.shfl_down_i32(ti.u32(0xFFFFFFFF), x[i], 1)


@ti.kernel
def unlike(x: A1, y: A1):
    """Warps of a block at barriers that are not the same."""
    ti.loop_config(block_dim=64)
    for i in range(64):
        if i < 32:
            block.sync()
        else:
            y[i] = block.sync_any_nonzero(x[i])


def test_arrays_that_a_block_shares(driver, rng):
    x = rng.normal(size=900).astype(np.float32)
    (y,) = op(turned)(x, outs=[STRUCT(x.shape, x.dtype)])
    parts = [x[k : k + 256][::-1] for k in range(0, 900, 256)]
    np.testing.assert_array_equal(y, np.concatenate(parts), strict=True)


def test_sums_of_a_block(driver, rng):
    x = rng.integers(0, 64, 5000).astype(np.int32)
    with jax.enable_x64(True):
        outs = [STRUCT((64,), np.int32), STRUCT((4,), np.float64)]
        counts, blocks = op(histogram)(x, outs=outs)
        np.testing.assert_array_equal(counts, np.bincount(x, minlength=64))
        of_block = np.arange(5000) // 512 % 4
        np.testing.assert_array_equal(blocks, np.bincount(of_block) / 2)


def test_shared_arrays_of_several_loops(driver, rng):
    x = rng.integers(0, 99, 128).astype(np.float32)
    (y,) = op(loops)(x, outs=[STRUCT(x.shape, x.dtype)])
    expected = sum(x.reshape(-1, n)[:, ::-1].ravel() for n in (32, 64, 16)) + 1
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (one_too_large, "the threads of a block share an array of 49160 bytes, a block has 49152"),
        (together_too_large, "the threads of a block share arrays of 49200 bytes, a block has 491"),
    ],
)
def test_more_than_a_block_has(kernel, message):
    f = jax.jit(lambda x: op(kernel)(x, outs=[STRUCT((128,), np.float32)]))
    with pytest.raises(evops.KernelError, match=f"^{kernel.__name__}: .* too large: {message}"):
        f.trace(np.zeros(128, np.float32)).lower(lowering_platforms=("cuda",))


def test_a_shared_array_outside_of_loops(driver):
    with pytest.raises(evops.KernelError, match="of_nobody: a SharedArray belongs to the blocks"):
        op(of_nobody)(np.zeros(128, np.float32), outs=[STRUCT((128,), np.float32)])


def test_shared_arrays_begin_with_garbage(driver):
    (y,) = op(garbage)(outs=[STRUCT((128,), np.int32)])
    assert set(y.tolist()) == {-0x32323233}


def test_lanes_and_blocks_meet(driver, rng):
    x = rng.integers(0, 9, 512).astype(np.int32)
    (y,) = op(prefix)(x, outs=[STRUCT(x.shape, x.dtype)])
    np.testing.assert_array_equal(y, x.reshape(4, 128).cumsum(1).ravel())


def test_barriers_that_count(driver):
    x = np.ones(300, np.int32)
    x[[7, 100, 101]] = 0
    x[192:288] = 0
    (y,) = op(votes)(x, outs=[STRUCT((3, 300), np.int32)])
    sizes = [96, 96, 96, 12]  # threads that have ended are not waited for
    expected = [(1, 0, 95), (1, 0, 94), (0, 0, 0), (1, 1, 12)]
    np.testing.assert_array_equal(y, np.repeat(expected, sizes, 0).T)


@pytest.mark.parametrize("kernel", [halves, unlike])
def test_threads_that_wait_in_vain(driver, kernel):
    x = np.arange(64, dtype=np.int32)
    with pytest.raises(Exception, match="launch of task 0 failed: CUDA_ERROR_UNKNOWN"):
        jax.block_until_ready(op(kernel)(x, outs=[STRUCT(x.shape, x.dtype)]))
    test_lanes_and_blocks_meet(driver, np.random.default_rng(1))  # what had begun is forgotten


@pytest.mark.thin(3)
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_shared_arrays_assemble(tmp_path, architecture):
    f32, f64, i32 = (np.zeros(1, t) for t in (np.float32, np.float64, np.int32))
    made = compiled(turned, f32, outs=[f32])
    assert made["launches"] == [[256, 4]] and made["scratch"] == 0
    assert "bar.sync" in made["ptx"] and "shared_array" in made["ptx"]
    assemble(made, tmp_path, architecture)
    for kernel, given, outs in ((histogram, [i32], [i32, f64]), (loops, [f32], [f32])):
        assemble(compiled(kernel, *given, outs=outs), tmp_path, architecture)


@pytest.mark.thin(3)
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_additions_of_the_benchmark(driver, dtype):
    begin = jnp.asarray([7], jnp.int32)
    y = additions.memory(1000, dtype, 20_000)(begin)
    np.testing.assert_array_equal(y, additions.expected(7, 20_000, 1000))
    y = additions.shared(dtype, 6, 5)(begin)  # four blocks for six parts
    np.testing.assert_array_equal(y, additions.expected(7, 6 * 512 * 5, 4096))
