"""exp, log, tanh and powers in users' kernels: their errors, their ends, and that they make vectors."""

import ctypes
import functools
import re

import jax
import numpy as np
import pytest
import taichi as ti

import evops
from evops.compiler.passes import mathematics, objects
from evops.engine import library

A = ti.types.ndarray(ndim=1)
NUMPY = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "pow": np.power}
# Units in the last place, as docs/custom_op.md promises.
ULP = {"exp": 1.1, "log": 1, "tanh": 2, "pow": 1.2}
ENDS = [0.0, 1.0, 0.5, 2.0, 3.0, np.inf, 88.7, 88.8, 104.0, 1e-45, 1e-38, 3e38, 709.7, 709.8]
ENDS += [745.2, 8388607.5, 16777215.0, 16777216.0, 33554432.0, 1.0000001, 0.99999994, 5e-324]
ENDS += [2e-308, 1.7e308, 2.0**51 + 0.5, 2.0**52 + 1, 2.0**53 - 1, 2.0**53, 1 + 2.0**-52]


def levels():
    """LLVM's names of the processors whose code runs here."""
    return library.loaded().evops_levels().decode().split()


@pytest.fixture(autouse=True)
def subnormal_numbers():
    """Numbers below the smallest normal one count, whatever was run before: `ti.init` ends that."""
    libc = ctypes.CDLL(None)
    before = ctypes.create_string_buffer(64)
    assert libc.fegetenv(before) == 0 and libc.fesetenv(ctypes.c_void_p(-1)) == 0
    assert np.float32(1e-39) * np.float32(0.5) > 0
    yield
    assert libc.fesetenv(before) == 0


@functools.cache
def loop(name):
    """A loop that calls the function, as Taichi's kernels have them."""
    kind = kind_of(name)
    operands = ", ".join(f"{kind} {x}" for x in ("%x", "%y")[: mathematics.FUNCTIONS[name][2]])
    return f"""{mathematics.definitions([name])}
define void @loop({kind}* noalias %a, {kind}* noalias %b, {kind}* noalias %c, i64 %n) {{
begin:
  br label %body
body:
  %i = phi i64 [ 0, %begin ], [ %next, %body ]
  %ax = getelementptr {kind}, {kind}* %a, i64 %i
  %x = load {kind}, {kind}* %ax
  %by = getelementptr {kind}, {kind}* %b, i64 %i
  %y = load {kind}, {kind}* %by
  %z = call {kind} @{name}({operands})
  %cz = getelementptr {kind}, {kind}* %c, i64 %i
  store {kind} %z, {kind}* %cz
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %body, label %end
end:
  ret void
}}
"""


def kind_of(name):
    return "float" if name.endswith("f32") else "double"


@functools.cache
def compiled(name, cpu):
    """The loop as a function, and the engine that holds it."""
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(*objects.optimised(loop(name), cpu))
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)
    return kind(engine.get_function_address("loop")), engine


def run(name, cpu, x, y):
    """What the loop computes: outside of XLA, whose threads take subnormal numbers for 0."""
    z = np.empty_like(x)
    compiled(name, cpu)[0](x.ctypes.data, y.ctypes.data, z.ctypes.data, len(x))
    return z


def reference(name, x, y):
    """In the long double of x86, whose 64 bits are 11 more than float64 has."""
    with np.errstate(all="ignore"):
        wide = [v.astype(np.longdouble) for v in (x, y)[: mathematics.FUNCTIONS[name][2]]]
        return NUMPY[name[:-4]](*wide)


def error(found, wanted):
    """The largest error in units in the last place, of finite results; infinities and NaNs must be equal."""
    with np.errstate(over="ignore"):
        rounded = wanted.astype(found.dtype)
    special = ~np.isfinite(rounded) | ~np.isfinite(found)
    # Next to the largest number, an error of 1 may be infinity.
    largest = np.finfo(found.dtype).max
    near = special & (np.minimum(np.abs(rounded), np.abs(found)) >= largest)
    np.testing.assert_array_equal(found[special & ~near], rounded[special & ~near])
    finite = ~special
    spacing = np.spacing(np.abs(rounded[finite])).astype(wanted.dtype)
    return float(np.max(np.abs(found[finite] - wanted[finite]) / spacing))


def numbers(name, rng, count=200_000):
    """Pairs of numbers of every size, and many that give finite results."""
    dtype, bits = {"f32": (np.float32, np.uint32), "f64": (np.float64, np.uint64)}[name[-3:]]
    with np.errstate(all="ignore"):
        raw = rng.integers(0, np.iinfo(bits).max, count, bits).view(dtype)
        x = (rng.normal(size=count) * rng.choice([0.01, 0.3, 1, 10, 100, 700], count)).astype(dtype)
        y = rng.normal(size=2 * count) * 10
        if name.startswith("pow"):
            x = np.exp(x.clip(-300, 300) * (0.2 if dtype == np.float32 else 1)).astype(dtype)
            reach = 87 if dtype == np.float32 else 708
            y[count:] = (rng.random(count) * 2 - 1) * reach / np.log(x.astype(float))
            y[::5] = rng.integers(-60, 60, len(y[::5])) * 0.5
            x[::7] *= -1
        ends = np.array([s * e for e in [*ENDS, np.nan] for s in (1, -1)]).astype(dtype)
        one, other = (v.ravel() for v in np.meshgrid(ends, ends))
        return np.concatenate([raw, x, one]), np.concatenate([y.astype(dtype), other])


@pytest.mark.parametrize("name", mathematics.FUNCTIONS)
def test_errors(name, rng):
    x, y = numbers(name, rng)
    wanted = reference(name, x, y)
    for cpu in levels():
        assert error(run(name, cpu, x, y), wanted) <= ULP[name[:-4]]


@pytest.mark.parametrize("name", mathematics.FUNCTIONS)
def test_entries_do_not_depend_on_their_place(name, rng):
    """Neither on whether they are computed in a vector, nor on the lane, nor on AVX-512."""
    x, y = (v[-3000:] for v in numbers(name, rng))
    fused = [cpu for cpu in levels() if cpu != "x86-64"]  # which has no fused products and sums
    for cpu in levels():
        whole = run(name, cpu, x, y)
        for begin, end in ((0, 1), (1, 100), (3, 2999)):
            np.testing.assert_array_equal(
                run(name, cpu, x[begin:end], y[begin:end]), whole[begin:end]
            )
        if cpu in fused:
            np.testing.assert_array_equal(whole, run(name, fused[0], x, y))


@pytest.mark.parametrize("name", mathematics.FUNCTIONS)
@pytest.mark.parametrize(("cpu", "size"), [("x86-64", 16), ("x86-64-v3", 32), ("x86-64-v4", 64)])
def test_loops_become_vectors(name, cpu, size):
    """Of the processor's full width; LLVM counts it in the largest type, and pow_f32 uses float64."""
    lanes = size // (4 if name.endswith("f32") and name != "pow_f32" else 8)
    text = str(objects.optimised(loop(name), cpu)[0])
    body = text.split("define void @loop")[1].split("\n}")[0]
    widths = [int(width) for width in re.findall(rf"<(\d+) x {kind_of(name)}>", body)]
    assert max(widths, default=0) >= lanes
    assert not [line for line in body.splitlines() if "call" in line and "@llvm." not in line]


@ti.kernel
def every(x: A, y: A, z: A):
    for i in range(x.shape[0]):
        z[i] = ti.exp(x[i]) + ti.log(y[i]) * ti.tanh(x[i]) + ti.sqrt(y[i]) + y[i] ** x[i]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_kernels_use_them(dtype, rng):
    x, y = (rng.random(1000).astype(dtype) + dtype(0.5) for _ in range(2))
    with jax.enable_x64(True):
        outs = [jax.ShapeDtypeStruct(x.shape, dtype)]
        (z,) = evops.XLACustomOp(every)(x, y, outs=outs)
        assert z.dtype == dtype
    u, v = x.astype(float), y.astype(float)
    wanted = np.exp(u) + np.log(v) * np.tanh(u) + np.sqrt(v) + v**u
    np.testing.assert_allclose(np.asarray(z).astype(float), wanted, rtol=8 * np.finfo(dtype).eps)
