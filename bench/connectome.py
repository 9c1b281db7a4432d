"""A whole connectome (examples/connectome.py) beside Brian2's C++ standalone mode, on the twin of the fly's.

    python bench/connectome.py --brian-python PYTHON [--rounds N] [--network FILE.npz]

Per second of biology: one trial, each of 30 trials, Brian2 on one thread and on two, in turns; and where a step's time
goes. Given the same input, spikes in float64 are compared with Brian2's. Needs Taichi; writes results/connectome.json
and .png. FILE keeps the twin, which takes half a minute to make.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

import common
import evops

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "examples"))

import connectome_twin  # noqa: E402

import connectome  # noqa: E402

STEPS, TRIALS, SPEED = 10_000, 30, "seconds_per_biological_second"
MODEL = connectome.Model()


class Brian:
    """A process that simulates whenever it reads a line."""

    def __init__(self, python, network, out, threads):
        command = [python, HERE / "connectome_brian.py", network, out, "--threads", threads]
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL, env={"OMP_WAIT_POLICY": "passive", **os.environ},
        )  # fmt: skip
        self.built = self.answer()

    def answer(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"Brian2 ended with {self.process.wait()}")

    def run(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()[SPEED]


def twin(path):
    """Pairs, driven neurons and their input, (steps, driven)."""
    if path and Path(path).exists():
        given = np.load(path)
        pre, post, counts = given["pre"], given["post"], given["counts"]
    else:
        pre, post, counts = connectome_twin.pairs(connectome_twin.NEURONS, connectome_twin.PAIRS, 1)
        if path:
            np.savez(path, pre=pre, post=post, counts=counts)
    driven = connectome_twin.hubs(pre, counts)
    events = np.random.default_rng(2).random((TRIALS, STEPS, len(driven))) < 0.015
    return pre, post, counts, driven, events


def timed(run):
    begin = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - begin


def parts(synapses, driven, fired, rounds):
    """Microseconds of the parts of a step, each in a loop of its own."""
    n = synapses.shape[0]
    hold, constants = jnp.full(n, 21, jnp.uint8), jnp.asarray(MODEL.constants(np.float32))
    buffer = evops.DelayBuffer.zeros(n, synapses.max_delay)
    like = jax.ShapeDtypeStruct
    outs = [like(buffer.sums.shape, jnp.float32)]
    outs += [like((n,), t) for t in (jnp.float32, jnp.float32, jnp.uint8, bool)]
    rows = jnp.asarray(fired)

    def neurons(carry, row):
        sums, v, g, left, step = carry
        of = hold, constants, step[None]
        *state, fired = connectome.neurons(sums, v, g, left, *of, outs=outs)
        return (*state, (step + 1) % sums.shape[0]), fired[0]

    def spikes(row):
        return evops.SpikeList.from_flags(rows[row], n // 100)

    def listed(count, row):
        return count + spikes(row).count, None

    def pushed(buffer, row):
        return synapses.push(spikes(row), buffer), None

    state = buffer.sums, jnp.full(n, -52.0), jnp.zeros(n), jnp.zeros(n, jnp.uint8), jnp.int32(0)
    loops = {
        "neurons": (neurons, state),
        "list of spikes": (listed, jnp.int32(0)),
        "list and synapses": (pushed, buffer),
    }
    found = {}
    for name, (step, start) in loops.items():
        which = jnp.arange(1000, dtype=jnp.int32) % len(rows)
        run = functools.partial(jax.jit(functools.partial(jax.lax.scan, step)), start, which)
        jax.block_until_ready(run())
        found[name] = round(1e6 / which.size * min(timed(run) for _ in range(rounds)), 1)
    found["synapses"] = round(found.pop("list and synapses") - found["list of spikes"], 1)
    return found


def draw(row):
    """Wall time per second of biology, a bar for each system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    names = list(row["seconds"])
    bars = axes.barh(names[::-1], [row["seconds"][name] for name in names[::-1]])
    axes.bar_label(bars, fmt="%.2f")
    axes.set(xlabel="wall time per second of biology (s)",
             title=f"Connectome: {row['neurons']:,} neurons, {row['pairs']:,} pairs")  # fmt: skip
    figure.savefig(common.RESULTS / "connectome.png", dpi=120)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--brian-python", required=True, help="interpreter that has brian2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--network", help="where the twin is kept")
    options = parser.parse_args()
    pre, post, counts, driven, events = twin(options.network)
    made = connectome.connect(pre, post, counts, MODEL)
    room, at = made.synapses.shape[0] // 100, jnp.asarray(driven)

    def run(trials, **of):
        given = jnp.asarray(events[:trials])
        return lambda: connectome.run(made.synapses, at, given, model=MODEL, capacity=room, **of)

    with tempfile.TemporaryDirectory() as folder:
        network, spikes = Path(folder) / "network.npz", Path(folder) / "spikes.npz"
        step, source = np.nonzero(events[0])
        of_network = {"pre": pre, "post": post, "counts": counts, "n": made.synapses.shape[0]}
        np.savez(network, **of_network, driven=driven, step=step, source=source)
        peers = {
            f"Brian2, {k} thread{'s' * (k > 1)}": Brian(options.brian_python, network, spikes, k)
            for k in (1, 2)
        }
        one, many = run(1), run(TRIALS)
        seconds = {"evops": [], f"evops, each of {TRIALS} trials": [], **{k: [] for k in peers}}
        jax.block_until_ready((one(), many()))  # compiles
        for _ in range(options.rounds):
            seconds["evops"].append(timed(one))
            seconds[f"evops, each of {TRIALS} trials"].append(timed(many) / TRIALS)
            for name, peer in peers.items():
                seconds[name].append(peer.run())
            print({name: round(t[-1], 3) for name, t in seconds.items()}, flush=True)
        for peer in peers.values():
            peer.process.stdin.close()
            peer.process.wait()
        with jax.enable_x64(True):
            which = np.asarray(run(1, dtype=jnp.float64)()[0][0])
        when, place = np.nonzero(which < made.synapses.shape[0])
        theirs, same = np.load(spikes), "other spikes"
        if len(theirs["step"]) == len(when) and (theirs["step"] == when).all():
            same = bool((theirs["neuron"] == which[when, place]).all())
    some = (when >= 5000) & (when < 5040)  # so few rows that they stay in the cache
    fired = np.zeros((40, made.synapses.shape[0]), bool)
    fired[when[some] - 5000, which[when, place][some]] = True
    medians = {name: round(statistics.median(t), 3) for name, t in seconds.items()}
    best = min(min(seconds[name]) for name in peers)
    row = {
        "neurons": made.synapses.shape[0],
        "pairs": made.synapses.nnz,
        "spikes_per_second": len(when),
        "active": len(np.unique(which[when, place])),
        "seconds": medians,
        "best of Brian2 / best of evops": round(best / min(seconds["evops"]), 2),
        "trial of a batch / single": round(
            min(seconds[f"evops, each of {TRIALS} trials"]) / min(seconds["evops"]), 3
        ),
        "spikes in float64 are those of Brian2": same,
        "us_of_a_step": parts(made.synapses, at, fired, options.rounds),
    }
    print(row)
    common.write("connectome", {"machine": common.machine(), "rows": [row]})
    draw(row)


if __name__ == "__main__":
    main()
