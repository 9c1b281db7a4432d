"""Synapses of rules that must be stored, drawn once on the host: in NumPy, by the sampler's words.

They are the same integers on every machine, as those of the readers are. Weights and delays of
synapses come from the same words as a reader takes them from: those of the pre neuron, counted by
the post neuron, or by the synapse's number in its row where two neurons may have several.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from evops.connectivity import format, sampler

# Roles of the key of a neuron, in place of a block's number: the sources of a post neuron, pairs
# that are drawn one after another, pre neurons of which partners are drawn, and graphs that grow.
INPUTS, PAIRS, NUMBERS, GRAPHS = 0x7FFFFFFC, 0x7FFFFFFB, 0x7FFFFFF8, 0x7FFFFFF4
# Numbers that are drawn at once.
_PIECE = 1 << 20

Words = tuple[np.ndarray | np.uint32, np.ndarray | np.uint32]
Edges = tuple[np.ndarray, np.ndarray]


def _key(a: Any, role: int, words: Words) -> Words:
    with np.errstate(over="ignore"):
        a = np.asarray(a, np.uint32)
        return sampler.feistel(a, a * np.uint32(0) + np.uint32(role), *words)


def partners(
    k: int, n: int, others: int, words: Words, *, role: int, multapses: bool, autapses: bool
) -> Edges:
    """Each of `n` neurons, k times, and its k partners among `others`, drawn uniformly.

    Without multapses they are different: the first k of a keyed permutation of those allowed. A
    neuron without autapses passes over the partner with its own index.
    """
    own = np.repeat(np.arange(n, dtype=np.int64), k)
    found = np.empty(n * k, np.int64)
    rows = max(_PIECE // max(k, 1), 1)
    for first in range(0, n, rows):
        neuron = np.arange(first, min(first + rows, n), dtype=np.uint32)[:, None]
        alone = np.uint32(0xFFFFFFFF) if autapses else neuron  # nobody
        draw = _replaced if multapses else _permuted
        part = draw(k, others, _key(neuron, role, words), np.broadcast_to(alone, neuron.shape))
        found[first * k : first * k + part.size] = part.ravel()
    return own, found


def _replaced(k: int, others: int, key: Words, alone: np.ndarray) -> np.ndarray:
    """With replacement: (neurons, k)."""
    with np.errstate(over="ignore"):
        word = sampler.word(*key, np.arange(k, dtype=np.uint32))
        skips = alone < others
        drawn = sampler.below(word, np.where(skips, others - 1, others).astype(np.uint32))
        return drawn + (skips & (drawn >= alone))


def _permuted(k: int, others: int, key: Words, alone: np.ndarray) -> np.ndarray:
    """Different ones: (neurons, k)."""
    low_bits, high_count = format.halves(others)
    low, high = np.uint32(low_bits), np.uint32(high_count)
    start = np.arange(k, dtype=np.uint32)
    place = start + (start >= alone)
    left = np.ones(place.shape, bool)
    keys = [np.broadcast_to(part, place.shape) for part in key]
    with np.errstate(over="ignore"):
        while left.any():  # again until the number is one of those allowed
            place[left] = sampler.permuted(keys[0][left], keys[1][left], place[left], high, low)
            left &= (place >= others) | (place == alone)
    return place


def pairs(k: int, shape: tuple[int, int], words: Words) -> Edges:
    """K pairs drawn one by one, but those of a neuron and itself."""
    found, drawn = np.zeros((0, 2), np.int64), 0
    while len(found) < k:
        more, drawn = _more_pairs(k - len(found), drawn, shape, words, autapses=False)
        found = np.concatenate([found, more])[:k]
    return by_row(found[:, 0], found[:, 1])


def _more_pairs(
    wanted: int, drawn: int, shape: tuple[int, int], words: Words, *, autapses: bool
) -> tuple[np.ndarray, int]:
    """Some more pairs that are allowed, (pairs, 2), and how many were drawn so far."""
    size = min(max(2 * wanted, 1024), _PIECE)
    i = (np.arange(drawn, drawn + size, dtype=np.int64) * 2).astype(np.uint32)
    with np.errstate(over="ignore"):
        sides = [
            sampler.below(sampler.word(*_key(0, PAIRS, words), i + np.uint32(side)), np.uint32(n))
            for side, n in enumerate(shape)
        ]
    found = np.stack(sides, axis=1).astype(np.int64)
    return found[autapses | (found[:, 0] != found[:, 1])], drawn + size


def distinct_pairs(k: int, shape: tuple[int, int], words: Words, *, autapses: bool) -> Edges:
    """K different pairs, all sets equally likely: of pairs drawn one by one, repeats left out.

    More than half of all pairs are those that are not among the rest.
    """
    total, alike = shape[0] * shape[1], 0 if autapses else min(shape)
    sparse = min(k, total - alike - k)
    chosen, drawn = np.zeros(0, np.int64), 0
    while chosen.size < sparse:
        more, drawn = _more_pairs(sparse - chosen.size, drawn, shape, words, autapses=autapses)
        every = np.concatenate([chosen, more[:, 0] * shape[1] + more[:, 1]])
        _, first = np.unique(every, return_index=True)
        chosen = every[np.sort(first)][:sparse]
    if sparse < k:
        allowed = np.ones(total, bool)
        allowed[chosen] = False
        if alike:
            allowed[np.arange(alike) * (shape[1] + 1)] = False
        chosen = np.flatnonzero(allowed)
    chosen = np.sort(chosen)
    return chosen // shape[1], chosen % shape[1]


def uniform_counts(k: int, n: int, words: Words) -> np.ndarray:
    """How many of k draws each of n neurons gets, all of them equally likely."""
    counts, key = np.zeros(n, np.int64), _key(0, NUMBERS, words)
    for first in range(0, k, _PIECE):
        i = np.arange(first, min(first + _PIECE, k), dtype=np.uint32)
        with np.errstate(over="ignore"):
            which = sampler.below(sampler.word(*key, i), np.uint32(n))
        counts += np.bincount(which, minlength=n)
    return counts


def one_by_one(role: int, words: Words) -> Iterator[int]:
    """The words of a role, as Python integers: for draws that depend on those before them."""
    key, size = _key(0, role, words), 1 << 12
    for first in itertools.count(0, size):
        i = np.arange(first, first + size, dtype=np.uint32)
        with np.errstate(over="ignore"):
            piece = sampler.word(*key, i)
        yield from piece.tolist()


def by_row(pre: np.ndarray, post: np.ndarray) -> Edges:
    """Synapses in the order of their pre neurons, which keeps that of the list else."""
    order = np.argsort(pre, kind="stable")
    return pre[order], post[order]


def ranks(pre: np.ndarray) -> np.ndarray:
    """The number of each synapse in its row; rows are in order.

    Where two neurons may have several synapses, it counts the words of each, else its post neuron.
    """
    first = np.flatnonzero(np.diff(pre, prepend=-1))
    sizes = np.diff(first, append=pre.size)
    return np.arange(pre.size, dtype=np.uint32) - np.repeat(first.astype(np.uint32), sizes)


def variates(
    pre: np.ndarray,
    counter: np.ndarray,
    quantiles: np.ndarray,
    words: Words,
    role: int = sampler.WEIGHT,
) -> np.ndarray:
    """Variate of each synapse, whole numbers of the table's unit, as float32."""

    def of(pre, counter):
        key = _key(pre, sampler.LINE, words)
        at, part = sampler.slot(sampler.word(key[0] + np.uint32(role), key[1], counter))
        a, b = (quantiles[at + np.uint32(k)].astype(np.uint32) for k in (0, 1))
        return sampler.between(a, b, part).astype(np.int32).astype(np.float32)

    return _in_pieces(of, pre, counter, np.float32)


def drawn_delays(
    pre: np.ndarray, counter: np.ndarray, table: np.ndarray, bits: int, words: Words
) -> np.ndarray:
    """Outcome of the alias table of delays for each synapse."""
    shift = np.uint32(32 - bits)

    def of(pre, counter):
        key = _key(pre, sampler.LINE, words)
        w = sampler.word(key[0] + np.uint32(sampler.DELAY), key[1], counter)
        return sampler.look_up(table[w >> shift], w, shift).astype(np.int32)

    return _in_pieces(of, pre, counter, np.int32)


def _in_pieces(of: Callable[..., np.ndarray], pre: Any, counter: Any, dtype: Any) -> np.ndarray:
    out = np.empty(pre.size, dtype)
    with np.errstate(over="ignore"):
        for first in range(0, pre.size, _PIECE):
            some = slice(first, first + _PIECE)
            out[some] = of(pre[some].astype(np.uint32), counter[some].astype(np.uint32))
    return out
