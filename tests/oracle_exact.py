"""The exact sampler written again from its description, one neuron at a time, in Python integers.

The package never imports this file, and it imports nothing of the package.
"""

import itertools
import math
from fractions import Fraction

import numpy as np

M32 = 2**32 - 1
ROLES = {"connect": 0, "tie": 0x243F6A88, "weight": 0x13198A2E, "delay": 0x05A308D3}
ROUNDS = (0x243F6A88, 0x05A308D3, 0x13198A2E, 0x03707344)


def mix(x):
    x = ((x ^ x >> 16) * 0x21F0AAAD) & M32
    x = ((x ^ x >> 15) * 0x735A2D97) & M32
    return x ^ x >> 15


def feistel(a, b, t0, t1):
    for half, (t, c) in enumerate(zip((t0, t1, t0, t1), ROUNDS, strict=True)):
        if half % 2 == 0:
            a ^= mix((b + t + c) & M32)
        else:
            b ^= mix((a + t + c) & M32)
    return a, b


def word(k0, k1, i, role="connect"):
    x = (k0 + ROLES[role] + i * 0x61C88647) & M32
    x = ((x ^ x >> 16) * 0x21F0AAAD) & M32 ^ k1
    x = ((x ^ x >> 15) * 0x735A2D97) & M32
    x = ((x ^ x >> 15) * 0x31848BAB) & M32
    return x ^ x >> 16


def seed_key(seed):
    """Key words of a seed; a pair of words is a key already."""
    if not isinstance(seed, int):
        return seed
    seed %= 2**64
    return feistel(seed & M32, seed >> 32, 0, 0)


# ---- tables ----
ONE = 2**128


def alias(mass, bits):
    """Columns (own outcome below the threshold, other outcome above it)."""
    mass, column = list(mass), 2 ** (32 - bits)
    assert sum(mass) == 2**32 and len(mass) == 2**bits
    columns = [(0, g) for g in range(len(mass))]
    poor = [g for g in range(len(mass)) if mass[g] < column]
    rich = [g for g in range(len(mass)) if mass[g] > column]
    while poor:
        i, j = poor.pop(), rich[-1]
        columns[i] = (mass[i], j)
        mass[j] -= column - mass[i]
        if mass[j] <= column:
            rich.pop()
        if mass[j] < column:
            poor.append(j)
    return columns


def draw(columns, bits, w):
    size = 2 ** (32 - bits)
    threshold, other = columns[w // size]
    return w // size if w % size < threshold else other


def powers(q, count):
    x = ONE
    for _ in range(count):
        yield x
        x = x * q // ONE


def q_of(p):
    return ONE - int(Fraction(p) * ONE)


def gap_tables(p):
    """(bits, columns) of the high digit, and of the low digit or None."""
    q, low = q_of(p), None
    if p < 2.0**-11:
        x = list(powers(q, 1025))
        total = ONE - x[-1]
        f = [int(Fraction((ONE - v) * 2**32, total) + Fraction(1, 2)) for v in x]
        low = 10, alias([b - a for a, b in itertools.pairwise(f)], 10)
        for _ in range(10):
            q = q * q // ONE
    bits = 6
    while bits < 12 and ((ONE - q) // 2**96) * 2**bits < 2**35:
        bits += 1
    f = [int(Fraction(ONE - v, 2**96) + Fraction(1, 2)) for v in powers(q, 2**bits)] + [2**32]
    return (bits, alias([b - a for a, b in itertools.pairwise(f)], bits)), low


def block_bits(p):
    scaled = int(Fraction(p) * 2**40 + Fraction(1, 2))
    return next((b for b in range(12, 22) if scaled * 2**b >= 2**48), 22)


# ---- lines ----
def bernoulli(seed, pre, n, p, tables=None):
    """Targets of one neuron under FixedProbability(p)."""
    scaled = int(Fraction(p) * 2**40 + Fraction(1, 2))
    if scaled == 0:
        return []
    size, out = 2 ** block_bits(p), []
    tables = tables or gap_tables(p)
    for block in range(-(-n // size)):
        k = feistel(pre, block, *seed_key(seed))
        begin = block * size
        last = min(size, n - begin)
        if scaled >= 2**37:
            whole, rest = divmod(scaled, 2**32)
            for j in range(last):
                byte = word(*k, j // 4) >> 8 * (j % 4) & 255
                if byte < whole or (byte == whole and word(*k, j, "tie") < rest):
                    out.append(begin + j)
            continue
        (bits, high), low = tables
        c = i = 0
        while c < last:
            gap = draw(high, bits, word(*k, i))
            nothing = gap == 2**bits - 1
            i += 1
            if low:
                part = draw(low[1], low[0], word(*k, i))
                gap = gap * 1024 + (0 if nothing else part)
                i += 1
            c += gap
            if not nothing:
                if c < last:
                    out.append(begin + c)
                c += 1
    return out


def fixed_out_degree(seed, pre, n, k, multapses):
    key = feistel(pre, 0, *seed_key(seed))
    if multapses:
        return [word(*key, i) * n // 2**32 for i in range(k)]
    return [permute(key, i, n) for i in range(k)]


def permute(key, x, n):
    """Place of x in a keyed permutation of 0 … n - 1."""
    size = max(256, n)
    bits = (size - 1).bit_length()
    columns = 2 ** max(bits // 2, bits - 15)
    rows = -(-size // columns)
    a, b = key
    early = a, b, a // 2**16, b // 2**16
    late = a // 2**8 + 0x08D3, b // 2**8 + 0x8A2E, (a + b) % 2**32 // 2**16 + 0x7344

    def noise(key, half):
        y = (half * 0x9E37 + key) % 2**16
        return (y ^ y // 2**7) * 0x8BAB % 2**16

    while True:
        row, column = divmod(x, columns)
        for r, c in enumerate((*early, *late)):
            if r % 2 == 0:
                row = (row + noise(c, column) * rows // 2**16) % rows
            else:
                column ^= noise(c, row) * columns // 2**16
        x = row * columns + column
        if x < n:
            return x


def divide(seed, first, rows, total, degree):
    """Synapses of each of some rows, of `total` that choose one each: by the bits of their numbers."""
    if rows == 1:
        degree[first] = total
        return
    largest = 1 << (rows.bit_length() - 1)
    part = largest if largest < rows else rows // 2
    key = feistel(first + part, 2**31 - 2, *seed_key(seed))
    fraction, undecided, hits, at = Fraction(part, rows), total, 0, 0
    while undecided and fraction:
        words = -(-undecided // 32)
        stream = sum(word(*key, at + w) << (32 * w) for w in range(words))
        at += words
        ones = bin(stream & ((1 << undecided) - 1)).count("1")
        fraction *= 2
        if fraction >= 1:
            fraction -= 1
            hits, undecided = hits + undecided - ones, ones
        else:
            undecided -= ones
    divide(seed, first, part, hits, degree)
    divide(seed, first + part, rows - part, total - hits, degree)


def counted(seed, n_pre, n_post, total, in_degree):
    """Targets of every neuron under a fixed total, or an in-degree (0 for none)."""
    slots = feistel(0, 2**31 - 3, *seed_key(seed))
    degree = [0] * n_pre
    divide(seed, 0, n_pre, total, degree)
    out, before = [], 0
    for pre, count in enumerate(degree):
        key = feistel(pre, 0, *seed_key(seed))
        if in_degree:
            places = range(before, before + count)
            out.append([permute(slots, s, total) % n_post for s in places])
        else:
            out.append([word(*key, i) * n_post // 2**32 for i in range(count)])
        before += count
    return out


def neighbours(pre, grid, radius, metric, periodic, include_self):
    """Every place of a grid within a radius of one of them, by the distance to each."""
    places = list(itertools.product(*map(range, grid)))
    here = places[pre]

    def near(there):
        away = [abs(a - b) for a, b in zip(here, there, strict=True)]
        ends = zip(away, grid, periodic, strict=True)
        away = [min(d, n - d) if closed else d for d, n, closed in ends]
        if metric == "chebyshev":
            return max(away) <= radius
        return math.sqrt(sum(d * d for d in away)) <= radius

    return [j for j, there in enumerate(places) if near(there) and (include_self or j != pre)]


CERTAIN = 2**31 - 1


def pairs(seed, pre, n, chances, ways, autapses):
    """Targets whose word is below their pair's chance; `ways` as `format.TypedPairs` has them."""
    t = seed_key(seed)
    found = []
    for j in range(n):
        w = word(*feistel(pre, 0, *t), j)
        if ways:
            w, side = feistel(min(pre, j), max(pre, j), *t)
            if ways == 2 and (side < 2**31) != (j >= pre):
                continue
        p = min(round(Fraction(chances(pre, j)) * 2**31), CERTAIN)
        if (w // 2 < p or p == CERTAIN) and (autapses or j != pre):
            found.append(j)
    return found


def delay(columns, bits, seed, pre, post):
    """What a synapse draws from the alias columns of its delays."""
    w = word(*feistel(pre, 2**31 - 1, *seed_key(seed)), post, "delay")
    return draw(columns, bits, w)


def variate(quantiles, seed, pre, post):
    """The variate of a synapse, for a law's table of 3 x 1025 whole numbers.

    `post` is its number among those of the neuron where two neurons may have several.
    """
    w = word(*feistel(pre, 2**31 - 1, *seed_key(seed)), post, "weight")
    slot, rest = divmod(w, 2**22)
    if slot in (0, 1023):
        at, part = 1025 * (1 if slot == 0 else 2) + rest // 2**12, rest % 2**12 // 4
    else:
        at, part = slot, rest // 2**12
    a, b = int(quantiles[at]), int(quantiles[at + 1])
    return a + (b - a) * part // 1024


def lines(rule, seed, n_pre, n_post):
    """List of the targets of every neuron; `rule` is (name, parameters)."""
    name, *parameters = rule
    if name == "bernoulli":
        tables = gap_tables(parameters[0]) if 0 < parameters[0] < 0.125 else None
        out = [bernoulli(seed, i, n_post, parameters[0], tables) for i in range(n_pre)]
        if not parameters[1]:
            out = [[j for j in line if j != i] for i, line in enumerate(out)]
        return out
    if name == "out_degree":
        return [fixed_out_degree(seed, i, n_post, *parameters) for i in range(n_pre)]
    if name == "total":
        return counted(seed, n_pre, n_post, parameters[0], 0)
    if name == "in_degree":
        return counted(seed, n_pre, n_post, parameters[0] * n_post, parameters[0])
    if name == "symmetric":
        p, autapses = parameters
        return [pairs(seed, i, n_post, lambda *_: p, 1, autapses) for i in range(n_pre)]
    if name == "no_mutual":
        p = 2 * parameters[0]
        return [pairs(seed, i, n_post, lambda *_: p, 2, autapses=False) for i in range(n_pre)]
    if name == "blocks":
        p, rows, columns, autapses = parameters

        def chance(i, j):
            return p[rows[i]][columns[j]]

        return [pairs(seed, i, n_post, chance, 0, autapses) for i in range(n_pre)]
    if name == "neighbours":
        return [neighbours(i, *parameters) for i in range(n_pre)]
    assert name == "one_to_one"
    return [[i] if i < n_post else [] for i in range(n_pre)]


def matrix(rule, seed, n_pre, n_post):
    """(n_pre, n_post) number of synapses of every pair."""
    out = np.zeros((n_pre, n_post), np.int64)
    for i, targets in enumerate(lines(rule, seed, n_pre, n_post)):
        np.add.at(out[i], targets, 1)
    return out
