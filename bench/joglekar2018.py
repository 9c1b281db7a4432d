"""Speed, compile time and memory of the 29-area model, each run in a process of its own.

    python bench/joglekar2018.py [--rounds N]

Runs ``evops joglekar2018`` (async_weak, 950 ms, spikes recorded) as it is, with --scheme published and with --as-published, in
turns, and writes results/joglekar2018.json with the medians beside the published library's figure (122.8 steps per second,
compilation included; BrainPy 2.5.0, 2 cores, another machine).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import common

VARIANTS = {
    "default": [],
    "uniform gaps": ["--scheme", "published"],
    "as published": ["--as-published"],
}
KEYS = ("steps_per_second", "compile_seconds", "peak_memory_mb", "responding_areas", "baseline_hz")
PUBLISHED_STEPS_PER_SECOND = 122.8


def run(options):
    with tempfile.TemporaryDirectory() as out:
        command = [
            sys.executable,
            "-m",
            "evops",
            "joglekar2018",
            "--no-plot",
            "--out",
            out,
            *options,
        ]
        subprocess.run(command, check=True, capture_output=True)
        content = json.loads((Path(out) / "joglekar2018.json").read_text())
    content["steps"] = round(content["duration_ms"] / content["dt_ms"])
    return content


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    results = {name: [] for name in VARIANTS}
    for _ in range(rounds):
        for name, options in VARIANTS.items():
            results[name].append(run(options))
            print(name, {k: results[name][-1][k] for k in KEYS}, flush=True)
    rows = []
    for name, runs in results.items():
        row = {"variant": name, **{k: statistics.median(r[k] for r in runs) for k in KEYS}}
        whole = [
            r["steps"] / (r["steps"] / r["steps_per_second"] + r["compile_seconds"]) for r in runs
        ]
        row["steps_per_second_with_compilation"] = round(statistics.median(whole), 1)
        row["times_the_published_library"] = round(
            statistics.median(whole) / PUBLISHED_STEPS_PER_SECOND, 1
        )
        row["all_steps_per_second"] = [r["steps_per_second"] for r in runs]
        rows.append(row)
        print(row)
    print(common.write("joglekar2018", {**common.machine(), "rows": rows}))


if __name__ == "__main__":
    main()
