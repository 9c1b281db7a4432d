"""A step of ReservoirPy's reservoirs, and of the same reservoirs with a recurrent matrix of evops.

    python bench/reservoir.py [--neurons N …] [--rounds N] [--out NAME]

A reservoir of density 0.1 with normal weights, for one input: ReservoirPy's node of NumPy (a CSR matrix of SciPy in
float64, its default) and its node of JAX (BCOO in float32), and that node with the same matrix dense, drawn again at
each step and stored (float32). All neurons are active, so a step reads every synapse. All states are compared. An entry
is the best time of a step, in turns in one process; programs of JAX are compiled once, though `run` compiles at each
call. Writes results/reservoir.json and .png.
"""

import argparse
import os
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import reservoirpy.jax.nodes
import reservoirpy.nodes
from jax.experimental import sparse

import common
import evops

DENSITY, SPECTRAL_RADIUS, LEAK = 0.1, 0.9, 0.3
MOST_DENSE = 10_000  # neurons of which a dense matrix is made
BUSY = (
    "The machine was not idle: other programs ran on its cores. Times are the best of all rounds."
)


def matrices(n):
    """The recurrent matrix in every form, each with its bytes; row i has the inputs of neuron i."""
    # the spectral radius of a large random matrix is std * sqrt(density * n) (Girko's circular law)
    law = evops.Normal(0.0, float(SPECTRAL_RADIUS / np.sqrt(DENSITY * n)))
    W = evops.Projection(evops.FixedProbability(DENSITY), law, (n, n), seed=1)
    S = W.tocsr()
    A = S.to_scipy().tocsr().astype(np.float64)
    B = sparse.BCOO.from_scipy_sparse(A.astype(np.float32))
    yield "ReservoirPy, NumPy", A, A.data.nbytes + A.indices.nbytes + A.indptr.nbytes
    yield "ReservoirPy, JAX", B, B.data.nbytes + B.indices.nbytes
    if n <= MOST_DENSE:
        D = W.todense()
        yield "JAX node, dense", D, D.nbytes
    yield "JAX node, drawn (evops)", W, sum(leaf.nbytes for leaf in jax.tree.leaves(W))
    yield "JAX node, stored (evops)", S, S.nbytes


def program(system, W, n, inputs):
    """A function that runs the reservoir over the inputs and returns its last state."""
    of = reservoirpy.nodes if system.endswith("NumPy") else reservoirpy.jax.nodes
    node = of.Reservoir(n, W=lambda *shape, **options: W, lr=LEAK, seed=1)
    node.initialize(inputs)
    run = node._run if system.endswith("NumPy") else jax.jit(node._run)
    return lambda: jax.block_until_ready(run(node.state, inputs))[0]["out"]


def measure(n, rounds):
    steps = int(np.clip(2e7 / (DENSITY * n * n), 2, 50))  # short turns: some meet an idle machine
    inputs = np.sin(np.arange(steps) / 5)[:, None].astype(np.float32)
    given = list(matrices(n))
    programs = {system: program(system, W, n, inputs) for system, W, _ in given}
    states = {system: np.asarray(run()) for system, run in programs.items()}  # compiles
    times = {system: [] for system in programs}
    for _ in range(rounds):
        for system, run in programs.items():
            start = time.perf_counter()
            run()
            times[system].append(time.perf_counter() - start)
    for system, _, nbytes in given:
        np.testing.assert_allclose(states[system], states["ReservoirPy, NumPy"], atol=1e-4)
        ms = 1e3 * min(times[system]) / steps
        row = {"neurons": n, "system": system, "ms_per_step": round(ms, 3), "matrix_bytes": nbytes}
        print(row, flush=True)
        yield row


def draw(rows, name):
    """Time of a step and memory of the matrix over the number of neurons."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    shown = (("ms_per_step", 1, "ms per step"), ("matrix_bytes", 1e6, "MB of the recurrent matrix"))
    sizes = sorted({row["neurons"] for row in rows})
    for axes, (key, unit, label) in zip(panels, shown, strict=True):
        for system in dict.fromkeys(row["system"] for row in rows):
            own = [row for row in rows if row["system"] == system]
            line = [row["neurons"] for row in own], [row[key] / unit for row in own]
            style = "o--" if system == "ReservoirPy, JAX" else "o-"  # as many bytes as NumPy's
            axes.plot(*line, style, label=system, color="k" if "drawn" in system else None)
        axes.set(xscale="log", yscale="log", xlabel="neurons, density 0.1", ylabel=label)
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axes.minorticks_off()
    panels[0].legend(fontsize="small")
    figure.savefig(common.RESULTS / f"{name}.png", dpi=120)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--neurons", type=int, nargs="+", default=[2000, 5000, 10_000, 20_000])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", default="reservoir")
    options = parser.parse_args()
    load = [os.getloadavg()[0]]
    rows = [row for n in options.neurons for row in measure(n, options.rounds)]
    load.append(os.getloadavg()[0])  # its own programs count as well
    head = {"machine": common.machine(), "note": BUSY, "load_average_before_and_after": load}
    head |= {"density": DENSITY, "rounds": options.rounds}
    common.write(options.out, head | {"rows": rows})
    draw(rows, options.out)


if __name__ == "__main__":
    main()
