"""One product on one core and on all of them, side by side, and that the results are the same bits.

    python bench/threads.py [--rounds N]

XLA's pool has as many threads as the process has cores, so each measurement is a process of its own, on
one core or on all; they take turns. Whether the system wakes the second thread on the second core differs
from process to process: rows hold the best run and the medians. Writes results/threads.json.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np

import common

RUNS = 7  # of a process; the first finds the second thread asleep, or on the same core
STEPS = 3e8  # synapses of a run
CASES = [(40_000, 0.1, 0.01), (40_000, 0.1, 0.001), (40_000, 0.01, 0.1), (4000, 0.1, 0.01)]


def measure():
    """Seconds per call and a digest of the result, for every case, on the process's own cores."""
    import jax
    import jax.numpy as jnp

    import evops

    for n, p, rate in CASES:
        W = evops.Projection(evops.FixedProbability(p), 0.5, (n, n), seed=42)
        spikes = np.zeros(n, bool)
        spikes[np.random.default_rng(1).choice(n, round(n * rate), replace=False)] = True
        spikes, steps = jnp.asarray(spikes), max(5, round(STEPS / (n * n * p * rate)))
        y = np.asarray(jax.jit(lambda s, W=W: s @ W)(spikes))

        def loop(s, W=W, steps=steps):
            def body(total, _):
                return total + ((s & (total > -1)) @ W)[0], None

            return jax.lax.scan(body, jnp.float32(0), None, length=steps)[0]

        run = jax.jit(loop)
        seconds = []
        for _ in range(RUNS):
            begin = time.perf_counter()
            jax.block_until_ready(run(spikes))
            seconds.append((time.perf_counter() - begin) / steps)
        row = [min(seconds), statistics.median(seconds), hashlib.sha256(y.tobytes()).hexdigest()]
        print(json.dumps(row), flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure()
    cores = sorted(os.sched_getaffinity(0))
    found = {1: [], len(cores): []}
    for _ in range(options.rounds):
        for count, runs in found.items():
            out = subprocess.run(
                [sys.executable, __file__, "--measure"], capture_output=True, text=True, check=True,
                preexec_fn=lambda count=count: os.sched_setaffinity(0, cores[:count]),
            ).stdout  # fmt: skip
            runs.append([json.loads(line) for line in out.splitlines()])
    rows = []
    for k, (n, p, rate) in enumerate(CASES):
        one, every = [np.array([run[k][:2] for run in runs]) for runs in found.values()]
        digests = {run[k][2] for runs in found.values() for run in runs}
        rows.append({
            "n": n, "p": p, "rate": rate, "synapses": round(n * n * p * rate),
            "us_one_core": round(float(one[:, 0].min()) * 1e6, 1),
            f"us_{len(cores)}_cores": round(float(every[:, 0].min()) * 1e6, 1),
            "speed_up": round(float(one[:, 0].min() / every[:, 0].min()), 2),
            "speed_up_of_medians": round(float(np.median(one[:, 1]) / np.median(every[:, 1])), 2),
            "same_bits": len(digests) == 1,
        })  # fmt: skip
        print(rows[-1], flush=True)
    print(common.write("threads", {**common.machine(), "rows": rows}))


if __name__ == "__main__":
    main()
