"""Kernels of probabilities as integers, looked up by the square of a distance.

Coordinates are whole numbers of a unit, 2**-15 of the cut-off, and so are displacements. So the
square of a distance within the cut-off is a word, and so is a probability (`slots`).
"""

import dataclasses
import functools

import numpy as np

from evops.connectivity import format, slots
from evops.space.kernels import Kernel, checked_values

# Probabilities are whole numbers of 2**-31; the largest one means a certain synapse.
CERTAIN = (1 << 31) - 1
# Relative error that interpolation may add where a probability is above `_SMALL`; 2**-10 is
# promised, and rounding takes half of it there.
_TOLERANCE, _SMALL = 2.0**-12, 2.0**-20


@dataclasses.dataclass(frozen=True, eq=False)
class DistanceTable:
    """A kernel of probabilities as integers, all uint32.

    Attributes:
        unit: of coordinates, in that of the positions.
        breaks: squares of distances from which on another piece of the kernel holds.
        slots: for each piece and slot, where its knots begin, shifted, and log2 of its divisions.
        knots: probabilities; one more than there are, as the next one is looked up as well.
        bounds: for each slot the largest probability in it or further away.
        least: pairs whose probability is at most this one are left out.
        error: largest relative error where the probability is above 2**-20.
    """

    unit: float
    breaks: np.ndarray
    slots: np.ndarray
    knots: np.ndarray
    bounds: np.ndarray
    least: int
    error: float


def _probabilities(kernel: Kernel, d: np.ndarray) -> np.ndarray:
    p = checked_values(kernel, d)
    if p.size and p.max() > 1 + 1e-9:
        at = int(p.argmax())
        raise ValueError(
            f"{kernel} must be in [0, 1] where it is a probability, got {p[at]} at {d[at]}"
        )
    return np.minimum(p, 1.0)


def _stored(p: np.ndarray) -> np.ndarray:
    """Probabilities, rounded as the table has them; the largest one still as a float."""
    return np.minimum(np.rint(p * 2.0**31), CERTAIN) / 2.0**31


def _judge(p: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    off = np.abs(said - p)
    fits = off <= np.where(p > _SMALL, _TOLERANCE * p, 0) + 2.0**-31
    return fits, np.where(p > _SMALL, (off + 2.0**-32) / np.maximum(p, _SMALL), 0.0)


def pieces_of(kernel: Kernel, unit: float, reach: float) -> list[tuple[float, float, int]]:
    """Pieces of a kernel: their distances, and the first square of each."""
    jumps = [b for b in kernel.jumps if b < reach]
    begins = [0.0, *jumps]
    # What holds at a jump comes after it. But a pair at a jump, to within a unit, belongs to what
    # comes before, as it does at the cut-off.
    stops = [*(b * (1 - 1e-12) for b in jumps), reach]
    squares = [0, *(int((b / unit + 1) ** 2) + 1 for b in jumps)]
    return list(zip(begins, stops, squares, strict=True))


@functools.lru_cache(maxsize=64)
def table_of(kernel: Kernel, axes: int) -> DistanceTable:
    """The table of a kernel of probabilities, in so many dimensions."""
    reach = kernel.reach(axes)
    if not 0 < reach < np.inf:
        raise ValueError(
            f"{kernel} must end where pairs are drawn one by one: give it a cutoff, or a mask that "
            "ends"
        )
    unit = reach / format.DISTANCE_UNITS
    named = pieces_of(kernel, unit, reach)
    limits = [*(first for _, _, first in named), format.MAX_SQUARE + 1]
    pieces, entries, base = [], [], 0
    for k, (low, high, _) in enumerate(named):

        def values(square: np.ndarray, ends: tuple[float, float] = (low, high)) -> np.ndarray:
            """Probabilities; those beyond an end are that of the end."""
            d = np.clip(np.sqrt(square) * unit, *ends)
            return _probabilities(kernel, d.ravel()).reshape(square.shape)

        squares = range(limits[k], limits[k + 1])
        piece = slots.divided(values, squares, format.DISTANCE_SLOTS, stored=_stored, judge=_judge)
        entries.append(np.where(piece.used, (piece.begins + base) << 5 | piece.bits, 0))
        pieces.append(piece)
        base += piece.knots.size
    most = np.max([piece.of_slots(np.maximum, 0.0) for piece in pieces], 0)
    most = np.maximum.accumulate(most[::-1])[::-1]
    least = _stored(np.array([kernel.p_min]))
    if most[0] <= least[0]:
        raise ValueError(f"{kernel} must not be 0, or at most p_min, at every distance")
    knots = np.concatenate([*(piece.knots for piece in pieces), [0.0]])
    whole = [(np.rint(p * 2.0**31)).astype(np.uint32) for p in (knots, most, least)]
    return DistanceTable(
        unit,
        np.array(limits[1:-1], np.int64).astype(np.uint32),
        np.concatenate(entries).astype(np.uint32),
        whole[0],
        whole[1],
        int(whole[2][0]),
        max(piece.error for piece in pieces),
    )
