"""Alias tables that the sampler draws from, made once on the host.

Tables are part of the format: another rounding, or another order of columns, gives other synapses.
So everything is integer arithmetic, which no platform rounds in its own way.
"""

import functools

import numpy as np
from jaxtyping import UInt32

from evops.connectivity.format import LOW_DIGIT_BITS, MAX_DIGIT_BITS, MIN_DIGIT_BITS

# Probabilities are fixed-point numbers of 128 bits: 32 for a mass, and enough below them that 4096
# products in a row, each rounded down, leave these right.
_ONE = 1 << 128
# The high digit has outcomes for gaps of this many mean gaps, where the table may be as large: a
# longer one, of probability exp(-8), takes another word.
_MEAN_GAPS = 8


def alias(mass: list[int], bits: int) -> UInt32[np.ndarray, " outcomes"]:
    """Alias table of 2**bits outcomes for integer masses that sum to 2**32.

    Source: M. D. Vose (1991), IEEE Trans. Softw. Eng. 17:972, doi:10.1109/32.92917.
    """
    # An entry has alias and threshold in one word, so that one look-up draws an outcome: the high
    # bits of a random word choose the column, the low bits are compared with the threshold.
    shift = 32 - bits
    cap = 1 << shift
    mass = list(mass)
    # A full column stays so: threshold 0, and itself as alias. Only a column that lacks something
    # has a threshold, which is below `cap` and fits into the low bits.
    threshold, other = [0] * len(mass), list(range(len(mass)))
    small = [i for i, m in enumerate(mass) if m < cap]
    large = [i for i, m in enumerate(mass) if m > cap]
    while small:
        i, j = small.pop(), large[-1]
        threshold[i], other[i] = mass[i], j
        mass[j] -= cap - mass[i]
        if mass[j] <= cap:
            large.pop()
            if mass[j] < cap:
                small.append(j)
    return np.array([o << shift | t for o, t in zip(other, threshold, strict=True)], np.uint32)


@functools.lru_cache(maxsize=256)
def gaps(p: float) -> tuple[int, int, UInt32[np.ndarray, " outcomes"]]:
    """Tables of the geometric gaps between synapses of probability p.

    Masses are multiples of 2**-32: the density of the gaps differs from p by less than 1e-10 of it.

    Returns:
        Bits of a gap's high digit, bits of its low digit (0: one digit), and the tables of the
        digits one after the other.
    """
    numerator, denominator = float(p).as_integer_ratio()  # exact: p is a double
    q = _ONE - (numerator * _ONE) // denominator
    low = None
    # One digit has at most 12 bits. At this p its last outcome, "the gap goes on", comes once in
    # seven words, and below more often. Two digits are exact as well, since the high and the low
    # digit of a geometric number are independent.
    if p < 2.0**-11:
        low = _digit(q, LOW_DIGIT_BITS)
        # The high digit counts runs of 2**10 targets, each empty with probability q**(2**10).
        for _ in range(LOW_DIGIT_BITS):
            q = (q * q) >> 128
    # Outcomes for at least eight mean gaps, if 12 bits have room: then at most one word in
    # e**8 = 3000 says that the gap goes on.
    unit = (_ONE - q) >> 96
    bits = range(MIN_DIGIT_BITS, MAX_DIGIT_BITS)
    bits = next((k for k in bits if unit << k >= _MEAN_GAPS << 32), MAX_DIGIT_BITS)
    # Sums are rounded, not masses: so these add up to 2**32, and no error is above 2**-33. The last
    # outcome takes the rest of the distribution.
    x, cumulative = _ONE, []
    for _ in range(1 << bits):
        cumulative.append((_ONE - x + (1 << 95)) >> 96)
        x = (x * q) >> 128
    high = alias(np.diff([*cumulative, 1 << 32]).tolist(), bits)
    if low is None:
        return bits, 0, high
    return bits, LOW_DIGIT_BITS, np.concatenate([high, low])


def _digit(q: int, bits: int) -> UInt32[np.ndarray, " outcomes"]:
    """Table of a geometric number, given that it is below 2**bits: of a low digit."""
    x, absent = _ONE, []
    for _ in range((1 << bits) + 1):
        absent.append(_ONE - x)
        x = (x * q) >> 128
    total = absent[-1]
    return alias(np.diff([((a << 33) + total) // (2 * total) for a in absent]).tolist(), bits)
