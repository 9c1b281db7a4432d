"""The model of examples/connectome.py in Brian2's C++ standalone mode, on the same pairs with the same input.

    python bench/connectome_brian.py NETWORK.npz OUT.npz [--threads T]

NETWORK has `pre`, `post` and `counts` of pairs, `n`, `driven`, and `step` and `source` of the input. Needs Brian2
(2.11) and a C++ compiler, not evops. Prints a line of JSON when it is compiled, then one for every line read, and
writes the spikes of the last run.
"""

import argparse
import json
import logging
import sys
import tempfile
import time

import brian2 as b
import numpy as np

EQUATIONS = """
dv/dt = (-52 - v + g) / (20*ms) : 1 (unless refractory)
dg/dt = -g / (5*ms) : 1 (unless refractory)
hold : second
"""


def main(network, out, threads, steps):
    logging.disable(logging.WARNING)
    given, ms = np.load(network), b.ms
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        b.set_device("cpp_standalone", build_on_run=False)
        if threads > 1:
            b.prefs.devices.cpp_standalone.openmp_threads = threads
        b.defaultclock.dt = 0.1 * ms
        neurons = b.NeuronGroup(
            int(given["n"]), EQUATIONS, threshold="v > -45", reset="v = -52; g = 0",
            refractory="hold", method="exact",
        )  # fmt: skip
        neurons.v = -52
        hold, driven = np.full(int(given["n"]), 2.2), given["driven"]
        hold[driven] = 0
        neurons.hold = hold * ms
        synapses = b.Synapses(neurons, neurons, "w : 1", on_pre="g += w", delay=1.8 * ms)
        synapses.connect(i=given["pre"], j=given["post"])
        synapses.w = 0.275 * given["counts"]
        times = given["step"] * b.defaultclock.dt
        source = b.SpikeGeneratorGroup(len(driven), given["source"], times)
        drive = b.Synapses(source, neurons, on_pre="v += 68.75")
        drive.connect(i=np.arange(len(driven)), j=driven)
        spikes = b.SpikeMonitor(neurons)
        b.Network(neurons, synapses, source, drive, spikes).run(steps * b.defaultclock.dt)
        b.device.build(directory=folder, compile=True, run=False)
        compiled = time.perf_counter() - begin
        print(json.dumps({"compile_seconds": compiled, "brian2": b.__version__}), flush=True)
        for _ in sys.stdin:
            b.device.run(folder)
            seconds = b.device._last_run_time / (steps * 1e-4)
            result = {"seconds_per_biological_second": seconds, "spikes": int(spikes.num_spikes)}
            step = np.round(spikes.t / b.defaultclock.dt).astype(np.int32)
            order = np.lexsort((spikes.i, step))
            neuron = np.array(spikes.i, np.int32)[order]
            made_by = f"Brian2 {b.__version__}"
            np.savez_compressed(out, step=step[order], neuron=neuron, made_by=made_by)
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("network")
    parser.add_argument("out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10_000)
    options = parser.parse_args()
    main(options.network, options.out, options.threads, options.steps)
