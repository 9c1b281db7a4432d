"""What users do wrong with kernels of their own, and what they are told."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import taichi as ti

import custom_kernels as kernels
import evops
from evops.compiler import native

STRUCT = jax.ShapeDtypeStruct
OUT = [STRUCT((3,), np.float32)]
X = np.ones(3, np.float32)
A1 = ti.types.ndarray(ndim=1)


def op(kernel, **options):
    return evops.XLACustomOp(kernel, **options)


def expect(error, message, kernel, *arrays, outs=OUT, options=None, **statics):
    with pytest.raises(error, match=message):
        op(kernel, **(options or {}))(*arrays, outs=outs, **statics)


# ---- What is no kernel.


def test_constructor_refuses():
    with pytest.raises(TypeError, match="needs cpu_kernel, gpu_kernel or fallback"):
        evops.XLACustomOp()
    with pytest.raises(TypeError, match=r"cpu_kernel must be a function decorated with ti\.kernel"):
        evops.XLACustomOp(cpu_kernel=lambda x: x)
    with pytest.raises(TypeError, match=r"gpu_kernel must be a function decorated with ti\.kernel"):
        evops.XLACustomOp(gpu_kernel=kernels.sum_rows)
    with pytest.raises(TypeError, match="jvp must be a function, got 3"):
        evops.XLACustomOp(kernels.double, jvp=3)
    with pytest.raises(TypeError, match="parallel must be True or False"):
        evops.XLACustomOp(kernels.double, parallel=1)

    @ti.kernel
    def returns(x: A1) -> ti.f32:
        return x[0]

    with pytest.raises(TypeError, match="cpu_kernel returns returns a value"):
        evops.XLACustomOp(returns)

    @ti.data_oriented
    class Model:
        @ti.kernel
        def step(self, x: A1):
            x[0] = 1

    with pytest.raises(TypeError, match="cpu_kernel .*step.* is a method"):
        evops.XLACustomOp(Model.step)


# ---- Arguments.


def test_arguments_that_do_not_fit():
    out = [STRUCT((3,), np.float64)]
    with jax.enable_x64(True):
        given = {"a": 1.0, "n": 3, "outs": out}
        bad = [
            (TypeError, r"scaled has 2 array parameters \(x, y\), got 2 arrays and 1 outs", (X, X), {}),
            (TypeError, "scaled: x must be float32, got int32", (np.ones(3, np.int32),), {}),
            (TypeError, "scaled: y must be float64, got float32", (X,), {"outs": OUT}),
            (ValueError, "scaled: x must have 1 axes, got 2", (np.ones((3, 1), np.float32),), {}),
            (ValueError, "scaled: outs must have one entry", (X,), {"outs": []}),
            (TypeError, r"scaled: outs\[0\] must be a jax.ShapeDtypeStruct, got 3", (X,), {"outs": 3}),
            (TypeError, "scaled: argument 0 is no array", ("text",), {}),
            (TypeError, r"scaled: n must be an integer \(i32\), got 2.5", (X,), {"n": 2.5}),
            (TypeError, r"scaled: n must be an integer \(i32\), got True", (X,), {"n": True}),
            (ValueError, r"scaled: n must be from -2147483648 to", (X,), {"n": 2**31}),
            (TypeError, r"scaled: a must be a number \(f64\), got 'x'", (X,), {"a": "x"}),
            (TypeError, "scaled: a must be a number, a string.*give arrays before outs", (X,), {"a": X}),
        ]  # fmt: skip
        for error, message, arrays, change in bad:
            expect(error, message, kernels.scaled, *arrays, **{**given, **change})
        del given["n"]
        expect(TypeError, "scaled: n is no array; give it by name, n=…", kernels.scaled, X, **given)


def test_dtypes_that_kernels_do_not_take():
    for dtype in (jnp.bfloat16, jnp.complex64):
        expect(
            TypeError, f"double: x has dtype {np.dtype(dtype)}", kernels.double, jnp.ones(3, dtype)
        )


def test_outs_are_needed():
    with pytest.raises(TypeError, match="outs"):
        op(kernels.double)(X)


def test_traced_statics():
    with pytest.raises(TypeError, match="powers: highest must be known before compilation"):
        jax.jit(lambda n: op(kernels.powers)(X, highest=n, outs=[STRUCT((3, 3), np.float32)]))(2)


def test_vectors_as_elements():
    @ti.kernel
    def vectors(x: ti.types.ndarray(dtype=ti.math.vec3, ndim=1), y: A1):
        y[0] = x[0][0]

    expect(TypeError, "vectors: x has elements that are vectors", vectors, X)


# ---- Kernels that cannot be compiled.


def test_taichis_own_message_is_shown():
    @ti.kernel
    def wrong(x: A1, y: A1):
        for i in range(x.shape[0]):
            y[i] = x[i].nothing

    with pytest.raises(evops.KernelError, match=r"(?s)wrong: Taichi does not compile.*y\[i\] = x\[i\].nothing") as e:  # fmt: skip
        op(wrong)(X, outs=OUT)
    assert "nothing" in str(e.value.__cause__)


def _random():
    @ti.kernel
    def kernel(x: A1, y: A1):
        y[0] = ti.random()

    return kernel


def _print():
    @ti.kernel
    def kernel(x: A1, y: A1):
        print(x[0])

    return kernel


def _assert():
    @ti.kernel
    def kernel(x: A1, y: A1):
        assert x[0] > 0, "positive"

    return kernel


@pytest.mark.parametrize("make", [_random, _print, _assert])
def test_kernels_that_need_taichis_run_time(make):
    expect(evops.KernelError, "kernel: the kernel cannot be called on its own", make(), X)


def _names():
    field = ti.field(ti.f32, shape=3)
    nothing = object()
    first = lambda v: v  # noqa: E731

    @ti.func
    def ping(v):
        return pong(v)

    @ti.func
    def pong(v):
        return ping(v)

    @ti.kernel
    def of_field(x: A1, y: A1):
        y[0] = field[0]

    @ti.kernel
    def of_object(x: A1, y: A1):
        y[0] = nothing

    @ti.kernel
    def of_lambda(x: A1, y: A1):
        y[0] = first(x[0])

    @ti.kernel
    def of_circle(x: A1, y: A1):
        y[0] = ping(x[0])

    @ti.kernel
    def of_kernel(x: A1, y: A1):
        kernels.double(x, y)

    @ti.kernel
    def of_module(x: A1, y: A1):
        y[0] = ti.static(kernels)

    @ti.kernel
    def of_nothing(x: A1, y: A1):
        y[0] = kernels.missing

    return {
        of_field: "field in of_field is of type taichi.lang.field.ScalarField",
        of_object: "nothing in of_object is of type builtins.object: a kernel may use numbers",
        of_lambda: "first in of_lambda is a lambda: write it with def",
        of_circle: "ping in pong is called by a function that it calls itself",
        of_kernel: "kernels.double in of_kernel is of type builtins.function",
        of_module: "kernels in of_module is the module custom_kernels: only its attributes",
        of_nothing: "kernels in of_nothing: module 'custom_kernels' has no attribute 'missing'",
    }


def test_names_that_cannot_travel():
    ti.init(ti.cpu, log_level=ti.ERROR)
    for kernel, message in _names().items():
        expect(evops.KernelError, message, kernel, X)


def test_source_that_is_not_there():
    scope = {"ti": ti, "A1": A1}
    exec("@ti.kernel\ndef typed(x: A1, y: A1):\n    y[0] = x[0]\n", scope)
    expect(evops.KernelError, "the source of typed is not available", scope["typed"], X)


def test_what_cannot_be_split():
    for kernel in (kernels.total, kernels.double):
        outs = (
            [STRUCT((), np.float32), OUT[0]]
            if kernel is kernels.total
            else [STRUCT((3, 1), X.dtype)]
        )
        expect(
            evops.KernelError, "parallel=True needs a kernel that is one loop", kernel,
            X[:, None], outs=outs, options={"parallel": True},
        )  # fmt: skip


def test_outs_have_extents():
    for shape in ((-1,), (2, 1.5)):
        expect(
            ValueError,
            r"double: outs\[0\] has shape .*; extents are integers from 0 on",
            kernels.double,
            X,
            outs=[STRUCT(shape, np.float32)],
        )


def test_scalars_are_not_called_like_keywords_of_calls():
    @ti.kernel
    def taken(x: A1, backend: ti.i32, y: A1):
        y[0] = backend

    with pytest.raises(ValueError, match="cpu_kernel taken: no parameter may be called backend"):
        evops.XLACustomOp(taken)


# ---- What is missing on a machine.


def test_a_gpu_kernel_alone_on_a_cpu():
    gpu = evops.XLACustomOp(gpu_kernel=kernels.double)
    with pytest.raises(
        evops.BackendError, match="double has no fallback, and it has no cpu_kernel"
    ):
        gpu(X, outs=OUT)
    with_fallback = evops.XLACustomOp(
        gpu_kernel=kernels.double, fallback=lambda x, *, outs: [3 * x]
    )
    assert with_fallback(X, outs=OUT)[0].tolist() == [3, 3, 3]
    with pytest.raises(evops.BackendError, match="backend=native is not available: it has no cpu"):
        with_fallback(X, outs=OUT, backend="native")


def test_no_fallback_for_the_jnp_path():
    with pytest.raises(evops.BackendError, match="double has no fallback, and the jnp path was"):
        op(kernels.double)(X, outs=OUT, backend="jnp")


def test_without_the_packages_that_compile(monkeypatch):
    version = native.metadata.version

    def missing(package):
        if package == "llvmlite":
            raise native.metadata.PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(native.metadata, "version", missing)
    native._version.cache_clear()
    try:
        message = r"need llvmlite, which is not installed: pip install 'jax-evops\[taichi\]'"
        expect(evops.BackendError, message, kernels.double, X)
        spare = op(kernels.double, fallback=lambda x, *, outs: [3 * x])
        assert spare(X, outs=OUT)[0].tolist() == [3, 3, 3]
        with pytest.raises(evops.BackendError, match=message):
            spare(X, outs=OUT, backend="native")
    finally:
        native._version.cache_clear()


def test_versions_that_kernels_are_not_compiled_with(monkeypatch):
    assert all(
        any(
            r.startswith(f"{package}==") and wanted in r
            for r in native.metadata.requires("jax-evops")
        )
        for package, wanted in native.TOOLS.items()
    )
    monkeypatch.setattr(native.metadata, "version", lambda package: "0.45.1")
    native._version.cache_clear()
    try:
        message = r"need taichi 1.7.4, found 0.45.1: pip install 'jax-evops\[taichi\]'"
        expect(evops.BackendError, message, kernels.double, X)
    finally:
        native._version.cache_clear()


def test_custom_op_without_taichi():
    code = "import sys; sys.modules['taichi'] = None; import evops; evops.XLACustomOp(print)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    message = "cpu_kernel needs taichi, which is not installed: pip install 'jax-evops[taichi]'"
    assert message in result.stderr


def test_a_source_that_has_changed_since_it_was_imported(tmp_path):
    path = tmp_path / "moved.py"
    path.write_text(
        "import taichi as ti\nA = ti.types.ndarray(dtype=ti.f32, ndim=1)\n\n@ti.kernel\n"
        "def one(x: A, y: A):\n    for i in x:\n        y[i] = 1.0\n"
    )
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import jax, numpy as np, evops, moved
moved_text = open(moved.__file__).read()
open(moved.__file__, "w").write("a = 1\\nb = 2\\nc = 3\\nd = 4\\n" + moved_text)
evops.XLACustomOp(moved.one)(np.ones(3, np.float32), outs=[jax.ShapeDtypeStruct((3,), np.float32)])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "the source of one has changed since it was imported" in result.stderr, result.stderr


def test_evops_taichi_without_taichi():
    code = "import sys; sys.modules['taichi'] = None; import evops; import evops.taichi"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "evops.taichi needs taichi: pip install 'jax-evops[taichi]'" in result.stderr


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (
            "raise ImportError('libX11.so.6: cannot open shared object file: No such file')",
            evops.BackendError,
            r"Taichi does not import: libX11.* \(install the system package that has libX11.so.6\)",
        ),
        (
            "import os, sys; print('broken', flush=True); os._exit(3)",
            evops.KernelError,
            "the process that compiles it ended with status 3: broken",
        ),
    ],
)
def test_taichi_that_does_not_start(tmp_path, monkeypatch, body, error, message):
    monkeypatch.setattr(native, "_loaded", set())
    monkeypatch.setenv("EVOPS_CACHE_DIR", str(tmp_path / "kernels"))
    (tmp_path / "taichi.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)  # for the process that compiles; here it is imported
    expect(error, message, kernels.double, X)


def test_no_interpreter_to_compile_with(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "_loaded", set())
    monkeypatch.setenv("EVOPS_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(native.sys, "executable", "")
    expect(evops.BackendError, "sys.executable is empty", kernels.double, X)
