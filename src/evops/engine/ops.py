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

from evops.engine import gpu, values, walk
from evops.engine.compat import ShapedArray, ad, batching, ffi, zero_tangent
from evops.engine.primitive import register
from evops.engine.walk import Source

# Element types of the native kernels; others are computed in `accumulator(dtype)` and cast.
NATIVE_DTYPES = ("int32", "float32", "float64")


def accumulator(dtype) -> np.dtype:
    """The type for sums of `dtype`: half floats in float32, small integers in int32."""
    dtype = np.dtype(dtype)
    if dtype.name in NATIVE_DTYPES:
        return dtype
    return np.dtype(np.float32 if jnp.issubdtype(dtype, jnp.floating) else np.int32)


def product(
    x, weight, seed, tables, *, source: Source, n_out, gather, repeat, backend
) -> jax.Array:
    """Bind `product`; the result is (K, n_out) of weight's dtype.

    Args:
        x: (X, n), bool or of weight's dtype.
        weight: (K, 1), or (K, 2) where weights are ``weight[0] + weight[1] * z``.
        seed: (K, 2) uint32: key words of the projection, or seed and 0 in the published scheme.
        tables: what the rule looks up, (1, m) or (K, m) uint32, and the law, int32.
        source: scheme and law.
        n_out: entries of a result.
        gather: direction.
        repeat: instances in a row that read the same x.
        backend: "native" or "jnp".
    """
    if gather and x.dtype == bool and source.published:
        x = x.astype(weight.dtype)
    statics = {"source": source, "n_out": n_out, "gather": gather, "repeat": repeat}
    return product_p.bind(x, weight, seed, *tables, backend=backend, **statics)


def _product_shape(x, weight, seed, table, quantiles, *, source, n_out, repeat, **_):
    assert x.ndim == 2 and weight.shape == (seed.shape[0], source.parameters)
    assert seed.shape[1:] == (2,) and table.ndim == 2 and quantiles.ndim == 1
    assert table.shape[0] in (1, weight.shape[0])
    assert weight.shape[0] % (x.shape[0] * repeat) == 0
    return ShapedArray((weight.shape[0], n_out), weight.dtype)


def _attributes(source: Source):
    return {"scheme": np.array(source.scheme, np.int64)}


def _product_native(*, source, n_out, gather, repeat):
    del n_out
    attributes = {
        "repeat": np.int64(repeat),
        "law": np.int64(source.law),
        "synapses_per_line": np.int64(source.synapses_per_line),
    }
    return ("evops_gather" if gather else "evops_scatter"), {**attributes, **_attributes(source)}


def _add(a, b):
    return b if a is None else a + b


def _product_jvp(primals, tangents, **statics):
    x, weight, *rest = primals
    dx, dw = tangents[:2]
    bind = functools.partial(product_p.bind, **statics)
    out = bind(*primals)
    tangent: Any = None
    if not _is_zero(dx):
        tangent = bind(dx.astype(weight.dtype), weight, *rest)
    if not _is_zero(dw):
        tangent = _add(tangent, bind(x, dw, *rest))
    return out, zero_tangent(out) if tangent is None else tangent


def _is_zero(tangent) -> bool:
    return isinstance(tangent, ad.Zero) or tangent.dtype == jax.dtypes.float0


def _product_transpose(ct, x, weight, *rest, n_out, gather, repeat, **statics):
    if isinstance(ct, ad.Zero):
        return (None,) * 5
    if ad.is_undefined_primal(x):
        rows, n_x = x.aval.shape
        back = product_p.bind(ct, weight, *rest, n_out=n_x, gather=not gather, repeat=1, **statics)
        return back.reshape(-1, rows, repeat, n_x).sum((0, 2)), None, None, None, None
    instances, parameters = weight.aval.shape
    columns = []
    for unit in jnp.eye(parameters, dtype=ct.dtype):
        one = jnp.broadcast_to(unit, (instances, parameters))
        part = product_p.bind(x, one, *rest, n_out=n_out, gather=gather, repeat=repeat, **statics)
        columns.append((ct * part).sum(1))
    return None, jnp.stack(columns, 1), None, None, None


def _product_batch(operands, dims, *, repeat, **statics):
    x, weight, seed, table, quantiles = operands
    assert dims[4] is None, "the tables of laws are not batched"
    size = next(o.shape[d] for o, d in zip(operands, dims, strict=True) if d is not None)
    weight, seed = (
        batching.bdim_at_front(o, d, size) for o, d in zip((weight, seed), dims[1:3], strict=True)
    )
    instances = weight.shape[1]
    weight, seed = weight.reshape(-1, weight.shape[2]), seed.reshape(-1, 2)
    if dims[3] is not None:
        table = jnp.moveaxis(table, dims[3], 0)
        table = jnp.broadcast_to(table, (size, instances, table.shape[-1]))
        table = table.reshape(-1, table.shape[-1])
    elif table.shape[0] > 1:
        table = jnp.tile(table, (size, 1))
    if dims[0] is not None:
        x = jnp.moveaxis(x, dims[0], 0)
        tile = instances // (x.shape[1] * repeat)
        x = jnp.broadcast_to(x[:, None], (size, tile, *x.shape[1:])).reshape(-1, x.shape[-1])
    out = product_p.bind(x, weight, seed, table, quantiles, repeat=repeat, **statics)
    return out.reshape(size, instances, out.shape[-1]), 0


product_p = register(
    "evops_product",
    shape=_product_shape,
    value=values.product,
    jvp=_product_jvp,
    transpose=_product_transpose,
    batch=_product_batch,
    native=_product_native,
    gpu=gpu.product,
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


def push(ring, x, weight, seed, delay, step, tables, *, blocks: Blocks, source: Source, backend):
    """Bind `push`; the result is the ring.

    Args:
        ring: (slots, n_post).
        x: (n_pre,), bool or of the ring's dtype.
        weight: (S, T, 1 or 2), of the ring's dtype.
        seed: (S, T, 2) uint32.
        delay: int32 steps, (S, T), or (n_pre, C) with the columns of ``blocks.delay_column``.
        step: current slot, int32 scalar.
        tables: of the rule, (1, m) uint32, of the law, int32, and of the delays that are
            drawn for every synapse and added to `delay`, uint32.
        blocks: how pre and post neurons are cut.
        source: scheme, law and bits of the delays' table.
        backend: "native" or "jnp".
    """
    operands = ring, x, weight, seed, delay, step, *tables
    return push_p.bind(*operands, blocks=blocks, source=source, backend=backend)


def _push_shape(
    ring, x, weight, seed, delay, step, table, quantiles, delays, *, blocks, source, **_
):
    pair = (len(blocks.pre_offset), len(blocks.post_offset))
    assert ring.ndim == 2 and x.shape == (blocks.n_pre,) and step.shape == ()
    assert weight.shape == (*pair, source.parameters) and weight.dtype == ring.dtype
    assert seed.shape == (*pair, 2) and table.ndim == 2 and quantiles.ndim == delays.ndim == 1
    assert table.shape[0] == 1
    assert delay.ndim == 2 and delay.shape[0] == (x.shape[0] if blocks.delay_column else pair[0])
    return ShapedArray(ring.shape, ring.dtype)


def _push_native(*, blocks, source):
    attributes = {
        name: np.array(getattr(blocks, name), np.int64)
        for name in ("pre_offset", "pre_size", "post_offset", "post_size", "delay_column")
    }
    drawn = {
        name: np.int64(getattr(source, name)) for name in ("law", "delay_bits", "synapses_per_line")
    }
    return "evops_push", {**attributes, **drawn, **_attributes(source)}


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


def _push_transpose(ct, ring, x, weight, *rest, blocks, source, backend):
    del backend
    if isinstance(ct, ad.Zero):
        return (None,) * 9
    back = ct if ad.is_undefined_primal(ring) else None
    dx = dw = None
    if ad.is_undefined_primal(x) or ad.is_undefined_primal(weight):
        known_x, known_w = (None if ad.is_undefined_primal(o) else o for o in (x, weight))
        dx, dw = values.push_transpose(ct, known_x, known_w, *rest, blocks=blocks, source=source)
    return back, dx, dw, *(None,) * 6


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
    value=values.push,
    jvp=_push_jvp,
    transpose=_push_transpose,
    batch=_push_batch,
    native=_push_native,
    gpu=gpu.push,
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
    value=values.pop,
    jvp=_pop_jvp,
    transpose=_pop_transpose,
    batch=_pop_batch,
    native=lambda: ("evops_pop", {}),
    gpu=gpu.pop,
    aliases={0: 0},
    multiple_results=True,
)


def edges(key, tables, indptr, *, source: Source, n_post, synapses, backend):
    """Post neuron, variate and drawn delay of every synapse.

    Synapse s of line i stands at ``indptr[i] + s``; `indptr` (n_pre + 1,) int32 says how many
    synapses each line has, `synapses` how many there are. Returns int32, float32 and int32 arrays;
    the last two are empty where the law has no variate and where no delays are drawn.
    """

    def in_jnp(key, *rest):
        *tables, indptr = rest
        return values.edges(key, tables, indptr, source=source, n_post=n_post, synapses=synapses)

    varied = source.law != values.CONSTANT
    out = (
        jax.ShapeDtypeStruct((synapses,), jnp.int32),
        jax.ShapeDtypeStruct((synapses if varied else 0,), jnp.float32),
        jax.ShapeDtypeStruct((synapses if source.delay_bits else 0,), jnp.int32),
    )
    attributes = {
        "n_post": np.int64(n_post),
        "law": np.int64(source.law),
        "delay_bits": np.int64(source.delay_bits),
        **_attributes(source),
    }
    native = functools.partial(ffi.ffi_call("evops_edges", out), **attributes)
    return _on_cpu(native, in_jnp, backend)(key, *tables, indptr)


def _on_cpu(native, in_jnp, backend):
    """The native form where the CPU runs it, and the other elsewhere."""
    if backend != "native":
        return in_jnp
    return functools.partial(jax.lax.platform_dependent, cpu=native, default=in_jnp)


def line_starts(key, *, total: int, n_pre: int, backend) -> jax.Array:
    """Where each line of a counted rule begins among its `total` synapses, (n_pre + 1,) uint32."""
    out = jax.ShapeDtypeStruct((n_pre + 1,), jnp.uint32)
    call = ffi.ffi_call("evops_line_starts", out, vmap_method="sequential")
    native = functools.partial(call, total=np.int64(total))
    in_jnp = functools.partial(walk.line_starts, total=total, n_pre=n_pre)
    return _on_cpu(native, in_jnp, backend)(key)
