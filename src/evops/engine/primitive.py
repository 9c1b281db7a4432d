"""Registration: one call gives a JAX primitive its value, shape, transforms and lowerings."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from evops.engine import bridge
from evops.engine.compat import Primitive, ad, batching, ffi, mlir


def register(
    name: str,
    *,
    shape: Callable[..., Any],
    value: Callable[..., Any],
    jvp: Callable[..., Any],
    transpose: Callable[..., Any],
    batch: Callable[..., Any],
    native: Callable[..., tuple[str, dict[str, Any]] | None],
    gpu: Callable[..., Any],
    aliases: dict[int, int] | None = None,
    multiple_results: bool = False,
) -> Primitive:
    """A primitive with every rule set.

    Each rule gets the statics as keywords. `value` is the jnp path, used wherever the native
    library is not; it, `native`, which names the FFI target and its attributes (or None, for the
    jnp path), and `gpu`, which is traced in its place on a GPU and gets `native` too, do not get
    ``backend``.
    `aliases` maps operands to the results that may take over their memory.
    """
    primitive = Primitive(name)
    primitive.multiple_results = multiple_results
    in_jnp = mlir.lower_fun(value, multiple_results=multiple_results)

    def lower_anywhere(ctx, *operands, backend: str, **statics):
        del backend
        return in_jnp(ctx, *operands, **statics)

    def lower_cpu(ctx, *operands, backend: str, **statics):
        if backend != "native":
            return in_jnp(ctx, *operands, **statics)
        bridge.choose("native")  # registers the targets in a process that only loads compiled code
        found = native(**statics)
        if found is None:
            return in_jnp(ctx, *operands, **statics)
        target, attributes = found
        rule = ffi.ffi_lowering(target, operand_output_aliases=aliases)
        return rule(ctx, *operands, **attributes)

    on_gpu = mlir.lower_fun(
        functools.partial(gpu, native=native), multiple_results=multiple_results
    )

    def lower_gpu(ctx, *operands, backend: str, **statics):
        if backend != "native":
            return in_jnp(ctx, *operands, **statics)
        bridge.choose("native")
        return on_gpu(ctx, *operands, **statics)

    @functools.lru_cache(maxsize=1024)
    def compiled(statics):
        return jax.jit(functools.partial(primitive.bind, **dict(statics)))

    primitive.def_impl(lambda *operands, **s: compiled(tuple(s.items()))(*operands))
    primitive.def_abstract_eval(shape)
    ad.primitive_jvps[primitive] = jvp
    ad.primitive_transposes[primitive] = transpose
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, lower_anywhere)
    mlir.register_lowering(primitive, lower_cpu, platform="cpu")
    mlir.register_lowering(primitive, lower_gpu, platform="cuda")
    return primitive
