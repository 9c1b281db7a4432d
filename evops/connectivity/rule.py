"""What a connectivity rule is: it says which pairs of neurons are connected.

``scheme(shape)`` is a record of `evops.connectivity.format`: it names a reader and its parameters.
``table`` is an array that this reader looks up.
"""

import abc
from typing import Any, NoReturn

import numpy as np

from evops.connectivity import format, stored_rules
from evops.errors import check_shape, check_static, shown
from evops.space.positions import Positions


class Rule(abc.ABC):
    """Which pairs of a pre and a post neuron are connected."""

    @abc.abstractmethod
    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        """The reader of a matrix of that shape (pre, post), and its parameters."""

    @property
    def table(self) -> np.ndarray:
        """The array that the reader looks up, uint32."""
        return np.zeros(0, np.uint32)

    def total(self, shape: tuple[int, int]) -> int | None:
        """Number of synapses, where each draws its pre neuron (`CountedRows`); else None."""
        del shape

    @abc.abstractmethod
    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """Expected number of synapses of a matrix of that shape (pre, post)."""

    def stored(
        self, shape: tuple[int, int], words: stored_rules.Words, partners: Any = None
    ) -> tuple[np.ndarray, np.ndarray, bool] | None:
        """Synapses that must be stored, for a rule without a reader; None for others.

        Pre neurons, post neurons, and whether two neurons may have several synapses. `words` are
        those of a projection's key. `partners` takes the place of `near.partners`, where it is
        needed.
        """
        del shape, words, partners

    def placed(self, pre: Positions | None, post: Positions | None) -> "Rule":
        """This rule between neurons at these positions, None where only a number is given."""
        del pre, post
        return self

    def settled(self, shape: tuple[int, int], words: Any) -> "Rule":
        """This rule for one seed; `words` are those of a projection's key, which may be traced."""
        del shape, words
        return self

    def refuse_to_draw(self) -> NoReturn:
        """Raise: this rule has no reader."""
        raise ValueError(
            f"{self} cannot be drawn again at each spike: store it with evops.Synapses(rule, law, "
            "shape, seed=…, delay=…), which makes a CSR"
        )


def refuse_numbers(rule: Rule) -> NoReturn:
    """Raise: a rule of distance has numbers of neurons and no positions."""
    raise ValueError(
        f"shape must be a pair of evops.Positions or evops.Grid for {rule}, got a number of neurons"
    )


def check_is_rule(rule: object) -> None:
    """Raise where `rule` is none."""
    if not isinstance(rule, Rule):
        raise TypeError(
            f"rule must be a connectivity rule such as FixedProbability, got {shown(rule)}"
        )


def place(rule: Rule, shape: Any) -> tuple[Rule, tuple[int, int]]:
    """The rule between the two sides of `shape`, numbers of neurons or `Positions`; and numbers."""
    check_is_rule(rule)
    check_static("shape", shape)
    if isinstance(shape, Positions):
        raise TypeError(f"shape must be a pair (pre, post), got {shape}")
    sides = tuple(shape) if isinstance(shape, (tuple, list)) else ()
    if not any(isinstance(side, Positions) for side in sides):
        return rule.placed(None, None), check_shape("shape", shape)
    numbers = [len(side) if isinstance(side, Positions) else side for side in sides]
    checked = check_shape("shape", numbers)
    return rule.placed(*(s if isinstance(s, Positions) else None for s in sides)), checked
