"""Table, JSON file and picture of a run of the 29-area model, beside the published rates.

Source of the published rates: spike files that the authors published with their Brian code,
Joglekar et al. (2018), Neuron 98:222-234, doi:10.1016/j.neuron.2018.02.031.
"""

from typing import Any

import numpy as np

from evops import plot
from evops.networks.joglekar2018.measure import SLIDE_MS, WINDOW_MS, Activity, sliding_hz
from evops.networks.joglekar2018.model import ONSET_MS, Model, published
from evops.networks.shared import plots
from evops.networks.shared.simulate import Run
from evops.networks.shared.versions import versions

# Areas in the table of trials.
SHOWN = ("V1", "V2", "V4", "DP", "MT", "TEO", "TEpd")


def table(model: Model, activity: Activity) -> str:
    """Peak rate per area beside the published one, as text."""
    reference = published()["published"][model.regime]["peak_hz"]
    known = dict(zip(published()["areas"], reference, strict=True))
    lines = [f"{'area':<8}{'peak Hz':>9}{'published':>11}{'before Hz':>11}"]
    for i, area in enumerate(model.cortex.areas):
        theirs = f"{known[area]:11.1f}" if area in known else f"{'':>11}"
        mark = "  *" if activity.response_hz[i] > 2 * activity.before_hz[i] else ""
        lines.append(
            f"{area:<8}{activity.response_hz[i]:9.1f}{theirs}{activity.before_hz[i]:11.1f}{mark}"
        )
    expected = published()["responding_areas"][model.regime]
    theirs = " or ".join(map(str, expected)) if isinstance(expected, list) else expected
    lines += [
        f"{activity.responding} responding areas (*), published {theirs}",
        f"baseline {activity.baseline_hz:.2f} Hz",
    ]
    if activity.ignition:
        lines.append("ignition: an area exceeded 100 Hz before the stimulus")
    if activity.runaway:
        lines.append(
            "runaway: the mean rate of the network exceeded 50 Hz; all regimes but async_weak are\n"
            "bistable, so look at several trials (--trials N, docs/joglekar2018.md)"
        )
    return "\n".join(lines)


def summary(model: Model, activity: Activity, **measured: Any) -> dict[str, Any]:
    """What ``joglekar2018.json`` holds."""
    return {
        "network": "joglekar2018",
        "source": "doi:10.1016/j.neuron.2018.02.031",
        "regime": model.regime,
        "dt_ms": model.dt,
        "pulse_mv": model.pulse_mv,
        "pulse_ms": model.pulse_ms,
        "v_initial_mv": list(model.v_initial or ()),
        **measured,
        "areas": list(model.cortex.areas),
        "peak_hz": _rounded(activity.peak_hz),
        "response_hz": _rounded(activity.response_hz),
        "before_hz": _rounded(activity.before_hz),
        "published_peak_hz": published()["published"][model.regime]["peak_hz"],
        "baseline_hz": round(activity.baseline_hz, 4),
        "responding_areas": activity.responding,
        "runaway": activity.runaway,
        "ignition_before_stimulus": activity.ignition,
        "versions": versions(),
    }


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(v), 3) for v in values]


def trial(model: Model, seed: int, network_seed: int, activity: Activity) -> dict[str, Any]:
    """One of the ``trials`` in ``joglekar2018.json``."""
    response = zip(model.cortex.areas, activity.response_hz, strict=True)
    shown = {area: round(float(hz), 2) for area, hz in response}
    return {
        "seed": seed,
        "network_seed": network_seed,
        "response_hz": {a: shown[a] for a in SHOWN if a in shown},
        "responding_areas": activity.responding,
        "baseline_hz": round(activity.baseline_hz, 3),
        "ignition_before_stimulus": activity.ignition,
        "runaway": activity.runaway,
    }


def trials_table(trials: list[dict[str, Any]]) -> str:
    """One line for each `trial`, as text."""
    areas = list(trials[0]["response_hz"])
    lines = ["\nseed  network  " + "".join(f"{a:>7}" for a in areas) + "  responding  baseline"]
    for t in trials:
        marks = (
            "  runaway" * t["runaway"]
            + "  ignition before the stimulus" * t["ignition_before_stimulus"]
        )
        peaks = "".join(f"{t['response_hz'][a]:7.1f}" for a in areas)
        lines.append(f"{t['seed']:>4}  {t['network_seed']:>7}  {peaks}  {t['responding_areas']:>10}"
                     f"  {t['baseline_hz']:8.2f}{marks}")  # fmt: skip
    runaways = sum(t["runaway"] for t in trials)
    ignitions = sum(t["ignition_before_stimulus"] for t in trials)
    lines.append(
        f"{runaways} of {len(trials)} trials run away; {ignitions} ignite before the stimulus"
    )
    return "\n".join(lines)


def draw(
    file: plots.BinaryFile, model: Model, run: Run, activity: Activity, trials: int = 1
) -> None:
    """Raster by area beside the rate of each area over time, as PNG.

    Where `activity` is the mean of several trials, `run` is the last of them.

    Raises:
        ImportError: matplotlib is not installed.
    """
    with plots.png(file, 13, 8) as figure:
        spikes, rate = figure.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
        _draw_raster(spikes, model, run)
        _draw_rates(figure, rate, model, run, activity)
        figure.suptitle(
            f"29-area macaque model, {model.regime}: {activity.responding} responding areas, "
            f"baseline {activity.baseline_hz:.2f} Hz"
            + (f" (mean of {trials} trials; spikes of the last)" if trials > 1 else "")
        )


def _pulse(model: Model) -> tuple[float, float]:
    """Begin and end of the stimulus in ms."""
    return ONSET_MS, ONSET_MS + (model.pulse_ms or 0.0)


def _draw_raster(axes: Any, model: Model, run: Run) -> None:
    """Spikes of E neurons, each area in a band around its row."""
    n, duration = model.areas, run.n_steps * model.dt
    shown = np.flatnonzero(run.neurons % model.per_area < model.n_exc)
    area, inside = np.divmod(run.neurons[shown], model.per_area)
    rows = area + inside / model.n_exc * 0.9 - 0.45
    plot.raster(run.steps[shown] * model.dt, rows, axes, marker=",", alpha=0.6)
    axes.axvspan(*_pulse(model), color="tab:orange", alpha=0.2, lw=0)
    axes.hlines(np.arange(n + 1) - 0.5, 0, duration, color="0.85", lw=0.5)
    axes.set(
        xlim=(0, duration), ylim=(n - 0.5, -0.5), ylabel="area",
        title=f"spikes of E neurons ({model.n_exc} per area), pulse to V1 shaded",
    )  # fmt: skip
    axes.set_yticks(range(n), model.cortex.areas, fontsize=8)


def _draw_rates(figure: Any, axes: Any, model: Model, run: Run, activity: Activity) -> None:
    """Rate of each area over time as an image, with its peak beside it."""
    n = model.areas
    smooth = sliding_hz(model, activity.counts)
    if not len(smooth):  # shorter than a window
        smooth = np.zeros((1, n))
    # Pixels are centred on the middle of their windows.
    left = (WINDOW_MS - SLIDE_MS) / 2
    right = (WINDOW_MS + SLIDE_MS * (2 * len(smooth) - 1)) / 2
    plot.rate_map(smooth.T, axes, begin=left, end=right, colorbar=False)
    for edge in _pulse(model):
        axes.axvline(edge, color="white", lw=0.8, ls=":")
    axes.set(xlim=(0, run.n_steps * model.dt), title="rate in 10 ms windows")
    for i, peak in enumerate(activity.response_hz):
        axes.text(
            1.01, i, f"{peak:.0f}", transform=axes.get_yaxis_transform(), va="center", fontsize=8
        )
    figure.colorbar(axes.images[0], ax=axes, label="rate (Hz); numbers: peak of the area", pad=0.08)
