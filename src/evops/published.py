"""The published operators: products with matrices of the LFSR88 scheme, to the bit.

Sources: BrainPy 2.5 and braintaichi 0.0.5 (operators), M. R. Joglekar et al. (2018), Neuron 98:222-234,
doi:10.1016/j.neuron.2018.02.031 (the 29-area model that the multi-area operators were written for).
"""

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Num, Shaped

from evops.connectivity.rules import LfsrGaps
from evops.engine import bridge, ops
from evops.engine.compat import debug_nans
from evops.errors import check_integer, check_shape


def event_mv_prob_homo(
    events: Shaped[ArrayLike, "n_in"],
    weight: Num[ArrayLike, "..."],
    conn_prob: float,
    seed: ArrayLike,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    outdim_parallel: bool = True,
    backend: str | None = None,
) -> Num[Array, "n_out"]:
    """Sum of a constant weight over the events connected to each output.

    The matrix has `shape` (n_out, n_in), or (n_in, n_out) with ``transpose=True``; it is drawn from
    `seed` and never stored. Lines run along the outputs with ``outdim_parallel=True`` and along the
    inputs with False (then silent inputs cost nothing): the two are different matrices.

    Args:
        events: `(n_in,)`; bool, or numbers where 0 and NaN are no event. An event's value is ignored.
        weight: scalar or `(1,)`; added once per event, in float32 for a Python float. Any unit.
        conn_prob: connection probability in (0, 1]; ``1 / ceil(1 / conn_prob)`` is drawn.
        seed: integer, negative seeds wrap modulo 2**32; may be traced.
        shape: matrix shape, static.
        transpose: whether `shape` is (n_in, n_out).
        outdim_parallel: whether a line of the scheme is an output.
        backend: "native", "jnp" or None for the fastest there is.

    Returns:
        `(n_out,)` in the dtype of `weight`.

    Raises:
        ValueError: a probability, shape, length or backend that does not fit.
        TypeError: complex or non-numeric arrays, a traced `shape` or `conn_prob`.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> spikes = jnp.zeros(100).at[3].set(1)
        >>> evops.event_mv_prob_homo(spikes, 0.5, 0.1, 42, shape=(80, 100)).shape
        (80,)
    """
    rule = _rule(conn_prob)
    rows, columns = check_shape("shape", shape)
    n_in, n_out = (rows, columns) if transpose else (columns, rows)
    x = _events("events", events, ("n_in",), (n_in,))
    w = _numbers("weight", weight)
    if w.size != 1:
        raise ValueError(f"weight must be a scalar or have 1 entry, got shape {w.shape}")
    s = _seed("seed", seed)
    if s.size != 1:
        raise ValueError(f"seed must be a scalar or have 1 entry, got shape {s.shape}")
    y = _product(x[None], w.reshape(1), s.reshape(1), rule, n_out, outdim_parallel, 1, backend)
    return _stop_at_nan(y[0], events)


def multi_area_event_mv_prob_homo_E(
    events: Shaped[ArrayLike, "n_pre"],
    weight: Num[ArrayLike, "area_num"],
    seed: ArrayLike,
    conn_prob: float,
    *,
    shape: tuple[int, int],
    area_num: int,
    backend: str | None = None,
) -> Num[Array, "area_num n_post"]:
    """Input to every area from the spikes of one excitatory population.

    Each target area has its own weight and random matrix; areas of zero weight cost nothing.

    Args:
        events: `(n_pre,)`; bool, or numbers where 0 and NaN are no event.
        weight: `(area_num,)`, the weight onto each area. Any unit.
        seed: `(area_num,)` integers, taken modulo 2**32; may be traced.
        conn_prob: connection probability in (0, 1]; ``1 / ceil(1 / conn_prob)`` is drawn.
        shape: `(n_pre, n_post)`, static.
        area_num: number of target areas, static.
        backend: "native", "jnp" or None for the fastest there is.

    Returns:
        `(area_num, n_post)` in the dtype of `weight`.

    Raises:
        ValueError: a probability, shape, length, area count or backend that does not fit.
        TypeError: complex or non-numeric arrays, a traced static.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> spikes = jnp.zeros(16, bool).at[3].set(True)
        >>> evops.multi_area_event_mv_prob_homo_E(
        ...     spikes, jnp.ones(2), jnp.array([1, 2]), 0.5, shape=(16, 8), area_num=2).shape
        (2, 8)
    """
    rule = _rule(conn_prob)
    n_pre, n_post = check_shape("shape", shape)
    areas = check_integer("area_num", area_num, 1)
    x = _events("events", events, ("n_pre",), (n_pre,))
    w, s = _per_area("weight", _numbers("weight", weight), areas), _seed("seed", seed)
    s = _per_area("seed", s, areas)
    return _stop_at_nan(_product(x[None], w, s, rule, n_post, False, areas, backend), events)


def multi_area_event_mv_prob_homo_I(
    events: Shaped[ArrayLike, "area_num n_pre"],
    weight: Num[ArrayLike, "..."],
    seed: ArrayLike,
    conn_prob: float,
    *,
    shape: tuple[int, int],
    area_num: int,
    backend: str | None = None,
) -> Num[Array, "area_num n_post"]:
    """Input to every area from the spikes of its own inhibitory population.

    Each area has its own random matrix; the weight is common.

    Args:
        events: `(area_num, n_pre)`; bool, or numbers where 0 and NaN are no event.
        weight: scalar or `(1,)`, the weight of every synapse. Any unit.
        seed: `(area_num,)` integers, taken modulo 2**32; may be traced.
        conn_prob: connection probability in (0, 1]; ``1 / ceil(1 / conn_prob)`` is drawn.
        shape: `(n_pre, n_post)`, static.
        area_num: number of areas, static.
        backend: "native", "jnp" or None for the fastest there is.

    Returns:
        `(area_num, n_post)` in the dtype of `weight`.

    Raises:
        ValueError: a probability, shape, length, area count or backend that does not fit.
        TypeError: complex or non-numeric arrays, a traced static.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> spikes = jnp.zeros((2, 16), bool).at[1, 3].set(True)
        >>> evops.multi_area_event_mv_prob_homo_I(
        ...     spikes, -0.5, jnp.array([1, 2]), 0.5, shape=(16, 8), area_num=2).shape
        (2, 8)
    """
    rule = _rule(conn_prob)
    n_pre, n_post = check_shape("shape", shape)
    areas = check_integer("area_num", area_num, 1)
    x = _events("events", events, ("area_num", "n_pre"), (areas, n_pre))
    w = _numbers("weight", weight)
    if w.size != 1:
        raise ValueError(f"weight must be a scalar or have 1 entry, got shape {w.shape}")
    w = jnp.broadcast_to(w.reshape(1), (areas,))
    s = _per_area("seed", _seed("seed", seed), areas)
    return _stop_at_nan(_product(x, w, s, rule, n_post, False, 1, backend), events)


def _rule(conn_prob) -> LfsrGaps:
    try:
        return LfsrGaps(conn_prob)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("p must", "conn_prob must", 1)) from None


def _product(x, weight, seed, rule, n_out, gather, repeat, backend):
    dtype = ops.accumulator(weight.dtype)
    y = ops.product(
        x if x.dtype == bool else x.astype(dtype),
        weight.astype(dtype),
        seed,
        n_out=n_out,
        gather=bool(gather),
        repeat=repeat,
        clen_words=rule.division,
        backend=bridge.choose(backend),
    )
    return y.astype(weight.dtype)


def _numbers(name: str, value: Any) -> jax.Array:
    """`value` as a numeric jax array; a Python float becomes float32."""
    if isinstance(value, numbers.Real) and not isinstance(value, (np.generic, numbers.Integral)):
        return jnp.asarray(value, jnp.float32)
    array = _array(name, value)
    if array.dtype == bool:
        raise TypeError(f"{name} must be a number or an array of numbers, got dtype bool")
    return array


def _array(name: str, value: Any) -> jax.Array:
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers or bools, got {value!r}") from error
    if array.dtype != bool and not jnp.issubdtype(array.dtype, jnp.number):
        raise TypeError(f"{name} must be an array of numbers or bools, got dtype {array.dtype}")
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"{name} must be real or bool, got dtype {array.dtype}")
    return array


def _events(name: str, value: Any, axes: tuple[str, ...], shape: tuple[int, ...]) -> jax.Array:
    """`value` as events: bool, or floats 0 and 1 whose derivative is that of the identity."""
    array = _array(name, value)
    if array.shape != shape:
        wanted = ", ".join(f"{axis} = {extent}" for axis, extent in zip(axes, shape, strict=True))
        raise ValueError(f"{name} must have shape ({wanted}), got {array.shape}")
    if array.dtype == bool:
        return array
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array != 0
    return _spikes(array)


@jax.custom_jvp
def _spikes(x):
    return ((x != 0) & ~jnp.isnan(x)).astype(x.dtype)


@_spikes.defjvp
def _spikes_jvp(primals, tangents):
    return _spikes(*primals), tangents[0]


def _seed(name: str, value: Any) -> jax.Array:
    """`value` as uint32, wrapped modulo 2**32."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return jnp.asarray(int(value) % 2**32, jnp.uint32)
    if not isinstance(value, jax.Array):
        host = np.asarray(value)
        if host.dtype.kind in "iu":
            return jnp.asarray((host.astype(object) % 2**32).astype(np.uint32))
    array = _array(name, value)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name} must be an integer or an array of integers, got {array.dtype}")
    return array.astype(jnp.uint32)


def _per_area(name: str, value: jax.Array, areas: int) -> jax.Array:
    if value.shape != (areas,):
        raise ValueError(f"{name} must have shape (area_num = {areas},), got {value.shape}")
    return value


def _stop_at_nan(y, events):
    """`y`, made NaN by a NaN among the events where ``jax.debug_nans`` is on: jax then raises."""
    if debug_nans() and jnp.issubdtype(jnp.result_type(events), jnp.floating):
        if jnp.issubdtype(y.dtype, jnp.floating):
            return jnp.where(jnp.isnan(events).any(), jnp.nan, y)
    return y
