"""Activity of a network: rasters, rates and potentials."""

from collections.abc import Sequence
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np
from jaxtyping import Shaped

from evops import inputs
from evops.errors import check_integer, check_real, check_static, shown
from evops.inputs import Nested
from evops.plot import canvas
from evops.plot.canvas import Axes
from evops.populations import Populations

Values = Shaped[Any, "..."] | Nested


def raster(
    times: Values,
    neurons: Values,
    ax: Axes | None = None,
    *,
    populations: Populations | None = None,
    sample: SupportsIndex = 200_000,
    seed: SupportsIndex = 0,
    **style: Any,
) -> Axes:
    """A dot at the time and the neuron of each spike.

    Args:
        times: `(spikes,)`, in ms.
        neurons: `(spikes,)`, indices of neurons, or other heights.
        ax: where to draw; None for a new figure.
        populations: which neurons form a population: each has a colour and a name, and the first
            stands on top.
        sample: dots at most; of more spikes so many are drawn at random.
        seed: of the sample.
        style: options of matplotlib's ``Axes.plot``, such as ``color`` and ``markersize``.

    Returns:
        The axes.

    Raises:
        ValueError: other numbers of times than of neurons, neurons outside the populations.
        TypeError: no numbers, no populations, or no axes of matplotlib.
        ImportError: matplotlib is not installed.

    Example:
        >>> import evops.plot
        >>> ax = evops.plot.raster([1.0, 2.5, 2.6], [0, 7, 3])
    """
    at, rows = _vector("times", times), _vector("neurons", neurons)
    if at.size != rows.size:
        raise ValueError(
            f"times and neurons must have one entry for each spike, got {at.size} and {rows.size}"
        )
    most = check_integer("sample", sample, 1)
    rng = np.random.default_rng(check_integer("seed", seed, 0))
    spans = _spans(populations, rows)
    ax = canvas.axes(ax)
    text = ""
    if at.size > most:
        kept = np.sort(rng.choice(at.size, most, replace=False))
        text = f"{most:,} of {at.size:,} spikes"
        at, rows = at[kept], rows[kept]
    look = canvas.line_style(style, linestyle="none", marker=".", markersize=2)
    if not spans:
        ax.plot(at, rows, **{"color": canvas.BLACK, **look})
    for k, (begin, end) in enumerate(spans.values()):
        inside = (rows >= begin) & (rows < end)
        ax.plot(
            at[inside], rows[inside], **{"color": canvas.COLORS[k % len(canvas.COLORS)], **look}
        )
    ax.set(xlabel="time (ms)", ylabel="neuron")
    canvas.note(ax, text)
    if spans:
        ax.set_yticks([(begin + end - 1) / 2 for begin, end in spans.values()], list(spans))
        ax.set(ylim=(max(end for _, end in spans.values()) - 0.5, -0.5), ylabel="")
    return ax


def rates(
    times: Values,
    n: SupportsIndex,
    ax: Axes | None = None,
    *,
    bin: SupportsFloat = 5.0,
    begin: SupportsFloat = 0.0,
    end: SupportsFloat | None = None,
    **style: Any,
) -> Axes:
    """The mean rate of some neurons over time, in Hz.

    A spike on the border of two bins belongs to the later one, whatever the last bits of its time.
    Spikes after the last whole bin are left out.

    Args:
        times: `(spikes,)` of all these neurons, in ms.
        n: number of neurons.
        ax: where to draw; None for a new figure.
        bin: width of a bin in ms, above 0.
        begin: of the first bin, in ms.
        end: of the last bin at most, in ms; None for the bin of the last spike.
        style: options of matplotlib's ``Axes.stairs``, such as ``color`` and ``label``.

    Returns:
        The axes.

    Raises:
        ValueError: n or bin out of range, or an end before the beginning.
        TypeError: no numbers, or no axes of matplotlib.
        ImportError: matplotlib is not installed.

    Example:
        >>> import evops.plot
        >>> ax = evops.plot.rates([1.0, 2.5, 12.0], n=100, bin=10.0, end=20.0)
        >>> [float(hz) for hz in ax.patches[0].get_data().values]
        [2.0, 1.0]
    """
    at, n = _vector("times", times), check_integer("n", n, 1)
    width, first = check_real("bin", bin), check_real("begin", begin)
    if width <= 0:
        raise ValueError(f"bin must be above 0, got {width}")
    # A millionth of a bin is more than the rounding of times, and less than a time step.
    number = np.floor((at - first) / width + 1e-6)
    if end is None:
        count = int(number.max(initial=0)) + 1
    else:
        span = check_real("end", end) - first
        if span < 0:
            raise ValueError(f"end must be at least begin = {first}, got {end}")
        count = int(np.floor(span / width + 1e-6))
    check_integer("number of bins", count, 0, 10_000_000)
    ax = canvas.axes(ax)
    inside = number[(number >= 0) & (number < count)].astype(np.int64)
    counts = np.bincount(inside, minlength=count)
    edges = first + width * np.arange(count + 1)
    ax.stairs(counts / (n * width) * 1e3, edges, **{"color": canvas.BLACK, **style})
    ax.set(xlabel="time (ms)", ylabel=f"rate in {width:g} ms (Hz)", ylim=(0, None))
    return ax


def rate_map(
    rates: Values,
    ax: Axes | None = None,
    *,
    begin: SupportsFloat = 0.0,
    end: SupportsFloat | None = None,
    names: Sequence[str] | None = None,
    colorbar: bool = True,
) -> Axes:
    """Rates of several populations over time, as an image with a row for each.

    Colours follow the square root of the rate, so that low rates can be told apart.

    Args:
        rates: `(populations, times)`, in Hz, at least 0.
        ax: where to draw; None for a new figure.
        begin: of the first column, in ms.
        end: of the last column, in ms; None for columns of 1 ms.
        names: of the populations; None for their numbers.
        colorbar: whether a scale of colours stands beside the image.

    Returns:
        The axes; the image is ``ax.images[0]``.

    Raises:
        ValueError: rates of another shape, negative ones, or another number of names.
        TypeError: no numbers, or no axes of matplotlib.
        ImportError: matplotlib is not installed.

    Example:
        >>> import evops.plot
        >>> ax = evops.plot.rate_map([[5.0, 80.0, 10.0], [4.0, 6.0, 40.0]], names=["V1", "V2"])
    """
    check_static("rates", rates)
    values = inputs.host("rates", rates)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"rates must have shape (populations, times), got {values.shape}")
    if not (values >= 0).all():
        raise ValueError(f"rates must be at least 0, got {values.min()}")
    n, columns = values.shape
    first = check_real("begin", begin)
    last = first + columns if end is None else check_real("end", end)
    if not first < last:
        raise ValueError(f"end must be above begin = {first}, got {last}")
    if names is not None and len(names) != n:
        raise ValueError(f"names must be {n}, one for each population, got {len(names)}")
    ax = canvas.axes(ax)
    from matplotlib.colors import PowerNorm

    image = ax.imshow(
        values, aspect="auto", cmap="magma", interpolation="nearest",
        norm=PowerNorm(0.5, vmin=0, vmax=max(10.0, float(values.max()))),
        extent=(first, last, n - 0.5, -0.5),
    )  # fmt: skip
    ax.set(xlabel="time (ms)")
    ax.set_yticks(range(n), None if names is None else list(names))
    if colorbar:
        ax.figure.colorbar(image, ax=ax, label="rate (Hz)")
    return ax


def potential(
    times: Values, v: Values, ax: Axes | None = None, *, spikes: Values = (), **style: Any
) -> Axes:
    """The potential of a neuron over time; ticks above it are its spikes.

    Args:
        times: `(steps,)`, in ms.
        v: `(steps,)`, in mV.
        ax: where to draw; None for a new figure.
        spikes: times of its spikes, in ms.
        style: options of matplotlib's ``Axes.plot`` for the potential, such as ``color``.

    Returns:
        The axes.

    Raises:
        ValueError: no potential, or other numbers of times than of potentials.
        TypeError: no numbers, or no axes of matplotlib.
        ImportError: matplotlib is not installed.

    Example:
        >>> import evops.plot
        >>> ax = evops.plot.potential([0.1, 0.2, 0.3], [-60.0, -52.0, -65.0], spikes=[0.2])
    """
    times, v, spikes = _vector("times", times), _vector("v", v), _vector("spikes", spikes)
    if times.size != v.size or times.size == 0:
        raise ValueError(
            f"times and v must have one entry for each step, got {times.size} and {v.size}"
        )
    ax = canvas.axes(ax)
    ax.plot(times, v, **canvas.line_style(style, color=canvas.BLACK, linewidth=0.8))
    ax.plot(
        spikes, [1.02] * spikes.size, "|", color=canvas.VERMILION, markersize=6, clip_on=False,
        transform=ax.get_xaxis_transform(),
    )  # fmt: skip
    if times[0] < times[-1]:
        ax.set_xlim(times[0], times[-1])
    ax.set(xlabel="time (ms)", ylabel="potential (mV)")
    return ax


def _vector(name: str, value: Any) -> np.ndarray:
    check_static(name, value)
    found = inputs.host(name, value)
    if found.ndim != 1:
        raise ValueError(f"{name} must have 1 axis, got shape {found.shape}")
    if found.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be real numbers, got dtype {found.dtype}")
    return found


def _spans(populations: Any, neurons: np.ndarray) -> dict[str, tuple[int, int]]:
    """First neuron and end of each population."""
    if populations is None:
        return {}
    if not isinstance(populations, Populations):
        raise TypeError(f"populations must be evops.Populations, got {shown(populations)}")
    n = populations.n
    wrong = neurons[(neurons < 0) | (neurons >= n)]
    if wrong.size:
        raise ValueError(f"neurons must be in [0, {n}), the populations, got {wrong[0]}")
    slices = {name: populations.slice(name) for name in populations.names}
    return {name: (part.start, part.stop) for name, part in slices.items()}
