"""Stored matrices: jit, scan, vmap, grad, jvp, hessian, adjoint and threads against the dense product."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

import evops
from csr_cases import N_POST, N_PRE, dense, make, replaced


def test_jit_scan_and_no_compilation_for_new_leaves(kind, backend, rng):
    traces = []

    @jax.jit
    def call(W, x):
        traces.append(1)
        return x @ W

    x = rng.integers(0, 2, N_PRE).astype(bool)
    for _ in range(3):
        W = make(np.random.default_rng(1), kind, backend=backend)
        W = replaced(W, W.data * rng.random(1, np.float32))
        np.testing.assert_allclose(call(W, x), x @ dense(W), rtol=1e-5)
    assert len(traces) == 1

    def body(total, x):
        y = (x + 0 * total) @ W
        return total + y.sum(), y

    xs = rng.integers(0, 2, (5, N_PRE)).astype(np.float32)
    _, ys = jax.jit(lambda: jax.lax.scan(body, jnp.float32(0), xs))()
    np.testing.assert_allclose(ys, xs @ dense(W), rtol=1e-5, atol=1e-6)


def products(W, kind, backend):
    """Both directions as functions of (x, data)."""
    return {
        False: lambda x, data: x @ replaced(W, data),
        True: lambda x, data: replaced(W, data) @ x,
    }


@pytest.fixture(params=[False, True], ids=["x@W", "W@v"])
def case(request, kind, backend, rng):
    """A product, an x and a `data`, and the matrix as a function of `data`."""
    W = make(rng, kind, backend=backend)
    x = rng.integers(-1, 2, W.shape[1 if request.param else 0]).astype(np.float32)
    pre, post, *_ = W.edges()
    transposed = request.param

    def matrix(data):
        zeros = jnp.zeros(W.shape, data.dtype)
        out = zeros.at[pre, post].add(jnp.broadcast_to(data, (W.nnz,)))
        return out.T if transposed else out

    return products(W, kind, backend)[transposed], jnp.asarray(x), W.data, matrix


@pytest.mark.thin(9)
def test_gradients_are_those_of_the_dense_product(case, rng):
    product, x, data, matrix = case
    y, pull = jax.vjp(product, x, data)
    expected, dense_pull = jax.vjp(lambda x, d: x @ matrix(d), x, data)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    ct = jnp.asarray(rng.normal(size=y.shape).astype(np.float32))
    for got, want in zip(pull(ct), dense_pull(ct), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.thin(3)
def test_batched_gradient_of_the_weights(case, rng):
    product, x, data, matrix = case
    xs = jnp.stack([x, 2 * x, x - 1])
    loss = lambda f: lambda d: jnp.sum(jnp.sin(jax.vmap(f, (0, None))(xs, d)))  # noqa: E731
    got = jax.grad(loss(product))(data)
    want = jax.grad(loss(lambda x, d: x @ matrix(d)))(data)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.thin(5)
def test_derivatives_match_differences(case):
    product, x, data, _ = case
    # a silent entry has the derivative of a weak one: differences see both
    check_grads(product, (x, data), order=2, modes=("fwd", "rev"), eps=1e-2, rtol=2e-2, atol=2e-2)


def test_jvp_with_one_tangent_or_both(case, rng):
    product, x, data, matrix = case
    dx = jnp.asarray(rng.normal(size=x.shape).astype(np.float32))
    ddata = jnp.asarray(rng.normal(size=data.shape).astype(np.float32))
    for got, want in (
        (
            jax.jvp(lambda x: product(x, data), (x,), (dx,))[1],
            dx @ matrix(data),
        ),
        (
            jax.jvp(lambda d: product(x, d), (data,), (ddata,))[1],
            x @ matrix(ddata),
        ),
        (
            jax.jvp(product, (x, data), (dx, ddata))[1],
            dx @ matrix(data) + x @ matrix(ddata),
        ),
    ):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_gradient_with_spikes_as_bools(kind, backend, rng):
    W = make(rng, kind, backend=backend)
    x = rng.integers(0, 2, N_PRE).astype(bool)
    for f in (lambda d: (x @ replaced(W, d)).sum(), lambda d: (replaced(W, d).T @ x).sum()):
        got = jax.grad(f)(W.data)
        fired = x[np.asarray(W.edges().pre)].astype(np.float32)
        want = fired if kind == "each" else [fired.sum()]
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_gradient_with_respect_to_the_matrix(kind, backend, rng):
    W = make(rng, kind, backend=backend)
    x = jnp.ones(N_PRE)
    gradient = jax.grad(lambda W: (x @ W).sum(), allow_int=True)(W)
    assert isinstance(gradient, evops.CSR) and gradient.data.dtype == np.float32
    want = np.ones(W.nnz) if kind == "each" else [W.nnz]
    np.testing.assert_array_equal(gradient.data, want)
    through_view = jax.grad(lambda V: (V @ x).sum(), allow_int=True)(W.T)
    np.testing.assert_array_equal(through_view.T.data, want)


@pytest.mark.thin(5)
@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (-1, 0)])
def test_vmap(case, axes, rng):
    product, x, data, _ = case
    xs = jnp.stack([x, 1 - x, 2 * x])
    datas = jnp.stack([data, -data, data * 3])
    operands = [
        first if axis is None else jnp.moveaxis(many, 0, axis)
        for first, many, axis in zip((x, data), (xs, datas), axes, strict=True)
    ]
    y = jax.jit(jax.vmap(product, axes))(*operands)
    for b in range(3):
        one = product(x if axes[0] is None else xs[b], data if axes[1] is None else datas[b])
        np.testing.assert_allclose(y[b], one, rtol=1e-6, atol=1e-6)


def test_vmap_over_matrices(backend, rng):
    """Every leaf batched, as ensembles of networks are."""
    degree = 4
    indptr = np.arange(N_PRE + 1) * degree
    many = [
        evops.CSR(
            rng.normal(size=N_PRE * degree).astype(np.float32),
            rng.integers(0, N_POST, N_PRE * degree),
            indptr,
            shape=(N_PRE, N_POST),
            backend=backend,
        )
        for _ in range(3)
    ]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *many)
    x = rng.integers(0, 2, N_PRE).astype(bool)
    y = jax.vmap(lambda W: x @ W)(stacked)
    np.testing.assert_array_equal(y, [x @ W for W in many])
    grid = jax.vmap(jax.vmap(lambda W, x: x @ W, (None, 0)), (0, None))(stacked, jnp.stack([x, ~x]))
    np.testing.assert_array_equal(grid, [[x @ W, ~x @ W] for W in many])


@pytest.mark.thin(9)
def test_vmap_of_grad_and_hessian(case):
    product, x, data, matrix = case
    loss = lambda x, d: jnp.sum(jnp.sin(product(x, d)))  # noqa: E731
    dense_loss = lambda x, d: jnp.sum(jnp.sin(x @ matrix(d)))  # noqa: E731
    xs, datas = jnp.stack([x, 2 * x]), jnp.stack([data, data / 2])
    for got, want in zip(
        jax.vmap(jax.grad(loss, (0, 1)))(xs, datas),
        jax.vmap(jax.grad(dense_loss, (0, 1)))(xs, datas),
        strict=True,
    ):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    got = jax.tree.leaves(jax.hessian(loss, (0, 1))(x, data))
    want = jax.tree.leaves(jax.hessian(dense_loss, (0, 1))(x, data))
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-3, atol=1e-3)


def test_linear_transpose(case, rng):
    product, x, data, matrix = case
    ct = jnp.asarray(rng.normal(size=matrix(data).shape[1]).astype(np.float32))
    [back] = jax.linear_transpose(lambda x: product(x, data), x)(ct)
    np.testing.assert_allclose(back, matrix(data) @ ct, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@given(
    n_pre=st.integers(1, 40),
    n_post=st.integers(1, 40),
    seed=st.integers(0, 10),
    backend=st.sampled_from(["native", "jnp"]),
)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_adjoint_identity(n_pre, n_post, seed, backend):
    rng = np.random.default_rng(seed)
    degree = rng.integers(0, 12, n_pre)
    indptr = np.concatenate([[0], np.cumsum(degree)])
    data = rng.normal(size=indptr[-1]).astype(np.float32)
    indices = rng.integers(0, n_post, indptr[-1])
    W = evops.CSR(data, indices, indptr, shape=(n_pre, n_post), backend=backend)
    x, y = rng.normal(size=n_pre), rng.normal(size=n_post)
    scale = 1 + np.abs(x) @ np.abs(dense(W)) @ np.abs(y)
    assert float(np.vdot(x @ W, y)) == pytest.approx(float(np.vdot(x, W @ y)), abs=1e-5 * scale)


def test_many_threads_at_once(kind, backend, rng):
    W = make(rng, kind, backend=backend)
    xs = rng.integers(0, 2, (8, N_PRE)).astype(bool)
    call = jax.jit(lambda W, x: x @ W)
    expected = [np.asarray(call(W, x)) for x in xs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            results = pool.map(lambda x: np.asarray(call(W, x)), xs)
            for got, want in zip(results, expected, strict=True):
                np.testing.assert_array_equal(got, want)
