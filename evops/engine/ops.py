"""Products with random matrices: the primitive and its rules, each a rebind of the primitive.

``product`` multiplies vectors by K random matrices at once. ``C_k`` is the 0/1 matrix that seed k
draws (pre by post neurons). Matrix k reads row r = (k // per_input) mod X of x:

    scatter:  y_k = w_k * (x_r @ C_k)        x of pre neurons, y of post neurons
    gather:   y_k = w_k * (C_k @ x_r)        x of post neurons, y of pre neurons

It is bilinear in x and w, so jvp binds it with one tangent at a time. The transpose in x is the
same product in the other direction, the transpose in w a dot product with the cotangent. A batch is
more matrices. When scattering, entries of x that are 0 and matrices of weight 0 cost nothing.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, SupportsFloat

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Num, Shaped, UInt32

from evops.connectivity.format import Diagonal, MatrixSpec, WeightLaw
from evops.engine import gpu, jnp_edges, jnp_impl, jvps, library, row_counts, spike_lists
from evops.engine.compat import (
    Cotangent,
    Dims,
    Linear,
    Operand,
    ShapedArray,
    Tangent,
    ad,
    batching,
    ffi,
    is_zero,
    zero_tangent,
)
from evops.engine.primitive import register
from evops.errors import INT32_MAX

# Element types that the native kernels add up in. Each costs a copy of every kernel, so others are
# cast to `accumulator(dtype)`, and the result is cast back.
NATIVE_DTYPES = ("int32", "float32", "float64")


def accumulator(dtype: Any) -> np.dtype:
    """The type for sums: half floats in float32, integers in int32, those of 64 bits in float64.

    Args:
        dtype: element type of the result, in any form that NumPy takes.
    """
    dtype = np.dtype(dtype)
    if dtype.name in NATIVE_DTYPES:
        return dtype
    if dtype.name in ("int64", "uint64"):  # exact up to 2**53
        return np.dtype(np.float64)
    return np.dtype(np.float32 if jnp.issubdtype(dtype, jnp.floating) else np.int32)


def product(
    x: Shaped[Operand, "x n_in"] | spike_lists.Listed,
    weight: Num[Operand, "k parameters"],
    seed: UInt32[Operand, "k 2"],
    tables: Sequence[Operand],
    *,
    spec: MatrixSpec,
    n_out: int,
    gather: bool,
    per_input: int,
    backend: str,
) -> Num[Array, "k n_out"]:
    """Bind `product`; the result is (K, n_out) of weight's dtype.

    Args:
        x: (X, n_in), bool, with a list or without, or of weight's dtype.
        weight: (K, 1), or (K, 2) where weights are ``weight[0] + weight[1] * z``.
        seed: (K, 2) uint32: key words of the projection, or seed and 0 in the published scheme.
        tables: that of the rule, (1, m) for all matrices or (K, m), uint32, and that of the law,
            int32.
        spec: how rows and weights are drawn.
        n_out: entries of a result.
        gather: False to scatter, True to gather.
        per_input: how many consecutive matrices read the same row of x.
        backend: "native" or "jnp".
    """
    # The gathering kernel of braintaichi rows multiplies each input, so it takes numbers only.
    if gather:
        x = spike_lists.plain(x)
        x = x.astype(weight.dtype) if x.dtype == bool and spec.published else x
    x, listed = spike_lists.operand(x)
    statics = {
        "spec": spec,
        "n_out": n_out,
        "gather": gather,
        "per_input": per_input,
        "listed": listed,
    }
    return product_p.bind(x, weight, seed, *tables, backend=backend, **statics)


def _product_shape(
    x: Shaped[ShapedArray, "x n_in"],
    weight: Num[ShapedArray, "k parameters"],
    seed: UInt32[ShapedArray, "k 2"],
    table: UInt32[ShapedArray, "tables m"],
    quantiles: Int32[ShapedArray, " q"],
    *,
    spec: MatrixSpec,
    n_out: int,
    gather: bool,
    per_input: int,
    backend: str,
) -> ShapedArray:
    # Assertions, not errors: the faces have checked what users pass, and the handlers check again.
    assert x.ndim == 2 and weight.shape == (seed.shape[0], spec.parameters)
    assert seed.shape[1:] == (2,) and table.ndim == 2 and quantiles.ndim == 1
    assert table.shape[0] in (1, weight.shape[0])
    assert weight.shape[0] % (x.shape[0] * per_input) == 0
    name = "evops_gather" if gather else "evops_scatter"
    _check_batch(name, "results", (weight.shape[0], n_out))
    # The jnp path flattens inputs and tables, and indexes them with 32 bits; C++ has 64.
    if backend == "jnp":
        _check_batch(name, "inputs", x.shape)
        _check_batch(name, "entries of tables", table.shape)
    return ShapedArray((weight.shape[0], n_out), weight.dtype)


def _check_batch(name: str, what: str, shape: tuple[int, int]) -> None:
    """Raise where a batch has more entries than 32-bit indices reach."""
    if shape[0] * shape[1] > INT32_MAX:
        raise ValueError(
            f"{name}: the batch has {shape[0]} x {shape[1]} {what}, expected at most {INT32_MAX} "
            "elements: use a smaller batch of x, of seeds or of weights at a time"
        )


def _product_native(
    *, spec: MatrixSpec, n_out: int, gather: bool, per_input: int
) -> tuple[str, dict[str, Any]]:
    del n_out  # the handler sees it in the shape of the result
    attributes = {
        "per_input": np.int64(per_input),
        "spec": np.array(spec.pack(), np.int64),
    }
    return ("evops_gather" if gather else "evops_scatter"), attributes


def _product_plain(*, spec: MatrixSpec, gather: bool, **_: Any) -> bool:
    # A weight times an input each: XLA does that in lanes, and fuses it with what is around.
    return gather and isinstance(spec.scheme, Diagonal)


def _add(a: Array | None, b: Array) -> Array:
    return b if a is None else a + b


def _product_jvp(
    primals: Sequence[Operand], tangents: Sequence[Tangent], **statics: Any
) -> tuple[Array, Tangent]:
    x, weight, *rest = primals
    dx, dw = tangents[:2]
    bind = functools.partial(product_p.bind, **statics)
    out = bind(*primals)
    tangent: Any = None
    # Bilinear: one product for each operand that has a tangent. Bools have none. x may have another
    # float type than the weights, and tangents of x must have theirs.
    if not is_zero(dx):
        tangent = bind(dx.astype(weight.dtype), weight, *rest)
    if not is_zero(dw):
        tangent = _add(tangent, bind(x, dw, *rest))
    return out, zero_tangent(out) if tangent is None else tangent


def _product_transpose(
    ct: Cotangent,
    x: Linear,
    weight: Linear,
    *rest: Operand,
    n_out: int,
    gather: bool,
    per_input: int,
    **statics: Any,
) -> tuple[Array | None, ...]:
    if isinstance(ct, ad.Zero):
        return (None,) * 5
    if ad.is_undefined_primal(x):
        # Every matrix has its own row of ct, so `per_input` is 1 here. Matrix k read row
        # (k // per_input) % rows of x, so matrices lie as (round, row, per_input). Round and
        # per_input together number the matrices of one row, whose parts are added.
        rows, n_x = x.aval.shape
        back = product_p.bind(
            ct, weight, *rest, n_out=n_x, gather=not gather, per_input=1, **statics
        )
        return back.reshape(-1, rows, per_input, n_x).sum((0, 2)), None, None, None, None
    n_matrices, parameters = weight.aval.shape
    columns = []
    # y is linear in the parameters, so its derivative in each is the product with a unit weight.
    for unit in jnp.eye(parameters, dtype=ct.dtype):
        one = jnp.broadcast_to(unit, (n_matrices, parameters))
        part = product_p.bind(
            x,
            one,
            *rest,
            n_out=n_out,
            gather=gather,
            per_input=per_input,
            **statics,
        )
        columns.append((ct * part).sum(1))
    return None, jnp.stack(columns, 1), None, None, None


def _product_batch(
    operands: Sequence[Operand], dims: Dims, *, per_input: int, **statics: Any
) -> tuple[Num[Array, "batch k n_out"], int]:
    # A batch is more matrices, B entries of K each, in this order. So vmap of vmap needs no rule.
    x, weight, seed, table, quantiles = operands
    assert dims[4] is None, "the tables of laws are not batched"
    size = next(o.shape[d] for o, d in zip(operands, dims, strict=True) if d is not None)
    weight, seed = (
        batching.bdim_at_front(o, d, size) for o, d in zip((weight, seed), dims[1:3], strict=True)
    )
    # `bdim_at_front` repeats what has no batch axis: weight and seed have an entry per matrix.
    n_matrices = weight.shape[1]
    weight, seed = weight.reshape(-1, weight.shape[2]), seed.reshape(-1, 2)
    # Tables are batched where they follow from a seed: running counts of rows. The one table of an
    # entry is written out for its K matrices, since a call has one table in all or one per matrix.
    if dims[3] is not None:
        table = jnp.moveaxis(table, dims[3], 0)
        table = jnp.broadcast_to(table, (size, n_matrices, table.shape[-1]))
        table = table.reshape(-1, table.shape[-1])
    elif table.shape[0] > 1:
        # Entry by entry, as weights are: tiles, where `repeat` would put equal tables together.
        table = jnp.tile(table, (size, 1))
    if dims[0] is not None:
        x = jnp.moveaxis(x, dims[0], 0)
        # Each matrix must find its own row by the formula above, which wraps around after all rows.
        # So every entry repeats its rows as often as its matrices went round. Without a batch axis
        # x wraps around for all entries, and nothing is copied.
        tile = n_matrices // (x.shape[1] * per_input)
        x = jnp.broadcast_to(x[:, None], (size, tile, *x.shape[1:])).reshape(-1, x.shape[-1])
    out = product_p.bind(x, weight, seed, table, quantiles, per_input=per_input, **statics)
    return out.reshape(size, n_matrices, out.shape[-1]), 0


product_p = register(
    "evops_product",
    shape=_product_shape,
    value=jnp_impl.product,
    jvp=_product_jvp,
    transpose=_product_transpose,
    batch=_product_batch,
    native=_product_native,
    plain=_product_plain,
    gpu=gpu.product,
    spikes=0,
)


def edges(
    key: UInt32[Operand, "2"],
    tables: Sequence[Operand],
    indptr: Int32[Operand, " n_pre_1"],
    *,
    spec: MatrixSpec,
    n_post: int,
    synapses: int,
    expected: SupportsFloat,
    backend: str,
) -> list[np.ndarray]:
    """Post neuron, variate and drawn delay of every synapse, a row after another.

    Args:
        key: (2,) uint32.
        tables: those of the rule and of the delays, uint32, and of the law, int32.
        indptr: (n_pre + 1,) int32: synapse s of row i stands at ``indptr[i] + s``.
        spec: how rows and weights are drawn.
        n_post: post neurons.
        synapses: how many synapses this seed has.
        expected: how many a seed has on average.
        backend: "native" or "jnp".

    Returns:
        int32, float32 and int32 arrays of `synapses` entries on the host. The second is empty where
        the law has no variate, the third where no delays are drawn.
    """
    # Cut on the host: cutting in jax would compile a program for every number of synapses.
    room_ = room(synapses, float(expected))
    found = _edges(key, tables, indptr, spec=spec, n_post=n_post, synapses=room_, backend=backend)
    return [np.asarray(array)[:synapses] for array in found]


def room(synapses: int, expected: float) -> int:
    """Room for the synapses of nearly every seed, so that all of them share a program.

    Numbers of synapses vary at most as a Poisson variate does, so eight standard deviations are
    enough for nearly all. Beyond them the room is up to a sixteenth larger than the number.
    """
    # The number is static in a program, so seeds that differ in it would each compile one. jax
    # keeps them all, and XLA ran out of memory maps after some 900 seeds.
    most = math.ceil(expected + 8 * math.sqrt(expected)) + 16
    if most < synapses:
        step = 1 << max(synapses.bit_length() - 5, 0)
        most = -(-synapses // step) * step
    return min(most, 2**31 - 1)  # positions are int32


@functools.partial(jax.jit, static_argnames=("spec", "n_post", "synapses", "backend"))
def _edges(
    key: UInt32[Operand, "2"],
    tables: Sequence[Operand],
    indptr: Int32[Operand, " n_pre_1"],
    *,
    spec: MatrixSpec,
    n_post: int,
    synapses: int,
    backend: str,
) -> Sequence[Array]:
    def in_jnp(key: Array, *rest: Array) -> tuple[Array, ...]:
        *tables, indptr = rest
        return jnp_edges.edges(key, tables, indptr, spec=spec, n_post=n_post, synapses=synapses)

    varied = spec.law != WeightLaw.CONSTANT
    out = (
        jax.ShapeDtypeStruct((synapses,), jnp.int32),
        jax.ShapeDtypeStruct((synapses if varied else 0,), jnp.float32),
        jax.ShapeDtypeStruct((synapses if spec.delay_bits else 0,), jnp.int32),
    )
    attributes = {"n_post": np.int64(n_post), "spec": np.array(spec.pack(), np.int64)}
    native = functools.partial(ffi.ffi_call("evops_edges", out), **attributes)
    return _on_cpu(native, in_jnp, backend)(key, *tables, indptr)


def _on_cpu(
    native: Callable[..., Any], in_jnp: Callable[..., Any], backend: str
) -> Callable[..., Any]:
    """The native form on CPUs, the other elsewhere, since GPUs have no kernel for it."""
    if backend != "native":
        return in_jnp
    return functools.partial(jax.lax.platform_dependent, cpu=native, default=in_jnp)


def draw_indptr(
    key: UInt32[Operand, "2"], *, total: int, n_pre: int, backend: str
) -> UInt32[Array, " n_pre_1"]:
    """Where each row of a counted matrix begins among its `total` synapses, (n_pre + 1,) uint32.

    A known key, a NumPy array, needs no program of XLA: each number of rows would have its own.
    """
    if backend == "native" and isinstance(key, np.ndarray):
        return jnp.asarray(library.count_rows(key, total, n_pre))
    return indptr_p.bind(key, total=total, n_pre=n_pre, backend=backend)


def _indptr_batch(
    operands: Sequence[Operand], dims: Dims, **statics: Any
) -> tuple[UInt32[Array, "batch n_pre_1"], int]:
    # One key after another: the handler takes one.
    keys = jnp.moveaxis(operands[0], dims[0], 0)
    return jax.lax.map(lambda key: indptr_p.bind(key, **statics), keys), 0


# A primitive, though it has no derivative: inside jax.shard_map its result must vary as the key
# does, and under jax.grad the seed has a tangent (of float0). A plain FFI call sees to neither.
indptr_p = register(
    "evops_indptr",
    shape=lambda key, *, n_pre, **_: ShapedArray((n_pre + 1,), key.dtype),
    value=row_counts.draw_indptr,
    jvp=jvps.of_integers(lambda *operands, **statics: indptr_p.bind(*operands, **statics)),
    transpose=lambda *_, **__: (None,),
    batch=_indptr_batch,
    native=lambda *, total, n_pre: ("evops_indptr", {"total": np.int64(total)}),
)
