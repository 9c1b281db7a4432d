"""The 29-area model as BrainPy's notebook has it, faults included, for comparison.

It runs on the operators that the notebook registers, `evops.multi_area_event_mv_prob_homo_E` and
`..._I`. These faults are kept, so do not use it for science:

- Every target area sees the spikes with the local delay: long-range delays of up to 16.6 ms are
  lost. The local delay is two steps too long.
- The E→I connections reuse the random streams of E→E, and I→I those of I→E.
- The seeds of the 841 pairs are drawn from 0 to 99999, and overlap.

Membranes follow exponential Euler. Input is added without a threshold test before the next update.

Source: BrainPy documentation, "(Joglekar, et. al, 2018): Inter-areal Balanced Amplification
taichi customized operators"; the model is that of doi:10.1016/j.neuron.2018.02.031.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from evops.braintaichi.operators import (
    multi_area_event_mv_prob_homo_E,
    multi_area_event_mv_prob_homo_I,
)
from evops.networks.joglekar2018.model import Model
from evops.noise import noise_key, normal


class State(NamedTuple):
    """Potentials in mV, step of the last spike, spikes of the last steps."""

    v: jax.Array
    last: jax.Array
    history: jax.Array


class Parameters(NamedTuple):
    """Weights in mV by source and target area, seeds by source and target area, noise key."""

    to_exc: jax.Array
    to_inh: jax.Array
    exc_seeds: jax.Array
    inh_seeds: jax.Array
    noise: jax.Array


def setup(model: Model, seed: int, network_seed: int) -> tuple[Parameters, State]:
    """Parameters and initial state of one trial."""
    rng = np.random.default_rng([network_seed, 3])
    n = model.areas
    w = model.weights().astype(np.float32)
    low, high = model.v_initial or (0.0, 0.0)
    v = np.random.default_rng([seed, 2]).uniform(low, high, (n, model.per_area))
    parameters = Parameters(
        jnp.asarray(w[:, 0, :, 0]),
        jnp.asarray(w[:, 0, :, 1]),
        jnp.asarray(rng.integers(0, 100000, (n, n)), jnp.uint32),
        jnp.asarray(rng.integers(0, 100000, n), jnp.uint32),
        jnp.asarray(noise_key(seed)),
    )
    slots = _delay(model)
    state = State(
        jnp.asarray(v, jnp.float32),
        jnp.full((n, model.per_area), -(2**30), jnp.int32),
        jnp.zeros((slots, n, model.per_area), bool),
    )
    return parameters, state


def _delay(model: Model) -> int:
    """Steps from a spike to its effect: the local delay and two more."""
    return int(model.steps(model.base["local_delay_ms"])) + 2


def _any_by_area(spikes: jax.Array) -> jax.Array:
    """Whether each area has a spike, four flags at a time."""
    areas, n = spikes.shape
    quads = jnp.pad(spikes, ((0, 0), (0, -n % 4))).astype(jnp.uint8).reshape(areas, -1, 4)
    return lax.bitcast_convert_type(quads, jnp.uint32).max(axis=1) != 0


def _kicks(model: Model, parameters: Parameters, arriving: jax.Array) -> jax.Array:
    """`(areas, neurons)` synaptic input in mV from the spikes that arrive."""
    exc, inh = model.n_exc, model.n_inh
    exc_spikes, inh_spikes = arriving[:, :exc], arriving[:, exc:]
    # Areas with spikes come first, so that the loop over source areas ends after them.
    active = _any_by_area(exc_spikes)
    order = jnp.argsort(~active, stable=True)
    options = {"area_num": model.areas, "backend": model.backend}

    def from_exc(area, weights, size):
        spikes, seeds = exc_spikes[area], parameters.exc_seeds[area]
        return multi_area_event_mv_prob_homo_E(
            spikes, weights[area], seeds, model.conn_prob, shape=(exc, size), **options
        )

    def from_inh(weight, size):
        seeds = parameters.inh_seeds
        return multi_area_event_mv_prob_homo_I(
            inh_spikes, weight, seeds, model.conn_prob, shape=(inh, size), **options
        )

    def add_area(k, kicks):
        to_exc, to_inh = kicks
        return (
            to_exc + from_exc(order[k], parameters.to_exc, exc),
            to_inh + from_exc(order[k], parameters.to_inh, inh),
        )

    local = (from_inh(-model.set["w_ei"], exc), from_inh(-model.set["w_ii"], inh))
    return jnp.concatenate(lax.fori_loop(0, active.sum(), add_area, local), axis=1)


def step(model: Model, parameters: Parameters, state: State, n: Any) -> tuple[State, jax.Array]:
    """One time step; returns the state and the spikes `(areas, neurons)`, bool."""
    p = model.base
    slot = n % _delay(model)
    arriving = lax.dynamic_index_in_dim(state.history, slot, keepdims=False)
    frozen = int(model.steps(p["tau_ref_ms"]))
    # The notebook adds the input of a step under the refractory flags of the step before.
    was_refractory = n - 1 - state.last <= frozen
    v = state.v + jnp.where(was_refractory, 0, _kicks(model, parameters, arriving))

    tau = model.per_neuron(p["tau_exc_ms"], p["tau_inh_ms"])
    noise = normal(parameters.noise, n, v.shape)
    noise = noise * np.sqrt(model.dt / tau) * np.float32(p["noise_sigma_mv"])
    ahead = v - np.expm1(-model.dt / tau) * (p["v_rest_mv"] + model.drive(n) - v) + noise
    v = jnp.where(n - state.last <= frozen, v, ahead)
    last = jnp.where(v >= p["v_threshold_mv"], n, state.last)
    spikes = last == n
    v = jnp.where(spikes, p["v_reset_mv"], v)
    history = lax.dynamic_update_index_in_dim(state.history, spikes, slot, 0)
    return State(v, last, history), spikes
