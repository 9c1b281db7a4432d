"""A step of neurons as a Taichi kernel, beside jnp under XLA, NumPy, numba and C.

    python bench/kernels.py [--models NAME...] [--sizes N...] [--rounds N] [--name NAME]

Every way runs STEPS steps in one call, inside a loop of its own (`jax.lax.scan`, a loop in C or in
numba). All ways of a model and a size alternate; rows hold the best round of each, in us a step. The
script runs itself once for each number of threads, since XLA counts them when it starts. Writes
results/NAME.json and NAME.png. numba and a C compiler are left out where they are missing.
"""

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = [1_000, 10_000, 100_000, 138_639, 1_000_000]
THREADS = (1, 2)
WORK = 20_000_000  # neurons in all steps of a call, since the first step finds cold caches
COLOURS = {"evops": "C0", "C": "C1", "jnp": "C2", "numba": "C3", "NumPy": "C4"}
FLAGS = "-O3 -ffast-math -march=native".split()


def steps(n):
    """How many steps a call runs."""
    return min(WORK // n, 2000)


def arrays(model, n):
    """States, spikes and inputs at the beginning."""
    import numpy as np

    from neurons import INPUTS, START, STATES

    rng = np.random.default_rng(0)
    names, inputs = STATES[model]
    states = [np.full(n, START[name], np.int32 if name == "left" else np.float32) for name in names]
    given = [rng.uniform(*INPUTS[name], n).astype(np.float32) for name in inputs]
    return states, np.zeros(n, bool), given


def kernel(model):
    """The model as a Taichi kernel that changes its states in place."""
    import taichi as ti

    import neurons

    A = ti.types.ndarray(ndim=1)
    update = ti.func(neurons.function(model, ti.exp, ti.select))

    @ti.kernel
    def lif(v: A, g: A, left: A, add: A, spikes: A):
        for i in range(v.shape[0]):
            v1, g1, l1, fired = update(v[i], g[i], left[i], add[i])
            v[i], g[i], left[i], spikes[i] = v1, g1, l1, ti.cast(fired, ti.u8)

    @ti.kernel
    def adex(v: A, w: A, current: A, spikes: A):
        for i in range(v.shape[0]):
            v1, w1, fired = update(v[i], w[i], current[i])
            v[i], w[i], spikes[i] = v1, w1, ti.cast(fired, ti.u8)

    @ti.kernel
    def hh(v: A, m: A, n: A, h: A, current: A, spikes: A):
        for i in range(v.shape[0]):
            v1, m1, n1, h1, fired = update(v[i], m[i], n[i], h[i], current[i])
            v[i], m[i], n[i], h[i], spikes[i] = v1, m1, n1, h1, ti.cast(fired, ti.u8)

    @ti.kernel
    def coba(v: A, excited: A, inhibited: A, left: A, to_e: A, to_i: A, spikes: A):
        for i in range(v.shape[0]):
            v1, e1, i1, l1, fired = update(
                v[i], excited[i], inhibited[i], left[i], to_e[i], to_i[i]
            )
            v[i], excited[i], inhibited[i], left[i] = v1, e1, i1, l1
            spikes[i] = ti.cast(fired, ti.u8)

    return {"lif": lif, "adex": adex, "hh": hh, "coba": coba}[model]


def in_jax(model, n, threads):
    """Ways inside a scan: the kernel, and jnp."""
    import jax
    import jax.numpy as jnp

    import evops
    import neurons

    states, spikes, inputs = arrays(model, n)
    names = neurons.STATES[model][0]
    outs = [jax.ShapeDtypeStruct((n,), a.dtype) for a in (*states, spikes)]
    op = evops.XLACustomOp(
        kernel(model),
        in_place={name: k for k, name in enumerate(names)},
        parallel=threads > 1,
    )
    update = neurons.function(model, jnp.exp, jnp.where)

    def in_kernel(carry, _):
        return tuple(op(*carry[:-1], *given, outs=outs)), None

    def in_jnp(carry, _):
        return tuple(update(*carry[:-1], *given)), None

    given = [jnp.asarray(a) for a in inputs]

    def call(step):
        run = jax.jit(
            lambda carry: jax.lax.scan(step, carry, None, length=steps(n))[0], donate_argnums=0
        )
        kept = [tuple(jnp.asarray(a) for a in (*states, spikes))]

        def again():
            kept[0] = jax.block_until_ready(run(kept[0]))
            return kept[0]

        return again

    return {"evops": call(in_kernel), "jnp": call(in_jnp)}


def in_numpy(model, n):
    """The same in NumPy."""
    import numpy as np

    import neurons

    states, _, given = arrays(model, n)
    update = neurons.function(model, np.exp, np.where)
    kept = [states]

    def again():
        for _ in range(steps(n)):
            *kept[0], spikes = update(*kept[0], *given)
        return [*kept[0], spikes]

    return again


def in_numba(model, n, threads):
    """The same loop over neurons in numba, which brainevent compiles kernels with."""
    import numba
    import numpy as np

    import neurons

    where = numba.njit(inline="always")(lambda c, a, b: a if c else b)
    exp = numba.njit(inline="always")(lambda x: np.exp(x))
    update = numba.njit(neurons.function(model, exp, where, np.float32))
    states, spikes, given = arrays(model, n)
    lines = [f"{name}[i]" for name in neurons.STATES[model][0]]
    inputs = [f"{name}[i]" for name in neurons.STATES[model][1]]
    parameters = ", ".join([*neurons.STATES[model][0], "spikes", *neurons.STATES[model][1]])
    over = "numba.prange" if threads > 1 else "range"
    text = (
        f"def one({parameters}):\n"
        f"    for i in {over}(v.shape[0]):\n"
        f"        {', '.join([*lines, 'spikes[i]'])} = update({', '.join([*lines, *inputs])})\n"
        f"def loop(steps, {parameters}):\n"
        "    for step in range(steps):\n"
        f"        one({parameters})\n"
    )
    scope = {"numba": numba, "update": update}
    exec(text, scope)
    numba.set_num_threads(threads)
    scope["one"] = numba.njit(parallel=threads > 1, fastmath=True)(scope["one"])
    loop = numba.njit(scope["loop"])

    def again():
        loop(steps(n), *states, spikes, *given)
        return [*states, spikes]

    return again


def in_c(model, n, library):
    """The same loop in C."""
    states, spikes, given = arrays(model, n)
    every = (*states, spikes, *given)

    def again():
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in every]
        getattr(library, model)(ctypes.c_int(n), ctypes.c_int(steps(n)), *pointers)
        return [*states, spikes]

    return again


def compiled_c(folder, threads):
    """The library of all models, with OpenMP for several threads; None without a compiler."""
    import neurons

    compiler = shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")
    if compiler is None:
        return None
    source, library = Path(folder) / "neurons.c", Path(folder) / "neurons.so"
    source.write_text(neurons.c_source())
    more = ["-fopenmp" if threads > 1 else "-fopenmp-simd", "-shared", "-fPIC"]
    subprocess.run([compiler, *FLAGS, *more, "-o", library, source, "-lm"], check=True)
    return ctypes.CDLL(str(library))


def measured(model, n, threads, rounds, library):
    """Microseconds a step of every way."""
    ways = in_jax(model, n, threads)
    if threads == 1:
        ways["NumPy"] = in_numpy(model, n)
    try:
        ways["numba"] = in_numba(model, n, threads)
    except ImportError:
        pass
    if library is not None:
        ways["C"] = in_c(model, n, library)
    best, firing = {}, {}
    for round in range(rounds + 1):  # the first compiles
        for name, run in ways.items():
            time.sleep(
                0.03
            )  # threads of OpenMP spin a while after their work, on a core of the next
            begin = time.perf_counter()
            result = run()
            us = (time.perf_counter() - begin) / steps(n) * 1e6
            if round:
                best[name] = min(us, best.get(name, us))
            firing[name] = float(sum(result[-1])) / n if n <= 10_000 else None
    row = {
        "model": model,
        "n": n,
        "threads": threads,
        "us": {k: round_to(v) for k, v in best.items()},
    }
    for peer in ("C", "jnp", "numba"):
        if peer in best:
            row[f"ratio_to_{peer}"] = round_to(best["evops"] / best[peer])
    print(row, firing if n <= 10_000 else "", flush=True)
    return row


def round_to(number):
    """Three digits."""
    return float(f"{number:.3g}")


def draw(rows, path):
    """Time of a neuron against their number, one panel for each model and number of threads."""
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(r["model"] for r in rows))
    figure = Figure(figsize=(4 * len(models), 3.2 * len(THREADS)), layout="constrained")
    panels = figure.subplots(len(THREADS), len(models), sharex=True, squeeze=False)
    for i, threads in enumerate(THREADS):
        for j, model in enumerate(models):
            axis = panels[i][j]
            mine = [r for r in rows if r["model"] == model and r["threads"] == threads]
            for name in dict.fromkeys(k for r in mine for k in r["us"]):
                points = [(r["n"], 1000 * r["us"][name] / r["n"]) for r in mine if name in r["us"]]
                width = 2.5 if name == "evops" else 1.2
                line = {"color": COLOURS[name], "lw": width, "marker": "o", "ms": 3}
                axis.loglog(*zip(*points, strict=True), label=name, **line)
            axis.set_title(f"{model}, {threads} thread{'s' if threads > 1 else ''}", size=10)
            axis.grid(alpha=0.3)
    panels[0][0].legend()
    figure.supxlabel("neurons")
    figure.supylabel("ns a neuron and step")
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["lif", "adex", "hh", "coba"])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--name", default="kernels")
    parser.add_argument(
        "--threads", type=int, help="of this run; without it, of one run after another"
    )
    options = parser.parse_args()
    if options.threads is None:
        rows = []
        for threads in THREADS:
            command = [sys.executable, __file__, *sys.argv[1:], "--threads", str(threads)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
                for line in run.stdout:
                    print(line, end="", flush=True)
            if run.returncode:
                sys.exit(run.returncode)
            rows += json.loads(line)
        import common

        compiler = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=False)
        about = {"c": compiler.stdout.splitlines()[:1], "c_flags": " ".join(FLAGS)}
        print(common.write(options.name, {**common.machine(), **about, "rows": rows}))
        draw(rows, common.RESULTS / f"{options.name}.png")
        return
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    os.sched_setaffinity(0, cores)  # XLA takes as many threads as there are cores
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(len(cores))
    with tempfile.TemporaryDirectory() as folder:
        library = compiled_c(folder, options.threads)
        rows = [
            measured(model, n, options.threads, options.rounds, library)
            for model in options.models
            for n in options.sizes
        ]
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
