"""Spikes as a list of the neurons that fire."""

from collections.abc import Iterator
from typing import Any, ClassVar, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32, Shaped, UInt8

from evops import inputs
from evops.engine import library, spike_lists
from evops.engine.compat import Tracer
from evops.engine.list_spikes import list_spikes
from evops.errors import check_integer, shown
from evops.inputs import Nested
from evops.leaves import Node


@jax.tree_util.register_pytree_with_keys_class
class SpikeList(spike_lists.Listed, Node):
    """The neurons that fire in a step, as a list of at most `capacity` indices.

    It stands wherever flags `(n,)` can be given: ``spikes @ W``, `push`, `Circuit.push`,
    `CSR.add_where_pre_spiked` and all others. Several calls of a step share one search for the
    neurons that fire. `from_flags` makes it once per step, inside ``jax.jit`` too.

    The flags are kept beside the list. Where more neurons fire than there is room for, a program
    reads the flags and loses nothing; outside a program it is an error. Results are the same bits
    as those of flags. Weights have gradients, spikes in a list have none.

    Args:
        indices: `(capacity,)`, integers from 0 to n - 1, in any order, each once.
        n: number of neurons.
        count: how many of the indices are spikes; those behind are ignored. None for all of them.
            In a program, indices out of range are ignored as well.

    Raises:
        ValueError: indices out of range, an index twice, a count beyond the indices.
        TypeError: indices that are not integers.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> W = evops.Projection(evops.FixedProbability(0.1), 0.5, shape=(1000, 800), seed=42)
        >>> spikes = evops.SpikeList([7, 123], n=1000)
        >>> flags = jnp.zeros(1000, bool).at[jnp.array([7, 123])].set(True)
        >>> bool((spikes @ W == flags @ W).all())
        True
    """

    packed: UInt8[Array, "*b width"]
    n: int
    listed: int
    _name = "spikes"
    _children = ("packed",)
    _constants = ("n", "listed")
    _words: ClassVar[dict[str, np.dtype]] = {"packed": np.dtype(np.uint8)}

    def __init__(
        self,
        indices: Shaped[Any, "capacity"] | Nested,
        n: SupportsIndex,
        count: Shaped[Any, ""] | SupportsIndex | None = None,
    ):
        n = check_integer("n", n, 1)
        ids = inputs.as_given("indices", indices)
        if ids.ndim != 1:
            raise ValueError(f"indices must have shape (capacity,), got {ids.shape}")
        if ids.size and not (ids.dtype == object or inputs.is_whole(ids.dtype)):
            raise TypeError(f"indices must be integers, got dtype {ids.dtype}")
        most = ids.shape[0]
        if not isinstance(count, Tracer):
            count = most if count is None else check_integer("count", count, 0, most)
        elif count.ndim or not inputs.is_whole(count.dtype):
            raise TypeError(f"count must be one integer, got {shown(count)}")
        if isinstance(ids, Tracer) or isinstance(count, Tracer):
            flags = _flags(inputs.array_of("indices", ids), n, count)
        else:
            flags = _known_flags(np.asarray(ids)[:count], n)
        made = SpikeList.from_flags(flags, min(most, n))
        self.packed, self.n, self.listed = made.packed, n, made.listed

    @classmethod
    def from_flags(
        cls,
        flags: Shaped[Any, "... n"] | Nested,
        capacity: SupportsIndex | None = None,
        backend: str | None = None,
    ) -> "SpikeList":
        """The list of the neurons whose flags are set.

        Args:
            flags: `(…, n)`, bool, or numbers of which any but 0 and NaN is a spike. With more axes
                there is a list for each vector, and ``spikes @ W`` has those axes.
            capacity: room for indices, for each list; None for n.
            backend: "native", "jnp" or None for the fastest there is.

        Raises:
            ValueError: more spikes than `capacity`, outside of programs.

        Example:
            >>> import evops
            >>> evops.SpikeList.from_flags([True, False, True], capacity=2).indices
            Array([0, 2], dtype=int32)
        """
        given = inputs.array_of("flags", flags)
        if given.ndim == 0 or given.shape[-1] == 0:
            raise ValueError(f"flags must have shape (…, n), n at least 1, got {given.shape}")
        fired = inputs.events("flags", given, ("flags",) * given.ndim, given.shape)
        fired = fired if fired.dtype == bool else fired != 0
        *batch, n = fired.shape
        room = n if capacity is None else check_integer("capacity", capacity, 0, n)
        rows = fired.reshape(-1, n)
        packed = list_spikes(rows, capacity=room, backend=library.choose(backend))
        self = cls.tree_unflatten((n, 1 + room), (packed.reshape(*batch, packed.shape[-1]),))
        if not isinstance(packed, Tracer) and packed.size:
            most = int(self.count.max())
            if most > room:
                raise ValueError(
                    f"capacity must be at least {most}, the number of spikes, got {room}"
                )
        return self

    def __repr__(self) -> str:
        return f"SpikeList({self.shape} flags, capacity={self.capacity})"

    def _axes(self) -> Iterator[tuple[str, Any, int]]:
        yield "packed", self.packed, max(np.ndim(self.packed), 1)

    def _check_leaves(self, name: str | None = None) -> None:
        super()._check_leaves(name)
        width = self.n + spike_lists.WORD * self.listed
        if self.packed.shape[-1] != width:
            raise ValueError(
                f"spikes have a leaf of another shape: packed has {self.packed.shape[-1]} bytes "
                f"for {self.n} neurons, expected {width}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the flags, `(…, n)`."""
        return *tuple(getattr(self.packed, "shape", ()))[:-1], self.n

    @property
    def capacity(self) -> int:
        """Room for indices."""
        return self.listed - 1

    @property
    def count(self) -> Int32[Array, "*b"]:
        """How many neurons fire; in a program it may be more than `capacity`."""
        return spike_lists.words_of(self.packed, self.listed)[..., 0]

    @property
    def indices(self) -> Int32[Array, "*b capacity"]:
        """The first neurons that fire, in order; n where there are no more."""
        return spike_lists.words_of(self.packed, self.listed)[..., 1:]

    def __jax_array__(self) -> Bool[Array, "*b n"]:
        return self.flags

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.flags, dtype, copy=copy)


def _flags(ids: jax.Array, n: int, count: Any) -> Bool[Array, " n"]:
    """Flags of neurons that a program knows."""
    if ids.dtype.itemsize < 4:  # which do not hold n
        ids = ids.astype(jnp.int32)
    every = jnp.arange(ids.shape[0], dtype=jnp.int32)
    if isinstance(count, Tracer):
        most = min(ids.shape[0], jnp.iinfo(count.dtype).max)
        count = jnp.clip(count, 0, most).astype(jnp.int32)
    known = (every < count) & (ids >= 0) & (ids < n)
    at = jnp.where(known, ids, n).astype(jnp.int32)
    return jnp.zeros(n, bool).at[at].set(True, mode="drop")


def _known_flags(ids: np.ndarray, n: int) -> Bool[np.ndarray, " n"]:
    """Flags of neurons that are known here."""
    wrong = [int(i) for i in ids if not 0 <= i < n][:1] if ids.size else []
    if wrong:
        raise ValueError(f"indices must be from 0 to {n - 1}, got {wrong[0]}")
    ids = ids.astype(np.int64)
    unique, times = np.unique(ids, return_counts=True)
    if (times > 1).any():
        raise ValueError(f"indices must name each neuron once, got {unique[times > 1][0]} twice")
    flags = np.zeros(n, bool)
    flags[ids] = True
    return flags
