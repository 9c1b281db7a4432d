"""The published operators on events: products with matrices of the LFSR88 scheme, to the bit.

Sources: BrainPy 2.5 and braintaichi 0.0.5 (operators), M. R. Joglekar et al. (2018), Neuron
98:222-234, doi:10.1016/j.neuron.2018.02.031 (the 29-area model that the multi-area operators were
written for).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Num, Shaped

from evops import inputs
from evops.connectivity.format import MatrixSpec, WeightLaw
from evops.connectivity.rules import LfsrGaps
from evops.engine import library, ops
from evops.errors import check_flag, check_integer, check_shape


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
        events: `(n_in,)`; bool, or numbers where 0 and NaN are no event. An event's value is
            ignored.
        weight: scalar or `(1,)`; added once per event, in float32 for a Python float. Any unit.
        conn_prob: connection probability in (0, 1]; ``1 / ceil(1 / conn_prob)`` is drawn.
        seed: integer or JAX key, modulo 2**32; may be traced.
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
    return multiply(
        "events", events, WeightLaw.CONSTANT, {"weight": weight},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip


def event_mv_prob_uniform(
    events: Shaped[ArrayLike, "n_in"],
    w_low: Num[ArrayLike, "..."],
    w_high: Num[ArrayLike, "..."],
    conn_prob: float,
    seed: ArrayLike,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    outdim_parallel: bool = True,
    backend: str | None = None,
) -> Num[Array, "n_out"]:
    """Sum of uniformly drawn weights over the events connected to each output.

    As `event_mv_prob_homo`, but each synapse has a weight of its own, drawn from the same stream
    as the gaps: the synapses are not those of the other published families.

    Args:
        events: `(n_in,)`; bool, or numbers where 0 and NaN are no event. An event's value is
            ignored.
        w_low: scalar or `(1,)`, lower end of the weights; in float32 for a Python number. Any unit.
        w_high: scalar or `(1,)`, upper end of the weights.
        conn_prob: connection probability in (0, 1]; ``1 / ceil(1 / conn_prob)`` is drawn.
        seed: integer or JAX key, modulo 2**32; may be traced.
        shape: matrix shape, static.
        transpose: whether `shape` is (n_in, n_out).
        outdim_parallel: whether a line of the scheme is an output.
        backend: "native", "jnp" or None for the fastest there is.

    Returns:
        `(n_out,)` in the dtype of the weights.

    Raises:
        ValueError: a probability, shape, length or backend that does not fit.
        TypeError: complex or non-numeric arrays, a traced `shape` or `conn_prob`.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> spikes = jnp.zeros(100).at[3].set(1)
        >>> evops.event_mv_prob_uniform(spikes, 0.0, 1.0, 0.1, 42, shape=(80, 100)).shape
        (80,)
    """
    return multiply(
        "events", events, WeightLaw.LFSR_UNIFORM, {"w_low": w_low, "w_high": w_high},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip


def event_mv_prob_normal(
    events: Shaped[ArrayLike, "n_in"],
    w_mu: Num[ArrayLike, "..."],
    w_sigma: Num[ArrayLike, "..."],
    conn_prob: float,
    seed: ArrayLike,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    outdim_parallel: bool = True,
    backend: str | None = None,
) -> Num[Array, "n_out"]:
    """Sum of normally drawn weights over the events connected to each output.

    As `event_mv_prob_homo`, but each synapse has a weight of its own, drawn from the same stream
    as the gaps: the synapses are not those of the other published families.

    Args:
        events: `(n_in,)`; bool, or numbers where 0 and NaN are no event. An event's value is
            ignored.
        w_mu: scalar or `(1,)`, mean of the weights; in float32 for a Python number. Any unit.
        w_sigma: scalar or `(1,)`, standard deviation of the weights.
        conn_prob: connection probability in (0, 1]; ``1 / ceil(1 / conn_prob)`` is drawn.
        seed: integer or JAX key, modulo 2**32; may be traced.
        shape: matrix shape, static.
        transpose: whether `shape` is (n_in, n_out).
        outdim_parallel: whether a line of the scheme is an output.
        backend: "native", "jnp" or None for the fastest there is.

    Returns:
        `(n_out,)` in the dtype of the weights.

    Raises:
        ValueError: a probability, shape, length or backend that does not fit.
        TypeError: complex or non-numeric arrays, a traced `shape` or `conn_prob`.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> spikes = jnp.zeros(100).at[3].set(1)
        >>> evops.event_mv_prob_normal(spikes, 0.5, 0.1, 0.1, 42, shape=(80, 100)).shape
        (80,)
    """
    return multiply(
        "events", events, WeightLaw.LFSR_NORMAL, {"w_mu": w_mu, "w_sigma": w_sigma},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip


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
    return _multi_area(events, weight, seed, conn_prob, shape, area_num, backend, own_spikes=False)


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
    return _multi_area(events, weight, seed, conn_prob, shape, area_num, backend, own_spikes=True)


def _multi_area(events, weight, seed, conn_prob, shape, area_num, backend, *, own_spikes: bool):
    """One matrix per area, on spikes of the area's own (I) or on those of one population (E)."""
    rule = inputs.lfsr_rule(conn_prob)
    n_pre, n_post = check_shape("shape", shape)
    areas = check_integer("area_num", area_num, 1)
    w, s = inputs.numbers("weight", weight), inputs.seeds("seed", seed)
    if own_spikes:
        x = inputs.events("events", events, ("area_num", "n_pre"), (areas, n_pre))
        w = jnp.broadcast_to(inputs.single("weight", w), (areas,))
    else:
        x = inputs.events("events", events, ("n_pre",), (n_pre,))[None]
        w = _per_area("weight", w, areas)
    s = _per_area("seed", s, areas)
    wide = w.astype(ops.accumulator(w.dtype))[:, None]
    y = bind(x, wide, s, rule, WeightLaw.CONSTANT, n_post, False, areas // x.shape[0], backend)
    return inputs.stop_at_nan(y.astype(w.dtype), events)


def _per_area(name: str, value: jax.Array, areas: int) -> jax.Array:
    if value.shape != (areas,):
        raise ValueError(f"{name} must have shape (area_num = {areas},), got {value.shape}")
    return value


def multiply(
    kind, value, law, weights, conn_prob, seed, shape, transpose, outdim_parallel, backend
) -> Array:
    """Product of "events" or of a "vector", as `kind` says, with one published matrix."""
    rule = inputs.lfsr_rule(conn_prob)
    rows, columns = check_shape("shape", shape)
    transpose = check_flag("transpose", transpose)
    outdim_parallel = check_flag("outdim_parallel", outdim_parallel)
    n_in, n_out = (rows, columns) if transpose else (columns, rows)
    read = inputs.events if kind == "events" else inputs.shaped
    x = read(kind, value, ("n_in",), (n_in,))
    dtype = inputs.weights_dtype(weights, varied=law != WeightLaw.CONSTANT)
    wide = ops.accumulator(dtype)
    if kind == "vector" and jnp.issubdtype(x.dtype, jnp.floating):
        wide, dtype = ops.accumulator(inputs.common_dtype([x.dtype, dtype])), x.dtype
    s = inputs.seed("seed", seed)
    w = parameters(inputs.weights(weights, wide), law, wide)
    y = bind(x[None], w, s, rule, law, n_out, outdim_parallel, 1, backend)
    y = y[0].astype(dtype)
    return inputs.stop_at_nan(y, value) if kind == "events" else y


def parameters(weights: list[jax.Array], law: int, dtype) -> jax.Array:
    """`(1, 1)` weight or `(1, 2)` location and scale, from what the published functions take."""
    first, *second = (w.astype(dtype) for w in weights)
    if law == WeightLaw.LFSR_UNIFORM:
        second = [second[0] - first]
    return jnp.stack([first, *second], 1)


def bind(x, weight, seed, rule: LfsrGaps, law, n_out, gather, repeat, backend) -> Array:
    """The product primitive on K published matrices; `weight` (K, 1 or 2), `seed` (K,)."""
    # One weight for all runs in fused kernels, which take no hint for the split over threads.
    per_line = (
        0 if law == WeightLaw.CONSTANT else round(rule.density * (x.shape[1] if gather else n_out))
    )
    return ops.product(
        x if x.dtype == bool else x.astype(weight.dtype),
        weight,
        jnp.stack([seed, jnp.zeros_like(seed)], 1),
        (jnp.zeros((1, 0), jnp.uint32), jnp.zeros(0, jnp.int32)),
        spec=MatrixSpec(rule.scheme(), law, per_line),
        n_out=n_out,
        gather=gather,
        per_input=repeat,
        backend=library.choose(backend),
    )
