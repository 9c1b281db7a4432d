"""The only module that knows differences between jax versions and asks for private parts of jax."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import numpy as np
from jax import Array, ffi
from jax._src import core as _core
from jax._src.literals import TypedNdArray
from jax.core import ShapedArray, Tracer
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

__all__ = [
    "Cotangent",
    "Dims",
    "Linear",
    "Operand",
    "Primitive",
    "ShapedArray",
    "Tangent",
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

# What jax hands to the rules of a primitive. Operands are arrays of jax (tracers too); those that
# no transformation touches may still be NumPy's, since binding converts nothing. Constants of a
# program are jax's own kind of these, which is no `np.ndarray` in jax 0.8.
Operand: TypeAlias = Array | np.ndarray | TypedNdArray
if TYPE_CHECKING:  # pyright follows neither `is_zero` nor `is_undefined_primal`
    Tangent: TypeAlias = Any
    Cotangent: TypeAlias = Any
    Linear: TypeAlias = Any
    Dims: TypeAlias = Any
else:
    # Tangents and cotangents that are known to be zero are no arrays: no work is done on them.
    Tangent = Cotangent = Operand | ad.Zero
    # A transpose knows only the type of the operand whose cotangent it must give.
    Linear = Operand | ad.UndefinedPrimal
    # The batch axis of each operand; None: it has none.
    Dims = Sequence[int | None]

# Inside `jax.shard_map` the type of a value names the axes of the mesh over which it varies. A
# value that varies over none is the same on every device. jax makes operands of its own primitives
# vary alike, and so do we: the transpose of that step is the sum over devices that a gradient
# needs. jax renamed the function in 0.10.1. getattr, since no version has both names.
_align = getattr(_core, "auto_insert_reshard", None) or getattr(_core, "standard_insert_pvary")  # noqa: B009


def varying(aval: Any) -> frozenset:
    """The axes of a mesh over which values of this type vary."""
    found = getattr(aval, "mat", None)  # from jax 0.10.0; `vma` before
    return aval.vma if found is None else found.varying


def aligned(*operands: Any) -> tuple:
    """The operands, each varying over the union of the axes over which they vary."""
    return tuple(_align(*operands))


def typed_like(value: Any, *others: Any) -> Any:
    """`value`, varying over the axes of the others as well.

    A loop wants one type for its carry from start to end, so zeros that begin it must vary already.
    """
    return aligned(value, *others)[0]


def result_type(shape: ShapedArray, operands: Sequence[Any]) -> ShapedArray:
    """`shape` for a result of aligned operands: the result varies as they do."""
    for operand in operands:
        if varying(operand):
            # `update` keeps the axes, whatever this jax calls them. The operand's own sharding has
            # an entry for each of its dimensions, and the result may have others.
            mesh = jax.sharding.NamedSharding(operand.sharding.mesh, jax.sharding.PartitionSpec())
            return operand.update(shape.shape, shape.dtype, weak_type=False, sharding=mesh)
    return shape


def of_one_device(ctx: Any) -> Any:
    """A lowering's context in which nothing varies.

    A lowering traces the program of one device, where values have no axes to vary over. Without
    this, zeros that begin a loop would have another type than the carry that the loop returns.
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


def zero_tangent(value: Any) -> ad.Zero:
    """The symbolic zero tangent of a value; of float0 for integers."""
    return ad.Zero(jax.typeof(value).to_tangent_aval())


def is_zero(tangent: Tangent) -> bool:
    """Whether a tangent is known to be zero; integers have tangents of float0, which are."""
    return isinstance(tangent, ad.Zero) or tangent.dtype == jax.dtypes.float0
