"""Weights by the types of two neurons, and clusters of neurons."""

import dataclasses
from typing import Any

import numpy as np

from evops.connectivity.delay_tables import known_law
from evops.connectivity.laws import Law
from evops.connectivity.pair_laws import PairWeight
from evops.connectivity.pair_rules import BlockProbability, block_matrix, types_of
from evops.errors import Flag, Real, check_probability, check_real, shown
from evops.leaves import digest_of
from evops.space.positions import entries_of


@dataclasses.dataclass(frozen=True, eq=False)
class BlockWeight(PairWeight):
    """A weight law: a number of the two neurons' types times a weight drawn from another law.

    For `Synapses`, with any rule.

    Args:
        w: numbers, a row for each type of pre neurons and a column for each type of post neurons.
        pre_types: `(n_pre,)` integers, the type of each pre neuron.
        post_types: `(n_post,)`, that of each post neuron; None: post neurons are the pre neurons.
        law: the other factor, a law or a number.

    Raises:
        ValueError: a type that has no row or column, `w` that is not finite.
        TypeError: no matrix, no array of integers, no law, or a traced one.

    Example:
        >>> import evops
        >>> law = evops.BlockWeight([[1.0, -4.0]], [0, 0], [0, 1, 1])
        >>> evops.Synapses(evops.AllToAll(), law, (2, 3), seed=1).todense()[0].tolist()
        [1.0, -4.0, -4.0]
    """

    w: Any
    pre_types: Any
    post_types: Any = None
    law: Law | Real = 1.0

    def __post_init__(self) -> None:
        w = block_matrix("w", self.w)
        pre = types_of("pre_types", self.pre_types, w.shape[0])
        post = pre if self.post_types is None else self.post_types
        post = types_of("post_types", post, w.shape[1])
        known_law("law", self.law)
        for name, value in (("w", w), ("pre_types", pre), ("post_types", post)):
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        """The same numbers, types and law."""
        return isinstance(other, BlockWeight) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[bytes, Any]:
        return digest_of(self.w, self.pre_types, self.post_types), self.law

    def __repr__(self) -> str:
        pre, post = self.w.shape
        return f"BlockWeight({pre} by {post} types, law={self.law})"

    def check(self, name: str, sides: tuple[Any, ...], shape: tuple[int, int]) -> None:
        del sides
        wanted = len(self.pre_types), len(self.post_types)
        if shape != wanted:
            raise ValueError(
                f"shape must be {wanted}, the neurons that have types, for {name}={self}, got "
                f"{shape}"
            )

    def factors(self, sides: tuple[Any, ...], pre: np.ndarray, post: np.ndarray) -> np.ndarray:
        del sides
        return self.w[self.pre_types[pre], self.post_types[post]]


def Clusters(
    types: Any,
    p: tuple[Real, Real],
    w: tuple[Real, Real] = (1.0, 1.0),
    *,
    law: Law | Real = 1.0,
    autapses: Flag = False,
) -> tuple[BlockProbability, BlockWeight]:
    """Clusters inside a population: a rule, and the law of its weights.

    Neurons of one cluster are connected with other probabilities and weights than those of
    different ones, as in A. Litwin-Kumar and B. Doiron, "Slow dynamics and high variability in
    balanced cortical networks with clustered connections", Nat. Neurosci. 15 (2012),
    doi:10.1038/nn.3220. The rule can also be drawn, with one law for all weights (`Projection`).

    Args:
        types: `(n,)` integers from 0 on, the cluster of each neuron.
        p: connection probabilities within a cluster and between clusters, in [0, 1].
        w: weights within a cluster and between clusters.
        law: another factor of all weights, a law or a number.
        autapses: whether a neuron may connect to itself.

    Returns:
        A rule and a law, for `Synapses`.

    Raises:
        ValueError: probabilities outside [0, 1], weights that are not finite, negative types.
        TypeError: values of another type, or traced ones.

    Example:
        >>> import numpy as np, evops
        >>> rule, law = evops.Clusters(np.arange(400) // 20, p=(0.5, 0.1), w=(1.9, 1.0))
        >>> S = evops.Synapses(rule, law, (400, 400), seed=1)
        >>> sorted({round(w, 3) for w in np.asarray(S.data).tolist()})
        [1.0, 1.9]
    """
    own = types_of("types", types, np.iinfo(np.int32).max)
    kinds = int(own.max()) + 1
    within, between = (
        check_probability(f"p[{k}]", v, zero=True) for k, v in enumerate(_two("p", p))
    )
    strong, weak = (check_real(f"w[{k}]", v) for k, v in enumerate(_two("w", w)))
    same = np.eye(kinds, dtype=bool)
    rule = BlockProbability(np.where(same, within, between), own, autapses=autapses)
    return rule, BlockWeight(np.where(same, strong, weak), own, law=law)


def _two(name: str, value: Any) -> tuple[Any, Any]:
    entries = entries_of(value)
    if entries is None or len(entries) != 2:
        raise ValueError(
            f"{name} must be two numbers, within and between clusters, got {shown(value)}"
        )
    within, between = entries
    return within, between
