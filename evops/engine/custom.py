"""The primitive behind `evops.XLACustomOp`: JAX's rules in terms of those that a user gives.

A call is one static parameter, an object that knows its results and how to compute them in every
way; this module knows what JAX wants of a primitive. Without a rule for batches the call runs once
for each entry of the batch, one after another.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from evops.engine import gpu
from evops.engine.compat import ShapedArray, ad, typed_like, zero_tangent
from evops.engine.primitive import register


@runtime_checkable
class Call(Protocol):
    """One way to call an operator: hashable, the same for all values of its arrays."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def outs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """The results."""
        ...

    def value(self, *arrays) -> Sequence[Any]:
        """The results in jnp."""
        ...

    def target(self) -> tuple[str, dict[str, Any]] | None:
        """The CPU's FFI target and its attributes; None where only `value` can be used."""
        ...

    def gpu_target(self) -> tuple[str, dict[str, Any], int] | None:
        """The GPU's; and how many bytes of memory the kernel needs beside its arrays."""
        ...

    def rule(self, which: str) -> Callable[..., Any] | None:
        """The user's rule "jvp", "transpose" or "batching", with its keywords filled in."""
        ...


def bind(call: Call, *arrays, backend: str) -> list[Any]:
    """The results of a call."""
    return custom_p.bind(*arrays, call=call, backend=backend)


def _needed(call: Call, which: str, why: str) -> Callable[..., Any]:
    rule = call.rule(which)
    if rule is None:
        raise NotImplementedError(
            f"{call.name} has no rule for {why}: give XLACustomOp {which}=… ({call.name} cannot "
            "be differentiated without)"
        )
    return rule


def _checked(call: Call, which: str, values: Any, wanted: Sequence[Any], *, none: bool) -> list:
    """What a rule returned, as one entry for each that is wanted."""
    if len(wanted) == 1 and not isinstance(values, (tuple, list)):
        values = [values]
    if not isinstance(values, (tuple, list)) or len(values) != len(wanted):
        raise TypeError(f"{call.name}: {which} must return {len(wanted)} arrays, got {values!r}")
    for i, (value, aval) in enumerate(zip(values, wanted, strict=True)):
        if value is None:
            if none:
                continue
            raise TypeError(f"{call.name}: {which} returned None as entry {i}")
        got = jnp.shape(value), getattr(value, "dtype", None)
        if got != (aval.shape, aval.dtype):
            raise TypeError(
                f"{call.name}: {which} returned {got[1]}{list(got[0])} as entry {i}, expected "
                f"{aval.dtype}{list(aval.shape)}"
            )
    return list(values)


def _typed(values: Sequence[Any], operands: Sequence[Any]) -> list:
    """What a rule gave, varying as the operands do: it may depend on none of them."""
    return [None if v is None else typed_like(v, *operands) for v in values]


def _shape(*_, call: Call, **__):
    return [ShapedArray(out.shape, out.dtype) for out in call.outs]


def _value(*arrays, call: Call):
    return _checked(call, "fallback", call.value(*arrays), call.outs, none=False)


def _jvp(primals, tangents, *, call: Call, backend):
    del backend
    rule = _needed(call, "jvp", "forward and reverse derivatives")
    given = [
        None if isinstance(t, ad.Zero) or t.dtype == jax.dtypes.float0 else t for t in tangents
    ]
    returned = rule(tuple(primals), tuple(given))
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        raise TypeError(f"{call.name}: jvp must return (results, tangents), got {returned!r}")
    out = _checked(call, "jvp", returned[0], call.outs, none=False)
    moved = _checked(call, "jvp, for the tangents,", returned[1], call.outs, none=True)
    out, moved = (_typed(values, primals) for values in (out, moved))
    return out, [zero_tangent(o) if t is None else t for o, t in zip(out, moved, strict=True)]


def _transpose(cts, *operands, call: Call, backend):
    del backend
    if all(isinstance(ct, ad.Zero) for ct in cts):
        return [None] * len(operands)
    rule = _needed(call, "transpose", "reverse derivatives")
    linear = [ad.is_undefined_primal(o) for o in operands]
    shown = [
        jax.ShapeDtypeStruct(o.aval.shape, o.aval.dtype) if is_linear else o
        for o, is_linear in zip(operands, linear, strict=True)
    ]
    cts = tuple(ad.instantiate_zeros(ct) for ct in cts)
    back = _typed(_checked(call, "transpose", rule(cts, *shown), shown, none=True), cts)
    return [ct if is_linear else None for ct, is_linear in zip(back, linear, strict=True)]


def _batch(operands, dims, *, call: Call, backend):
    rule = call.rule("batching")
    if rule is not None:
        axes = tuple(None if d is None else int(d) for d in dims)
        returned = rule(tuple(operands), axes)
        if not isinstance(returned, (tuple, list)) or len(returned) != 2:
            raise TypeError(f"{call.name}: batching must return (results, axes), got {returned!r}")
        out, axes = (list(v) if isinstance(v, (tuple, list)) else [v] for v in returned)
        if not len(out) == len(axes) == len(call.outs):
            raise TypeError(f"{call.name}: batching must return {len(call.outs)} results and axes")
        size = next(o.shape[d] for o, d in zip(operands, dims, strict=True) if d is not None)
        wanted = [
            jax.ShapeDtypeStruct((*o.shape[: a or 0], size, *o.shape[a or 0 :]), o.dtype)
            if a is not None
            else o
            for o, a in zip(call.outs, axes, strict=True)
        ]
        return _checked(call, "batching", out, wanted, none=False), axes
    moved = [o if d is None else jnp.moveaxis(o, d, 0) for o, d in zip(operands, dims, strict=True)]

    def one(entry):
        each = iter(entry)
        arrays = [o if d is None else next(each) for o, d in zip(moved, dims, strict=True)]
        return custom_p.bind(*arrays, call=call, backend=backend)

    out = jax.lax.map(one, [o for o, d in zip(moved, dims, strict=True) if d is not None])
    return out, [0] * len(call.outs)


def _gpu(*arrays, call: Call, native):
    del native  # of the CPU
    found = call.gpu_target()
    if found is None:
        return _value(*arrays, call=call)
    target, attributes, scratch = found
    return gpu.custom(target, call.outs, scratch, *arrays, **attributes)


custom_p = register(
    "evops_custom",
    shape=_shape,
    value=_value,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    native=lambda *, call: call.target(),
    gpu=_gpu,
    multiple_results=True,
)
