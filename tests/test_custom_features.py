"""What Taichi's language has: a compiled kernel gives the bits that Taichi itself gives."""

import jax
import numpy as np
import pytest
import taichi as ti
import taichi.math as tm
from taichi.math import vec3

import evops

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


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.__name__)
def test_kernel_equals_taichis_own_run(kernel):
    x = np.linspace(1.1, 9.7, 7).astype(np.float32)
    kernel(x, expected := np.zeros(7, np.float32))
    assert expected.any()
    (y,) = evops.XLACustomOp(kernel)(x, outs=[jax.ShapeDtypeStruct((7,), np.float32)])
    np.testing.assert_array_equal(np.asarray(y), expected)
