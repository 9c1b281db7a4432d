"""Pairs of neurons, drawn in proportion to a kernel of distance; by words of the sampler.

Cells are pairs of a tile of pre neurons and a tile of post neurons. A cell's bound is the largest
weight that a pair may have there. Cells are in the order of their bounds. The heavy ones come
first, those that many draws would fall into: their pairs are looked at one by one, and each has a
bound of its own. So no bound is far from what it bounds where that would cost much.

With multapses attempts are made. A word of 64 bits picks a cell, or a pair of a heavy one, by its
bound. Another word picks a pair in the cell. A third accepts it with its weight over the bound, and
else the attempt has no result. Attempts are independent, so those with a result have the law of the
kernel over all pairs.

Without multapses pairs have clocks: a pair of weight w rings after a time with an exponential law
of rate w. The first k that ring are those of successive sampling (P. S. Efraimidis and P. G.
Spirakis 2006, doi:10.1016/j.ipl.2005.11.003). Pairs of heavy cells draw their times. The others
are those of a Poisson process of their bounds, thinned by weight over bound (P. A. W. Lewis and
G. S. Shedler 1979, doi:10.1002/nav.3800260304), up to a horizon. If fewer than k have rung by then,
the clocks of the rest start anew, as they have no memory.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from evops.connectivity import near, position_tree, sampler
from evops.connectivity.log_tables import LOG2E
from evops.connectivity.near import Near, Tiles
from evops.connectivity.stored_rules import Words
from evops.space import elementary

# The role of the keys of draws, in place of a block's number.
_ROLE = 0x7FFFFFF1
# Cells that there may be, in all and for each neuron; neurons of a tile at least.
_CELLS, _EACH, _SMALL = 1 << 19, 16, 16
# Weights of pairs are whole numbers of 2**-30 of the largest, or of the rate at a horizon.
_BITS = 30
# Attempts for each pair of a heavy cell.
_TRIES = 4
# Pairs that are wanted at first, to see how many attempts have a result.
_PILOT = 1 << 16
# Bins of logarithms are quarters of octaves.
_BINS = 4
# Words have a key for so many draws.
_BLOCK = 1 << 16
# Numbers that are drawn at once.
_PIECE = 1 << 15
# No exponential number is below 2**-54.
_LEAST = 54


def tile_size(n_pre: int, n_post: int) -> int:
    """Neurons of a tile, so that there are not too many cells."""
    size, most = _SMALL, min(_EACH * (n_pre + n_post), _CELLS)
    while -(-n_pre // size) * -(-n_post // size) > most:
        size *= 2
    return size


@dataclasses.dataclass(frozen=True)
class _Stream:
    """Words of numbered draws, so many for each."""

    key: Words
    each: int

    def at(self, first: int, size: int) -> np.ndarray:
        """Those of draws from `first` on: (each, size) uint64."""
        out = np.empty((self.each, size), np.uint64)
        done = 0
        while done < size:
            block, start = divmod(first + done, _BLOCK)
            some = min(_BLOCK - start, size - done)
            count = np.arange(start, start + some, dtype=np.uint32) * np.uint32(self.each)
            with np.errstate(over="ignore"):
                key = sampler.feistel(np.uint32(block), np.uint32(0), *self.key)
                for k in range(self.each):
                    word = sampler.word(*key, count + np.uint32(k))
                    out[k, done : done + some] = word
            done += some
        return out


def _stream(words: Words, number: int, each: int) -> _Stream:
    with np.errstate(over="ignore"):
        return _Stream(sampler.feistel(np.uint32(number), np.uint32(_ROLE), *words), each)


def _shared(high: np.ndarray, low: np.ndarray, total: Any) -> np.ndarray:
    """Numbers below a total, which is below 2**63, all equally likely to 2**-63."""
    whole = near.portion(high, np.uint64(total))
    return whole + near.portion(low, near.portion(high + np.uint64(1), np.uint64(total)) - whole)


def _exponential(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Exponential numbers of mean 1."""
    odd = ((high << np.uint64(20)) + (low >> np.uint64(12))) * np.uint64(2) + np.uint64(1)
    return -elementary.log(odd.astype(float) * 2.0**-53)


def _log2(x: Any) -> Any:
    return LOG2E * elementary.log(x)


class Pairs:
    """All pairs of a pre neuron and one of its possible partners, in cells."""

    def __init__(self, of: Near):
        self.of = of
        self.own = Tiles(of.own, of.tiles.periods, of.tiles.size)
        parts = list(self._cells())
        bound = np.concatenate([b for _, _, b in parts])
        order = np.argsort(bound, kind="stable")
        self.bound = bound[order]  # -log2 of the largest weight
        self.pre, self.post = (np.concatenate([p[k] for p in parts])[order] for k in (0, 1))
        self.size = (self.own.counts[self.pre] * of.tiles.counts[self.post]).astype(np.int64)
        # Numbers of pairs, in the order of cells.
        self.begins = np.cumsum(self.size) - self.size
        self.bits = min(_BITS, 62 - int(self.size.sum()).bit_length())

    def _cells(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Tiles of pre and of post neurons, and bounds, but for cells without a pair."""
        rows = max(_PIECE // self.of.tiles.begins.size, 1)
        for first in range(0, self.own.begins.size, rows):
            some = slice(first, first + rows)
            square = 0
            for axis, period in enumerate(self.own.periods):
                a, b = (
                    [end[some, None] for end in self.own.boxes[axis]],
                    self.of.tiles.boxes[axis],
                )
                ends = [np.abs(position_tree.displaced(x, y, period)) for x in a for y in b]
                least = np.minimum.reduce(ends)
                apart = np.where((a[0] <= b[1]) & (b[0] <= a[1]), 0, least).astype(np.uint64)
                square = square + apart * apart
            bound = self.of.table.least(np.asarray(square))
            pre, post = np.nonzero(bound < np.inf)
            yield (pre + first).astype(np.int32), post.astype(np.int32), bound[pre, post]

    def numbered(self, number: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pre neurons, places of post neurons and -log2 of the weights of pairs by number."""
        cell = np.searchsorted(self.begins, number, "right") - 1
        return self.members(cell, number - self.begins[cell])

    def members(
        self, cell: np.ndarray, member: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same of pairs of cells."""
        row, column = np.divmod(member, self.of.tiles.counts[self.post[cell]].astype(np.int64))
        i = self.own.order[self.pre[cell] * self.own.size + row]
        place = self.post[cell] * self.of.tiles.size + column
        return i, place, self.of.logs(i, place)

    def heavy(
        self, first: int, last: int
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Numbers of the first of some pairs of the cells of a range, and `numbered` of them."""
        end = int(self.size[:last].sum())
        for begin in range(int(self.size[:first].sum()), end, _PIECE):
            yield begin, *self.numbered(np.arange(begin, min(begin + _PIECE, end)))

    def ids(self, i: np.ndarray, place: np.ndarray) -> np.ndarray:
        """One number for each pair, in the order of rows."""
        return i * len(self.of.tiles.order) + self.of.tiles.order[place]

    def horizon(self, target: int, gone: np.ndarray, loose: int) -> tuple[float, int, float]:
        """The -log2 of a time, the heavy cells, and the least logarithm in them.

        By that time about `target` pairs have rung, if weights are their bounds in heavy cells and
        one in `loose` of them in others; infinite where there are no more. Cells are heavy whose
        pairs have rung with probability 0.4 or more by their bounds. Pairs that are `gone` do not
        count.
        """
        bins, numbers = np.zeros((2, 0), np.int64)
        cells = np.floor(self.bound * _BINS).astype(np.int64)
        heavy, least = 0, np.inf
        while True:
            reach = _reach((bins, numbers), (cells[heavy:], self.size[heavy:]), target, loose)
            now = int(np.searchsorted(self.bound, reach + 1, "right"))
            if now <= heavy:
                return reach, heavy, least
            for _, i, place, log in self.heavy(heavy, now):
                log = log[(log < np.inf) & ~_among(self.ids(i, place), gone)]
                least = min(least, float(log.min(initial=np.inf)))
                more = np.floor(log * _BINS).astype(np.int64)
                bins, numbers = _merged((bins, more), (numbers, np.ones_like(more)))
            heavy = now


def _merged(bins: Any, numbers: Any) -> Any:
    """Different bins in order, and their numbers added up."""
    bins, numbers = np.concatenate(bins), np.concatenate(numbers)
    order = np.argsort(bins, kind="stable")
    bins = bins[order]
    first = np.flatnonzero(np.diff(bins, prepend=bins[:1] - 1))
    return bins[first], np.add.reduceat(numbers[order], first) if first.size else numbers[:0]


def _reach(exact: Any, bounds: Any, target: int, loose: int) -> float:
    """The logarithm at which about so many are reached: all lower ones, others by their weight."""
    sides = [_merged([bins], [numbers]) for bins, numbers in (exact, bounds)]
    ends = [np.append(0, np.cumsum(numbers)) for _, numbers in sides]
    if sum(int(e[-1]) for e in ends) <= target:
        return np.inf
    low = min(int(bins[0]) for bins, _ in sides if bins.size) - 63 * _BINS
    high = max(int(bins[-1]) for bins, _ in sides if bins.size)
    while low < high:
        at = (low + high) // 2
        reached = 0
        for (bins, numbers), end, times in zip(sides, ends, (loose, 1), strict=True):
            a, b = np.searchsorted(bins, [at, at + 62 * _BINS], "right")
            part = near.power((bins[a:b] - at) / _BINS)
            some = sum(int(n) * int(p) for n, p in zip(numbers[a:b], part, strict=True))
            reached += loose * int(end[a]) + (times * some >> 62)
        low, high = (low, at) if reached >= target * loose else (at + 1, high)
    return low / _BINS


def _looser(loose: int, tried: int, got: int) -> int:
    """Attempts of a result, as those of cells were that are not heavy; not far more than before."""
    if not got:
        return 16 * loose if tried else loose
    return min(-(-tried // got), 16 * loose) if tried > 99 else loose


def _among(ids: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Which numbers stand in a list in ascending order."""
    if not gone.size:
        return np.zeros(ids.shape, bool)
    return gone[np.minimum(np.searchsorted(gone, ids), gone.size - 1)] == ids


def independent(pairs: Pairs, k: int, words: Words) -> np.ndarray:
    """K pairs, drawn independently, by their ids in order; none where no pair has a weight."""
    found, left, loose, wanted = [np.zeros(0, np.int64)], k, 1, min(k, _PILOT)
    for round_ in itertools.count():
        if not left:
            break
        attempts = _Attempts(pairs, wanted // _TRIES, loose, _stream(words, 2 * round_, 4))
        if not attempts.total:
            break
        done, most = 0, attempts.needed(wanted, loose)
        while left and done < most:
            some = min(_PIECE, 2 * left + 64, most - done)
            ids = attempts.of(done, some)[:left]
            found.append(ids)
            done, left = done + some, left - ids.size
        loose, wanted = _looser(loose, attempts.tried, attempts.got), left
    return np.sort(np.concatenate(found))


class _Attempts:
    """Attempts to draw a pair.

    Attributes:
        total: that of the bounds of all pairs.
        tried: attempts in cells that are not heavy.
        got: those of them that have a result.
    """

    def __init__(self, pairs: Pairs, target: int, loose: int, stream: _Stream):
        self.pairs, self.stream = pairs, stream
        self.tried = self.got = 0
        _, heavy, least = pairs.horizon(max(target, 1), np.zeros(0, np.int64), loose)
        bound = pairs.bound[heavy:]
        self.top = min(least, float(bound.min(initial=np.inf)))
        self.unit = np.uint64(62 - pairs.bits)
        masses = [self.largest(log) for *_, log in pairs.heavy(0, heavy)]
        self.mass = np.concatenate([*masses, self.largest(bound)])
        self.heavy, self.cell = self.mass.size - bound.size, heavy
        size = np.concatenate([np.ones(self.heavy, np.int64), pairs.size[heavy:]])
        self.ends = np.cumsum(self.mass * size.astype(np.uint64), dtype=np.uint64)
        self.total = int(self.ends[-1]) if self.ends.size else 0

    def needed(self, wanted: int, loose: int) -> int:
        """How many have so many results, if one in `loose` has that is in no heavy cell."""
        exact = int(self.ends[self.heavy - 1]) if self.heavy else 0
        useful = exact * loose + self.total - exact
        return wanted * 5 * self.total * loose // (4 * useful) + 64

    def largest(self, log: np.ndarray) -> np.ndarray:
        """Weights in units, rounded up."""
        weight = near.power(near.less(log, self.top)) >> self.unit
        return np.where(log < np.inf, weight + np.uint64(1), np.uint64(0))

    def of(self, first: int, size: int) -> np.ndarray:
        """Ids of the pairs of the attempts that have a result."""
        high, low, member, accept = self.stream.at(first, size)
        slot = np.searchsorted(self.ends, _shared(high, low, self.total), "right")
        alone = slot < self.heavy
        i, place = np.zeros((2, size), np.int64)
        log = np.empty(size)
        i[alone], place[alone], log[alone] = self.pairs.numbered(slot[alone])
        cell = slot[~alone] - self.heavy + self.cell
        which = near.portion(member[~alone], self.pairs.size[cell].astype(np.uint64))
        i[~alone], place[~alone], log[~alone] = self.pairs.members(cell, which.astype(np.int64))
        weight = near.power(near.less(log, self.top)) >> (self.unit - np.uint64(32))
        accepted = accept < weight // self.mass[slot]
        self.tried, self.got = self.tried + cell.size, self.got + int(accepted[~alone].sum())
        return self.pairs.ids(i[accepted], place[accepted])


def successive(pairs: Pairs, k: int, words: Words) -> np.ndarray:
    """K different pairs by their ids, in order; all that have a weight if these are fewer."""
    gone, loose, wanted = np.zeros(0, np.int64), 1, min(k, _PILOT)
    for round_ in itertools.count():
        left = k - gone.size
        if not left:
            break
        reach, heavy, _ = pairs.horizon(wanted * 5 // 4 + 64, gone, loose)
        stream = [_stream(words, 2 * round_ + part, each) for part, each in enumerate((2, 6))]
        parts = [_rung(pairs, reach, heavy, gone, left, stream[0])]
        if heavy < pairs.bound.size:
            ids, time, tried, got = _rung_by_cells(pairs, reach, heavy, gone, stream[1])
            parts.append((ids, time))
            loose = _looser(loose, tried, got)
        ids, time = (np.concatenate(part) for part in zip(*parts, strict=True))
        gone = np.sort(np.concatenate([gone, ids[np.argsort(time, kind="stable")[:left]]]))
        if reach == np.inf:
            break
        wanted = k - gone.size
    return gone


def _rung(
    pairs: Pairs, reach: float, heavy: int, gone: np.ndarray, most: int, stream: _Stream
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of heavy cells that ring up to the horizon, the first `most`, and log2 of when."""
    ids, time, found = [np.zeros(0, np.int64)], [np.zeros(0)], 0
    for begin, i, place, log in pairs.heavy(0, heavy):
        late = log if reach == np.inf else log - reach
        some = np.flatnonzero((log < np.inf) & ((late < _LEAST) | (reach == np.inf)))
        when = _log2(_exponential(*stream.at(begin, i.size)[:, some])) + late[some]
        own = pairs.ids(i[some], place[some])
        rung = ((when < 0) | (reach == np.inf)) & ~_among(own, gone)
        ids.append(own[rung])
        time.append(when[rung])
        found += ids[-1].size
        if found > 2 * most + _PIECE:
            every, times = _joined(ids), _joined(time)
            first = np.sort(np.argsort(times, kind="stable")[:most])
            ids, time, found = [every[first]], [times[first]], most
    return _joined(ids), _joined(time)


def _rung_by_cells(
    pairs: Pairs, reach: float, heavy: int, gone: np.ndarray, stream: _Stream
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """The same of the other cells, how many were tried, and how many of these have rung."""
    unit = np.uint64(62 - pairs.bits)
    largest = (near.power(pairs.bound[heavy:] - reach) >> unit) + np.uint64(1)
    ends = np.cumsum(largest * pairs.size[heavy:].astype(np.uint64), dtype=np.uint64)
    total = int(ends[-1])
    rate, last, done, tried = total * 2.0**-pairs.bits, 0.0, 0, 0
    ids, time = [np.zeros(0, np.int64)], [np.zeros(0)]
    while last < rate:
        some = min(_PIECE, int(rate - last) + 64)
        *own, high, low, member, accept = stream.at(done, some)
        steps = np.cumsum(np.concatenate([[last], _exponential(*own)]))[1:]
        done, last, tried = done + some, float(steps[-1]), tried + int((steps < rate).sum())
        cell = np.searchsorted(ends, _shared(high, low, total), "right")
        which = near.portion(member, pairs.size[heavy + cell].astype(np.uint64)).astype(np.int64)
        i, place, log = pairs.members(heavy + cell, which)
        weight = near.power(near.less(log, reach)) >> (unit - np.uint64(32))
        rung = (steps < rate) & (accept < weight // largest[cell])
        ids.append(pairs.ids(i[rung], place[rung]))
        time.append(_log2(steps[rung] / rate))
    every, time = _joined(ids), _joined(time)
    order = np.argsort(every, kind="stable")
    every, time = every[order], time[order]
    new = (np.diff(every, prepend=-1) > 0) & ~_among(every, gone)
    return every[new], time[new], tried, every.size


def _joined(parts: list) -> np.ndarray:
    """One array; the parts are let go of."""
    out = np.concatenate(parts)
    parts.clear()
    return out
