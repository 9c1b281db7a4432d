"""Tables that the sampler and the weight laws read, made once on the host."""

import functools

import numpy as np

from evops.connectivity.format import LOW_DIGIT_BITS, MAX_DIGIT_BITS, MIN_DIGIT_BITS

_ONE = 1 << 128
# The high digit has outcomes for gaps of this many mean gaps, where the table may be as large: a
# longer one, of probability exp(-8), takes another word.
_MEAN_GAPS = 8


def alias(mass: list[int], bits: int) -> np.ndarray:
    """Alias table of 2**bits outcomes for integer masses that sum to 2**32.

    Source: M. D. Vose (1991), IEEE Trans. Softw. Eng. 17:972, doi:10.1109/32.92917.
    """
    # An entry has room for alias and threshold in one word: one look-up draws an outcome.
    shift = 32 - bits
    cap = 1 << shift
    mass = list(mass)
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
def gaps(p: float) -> tuple[int, int, np.ndarray]:
    """Bits of a gap's high digit, bits of its low digit (0: one digit), and their tables in a row.

    Masses are multiples of 2**-32, rounded from 128-bit fixed point: the density of the gaps
    differs from p by less than 1e-10 of it.
    """
    numerator, denominator = float(p).as_integer_ratio()
    # 128 bits, so that powers of q keep 32 right ones over all outcomes.
    q = _ONE - (numerator * _ONE) // denominator
    low = None
    # Below, one digit of 12 bits would say "go on" at most words.
    if p < 2.0**-11:
        low = _digit(q, LOW_DIGIT_BITS)
        # The high digit counts runs of 2**10 targets, each empty with probability q**(2**10).
        for _ in range(LOW_DIGIT_BITS):
            q = (q * q) >> 128
    unit = (_ONE - q) >> 96
    bits = range(MIN_DIGIT_BITS, MAX_DIGIT_BITS)
    bits = next((k for k in bits if unit << k >= _MEAN_GAPS << 32), MAX_DIGIT_BITS)
    x, cumulative = _ONE, []
    for _ in range(1 << bits):
        cumulative.append((_ONE - x + (1 << 95)) >> 96)
        x = (x * q) >> 128
    high = alias(np.diff([*cumulative, 1 << 32]).tolist(), bits)
    if low is None:
        return bits, 0, high
    return bits, LOW_DIGIT_BITS, np.concatenate([high, low])


def _digit(q: int, bits: int) -> np.ndarray:
    """Outcomes 0 … 2**bits - 1: geometric, given that it is below 2**bits."""
    x, absent = _ONE, []
    for _ in range((1 << bits) + 1):
        absent.append(_ONE - x)
        x = (x * q) >> 128
    total = absent[-1]
    return alias(np.diff([((a << 33) + total) // (2 * total) for a in absent]).tolist(), bits)
