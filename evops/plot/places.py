"""Positions as pictures show them."""

from typing import Any

import numpy as np

from evops.errors import shown
from evops.plot import canvas
from evops.space.positions import Positions, check_alike


def check_places(shape: tuple[int, int] | None, pre: Any, post: Any) -> tuple[Positions, Positions]:
    """Positions of both sides; those of the post neurons are `pre` where there are none.

    Raises:
        ValueError: another number than the matrix has neurons, or different spaces.
        TypeError: no positions.
    """
    post = pre if post is None else post
    for name, place, n in zip(("pre", "post"), (pre, post), shape or (None, None), strict=True):
        if not isinstance(place, Positions):
            raise TypeError(f"{name} must be evops.Positions or an evops.Grid, got {shown(place)}")
        if n is not None and len(place) != n:
            raise ValueError(
                f"{name} must have a position for each of {n} {name} neurons, got {len(place)}"
            )
    check_alike(pre, post)
    return pre, post


def coordinates(points: np.ndarray, height: float) -> np.ndarray:
    """Coordinates to draw: points with one axis lie at a height."""
    if points.shape[1] > 1:
        return points
    return np.concatenate([points, np.full(points.shape, height)], 1)


def label(ax: Any, pre: Positions, post: Positions, unit: str) -> None:
    """Limits and labels of a picture of both sides."""
    both = np.concatenate([pre.coordinates, post.coordinates])
    low, high = both.min(0), both.max(0)
    margin = 0.04 * max(float((high - low).max()), 1e-12)
    for name, begin, end in zip("xyz", low - margin, high + margin, strict=False):
        ax.set(**{f"{name}lim": (begin, end), f"{name}label": canvas.label(name, unit)})
    if pre.axes == 1:
        ax.set_ylim(-0.15, 1.15)
        ax.set_yticks([0, 1], ["post", "pre"])
    else:
        ax.set_aspect("equal")
