"""Kernels as weights: their logarithms, looked up by the square of a distance.

Where a number of synapses is given, only ratios of the kernel matter, and they have no end: the
nearest of neurons that are all far away is still the likeliest. They are float64, made and read by
additions, multiplications, divisions and roots alone, which every machine rounds alike.
"""

import dataclasses

import numpy as np

from evops.connectivity import format, slots
from evops.connectivity.distance_tables import pieces_of
from evops.space.kernels import Kernel, checked_values

# Coordinates in units lie below it, so that squares of distances are words of 64 bits.
MAX_COORDINATE = 1 << 30
# Units of a kernel's typical distance, and of the cut-off if that is less.
_UNITS = 1 << 14
# Error of a logarithm to the base 2 that interpolation may add: 2**-12 of a weight.
_TOLERANCE = 2.0**-12 * 1.44
LOG2E = 1.4426950408889634


@dataclasses.dataclass(frozen=True, eq=False)
class LogTable:
    """``-log2`` of a kernel at squares of distances in units.

    Attributes:
        unit: of coordinates, in that of the positions.
        furthest: largest square of a pair.
        breaks: squares from which on another piece of the kernel holds.
        begins: for each piece and slot, where its knots begin.
        bits: log2 of the divisions of each.
        knots: the logarithms, infinite where the kernel is 0.
        bounds: for each slot the least logarithm in it or further away.
    """

    unit: float
    furthest: int
    breaks: np.ndarray
    begins: np.ndarray
    bits: np.ndarray
    knots: np.ndarray
    bounds: np.ndarray

    def at(self, square: np.ndarray) -> np.ndarray:
        """Logarithms at squares, uint64; infinite beyond the furthest."""
        near = np.minimum(square, np.uint64(self.furthest))
        slot, many = _slot_of(near)
        piece = np.zeros(near.shape, np.int64)
        for square_of_break in self.breaks:
            piece += near >= square_of_break
        slot = slot + piece * self.bounds.size
        rest = many - self.bits[slot]
        within = near & ((np.uint64(1) << many) - np.uint64(1))
        k = self.begins[slot] + (within >> rest).astype(np.int64)
        left = within & ((np.uint64(1) << rest) - np.uint64(1))
        a, b = self.knots[k], self.knots[k + 1]
        with np.errstate(invalid="ignore"):
            between = a + (b - a) * (left.astype(float) / (np.uint64(1) << rest).astype(float))
        value = np.where(left > 0, np.where(np.isnan(between), np.inf, between), a)
        return np.where(square > np.uint64(self.furthest), np.inf, value)

    def least(self, square: np.ndarray) -> np.ndarray:
        """The least logarithm at squares from these on."""
        near = np.minimum(square, np.uint64(self.furthest))
        bound = self.bounds[_slot_of(near)[0]]
        return np.where(square > np.uint64(self.furthest), np.inf, bound)


def _slot_of(square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slot of each square, and log2 of how many share it."""
    shift = np.uint64(format.DISTANCE_BITS + 1)
    many = np.frexp((square >> shift).astype(float))[1].astype(np.uint64)
    # A number that is rounded up to a power of two seems to have a bit too many.
    many -= (many > 0) & ((square >> shift) >> (many - (many > 0)) == 0)
    slot = (many << np.uint64(format.DISTANCE_BITS)) + (square >> many)
    return slot.astype(np.int64), many


def unit_of(kernel: Kernel, axes: int) -> float:
    """The unit of coordinates."""
    typical = min(kernel.typical, kernel.bound(axes))
    if not 0 < typical < np.inf:
        raise ValueError(
            f"{kernel} must have a length, in which positions are measured: give it a cutoff, or "
            "a mask that ends"
        )
    return typical / _UNITS


def table_of(kernel: Kernel, axes: int, furthest: int) -> LogTable:
    """The table of a kernel in so many dimensions, up to a square, or to the cut-off."""
    unit = unit_of(kernel, axes)
    reach = kernel.bound(axes)
    if reach < np.inf:
        checked_values(kernel, np.linspace(0.0, reach, 1 << 10))  # also where no pair is
        furthest = min(furthest, int((reach / unit + 1) ** 2))
    count = slots.number(furthest) + 1
    named = [p for p in pieces_of(kernel, unit, reach) if p[2] <= furthest]
    limits = [*(first for _, _, first in named), furthest + 1]
    pieces, base, begins = [], 0, []
    for k, (low, high, _) in enumerate(named):

        def values(square: np.ndarray, ends: tuple[float, float] = (low, high)) -> np.ndarray:
            """Logarithms; those beyond an end are that of the end."""
            d = np.clip(np.sqrt(square) * unit, *ends)
            log = -LOG2E * kernel.log(d)
            return np.where(kernel.leaves_out(d), np.inf, log)

        piece = slots.divided(
            values, range(limits[k], limits[k + 1]), count, stored=np.asarray, judge=_judge
        )
        begins.append(piece.begins + base)
        pieces.append(piece)
        base += piece.knots.size
    least = np.min([piece.of_slots(np.minimum, np.inf) for piece in pieces], 0)
    return LogTable(
        unit,
        furthest,
        np.array(limits[1:-1], np.uint64),
        np.concatenate(begins),
        np.concatenate([piece.bits for piece in pieces]).astype(np.uint64),
        np.concatenate([*(piece.knots for piece in pieces), [np.inf]]),
        np.minimum.accumulate(least[::-1])[::-1],
    )


def _judge(log: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(invalid="ignore"):
        off = np.abs(said - log)
    alike = (log == said) | (np.isinf(log) & ~np.isfinite(said))
    return alike | (off <= _TOLERANCE), np.where(alike, 0.0, off)
