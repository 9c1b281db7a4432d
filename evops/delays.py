"""Sums of delayed input, kept in a ring over time."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Num

from evops import inputs
from evops.engine import library, ring
from evops.engine.compat import Tracer
from evops.errors import check_integer
from evops.leaves import Node, shape_of


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(init=False, eq=False, repr=False)
class DelayBuffer(Node):
    """Ring of the input that is still on its way to a group of neurons.

    Slot ``(step + d) % slots`` holds the sums that arrive d steps from now. Projections add to it
    where spikes occur (`MultiAreaProjection.push`) and `pop` hands out what arrives now. Updates
    are in place inside ``jax.jit`` and ``lax.scan``.

    Buffers made by hand hold what is given to them; ``jax.jit(…, donate_argnums=…)`` consumes a
    buffer and no other.

    Args:
        sums: `(slots, n)`, float32, float64 or int32, in the unit of the weights.
        step: current slot, an integer from 0 to slots - 1.
        backend: "native", "jnp" or None for the fastest there is: what `pop` takes by default.

    Raises:
        ValueError: sums of other axes or without slots, a step that is none of them.
        TypeError: sums of another dtype, a step that is no integer.
    """

    sums: Num[Array, "slots n"]
    step: Int[Array, ""]
    backend: str | None
    _name = "buffer"

    def __init__(self, sums: Num[Any, "slots n"], step: Any = 0, backend: str | None = None):
        sums = inputs.array_of("sums", sums, bools=False)
        if sums.ndim != 2 or 0 in sums.shape:
            raise ValueError(f"sums must have shape (slots, n), 1 or more each, got {sums.shape}")
        _check_dtype("the dtype of sums", sums.dtype)
        if not isinstance(step, Tracer):
            step = jnp.asarray(check_integer("step", step, 0, sums.shape[0] - 1), jnp.int32)
        if step.ndim or not jnp.issubdtype(step.dtype, jnp.integer):
            raise TypeError(f"step must be one integer, got {step!r}")
        if backend is not None:
            library.choose(backend)  # raises where there is none of that name
        self.sums, self.step, self.backend = sums, step.astype(jnp.int32), backend

    def tree_flatten_with_keys(self):
        """Sums and step are leaves; the backend is static."""
        leaves = ((jax.tree_util.GetAttrKey(k), getattr(self, k)) for k in ("sums", "step"))
        return tuple(leaves), self.backend

    def tree_flatten(self):
        """The leaves without their names."""
        return (self.sums, self.step), self.backend

    @classmethod
    def tree_unflatten(cls, backend, leaves) -> "DelayBuffer":
        """The buffer with other leaves."""
        self = object.__new__(cls)
        self.sums, self.step = leaves
        self.backend = backend
        return self

    def __repr__(self) -> str:
        """Sums and step."""
        backend = f", backend={self.backend!r}" if self.backend else ""
        return f"DelayBuffer(sums={self.sums!r}, step={self.step!r}{backend})"

    def _axes(self):
        yield "sums", self.sums, 2
        yield "step", self.step, 0

    @classmethod
    def zeros(
        cls, n: int, max_delay: int, dtype=jnp.float32, backend: str | None = None
    ) -> "DelayBuffer":
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
        _check_dtype("dtype", dtype)
        return cls(jnp.zeros((slots, n), dtype), 0, backend)

    @property
    def max_delay(self) -> int:
        """Longest delay that fits, in steps."""
        return max(shape_of(self.sums, 2)[0] - 1, 0)

    def check(self, n: int, delay: int, at: int = 0) -> None:
        """Raise where neurons ``at … at + n - 1`` or a delay of `delay` steps do not fit."""
        room = self.sums.shape[1]
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
        chosen = library.choose(self.backend if backend is None else backend)
        sums, now = ring.pop(self.sums, self.step, backend=chosen)
        return now, self.with_sums(sums, advance=1)

    def with_sums(self, sums: Num[Array, "slots n"], advance: int = 0) -> "DelayBuffer":
        """Another buffer with these sums, `advance` steps later; it shares no array with this."""
        step = self.step + advance
        if advance:
            step = step % self.sums.shape[0]
        return DelayBuffer.tree_unflatten(self.backend, (sums, step))


def check_buffer(buffer: Any) -> None:
    """Raise where `buffer` is no `DelayBuffer`."""
    if not isinstance(buffer, DelayBuffer):
        raise TypeError(f"buffer must be a DelayBuffer, got {buffer!r}")
    buffer._check_leaves()


def _check_dtype(name: str, dtype: Any) -> None:
    try:
        known = np.dtype(dtype)
    except TypeError:
        known = dtype
    if known not in (np.float32, np.float64, np.int32):
        raise TypeError(f"{name} must be float32, float64 or int32, got {known}")
