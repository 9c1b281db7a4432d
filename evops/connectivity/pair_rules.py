"""Rules by which two neurons are connected with a probability of their own, drawn pair by pair."""

import dataclasses
import functools
from typing import Any

import numpy as np

from evops.connectivity import format
from evops.connectivity.rule import Rule
from evops.errors import Flag, Real, check_flag, check_integer, check_probability, host_array, shown
from evops.leaves import digest_of

# A probability in units of 2**-31; the largest is certain (`sampler.chance`).
_UNIT_BITS, _CERTAIN = 31, (1 << 31) - 1


def _scaled(p: float) -> int:
    return min(round(p * 2**_UNIT_BITS), _CERTAIN)


def _check_square(rule: Rule, shape: tuple[int, int]) -> int:
    if shape[0] != shape[1]:
        raise ValueError(
            f"shape must have as many pre as post neurons for {rule}, which are the same, got "
            f"{tuple(shape)}"
        )
    return shape[0]


@dataclasses.dataclass(frozen=True)
class SymmetricProbability(Rule):
    """Both synapses of a pair, (i, j) and (j, i), exist with probability `p`, or neither does.

    Pre and post neurons are the same. The two synapses have weights and delays of their own.
    ``symmetric_pairwise_bernoulli`` in NEST. A row tries every other neuron.

    Args:
        p: connection probability, in [0, 1], honoured to 2**-31.
        autapses: whether a neuron may connect to itself.

    Raises:
        ValueError: `p` outside [0, 1] or NaN; sides of different size.
        TypeError: `p` is not a real number, or is traced.

    Example:
        >>> import evops
        >>> W = evops.Projection(evops.SymmetricProbability(0.1), 1.0, (100, 100), seed=1).todense()
        >>> bool((W == W.T).all())
        True
    """

    p: Real
    autapses: Flag = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", check_probability("p", self.p, zero=True))
        check_flag("autapses", self.autapses)

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        n = _check_square(self, shape)
        return format.TypedPairs(n, n, 1, 1, 1, exclude_autapses=not self.autapses)

    @property
    def table(self) -> np.ndarray:
        """The probability, in units of 2**-31."""
        return np.array([_scaled(float(self.p))], np.uint32)

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        n = _check_square(self, shape)
        return float(self.p) * n * (n - (not self.autapses))


@dataclasses.dataclass(frozen=True)
class NoMutualProbability(Rule):
    """At most one of (i, j) and (j, i) exists, each with probability `p`; no autapses.

    Pre and post neurons are the same. A pair of neurons is connected with probability 2p, in a
    direction that a coin chooses. ``FixedProbabilityConnector`` with ``NoMutual`` in PyNN. A row
    tries every other neuron.

    Args:
        p: probability of a synapse, in [0, 1/2], honoured to 2**-32.

    Raises:
        ValueError: `p` outside [0, 1/2] or NaN; sides of different size.
        TypeError: `p` is not a real number, or is traced.
    """

    p: Real

    def __post_init__(self) -> None:
        p = check_probability("p", self.p, zero=True)
        if p > 1 / 2:
            raise ValueError(f"p must be in [0, 1/2], got {p}")
        object.__setattr__(self, "p", p)

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        n = _check_square(self, shape)
        return format.TypedPairs(n, n, 1, 1, 2, exclude_autapses=True)

    @property
    def table(self) -> np.ndarray:
        """The probability of either direction."""
        return np.array([_scaled(2 * float(self.p))], np.uint32)

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        n = _check_square(self, shape)
        return float(self.p) * n * (n - 1)


def types_of(name: str, value: Any, kinds: int) -> np.ndarray:
    """`value` as the type of each neuron, from 0 to ``kinds - 1``, not writeable."""
    types = host_array(name, value)
    if types.ndim != 1 or types.size == 0 or types.dtype.kind not in "iu":
        raise TypeError(
            f"{name} must be an array (n,) of integers, the type of each neuron, got {shown(value)}"
        )
    wrong = np.flatnonzero((types < 0) | (types >= kinds))
    if wrong.size:
        raise ValueError(
            f"{name} must be from 0 to {kinds - 1}, got {types[wrong[0]]} for neuron {wrong[0]}"
        )
    types = types.astype(np.int32)
    types.flags.writeable = False
    return types


def block_matrix(name: str, value: Any) -> np.ndarray:
    """`value` as a matrix of real numbers with a row for each type of pre neurons."""
    matrix = host_array(name, value)
    if matrix.ndim != 2 or matrix.size == 0 or matrix.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be a matrix of real numbers, got {shown(value)}")
    for side in matrix.shape:
        check_integer(f"number of types of {name}", side, 1, format.MAX_TYPES)
    matrix = np.array(matrix, np.float64)
    wrong = np.argwhere(~np.isfinite(matrix))
    if wrong.size:
        at = tuple(wrong[0].tolist())
        raise ValueError(f"{name} must be finite, got {matrix[at]} at {at}")
    matrix.flags.writeable = False
    return matrix


@dataclasses.dataclass(frozen=True, eq=False)
class BlockProbability(Rule):
    """Every pair is connected with a probability of the two neurons' types, independently.

    Types may come in any order: populations, layers, or clusters inside a population (`Clusters`).
    A row tries every post neuron. A `Circuit` of a projection for each pair of types skips from
    synapse to synapse, which costs less where probabilities are low.

    Args:
        p: probabilities in [0, 1], a row for each type of pre neurons and a column for each type of
            post neurons; honoured to 2**-31.
        pre_types: `(n_pre,)` integers, the type of each pre neuron.
        post_types: `(n_post,)`, that of each post neuron; None: post neurons are the pre neurons.
        autapses: whether a neuron may connect to the neuron with the same index.

    Raises:
        ValueError: `p` outside [0, 1], a type that has no row or column, other numbers of neurons.
        TypeError: no matrix, no array of integers, or a traced one.

    Example:
        >>> import numpy as np, evops
        >>> layers = np.repeat([0, 1], [80, 20])
        >>> rule = evops.BlockProbability([[0.1, 0.2], [0.4, 0.3]], layers)
        >>> rule.expected_synapses((100, 100))
        1720.0
    """

    p: Any
    pre_types: Any
    post_types: Any = None
    autapses: Flag = True

    def __post_init__(self) -> None:
        p = block_matrix("p", self.p)
        if p.min() < 0 or p.max() > 1:
            raise ValueError(f"p must be in [0, 1], got {p.min() if p.min() < 0 else p.max()}")
        pre = types_of("pre_types", self.pre_types, p.shape[0])
        post = self.post_types
        if post is not None or p.shape[0] != p.shape[1]:
            post = types_of("post_types", pre if post is None else post, p.shape[1])
        check_flag("autapses", self.autapses)
        for name, value in (("p", p), ("pre_types", pre), ("post_types", post)):
            object.__setattr__(self, name, value)

    @property
    def _sides(self) -> tuple[np.ndarray, np.ndarray]:
        """Types of the pre, and of the post neurons."""
        return self.pre_types, self.pre_types if self.post_types is None else self.post_types

    @functools.cached_property
    def _digest(self) -> bytes:
        return digest_of(self.p, *self._sides, bool(self.autapses))

    def __eq__(self, other: object) -> bool:
        """The same probabilities and types."""
        return isinstance(other, BlockProbability) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        pre, post = self.p.shape
        flags = "" if self.autapses else ", autapses=False"
        return f"BlockProbability({pre} by {post} types{flags})"

    def _check(self, shape: tuple[int, int]) -> None:
        wanted = tuple(map(len, self._sides))
        if tuple(shape) != wanted:
            raise ValueError(
                f"shape must be {wanted}, the neurons that have types, for {self}, got "
                f"{tuple(shape)}"
            )

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        self._check(shape)
        (n_pre, n_post), (rows, columns) = shape, self.p.shape
        skip = not self.autapses
        return format.TypedPairs(n_pre, n_post, rows, columns, 0, exclude_autapses=skip)

    @functools.cached_property
    def _table(self) -> np.ndarray:
        scaled = np.minimum(np.rint(self.p.ravel() * 2.0**_UNIT_BITS), _CERTAIN)
        types = self._sides if scaled.size > 1 else ()
        return np.concatenate([scaled, *types]).astype(np.uint32)

    @property
    def table(self) -> np.ndarray:
        """Probabilities, then the types of pre and of post neurons if there are several."""
        return self._table

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        self._check(shape)
        pre, post = (
            np.bincount(types, minlength=kinds).astype(float)
            for types, kinds in zip(self._sides, self.p.shape, strict=True)
        )
        own = 0.0
        if not self.autapses:
            n = min(shape)
            own = self.p[self._sides[0][:n], self._sides[1][:n]].sum()
        return float(pre @ self.p @ post - own)
