"""Jit, scan, vmap, grad, jvp, hessian and threads over the table of operators."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from cases import CASES


@pytest.fixture(params=CASES, ids=str)
def case(request):
    return request.param


def value_grads(case, backend):
    """A scalar function of (events, weight) with curvature, for gradients."""

    def loss(events, weight, seed):
        return jnp.sum(jnp.sin(case.call(events, weight, seed, backend)))

    return loss


@pytest.mark.thin(27)
def test_jit_and_scan(case, backend, rng):
    events, weight, seed = case.draw(rng)
    call = partial(case.call, backend=backend)
    np.testing.assert_array_equal(jax.jit(call)(events, weight, seed), call(events, weight, seed))
    seeds = np.stack([seed + k for k in range(4)])

    def body(total, s):
        y = call(events + 0 * total, weight, s)
        return total + y.sum(), y

    _, stacked = jax.jit(lambda: jax.lax.scan(body, jnp.float32(0), seeds))()
    for s, y in zip(seeds, stacked, strict=True):
        np.testing.assert_array_equal(y, call(events, weight, s))


@pytest.mark.thin(15)
@pytest.mark.parametrize(
    "axes", [(0, None, None), (None, 0, None), (None, None, 0), (0, 0, 0), (-1, 0, None)]
)
def test_vmap(case, axes, backend, rng):
    draws = [case.draw(rng) for _ in range(3)]
    first = draws[0]
    batched = [
        first[i] if axis is None else np.stack([d[i] for d in draws], axis)
        for i, axis in enumerate(axes)
    ]
    call = partial(case.call, backend=backend)
    y = jax.jit(jax.vmap(call, axes))(*batched)
    for b, draw in enumerate(draws):
        one = [first[i] if axis is None else draw[i] for i, axis in enumerate(axes)]
        np.testing.assert_array_equal(y[b], call(*one))


@pytest.mark.thin(27)
def test_vmap_of_vmap(case, backend, rng):
    draws = [case.draw(rng) for _ in range(3)]
    events, weight, seed = (np.stack(o) for o in zip(*draws, strict=True))
    call = partial(case.call, backend=backend)
    orders = [
        ((None, None, 0), (0, None, None)),
        ((0, None, None), (None, 0, 0)),
        ((None, 0, 0), (0, None, None)),
    ]
    for outer, inner in orders:
        operands = [
            o if 0 in (a, b) else o[0]
            for o, a, b in zip((events, weight, seed), outer, inner, strict=True)
        ]
        y = jax.vmap(jax.vmap(call, inner), outer)(*operands)
        for i in range(3):
            for j in range(3):
                one = [
                    o[i] if a == 0 else o[j] if b == 0 else o
                    for o, a, b in zip(operands, outer, inner, strict=True)
                ]
                np.testing.assert_array_equal(y[i, j], call(*one))


@pytest.mark.thin(15)
def test_gradients_are_those_of_the_dense_product(case, backend, rng):
    events, weight, seed = case.draw(rng)
    y, pull = jax.vjp(
        lambda e, w: case.call(e, w, seed, backend), jnp.asarray(events), jnp.asarray(weight)
    )
    ct = rng.normal(size=y.shape).astype(np.float32)
    in_events, in_weight = pull(jnp.asarray(ct))

    def dense(e, w):
        unit = np.ones_like(weight)
        masks = case.dense(unit, seed)
        if case.name == "area_E":
            return (masks @ e).reshape(y.shape) * w[:, None]
        return (masks @ e.reshape(-1)).reshape(y.shape) * w

    _, dense_pull = jax.vjp(dense, jnp.asarray(events), jnp.asarray(weight))
    want_events, want_weight = dense_pull(jnp.asarray(ct))
    np.testing.assert_allclose(in_events, want_events, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(in_weight, want_weight, rtol=1e-4, atol=1e-5)


@pytest.mark.thin(3)
def test_derivatives_in_weight_match_differences(case, backend, rng):
    events, weight, seed = case.draw(rng)
    call = lambda w: case.call(jnp.asarray(events), w, seed, backend)  # noqa: E731
    check_grads(call, (jnp.asarray(weight),), order=2, modes=("fwd", "rev"), eps=1e-2, rtol=2e-2)


def test_jvp_in_events_is_the_product_with_the_tangent(case, backend, rng):
    events, weight, seed = case.draw(rng)
    tangent = rng.normal(size=case.events).astype(np.float32)
    call = lambda e: case.call(e, weight, seed, backend)  # noqa: E731
    _, out = jax.jvp(call, (jnp.asarray(events),), (jnp.asarray(tangent),))
    expected = case.dense(weight, seed) @ tangent.reshape(-1)
    np.testing.assert_allclose(np.asarray(out).reshape(-1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.thin(27)
def test_vmap_of_grad_and_hessian(case, backend, rng):
    draws = [case.draw(rng) for _ in range(2)]
    loss = value_grads(case, backend)
    stacked = [jnp.stack([d[i] for d in draws]) for i in range(3)]
    gradients = jax.vmap(jax.grad(loss, argnums=(0, 1)))(*stacked)
    for b, draw in enumerate(draws):
        one = jax.grad(loss, argnums=(0, 1))(*map(jnp.asarray, draw))
        for batched, single in zip(gradients, one, strict=True):
            np.testing.assert_allclose(batched[b], single, rtol=1e-5, atol=1e-6)
    hessian = jax.hessian(loss, argnums=1)(*map(jnp.asarray, draws[0]))
    assert np.isfinite(hessian).all() and np.any(np.asarray(hessian) != 0)


@pytest.mark.thin(15)
def test_gradients_of_a_batch_are_those_of_its_entries(case, backend, rng):
    draws = [case.draw(rng) for _ in range(2)]
    loss = value_grads(case, backend)
    stacked = [jnp.stack([d[i] for d in draws]) for i in range(3)]
    of_batch = lambda e, w, s: jax.vmap(loss)(e, w, s).sum()  # noqa: E731
    batched = jax.grad(of_batch, argnums=(0, 1))(*stacked)
    for b, draw in enumerate(draws):
        one = jax.grad(loss, argnums=(0, 1))(*map(jnp.asarray, draw))
        for got, single in zip(batched, one, strict=True):
            np.testing.assert_allclose(got[b], single, rtol=1e-5, atol=1e-6)


@pytest.mark.thin(5)
def test_many_threads_at_once(case, backend, rng):
    draws = [case.draw(rng) for _ in range(8)]
    call = jax.jit(partial(case.call, backend=backend))
    expected = [np.asarray(call(*d)) for d in draws]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            results = list(pool.map(lambda d: np.asarray(call(*d)), draws))
            for got, want in zip(results, expected, strict=True):
                np.testing.assert_array_equal(got, want)


def test_new_seed_and_weight_do_not_compile_again(case, rng):
    traces = []

    @jax.jit
    def call(events, weight, seed):
        traces.append(1)
        return case.call(events, weight, seed)

    for _ in range(3):
        call(*case.draw(rng))
    assert len(traces) == 1
