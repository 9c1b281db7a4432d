"""Partners of neurons, drawn in proportion to a kernel of distance; by words of the sampler.

Neuron i has the key (i, role). Its m-th draw has a key of two words of it. A draw is made in
rounds. In each, a word picks a tile of partners in proportion to its number of partners times the
largest weight there may be in it. A second word picks a partner in it. A third accepts it with its
weight over that largest one. After `ROUNDS` the weights of all partners are added up, and one word
picks among them. So every draw has the law of the kernel, however its partners lie.

Without multapses partners that are drawn are taken out of their tiles. That is successive sampling:
the law of NEST (``allow_multapses=False``) and of ``numpy.random.Generator.choice(replace=False)``.

The native library draws the same (kernels/ffi/near.cc).
"""

import dataclasses
from typing import Any

import numpy as np

from evops.connectivity import log_tables, position_tree, sampler
from evops.connectivity.log_tables import LogTable
from evops.connectivity.stored_rules import Words
from evops.space.kernels import Kernel
from evops.space.masks import Mask, truth
from evops.space.positions import Positions

ROUNDS = 24
# Largest weights of tiles are whole numbers of 2**-20 of the largest of all tiles, and weights that
# are added up, of 2**-40.
_TILE_BITS, _SUM_BITS = 20, 40
# Neurons of a tile: small ones where there are many draws to pay for looking at all tiles.
_SMALL, _LARGE, _MANY = 16, 64, 64
# Numbers that are drawn at once.
_PIECE = 1 << 20
_ONE = np.uint64(1)


def power(x: np.ndarray) -> np.ndarray:
    """``2**-x`` in units of 2**-62, uint64, for x from 0 on: 0 from 62 on, and for infinity."""
    # Exact to 2**-24 by a table of 2**10 steps, linear between them.
    x = np.minimum(x, 63.0)
    steps = x * 1024.0
    whole = np.floor(steps)
    part = ((steps - whole) * 2.0**20).astype(np.uint64)
    at = whole.astype(np.uint64)
    low, which = at >> np.uint64(10), (at & np.uint64(1023)).astype(np.int64)
    a, b = POWERS[which], POWERS[which + 1]
    return (a - (((a - b) * part) >> np.uint64(20))) << np.uint64(30) >> low


# 2**(-k / 1024) in units of 2**-32, by roots, which all machines round alike.
def _powers() -> np.ndarray:
    roots = [2.0]
    for _ in range(10):
        roots.append(float(np.sqrt(roots[-1])))
    value = np.ones(1 + (1 << 10))
    for bit in range(10):  # of k: 2**(2**bit / 1024)
        has = (np.arange(value.size) >> bit & 1).astype(bool)
        value[has] /= roots[10 - bit]
    value[-1] = 0.5
    return np.rint(value * 2.0**32).astype(np.uint64)


POWERS = _powers()


class Tiles:
    """Partners, a tile of them in a row, with the box that each tile lies in."""

    def __init__(self, points: np.ndarray, periods: np.ndarray, size: int):
        self.size, self.order = size, position_tree.tiled(points, size)
        self.points, self.periods = points[self.order], periods
        n = len(points)
        self.begins = np.arange(0, n, size)
        self.counts = np.minimum(size, n - self.begins).astype(np.uint64)
        self.boxes = position_tree.boxes(self.points, size, len(self.begins))

    def box_squares(self, here: np.ndarray) -> np.ndarray:
        """Squares of the least distances of places (R, axes) from the boxes: (R, tiles) uint64."""
        square = np.zeros((len(here), len(self.begins)), np.uint64)
        for axis, period in enumerate(self.periods):
            low, high = self.boxes[axis]
            at = here[:, axis, None]
            ends = [np.abs(position_tree.displaced(at, end, period)) for end in (low, high)]
            apart = np.where((at >= low) & (at <= high), 0, np.minimum(*ends)).astype(np.uint64)
            square += apart * apart
        return square

    def displaced(self, here: np.ndarray, place: Any) -> np.ndarray:
        """Displacements from places (…, axes) to the neurons at places of the tiles."""
        parts = [
            position_tree.displaced(here[..., axis], self.points[place, axis], period)
            for axis, period in enumerate(self.periods)
        ]
        return np.stack(parts, -1)


@dataclasses.dataclass(frozen=True, eq=False)
class Near:
    """What partners are drawn from: neurons, their possible partners, and the kernel.

    Attributes:
        own: coordinates of the neurons, in units (n, axes).
        tiles: their partners.
        table: the kernel.
        mask: of displacements from a pre to a post neuron, or None.
        backwards: whether the neurons are post neurons.
        autapses: whether a neuron may be its own partner.
    """

    own: np.ndarray
    tiles: Tiles
    table: LogTable
    mask: Mask | None
    backwards: bool
    autapses: bool

    def logs(self, i: np.ndarray, place: np.ndarray) -> np.ndarray:
        """``-log2`` of the weight of neurons i and the partners at places; infinite for none."""
        by = self.tiles.displaced(self.own[i], place)
        square = np.zeros(by.shape[:-1], np.uint64)
        for axis in range(by.shape[-1]):
            apart = np.abs(by[..., axis]).astype(np.uint64)
            square += apart * apart
        log = self.table.at(square)
        if self.mask is not None:
            real = by * (-self.table.unit if self.backwards else self.table.unit)
            log = np.where(self.mask.contains(real), log, np.inf)
        if not self.autapses:
            log = np.where(self.tiles.order[place] == i, np.inf, log)
        return log


def mask_of(of: Near) -> tuple[np.ndarray, np.ndarray]:
    """Shapes of the mask, and which sets of them are allowed."""
    if of.mask is None:
        return np.zeros((0, 0)), np.ones(1, np.uint8)
    axes = of.own.shape[1]
    shapes, allowed = truth(of.mask)
    frames = [shape.frame(axes) for shape in shapes]
    rows = [[*f.turn.ravel(), *f.centre, *f.half, f.radius**2] for f in frames]
    return np.array(rows), allowed.astype(np.uint8)


def portion(word: np.ndarray, total: Any) -> np.ndarray:
    """``floor(word total / 2**32)`` for totals below 2**63."""
    low = total & np.uint64(0xFFFFFFFF)
    return ((word * low) >> np.uint64(32)) + word * (total >> np.uint64(32))


class Draws:
    """Draws of some neurons: see the module. Without multapses each takes its partner out."""

    def __init__(
        self, near: Near, neurons: np.ndarray, words: Words, role: int, *, multapses: bool
    ):
        self.near, self.neurons, self.multapses = near, neurons, multapses
        i = neurons.astype(np.uint32)
        with np.errstate(over="ignore"):
            self.key = sampler.feistel(i, i * np.uint32(0) + np.uint32(role), *words)
        tiles, size = near.tiles, near.tiles.size
        bound = near.table.least(tiles.box_squares(near.own[neurons]))
        self.nearest = bound.min(1)
        least = power(less(bound, self.nearest[:, None]))
        largest = np.where(least > 0, (least >> np.uint64(62 - _TILE_BITS)) + _ONE, 0)
        self.largest = largest.astype(np.uint64)
        self.left = np.broadcast_to(tiles.counts, bound.shape).copy()
        # Places of each tile, those that are left first; with multapses the same for all neurons.
        rows = 1 if multapses else len(neurons)
        every = np.arange(tiles.begins.size * size).reshape(-1, size)
        self.places = np.broadcast_to(every, (rows, *every.shape)).copy()
        self.taken = np.zeros((rows, len(tiles.order)), bool)
        self._find_ends()

    def _find_ends(self) -> None:
        ends = np.cumsum(self.largest * self.left, 1, dtype=np.uint64)
        self.total = ends[:, -1]
        # Of all rows in one ascending array: those of row r lie r 2**41 higher.
        self.shift = np.arange(len(self.neurons), dtype=np.uint64) << np.uint64(41)
        self.ends = (ends + self.shift[:, None]).ravel()

    def of(self, row: np.ndarray, m: np.ndarray) -> np.ndarray:
        """The place of draw m of the neuron of each row; -1 where none is left."""
        found = np.full(row.size, -1, np.int64)
        m = m.astype(np.uint32)
        with np.errstate(over="ignore"):
            of_row = self.key[0][row], self.key[1][row]
            key = tuple(sampler.word(*of_row, m * np.uint32(2) + np.uint32(k)) for k in (0, 1))
        left = np.flatnonzero(self.total[row] > 0)
        for attempt in range(ROUNDS):
            if not left.size:
                break
            place, accepted = self._attempt(row[left], (key[0][left], key[1][left]), attempt)
            found[left[accepted]] = place[accepted]
            left = left[~accepted]
        for at in np.flatnonzero(found < 0):
            with np.errstate(over="ignore"):
                high, low = (
                    int(sampler.word(key[0][at], key[1][at], np.uint32(3 * ROUNDS + k)))
                    for k in (0, 1)
                )
            found[at] = self._picked(int(row[at]), (high << 32) + low)
        return found

    def _attempt(self, row: np.ndarray, key: Words, attempt: int) -> tuple[np.ndarray, np.ndarray]:
        near, tiles = self.near, self.near.tiles
        with np.errstate(over="ignore"):
            which, member, accept = (
                sampler.word(*key, np.uint32(3 * attempt + k)).astype(np.uint64) for k in range(3)
            )
        mass = portion(which, self.total[row]) + self.shift[row]
        slot = np.searchsorted(self.ends, mass, "right")
        tile = slot - row * len(tiles.begins)
        member = ((member * self.left.ravel()[slot]) >> np.uint64(32)).astype(np.int64)
        place = self.places[row * (not self.multapses), tile, member]
        log = near.logs(self.neurons[row], place)
        weight = power(less(log, self.nearest[row]))
        share = (weight >> np.uint64(62 - 32 - _TILE_BITS)) // self.largest.ravel()[slot]
        return place, accept < share

    def _picked(self, row: int, word: int) -> int:
        """The place that a word of 64 bits picks among all that are left; -1 if none is.

        Weights are added up, relative to the largest of them.
        """
        near, n = self.near, len(self.near.tiles.order)
        log = near.logs(np.full(n, self.neurons[row]), np.arange(n))
        log = np.where(self.taken[row * (not self.multapses)], np.inf, log)
        if np.isinf(log.min()):
            return -1
        weight = power(less(log, log.min())) >> np.uint64(62 - _SUM_BITS)
        ends = np.cumsum(weight, dtype=np.uint64)
        return int(np.searchsorted(ends, np.uint64((word * int(ends[-1])) >> 64), "right"))

    def take(self, row: np.ndarray, place: np.ndarray) -> None:
        """Takes a place out of the tiles of each row."""
        tile = place // self.near.tiles.size
        last = self.left[row, tile].astype(np.int64) - 1
        member = (self.places[row, tile] == place[:, None]).argmax(1)
        self.places[row, tile, member] = self.places[row, tile, last]
        self.places[row, tile, last] = place
        self.left[row, tile] -= _ONE
        self.taken[row, place] = True
        self._find_ends()


def less(log: np.ndarray, other: Any) -> np.ndarray:
    """``log - other``, infinite where `log` is."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(log), np.inf, log - other)


def partners(
    near: Near, k: np.ndarray, words: Words, *, role: int, multapses: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Each neuron, as often as it finds partners, and these: up to k[i] of neuron i."""
    size = near.tiles.begins.size * near.tiles.size
    # Rows whose tiles, and whose draws, are looked at together.
    rows = max(1, min(_PIECE // size, _PIECE // max(int(k.max(initial=1)), 1)))
    found, counts = [], []
    for first in range(0, len(near.own), rows):
        neurons = np.arange(first, min(first + rows, len(near.own)))
        draws = Draws(near, neurons, words, role, multapses=multapses)
        places = (_with if multapses else _without)(draws, k[neurons])
        found.append(near.tiles.order[places[places >= 0]])
        counts.append((places >= 0).sum(1))
    number = np.concatenate(counts)
    return np.repeat(np.arange(len(near.own), dtype=np.int64), number), np.concatenate(found)


def _with(draws: Draws, k: np.ndarray) -> np.ndarray:
    """Places of all draws, (rows, most draws), -1 where there are fewer."""
    places = np.full((len(k), int(k.max(initial=0))), -1, np.int64)
    row, m = np.nonzero(np.arange(places.shape[1]) < k[:, None])
    places[row, m] = draws.of(row, m)
    return places


def _without(draws: Draws, k: np.ndarray) -> np.ndarray:
    """The same, one draw of every row after another."""
    places = np.full((len(k), int(k.max(initial=0))), -1, np.int64)
    going = np.ones(len(k), bool)
    for m in range(places.shape[1]):
        row = np.flatnonzero(going & (k > m))
        if not row.size:
            break
        place = draws.of(row, np.full(row.size, m))
        there = place >= 0
        going[row[~there]] = False
        places[row[there], m] = place[there]
        draws.take(row[there], place[there])
    return places


def near_of(
    pre: Positions,
    post: Positions,
    kernel: Kernel,
    k: int,
    *,
    backwards: bool,
    autapses: bool,
    size: int | None = None,
) -> Near:
    """What the partners of pre neurons are drawn from, or of post neurons if `backwards`.

    Tiles have `size` neurons, or as many as suit k draws of each neuron.
    """
    unit, most = log_tables.unit_of(kernel, pre.axes), log_tables.MAX_COORDINATE
    sides = [
        position_tree.whole(name, positions, unit, most)
        for name, positions in (("pre", pre), ("post", post))
    ]
    periods = sides[0][1]
    ends = np.concatenate([points for points, _ in sides])
    span = np.where(periods > 0, periods // 2 + 1, ends.max(0) - ends.min(0))
    table = log_tables.table_of(kernel, pre.axes, max(sum(int(s) ** 2 for s in span), 1))
    own, others = (sides[1][0], sides[0][0]) if backwards else (sides[0][0], sides[1][0])
    tiles = Tiles(others, periods, size or (_SMALL if k >= _MANY else _LARGE))
    return Near(own, tiles, table, kernel.mask, backwards, autapses)
