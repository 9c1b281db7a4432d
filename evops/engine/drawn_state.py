"""What spikes add to weights of drawn wiring (drawn.py): a primitive and its rules.

Each synapse k of a row or column whose x is not 0 gets
``min(max(state[k] + x * value[of k], low), high)``, as in `spiked_state`.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Num, Shaped

from evops.engine import jvps, ops, spike_lists, spiked_state, stored
from evops.engine.compat import Operand, ShapedArray
from evops.engine.drawn import PATTERN, Wiring, attributes_of, columns_of
from evops.engine.primitive import register


def update(
    state: Num[Operand, " m"],
    x: Shaped[Operand, " n"] | spike_lists.Listed,
    value: Num[Operand, " v"],
    bounds: tuple[Num[Operand, "1"], Num[Operand, "1"]] | None,
    wiring: Wiring,
    *,
    side: str,
    per: str,
    **statics: Any,
) -> Num[Array, " m"]:
    """Bind `update`, as `spiked_state.update`; post spikes draw all rows."""
    x, listed = spike_lists.operand(x)
    given = state, x, value, *(bounds or spiked_state.limits(state.dtype)), *wiring
    statics = {**statics, "side": side, "per": per, "bounded": bounds is not None, "listed": listed}
    return update_p.bind(*given, dtype=np.dtype(state.dtype), **statics)


def _update_value(
    *operands: Array, side: str, per: str, bounded: bool, dtype: np.dtype, **statics: Any
) -> Num[Array, " m"]:
    changed, rest = operands[:-PATTERN], operands[-PATTERN:]
    wiring = Wiring(*rest)
    columns = columns_of(wiring, changed[0].shape[0], **statics)
    of = {"side": side, "per": per, "dtype": dtype, "n_post": statics["n_post"]}
    new = spiked_state.update_one(*changed, columns, wiring.starts, bounded=bounded, **of)
    state = changed[0]  # what is behind the last synapse is room for more, and stays
    return jnp.where(jnp.arange(state.shape[0], dtype=jnp.int32) < wiring.starts[-1], new, state)


def _update_native(*, bounded: bool, dtype: np.dtype, **statics: Any) -> Any:
    del bounded
    return attributes_of("update", **statics) if dtype.name in ops.NATIVE_DTYPES else None


update_p = register(
    "evops_drawn_update",
    shape=lambda state, *_, **__: ShapedArray(state.shape, state.dtype),
    value=_update_value,
    jvp=jvps.of_formula(
        lambda *operands, **statics: update_p.bind(*operands, **statics), _update_value, spikes=1
    ),
    transpose=jvps.never_transposed,
    batch=lambda *operands, **statics: stored.each(update_p, *operands, **statics),
    native=_update_native,
    aliases=lambda **_: {0: 0},
    spikes=1,
)
