"""Where a step of a network spends its time: XLA's own trace of the compiled scan.

    python bench/step_profile.py coba2005 [--size N] [--synapses K]
    python bench/step_profile.py microcircuit2014 [--scale S] [--drive poisson|dc]

Prints the median microseconds of every thunk of a step, largest first, and the time of a step without the trace (which
adds some 0.2 us to each of them). What a thunk does is read from the names of the operations it fuses. For the microcircuit a second run without spikes
tells what its calls cost by themselves.
"""

import argparse
import collections
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

from evops.networks.coba2005 import model as coba2005
from evops.networks.microcircuit2014 import model as microcircuit2014
from evops.networks.shared.simulate import Simulator

PARTS = {
    "evops_product": "synapses",
    "evops_push": "synapses",
    "evops_custom": "neurons",
    "evops_pop": "sums that arrive: handed out, cleared",
    "dynamic-update-slice": "record of spikes",
    "broadcast_compare": "threshold",
    "slice_bitcast": "spikes of either population",
    "multiply_add": "synaptic currents, random numbers of the drive",
    "bitcast_add": "conductances or synaptic currents",
    "add_select": "potentials",
    "broadcast_select": "potentials, threshold, rest",
    "broadcast_add": "refractory times",
    "wrapped_": "loop counter",
    "copy": "loop counter",
}


def trace(simulator, parameters, state, record, calls):
    """Nanoseconds of every event of the compiled scan, by its name."""
    found = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(calls):
                state, record, _ = simulator.chunk(parameters, state, record, np.int32(0))
                jax.block_until_ready(state)
        [path] = Path(folder).rglob("*.xplane.pb")
        for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
            for line in plane.lines:
                for event in (
                    line.events
                ):  # of XLA's threads, or of this one, which runs what XLA finds cheap
                    found[event.name].append(event.duration_ns)
    return found


def parts_of(found, steps):
    """Median microseconds a step of each part, those of one kind added up."""
    parts = collections.Counter()
    for name, ns in found.items():
        for key, part in PARTS.items():
            if key in name and len(ns) == steps and "end:" not in name:
                parts[part] += statistics.median(ns) / 1e3
                break
    return parts


def run(simulator, parameters, state, calls):
    """State after some calls, and the microseconds a step of each took."""
    times, record = [], simulator.empty_record()
    for call in range(calls):
        begin = time.perf_counter()
        state, record, _ = simulator.chunk(parameters, state, record, np.int32(call * len(record)))
        jax.block_until_ready(state)
        times.append((time.perf_counter() - begin) / len(record) * 1e6)
    return state, record, times


def coba(options):
    model = coba2005.Model(options.size, options.synapses)
    parameters, state = coba2005.setup(model, 1, 1)
    step = partial(coba2005.step, model)
    simulator = Simulator.compile(step, parameters, state, split_updates=False)
    return simulator, parameters, state, None


def microcircuit(options):
    model = microcircuit2014.Model(scale=options.scale, drive=options.drive)
    parameters, state = microcircuit2014.setup(model, 1, 1)
    step = partial(microcircuit2014.step, model)
    simulator = Simulator.compile(step, parameters, state)

    def silent():
        _, other = microcircuit2014.setup(model, 1, 1)
        return other._replace(v=jnp.full_like(other.v, microcircuit2014.FOREVER))

    return simulator, parameters, state, silent


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("network", choices=["coba2005", "microcircuit2014"])
    parser.add_argument("--size", type=int, default=4000)
    parser.add_argument("--synapses", type=int, default=80)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--drive", choices=["poisson", "dc"], default="poisson")
    options = parser.parse_args()
    build = {"coba2005": coba, "microcircuit2014": microcircuit}[options.network]
    simulator, parameters, state, silent = build(options)
    state, record, times = run(simulator, parameters, state, 30)  # 300 ms: the rate has settled
    calls = 10
    steps = calls * len(record)
    parts = parts_of(trace(simulator, parameters, state, record, calls), steps)
    total = parts.total()
    if silent:
        state, record, _ = run(simulator, parameters, silent(), 3)
        still = parts_of(trace(simulator, parameters, state, record, calls), steps)
        parts["calls for synapses, no neuron firing"] = still["synapses"]
        parts["synapses"] -= still["synapses"]
    for part, us in parts.most_common():
        print(f"{part:<50}{us:8.2f} us")
    print(f"{'all of these':<50}{total:8.2f} us")
    print(f"{'a step, not traced, median':<50}{statistics.median(times[5:]):8.2f} us")
    print(f"{'a step, not traced, best':<50}{min(times):8.2f} us")


if __name__ == "__main__":
    main()
