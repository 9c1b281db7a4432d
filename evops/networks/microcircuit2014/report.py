"""Table, JSON file and picture of a run of the microcircuit, beside the reference rates.

Source of the reference rates: the full model in NEST with constant drive, as in its reference
implementation; ``data/published.json`` names the file. The model is that of Potjans & Diesmann
(2014), Cereb. Cortex 24:785-806, doi:10.1093/cercor/bhs358.
"""

from typing import Any

import numpy as np

from evops import plot
from evops.networks.microcircuit2014.measure import Activity
from evops.networks.microcircuit2014.model import Model, published
from evops.networks.shared import plots
from evops.networks.shared.simulate import Run
from evops.networks.shared.versions import versions

# Neurons in the raster, of all populations in proportion.
SHOWN = 2000
# Of the excitatory and the inhibitory populations, which alternate.
COLORS = ("tab:blue", "tab:red")


def table(model: Model, activity: Activity) -> str:
    """Rate, irregularity and synchrony of each population beside the reference rates, as text."""
    lines = [
        f"{'population':<11}{'neurons':>8}{'rate Hz':>9}{'reference':>11}{'CV':>7}{'synchrony':>11}"
    ]
    for i, name in enumerate(model.names):
        lines.append(
            f"{name:<11}{model.neurons[i]:>8}{activity.rate_hz[i]:9.3f}"
            f"{published()['mean_rates_hz'][i]:11.3f}{_number(activity.cv[i], 7)}"
            f"{_number(activity.synchrony[i], 11)}"
        )
    lines.append(
        "reference: the full model in NEST with constant drive; CV of intervals; synchrony:\n"
        "variance over mean of spike counts in 3 ms"
    )
    return "\n".join(lines)


def _number(value: float, width: int) -> str:
    return f"{'-':>{width}}" if np.isnan(value) else f"{value:{width}.2f}"


def summary(model: Model, activity: Activity, **measured: Any) -> dict[str, Any]:
    """What ``microcircuit2014.json`` holds."""
    return {
        "network": "microcircuit2014",
        "source": published()["source"],
        "variant": model.variant,
        "scale": model.scale,
        "drive": model.drive,
        "dt_ms": model.dt,
        **measured,
        "populations": model.names,
        "neurons": model.neurons.tolist(),
        "synapses": int(model.synapses.sum()),
        "constant_current_pa": _rounded(model.constant_current),
        "rate_hz": _rounded(activity.rate_hz),
        "reference_rate_hz": published()["mean_rates_hz"],
        "cv": _rounded(activity.cv),
        "synchrony": _rounded(activity.synchrony),
        "versions": versions(),
    }


def _rounded(values: Any) -> list[float | None]:
    return [None if np.isnan(v) else round(float(v), 3) for v in values]


def draw(
    file: plots.BinaryFile,
    model: Model,
    run: Run,
    activity: Activity,
    settle_ms: float,
    traced: int | None = None,
) -> None:
    """Raster beside the rates and the irregularity of the populations, as PNG.

    The potential of a neuron stands below them, if one was kept.

    Raises:
        ImportError: matplotlib is not installed.
    """
    more = 0 if run.trace is None else 1
    with plots.png(file, 13, 7 + 2 * more) as figure:
        heights = (1, 1, 0.6)[: 2 + more]
        grid = figure.add_gridspec(2 + more, 2, width_ratios=(1.8, 1), height_ratios=heights)
        spikes = figure.add_subplot(grid[:2, 0])
        if run.trace is not None:
            times = (np.arange(run.n_steps) + 1) * model.dt - settle_ms
            own = run.steps[run.neurons == traced] * model.dt - settle_ms
            below = figure.add_subplot(grid[2, :])
            plot.potential(times, run.trace, below, spikes=own)
            below.set_title(f"neuron {traced}")
        rate, cv = figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, 1])
        _draw_raster(spikes, model, run, settle_ms)
        _draw_bars(rate, model, activity.rate_hz)
        _draw_reference(rate, activity)
        _draw_bars(cv, model, np.nan_to_num(activity.cv))
        cv.axhline(1, color="0.5", lw=0.8, ls=":")
        cv.set(ylabel="CV of intervals", ylim=(0, 1.2))
        figure.suptitle(
            f"cortical microcircuit, {model.variant}, scale {model.scale:g}, "
            f"{'Poisson' if model.drive == 'poisson' else 'constant'} drive: "
            f"{model.neurons.sum():,} neurons, {model.synapses.sum():,} synapses"
        )


def _draw_raster(axes: Any, model: Model, run: Run, settle_ms: float) -> None:
    """Spikes of every so many neurons, by population; time 0 is the end of settling."""
    every = max(1, round(model.neurons.sum() / SHOWN))
    offsets = np.concatenate([[0], np.cumsum(model.neurons)])
    chosen = run.neurons % every == 0
    steps, neurons = run.steps[chosen], run.neurons[chosen]
    for i in range(len(model.names)):
        inside = (neurons >= offsets[i]) & (neurons < offsets[i + 1])
        times = steps[inside] * model.dt - settle_ms
        plot.raster(times, neurons[inside] / every, axes, markeredgewidth=0, color=COLORS[i % 2])
    if settle_ms > 0:
        axes.axvspan(-settle_ms, 0, color="0.9", lw=0)
    if model.thalamus_ms is not None:
        onset = model.thalamus_ms - settle_ms
        length = model.base["thalamus"]["pulse_ms"]
        axes.axvspan(onset, onset + length, color="tab:orange", alpha=0.3, lw=0)
    axes.set(
        xlim=(-settle_ms, run.n_steps * model.dt - settle_ms), ylim=(offsets[-1] / every, 0),
        ylabel="",
        title=f"spikes of one neuron in {every}" if every > 1 else "spikes of all neurons",
    )  # fmt: skip
    axes.set_yticks((offsets[:-1] + offsets[1:]) / 2 / every, model.names)


def _draw_bars(axes: Any, model: Model, values: np.ndarray) -> None:
    """One bar for each population."""
    place = np.arange(len(model.names))
    axes.bar(place, values, color=[COLORS[i % 2] for i in place])
    axes.set_xticks(place, model.names)


def _draw_reference(axes: Any, activity: Activity) -> None:
    """The reference rates across the bars."""
    reference = published()["mean_rates_hz"]
    axes.plot(
        np.arange(len(reference)), reference, linestyle="none", marker="_", markersize=22,
        markeredgewidth=2, color="black", label="full model in NEST, constant drive",
    )  # fmt: skip
    axes.set(ylabel="rate (Hz)", ylim=(0, 1.2 * max(*activity.rate_hz, *reference)))
    axes.legend(frameon=False, loc="upper left")
