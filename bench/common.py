"""What the benchmarks share: machine, versions, result files."""

import argparse
import json
import os
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "jax-evops jax jaxlib jax-cuda12-plugin jax-cuda13-plugin numpy scipy brainevent brainpy reservoirpy numba taichi"
).split()
RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> dict:
    """Processor, cores, and the versions that are installed."""
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": versions,
    }


def write(name: str, content: dict, folder: Path = RESULTS) -> Path:
    """Write ``<name>.json``, one row a line."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    parts = []
    for key, value in content.items():
        if isinstance(value, list):
            rows = ",\n  ".join(json.dumps(row) for row in value)
            parts.append(f' "{key}": [\n  {rows}\n ]')
        else:
            parts.append(f' "{key}": {json.dumps(value)}')
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")
    return path


def coba_options(description: str) -> argparse.Namespace:
    """Options of a peer's script of the COBA network."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", type=int, default=4000)
    parser.add_argument("--synapses", type=int, default=80)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--duration", type=float, default=1100.0, help="ms, 100 of them once")
    return parser.parse_args()
