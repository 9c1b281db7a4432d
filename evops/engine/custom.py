"""The primitive behind `evops.XLACustomOp`: JAX's rules, from the rules that a user gives.

A call is one static parameter: an object that knows its results and every way to compute them.
This module knows what JAX wants of a primitive. Users' rules may return anything, so this module
checks all of it, in messages that name operator and rule. JAX's own would name neither.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from evops.engine import gpu
from evops.engine.compat import (
    Cotangent,
    Dims,
    Linear,
    Operand,
    ShapedArray,
    Tangent,
    ad,
    is_zero,
    typed_like,
    zero_tangent,
)
from evops.engine.primitive import register
from evops.errors import shown

# What a kernel finds in a result; of one in the place of an operand, that operand's number.
ZEROS, ANYTHING = -1, -2


def attributes(key: str, name: str, contents: Sequence[int]) -> dict[str, Any]:
    """What the handlers of users' kernels are told: which kernel, and what results hold."""
    return {"key": key, "name": name, "contents": np.array(contents, np.int64)}


@runtime_checkable  # for tests, which check types at run time
class Call(Protocol):
    """One way to call an operator, the same for all values of its arrays.

    Hashable: equal calls share a program.
    """

    @property
    def name(self) -> str:
        """The operator's name, for messages."""
        ...

    @property
    def outs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes and dtypes of the results."""
        ...

    @property
    def in_place(self) -> dict[int, int]:
        """Operands by number, and the results that take their place."""
        ...

    def value(self, *arrays: Array) -> Sequence[Any]:
        """The results, computed by the user's fallback in jnp."""
        ...

    def target(self) -> tuple[str, dict[str, Any]] | None:
        """The CPU's FFI target and its attributes; None where the fallback must do."""
        ...

    def gpu_target(self) -> tuple[str, dict[str, Any], int] | None:
        """The same of a GPU, and the bytes of memory that the kernel needs beside its arrays."""
        ...

    def rule(self, which: str) -> Callable[..., Any] | None:
        """The user's rule "jvp", "transpose" or "batching", keywords filled in; None: not given."""
        ...


def bind(call: Call, *arrays: Operand, backend: str) -> list[Any]:
    """The results of a call, one for each entry of ``call.outs``."""
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
    """What a rule returned, one entry for each array that is wanted.

    Args:
        call: the operator, for messages.
        which: the rule, for messages.
        values: what it returned.
        wanted: shapes and dtypes.
        none: whether an entry may be None, which stands for zeros.
    """
    # One array need not be put into a tuple.
    if len(wanted) == 1 and not isinstance(values, (tuple, list)):
        values = [values]
    if not isinstance(values, (tuple, list)) or len(values) != len(wanted):
        raise TypeError(
            f"{call.name}: {which} must return {len(wanted)} arrays, got {shown(values)}"
        )
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
    """What a rule returned, varying as the operands do: it may depend on none of them."""
    return [None if v is None else typed_like(v, *operands) for v in values]


def _shape(*_: ShapedArray, call: Call, **__: Any) -> list[ShapedArray]:
    return [ShapedArray(out.shape, out.dtype) for out in call.outs]


def _value(*arrays: Array, call: Call) -> list[Any]:
    return _checked(call, "fallback", call.value(*arrays), call.outs, none=False)


def _jvp(
    primals: Sequence[Operand], tangents: Sequence[Tangent], *, call: Call, backend: str
) -> tuple[list[Any], list[Any]]:
    del backend  # rules call the operator again, which chooses
    rule = _needed(call, "jvp", "forward and reverse derivatives")
    # A rule should not meet jax's markers of zeros: None says the same.
    given = [None if is_zero(t) else t for t in tangents]
    returned = rule(tuple(primals), tuple(given))
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        raise TypeError(f"{call.name}: jvp must return (results, tangents), got {shown(returned)}")
    out = _checked(call, "jvp", returned[0], call.outs, none=False)
    moved = _checked(call, "jvp, for the tangents,", returned[1], call.outs, none=True)
    out, moved = (_typed(values, primals) for values in (out, moved))
    return out, [zero_tangent(o) if t is None else t for o, t in zip(out, moved, strict=True)]


def _transpose(cts: Sequence[Cotangent], *operands: Linear, call: Call, backend: str) -> list[Any]:
    del backend
    if all(isinstance(ct, ad.Zero) for ct in cts):
        return [None] * len(operands)
    rule = _needed(call, "transpose", "reverse derivatives")
    # In place of an operand that jax does not know, the rule sees its shape and dtype: this says in
    # which arrays the call is linear. Cotangents that are zero are given as arrays, for simplicity.
    linear = [ad.is_undefined_primal(o) for o in operands]
    shown = [
        jax.ShapeDtypeStruct(o.aval.shape, o.aval.dtype) if is_linear else o
        for o, is_linear in zip(operands, linear, strict=True)
    ]
    cts = tuple(ad.instantiate_zeros(ct) for ct in cts)
    back = _typed(_checked(call, "transpose", rule(cts, *shown), shown, none=True), cts)
    return [ct if is_linear else None for ct, is_linear in zip(back, linear, strict=True)]


def _batch(
    operands: Sequence[Operand], dims: Dims, *, call: Call, backend: str
) -> tuple[list[Any], Sequence[int | None]]:
    rule = call.rule("batching")
    if rule is not None:
        axes = tuple(None if d is None else int(d) for d in dims)
        returned = rule(tuple(operands), axes)
        if not isinstance(returned, (tuple, list)) or len(returned) != 2:
            raise TypeError(
                f"{call.name}: batching must return (results, axes), got {shown(returned)}"
            )
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
    # Without a rule the call runs for one entry after another: a kernel takes arrays of fixed
    # ranks.
    moved = [o if d is None else jnp.moveaxis(o, d, 0) for o, d in zip(operands, dims, strict=True)]

    def one(entry: Sequence[Array]) -> list[Any]:
        each = iter(entry)
        arrays = [o if d is None else next(each) for o, d in zip(moved, dims, strict=True)]
        return custom_p.bind(*arrays, call=call, backend=backend)

    out = jax.lax.map(one, [o for o, d in zip(moved, dims, strict=True) if d is not None])
    return out, [0] * len(call.outs)


def _gpu(*arrays: Array, call: Call, native: Callable[..., Any]) -> list[Any]:
    del native  # the CPU's target, from which this one does not follow
    found = call.gpu_target()
    if found is None:
        return _value(*arrays, call=call)
    target, attributes, scratch = found
    return gpu.custom(target, call.outs, scratch, call.in_place, *arrays, **attributes)


custom_p = register(
    "evops_custom",
    shape=_shape,
    value=_value,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    native=lambda *, call: call.target(),
    gpu=_gpu,
    aliases=lambda *, call: call.in_place,
    multiple_results=True,
)
