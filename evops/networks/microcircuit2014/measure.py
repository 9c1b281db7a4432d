"""Measures of a run of the microcircuit: rates, irregularity and synchrony of its populations.

Source of the measures: Potjans & Diesmann (2014), Cereb. Cortex 24:785-806,
doi:10.1093/cercor/bhs358, figure 6.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from evops.networks.microcircuit2014.model import Model
from evops.networks.shared.simulate import Run

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


def activity(model: Model, run: Run, settle_ms: float) -> Activity:
    """The activity of a run after `settle_ms`; `run` counts neurons without the gaps."""
    start = model.steps(settle_ms)
    return activity_of_spikes(run.steps, run.neurons, model.neurons, model.dt, start, run.n_steps)


def activity_of_spikes(
    steps: np.ndarray,
    neurons: np.ndarray,
    sizes: Sequence[int] | np.ndarray,
    dt_ms: float,
    start: int,
    stop: int,
) -> Activity:
    """The activity from step `start` to before `stop`, of spikes from any simulator.

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


def _irregularity(
    steps: np.ndarray, neurons: np.ndarray, population: np.ndarray, n_populations: int
) -> np.ndarray:
    """`(populations,)` mean coefficient of variation of the intervals; NaN without neurons."""
    result = np.full(n_populations, np.nan)
    order = np.lexsort((steps, neurons))
    neuron = neurons[order]
    same = neuron[1:] == neuron[:-1]  # both spikes of an interval are of one neuron
    interval = np.diff(steps[order])[same].astype(float)
    if not interval.size:
        return result
    _, first, owner, count = np.unique(
        neuron[1:][same], return_index=True, return_inverse=True, return_counts=True
    )
    mean = np.bincount(owner, interval) / count
    spread = np.bincount(owner, (interval - mean[owner]) ** 2)
    population_of = population[order][1:][same][first]
    for i in range(n_populations):
        chosen = (population_of == i) & (count >= LEAST_INTERVALS)
        if chosen.any():
            std = np.sqrt(spread[chosen] / (count[chosen] - 1))
            result[i] = (std / mean[chosen]).mean()
    return result


def _synchrony(
    bin_of_spike: np.ndarray, population: np.ndarray, n_populations: int, bins: int
) -> np.ndarray:
    """`(populations,)` variance over mean of the spike counts in bins; NaN without spikes."""
    result = np.full(n_populations, np.nan)
    if bins < 2:
        return result
    whole = bin_of_spike < bins  # the last bin may be cut short
    flat = population[whole] * bins + bin_of_spike[whole]
    counts = np.bincount(flat, minlength=n_populations * bins).reshape(n_populations, -1)
    active = counts.sum(axis=1) > 0
    result[active] = counts[active].var(axis=1) / counts[active].mean(axis=1)
    return result
