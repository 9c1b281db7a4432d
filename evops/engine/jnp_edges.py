"""Synapses one by one, in plain JAX: of all rows, or of some."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int32, UInt32

from evops.connectivity.format import MatrixSpec, WeightLaw
from evops.engine.jnp_reader import Rows, chunk_size, for_each_synapse


def edges(
    key: UInt32[Array, "2"],
    tables: Sequence[Array],
    indptr: Int32[Array, " rows_1"],
    neurons: Int32[Array, " rows"] | None = None,
    *,
    spec: MatrixSpec,
    n_post: int,
    synapses: int,
) -> tuple[Array, ...]:
    """Post neuron, variate and drawn delay of every synapse (see `evops.engine.ops`).

    The rows are those of `neurons`, or of all pre neurons.
    """
    tables = tables[0].reshape(-1), *tables[1:]
    n_rows = indptr.shape[0] - 1
    varied = spec.law != WeightLaw.CONSTANT

    def chunk(first, carry):
        at, rows = _rows(key, first, n_rows, neurons, spec=spec, n_post=n_post)

        def emit(carry, post, exists, z, delay):
            # `at` is where each row goes on. Of the candidates that come at once, those that exist
            # take the next places in order; the others point past the end and are dropped.
            at, *arrays = carry
            rank = at[:, None] + jnp.cumsum(exists, -1, dtype=jnp.int32) - 1
            place = jnp.where(exists, rank, synapses)
            put = [
                old.at[place].set(jnp.broadcast_to(new, place.shape), mode="drop")
                if old.size
                else old
                for old, new in zip(arrays, (post, z, delay), strict=True)
            ]
            return at + exists.sum(-1, dtype=jnp.int32), *put

        # Rows after the last, which fill the last chunk, reach no neuron and put nothing.
        start = indptr[jnp.minimum(at, n_rows)]
        return for_each_synapse(spec, tables, rows, emit, (start, *carry))[1:]

    empty = (
        jnp.zeros(synapses, jnp.int32),
        jnp.zeros(synapses if varied else 0, jnp.float32),
        jnp.zeros(synapses if spec.delay_bits else 0, jnp.int32),
    )
    return _over_rows(chunk, n_rows, spec, empty)


def degrees(
    key: UInt32[Array, "2"],
    tables: Sequence[Array],
    neurons: Int32[Array, " rows"],
    *,
    spec: MatrixSpec,
    n_post: int,
) -> Int32[Array, " rows"]:
    """How many synapses these neurons have."""
    tables = tables[0].reshape(-1), *tables[1:]
    n_rows = neurons.shape[0]

    def chunk(first, counts):
        at, rows = _rows(key, first, n_rows, neurons, spec=spec, n_post=n_post)

        def emit(count, post, exists, z, delay):
            shape = jnp.broadcast_shapes(post.shape, exists.shape)
            return count + jnp.broadcast_to(exists, shape).sum(-1, dtype=jnp.int32)

        count = for_each_synapse(spec, tables, rows, emit, jnp.zeros(at.shape, jnp.int32))
        return counts.at[at].set(count, mode="drop")

    return _over_rows(chunk, n_rows, spec, jnp.zeros(n_rows, jnp.int32))


def _rows(
    key: UInt32[Array, "2"],
    first: Array,
    n_rows: int,
    neurons: Int32[Array, " rows"] | None,
    *,
    spec: MatrixSpec,
    n_post: int,
) -> tuple[Int32[Array, " chunk"], Rows]:
    """A chunk of rows: their numbers, and what is read."""
    size = chunk_size(1, spec)
    at = first * size + jnp.arange(size, dtype=jnp.int32)
    n = jnp.where(at < n_rows, jnp.uint32(n_post), jnp.uint32(0))
    t0, t1 = (jnp.broadcast_to(key[k], n.shape) for k in (0, 1))
    # Past the end any neuron will do; there may be none.
    every = jnp.minimum(at, n_rows - 1)
    pre = every if neurons is None else jnp.pad(neurons, (0, 1))[jnp.minimum(at, n_rows)]
    return at, Rows(t0, t1, pre.astype(jnp.uint32), n, longest=n_post)


def _over_rows(chunk: Any, n_rows: int, spec: MatrixSpec, carry: Any) -> Any:
    # int32 under x64 too, as the neurons are that follow from it.
    chunks = jnp.int32(-(-n_rows // chunk_size(1, spec)))
    return lax.fori_loop(jnp.int32(0), chunks, chunk, carry)
