"""Updates of states of synapses where neurons spike, beside brainevent's, in turns in one process.

    python bench/plasticity.py [--rounds N] [--out NAME]

Weights of a random matrix get the trace of the other neuron where a pre or a post neuron fires, with and without
clipping. A program runs many steps in a loop, each with other spikes, and its weights stay in place; an entry is the
best time of a step, in microseconds. brainevent (>= 0.3) is left out where it is not installed. Writes
results/plasticity.json.
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

try:
    import brainevent
except ImportError:
    brainevent = None

# Neurons on each side, probability of a synapse, part of the neurons that fire.
CASES = [
    (4000, 0.1, 0.01),
    (4000, 0.1, 0.001),
    (4000, 0.1, 0.1),
    (1000, 0.1, 0.01),
    (20_000, 0.02, 0.01),
    (100_000, 0.001, 0.002),
]
SIDES, OTHER = ("pre", "post"), {"pre": "post", "post": "pre"}
BOUNDS = {"clipped": (0.0, 1.0), "free": (None, None)}


def of_evops(C, side, bounds):
    low, high = bounds
    update = getattr(C, f"add_where_{side}_spiked")
    return lambda w, x, trace: update(w, x, trace, per=OTHER[side], low=low, high=high)


def of_brainevent(C, side, bounds):
    S = C.csr
    if side == "pre":
        return lambda w, x, trace: brainevent.update_csr_on_binary_pre(
            w, S.indices, S.indptr, x, trace, *bounds, shape=S.shape
        )
    rows = C.indices
    return lambda w, x, trace: brainevent.update_csr_on_binary_post(
        w, rows, C.indptr, C.synapses, trace, x, *bounds, shape=S.shape
    )


def program(update):
    """Many steps; the weights stay in place."""

    def run(w, spikes, trace):
        return lax.scan(lambda w, x: (update(w, x, trace), None), w, spikes)[0]

    return jax.jit(run, donate_argnums=0)


def row(n, p, rate, side, clipped, rounds, rng):
    S = evops.Projection(evops.FixedProbability(p), 0.5, (n, n), seed=1).tocsr()
    S = S.with_weights(rng.random(S.nnz, np.float32))
    steps = int(np.clip(2e7 / (n + S.nnz * rate), 5, 500))
    spikes = jnp.asarray(rng.random((steps, n)) < rate)
    trace = jnp.asarray(rng.normal(0, 0.01, n).astype(np.float32))
    makers = {"evops": of_evops} | ({"brainevent": of_brainevent} if brainevent else {})
    programs = {name: program(make(S.csc, side, BOUNDS[clipped])) for name, make in makers.items()}
    times, results = {name: [] for name in programs}, {}
    for turn in range(rounds + 1):  # the first compiles
        for name, run in programs.items():
            w = jnp.array(S.data)
            start = time.perf_counter()
            results[name] = run(w, spikes, trace).block_until_ready()
            if turn:
                times[name].append(time.perf_counter() - start)
    for result in results.values():
        np.testing.assert_allclose(result, results["evops"], atol=1e-5)
    found = {"n": n, "p": p, "rate": rate, "side": side, "bounds": clipped, "synapses": S.nnz}
    found |= {f"us_{name}": round(1e6 * min(t) / steps, 2) for name, t in times.items()}
    found["ns_per_synapse"] = round(1e3 * found["us_evops"] / (S.nnz * rate), 2)
    if brainevent:
        found["brainevent / evops"] = round(found["us_brainevent"] / found["us_evops"], 2)
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", default="plasticity")
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    rows = []
    for case in CASES:
        for side in SIDES:
            for clipped in BOUNDS:
                rows.append(row(*case, side, clipped, options.rounds, rng))
                print(rows[-1], flush=True)
    common.write(options.out, {"machine": common.machine(), "rows": rows})


if __name__ == "__main__":
    main()
