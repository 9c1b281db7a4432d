"""Spikes of NEST and of Brian2, all of them, beside those of our synapses and the same neurons.

The records are in `golden/spikes/`, or in the folder that EVOPS_SPIKES names: `.ci/full peers`
makes them anew. Nothing is random here, so nothing can fail by chance. Both simulators compute in
float64, with other roundings than ours: a spike could differ only where a potential is within some
1e-14 mV of the threshold.
"""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
from peers import spikes
from peers.spikes import DT, REFRACTORY, STEPS, TAU, THRESHOLD

FOLDER = Path(os.environ.get("EVOPS_SPIKES", Path(__file__).parent / "golden" / "spikes"))
DECAY = np.exp(-DT / TAU)
# Of docs/delays.md, each by its record, and by the prefix of its arrays.
CASES = {
    "NEST, delays as they are": ("nest", ""),
    "NEST, delays of one step more": ("nest", "later_"),
    "Brian2": ("brian2", ""),
}


def recorded(case):
    peer, prefix = CASES[case]
    with np.load(FOLDER / f"{peer}.npz") as record:
        return record["seed"].item(), record[f"{prefix}step"], record[f"{prefix}neuron"]


def arrivals_first(v, refractory, drive, arriving):
    """A step of `iaf_psc_delta`, which ignores what arrives while a neuron is refractory."""
    v = jnp.where(refractory > 0, v, v * DECAY + drive * (1 - DECAY) + arriving)
    spikes = v >= THRESHOLD
    refractory = jnp.where(spikes, REFRACTORY, jnp.maximum(refractory - 1, 0))
    return jnp.where(spikes, 0.0, v), refractory, spikes


def nest_as_they_are(W, drive, state):
    v, refractory, buffer = state
    arriving = buffer.sums[buffer.step]
    v, refractory, spikes = arrivals_first(v, refractory, drive, arriving)
    _, buffer = W.push(spikes, buffer).pop()
    return (v, refractory, buffer), spikes


def nest_one_step_more(W, drive, state):
    v, refractory, (arriving, buffer) = state
    v, refractory, spikes = arrivals_first(v, refractory, drive, arriving)
    return (v, refractory, W.push(spikes, buffer).pop()), spikes


def brian2(W, drive, state):
    """Threshold, arrivals, reset; what arrives while a neuron is refractory is ignored."""
    v, refractory, buffer = state
    refractory = jnp.maximum(refractory - 1, 0)
    free = refractory == 0
    v = jnp.where(free, v * DECAY + drive * (1 - DECAY), v)
    spikes = free & (v > THRESHOLD)
    arriving, buffer = W.push(spikes, buffer).pop()
    v = jnp.where(free & ~spikes, v + arriving, v)
    refractory = jnp.where(spikes, REFRACTORY, refractory)
    return (jnp.where(spikes, 0.0, v), refractory, buffer), spikes


STEP_OF = dict(zip(CASES, (nest_as_they_are, nest_one_step_more, brian2), strict=True))


def ours(case, seed, later=0):
    """Step and neuron of every spike; with `later`, all delays are so many steps longer."""
    step = STEP_OF[case]
    with jax.enable_x64(True):
        W = spikes.drawn(seed)
        if later:
            pre, post, weight, delay = W.edges()
            W = evops.CSR.from_edges(pre, post, weight, shape=W.shape, delay=delay + later)
        v, drive = map(jnp.asarray, spikes.driven(seed))
        buffer = evops.DelayBuffer.zeros(W.shape[1], W.max_delay, jnp.float64)
        if step is nest_one_step_more:
            buffer = (jnp.zeros_like(v), buffer)
        state = v, jnp.zeros(v.shape, jnp.int32), buffer
        run = jax.jit(lambda W, s: jax.lax.scan(lambda s, _: step(W, drive, s), s, None, STEPS))
        fired = np.asarray(run(W, state)[1])
    return np.nonzero(fired)


def pairs(step, neuron):
    return set(zip(step.tolist(), neuron.tolist(), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_every_spike_is_that_of_the_peer(case):
    seed, *theirs = recorded(case)
    assert len(theirs[0]) > 4000
    np.testing.assert_array_equal(ours(case, seed), theirs)


@pytest.mark.parametrize("case", CASES)
def test_a_delay_of_one_step_more_gives_other_spikes(case):
    """Few are the same then, so that the comparison can tell whose delay is meant."""
    seed, *theirs = recorded(case)
    theirs = pairs(*theirs)
    assert len(pairs(*ours(case, seed, later=1)) & theirs) < len(theirs) / 5


def test_some_synapses_have_a_delay_of_one_step():
    """They tell the orders of a step apart that give the others alike."""
    for case in CASES:
        seed, *_ = recorded(case)
        assert (spikes.listed(seed).delay == 1).sum() > 50
