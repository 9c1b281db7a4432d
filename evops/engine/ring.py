"""The ring of delayed sums: primitives and their rules, each a rebind of these primitives.

``push`` adds spikes to a ring (slots, n_post) in place: linear in the ring, bilinear in x and w.
``pop`` takes the sums of one slot out of the ring, in place: linear.

The inner product of a cotangent of the ring with the input that push adds is one sum over synapses,

    T(ct, x, w) = sum of ct[arrival, post] * x[pre] * w[pair]

so a derivative of T in one of the three is a product of the other two. ``push_back`` computes those
in x and in w. Its own derivatives are ``push`` and itself.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Num, Shaped, UInt32

from evops.connectivity.format import MatrixSpec
from evops.engine import gpu, jnp_impl
from evops.engine.compat import (
    Cotangent,
    Dims,
    Linear,
    Operand,
    ShapedArray,
    Tangent,
    ad,
    batching,
    is_zero,
    zero_tangent,
)
from evops.engine.populations import PopulationGrid
from evops.engine.primitive import register


def push(
    ring: Num[Operand, "slots n_post"],
    x: Shaped[Operand, " n_pre"],
    weight: Num[Operand, "s t parameters"],
    seed: UInt32[Operand, "s t 2"],
    delay: Int32[Operand, "_ _"],
    step: Int32[Operand, ""],
    tables: Sequence[Operand],
    *,
    grid: PopulationGrid,
    specs: tuple[MatrixSpec, ...],
    backend: str,
) -> Num[Array, "slots n_post"]:
    """Bind `push`; the result is the ring.

    Args:
        ring: (slots, n_post).
        x: (n_pre,), bool or of the ring's dtype.
        weight: (S, T, 1 or 2) for S pre and T post populations, of the ring's dtype.
        seed: (S, T, 2) uint32.
        delay: int32 steps, (S, T), or (n_pre, C) with the columns of ``grid.delay_column``.
        step: current slot, int32 scalar.
        tables: of the rules, uint32, of the laws, int32, and of the delays that are drawn for every
            synapse and added to `delay`, uint32; those of all specs one after another.
        grid: how pre and post neurons are cut into populations.
        specs: the specs that `grid` refers to. A spec of the published scheme is the only one.
        backend: "native" or "jnp".
    """
    operands = ring, x, weight, seed, delay, step, *tables
    return push_p.bind(*operands, grid=grid, specs=specs, backend=backend)


def _push_shape(
    ring: Num[ShapedArray, "slots n_post"],
    x: Shaped[ShapedArray, " n_pre"],
    weight: Num[ShapedArray, "s t parameters"],
    seed: UInt32[ShapedArray, "s t 2"],
    delay: Int32[ShapedArray, "_ _"],
    step: Int32[ShapedArray, ""],
    table: UInt32[ShapedArray, " m"],
    quantiles: Int32[ShapedArray, " q"],
    delays: UInt32[ShapedArray, " d"],
    *,
    grid: PopulationGrid,
    specs: tuple[MatrixSpec, ...],
    **_: Any,
) -> ShapedArray:
    pair = grid.shape
    parameters = max(spec.parameters for spec in specs)
    assert ring.ndim == 2 and x.shape == (grid.n_pre,) and step.shape == ()
    assert weight.shape == (*pair, parameters) and weight.dtype == ring.dtype
    assert seed.shape == (*pair, 2) and table.ndim == quantiles.ndim == delays.ndim == 1
    assert delay.ndim == 2 and delay.shape[0] == (x.shape[0] if grid.delay_column else pair[0])
    return ShapedArray(ring.shape, ring.dtype)


def _push_native(
    *, grid: PopulationGrid, specs: tuple[MatrixSpec, ...]
) -> tuple[str, dict[str, Any]]:
    names = (
        "pre_offset pre_size post_offset post_size delay_column spec_of_pair indptr_offset".split()
    )
    attributes = {name: np.array(getattr(grid, name), np.int64) for name in names}
    words = [word for spec in specs for word in spec.pack()]
    return "evops_push", {**attributes, "specs": np.array(words, np.int64)}


def _push_jvp(
    primals: Sequence[Operand], tangents: Sequence[Tangent], **statics: Any
) -> tuple[Array, Array]:
    ring, x, weight, *rest = primals
    dring, dx, dw, *_ = tangents
    bind = functools.partial(push_p.bind, **statics)
    out = bind(*primals)
    # The tangent is a ring itself, so every term is pushed into it, one after the other. Adding
    # rings up instead would take another ring for each term.
    tangent = jnp.zeros_like(ring) if is_zero(dring) else dring
    if not is_zero(dx):
        tangent = bind(tangent, dx.astype(ring.dtype), weight, *rest)
    if not is_zero(dw):
        tangent = bind(tangent, x, dw, *rest)
    return out, tangent


def _push_transpose(
    ct: Cotangent, ring: Linear, x: Linear, weight: Linear, *rest: Operand, **statics: Any
) -> tuple[Cotangent | None, ...]:
    if isinstance(ct, ad.Zero):
        return (None,) * 9
    # The ring passes through unchanged, so its cotangent does too.
    back = ct if ad.is_undefined_primal(ring) else None
    # `elif`: beside the ring one call is linear in x or in weight, never in both.
    dx = dw = None
    if ad.is_undefined_primal(x):
        dx = push_back_p.bind(ct, weight, *rest, of="x", **statics)
    elif ad.is_undefined_primal(weight):
        dw = push_back_p.bind(ct, x, *rest, of="weight", **statics)
    return back, dx, dw, *(None,) * 6


def _batch_by(bind: Callable[..., Array]) -> Callable[..., tuple[Array, int]]:
    """A rule for batches that runs one entry after another: the handlers take one ring."""

    def batch(operands: Sequence[Operand], dims: Dims, **statics: Any) -> tuple[Array, int]:
        size = next(o.shape[d] for o, d in zip(operands, dims, strict=True) if d is not None)
        fixed = {i: o for i, (o, d) in enumerate(zip(operands, dims, strict=True)) if d is None}
        moved = {
            i: jnp.moveaxis(o, d, 0)
            for i, (o, d) in enumerate(zip(operands, dims, strict=True))
            if d is not None
        }

        def one(batch: dict[int, Array]) -> Array:
            every = {**fixed, **batch}
            return bind(*(every[i] for i in range(len(operands))), **statics)

        # A loop of one step would only be longer to compile.
        if size == 1:
            return one({i: o[0] for i, o in moved.items()})[None], 0
        return jax.lax.map(one, moved), 0

    return batch


# A lambda: the name that is bound here exists only after the call. Operand 0, the ring, gives its
# memory to the result: else XLA would copy the whole ring in every step of a scan.
push_p = register(
    "evops_push",
    shape=_push_shape,
    value=jnp_impl.push,
    jvp=_push_jvp,
    transpose=_push_transpose,
    batch=_batch_by(lambda *operands, **statics: push_p.bind(*operands, **statics)),
    native=_push_native,
    gpu=gpu.push,
    aliases={0: 0},
)


def _push_back_shape(
    ct: Num[ShapedArray, "slots n_post"],
    known: Shaped[ShapedArray, "..."],
    *rest: ShapedArray,
    of: str,
    grid: PopulationGrid,
    specs: tuple[MatrixSpec, ...],
    **_: Any,
) -> ShapedArray:
    del known, rest
    pairs = (*grid.shape, max(spec.parameters for spec in specs))
    return ShapedArray((grid.n_pre,) if of == "x" else pairs, ct.dtype)


def _push_back_jvp(
    primals: Sequence[Operand], tangents: Sequence[Tangent], **statics: Any
) -> tuple[Array, Tangent]:
    ct, known, *rest = primals
    dct, dknown, *_ = tangents
    bind = functools.partial(push_back_p.bind, **statics)
    out = bind(*primals)
    terms = [] if is_zero(dct) else [bind(dct, known, *rest)]
    terms += [] if is_zero(dknown) else [bind(ct, dknown.astype(ct.dtype), *rest)]
    return out, functools.reduce(operator.add, terms) if terms else zero_tangent(out)


def _push_back_transpose(
    back: Cotangent, ct: Linear, known: Linear, *rest: Operand, of: str, **statics: Any
) -> tuple[Array | None, ...]:
    if isinstance(back, ad.Zero):
        return (None,) * 8
    if ad.is_undefined_primal(ct):
        x, weight = (back, known) if of == "x" else (known, back)
        # T is a dot product of ct with what push adds: its derivative in ct is a push into zeros.
        silent = jnp.zeros(ct.aval.shape, ct.aval.dtype)
        return push_p.bind(silent, x, weight, *rest, **statics), *(None,) * 7
    # T is trilinear: the derivative in the third operand is the same sum with the other two.
    other = "weight" if of == "x" else "x"
    return None, push_back_p.bind(ct, back, *rest, of=other, **statics), *(None,) * 6


# Plain jnp on every backend: it gathers from a ring, and no kernel does.
push_back_p = register(
    "evops_push_back",
    shape=_push_back_shape,
    value=jnp_impl.push_back,
    jvp=_push_back_jvp,
    transpose=_push_back_transpose,
    batch=_batch_by(lambda *operands, **statics: push_back_p.bind(*operands, **statics)),
)


def pop(
    ring: Num[Operand, "slots n"], step: Int32[Operand, ""], *, backend: str
) -> tuple[Num[Array, "slots n"], Num[Array, " n"]]:
    """Bind `pop`: the ring (slots, n) with slot `step` set to 0, and what the slot held (n,)."""
    popped, now = pop_p.bind(ring, step, backend=backend)
    return popped, now


def _pop_shape(
    ring: Num[ShapedArray, "slots n"], step: Int32[ShapedArray, ""], **_: Any
) -> list[ShapedArray]:
    assert ring.ndim == 2 and step.shape == ()
    return [
        ShapedArray(ring.shape, ring.dtype),
        ShapedArray(ring.shape[1:], ring.dtype),
    ]


def _pop_jvp(
    primals: Sequence[Operand], tangents: Sequence[Tangent], **statics: Any
) -> tuple[Sequence[Array], Sequence[Tangent]]:
    out = pop_p.bind(*primals, **statics)
    if is_zero(tangents[0]):  # a pop of zeros would be work for nothing
        return out, [zero_tangent(o) for o in out]
    return out, pop_p.bind(tangents[0], primals[1], **statics)


def _pop_transpose(
    cts: Sequence[Cotangent], ring: Linear, step: Operand, **_: Any
) -> tuple[Array, None]:
    ct_ring, ct_now = map(ad.instantiate_zeros, cts)
    # All that the slot held went to `now` and none stayed in the ring, so the cotangent of `now`
    # takes the place of the slot's.
    return jax.lax.dynamic_update_index_in_dim(ct_ring, ct_now, step, 0), None


def _pop_batch(
    operands: Sequence[Operand], dims: Dims, *, backend: str
) -> tuple[list[Array], list[int]]:
    ring, step = operands
    size = next(o.shape[d] for o, d in zip(operands, dims, strict=True) if d is not None)
    # Every ring at the same slot: one ring of more neurons, whose slot is one piece of memory. The
    # batch goes between slots and neurons, so that no ring is interleaved with another.
    if dims[1] is None:
        joined = jnp.moveaxis(ring, dims[0], 1)
        slots, _, n = joined.shape
        ring, now = pop_p.bind(joined.reshape(slots, size * n), step, backend=backend)
        return [ring.reshape(slots, size, n), now.reshape(size, n)], [1, 0]
    ring = batching.bdim_at_front(ring, dims[0], size)
    step = jnp.moveaxis(step, dims[1], 0)
    return jax.lax.map(lambda o: pop_p.bind(*o, backend=backend), (ring, step)), [0, 0]


# A primitive, not a slice and an update in jnp: so the ring is never copied.
pop_p = register(
    "evops_pop",
    shape=_pop_shape,
    value=jnp_impl.pop,
    jvp=_pop_jvp,
    transpose=_pop_transpose,
    batch=_pop_batch,
    native=lambda: ("evops_pop", {}),
    gpu=gpu.pop,
    aliases={0: 0},
    multiple_results=True,
)
