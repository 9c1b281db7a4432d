"""Positions as integers, and post neurons in boxes, so that those far away are passed over.

Post neurons are put in the order of a tree of two levels (sort-tile-recursive: S. T. Leutenegger
et al. 1997, doi:10.1109/ICDE.1997.582015): leaves of 16 neurons and nodes of 16 leaves, each with
the box that its neurons lie in. The order has no effect on which synapses exist.
"""

import math
from typing import Any

import numpy as np

from evops.connectivity import format
from evops.space.positions import Positions


def whole(
    name: str, positions: Positions, unit: float, most: int = format.MAX_COORDINATE
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in units, (n, axes) int64 below `most`, and the periods, 0 for none.

    The unit of a periodic axis is the next smaller one that divides its period.
    """
    points = np.empty(positions.coordinates.shape, np.int64)
    periods = np.zeros(positions.axes, np.int64)
    for axis, period in enumerate(positions.periods):
        x = positions.coordinates[:, axis]
        if period is None:
            steps = x / unit
        else:
            periods[axis] = math.ceil(min(period / unit, 2.0**62))
            steps = np.mod(x / period, 1.0) * float(periods[axis])
        if np.abs(steps).max() >= most or periods[axis] >= most:
            worst = x[np.abs(steps).argmax()] if period is None else period
            what = "coordinates" if period is None else "periods"
            raise ValueError(
                f"{what} of the {name} neurons must be within {unit * most:.6g} of 0, for a kernel "
                f"that is measured in units of {unit:.3g}, got {worst}"
            )
        points[:, axis] = np.floor(steps + 0.5)
        if periods[axis]:
            points[:, axis] %= periods[axis]
    return points, periods


def _tiled(points: np.ndarray, group: np.ndarray, begin: np.ndarray, leaf: int) -> np.ndarray:
    """An order in which, of each group, `leaf` neurons in a row lie near each other.

    `group` numbers are in ascending order, and `begin` says where each neuron's group starts.
    """
    n, axes = points.shape
    order, last = np.arange(n), np.maximum.accumulate(begin)
    size = np.bincount(group)[group]
    for axis in range(axes):
        order = order[np.lexsort((points[order, axis], group))]
        if axis == axes - 1:
            return order
        leaves = -(-size // leaf)
        part = -(-leaves // _root(leaves, axes - axis)) * leaf
        inside = (np.arange(n) - last) // part
        last = last + inside * part
        group = np.cumsum(np.diff(last, prepend=last[:1]) != 0)
        size = np.bincount(group)[group]
    return order


def _root(x: np.ndarray, power: int) -> np.ndarray:
    """The least whole numbers whose power is at least x, the same on every machine."""
    root = np.rint(x ** (1 / power)).astype(np.int64)
    return root + (root**power < x) - ((root - 1) ** power >= x)


def displaced(a: np.ndarray, b: np.ndarray, period: Any) -> np.ndarray:
    """From coordinates a to b, the shorter way round if there is a period."""
    by = b - a
    if not period:
        return by
    by = np.where(by < 0, by + period, by)
    return np.where(by > period // 2, by - period, by)


def tiled(points: np.ndarray, size: int) -> np.ndarray:
    """Neurons in an order in which `size` in a row lie near each other."""
    zero = np.zeros(len(points), np.int64)
    return _tiled(points, zero, zero, size)


def order_of(points: np.ndarray) -> np.ndarray:
    """Neurons in the order of the tree."""
    n = len(points)
    order = tiled(points, format.NODE)
    node = np.arange(n) // format.NODE
    return order[_tiled(points[order], node, node * format.NODE, format.LEAF)]


def boxes(points: np.ndarray, size: int, count: int) -> np.ndarray:
    """Least and largest coordinates of each `size` neurons in a row: (axes, 2, count).

    Boxes beyond the last neuron are that of the last one.
    """
    n, axes = points.shape
    full = -(-n // size) * size
    rows = points[np.minimum(np.arange(full), n - 1)].reshape(-1, size, axes)
    ends = np.stack([rows.min(1), rows.max(1)], -1).transpose(1, 2, 0)
    return ends[..., np.minimum(np.arange(count), ends.shape[-1] - 1)]
