"""The weights of one neuron over the grid of its partners."""

from collections.abc import Sequence
from typing import Any, SupportsIndex

import jax.numpy as jnp
import numpy as np

from evops.errors import Flag, check_choice, check_flag, check_integer, shown
from evops.plot import canvas
from evops.plot.canvas import Axes
from evops.plot.sample import Matrix, matrix
from evops.space.positions import Grid, Positions, check_extents

SIDES = ("out", "in")


def weights(
    W: Matrix,
    neuron: SupportsIndex,
    grid: Grid | Sequence[SupportsIndex],
    ax: Axes | None = None,
    *,
    side: str = "out",
    surface: Flag = False,
) -> Axes:
    """Weights of the synapses of one neuron, over a grid of the neurons on their other side.

    Weights of one pair of neurons are added up. Pairs without a synapse are blank in the image, and
    0 in the surface. A cross marks the neuron itself where both sides are the same grid. Synapses
    onto a neuron (``side="in"``) need a draw of all synapses, in about a second for 10^9.

    Args:
        W: a matrix of synapses.
        neuron: the pre neuron, or the post neuron for ``side="in"``.
        grid: of the neurons on the other side: a `Grid` of two axes, or its rows and columns.
        ax: where to draw; None for a new figure. For a surface, of ``projection="3d"``.
        side: "out" for the synapses of a pre neuron, "in" for those onto a post neuron.
        surface: whether a surface in three dimensions is drawn in place of an image.

    Returns:
        The axes; the image is ``ax.images[0]``.

    Raises:
        ValueError: a grid of another number of axes or of neurons, or a neuron out of range.
        TypeError: no matrix, no grid, or no axes of matplotlib.
        ImportError: matplotlib is not installed.

    Example:
        >>> import evops, evops.plot
        >>> grid = evops.Grid((20, 30))
        >>> near = evops.FixedProbability(evops.Gaussian(4.0))
        >>> W = evops.Projection(near, evops.Normal(1.0, 0.2), shape=(grid, grid), seed=1)
        >>> evops.plot.weights(W, 315, grid).images[0].get_array().shape
        (20, 30)
    """
    W, side = matrix(W), check_choice("side", side, SIDES)
    own = side == "in"
    n, others = W.shape[own], W.shape[not own]
    neuron = check_integer("neuron", neuron, 0, n - 1)
    shape = _extents(grid, others)
    surface = check_flag("surface", surface)
    ax = canvas.axes(ax, space=surface)
    one = jnp.zeros(n, jnp.int32).at[neuron].set(1)
    values = np.asarray(W @ one if own else one @ W, np.float64).reshape(shape)
    name = f"{'post' if own else 'pre'} neuron {neuron}"
    colors = _colors(values)
    if surface:
        _surface(ax, values, colors)
    else:
        _image(ax, values, colors)
        if n == others:
            row, column = divmod(neuron, shape[1])
            ax.plot(column, row, "x", color=canvas.BLACK, markersize=8, markeredgewidth=2)
    ax.set(xlabel="column", ylabel="row")
    canvas.note(ax, f"weights {'onto' if own else 'of'} {name}")
    return ax


def _extents(grid: Any, n: int) -> tuple[int, ...]:
    if isinstance(grid, Positions) and not isinstance(grid, Grid):
        raise TypeError(f"grid must be an evops.Grid or (rows, columns), got {shown(grid)}")
    shape = check_extents("grid", grid.shape if isinstance(grid, Grid) else grid)
    if len(shape) != 2:
        raise ValueError(f"grid must have 2 axes, rows and columns, got {len(shape)}: {shape}")
    if shape[0] * shape[1] != n:
        raise ValueError(f"grid must have a place for each of {n} neurons, got {shape}")
    return shape


def _colors(values: np.ndarray) -> dict[str, Any]:
    """The colours of weights: about 0 where there are both signs, else from 0 on."""
    low, high = float(min(values.min(), 0)), float(max(values.max(), 0))
    if low == high:
        high = 1.0
    if low < 0 < high:
        most = max(-low, high)
        return {"cmap": "coolwarm", "vmin": -most, "vmax": most}
    return {"cmap": "viridis" if high > 0 else "viridis_r", "vmin": low, "vmax": high}


def _image(ax: Any, values: np.ndarray, colors: dict[str, Any]) -> None:
    shown = np.ma.masked_equal(values, 0)
    image = ax.imshow(shown, interpolation="nearest", **colors)
    ax.set_facecolor("0.93")
    ax.figure.colorbar(image, ax=ax, label="weight")


def _surface(ax: Any, values: np.ndarray, colors: dict[str, Any]) -> None:
    from matplotlib.ticker import MaxNLocator

    rows, columns = values.shape
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    drawn = ax.plot_surface(
        x, y, values, rcount=min(rows, 100), ccount=min(columns, 100), linewidth=0, **colors
    )
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_major_locator(MaxNLocator(5))
    ax.set_zlabel("weight")
    ax.yaxis.labelpad = 8
    ax.set_box_aspect(None, zoom=0.9)
    ax.figure.colorbar(drawn, ax=ax, label="weight", shrink=0.6, pad=0.12)
