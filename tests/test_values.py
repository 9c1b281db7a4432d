"""Every operator against the dense product with the oracle's matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
import oracle
from cases import CASES


@pytest.fixture(params=CASES, ids=str)
def case(request):
    return request.param


@pytest.mark.thin(5)
def test_equals_dense_product(case, backend, rng):
    events, weight, seed = case.draw(rng)
    y = case.call(events, weight, seed, backend)
    expected = case.dense(weight.astype(np.float64), seed) @ events.reshape(-1)
    np.testing.assert_allclose(np.asarray(y).reshape(-1), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.thin(3)
def test_bits_equal_on_native_and_jnp(case, rng):
    events, weight, seed = case.draw(rng)
    for cast in (bool, np.int8, np.float32):
        native, plain = (case.call(events.astype(cast), weight, seed, b) for b in ("native", "jnp"))
        np.testing.assert_array_equal(np.asarray(native), np.asarray(plain))


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int32", "float16", "bfloat16", "float32"]
)
def test_every_event_dtype(case, dtype, backend, rng):
    events, weight, seed = case.draw(rng)
    cast = jnp.asarray(events).astype(dtype)
    expected = case.call(events.astype(bool), weight, seed, backend)
    np.testing.assert_array_equal(case.call(cast, weight, seed, backend), expected)


def test_value_of_an_event_is_ignored(case, backend, rng):
    events, weight, seed = case.draw(rng)
    odd = events * np.float32(-3.5)
    np.testing.assert_array_equal(
        case.call(odd, weight, seed, backend), case.call(events, weight, seed, backend)
    )


@pytest.mark.thin(3)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int8", "int32"])
def test_result_has_the_weights_dtype(case, dtype, backend, rng):
    events, weight, seed = case.draw(rng)
    w = jnp.asarray(np.round(weight * 4)).astype(dtype)
    y = case.call(events, w, seed, backend)
    assert y.dtype == w.dtype
    expected = case.dense(np.asarray(w, np.float64), seed) @ events.reshape(-1)
    np.testing.assert_array_equal(np.asarray(y, np.float64).reshape(-1), expected)


@pytest.mark.thin(3)
def test_float64_sums_in_float64(case, backend, rng):
    events, weight, seed = case.draw(rng)
    with jax.enable_x64(True):
        y = case.call(events, weight.astype(np.float64), seed, backend)
        assert y.dtype == np.float64
    expected = case.dense(weight.astype(np.float64), seed) @ events.reshape(-1)
    np.testing.assert_allclose(np.asarray(y).reshape(-1), expected, rtol=1e-13, atol=1e-13)


def test_python_weights_give_float32_and_int32(backend):
    for weight, dtype in ((0.5, np.float32), (2, np.int32)):
        y = evops.event_mv_prob_homo(
            np.ones(8, bool), weight, 0.5, 1, shape=(6, 8), backend=backend
        )
        assert y.dtype == dtype


def test_repeated_addition_is_rounded_each_time(backend):
    y = evops.event_mv_prob_homo(
        np.ones(3000, bool), 0.1, 0.5, 3, shape=(50, 3000), backend=backend
    )
    count = oracle.matrix((50, 3000), 0.5, 3).sum(1)
    np.testing.assert_array_equal(np.asarray(y), oracle.repeated_sum(np.float32(0.1), count))


@pytest.mark.parametrize(
    "seed", [-1, -(2**31), 2**32 - 3, 2**33 + 7, np.int64(-5), np.uint32(2**32 - 1)]
)
def test_seeds_wrap(seed, backend):
    flags = {"shape": (30, 20), "backend": backend}
    wrapped = evops.event_mv_prob_homo(np.ones(20), 1.0, 0.2, int(seed) % 2**32, **flags)
    np.testing.assert_array_equal(
        evops.event_mv_prob_homo(np.ones(20), 1.0, 0.2, seed, **flags), wrapped
    )
    expected = oracle.matrix((30, 20), 0.2, int(seed)).sum(1)
    np.testing.assert_array_equal(wrapped, expected)


def test_zero_nan_and_infinite_weights(backend):
    events = np.ones(16, bool)
    weight = np.float32([0, np.nan, np.inf, -np.inf])
    y = np.asarray(
        evops.multi_area_event_mv_prob_homo_E(
            events, weight, np.arange(4), 0.5, shape=(16, 8), area_num=4, backend=backend
        )
    )
    hit = np.stack([oracle.lines(s, 16, 8, 0.5).any(0) for s in range(4)])
    assert not y[0].any() and np.isnan(y[1][hit[1]]).all()
    assert (y[2][hit[2]] == np.inf).all() and (y[3][hit[3]] == -np.inf).all()
    assert not y[1:][~hit[1:]].any()


@pytest.mark.thin(3)
def test_weights_of_mean_zero_are_not_silent(backend):
    W = evops.Projection(
        evops.FixedProbability(0.4), evops.Normal(0.0, 1.0), (30, 20), seed=3, delay=2, backend=backend
    )  # fmt: skip
    M, x, v = np.asarray(W.edges().weight), jnp.ones(30, bool), jnp.ones(20, bool)
    pre, post = (np.asarray(a) for a in W.edges()[:2])
    onto, of = np.bincount(post, M, 20), np.bincount(pre, M, 30)
    pushed = W.push(x, evops.DelayBuffer.zeros(20, 2)).sums[2]
    for got, want in ((x @ W, onto), (W @ v, of), (pushed, onto)):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_no_events_give_zeros(case, backend, rng):
    events, weight, seed = case.draw(rng, rate=0.0)
    assert not np.asarray(case.call(events, weight, seed, backend)).any()


def test_nan_events_raise_under_debug_nans_only(case, backend, rng):
    events, weight, seed = case.draw(rng)
    broken = np.where(np.arange(events.size).reshape(events.shape) == 3, np.nan, events)
    quiet = np.where(np.isnan(broken), 0, events)
    broken = broken.astype(np.float32)
    expected = case.call(quiet, weight, seed, backend)
    np.testing.assert_array_equal(case.call(broken, weight, seed, backend), expected)
    with jax.debug_nans(True), pytest.raises(FloatingPointError):
        jax.block_until_ready(case.call(broken, weight, seed, backend))
