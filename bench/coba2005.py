"""The COBA network beside Brian2 (and NEST): wall time per second of biology, systems in turns.

    python bench/coba2005.py --brian-python PATH [--nest-python PATH] [--rounds N] [--large]

evops runs as ``evops coba2005 --no-plot``, in a process of its own each time. Brian2 2.10 in C++ standalone mode with one and
with two threads, compiled once for each size, and NEST (4,000 neurons only, one thread) run from their own interpreters. Same
parameters, scaling of weights (80 / K), step (0.1 ms), duration and seconds that count: those of the simulation itself, spikes
recorded; compiling, and connecting where synapses are stored, are told separately. Every run has other seeds. The peers run
with OMP_WAIT_POLICY=passive unless the environment says otherwise: on a machine that others use too, threads that spin cost
Brian2 up to a factor of 40. Writes results/coba2005.json and .png.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import common

HERE = Path(__file__).resolve().parent
SIZES = [(4000, 80), (40_000, 80), (40_000, 800), (100_000, 80)]
LARGE = (1_000_000, 80)
SPEED, RATE = "seconds_per_biological_second", "rate_hz"


class Evops:
    """One process for each run."""

    def __init__(self, size, synapses, duration):
        self.options = ["--size", size, "--synapses", synapses, "--duration", duration]
        self.seed = 0

    def run(self):
        self.seed += 1
        with tempfile.TemporaryDirectory() as out:
            options = [*self.options, "--seed", self.seed, "--out", out, "--no-plot"]
            command = [sys.executable, "-m", "evops", "coba2005", *map(str, options)]
            subprocess.run(command, check=True, capture_output=True)
            return json.loads((Path(out) / "coba2005.json").read_text())

    def close(self):
        pass


class Peer:
    """A process that builds its network at once and simulates whenever it reads a line."""

    def __init__(self, python, script, size, synapses, duration, threads):
        options = {
            "--size": size, "--synapses": synapses, "--duration": duration, "--threads": threads
        }  # fmt: skip
        command = [python, HERE / script, *(w for option in options.items() for w in option)]
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL, env={"OMP_WAIT_POLICY": "passive", **os.environ},
        )  # fmt: skip
        self.built = self._answer()

    def _answer(self):
        for line in self.process.stdout or ():
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"{self.process.args[1]} ended with {self.process.wait()}")

    def run(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return {**self.built, **self._answer()}

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def systems(options, size, synapses, duration):
    """Name and runner of every system; beside a large network only Brian2 on two threads."""
    found = {"evops": Evops(size, synapses, duration)}
    large = (size, synapses) == LARGE
    threads = (2,) if large else (1, 2)
    for count in threads if options.brian_python else ():
        found[f"Brian2, {count} thread{'s' * (count > 1)}"] = Peer(
            options.brian_python, "coba2005_brian.py", size, synapses, duration, count
        )
    if options.nest_python and size <= 4000:  # larger ones take it minutes
        found["NEST, 1 thread"] = Peer(
            options.nest_python, "coba2005_nest.py", size, synapses, duration, 1
        )
    return found


def measure(options, size, synapses):
    """A row: medians of all systems, and how much faster evops is than each of them."""
    large = (size, synapses) == LARGE
    duration, rounds = (200.0, 1) if large else (options.duration, options.rounds)
    running = systems(options, size, synapses, duration)
    runs = {name: [] for name in running}
    for _ in range(rounds):
        for name, system in running.items():
            runs[name].append(system.run())
            print(size, synapses, name, {k: round(runs[name][-1][k], 3) for k in (SPEED, RATE)},
                  flush=True)  # fmt: skip
    row = {"size": size, "synapses": synapses, "duration_ms": duration, "rounds": rounds}
    ours = [r[SPEED] for r in runs["evops"]]
    for name, results in runs.items():
        running[name].close()
        times = [r[SPEED] for r in results]
        row[name] = {
            SPEED: round(statistics.median(times), 4),
            "best": round(min(times), 4),
            "compile_seconds": round(statistics.median(r["compile_seconds"] for r in results), 2),
            "rates_hz": [round(r[RATE], 2) for r in results],
        }
        if name == "evops":
            row[name]["peak_memory_mb"] = max(r["peak_memory_mb"] for r in results)
            continue
        connect = statistics.median(r["connect_seconds"] for r in results)
        row[name]["connect_seconds"] = round(connect, 2)
        ratios = [theirs / mine for theirs, mine in zip(times, ours, strict=True)]
        row[name]["times_evops"] = round(statistics.median(ratios), 2)
        row[name]["times_evops_best_of_both"] = round(min(times) / min(ours), 2)
    return row


def draw(rows):
    """Wall time per second of biology, a group of bars for each network."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [n for n in max(rows, key=len) if isinstance(rows[0].get(n), dict)]
    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for i, name in enumerate(names):
        shown = [(k, row[name][SPEED]) for k, row in enumerate(rows) if name in row]
        bars = axes.bar(
            [k + (i - len(names) / 2 + 0.5) * 0.8 / len(names) for k, _ in shown],
            [s for _, s in shown], 0.8 / len(names), label=name,
        )  # fmt: skip
        axes.bar_label(bars, fmt="%.3g", fontsize=8)
    axes.set_xticks(
        range(len(rows)), [f"{r['size']:,} neurons\n{r['synapses']} synapses" for r in rows]
    )
    axes.set(yscale="log", ylabel="wall time per second of biology (s)", title="COBA network")
    axes.legend()
    path = common.RESULTS / "coba2005.png"
    figure.savefig(path, dpi=120)
    return path


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--brian-python", help="interpreter that has brian2")
    parser.add_argument("--nest-python", help="interpreter that has nest")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=float, default=1100.0, help="ms")
    parser.add_argument("--large", action="store_true", help="also 1,000,000 neurons, 200 ms, once")
    options = parser.parse_args()
    rows = []
    for size, synapses in [*SIZES, *([LARGE] if options.large else [])]:
        rows.append(measure(options, size, synapses))
        print(rows[-1], flush=True)
        print(common.write("coba2005", {**common.machine(), "rows": rows}))
    print(draw(rows))


if __name__ == "__main__":
    main()
