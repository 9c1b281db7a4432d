"""The published scheme written again from its specification, in plain Python integers.

The package never imports this file, and it imports nothing of the package.
"""

import numpy as np

MASK = 0xFFFFFFFF


def clen(p: float) -> int:
    """Largest gap for a connection probability, float32 arithmetic on a float64 quotient."""
    one = np.float32
    return min(int(one(2) * np.ceil(one(min(1 / p, 1e30))) - one(1)), 2**31 - 1)


def mix(x: int) -> int:
    x ^= x >> 16
    x = x * 0x21F0AAAD & MASK
    x ^= x >> 15
    x = x * 0x735A2D97 & MASK
    return x ^ x >> 15


class Lfsr88:
    """The generator; a hashed line starts from three hashes of its seed."""

    def __init__(self, seed: int, hashed: bool = False):
        seed %= 2**32
        offsets = (0, 0x243F6A88, 0x05A308D3) if hashed else (1, 7, 15)
        self.s = [(seed + o) & MASK for o in offsets]
        if hashed:
            self.s = [mix(s) for s in self.s]

    def next(self) -> int:
        a, b, c = self.s
        t = (((a << 13) & MASK) ^ a) >> 19
        a = (((a & 0xFFFFFFFE) << 12) & MASK) ^ t
        t = (((b << 2) & MASK) ^ b) >> 25
        b = (((b & 0xFFFFFFF8) << 4) & MASK) ^ t
        t = (((c << 3) & MASK) ^ c) >> 11
        c = (((c & 0xFFFFFFF0) << 17) & MASK) ^ t
        self.s = [a, b, c]
        return a ^ b ^ c


def line(seed: int, n: int, p: float, hashed: bool = False) -> list[int]:
    """Positions below n that the line of this seed visits."""
    generator, longest = Lfsr88(seed, hashed), clen(p)
    positions, at = [], generator.next() % longest
    while at < n:
        positions.append(at)
        at += 1 + generator.next() % longest
    return positions


def lines(seed: int, n_lines: int, n: int, p: float, hashed: bool = False) -> np.ndarray:
    """(n_lines, n) bool: which positions each line visits."""
    out = np.zeros((n_lines, n), bool)
    for k in range(n_lines):
        out[k, line(seed + k, n, p, hashed)] = True
    return out


def matrix(shape, p, seed, transpose=False, outdim_parallel=True) -> np.ndarray:
    """(n_out, n_in) bool of the published matrix-vector operators."""
    n_out, n_in = shape[::-1] if transpose else shape
    return lines(seed, n_out, n_in, p) if outdim_parallel else lines(seed, n_in, n_out, p).T


def repeated_sum(w, count: np.ndarray) -> np.ndarray:
    """w added to 0 `count` times, rounded each time in w's own type."""
    w = np.asarray(w)
    table = np.zeros(int(count.max(initial=0)) + 1, w.dtype)
    for k in range(len(table) - 1):
        table[k + 1] = table[k] + w
    return table[count]


def delayed(spikes, matrices, n_post, slots):
    """(steps, n_post) input for spikes (steps, n_pre).

    `matrices` lists (pre slice, post slice, 0/1 matrix, weight, delay (lines,)) for every pair of blocks.
    """
    out = np.zeros((len(spikes) + slots, n_post))
    for t, fired in enumerate(spikes):
        for pre, post, synapses, w, d in matrices:
            for i in np.flatnonzero(fired[pre]):
                out[t + d[i], post] += w * synapses[i]
    return out[: len(spikes)]
