"""Time of one product of spikes with a random matrix, inside a loop, side by side with the peers.

    python bench/event_mv.py [--budget SECONDS] [--sizes N ...] [--rates R ...]

Every system multiplies the same 0/1 spike vectors by a matrix of connection probability p, in a jitted loop
whose input depends on the carry. Systems take turns, round after round; a row holds the median of the rounds. Peers
that are not installed (brainevent needs Python 3.12) are left out. Writes results/event_mv.json and .png.
"""

import argparse
import functools
import gc
import importlib.util
import itertools
import math
import os
import statistics
import sys
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse

import common
import evops

SIZES = (1000, 4000, 40_000, 400_000)
PROBABILITIES = (0.1, 0.01, 0.001)
RATES = (0.0, 0.001, 0.01, 0.1)
SEED, STEPS, TABLE, ROUNDS = 42, 16384, 16, 5
MAX_SYNAPSES_PER_CALL = 2e7
STEPS_ON_GPU = 2048
SLOWEST = 2.0  # seconds a call; what is slower is left out
ON_GPU = jax.default_backend() == "gpu"
MAX_STORED, MAX_STORED_CSR, MAX_DENSE = (2e8, 2e8, 40_000) if ON_GPU else (2e7, 2e8, 4000)
NORMAL = evops.Normal(1.0, 0.1)


def systems(n, p):
    """Name -> what makes (operand, function of operand and spikes), for what suits this size."""
    size = n * n * p

    def ours(law, backend="native"):
        W = evops.Projection(evops.FixedProbability(p), law, (n, n), seed=SEED, backend=backend)
        return W, lambda W, s: s @ W

    def published():
        return None, lambda _, s: evops.event_mv_prob_homo(
            s, 1.0, p, SEED, shape=(n, n), outdim_parallel=False
        )

    @functools.cache
    def csr(law):
        """Stored by the CPU's kernels, wherever it is used."""
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            return ours(law)[0].tocsr()

    @functools.cache
    def bcoo():
        matrix = csr(1.0).to_scipy().tocoo()
        places = np.stack([matrix.row, matrix.col], 1).astype(np.int32)
        return sparse.BCOO(
            (jnp.ones(len(places), jnp.float32), jnp.asarray(places)),
            shape=(n, n), indices_sorted=True, unique_indices=True,
        )  # fmt: skip

    def dense_product(m, s):
        return s.astype(jnp.float32) @ m

    def cusparse():  # of the transposed matrix, which is the faster way
        matrix = csr(1.0).to_scipy().T.tocsr()
        parts = (
            jnp.ones(matrix.nnz, jnp.float32),
            *map(jnp.asarray, (matrix.indices, matrix.indptr)),
        )
        return sparse.CSR(parts, shape=(n, n)), lambda m, s: m @ s.astype(jnp.float32)

    def brainevent_csr():
        import brainevent

        W = jax.device_put(csr(NORMAL), jax.devices()[0])
        matrix = brainevent.CSR((W.data, W.indices, W.indptr), shape=(n, n))
        brainevent.BinaryArray(jnp.zeros(n, bool)) @ matrix  # it keeps a workspace
        return None, lambda _, s: brainevent.BinaryArray(s) @ matrix

    def drawn_by_brainevent(name, parameters, corder):
        import brainevent

        matrix = getattr(brainevent, name)((*parameters, p, SEED), shape=(n, n), corder=corder)
        return None, lambda _, s: brainevent.BinaryArray(s) @ matrix

    out = {
        "XLA loop step": lambda: (None, lambda _, s: s.astype(jnp.float32)),
        "evops": lambda: ours(1.0),
        "evops, normal weights": lambda: ours(NORMAL),
        "evops jnp": lambda: ours(1.0, "jnp"),
        "evops published": published,
    }
    if ON_GPU and n > 4000:
        del out["evops jnp"]
    if size <= MAX_STORED_CSR:
        out["evops CSR"] = lambda: (
            jax.device_put(csr(NORMAL), jax.devices()[0]),
            lambda W, s: s @ W,
        )
    if importlib.util.find_spec("brainevent"):
        one = jnp.float32(1)
        kinds = {"JITCScalarR": (one,), "JITCNormalR": (one, jnp.float32(0.1))}
        for name, parameters in kinds.items():
            for corder in (True, False) if ON_GPU else (True,):  # on a CPU the first is faster
                full = f"brainevent {name}" + ("" if corder else ", corder=False")
                out[full] = functools.partial(drawn_by_brainevent, name, parameters, corder)
        if "evops CSR" in out:
            out["brainevent CSR"] = brainevent_csr
    if size <= MAX_STORED:
        out["jax BCOO"] = lambda: (bcoo(), dense_product)
        if ON_GPU:
            out["cuSPARSE CSR"] = cusparse
        else:
            out["scipy CSR rows"] = lambda: (
                csr(1.0).to_scipy().astype(np.float32),
                lambda m, s: m[np.flatnonzero(s)].sum(0),
            )
        if n <= MAX_DENSE:
            out["jnp dense"] = lambda: (bcoo().todense(), dense_product)
    return out


def spikes(n, rate):
    rng = np.random.default_rng(SEED + 1)
    table = np.zeros((TABLE, n), bool)
    for row in table:
        row[rng.choice(n, round(rate * n), replace=False)] = True
    return table


def timer(name, operand, function):
    """Seconds per call, as a function of a table of spikes and a number of calls."""
    if name.startswith("scipy"):

        def run(table, steps):
            begin = time.perf_counter()
            for k in range(steps):
                function(operand, table[k % TABLE])
            return (time.perf_counter() - begin) / steps

        return run

    # a GPU waits for the CPU in every step of a loop whose length is not known when it is compiled
    @functools.partial(jax.jit, static_argnums=(2,) if ON_GPU else ())
    def loop(operand, table, steps):
        def body(k, total):
            return total + function(operand, table[k % TABLE] & (total > -1))[0]

        return jax.lax.fori_loop(0, steps, body, jnp.float32(0))

    def run(table, steps):
        device = jax.block_until_ready(jnp.asarray(table))
        begin = time.perf_counter()
        jax.block_until_ready(loop(operand, device, steps))
        return (time.perf_counter() - begin) / steps

    return run


def check_speed(seconds):
    if seconds > SLOWEST:
        raise TimeoutError(f"{seconds:.1f} s a call")


def steps_for(run, table, budget):
    """How many calls take about so many seconds; they are compiled then."""
    steps = 2
    run(table, steps)  # compiles
    if ON_GPU:  # every number of steps is compiled
        guess = run(table, steps)
        steps = 2 ** int(np.log2(np.clip(budget / guess, 2, STEPS_ON_GPU)))
        run(table, steps)
        check_speed(guess)
        return steps
    while steps < STEPS and (guess := run(table, steps)) * steps < budget / 8:
        steps = min(8 * steps, STEPS)
    check_speed(guess)
    return int(np.clip(budget / max(guess, 1e-9), 2, STEPS))


def measure(
    sizes, rates, budget, max_synapses=MAX_SYNAPSES_PER_CALL, report=lambda *_: None, until=math.inf
):
    """Rows, and what was left out and why.

    `report` gets both after every point; past the time `until` (of time.monotonic) no point begins.
    """
    rows, left_out = [], []

    def attempt(name, n, p, function, *arguments):
        """What the function returns, or None: one system must not stop the others."""
        try:
            return function(*arguments)
        except Exception as error:
            why = f"{type(error).__name__}: {str(error).strip()[:300]}"
            left_out.append({"system": name, "n": n, "p": p, "why": why})
            print(f"{name} left out at n={n} p={p}: {why}", flush=True)
            return None

    for n, p in itertools.product(sizes, PROBABILITIES):
        gc.collect()  # matrices of the last point
        tables = {r: spikes(n, r) for r in rates if r * n * n * p <= max_synapses}
        timers = {}
        for name, make in systems(n, p).items() if time.monotonic() < until else ():
            made = attempt(name, n, p, make)
            if made is not None:
                timers[name] = timer(name, *made)
        for rate, table in tables.items():
            if time.monotonic() > until:
                left_out.append(
                    {"system": "all", "n": n, "p": p, "rate": rate, "why": "time is up"}
                )
                continue
            rows += point(n, p, rate, table, timers, budget, attempt)
            report(rows, left_out)
    return rows, left_out


def broken(left_out):
    """What of evops failed, and was not only slow."""
    own = (entry for entry in left_out if entry["system"].startswith("evops"))
    return [entry for entry in own if not entry["why"].startswith("TimeoutError")]


def point(n, p, rate, table, timers, budget, attempt):
    """One point of the grid: rows of the systems, which take turns."""
    synapses = rate * n * n * p
    steps, seconds = {}, {}
    for name, run in list(timers.items()):
        if name == "evops jnp" and synapses > MAX_SYNAPSES_PER_CALL:
            continue  # minutes
        count = attempt(name, n, p, steps_for, run, table, budget)
        if count is None:
            del timers[name]
        else:
            steps[name], seconds[name] = count, []
    for _ in range(ROUNDS):
        for name in list(seconds):
            spent = attempt(name, n, p, timers[name], table, steps[name])
            if spent is None:
                del seconds[name]
            else:
                seconds[name].append(spent)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    floor, own = medians.get("XLA loop step", 0.0), medians.get("evops")
    print(
        f"n={n} p={p} rate={rate}", {k: round(m * 1e6, 3) for k, m in medians.items()}, flush=True
    )
    return [
        {
            "system": name, "n": n, "p": p, "rate": rate, "synapses": round(synapses),
            "steps": steps[name], "us": round(median * 1e6, 3),
            "us_above_loop_step": round((median - floor) * 1e6, 3),
            "ns_per_synapse": round((median - floor) * 1e9 / synapses, 3) if synapses else None,
            "ratio_to_evops": round(median / own, 2) if own else None,
        }
        for name, median in medians.items()
    ]  # fmt: skip


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
    rows, left_out = measure(options.sizes, options.rates, options.budget)
    if not options.no_files:
        content = {**common.machine(), "left_out": left_out, "rows": rows}
        print(common.write("event_mv", content))
        draw(rows, common.RESULTS / "event_mv.png")
    sys.exit(bool(broken(left_out)))


if __name__ == "__main__":
    main()
