"""Training of weight laws and of weights: the example on digits, and deviations below 0."""

import functools
import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "train_digits.py"


@pytest.fixture(scope="module")
def small():
    """The example, with fewer populations and steps."""
    spec = importlib.util.spec_from_file_location("train_digits", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.POPULATIONS, module.SIZE, module.NEURONS, module.STEPS = 2, 4, 8, 5
    return module


@functools.cache
def pictures():
    """Ten patterns under noise, and which it is."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 10, 96).astype(np.int32)
    patterns = rng.random((10, 64)) < 0.3
    noisy = np.clip(patterns[labels] + rng.normal(0, 0.1, (96, 64)), 0, 1)
    return noisy.astype(np.float32), labels


def start(module, variant):
    wiring = module.draw(3)
    return wiring, module.first(variant, wiring, jax.random.key(3))


def test_all_variants_begin_with_the_same_network(small):
    scores = []
    for variant in small.VARIANTS:
        wiring, parameters = start(small, variant)
        of = small.with_trained(variant, wiring, parameters["synapses"])
        scores.append(np.asarray(small.logits(of, parameters, pictures()[0])))
    assert np.ptp(scores[0], 0).min() > 0.1
    for other in scores[1:]:
        np.testing.assert_allclose(scores[0], other, rtol=1e-4, atol=1e-4)


def test_the_current_is_that_of_dense_matrices(small):
    """Patches and populations are where the pictures and the readout have them."""
    wiring, parameters = start(small, "frozen")
    dense = np.zeros((64, small.NEURONS))
    for pair in range(small.PATCHES * small.POPULATIONS):
        patch, population = divmod(pair, small.POPULATIONS)
        W = jax.tree.map(lambda leaf, k=pair: leaf[k], wiring.inputs)
        row, column = 2 * (patch // 4), 2 * (patch % 4)
        pixels = [8 * (row + i) + column + j for i in range(2) for j in range(2)]
        post = slice(small.SIZE * population, small.SIZE * (population + 1))
        dense[pixels, post] = W.todense()
    small.STEPS, steps = 1, small.STEPS
    try:
        got = small.logits(wiring, parameters, pictures()[0])
    finally:
        small.STEPS = steps
    want = (pictures()[0] @ dense > 1) @ np.asarray(parameters["readout"])
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant", ["law", "free", "frozen"])
def test_training_lowers_the_loss(small, variant):
    """And changes what the variant trains."""
    wiring, parameters = start(small, variant)
    batches = np.random.default_rng(7).permutation(96).reshape(3, 32)
    trained, losses = small.train(
        variant, parameters, wiring, *pictures(), np.tile(batches, (20, 1))
    )
    assert losses[-3:].mean() < 0.8 * losses[:3].mean()
    before, after = (jax.tree.leaves(of["synapses"]) for of in (parameters, trained))
    assert bool(before) == (variant != "frozen")
    for old, new in zip(before, after, strict=True):
        assert (np.asarray(old) != np.asarray(new)).mean() > 0.5


def test_laws_gain_on_frozen_ones(small):
    last = {}
    for variant in ("law", "frozen"):
        wiring, parameters = start(small, variant)
        batches = np.random.default_rng(7).permutation(96).reshape(3, 32)
        _, losses = small.train(variant, parameters, wiring, *pictures(), np.tile(batches, (20, 1)))
        last[variant] = float(losses[-3:].mean())
    assert last["law"] < 0.8 * last["frozen"]


@pytest.mark.parametrize("low", [None, -0.2])
@pytest.mark.parametrize("backend", ["native", "jnp"])
def test_a_trained_deviation_below_zero_mirrors_the_weights(backend, low):
    law = evops.Normal(0.5, 0.3, low=low)
    W = evops.Projection(evops.FixedProbability(0.2), law, (40, 30), seed=1, backend=backend)
    mean, std = jax.tree.leaves(W.law)
    below = W.replace(law=jax.tree.unflatten(jax.tree.structure(W.law), [mean, -std]))
    dense = jax.jit(lambda W: W.todense())
    pairs = W.replace(law=1.0).todense()
    np.testing.assert_allclose(dense(below), 2 * mean * pairs - dense(W), atol=1e-6)
    if low is not None:  # the bound is mirrored, and no bound any more
        assert dense(W).min() >= low - 1e-6
        assert dense(below).max() <= 2 * 0.5 - low + 1e-6


def test_a_deviation_below_zero_is_refused_where_it_is_known():
    with pytest.raises(ValueError, match="std must be at least 0, got -0.1"):
        evops.Normal(0.5, jnp.float32(-0.1))
    traced = jax.jit(lambda std: evops.Normal(0.5, std).loc_scale()[1])
    assert traced(-0.1) == np.float32(-0.1)
