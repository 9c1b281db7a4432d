"""Users' own Taichi kernels as JAX primitives."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np

from evops import inputs
from evops.compiler import native
from evops.compiler.signature import Kernel, Typed
from evops.engine import custom, library
from evops.errors import BackendError, Flag, check_flag, check_integer, check_static, shown

_STATIC = (bool, int, float, str, np.bool_, np.number, np.dtype, type, type(None))


class XLACustomOp:
    """A JAX primitive that runs a Taichi kernel.

    A kernel takes the arrays of a call, then one array for each entry of ``outs``. These hold zeros
    when the kernel begins; the call returns them. (Zeros that it would overwrite unread are left
    out.) evops compiles the kernel when JAX first lowers a
    call, in a separate process, and keeps it on disk (``evops cache``).

    Args:
        cpu_kernel: a `ti.kernel` for CPUs. Its loops run in order, in the calling thread.
        gpu_kernel: a `ti.kernel` for NVIDIA GPUs, whose outermost loops run in parallel.
        fallback: ``fallback(*arrays, outs, **statics)`` in `jax.numpy`, for platforms without a
            kernel, where kernels cannot be compiled, and for ``backend="jnp"``.
        jvp: ``jvp(primals, tangents, *, outs, **statics)`` returns results and their tangents, two
            lists; a tangent is None where it is zero or the array holds no floats.
        transpose: ``transpose(cotangents, *arrays, outs, **statics)`` returns a cotangent for each
            array. Arrays to which the call is linear are `jax.ShapeDtypeStruct`; those of the
            others are ignored and may be None.
        batching: ``batching(arrays, axes, *, outs, **statics)`` returns results and their batch
            axes, two lists; without it a batch is computed entry by entry (`jax.lax.map`). ``outs``
            are those of one entry.
        parallel: whether to split the kernel over XLA's threads (CPU). It must be one outermost
            loop over ``range`` or ``ti.ndrange``, and no two iterations may write to one entry.
        in_place: ``{"v": 0}`` says that the kernel's array ``v``, one of those of a call, is
            result 0, too. The kernel finds the call's values there, changes them, and has no other
            array for that result. What the caller gave stays as it is: XLA copies it where
            somebody still uses it, and in a scan nobody does.
        name: name in messages; the kernel's where none is given.

    Raises:
        TypeError: a kernel that is none, or returns a value; a rule that cannot be called.

    Example:
        docs/custom_op.md has kernels; the other ways to compute look like this.

        >>> import jax, evops
        >>> double = evops.XLACustomOp(fallback=lambda x, *, outs: [2 * x])
        >>> x = jax.numpy.arange(3.0)
        >>> double(x, outs=[jax.ShapeDtypeStruct(x.shape, x.dtype)])[0]
        Array([0., 2., 4.], dtype=float32)
    """

    def __init__(
        self,
        cpu_kernel: Any = None,
        gpu_kernel: Any = None,
        fallback: Callable[..., Any] | None = None,
        *,
        jvp: Callable[..., Any] | None = None,
        transpose: Callable[..., Any] | None = None,
        batching: Callable[..., Any] | None = None,
        parallel: Flag = False,
        in_place: Mapping[str, SupportsIndex] | None = None,
        name: str | None = None,
    ):
        if cpu_kernel is None and gpu_kernel is None and fallback is None:
            raise TypeError("XLACustomOp needs cpu_kernel, gpu_kernel or fallback")
        place = _in_place(in_place)
        self._cpu = None if cpu_kernel is None else Kernel(cpu_kernel, "cpu_kernel", place)
        self._gpu = None if gpu_kernel is None else Kernel(gpu_kernel, "gpu_kernel", place)
        self._parallel = check_flag("parallel", parallel)
        rules = {"fallback": fallback, "jvp": jvp, "transpose": transpose, "batching": batching}
        for which, rule in rules.items():
            if rule is not None and not callable(rule):
                raise TypeError(f"{which} must be a function, got {shown(rule)}")
        self._rules = rules
        first = self._cpu or self._gpu
        if place and first is None:
            raise ValueError("in_place names arrays of a kernel: give cpu_kernel or gpu_kernel")
        self._in_place: dict[int, int] = first.in_place if first else {}
        if self._cpu and self._gpu and self._cpu.in_place != self._gpu.in_place:
            raise ValueError(
                "in_place must name the same arrays of cpu_kernel and gpu_kernel: the arrays "
                f"{sorted(self._cpu.in_place)} and {sorted(self._gpu.in_place)} have its names"
            )
        self.name: str = name or (first.name if first else getattr(fallback, "__name__", "op"))

    def __repr__(self) -> str:
        return f"XLACustomOp({self.name})"

    def __call__(
        self, *arrays: Any, outs: Any, backend: str | None = None, **statics: Any
    ) -> list[jax.Array]:
        """The results, one array for each entry of `outs`.

        Args:
            arrays: the kernel's arrays before those of `outs`; numbers and lists become arrays.
            outs: shape and dtype of each result, a list of `jax.ShapeDtypeStruct`.
            backend: "native" or "jnp" (the fallback).
            statics: known before compilation: numbers, strings, dtypes, None and tuples of them.
                Those that the kernel has as parameters (scalars, ``ti.template()``) are compiled
                into it; all are passed to the fallback and the rules.

        Raises:
            TypeError: a wrong number of arrays, a wrong dtype, a static that is none.
            ValueError: wrong ranks; no `outs`.
            BackendError: there is neither a kernel nor a fallback that can run here.
            KernelError: the kernel does not compile.
        """
        values = tuple(self._array(i, a) for i, a in enumerate(arrays))
        call = _Call(
            self,
            isinstance(backend, str) and backend == "native",
            self._outs(outs),
            tuple((n, _static(f"{self.name}: {n}", v)) for n, v in sorted(statics.items())),
            tuple((v.dtype, v.shape) for v in values),
        )
        kernel = self._cpu or self._gpu
        if kernel is not None:
            kernel.check(call.operands, call.results, call.keywords)
        return list(custom.bind(call, *values, backend=self._backend(backend)))

    def _array(self, index: int, value: Any) -> jax.Array:
        name = f"{self.name}: argument {index}"
        try:
            if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "iu":
                return inputs.array_of(name, value)  # integers that jax would cut to 32 bits
            if value is None:  # jax's own message names neither kernel nor argument
                raise TypeError
            return jnp.asarray(value)
        except OverflowError as error:
            raise ValueError(f"{name} must be within the range of its dtype") from error
        except TypeError as error:
            raise TypeError(f"{self.name}: argument {index} is no array: {value!r}") from error

    def _outs(self, outs: Any) -> tuple[jax.ShapeDtypeStruct, ...]:
        every = outs if isinstance(outs, (list, tuple)) else [outs]
        if not every:
            raise ValueError(f"{self.name}: outs must have one entry at least")
        found = []
        for i, out in enumerate(every):
            if not (hasattr(out, "shape") and hasattr(out, "dtype")):
                raise TypeError(
                    f"{self.name}: outs[{i}] must be a jax.ShapeDtypeStruct, got {shown(out)}"
                )
            if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in out.shape):
                raise ValueError(
                    f"{self.name}: outs[{i}] has shape {tuple(out.shape)}; extents are integers "
                    "from 0 on"
                )
            dtype = jax.dtypes.canonicalize_dtype(out.dtype)
            found.append(jax.ShapeDtypeStruct(tuple(out.shape), dtype))
        return tuple(found)

    def _backend(self, backend: str | None) -> str:
        """Which way to go; a platform without a kernel takes the fallback when it is lowered."""
        asked = library.choose(backend)
        if asked == "jnp":
            native_one = library.backends()["native"]
            why = "the jnp path was chosen" if native_one.available else native_one.detail
        else:
            none = self._cpu is None and self._gpu is None
            why = "it has no kernel" if none else native.missing_tools()
            if why is None:
                return "native"
            if backend == "native":
                raise BackendError(f"{self.name}: backend=native is not available: {why}")
        if self._rules["fallback"] is None:
            raise BackendError(f"{self.name} has no fallback, and {why}")
        return "jnp"


@dataclasses.dataclass(frozen=True)
class _Call:
    """One use of an operator: what `evops.engine.custom.Call` asks of it is described there."""

    op: XLACustomOp
    native: bool  # asked for by hand: no fallback
    outs: tuple[jax.ShapeDtypeStruct, ...]
    statics: tuple[tuple[str, "_Static"], ...]
    operands: tuple[Typed, ...]

    @property
    def name(self) -> str:
        return self.op.name

    @property
    def keywords(self) -> dict[str, Any]:
        return {name: static.value for name, static in self.statics}

    @property
    def results(self) -> list[Typed]:
        return [(np.dtype(out.dtype), tuple(out.shape)) for out in self.outs]

    @property
    def in_place(self) -> dict[int, int]:
        return self.op._in_place

    def __repr__(self) -> str:
        return self.name

    def rule(self, which: str) -> Callable[..., Any] | None:
        rule = self.op._rules[which]
        return rule and functools.partial(rule, outs=list(self.outs), **self.keywords)

    def value(self, *arrays: jax.Array) -> Any:
        fallback = self.rule("fallback")
        if fallback is None:
            raise BackendError(f"{self.name} has no kernel for this platform and no fallback")
        return fallback(*arrays)

    def target(self) -> tuple[str, dict[str, Any]] | None:
        kernel = self._kernel("cpu_kernel", self.op._cpu)
        if kernel is None:
            return None
        request = kernel.request(
            self.name, self.operands, self.results, self.keywords, split=self.op._parallel
        )
        return "evops_custom", self._attributes(kernel, native.registered(request))

    def gpu_target(self) -> tuple[str, dict[str, Any], int] | None:
        kernel = self._kernel("gpu_kernel", self.op._gpu)
        if kernel is None:
            return None
        kernel.check(self.operands, self.results, self.keywords)
        request = kernel.request(self.name, self.operands, self.results, self.keywords)
        key = native.registered(request)
        return "evops_gpu_custom", self._attributes(kernel, key), native.scratch_bytes(key)

    def _attributes(self, kernel: Kernel, key: str) -> dict[str, Any]:
        contents = kernel.contents(self.operands, self.results, self.keywords)
        return custom.attributes(key, self.name, contents)

    def _kernel(self, which: str, kernel: Kernel | None) -> Kernel | None:
        """The kernel of the platform that is lowered; None where the fallback takes its place."""
        if kernel is None and self.native:
            raise BackendError(f"{self.name}: backend=native is not available: it has no {which}")
        if kernel is None and self.op._rules["fallback"] is None:
            raise BackendError(f"{self.name} has no fallback, and it has no {which}")
        return kernel


@dataclasses.dataclass(frozen=True)
class _Static:
    """A static value; 1, 1.0 and True are different ones."""

    text: str
    value: Any = dataclasses.field(compare=False)


def _static(name: str, value: Any) -> _Static:
    def plain(v: Any) -> Any:
        check_static(name, v)
        if isinstance(v, (list, tuple)):
            return tuple(plain(entry) for entry in v)
        if not isinstance(v, _STATIC):
            raise TypeError(
                f"{name} must be a number, a string, a dtype, None or a tuple of such, got "
                f"{shown(v)}; give arrays before outs="
            )
        return v

    def text(v: Any) -> str:
        return f"({','.join(map(text, v))})" if isinstance(v, tuple) else f"{type(v)} {v!r}"

    value = plain(value)
    return _Static(text(value), value)


def _in_place(given: Any) -> dict[str, int]:
    """The argument of this name, checked as far as it can be without a kernel."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise TypeError(
            f'in_place must be a dict from names of arrays to numbers of results, as {{"v": 0}}, '
            f"got {shown(given)}"
        )
    found = {name: check_integer(f"in_place[{name!r}]", k, 0) for name, k in given.items()}
    if len(set(found.values())) != len(found):
        raise ValueError(f"in_place must give each array a result of its own, got {found}")
    return found
