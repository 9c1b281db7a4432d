"""Connectivity rules: what their parameters mean, and the record that tells a reader so.

``scheme(shape)`` is a record of `evops.connectivity.format`, ``table`` an array that its reader
looks up.
"""

import abc
import dataclasses
import functools

import numpy as np

from evops.connectivity import alias_tables, format, sampler
from evops.errors import (
    INT32_MAX,
    Flag,
    Integer,
    Real,
    check_flag,
    check_integer,
    check_probability,
)


class Rule(abc.ABC):
    """Which pairs of a pre and a post neuron are connected."""

    @abc.abstractmethod
    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        """What the reader of a matrix of that shape (pre, post) needs to know."""

    @property
    def table(self) -> np.ndarray:
        """What the reader looks up, uint32."""
        return np.zeros(0, np.uint32)

    def total(self, shape: tuple[int, int]) -> int | None:
        """Number of synapses, where they are counted out among the pre neurons (`CountedRows`)."""
        del shape

    @abc.abstractmethod
    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """Expected number of synapses of a matrix of that shape (pre, post)."""


@dataclasses.dataclass(frozen=True)
class FixedProbability(Rule):
    """Every pair is connected with probability `p`, independently of all others (Bernoulli).

    `p` is honoured to 2**-31. In the words of others: ``pairwise_bernoulli`` (NEST),
    ``connect(p=…)`` (Brian2), ``FixedProbability`` (GeNN), ``FixedProbabilityConnector`` (PyNN).

    Args:
        p: connection probability, in [0, 1].
        autapses: whether a neuron may connect to the neuron of its own index; without them the
            other synapses stay the same.

    Raises:
        ValueError: `p` outside [0, 1] or NaN.
        TypeError: `p` is not a real number, or is traced.

    Example:
        >>> import evops
        >>> evops.FixedProbability(0.1).expected_synapses((1000, 1000))
        100000.0
    """

    p: Real
    autapses: Flag = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", check_probability("p", self.p, zero=True))
        check_flag("autapses", self.autapses)

    @functools.cached_property
    def _scaled(self) -> int:
        """``p * 2**40``, rounded."""
        numerator, denominator = self.p.as_integer_ratio()
        return ((numerator << 41) + denominator) // (2 * denominator)

    @functools.cached_property
    def block_bits(self) -> int:
        """B for blocks of 2**B targets: 256 to 511 synapses are expected in one, 12 <= B <= 22."""
        bits = range(format.MIN_BLOCK_BITS, format.MAX_BLOCK_BITS)
        return next((b for b in bits if self._scaled << b >= 1 << 48), format.MAX_BLOCK_BITS)

    @functools.cached_property
    def _gaps(self) -> tuple[int, int, np.ndarray]:
        return alias_tables.gaps(self.p)

    @property
    def _dense(self) -> bool:
        return self._scaled >= 1 << 37 or self._scaled == 0

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        """Gaps below p = 1/8, dense from there on (and for p = 0, where a block costs least)."""
        skip = not self.autapses
        if self._dense:
            bits = self.block_bits if self._scaled else format.MAX_BLOCK_BITS
            threshold, tie_threshold = self._scaled >> 32, self._scaled & format.MAX_WORD
            return format.DenseBlocks(bits, threshold, tie_threshold, exclude_autapses=skip)
        high, low, _ = self._gaps
        return format.GeometricGaps(self.block_bits, high, low, exclude_autapses=skip)

    @property
    def table(self) -> np.ndarray:
        """Alias tables of the gaps."""
        return super().table if self._dense else self._gaps[2]

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """``p`` times the number of pairs."""
        diagonal = 0 if self.autapses else min(shape)
        return self.p * (shape[0] * shape[1] - diagonal)


@dataclasses.dataclass(frozen=True)
class AllToAll(Rule):
    """Every pair is connected: ``FixedProbability(1, autapses)``."""

    autapses: Flag = True

    def __post_init__(self) -> None:
        check_flag("autapses", self.autapses)

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        """That of probability 1."""
        return FixedProbability(1.0, self.autapses).scheme(shape)

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """All pairs."""
        return FixedProbability(1.0, self.autapses).expected_synapses(shape)


@dataclasses.dataclass(frozen=True)
class OneToOne(Rule):
    """Neuron i connects to neuron i; both sides have equally many.

    Raises:
        ValueError: a shape whose sides differ.
    """

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        """The diagonal."""
        self.expected_synapses(shape)
        return format.Diagonal()

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """One for each neuron."""
        if shape[0] != shape[1]:
            raise ValueError(
                f"shape must have as many pre as post neurons for OneToOne, got {tuple(shape)}"
            )
        return float(shape[0])


@dataclasses.dataclass(frozen=True)
class FixedOutDegree(Rule):
    """Every pre neuron has exactly `k` synapses, onto targets drawn uniformly.

    Without multapses the k targets differ (uniform among all sets of k); with them they are drawn
    with replacement, and every synapse has a weight of its own. In the words of others:
    ``fixed_outdegree`` (NEST), ``FixedNumberPostWithReplacement`` (GeNN),
    ``FixedNumberPostConnector`` (PyNN).

    Args:
        k: synapses of a pre neuron, at least 0; at most n_post without multapses. With them, post
            neurons have fewer than 2**31 synapses: at most 2**30 on average, or 2**31 - 1 in all.
        multapses: whether two neurons may have more than one synapse.

    Raises:
        ValueError: `k` is negative, or more than the targets there are.
        TypeError: `k` is not an integer, or is traced.
    """

    k: Integer
    multapses: Flag = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_integer("k", self.k, 0))
        check_flag("multapses", self.multapses)

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        """Synapses by their index; the bits of the permuted domain or 0 for multapses."""
        n_pre, n_post = shape
        if self.multapses:
            check_integer("k", self.k, 0, max(INT32_MAX, n_post << 30) // n_pre)
        else:
            check_integer("k", self.k, 0, n_post)
        bits = 0 if self.multapses else format.domain_bits(n_post)
        return format.EqualRows(self.k, bits, n_post)

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """``k`` per pre neuron."""
        return float(self.k * shape[0])


@dataclasses.dataclass(frozen=True)
class FixedTotalNumber(Rule):
    """Exactly `k` synapses; pre and post neuron of each are drawn uniformly and independently.

    Two neurons may have several synapses (multapses), each with a weight and a delay of its own.
    The numbers of synapses of the pre neurons are multinomial; they are drawn once, when a
    projection is made, in time proportional to k, and kept: 4 bytes for each pre neuron. In the
    words of others: ``fixed_total_number`` (NEST), ``FixedNumberTotalWithReplacement`` (GeNN),
    ``FixedTotalNumberConnector`` (PyNN).

    Args:
        k: number of synapses, 0 to 2**31 - 1.

    Raises:
        ValueError: `k` outside its range.
        TypeError: `k` is not an integer, or is traced.
    """

    k: Integer

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_integer("k", self.k, 0))

    def total(self, shape: tuple[int, int]) -> int:
        """``k``."""
        del shape
        return self.k

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        """Counted; targets by number."""
        del shape
        return format.CountedRows(slots=1, domain_bits=0, n_post=0)

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """``k``."""
        del shape
        return float(self.k)


@dataclasses.dataclass(frozen=True)
class FixedInDegree(Rule):
    """Every post neuron has exactly `k` synapses, from pre neurons drawn uniformly.

    Pre neurons are drawn with replacement: two neurons may have several synapses (multapses), each
    with a weight and a delay of its own, and a neuron may connect to that of its own index. In the
    words of others: ``fixed_indegree`` (NEST), ``FixedNumberPreWithReplacement`` (GeNN),
    ``FixedNumberPreConnector(with_replacement=True)`` (PyNN). Cost and memory are those of
    `FixedTotalNumber`.

    Args:
        k: synapses onto a post neuron, at least 0; ``k * n_post`` is at most 2**31 - 1.

    Raises:
        ValueError: `k` is negative, or too large for the post neurons there are.
        TypeError: `k` is not an integer, or is traced.
    """

    k: Integer

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_integer("k", self.k, 0))

    def total(self, shape: tuple[int, int]) -> int:
        """``k`` for every post neuron."""
        return check_integer("k * n_post", self.k * shape[1], 0)

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        """Counted; targets permuted in a domain of as many bits as there are synapses."""
        self.total(shape)
        k = max(self.k, 1)  # a domain has a slot at least for every post neuron
        return format.CountedRows(k, format.domain_bits(k * shape[1]), shape[1])

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """``k`` for every post neuron."""
        return float(self.k * shape[1])


@dataclasses.dataclass(frozen=True)
class LfsrGaps(Rule):
    """The published scheme: gaps between synapses uniform on {1..clen}.

    ``clen = 2 ceil(1/p) - 1``, so the density that is really drawn is ``1 / ceil(1/p)``: exact for
    p = 1, 1/2, 1/3 …, too low for every other p (0.15 gives 0.143, 0.9 gives 0.5). As published,
    lines 2k - 1 and 2k of one seed are identical and other nearby lines are related; hashed lines
    are not.

    Args:
        p: connection probability, in (0, 1].
        hashed: whether the state of a line is hashed from its seed.

    Raises:
        ValueError: `p` outside (0, 1] or NaN.
        TypeError: `p` is not a real number, or is traced.

    Source: C. Wang et al., braintaichi / BrainPy 2.5 (2024), as recorded from its operators.
    """

    p: Real
    hashed: Flag = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", check_probability("p", self.p))
        check_flag("hashed", self.hashed)

    @functools.cached_property
    def clen(self) -> int:
        """Largest gap."""
        mean = np.float32(min(1.0 / self.p, float(INT32_MAX)))
        return int(min(float(np.ceil(mean) * np.float32(2) - np.float32(1)), INT32_MAX))

    @property
    def density(self) -> float:
        """Fraction of pairs that is really connected, for lines much longer than clen."""
        return 2.0 / (self.clen + 1)

    def scheme(self, shape: tuple[int, int] = (0, 0)) -> format.Scheme:
        del shape
        reciprocal = min((1 << 32) // self.clen, format.MAX_WORD)
        return format.UniformGaps(self.clen, reciprocal, int(self.hashed))

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """`density` times the number of pairs."""
        return self.density * shape[0] * shape[1]

    def streams(self, seed: int, count: int, lines: int) -> np.ndarray:
        """Seeds of `count` matrices of up to `lines` lines, none of which share a line.

        Matrix k has the lines ``streams[k] + 0 … streams[k] + lines - 1``. The seeds are hashes of
        (seed, k); should two ranges overlap, or one contain the generator's all-zero states (line
        seeds 0 and 2**32 - 1), they are drawn again.

        Args:
            seed: integer from 0 to 2**64 - 1.
            count: number of matrices.
            lines: most lines of a matrix.

        Returns:
            `(count,)` uint32.

        Raises:
            ValueError: `count` times `lines` leaves no room for ranges apart.
        """
        if count * lines > 2**30:
            raise ValueError(
                f"{count} matrices of {lines} lines each are too many for the 2**32 line "
                "seeds of the published scheme: at most 2**30 lines"
            )
        index = np.arange(count, dtype=np.uint32)
        low, high = np.array([[seed & format.MAX_WORD], [seed >> 32]], np.uint32)
        streams = index
        wrong = np.ones(count, bool)
        for attempt in np.arange(2000, dtype=np.uint32):
            salt = sampler.mix(sampler.mix(low + sampler.PI_0) ^ sampler.mix(high + attempt))
            drawn = sampler.mix(sampler.mix(index + salt) + high)
            # A whole draw hardly ever fits for thousands of matrices: then only what overlaps is
            # drawn again.
            streams = drawn if attempt < 1000 else np.where(wrong, drawn, streams)
            wrong = _overlapping(streams, lines)
            if not wrong.any():
                return streams
        raise ValueError(f"no {count} ranges of {lines} line seeds apart were found, seed {seed}")


def realised_probability(p: Real) -> float:
    """Density that the published scheme draws for connection probability `p`: ``1 / ceil(1 / p)``.

    Args:
        p: connection probability, in (0, 1].

    Returns:
        Fraction of pairs connected, for lines much longer than ``2 / p``; `p` itself where its
        reciprocal is whole.

    Raises:
        ValueError: `p` outside (0, 1] or NaN.
        TypeError: `p` is not a real number, or is traced.

    Example:
        >>> import evops
        >>> evops.realised_probability(0.9), evops.realised_probability(0.1)
        (0.5, 0.1)
    """
    return LfsrGaps(p).density


def _overlapping(streams: np.ndarray, lines: int) -> np.ndarray:
    """Which ranges begin inside the one before, or contain line seed 0 or 2**32 - 1."""
    order = np.argsort(streams, kind="stable")
    ordered = streams[order].astype(np.int64)
    wrong = np.zeros(len(streams), bool)
    wrong[order[1:]] = np.diff(ordered) < lines
    return wrong | (streams == 0) | (streams.astype(np.int64) + lines >= 2**32)
