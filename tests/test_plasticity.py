"""Rules of plasticity on states of synapses, beside Brian2's results (bench/plasticity_brian.py).

``python tests/test_plasticity.py EDGES.npz`` writes the synapses for Brian2.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import evops

GOLDEN = Path(__file__).with_name("golden") / "stdp_brian2.npz"
N, STEPS, DELAY = 1000, 4000, 15


def matrix(backend=None):
    rule = evops.FixedProbability(0.01, autapses=False)
    return evops.Projection(rule, 1.0, (N, N), seed=8, backend=backend).tocsr()


def network(C, w):
    """Spikes of every step, and the weights at the end."""
    decay, current = float(np.exp(-0.1 / 20)), 1.05 + 0.5 * np.arange(N) / N

    def step(state, _):
        v, w, x_pre, x_post, travelling = state
        v = v + 0.1 * ((current - v) / 20)
        spikes = (v > 1).astype(v.dtype)
        arriving, travelling = (
            travelling[0],
            jnp.roll(travelling, -1, axis=0).at[-1].set(spikes),
        )
        v = v + 0.05 * (arriving @ C.csr.with_weights(w))
        x_pre, x_post = x_pre * decay + 0.1 * arriving, x_post * decay
        w = C.add_where_pre_spiked(w, arriving, x_post, per="post", low=0, high=1)
        x_post = x_post - 0.105 * spikes
        w = C.add_where_post_spiked(w, spikes, x_pre, per="pre", low=0, high=1)
        return (jnp.where(spikes != 0, 0, v), w, x_pre, x_post, travelling), spikes != 0

    zeros = jnp.zeros(N, w.dtype)
    state = zeros, w, zeros, zeros, jnp.zeros((DELAY, N), w.dtype)
    state, spikes = lax.scan(step, state, length=STEPS)
    return spikes, state[1]


def test_pair_rule_is_that_of_brian2(backend):
    """In float64: the same spikes, and weights that are equal to 1e-10."""
    golden = np.load(GOLDEN)
    C = matrix(backend).csc
    with jax.enable_x64(True):
        first = jnp.asarray(np.arange(C.nnz) * 7919 % 1000 / 1000)
        spikes, w = jax.jit(network)(C, first)
    step, neuron = np.nonzero(spikes)
    assert len(step) > 10_000
    np.testing.assert_array_equal(step, golden["step"])
    np.testing.assert_array_equal(neuron, golden["neuron"])
    np.testing.assert_allclose(w, golden["w"], rtol=0, atol=1e-10)
    assert np.abs(golden["w"] - np.asarray(first)).mean() > 0.1
    assert 1000 < np.isin(golden["w"], (0, 1)).sum() < C.nnz - 1000  # some are at the bounds


if __name__ == "__main__":
    edges = matrix().edges()
    np.savez(sys.argv[1], pre=edges.pre, post=edges.post)
