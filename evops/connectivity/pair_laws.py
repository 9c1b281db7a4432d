"""What laws of both neurons of a synapse have in common: stored synapses alone have them."""

import abc
from typing import Any

import numpy as np

from evops.errors import shown
from evops.space.positions import Positions, check_alike


class PairLaw(abc.ABC):
    """Base of laws that follow from both neurons of a synapse, which `Synapses` alone takes."""

    @abc.abstractmethod
    def check(self, name: str, sides: tuple[Any, ...], shape: tuple[int, int]) -> None:
        """Raise where the two sides of a matrix, the argument `shape`, are not what it needs.

        `name` is the argument that the law is.
        """


class PairWeight(PairLaw):
    """Base of laws of weights: a factor of the two neurons times a weight from another law."""

    law: Any

    @abc.abstractmethod
    def factors(self, sides: tuple[Any, ...], pre: np.ndarray, post: np.ndarray) -> np.ndarray:
        """The factors of pairs of neurons."""


def check_positions(name: str, law: PairLaw, sides: tuple[Any, ...]) -> None:
    """Raise where the two sides are not positions in one space."""
    if len(sides) != 2 or not all(isinstance(side, Positions) for side in sides):
        raise ValueError(
            f"shape must be a pair of evops.Positions or evops.Grid for {name}={law}, got {sides}"
        )
    check_alike(*sides)


def refuse_pair_law(name: str, value: Any) -> None:
    """Raise where `value`, the argument of that name, follows from both neurons."""
    if isinstance(value, PairLaw):
        raise ValueError(
            f"{name} must be a law that is drawn again at each spike, got {shown(value)}: store "
            "the synapses, with evops.Synapses(rule, law, (pre, post), seed=…, delay=…)"
        )
