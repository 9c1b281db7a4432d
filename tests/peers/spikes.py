"""A network of integrate-and-fire neurons in NEST and in Brian2, spike by spike.

    python spikes.py nest|brian2 FOLDER [--seed N]

writes FOLDER/PEER.npz. Runs in an environment with that simulator and with evops, which draws the
synapses. `test_peers_spikes.py` runs the same neurons on the synapses themselves.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import evops

N, STEPS, DT = 400, 3000, 0.1  # neurons, steps, ms
TAU, THRESHOLD, REFRACTORY = 10.0, 15.0, 20  # ms, mV above rest and reset, steps


def drawn(seed):
    """Excitation and inhibition, in mV, with delays of 1 step to some 45."""
    with jax.enable_x64(True):
        law = evops.Normal(jnp.float64(0.1), jnp.float64(0.8))
        delay = evops.Normal(15, 7.5, low=0.5)
        rule = evops.FixedProbability(0.1)
        return evops.Projection(rule, law, (N, N), seed=seed, delay=delay)


def listed(seed):
    with jax.enable_x64(True):
        return drawn(seed).edges().numpy()


def driven(seed):
    """Initial potentials and constant input of the neurons, in mV."""
    rng = np.random.default_rng(seed)
    initial = rng.uniform(0, THRESHOLD, N)
    return initial, rng.uniform(14, 16, N)


def sorted_spikes(step, neuron):
    order = np.lexsort((neuron, step))
    return {"step": step[order].astype(np.int16), "neuron": neuron[order].astype(np.int16)}


def in_nest(seed, later=0):
    """Spikes with delays of `later` steps more than those drawn."""
    import nest

    nest.ResetKernel()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.resolution = DT
    initial, constant = driven(seed)
    edges = listed(seed)
    constants = {"tau_m": TAU, "C_m": TAU, "E_L": 0.0, "V_reset": 0.0, "V_th": THRESHOLD}
    neurons = nest.Create("iaf_psc_delta", N, constants | {"t_ref": REFRACTORY * DT})
    neurons.V_m, neurons.I_e = initial, constant
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder)
    nest.Connect(
        edges.pre + 1,
        edges.post + 1,
        "one_to_one",
        {"weight": edges.weight, "delay": (edges.delay + later) * DT},
    )
    nest.Simulate(STEPS * DT)
    found = recorder.events
    # A spike has the time at which its step ends.
    return sorted_spikes(np.round(found["times"] / DT).astype(int) - 1, found["senders"] - 1)


def in_brian2(seed):
    import brian2 as b

    b.prefs.codegen.target = "numpy"
    b.start_scope()
    b.defaultclock.dt = DT * b.ms
    initial, constant = driven(seed)
    edges = listed(seed)
    neurons = b.NeuronGroup(
        N,
        "dv/dt = (drive - v) / tau : 1 (unless refractory)\ndrive : 1 (constant)",
        threshold="v > threshold",
        reset="v = 0",
        refractory=REFRACTORY * DT * b.ms,
        method="exact",
        namespace={"tau": TAU * b.ms, "threshold": THRESHOLD},
    )
    neurons.v, neurons.drive = initial, constant
    synapses = b.Synapses(neurons, neurons, "w : 1", on_pre="v_post += w")
    synapses.connect(i=edges.pre, j=edges.post)
    synapses.w, synapses.delay = edges.weight, edges.delay * DT * b.ms
    monitor = b.SpikeMonitor(neurons)
    b.Network(neurons, synapses, monitor).run(STEPS * DT * b.ms)
    step = np.round(np.asarray(monitor.t / b.ms) / DT).astype(int)
    return sorted_spikes(step, np.asarray(monitor.i))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=("nest", "brian2"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1000)
    given = parser.parse_args()
    if given.peer == "nest":
        import nest

        version, later = nest.__version__, in_nest(given.seed, later=1)
        record = in_nest(given.seed) | {f"later_{key}": later[key] for key in later}
    else:
        import brian2

        version, record = brian2.__version__, in_brian2(given.seed)
    given.folder.mkdir(exist_ok=True)
    path = given.folder / f"{given.peer}.npz"
    np.savez_compressed(path, seed=given.seed, version=version, **record)
    print(path, {key: len(record[key]) for key in record if key.endswith("step")})


if __name__ == "__main__":
    main()
