"""Divide the synapses of counted rows among their pre neurons: see `evops.engine.row_counts`."""

import taichi as ti

from sampler_ti import SOURCES, array, feistel, ones, word


@ti.func
def _ones(k0, k1, first, bits):
    """How many of so many bits are 1, of the words from `first` on."""
    total = ti.u32(0)
    for w in range(ti.i32(bits >> 5)):
        total += ones(word(k0, k1, first + ti.u32(w)))
    rest = bits & ti.u32(31)
    if rest > 0:
        total += ones(word(k0, k1, first + (bits >> 5)) & ((ti.u32(1) << rest) - 1))
    return total


@ti.func
def _below_fraction(k0, k1, trials, part, whole):
    """How many of so many random numbers are below part / whole, which is below 1."""
    hits, left, rest, first = ti.u32(0), trials, part, ti.u32(0)
    while left > 0 and rest > 0:  # digits of the fraction, bits of the numbers
        ones_ = _ones(k0, k1, first, left)
        first += (left + 31) >> 5
        rest += rest
        if rest >= whole:
            rest -= whole
            hits += left - ones_
            left = ones_
        else:
            left -= ones_
    return hits


def count_rows():
    """Kernel that divides the synapses of counted rows: of `span`, half the rows of a node, its
    first node and their number; or, for no rows, all of ``counts[0]`` among powers of two.
    """

    @ti.kernel
    def kernel(key: array(ti.u32), span: array(ti.u32), counts: array(ti.u32)):
        half = span[0]
        ti.loop_config(serialize=True)
        for node in range(ti.i32(span[2])):
            if half > 0:
                a = 2 * half * (span[1] + ti.u32(node))
                k0, k1 = feistel(a + half, ti.u32(SOURCES), key[0], key[1])
                here = counts[ti.i32(a)]
                first = here - _ones(k0, k1, ti.u32(0), here)  # below one half
                counts[ti.i32(a)] = first
                counts[ti.i32(a + half)] = here - first
            else:
                a, rows = ti.u32(0), ti.cast(counts.shape[0], ti.u32)
                part = ti.u32(1)
                while part <= rows >> 1:
                    part += part
                while part < rows:
                    k0, k1 = feistel(a + part, ti.u32(SOURCES), key[0], key[1])
                    here = counts[ti.i32(a)]
                    first = _below_fraction(k0, k1, here, part, rows)
                    counts[ti.i32(a)] = first
                    counts[ti.i32(a + part)] = here - first
                    a += part
                    rows -= part
                    while part > rows:
                        part = part >> 1

    return kernel
