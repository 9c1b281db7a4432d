"""Kernels as integers: probabilities looked up by the square of a distance.

Coordinates are whole numbers of a unit, 2**-15 of the cut-off, and so are displacements. So the
square of a distance within the cut-off is a word. A table of it has slots, 32 for each octave (the
numbers from one power of two to the next), so that it is as fine near 0 as elsewhere. Slots are
divided further where the kernel needs it, and between knots the table is linear. A kernel that
jumps has slots for each piece.
"""

import dataclasses
import functools

import numpy as np

from evops.connectivity import format
from evops.space.kernels import Kernel, checked_values

# Probabilities are whole numbers of 2**-31; the largest one means a certain synapse.
CERTAIN = (1 << 31) - 1
# Relative error that interpolation may add where a probability is above `_SMALL`; 2**-10 is
# promised, and rounding takes half of it there. Slots are divided into at most 2**_MOST_BITS.
_TOLERANCE, _SMALL, _MOST_BITS = 2.0**-12, 2.0**-20, 12
# Places inside a division at which errors are looked for.
_PLACES = np.array([0.0, 0.13, 0.29, 0.5, 0.71, 0.87])


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


def _slot_ends() -> tuple[np.ndarray, np.ndarray]:
    """The first number of each slot, and log2 of how many it has."""
    slot = np.arange(format.DISTANCE_SLOTS, dtype=np.int64)
    bits = np.maximum((slot >> format.DISTANCE_BITS) - 1, 0)
    return (slot - (bits << format.DISTANCE_BITS)) << bits, bits


def _probabilities(kernel: Kernel, d: np.ndarray) -> np.ndarray:
    p = checked_values(kernel, d)
    if p.size and p.max() > 1 + 1e-9:
        at = int(p.argmax())
        raise ValueError(
            f"{kernel} must be in [0, 1] where it is a probability, got {p[at]} at {d[at]}"
        )
    return np.minimum(p, 1.0)


def _scaled(p: np.ndarray) -> np.ndarray:
    return np.minimum(np.rint(p * 2.0**31), CERTAIN).astype(np.int64)


class _Piece:
    """A kernel between two jumps: slots, knots, the largest knot of each slot, and the error.

    It reaches from distance `low` to `high`, squares `first` to `last` in units. `base` knots stand
    before its own.
    """

    def __init__(
        self, kernel: Kernel, unit: float, ends: tuple[float, float], squares: range, base: int
    ):
        begins, widths = _slot_ends()
        self.slots, self.most = np.zeros((2, format.DISTANCE_SLOTS), np.int64)
        self.error, knots = 0.0, [np.zeros(0, np.int64)]

        def at(s):
            """Probabilities at squares; those beyond an end are that of the end."""
            p = _probabilities(kernel, np.clip(np.sqrt(s) * unit, *ends).ravel())
            return p.reshape(s.shape)

        todo = np.flatnonzero((begins + (1 << widths) > squares[0]) & (begins <= squares[-1]))
        for bits in range(_MOST_BITS + 1):
            begin, width = begins[todo, None], (1 << widths[todo, None])
            knot = begin + width * np.arange((1 << bits) + 1) / (1 << bits)
            value = _scaled(at(knot))
            step = (width / (1 << bits))[..., None]
            inner = np.ceil(knot[:, :-1, None] + step * _PLACES)
            p, a, b = at(inner), value[:, :-1, None], value[:, 1:, None]
            part = (inner - knot[:, :-1, None]) / step
            off = np.abs((a + (b - a) * part) * 2.0**-31 - p)
            off[(inner < squares[0]) | (inner > squares[-1])] = 0.0
            fits = off <= np.where(p > _SMALL, _TOLERANCE * p, 0) + 2.0**-31
            done = fits.all((1, 2)) | (bits == np.minimum(widths[todo], _MOST_BITS))
            relative = np.where(p > _SMALL, (off + 2.0**-32) / np.maximum(p, _SMALL), 0.0)
            self.error = max(self.error, float(relative[done].max(initial=0.0)))
            ended, count = todo[done], (1 << bits) + 1
            self.slots[ended] = (base + count * np.arange(ended.size)) << 5 | bits
            self.most[ended] = value[done].max(1)
            knots.append(value[done].ravel())
            base += knots[-1].size
            todo = todo[~done]
        self.knots = np.concatenate(knots)


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
    jumps = [b for b in kernel.jumps if b < reach]
    ends = [0.0, *jumps, reach]
    # A pair at a jump, to within a unit, belongs to what comes before, as it does at the cut-off.
    breaks = [int((b / unit + 1) ** 2) + 1 for b in jumps]
    limits = [0, *breaks, format.MAX_SQUARE + 1]
    pieces, base = [], 0
    for k, squares in enumerate(map(range, limits, limits[1:])):
        inside = 1e-12 * (k + 1 < len(limits) - 1)  # what holds at a jump comes after it
        piece = _Piece(kernel, unit, (ends[k], ends[k + 1] * (1 - inside)), squares, base)
        pieces.append(piece)
        base += piece.knots.size
    most = np.maximum.accumulate(np.max([p.most for p in pieces], 0)[::-1])[::-1]
    least = int(_scaled(np.array([kernel.p_min]))[0])
    if most[0] <= least:
        raise ValueError(f"{kernel} must not be 0, or at most p_min, at every distance")
    words = (
        np.array(breaks, np.int64),
        np.concatenate([p.slots for p in pieces]),
        np.concatenate([*(p.knots for p in pieces), [0]]),
        most,
    )
    breaks, slots, knots, bounds = (w.astype(np.uint32) for w in words)
    return DistanceTable(unit, breaks, slots, knots, bounds, least, max(p.error for p in pieces))
