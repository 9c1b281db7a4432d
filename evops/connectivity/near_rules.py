"""Exact numbers of synapses to partners drawn by a kernel of distance: stored rules."""

import dataclasses
from typing import Any, NoReturn

import numpy as np

from evops.connectivity import format, near, near_pairs, stored_rules
from evops.connectivity.rule import Rule
from evops.errors import check_integer, shown
from evops.space.kernels import Kernel
from evops.space.masks import check_places
from evops.space.positions import Positions, entries_of

SHORTFALLS = ("error", "take all")
# What the kernel is a law of: post neurons of a given pre neuron, or pairs.
GIVEN = ("pre", "pair")
# Roles of the key of a neuron, in place of a block's number: draws of targets, and of sources.
_TARGETS, _SOURCES = 0x7FFFFFFA, 0x7FFFFFF9


def check_degrees(k: Any) -> int | tuple[int, ...]:
    """`k` as a number, or as one for each neuron."""
    entries = entries_of(k)
    if entries is None:
        return check_integer("k", k, 0)
    if not entries:
        raise ValueError(f"k must be a number, or one for each neuron, got {shown(k)}")
    return tuple(check_integer(f"k[{i}]", number, 0) for i, number in enumerate(entries))


@dataclasses.dataclass(frozen=True)
class NearRule(Rule):
    """k partners of each neuron, in proportion to a kernel; made where synapses are stored.

    `name` is the rule that users write, and `counts` what k counts: the synapses "out" of each pre
    neuron, "in" to each post neuron, or the "total". `given` a "pre" neuron, the kernel is the law
    of partners; given that there is a "pair", it is the law of both.
    """

    name: str
    k: int | tuple[int, ...]
    kernel: Kernel
    pre: Positions
    post: Positions
    multapses: bool
    autapses: bool
    shortfall: str
    counts: str
    given: str = "pre"

    def __post_init__(self) -> None:
        check_places(self.kernel.mask, self.pre, self.post)

    def __repr__(self) -> str:
        k = self.k if isinstance(self.k, int) else f"[{len(self.k)} numbers]"
        flags = f", multapses={self.multapses}, autapses={self.autapses}"
        flags += "" if self.given == "pre" else f", given={self.given!r}"
        return f"{self.name}({k}, p={self.kernel}{flags})"

    def _degrees(self, words: stored_rules.Words) -> np.ndarray:
        """Synapses of every pre neuron, or of every post neuron where these are counted."""
        n = len(self.post if self.counts == "in" else self.pre)
        k = np.array(self.k, np.int64)
        if self.counts == "total":
            return stored_rules.uniform_counts(int(k), n, words)
        if k.ndim and k.size != n:
            raise ValueError(f"k must be a number, or one for each of {n} neurons, got {k.size}")
        check_integer("number of synapses", int(k.sum() if k.ndim else k * n), 0)
        return np.broadcast_to(k, (n,)).copy()

    def stored(
        self, shape: tuple[int, int], words: stored_rules.Words, partners: Any = None
    ) -> tuple[np.ndarray, np.ndarray, bool] | None:
        """Partners of every neuron, or pairs."""
        del shape
        if self.given == "pair":
            return *self._pairs(words), self.multapses
        k = self._degrees(words)
        backwards = self.counts == "in"
        of = near.near_of(
            self.pre,
            self.post,
            self.kernel,
            int(k.max(initial=0)),
            backwards=backwards,
            autapses=self.autapses,
        )
        role = _SOURCES if backwards else _TARGETS
        draw = partners or near.partners
        own, found = draw(of, k, words, role=role, multapses=self.multapses)
        if own.size < k.sum() and (self.shortfall == "error" or self.multapses):
            counts = np.bincount(own, minlength=len(k))
            i = int(np.flatnonzero(counts < k)[0])
            self._refuse(i, int(counts[i]), int(k[i]))
        if backwards:
            return *stored_rules.by_row(found, own), self.multapses
        return own, found, self.multapses

    def _pairs(self, words: stored_rules.Words) -> stored_rules.Edges:
        """Pairs in the order of their pre neurons."""
        assert isinstance(self.k, int)
        size = near_pairs.tile_size(len(self.pre), len(self.post))
        flags = {"backwards": False, "autapses": self.autapses}
        of = near.near_of(self.pre, self.post, self.kernel, self.k, **flags, size=size)
        draw = near_pairs.independent if self.multapses else near_pairs.successive
        ids = draw(near_pairs.Pairs(of), self.k, words)
        if ids.size < self.k and (self.shortfall == "error" or self.multapses):
            there = f"only {ids.size} possible pairs" if ids.size else "no possible pair"
            raise ValueError(
                f"k must be at most the number of possible pairs for {self}: there is {there}, "
                f"and k is {self.k}"
                + ("" if self.multapses else '; shortfall="take all" connects all of them')
            )
        return np.divmod(ids, len(self.post))

    def _refuse(self, i: int, has: int, k: int) -> NoReturn:
        side, others = ("post", "pre") if self.counts == "in" else ("pre", "post")
        there = f"only {has} possible {others} neurons" if has else f"no possible {others} neuron"
        raise ValueError(
            f"k must be at most the number of possible partners for {self}: {side} neuron "
            f"{i} has {there}, and k is {k}"
            + ("" if self.multapses else '; shortfall="take all" connects it to all of them')
        )

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        del shape
        self.refuse_to_draw()

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        del shape
        if isinstance(self.k, tuple):
            return float(sum(self.k))
        return float(self.k * {"total": 1, "in": len(self.post), "out": len(self.pre)}[self.counts])
