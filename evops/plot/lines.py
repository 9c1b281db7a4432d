"""Connections: lines from pre to post neurons, in lists and in space, and dots in a matrix."""

from typing import Any, SupportsIndex

import numpy as np
from jaxtyping import Shaped

from evops.errors import check_integer
from evops.inputs import Nested
from evops.plot import canvas, places
from evops.plot.canvas import Axes
from evops.plot.sample import Matrix, Sample, matrix, read
from evops.space.positions import Positions

# More markers take seconds to draw, and cannot be told apart.
_MOST_MARKERS = 20_000
Neurons = Shaped[Any, "..."] | SupportsIndex | Nested | None


def connections(
    W: Matrix,
    ax: Axes | None = None,
    *,
    neurons: Neurons = None,
    sample: SupportsIndex = 1000,
    seed: SupportsIndex = 0,
) -> Axes:
    """Lines from pre neurons, on the left, to post neurons, on the right.

    Synapses of negative weight have another colour.

    Args:
        W: a matrix of synapses.
        ax: where to draw; None for a new figure.
        neurons: pre neurons whose synapses are drawn; None for a sample of all.
        sample: lines at most; see `evops.plot`.
        seed: of the sample.

    Returns:
        The axes.

    Raises:
        ValueError: neurons out of range.
        TypeError: no matrix, or no axes of matplotlib.
        ImportError: matplotlib is not installed.

    Example:
        >>> import evops, evops.plot
        >>> W = evops.Projection(evops.FixedOutDegree(3), 0.5, shape=(40, 30), seed=1)
        >>> ax = evops.plot.connections(W)
        >>> len(ax.collections[0].get_segments())
        120
    """
    W = matrix(W)
    of = read(W, neurons, check_integer("sample", sample, 1), seed)
    ax = canvas.axes(ax)
    pre, post = of.edges.pre, of.edges.post
    ends = np.stack([np.zeros(pre.size), pre, np.ones(pre.size), post], 1).reshape(-1, 2, 2)
    _lines(ax, ends, of)
    _legend(ax, of)
    size = float(np.clip(300 / max(W.shape), 1, 6))
    for x, n in enumerate(W.shape):
        every = np.unique(np.linspace(0, n - 1, min(n, 2000)).round())
        ax.plot(np.full(every.size, x), every, "o", color=canvas.BLACK, markersize=size)
    most = max(W.shape)
    ax.set(xlim=(-0.15, 1.15), ylim=(-0.03 * most - 0.5, 1.03 * most - 0.5), ylabel="neuron")
    ax.set_xticks([0, 1], ["pre", "post"])
    canvas.note(ax, of.text)
    return ax


def positions(
    W: Matrix,
    pre: Positions,
    post: Positions | None = None,
    ax: Axes | None = None,
    *,
    neurons: Neurons = None,
    sample: SupportsIndex = 1000,
    seed: SupportsIndex = 0,
    unit: str = "",
) -> Axes:
    """Lines from where pre neurons lie to where their post neurons lie, in 1 to 3 dimensions.

    On a periodic axis a line takes the shorter way, and ends beyond the edge. Of more than 20,000
    neurons so many are marked. In one dimension pre neurons stand above post neurons.

    Args:
        W: a matrix of synapses.
        pre: positions of the pre neurons.
        post: positions of the post neurons; None for those of the pre neurons.
        ax: where to draw; None for a new figure. For positions with three axes it is one of
            ``projection="3d"``.
        neurons: pre neurons whose synapses are drawn; None for a sample of all.
        sample: lines at most; see `evops.plot`.
        seed: of the sample.
        unit: of the coordinates, for the labels.

    Returns:
        The axes.

    Raises:
        ValueError: positions that do not fit the matrix or each other, neurons out of range.
        TypeError: no matrix, no positions, or no axes of matplotlib.
        ImportError: matplotlib is not installed.

    Example:
        >>> import evops, evops.plot
        >>> grid = evops.Grid((20, 20))
        >>> near = evops.FixedProbability(evops.Gaussian(2.0, 0.5))
        >>> W = evops.Projection(near, 1.0, shape=(grid, grid), seed=1)
        >>> ax = evops.plot.positions(W, grid, neurons=[210])
    """
    W = matrix(W)
    pre, post = places.check_places(W.shape, pre, post)
    of = read(W, neurons, check_integer("sample", sample, 1), seed)
    ax = canvas.axes(ax, space=pre.axes == 3)
    own = pre.coordinates[of.edges.pre]
    by = pre.displacements(of.edges.pre, post, of.edges.post)
    begin, end = places.coordinates(own, 1.0), places.coordinates(own + by, 0.0)
    _lines(ax, np.stack([begin, end], 1), of)
    marks = np.random.default_rng(0)
    # Where one population connects to itself, its neurons are marked once.
    sides = [(post, 0.0, canvas.GREY, "post")]
    if pre != post or pre.axes == 1:
        sides.append((pre, 1.0, canvas.BLACK, "pre"))
    for place, height, color, name in sides:
        at = places.coordinates(place.coordinates, height)
        if len(at) > _MOST_MARKERS:
            at = at[marks.choice(len(at), _MOST_MARKERS, replace=False)]
        size = float(np.clip(80 / np.sqrt(len(at)), 0.7, 4))
        ax.plot(*at.T, ".", color=color, markersize=size, label=name, zorder=1)
    if neurons is not None:
        at = places.coordinates(pre.coordinates[np.unique(of.neurons)], 1.0)
        ax.plot(*at.T, "o", color=canvas.BLACK, markersize=5, label="pre, shown", zorder=3)
    places.label(ax, pre, post, unit)
    _legend(ax, of, always=len(sides) > 1 or neurons is not None)
    canvas.note(ax, of.text)
    return ax


def dots(
    W: Matrix,
    ax: Axes | None = None,
    *,
    sample: SupportsIndex = 20_000,
    seed: SupportsIndex = 0,
) -> Axes:
    """A dot for each synapse, in the row of its pre and the column of its post neuron.

    Synapses of negative weight have another colour.

    Args:
        W: a matrix of synapses.
        ax: where to draw; None for a new figure.
        sample: dots at most; see `evops.plot`.
        seed: of the sample.

    Returns:
        The axes.

    Raises:
        TypeError: no matrix, or no axes of matplotlib.
        ImportError: matplotlib is not installed.

    Example:
        >>> import evops, evops.plot
        >>> W = evops.Projection(evops.FixedProbability(0.1), 0.5, shape=(80, 60), seed=1)
        >>> ax = evops.plot.dots(W)
    """
    W = matrix(W)
    of = read(W, None, check_integer("sample", sample, 1), seed)
    ax = canvas.axes(ax)
    n_pre, n_post = W.shape
    size = float(np.clip(250 / max(W.shape), 1, 9))
    for color, kept, name in _signs(of):
        ax.plot(
            of.edges.post[kept], of.edges.pre[kept], "s", color=color, markersize=size,
            markeredgewidth=0, label=name,
        )  # fmt: skip
    ax.set(
        xlim=(-0.5, n_post - 0.5), ylim=(n_pre - 0.5, -0.5), xlabel="post neuron",
        ylabel="pre neuron",
    )  # fmt: skip
    if 1 / 3 <= n_pre / n_post <= 3:
        ax.set_aspect("equal")
    _legend(ax, of)
    canvas.note(ax, of.text)
    return ax


def _signs(of: Sample) -> list[tuple[str, Any, str]]:
    """Colour, synapses and name of the positive and the negative weights."""
    negative = of.edges.weight < 0
    kinds = [
        (canvas.BLUE, ~negative, "positive weight"),
        (canvas.VERMILION, negative, "negative weight"),
    ]
    if not negative.any():
        return [(canvas.BLUE, ~negative, "synapse")]
    return [kind for kind in kinds if kind[1].any()]


def _legend(ax: Any, of: Sample, always: bool = False) -> None:
    if always or len(_signs(of)) > 1:
        # Beside the axes: inside there is no place without synapses.
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize="small", frameon=False)


def _lines(ax: Any, ends: Any, of: Sample) -> None:
    """A line for each synapse; the more there are, the fainter."""
    if ends.shape[2] == 3:
        from mpl_toolkits.mplot3d.art3d import Line3DCollection as Lines
    else:
        from matplotlib.collections import LineCollection as Lines
    alpha = float(np.clip(20 / np.sqrt(max(len(ends), 1)), 0.1, 0.8))
    for color, kept, name in _signs(of):
        lines = Lines(ends[kept], colors=color, linewidths=0.8, alpha=alpha, label=name, zorder=2)
        ax.add_collection(lines)
