"""Sums of many synapses, x @ W: all sizes of results, numbers of spikes, instances and batches.

On a GPU the sums of a product are added up in one of two ways, piece by piece: test_gpu.py runs
these tests again in both.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

N_PRE = 24
LAWS = {"one": evops.Constant(0.37), "each": evops.Normal(0.6, 0.1)}
RULES = {
    "p=1e-5": evops.FixedProbability(1e-5),
    "p=0.02": evops.FixedProbability(0.02),
    "p=0.1": evops.FixedProbability(0.1),
    "p=0.5": evops.FixedProbability(0.5),
    "p=1": evops.FixedProbability(1.0),
    "p=0.1, no autapses": evops.FixedProbability(0.1, autapses=False),
    "p=0.5, no autapses": evops.FixedProbability(0.5, autapses=False),
    "k": evops.FixedOutDegree(1),
    "k=1100, multapses": evops.FixedOutDegree(1100, multapses=True),
    "total": evops.FixedTotalNumber(30_000),
    "in-degree": evops.FixedInDegree(3),
}


def project(rule, n_post, law=LAWS["one"], seed=11):
    """A projection; "k" has half of the targets."""
    rule = evops.FixedOutDegree((n_post + 1) // 2) if rule == "k" else RULES[rule]
    return evops.Projection(rule, law, (N_PRE, n_post), seed=seed, backend="native")


def check(got, x, W, exactly, M=None):
    """The sums are those of the stored matrix; to the bit where all its weights are equal."""
    got, M = np.asarray(got), np.asarray(W.todense() if M is None else M)
    if exactly:
        weight = np.asarray(W.law.w, M.dtype)
        want = weight * (np.asarray(x, np.float64) @ np.round(M / weight)).astype(M.dtype)
        np.testing.assert_array_equal(got, want)
    else:
        want = np.asarray(x, np.float64) @ M.astype(np.float64)
        bound = 64 * np.finfo(M.dtype).eps * max(1.0, np.abs(want).max(initial=0))
        np.testing.assert_allclose(got, want, rtol=0, atol=bound)
    assert got.dtype == M.dtype


@pytest.mark.thin(3)
# 20,000: five blocks of 4096 targets, and no multiple of a slab of 8192 or 4096 sums
@pytest.mark.parametrize("n_post", [1, 300, 8192, 20_000])
@pytest.mark.parametrize("rule", RULES)
def test_spikes_of_one_weight_are_counted(rule, n_post, rng):
    W = project(rule, n_post)
    product = jax.jit(lambda x: x @ W)
    M = W.tocsr().to_scipy().toarray()  # by a walk of its own, not by products
    for rate in (0.0, 0.3, 1.0):
        x = rng.random(N_PRE) < rate
        check(product(x), x, W, exactly=True, M=M)


@pytest.mark.thin(3)
@pytest.mark.parametrize("n_post", [300, 9000])
@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("x64", [False, True], ids=["f32", "f64"])
@pytest.mark.parametrize("rule", RULES)
def test_sums_of_floats(rule, x64, name, n_post, rng):
    dtype = np.float64 if x64 else np.float32
    x = rng.normal(size=N_PRE).astype(dtype)
    with jax.enable_x64(x64):
        law = jax.tree.map(lambda v: jnp.asarray(v, dtype), LAWS[name])
        W = project(rule, n_post, law)
        for events in (np.where(x > -0.5, x, 0), x > 0):
            check(events @ W, events, W, exactly=name == "one" and events.dtype == bool)


@pytest.mark.parametrize("rule", ["p=0.1", "p=0.5", "total"])
def test_sums_of_integers(rule, rng):
    x = rng.integers(-3, 4, N_PRE).astype(np.int32)
    W = project(rule, 9000, evops.Constant(jnp.int32(7)))
    check(x @ W, x, W, exactly=True)


@pytest.mark.thin(3)
@pytest.mark.parametrize("n_post", [300, 9000])
@pytest.mark.parametrize("rule", ["p=0.02", "p=0.1", "p=0.5", "total"])
def test_sums_of_batches_and_instances(rule, n_post, rng):
    x = rng.random((5, N_PRE)) < 0.4
    x[2] = False
    W = project(rule, n_post)
    check(x @ W, x, W, exactly=True)
    of_seeds = jax.vmap(lambda x, seed: x @ project(rule, n_post, seed=seed))(x, jnp.arange(5))
    for seed, y in enumerate(of_seeds):
        check(y, x[seed], project(rule, n_post, seed=seed), exactly=True)


def test_sums_of_more_instances_than_a_gpu_has_room_for(rng):
    x = rng.random((700, N_PRE)) < 0.4
    W = project("p=0.5", 1)
    check(x @ W, x, W, exactly=True)


@pytest.mark.parametrize("n", [1, 300, 9000])
def test_one_to_one_is_a_factor(n, rng):
    W = evops.Projection(evops.OneToOne(), 0.37, (n, n), seed=11, backend="native")
    x = rng.normal(size=n).astype(np.float32)
    for events in (x, x > 0, rng.integers(-3, 4, n).astype(np.int32)):
        expected = np.float32(0.37) * events.astype(np.float32)
        np.testing.assert_array_equal(events @ W, expected)
        np.testing.assert_array_equal(W @ events, expected)


def test_instances_of_weight_zero(rng):
    x, weights = np.ones(N_PRE, bool), np.float32([0.0, 0.5, 0.0, 0.0, -1.5])
    sums = jax.vmap(lambda w: x @ project("p=0.1", 9000, evops.Constant(w)))(weights)
    for weight, y in zip(weights, sums, strict=True):
        W = project("p=0.1", 9000, evops.Constant(weight))
        np.testing.assert_array_equal(y, np.asarray(W.todense()).sum(0))
