"""The synapses of some neurons are those that the whole matrix has there."""

import jax
import numpy as np
import pytest

import evops

SHAPE = (60, 60)
GRID = evops.Grid((6, 10), periodic=True)
WHICH = [17, 3, 59, 0, 17]
RULES = {
    "gaps": evops.FixedProbability(0.06),
    "dense": evops.FixedProbability(0.4, autapses=False),
    "total": evops.FixedTotalNumber(500),
    "in": evops.FixedInDegree(7),
    "out": evops.FixedOutDegree(7),
    "multapses": evops.FixedOutDegree(7, multapses=True),
    "one": evops.OneToOne(),
    "grid": evops.Neighbours((6, 10), 1.5),
    "published": evops.LfsrGaps(0.2),
    "symmetric": evops.SymmetricProbability(0.2),
    "types": evops.BlockProbability([[0.1, 0.4], [0.6, 0.2]], np.arange(60) % 2),
    "distance": evops.FixedProbability(evops.Gaussian(2.0)),
}


def projection(rule, **options):
    shape = (GRID, GRID) if rule == "distance" else SHAPE
    law = evops.Normal(0.5, 0.1)
    return evops.Projection(RULES[rule], law, shape, seed=5, delay=evops.Uniform(1, 9), **options)


def listed(edges):
    """One array of a row for each synapse."""
    return np.stack([np.asarray(column, np.float64) for column in edges], 1)


def picked(edges, which):
    """Those of some pre neurons, in their order."""
    rows = listed(edges)
    return np.concatenate([rows[rows[:, 0] == i] for i in which])


@pytest.mark.parametrize("rule", RULES)
def test_of_drawn_ones(rule, backend):
    W = projection(rule, backend=backend)
    some = W.edges(WHICH)
    np.testing.assert_array_equal(listed(some), picked(W.edges(), WHICH))
    assert some.pre.size and [a.dtype for a in some] == [a.dtype for a in W.edges()]


@pytest.mark.parametrize("weight", [0.5, "each"])
@pytest.mark.parametrize("delay", [None, 3, "each"])
def test_of_stored_ones(weight, delay, rng):
    pre, post = rng.integers(0, 60, 400), rng.integers(0, 60, 400)
    weight = rng.random(400) if weight == "each" else weight
    delay = rng.integers(1, 9, 400) if delay == "each" else delay
    S = evops.CSR.from_edges(pre, post, weight, shape=SHAPE, delay=delay)
    whole, some = S.edges(), S.edges(pre=np.array(WHICH))
    assert (some.delay is None) == (delay is None)
    if delay is None:
        whole, some = whole[:3], some[:3]
    np.testing.assert_array_equal(listed(some), picked(whole, WHICH))


def test_of_counts_with_a_scale():
    counts = np.int16([3, 1, 2])
    S = evops.CSR.from_edges([1, 0, 1], [0, 1, 2], counts, shape=(2, 3), scale=0.5)
    assert S.edges([1]).weight.tolist() == [1.5, 1.0]


def test_of_learned_weights():
    W = projection("gaps")
    V = W.with_weights(np.arange(W.tocsr().nnz, dtype=np.float32))
    np.testing.assert_array_equal(listed(V.edges(WHICH)), picked(V.edges(), WHICH))


def test_of_no_neuron():
    W = projection("gaps")
    for of in (W, W.tocsr(), W.with_weights(1.0)):
        some = of.edges([])
        assert [a.shape for a in some] == [(0,)] * 4
        assert [a.dtype for a in some] == [a.dtype for a in of.edges([0])]


def test_what_is_no_neuron_is_named():
    W = projection("gaps")
    for of in (W, W.tocsr(), W.with_weights(1.0)):
        with pytest.raises(ValueError, match=r"pre\[1\] must be in \[0, n_pre = 60\), got 60"):
            of.edges([0, 60])
        with pytest.raises(TypeError, match="pre must be an array of integers"):
            of.edges([0.5])
        with pytest.raises(TypeError, match="known"):
            jax.jit(lambda of: of.edges([0]).post)(of)
        with pytest.raises(TypeError, match="pre must be known"):
            jax.jit(lambda i, of=of: of.edges(i).post)(np.array([0]))


def test_few_of_a_large_matrix():
    """Of 300 million synapses those of four neurons; the numbers are those of all."""
    W = evops.Projection(evops.FixedProbability(0.1), 1.0, (54_772, 54_772), seed=3)
    which = np.array([54_771, 0, 20_000, 40_001])
    some = W.edges(which)
    degrees = np.asarray(W.out_degree())[which]
    np.testing.assert_array_equal(some.pre, np.repeat(which, degrees))
    spikes = np.zeros(W.shape[0], bool)
    spikes[which] = True
    np.testing.assert_array_equal(np.bincount(some.post, minlength=W.shape[1]), spikes @ W)
