"""Stored matrices: weights of other types than the sums, and batches that share a walk over the rows."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest

import evops
from csr_cases import replaced
from evops import installed
from evops.engine import stored

sys.path.insert(0, str(Path(__file__).parent / "without_xla"))

import xla

N_PRE, N_POST = 150, 90
NARROW = ["int8", "int16", "int32", "uint8", "uint16", "uint32"]
DATA = [*NARROW, "float16", "bfloat16", "float32", "float64"]
# Densities of members, in turn: alone, all in a tile, some of both
RATES = {"few": [0.02], "half": [0.5], "all": [1], "mixed": [0.02, 0.9, 0, 0.3, 1, 0.05]}


def pattern(rng):
    """Rows of 0 to 600 entries, more than are converted at once."""
    degree = rng.integers(0, 40, N_PRE)
    degree[[0, 3, N_PRE - 1]] = 600, 257, 0
    return rng.integers(0, N_POST, degree.sum()), np.concatenate([[0], np.cumsum(degree)])


def matrix(rng, dtype, shared=False):
    indices, indptr = pattern(rng)
    values = rng.integers(0, 9, 1 if shared else indices.size)
    data = jnp.asarray(values - (0 if dtype[0] == "u" else 4)).astype(dtype)
    data = data * jnp.asarray(0.37, dtype) if "float" in dtype else data
    return evops.CSR(data, indices, indptr, shape=(N_PRE, N_POST), backend="native")


def members(rng, size, n, rates, dtype):
    fired = rng.random((size, n)) < np.resize(RATES[rates], size)[:, None]
    values = rng.normal(size=(size, n)) * (3 if dtype == "int32" else 1)
    return jnp.asarray(np.where(fired, values, 0)).astype(dtype)


def check_same(a, b):
    assert a.dtype == b.dtype and np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.thin(7)
@pytest.mark.parametrize("x_dtype", ["bool", "int32", "float16", "float32", "float64"])
@pytest.mark.parametrize("dtype", DATA)
@pytest.mark.parametrize("shared", [False, True])
def test_weights_are_converted_as_they_are_read(shared, dtype, x_dtype, rng):
    """The same bits as of weights that are converted before, and no array of as many entries."""
    with jax.enable_x64(True):
        W = matrix(rng, dtype, shared)
        floats = jnp.issubdtype(x_dtype, jnp.floating)
        with jax.numpy_dtype_promotion("standard"):
            result = jnp.promote_types(x_dtype, dtype) if floats else W.dtype
        sums = "float32" if result.itemsize == 2 and result.kind in "fV" else result
        sums = sums if jnp.issubdtype(sums, jnp.floating) else "int32"
        wide = replaced(W, W.data.astype(sums))
        for M, converted in ((W, wide), (W.T, wide.T)):
            for batch in ((), (20,)):
                x = members(rng, max((1, *batch)), M.shape[0], "mixed", x_dtype)
                x = x.reshape(*batch, M.shape[0])
                program = jax.make_jaxpr(lambda M, x: x @ M)(M, x)
                assert (W.nnz,) not in {a.aval.shape for e in program.eqns for a in e.outvars}
                y = x @ M
                assert y.dtype == result
                check_same(jax.jit(lambda M, x: x @ M)(M, x), y)
                events = x if x.dtype == bool else x.astype(sums)
                check_same((events @ converted).astype(result), y)


@pytest.mark.parametrize("wide", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_half_float(dtype, wide):
    n = 1 << 16
    halves = jax.lax.bitcast_convert_type(jnp.arange(n, dtype=jnp.uint16), dtype)
    with jax.enable_x64(True):
        # a row for each, and one row of all
        W = evops.CSR(halves, range(n), range(n + 1), shape=(n, n), backend="native")
        row = evops.CSR(halves, range(n), [0, n], shape=(1, n), backend="native")
        want = np.array(halves.astype(wide))
        want[np.abs(want) < np.finfo(np.float32).tiny] = 0  # as XLA's threads have denormal numbers
        np.testing.assert_array_equal(jnp.ones(n, wide) @ W, want)
        np.testing.assert_array_equal(jnp.ones(1, wide) @ row, want)


@pytest.mark.thin(5)
@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("x_dtype", ["bool", "int32", "float32", "float64"])
@pytest.mark.parametrize("dtype", ["int32", "int8", "float16", "float32", "float64"])
@pytest.mark.parametrize("shared", [False, True])
def test_members_are_the_same_in_any_batch(shared, dtype, x_dtype, rates, rng):
    with jax.enable_x64(True):
        W = matrix(rng, dtype, shared)
        for M in (W, W.T):
            x = members(rng, 37, M.shape[0], rates, x_dtype)
            alone = jnp.stack([row @ M for row in x])
            for size in (2, 3, 4, 7, 8, 9, 16, 17, 31, 37):
                check_same(x[:size] @ M, alone[:size])
                check_same(jax.jit(lambda M, x: M.T @ x)(M, x[:size].T), alone[:size].T)


@pytest.mark.parametrize("weight", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("shared", [False, True])
def test_silent_members_of_a_batch_add_nothing(shared, weight, rng):
    """Whatever the weights are that other members of it meet."""
    W = matrix(rng, "float32", shared)
    data = np.array(W.data)
    data[rng.random(data.size) < (1 if shared else 0.1)] = weight
    W = replaced(W, data)
    for M in (W, W.T):
        x = np.array(members(rng, 18, M.shape[0], "half", "float32"))
        x[2, 5], x[3, 6], x[4] = np.nan, np.inf, 0
        for events in (x, x != 0):
            together = np.asarray(events @ M)
            for row, one in zip(together, events, strict=True):
                check_same(row, one @ M)
            assert np.isfinite(together).any() and not np.isfinite(together).all()


@pytest.mark.parametrize("size", [1, 2, 5, 16, 40])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_derivatives_in_the_weights(dtype, size, rng):
    with jax.enable_x64(True):
        W = matrix(rng, dtype)
        row, column = np.asarray(W._row_of()), np.asarray(W.indices)
        x, v = (members(rng, size, n, "half", dtype) for n in W.shape)
        for along, n in ((False, N_POST), (True, N_PRE)):
            ct = members(rng, size, n, "all", dtype)

            def loss(data, x, v, ct, along=along):
                M = replaced(W, data)
                return jnp.vdot(v @ M.T if along else x @ M, ct)

            gradient = jax.grad(loss)(W.data, x, v, ct)
            r, c = (np.asarray(a, np.float64) for a in ((ct, v) if along else (x, ct)))
            want = np.einsum("bk,bk->k", r[:, row], c[:, column])
            near = {"float16": 3e-3, "float32": 2e-6, "float64": 1e-14}[dtype]
            assert gradient.dtype == dtype
            np.testing.assert_allclose(gradient, want, near, near * np.abs(want).max())


def test_derivatives_in_the_weights_take_no_memory(rng):
    W = matrix(rng, "float32")
    x = members(rng, 20, N_PRE, "all", "float32")
    gradient = jax.jit(jax.grad(lambda data: (x @ replaced(W, data)).sum()))
    memory = gradient.lower(W.data).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 4 * W.nnz + x.nbytes + 20 * 4 * N_POST


@pytest.mark.thin(2)
@pytest.mark.parametrize("dtype", ["bool", "int32", "float32"])
@pytest.mark.parametrize("backend", ["native", "jnp"])
def test_products_with_columns_under_every_transform(backend, dtype, rng):
    """They are those with rows, turned around, which have tests of their own."""
    W = matrix(rng, "float32")
    W = evops.CSR(W.data, W.indices, W.indptr, shape=W.shape, backend=backend)
    for M in (W, W.T):
        v = members(rng, 5, M.shape[1], "half", dtype).T
        rows = lambda data, v, M=M: (v.T @ (replaced(W, data).T if M is W else replaced(W, data))).T  # noqa: E731
        columns = lambda data, v, M=M: (replaced(W, data) if M is W else replaced(W, data).T) @ v  # noqa: E731
        calls = [
            lambda f, data, v: f(data, v),
            lambda f, data, v: jax.vmap(f, (None, 0))(data, jnp.stack([v, 1 - v])),
            lambda f, data, v: jax.vmap(f, (None, 1), 1)(data, jnp.stack([v, 0 * v], 1)),
            lambda f, data, v: jax.vmap(f, (0, None))(jnp.stack([data, -data]), v),
            lambda f, data, v: jax.vmap(f)(jnp.stack([data, -data]), jnp.stack([v, 0 * v])),
            lambda f, data, v: jax.grad(lambda d: jnp.sin(f(d, v)).sum())(data),
            lambda f, data, v: jax.jvp(lambda d: f(d, v), (data,), (data * data,)),
        ]
        if dtype == "float32":
            calls.append(lambda f, data, v: jax.grad(lambda v: jnp.sin(f(data, v)).sum())(v))
            calls.append(lambda f, data, v: jax.jvp(f, (data, v), (data * data, v * v)))
            calls.append(
                lambda f, data, v: jax.linear_transpose(lambda v: f(data, v), v)(f(data, v))
            )
        for call in calls:
            if dtype == "bool" and call is not calls[0]:
                continue
            for run in (call, jax.jit(call, static_argnums=0)):
                got, want = (jax.tree.leaves(run(f, W.data, v)) for f in (columns, rows))
                for a, b in zip(got, want, strict=True):
                    assert a.dtype == b.dtype
                    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("backend", ["native", "jnp"])
def test_the_outer_product_has_derivatives_of_its_own(backend, rng):
    indices, indptr = pattern(rng)
    r, c = (members(rng, 3, n, "all", "float32") for n in (N_PRE, N_POST))
    outer = lambda r, c: stored.outer_p.bind(r, c, indices, indptr, backend=backend)  # noqa: E731
    indices, indptr = jnp.asarray(indices, jnp.int32), jnp.asarray(indptr, jnp.int32)
    row = np.repeat(np.arange(N_PRE), np.diff(indptr))
    plain = lambda r, c: (r[:, row] * c[:, indices]).sum(0)  # noqa: E731
    d = jnp.asarray(rng.normal(size=indices.size), jnp.float32)
    for f in (jnp.sin, jnp.square):
        got, want = (
            jax.grad(lambda r, c, o=o: (f(o(r, c)) * d).sum(), (0, 1))(r, c)  # noqa: B023
            for o in (outer, plain)
        )
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)
    tangent = jax.jvp(outer, (r, c), (c[:, :1] * r, 2 * c))[1]
    np.testing.assert_allclose(
        tangent, jax.jvp(plain, (r, c), (c[:, :1] * r, 2 * c))[1], rtol=1e-4, atol=1e-4
    )
    many = jax.vmap(outer, (1, None))(jnp.stack([r, -r], 1), c)
    np.testing.assert_allclose(many, [plain(r, c), -plain(r, c)], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def handlers(tmp_path_factory):
    standin = tmp_path_factory.mktemp("without_xla") / "xla.so"
    xla.build(standin, Path(jaxlib.__file__).parent / "include")
    return xla.Library(installed.FOLDER / installed.LIBRARY, standin)


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("dtype", ["bool", "float32", "float64"])
def test_members_are_the_same_in_any_batch_on_many_threads(dtype, threads, handlers, rng):
    """Members of other numbers of spikes are split at other rows, alone and together."""
    n = 1000
    indptr = np.arange(0, 500 * n + 1, 500, np.int32)
    indices = rng.integers(0, n, indptr[-1], np.int32)
    sums = "float64" if dtype == "float64" else "float32"
    data = rng.normal(size=indices.size).astype(sums)
    for product in ("scatter", "gather"):
        x = rng.normal(size=(9, n)) * (rng.random((9, n)) < rng.choice([0.4, 0.9, 1], (9, 1)))
        x = x.astype(sums if product == "gather" else dtype)

        def call(x, product=product):
            arrays = [x, data, indices, indptr]
            outs = [((len(x), n), sums)]
            attrs, of = {"listed": 0}, f"evops_stored_{product}"
            return handlers.call(of, arrays, outs, attrs, threads=threads)[0][0]

        together = call(x)
        for k in range(len(x)):
            assert call(x[k : k + 1]).tobytes() == together[k].tobytes()
        dense = np.zeros((n, n))
        np.add.at(dense, (np.repeat(np.arange(n), 500), indices), data)
        want = x @ (dense.T if product == "gather" else dense)
        np.testing.assert_allclose(together, want, rtol=1e-3, atol=1e-3)
