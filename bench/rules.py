"""Time of every rule and law beside the same synapses stored, in one run.

    python bench/rules.py [--budget SECONDS] [--sizes N,K ...] [--rules NAME ...] [--laws NAME ...]
        [--calls NAME ...] [--rates R ...] [--no-jnp] [--no-files] [--out NAME]

Each cell is one call inside a jitted loop whose input depends on the carry: ``x @ W`` with spikes, ``W @ v`` with
floats, a batch of 8 spike vectors, and ``push`` with a delay drawn for every synapse. Beside it run the same synapses
as `CSR` (an argument, with an array of weights), plain jnp, and brainevent where it has the rule. They take turns,
round after round, and a cell holds the best round of each. A push stands beside that of `FixedTotalNumber`: nothing
stored has delays. Writes results/rules.json and .png. EVOPS_ISA chooses the instruction set.
"""

import argparse
import gc
import importlib.util
import os
import sys
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

import common
import evops

SIZES = ("4000,40", "4000,400", "4000,4000", "40000,40", "40000,400", "40000,4000")
GRIDS = {4000: (50, 80), 40_000: (200, 200)}
RATES = (0.0, 0.02, 0.1)
SEED, TABLE, ROUNDS, BATCH = 42, 16, 9, 8
MOST = 2e8  # synapses of a matrix that is stored
MOST_OF_A_CALL, MOST_OF_JNP = 4e7, 4e6
TARGETS = {"one weight": 1.2, "uniform": 1.5, "normal": 2.0}
WITHOUT_REPETITION = {"one weight": 3.0, "uniform": 3.5, "normal": 4.0}
PUSH = 1.3  # times FixedTotalNumber; twice that without repetition
PERMUTED = ("FixedOutDegree", "FixedInDegree")
LAWS = {
    "one weight": 0.5,
    "uniform": evops.Uniform(0.5, 1.5),
    "normal": evops.Normal(1.0, 0.1),
}


def rules(n, k):
    """Name -> rule with about k synapses for each of n neurons."""
    radius = round((np.sqrt(k + 1) - 1) / 2)
    found = {
        "FixedProbability": evops.FixedProbability(k / n),
        "FixedTotalNumber": evops.FixedTotalNumber(n * k),
        "FixedInDegree": evops.FixedInDegree(k),
        "FixedOutDegree": evops.FixedOutDegree(k),
        "FixedOutDegree, multapses": evops.FixedOutDegree(k, multapses=True),
        "LfsrGaps": evops.LfsrGaps(k / n),
        "Neighbours": evops.Neighbours(GRIDS[n], radius=radius, metric="chebyshev", periodic=True),
    }
    if k < n:
        found["SymmetricProbability"] = evops.SymmetricProbability(k / n)
        chances = np.array([[0.5, 1.5], [1.5, 0.5]]) * k / n
        found["BlockProbability"] = evops.BlockProbability(np.minimum(chances, 1), np.arange(n) % 2)
    if n == k:
        found["AllToAll"] = evops.AllToAll()
    if k == 40:
        found["OneToOne"] = evops.OneToOne()
    return found


def spikes(n, rate, batch=()):
    rng = np.random.default_rng(SEED + 1)
    return jnp.asarray(rng.random((TABLE, *batch, n)) < rate)


def loop(function):
    """Seconds of so many calls of ``function(operand, x)``; x follows from the carry."""

    @jax.jit
    def run(operand, table, steps):
        # The whole result is carried: XLA would compute the one element that the next step reads.
        def body(i, y):
            x = table[i % TABLE]
            first = y.ravel()[0]
            return function(operand, x & (first > -1) if x.dtype == bool else x + 0 * first)

        result = jax.eval_shape(lambda: function(operand, table[0]))
        return jax.lax.fori_loop(0, steps, body, jnp.zeros(result.shape, result.dtype))

    return run


def scan_pushes(run_one):
    """The same of pushes: the ring is carried, and its slots are taken out one by one."""

    @jax.jit
    def run(operand, table, steps):
        def body(i, carry):
            buffer, total = carry
            buffer = run_one(operand, table[i % TABLE] & (total > -1), buffer)
            now, buffer = buffer.pop()
            return buffer, total + now[0]

        buffer = evops.DelayBuffer.zeros(operand.shape[1], operand.max_delay)
        return jax.lax.fori_loop(0, steps, body, (buffer, jnp.float32(0)))[1]

    return run


CALLS = {
    "x @ W": (loop(lambda W, x: x @ W), lambda n, rate: spikes(n, rate)),
    "W @ v": (
        loop(lambda W, v: W @ v),
        lambda n, rate: jnp.asarray(np.random.default_rng(1).random((TABLE, n), np.float32)),
    ),
    "batch of 8": (loop(lambda W, x: x @ W), lambda n, rate: spikes(n, rate, (BATCH,))),
    "push": (scan_pushes(lambda W, x, b: W.push(x, b)), lambda n, rate: spikes(n, rate)),
}


def seconds(run, operand, table, steps):
    begin = time.perf_counter()
    jax.block_until_ready(run(operand, table, steps))
    return (time.perf_counter() - begin) / steps


def best(systems, run, table, budget):
    """Name -> best seconds of a call; the systems take turns."""
    steps, times = {}, {}
    for name, operand in systems.items():
        seconds(run, operand, table, 2)  # compiles
        guess = min(seconds(run, operand, table, 2) for _ in range(2))
        steps[name], times[name] = int(np.clip(budget / ROUNDS / guess, 1, 4096)), []
    for _ in range(ROUNDS):
        for name, operand in systems.items():
            times[name].append(seconds(run, operand, table, steps[name]))
    return {name: min(values) for name, values in times.items()}


def peers(name, law, n, k):
    """What brainevent has of this rule and law, as (operand, function)."""
    if not importlib.util.find_spec("brainevent") or name != "FixedProbability":
        return None
    import brainevent

    one, spread = jnp.float32(1), jnp.float32(0.1)
    kind, parameters = {
        "one weight": ("JITCScalarR", (one,)),
        "uniform": ("JITCUniformR", (one / 2, one * 1.5)),
        "normal": ("JITCNormalR", (one, spread)),
    }[law]
    return getattr(brainevent, kind)((*parameters, k / n, SEED), shape=(n, n), corder=True)


def projection(rule, law, n, backend="native", delay=None):
    return evops.Projection(
        rule, LAWS[law], (n, n), seed=SEED, backend=backend, **({"delay": delay} if delay else {})
    )


def cells(name, rule, law, n, k, options):
    """Rows of one rule and law."""
    W = projection(rule, law, n)
    synapses = rule.expected_synapses((n, n))
    delayed = projection(rule, law, n, delay=evops.Normal(15.0, 7.5, low=1.0))
    stored = {}
    if synapses <= MOST:
        csr = W.tocsr()
        data = jnp.broadcast_to(jnp.asarray(csr.data, jnp.float32), csr.indices.shape)
        stored["csr"] = jax.block_until_ready(
            evops.CSR(data + 0, csr.indices, csr.indptr, shape=csr.shape)
        )
    for call in options.calls:
        run, inputs = CALLS[call]
        for rate in options.rates:
            dense = call == "W @ v"
            if dense and rate != options.rates[-1]:
                continue
            fraction = 1.0 if dense else rate * (BATCH if call.startswith("batch") else 1)
            of_call = synapses * fraction
            if of_call > MOST_OF_A_CALL:
                continue
            if call == "push":
                systems = {"drawn": delayed}
            else:
                systems = {"drawn": W, **stored}
                if not options.no_jnp and of_call <= MOST_OF_JNP:
                    systems["jnp"] = projection(rule, law, n, "jnp")
            times = best(systems, run, inputs(n, rate), options.budget)
            if call in ("x @ W", "batch of 8") and (peer := peers(name, law, n, k)) is not None:
                times |= best({"brainevent": peer}, PEER, inputs(n, rate), options.budget)
            row = {
                "n": n, "k": k, "rule": name, "law": law, "call": call,
                "rate": None if dense else rate, "synapses": round(of_call),
                **{f"us_{system}": round(t * 1e6, 2) for system, t in times.items()},
            }  # fmt: skip
            if "csr" in times:
                row["ratio"] = round(times["drawn"] / times["csr"], 2)
            print(row, flush=True)
            yield row


@loop
def PEER(matrix, x):
    import brainevent

    return brainevent.BinaryArray(x) @ matrix


def beside_total_number(rows):
    """Gives every push its ratio to that of `FixedTotalNumber`."""
    of = {(r["n"], r["k"], r["law"], r["rate"]): r["us_drawn"] / max(r["synapses"], 1)
          for r in rows if r["call"] == "push" and r["rule"] == "FixedTotalNumber"}  # fmt: skip
    for r in rows:
        base = of.get((r["n"], r["k"], r["law"], r["rate"]))
        if r["call"] == "push" and base:
            r["ratio"] = round(r["us_drawn"] / max(r["synapses"], 1) / base, 2)


def target(row):
    """The ratio that is wanted of a row."""
    without = row["rule"] in PERMUTED
    if row["call"] == "push":
        return PUSH * (2 if without else 1)
    return (WITHOUT_REPETITION if without else TARGETS)[row["law"]]


def draw(rows, path):
    """The ratios at a glance: green within the target, red beyond it."""
    from matplotlib.figure import Figure

    rows = [r for r in rows if "ratio" in r and r["rate"] != 0]
    down = list(dict.fromkeys((r["rule"], r["law"]) for r in rows))
    across = list(dict.fromkeys((r["call"], r["n"], r["k"], r["rate"]) for r in rows))
    across.sort(key=lambda c: (list(CALLS).index(c[0]), c[1], c[2], c[3] or 0))
    figure = Figure(figsize=(2 + 0.42 * len(across), 2 + 0.3 * len(down)), layout="constrained")
    axis = figure.subplots()
    shade = np.full((len(down), len(across)), np.nan)
    for r in rows:
        i = down.index((r["rule"], r["law"]))
        j = across.index((r["call"], r["n"], r["k"], r["rate"]))
        shade[i, j] = np.log2(r["ratio"] / target(r))
        small = r["synapses"] < 10_000
        text = f"{r['ratio']:.1f}" if r["ratio"] < 10 else f"{r['ratio']:.0f}"
        axis.text(j, i, text, ha="center", va="center", size=6, color="gray" if small else "black")
    axis.imshow(shade, cmap="RdYlGn_r", vmin=-2, vmax=2, aspect="auto")
    axis.set_yticks(range(len(down)), [f"{rule}, {law}" for rule, law in down], size=7)
    labels = [f"{c}, n={n}, k={k}" + (f", {rate:.0%}" if rate else "") for c, n, k, rate in across]
    axis.set_xticks(range(len(across)), labels, size=7, rotation=90)
    axis.set_title(
        "Time drawn / stored (push: / FixedTotalNumber); green: within the target; gray: few synapses"
    )
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--budget", type=float, default=0.2, help="seconds per cell and system")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="N,K")
    parser.add_argument("--rules", nargs="+", default=None)
    parser.add_argument("--laws", nargs="+", default=list(LAWS), choices=LAWS)
    parser.add_argument("--calls", nargs="+", default=list(CALLS), choices=CALLS)
    parser.add_argument("--rates", nargs="+", type=float, default=RATES)
    parser.add_argument("--no-jnp", action="store_true", help="leave plain jnp out")
    parser.add_argument("--no-files", action="store_true", help="only print")
    parser.add_argument("--out", default="rules", help="name of the files")
    options = parser.parse_args()
    rows = []
    for n, k in (map(int, size.split(",")) for size in options.sizes):
        for name, rule in rules(n, k).items():
            if options.rules and name not in options.rules:
                continue
            for law in options.laws:
                rows += cells(name, rule, law, n, k, options)
                gc.collect()
                jax.clear_caches()
    beside_total_number(rows)
    missed = [r for r in rows if r["synapses"] >= 10_000 and r.get("ratio", 0) > target(r)]
    slower = [r for r in rows if r.get("us_jnp", np.inf) < r["us_drawn"]]
    print(f"{len(rows)} cells, {len(missed)} beyond their target, {len(slower)} slower than jnp")
    if not options.no_files:
        level = evops.backends()["native"].detail
        content = {**common.machine(), "native": level, "rows": rows}
        print(common.write(options.out, content))
        draw(rows, common.RESULTS / f"{options.out}.png")
    sys.exit(0)


if __name__ == "__main__":
    main()
