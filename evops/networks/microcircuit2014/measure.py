"""What a run of the microcircuit shows: rates, irregularity and synchrony of its populations."""

import dataclasses

import numpy as np

# Bins of the spike counts whose variance over mean is the synchrony.
BIN_MS = 3.0
# Neurons with fewer intervals than this have no coefficient of variation.
LEAST_INTERVALS = 3


@dataclasses.dataclass(frozen=True)
class Activity:
    """Activity of the populations within a window.

    Attributes:
        rate_hz: `(populations,)` mean rate of a neuron.
        cv: `(populations,)` coefficient of variation of the intervals between spikes, the mean over
            neurons with at least 3 intervals; NaN where there are none.
        synchrony: `(populations,)` variance over mean of a population's spike counts in bins of
            3 ms: 1 for independent Poisson neurons; NaN without spikes.
    """

    rate_hz: np.ndarray
    cv: np.ndarray
    synchrony: np.ndarray


def activity(
    steps: np.ndarray, neurons: np.ndarray, sizes, dt_ms: float, start: int, stop: int
) -> Activity:
    """Activity from step `start` to before `stop`.

    Args:
        steps: `(spikes,)` time step of every spike.
        neurons: `(spikes,)` its neuron; populations lie one after another.
        sizes: neurons of each population.
        dt_ms: length of a step.
        start: first step of the window.
        stop: the step after its last.
    """
    sizes = np.asarray(sizes)
    inside = (steps >= start) & (steps < stop)
    steps, neurons = steps[inside].astype(np.int64) - start, neurons[inside].astype(np.int64)
    population = np.repeat(np.arange(len(sizes)), sizes)[neurons]
    count = np.bincount(population, minlength=len(sizes))
    seconds = (stop - start) * dt_ms * 1e-3
    width = max(round(BIN_MS / dt_ms), 1)
    bins = (stop - start) // width
    return Activity(
        rate_hz=count / sizes / seconds,
        cv=_irregularity(steps, neurons, population, len(sizes)),
        synchrony=_synchrony(steps // width, population, len(sizes), bins),
    )


def _irregularity(steps, neurons, population, n_populations) -> np.ndarray:
    order = np.lexsort((steps, neurons))
    neuron, interval = neurons[order], np.diff(steps[order])
    same = neuron[1:] == neuron[:-1]
    ids, at, count = np.unique(neuron[1:][same], return_inverse=True, return_counts=True)
    of = np.zeros(0, int) if ids.size == 0 else population[order][1:][same]
    result = np.full(n_populations, np.nan)
    interval = interval[same].astype(float)
    mean = np.bincount(at, interval) / np.maximum(count, 1) if ids.size else np.zeros(0)
    spread = np.bincount(at, (interval - mean[at]) ** 2) if ids.size else np.zeros(0)
    group = np.zeros(ids.size, int)
    group[at] = of
    for i in range(n_populations):
        chosen = (group == i) & (count >= LEAST_INTERVALS)
        if chosen.any():
            std = np.sqrt(spread[chosen] / (count[chosen] - 1))
            result[i] = (std / mean[chosen]).mean()
    return result


def _synchrony(bin_of, population, n_populations, bins) -> np.ndarray:
    result = np.full(n_populations, np.nan)
    whole = bin_of < bins
    flat = population[whole] * max(bins, 1) + bin_of[whole]
    counts = np.bincount(flat, minlength=n_populations * max(bins, 1)).reshape(n_populations, -1)
    active = counts.sum(axis=1) > 0
    if bins > 1:
        result[active] = counts[active].var(axis=1) / counts[active].mean(axis=1)
    return result
