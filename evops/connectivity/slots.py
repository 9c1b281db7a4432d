"""Functions of the square of a distance as tables, fine where the function needs it.

Squares are whole numbers. There are 32 slots for each octave (the numbers from one power of two to
the next), so a table is as fine near 0 as elsewhere. Slots are divided further until the function
is linear enough between knots. A function that jumps has slots for each piece.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from evops.connectivity import format

# Slots are divided into at most 2**MOST_BITS.
MOST_BITS = 12
# Places inside a division at which errors are looked for.
_PLACES = np.array([0.0, 0.13, 0.29, 0.5, 0.71, 0.87])

Values = Callable[[np.ndarray], np.ndarray]


def number(square: int) -> int:
    """The slot of a square."""
    bits = max(square.bit_length() - format.DISTANCE_BITS - 1, 0)
    return (bits << format.DISTANCE_BITS) + (square >> bits)


def ends(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first square of each of so many slots, and log2 of how many squares it has."""
    slot = np.arange(count, dtype=np.int64)
    bits = np.maximum((slot >> format.DISTANCE_BITS) - 1, 0)
    return (slot - (bits << format.DISTANCE_BITS)) << bits, bits


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """A function between two jumps, from square `first` to `last`.

    Attributes:
        begins: where the knots of each slot begin.
        bits: log2 of the divisions of each slot, 0 in slots outside the piece.
        used: which slots have knots.
        knots: values, as they are stored.
        error: the largest error, as `judge` says.
    """

    begins: np.ndarray
    bits: np.ndarray
    used: np.ndarray
    knots: np.ndarray
    error: float

    def of_slots(self, reduce: np.ufunc, empty: float) -> np.ndarray:
        """Least or largest knot of each slot, `empty` where there are none."""
        out = np.full(self.begins.size, empty, self.knots.dtype)
        order = np.flatnonzero(self.used)
        order = order[np.argsort(self.begins[order])]
        if order.size:
            out[order] = reduce.reduceat(self.knots, self.begins[order])
        return out


def divided(
    values: Values,
    squares: range,
    count: int,
    *,
    stored: Values,
    judge: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> Piece:
    """The table of a function on a range of squares, in `count` slots from 0 on.

    Args:
        values: the function, of squares as float64.
        squares: those that the piece has.
        count: number of slots.
        stored: values as the table holds them.
        judge: of true values and what the table says, which fit, and errors to report.
    """
    first, width_bits = ends(count)
    begins, bits_of = np.zeros((2, count), np.int64)
    used = np.zeros(count, bool)
    todo = np.flatnonzero((first + (1 << width_bits) > squares[0]) & (first <= squares[-1]))
    knots, size, worst = [], 0, 0.0
    for bits in range(MOST_BITS + 1):
        begin, width = first[todo, None].astype(float), 2.0 ** width_bits[todo, None]
        knot = begin + width * np.arange((1 << bits) + 1) / (1 << bits)
        value = stored(values(knot))
        step = (width / (1 << bits))[..., None]
        inner = np.ceil(knot[:, :-1, None] + step * _PLACES)
        part = (inner - knot[:, :-1, None]) / step
        a, b = value[:, :-1, None], value[:, 1:, None]
        with np.errstate(invalid="ignore"):  # infinities less infinities
            said = np.where(part > 0, a + (b - a) * part, a)
        fits, error = judge(values(inner), said)
        inside = (inner >= squares[0]) & (inner <= squares[-1])
        done = (fits | ~inside).all((1, 2)) | (bits == np.minimum(width_bits[todo], MOST_BITS))
        worst = max(worst, float(np.where(inside, error, 0.0)[done].max(initial=0.0)))
        ended = todo[done]
        begins[ended] = size + ((1 << bits) + 1) * np.arange(ended.size)
        bits_of[ended], used[ended] = bits, True
        knots.append(value[done].ravel())
        size += knots[-1].size
        todo = todo[~done]
    return Piece(begins, bits_of, used, np.concatenate(knots), worst)
