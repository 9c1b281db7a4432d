"""Connectivity rules: what a rule's parameters mean and the integers that the readers need."""

import dataclasses
import functools

import numpy as np

from evops.errors import INT32_MAX, check_probability


@dataclasses.dataclass(frozen=True)
class LfsrGaps:
    """The published scheme: gaps between synapses uniform on {1..clen}.

    ``clen = 2 ceil(1/p) - 1``, so the density that is really drawn is ``1 / ceil(1/p)``: exact for
    p = 1, 1/2, 1/3 …, too low for every other p (0.15 gives 0.143, 0.9 gives 0.5). Lines 2k - 1 and 2k
    of one seed are identical.

    Args:
        p: connection probability, in (0, 1].

    Raises:
        ValueError: `p` outside (0, 1] or NaN.
        TypeError: `p` is not a real number, or is traced.

    Source: C. Wang et al., braintaichi / BrainPy 2.5 (2024), as recorded from its operators.
    """

    p: float

    def __post_init__(self):
        object.__setattr__(self, "p", check_probability("p", self.p))

    @functools.cached_property
    def clen(self) -> int:
        """Largest gap."""
        length = np.ceil(np.float32(1.0 / self.p)) * np.float32(2) - np.float32(1)
        return int(min(float(length), INT32_MAX))

    @property
    def density(self) -> float:
        """Fraction of pairs that is really connected, for lines much longer than clen."""
        return 2.0 / (self.clen + 1)

    @property
    def division(self) -> tuple[int, int]:
        """`clen` and the multiplier with which the kernels divide by it (kernels/walk.py)."""
        return self.clen, min((1 << 32) // self.clen, (1 << 32) - 1)
