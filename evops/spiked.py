"""Updates of states of synapses where neurons fire."""

from typing import TYPE_CHECKING, Any, SupportsFloat

import jax
import jax.numpy as jnp
from jaxtyping import Array, Num, Shaped

from evops import inputs
from evops.engine import library, spiked_state
from evops.engine.compat import Tracer
from evops.errors import check_choice
from evops.inputs import Entries, Nested
from evops.leaves import Node


class SpikedUpdates(Node):
    """What spikes add to states of the synapses of a `CSR` or `CSC`, in the order of rows.

    A state is a vector of the caller's, `(nnz,)`, such as weights that learn or conductances. Only
    the synapses of neurons that fire are touched, in place inside ``jax.jit`` and ``lax.scan``
    (native: float32, float64 and int32; other dtypes in jnp, which reads all synapses).
    """

    if TYPE_CHECKING:  # what the subclasses have
        shape: Any
        csr: Any  # the same synapses by rows, a `CSR`
        csc: Any  # and by columns, a `CSC`

    def add_where_pre_spiked(
        self,
        state: Shaped[Any, "nnz"] | Nested,
        spikes: Shaped[Any, "n_pre"] | Nested,
        value: Shaped[Any, "..."] | SupportsFloat | Nested,
        *,
        per: str | None = None,
        low: SupportsFloat | None = None,
        high: SupportsFloat | None = None,
    ) -> Num[Array, "nnz"]:
        """The state after presynaptic spikes: ``state[k] += spikes[pre of k] * value``.

        States of synapses whose neuron fires are then clipped to [low, high]. Others stay as they
        are, outside these bounds too.

        Args:
            state: one number for each synapse, in the order of rows, as `CSR.data` has it. Floats,
                or integers, which wrap around where no bounds are given.
            spikes: `(n_pre,)`, bool or numbers, by which values are multiplied; zeros cost nothing.
            value: what a spike adds: one number, or one for each synapse, pre or post neuron. It
                takes the dtype of `state`.
            per: "synapse", "pre" or "post": what values are for, where their number does not tell.
            low: least state, or None.
            high: largest state, or None.

        Raises:
            ValueError: shapes that do not fit, values whose number fits more than one `per`.
            TypeError: floats for a state of integers.

        Example:
            >>> import jax.numpy as jnp, evops
            >>> W = evops.CSR.from_edges([0, 0, 1], [0, 2, 1], 1.0, shape=(2, 3))
            >>> W.add_where_pre_spiked(jnp.zeros(3), [True, False], [1.0, 2.0, 3.0], per="post")
            Array([1., 3., 0.], dtype=float32)
        """
        return self._spiked("pre", state, spikes, value, per, low, high)

    def add_where_post_spiked(
        self,
        state: Shaped[Any, "nnz"] | Nested,
        spikes: Shaped[Any, "n_post"] | Nested,
        value: Shaped[Any, "..."] | SupportsFloat | Nested,
        *,
        per: str | None = None,
        low: SupportsFloat | None = None,
        high: SupportsFloat | None = None,
    ) -> Num[Array, "nnz"]:
        """The state after postsynaptic spikes: ``state[k] += spikes[post of k] * value``.

        It needs the index of columns. A `CSR` that is known makes one, once; a program that takes
        the matrix as an argument takes `CSR.csc` instead. A `WeightedProjection` has no index, and
        draws every row.

        Args and errors are those of `add_where_pre_spiked`, for spikes `(n_post,)`.
        """
        return self._spiked("post", state, spikes, value, per, low, high)

    def _spiked(
        self, side: str, state: Any, spikes: Any, value: Any, per: Any, low: Any, high: Any
    ) -> jax.Array:
        state = inputs.array_of("state", state, bools=False)
        synapses = self._synapses_of(state)
        if state.shape != (synapses,):
            raise ValueError(f"state must have shape (nnz = {synapses},), got {state.shape}")
        sizes = {"synapse": synapses, "pre": self.shape[0], "post": self.shape[1]}
        x = inputs.spikes("spikes", spikes, (f"n_{side}",), (sizes[side],))
        x = x if x.dtype == bool else _as_state("spikes", x, state)
        value = _as_state("value", value, state)
        per = _per(value.shape, per, sizes)
        bounds = _bounds(low, high, state)
        return self._updated(state, x, value.reshape(-1), bounds, side=side, per=per)

    def _synapses_of(self, state: jax.Array) -> int:
        """How many synapses a state is for."""
        return self.csr.nnz

    def _updated(
        self, state: jax.Array, x: Entries, value: jax.Array, bounds: Any, *, side: str, per: str
    ) -> jax.Array:
        """The state after spikes that are checked."""
        rows = self.csr
        pattern = rows.indices, rows.indptr
        if side == "post":
            columns = self.csc
            pattern = *pattern, columns.indptr, columns.synapses, columns.guide
        return spiked_state.update(
            state,
            x,
            value,
            bounds,
            pattern,
            side=side,
            per=per,
            n_post=rows.shape[1],
            backend=library.choose(rows._backend),
        )


def _as_state(name: str, value: Any, state: jax.Array) -> jax.Array:
    """Numbers in the dtype of the state, Python's without a detour over float32."""
    given = inputs.weight_type(name, value)
    if jnp.issubdtype(state.dtype, jnp.integer) and not jnp.issubdtype(given, jnp.integer):
        raise TypeError(f"{name} must be integers for a state of {state.dtype}, got {given}")
    return inputs.array_of(name, value, state.dtype, bools=False)


def _per(shape: tuple[int, ...], per: Any, sizes: dict[str, int]) -> str:
    """What values of this shape are for."""
    if shape == () and per is None:
        return "all"
    if per is not None:
        n = sizes[check_choice("per", per, tuple(sizes))]
        if shape != (n,):
            raise ValueError(f"value per {per} must have shape ({n},), got {shape}")
        return per
    fitting = [name for name, n in sizes.items() if shape == (n,)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        several = " or ".join(f"per={name!r}" for name in fitting)
        raise ValueError(f"value of shape {shape} fits {several}: say which")
    known = ", ".join(f"{n} per {name}" for name, n in sizes.items())
    raise ValueError(f"value must be one number or a vector ({known}), got shape {shape}")


def _bounds(low: Any, high: Any, state: jax.Array) -> tuple[jax.Array, jax.Array] | None:
    """Bounds of the state, in its dtype; None without any."""
    if low is None and high is None:
        return None
    limits = spiked_state.limits(state.dtype)
    found = []
    for name, given, limit in zip(("low", "high"), (low, high), limits, strict=True):
        bound = jnp.asarray(limit)
        if given is not None:
            bound = _as_state(name, given, state)
            if bound.shape not in ((), (1,)):
                raise ValueError(f"{name} must be one number, got shape {bound.shape}")
        found.append(bound.reshape(1))
    known = not any(isinstance(bound, Tracer) for bound in found)
    if known and not found[0][0] <= found[1][0]:
        raise ValueError(f"low must be at most high, got {found[0][0]} and {found[1][0]}")
    return found[0], found[1]
