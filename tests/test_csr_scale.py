"""Stored integers, such as numbers of contacts, with one float factor."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
from csr_cases import N_POST, N_PRE, arrays

AT, N, LONGEST = 4, 40, 6


def make(rng, kind="each", dtype=np.int16, backend=None, scale=0.25):
    _, indices, indptr = arrays(rng, kind)
    data = rng.integers(-9, 10, 1 if kind == "one" else indices.size).astype(dtype)
    delay = rng.integers(1, LONGEST + 1, indices.size)
    more = {"shape": (N_PRE, N_POST), "delay": delay, "scale": scale, "backend": backend}
    return evops.CSR(data, indices, indptr, **more)


def plain(W, scale=None):
    """The matrix of float weights."""
    scale = W.scale if scale is None else scale
    more = {"shape": W.shape, "delay": W.delay, "backend": W._backend}
    return evops.CSR(
        W.data.astype(np.float32) * jnp.reshape(scale, ()), W.indices, W.indptr, **more
    )


@pytest.mark.thin(5)
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint8])
def test_products_and_pushes(dtype, kind, backend, rng):
    W = make(rng, kind, np.int8 if dtype == np.uint8 else dtype, backend)
    if dtype == np.uint8:
        W = evops.CSR(
            jnp.abs(W.data).astype(dtype), W.indices, W.indptr, shape=W.shape, delay=W.delay,
            scale=0.25, backend=backend,
        )  # fmt: skip
    S = plain(W)
    assert W.dtype == np.float32 and W.data.dtype == dtype and W.scale.shape == (1,)
    x, v = rng.random(N_PRE) < 0.5, rng.normal(size=(N_POST, 3)).astype(np.float32)
    np.testing.assert_allclose(x @ W, x @ S, rtol=1e-5)
    np.testing.assert_allclose(W @ v, S @ v, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(v.T @ W.T, v.T @ S.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(W.todense(), S.todense())
    for mine, theirs in zip(W.edges(), S.edges(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(W.to_scipy().toarray(), S.todense())
    np.testing.assert_array_equal(W.T.tocsr().todense(), S.todense().T)
    assert W.T.tocsr().data.dtype == dtype and W.nbytes < S.nbytes + 4 * (dtype == np.int32) + 4
    for spikes in (x, x * rng.normal(size=N_PRE).astype(np.float32)):
        mine, theirs = (
            M.push(spikes, evops.DelayBuffer.zeros(N, LONGEST), post_offset=AT).sums for M in (W, S)
        )
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.thin(3)
def test_gradients_in_the_factor(kind, backend, rng):
    W = make(rng, kind, backend=backend)
    x = jnp.asarray(rng.normal(size=N_PRE), jnp.float32)
    v = jnp.asarray(rng.normal(size=N_POST), jnp.float32)
    sums = jnp.asarray(rng.normal(size=(LONGEST + 1, N)), jnp.float32)

    def loss(of, x, scale):
        M = of(scale)
        pushed = M.push(x, evops.DelayBuffer(sums, 2), post_offset=AT).sums
        return jnp.sum(jnp.sin(pushed)) + jnp.sum(jnp.sin(x @ M)) + jnp.sum(jnp.sin(M @ v))

    def scaled(scale):
        more = {"shape": W.shape, "delay": W.delay, "scale": scale, "backend": backend}
        return evops.CSR(W.data, W.indices, W.indptr, **more)

    for of in (jax.grad, jax.jacfwd):
        got, want = (
            of(lambda x, s, way=way: loss(way, x, s), (0, 1))(x, jnp.float32(0.25))
            for way in (scaled, lambda s: plain(W, s))
        )
        for mine, theirs in zip(got, want, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)
    scales = jnp.float32([0.25, 0.5, -1])
    each = jax.vmap(jax.grad(lambda s: loss(scaled, x, s)))(scales)
    for k in range(3):
        np.testing.assert_allclose(
            each[k], jax.grad(lambda s: loss(scaled, x, s))(scales[k]), rtol=1e-4
        )


def test_lists_and_other_types():
    W = evops.CSR.from_edges([1, 0], [0, 1], [3, 5], shape=(2, 2), scale=0.5)
    np.testing.assert_array_equal(W.todense(), [[0, 2.5], [1.5, 0]])
    more = W.append([1], [1], 7)
    assert more.scale == 0.5 and more.data.dtype == np.int32
    np.testing.assert_array_equal(more.todense(), [[0, 2.5], [1.5, 3.5]])
    assert (
        evops.CSR.from_edges([1], [0], [3], shape=(2, 2), scale=jnp.float16(0.5)).dtype
        == np.float16
    )
    with jax.enable_x64(True):
        wide = evops.CSR.from_edges([1], [0], [3], shape=(2, 2), scale=np.float64(0.1))
        assert wide.dtype == np.float64 and (np.ones(2, bool) @ wide)[0] == 3 * 0.1
    assert evops.CSR.from_edges([1], [0], [3], shape=(2, 2), scale=2).dtype == np.float32


@pytest.mark.parametrize(
    ("data", "scale", "error", "message"),
    [
        ([3, 5], [0.5, 1.0], TypeError, "scale must be one float, got"),
        ([3, 5], "a", TypeError, "scale must be an array of numbers"),
        ([3, 5], jnp.int32(2), TypeError, "scale must be one float"),
        ([3, 5], True, TypeError, "scale must be a number"),
        (
            [3.0, 5.0],
            0.5,
            TypeError,
            "scale is a factor of integer weights; data have dtype float32",
        ),
    ],
)
def test_wrong_factors(data, scale, error, message):
    with pytest.raises(error, match=message):
        evops.CSR(data, [0, 1], [0, 1, 2], shape=(2, 2), scale=scale)


def test_a_buffer_of_integers_takes_no_float_factor(rng):
    W = make(rng)
    with pytest.raises(TypeError, match="the buffer holds int32, weights are float32"):
        W.push(np.ones(N_PRE, bool), evops.DelayBuffer.zeros(N, LONGEST, jnp.int32))
