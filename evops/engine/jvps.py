"""Rules of derivatives that several primitives share.

``bind`` binds the primitive, as a function of operands and statics.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from evops.engine import spike_lists
from evops.engine.compat import is_zero, zero_tangent

Jvp = Callable[..., tuple[Any, Any]]


def bilinear(bind: Callable[..., Any]) -> Jvp:
    """Of what is linear in each of its first two operands."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **statics: Any) -> tuple[Any, Any]:
        a, b, *rest = primals
        da, db, *_ = tangents
        terms = [
            bind(*operands, *rest, **statics)
            for tangent, operands in ((da, (da, b)), (db, (a, db)))
            if not is_zero(tangent)
        ]
        out = bind(*primals, **statics)
        return out, functools.reduce(operator.add, terms) if terms else zero_tangent(out)

    return jvp


def of_integers(bind: Callable[..., Any]) -> Jvp:
    """Of results that have no derivative."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **statics: Any) -> tuple[Any, Any]:
        del tangents
        out = bind(*primals, **statics)
        return out, zero_tangent(out)

    return jvp


def of_ring(bind: Callable[..., Any]) -> Jvp:
    """Of a push: linear in the ring, bilinear in x and weights, the next two operands."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **statics: Any) -> tuple[Any, Any]:
        ring, x, weight, *rest = primals
        dring, dx, dw, *_ = tangents
        out = bind(*primals, **statics)
        # The tangent is a ring itself, so every term is pushed into it, one after the other. Adding
        # rings up instead would take another ring for each term.
        tangent = jnp.zeros_like(ring) if is_zero(dring) else dring
        if not is_zero(dx):
            tangent = bind(tangent, dx.astype(ring.dtype), weight, *rest, **statics)
        if not is_zero(dw):
            tangent = bind(tangent, x, dw, *rest, **statics)
        return out, tangent

    return jvp


def of_formula(bind: Callable[..., Any], formula: Callable[..., Any], spikes: int) -> Jvp:
    """Of what is not linear: that of the jnp path; operand `spikes` may have a list behind."""

    def jvp(
        primals: Sequence[Any],
        tangents: Sequence[Any],
        *,
        listed: int,
        backend: str,
        **statics: Any,
    ) -> tuple[Any, Any]:
        out = bind(*primals, listed=listed, backend=backend, **statics)
        moving = {k: tangent for k, tangent in enumerate(tangents) if not is_zero(tangent)}
        if not moving:
            return out, zero_tangent(out)

        def of(*moved: Any) -> Any:
            changed = dict(zip(moving, moved, strict=True))
            operands = [changed.get(k, primal) for k, primal in enumerate(primals)]
            operands[spikes] = spike_lists.flags_of(operands[spikes], listed)
            return formula(*map(jnp.asarray, operands), **statics)

        points = tuple(primals[k] for k in moving)
        return out, jax.jvp(of, points, tuple(moving.values()))[1]

    return jvp


def never_transposed(*_: Any, **__: Any) -> Any:
    """The transpose rule of a primitive that no derivative binds."""
    raise NotImplementedError("derivatives of this primitive do not bind it")
