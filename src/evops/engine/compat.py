"""The one place that knows about differences between jax versions and asks for private parts."""

import jax
from jax import ffi
from jax.core import ShapedArray, Tracer
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

__all__ = [
    "Primitive",
    "ShapedArray",
    "Tracer",
    "ad",
    "batching",
    "debug_nans",
    "ffi",
    "is_zero",
    "mlir",
    "zero_tangent",
]


def debug_nans() -> bool:
    """Whether jax was asked to stop at NaNs (``jax.debug_nans``)."""
    return bool(jax.config.jax_debug_nans)  # pyright: ignore[reportAttributeAccessIssue]


def zero_tangent(value) -> ad.Zero:
    """The symbolic zero tangent of a value."""
    return ad.Zero(jax.typeof(value).to_tangent_aval())


def is_zero(tangent) -> bool:
    """Whether a tangent is known to be zero."""
    return isinstance(tangent, ad.Zero) or tangent.dtype == jax.dtypes.float0
