"""The microcircuit in NEST: run by microcircuit2014.py with a Python that has NEST.

    python microcircuit2014_nest.py PARAMETERS.json SPIKES.npz
    python microcircuit2014_nest.py SYNAPSES.npz SPIKES.npz

Reads sizes, synapse numbers, weights and currents (evops' own, so both simulate one model), writes spikes and prints what it cost
as one line of JSON. Neurons, rules and laws are NEST's words for the same: iaf_psc_exp, fixed_total_number, redrawn normal.
"""

import json
import resource
import sys
import time

import nest
import numpy as np


def build(p):
    nest.ResetKernel()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.local_num_threads = p["threads"]
    nest.resolution = p["dt_ms"]
    nest.rng_seed = p["seed"]
    n = p["neuron"]
    populations, recorders = [], []
    for i, size in enumerate(p["neurons"]):
        population = nest.Create(
            "iaf_psc_exp",
            size,
            params={
                "tau_syn_ex": n["tau_syn_ms"],
                "tau_syn_in": n["tau_syn_ms"],
                "tau_m": n["tau_m_ms"],
                "C_m": n["c_m_pf"],
                "E_L": n["v_rest_mv"],
                "V_th": n["v_threshold_mv"],
                "V_reset": n["v_reset_mv"],
                "t_ref": n["tau_ref_ms"],
                "I_e": p["constant_current"][i],
            },
        )
        population.V_m = nest.random.normal(p["v_initial_mean_mv"][i], p["v_initial_std_mv"][i])
        populations.append(population)
    # two models of synapse: one would hold at most 2**27 connections a thread
    nest.CopyModel("static_synapse", "exc")
    nest.CopyModel("static_synapse", "inh")
    for i, post in enumerate(populations):
        for j, pre in enumerate(populations):
            count, mean = p["synapses"][i][j], p["weights"][i][j]
            if count == 0:
                continue
            weight = nest.random.normal(mean, abs(mean) * p["weight_relative_std"])
            bounds = {"min": 0.0, "max": np.inf} if mean > 0 else {"min": -np.inf, "max": 0.0}
            delay_ms = p["delay_ms"][j % 2]
            delay = nest.random.normal(delay_ms, delay_ms * p["delay_relative_std"])
            nest.Connect(
                pre,
                post,
                {"rule": "fixed_total_number", "N": count},
                {
                    "synapse_model": "inh" if j % 2 else "exc",
                    "weight": nest.math.redraw(weight, **bounds),
                    "delay": nest.math.redraw(delay, min=p["dt_ms"] / 2, max=np.inf),
                },
            )
    if p["poisson_rate_hz"] is not None:
        generators = nest.Create("poisson_generator", len(populations))
        generators.rate = p["poisson_rate_hz"]
        for i, post in enumerate(populations):
            law = {"weight": p["background_weight"], "delay": 1.5}
            nest.Connect(generators[i], post, "all_to_all", law)
    for population in populations:
        recorder = nest.Create("spike_recorder")
        nest.Connect(population, recorder)
        recorders.append(recorder)
    return populations, recorders


def same_network(source, spikes):
    """Synapses, potentials and currents of evops as they are: what NEST makes of them."""
    with np.load(source) as given:
        z = dict(given)
    nest.ResetKernel()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.resolution = 0.1
    n = {k: v.item() for k, v in z.items() if v.ndim == 0}
    params = {"tau_syn_ex": n["tau_syn_ms"], "tau_syn_in": n["tau_syn_ms"], "tau_m": n["tau_m_ms"]}
    params |= {"C_m": n["c_m_pf"], "E_L": n["v_rest_mv"], "V_th": n["v_threshold_mv"]}
    params |= {"V_reset": n["v_reset_mv"], "t_ref": n["tau_ref_ms"]}
    population = nest.Create("iaf_psc_exp", len(z["v"]), params=params)
    population.V_m = z["v"].tolist()
    population.I_e = z["current"].tolist()
    ids = np.array(population.tolist())
    law = {"weight": z["weight"], "delay": z["delay"] * 0.1, "synapse_model": "static_synapse"}
    nest.Connect(ids[z["pre"]], ids[z["post"]], "one_to_one", law)
    recorder = nest.Create("spike_recorder")
    nest.Connect(population, recorder)
    nest.Simulate(z["steps"].item() * 0.1)
    events = recorder.events
    steps = np.rint(np.asarray(events["times"]) / 0.1).astype(np.int32) - 1
    np.savez(spikes, steps=steps, neurons=np.asarray(events["senders"]) - ids[0])


def main():
    parameters, spikes = sys.argv[1:]
    if parameters.endswith(".npz"):
        return same_network(parameters, spikes)
    with open(parameters) as file:
        p = json.load(file)
    begin = time.perf_counter()
    populations, recorders = build(p)
    nest.Prepare()
    built = time.perf_counter()
    nest.Run(p["settle_ms"])
    settled = time.perf_counter()
    nest.Run(p["duration_ms"])
    ended = time.perf_counter()
    nest.Cleanup()
    steps, neurons, first = [], [], 0
    for population, recorder in zip(populations, recorders, strict=True):
        events = recorder.events
        ids = np.asarray(events["senders"]) - population[0].global_id
        # a spike of step t carries the time of its end
        steps.append(np.rint(np.asarray(events["times"]) / p["dt_ms"]).astype(np.int32) - 1)
        neurons.append((ids + first).astype(np.int32))
        first += len(population)
    np.savez(spikes, steps=np.concatenate(steps), neurons=np.concatenate(neurons))
    cost = {
        "version": nest.__version__,
        "build_seconds": round(built - begin, 2),
        "settle_seconds": round(settled - built, 2),
        "seconds_per_biological_second": round((ended - settled) / p["duration_ms"] * 1e3, 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
