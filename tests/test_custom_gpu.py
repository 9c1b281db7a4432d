"""Users' GPU kernels without a GPU: their PTX is assembled, and their own LLVM IR runs on the CPU.

As for the package's own (test_gpu.py); here nothing is compiled but what users' kernels need.
"""

import json
import os
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import taichi as ti

import custom_kernels as kernels
import evops
from evops.compiler import cache, native
from evops.engine import library
from test_custom_errors import _assert, _print, _random
from test_custom_features import mathematics
from test_custom_op import check_recorded
from test_gpu import assembler

pytestmark = pytest.mark.gpu_code

STRUCT = jax.ShapeDtypeStruct
A1 = ti.types.ndarray(ndim=1)
X = np.arange(1, 4, dtype=np.float32)
OUT = [STRUCT((3,), np.float32)]


def op(gpu_kernel, **options):
    return evops.XLACustomOp(gpu_kernel=gpu_kernel, **options)


def calls(driver):
    found = driver.emulated_calls().decode().split()
    driver.emulated_clear()
    return found


# ---- Values.


@pytest.mark.thin(3)
@pytest.mark.parametrize("kind", ["E", "I"])
def test_kernels_of_the_notebook_equal_recorded(driver, kind):
    name = f"_multiple_area_event_mv_prob_homo_irregular_gpu_{kind}"
    check_recorded(op(getattr(kernels, name)), kind)


@ti.kernel
def ranks(
    a: ti.types.ndarray(ti.f64, 0),
    b: ti.types.ndarray(ti.i32, 1),
    c: ti.types.ndarray(ti.f32, 2),
    d: ti.types.ndarray(ti.f32, 3),
    factor: ti.f64,
    y: ti.types.ndarray(ti.f64, 1),
    z: ti.types.ndarray(ti.f32, 3),
    total: ti.types.ndarray(ti.f32, 0),
    running: ti.types.ndarray(ti.i32, 1),
):
    """Tasks after one another: parallel loops, a sum over one, a loop in order."""
    for i in range(1, b.shape[0]):
        y[i] = factor * a[None] * b[i]
    for i, j, k in ti.ndrange(d.shape[0], d.shape[1], d.shape[2]):
        z[i, j, k] = d[i, j, k] + c[i, j]
    summed = 0.0
    for i, j in ti.ndrange(c.shape[0], c.shape[1]):
        summed += c[i, j]
    total[None] = summed
    ti.loop_config(serialize=True)
    for i in range(b.shape[0]):
        running[i] = b[i] + (running[i - 1] if i > 0 else 0)


def ranks_given(rng):
    b = rng.integers(-9, 9, 1500).astype(np.int32)
    c = rng.integers(0, 9, (5, 301)).astype(np.float32)
    d = rng.normal(size=(5, 301, 2)).astype(np.float32)
    outs = [STRUCT(b.shape, np.float64), STRUCT(d.shape, np.float32), STRUCT((), np.float32)]
    return (np.float64(1e-300), b, c, d), [*outs, STRUCT(b.shape, np.int32)]


def test_many_arrays_ranks_results_and_tasks(driver, rng):
    with jax.enable_x64(True):
        (a, b, c, d), outs = ranks_given(rng)
        y, z, total, running = op(ranks)(a, b, c, d, factor=3, outs=outs)
        expected = 3.0 * a * b
        expected[0] = 0
        np.testing.assert_array_equal(np.asarray(y), expected, strict=True)
        np.testing.assert_array_equal(np.asarray(z), d + c[:, :, None], strict=True)
        assert total == c.sum()
        np.testing.assert_array_equal(np.asarray(running), b.cumsum())


@ti.kernel
def plus_one(x: ti.types.ndarray(), y: ti.types.ndarray()):
    for place in ti.grouped(x):
        y[place] = x[place] + 1


@pytest.mark.thin(3)
@pytest.mark.parametrize("dtype", ["bool", "int8", "int64"])
def test_dtypes(driver, dtype):
    with jax.enable_x64(True):
        x = np.array([[0, 1, 1]]).astype(dtype)
        (y,) = op(plus_one)(x, outs=[STRUCT((1, 3), "uint8" if dtype == "bool" else dtype)])
        assert y.tolist() == [[1, 2, 2]]


def test_empty_arrays(driver):
    assert op(plus_one)(X[:0], outs=[STRUCT((0,), X.dtype)])[0].shape == (0,)
    (y,) = op(kernels.dense)(np.zeros((3, 0), X.dtype), X[:0], outs=OUT)
    assert y.tolist() == [0, 0, 0]


@ti.kernel
def until(bounds: A1, y: A1):
    for i in range(bounds[0], bounds[1]):
        y[i - bounds[0]] += i


@pytest.mark.parametrize("size", [(1 << 18) + 700, 129, 0, -5])
def test_a_size_that_only_the_device_knows(driver, size):
    driver.emulated_limit(2**32 - 1)  # all threads, of which each has two rounds, one or none
    bounds = np.array([-3, size - 3], np.int32)
    (y,) = op(until)(bounds, outs=[STRUCT(((1 << 18) + 800,), np.int32)])
    expected = np.zeros(y.shape, np.int32)
    expected[: max(size, 0)] = np.arange(*bounds)
    np.testing.assert_array_equal(y, expected)


@ti.kernel
def reductions(x: A1, y: A1, z: A1):
    y[2] = 1
    for i in x:
        ti.atomic_max(y[0], x[i])
        ti.atomic_min(y[1], x[i])
        if i % 100 == 0:
            ti.atomic_mul(y[2], 3)
        y[3] -= x[i]
        z[i] = 2
        z[i] *= x[i]
    largest = x[0]
    for i in x:
        ti.atomic_max(largest, x[i])
    y[4] = largest


@pytest.mark.thin(3)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_atomic_operations(driver, rng, dtype):
    with jax.enable_x64(True):
        x = rng.integers(-50, 60, 1000).astype(dtype)
        outs = [STRUCT((5,), dtype), STRUCT(x.shape, dtype)]
        y, z = op(reductions)(x, outs=outs)
        assert y.tolist() == [x.max(), x.min(), 3**10, -x.sum(), x.max()]
        np.testing.assert_array_equal(z, 2 * x)


def test_a_size_that_is_compiled_in_is_one_launch(driver):
    with jax.enable_x64(True):
        scaled = jax.jit(lambda x: op(kernels.scaled)(x, a=0.5, n=3, outs=[STRUCT((5,), float)])[0])
        for first in (True, False):
            assert scaled(np.arange(5, dtype=np.float32)).tolist() == [0, 0.5, 1, 0, 0]
            loads = ["cuLibraryLoadData", "cuLibraryGetKernel"] if first else []
            assert calls(driver) == ["cuMemsetD8Async", *loads, "cuLaunchKernel"]


def test_transforms(driver, rng):
    def jvp(primals, tangents, *, outs):
        (w, x), (_, dx) = primals, tangents
        return dense(w, x, outs=outs), dense(w, dx, outs=outs)

    def transpose(cotangents, w, x, *, outs):
        return None, dense(w.T, *cotangents, outs=[x])[0]

    dense = op(kernels.dense, jvp=jvp, transpose=transpose)
    w, x = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((4, 3), 3))
    f = lambda w, x: dense(w, x, outs=[STRUCT((4,), np.float32)])[0]  # noqa: E731
    np.testing.assert_allclose(jax.jit(f)(w, x), w @ x, rtol=1e-5)
    xs = jnp.stack([x, 2 * x])
    np.testing.assert_allclose(jax.vmap(f, (None, 0))(w, xs), xs @ w.T, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(lambda x: f(w, x).sum())(x), w.sum(0), rtol=1e-5)
    square = jnp.asarray([[0.0, 1.0], [1.0, 1.0]])
    step = lambda x, _: (dense(square, x, outs=[STRUCT((2,), np.float32)])[0], x[0])  # noqa: E731
    last, _ = jax.lax.scan(step, jnp.asarray([0.0, 1.0]), None, length=10)
    assert last.tolist() == [55, 89]


# ---- Which way a call goes.


def test_a_kernel_for_each_platform(driver):
    both = evops.XLACustomOp(kernels.double, plus_one, fallback=lambda x, *, outs: [7 * x])
    assert both(X, outs=OUT)[0].tolist() == [2, 3, 4]  # here the CPU is a GPU
    assert both(X, outs=OUT, backend="jnp")[0].tolist() == [7, 14, 21]


def test_without_a_gpu_kernel_the_fallback_runs(driver):
    spare = evops.XLACustomOp(kernels.double, fallback=lambda x, *, outs: [7 * x])
    assert spare(X, outs=OUT)[0].tolist() == [7, 14, 21]
    with pytest.raises(evops.BackendError, match="native is not available: it has no gpu_kernel"):
        spare(X, outs=OUT, backend="native")
    with pytest.raises(evops.BackendError, match="double has no fallback, and it has no gpu_kern"):
        evops.XLACustomOp(kernels.double)(X, outs=OUT)


def test_annotations_of_the_gpu_kernel_are_checked(driver):
    @ti.kernel
    def halves(x: ti.types.ndarray(ti.f64, 1), y: A1):
        for i in x:
            y[i] = x[i] / 2

    @ti.kernel
    def writes(x: A1, y: A1):
        for i in y:
            x[i] = y[i]

    with pytest.raises(TypeError, match="halves: x must be float64, got float32"):
        evops.XLACustomOp(kernels.double, halves)(X, outs=OUT)
    with pytest.raises(evops.KernelError, match="writes writes to x: what a call is given stays"):
        evops.XLACustomOp(kernels.double, writes)(X, outs=OUT)


# ---- What goes wrong.


@pytest.mark.thin(3)
@pytest.mark.parametrize("make", [_random, _print, _assert])
def test_kernels_that_need_taichis_run_time(driver, make):
    with pytest.raises(evops.KernelError, match="kernel: the kernel cannot be called on its own"):
        op(make())(X, outs=OUT)


@ti.kernel
def bits(x: A1, y: A1):
    for i in range(3):
        y[i] |= 1


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_what_taichis_compiler_ends_itself_for(platform):
    f = jax.jit(lambda x: evops.XLACustomOp(bits, bits)(x, outs=OUT))
    message = "^bits: Taichi's compiler ends itself .SIGABRT.: arrays of floating.* have no &=, |="
    with pytest.raises(evops.KernelError, match=message):
        f.trace(X).lower(lowering_platforms=(platform,))


def test_without_the_stand_in_driver(driver, monkeypatch, tmp_path):
    monkeypatch.setattr(native, "_loaded", set())
    monkeypatch.setenv("EVOPS_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(native.installed, "FOLDER", tmp_path)
    with pytest.raises(evops.BackendError, match="libcuda.so, which does not exist: install the"):
        op(plus_one)(X, outs=OUT)


@ti.kernel
def minus_one(x: A1, y: A1):
    for i in range(3):
        y[i] += x[i] - 1  # so that it must find zeros


def test_failures_of_the_driver_are_errors(driver):
    failures = {
        "cuLibraryLoadData": "loading the PTX of task 0",
        "cuLibraryGetKernel": "looking up task 0",
        "cuMemsetD8Async": "clearing a result",
        "cuLaunchKernel": "launch of task 0",
    }
    minus = op(minus_one)
    for call, what in failures.items():
        driver.emulated_fail(call.encode(), 700)
        message = f"evops_gpu_custom minus_one: {what} failed: CUDA_ERROR_ILLEGAL_ADDRESS"
        with pytest.raises(Exception, match=message):
            jax.block_until_ready(minus(X, outs=OUT))
        driver.emulated_fail(b"", 0)
    assert minus(X, outs=OUT)[0].tolist() == [0, 1, 2]


HANDLED = {
    "the kernel is not loaded in this process; trace or call its evops.XLACustomOp": {"key": "0"},
    "no results, the last must be its scratch memory": {"outs": []},
    "1 operands and 0 results of their own, the kernel has 2 arrays": {"outs": OUT, "contents": []},
    r"operand 0 is int32\[3\], expected float32 of rank 1": {"x": np.ones(3, np.int32)},
    r"operand 0 is float32\[3,1\], expected float32 of rank 1": {"x": X[:, None]},
    r"result 0 is uint8\[3\], expected float32 of rank 1": {"outs": [STRUCT((3,), np.uint8)] * 2},
    r"scratch memory is float32\[3\], expected uint8\[1048576\]": {"outs": OUT * 2},
}


@pytest.mark.parametrize(("message", "change"), HANDLED.items())
def test_handler_refuses(driver, monkeypatch, message, change):
    keys, registered = [], native.registered

    def remember(request):
        keys.append(registered(request))
        return keys[-1]

    monkeypatch.setattr(native, "registered", remember)
    op(plus_one)(X, outs=OUT)
    given = {"key": keys[-1], "x": X, "outs": OUT * 2, "contents": [-1], **change}
    call = jax.ffi.ffi_call("evops_gpu_custom", given["outs"], has_side_effect=True)
    attributes = {"key": given["key"], "contents": np.array(given["contents"], np.int64)}
    with pytest.raises(Exception, match=f"evops_gpu_custom mine: {message}"):
        jax.block_until_ready(call(given["x"], name="mine", **attributes))
        jax.effects_barrier()


def test_library_refuses_launches_out_of_range():
    register = library.loaded().evops_gpu_register_custom
    types, one = (native.ctypes.c_int32 * 2)(11, 1), native.ctypes.c_int64(1)
    for launch in ((0, 1), (2048, 1), (128, 0)):
        sizes = (native.ctypes.c_int32 * 2)(*launch)
        assert register(b"k", b"", types, one, sizes, one, native.ctypes.c_int64(0)) == 1


# ---- What is really compiled: no emulation from here on.


def compiled(kernel, *arrays, outs, **statics):
    """Text of the kernel's PTX, and threads and blocks of each launch; kept as users' are."""
    wrapped = native_kernel(kernel)
    types = [[(np.dtype(a.dtype), a.shape) for a in some] for some in (arrays, outs)]
    request = wrapped.request("test", *types, statics)
    key = native.registered(request)
    kept = cache.load(key)
    assert kept is not None and key == native.registered(request)
    return json.loads(kept)


def native_kernel(kernel):
    from evops.compiler.signature import Kernel

    return Kernel(kernel, "gpu_kernel")


@pytest.mark.thin(9)
@pytest.mark.parametrize("name", ["E", "ranks", "mathematics", "draws"])
def test_ptx_assembles(name, tmp_path, rng):
    i32, u32, f32 = (np.zeros(1, t) for t in (np.int32, np.uint32, np.float32))
    if name == "E":
        kernel = kernels._multiple_area_event_mv_prob_homo_irregular_gpu_E
        made = compiled(kernel, f32, f32, i32, i32, outs=[f32[None]])
    elif name == "ranks":
        arrays, outs = ranks_given(rng)
        made = compiled(ranks, *arrays, outs=outs, factor=0.5)
    elif name == "mathematics":
        made = compiled(mathematics, f32.astype(float), outs=[f32.astype(float)])
    else:
        made = compiled(kernels.draws, i32, outs=[u32[None], f32[None]])
    assemble(made, tmp_path)
    # bounds are worked out by one thread, then there are threads for every card
    assert made["launches"][:2] == [[1, 1], [128, 2048]] and made["scratch"] == 1 << 20


def assemble(made, folder, architecture="sm_90"):
    text = made["ptx"]
    entries = [f".entry evops_custom_{k}(" for k in range(len(made["launches"]))]
    assert all(entry in text for entry in entries) and ".extern" not in text
    path = folder / "kernel.ptx"
    path.write_text(text)
    command = [assembler(), f"-arch={architecture}", "-o", folder / "kernel.cubin", path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_lowering_for_cuda_names_the_handler():
    f = jax.jit(lambda x: op(plus_one)(x, outs=OUT)[0])
    text = f.trace(X).lower(lowering_platforms=("cuda",)).as_text()
    assert "@evops_gpu_custom" in text and "tensor<1048576xui8>" in text


def test_blocks_of_a_size_that_is_compiled_in():
    f32, f64 = np.zeros(1, np.float32), np.zeros(1)
    for n, blocks in ((129, 2), (10**9, 2048)):
        made = compiled(kernels.scaled, f32, outs=[f64], a=1.0, n=n)
        assert made["launches"] == [[128, blocks]] and made["scratch"] == 0


def test_platforms_are_other_kernels(monkeypatch):
    names = []
    monkeypatch.setattr(native, "_compiled", lambda request, cpu: names.append(cpu) or b"")
    monkeypatch.setattr(native, "_register", lambda *_: None)
    monkeypatch.setattr(native, "_register_ptx", lambda *_: None)
    monkeypatch.setattr(native, "_loaded", set())
    monkeypatch.setattr(cache, "load", lambda key: None)
    monkeypatch.setattr(cache, "store", lambda key, code: None)
    arrays = [(np.dtype(np.float32), 1)]
    keys = {
        native.registered(native.Request("k", "text", arrays, [0], False, a))
        for a in ("x64", "cuda")
    }
    assert len(keys) == 2 and names == [os.environ.get("EVOPS_ISA", names[0]), "cuda"]
