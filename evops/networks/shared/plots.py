"""Pictures of the networks: figures without a display, rasters, PNG files."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

# Checkers of types at run time do not take a BytesIO for a BinaryIO.
BinaryFile = BinaryIO | io.BytesIO


@contextlib.contextmanager
def png(file: BinaryFile, width: int, height: int) -> Iterator[Any]:
    """A matplotlib figure of `width` x `height` inches, written to `file` as PNG at the end.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Not pyplot: it would choose a backend for the whole process and keep the figure alive.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    figure.savefig(file, format="png", dpi=120)


def potential(axes: Any, times_ms: Any, v_mv: Any, spikes_ms: Any, title: str) -> None:
    """The potential of a neuron over time; ticks above it are its spikes."""
    axes.plot(times_ms, v_mv, color="black", lw=0.8)
    axes.plot(
        spikes_ms, [1.02] * len(spikes_ms), "|", color="tab:red", markersize=6, clip_on=False,
        transform=axes.get_xaxis_transform(),
    )  # fmt: skip
    span = times_ms[0], times_ms[-1]
    axes.set(xlim=span, xlabel="time (ms)", ylabel="potential (mV)", title=title)


def raster(axes: Any, times_ms: Any, rows: Any, **style: Any) -> None:
    """Dots at the times and rows of spikes; `style` goes to ``axes.plot``."""
    axes.plot(times_ms, rows, linestyle="none", **{"marker": ".", "markersize": 2, **style})
