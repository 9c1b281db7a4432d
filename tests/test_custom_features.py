"""What Taichi's language has: a compiled kernel gives the bits that Taichi itself gives."""

import ctypes

import jax
import llvmlite.binding as llvm
import numpy as np
import pytest
import taichi as ti
import taichi.math as tm
from taichi.math import vec3

import custom_kernels as kernels
import evops
from evops.compiler.passes import division

A1 = ti.types.ndarray(ndim=1)
TERMS = 5
TABLE = np.array([1.5, 2.5, 3.5], np.float32)
mat2 = ti.types.matrix(2, 2, ti.f32)


@ti.func
def horner(x, n: ti.template()):
    r = x * 0
    for k in ti.static(range(n)):
        r = r * x + k
    return r


@ti.func
def folded(x: ti.f32) -> ti.f32:
    r = 0.0
    if x > 2:
        r = x * 2
    else:
        r = -x
    return r


@ti.kernel
def mathematics(x: A1, y: A1):
    for i in x:
        v = x[i]
        y[i] = ti.sin(v) + ti.cos(v) + ti.tan(v) + ti.exp(v) + ti.log(v) + ti.sqrt(v) + ti.rsqrt(v)
        y[i] += ti.asin(v / 100) + ti.acos(v / 100) + ti.atan2(v, 3.0) + ti.tanh(v) + ti.floor(v)
        y[i] += ti.ceil(v) + ti.round(v) + ti.pow(v, 1.7) + ti.pow(v, 3) + v % 2.0 + abs(v)
        y[i] += ti.max(v, 1.0) + ti.min(v, 2.0) + v // 3.0


@ti.kernel
def vectors(x: A1, y: A1):
    for i in range(x.shape[0]):
        v = vec3(x[i], 1, 2)
        w = ti.Vector([1.0, x[i], 3.0])
        m = mat2([[x[i], 1], [2, 3]])
        y[i] = tm.cross(v, w).dot(v) + tm.normalize(v).norm() + m.determinant() + tm.length(v.xy)
        y[i] += (m @ ti.Vector([1.0, 2.0])).sum() + m.inverse()[0, 1]
        s = ti.Struct(a=x[i], b=2.0)
        s.a += s.b
        y[i] += s.a


@ti.kernel
def flow(x: A1, y: A1):
    for i in range(2, x.shape[0] - 1):
        s, k = 0.0, 0
        while True:
            k += 1
            if k == 3:
                continue
            if k > 6:
                break
            s += k * x[i]
        for j in range(i):
            if j == 3:
                break
            s -= j
        y[i] = s if s > 0 else -s
        y[i] += horner(x[i], TERMS) + folded(x[i]) + TABLE[1]
    if x[0] > 1:
        for i in range(2):
            y[i] += 1
    else:
        for i in range(2):
            y[i] += 2


@ti.kernel
def integers(x: A1, y: A1):
    for i in range(x.shape[0]):
        v = ti.cast(x[i], ti.i32)
        w = (v << 3) ^ (v >> 1) | (v & 7) + v**3 + v // 3 + v % 5 + ti.cast(v, ti.u32) // 7 + ~v
        y[i] = ti.cast(w, ti.f32) + ti.cast(ti.i64(v) * ti.i64(2**33) >> 33, ti.f32)
        y[i] += tm.clz(v) + tm.popcnt(v)


@ti.kernel
def atomics(x: A1, y: A1):
    for i in range(x.shape[0]):
        ti.atomic_max(y[0], x[i])
        ti.atomic_min(y[1], -x[i])
        ti.atomic_sub(y[3], x[i])
        old = ti.atomic_add(y[4], 2.0)
        if old > 3:
            y[5] += old


@ti.kernel
def ranges(x: A1, y: A1):
    for i, j, k in ti.ndrange((1, x.shape[0]), 3, (0, 2)):
        y[i] += x[i] * j + k
    for place in ti.grouped(ti.ndrange(2, 3)):
        y[place[0]] += place[1]
    for place in ti.static(ti.ndrange(2, 2)):
        y[place[0] + 2] += place[1] * 100
    ti.loop_config(block_dim=32)
    for i in range(y.shape[0]):
        y[i] = ti.select(y[i] > 5, y[i], 5.0)


KERNELS = [mathematics, vectors, flow, integers, atomics, ranges]


@pytest.fixture(autouse=True, scope="module")
def program():
    ti.init(ti.cpu, log_level=ti.ERROR, fast_math=False, cpu_max_num_threads=1)


@pytest.mark.thin(3)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.__name__)
def test_kernel_equals_taichis_own_run(kernel):
    x = np.linspace(1.1, 9.7, 7).astype(np.float32)
    kernel(x, expected := np.zeros(7, np.float32))
    assert expected.any()
    (y,) = evops.XLACustomOp(kernel)(x, outs=[jax.ShapeDtypeStruct((7,), np.float32)])
    np.testing.assert_array_equal(np.asarray(y), expected)


@ti.kernel
def quotients(x: A1, y: A1, q: A1, r: A1):
    for i in range(x.shape[0]):
        q[i] = x[i] // y[i]
        r[i] = x[i] % y[i]


def operands(dtype):
    """Pairs of the numbers at the ends of a type and around 0."""
    limits, one = np.iinfo(dtype), np.ones(1, dtype)
    ends = np.array([limits.min, limits.min + 1, 0, 1, 7, limits.max - 3, limits.max], dtype)
    return (v.ravel() for v in np.meshgrid(ends, np.append(ends, ~(one - one))))


def test_integers_divided_by_zero_end_no_process():
    x, y = operands(np.int32)
    q, r = evops.XLACustomOp(quotients)(x, y, outs=[jax.ShapeDtypeStruct(x.shape, np.int32)] * 2)
    safe = (y != 0) & ((x != np.iinfo(np.int32).min) | (y != -1))
    np.testing.assert_array_equal(np.asarray(q)[safe], x[safe] // y[safe])
    np.testing.assert_array_equal(np.asarray(r)[safe], x[safe] % y[safe])


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("what", ["sdiv", "udiv", "srem", "urem"])
@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_divisions_without_traps_are_xlas(what, bits, lanes):
    number = f"i{bits}" if lanes == 1 else f"<{lanes} x i{bits}>"
    ir = f"""
define void @f({number}* %x, {number}* %y, {number}* %z, i64 %i) {{
  %xi = getelementptr {number}, {number}* %x, i64 %i
  %yi = getelementptr {number}, {number}* %y, i64 %i
  %zi = getelementptr {number}, {number}* %z, i64 %i
  %1 = load {number}, {number}* %xi, align 1
  %2 = load {number}, {number}* %yi, align 1
  %3 = {what} {number} %1, %2
  store {number} %3, {number}* %zi, align 1
  ret void
}}"""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(division.without_traps(ir))
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    pointers = [ctypes.c_void_p] * 3
    f = ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64)(engine.get_function_address("f"))
    x, y = operands(f"{'u' if what[0] == 'u' else ''}int{bits}")
    z = np.zeros_like(x)
    for i in range(x.size // lanes):
        f(x.ctypes.data, y.ctypes.data, z.ctypes.data, i)
    with jax.enable_x64(True):
        expected = jax.lax.div(x, y) if what.endswith("div") else jax.lax.rem(x, y)
    np.testing.assert_array_equal(z, expected)


def test_the_users_taichi_program_stays():
    field = ti.field(ti.f32, shape=3)
    field[1] = 7
    double, out = evops.XLACustomOp(kernels.double), jax.ShapeDtypeStruct((2,) * 4, np.float32)

    @ti.kernel
    def bump():
        for i in field:
            field[i] += 1

    bump()
    assert double(np.ones((2, 2, 2, 2), np.float32), outs=[out])
    bump()
    assert field.to_numpy().tolist() == [2, 9, 2]
    assert ti.lang.impl.get_runtime().prog is not None
    kernels.double(np.ones(2, np.float32), y := np.zeros(2, np.float32))  # still the user's kernel
    assert y.tolist() == [2, 2]
