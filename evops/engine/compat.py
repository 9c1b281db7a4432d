"""The one place that knows about differences between jax versions and asks for private parts."""

from typing import Any

import jax
from jax import ffi
from jax._src import core as _core
from jax.core import ShapedArray, Tracer
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

__all__ = [
    "Primitive",
    "ShapedArray",
    "Tracer",
    "ad",
    "aligned",
    "batching",
    "debug_nans",
    "ffi",
    "is_zero",
    "mlir",
    "of_one_device",
    "result_type",
    "typed_like",
    "varying",
    "zero_tangent",
]

# Inside `jax.shard_map` a value has, beside shape and dtype, the axes of the mesh over which it
# varies; a value that varies over none is the same on every device. jax makes operands of its own
# primitives vary alike, and so do we: the transpose of that step is the sum over devices that a
# gradient needs.
_align = getattr(_core, "auto_insert_reshard", None) or getattr(_core, "standard_insert_pvary")  # noqa: B009


def varying(aval) -> frozenset:
    """The axes of a mesh over which values of this type vary."""
    found = getattr(aval, "mat", None)  # from jax 0.10.0
    return aval.vma if found is None else found.varying


def aligned(*operands) -> tuple:
    """The operands, all varying over the axes over which any of them does."""
    return tuple(_align(*operands))


def typed_like(value, *others):
    """`value`, varying over the axes of the others as well: a loop's carry must, from the start."""
    return aligned(value, *others)[0]


def result_type(shape: ShapedArray, operands) -> ShapedArray:
    """`shape` for a result of operands that are aligned."""
    for operand in operands:
        if varying(operand):
            mesh = jax.sharding.NamedSharding(operand.sharding.mesh, jax.sharding.PartitionSpec())
            return operand.update(shape.shape, shape.dtype, weak_type=False, sharding=mesh)
    return shape


def of_one_device(ctx: Any) -> Any:
    """A lowering's context in which nothing varies.

    What is traced while lowering runs on one device: zeros that begin a loop need no axes there.
    """
    if not any(varying(aval) for aval in ctx.avals_in):
        return ctx
    strip = [
        [ShapedArray(a.shape, a.dtype) for a in avals] for avals in (ctx.avals_in, ctx.avals_out)
    ]
    return ctx.replace(avals_in=strip[0], avals_out=strip[1])


def debug_nans() -> bool:
    """Whether jax was asked to stop at NaNs (``jax.debug_nans``)."""
    return bool(jax.config.jax_debug_nans)  # pyright: ignore[reportAttributeAccessIssue]


def zero_tangent(value) -> ad.Zero:
    """The symbolic zero tangent of a value."""
    return ad.Zero(jax.typeof(value).to_tangent_aval())


def is_zero(tangent) -> bool:
    """Whether a tangent is known to be zero."""
    return isinstance(tangent, ad.Zero) or tangent.dtype == jax.dtypes.float0
