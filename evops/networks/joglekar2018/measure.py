"""What a run of the 29-area model shows: rates, responding areas, runaways."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from evops.networks.joglekar2018.model import ONSET_MS, Model
from evops.networks.shared.simulate import Run

WINDOW_MS = 10.0
# Windows start every millisecond, as in the authors' analysis.
SLIDE_MS = 1.0
# Potentials settle from their initial values in this time; rates before the stimulus are taken
# after it.
SETTLE_MS = 100.0
# In the sync regimes peaks are taken within this time of the onset (later ones belong to runaways).
SYNC_RESPONSE_MS = 35.0
RUNAWAY_HZ = 50.0
# An area that ignites goes to 400 to 500 Hz; the initial potentials alone can give 250 Hz in the
# first 5 ms.
IGNITION_HZ, FIRST_MS = 100.0, 5.0


@dataclasses.dataclass(frozen=True)
class Rates:
    """Excitatory rates of one run.

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


def rates(model: Model, run: Run) -> Rates:
    """The rates of a run. Where it ends before the onset, the peaks are 0."""
    exc = run.neurons % model.per_area < model.n_exc
    area = run.neurons[exc] // model.per_area
    flat = run.steps[exc].astype(np.int64) * model.areas + area
    counts = np.bincount(flat, minlength=run.n_steps * model.areas).reshape(
        run.n_steps, model.areas
    )
    sliding = sliding_hz(model, counts)
    begin = np.arange(len(sliding)) * SLIDE_MS
    end = begin + WINDOW_MS
    tolerance = model.dt / 2
    last = np.inf
    if model.regime.startswith("sync"):
        last = ONSET_MS + SYNC_RESPONSE_MS
    after = sliding[begin > ONSET_MS - tolerance]
    within = (begin > ONSET_MS - tolerance) & (end < last + tolerance)
    early = sliding[(begin > FIRST_MS - tolerance) & (end < ONSET_MS + tolerance)]
    before = sliding[(begin > SETTLE_MS - tolerance) & (end < ONSET_MS + tolerance)]
    peak = after.max(axis=0, initial=0)
    response = sliding[within].max(axis=0, initial=0)
    before_max = before.max(axis=0, initial=0)
    quiet = counts[int(model.steps(SETTLE_MS)) : int(model.steps(ONSET_MS))]
    return Rates(
        counts=counts,
        peak_hz=peak,
        response_hz=response,
        before_hz=before_max,
        baseline_hz=float(quiet.mean() / model.n_exc / model.dt * 1e3) if quiet.size else 0.0,
        responding=_responding(response, before_max),
        runaway=bool((after.mean(axis=1) > RUNAWAY_HZ).any()),
        ignition=bool((early > IGNITION_HZ).any()),
    )


def mean(trials: Sequence[Rates]) -> Rates:
    """Rates averaged over trials; areas respond where the averages do."""
    average = {
        name: np.mean([getattr(t, name) for t in trials], axis=0)
        for name in ("counts", "peak_hz", "response_hz", "before_hz", "baseline_hz")
    }
    return Rates(
        **average,
        responding=_responding(average["response_hz"], average["before_hz"]),
        runaway=any(t.runaway for t in trials),
        ignition=any(t.ignition for t in trials),
    )


def _responding(response_hz: np.ndarray, before_hz: np.ndarray) -> int:
    return int((response_hz > 2 * before_hz).sum())


def sliding_hz(model: Model, counts: np.ndarray) -> np.ndarray:
    """`(windows, areas)` rate in Hz in windows of 10 ms, one starting every millisecond."""
    total = np.concatenate([np.zeros((1, counts.shape[1])), counts.cumsum(axis=0)])
    width, slide = int(model.steps(WINDOW_MS)), model.steps(SLIDE_MS * np.arange(len(counts) + 1))
    start = slide[slide + width <= len(counts)]
    return (total[start + width] - total[start]) / (model.n_exc * width * model.dt) * 1e3
