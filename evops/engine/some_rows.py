"""Synapses of some pre neurons; native kernels list those of all."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt32

from evops.connectivity.format import Distances, MatrixSpec
from evops.engine import jnp_edges
from evops.engine.ops import room
from evops.errors import check_integer

_STATIC = ("spec", "n_post", "synapses")
_degrees = jax.jit(jnp_edges.degrees, static_argnames=_STATIC[:2])
_edges = jax.jit(jnp_edges.edges, static_argnames=_STATIC)


def edges(
    neurons: Int[np.ndarray, " k"],
    key: UInt32[Array, "2"],
    tables: Sequence[Array],
    count_all: Callable[[], Int[Array, " n_pre"]],
    *,
    spec: MatrixSpec,
    n_post: int,
    native: bool,
) -> list[np.ndarray]:
    """Where the synapses of each of these neurons begin, and what `ops.edges` returns, of them.

    `count_all` returns the number of synapses of every pre neuron.
    """
    pre = jnp.asarray(neurons.astype(np.int32))
    # Native kernels count all rows in less time than XLA compiles a program that counts some. In
    # rules of distance they look at many pairs for each synapse.
    if native and not isinstance(spec.scheme, Distances):
        degrees = np.asarray(count_all())[neurons]
    else:
        degrees = np.asarray(_degrees(key, tables, pre, spec=spec, n_post=n_post))
    indptr = np.concatenate([[0], degrees.astype(np.int64).cumsum()])
    total = check_integer("number of synapses", int(indptr[-1]), 0)
    starts, space = jnp.asarray(indptr.astype(np.int32)), room(total, 0.0)
    found = _edges(key, tables, starts, pre, spec=spec, n_post=n_post, synapses=space)
    return [indptr, *(np.asarray(array)[:total] for array in found)]
