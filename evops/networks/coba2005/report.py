"""Table, JSON file and picture of a run of the COBA network, beside rates in other simulators.

Source of the reference rates: runs of NEST, GeNN and Brian2 with bench/coba2005.py; each entry of
``data/published.json`` names its own.
"""

import dataclasses
from typing import Any

import numpy as np

from evops import plot
from evops.networks.coba2005.measure import Activity
from evops.networks.coba2005.model import Model, published
from evops.networks.shared import plots
from evops.networks.shared.simulate import Run
from evops.networks.shared.versions import versions

# Width of the bins of the rates over time.
BIN_MS = 5.0
# Neurons in the raster, a fifth of them inhibitory.
SHOWN = 500


def reference(model: Model) -> dict[str, Any] | None:
    """The entry for this size and number of synapses, if there is one and nothing else differs."""
    usual = Model(model.size, model.synapses, backend=model.backend)
    if dataclasses.replace(model, dt=usual.dt) != usual:
        return None
    for entry in published()["references"]:
        if (entry["size"], entry["synapses"]) == (model.size, model.synapses):
            return entry
    return None


def table(model: Model, activity: Activity) -> str:
    """Rates of both populations and of all neurons beside the reference, as text."""
    known = reference(model)
    theirs = "none for this size" if known is None else f"{_range(known)} Hz, {known['source']}"
    lines = [f"{'':<12}{'neurons':>10}{'rate Hz':>10}  reference"]
    for name, n, hz, beside in (
        ("excitatory", model.n_exc, activity.rate_exc_hz, ""),
        ("inhibitory", model.n_inh, activity.rate_inh_hz, ""),
        ("all", model.size, activity.rate_hz, theirs),
    ):
        lines.append(f"{name:<12}{n:>10}{hz:>10.2f}  {beside}".rstrip())
    return "\n".join([*lines, f"rates from {activity.begin_ms:g} to {activity.end_ms:g} ms"])


def _range(known: dict[str, Any]) -> str:
    return f"{known['low_hz']:g} to {known['high_hz']:g}"


def summary(model: Model, activity: Activity, **measured: Any) -> dict[str, Any]:
    """What ``coba2005.json`` holds."""
    return {
        "network": "coba2005",
        "source": "doi:10.1007/s10827-007-0038-6",
        "size": model.size,
        "synapses": model.synapses,
        "dt_ms": model.dt,
        **measured,
        "rate_hz": round(activity.rate_hz, 4),
        "rate_exc_hz": round(activity.rate_exc_hz, 4),
        "rate_inh_hz": round(activity.rate_inh_hz, 4),
        "rates_from_ms": activity.begin_ms,
        "reference": reference(model),
        "versions": versions(),
    }


def draw(
    file: plots.BinaryFile, model: Model, run: Run, activity: Activity, traced: int | None = None
) -> None:
    """Raster of some neurons above the rates of both populations over time, as PNG.

    The potential of a neuron stands below them, if one was kept.

    Raises:
        ImportError: matplotlib is not installed.
    """
    more = 0 if run.trace is None else 1
    with plots.png(file, 11, 7 + 2 * more) as figure:
        axes = figure.subplots(2 + more, 1, sharex=True, height_ratios=(2, 1, 1)[: 2 + more])
        _draw_raster(axes[0], model, run)
        _draw_rates(axes[1], model, run)
        if run.trace is not None:
            times = (np.arange(run.n_steps) + 1) * model.dt
            own = run.steps[run.neurons == traced] * model.dt
            plot.potential(times, run.trace, axes[2], spikes=own)
            axes[2].set_title(f"neuron {traced}")
        figure.suptitle(
            f"COBA network, {model.size} neurons, {model.synapses} synapses a neuron: "
            f"{activity.rate_hz:.2f} Hz"
        )


def _draw_raster(axes: Any, model: Model, run: Run) -> None:
    """Spikes of the first neurons of each population, the excitatory ones above."""
    n_inh = max(1, min(SHOWN // 5, model.n_inh))
    n_exc = min(SHOWN - SHOWN // 5, model.n_exc)
    for first, n, below, color in ((0, n_exc, n_inh, "black"), (model.n_exc, n_inh, 0, "tab:red")):
        shown = (run.neurons >= first) & (run.neurons < first + n)
        rows = run.neurons[shown] - first + below
        plot.raster(run.steps[shown] * model.dt, rows, axes, color=color)
    axes.set(
        xlim=(0, run.n_steps * model.dt), ylim=(-1, n_exc + n_inh), xlabel="",
        title=f"{n_exc} of {model.n_exc} excitatory and {n_inh} of {model.n_inh} inhibitory "
        "neurons",
    )  # fmt: skip


def _draw_rates(axes: Any, model: Model, run: Run) -> None:
    """Rates of both populations over time, and the range of the reference."""
    bins = {"bin": max(1, model.steps(BIN_MS)) * model.dt, "end": run.n_steps * model.dt}
    exc = run.neurons < model.n_exc
    for name, own, n, color in (
        ("excitatory", exc, model.n_exc, "black"),
        ("inhibitory", ~exc, model.n_inh, "tab:red"),
    ):
        plot.rates(run.steps[own] * model.dt, n, axes, **bins, color=color, label=name)
    known = reference(model)
    if known is not None:
        axes.axhspan(
            known["low_hz"], known["high_hz"], color="tab:green", alpha=0.3, lw=0,
            label=f"mean rate elsewhere, {_range(known)} Hz",
        )  # fmt: skip
    axes.legend(loc="upper right", fontsize=8)
