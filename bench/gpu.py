"""Operators and networks on a GPU: equal bits first, then time. One command:

    python bench/gpu.py [--quick] [--no-networks] [--no-grid] [--minutes M] [--out FOLDER]

1. Every rule draws on the device what it draws on the CPU, bit for bit.
2. How fast the device adds to random places: atomic operations on its memory and on the memory that a block shares,
   by kernels of our own (additions.py), and XLA's scatter-add.
3. What a step of a network costs where no neuron fires: launches.
4. Steps per second of the three networks, each in a process of its own.
5. The grid of event_mv.py up to n = 1,000,000 (10^11 pairs at p = 0.1), beside the peers that are installed, and
   synapses per second beside the rates of 2.

Results are written after every section and every point of the grid, to results/gpu.json and gpu.png. What fails is
reported, does not stop the rest, and makes the exit status 1. Listed as left out are systems of the grid that do not
run (no memory, no support for the device), and what there was no time for (--minutes). Where there is no GPU this
runs on the CPU, in sizes for that, without the kernels of 2, to gpu_on_cpu.json and .png.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# with a driver there is a GPU or an error; otherwise JAX chooses
os.environ.setdefault("JAX_PLATFORMS", "cuda,cpu" if Path("/dev/nvidiactl").exists() else "")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the networks share the card

import jax
import jax.numpy as jnp
import numpy as np

import common
import event_mv
import evops
from event_mv import ON_GPU

DEVICE = jax.devices()[0]
CPU = jax.local_devices(backend="cpu")[0]
SIZES = (1000, 4000, 40_000, 400_000, 1_000_000) if ON_GPU else (1000, 4000)
TARGETS = 4096, 40_000, 1_000_000
NETWORK_SECONDS = 240  # at most, so that one leaves time for others
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
        yield evops.OneToOne(), 1.0, (shape[1], shape[1])
        yield evops.LfsrGaps(0.1), 1.0, shape


def check_equal():
    """How many sums, of both directions, are the same bits on both devices; all must be."""
    rng = np.random.default_rng(0)
    compared, differ = 0, []
    for rule, law, shape in rules():
        x, v = (rng.random(n) < 0.05 for n in shape)
        results = []
        for device in (DEVICE, CPU):
            with jax.default_device(device):
                W = evops.Projection(rule, law, shape, seed=7)
                both = jnp.asarray(x) @ W, W @ jnp.asarray(v)
                results.append([np.asarray(r) for r in both])
        for which, here, there in zip(("x @ W", "W @ v"), *results, strict=True):
            compared += len(here)
            if wrong := int((here != there).sum()):
                differ.append(f"{which}, {rule} of shape {shape}: {wrong} of {len(here)}")
    if differ:
        raise AssertionError(f"sums that differ between {DEVICE} and {CPU}: {'; '.join(differ)}")
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


def rate_of(name, size, made, add):
    """Additions a second of `add`, which makes so many when it is given an array of one integer."""

    def step(total):
        return add((total * 0).astype(jnp.int32)[None] + 1)[0].astype(jnp.float32) * 0

    rate = made / seconds_per_step(step, steps=20)
    print(f"{name} of {size}: {rate:.3g} a second", flush=True)
    return rate


def additions_by_xla():
    """Rate of XLA's scatter-add to random places, by elements of the target."""
    count = 1 << (24 if ON_GPU else 20)
    rates = {}
    for size in TARGETS:
        places = jnp.asarray(np.random.default_rng(1).integers(0, size, count), jnp.int32)

        def add(begin, size=size, places=places):
            zeros = jnp.zeros(size, jnp.float32) + 0 * begin[0].astype(jnp.float32)
            return zeros.at[places].add(1.0)

        rates[size] = rate_of("XLA scatter-add, float32", size, count, add)
    return {"XLA, float32": rates}


def additions_by_kernels():
    """The same of atomic operations, by what they add to, after a check of the sums."""
    import additions

    def check(name, found, expected):
        if not np.array_equal(found, expected):
            raise AssertionError(f"{name}: sums of atomic additions are wrong")

    one = jnp.ones(1, jnp.int32)
    count, blocks, rounds = 1 << 24, 1024, 256
    made, target = blocks * additions.THREADS * rounds, additions.SHARED_TARGET
    shared = additions.expected(1, made, target)
    rates = {}
    for dtype in ("int32", "float32"):
        name = f"memory, {dtype}"
        for size in TARGETS:
            add = additions.memory(size, dtype, count)
            check(name, np.asarray(add(one)), additions.expected(1, count, size))
            rates.setdefault(name, {})[size] = rate_of(name, size, count, add)
        name, add = f"shared, {dtype}", additions.shared(dtype, blocks, rounds)
        check(name, np.asarray(add(one)), shared)
        rates[name] = {target: rate_of(name, target, made, add)}
    return rates


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


def synapses_per_second(rows, additions):
    """For each kind of weights the best rate of the grid at each n, and that of additions."""
    best = {}
    for row in rows:
        if not row["system"].startswith("evops") or row["us_above_loop_step"] <= 0:
            continue
        of_system = best.setdefault(row["system"], {})
        rate = row["synapses"] / row["us_above_loop_step"] * 1e6
        if rate > of_system.get(row["n"], {"rate": 0})["rate"]:
            of_system[row["n"]] = {"rate": rate, "p": row["p"], "firing": row["rate"]}
    # counts are integers where there is one weight for all
    for system, of_system in best.items():
        kind = "int32" if system in ("evops", "evops published") else "float32"
        for n, found in of_system.items():
            if rates := additions.get(f"memory, {kind}") or additions.get("XLA, float32"):
                size = min(rates, key=lambda size: abs(np.log(size / n)))
                found["additions"], found["to_elements"] = rates[size], size
                found["share_of_additions"] = round(found["rate"] / rates[size], 3)
            if shared := additions.get(f"shared, {kind}"):
                found["share_of_shared"] = round(found["rate"] / max(shared.values()), 3)
            print(f"{system}, n={n}: {found['rate']:.3g} synapses a second at best;", found)
    return best


def network(arguments, seconds):
    """What a network's command writes about its speed."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "evops", *arguments, "--out", folder]
        seconds = min(seconds or NETWORK_SECONDS, NETWORK_SECONDS)
        environment = {**os.environ, "PYTHONSAFEPATH": "1"}  # the package that is installed
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=environment
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-500:])
        [path] = Path(folder).glob("*.json")
        content = json.loads(path.read_text())
    wanted = ("steps_per_second", "seconds_per_biological_second", "compile_seconds")
    return {k: content[k] for k in wanted if k in content}


class Report:
    """What was found so far, on disk after every step."""

    def __init__(self, folder, minutes):
        self.began = time.monotonic()
        self.until = self.began + 60 * minutes
        self.folder, self.name = folder, "gpu" if ON_GPU else "gpu_on_cpu"
        self.content = {**common.machine(), "device": DEVICE.device_kind}
        self.content["platform"] = DEVICE.client.platform_version
        self.content |= {"failed": {}, "no_time_for": []}

    def left(self):
        """Seconds, or None where there is no limit."""
        seconds = self.until - time.monotonic()
        return None if seconds == float("inf") else seconds

    def write(self):
        return common.write(self.name, self.content, self.folder)

    def section(self, key, title, function, *arguments):
        """Add what the function returns, or why it failed."""
        passed = time.monotonic() - self.began
        print(f"\n[{passed:.0f} s] {title}", flush=True)
        if time.monotonic() > self.until:
            print("left out: the time is up", flush=True)
            self.content["no_time_for"].append(key)
            return None
        try:
            self.content[key] = function(*arguments)
        except Exception as error:
            why = f"{type(error).__name__}: {str(error).strip()[:2000]}"
            self.content["failed"][key] = why
            print(f"failed: {why}", flush=True)
        self.write()
        return self.content.get(key)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="n up to 40,000, no 0.1 %% firing")
    parser.add_argument("--no-networks", action="store_true")
    parser.add_argument("--no-grid", action="store_true")
    parser.add_argument("--budget", type=float, default=0.05, help="seconds a round and system")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing later")
    parser.add_argument("--out", type=Path, default=common.RESULTS, help="folder of the results")
    options = parser.parse_args()
    print(f"on {DEVICE.device_kind}" + ("" if ON_GPU else ": no GPU here, on the CPU instead"))
    report = Report(options.out, options.minutes)
    section, content = report.section, report.content
    if compared := section("sums_equal_to_the_cpu", "equal bits", check_equal):
        same = "" if ON_GPU else " (the same device, which shows nothing)"
        print(f"{compared} sums are equal, bit for bit, on {DEVICE} and {CPU}{same}", flush=True)
    additions = section("additions_by_xla", "additions by XLA", additions_by_xla) or {}
    if ON_GPU and importlib.util.find_spec("taichi") is None:
        print("\natomic additions are left out: taichi is not installed", flush=True)
        content["not_installed"] = ["taichi"]
    elif ON_GPU:
        title = "atomic additions, to memory and to what a block shares"
        by_kernels = section("additions_by_kernels", title, additions_by_kernels) or {}
        additions = {**additions, **by_kernels}  # the report keeps its own
    if empty := section("empty_step_us", "a step without spikes", empty_steps):
        print("a step without spikes, in µs:", empty, flush=True)
    for name, arguments in {} if options.no_networks else NETWORKS.items():
        title = f"network {name}"
        print(section(title, title, network, arguments, report.left()) or "", flush=True)
    sizes = [n for n in SIZES if n <= 40_000] if options.quick else SIZES
    rates = (0.0, 0.01, 0.1) if options.quick else event_mv.RATES

    def keep(rows, left_out):
        content["rows"], content["left_out"] = rows, left_out
        report.write()

    def grid():
        rows, left_out = event_mv.measure(
            sizes, rates, options.budget, MAX_SYNAPSES, keep, report.until
        )
        keep(rows, left_out)
        if own := event_mv.broken(left_out):
            raise RuntimeError(f"evops itself failed: {own}")
        return len(rows)

    if not options.no_grid:
        section("grid", "products, beside the peers", grid)
    if rows := content.get("rows"):
        content["synapses_per_second"] = synapses_per_second(rows, additions)
        try:
            event_mv.draw(rows, options.out / f"{report.name}.png")
        except ImportError as error:
            print(f"no picture: {error}")
    print(
        f"\n{report.write()}",
        *(f"failed: {k}: {v}" for k, v in content["failed"].items()),
        sep="\n",
    )
    sys.exit(bool(content["failed"]))


if __name__ == "__main__":
    main()
