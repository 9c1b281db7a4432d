"""Draws the cases in one simulator, and writes what is measured into the record.

    python record.py nest|brainpy RECORD.json [--seed N]

Runs in an environment with that simulator and NumPy; the rest of the record stays as it is.
"""

import argparse
import importlib
import json
from pathlib import Path

import compared
import numpy as np


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=compared.CASES)
    parser.add_argument("record", type=Path)
    parser.add_argument("--seed", type=int, default=1000)
    given = parser.parse_args()
    peer = importlib.import_module(f"in_{given.peer}")
    record = json.loads(given.record.read_text()) if given.record.exists() else {}
    measured = {}
    for name, case in compared.CASES[given.peer].items():
        drawn = peer.draw(name, case, given.seed)
        measured[name] = compared.measure(case, drawn, peer.period(case))
        print(name, flush=True)
    versions = {given.peer: peer.VERSION, "numpy": np.__version__}
    record[given.peer] = {"versions": versions, "seed": given.seed, "cases": measured}
    lines = [
        f" {json.dumps(peer)}: {{\n  "
        + ",\n  ".join(
            f"{json.dumps(key)}: {json.dumps(part[key])}" for key in ("versions", "seed")
        )
        + ',\n  "cases": {\n   '
        + ",\n   ".join(f"{json.dumps(n)}: {json.dumps(c)}" for n, c in part["cases"].items())
        + "\n  }\n }"
        for peer, part in sorted(record.items())
    ]
    given.record.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
