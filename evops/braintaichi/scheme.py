"""Products with matrices of the LFSR88 scheme, and how the published functions read arguments."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from evops import inputs
from evops.connectivity.format import MatrixSpec, WeightLaw
from evops.connectivity.rules import LfsrGaps
from evops.engine import dense, library, ops
from evops.engine.compat import debug_nans, typed_like
from evops.errors import INT32_MAX, check_flag, check_integer, check_shape

# Lines of a matrix that are drawn at once: each is a separate random matrix.
_LINES_AT_ONCE = 1 << 16


def product(
    kind: str,
    value: Any,
    law: WeightLaw,
    weights: dict[str, Any],
    conn_prob: Any,
    seed: Any,
    shape: Any,
    transpose: Any,
    outdim_parallel: Any,
    backend: str | None,
) -> Array:
    """Product of "events" or of a "vector", as `kind` says, with one matrix."""
    rule = _rule(conn_prob)
    rows, columns = check_shape("shape", shape)
    transpose = check_flag("transpose", transpose)
    outdim_parallel = check_flag("outdim_parallel", outdim_parallel)
    n_in, n_out = (rows, columns) if transpose else (columns, rows)
    read = inputs.events if kind == "events" else inputs.shaped
    x = read(kind, value, ("n_in",), (n_in,))
    dtype = _weights_dtype(weights, varied=law != WeightLaw.CONSTANT)
    wide = ops.accumulator(dtype)
    if kind == "vector" and jnp.issubdtype(x.dtype, jnp.floating):
        wide, dtype = ops.accumulator(inputs.common_dtype([x.dtype, dtype])), x.dtype
    s = _seed("seed", seed)
    w = _parameters(weights, law, wide)
    y = _bind(x[None], w, s, rule, law, n_out, outdim_parallel, 1, backend)
    y = y[0].astype(dtype)
    return _stop_at_nan(y, value) if kind == "events" else y


def areas_product(
    events: Any,
    weight: Any,
    seed: Any,
    conn_prob: Any,
    shape: Any,
    area_num: Any,
    backend: str | None,
    *,
    own_spikes: bool,
) -> Array:
    """One matrix per area, on spikes of the area's own (I) or on those of one population (E)."""
    rule = _rule(conn_prob)
    n_pre, n_post = check_shape("shape", shape)
    areas = check_integer("area_num", area_num, 1)
    w, s = inputs.numbers("weight", weight), _seeds("seed", seed)
    if own_spikes:
        x = inputs.events("events", events, ("area_num", "n_pre"), (areas, n_pre))
        w = jnp.broadcast_to(_single("weight", w), (areas,))
    else:
        x = inputs.events("events", events, ("n_pre",), (n_pre,))[None]
        w = _per_area("weight", w, areas)
    s = _per_area("seed", s, areas)
    wide = w.astype(ops.accumulator(w.dtype))[:, None]
    y = _bind(x, wide, s, rule, WeightLaw.CONSTANT, n_post, False, areas // x.shape[0], backend)
    return _stop_at_nan(y.astype(w.dtype), events)


def matrix(
    law: WeightLaw,
    weights: dict[str, Any],
    conn_prob: Any,
    seed: Any,
    shape: Any,
    transpose: Any,
    outdim_parallel: Any,
    backend: str | None,
) -> Array:
    """The matrix of `product` on a vector, stored."""
    rule = _rule(conn_prob)
    rows, columns = check_shape("shape", shape)
    if rows * columns > INT32_MAX:
        raise ValueError(f"shape must have at most {INT32_MAX} entries, got {rows} x {columns}")
    transpose = check_flag("transpose", transpose)
    outdim_parallel = check_flag("outdim_parallel", outdim_parallel)
    dtype = _weights_dtype(weights, varied=law != WeightLaw.CONSTANT)
    s = _seed("seed", seed)
    lines = (rows, columns) if outdim_parallel else (columns, rows)
    return _lines(
        _parameters(weights, law, ops.accumulator(dtype)),
        s,
        rule=rule,
        law=law,
        shape=lines,
        dtype=dtype,
        transposed=transpose == outdim_parallel,
        backend=library.choose(backend),
    )


@functools.partial(
    jax.jit, static_argnames=("rule", "law", "shape", "dtype", "transposed", "backend")
)
def _lines(
    w: Array,
    s: Array,
    *,
    rule: LfsrGaps,
    law: WeightLaw,
    shape: tuple[int, int],
    dtype: np.dtype,
    transposed: bool,
    backend: str,
) -> Array:
    """Lines of the scheme as the rows of a matrix, or as its columns."""

    def rows(first, count):
        # Line L of seed s is line 0 of seed s + L: one matrix of one line each.
        seed = s + first.astype(jnp.uint32) + jnp.arange(count, dtype=jnp.uint32)
        each = jnp.broadcast_to(w, (count, w.shape[1]))
        one = jnp.ones((1, 1), bool)
        return _bind(one, each, seed, rule, law, shape[1], False, count, backend)

    zero = typed_like(jnp.zeros((), dtype), s, w)
    return dense.in_blocks(
        rows,
        shape,
        zero,
        in_place=w.dtype == dtype and not transposed,
        transposed=transposed,
        most=_LINES_AT_ONCE,
    )


def _bind(
    x: Array,
    weight: Array,
    seed: Array,
    rule: LfsrGaps,
    law: WeightLaw,
    n_out: int,
    gather: bool,
    per_input: int,
    backend: str | None,
) -> Array:
    """The product primitive on K published matrices; `weight` (K, 1 or 2), `seed` (K,)."""
    # One weight for all runs in fused kernels, which take no hint for the split over threads.
    per_row = (
        0 if law == WeightLaw.CONSTANT else round(rule.density * (x.shape[1] if gather else n_out))
    )
    return ops.product(
        x if x.dtype == bool else x.astype(weight.dtype),
        weight,
        jnp.stack([seed, jnp.zeros_like(seed)], 1),
        (jnp.zeros((1, 0), jnp.uint32), jnp.zeros(0, jnp.int32)),
        spec=MatrixSpec(rule.scheme(), law, per_row),
        n_out=n_out,
        gather=gather,
        per_input=per_input,
        backend=library.choose(backend),
    )


def _rule(conn_prob: Any) -> LfsrGaps:
    """The published rule, with errors that name `conn_prob`."""
    try:
        rule = LfsrGaps(conn_prob)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("p must", "conn_prob must", 1)) from None
    inputs.warn_of_density(rule)
    return rule


def _stop_at_nan(y: Array, events: Any) -> Array:
    """`y`, made NaN by a NaN among the events where ``jax.debug_nans`` is on: jax then raises."""
    if debug_nans() and jnp.issubdtype(jnp.result_type(events), jnp.floating):
        if jnp.issubdtype(y.dtype, jnp.floating):
            return jnp.where(jnp.isnan(events).any(), jnp.nan, y)
    return y


def _weights_dtype(weights: dict[str, Any], *, varied: bool) -> np.dtype:
    """The dtype of the weights of a matrix with these parameters.

    Python numbers take the dtype of the others. Alone they are float32, or int32 if all are
    integers and weights do not vary.
    """
    for name, value in weights.items():
        inputs.check_dtype(name, getattr(value, "dtype", np.float32), bools=False)
    types = [own for own in map(inputs.own_dtype, weights.values()) if own is not None]
    types = types or [inputs.weight_type(name, value) for name, value in weights.items()]
    return inputs.common_dtype(types, varied=varied)


def _parameters(weights: dict[str, Any], law: int, dtype: np.dtype) -> jax.Array:
    """`(1, 1)` weight or `(1, 2)` location and scale, in the dtype that is computed in."""
    first, *second = (
        _single(name, inputs.array_of(name, value, dtype, bools=False))
        for name, value in weights.items()
    )
    if law == WeightLaw.LFSR_UNIFORM:
        second = [second[0] - first]
    return jnp.stack([first, *second], 1)


def _seeds(name: str, value: Any) -> jax.Array:
    """Integers as uint32, wrapped modulo 2**32."""
    array = inputs.as_given(name, value)
    if array.dtype != object and not inputs.is_whole(array.dtype):
        if inputs.is_key(array):
            raise TypeError(f"{name} must be integers, one for each area, got JAX keys")
        inputs.check_dtype(name, array.dtype, True)
        raise TypeError(f"{name} must be an integer or an array of integers, got {array.dtype}")
    if isinstance(array, jax.Array):
        return array.astype(jnp.uint32)
    if array.dtype == object:
        array = np.asarray(array % 2**32)
    return jnp.asarray(array.astype(np.uint32))


def _seed(name: str, value: Any) -> jax.Array:
    """One seed, `(1,)` uint32: an integer modulo 2**32, or a JAX key."""
    words = inputs.key_words(name, value)
    return _single(name, _seeds(name, value) if words is None else jnp.asarray(words[0]))


def _single(name: str, value: jax.Array) -> jax.Array:
    """`value`, which has one entry, as `(1,)`."""
    if value.size != 1:
        raise ValueError(f"{name} must be a scalar or have 1 entry, got shape {value.shape}")
    return value.reshape(1)


def _per_area(name: str, value: jax.Array, areas: int) -> jax.Array:
    """`value`, which has one entry for each area."""
    if value.shape != (areas,):
        raise ValueError(f"{name} must have shape (area_num = {areas},), got {value.shape}")
    return value
