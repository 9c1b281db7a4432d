"""Whole networks written again: synapses with weights and delays, of projections and of areas.

The package never imports this file, and it imports nothing of the package. Laws and delays are
tuples: ("constant", w), ("uniform", low, high), ("normal", mean, std, low, high) with None for no
bound, ("exponential", mean). Rules are those of `oracle_exact.lines`, and ("lfsr", p, hashed).
"""

import itertools
import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

import oracle
import oracle_exact

NORMAL = NormalDist()
BY_NUMBER = ("total", "in_degree")  # several synapses of two neurons, each with its own variate


class Synapses(NamedTuple):
    """One entry for each synapse; `delay` is in steps, `size` that of the terms of its weight."""

    pre: np.ndarray
    post: np.ndarray
    weight: np.ndarray
    delay: np.ndarray
    size: np.ndarray

    def dense(self, shape):
        """(n_pre, n_post) sums of weights."""
        out = np.zeros(shape)
        np.add.at(out, (self.pre, self.post), self.weight)
        return out

    def sizes(self, shape):
        """(n_pre, n_post) sums of sizes."""
        return self._replace(weight=self.size).dense(shape)

    def count(self, shape):
        """(n_pre, n_post) numbers of synapses."""
        return self._replace(weight=np.ones(len(self.pre))).dense(shape)


def lines(rule, seed, n_pre, n_post):
    """Targets of every neuron."""
    if rule[0] == "lfsr":
        start = seed if isinstance(seed, int) else seed[0]
        return [oracle.line(start + i, n_post, *rule[1:]) for i in range(n_pre)]
    return oracle_exact.lines(rule, seed, n_pre, n_post)


def synapses(rule, law, delay, seed, n_pre, n_post):
    """All synapses of one random matrix; `seed` is a number, or the two words of a key."""
    numbered = rule[0] in BY_NUMBER or (rule[0] == "out_degree" and rule[2])
    # the published scheme takes the words of the seed itself for its key
    words = (seed % 2**32, seed >> 32 & 0xFFFFFFFF) if isinstance(seed, int) else seed
    key = words if rule[0] == "lfsr" else seed
    own = [
        (i, j, k if numbered else j)
        for i, line in enumerate(lines(rule, seed, n_pre, n_post))
        for k, j in enumerate(line)
    ]
    pre, post = (np.array([s[k] for s in own], int) for k in (0, 1))
    loc, scale, quantile = location_and_scale(law)
    z = np.zeros(len(own))
    if quantile:
        table, unit = quantiles(quantile)
        z = np.array([oracle_exact.variate(table, key, i, c) * unit for i, _, c in own])
    first, bits, columns = delays(delay)
    drawn = [oracle_exact.delay(columns, bits, key, i, c) if bits else 0 for i, _, c in own]
    size = abs(loc) + abs(scale) * (1 + np.abs(z))
    return Synapses(pre, post, loc + scale * z, first + np.array(drawn, int), size)


def joined(parts):
    """The synapses of several matrices."""
    return Synapses(*(np.concatenate(each) for each in zip(*parts, strict=True)))


# ---- laws ----
def location_and_scale(law):
    """Location, scale and quantile function of the unit variate."""
    name, *parameters = law
    if name == "constant":
        return parameters[0], 0, None
    if name == "uniform":
        low, high = parameters
        return low, high - low, lambda u: u if 2.0**-33 < u < 1 - 2.0**-33 else float(round(u))
    if name == "exponential":
        return 0, parameters[0], lambda u: -math.log1p(-u)
    mean, std, low, high = parameters
    if low is None and high is None:
        return mean, std, NORMAL.inv_cdf
    a, b = bounds(mean, std, low, high)
    share = NORMAL.cdf(b) - NORMAL.cdf(a)

    def between(u):
        inside = min(max(NORMAL.cdf(a) + u * share, 2.0**-33), 1 - 2.0**-33)
        return min(max(NORMAL.inv_cdf(inside), a), b)

    return mean, std, between


def bounds(mean, std, low, high):
    """The bounds of a normal law in units of its deviation."""
    a = -60.0 if low is None else max((low - mean) / std, -60.0)
    return a, 60.0 if high is None else min((high - mean) / std, 60.0)


def quantiles(quantile):
    """3 x 1025 whole numbers and the unit that they count."""
    u = [k / 1024 for k in range(1025)]
    u = u + [x / 1024 for x in u] + [1 - x / 1024 for x in reversed(u)]
    knots = [quantile(min(max(x, 2.0**-33), 1 - 2.0**-33)) for x in u]
    parts = [knots[k : k + 1025] for k in (0, 1025, 2050)]
    steepest = max(b - a for part in parts for a, b in itertools.pairwise(part))
    largest = max(map(abs, knots))
    bits = min(23 - math.ceil(math.log2(largest)), 20 - math.ceil(math.log2(steepest)), 20)
    return [round(x * 2.0**bits) for x in knots], 2.0**-bits


# ---- delays ----
def delays(delay):
    """Shortest delay, bits of the alias table and its columns."""
    if delay is None:
        return 0, 0, None
    name, *parameters = delay
    if name == "constant":
        return parameters[0], 0, None
    if name == "uniform":
        low, high = math.ceil(parameters[0]), math.floor(parameters[1])
        share = {d: 1 / (high - low + 1) for d in range(low, high + 1)}
    else:
        mean, std, *ends = parameters
        a, b = bounds(mean, std, *ends)

        def below(x):
            z = min(max((x - mean) / std, a), b)
            return (NORMAL.cdf(z) - NORMAL.cdf(a)) / (NORMAL.cdf(b) - NORMAL.cdf(a))

        first = math.floor(mean + std * max(a, -7) + 0.5)
        last = math.floor(mean + std * min(b, 7) + 0.5)
        share = {d: below(d + 0.5) - below(d - 0.5) for d in range(first, last + 1)}
    mass = {d: round(s * 2**24) * 2**8 for d, s in share.items()}
    mass = {d: m for d, m in mass.items() if m}
    first, last = min(mass), max(mass)
    likeliest = max(mass, key=lambda d: mass[d])
    mass[likeliest] += 2**32 - sum(mass.values())
    bits = (last - first).bit_length()
    if not bits:
        return first, 0, None
    masses = [mass.get(first + k, 0) for k in range(2**bits)]
    return first, bits, oracle_exact.alias(masses, bits)


def arrivals(synapses, spikes, slots, n, at=0, step=0, ring=None):
    """What arrives at each step when `spikes` (steps, n_pre) are pushed, and what is left.

    Every step pushes and then pops; sums are those of a ring of `slots` from slot `step` on, with
    the sums of the sizes beside them, for the errors that rounding may make.
    """
    ring = np.zeros((slots, n)) if ring is None else ring.copy()
    size, out = np.abs(ring), []
    for x in spikes:
        slot = (step + synapses.delay) % slots
        np.add.at(ring, (slot, synapses.post + at), synapses.weight * x[synapses.pre])
        np.add.at(size, (slot, synapses.post + at), synapses.size * np.abs(x[synapses.pre]))
        out.append((ring[step].copy(), size[step].copy()))
        ring[step] = size[step] = 0
        step = (step + 1) % slots
    return out, ring, size


# ---- several areas ----
def area_keys(rule, seed, sources, targets, lines_each):
    """Key words of every pair of blocks, (sources, targets)."""
    seed %= 2**64
    low, high = seed % 2**32, seed >> 32
    pairs = range(sources * targets)
    if rule[0] == "lfsr":
        words = [(s, 0) for s in streams(low, high, len(pairs), lines_each)]
    else:
        key = oracle_exact.feistel(low, high, 0, 0)
        words = [oracle_exact.feistel(pair, 0, *key) for pair in pairs]
    return [words[s * targets : (s + 1) * targets] for s in range(sources)]


def streams(low, high, count, lines_each):
    """Seeds of published matrices whose lines are apart, few enough to be drawn all at once."""
    mix, mask = oracle.mix, oracle.MASK
    for attempt in range(1000):
        salt = mix(mix((low + 0x243F6A88) & mask) ^ mix((high + attempt) & mask))
        drawn = [mix((mix((k + salt) & mask) + high) & mask) for k in range(count)]
        ordered = sorted(drawn)
        apart = all(b - a >= lines_each for a, b in itertools.pairwise(ordered))
        if apart and ordered[0] > 0 and ordered[-1] + lines_each < 2**32:
            return drawn
    raise AssertionError("no streams apart")


# ---- the published laws ----
def published_line(seed, n, p, law):
    """(position, weight) of the synapses of a line whose weights are drawn from its own stream."""
    generator, longest = oracle.Lfsr88(seed), oracle.clen(p)
    found, at = [], generator.next() % longest
    while at < n:
        found.append((at, published_weight(generator, law)))
        at += 1 + generator.next() % longest
    return found


def published_weight(generator, law):
    """The next weight of a stream."""
    name, *parameters = law
    if name == "homo":
        return parameters[0]
    u = generator.next() * 2.0**-32
    if name == "uniform":
        return parameters[0] + (parameters[1] - parameters[0]) * u
    radius = math.sqrt(-2 * math.log(max(u, 1e-10)))
    return parameters[0] + parameters[1] * radius * math.sin(
        2 * math.pi * generator.next() * 2.0**-32
    )


def published_matrix(shape, p, seed, law, transpose=False, outdim_parallel=True):
    """(n_out, n_in) weights of the published matrix-vector operators."""
    n_out, n_in = shape[::-1] if transpose else shape
    n_lines, n = (n_out, n_in) if outdim_parallel else (n_in, n_out)
    out = np.zeros((n_lines, n))
    for k in range(n_lines):
        for at, weight in published_line(seed + k, n, p, law):
            out[k, at] = weight
    return out if outdim_parallel else out.T
