"""Running a network: time steps in chunks under one compiled scan, their spikes collected."""

import contextlib
import dataclasses
import os
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Steps per compiled call: long enough to hide the call, short enough for a live progress bar.
CHUNK = 100


def whole_steps(ms: Any, dt: float) -> Any:
    """Times in ms as whole numbers of steps of `dt` ms, halves rounded up."""
    return np.floor(np.asarray(ms) / dt + 0.5).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Run:
    """Spikes and wall time of one run.

    Attributes:
        steps: `(spikes,)` time step of every spike, rising.
        neurons: `(spikes,)` index of the neuron.
        n_steps: length of the run.
        run_seconds: wall time of the simulation, without compilation.
        trace: `(n_steps,)` what was watched after every step, or None.
    """

    steps: np.ndarray
    neurons: np.ndarray
    n_steps: int
    run_seconds: float
    trace: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Simulator:
    """A compiled network: ``step(parameters, state, n) -> (state, spikes)``, in chunks of steps.

    Attributes:
        chunk: ``(parameters, state, record, start) -> (state, record, trace)``; uses state and
            record up.
        record: shape of a record, `(steps, …)` bool: the spikes of a chunk.
        compile_seconds: wall time of compiling.
    """

    chunk: Callable
    record: jax.ShapeDtypeStruct
    compile_seconds: float

    @classmethod
    def compile(
        cls,
        step: Callable,
        parameters: Any,
        state: Any,
        *,
        chunk_steps: int = CHUNK,
        split_updates: bool = True,
        watch: Callable | None = None,
    ) -> "Simulator":
        """Compile `step` for parameters and states of these shapes.

        Args:
            step: one time step.
            parameters: values that it reads.
            state: values that it changes.
            chunk_steps: steps of a compiled call.
            split_updates: whether XLA may divide element-wise updates among threads. Where they
                take some 10 us, waking a thread takes longer. Products are not concerned.
            watch: a number of the state that is kept after every step, or None.
        """
        begin = time.perf_counter()
        chunk = _chunk_of(step, chunk_steps, watch)
        start = jax.ShapeDtypeStruct((), jnp.int32)
        spikes = jax.eval_shape(step, parameters, state, start)[1]
        record = jax.ShapeDtypeStruct((chunk_steps, *spikes.shape), spikes.dtype)
        lowered = jax.jit(chunk, donate_argnums=(1, 2)).lower(parameters, state, record, start)
        with contextlib.nullcontext() if split_updates else _on_one_core():
            compiled = lowered.compile()
        return cls(compiled, record, time.perf_counter() - begin)

    def empty_record(self) -> jax.Array:
        """A record without spikes."""
        return jax.device_put(np.zeros(self.record.shape, self.record.dtype))

    def run(
        self, parameters: Any, state: Any, n_steps: int, progress: Callable | None = None
    ) -> Run:
        """Simulate `n_steps`; `state` is used up. `progress(steps)` is called as chunks finish."""
        times, neurons, traces = [], [], []
        # Two records in turn: the spikes of one chunk are collected while the next one runs.
        free = [self.empty_record(), self.empty_record()]
        parameters, state = jax.block_until_ready(jax.device_put((parameters, state)))
        begin = time.perf_counter()
        waiting = None
        chunk_steps = self.record.shape[0]
        for start in range(0, n_steps, chunk_steps):
            state, spikes, trace = self.chunk(parameters, state, free.pop(), np.int32(start))
            traces.append(trace)
            if waiting is not None:
                _collect(*waiting, times, neurons, progress)
                free.append(waiting[1])
            waiting = (start, spikes, min(chunk_steps, n_steps - start))
        if waiting is not None:
            _collect(*waiting, times, neurons, progress)
        seconds = time.perf_counter() - begin
        none = [np.zeros(0, np.int32)]
        found = np.concatenate(times or none), np.concatenate(neurons or none)
        watched = None
        if traces and traces[0] is not None:
            watched = np.concatenate(jax.device_get(traces))[:n_steps]
        return Run(*found, n_steps, seconds, watched)


def _chunk_of(step: Callable, chunk_steps: int, watch: Callable | None) -> Callable:
    """The program of a chunk: `step` under a scan that writes the spikes into a record.

    The record is an argument that is donated, since fresh memory for every chunk costs more than
    filling it.
    """

    def chunk(parameters, state, record, start):
        def body(carry, i):
            state, record = carry
            state, spikes = step(parameters, state, start + i)
            watched = None if watch is None else watch(state)
            return (state, jax.lax.dynamic_update_index_in_dim(record, spikes, i, 0)), watched

        steps = jnp.arange(chunk_steps, dtype=jnp.int32)
        (state, record), trace = jax.lax.scan(body, (state, record), steps)
        return state, record, trace

    return chunk


@contextlib.contextmanager
def _on_one_core() -> Iterator[None]:
    """Keep this thread on one core while it compiles.

    XLA divides updates by the number of cores of the thread that compiles, and has no option for
    it. Threads that run already, those of XLA among them, keep their cores.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    jax.devices()  # starts XLA's threads
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _collect(
    start: int,
    spikes: jax.Array,
    count: int,
    times: list[np.ndarray],
    neurons: list[np.ndarray],
    progress: Callable | None,
) -> None:
    """Append the spikes of a finished chunk as (step, neuron) pairs."""
    fired = np.asarray(spikes)[:count].reshape(count, -1)
    flat = np.flatnonzero(fired)
    step = flat // fired.shape[1]
    times.append((start + step).astype(np.int32))
    neurons.append((flat - step * fired.shape[1]).astype(np.int32))
    if progress is not None:
        progress(count)


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB (10^6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
