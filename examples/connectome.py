"""The leaky integrate-and-fire model of a whole fly brain on a table of its synapses.

    python examples/connectome.py TABLE --pre COLUMN --post COLUMN --count COLUMN [--sign COLUMN] --drive ID [ID ...]

TABLE is a CSV or a parquet file (parquet needs pandas) with a row for each pair of neurons: their ids, the number of
their synapses, and 1 or -1 for excitation or inhibition, unless the numbers have signs. Pairs that repeat are added up.
The neurons of --drive get Poisson input. It prints who fires, and how often.

Model and parameters: Shiu et al. (2024), doi:10.1038/s41586-024-07763-9. `connectome_twin.py` makes a random table.
"""

import argparse
import dataclasses
import functools
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import taichi as ti

import evops


@dataclasses.dataclass(frozen=True)
class Model:
    """Parameters: potentials in mV, times in ms, rates in Hz."""

    rest: float = -52.0  # and reset
    threshold: float = -45.0
    tau_m: float = 20.0
    tau_g: float = 5.0
    refractory: float = 2.2  # of neurons without Poisson input
    delay: float = 1.8
    weight: float = 0.275  # onto g, times the signed number of synapses
    input_rate: float = 150.0
    input_weight: float = 68.75  # onto v
    dt: float = 0.1

    def steps(self, ms: float) -> int:
        """Time steps of so many ms."""
        return round(ms / self.dt)

    def constants(self, dtype: Any) -> np.ndarray:
        """What a step needs, as `neurons` reads it: v and g decay, and g flows into v."""
        keep_v, keep_g = math.exp(-self.dt / self.tau_m), math.exp(-self.dt / self.tau_g)
        flow = self.tau_g / (self.tau_g - self.tau_m) * (keep_g - keep_v)
        return np.array([self.rest, self.threshold, keep_v, keep_g, flow], dtype)


A, Ring = ti.types.ndarray(ndim=1), ti.types.ndarray(ndim=2)


@ti.kernel
def _neurons(sums: Ring, v: A, g: A, left: A, hold: A, constants: A, step: A, fired: A):
    rest, threshold = constants[0], constants[1]
    keep_v, keep_g, flow = constants[2], constants[3], constants[4]
    now = step[0]
    for i in range(v.shape[0]):
        arriving = sums[now, i]
        sums[now, i] = 0.0
        free = left[i] == 0
        v_new = ti.select(free, rest + (v[i] - rest) * keep_v + g[i] * flow, v[i])
        fires = free & (v_new > threshold)
        v[i] = ti.select(fires, rest, v_new)
        # what arrives at a neuron that fires, or is refractory, is lost
        g_new = ti.select(free, g[i] * keep_g + arriving, g[i])
        g[i] = ti.select(fires, 0.0, g_new)
        wait = ti.max(ti.cast(left[i], ti.i32), 1) - 1
        left[i] = ti.cast(ti.select(fires, ti.cast(hold[i], ti.i32), wait), ti.u8)
        fired[i] = ti.cast(fires, ti.u8)


def in_jnp(sums, v, g, left, hold, constants, step, *, outs):
    """The same step in plain JAX: its definition, and what runs where there are no kernels."""
    del outs
    rest, threshold, keep_v, keep_g, flow = constants
    arriving, free = sums[step[0]], left == 0
    v = jnp.where(free, rest + (v - rest) * keep_v + g * flow, v)
    fires = free & (v > threshold)
    g = jnp.where(free, g * keep_g + arriving, g)
    left = jnp.where(fires, hold, jnp.maximum(left, 1) - 1)
    sums = sums.at[step[0]].set(0)
    return [sums, jnp.where(fires, rest, v), jnp.where(fires, 0, g), left, fires]


# Input that arrives in this step is taken out of the buffer as neurons are updated, in one pass.
neurons = evops.XLACustomOp(
    _neurons, fallback=in_jnp, in_place={"sums": 0, "v": 1, "g": 2, "left": 3}, parallel=True
)


@dataclasses.dataclass(frozen=True)
class Connectome:
    """Neurons by their ids, and their synapses: numbers with signs, and a delay in steps."""

    ids: np.ndarray
    synapses: evops.CSR

    def index(self, ids: Sequence[int]) -> np.ndarray:
        """Indices of neurons of these ids."""
        at = np.searchsorted(self.ids, ids)
        known = self.ids[np.minimum(at, len(self.ids) - 1)] == np.asarray(ids)
        if not known.all():
            raise ValueError(f"no neuron has the id {np.asarray(ids)[~known][0]}")
        return at


def read(
    path: str | Path,
    pre: str,
    post: str,
    count: str,
    sign: str | None = None,
    model: Model | None = None,
) -> Connectome:
    """The connectome of a table; ids are integers of up to 64 bits."""
    columns = [pre, post, count] + [sign] * (sign is not None)
    table = _columns(Path(path), columns)
    signed = table[2] * table[3] if sign is not None else table[2]
    return connect(table[0], table[1], signed, model or Model())


def _columns(path: Path, names: list[str]) -> list[np.ndarray]:
    if path.suffix == ".parquet":
        import pandas

        frame = pandas.read_parquet(path, columns=names)
        return [frame[name].to_numpy(np.int64) for name in names]
    with path.open() as file:
        header = [name.strip().strip('"') for name in file.readline().split(",")]
    missing = [name for name in names if name not in header]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}: it has {', '.join(header)}")
    at = [header.index(name) for name in names]
    table = np.loadtxt(path, np.int64, delimiter=",", skiprows=1, usecols=at, ndmin=2)
    return list(table.T)


def connect(pre: np.ndarray, post: np.ndarray, counts: np.ndarray, model: Model) -> Connectome:
    """The connectome of pairs of ids and signed numbers of synapses; repeated pairs are added."""
    ids, index = np.unique(np.concatenate([pre, post]), return_inverse=True)
    pre, post = index[: len(pre)], index[len(pre) :]
    pairs, place = np.unique(pre * len(ids) + post, return_inverse=True)
    total = np.bincount(place, counts, len(pairs)).astype(np.int64)
    narrow = np.int16 if np.abs(total).max(initial=0) < 2**15 else np.int32
    # A step takes what arrives before it knows who fires, so a spike is pushed a step late.
    synapses = evops.CSR.from_edges(
        pairs // len(ids),
        pairs % len(ids),
        total.astype(narrow),
        shape=(len(ids), len(ids)),
        delay=model.steps(model.delay) - 1,
        scale=model.weight,
    )
    return Connectome(ids, synapses)


@functools.partial(jax.jit, static_argnames=("model", "capacity", "dtype", "backend"))
def run(
    synapses: evops.CSR,
    driven: jax.Array,
    events: jax.Array,
    *,
    model: Model,
    capacity: int,
    dtype: Any = jnp.float32,
    backend: str | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Trials one after another: the neurons that fire in each step, and how many they are.

    Args:
        synapses: as `Connectome` has them.
        driven: `(m,)`, the neurons with Poisson input.
        events: `(trials, steps, m)` bool, that input.
        model: the parameters.
        capacity: room for spikes of a step.
        dtype: of potentials.
        backend: as of evops.

    Returns:
        `(trials, steps, capacity)` indices, n where there are no more, and `(trials, steps)` counts.
    """
    n = synapses.shape[0]
    hold = jnp.full(n, model.steps(model.refractory) - 1, jnp.uint8).at[driven].set(0)
    constants = jnp.asarray(model.constants(dtype))
    slots = synapses.max_delay + 1
    outs = [jax.ShapeDtypeStruct((slots, n), dtype)]
    outs += [jax.ShapeDtypeStruct((n,), kind) for kind in (dtype, dtype, jnp.uint8, bool)]

    def step(carry, event):
        v, g, left, buffer = carry
        sums, v, g, left, fired = neurons(
            buffer.sums, v, g, left, hold, constants, buffer.step[None], outs=outs, backend=backend
        )
        buffer = buffer.with_sums(sums, advance=1)
        free = event & ~fired[driven]
        v = v.at[driven].add(jnp.where(free, jnp.asarray(model.input_weight, dtype), 0))
        spikes = evops.SpikeList.from_flags(fired, capacity, backend=backend)
        buffer = synapses.push(spikes, buffer)
        return (v, g, left, buffer), (spikes.indices, spikes.count)

    def trial(events):
        silent = jnp.full(n, model.rest, dtype), jnp.zeros(n, dtype), jnp.zeros(n, jnp.uint8)
        buffer = evops.DelayBuffer.zeros(n, synapses.max_delay, dtype, backend=backend)
        return jax.lax.scan(step, (*silent, buffer), events)[1]

    return jax.lax.map(trial, events)


def simulate(
    connectome: Connectome,
    drive: Sequence[int],
    ms: float,
    *,
    trials: int = 1,
    seed: int = 0,
    model: Model | None = None,
) -> np.ndarray:
    """Spikes of each neuron in each trial, `(trials, n)`.

    Args:
        connectome: neurons and synapses.
        drive: ids of the neurons with Poisson input.
        ms: time to simulate.
        trials: how many, with other input each.
        seed: of the input.
        model: the parameters; None for those of the paper.

    Raises:
        ValueError: an id that no neuron has.
        RuntimeError: more spikes in a step than there is room for: a hundredth of all neurons.
    """
    model = model or Model()
    driven = jnp.asarray(connectome.index(drive), jnp.int32)
    if len(set(map(int, drive))) < len(drive):
        raise ValueError(f"drive must name each neuron once, got {list(drive)}")
    if not 1 <= model.steps(model.refractory) <= 256:
        raise ValueError(f"refractory must be 1 to 256 steps, got {model.refractory} ms")
    shape = trials, model.steps(ms), len(drive)
    events = jax.random.bernoulli(jax.random.key(seed), model.input_rate * model.dt / 1e3, shape)
    n = len(connectome.ids)
    room = max(n // 100, 64)
    which, counts = run(connectome.synapses, driven, events, model=model, capacity=min(room, n))
    if int(counts.max(initial=0)) > room:
        raise RuntimeError(f"{int(counts.max())} neurons fire in one step, more than {room}")
    return np.stack(
        [np.bincount(trial.ravel(), minlength=n + 1)[:n] for trial in np.asarray(which)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("table", type=Path)
    for name in ("pre", "post", "count"):
        parser.add_argument(f"--{name}", required=True, help="name of the column")
    parser.add_argument("--sign", help="name of the column of 1 and -1")
    parser.add_argument("--drive", type=int, nargs="+", required=True, help="ids")
    parser.add_argument("--ms", type=float, default=1000.0)
    parser.add_argument("--trials", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    columns = options.pre, options.post, options.count, options.sign
    connectome = read(options.table, *columns)
    begin = time.perf_counter()
    spikes = simulate(
        connectome, options.drive, options.ms, trials=options.trials, seed=options.seed
    )
    seconds = time.perf_counter() - begin
    rates = spikes.mean(0) * 1e3 / options.ms
    print(
        f"{len(rates)} neurons, {connectome.synapses.nnz} pairs; {seconds:.1f} s with compilation"
    )
    print(f"{int((rates > 0).sum())} neurons fire, {rates.sum():.0f} spikes per second")
    for i in np.argsort(-rates)[:20]:
        print(f"{connectome.ids[i]}: {rates[i]:.1f} Hz")


if __name__ == "__main__":
    main()
