"""Users' own Taichi kernels: values and transforms. All kernels are compiled once a session."""

import linecache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import taichi as ti
from jax.test_util import check_grads

import custom_kernels as kernels
import evops
from evops.connectivity import sampler
from test_golden import load, unpack

pytestmark = pytest.mark.range_ends

ti.init(ti.cpu, log_level=ti.ERROR)
STRUCT = jax.ShapeDtypeStruct

DOUBLE = evops.XLACustomOp(kernels.double, fallback=lambda x, *, outs: [x + x])


# ---- The notebook, as it is published, with evops in the place of its imports.


def _op(kind, form):
    name = f"_multiple_area_event_mv_prob_homo_irregular_{form}_{kind}"
    return evops.XLACustomOp(cpu_kernel=getattr(kernels, name))


def notebook(p, events, weight, seed, conn_prob, *, shape, area_num, axis):
    events = jnp.asarray(events)
    if isinstance(weight, float):
        weight = jnp.asarray(weight)
    weight = jnp.atleast_1d(jnp.asarray(weight))
    conn_len = jnp.ceil(1 / conn_prob) * 2 - 1
    conn_len = jnp.asarray(jnp.atleast_1d(conn_len), dtype=jnp.int32)
    out_shape = (area_num, shape[1])
    if events.shape[axis] != shape[0]:
        raise ValueError(f"Shape mismatch, vec {events.shape} @ mat {shape}.")
    shape = shape[::-1]
    return p(
        events,
        weight,
        conn_len,
        seed,
        outs=[jax.ShapeDtypeStruct(shape=out_shape, dtype=weight.dtype)],
        shape=shape,
        area_num=area_num,
    )[0]


@pytest.mark.thin(3)
@pytest.mark.parametrize("form", ["cpu", "gpu"])
@pytest.mark.parametrize("kind", ["E", "I"])
def test_kernels_of_the_notebook_equal_recorded(kind, form):
    check_recorded(_op(kind, form), kind)


def check_recorded(op, kind):
    """That an operator gives the recorded vectors of E or I cells."""
    done = 0
    cases, arrays = load("multiarea")
    for case in cases:
        if case["op"] != kind:
            continue
        areas, shape = case["areas"], tuple(case["shape"])
        e, s, w, expected = (arrays[f"{k}{case['id']}"] for k in "eswo")
        events = unpack(e, shape[:1] if kind == "E" else (areas, shape[0]), case["dtype"])
        if events.dtype == bool:  # as the notebook does: .astype(float)
            events = events.astype(np.float32)
        y = notebook(
            op, events, w, [int(i) for i in s], case["prob"],
            shape=shape, area_num=areas, axis="EI".index(kind),
        )  # fmt: skip
        np.testing.assert_array_equal(np.asarray(y), expected, err_msg=str(case), strict=True)
        done += 1
    assert done > 20


# ---- Values.

DTYPES = ["bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "float16", "float32"]


@pytest.mark.thin(3)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(dtype, rng):
    x = rng.integers(0, 2 if dtype == "bool" else 50, (3, 4)).astype(dtype)
    (y,) = DOUBLE(x, outs=[STRUCT(x.shape, "uint8" if dtype == "bool" else dtype)])
    np.testing.assert_array_equal(np.asarray(y), x.astype(y.dtype) * 2, strict=True)


@pytest.mark.thin(3)
@pytest.mark.parametrize("dtype", ["int64", "uint64", "float64"])
def test_dtypes_of_x64(dtype):
    with jax.enable_x64(True):
        x = np.array([1, 2**40, 3]).astype(dtype)
        (y,) = DOUBLE(x, outs=[STRUCT(x.shape, dtype)])
        np.testing.assert_array_equal(np.asarray(y), 2 * x, strict=True)
    (y,) = DOUBLE(np.array([1, 2, 3], dtype), outs=[STRUCT((3,), dtype)])
    assert y.dtype == dtype.replace("64", "32") and y.tolist() == [2, 4, 6]


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3, 4), (1, 2, 1, 2, 1)])
def test_every_rank(shape):
    x = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape) + 1
    op = TOTAL0 if shape == () else DOUBLE
    (y,) = op(x, outs=[STRUCT(shape, np.float32)])
    np.testing.assert_array_equal(np.asarray(y), 2 * x, strict=True)


@ti.kernel
def double_one(x: ti.types.ndarray(ndim=0), y: ti.types.ndarray(ndim=0)):
    y[None] = 2 * x[None]


TOTAL0 = evops.XLACustomOp(double_one)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 3)])
def test_empty_arrays(shape):
    (y,) = DOUBLE(np.zeros(shape, np.float32), outs=[STRUCT(shape, np.float32)])
    assert y.shape == shape


def test_numbers_and_lists_become_arrays():
    (y,) = DOUBLE([1.5, 2], outs=STRUCT((2,), np.float32))  # one result needs no list
    assert y.tolist() == [3, 4]
    assert TOTAL0(4.0, outs=[STRUCT((), np.float32)])[0] == 8


def test_several_results_loops_in_order_and_functions(rng):
    x = rng.integers(0, 9, (5, 7)).astype(np.float32)
    y, rows = evops.XLACustomOp(kernels.total)(
        x, outs=[STRUCT((), np.float32), STRUCT((5,), np.float32)]
    )
    assert float(y) == x.sum()
    np.testing.assert_array_equal(np.asarray(rows), x.sum(1).cumsum())


def test_scalars_are_compiled_in():
    op = evops.XLACustomOp(kernels.scaled)
    x = jnp.arange(4, dtype=jnp.float32)
    with jax.enable_x64(True):
        for a, n in ((0.1, 4), (0.1, 2), (3, 4)):
            (y,) = op(x, a=a, n=np.int32(n), outs=[STRUCT((4,), np.float64)])
            expected = [a * np.float64(i) if i < n else 0 for i in range(4)]
            np.testing.assert_array_equal(np.asarray(y), expected)


def test_templates_are_compiled_in():
    op = evops.XLACustomOp(kernels.powers)
    x = np.array([2.0, 3.0], np.float32)
    for highest in (1, 3):
        (y,) = op(x, highest=highest, outs=[STRUCT((3, 2), np.float32)])
        expected = [x**k if k < highest else 0 * x for k in range(3)]
        np.testing.assert_array_equal(np.asarray(y), expected)


def test_names_of_functions_modules_and_objects():
    x = np.array([0.0, 1.0, 2.0], np.float32)
    for offset in (10, 100):
        op = evops.XLACustomOp(kernels.make_lookup(offset))
        (y,) = op(x, outs=[STRUCT((3,), np.float32)])
        bit = sampler.mix(np.arange(3, dtype=np.uint32)) & 1
        np.testing.assert_allclose(np.asarray(y), 3 * x + offset + 4.5 + 0.5 + bit)


def test_helpers_draw_what_is_documented():
    seeds = np.array([1, 7, 123456, -5], np.int32)
    op = evops.XLACustomOp(kernels.draws)
    words, reals = op(seeds, outs=[STRUCT((6, 4), np.uint32), STRUCT((8, 4), np.float32)])
    for i, seed in enumerate(seeds.tolist()):
        for row, real, stream in ((0, 0, Stream88(seed)), (3, 4, Stream113(seed))):
            assert int(words[row, i]) == stream.word()
            assert np.int32(words[row + 1, i]) == -3 + stream.word() % 9
            expected = [stream.unit(), stream.unit() * np.float32(3.5) - np.float32(1.5)]
            assert [float(r) for r in reals[real : real + 2, i]] == expected
            for at, (mean, std) in ((2, (0, 1)), (3, (1, 0.5))):
                z = mean + std * stream.normal()
                np.testing.assert_allclose(float(reals[real + at, i]), z, atol=2e-6)
            stream.word()
            assert int(words[row + 2, i]) == stream.state[0 if row == 0 else 3]


class Stream88:
    """LFSR88 (L'Ecuyer 1996), in Python integers."""

    parameters = ((13, 19, 0xFFFFFFFE, 12), (2, 25, 0xFFFFFFF8, 4), (3, 11, 0xFFFFFFF0, 17))
    offsets = (1, 7, 15)

    def __init__(self, seed):
        self.state = [(seed + offset) % 2**32 for offset in self.offsets]

    def word(self):
        for k, (q, shift, mask, s) in enumerate(self.parameters):
            z = self.state[k]
            b = ((z << q) % 2**32 ^ z) >> shift
            self.state[k] = ((z & mask) << s) % 2**32 ^ b
        return int(np.bitwise_xor.reduce(self.state))

    def unit(self):
        return np.float32(self.word()) * np.float32(2.0**-32)

    def normal(self):
        u1, u2 = self.unit(), self.unit()
        return np.sqrt(-2 * np.log(max(float(u1), 1e-10))) * np.sin(2 * np.pi * float(u2))


class Stream113(Stream88):
    """LFSR113 (L'Ecuyer 1999)."""

    parameters = (
        (6, 13, 0xFFFFFFFE, 18),
        (2, 27, 0xFFFFFFF8, 2),
        (13, 21, 0xFFFFFFF0, 7),
        (3, 12, 0xFFFFFF80, 13),
    )
    offsets = (1, 7, 15, 127)


@pytest.mark.parametrize("p", [0.05, 2.0**-13])
def test_the_walk_of_the_sampler(p):
    W = evops.Projection(evops.FixedProbability(p), 1.0, (50, 9000), seed=3)
    (count,) = evops.XLACustomOp(kernels.in_degree)(
        W.key,
        np.array(W.rule.scheme(W.shape).pack(), np.uint32),
        W.rule.table,
        n_pre=50,
        outs=[STRUCT((9000,), np.int32)],
    )
    np.testing.assert_array_equal(np.asarray(count), np.asarray(W.in_degree()))


@pytest.mark.parametrize("rows", [1, 2, 1001])
def test_loops_split_over_threads(rows):
    one, many = (evops.XLACustomOp(kernels.squares, parallel=p) for p in (False, True))
    out = [STRUCT((rows, 3), np.float32)]
    for op in (one, many):
        (y,) = op(np.ones(1, np.float32), outs=out)
        i, j = np.indices((rows, 3))
        np.testing.assert_array_equal(np.asarray(y), np.where(i > 0, i * i + j + 1, 0))


# ---- Transforms.


def _dense_jvp(primals, tangents, *, outs):
    (w, x), (dw, dx) = primals, tangents
    parts = [DENSE(dw, x, outs=outs)[0]] if dw is not None else []
    parts += [DENSE(w, dx, outs=outs)[0]] if dx is not None else []
    return DENSE(w, x, outs=outs), [sum(parts[1:], start=parts[0])]


def _dense_transpose(cotangents, w, x, *, outs):
    (ct,) = cotangents
    if isinstance(x, STRUCT):
        return None, DENSE(w.T, ct, outs=[x])[0]
    return jnp.outer(ct, x), None


def _dense_jnp(w, x, *, outs):
    return [(w @ x).astype(outs[0].dtype)]


DENSE = evops.XLACustomOp(
    kernels.dense, fallback=_dense_jnp, jvp=_dense_jvp, transpose=_dense_transpose
)


def mv(w, x, backend=None):
    return DENSE(w, x, outs=[STRUCT(w.shape[:1], x.dtype)], backend=backend)[0]


@pytest.fixture
def matrix(rng):
    return jnp.asarray(rng.normal(size=(4, 3)), jnp.float32), jnp.asarray(
        rng.normal(size=3), jnp.float32
    )


def test_jit_and_both_backends(matrix, backend):
    w, x = matrix
    y = jax.jit(lambda w, x: mv(w, x, backend))(w, x)
    np.testing.assert_allclose(np.asarray(y), np.asarray(w) @ np.asarray(x), rtol=1e-5)


def test_jvp_and_gradients(matrix, backend):
    w, x = matrix
    check_grads(lambda w, x: mv(w, x, backend), (w, x), order=2, rtol=1e-2, atol=1e-2)
    got = jax.grad(lambda w, x: mv(w, x, backend).sum(), argnums=(0, 1))(w, x)
    np.testing.assert_allclose(got[0], np.ones((4, 1)) * x[None], rtol=1e-5)
    np.testing.assert_allclose(got[1], w.sum(0), rtol=1e-5)
    linear = jax.linear_transpose(lambda x: mv(w, x, backend), x)
    np.testing.assert_allclose(linear(jnp.ones(4))[0], w.sum(0), rtol=1e-5)


def test_vmap_runs_entry_by_entry(matrix, backend, rng):
    w, _ = matrix
    xs = rng.normal(size=(3, 6)).astype(np.float32)
    f = jax.vmap(lambda w, x: mv(w, x, backend), in_axes=(None, 1), out_axes=1)
    np.testing.assert_allclose(f(w, xs), np.asarray(w) @ xs, rtol=1e-4, atol=1e-5)
    assert f(w, np.zeros((3, 0), np.float32)).shape == (4, 0)
    g = jax.vmap(jax.grad(lambda x: mv(w, x, backend).sum()), in_axes=1)(xs)
    np.testing.assert_allclose(g, np.tile(np.asarray(w).sum(0), (6, 1)), rtol=1e-4)


def test_vmap_by_a_rule(matrix, rng):
    calls = []

    def batching(arrays, axes, *, outs):
        calls.append(axes)
        assert [o.shape for o in outs] == [(4,)]
        w, xs = arrays
        return [jnp.moveaxis(w @ jnp.moveaxis(xs, axes[1], 1), 1, 0)], [0]

    op = evops.XLACustomOp(kernels.dense, batching=batching)
    w, _ = matrix
    xs = rng.normal(size=(6, 3)).astype(np.float32)
    y = jax.vmap(lambda x: op(w, x, outs=[STRUCT((4,), np.float32)])[0])(xs)
    np.testing.assert_allclose(y, xs @ np.asarray(w).T, rtol=1e-4, atol=1e-5)
    assert calls == [(None, 0)]


def test_scan_with_a_carry(backend):
    w = jnp.asarray([[0.0, 1.0], [1.0, 1.0]])

    @jax.jit
    def run(x):
        return jax.lax.scan(lambda x, _: (mv(w, x, backend), x[0]), x, None, length=10)

    last, first = run(jnp.asarray([0.0, 1.0]))
    assert first.tolist() == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34] and last.tolist() == [55, 89]
    g = jax.grad(lambda x: run(x)[0].sum())(jnp.asarray([0.0, 1.0]))
    assert g.tolist() == [89, 144]


def test_integers_have_no_tangent():
    op = evops.XLACustomOp(
        kernels.where_positive,
        jvp=lambda primals, tangents, *, outs: (op(*primals, outs=outs), [None]),
    )
    outs = [STRUCT((3,), np.int32)]
    y, dy = jax.jvp(lambda x: op(x, outs=outs)[0], (jnp.ones(3),), (jnp.ones(3),))
    assert y.tolist() == [1, 1, 1] and dy.dtype == jax.dtypes.float0


def test_environment_chooses_the_fallback(monkeypatch):
    def fallback(x, *, outs, factor):
        return jnp.full(outs[0].shape, factor, outs[0].dtype)  # one result needs no list

    op = evops.XLACustomOp(kernels.double, fallback=fallback)
    outs = [STRUCT((2,), np.float32)]
    assert op(jnp.ones(2), outs=outs, factor=7)[0].tolist() == [2, 2]
    monkeypatch.setenv("EVOPS_BACKEND", "jnp")
    assert op(jnp.ones(2), outs=outs, factor=7)[0].tolist() == [7, 7]
    assert op(jnp.ones(2), outs=outs, factor=7.5)[0].tolist() == [7.5, 7.5]
    assert op(jnp.ones(2), outs=outs, factor=7.5, backend="native")[0].tolist() == [2, 2]


def test_statics_are_told_apart_by_type():
    seen = []

    def fallback(x, *, outs, a, b):
        seen.append((a, b))
        return [x]

    op = evops.XLACustomOp(fallback=fallback)
    for a in (1, 1.0, True, np.float32(1), [1, (2, "x")], None):
        op(jnp.ones(1), outs=[STRUCT((1,), np.float32)], a=a, b=jnp.float32)
    assert [str(a) for a, _ in seen] == ["1", "1.0", "True", "1.0", "(1, (2, 'x'))", "None"]


def test_kernels_of_a_notebook():
    """Cells are compiled under names of files that do not exist; their text is in linecache."""
    cell = "@ti.kernel\ndef triple(x: A1, y: A1):\n    for i in x:\n        y[i] = factor * x[i]\n"
    name = "ipykernel_1/2.py"
    linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
    scope = {"ti": ti, "A1": ti.types.ndarray(ndim=1), "factor": 3}
    exec(compile(cell, name, "exec"), scope)
    (y,) = evops.XLACustomOp(scope["triple"])(np.ones(2, np.float32), outs=[STRUCT((2,), "f4")])
    assert y.tolist() == [3, 3]
