"""Measures of a run of the 29-area model: excitatory rates, responding areas, runaways.

Source of the measures: the authors' analysis, as Joglekar et al. (2018), Neuron 98:222-234,
doi:10.1016/j.neuron.2018.02.031, publish peaks in sliding windows of 10 ms.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from evops.networks.joglekar2018.model import ONSET_MS, Model
from evops.networks.shared.simulate import Run

WINDOW_MS = 10.0
# Windows start every millisecond, as in the authors' analysis.
SLIDE_MS = 1.0
# Potentials settle from their initial values in this time. Rates before the stimulus are taken
# after it.
SETTLE_MS = 100.0
# In the sync regimes peaks are taken within this time of the onset: later ones belong to runaways.
SYNC_RESPONSE_MS = 35.0
RUNAWAY_HZ = 50.0
# An area that ignites goes to 400 to 500 Hz. The initial potentials alone can give 250 Hz in the
# first 5 ms, which are therefore left out.
IGNITION_HZ, FIRST_MS = 100.0, 5.0


@dataclasses.dataclass(frozen=True)
class Activity:
    """Excitatory activity of one run, or its mean over trials.

    Attributes:
        counts: `(steps, areas)` spikes of E neurons.
        peak_hz: `(areas,)`, largest rate in a 10 ms window from the onset of the stimulus.
        response_hz: the same within 35 ms of the onset for the sync regimes, else `peak_hz`.
        before_hz: `(areas,)`, the same between 100 ms and the onset.
        baseline_hz: mean rate of all areas between 100 ms and the onset.
        responding: areas whose response is more than twice their `before_hz`.
        runaway: whether the network's mean rate exceeds 50 Hz in some 10 ms window from the onset.
        ignition: whether an area's rate exceeds 100 Hz in some 10 ms window between 5 ms and the
            onset.
    """

    counts: np.ndarray
    peak_hz: np.ndarray
    response_hz: np.ndarray
    before_hz: np.ndarray
    baseline_hz: float
    responding: int
    runaway: bool
    ignition: bool


def activity(model: Model, run: Run) -> Activity:
    """The activity of a run. Where it ends before the onset, the peaks are 0."""
    counts = _counts(model, run)
    sliding = sliding_hz(model, counts)
    begin = np.arange(len(sliding)) * SLIDE_MS
    end = begin + WINDOW_MS
    # Ends of windows are whole steps, up to the rounding of floats.
    tolerance = model.dt / 2

    def windows(first_ms: float, last_ms: float = np.inf) -> np.ndarray:
        """Rates in the windows within [first_ms, last_ms]."""
        return sliding[(begin > first_ms - tolerance) & (end < last_ms + tolerance)]

    last = ONSET_MS + SYNC_RESPONSE_MS if model.regime.startswith("sync") else np.inf
    after = windows(ONSET_MS)
    response = windows(ONSET_MS, last).max(axis=0, initial=0)
    before = windows(SETTLE_MS, ONSET_MS).max(axis=0, initial=0)
    quiet = counts[int(model.steps(SETTLE_MS)) : int(model.steps(ONSET_MS))]
    return Activity(
        counts=counts,
        peak_hz=after.max(axis=0, initial=0),
        response_hz=response,
        before_hz=before,
        baseline_hz=float(quiet.mean() / model.n_exc / model.dt * 1e3) if quiet.size else 0.0,
        responding=_responding(response, before),
        runaway=bool((after.mean(axis=1) > RUNAWAY_HZ).any()),
        ignition=bool((windows(FIRST_MS, ONSET_MS) > IGNITION_HZ).any()),
    )


def _counts(model: Model, run: Run) -> np.ndarray:
    """`(steps, areas)` spikes of E neurons."""
    exc = run.neurons % model.per_area < model.n_exc
    area = run.neurons[exc] // model.per_area
    flat = run.steps[exc].astype(np.int64) * model.areas + area
    counts = np.bincount(flat, minlength=run.n_steps * model.areas)
    return counts.reshape(run.n_steps, model.areas)


def sliding_hz(model: Model, counts: np.ndarray) -> np.ndarray:
    """`(windows, areas)` rate in Hz in windows of 10 ms, one starting every millisecond."""
    # Differences of running sums: each window costs one subtraction, whatever its width.
    total = np.concatenate([np.zeros((1, counts.shape[1])), counts.cumsum(axis=0)])
    width, slide = int(model.steps(WINDOW_MS)), model.steps(SLIDE_MS * np.arange(len(counts) + 1))
    start = slide[slide + width <= len(counts)]
    return (total[start + width] - total[start]) / (model.n_exc * width * model.dt) * 1e3


def _responding(response_hz: np.ndarray, before_hz: np.ndarray) -> int:
    return int((response_hz > 2 * before_hz).sum())


def mean(trials: Sequence[Activity]) -> Activity:
    """The mean activity of trials; areas respond where the mean rates do."""
    average = {
        name: np.mean([getattr(t, name) for t in trials], axis=0)
        for name in ("counts", "peak_hz", "response_hz", "before_hz", "baseline_hz")
    }
    return Activity(
        **average,
        responding=_responding(average["response_hz"], average["before_hz"]),
        runaway=any(t.runaway for t in trials),
        ignition=any(t.ignition for t in trials),
    )


class Trials:
    """The trials of a command so far.

    Attributes:
        model: the model that they share.
        activities: of every trial, without the spike counts, which take megabytes each.
        last_run: the spikes of the last one.
    """

    model: Model
    activities: list[Activity]
    last_run: Run

    def __init__(self, model: Model):
        self.model = model
        self.activities = []
        self._counts: np.ndarray | int = 0
        self._seconds = 0.0

    def add(self, run: Run) -> None:
        """Add the run of the next trial."""
        found = activity(self.model, run)
        self._counts = self._counts + found.counts
        self._seconds += run.run_seconds
        self.activities.append(dataclasses.replace(found, counts=found.counts[:0]))
        self.last_run = run

    def mean(self) -> Activity:
        """The mean activity, spike counts included."""
        counts = np.asarray(self._counts / len(self.activities))
        return dataclasses.replace(mean(self.activities), counts=counts)

    @property
    def steps_per_second(self) -> float:
        """Speed of the simulation over all trials."""
        return self.last_run.n_steps * len(self.activities) / self._seconds
