"""States of stored synapses that spikes change: a primitive and its rules.

Where neurons fire, ``spiked_state`` changes the state of each of their synapses k to

    min(max(state[k] + x[neuron of k] * value[of k], low), high)

The neurons are those of rows (pre) or of columns (post), and the values are one for all, or one for
each synapse, pre or post neuron. Synapses of silent neurons stay as they are, outside the bounds
too. A batch of states is one call, in place: operands then have its axes in front, states and x
always, the others where they differ.

Derivatives are those of the jnp path, which reads every synapse: what a derivative keeps of a step
has that size anyway.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Num, Shaped

from evops.engine import jvps, ops, ring_batches, spike_lists, stored
from evops.engine.compat import Dims, Operand, ShapedArray
from evops.engine.primitive import register

# Whose spikes, and whose values: as of the handler.
SIDES = ("pre", "post")
PER = ("all", "synapse", "pre", "post")

_MOST = (1 << 31) - 1

# Axes of state, x, value, low and high, and of the pattern; and how many a batch always has.
_OWN, _PATTERN, _BATCHED = (1, 1, 1, 1, 1), (1, 1, 1, 1, 1), 2


def shift(nnz: int, n_pre: int) -> int:
    """Synapses of a place in the guide of a column index are 2**shift: about those of a row."""
    return max(nnz // max(n_pre, 1), 1).bit_length() - 1


def update(
    state: Num[Operand, " nnz"],
    x: Shaped[Operand, " n"] | spike_lists.Listed,
    value: Num[Operand, " v"],
    bounds: tuple[Num[Operand, "1"], Num[Operand, "1"]] | None,
    pattern: Sequence[Operand],
    *,
    side: str,
    per: str,
    n_post: int,
    backend: str,
) -> Num[Array, " nnz"]:
    """Bind the primitive; the result is the state.

    Args:
        state: (nnz,), numbers of any type.
        x: (n_pre,) or (n_post,), bool, with a list or without, or of the state's type.
        value: of the state's type: (1,), (nnz,), (n_pre,) or (n_post,).
        bounds: the least and the largest state, or None.
        pattern: `indices` and `indptr` of the rows; for post spikes also `indptr`, `synapses` and
            `guide` of a column index.
        side: whose spikes, of `SIDES`.
        per: whose values, of `PER`.
        n_post: number of columns.
        backend: "native" or "jnp".
    """
    statics = {"side": side, "per": per, "dtype": np.dtype(state.dtype), "n_post": n_post}
    x, statics["listed"] = spike_lists.operand(x)
    given = state, x, value, *(bounds or limits(state.dtype)), *pattern
    return spiked_state_p.bind(*given, **statics, bounded=bounds is not None, backend=backend)


def limits(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Bounds that bound nothing."""
    if jnp.issubdtype(dtype, jnp.integer):
        info = jnp.iinfo(dtype)
        return np.full(1, info.min, dtype), np.full(1, info.max, dtype)
    return np.full(1, -np.inf, dtype), np.full(1, np.inf, dtype)


def _ranks(operands: Sequence[Any]) -> tuple[int, ...]:
    return (_OWN + _PATTERN)[: len(operands)]


def _shape(*operands: ShapedArray, side: str, per: str, n_post: int, **_: Any) -> ShapedArray:
    state, x, value = operands[:3]
    shapes = ring_batches.shapes_of_one(operands, _ranks(operands))
    (nnz,), (n_x,), of_value, low, high, indices, (rows,), *index = shapes
    assert indices == (nnz,) and low == high == (1,) and len(index) == (3 if side == "post" else 0)
    sizes = {"all": 1, "synapse": nnz, "pre": rows - 1, "post": n_post}
    assert (n_x, of_value) == (sizes[side], (sizes[per],))
    assert not index or (index[0] == (n_post + 1,) and index[1] == (nnz,))
    assert x.dtype in (bool, state.dtype) and value.dtype == state.dtype
    return ShapedArray(state.shape, state.dtype)


def _value(*operands: Array, **statics: Any) -> Num[Array, "*b nnz"]:
    ranks = _ranks(operands)
    one = functools.partial(update_one, **statics)
    if operands[0].ndim == 1:
        return one(*operands)
    flat = ring_batches.one_batch(operands, ranks)
    axes = [0 if o.ndim > rank else None for o, rank in zip(flat, ranks, strict=True)]
    return jax.vmap(one, axes)(*flat).reshape(operands[0].shape)


def update_one(
    state: Num[Array, " nnz"],
    x: Shaped[Array, " n"],
    value: Num[Array, " v"],
    low: Num[Array, "1"],
    high: Num[Array, "1"],
    indices: Int32[Array, " nnz"],
    indptr: Int32[Array, " n_rows_1"],
    *index: Array,
    side: str,
    per: str,
    dtype: np.dtype,
    n_post: int,
    bounded: bool,
) -> Num[Array, " nnz"]:
    """The jnp path: every synapse is read. Of those out of range, float states are NaN."""
    nnz, dtype = state.shape[0], state.dtype
    if nnz == 0:
        return state
    wide = ops.accumulator(dtype) if jnp.issubdtype(dtype, jnp.floating) else dtype
    neuron = {"pre": stored.row_of(indptr, nnz), "post": indices}
    of_x = x[neuron[side]]
    fired = of_x if of_x.dtype == bool else of_x != 0
    own = value[neuron[per]] if per in neuron else value
    new = state.astype(wide) + of_x.astype(wide) * own.astype(wide)
    if bounded:
        least, most = low.astype(wide), high.astype(wide)
        new = jnp.where(new < least, least, jnp.where(new > most, most, new))
    columns = n_post if "post" in (side, per) else _MOST  # others are not read
    usable = stored.valid(indices, indptr, columns)[0]
    wrong = jnp.nan if jnp.issubdtype(dtype, jnp.floating) else state
    return jnp.where(fired, jnp.where(usable, new.astype(dtype), wrong), state)


def _batch(operands: Sequence[Operand], dims: Dims, **statics: Any) -> tuple[Array, int]:
    moved = ring_batches.in_front(operands, dims, _ranks(operands), _BATCHED)
    return spiked_state_p.bind(*moved, **statics), 0


def _native(
    *, side: str, per: str, dtype: np.dtype, n_post: int, bounded: bool
) -> tuple[str, dict[str, Any]] | None:
    del bounded
    if dtype not in (np.float32, np.float64, np.int32):
        return None
    words = [SIDES.index(side), PER.index(per), n_post]
    return "evops_spiked_state", {"words": np.array(words, np.int64)}


# Operand 0, the states, gives its memory to the result.
spiked_state_p = register(
    "evops_spiked_state",
    shape=_shape,
    value=_value,
    jvp=jvps.of_formula(
        lambda *operands, **statics: spiked_state_p.bind(*operands, **statics), _value, spikes=1
    ),
    transpose=jvps.never_transposed,
    batch=_batch,
    native=_native,
    aliases=lambda **_: {0: 0},
    spikes=1,
)
