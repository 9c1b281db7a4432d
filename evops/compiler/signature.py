"""A user's kernel: its parameters, and whether the arrays and numbers of a call fit them.

A call that does not fit ends here, in words of the user's kernel. Taichi's own errors come late,
and from another process.
"""

import dataclasses
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evops.compiler.native import EXTRA, TYPES, Request
from evops.compiler.source import definition, dtype_name, kernel_text, names, unwrapped
from evops.compiler.whole import whole
from evops.engine.custom import ANYTHING, ZEROS
from evops.errors import BackendError, shown

# Dtype and shape of an array.
Typed = tuple[np.dtype, tuple[int, ...]]

# Ranges of values for scalar parameters, by Taichi's types; types that are not here are floats.
_INTEGERS = {name: np.iinfo(np.dtype(name)) for name in TYPES if "int" in name}
_RANGES = {TYPES[name][1]: (int(info.min), int(info.max)) for name, info in _INTEGERS.items()}


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel.

    Attributes:
        name: its name.
        is_array: whether it is a `ti.types.ndarray`.
        annotation: its type, an object of Taichi's.
    """

    name: str
    is_array: bool
    annotation: Any


class Kernel:
    """A user's `ti.kernel`, for one platform.

    Args:
        kernel: the `ti.kernel` object.
        argument: the argument that it was given as: "cpu_kernel" or "gpu_kernel".
        in_place: names of arrays in which the kernel changes what a call gives, and the numbers of
            the results that they are.

    Raises:
        TypeError: no kernel, or one that is a method or returns a value.
        ValueError: a parameter whose name every call uses; an unknown name in `in_place`.
        BackendError: Taichi is not installed.
    """

    def __init__(
        self, kernel: Any, argument: str, in_place: Mapping[str, int] = types.MappingProxyType({})
    ):
        # The user has imported it to write the kernel; evops itself never does before.
        try:
            from taichi.types.ndarray_type import NdarrayType
        except ModuleNotFoundError as error:
            raise BackendError(
                f"{argument} needs taichi, which is not installed: {EXTRA}"
            ) from error
        primal = unwrapped(kernel, argument)
        self.kernel = kernel
        self.arch = "x64" if argument == "cpu_kernel" else "cuda"
        self.name: str = kernel.__name__
        self.parameters = [
            Parameter(a.name, isinstance(a.annotation, NdarrayType), a.annotation)
            for a in primal.arguments
        ]
        for taken in ("outs", "backend"):  # every call has these keywords
            if any(p.name == taken and not p.is_array for p in self.parameters):
                raise ValueError(f"{argument} {self.name}: no parameter may be called {taken}")
        for name in in_place:
            if name not in self.arrays():
                raise ValueError(
                    f"in_place must name arrays of {self.name} ({', '.join(self.arrays())}), got "
                    f"{name!r}"
                )
        # Operands by number, and the results in their place.
        self.in_place = {self.arrays().index(name): result for name, result in in_place.items()}

    def arrays(self) -> list[str]:
        """Names of the array parameters, in order."""
        return [p.name for p in self.parameters if p.is_array]

    def check(
        self,
        operands: Sequence[Typed],
        results: Sequence[Typed],
        statics: Mapping[str, Any],
    ) -> None:
        """Raise where the kernel does not take these arrays or numbers.

        Args:
            operands: of a call.
            results: of the call; those that are not in place are the kernel's last arrays.
            statics: the keywords of the call.

        Raises:
            TypeError: another number of arrays, another dtype, a missing or unfit keyword.
            ValueError: another rank or shape, an integer out of range.
        """
        names = self.arrays()
        if len(names) != len(operands) + len(results) - len(self.in_place):
            more = f", {len(self.in_place)} of them in place" if self.in_place else ""
            raise TypeError(
                f"{self.name} has {len(names)} array parameters ({', '.join(names)}), got "
                f"{len(operands)} arrays and {len(results)} outs{more}"
            )
        for operand, result in self.in_place.items():
            self._check_in_place(operand, result, operands, results)
        given = iter(self._own(operands, results))
        for parameter in self.parameters:
            if parameter.is_array:
                dtype, shape = next(given)
                self._check_array(parameter, dtype, len(shape))
            else:
                self._check_static(parameter, statics)

    def _own(self, operands: Sequence[Typed], results: Sequence[Typed]) -> list[Typed]:
        """The kernel's arrays, in order."""
        in_place = self.in_place.values()
        return [*operands, *(r for k, r in enumerate(results) if k not in in_place)]

    def _check_in_place(
        self, operand: int, result: int, operands: Sequence[Typed], results: Sequence[Typed]
    ) -> None:
        name = self.arrays()[operand]
        if result >= len(results):
            raise ValueError(
                f"{self.name}: in_place puts {name} in the place of result {result}; outs has "
                f"{len(results)}"
            )
        if operand >= len(operands):
            raise ValueError(
                f"{self.name}: in_place names {name}, an array of outs; it must be one of the "
                f"{len(operands)} arrays of the call"
            )
        (dtype, shape), (own_dtype, own_shape) = results[result], operands[operand]
        if results[result] != operands[operand]:
            raise ValueError(
                f"{self.name}: {name} is in the place of outs[{result}], which must be "
                f"{own_dtype}{list(own_shape)} as well, got {dtype}{list(shape)}"
            )

    def _check_array(self, parameter: Parameter, dtype: np.dtype, ndim: int) -> None:
        where = f"{self.name}: {parameter.name}"
        if dtype.name not in TYPES:
            raise TypeError(f"{where} has dtype {dtype}; kernels take {', '.join(TYPES)}")
        wanted, rank = parameter.annotation.dtype, parameter.annotation.ndim
        if wanted is not None:
            name = dtype_name(wanted)
            if name is None:
                raise TypeError(
                    f"{where} has elements that are vectors or matrices; write it as an array of "
                    "numbers with more axes"
                )
            # jax's bools are bytes of 0 or 1, which Taichi reads as u8; its own name for them is
            # u1.
            if name != TYPES[dtype.name][1] and (name, dtype.name) != ("u1", "bool"):
                raise TypeError(f"{where} must be {_numpy_name(name)}, got {dtype}")
        if rank is not None and rank != ndim:
            raise ValueError(f"{where} must have {rank} axes, got {ndim}")

    def _check_static(self, parameter: Parameter, statics: Mapping[str, Any]) -> None:
        where = f"{self.name}: {parameter.name}"
        if parameter.name not in statics:
            raise TypeError(f"{where} is no array; give it by name, {parameter.name}=…")
        dtype = dtype_name(parameter.annotation)
        value = statics[parameter.name]
        if dtype is None:
            # A template: any value, copied into the text of the kernel (source.py).
            import taichi as ti

            if not isinstance(parameter.annotation, ti.template):
                raise TypeError(f"{where} must be an array, a number or ti.template()")
        elif dtype in _RANGES:
            low, high = _RANGES[dtype]
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"{where} must be an integer ({dtype}), got {shown(value)}")
            if not low <= value <= high:
                raise ValueError(f"{where} must be from {low} to {high} ({dtype}), got {value}")
        elif isinstance(value, (str, tuple)) or value is None:
            raise TypeError(f"{where} must be a number ({dtype}), got {shown(value)}")

    def request(
        self,
        name: str,
        operands: Sequence[Typed],
        results: Sequence[Typed],
        statics: Mapping[str, Any],
        *,
        split: bool = False,
    ) -> Request:
        """The request to compile the kernel for arrays of these dtypes and ranks.

        Args:
            name: the operator, for messages.
            operands: of a call.
            results: of the call.
            statics: the keywords of the call; those that are no parameters are left out.
            split: whether to make the kernel run parts of its loop, for XLA's threads (CPU).
        """
        arrays = [(dtype, len(shape)) for dtype, shape in self._own(operands, results)]
        named = {
            n: (TYPES[dtype.name][1], ndim)
            for n, (dtype, ndim) in zip(self.arrays(), arrays, strict=True)
        }
        serial = self.arch == "x64"
        text = kernel_text(self.kernel, named, self._numbers(statics), serial=serial, split=split)
        read_only = tuple(k for k in range(len(operands)) if k not in self.in_place)
        return Request(name, text, arrays, read_only, split, self.arch)

    def contents(
        self, operands: Sequence[Typed], results: Sequence[Typed], statics: Mapping[str, Any]
    ) -> list[int]:
        """What the kernel must find in each result: an operand by number, `ZEROS` or `ANYTHING`."""
        function = self.kernel._primal.func
        shapes = dict(
            zip(self.arrays(), [shape for _, shape in self._own(operands, results)], strict=True)
        )
        known = names(function).new_child(self._numbers(statics))
        written = whole(definition(function), shapes, known)
        own = iter(self.arrays()[len(operands) :])
        place = {result: operand for operand, result in self.in_place.items()}
        return [
            place[k] if k in place else ANYTHING if next(own) in written else ZEROS
            for k in range(len(results))
        ]

    def _numbers(self, statics: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the parameters that are no arrays."""
        return {p.name: statics[p.name] for p in self.parameters if not p.is_array}


def _numpy_name(dtype: str) -> str:
    """NumPy's name of a type of Taichi's, for messages."""
    # Backwards: u8 is uint8 there, although bool, which comes first, is u8 as well.
    return next((name for name in reversed(TYPES) if TYPES[name][1] == dtype), "bool")
