"""Operators between neurons and synapses, beside loops over the synapses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

FORMS = ("sum", "mean", "max", "min", "prod")
N_PRE, N_POST, NNZ = 9, 7, 60


def ids(seed=0):
    """Of synapses in any order; one post neuron has none."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, N_PRE, NNZ), rng.integers(0, N_POST - 1, NNZ)


def gathered(form, values, post, n=N_POST):
    """A form neuron by neuron; of no synapses, what the docstrings say."""
    kind = np.asarray(values).dtype
    whole = kind.kind in "iu"
    least, most = (np.iinfo(kind).min, np.iinfo(kind).max) if whole else (-np.inf, np.inf)
    empty = {"sum": 0, "mean": 0, "prod": 1, "max": least, "min": most}[form]
    own = [np.asarray(values)[post == j] for j in range(n)]
    return np.array([getattr(np, form)(v) if v.size else empty for v in own])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int32, np.int8, bool])
def test_values_of_synapses_on_post_neurons(form, dtype):
    pre, post = ids()
    rng = np.random.default_rng(1)
    values = rng.integers(1, 3, NNZ).astype(dtype)
    numbers = values.astype(np.int32) if values.dtype == bool else values
    operator = getattr(evops, f"syn2post_{form}")
    got = operator(values, post, N_POST)
    if form == "prod":
        want = np.array([np.prod(numbers[post == j], dtype=numbers.dtype) for j in range(N_POST)])
    else:
        want = gathered(form, numbers, post)
    np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol=1e-3)
    kind = np.float32 if form == "mean" and np.dtype(dtype).kind != "f" else numbers.dtype
    assert got.dtype == kind and got.shape == (N_POST,)
    of_pre = rng.integers(1, 3, N_PRE).astype(dtype)
    through = getattr(evops, f"pre2post_{form}")(of_pre, pre, post, N_POST)
    np.testing.assert_array_equal(through, operator(of_pre[pre], post, N_POST))


def test_values_of_neurons_on_their_synapses():
    pre, post = ids()
    x, v = np.arange(N_PRE) % 2 == 0, np.arange(N_POST, dtype=np.float32)
    np.testing.assert_array_equal(evops.pre2syn(x, pre), x[pre])
    np.testing.assert_array_equal(jax.jit(evops.post2syn)(v, post), v[post])


def test_softmax():
    _, post = ids()
    values = np.random.default_rng(2).normal(size=NNZ).astype(np.float32) * 30
    got = evops.syn2post_softmax(values, post, N_POST)
    assert got.shape == (NNZ,)
    for j in range(N_POST - 1):
        np.testing.assert_allclose(got[post == j], jax.nn.softmax(values[post == j]), rtol=1e-5)
    sums = evops.syn2post_sum(got, post, N_POST)
    np.testing.assert_allclose(sums, np.arange(N_POST) < N_POST - 1, rtol=1e-5)


@pytest.mark.parametrize("name", [*(f"syn2post_{form}" for form in FORMS), "syn2post_softmax"])
def test_derivatives_and_batches(name, backend, monkeypatch):
    monkeypatch.setenv("EVOPS_BACKEND", backend)
    _, post = ids()
    operator = getattr(evops, name)
    with jax.enable_x64(True):
        rng = np.random.default_rng(3)
        values, direction = rng.normal(size=(2, NNZ))
        weights = rng.normal(size=NNZ if name.endswith("softmax") else N_POST - 1)

        def loss(values):
            return (operator(values, post, N_POST)[: weights.size] * weights).sum()

        h = 1e-6
        slope = (loss(values + h * direction) - loss(values - h * direction)) / (2 * h)
        gradient = jax.jit(jax.grad(loss))(values)
        np.testing.assert_allclose((gradient * direction).sum(), slope, rtol=1e-6)
        batch = rng.normal(size=(3, NNZ))
        got = jax.vmap(lambda v: operator(v, post, N_POST))(batch)
        want = np.stack([operator(v, post, N_POST) for v in batch])
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_derivatives_of_products_with_zeros():
    values = np.array([0.0, 2.0, 3.0, 0.0, 0.0, 5.0, 4.0], np.float32)
    post = np.array([0, 0, 0, 1, 1, 1, 2])
    gradient = jax.grad(lambda v: evops.syn2post_prod(v, post, 3).sum())(values)
    np.testing.assert_array_equal(gradient, [6, 0, 0, 0, 0, 0, 1])


def test_the_operators_are_those_of_a_matrix():
    S = evops.CSR.from_edges(*ids(), 0.5, shape=(N_PRE, N_POST))
    x = np.arange(N_PRE) % 3 == 0
    pre, post = S.requires("pre_ids", "post_ids")
    current = evops.syn2post(jnp.where(evops.pre2syn(x, pre), 0.5, 0.0), post, N_POST)
    np.testing.assert_array_equal(current, x @ S)


def test_many_synapses(backend):
    rng = np.random.default_rng(4)
    post, values = rng.integers(0, 1000, 600_001), rng.integers(-9, 9, 600_001).astype(np.int32)
    want = np.zeros(1000, np.int32)
    np.add.at(want, post, values)
    np.testing.assert_array_equal(evops.syn2post(values, post, 1000, backend=backend), want)


def test_no_synapses():
    none = np.zeros(0, np.int32)
    for form in FORMS:
        got = getattr(evops, f"syn2post_{form}")(np.zeros(0, np.float32), none, 3)
        np.testing.assert_array_equal(got, gathered(form, np.zeros(0, np.float32), none, 3))
    assert evops.syn2post_softmax(np.zeros(0, np.float32), none, 3).shape == (0,)
    assert evops.pre2syn(np.ones(2), []).shape == (0,)


def test_ids_that_are_refused():
    values = np.ones(2, np.float32)
    with pytest.raises(ValueError, match=r"post_ids\[1\] must be in \[0, n_post = 3\), got 3"):
        evops.syn2post(values, [0, 3], 3)
    with pytest.raises(ValueError, match=r"pre_ids\[0\] must be in \[0, n_pre = 2\), got -1"):
        evops.pre2syn(values, [-1])
    with pytest.raises(TypeError, match="post_ids must be an array of integers"):
        evops.syn2post(values, [0.0, 1.0], 3)
    with pytest.raises(ValueError, match=r"syn_values must have shape \(nnz = 3\), got \(2,\)"):
        evops.syn2post(values, [0, 1, 1], 3)
    with pytest.raises(ValueError, match=r"pre_values must have shape \(n_pre,\), got \(2, 1\)"):
        evops.pre2syn(values[:, None], [0])


def test_traced_ids_out_of_range_are_seen():
    for wrong in (-1, 3):
        got = jax.jit(evops.pre2syn)(np.ones(3, np.float32), np.array([0, wrong]))
        np.testing.assert_array_equal(got, [1, np.nan])
        for form in ("max", "min", "prod"):
            operator = getattr(evops, f"syn2post_{form}")
            got = jax.jit(operator, static_argnums=2)(np.ones(2), np.array([0, wrong]), 3)
            assert np.isnan(got).all()
        got = jax.jit(lambda ids: evops.syn2post(np.ones(2), ids, 3, backend="jnp"))(
            np.array([0, wrong])
        )
        assert np.isnan(got).all()
