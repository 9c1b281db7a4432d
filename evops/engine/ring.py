"""The ring of delayed sums: primitives and their rules, each a rebind of these primitives.

``push`` adds spikes to a ring (slots, n_post) in place: linear in the ring, bilinear in x and w.
``pop`` takes the sums of one slot out of the ring, in place: linear.

The inner product of a cotangent of the ring with the input that push adds is one sum over synapses,

    T(ct, x, w) = sum of ct[arrival, post] * x[pre] * w[pair]

so a derivative of T in one of the three is a product of the other two. ``push_back`` computes those
in x and in w. Its own derivatives are ``push`` and itself.

A batch of rings is one call of ``push`` or ``pop``, in place. Operands then have its axes in front:
the ring, x and weight always, the others if they are not the same for all rings.
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
from evops.engine import gpu, jnp_impl, jvps, ring_batches, spike_lists
from evops.engine.compat import (
    Cotangent,
    Dims,
    Linear,
    Operand,
    ShapedArray,
    Tangent,
    ad,
    is_zero,
    zero_tangent,
)
from evops.engine.populations import PopulationGrid
from evops.engine.primitive import register


def push(
    ring: Num[Operand, "slots n_post"],
    x: Shaped[Operand, " n_pre"] | spike_lists.Listed,
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
        x: (n_pre,), bool, with a list or without, or of the ring's dtype.
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
    x, listed = spike_lists.operand(x)
    operands = ring, x, weight, seed, delay, step, *tables
    return push_p.bind(*operands, grid=grid, specs=specs, listed=listed, backend=backend)


# Axes of the operands of one ring, and how many of them a batch always has.
_PUSH_RANKS, _PUSH_BATCHED = (2, 1, 3, 3, 2, 0, 1, 1, 1), 3
_POP_RANKS, _POP_BATCHED = (2, 0), 1


def _push_shape(
    *operands: Shaped[ShapedArray, "..."],
    grid: PopulationGrid,
    specs: tuple[MatrixSpec, ...],
    **_: Any,
) -> ShapedArray:
    ring, x, weight = operands[:_PUSH_BATCHED]
    seed, delay = ring_batches.shapes_of_one(operands, _PUSH_RANKS)[3:5]
    pair, batch = grid.shape, ring.shape[:-2]
    parameters = max(spec.parameters for spec in specs)
    assert x.shape == (*batch, grid.n_pre) and weight.shape == (*batch, *pair, parameters)
    assert weight.dtype == ring.dtype and seed == (*pair, 2)
    assert delay[0] == (grid.n_pre if grid.delay_column else pair[0])
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


def _push_transpose(
    ct: Cotangent,
    ring: Linear,
    x: Linear,
    weight: Linear,
    *rest: Operand,
    listed: int,
    **statics: Any,
) -> tuple[Cotangent | None, ...]:
    if isinstance(ct, ad.Zero):
        return (None,) * 9
    # The ring passes through unchanged, so its cotangent does too.
    back = ct if ad.is_undefined_primal(ring) else None
    # `elif`: beside the ring one call is linear in x or in weight, never in both.
    dx = dw = None
    if ad.is_undefined_primal(x):
        dx = _push_back(ct, weight, rest, of="x", **statics)
    elif ad.is_undefined_primal(weight):
        dw = _push_back(ct, spike_lists.flags_of(x, listed), rest, of="weight", **statics)
    return back, dx, dw, *(None,) * 6


def _push_batch(operands: Sequence[Operand], dims: Dims, **statics: Any) -> tuple[Array, int]:
    return push_p.bind(
        *ring_batches.in_front(operands, dims, _PUSH_RANKS, _PUSH_BATCHED), **statics
    ), 0


def _push_gpu(ring: Array, *rest: Array, entry: Any = None, **statics: Any) -> Array:
    if entry is None:
        return gpu.push(ring, *rest, **statics)
    # The handlers of GPUs take one ring.
    pushed = gpu.push(ring[entry], *rest, **statics)
    return jax.lax.dynamic_update_index_in_dim(ring, pushed, entry, 0)


# Operand 0, the ring, gives its memory to the result: else XLA would copy the whole ring in every
# step of a scan.
push_p = register(
    "evops_push",
    shape=_push_shape,
    value=ring_batches.each(jnp_impl.push, _PUSH_RANKS),
    jvp=jvps.of_ring(lambda *operands, **statics: push_p.bind(*operands, **statics)),
    transpose=_push_transpose,
    batch=_push_batch,
    native=_push_native,
    gpu=ring_batches.each(_push_gpu, _PUSH_RANKS),
    aliases=lambda **_: {0: 0},
    spikes=1,
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
        return push_p.bind(silent, x, weight, *rest, listed=0, **statics), *(None,) * 7
    # T is trilinear: the derivative in the third operand is the same sum with the other two.
    other = "weight" if of == "x" else "x"
    return None, push_back_p.bind(ct, back, *rest, of=other, **statics), *(None,) * 6


def _push_back_batch(operands: Sequence[Operand], dims: Dims, **statics: Any) -> tuple[Array, int]:
    varied = [
        None if d is None else jnp.moveaxis(o, d, 0) for o, d in zip(operands, dims, strict=True)
    ]

    # One entry after another: `jnp_impl` reads one ring.
    def one(own: list[Array | None]) -> Array:
        each = (o if mine is None else mine for o, mine in zip(operands, own, strict=True))
        return push_back_p.bind(*each, **statics)

    return jax.lax.map(one, varied), 0


def _push_back(ct: Array, known: Operand, rest: Sequence[Operand], **statics: Any) -> Array:
    """Bind `push_back` for one ring, or for a batch of them as `push` has it."""
    bind = functools.partial(push_back_p.bind, **statics)
    axes = [0 if o.ndim > rank else None for o, rank in zip(rest, _PUSH_RANKS[3:], strict=True)]
    for _ in ct.shape[2:]:
        bind = jax.vmap(bind, (0, 0, *axes))
    return bind(ct, known, *rest)


# Plain jnp on every backend: it gathers from a ring, and no kernel does.
push_back_p = register(
    "evops_push_back",
    shape=_push_back_shape,
    value=jnp_impl.push_back,
    jvp=_push_back_jvp,
    transpose=_push_back_transpose,
    batch=_push_back_batch,
)


def pop(
    ring: Num[Operand, "slots n"], step: Int32[Operand, ""], *, backend: str
) -> tuple[Num[Array, "slots n"], Num[Array, " n"]]:
    """Bind `pop`: the ring (slots, n) with slot `step` set to 0, and what the slot held (n,)."""
    popped, now = pop_p.bind(ring, step, backend=backend)
    return popped, now


def _pop_shape(*operands: Shaped[ShapedArray, "..."], **_: Any) -> list[ShapedArray]:
    ring, _step = operands
    ring_batches.shapes_of_one(operands, _POP_RANKS)
    now = (*ring.shape[:-2], ring.shape[-1])
    return [ShapedArray(shape, ring.dtype) for shape in (ring.shape, now)]


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
    put = functools.partial(jax.lax.dynamic_update_index_in_dim, axis=0)
    for _axis in ct_ring.shape[2:]:
        put = jax.vmap(put, (0, 0, 0 if step.ndim else None))
    return put(ct_ring, ct_now, step), None


def _pop_batch(
    operands: Sequence[Operand], dims: Dims, **statics: Any
) -> tuple[list[Array], list[int]]:
    return pop_p.bind(
        *ring_batches.in_front(operands, dims, _POP_RANKS, _POP_BATCHED), **statics
    ), [0, 0]


def _pop_each(pop: Callable[..., Any]) -> Callable[..., Any]:
    """`pop` of one ring; those of a batch are popped in jnp, all at once and in place."""

    def value(*operands: Array, **statics: Any) -> Any:
        if operands[0].ndim == 2:
            return pop(*operands, **statics)
        ring, step = ring_batches.one_batch(operands, _POP_RANKS)
        out = jax.vmap(jnp_impl.pop, (0, 0 if step.ndim else None))(ring, step)
        batch = operands[0].shape[:-2]
        return [o.reshape(*batch, *o.shape[1:]) for o in out]

    return value


# A primitive, not a slice and an update in jnp: so the ring is never copied.
pop_p = register(
    "evops_pop",
    shape=_pop_shape,
    value=_pop_each(jnp_impl.pop),
    jvp=_pop_jvp,
    transpose=_pop_transpose,
    batch=_pop_batch,
    native=lambda: ("evops_pop", {}),
    gpu=_pop_each(gpu.pop),
    aliases=lambda **_: {0: 0},
    multiple_results=True,
)
