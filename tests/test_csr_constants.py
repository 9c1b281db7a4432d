"""Stored matrices that programs close over: one number stays one, and nothing is counted at every call."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
from csr_cases import arrays, replaced

N = 64


@pytest.fixture
def known(rng):
    """A matrix of equal weights."""
    degree = rng.integers(20, 40, N)
    indptr = np.concatenate([[0], np.cumsum(degree)])
    indices = rng.integers(0, N, indptr[-1])
    return evops.CSR(np.full(indices.size, 0.3, np.float32), indices, indptr, shape=(N, N))


def written(call, *arguments):
    """What a program computes, beside its constants, that is larger than its results: op and shape."""
    text = jax.jit(call).lower(*arguments).compile().as_text()
    found = re.findall(r"= \w+\[([\d,]+)\]\S* ([\w-]+)\(", text)
    sizes = [(np.prod([int(n) for n in shape.split(",")]), op) for shape, op in found]
    return [op for size, op in sizes if size > 4 * N and op not in ("constant", "parameter")]


def as_scan(call):
    return lambda x: jax.lax.scan(lambda x, _: (x, call(x)), x, None, length=2)[1]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int32"])
def test_equal_weights_are_not_written_out(dtype, known, rng):
    W = replaced(known, jnp.full(known.nnz, 3, dtype))
    calls = {
        "x @ W": lambda x: x @ W,
        "W @ x": lambda x: W @ x,
        "scan": as_scan(lambda x: x @ W),
        "gradient": lambda x: jax.grad(lambda x: (x @ W).astype(jnp.float32).sum())(x),
        "vmap": lambda x: jax.vmap(lambda s: (s * x) @ W)(jnp.arange(3.0)),
    }
    x = jnp.asarray(rng.normal(size=N), jnp.float32)
    for name, call in calls.items():
        assert written(call, x) == [], name
        with jax.disable_jit():
            want = call(x)
        got = jax.jit(call)(x)
        assert got.dtype == want.dtype
        np.testing.assert_allclose(*(np.float32(a) for a in (got, want)), 1e-2, 1e-2)
    assert written(lambda W, x: x @ W, W, x) == []


@pytest.mark.parametrize("change", [(3, 0.5), (0, np.nan), (-1, 0.30000003), (7, -0.3)])
def test_one_weight_that_differs_counts(change, known):
    data = np.array(known.data)
    data[change[0]] = change[1]
    W = replaced(known, data)
    x = jnp.ones(N)
    np.testing.assert_array_equal(jax.jit(lambda x: x @ W)(x), x @ W)
    zeros = replaced(known, np.where(np.arange(known.nnz) == 5, -0.0, 0.0))
    assert not np.signbit(jax.jit(lambda x: x @ zeros)(x)).any()


def test_gradients_have_the_shape_of_the_weights(known):
    x = jnp.arange(N, dtype=jnp.float32)
    loss = lambda data: (jnp.sin(x * data[0]) @ replaced(known, data)).sum()  # noqa: E731
    want = jax.grad(loss)(known.data)
    got = jax.jit(lambda x: x * jax.grad(loss)(known.data))(1.0)
    assert got.shape == (known.nnz,)
    np.testing.assert_allclose(got, want, 1e-6)
    got = jax.jit(lambda: jax.jvp(loss, (known.data,), (known.data,))[1])()
    np.testing.assert_allclose(got, jnp.vdot(want, known.data), 1e-5)


@pytest.mark.parametrize("backend", ["native", "jnp"])
@pytest.mark.parametrize("weight", [0.5, jnp.bfloat16(0.5), np.int32(3)])
def test_tocsr_of_one_weight_has_one_number(weight, backend):
    W = evops.Projection(evops.FixedProbability(0.2), weight, (N, 2 * N), seed=1, backend=backend)
    stored = W.tocsr()
    assert stored.data.shape == (1,) and stored.dtype == W.dtype
    assert stored.edges().weight.shape == (stored.nnz,) == W.edges().weight.shape
    np.testing.assert_array_equal(stored.todense(), W.todense())
    np.testing.assert_array_equal(jnp.ones(N, bool) @ stored, jnp.ones(N, bool) @ W)
    law = evops.Normal(1.0, 0.5)
    varied = evops.Projection(evops.FixedProbability(0.2), law, (N, N), seed=1, backend=backend)
    assert varied.tocsr().data.shape == (varied.tocsr().nnz,)


def test_degrees_are_not_counted_at_every_call(known, rng):
    degrees = lambda x: x * known.in_degree() + known.out_degree().sum()  # noqa: E731
    assert written(degrees, jnp.ones(N, jnp.int32)) == []
    want = np.bincount(known.indices, minlength=N)
    np.testing.assert_array_equal(jax.jit(known.in_degree)(), want)
    np.testing.assert_array_equal(known.in_degree(), want)
    np.testing.assert_array_equal(jax.jit(lambda W: W.in_degree())(known), want)


def test_programs_of_plain_jax_compile_at_once(rng):
    """XLA would compute the rows of all entries while it compiles, slowly."""
    data, indices, indptr = arrays(rng)
    W = evops.CSR(data, indices, indptr, shape=(30, 23), backend="jnp")
    text = jax.jit(lambda x: x @ W).lower(jnp.ones(30)).compile().as_text()
    assert f"s32[{W.nnz + 1}]{{0}} scatter(" in text
