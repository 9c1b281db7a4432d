"""The COBA network in NEST: connected once, then simulated for a duration more as often as asked.

    python bench/coba2005_nest.py --size N --synapses K --threads T --duration MS

Needs NEST, not evops. Prints a line of JSON when it is connected and settled, then one for every line read. iaf_cond_exp takes
conductances in nS: with a leak of 10 nS and a capacitance of 200 pF its parameters are those of evops.networks.coba2005.model,
but it integrates with adaptive Runge-Kutta steps and delays spikes by one step.
"""

import json
import time

import nest

import common

NEURON = {
    "E_L": -60.0, "V_th": -50.0, "V_reset": -60.0, "V_m": -60.0, "t_ref": 5.0, "E_ex": 0.0, "E_in": -80.0,
    "C_m": 200.0, "g_L": 10.0, "tau_syn_ex": 5.0, "tau_syn_in": 10.0, "I_e": 200.0,
}  # fmt: skip
SETTLE_MS = 100.0


def main():
    options = common.coba_options(__doc__)
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.set(local_num_threads=options.threads, resolution=0.1, rng_seed=time.time_ns() % 2**31 + 1)
    n, k = options.size, options.synapses
    n_exc, p = n * 4 // 5, k / n
    begin = time.perf_counter()
    neurons = nest.Create("iaf_cond_exp", n, params=NEURON)
    neurons.V_m = nest.random.normal(-60.0, 5.0)
    for pre, weight in ((neurons[:n_exc], 6.0), (neurons[n_exc:], -67.0)):
        rule = {"rule": "pairwise_bernoulli", "p": p}
        nest.Connect(pre, neurons, rule, {"weight": weight * 80 / k, "delay": 0.1})
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder)
    connected = time.perf_counter() - begin
    nest.Simulate(SETTLE_MS)
    print(json.dumps({"compile_seconds": 0.0, "nest": nest.__version__}), flush=True)
    duration = options.duration - SETTLE_MS
    while True:
        try:
            input()
        except EOFError:
            return
        before, begin = recorder.n_events, time.perf_counter()
        nest.Simulate(duration)
        seconds = time.perf_counter() - begin
        found = recorder.n_events - before
        result = {
            "seconds_per_biological_second": seconds / (duration / 1e3),
            "rate_hz": found / n / (duration / 1e3),
            "spikes": found,
            "connect_seconds": connected,
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
