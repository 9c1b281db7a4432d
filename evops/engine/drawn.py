"""Products with drawn wiring and stored weights: primitives and their rules.

A projection draws its synapses again at every use, in the order of rows. Here each has a weight of
its own, ``data[starts[i] + s]`` for synapse s of row i. With M the matrix of these weights:

    scatter:  y = x @ M      x along the rows, y along the columns
    gather:   y = x @ M.T    x along the columns, y along the rows
    outer:    d[k] = sum over b of r[b, row of k] * c[b, column of k]
    push:     a ring (slots, n) after x @ M, each synapse added to the slot of its delay

They are those of `stored` for a matrix whose columns are drawn. The first two are bilinear in x and
data, and their transpose in data is the third. With a `Ring` columns are its sums, so the
derivatives of a push are products too.

The jnp path draws all columns at once. Kernels draw the rows that are needed, some at a time.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Num, Shaped

from evops.connectivity.format import MatrixSpec
from evops.engine import jnp_edges, jvps, spike_lists, spiked_state, stored
from evops.engine.compat import (
    Cotangent,
    Dims,
    Linear,
    Operand,
    ShapedArray,
    ad,
)
from evops.engine.primitive import register

WHAT = ("scatter", "gather", "outer", "push", "update")  # as the handler numbers them


class Ring(NamedTuple):
    """Where columns lie in a ring: its extents, the first post neuron, the shortest delay."""

    slots: int
    n: int
    offset: int
    shortest: int


class Wiring(NamedTuple):
    """What columns are drawn from.

    Attributes:
        key: (2,) uint32.
        table: of the rule, (1, m) uint32.
        delays: the table of drawn delays, uint32; empty without any.
        starts: (n_pre + 1,) int32: where the synapses of each row begin.
        step: the current slot of a ring, an int32 scalar.
    """

    key: Any
    table: Any
    delays: Any
    starts: Any
    step: Any


PATTERN = len(Wiring._fields)


def columns_of(wiring: Wiring, synapses: int, **statics: Any) -> Int32[Array, " synapses"]:
    """The column of every synapse; one past the last where its delay is beyond the ring."""
    return columns_p.bind(*wiring, synapses=synapses, backend="jnp", **statics)


def _columns_value(
    *operands: Array, synapses: int, spec: MatrixSpec, n_post: int, ring: Ring | None
) -> Int32[Array, " synapses"]:
    wiring = Wiring(*operands)
    tables = wiring.table, jnp.zeros(0, jnp.int32), wiring.delays
    shape = {"spec": spec, "n_post": n_post, "synapses": synapses}
    post, _, drawn = jnp_edges.edges(wiring.key, tables, wiring.starts, **shape)
    if ring is None:
        return post
    delay = drawn + ring.shortest if spec.delay_bits else jnp.full_like(post, ring.shortest)
    slot = (wiring.step + delay) % ring.slots
    cell = slot * ring.n + ring.offset + post
    return jnp.where(delay < ring.slots, cell, ring.slots * ring.n)


# A primitive, for derivatives inside jax.shard_map: loops want carries that vary as operands do.
columns_p = register(
    "evops_drawn_columns",
    shape=lambda *_, synapses, **__: ShapedArray((synapses,), np.dtype(np.int32)),
    value=_columns_value,
    jvp=jvps.of_integers(lambda *operands, **statics: columns_p.bind(*operands, **statics)),
    transpose=lambda *_, **__: (None,) * PATTERN,
    batch=lambda *operands, **statics: stored.each(columns_p, *operands, **statics),
)


def _size(n_post: int, ring: Ring | None) -> int:
    """Number of columns."""
    return n_post if ring is None else ring.slots * ring.n


def attributes_of(
    what: str,
    *,
    spec: MatrixSpec,
    n_post: int,
    ring: Ring | None,
    side: str = "pre",
    per: str = "all",
    **more: int,
) -> tuple[str, dict[str, Any]]:
    """The CPU's target and its attributes."""
    attributes = {
        "what": np.int64(WHAT.index(what)),
        "side": np.int64(spiked_state.SIDES.index(side)),
        "per": np.int64(spiked_state.PER.index(per)),
        "n_post": np.int64(n_post),
        "ring": np.array(ring or (), np.int64),
        "spec": np.array(spec.pack(), np.int64),
        **{name: np.int64(value) for name, value in more.items()},
    }
    return "evops_drawn", attributes


def product(
    x: Shaped[Operand, "x n_in"] | spike_lists.Listed,
    data: Num[Operand, " m"],
    wiring: Wiring,
    *,
    dtype: np.dtype,
    gather: bool,
    **statics: Any,
) -> Num[Array, "x n_out"]:
    """Bind scatter or gather; the result is of `dtype`.

    Args:
        x: (X, n_in), bool, with a list or without, or of `dtype`.
        data: a weight for each synapse, of any type that `dtype` holds, and room for more.
        wiring: of the rows.
        dtype: int32, float32 or float64.
        gather: False to scatter, True to gather.
        statics: ``spec`` of rows without weights, ``n_post``, ``ring`` or None, ``backend``.
    """
    if gather:
        x = spike_lists.plain(x)
        x = x.astype(dtype) if x.dtype == bool else x
    x, listed = spike_lists.operand(x)
    statics = {**statics, "dtype": np.dtype(dtype), "gather": gather, "listed": listed}
    return product_p.bind(x, data, *wiring, **statics)


def _product_value(
    x: Shaped[Array, "x n_in"],
    data: Num[Array, " m"],
    *rest: Array,
    gather: bool,
    dtype: np.dtype,
    **statics: Any,
) -> Num[Array, "x n_out"]:
    wiring = Wiring(*rest)
    columns = columns_of(wiring, data.shape[0], **statics)
    n_columns = _size(statics["n_post"], statics["ring"])
    n_out = wiring.starts.shape[0] - 1 if gather else n_columns
    return stored.value(x, data, columns, wiring.starts, dtype=dtype, n_out=n_out, gather=gather)


def _product_shape(
    x: Shaped[ShapedArray, "x n_in"],
    data: Num[ShapedArray, " m"],
    *rest: ShapedArray,
    gather: bool,
    dtype: np.dtype,
    n_post: int,
    ring: Ring | None,
    **_: Any,
) -> ShapedArray:
    n_rows, n_columns = rest[3].shape[0] - 1, _size(n_post, ring)
    n_in, n_out = (n_columns, n_rows) if gather else (n_rows, n_columns)
    assert x.shape[1:] == (n_in,) and x.dtype in (bool, dtype) and data.ndim == 1
    return ShapedArray((x.shape[0], n_out), dtype)


def _product_transpose(
    ct: Cotangent,
    x: Linear,
    data: Linear,
    *rest: Operand,
    gather: bool,
    dtype: np.dtype,
    listed: int = 0,
    **statics: Any,
) -> tuple[Any, ...]:
    if isinstance(ct, ad.Zero):
        return (None,) * (2 + PATTERN)
    if ad.is_undefined_primal(x):
        back = product(ct, data, Wiring(*rest), dtype=dtype, gather=not gather, **statics)
        return back, *(None,) * (1 + PATTERN)
    x = spike_lists.flags_of(x, listed).astype(ct.dtype)
    rows = (ct, x) if gather else (x, ct)
    total = outer_p.bind(*rows, *rest, synapses=data.aval.shape[0], **statics)
    return None, total.astype(data.aval.dtype), *(None,) * PATTERN


def _product_batch(
    operands: Sequence[Operand], dims: Dims, **statics: Any
) -> tuple[Num[Array, "batch x n_out"], int]:
    # Batches of x alone are more rows of one call. Other matrices each need a call.
    if dims[0] is None or any(d is not None for d in dims[1:]):
        return stored.each(product_p, operands, dims, **statics)
    x: Any = jnp.moveaxis(operands[0], dims[0], 0)
    size, rows, n_x = x.shape
    out = product_p.bind(x.reshape(size * rows, n_x), *operands[1:], **statics)
    return out.reshape(size, rows, out.shape[-1]), 0


def _product_native(*, gather: bool, dtype: np.dtype, **statics: Any) -> Any:
    del dtype  # the handler sees it in the result
    return attributes_of("gather" if gather else "scatter", **statics)


product_p = register(
    "evops_drawn_product",
    shape=_product_shape,
    value=_product_value,
    jvp=jvps.bilinear(lambda *operands, **statics: product_p.bind(*operands, **statics)),
    transpose=_product_transpose,
    batch=_product_batch,
    native=_product_native,
    spikes=0,
)


def _outer_value(
    r: Num[Array, "b n_pre"], c: Num[Array, "b n"], *rest: Array, synapses: int, **statics: Any
) -> Num[Array, " synapses"]:
    wiring = Wiring(*rest)
    columns = columns_of(wiring, synapses, **statics)
    d = stored.outer_value(r, c, columns, wiring.starts)
    # what belongs to no row is room for more synapses
    return jnp.where(jnp.arange(synapses, dtype=jnp.int32) < wiring.starts[-1], d, 0)


def _outer_transpose(
    ct: Cotangent, r: Linear, c: Linear, *rest: Operand, synapses: int, **statics: Any
) -> tuple[Any, ...]:
    del synapses
    if isinstance(ct, ad.Zero):
        return (None,) * (2 + PATTERN)
    of = functools.partial(product, dtype=np.dtype(ct.dtype), **statics)
    none = (None,) * PATTERN
    if ad.is_undefined_primal(r):
        return of(c, ct, Wiring(*rest), gather=True), None, *none
    return None, of(r, ct, Wiring(*rest), gather=False), *none


outer_p = register(
    "evops_drawn_outer",
    shape=lambda r, *_, synapses, **__: ShapedArray((synapses,), r.dtype),
    value=_outer_value,
    jvp=jvps.bilinear(lambda *operands, **statics: outer_p.bind(*operands, **statics)),
    transpose=_outer_transpose,
    batch=lambda *operands, **statics: stored.each(outer_p, *operands, **statics),
    native=lambda *, synapses, **statics: attributes_of("outer", **statics, listed=0),
)


def push(
    sums: Num[Operand, "slots n"],
    x: Shaped[Operand, " n_pre"] | spike_lists.Listed,
    data: Num[Operand, " m"],
    wiring: Wiring,
    **statics: Any,
) -> Num[Array, "slots n"]:
    """Bind `push`; the result is the ring. Statics are those of `product`, with a `Ring`."""
    x, listed = spike_lists.operand(x)
    return push_p.bind(sums, x, data, *wiring, listed=listed, **statics)


def _push_value(
    sums: Num[Array, "slots n"],
    x: Shaped[Array, " n_pre"],
    data: Num[Array, " m"],
    *rest: Array,
    **statics: Any,
) -> Num[Array, "slots n"]:
    added = _product_value(x[None], data, *rest, gather=False, dtype=sums.dtype, **statics)
    return sums + added.reshape(sums.shape)


def _push_transpose(
    ct: Cotangent,
    sums: Linear,
    x: Linear,
    data: Linear,
    *rest: Operand,
    listed: int,
    **statics: Any,
) -> tuple[Any, ...]:
    none = (None,) * PATTERN
    if isinstance(ct, ad.Zero):
        return None, None, None, *none
    # The ring passes through unchanged, so its cotangent does too.
    back = ct if ad.is_undefined_primal(sums) else None
    flat, dx, ddata = ct.reshape(1, -1), None, None
    if ad.is_undefined_primal(x):
        dx = product(flat, data, Wiring(*rest), dtype=ct.dtype, gather=True, **statics)[0]
    elif ad.is_undefined_primal(data):
        rows = spike_lists.flags_of(x, listed).astype(ct.dtype)[None]
        ddata = outer_p.bind(rows, flat, *rest, synapses=data.aval.shape[0], **statics)
        ddata = ddata.astype(data.aval.dtype)
    return back, dx, ddata, *none


push_p = register(
    "evops_drawn_push",
    shape=lambda sums, *_, **__: ShapedArray(sums.shape, sums.dtype),
    value=_push_value,
    jvp=jvps.of_ring(lambda *operands, **statics: push_p.bind(*operands, **statics)),
    transpose=_push_transpose,
    batch=lambda *operands, **statics: stored.each(push_p, *operands, **statics),
    native=functools.partial(attributes_of, "push"),
    aliases=lambda **_: {0: 0},
    spikes=1,
)
