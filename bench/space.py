"""Rules of distance: pairs drawn at each spike, beside the same synapses stored; exact numbers that are stored.

    python bench/space.py [--rounds N] [--out NAME]

Drawn: 40,000 neurons on a torus of length 1, Gaussian kernels with a cut-off of 3 deviations, on one core: the best time
of a synapse, in ns, of a loop of 20 steps in which 1 % of the neurons fire. Stored: the best time of one call, in s, on
all cores, beside the loop over pairs in NumPy that users write (for the smaller network).
Writes results/space.json.
"""

import argparse
import os
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

import common
import evops

DRAWN = [(0.05, 1.0), (0.1, 0.4), (0.1, 0.04), (0.02, 1.0), (0.2, 0.02)]
STORED = [(10_000, 10, True), (10_000, 10, False), (40_000, 1000, True), (40_000, 1000, False)]


def best(call, rounds):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return min(times)


def drawn(rounds):
    rng = np.random.default_rng(0)
    x = evops.Positions(rng.random((40_000, 2)), 1.0)
    spikes = jnp.asarray(rng.random((20, len(x))) < 0.01)

    @jax.jit
    def run(W, spikes):
        def step(total, s):
            return total + (s & (total >= 0)) @ W, None

        return jax.lax.scan(step, jnp.zeros(len(x)), spikes)[0]

    for sigma, peak in DRAWN:
        rule = evops.FixedProbability(evops.Gaussian(sigma, peak, cutoff=3 * sigma))
        W = evops.Projection(rule, 1.0, (x, x), seed=1)
        S = W.tocsr()
        synapses = float((np.asarray(spikes) * np.asarray(W.out_degree())).sum())
        row = {"sigma": sigma, "peak": peak, "synapses per neuron": S.nnz / len(x)}
        run(W, spikes), run(S, spikes)
        for name, M in (("drawn", W), ("stored", S)):
            row[f"{name}, ns per synapse"] = (
                best(lambda M=M: run(M, spikes), rounds) / synapses * 1e9
            )
        yield row


def by_loop(x, k, sigma):
    """As users write it, a row of pairs at a time."""
    rng = np.random.default_rng(1)
    for here in x:
        p = np.exp(-np.square(x - here).sum(1) / (2 * sigma**2))
        rng.choice(len(x), k, p=p / p.sum())


def stored(rounds):
    rng = np.random.default_rng(0)
    for n, k, multapses in STORED:
        half = n // 2
        places = np.concatenate(
            [rng.normal(size=(half, 2)) * 800, rng.uniform(-3000, 3000, (n - half, 2))]
        )
        x = evops.Positions(places)
        rule = evops.FixedOutDegree(k, multapses=multapses, p=evops.Gaussian(350.0))
        call = lambda: evops.Synapses(rule, 1.0, (x, x), seed=1).indices  # noqa: E731, B023
        row = {"n": n, "k": k, "multapses": multapses, "s": best(call, rounds if k < 100 else 2)}
        if (n, multapses) == (10_000, True):
            row["NumPy, a row at a time, s"] = best(lambda: by_loop(places, k, 350.0), 1)  # noqa: B023
        yield row


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", default="space")
    options = parser.parse_args()
    found = {"machine": [common.machine()]}
    every = sorted(os.sched_getaffinity(0))
    # One core for what is drawn, before XLA counts them.
    for name, rows, cores in (("drawn", drawn, every[:1]), ("stored", stored, every)):
        os.sched_setaffinity(0, cores)
        found[name] = []
        for row in rows(options.rounds):
            print(name, row, flush=True)
            found[name].append(row)
    print(common.write(options.out, found))


if __name__ == "__main__":
    main()
