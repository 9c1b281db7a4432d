"""Lists of synapses as users give them: checked, and as arrays that kernels read."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evops import inputs
from evops.engine.compat import Tracer
from evops.errors import INT32_MAX, check_integer, check_static, shown
from evops.leaves import parts_of


def weights(name: str, value: Any, nnz: int) -> jax.Array:
    """`value` as one weight or one for each synapse, in a dtype that kernels read."""
    found = inputs.numbers(name, value, copy=True)
    if jnp.issubdtype(found.dtype, jnp.integer) and found.dtype.itemsize > 4:
        raise TypeError(f"{name} must be floats or integers of up to 32 bits, got {found.dtype}")
    if found.ndim > 1 or found.size not in (1, nnz):
        raise ValueError(
            f"{name} must be one weight or have shape (nnz = {nnz},), got {found.shape}"
        )
    return found.reshape(-1).astype(found.dtype)


def delays(delay: Any, nnz: int) -> tuple[jax.Array | None, int | None]:
    """`delay` in steps, one or one for each synapse, and the longest: None where it is traced."""
    if delay is None:
        return None, None
    found = inputs.as_given("delay", delay)
    if found.ndim > 1 or found.size not in (1, nnz):
        raise ValueError(f"delay must be one delay or have shape (nnz = {nnz},), got {found.shape}")
    if found.size == 0 and not isinstance(found, jax.Array):
        found = found.astype(np.int32)  # an empty list has no dtype of its own
    if found.dtype != np.dtype(object) and not inputs.is_whole(found.dtype):
        raise TypeError(f"delay must be an array of integers, in steps, got dtype {found.dtype}")
    found = found.reshape(-1)
    if isinstance(found, Tracer):
        return _int32(found, INT32_MAX), None
    known = np.asarray(found)
    for at in (known.argmin(), known.argmax()) if known.size else ():
        if not 1 <= known[at] < INT32_MAX:
            which = f"delay[{at}]" if known.size > 1 else "delay"
            raise ValueError(f"{which} must be in [1, {INT32_MAX - 1}], got {known[at]}")
    return _int32(known, INT32_MAX), int(known.max()) if known.size else 1


def scale(value: Any, data: np.dtype) -> jax.Array | None:
    """A factor of integer weights as a float array of one entry; None without one."""
    if value is None:
        return None
    dtype = inputs.own_dtype(value)
    found = inputs.array_of("scale", value, dtype or np.float32, bools=False, copy=True)
    if found.size != 1 or not jnp.issubdtype(found.dtype, jnp.floating):
        raise TypeError(f"scale must be one float, got {shown(value)}")
    if not jnp.issubdtype(data, jnp.integer):
        raise TypeError(f"scale is a factor of integer weights; data have dtype {data}")
    return found.reshape(1)


def pattern(indices: Any, indptr: Any, rows: int, columns: int) -> tuple[jax.Array, jax.Array]:
    """`indices` and `indptr` as int32, their values checked where they are known.

    Those that are traced and out of range stay so: wider integers are not cut to 32 bits.
    """
    indices, indptr = _integers("indices", indices), _integers("indptr", indptr)
    nnz = check_integer("number of synapses", indices.shape[0], 0)
    if indptr.shape != (rows + 1,):
        raise ValueError(f"indptr must have n_pre + 1 = {rows + 1} entries, got {indptr.size}")
    if not isinstance(indptr, Tracer):
        known = np.asarray(indptr)
        if known[0] != 0:
            raise ValueError(f"indptr must start at 0, got {known[0]}")
        falls = known[1:] < known[:-1]
        if falls.any():
            row = int(falls.argmax())
            raise ValueError(
                f"indptr must not decrease, got {known[row]} to {known[row + 1]} for pre {row}"
            )
        if known[-1] != nnz:
            raise ValueError(f"indptr must end at the number of indices, {nnz}, got {known[-1]}")
    if nnz and not isinstance(indices, Tracer):
        known = np.asarray(indices)
        for extreme in (known.min(), known.max()):
            if not 0 <= extreme < columns:
                raise ValueError(f"indices must be in [0, n_post = {columns}), got {extreme}")
    return _int32(indices, columns), _int32(indptr, nnz + 1)


def _int32(value: jax.Array | np.ndarray, beyond: int) -> jax.Array:
    if isinstance(value, np.ndarray):
        return inputs.device_array(value.astype(np.int32))
    if isinstance(value, Tracer) and value.dtype != jnp.int32:
        most = min(jnp.iinfo(value.dtype).max, 2**31 - 1)
        fits = (value >= 0) & (value <= jnp.asarray(most, value.dtype))
        return jnp.where(fits, value.astype(jnp.int32), jnp.int32(beyond))
    return jnp.asarray(value, jnp.int32)


def _integers(name: str, value: Any) -> jax.Array | np.ndarray:
    """`value` as an integer vector: a jax array, or a copy on the host, as jax shares memory."""
    try:
        shape = np.shape(value)
    except ValueError:  # lists of different lengths, which are named below
        shape = (0,)
    if len(shape) != 1:
        raise ValueError(f"{name} must have 1 axis, got shape {shape}")
    array = value if isinstance(value, jax.Array) else np.array(inputs.host(name, value))
    if array.size == 0 and not isinstance(value, jax.Array):
        array = array.astype(np.int32)  # an empty list has no dtype of its own
    if array.dtype != np.dtype(object) and not inputs.is_whole(array.dtype):
        raise TypeError(f"{name} must be an array of integers, got dtype {array.dtype}")
    return array


def neurons(name: str, value: Any, n: int | None = None) -> np.ndarray:
    """`value` as known indices of neurons, int64, in [0, n) where n is given."""
    for part in parts_of(value):
        check_static(name, part)
    found = np.asarray(_integers(name, value))
    if n is not None:
        _check_neurons(name, found, n)
    return found.astype(np.int64)


def _check_neurons(name: str, found: np.ndarray, n: int) -> None:
    side = name.removesuffix("_ids")
    for at in (found.argmin(), found.argmax()) if found.size else ():
        if not 0 <= found[at] < n:
            raise ValueError(f"{name}[{at}] must be in [0, n_{side} = {n}), got {found[at]}")


def ids(name: str, value: Any, n: int) -> jax.Array:
    """`value` as indices of neurons, int32, known ones in [0, n); they may be traced."""
    found = _integers(name, value)
    if not isinstance(found, Tracer):
        _check_neurons(name, np.asarray(found), n)
    return _int32(found, n)


def by_row(
    pre: Any, post: Any, weight: Any, delay: Any, shape: tuple[int, int]
) -> tuple[tuple[np.ndarray, np.ndarray], Any, Any, np.ndarray]:
    """A list of synapses in the order of their pre neurons, which keeps that of the list else.

    Returns:
        `indices` and `indptr`, weights, delays or None, and where each stood in the list.
    """
    pre, post = neurons("pre", pre, shape[0]), neurons("post", post, shape[1])
    if pre.size != post.size:
        raise ValueError(
            f"pre and post must have one entry for each synapse, got {pre.size} and {post.size}"
        )
    nnz = check_integer("number of synapses", pre.size, 0)
    data, steps = weights("weight", weight, nnz), delays(delay, nnz)[0]
    if not isinstance(data, Tracer) and jnp.issubdtype(data.dtype, jnp.floating):
        unknown = np.isnan(np.asarray(data))
        if unknown.any():
            raise ValueError(f"weight[{int(unknown.argmax())}] must be a number, got nan")
    indptr = np.zeros(shape[0] + 1, np.int64)
    np.cumsum(np.bincount(pre, minlength=shape[0]), out=indptr[1:])
    order = np.arange(nnz)
    if (pre[1:] < pre[:-1]).any():
        order = np.argsort(pre, kind="stable")
        post = post[order]
        data, steps = (_taken(each, order) for each in (data, steps))
    return (post, indptr), data, steps, order


def of_rows(indptr: np.ndarray, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the synapses of some rows begin if they stand one after another, and their numbers."""
    begins, counts = indptr[some].astype(np.int64), np.diff(indptr)[some]
    own = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    numbers = np.arange(own[-1]) + np.repeat(begins - own[:-1], counts)
    return own.astype(np.int32), numbers


def _taken(values: jax.Array | None, order: np.ndarray) -> jax.Array | None:
    """Values of each synapse in this order; one value for all as it is."""
    if values is None or values.size != order.size:
        return values
    if isinstance(values, Tracer):
        return values[order]
    return inputs.device_array(np.asarray(values)[order])


def of_graph(graph: Any, weight: Any, delay: Any) -> tuple[np.ndarray, np.ndarray, Any, Any]:
    """Pre and post neurons, weights and delays of the edges of a networkx graph."""
    if not all(hasattr(graph, name) for name in ("nodes", "edges", "is_directed")):
        raise TypeError(f"graph must be a networkx graph, got {type(graph).__name__}")
    number = {node: k for k, node in enumerate(graph.nodes)}
    edges = [(number[u], number[v], held) for u, v, held in graph.edges(data=True)]
    if not graph.is_directed():  # a loop is one synapse
        edges += [(v, u, held) for u, v, held in edges if u != v]
    pre, post = (np.array([edge[k] for edge in edges], np.int64) for k in (0, 1))
    if isinstance(weight, str):
        weight = [held.get(weight, 1.0) for *_, held in edges] if edges else 1.0
    if isinstance(delay, str):
        nodes = list(graph.nodes)
        for u, v, held in edges:
            if delay not in held:
                raise ValueError(
                    f"delay must be an attribute of every edge, got none named {delay!r} for "
                    f"{nodes[u]!r} to {nodes[v]!r}"
                )
        delay = [held[delay] for *_, held in edges]
    return pre, post, weight, delay
