"""Sums of delayed input, kept in a ring over time."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Num

from evops.engine import bridge, ring
from evops.errors import check_integer


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DelayBuffer:
    """Ring of the input that is still on its way to a group of neurons.

    Slot ``(step + d) % slots`` holds the sums that arrive d steps from now. Projections add to it
    where spikes occur (`MultiAreaProjection.push`) and `pop` hands out what arrives now. Updates
    are in place inside ``jax.jit`` and ``lax.scan``.

    Attributes:
        sums: `(slots, n)`, in the unit of the weights.
        step: current slot, int32 scalar.
    """

    sums: Num[Array, "slots n"]
    step: Int[Array, ""]

    @classmethod
    def zeros(cls, n: int, max_delay: int, dtype=jnp.float32) -> "DelayBuffer":
        """An empty buffer for `n` neurons and delays of 0 to `max_delay` steps.

        Sums are of `dtype`: float32, float64 (under x64), or int32 for weights that are integers.

        Raises:
            ValueError: a negative size or delay, or more than 2**31 - 1 sums.
            TypeError: another dtype.

        Example:
            >>> import evops
            >>> evops.DelayBuffer.zeros(10, max_delay=20).sums.shape
            (21, 10)
        """
        n = check_integer("n", n, 1)
        slots = check_integer("max_delay", max_delay, 0) + 1
        check_integer("n * (max_delay + 1)", n * slots, 1)
        if np.dtype(dtype) not in (np.float32, np.float64, np.int32):
            raise TypeError(f"dtype must be float32, float64 or int32, got {np.dtype(dtype)}")
        return cls(jnp.zeros((slots, n), dtype), jnp.zeros((), jnp.int32))

    @property
    def max_delay(self) -> int:
        """Longest delay that fits, in steps."""
        return self.sums.shape[0] - 1

    def check(self, n: int, delay: int, at: int = 0) -> None:
        """Raise where neurons ``at … at + n - 1`` or a delay of `delay` steps do not fit."""
        room = self.sums.shape[1]
        check_integer("at", at, 0, room)
        if at + n > room:
            raise ValueError(
                f"the buffer has {room} neurons, too few for {n} from neuron {at} on: make it with "
                f"n={at + n} or more"
            )
        if delay > self.max_delay:
            raise ValueError(
                f"the buffer holds delays of up to {self.max_delay} steps, the projection has "
                f"{delay}: make it with max_delay={delay} or more"
            )

    def pop(self, backend: str | None = None) -> tuple[Num[Array, " n"], "DelayBuffer"]:
        """What arrives at this step, `(n,)`, and the buffer of the next step."""
        sums, now = ring.pop(self.sums, self.step, backend=bridge.choose(backend))
        return now, DelayBuffer(sums, (self.step + 1) % self.sums.shape[0])


def check_buffer(buffer: Any) -> None:
    """Raise where `buffer` is no `DelayBuffer`."""
    if not isinstance(buffer, DelayBuffer):
        raise TypeError(f"buffer must be a DelayBuffer, got {buffer!r}")
