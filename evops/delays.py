"""Sums of delayed input, kept in a ring over time."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Num, Shaped

from evops import inputs
from evops.engine import library, ring
from evops.engine.compat import Tracer, typed_like
from evops.errors import check_integer, shown
from evops.inputs import Entries, Nested
from evops.leaves import Node, shape_of


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(init=False, eq=False, repr=False)
class DelayBuffer(Node):
    """Ring of the input that is still on its way to a group of neurons.

    Slot ``(step + d) % slots`` holds the sums that arrive d steps from now. `push` of a
    `Projection`, `Circuit` or `MultiAreaProjection` adds the input of spikes, and `pop` returns the
    input of this step. Updates are in place inside ``jax.jit`` and ``lax.scan``.

    Donate the buffer to a jitted step in a Python loop, ``jax.jit(step, donate_argnums=…)``:
    else every call copies the ring. Without jit every push and every pop does (docs/jax.md).

    A buffer that you make yourself holds the sums you pass. ``jax.jit(…, donate_argnums=…)``
    consumes one buffer and no other.

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
    _children = ("sums", "step")
    _constants = ("backend",)

    def __init__(
        self,
        sums: Shaped[Any, "slots n"] | Nested,
        step: SupportsIndex = 0,
        backend: str | None = None,
    ):
        sums = inputs.array_of("sums", sums, bools=False)
        if sums.ndim != 2 or 0 in sums.shape:
            raise ValueError(f"sums must have shape (slots, n), 1 or more each, got {sums.shape}")
        _check_dtype("the dtype of sums", sums.dtype)
        if not isinstance(step, Tracer):
            step = jnp.asarray(check_integer("step", step, 0, sums.shape[0] - 1), jnp.int32)
        if step.ndim or not jnp.issubdtype(step.dtype, jnp.integer):
            raise TypeError(f"step must be one integer, got {shown(step)}")
        if backend is not None:
            library.choose(backend)  # raises where there is none of that name
        self.sums, self.step, self.backend = sums, step.astype(jnp.int32), backend

    def __repr__(self) -> str:
        backend = f", backend={self.backend!r}" if self.backend else ""
        return f"DelayBuffer(sums={self.sums!r}, step={self.step!r}{backend})"

    def _axes(self) -> Iterator[tuple[str, Any, int]]:
        yield "sums", self.sums, 2
        yield "step", self.step, 0

    @classmethod
    def zeros(
        cls,
        n: SupportsIndex,
        max_delay: SupportsIndex,
        dtype: Any = jnp.float32,
        backend: str | None = None,
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

    def check(self, n: int, delay: int, post_offset: int = 0, **types: Any) -> None:
        """Raise where the buffer cannot hold what a projection adds to it.

        Args:
            n: post neurons of the projection.
            delay: its longest delay, in steps.
            post_offset: the buffer's neuron that is post neuron 0 of the projection.
            types: dtypes of ``weights`` and ``spikes``: sums of integers hold no floats.

        Raises:
            ValueError: too few neurons or slots.
            TypeError: sums of integers, but weights or spikes that are no integers of 32 bits.
        """
        room, need = self.sums.shape[1], post_offset + n
        lacking = [f"n={need} or more"] * (need > room)
        lacking += [f"max_delay={delay} or more"] * (delay > self.max_delay)
        if lacking:
            raise ValueError(
                f"buffer must hold {need} neurons and delays of {delay} steps, got {room} neurons "
                f"and {self.max_delay} steps: make it with {', '.join(lacking)}"
            )
        if jnp.issubdtype(self.sums.dtype, jnp.floating):
            return
        for name, dtype in types.items():
            wide = name == "weights" and dtype.itemsize > 4
            if wide or jnp.issubdtype(dtype, jnp.floating):
                raise TypeError(
                    f"the buffer holds {self.sums.dtype}, {name} are {dtype}: make it with "
                    f"dtype={'float64' if wide else 'float32'}"
                )

    def pop(self, backend: str | None = None) -> tuple[Num[Array, " n"], "DelayBuffer"]:
        """The input of this step, `(n,)`, and the buffer of the next step."""
        chosen = library.choose(self.backend if backend is None else backend)
        sums, now = ring.pop(self.sums, self.step, backend=chosen)
        return now, self.with_sums(sums, advance=1)

    def with_sums(self, sums: Num[Array, "slots n"], advance: int = 0) -> "DelayBuffer":
        """Another buffer with these sums, `advance` steps later; it shares no array with this."""
        step = self.step + advance
        if advance:
            step = step % self.sums.shape[0]
        return self._like(sums=sums, step=step)


class DelayedSynapses(Node):
    """A matrix of synapses that may have delays: what `push` is for drawn and for stored ones."""

    _kind: ClassVar[str] = "projection"  # in errors
    if TYPE_CHECKING:  # what the subclasses have
        shape: Any
        delay: Any

    def push(
        self,
        spikes: Shaped[Any, " n_pre"] | Nested,
        buffer: DelayBuffer,
        post_offset: SupportsIndex = 0,
    ) -> DelayBuffer:
        """The buffer after this step's spikes: their input is added at the time of its arrival.

        After `push` at step t, the next `DelayBuffer.pop` returns step t's input. A synapse with a
        delay of d steps is returned by the pop of step t + d.

        Events are 0 or 1 in a `MultiAreaProjection`: any value but 0 and NaN is one spike. In a
        `Circuit` and a `Projection` they are any number, by which weights are multiplied.

        Args:
            spikes: `(n_pre,)`, bool, integer or float; zeros cost nothing.
            buffer: of any number of neurons that holds the post neurons.
            post_offset: the buffer's neuron that is post neuron 0.

        Raises:
            ValueError: the synapses have no delays, or the buffer does not hold its neurons or its
                longest delay.
            TypeError: no buffer, or one of integers for weights or spikes that are floats.
        """
        if self.delay is None:
            raise ValueError(f"push needs delays: make the {self._kind} with delay=…, in steps")
        n_pre = self.shape[0]
        x = inputs.spikes("spikes", spikes, ("n_pre",), (n_pre,))
        check_buffer(buffer)
        post_offset = check_integer("post_offset", post_offset, 0, buffer.sums.shape[1])
        return self._pushed(x, buffer, post_offset)

    def _pushed(self, x: Entries, buffer: DelayBuffer, post_offset: int) -> DelayBuffer:
        """`push` of spikes that are checked."""
        raise NotImplementedError


# A buffer for all input, or one for each receptor.
Buffers: TypeAlias = DelayBuffer | Mapping[str, DelayBuffer]


class DelayedNetwork(Node):
    """Synapses with delays and their buffer: how a network runs, step by step.

    ``buffer`` makes the ring once. A step is ``push`` and then ``pop``, or both in one call of the
    network. A subclass defines the shape of its spikes (`push`) and of its post neurons.
    """

    @property
    def max_delay(self) -> int:
        """Longest delay, in steps."""
        raise NotImplementedError

    @property
    def _post_shape(self) -> tuple[int, ...]:
        """Shape of the input of one step."""
        raise NotImplementedError

    @property
    def _own_backend(self) -> str | None:
        """The backend that the network was made with, if there is one."""
        raise NotImplementedError

    @property
    def _wide(self) -> bool:
        """Whether weights are float64."""
        raise NotImplementedError

    def buffer(self, dtype: Any = None) -> DelayBuffer:
        """An empty buffer of the right size; networks onto the same neurons may share it.

        Args:
            dtype: of its sums, as of `DelayBuffer.zeros`. None: float32, or float64 where weights
                are float64.
        """
        if dtype is None:
            dtype = jnp.float64 if self._wide else jnp.float32
        n = math.prod(self._post_shape)
        buffer = DelayBuffer.zeros(n, self.max_delay, dtype, self._own_backend)
        # a loop's carry varies over devices from the start (jax.shard_map) as what is pushed does
        return buffer.with_sums(typed_like(buffer.sums, *jax.tree.leaves(self)))

    def push(self, spikes: Shaped[Any, "..."] | Nested, buffer: Any) -> Any:
        """The buffer after this step's spikes: their input is added at the time of its arrival."""
        raise NotImplementedError

    def pop(self, buffer: Buffers) -> tuple[Any, Any]:
        """The input of this step, in the shape of the post neurons, and the next step's buffer.

        Of a dict of buffers it gives a dict of inputs and a dict of buffers.

        Raises:
            ValueError: a buffer of more or fewer neurons than the network has.
            TypeError: no buffer.
        """
        if isinstance(buffer, Mapping):
            if not buffer:
                check_buffer(buffer)  # raises: no buffer is in it
            both = {name: self.pop(each) for name, each in buffer.items()}
            now, after = ({name: pair[k] for name, pair in both.items()} for k in (0, 1))
            return now, after
        check_buffer(buffer)
        n, room = math.prod(self._post_shape), buffer.sums.shape[1]
        if room != n:
            raise ValueError(
                f"buffer must hold {n} neurons, those of the network, got {room}: take buffer.pop()"
            )
        now, buffer = buffer.pop(self._own_backend)
        return now.reshape(self._post_shape), buffer

    def __call__(self, spikes: Shaped[Any, "..."] | Nested, buffer: Buffers) -> tuple[Any, Any]:
        """One step: `push` the spikes, then `pop` the input of this step."""
        return self.pop(self.push(spikes, buffer))


def check_buffer(buffer: Any) -> None:
    """Raise where `buffer` is no `DelayBuffer`."""
    if not isinstance(buffer, DelayBuffer):
        raise TypeError(f"buffer must be a DelayBuffer, got {shown(buffer)}")
    buffer._check_leaves()


def _check_dtype(name: str, dtype: Any) -> None:
    try:
        known = np.dtype(dtype)
    except TypeError:
        known = dtype
    if known not in (np.float32, np.float64, np.int32):
        raise TypeError(f"{name} must be float32, float64 or int32, got {known}")
