"""Rules of exact numbers: out-degrees, in-degrees and totals, with and without repeats."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, SupportsIndex

import numpy as np

from evops.connectivity import format, stored_rules
from evops.connectivity.near_rules import GIVEN, SHORTFALLS, NearRule, check_degrees
from evops.connectivity.rule import Rule, refuse_numbers
from evops.errors import (
    INT32_MAX,
    Flag,
    Integers,
    Real,
    check_choice,
    check_flag,
    check_integer,
    check_probability,
    check_shape,
)
from evops.space.kernels import Kernel, kernel_of
from evops.space.positions import Positions


def expected_number(p: Any, n_pre: Any, n_post: Any) -> Any:
    """Synapses, drawn with replacement, that connect a given pair with probability p < 1.

    Not rounded; see `FixedTotalNumber.from_probability`. Numbers or arrays.
    """
    pairs = np.multiply(n_pre, n_post, dtype=float)
    return np.log1p(-np.asarray(p)) / np.log1p(-1.0 / pairs)


def check_partners(rule: "FixedOutDegree | FixedInDegree", n: int, others: int) -> None:
    """Raise where neurons, of `n`, do not have k partners among so many others."""
    allowed = others - (not rule.autapses)  # every neuron below n and others meets itself
    if rule.multapses and allowed:
        return
    if rule.k > max(allowed, 0):
        raise ValueError(
            f"k must be an integer from 0 to {max(allowed, 0)} for {rule} and {n} and {others} "
            f"neurons, got {rule.k}"
        )


@dataclasses.dataclass(frozen=True, repr=False)
class Near(Rule):
    """A rule of a number of partners, all equally likely or in proportion to a kernel.

    Of a kernel it has numbers alone until `placed` between positions; its synapses are stored.
    """

    p: Kernel | Callable[..., Any] | None = dataclasses.field(default=None, kw_only=True)
    shortfall: str = dataclasses.field(default="error", kw_only=True)

    def __post_init__(self) -> None:
        if self.p is not None:
            object.__setattr__(self, "p", kernel_of("p", self.p))
        check_choice("shortfall", self.shortfall, SHORTFALLS)
        if self.shortfall != "error" and (self.p is None or getattr(self, "multapses", False)):
            raise ValueError(
                f"shortfall must be 'error' without a kernel p, or with multapses; got "
                f"{self.shortfall!r}"
            )
        many = self.p is not None and self._counts != "total"
        degrees = check_degrees if many else _check_number
        object.__setattr__(self, "k", degrees(getattr(self, "k", None)))
        for name in ("multapses", "autapses"):
            check_flag(name, getattr(self, name, True))

    _counts: ClassVar[str] = "out"

    def placed(self, pre: Positions | None, post: Positions | None) -> Rule:
        """Of a kernel, the rule between these positions."""
        if self.p is None:
            return self
        if pre is None or post is None:
            refuse_numbers(self)
        assert isinstance(self.p, Kernel)
        own: Any = self
        return NearRule(
            type(self).__name__,
            own.k,
            self.p,
            pre,
            post,
            bool(own.multapses),
            bool(own.autapses),
            self.shortfall,
            self._counts,
        )

    def __repr__(self) -> str:
        """Class and parameters, without those that are as they are by default."""
        own = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        order = sorted(own, key=lambda f: f.name != "k")
        shown = {f.name: v for f in order if (v := getattr(self, f.name)) is not f.default}
        for name, default in (("shortfall", "error"), ("given", "pre")):
            if shown.get(name) == default:
                del shown[name]
        text = ", ".join(f"{name}={value}" for name, value in shown.items())
        return f"{type(self).__name__}({text})"


def _check_number(k: Any) -> int:
    return check_integer("k", k, 0)


@dataclasses.dataclass(frozen=True, repr=False)
class Counted(Near):
    """A rule of k synapses, drawn if it allows multapses and autapses, as it does by default."""

    k: Integers
    multapses: Flag = dataclasses.field(default=True, kw_only=True)
    autapses: Flag = dataclasses.field(default=True, kw_only=True)

    @property
    def _is_drawn(self) -> bool:
        if self.p is not None:
            refuse_numbers(self)
        return bool(self.multapses and self.autapses)


@dataclasses.dataclass(frozen=True, repr=False)
class FixedOutDegree(Near):
    """Every pre neuron has exactly `k` synapses, onto targets drawn uniformly.

    Without multapses the k targets differ, and all sets of k are equally likely. With multapses
    targets are drawn with replacement, and every synapse has its own weight. Equivalents:
    ``fixed_outdegree`` (NEST), ``FixedNumberPostWithReplacement`` (GeNN),
    ``FixedNumberPostConnector`` (PyNN).

    Args:
        k: synapses of a pre neuron, at least 0; at most n_post without multapses. With them, post
            neurons have fewer than 2**31 synapses: at most 2**30 on average, or 2**31 - 1 in all.
        multapses: whether two neurons may have more than one synapse.
        autapses: whether a neuron may connect to the neuron with the same index. Without them the
            synapses are stored: see `Synapses`.
        p: a `Kernel`, or a function of distance: targets are drawn in proportion to it, between
            `Positions`. Synapses are stored then, and `k` may be one number for each neuron.
        shortfall: "error", or "take all" to connect a neuron without multapses to all possible
            targets where these are fewer than k; with a kernel alone.

    Raises:
        ValueError: `k` is negative, or more than the targets there are.
        TypeError: `k` is not an integer, or is traced.
    """

    k: Integers
    multapses: Flag = False
    autapses: Flag = True

    def stored(
        self, shape: tuple[int, int], words: stored_rules.Words, partners: Any = None
    ) -> tuple[np.ndarray, np.ndarray, bool] | None:
        """Without autapses: targets of each pre neuron."""
        del partners
        if self.p is not None:
            refuse_numbers(self)
        if self.autapses:
            return None
        check_partners(self, *shape)
        flags = {"multapses": bool(self.multapses), "autapses": False}
        pre, post = stored_rules.partners(self.k, *shape, words, role=0, **flags)
        return pre, post, bool(self.multapses)

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        """Synapses by number: distinct targets from a permutation, or drawn with replacement."""
        n_pre, n_post = shape
        if self.p is not None:
            refuse_numbers(self)
        if not self.autapses:
            self.refuse_to_draw()
        if self.multapses:
            check_integer("k", self.k, 0, max(INT32_MAX, n_post << 30) // n_pre)
        else:
            check_integer("k", self.k, 0, n_post)
        low_bits, high_count = (0, 0) if self.multapses else format.halves(n_post)
        return format.EqualRows(self.k, low_bits, high_count, n_post)

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        return float(self.k * shape[0])


@dataclasses.dataclass(frozen=True, repr=False)
class FixedTotalNumber(Counted):
    """Exactly `k` synapses; pre and post neuron of each are drawn uniformly and independently.

    Two neurons may have several synapses (multapses), each with its own weight and delay. How many
    synapses each pre neuron has is multinomial. These numbers are drawn once, when a projection is
    made, from about half a word for each synapse. They are kept: 4 bytes for each pre neuron.
    Equivalents:
    ``fixed_total_number`` (NEST), ``FixedNumberTotalWithReplacement`` (GeNN),
    ``FixedTotalNumberConnector`` (PyNN).

    Of a kernel `p`, between `Positions`, there are two laws; their synapses are stored. Given the
    pre neuron ("pre"), pre neurons are drawn uniformly as before, and the post neuron of each
    synapse in proportion to the kernel. Without multapses the numbers of synapses of pre neurons
    are drawn first. Given that there is a pair ("pair"), each synapse is a pair drawn in
    proportion to the kernel over all pairs. So neurons in dense places have more synapses, and one
    far away few or none. Without multapses a pair that was drawn is left out of the next draws.

    Args:
        k: number of synapses, 0 to 2**31 - 1; without multapses at most that of the pairs.
        multapses: whether two neurons may have more than one synapse. Without them all sets of k
            pairs are equally likely (PyNN, BrainPy).
        autapses: whether a neuron may connect to the neuron with the same index. Without multapses
            or without autapses the synapses are stored: see `Synapses`.
        p: a `Kernel`, or a function of distance.
        shortfall: as of `FixedOutDegree`; of a "pair", for fewer possible pairs than k.
        given: "pre" or "pair", see above. Without a kernel all pairs are alike, and it changes
            nothing.

    Raises:
        ValueError: `k` outside its range, or `given` another text.
        TypeError: `k` is not an integer, or is traced.

    Example:
        >>> import evops
        >>> x, y = evops.Positions([[0.0], [0.1], [5.0]]), evops.Positions([[0.0], [0.2]])
        >>> for given in ("pre", "pair"):
        ...     rule = evops.FixedTotalNumber(300, p=evops.Gaussian(0.1), given=given)
        ...     print(given, evops.Synapses(rule, 1.0, (x, y), seed=42).out_degree())
        pre [109  95  96]
        pair [139 161   0]
    """

    given: str = dataclasses.field(default="pre", kw_only=True)
    _counts = "total"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("given", self.given, GIVEN)

    def placed(self, pre: Positions | None, post: Positions | None) -> Rule:
        """Of a kernel, the rule between these positions, with its law."""
        rule = super().placed(pre, post)
        return dataclasses.replace(rule, given=self.given) if isinstance(rule, NearRule) else rule

    def stored(
        self, shape: tuple[int, int], words: stored_rules.Words, partners: Any = None
    ) -> tuple[np.ndarray, np.ndarray, bool] | None:
        """Without multapses different pairs; without autapses none of a neuron and itself."""
        del partners
        if self._is_drawn:
            return None
        pairs = shape[0] * shape[1] - (0 if self.autapses else min(shape))
        if not pairs or not self.multapses:
            check_integer("k", self.k, 0, pairs)
        if self.multapses:
            pre, post = stored_rules.pairs(self.k, shape, words)
        else:
            pre, post = stored_rules.distinct_pairs(
                self.k, shape, words, autapses=bool(self.autapses)
            )
        return pre, post, bool(self.multapses)

    @classmethod
    def from_probability(cls, p: Real, shape: Iterable[SupportsIndex]) -> "FixedTotalNumber":
        """So many synapses that a given pair of neurons is connected with probability `p`.

        Sources and targets are drawn with replacement, so k synapses leave out a pair of n * m with
        probability ``(1 - 1 / (n m))**k``. Hence ``k = ln(1 - p) / ln(1 - 1 / (n m))``, rounded to
        the nearest integer, halves to even (Potjans & Diesmann 2014, doi:10.1093/cercor/bhs358).
        Programs that truncate have up to one synapse less.

        Args:
            p: probability that a pair is connected, in [0, 1).
            shape: ``(n_pre, n_post)``; of one pair alone `p` is 0.

        Raises:
            ValueError: `p` or the number of synapses is out of range.

        Example:
            >>> import evops
            >>> evops.FixedTotalNumber.from_probability(0.1009, (20683, 20683))
            FixedTotalNumber(k=45499806)
        """
        p, (n, m) = check_probability("p", p, zero=True), check_shape("shape", shape)
        if p == 1 or (n * m == 1 and p > 0):
            raise ValueError(f"p must be in [0, 1) and 0 for one pair, got {p} for shape {(n, m)}")
        if p == 0:
            return cls(0)
        return cls(check_integer("k", round(float(expected_number(p, n, m))), 0))

    def total(self, shape: tuple[int, int]) -> int:
        del shape
        return self.k

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        del shape
        if not self._is_drawn:
            self.refuse_to_draw()
        return format.CountedRows(slots=1, low_bits=0, high_count=0, n_post=0)

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        del shape
        return float(self.k)


@dataclasses.dataclass(frozen=True, repr=False)
class FixedInDegree(Counted):
    """Every post neuron has exactly `k` synapses, from pre neurons drawn uniformly.

    With multapses pre neurons are drawn with replacement, so two neurons may have several synapses,
    each with its own weight and delay. Without them they differ, and all sets of k are equally
    likely. Equivalents: ``fixed_indegree`` (NEST), ``FixedNumberPreWithReplacement`` (GeNN),
    ``FixedNumberPreConnector(with_replacement=True)`` (PyNN). Cost and memory are those of
    `FixedTotalNumber`.

    Args:
        k: synapses onto a post neuron, at least 0; ``k * n_post`` is at most 2**31 - 1, and k
            without multapses at most the number of pre neurons allowed.
        multapses: whether two neurons may have more than one synapse (PyNN and BrainPy: not).
        autapses: whether a neuron may connect to the neuron with the same index. Without multapses
            or without autapses the synapses are stored: see `Synapses`.
        p: a `Kernel`, or a function of distance: pre neurons are drawn in proportion to it, between
            `Positions`. Synapses are stored then, and `k` may be one number for each neuron.
        shortfall: as of `FixedOutDegree`, of pre neurons.

    Raises:
        ValueError: `k` is negative, or too large for the neurons there are.
        TypeError: `k` is not an integer, or is traced.
    """

    _counts = "in"

    def stored(
        self, shape: tuple[int, int], words: stored_rules.Words, partners: Any = None
    ) -> tuple[np.ndarray, np.ndarray, bool] | None:
        """Without multapses different sources; without autapses no neuron itself."""
        del partners
        if self._is_drawn:
            return None
        self.total(shape)
        check_partners(self, shape[1], shape[0])
        flags = {"multapses": bool(self.multapses), "autapses": bool(self.autapses)}
        role = stored_rules.INPUTS
        post, pre = stored_rules.partners(self.k, shape[1], shape[0], words, role=role, **flags)
        return *stored_rules.by_row(pre, post), bool(self.multapses)

    def total(self, shape: tuple[int, int]) -> int:
        return check_integer("k * n_post", self.k * shape[1], 0)

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        """Counted rows: targets from one permutation of a list with every post neuron k times."""
        if not self._is_drawn:
            self.refuse_to_draw()
        self.total(shape)
        k = max(self.k, 1)  # a domain has a slot at least for every post neuron
        return format.CountedRows(k, *format.halves(k * shape[1]), shape[1])

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        return float(self.k * shape[1])
