"""Pairs of neurons: their distances, how likely they are connected, and how often they are."""

from collections.abc import Callable
from typing import Any, SupportsIndex

import numpy as np

from evops.connectivity.distances import DistanceRule
from evops.connectivity.rules import FixedProbability
from evops.errors import Real, check_integer
from evops.plot import canvas
from evops.plot.canvas import Axes
from evops.plot.places import check_places
from evops.plot.sample import Matrix, edges_of, matrix, neurons_read, rule_of
from evops.space import pairs
from evops.space.kernels import Kernel, kernel_of
from evops.space.positions import Positions

# Pixels of a matrix, along each side, and pairs whose distances are counted.
_MOST_PIXELS, _MOST_PAIRS = 500, 5_000_000


def distance_matrix(
    pre: Positions, post: Positions | None = None, ax: Axes | None = None, *, unit: str = ""
) -> Axes:
    """The distance of each pre from each post neuron, as an image.

    Of more than 500 neurons on a side, 500 are shown, evenly spread over their numbers.

    Args:
        pre: positions of the pre neurons, whose distances are rows.
        post: positions of the post neurons; None for those of the pre neurons.
        ax: where to draw; None for a new figure.
        unit: of the coordinates, for the labels.

    Returns:
        The axes; the image is ``ax.images[0]``.

    Raises:
        ValueError: positions in different spaces.
        TypeError: no positions, or no axes of matplotlib.
        ImportError: matplotlib is not installed.

    Example:
        >>> import evops, evops.plot
        >>> ax = evops.plot.distance_matrix(evops.Grid(30, periodic=True))
        >>> float(ax.images[0].get_array().max())
        15.0
    """
    pre, post = check_places(None, pre, post)
    ax = canvas.axes(ax)
    i, j = (_spread(len(side)) for side in (pre, post))
    values = pre.distances(i[:, None], post, j)
    return _matrix(ax, values, (pre, post), canvas.label("distance", unit), "viridis_r")


def probability_matrix(
    p: Kernel | FixedProbability | Callable[..., Any] | Real,
    pre: Positions,
    post: Positions | None = None,
    ax: Axes | None = None,
) -> Axes:
    """How likely each pre neuron is connected to each post neuron, as an image.

    Of more than 500 neurons on a side, 500 are shown, evenly spread over their numbers.

    Args:
        p: a kernel or a function of distance, a probability, or `FixedProbability` of these.
        pre: positions of the pre neurons, whose targets are rows.
        post: positions of the post neurons; None for those of the pre neurons.
        ax: where to draw; None for a new figure.

    Returns:
        The axes; the image is ``ax.images[0]``.

    Raises:
        ValueError: positions in different spaces, a probability outside [0, 1].
        TypeError: no kernel, no positions, or no axes of matplotlib.
        ImportError: matplotlib is not installed.

    Example:
        >>> import evops, evops.plot
        >>> ax = evops.plot.probability_matrix(evops.Gaussian(3.0, 0.5), evops.Grid(40))
        >>> float(ax.images[0].get_array().max())
        0.5
    """
    pre, post = check_places(None, pre, post)
    chosen: Any = p  # kernels, functions and numbers
    rule = p if isinstance(p, FixedProbability) else FixedProbability(chosen)
    ax = canvas.axes(ax)
    i, j = (_spread(len(side)) for side in (pre, post))
    if isinstance(rule.p, Kernel):
        values = pairs.values(rule.p, pre, i[:, None], post, j)
    else:
        values = np.full((i.size, j.size), float(rule.p))
    if not rule.autapses:
        values[i[:, None] == j] = 0
    return _matrix(ax, values, (pre, post), "connection probability", "viridis")


def probability_by_distance(
    W: Matrix,
    pre: Positions | None = None,
    post: Positions | None = None,
    ax: Axes | None = None,
    *,
    kernel: Kernel | Callable[..., Any] | None = None,
    bins: SupportsIndex = 30,
    seed: SupportsIndex = 0,
    unit: str = "",
) -> Axes:
    """How many synapses a pair of neurons has, by its distance, beside the kernel.

    Points are synapses over pairs of neurons whose distance is in a bin, at the mean of these
    distances; bars are standard errors of a binomial number. Of a large matrix the synapses of some
    pre neurons are counted (see `evops.plot`), and at most 5,000,000 pairs. A neuron and itself are
    no pair here. The line is the kernel, which a mask makes smaller.

    Args:
        W: a matrix of synapses.
        pre: positions of the pre neurons; None for those of the rule of W.
        post: positions of the post neurons; None for those of the rule, or of the pre neurons.
        ax: where to draw; None for a new figure.
        kernel: the line; None for the kernel of the rule of W, if it has one.
        bins: number of bins, from distance 0 to where the kernel ends or to the longest.
        seed: of the pre neurons.
        unit: of the coordinates, for the label.

    Returns:
        The axes.

    Raises:
        ValueError: positions that do not fit, or none where the rule has none.
        TypeError: no matrix, no positions, no kernel, or no axes of matplotlib.
        ImportError: matplotlib is not installed.

    Example:
        >>> import evops, evops.plot
        >>> grid = evops.Grid((30, 30), periodic=True)
        >>> near = evops.FixedProbability(evops.Gaussian(3.0, 0.5))
        >>> W = evops.Projection(near, 1.0, shape=(grid, grid), seed=1)
        >>> ax = evops.plot.probability_by_distance(W)
    """
    W, bins = matrix(W), check_integer("bins", bins, 1, 10_000)
    rule = rule_of(W)
    if isinstance(rule, DistanceRule):
        post = post if pre is not None or post is not None else rule.post
        pre = rule.pre if pre is None else pre
        kernel = rule.kernel if kernel is None else kernel
    if pre is None:
        raise ValueError("pre must be positions, as the rule of W has none, got None")
    pre, post = check_places(W.shape, pre, post)
    line = None if kernel is None else kernel_of("kernel", kernel)
    rng = np.random.default_rng(check_integer("seed", seed, 0))
    some = neurons_read(W, rng, max(1.0, _MOST_PAIRS / W.shape[1]))
    end = _end(pre, some, post, line)
    d, p, error = _counted(W, some, pre, post, np.linspace(0, end, bins + 1))
    ax = canvas.axes(ax)
    if line is not None:
        at = np.linspace(0, end, 400)
        ax.plot(at, line(at), color=canvas.VERMILION, label="kernel", zorder=1)
    ax.errorbar(
        d, p, error, linestyle="none", marker="o", markersize=4, color=canvas.BLUE, capsize=0,
        label="synapses per pair", zorder=2,
    )  # fmt: skip
    ax.set(
        xlim=(0, end), ylim=(0, None), xlabel=canvas.label("distance", unit),
        ylabel="connection probability",
    )  # fmt: skip
    ax.legend()
    n = W.shape[0]
    canvas.note(ax, "" if some.size == n else f"{some.size:,} of {n:,} pre neurons")
    return ax


def _spread(n: int) -> np.ndarray:
    """Neurons that are shown."""
    return np.unique(np.linspace(0, n - 1, min(n, _MOST_PIXELS)).round().astype(np.int64))


def _matrix(
    ax: Any, values: np.ndarray, sides: tuple[Positions, Positions], name: str, colors: str
) -> Any:
    n_pre, n_post = map(len, sides)
    square = 1 / 3 <= n_pre / n_post <= 3
    image = ax.imshow(
        values, cmap=colors, vmin=0, extent=(-0.5, n_post - 0.5, n_pre - 0.5, -0.5),
        aspect="equal" if square else "auto", interpolation="nearest",
    )  # fmt: skip
    ax.set(xlabel="post neuron", ylabel="pre neuron")
    ax.figure.colorbar(image, ax=ax, label=name)
    shown = " × ".join(f"{n:,}" for n in values.shape)
    canvas.note(ax, "" if values.shape == (n_pre, n_post) else f"{shown} of {n_pre:,} × {n_post:,}")
    return ax


def _end(pre: Positions, some: np.ndarray, post: Positions, kernel: Kernel | None) -> float:
    """The largest distance in the picture: of a kernel where it is a thousandth of its peak."""
    everyone = np.arange(len(post))
    few = some[:: max(1, some.size // 50)]
    longest = max(float(pre.distances(i, post, everyone).max()) for i in few) or 1.0
    if kernel is None:
        return longest
    d = np.linspace(0, min(longest, kernel.bound(pre.axes)), 1001)
    values = kernel(d)
    large = np.flatnonzero(values > values.max() / 1000)
    return float(d[min(large[-1] + 1, 1000)]) if large.size else float(d[-1])


def _counted(
    W: Any, some: np.ndarray, pre: Positions, post: Positions, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean distance, synapses per pair and standard error in every bin that has pairs."""
    i, j = edges_of(W, some)[:2]
    same = pre == post
    hit = pre.distances(i, post, j)[(i != j) | (not same)]
    bins, everyone = edges.size - 1, np.arange(len(post))
    there, total = np.zeros(bins), np.zeros(bins)
    for own in some:
        d = pre.distances(own, post, everyone)
        d = np.delete(d, own) if same else d
        there += np.histogram(d, edges)[0]
        total += np.histogram(d, edges, weights=d)[0]
    found = np.histogram(hit, edges)[0][there > 0]
    there, total = there[there > 0], total[there > 0]
    p = found / there
    return total / there, p, np.sqrt(p * np.maximum(1 - p, 0) / there)
