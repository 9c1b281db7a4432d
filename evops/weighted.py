"""Projections whose synapses are drawn and whose weights are stored."""

from collections.abc import Iterator
from typing import Any, SupportsFloat

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Int32, Num, Shaped

from evops import inputs, synapse_lists
from evops.connectivity.delay_tables import discretise
from evops.delays import DelayBuffer, DelayedSynapses
from evops.edges import Edges
from evops.engine import drawn, drawn_state, library, ops
from evops.engine.compat import Operand, Tracer
from evops.errors import shown
from evops.inputs import Entries, Nested
from evops.leaves import dtype_of, shape_of
from evops.matrix import Matrix
from evops.sealed import sealed
from evops.spiked import SpikedUpdates
from evops.structures import structure


@jax.tree_util.register_pytree_with_keys_class
class WeightedProjection(Matrix, DelayedSynapses, SpikedUpdates):
    """A projection with a stored weight for each synapse; the wiring is drawn at every use.

    `Projection.with_weights` makes it. Synapses, delays and results are those of
    ``W.tocsr().with_weights(values)``, without its targets: it takes the weights, and 4 bytes for
    each pre neuron. It is for weights that learn, and for networks that `CSR` has no memory for;
    where `CSR` fits, it is faster (docs/plasticity.md).

    Gradients are with respect to `data`, float spikes and the sums of a buffer. Updates at post
    spikes (`add_where_post_spiked`) and ``W @ v`` draw every row.

    Attributes:
        data: `(room,)`, the weights in the order of rows. Where seeds differ in their number of
            synapses, there is room for nearly every seed, so that nearly all share a program; what
            is behind the last synapse is not used. States, and values for each synapse, are as
            long, or `(nnz,)` where the seed is known. A leaf.
        starts: `(n_pre + 1,)` int32, where the weights of each pre neuron begin. Bits are a leaf.
        projection: where the synapses come from; its weight law is ignored. Its seed is a leaf.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> W = evops.Projection(evops.FixedOutDegree(3), 1.0, shape=(4, 5), seed=1)
        >>> V = W.with_weights(jnp.arange(12.0))
        >>> float((jnp.array([False, True, False, False]) @ V).sum())   # 3 + 4 + 5
        12.0
    """

    _kind = "matrix"
    _weight_leaf = "data"
    _leaves = ("data", "starts")
    _children = (*_leaves, "projection")
    data: Num[Array, "room"]
    starts: Int32[Array, "n_pre+1"] = sealed(np.int32, axes=1)
    projection: Any

    def __init__(self, projection: Any, values: Any):
        if not isinstance(projection, Matrix) or not hasattr(projection, "rule"):
            raise TypeError(f"projection must be a Projection, got {shown(projection)}")
        starts = _starts(projection)
        self.projection, self.starts = projection, starts
        self.data = _filled(values, _known(starts), _room(projection, _known(starts)))

    def __repr__(self) -> str:
        return (
            f"WeightedProjection({self.projection.rule}, shape={self.shape}, {self.nbytes} bytes)"
        )

    def _axes(self) -> Iterator[tuple[str, Any, int]]:
        yield "data", self.data, 1

    def _check_leaves(self, name: str | None = None) -> None:
        super()._check_leaves(name)  # first: its errors name the weights
        self.projection._check_leaves(name)
        if self.starts.shape != (self.shape[0] + 1,):
            raise ValueError(
                f"{name or self._name} has a leaf of another shape: starts has shape "
                f"{self.starts.shape}, expected ({self.shape[0] + 1},)"
            )

    @property
    def shape(self) -> tuple[int, int]:
        return self.projection.shape

    @property
    def dtype(self) -> np.dtype:
        return dtype_of(self.data) or np.dtype(np.float32)

    @property
    def delay(self) -> Any:
        """The law of the delays, or None."""
        return self.projection.delay

    @property
    def max_delay(self) -> int:
        """Longest delay, in steps; 0 without delays."""
        return self.projection.max_delay

    @structure
    def nnz(self) -> int:
        """Number of synapses (not inside ``jax.jit``)."""
        if isinstance(self.starts, Tracer):
            raise TypeError("the number of synapses needs a known seed: take it outside jax.jit")
        return int(np.asarray(self.starts)[-1])

    @property
    def nbytes(self) -> int:
        """Memory of weights and starts, in bytes."""
        return shape_of(self.data, 1)[0] * self.dtype.itemsize + 4 * shape_of(self.starts, 1)[0]

    def with_weights(
        self, values: Shaped[Any, "..."] | SupportsFloat | Nested
    ) -> "WeightedProjection":
        """The same synapses with other weights, as of `Projection.with_weights`."""
        known, room = _known(self.starts), shape_of(self.data, 1)[0]
        return self._like(data=_filled(values, known, room))

    def _statics(self, spec: Any, ring: drawn.Ring | None = None) -> dict[str, Any]:
        backend = library.choose(self.projection._backend)
        return {"spec": spec, "n_post": self.shape[1], "ring": ring, "backend": backend}

    def _times(self, factor: Any) -> "WeightedProjection":
        return self._like(data=inputs.times(self.data, factor))

    def _wiring(self, spec: Any, step: Any = 0) -> drawn.Wiring:
        table, _, delays = self.projection._tables(spec)
        step = jnp.asarray(step, jnp.int32)
        return drawn.Wiring(self.projection.key, table, delays, self.starts, step)

    def _product(self, x: Entries, dtype: np.dtype, transposed: bool) -> jax.Array:
        spec = self.projection._spec(law=False)
        of = {"dtype": dtype, "gather": transposed, **self._statics(spec)}
        return drawn.product(x, self._read_as(dtype), self._wiring(spec), **of)

    def _read_as(self, dtype: np.dtype) -> Num[Operand, " room"]:
        """The weights; no kernel narrows them as it reads them."""
        narrowed = self.data.dtype.itemsize > dtype.itemsize
        return self.data.astype(dtype) if narrowed else self.data

    def _pushed(self, x: Entries, buffer: DelayBuffer, post_offset: int) -> DelayBuffer:
        delays = discretise(self.delay)
        types = {"weights": self.dtype, "spikes": x.dtype}
        buffer.check(self.shape[1], delays.longest, post_offset, **types)
        inputs.check_dtype("weights", self.dtype)
        sums = buffer.sums
        spec = self.projection._spec(law=False, delay=True)
        slots, n = sums.shape
        ring = drawn.Ring(slots, n, post_offset, delays.shortest)
        wiring = self._wiring(spec, buffer.step)
        x = inputs.entries("spikes", x, sums.dtype)
        data = self._read_as(sums.dtype)
        return buffer.with_sums(drawn.push(sums, x, data, wiring, **self._statics(spec, ring)))

    def _synapses_of(self, state: jax.Array) -> int:
        known = _known(self.starts)
        if state.shape != self.data.shape and known is None:
            raise ValueError(
                f"state must have the shape of {self._name}.data, {self.data.shape}, where the "
                f"seed is traced, got {state.shape}"
            )
        return state.shape[0] if state.shape == self.data.shape else known or 0

    def _updated(self, state: Any, x: Entries, value: Any, bounds: Any, **of: str) -> jax.Array:
        spec = self.projection._spec(law=False)
        wiring = self._wiring(spec)
        return drawn_state.update(state, x, value, bounds, wiring, **of, **self._statics(spec))

    def in_degree(self) -> Int[Array, "n_post"]:
        """Synapses onto every post neuron."""
        return self.projection.in_degree()

    def out_degree(self) -> Int[Array, "n_pre"]:
        """Synapses of every pre neuron."""
        return jnp.diff(self.starts)

    def edges(self, pre: Shaped[Any, "k"] | Nested | None = None) -> Edges:
        """All synapses, or those of some neurons, as `Projection.edges` (not in ``jax.jit``)."""
        if pre is None:
            return self.tocsr().edges()
        some = synapse_lists.neurons("pre", pre, self.shape[0])
        of = self.projection.edges(some)
        at = synapse_lists.of_rows(np.asarray(self.starts), some)[1]
        return of._replace(weight=inputs.device_array(np.asarray(self.data)[at]))

    def tocsr(self) -> Any:
        """The same synapses with their targets (not inside ``jax.jit``)."""
        return self.projection.tocsr().with_weights(self.data[: self.nnz])

    def _dense(self, transposed: bool) -> jax.Array:
        if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(self)):
            return self.tocsr()._dense(transposed)
        each = jnp.eye(self.shape[0], dtype=bool) @ self
        return each.T if transposed else each


def _known(starts: Any) -> int | None:
    """The number of synapses, where the seed is known."""
    return None if isinstance(starts, Tracer) else int(np.asarray(starts)[-1])


def _filled(values: Any, known: int | None, room: int) -> jax.Array:
    """Weights of the user's in room for so many."""
    values = inputs.numbers("values", values)
    if values.ndim == 0:
        return jnp.full(room, values)
    if values.shape == (known,):
        return jnp.pad(values, (0, room - values.shape[0]))
    if values.shape != (room,):
        wanted = f"(nnz = {known},)" if known is not None else f"({room},), for a traced seed"
        raise ValueError(f"values must have shape {wanted}, got {values.shape}")
    return values


def _starts(projection: Any) -> Int32[Array, " n_pre_1"]:
    """Where the synapses of each row begin."""
    degrees = projection.out_degree()
    if not isinstance(degrees, Tracer):
        ends = np.cumsum(np.asarray(degrees, np.int64))
        if ends[-1] >= 2**31:
            raise ValueError(f"{ends[-1]} synapses are more than there may be: {2**31 - 1}")
        return inputs.device_array(np.concatenate([[0], ends]).astype(np.int32))
    return jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(degrees, dtype=jnp.int32)])


def _room(projection: Any, known: int | None) -> int:
    """Room for the weights of nearly every seed; of all where each has as many synapses."""
    shape, rule = projection.shape, projection.rule
    total = rule.total(shape)
    degree = rule.scheme(shape).degrees(shape, total)[0]
    if total is not None or degree is not None:
        return shape[0] * degree if total is None else total
    return ops.room(known or 0, rule.expected_synapses(shape))
