"""Operators and networks on a GPU: equal bits first, then time. One command:

    python bench/gpu.py [--quick] [--no-networks]

1. Every rule draws on the device what it draws on the CPU, bit for bit; the benchmark stops where that fails.
2. The grid of event_mv.py up to n = 1,000,000 (10^11 pairs at p = 0.1), beside the peers that are installed.
3. Synapses per second beside the rate at which the device adds to random places of memory (XLA's scatter-add).
4. What a step of a network costs where no neuron fires: launches.
5. Steps per second of the three networks, each in a process of its own.

Where there is no GPU it runs on the CPU, in sizes for that, and says so. Writes results/gpu.json and gpu.png (or
gpu_on_cpu.json and .png).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cuda,cpu" if Path("/dev/nvidiactl").exists() else "cpu")

import common
import event_mv
import jax
import jax.numpy as jnp
import numpy as np

import evops

DEVICE = jax.devices()[0]
ON_GPU = DEVICE.platform == "gpu"
CPU = jax.local_devices(backend="cpu")[0]
SIZES = (1000, 4000, 40_000, 400_000, 1_000_000) if ON_GPU else (1000, 4000)
MAX_SYNAPSES = 2e9 if ON_GPU else 2e6
NETWORKS = {
    "joglekar2018": ["joglekar2018", "--no-plot"],
    "microcircuit2014, Poisson": ["microcircuit2014", "--no-plot"],
    "microcircuit2014, constant": ["microcircuit2014", "--no-plot", "--drive", "dc"],
    "coba2005, 4,000 x 80": ["coba2005", "--no-plot"],
    "coba2005, 1,000,000 x 80": [
        "coba2005", "--no-plot", "--size", "1000000", "--synapses", "80", "--duration", "100",
    ],
}  # fmt: skip


def rules():
    """Rule, weight and shape of what must be equal on both devices."""
    few, many = (300, 5000), (2000, 40_000)
    F = evops.FixedProbability
    for shape in (few, many):
        for p in (1.0, 0.5, 0.3, 0.1, 0.02, 1e-3, 1e-5):
            yield F(p), 1.0, shape
        yield F(0.1, autapses=False), 1.0, shape
        yield evops.FixedOutDegree(100), 1.0, shape
        yield evops.FixedOutDegree(100, multapses=True), 1.0, shape
        yield evops.FixedTotalNumber(100_000), 1.0, shape
        yield evops.FixedInDegree(10), 1.0, shape
        yield evops.OneToOne(), 1.0, shape
        yield evops.LfsrGaps(0.1), 1.0, shape


def check_equal():
    """Compare counts of both directions on both devices; returns how many were compared."""
    rng = np.random.default_rng(0)
    compared = 0
    for rule, law, shape in rules():
        x, v = (rng.random(n) < 0.05 for n in shape)
        results = []
        for device in (DEVICE, CPU):
            with jax.default_device(device):
                W = evops.Projection(rule, law, shape, seed=7)
                both = jnp.asarray(x) @ W, W @ jnp.asarray(v)
                results.append([np.asarray(r) for r in both])
        for here, there in zip(*results, strict=True):
            if not np.array_equal(here, there):
                sys.exit(f"{rule} of shape {shape} differs between {DEVICE} and {CPU}")
            compared += len(here)
    return compared


def seconds_per_step(function, *operands, steps=2000, rounds=5):
    """Median seconds of one step of a loop whose result depends on the step before."""

    @jax.jit
    def loop(operands):
        def body(_, total):
            return total + function(total, *operands)

        return jax.lax.fori_loop(0, steps, body, jnp.float32(0))

    jax.block_until_ready(loop(operands))
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        jax.block_until_ready(loop(operands))
        times.append((time.perf_counter() - begin) / steps)
    return statistics.median(times)


def additions_per_second():
    """Rate of additions to random places, by size of the target in elements."""
    out = {}
    count = 1 << (24 if ON_GPU else 20)
    for size in (4096, 40_000, 1_000_000):
        places = jnp.asarray(np.random.default_rng(1).integers(0, size, count), jnp.int32)

        def add(total, places, size=size):
            zeros = jnp.zeros(size, jnp.float32) + 0 * total
            return zeros.at[places].add(1.0)[0] * 0

        out[size] = count / seconds_per_step(add, places, steps=20)
    return out


def empty_steps():
    """Microseconds of a step without spikes: a product, a push and a pop."""
    n = 10_000
    W = evops.Projection(evops.FixedProbability(0.1), 1.0, (n, n), seed=1)
    delayed = evops.Projection(evops.FixedProbability(0.1), 1.0, (n, n), seed=1, delay=3)
    silent = jnp.zeros(n, bool)

    def product(total, W, x):
        return ((x & (total > 1)) @ W)[0]

    out = {"product": seconds_per_step(product, W, silent) * 1e6}
    buffer = evops.DelayBuffer.zeros(n, delayed.max_delay)

    @jax.jit
    def scan(W, x, buffer):
        def step(buffer, _):
            now, buffer = W.push(x, buffer).pop()
            return buffer, now[0]

        return jax.lax.scan(step, buffer, None, length=2000)[1].sum()

    jax.block_until_ready(scan(delayed, silent, buffer))
    begin = time.perf_counter()
    jax.block_until_ready(scan(delayed, silent, buffer))
    out["push and pop"] = (time.perf_counter() - begin) / 2000 * 1e6
    return {k: round(v, 3) for k, v in out.items()}


def network(arguments):
    """What a network's command writes about its speed."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "evops", *arguments, "--out", folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return {"error": done.stderr.strip().splitlines()[-1:]}
        [path] = Path(folder).glob("*.json")
        content = json.loads(path.read_text())
    wanted = ("steps_per_second", "seconds_per_biological_second", "compile_seconds")
    return {k: content[k] for k in wanted if k in content}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="n up to 40,000, no 0.1 %% firing")
    parser.add_argument("--no-networks", action="store_true")
    parser.add_argument("--budget", type=float, default=0.05, help="seconds a round and system")
    options = parser.parse_args()
    print(f"on {DEVICE.device_kind}" + ("" if ON_GPU else ": no GPU here, on the CPU instead"))
    compared = check_equal()
    print(f"{compared} sums are equal, bit for bit, on {DEVICE} and {CPU}")
    sizes = [n for n in SIZES if n <= 40_000] if options.quick else SIZES
    rates = (0.0, 0.01, 0.1) if options.quick else event_mv.RATES
    rows = event_mv.measure(sizes, rates, options.budget, MAX_SYNAPSES)
    additions = additions_per_second()
    best = max(
        (r["synapses"] / r["us_above_loop_step"] * 1e6, r["n"], r["p"])
        for r in rows
        if r["system"] == "evops" and r["synapses"] and r["us_above_loop_step"] > 0
    )
    print(f"at best {best[0]:.3g} synapses a second, at n = {best[1]}, p = {best[2]}")
    print("additions a second to random places:", {k: f"{v:.3g}" for k, v in additions.items()})
    empty = empty_steps()
    print("a step without spikes, in µs:", empty)
    networks = {}
    for name, arguments in {} if options.no_networks else NETWORKS.items():
        networks[name] = network(arguments)
        print(name, networks[name], flush=True)
    content = {
        **common.machine(),
        "device": DEVICE.device_kind,
        "sums_equal_to_the_cpu": compared,
        "synapses_per_second_at_best": best[0],
        "additions_per_second": additions,
        "empty_step_us": empty,
        "networks": networks,
        "rows": rows,
    }
    name = "gpu" if ON_GPU else "gpu_on_cpu"
    print(common.write(name, content))
    event_mv.draw(rows, common.RESULTS / f"{name}.png")


if __name__ == "__main__":
    main()
