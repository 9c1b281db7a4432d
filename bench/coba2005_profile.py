"""Where a step of the COBA network spends its time: XLA's own trace of the compiled scan.

    python bench/coba2005_profile.py [--size N] [--synapses K]

Prints the median microseconds of every thunk of a step, largest first, and the time of a step without the trace (which
adds some 0.2 us to each of them). What a thunk does is read from the names of the operations it fuses.
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
import numpy as np

from evops.networks import coba2005
from evops.networks.coba2005 import Model
from evops.networks.simulate import Simulator

PARTS = {
    "evops_product": "synapses",
    "dynamic-update-slice": "record of spikes",
    "broadcast_compare": "threshold",
    "slice_bitcast": "spikes of either population",
    "bitcast_add": "conductances",
    "add_select": "potentials",
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
                state, record = simulator.chunk(parameters, state, record, np.int32(0))
                jax.block_until_ready(state)
        [path] = Path(folder).rglob("*.xplane.pb")
        for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
            for line in plane.lines:
                if line.name.startswith("tf_XLA"):
                    for event in line.events:
                        found[event.name].append(event.duration_ns)
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", type=int, default=4000)
    parser.add_argument("--synapses", type=int, default=80)
    options = parser.parse_args()
    model = Model(options.size, options.synapses)
    parameters, state = coba2005.setup(model, 1, 1)
    simulator = Simulator.compile(
        partial(coba2005.step, model), parameters, state, split_updates=False
    )
    times, record = [], simulator.empty_record()
    for _ in range(30):  # 300 ms: the rate has settled
        begin = time.perf_counter()
        state, record = simulator.chunk(parameters, state, record, np.int32(0))
        jax.block_until_ready(state)
        times.append((time.perf_counter() - begin) / len(record) * 1e6)
    calls, chunk_steps = 10, len(record)
    found = trace(simulator, parameters, state, record, calls)
    parts = collections.Counter()
    for name, ns in found.items():
        for key, part in PARTS.items():
            if key in name and len(ns) == calls * chunk_steps and "end:" not in name:
                parts[part] += statistics.median(ns) / 1e3
                break
    for part, us in parts.most_common():
        print(f"{part:<30}{us:8.2f} us")
    print(f"{'all of these':<30}{parts.total():8.2f} us")
    print(f"{'a step, not traced, median':<30}{statistics.median(times[5:]):8.2f} us")
    print(f"{'a step, not traced, best':<30}{min(times):8.2f} us")


if __name__ == "__main__":
    main()
