"""Time of one product of spikes with a random matrix, inside a loop, side by side with the peers.

    python bench/event_mv.py [--quick] [--budget SECONDS]

Every system multiplies the same 0/1 spike vectors by a matrix of connection probability p, in a jitted loop
whose input depends on the carry. Systems take turns, round after round; a row holds the median of the rounds. Peers
that are not installed (brainevent needs Python 3.12) are left out. Writes results/event_mv.json and .png.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import common
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax.experimental import sparse

import evops

SIZES = (1000, 4000, 40_000, 400_000)
PROBABILITIES = (0.1, 0.01, 0.001)
RATES = (0.0, 0.001, 0.01, 0.1)
SEED, STEPS, TABLE, ROUNDS = 42, 16384, 16, 5
MAX_SYNAPSES_PER_CALL = 2e7
MAX_STORED, MAX_STORED_CSR = 2e7, 2e8


def stored(n, p):
    """A random CSR matrix of the same density."""
    rng = np.random.default_rng(SEED)
    degree = rng.binomial(n, p, n)
    indices = np.concatenate([np.sort(rng.choice(n, d, replace=False)) for d in degree])
    indptr = np.concatenate([[0], np.cumsum(degree)])
    return indices.astype(np.int32), indptr.astype(np.int32)


def systems(n, p):
    """Name -> (operand, function of operand and spikes) for what runs at this size."""

    def ours(law, backend):
        W = evops.Projection(evops.FixedProbability(p), law, (n, n), seed=SEED, backend=backend)
        return W, lambda W, s: s @ W

    normal = evops.Normal(1.0, 0.1)
    out = {
        "XLA loop step": (None, lambda _, s: s.astype(jnp.float32)),
        "evops": ours(1.0, "native"),
        "evops, normal weights": ours(normal, "native"),
        "evops jnp": ours(1.0, "jnp"),
        "evops published": (
            None,
            lambda _, s: evops.event_mv_prob_homo(
                s, 1.0, p, SEED, shape=(n, n), outdim_parallel=False
            ),
        ),
    }
    if n * n * p <= MAX_STORED_CSR:
        out["evops CSR"] = ours(normal, "native")[0].tocsr(), lambda W, s: s @ W
    try:
        import brainevent
    except ImportError:
        pass
    else:
        w = brainevent.JITCScalarR((jnp.float32(1), p, SEED), shape=(n, n), corder=True)
        out["brainevent JITCScalarR"] = None, lambda _, s: brainevent.BinaryArray(s) @ w
        z = brainevent.JITCNormalR(
            (jnp.float32(1), jnp.float32(0.1), p, SEED), shape=(n, n), corder=True
        )
        out["brainevent JITCNormalR"] = None, lambda _, s: brainevent.BinaryArray(s) @ z
        if "evops CSR" in out:
            W = out["evops CSR"][0]
            csr = brainevent.CSR((W.data, W.indices, W.indptr), shape=(n, n))
            brainevent.BinaryArray(jnp.zeros(n, bool)) @ csr  # it keeps a workspace
            out["brainevent CSR"] = None, lambda _, s: brainevent.BinaryArray(s) @ csr
    if n * n * p <= MAX_STORED:
        indices, indptr = stored(n, p)
        matrix = scipy.sparse.csr_matrix(
            (np.ones(len(indices), np.float32), indices, indptr), (n, n)
        )
        out["scipy CSR rows"] = matrix, lambda m, s: m[np.flatnonzero(s)].sum(0)
        rows = np.repeat(np.arange(n, dtype=np.int32), np.diff(indptr))
        bcoo = sparse.BCOO(
            (jnp.ones(len(indices), jnp.float32), jnp.asarray(np.stack([rows, indices], 1))),
            shape=(n, n), indices_sorted=True, unique_indices=True,
        )  # fmt: skip
        out["jax BCOO"] = bcoo, lambda m, s: s.astype(jnp.float32) @ m
        if n <= 4000:
            out["jnp dense"] = jnp.asarray(matrix.toarray()), lambda m, s: s.astype(jnp.float32) @ m
    return out


def spikes(n, rate):
    rng = np.random.default_rng(SEED + 1)
    table = np.zeros((TABLE, n), bool)
    for row in table:
        row[rng.choice(n, round(rate * n), replace=False)] = True
    return table


def timer(name, operand, function, table, budget):
    """A function that times one round and returns seconds per call."""
    if name.startswith("scipy"):

        def run(steps):
            begin = time.perf_counter()
            for k in range(steps):
                function(operand, table[k % TABLE])
            return (time.perf_counter() - begin) / steps

    else:
        device = jnp.asarray(table)

        @jax.jit
        def loop(operand, device, steps):
            def body(k, total):
                return total + function(operand, device[k % TABLE] & (total > -1))[0]

            return jax.lax.fori_loop(0, steps, body, jnp.float32(0))

        def run(steps):
            begin = time.perf_counter()
            jax.block_until_ready(loop(operand, device, steps))
            return (time.perf_counter() - begin) / steps

        run(1)  # compiles
    steps = 2
    while steps < STEPS and (guess := run(steps)) * steps < budget / 8:
        steps = min(8 * steps, STEPS)
    steps = int(np.clip(budget / max(guess, 1e-9), 2, STEPS))
    return (lambda: run(steps)), steps


def measure(sizes, rates, budget, max_synapses=MAX_SYNAPSES_PER_CALL):
    rows = []
    for n in sizes:
        for p in PROBABILITIES:
            every = systems(n, p)
            for rate in rates:
                table = spikes(n, rate)
                synapses = rate * n * n * p
                if synapses > max_synapses:
                    continue
                timers = {}
                for k, v in every.items():
                    if k == "evops jnp" and synapses > MAX_SYNAPSES_PER_CALL:
                        continue  # minutes
                    try:
                        timers[k] = timer(k, *v, table, budget)
                    except Exception as error:  # a peer that does not run here
                        if k.startswith("evops"):
                            raise
                        print(f"{k} left out at n={n} p={p}: {type(error).__name__}", flush=True)
                seconds = {k: [] for k in timers}
                for _ in range(ROUNDS):
                    for k, (run, _) in timers.items():
                        seconds[k].append(run())
                floor = statistics.median(seconds["XLA loop step"])
                for k, values in seconds.items():
                    median = statistics.median(values)
                    rows.append({
                        "system": k, "n": n, "p": p, "rate": rate, "synapses": round(synapses),
                        "steps": timers[k][1], "us": round(median * 1e6, 3),
                        "us_above_loop_step": round((median - floor) * 1e6, 3),
                        "ns_per_synapse": round((median - floor) * 1e9 / synapses, 3) if synapses else None,
                        "ratio_to_evops": round(median / statistics.median(seconds["evops"]), 2),
                    })  # fmt: skip
                shown = {r["system"]: r["us"] for r in rows[-len(seconds) :]}
                print(f"n={n} p={p} rate={rate}", shown, flush=True)
    return rows


def draw(rows, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True, sharey="row")
    names = list(dict.fromkeys(r["system"] for r in rows))
    for line, rate in enumerate((0.01, 0.0)):
        for column, p in enumerate(PROBABILITIES):
            axis = axes[line][column]
            for k, name in enumerate(names):
                points = [
                    (r["n"], r["us"])
                    for r in rows
                    if (r["system"], r["p"], r["rate"]) == (name, p, rate)
                ]
                if points:
                    style = {"lw": 2.5} if name == "evops" else {"lw": 1}
                    axis.loglog(
                        *zip(*points, strict=True), "o-", ms=4, label=name, color=f"C{k}", **style
                    )
            axis.set_title(
                f"p = {p}, {rate:.0%} of the neurons fire" if rate else f"p = {p}, no spikes"
            )
            axis.grid(alpha=0.3, which="both")
            axis.set_xlabel("neurons on each side")
        axes[line][0].set_ylabel("µs per call in a loop")
    axes[0][0].legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--budget", type=float, default=0.2, help="seconds per round and system")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="neurons on each side")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="fractions that fire")
    parser.add_argument("--no-files", action="store_true", help="only print")
    options = parser.parse_args()
    rows = measure(options.sizes, options.rates, options.budget)
    if not options.no_files:
        print(common.write("event_mv", {**common.machine(), "rows": rows}))
        draw(rows, common.RESULTS / "event_mv.png")


if __name__ == "__main__":
    main()
