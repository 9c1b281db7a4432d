"""What a run of the COBA network shows: rates beside those of other simulators, file, picture."""

import dataclasses
import functools
import json
from importlib import resources
from typing import Any, BinaryIO

import numpy as np

from evops.networks.coba2005.model import SETTLE_MS, Model
from evops.networks.joglekar2018.report import versions
from evops.networks.shared.simulate import Run

BIN_MS = 5.0
SHOWN = 500  # neurons of the raster


@dataclasses.dataclass(frozen=True)
class Rates:
    """Mean rates in Hz, of all neurons and of either population, from `begin_ms` to the end."""

    every: float
    exc: float
    inh: float
    begin_ms: float
    end_ms: float


def rates(model: Model, run: Run) -> Rates:
    """Spikes per neuron and second after the first 100 ms; of the whole run where it is shorter."""
    begin = model.steps(SETTLE_MS)
    if run.n_steps <= begin:
        begin = 0
    neurons = run.neurons[np.searchsorted(run.steps, begin) :]
    exc = int((neurons < model.n_exc).sum())
    seconds = (run.n_steps - begin) * model.dt / 1e3
    return Rates(
        every=len(neurons) / model.size / seconds,
        exc=exc / model.n_exc / seconds,
        inh=(len(neurons) - exc) / model.n_inh / seconds,
        begin_ms=begin * model.dt,
        end_ms=run.n_steps * model.dt,
    )


@functools.cache
def references() -> list[dict[str, Any]]:
    """Rates that other simulators give (``data/published.json``)."""
    path = resources.files(__package__) / "data" / "published.json"
    return json.loads(path.read_text())["references"]


def reference(model: Model) -> dict[str, Any] | None:
    """The entry for this size and number of synapses, if there is one and nothing else differs."""
    usual = Model(model.size, model.synapses, backend=model.backend)
    if dataclasses.replace(model, dt=usual.dt) != usual:
        return None
    for entry in references():
        if (entry["size"], entry["synapses"]) == (model.size, model.synapses):
            return entry
    return None


def table(model: Model, found: Rates) -> str:
    """Rates of both populations and of all neurons beside the reference, as text."""
    known = reference(model)
    theirs = "none for this size" if known is None else f"{_range(known)} Hz, {known['source']}"
    lines = [f"{'':<12}{'neurons':>10}{'rate Hz':>10}  reference"]
    for name, n, hz, beside in (
        ("excitatory", model.n_exc, found.exc, ""),
        ("inhibitory", model.n_inh, found.inh, ""),
        ("all", model.size, found.every, theirs),
    ):
        lines.append(f"{name:<12}{n:>10}{hz:>10.2f}  {beside}".rstrip())
    return "\n".join([*lines, f"rates from {found.begin_ms:g} to {found.end_ms:g} ms"])


def _range(known: dict[str, Any]) -> str:
    return f"{known['low_hz']:g} to {known['high_hz']:g}"


def summary(model: Model, found: Rates, **measured: Any) -> dict[str, Any]:
    """What ``coba2005.json`` holds."""
    return {
        "network": "coba2005",
        "source": "doi:10.1007/s10827-007-0038-6",
        "size": model.size,
        "synapses": model.synapses,
        "dt_ms": model.dt,
        **measured,
        "rate_hz": round(found.every, 4),
        "rate_exc_hz": round(found.exc, 4),
        "rate_inh_hz": round(found.inh, 4),
        "rates_from_ms": found.begin_ms,
        "reference": reference(model),
        "versions": versions(),
    }


def draw(file: BinaryIO, model: Model, run: Run, found: Rates) -> None:
    """Raster of some neurons above the rates of both populations over time, as PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    raster, rate = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    exc = run.neurons < model.n_exc
    of_inh = max(1, min(SHOWN // 5, model.n_inh))
    of_exc = min(SHOWN - SHOWN // 5, model.n_exc)
    for name, mine, first, count, below, color in (
        ("excitatory", exc, 0, of_exc, of_inh, "black"),
        ("inhibitory", ~exc, model.n_exc, of_inh, 0, "tab:red"),
    ):
        shown = mine & (run.neurons < first + count)
        raster.plot(
            run.steps[shown] * model.dt, run.neurons[shown] - first + below,
            linestyle="none", marker=".", markersize=2, color=color,
        )  # fmt: skip
        width = max(1, model.steps(BIN_MS))
        edges = np.arange(0, run.n_steps + 1, width)
        counts = np.histogram(run.steps[mine], edges)[0]
        n = model.n_exc if first == 0 else model.n_inh
        hz = counts / (n * width * model.dt) * 1e3
        rate.stairs(hz, edges * model.dt, color=color, label=name)
    raster.set(
        xlim=(0, run.n_steps * model.dt), ylim=(-1, of_exc + of_inh), ylabel="neuron",
        title=f"{of_exc} of {model.n_exc} excitatory and {of_inh} of {model.n_inh} inhibitory "
        "neurons",
    )  # fmt: skip
    known = reference(model)
    if known is not None:
        rate.axhspan(
            known["low_hz"], known["high_hz"], color="tab:green", alpha=0.3, lw=0,
            label=f"mean rate elsewhere, {_range(known)} Hz",
        )  # fmt: skip
    rate.set(xlabel="time (ms)", ylabel=f"rate in {BIN_MS:g} ms (Hz)", ylim=(0, None))
    rate.legend(loc="upper right", fontsize=8)
    figure.suptitle(
        f"COBA network, {model.size} neurons, {model.synapses} synapses a neuron: "
        f"{found.every:.2f} Hz"
    )
    figure.savefig(file, format="png", dpi=120)
