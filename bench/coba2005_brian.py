"""The COBA network in Brian2's C++ standalone mode: compiled once, run as often as asked.

    python bench/coba2005_brian.py --size N --synapses K --threads T --duration MS

Needs brian2 and a C++ compiler, not evops. Prints a line of JSON when compiled, then one for every line read.
Parameters, weights and definitions are those of evops.networks.coba2005.model.
"""

import json
import logging
import sys
import tempfile
import time

import brian2 as b
import numpy as np

import common

EQUATIONS = """
dv/dt = (E_L - v + g_e * (E_e - v) + g_i * (E_i - v) + drive) / tau_m : volt (unless refractory)
dg_e/dt = -g_e / tau_e : 1
dg_i/dt = -g_i / tau_i : 1
"""


def main():
    options = common.coba_options(__doc__)
    logging.disable(logging.WARNING)
    n, k, ms, mv = options.size, options.synapses, b.ms, b.mV
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        b.set_device("cpp_standalone", build_on_run=False)
        if options.threads > 1:
            b.prefs.devices.cpp_standalone.openmp_threads = options.threads
        b.defaultclock.dt = 0.1 * ms
        names = {
            "E_L": -60 * mv, "E_e": 0 * mv, "E_i": -80 * mv, "drive": 20 * mv,
            "tau_m": 20 * ms, "tau_e": 5 * ms, "tau_i": 10 * ms, "mv": mv,
            "w_e": 0.6 * 80 / k, "w_i": 6.7 * 80 / k,
        }  # fmt: skip
        neurons = b.NeuronGroup(
            n, EQUATIONS, threshold="v > -50 * mv", reset="v = -60 * mv", refractory=5 * ms,
            method="exponential_euler", namespace=names,
        )  # fmt: skip
        neurons.v = "-60 * mv + randn() * 5 * mv"
        exc = b.Synapses(neurons[: n * 4 // 5], neurons, on_pre="g_e += w_e", namespace=names)
        inh = b.Synapses(neurons[n * 4 // 5 :], neurons, on_pre="g_i += w_i", namespace=names)
        exc.connect(p=k / n)
        inh.connect(p=k / n)
        spikes = b.SpikeMonitor(neurons)
        network = b.Network(neurons, exc, inh, spikes)
        network.run(options.duration * ms)
        b.device.build(directory=folder, compile=True, run=False)
        compiled = time.perf_counter() - begin
        print(json.dumps({"compile_seconds": compiled, "brian2": b.__version__}), flush=True)
        for _ in sys.stdin:
            begin = time.perf_counter()
            b.device.run(folder)
            whole = time.perf_counter() - begin
            seconds = b.device._last_run_time
            late = int((np.asarray(spikes.t / ms) > 100 - 0.05).sum())
            result = {
                "seconds_per_biological_second": seconds / (options.duration / 1e3),
                "rate_hz": late / n / ((options.duration - 100) / 1e3),
                "spikes": int(spikes.num_spikes),
                "connect_seconds": whole - seconds,
            }
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
