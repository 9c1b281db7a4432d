"""Results that a kernel writes wholly are not cleared first; all others begin with zeros."""

import ast
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import taichi as ti

import evops
from evops.compiler.whole import whole

A = ti.types.ndarray(ndim=1)
A2 = ti.types.ndarray(ndim=2)
SHAPES = {"x": (5,), "m": (5, 3), "s": (), "y": (5,), "z": (5, 3), "t": ()}

# Bodies of a kernel of x, m, s that write to y, z, t, and which of these they write wholly.
BODIES = {
    "for i in range(x.shape[0]): y[i] = x[i]": "y",
    "for i in range(0, y.shape[0]): y[i] = x[i]": "y",
    "n = x.shape[0]\nfor i in range(n): y[i] = x[i]": "y",
    "for i in range(N): y[i] = x[i]": "y",
    "for i in range(N - 1 + 1 * 1): y[i] = x[i]": "y",
    "for i in y: y[i] = x[i]": "y",
    "for i in x:\n y[i] = x[i]\n for j in range(3): z[i, j] = y[i]": "y z",
    "for i, j in ti.ndrange(5, 3): z[i, j] = m[i, j]": "z",
    "for i, j in ti.ndrange((0, 5), (0, m.shape[1])): z[i, j] = m[i, j]": "z",
    "for i, j in m: z[i, j] = m[i, j]": "z",
    "for I in ti.grouped(m): z[I] = m[I]": "z",
    "for I in ti.grouped(ti.ndrange(5, 3)): z[I] = m[I]": "z",
    "for i in range(5):\n for j in ti.static(range(3)): z[i, j] = m[i, j]": "z",
    "for i in range(5):\n y[i], z[i, 0] = x[i], x[i]": "y",
    "for i in range(5):\n y[i] = x[i]\n y[i] += y[i] * 2": "y",
    "for i in range(5): y[i] = x[i]\nfor i in range(5): y[0] += y[i]": "y",
    "for i in range(5):\n if x[i] > 0: z[i, 0] = 1.0\n y[i] = x[i]": "y",
    "t[None] = 2.0\nfor i in range(5): t[None] += x[i]": "t",
    "z[0, 0] = y.shape[0]\nfor i in range(5): y[i] = x[i]": "y",
    # What follows leaves some entries as they are, reads them first, or may do so.
    "for i in range(4): y[i] = x[i]": "",
    "for i in range(1, 5): y[i] = x[i]": "",
    "for i in range(6): y[i] = x[0]": "",
    "for i in range(unknown): y[i] = x[i]": "",
    "for i in range(x[0]): y[i] = x[i]": "",
    "n = 5\nif x[0] > 0: n = 4\nfor i in range(n): y[i] = x[i]": "",
    "n = 4\nn += 1\nfor i in range(n): y[i] = x[i]": "",
    "for i in range(5): y[4 - i] = x[i]": "",
    "for i in range(5): y[0] = x[i]": "",
    "for i in range(5): y[i] += x[i]": "",
    "for i in range(5): y[i] = y[i] + x[i]": "",
    "for i in range(5):\n if x[i] > 0: y[i] = x[i]": "",
    "for i in range(5):\n if x[i] > 0: continue\n y[i] = x[i]": "",
    "for i in range(5):\n if x[i] > 0: break\n y[i] = x[i]": "",
    "for i in range(5):\n i = 0\n y[i] = x[i]": "",
    "for i in range(5):\n y[i] = x[i]\n z[i, 0] = y[4 - i]": "",
    "for i in range(5):\n y[i] = x[i]\n y[0] += 1.0": "",
    "for i in range(5):\n z[i, 0] = y[i]\n y[i] = x[i]": "",
    "z[0, 0] = y[0]\nfor i in range(5): y[i] = x[i]": "",
    "w = ti.static(y)\nfor i in range(5): y[i] = x[i]": "",
    "fill(y)\nfor i in range(5): y[i] = x[i]": "",
    "if x[0] > 0:\n for i in range(5): y[i] = x[i]": "",
    "while x[0] > 0:\n for i in range(5): y[i] = x[i]": "",
    "if x[0] > 0: return\nfor i in range(5): y[i] = x[i]": "",
    "for i, j in ti.ndrange(3, 5): z[j, i] = m[j, i]": "",
    "for i, j in ti.ndrange(5, 3): z[j, i] = m[i, j]": "",
    "for i, j in ti.ndrange(5, 3): y[i] = m[i, j]": "",
    "for i in range(5):\n for j in range(i): z[i, j] = 1.0": "",
    "for i in range(5):\n for j in range(3):\n  z[i, j] = m[i, j]\n z[0, 0] = 1.0": "",
    "for i in range(5):\n for j in range(3):\n  if j > 0: break\n  z[i, j] = m[i, j]": "",
    "for i in range(5):\n for i in range(3): z[i, i] = 1.0": "",
    "for I in ti.grouped(ti.ndrange(5, 2)): z[I] = m[I]": "",
    "t[None] += 2.0": "",
    "if x[0] > 0: t[None] = 2.0": "",
}


@pytest.mark.parametrize(("body", "expected"), BODIES.items())
def test_proof(body, expected):
    tree = ast.parse(f"def kernel(x, m, s, y, z, t):\n{textwrap.indent(body, ' ')}").body[0]
    found = whole(tree, SHAPES, {"N": 5, "unknown": 5.0})
    assert found & {"y", "z", "t"} == set(expected.split())


def contents(kernel, operands, outs, **statics):
    """What the kernel is said to find in its results."""
    typed = [[(np.dtype(np.float32), shape) for shape in shapes] for shapes in (operands, outs)]
    return evops.XLACustomOp(kernel)._cpu.contents(*typed, statics)


@ti.kernel
def copies(x: A, n: ti.i32, y: A):
    for i in range(n):
        y[i] = x[i]


def test_statics_and_shapes_of_the_call_count():
    assert contents(copies, [(5,)], [(5,)], n=5) == [-2]
    assert contents(copies, [(5,)], [(5,)], n=4) == [-1]
    assert contents(copies, [(5,)], [(6,)], n=5) == [-1]


@ti.kernel
def reads_before(x: A, y: A):
    for i in range(x.shape[0]):
        y[i] = x[i] + y[x.shape[0] - 1 - i]


@ti.kernel
def some(x: A, y: A, z: A2):
    for i in range(x.shape[0]):
        y[i] = x[i]
        if x[i] > 1:
            z[i, 0] = x[i]


@pytest.mark.parametrize("parallel", [False, True])
def test_memory_that_was_used_before_does_not_show(parallel):
    """Memory of freed arrays comes back, full of other numbers."""
    n = 1000
    x = jnp.arange(n, dtype=jnp.float32)
    outs = [jax.ShapeDtypeStruct((n,), x.dtype), jax.ShapeDtypeStruct((n, 2), x.dtype)]
    op = evops.XLACustomOp(some, parallel=parallel)
    reads = evops.XLACustomOp(reads_before, parallel=False)
    for _ in range(5):
        dirty = [np.asarray(jnp.full(n * k, 7.0) + k) for k in (1, 2, 1, 2)]
        del dirty
        y, z = op(x, outs=outs)
        assert (y == x).all()
        assert (z[2:, 0] == x[2:]).all() and (z[:, 1] == 0).all() and (z[:2] == 0).all()
        (y,) = reads(x, outs=outs[:1])
        half = n // 2
        assert (y[:half] == x[:half]).all()
        assert (y[half:] == x[half:] + x[:half][::-1]).all()
