"""A random table like that of the fly's connectome, for connectome.py: same size, degrees, numbers of synapses.

    python examples/connectome_twin.py OUT.csv [--neurons N] [--pairs N] [--seed S]

138,639 neurons and 15.09 million pairs; in- and out-degrees are log-normal with mean 109. Neurons are excitatory or
inhibitory. Ids have 64 bits, as those of the data set.
"""

import argparse
from pathlib import Path

import numpy as np

NEURONS, PAIRS = 138_639, 15_090_000
FIRST_ID = 720_575_940_600_000_000
INHIBITORY = 0.35  # of all neurons


def pairs(neurons: int, number: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pre and post neurons of different pairs, and their signed numbers of synapses."""
    rng = np.random.default_rng(seed)
    ends = [np.cumsum(rng.lognormal(0, 0.9, neurons)) for _ in range(2)]
    found = np.zeros(0, np.int64)
    while found.size < number:
        more = int((number - found.size) * 1.1) + 100
        pre, post = (np.searchsorted(e, rng.random(more) * e[-1]) for e in ends)
        found = np.unique(np.concatenate([found, pre[pre != post] * neurons + post[pre != post]]))
    found = np.sort(rng.choice(found, number, replace=False))
    pre, post = found // neurons, found % neurons
    counts = 1 + np.minimum(rng.lognormal(0.3, 1.1, number), 400).astype(np.int64)
    sign = np.where(rng.random(neurons) < INHIBITORY, -1, 1)
    return pre, post, counts * sign[pre]


def hubs(pre: np.ndarray, counts: np.ndarray, number: int = 14) -> np.ndarray:
    """The excitatory neurons with most pairs: with Poisson input, some 400 of all neurons are active."""
    pairs_of = np.bincount(pre[counts > 0])
    return np.sort(np.argsort(-pairs_of, kind="stable")[:number])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--neurons", type=int, default=NEURONS)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    pre, post, counts = pairs(options.neurons, options.pairs, options.seed)
    table = np.stack([FIRST_ID + pre, FIRST_ID + post, np.abs(counts), np.sign(counts)], 1)
    header = "pre,post,synapses,sign"
    np.savetxt(options.out, table, "%d", ",", header=header, comments="")
    print("drive:", *(FIRST_ID + hubs(pre, counts)))


if __name__ == "__main__":
    main()
