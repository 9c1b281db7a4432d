"""Drawn wiring with stored weights beside the stored matrix of the same weights: time and memory.

    python bench/weighted.py [--rounds N] [--out NAME]

A program runs many steps in a loop, each with other spikes; weights that learn stay in place. An entry is the best
time of a step, in microseconds, in turns in one process. Writes results/weighted.json.
"""

import argparse
import os
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import common
import evops

RATE = 0.01  # of neurons that fire
CASES = [
    (evops.FixedProbability(0.1), 4000),
    (evops.FixedOutDegree(1000), 40_000),
    (evops.FixedInDegree(100), 40_000),
]


def products(call):
    def run(W, w, spikes):
        W = W.with_weights(w)
        return lax.scan(lambda total, x: (total + call(W, x), None), call(W, spikes[0]), spikes)[0]

    return run


def updates(side):
    def run(W, w, spikes):
        update = getattr(W, f"add_where_{side}_spiked")
        return lax.scan(lambda w, x: (update(w, x, 0.01, high=2.0), None), w, spikes)[0]

    return run


CALLS = {
    "spikes @ W": products(lambda W, x: x @ W),
    "W @ v": products(lambda W, x: W @ x.astype(jnp.float32)),
    "at pre spikes": updates("pre"),
    "at post spikes": updates("post"),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", default="weighted")
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    rows = []
    for rule, n in CASES:
        W = evops.Projection(rule, 1.0, (n, n), seed=1)
        S = W.tocsr()
        values = rng.random(S.nnz, np.float32)
        S, V = S.with_weights(values), W.with_weights(values)
        C = S.csc
        for name, call in CALLS.items():
            stored = C if name == "at post spikes" else S
            every = name in ("W @ v", "at post spikes")  # where all rows are drawn
            steps = int(np.clip(1e8 / (S.nnz * (1 if every else RATE)), 5, 300))
            spikes = jnp.asarray(rng.random((steps, n)) < RATE)
            run, times, results = jax.jit(call), {}, {}
            for turn in range(options.rounds + 1):  # the first compiles
                for of, matrix in (("drawn", V), ("stored", stored)):
                    start = time.perf_counter()
                    w = V.data if of == "drawn" else S.data
                    results[of] = run(matrix, w, spikes).block_until_ready()
                    if turn:
                        times.setdefault(of, []).append(time.perf_counter() - start)
            got, want = results["drawn"], results["stored"]
            np.testing.assert_allclose(got[: want.shape[0]], want, rtol=1e-4, atol=1e-3)
            us = {of: 1e6 * min(t) / steps for of, t in times.items()}
            row = {"rule": str(rule), "n": n, "synapses": S.nnz, "call": name}
            row |= {f"us_{of}": round(t, 2) for of, t in us.items()}
            row |= {"bytes_drawn": V.nbytes, "bytes_stored": stored.nbytes}
            row["drawn / stored"] = round(us["drawn"] / us["stored"], 2)
            rows.append(row)
            print(rows[-1], flush=True)
    common.write(options.out, {"machine": common.machine(), "rows": rows})


if __name__ == "__main__":
    main()
