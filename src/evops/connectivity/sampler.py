"""Which synapses exist: the one definition, in unsigned-integer operators.

Every function works on uint32 values that wrap modulo 2**32 and uses only ``+ ^ << >> %``
with literals below 2**31, so that the same source text runs on NumPy arrays, on jax arrays (x64 on
or off) and, wrapped by ``taichi.func``, inside the native kernels, with equal bits. No float
decides whether a synapse exists.

The scheme here is the published one: LFSR88 words (P. L'Ecuyer, "Maximally equidistributed combined
Tausworthe generators", Math. Comp. 65 (1996), doi:10.1090/S0025-5718-96-00696-5) and uniform gaps.
A line (one row or column of the matrix) is walked like this, with `hashed_line_state` in its place
where the neighbouring lines of a matrix must be independent::

    state = line_state(seed + line)
    position = -1
    repeat:
        state = next_state(*state)
        position = position + gap(word(*state), clen)
        stop if position >= n, else visit position
"""

SAMPLER_VERSION = 1


def line_state(line_seed):
    """Generator state of a line; `line_seed` is the projection's seed plus the line's index."""
    return line_seed + 1, line_seed + 7, line_seed + 15


def hashed_line_state(line_seed):
    """Generator state of a line, hashed from the same line seed: nearby lines are unrelated.

    `line_state` of seeds 2k - 1 and 2k is the same state after one step, and that of nearby seeds
    is linearly related (docs/published.md has the measurements).
    """
    return mix(line_seed), mix(line_seed + 0x243F6A88), mix(line_seed + 0x05A308D3)


def next_state(s1, s2, s3):
    """One step of LFSR88 (three Tausworthe generators; the shifts drop 1, 3 and 4 low bits)."""
    return (
        ((s1 >> 1) << 13) ^ (((s1 << 13) ^ s1) >> 19),
        ((s2 >> 3) << 7) ^ (((s2 << 2) ^ s2) >> 25),
        ((s3 >> 4) << 21) ^ (((s3 << 3) ^ s3) >> 11),
    )


def word(s1, s2, s3):
    """The random word of a state."""
    return s1 ^ s2 ^ s3


def gap(w, clen):
    """Steps to the next synapse, 1 to clen."""
    return w % clen + 1


def mix(x):
    """Hash of one word (xor-shift and multiply, full avalanche)."""
    x = x ^ (x >> 16)
    x = x * 0x21F0AAAD
    x = x ^ (x >> 15)
    x = x * 0x735A2D97
    return x ^ (x >> 15)
