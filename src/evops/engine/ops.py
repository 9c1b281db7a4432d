"""The primitives and their rules, each a rebind of the primitive itself.

``product`` multiplies vectors by K random matrices at once. With ``C_k`` the 0/1 matrix that seed k
draws (lines by positions) it computes, for row r(k) = (k // repeat) mod X of x,

    scatter:  y_k = w_k * (x_r @ C_k)        x along the lines, y along the positions
    gather:   y_k = w_k * (C_k @ x_r)        x along the positions, y along the lines

It is bilinear in x and w, so jvp binds it with one tangent at a time, the transpose in x is the
same product in the other direction, the transpose in w is a dot product with the cotangent, and a
batch is more instances. Entries of x that are 0, and instances of weight 0, cost nothing (scatter).

``push`` adds spikes to a ring of delayed sums (slots, n_post) in place: linear in the ring,
bilinear in x and w. ``pop`` takes the sums of one slot out of the ring, in place: linear.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evops.engine import walk
from evops.engine.compat import ShapedArray, ad, batching, zero_tangent
from evops.engine.primitive import register

# Element types of the native kernels; others are computed in `accumulator(dtype)` and cast.
NATIVE_DTYPES = ("int32", "float32", "float64")


def accumulator(dtype) -> np.dtype:
    """The type for sums of `dtype`: half floats in float32, small integers in int32."""
    dtype = np.dtype(dtype)
    if dtype.name in NATIVE_DTYPES:
        return dtype
    return np.dtype(np.float32 if jnp.issubdtype(dtype, jnp.floating) else np.int32)


def product(x, weight, seed, *, n_out, gather, repeat, scheme, backend) -> jax.Array:
    """Bind `product`: x (X, n), weight (K,), seed (K,) uint32 give (K, n_out) of weight's dtype."""
    if gather and x.dtype == bool:
        x = x.astype(weight.dtype)
    return product_p.bind(
        x, weight, seed, n_out=n_out, gather=gather, repeat=repeat, scheme=scheme, backend=backend
    )


def _product_shape(x, weight, seed, *, n_out, repeat, **_):
    assert x.ndim == 2 and weight.shape == seed.shape == (weight.size,)
    assert weight.size % (x.shape[0] * repeat) == 0
    return ShapedArray((weight.shape[0], n_out), weight.dtype)


def _product_native(*, n_out, gather, repeat, scheme):
    del n_out
    attributes = {"repeat": np.int64(repeat), "scheme": np.array(scheme, np.int64)}
    return ("evops_gather" if gather else "evops_scatter"), attributes


def _add(a, b):
    return b if a is None else a + b


def _product_jvp(primals, tangents, **statics):
    x, weight, seed = primals
    dx, dw, _ = tangents
    bind = functools.partial(product_p.bind, **statics)
    out = bind(x, weight, seed)
    tangent: Any = None
    if not _is_zero(dx):
        tangent = bind(dx.astype(weight.dtype), weight, seed)
    if not _is_zero(dw):
        tangent = _add(tangent, bind(x, dw, seed))
    return out, zero_tangent(out) if tangent is None else tangent


def _is_zero(tangent) -> bool:
    return isinstance(tangent, ad.Zero) or tangent.dtype == jax.dtypes.float0


def _product_transpose(ct, x, weight, seed, *, n_out, gather, repeat, **statics):
    if isinstance(ct, ad.Zero):
        return None, None, None
    if ad.is_undefined_primal(x):
        rows, n_x = x.aval.shape
        back = product_p.bind(ct, weight, seed, n_out=n_x, gather=not gather, repeat=1, **statics)
        return back.reshape(-1, rows, repeat, n_x).sum((0, 2)), None, None
    unit = jnp.ones(seed.shape, ct.dtype)
    hits = product_p.bind(x, unit, seed, n_out=n_out, gather=gather, repeat=repeat, **statics)
    return None, (ct * hits).sum(1), None


def _product_batch(operands, dims, *, repeat, **statics):
    x, weight, seed = operands
    size = next(o.shape[d] for o, d in zip(operands, dims, strict=True) if d is not None)
    instances = weight.size if dims[1] is None else weight.size // size
    weight, seed = (
        batching.bdim_at_front(o, d, size).reshape(-1)
        for o, d in zip((weight, seed), dims[1:], strict=True)
    )
    if dims[0] is not None:
        x = jnp.moveaxis(x, dims[0], 0)
        tile = instances // (x.shape[1] * repeat)
        x = jnp.broadcast_to(x[:, None], (size, tile, *x.shape[1:])).reshape(-1, x.shape[-1])
    out = product_p.bind(x, weight, seed, repeat=repeat, **statics)
    return out.reshape(size, instances, out.shape[-1]), 0


product_p = register(
    "evops_product",
    shape=_product_shape,
    value=walk.product,
    jvp=_product_jvp,
    transpose=_product_transpose,
    batch=_product_batch,
    native=_product_native,
)


@dataclasses.dataclass(frozen=True)
class Blocks:
    """How pre and post neurons are cut into blocks, one random matrix per pair of blocks.

    ``delay_column`` is empty where delays are one per pair; else it names, for each post block, the
    column of a per-neuron delay array.
    """

    n_pre: int
    pre_offset: tuple[int, ...]
    pre_size: tuple[int, ...]
    post_offset: tuple[int, ...]
    post_size: tuple[int, ...]
    delay_column: tuple[int, ...] = ()

    def _per_neuron(self, values) -> np.ndarray:
        out = np.full(self.n_pre, -1, np.int32)
        for offset, size, value in zip(self.pre_offset, self.pre_size, values, strict=True):
            out[offset : offset + size] = value
        return out

    def source_of(self) -> np.ndarray:
        """Block of every pre neuron, -1 for none."""
        return self._per_neuron(range(len(self.pre_offset)))

    def line_of(self) -> np.ndarray:
        """Index of every pre neuron inside its block."""
        return self._per_neuron([np.arange(size, dtype=np.int32) for size in self.pre_size])


def push(ring, x, weight, seed, delay, step, *, blocks: Blocks, scheme, backend) -> jax.Array:
    """Bind `push`; ring (slots, n_post), x (n_pre,), weight and seed (S, T), step int32 scalar."""
    return push_p.bind(
        ring, x, weight, seed, delay, step, blocks=blocks, scheme=scheme, backend=backend
    )


def _push_shape(ring, x, weight, seed, delay, step, *, blocks, **_):
    pair = (len(blocks.pre_offset), len(blocks.post_offset))
    assert ring.ndim == 2 and x.shape == (blocks.n_pre,) and step.shape == ()
    assert weight.shape == seed.shape == pair and weight.dtype == ring.dtype
    assert delay.ndim == 2 and delay.shape[0] == (x.shape[0] if blocks.delay_column else pair[0])
    return ShapedArray(ring.shape, ring.dtype)


def _push_native(*, blocks, scheme):
    attributes = {
        name: np.array(getattr(blocks, name), np.int64)
        for name in ("pre_offset", "pre_size", "post_offset", "post_size", "delay_column")
    }
    return "evops_push", {**attributes, "scheme": np.array(scheme, np.int64)}


def _push_jvp(primals, tangents, **statics):
    ring, x, weight, *rest = primals
    dring, dx, dw, *_ = tangents
    bind = functools.partial(push_p.bind, **statics)
    out = bind(*primals)
    tangent = jnp.zeros_like(ring) if _is_zero(dring) else dring
    if not _is_zero(dx):
        tangent = bind(tangent, dx.astype(ring.dtype), weight, *rest)
    if not _is_zero(dw):
        tangent = bind(tangent, x, dw, *rest)
    return out, tangent


def _push_transpose(ct, ring, x, weight, seed, delay, step, *, blocks, scheme, backend):
    del backend
    if isinstance(ct, ad.Zero):
        return (None,) * 6
    back = ct if ad.is_undefined_primal(ring) else None
    dx = dw = None
    if ad.is_undefined_primal(x) or ad.is_undefined_primal(weight):
        known_x, known_w = (None if ad.is_undefined_primal(o) else o for o in (x, weight))
        dx, dw = walk.push_transpose(
            ct, known_x, known_w, seed, delay, step, blocks=blocks, scheme=scheme
        )
    return back, dx, dw, None, None, None


def _push_batch(operands, dims, **statics):
    size = next(o.shape[d] for o, d in zip(operands, dims, strict=True) if d is not None)
    fixed = {i: o for i, (o, d) in enumerate(zip(operands, dims, strict=True)) if d is None}
    moved = {
        i: jnp.moveaxis(o, d, 0)
        for i, (o, d) in enumerate(zip(operands, dims, strict=True))
        if d is not None
    }

    def one(batch):
        every = {**fixed, **batch}
        return push_p.bind(*(every[i] for i in range(len(operands))), **statics)

    if size == 1:
        return one({i: o[0] for i, o in moved.items()})[None], 0
    return jax.lax.map(one, moved), 0


push_p = register(
    "evops_push",
    shape=_push_shape,
    value=walk.push,
    jvp=_push_jvp,
    transpose=_push_transpose,
    batch=_push_batch,
    native=_push_native,
    aliases={0: 0},
)


def pop(ring, step, *, backend) -> tuple[jax.Array, jax.Array]:
    """Bind `pop`: the ring (slots, n) with slot `step` set to 0, and what the slot held (n,)."""
    ring, now = pop_p.bind(ring, step, backend=backend)
    return ring, now


def _pop_shape(ring, step, **_):
    assert ring.ndim == 2 and step.shape == ()
    return [
        ShapedArray(ring.shape, ring.dtype),
        ShapedArray(ring.shape[1:], ring.dtype),
    ]


def _pop_jvp(primals, tangents, **statics):
    out = pop_p.bind(*primals, **statics)
    if _is_zero(tangents[0]):
        return out, [zero_tangent(o) for o in out]
    return out, pop_p.bind(tangents[0], primals[1], **statics)


def _pop_transpose(cts, ring, step, **_):
    ct_ring, ct_now = map(ad.instantiate_zeros, cts)
    return jax.lax.dynamic_update_index_in_dim(ct_ring, ct_now, step, 0), None


def _pop_batch(operands, dims, *, backend):
    ring, step = operands
    size = next(o.shape[d] for o, d in zip(operands, dims, strict=True) if d is not None)
    if dims[1] is None:  # every ring at the same slot: one ring of more neurons
        joined = jnp.moveaxis(ring, dims[0], 1)
        slots, _, n = joined.shape
        ring, now = pop_p.bind(joined.reshape(slots, size * n), step, backend=backend)
        return [ring.reshape(slots, size, n), now.reshape(size, n)], [1, 0]
    ring = batching.bdim_at_front(ring, dims[0], size)
    step = jnp.moveaxis(step, dims[1], 0)
    return jax.lax.map(lambda o: pop_p.bind(*o, backend=backend), (ring, step)), [0, 0]


pop_p = register(
    "evops_pop",
    shape=_pop_shape,
    value=walk.pop,
    jvp=_pop_jvp,
    transpose=_pop_transpose,
    batch=_pop_batch,
    native=lambda: ("evops_pop", {}),
    aliases={0: 0},
    multiple_results=True,
)
