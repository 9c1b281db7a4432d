"""Axes that pictures are drawn into, their colours and notes."""

from typing import TYPE_CHECKING, Any

from evops.errors import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
else:
    Axes = Any

# Of M. Okabe and K. Ito (2008), Color universal design: told apart by the colour-blind too.
BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
BLACK, GREY = "black", "0.6"
COLORS = (BLUE, VERMILION, GREEN, ORANGE, "#CC79A7", "#56B4E9")


def axes(ax: Any, *, space: bool = False) -> Axes:
    """`ax`, or new axes if it is None; `space`: of three dimensions.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: no axes of matplotlib, or of another number of dimensions.
    """
    try:
        from matplotlib.axes import Axes
    except ImportError as error:
        raise ImportError(
            f'evops.plot needs matplotlib: pip install "jax-evops[plot]" ({error})'
        ) from error
    if ax is None:
        from matplotlib import pyplot

        figure = pyplot.figure(layout="constrained")
        return figure.add_subplot(projection="3d" if space else None)
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be axes of matplotlib or None, got {shown(ax)}")
    if (ax.name == "3d") != space:
        wanted = "three dimensions (projection='3d')" if space else "two dimensions"
        raise TypeError(f"ax must have {wanted} here, got {type(ax).__name__}")
    return ax


def line_style(given: dict[str, Any], **usual: Any) -> dict[str, Any]:
    """Options of ``Axes.plot``: the usual ones, where others are not given (``lw`` is one too)."""
    from matplotlib import cbook, lines

    return {**usual, **cbook.normalize_kwargs(given, lines.Line2D)}


def note(ax: Any, text: str) -> None:
    """Say above the axes what share is shown; nothing if all is."""
    if text:
        ax.set_title(text, fontsize="medium")


def label(name: str, unit: str) -> str:
    """The name of an axis with its unit in brackets."""
    return f"{name} ({unit})" if unit else name
