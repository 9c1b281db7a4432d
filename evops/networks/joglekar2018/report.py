"""Table, content of the file and picture of a run of the 29-area model."""

import platform
from importlib import metadata
from typing import Any, BinaryIO

import numpy as np

from evops.engine.bridge import backends
from evops.networks.joglekar2018.measure import SLIDE_MS, WINDOW_MS, Rates, sliding_hz
from evops.networks.joglekar2018.model import ONSET_MS, Model, published
from evops.networks.shared.simulate import Run


def table(model: Model, rates: Rates) -> str:
    """Peak rate per area beside the published one, as text."""
    reference = published()["published"][model.regime]["peak_hz"]
    known = dict(zip(published()["areas"], reference, strict=True))
    lines = [f"{'area':<8}{'peak Hz':>9}{'published':>11}{'before Hz':>11}"]
    for i, area in enumerate(model.cortex.areas):
        theirs = f"{known[area]:11.1f}" if area in known else f"{'':>11}"
        mark = "  *" if rates.response_hz[i] > 2 * rates.before_hz[i] else ""
        lines.append(
            f"{area:<8}{rates.response_hz[i]:9.1f}{theirs}{rates.before_hz[i]:11.1f}{mark}"
        )
    expected = published()["responding_areas"][model.regime]
    theirs = " or ".join(map(str, expected)) if isinstance(expected, list) else expected
    lines += [
        f"{rates.responding} responding areas (*), published {theirs}",
        f"baseline {rates.baseline_hz:.2f} Hz",
    ]
    if rates.ignition:
        lines.append("ignition: an area exceeded 100 Hz before the stimulus")
    if rates.runaway:
        lines.append(
            "runaway: the mean rate of the network exceeded 50 Hz; all regimes but async_weak are\n"
            "bistable, so look at several trials (--trials N, docs/joglekar2018.md)"
        )
    return "\n".join(lines)


def summary(model: Model, rates: Rates, **measured: Any) -> dict[str, Any]:
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
        "peak_hz": _rounded(rates.peak_hz),
        "response_hz": _rounded(rates.response_hz),
        "before_hz": _rounded(rates.before_hz),
        "published_peak_hz": published()["published"][model.regime]["peak_hz"],
        "baseline_hz": round(rates.baseline_hz, 4),
        "responding_areas": rates.responding,
        "runaway": rates.runaway,
        "ignition_before_stimulus": rates.ignition,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Package, jax, Python, machine and backends."""
    return {
        **{name: _version(name) for name in ("jax-evops", "jax", "jaxlib", "numpy")},
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{f"backend {name}": b.detail for name, b in backends().items() if b.available},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # found on sys.path, not installed
        return "unknown"


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(v), 3) for v in values]


def draw(file: BinaryIO, model: Model, run: Run, rates: Rates, trials: int = 1) -> None:
    """Raster by area beside the rate of each area over time, as PNG.

    Where `rates` are the mean of several trials, `run` is the last of them.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    n, names = model.areas, model.cortex.areas
    figure = Figure(figsize=(13, 8), layout="constrained")
    FigureCanvasAgg(figure)
    raster, rate = figure.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
    duration = run.n_steps * model.dt
    pulse = (ONSET_MS, ONSET_MS + (model.pulse_ms or 0.0))

    exc = run.neurons % model.per_area < model.n_exc
    shown = np.flatnonzero(exc)
    if len(shown) > 200_000:
        shown = np.sort(np.random.default_rng(0).choice(shown, 200_000, replace=False))
    area, inside = np.divmod(run.neurons[shown], model.per_area)
    raster.plot(
        run.steps[shown] * model.dt,
        area + inside / model.n_exc * 0.9 - 0.45,
        linestyle="none", marker=",", color="black", alpha=0.6,
    )  # fmt: skip
    raster.axvspan(*pulse, color="tab:orange", alpha=0.2, lw=0)
    raster.hlines(np.arange(n + 1) - 0.5, 0, duration, color="0.85", lw=0.5)
    raster.set(
        xlim=(0, duration), ylim=(n - 0.5, -0.5), xlabel="time (ms)", ylabel="area",
        title=f"spikes of E neurons ({model.n_exc} per area), pulse to V1 shaded",
    )  # fmt: skip
    raster.set_yticks(range(n), names, fontsize=8)

    smooth = sliding_hz(model, rates.counts)
    if not len(smooth):  # shorter than a window
        smooth = np.zeros((1, n))
    picture = rate.imshow(
        smooth.T,
        aspect="auto", cmap="magma", interpolation="nearest",
        norm=PowerNorm(0.5, vmin=0, vmax=max(10.0, float(smooth.max()))),
        extent=(
            (WINDOW_MS - SLIDE_MS) / 2, (WINDOW_MS + SLIDE_MS * (2 * len(smooth) - 1)) / 2, n - 0.5,
            -0.5
        ),
    )  # fmt: skip
    for edge in pulse:
        rate.axvline(edge, color="white", lw=0.8, ls=":")
    rate.set(xlim=(0, duration), xlabel="time (ms)", title="rate in 10 ms windows")
    for i, peak in enumerate(rates.response_hz):
        rate.text(
            1.01, i, f"{peak:.0f}", transform=rate.get_yaxis_transform(), va="center", fontsize=8
        )
    figure.colorbar(picture, ax=rate, label="rate (Hz); numbers: peak of the area", pad=0.08)
    figure.suptitle(
        f"29-area macaque model, {model.regime}: {rates.responding} responding areas, "
        f"baseline {rates.baseline_hz:.2f} Hz"
        + (f" (mean of {trials} trials; spikes of the last)" if trials > 1 else "")
    )
    figure.savefig(file, format="png", dpi=120)
