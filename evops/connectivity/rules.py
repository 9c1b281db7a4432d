"""Connectivity rules of uniform probability, of every pair, and of the published scheme."""

import dataclasses
import functools

import numpy as np

from evops.connectivity import alias_tables, format
from evops.connectivity.distances import DistanceRule
from evops.connectivity.rule import Rule, refuse_numbers
from evops.errors import (
    INT32_MAX,
    Flag,
    Real,
    check_flag,
    check_probability,
)
from evops.space.kernels import Kernel, kernel_of
from evops.space.positions import Positions

# p = 1 in the fixed point in which probabilities are compared; gaps are cheaper than dense blocks
# below 1/8.
_ONE, _DENSE_FROM = 1 << 40, 1 << 37
# Synapses that a block has at least, where it may have as many targets: they pay for its key.
_SYNAPSES_OF_BLOCK = 256


@dataclasses.dataclass(frozen=True)
class FixedProbability(Rule):
    """Every pair is connected with probability `p`, independently of all others (Bernoulli).

    `p` is honoured to 2**-31. Below p = 1/8 a row skips from synapse to synapse: the gaps between
    them are geometric and come from an alias table (L. Devroye 1986, Non-Uniform Random Variate
    Generation, chapter X.2; M. D. Vose 1991). From 1/8 on every pair draws a byte, and 32 more bits
    where the byte leaves it open. Equivalents: ``pairwise_bernoulli`` (NEST),
    ``connect(p=…)`` (Brian2), ``FixedProbability`` (GeNN), ``FixedProbabilityConnector`` (PyNN).

    Of a kernel, such as `Gaussian`, or any function of distance, `p` depends on the distance
    between the two neurons. Then the shape is a pair of `Positions`, and every pair within the
    cut-off draws 31 bits. Whether two neurons are connected depends on seed, indices and
    displacement alone: more neurons keep the old synapses.

    Args:
        p: connection probability, in [0, 1]; or a `Kernel`, or a function of distance.
        autapses: whether a neuron may connect to the neuron with the same index; without them the
            other synapses stay the same.

    Raises:
        ValueError: `p` outside [0, 1] or NaN; a kernel without an end, or numbers for positions.
        TypeError: `p` is not a real number, or is traced.

    Example:
        >>> import evops
        >>> evops.FixedProbability(0.1).expected_synapses((1000, 1000))
        100000.0
    """

    p: Real | Kernel
    autapses: Flag = True

    def __post_init__(self) -> None:
        p = self.p
        spatial = isinstance(p, Kernel) or callable(p)
        checked = kernel_of("p", p) if spatial else check_probability("p", p, zero=True)
        object.__setattr__(self, "p", checked)
        check_flag("autapses", self.autapses)

    def placed(self, pre: Positions | None, post: Positions | None) -> Rule:
        """Of a kernel, the rule between these positions."""
        if not isinstance(self.p, Kernel):
            return self
        if pre is None or post is None:
            refuse_numbers(self)
        return DistanceRule(self.p, pre, post, bool(self.autapses))

    @property
    def _probability(self) -> float:
        """`p` where it is the same for all pairs."""
        if isinstance(self.p, Kernel):
            refuse_numbers(self)
        return float(self.p)

    @functools.cached_property
    def _scaled(self) -> int:
        """``p * _ONE``, rounded."""
        numerator, denominator = self._probability.as_integer_ratio()
        return (2 * numerator * _ONE + denominator) // (2 * denominator)

    @functools.cached_property
    def block_bits(self) -> int:
        """B for blocks of 2**B targets: 256 to 511 synapses are expected in one, 12 <= B <= 22."""
        bits = range(format.MIN_BLOCK_BITS, format.MAX_BLOCK_BITS)
        least = _SYNAPSES_OF_BLOCK * _ONE
        return next((b for b in bits if self._scaled << b >= least), format.MAX_BLOCK_BITS)

    @functools.cached_property
    def _gaps(self) -> tuple[int, int, np.ndarray]:
        return alias_tables.gaps(self._probability)

    @property
    def _dense(self) -> bool:
        return self._scaled >= _DENSE_FROM or self._scaled == 0

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        """Geometric gaps below p = 1/8; dense blocks above, and for p = 0, as they cost least."""
        skip = not self.autapses
        if self._dense:
            bits = self.block_bits if self._scaled else format.MAX_BLOCK_BITS
            threshold, tie_threshold = self._scaled >> 32, self._scaled & format.MAX_WORD
            return format.DenseBlocks(bits, threshold, tie_threshold, exclude_autapses=skip)
        high, low, _ = self._gaps
        return format.GeometricGaps(self.block_bits, high, low, exclude_autapses=skip)

    @property
    def table(self) -> np.ndarray:
        """Alias tables of the gaps; empty for dense blocks."""
        return super().table if self._dense else self._gaps[2]

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        diagonal = 0 if self.autapses else min(shape)
        return self._probability * (shape[0] * shape[1] - diagonal)


@dataclasses.dataclass(frozen=True)
class AllToAll(Rule):
    """Every pair is connected: ``FixedProbability(1, autapses)``."""

    autapses: Flag = True

    def __post_init__(self) -> None:
        check_flag("autapses", self.autapses)

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        return FixedProbability(1.0, self.autapses).scheme(shape)

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        return FixedProbability(1.0, self.autapses).expected_synapses(shape)


@dataclasses.dataclass(frozen=True)
class OneToOne(Rule):
    """Neuron i connects to neuron i; both sides have equally many.

    Raises:
        ValueError: a shape whose sides differ.
    """

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        self.expected_synapses(shape)
        return format.Diagonal()

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        if shape[0] != shape[1]:
            raise ValueError(
                f"shape must have as many pre as post neurons for OneToOne, got {tuple(shape)}"
            )
        return float(shape[0])


@dataclasses.dataclass(frozen=True)
class LfsrGaps(Rule):
    """The published scheme: gaps between synapses uniform on {1..clen}.

    ``clen = 2 ceil(1/p) - 1``, so the density really drawn is ``1 / ceil(1/p)``. This is exact for
    p = 1, 1/2, 1/3 … and too low for every other p (0.15 gives 0.143, 0.9 gives 0.5). As
    published, rows 2k - 1 and 2k of one seed are identical and other nearby rows are related;
    hashed rows are not.

    Args:
        p: connection probability, in (0, 1].
        hashed: whether the state of a row is hashed from its seed.

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
        """The largest gap, in post neurons."""
        mean = np.float32(min(1.0 / self.p, float(INT32_MAX)))
        return int(min(float(np.ceil(mean) * np.float32(2) - np.float32(1)), INT32_MAX))

    @property
    def density(self) -> float:
        """Fraction of pairs that is really connected, for rows much longer than clen."""
        return 2.0 / (self.clen + 1)

    def scheme(self, shape: tuple[int, int] = (0, 0)) -> format.Scheme:
        del shape
        reciprocal = min((1 << 32) // self.clen, format.MAX_WORD)
        return format.UniformGaps(self.clen, reciprocal, int(self.hashed))

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        return self.density * shape[0] * shape[1]


def realised_probability(p: Real) -> float:
    """Density that the published scheme draws for connection probability `p`: ``1 / ceil(1 / p)``.

    Args:
        p: connection probability, in (0, 1].

    Returns:
        Fraction of pairs connected, for rows much longer than ``2 / p``; `p` itself where its
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
