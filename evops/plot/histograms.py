"""How many synapses neurons have, and how long their delays are."""

from typing import Any, SupportsFloat, SupportsIndex

import numpy as np

from evops.connectivity.format import Distances
from evops.engine import library
from evops.errors import check_choice, check_integer, check_real
from evops.plot import canvas
from evops.plot.canvas import Axes
from evops.plot.sample import Matrix, edges_of, matrix, neurons_read, number, read, rule_of, size

_MOST_BARS = 60
# Synapses that are counted one by one, which takes a second or less: by native kernels, where a
# rule of distance looks at pairs of neurons, and in jnp.
_COUNTED, _COUNTED_BY_DISTANCE, _COUNTED_IN_JNP = 1e9, 5e7, 1e7
SIDES = ("both", "out", "in")


def degrees(
    W: Matrix, ax: Axes | None = None, *, side: str = "both", seed: SupportsIndex = 0
) -> Axes:
    """Histogram of the numbers of synapses that neurons have.

    All neurons are counted where that takes about a second: up to 10^9 synapses of stored matrices
    and native kernels, 5 * 10^7 of rules of distance, 10^7 in plain JAX. Beyond these, out-degrees
    are those of some pre neurons (see `evops.plot`), and in-degrees, which need all synapses, are
    counted for ``side="in"`` only.

    Args:
        W: a matrix of synapses.
        ax: where to draw; None for a new figure.
        side: "out" for synapses of pre neurons, "in" for those onto post neurons, or "both".
        seed: of the sample of pre neurons.

    Returns:
        The axes.

    Raises:
        ValueError: another side.
        TypeError: no matrix, or no axes of matplotlib.
        ImportError: matplotlib is not installed.

    Example:
        >>> import evops, evops.plot
        >>> W = evops.Projection(evops.FixedTotalNumber(5000), 0.5, shape=(100, 200), seed=1)
        >>> ax = evops.plot.degrees(W)
    """
    synapses: Any = matrix(W)
    side = check_choice("side", side, SIDES)
    every, text = _counts_all(synapses), ""
    counted = {}
    if side != "in":
        counted["out-degree"], text = _out_degrees(synapses, every, seed)
    if side == "in" or (side == "both" and every):
        counted["in-degree"] = np.asarray(synapses.in_degree())
    if side == "both" and not every:
        text += f"; no in-degrees: they need {number(synapses)} synapses"
    edges = _edges(np.concatenate([*counted.values()]))
    ax = canvas.axes(ax)
    colors = {"out-degree": canvas.BLUE, "in-degree": canvas.ORANGE}
    for name, values in counted.items():
        color, of = colors[name], f"{name}: {values.mean():.4g} ± {values.std():.3g}"
        heights = np.histogram(values, edges)[0]
        ax.stairs(heights, edges, fill=True, color=color, alpha=0.5, label=of)
        ax.stairs(heights, edges, color=color)
    ax.set(ylim=(0, None), xlabel="synapses of a neuron", ylabel=_neurons(edges))
    ax.legend()
    canvas.note(ax, text)
    return ax


def delays(
    W: Matrix,
    ax: Axes | None = None,
    *,
    dt: SupportsFloat | None = None,
    seed: SupportsIndex = 0,
) -> Axes:
    """Histogram of the delays of synapses.

    Args:
        W: a matrix of synapses with delays.
        ax: where to draw; None for a new figure.
        dt: length of a time step in ms, above 0; None for delays in time steps.
        seed: of the sample; see `evops.plot`.

    Returns:
        The axes.

    Raises:
        ValueError: a matrix without delays, or dt out of range.
        TypeError: no matrix, or no axes of matplotlib.
        ImportError: matplotlib is not installed.

    Example:
        >>> import evops, evops.plot
        >>> delay = evops.Normal(15, 7.5, low=0.5)
        >>> W = evops.Projection(evops.FixedProbability(0.1), 0.5, (90, 80), seed=1, delay=delay)
        >>> ax = evops.plot.delays(W, dt=0.1)
    """
    W, step = matrix(W), 1.0 if dt is None else check_real("dt", dt)
    if step <= 0:
        raise ValueError(f"dt must be above 0, got {step}")
    if W.delay is None:
        raise ValueError("W must have delays, got a matrix without")
    of = read(W, None, None, seed)
    ax = canvas.axes(ax)
    steps = np.asarray(of.edges.delay)
    edges = _edges(steps)
    heights = np.histogram(steps, edges)[0]
    ax.stairs(heights, edges * step, fill=True, color=canvas.BLUE, alpha=0.5)
    ax.stairs(heights, edges * step, color=canvas.BLUE)
    ax.set(
        xlim=(min(edges[0], 0) * step, edges[-1] * step), ylim=(0, None),
        xlabel="delay (time steps)" if dt is None else "delay (ms)", ylabel="synapses",
    )  # fmt: skip
    canvas.note(ax, of.text)
    return ax


def _counts_all(W: Any) -> bool:
    """Whether all synapses are counted."""
    rule = rule_of(W)
    if rule is None:
        return True
    if library.choose(getattr(W, "projection", W)._backend) != "native":
        return size(W) <= _COUNTED_IN_JNP
    near = isinstance(rule.scheme(W.shape), Distances)
    return size(W) <= (_COUNTED_BY_DISTANCE if near else _COUNTED)


def _out_degrees(W: Any, every: bool, seed: Any) -> tuple[np.ndarray, str]:
    """Of all pre neurons, or of some, and a text that says so."""
    rng = np.random.default_rng(check_integer("seed", seed, 0))
    if every:
        return np.asarray(W.out_degree()), ""
    some = neurons_read(W, rng)
    pre = edges_of(W, some).pre
    counts = np.bincount(np.searchsorted(some, pre), minlength=some.size)
    return counts, f"{some.size:,} of {W.shape[0]:,} pre neurons"


def _edges(values: np.ndarray) -> np.ndarray:
    """Edges of bins around whole numbers, all as wide as a whole number."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    width = -(-(high - low + 1) // _MOST_BARS)
    return low - 0.5 + width * np.arange(-(-(high - low + 1) // width) + 1)


def _neurons(edges: np.ndarray) -> str:
    width = round(edges[1] - edges[0])
    return "neurons" if width == 1 else f"neurons in bins of {width}"
