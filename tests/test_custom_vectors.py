"""Loops of users' kernels are turned into vectors, and what they compute stays the same to the bit."""

import json
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import taichi as ti

import evops
from evops.compiler import cache, native
from evops.compiler.signature import Kernel

A = ti.types.ndarray(ndim=1)
A2 = ti.types.ndarray(ndim=2)
F32, I32, U8 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(bool)

# Prints LLVM's text of the kernel in a folder after all passes, for a processor.
SCRIPT = """
import sys
from pathlib import Path
folder, emit_file, cpu = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
sys.path.insert(0, str(emit_file.parent))
import emit
emit.start()
kernel = emit._imported("kernel_to_print", folder / "kernel.py").kernel
(made,) = emit.taichi_ir({"kernel": kernel}, folder)
ir = emit.objects.whole(made.tasks, "kernel")
print(emit.objects.optimised(ir, cpu)[0])
"""


def text_of(kernel, operands, results, folder, cpu, in_place=None, parallel=False):
    """LLVM IR of a kernel after all passes."""
    wrapped = Kernel(kernel, "cpu_kernel", in_place or {})
    request = wrapped.request("test", operands, results, {}, split=parallel)
    (folder / "kernel.py").write_text(request.text)
    command = [sys.executable, "-P", "-c", SCRIPT, str(folder), str(native._EMIT), cpu]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert run.returncode == 0, run.stderr
    return run.stdout


@ti.func
def updated(v, g, left, add):
    free = left <= 0
    vn = ti.select(free, v + 0.005 * (-52.0 - v + g), v)
    gn = ti.select(free, g * 0.98 + add, g)
    fired = vn > -45.0
    return (
        ti.select(fired, -52.0, vn),
        ti.select(fired, 0.0, gn),
        ti.select(fired, 22, left - 1),
        ti.cast(fired, ti.u8),
    )


@ti.kernel
def lif(v: A, g: A, left: A, add: A, v1: A, g1: A, left1: A, spikes: A):
    for i in range(v.shape[0]):
        v1[i], g1[i], left1[i], spikes[i] = updated(v[i], g[i], left[i], add[i])


@ti.kernel
def lif_in_place(v: A, g: A, left: A, add: A, spikes: A):
    for i in range(v.shape[0]):
        v[i], g[i], left[i], spikes[i] = updated(v[i], g[i], left[i], add[i])


@ti.kernel
def integers(a: A, b: A, c: A):
    for i in range(a.shape[0]):
        c[i] = ti.max(a[i], 3) + abs(b[i]) * 2 + ti.min(a[i], b[i])


@ti.kernel
def matrix(a: A2, b: A2):
    for i, j in ti.ndrange(a.shape[0], a.shape[1]):
        b[i, j] = a[i, j] * 2.0 + 1.0


@pytest.mark.parametrize(("cpu", "lanes"), [("x86-64", 4), ("x86-64-v3", 8), ("x86-64-v4", 16)])
@pytest.mark.parametrize("parallel", [False, True])
def test_neurons(cpu, lanes, parallel, tmp_path):
    states = [(F32, (9,)), (F32, (9,)), (I32, (9,))]
    operands, results = [*states, (F32, (9,))], [*states, (U8, (9,))]
    text = text_of(lif, operands, results, tmp_path, cpu, parallel=parallel)
    assert f"fmul <{lanes} x float>" in text
    in_place = {"v": 0, "g": 1, "left": 2}
    text = text_of(lif_in_place, operands, results, tmp_path, cpu, in_place, parallel)
    assert f"fmul <{lanes} x float>" in text
    # No check at run time whether arrays overlap: there is one vector loop, and nothing beside it
    # but the loop of the last entries.
    assert "vector.memcheck" not in text


@pytest.mark.parametrize(("kernel", "dtype", "ranks"), [(integers, I32, 1), (matrix, F32, 2)])
def test_other_loops(kernel, dtype, ranks, tmp_path):
    typed = [(dtype, (9,) * ranks)] * len(kernel._primal.arguments)
    text = text_of(kernel, typed[:-1], typed[-1:], tmp_path, "x86-64-v3")
    assert re.search(r"<8 x (i32|float)>", text)


@ti.kernel
def sums(x: A, w: A2, y: A, total: A):
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            y[i] += w[i, j] * x[j]
        total[0] += y[i] * y[i]
        y[i] = y[i] / (1.0 + x[0] * x[0])


def test_sums_are_added_in_order(rng):
    """Vectors must not change the order of additions, nor fuse products with sums."""
    x, w = rng.normal(size=100).astype(np.float32), rng.normal(size=(50, 100)).astype(np.float32)
    outs = [jax.ShapeDtypeStruct((50,), F32), jax.ShapeDtypeStruct((1,), F32)]
    y, total = evops.XLACustomOp(sums)(x, w, outs=outs)
    wanted, sum_of_squares = np.zeros(50, np.float32), np.float32(0)
    for i in range(50):
        for j in range(100):
            wanted[i] += w[i, j] * x[j]
        sum_of_squares += wanted[i] * wanted[i]
        wanted[i] /= np.float32(1) + x[0] * x[0]
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(total, [sum_of_squares])


@ti.kernel
def shifted(x: A, y: A):
    for i in range(1, x.shape[0]):
        y[i] = y[i - 1] + x[i]


@ti.kernel
def shifted_in_place(x: A):
    for i in range(1, x.shape[0]):
        x[i] += x[i - 1]


def test_entries_that_depend_on_others():
    x = jnp.arange(100.0)
    outs = [jax.ShapeDtypeStruct(x.shape, x.dtype)]
    wanted = np.cumsum(np.arange(100.0))
    np.testing.assert_array_equal(evops.XLACustomOp(shifted)(x, outs=outs)[0], wanted)
    op = evops.XLACustomOp(shifted_in_place, in_place={"x": 0})
    np.testing.assert_array_equal(op(x, outs=outs)[0], wanted)


@pytest.mark.parametrize("n", [0, 1, 3, 15, 16, 17, 31, 1000, 200_000])
def test_neurons_equal_numpy(n, rng):
    v, g, add = (rng.normal(size=n).astype(np.float32) - 46 * k for k in (1, 0, 0))
    left = rng.integers(-2, 3, n).astype(np.int32)
    free = left <= 0
    f = np.float32
    vn = np.where(free, v + f(0.005) * (f(-52.0) - v + g), v)
    gn = np.where(free, g * f(0.98) + add, g)
    fired = vn > -45
    wanted = [np.where(fired, f(-52), vn), np.where(fired, f(0), gn)]
    wanted += [np.where(fired, 22, left - 1), fired]
    outs = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (v, g, left, fired)]
    place = {"v": 0, "g": 1, "left": 2}
    for parallel in (False, True):
        apart = evops.XLACustomOp(lif, parallel=parallel)
        inside = evops.XLACustomOp(lif_in_place, parallel=parallel, in_place=place)
        for op in (apart, inside):
            for _ in range(3):  # also when the kernel's pace is known, and it is split
                for found, one in zip(op(v, g, left, add, outs=outs), wanted, strict=True):
                    np.testing.assert_array_equal(found, one)


@pytest.mark.parametrize(
    ("kernel", "in_place", "read_only"),
    [(lif, {}, 4), (lif_in_place, {"v": 0, "g": 1, "left": 2}, 1)],
    ids=["apart", "in place"],
)
def test_gpus_read_what_no_task_writes_through_its_own_cache(kernel, in_place, read_only):
    operands = [(F32, (9,)), (F32, (9,)), (I32, (9,)), (F32, (9,))]
    results = [*operands[:3], (U8, (9,))]
    request = Kernel(kernel, "gpu_kernel", in_place).request("test", operands, results, {})
    kept = cache.load(native.registered(request))
    assert kept is not None
    text = json.loads(kept)["ptx"]
    cached = re.findall(r"ld\.global\.nc\.\w+\s+%\w+, \[(%\w+)", text)
    others = re.findall(r"ld\.global\.[fub]\d+\s+%\w+, \[(%\w+)", text)
    written = re.findall(r"st\.global\.\w+\s+\[(%\w+)", text)
    assert len(set(cached)) == read_only and len(set(others)) == 4 - read_only
    assert len(set(written)) == 4 and not set(written) & set(cached)
