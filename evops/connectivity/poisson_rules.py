"""Poisson numbers of synapses between every two neurons."""

import dataclasses
from typing import Any

import numpy as np

from evops.connectivity import format, sampler
from evops.connectivity.counted_rules import FixedTotalNumber
from evops.connectivity.rule import Rule
from evops.errors import Flag, Real, check_flag, check_integer, check_size, check_static

# Role of the key of the number of all synapses, in place of a block's number.
_TOTAL = 0x7FFFFFF7


@dataclasses.dataclass(frozen=True)
class PoissonMultiplicity(Rule):
    """The number of synapses of every pair is a Poisson number of a mean, independently.

    Each synapse has a weight and a delay of its own. The number of all synapses, a Poisson number
    too, is drawn first, where a projection is made: its rule is then `FixedTotalNumber` of it. That
    is the same law, since a Poisson number that is divided at random gives Poisson numbers (J. F.
    C. Kingman, Poisson Processes, 1993, section 5.1). ``pairwise_poisson`` in NEST.

    Args:
        mean: synapses of a pair on average, at least 0.
        autapses: whether a neuron may connect to the neuron with the same index. Without them the
            synapses are stored: see `Synapses`.

    Raises:
        ValueError: a negative mean, or 2**31 synapses or more.
        TypeError: `mean` is not a real number, or is traced; a traced seed.

    Example:
        >>> import evops
        >>> W = evops.Projection(evops.PoissonMultiplicity(0.1), 0.5, (1000, 1000), seed=1)
        >>> W.rule
        FixedTotalNumber(k=99996)
    """

    mean: Real
    autapses: Flag = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", check_size("mean", self.mean, zero=True))
        check_flag("autapses", self.autapses)

    def settled(self, shape: tuple[int, int], words: Any) -> Rule:
        """The rule of as many synapses as the words of a projection's key say."""
        check_static("seed", words)
        total = poisson_number(self.expected_synapses(shape), words)
        check_integer("number of synapses", total, 0)
        return FixedTotalNumber(total, autapses=self.autapses)

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        raise ValueError(f"{self} needs a seed before it can be drawn: use it in a Projection")

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        own = 0 if self.autapses else min(shape)
        expected = float(self.mean) * (shape[0] * shape[1] - own)
        if expected > format.MAX_SYNAPSES:
            raise ValueError(
                f"mean must give at most {format.MAX_SYNAPSES} synapses, got {self.mean}, which "
                f"gives {expected:.4g}"
            )
        return expected


def poisson_number(mean: float, words: Any) -> int:
    """A Poisson number, from 53 bits of a key: the quantile where they lie.

    Only sums, products and quotients of floats decide, which every machine rounds alike.
    """
    with np.errstate(over="ignore"):
        t0, t1 = (np.uint32(word) for word in words)
        zero = np.uint32(0)
        key = sampler.feistel(zero, zero + np.uint32(_TOTAL), t0, t1)
        high, low = (int(sampler.word(*key, np.uint32(i))) for i in (0, 1))
    uniform = ((high << 21 | low >> 11) + 0.5) * 2.0**-53
    mode = int(mean)
    reach = int(12 * mean**0.5) + 60  # beyond it lies less than 2**-60
    up = np.cumprod(mean / np.arange(mode + 1, mode + reach + 1))
    down = np.cumprod(np.arange(mode, max(mode - reach, 0), -1) / mean) if mode else np.zeros(0)
    masses = np.concatenate([down[::-1], [1.0], up])
    below = np.cumsum(masses)
    return mode - len(down) + int(np.searchsorted(below, uniform * below[-1], "right"))
