"""Registration: one call gives a JAX primitive its value, shape, transforms and lowerings.

Not by `jax.ffi.ffi_call`: that has no derivatives, and batches only by loops or by broadcasting.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from evops.engine import library, spike_lists
from evops.engine.compat import (
    Primitive,
    ShapedArray,
    ad,
    aligned,
    batching,
    ffi,
    mlir,
    of_one_device,
    result_type,
)


class _Aligned(Primitive):
    """A primitive whose operands vary over the same axes of a mesh, as those of jax's own do."""

    def bind(self, *operands: Any, **statics: Any) -> Any:
        # Here and not in the faces: rules bind primitives too, and must align what they bind.
        return super().bind(*aligned(*operands), **statics)


def _of_flags(rule: Callable[..., Any], at: int, flags_of: Callable[..., Any]) -> Any:
    """A rule that sees the flags of operand `at`, whatever list is behind them."""

    def of_flags(*operands: Any, listed: int, **statics: Any) -> Any:
        flags = flags_of(operands[at], listed)
        return rule(*operands[:at], flags, *operands[at + 1 :], **statics)

    return of_flags


def _with_listed(native: Callable[..., Any]) -> Callable[..., Any]:
    """A target whose attributes have ``listed``."""

    def with_listed(*, listed: int, **statics: Any) -> tuple[str, dict[str, Any]] | None:
        found = native(**statics)
        return found and (found[0], {**found[1], "listed": np.int64(listed)})

    return with_listed


def register(
    name: str,
    *,
    shape: Callable[..., Any],
    value: Callable[..., Any],
    jvp: Callable[..., Any],
    transpose: Callable[..., Any],
    batch: Callable[..., Any],
    native: Callable[..., tuple[str, dict[str, Any]] | None] | None = None,
    gpu: Callable[..., Any] | None = None,
    plain: Callable[..., bool] = lambda **_: False,
    aliases: Callable[..., dict[int, int]] = lambda **_: {},
    multiple_results: bool = False,
    spikes: int | None = None,
) -> Primitive:
    """A primitive with every rule set.

    Each rule gets the statics as keywords. Rules need not know of `jax.shard_map`: operands are
    aligned when the primitive is bound, and results vary as they do.

    Args:
        name: of the primitive.
        shape: types of the operands to the types of the results.
        value: the jnp path, for platforms without a kernel. It, `native` and `gpu` do not get
            ``backend``.
        jvp: as in `ad.primitive_jvps`.
        transpose: as in `ad.primitive_transposes`.
        batch: as in `batching.primitive_batchers`.
        native: names the CPU's FFI target and its attributes; it may return None for the jnp path.
        gpu: traced on a GPU in place of `value`; it also gets `native`.
        plain: whether the jnp path is best on every platform, as for what XLA fuses.
        aliases: operands by number, and the results that may take over their memory.
        multiple_results: whether the primitive returns a list.
        spikes: the operand that may be flags with a list behind them (spike_lists.py). The
            primitive then has a static ``listed``. It reaches the handler and the rules of
            transformations; `shape`, `value` and `gpu` see flags, and do not get it.
    """
    primitive = _Aligned(name)
    primitive.multiple_results = multiple_results
    on_card = gpu and functools.partial(gpu, native=native)
    if spikes is not None:
        shape = _of_flags(shape, spikes, spike_lists.type_of_flags)
        value = _of_flags(value, spikes, spike_lists.flags_of)
        on_card = on_card and _of_flags(on_card, spikes, spike_lists.flags_of)
        native = native and _with_listed(native)

    def traced(function: Callable[..., Any]) -> Callable[..., Any]:
        rule = mlir.lower_fun(function, multiple_results=multiple_results)
        return lambda ctx, *operands, **statics: rule(of_one_device(ctx), *operands, **statics)

    in_jnp = traced(value)

    # Platforms without a library (TPU): whatever backend was chosen, only one can run there.
    def lower_anywhere(ctx: Any, *operands: Any, backend: str, **statics: Any) -> Any:
        del backend
        return in_jnp(ctx, *operands, **statics)

    def lower_cpu(ctx: Any, *operands: Any, backend: str, **statics: Any) -> Any:
        if backend != "native" or native is None or plain(**statics):
            return in_jnp(ctx, *operands, **statics)
        # Registers the targets in a process whose compiled code comes from jax's cache.
        library.choose("native")
        found = native(**statics)
        if found is None:
            return in_jnp(ctx, *operands, **statics)
        target, attributes = found
        rule = ffi.ffi_lowering(target, operand_output_aliases=aliases(**statics))
        return rule(ctx, *operands, **attributes)

    on_gpu = in_jnp if on_card is None else traced(on_card)

    def lower_gpu(ctx: Any, *operands: Any, backend: str, **statics: Any) -> Any:
        if backend != "native" or gpu is None or plain(**statics):
            return in_jnp(ctx, *operands, **statics)
        library.choose("native")
        return on_gpu(ctx, *operands, **statics)

    # Outside of jit: jax caches programs by the function, so each combination of statics keeps its
    # own. Bounded, since every shape and rule of a long session is another combination.
    @functools.lru_cache(maxsize=1024)
    def compiled(statics: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:
        return jax.jit(functools.partial(primitive.bind, **dict(statics)))

    def run(*operands: Any, **statics: Any) -> Any:
        # Under jax.disable_jit the jitted `bind` would call this function again, without end.
        with jax.disable_jit(False):
            return compiled(tuple(statics.items()))(*operands)

    def result(*avals: ShapedArray, **statics: Any) -> ShapedArray | list[ShapedArray]:
        found = shape(*avals, **statics)
        if multiple_results:
            return [result_type(each, avals) for each in found]
        return result_type(found, avals)

    primitive.def_impl(run)
    primitive.def_abstract_eval(result)
    ad.primitive_jvps[primitive] = jvp
    ad.primitive_transposes[primitive] = transpose
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, lower_anywhere)
    mlir.register_lowering(primitive, lower_cpu, platform="cpu")
    mlir.register_lowering(primitive, lower_gpu, platform="cuda")
    return primitive
