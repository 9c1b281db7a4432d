"""Rules of distance written again from their description, one pair at a time, in Python integers.

The package never imports this file, and it imports nothing of the package.
"""

from fractions import Fraction

from oracle_exact import feistel, seed_key, word

UNITS = 2**15
CERTAIN = 2**31 - 1


def whole(coordinates, periods, unit):
    """Coordinates in units; a periodic axis is divided into the least number of them."""
    rows = []
    for point in coordinates:
        row = []
        for x, period in zip(point, periods, strict=True):
            if period is None:
                row.append(int((Fraction(x / unit) + Fraction(1, 2)) // 1))
            else:
                steps = parts(period, unit)
                part = (x / period) % 1.0 * steps
                row.append(int((Fraction(part) + Fraction(1, 2)) // 1) % steps)
        rows.append(row)
    return rows


def parts(period, unit):
    return 0 if period is None else -int(-(period / unit) // 1)


def displacement(a, b, period, unit):
    d, steps = b - a, parts(period, unit)
    if steps:
        d %= steps
        if d > steps // 2:
            d -= steps
    return d


def slot_of(square):
    """Slot, and log2 of how many squares share it."""
    bits = max(square.bit_length() - 6, 0)
    return (bits * 32) + (square >> bits), bits


def looked_up(table, square):
    """Probability times 2**31, from the breaks, slots and knots of a table."""
    piece = sum(square >= b for b in table["breaks"])
    slot, bits = slot_of(square)
    entry = table["slots"][833 * piece + slot]
    divided, first = entry % 32, entry // 32
    within = square % 2**bits
    step = 2 ** (bits - divided)
    a, b = (table["knots"][first + within // step + k] for k in (0, 1))
    # rounded, halves away from a
    size = abs(b - a) * (within % step) * 2 * 2**32 // step // 2**32
    change = (size + 1) // 2
    return a + change if b >= a else a - change


def edges(seed, pre, post, periods, table, autapses=True, allowed=None):
    """Pairs (i, j) that are connected, for coordinates as floats."""
    unit = table["unit"]
    a, b = whole(pre, periods, unit), whole(post, periods, unit)
    t = seed_key(seed)
    found = set()
    for i, here in enumerate(a):
        key = feistel(i, 0, *t)
        for j, there in enumerate(b):
            by = [displacement(x, y, p, unit) for x, y, p in zip(here, there, periods, strict=True)]
            square = sum(d * d for d in by)
            if max(map(abs, by)) > UNITS + 1 or square > (UNITS + 1) ** 2:
                continue
            if (i == j and not autapses) or (allowed and not allowed(by)):
                continue
            p = looked_up(table, square)
            if p > table["least"] and (word(*key, j) // 2 < p or p == CERTAIN):
                found.add((i, j))
    return found
