"""Leaves of whole numbers that arithmetic over all leaves cannot change unseen.

A seed, or the place where a row begins, is no weight: doubled, it is another one, of the same type.
Code that scales, adds to or clips every leaf of a tree would draw another network without a word.
So such numbers cross into jax as planes of bits, which are bools. Arithmetic then raises or changes
their type, and `leaves.Node` says so where the object is used. An optimiser that adds a small step
and casts back leaves them as they are.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Bool, Integer

_BITS = 32
_WORD, _BOOL = np.dtype(np.uint32), np.dtype(bool)


def sealed(dtype: Any, axes: int, optional: bool = False) -> Any:
    """A `Sealed` attribute; in the class it is annotated as the numbers that it holds."""
    return Sealed(dtype, axes, optional)


class _Held:
    """The numbers of one object, the planes, or both; what stands in their place is both."""

    __slots__ = ("numbers", "planes")

    def __init__(self, numbers: Any, planes: Any):
        self.numbers, self.planes = numbers, planes


class Sealed:
    """An attribute of whole numbers of 32 bits, whose leaf is their planes of bits.

    Traced ones are converted where they come in, once for a program and not at each of its steps;
    those that are known when they are first needed.

    Args:
        dtype: int32 or uint32, of the numbers.
        axes: their number of axes; that of the bits stands before these.
        optional: whether there may be none.
    """

    def __init__(self, dtype: Any, axes: int, optional: bool = False):
        self.dtype, self.axes, self.optional = np.dtype(dtype), axes, optional

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, node: Any, owner: type | None = None) -> Any:
        if node is None:
            return self
        held = self._held(node)
        if held.numbers is None and held.planes is not None:
            held.numbers = _known(held.planes, lambda planes: _numbers(planes, self))
        return held.numbers

    def __set__(self, node: Any, value: Any) -> None:
        numbers = isinstance(value, (jax.Array, np.ndarray)) and value.dtype == self.dtype
        held = _Held(value, None if numbers else value)
        if isinstance(value, Tracer) and numbers:
            held.planes = _traced_planes(value, self.axes)
        vars(node)[self._name] = held

    def leaf(self, node: Any) -> Any:
        """The planes, `(32, …)`, or what jax has put in their place."""
        held = self._held(node)
        if held.planes is None and held.numbers is not None:
            held.planes = _known(held.numbers, lambda numbers: _planes(numbers, self.axes))
        return held.planes

    def unproven(self, node: Any) -> bool:
        """Whether what is there may be none of ours: it has come back from jax, or was set."""
        held = self._held(node)
        there = held.numbers is not None or held.planes is not None
        return held.planes is not None if there else not self.optional

    def restore(self, node: Any, leaf: Any) -> None:
        """Take a leaf back, whatever it is."""
        array = isinstance(leaf, (jax.Array, np.ndarray)) and leaf.dtype == _BOOL
        held = _Held(None if array and leaf.ndim > self.axes else leaf, leaf)
        if isinstance(leaf, Tracer) and held.numbers is None:
            held.numbers = _traced_numbers(leaf, self)
        vars(node)[self._name] = held

    def _held(self, node: Any) -> _Held:
        try:
            return vars(node)[self._name]
        except KeyError:
            raise AttributeError(f"{type(node).__name__} has no {self._name}") from None


def _known(array: Any, convert: Any) -> jax.Array:
    """`convert` of an array that is known, on the host, for the device on which it is."""
    with jax.ensure_compile_time_eval():  # it outlives the program that asks for it
        device = None
        if isinstance(array, jax.Array) and array.committed:
            device = array.sharding
        return jax.device_put(convert(np.asarray(array)), device)


def _planes(numbers: Integer[np.ndarray, "..."], axes: int) -> Bool[np.ndarray, "..."]:
    at = numbers.ndim - axes
    octets = np.ascontiguousarray(numbers, numbers.dtype.newbyteorder("<"))[..., None].view(
        np.uint8
    )
    octets = np.moveaxis(octets, -1, at)
    return np.unpackbits(octets, axis=at, bitorder="little").view(bool)


def _numbers(planes: Bool[np.ndarray, "..."], of: Sealed) -> Integer[np.ndarray, "..."]:
    at = planes.ndim - 1 - of.axes
    octets = np.packbits(planes, axis=at, bitorder="little")
    octets = np.ascontiguousarray(np.moveaxis(octets, at, -1))
    return octets.view(of.dtype.newbyteorder("<"))[..., 0].astype(of.dtype)


def _shifts(ndim: int, at: int) -> jax.Array:
    """The places of bits along axis `at` of so many: users may forbid promotion of ranks."""
    return jnp.arange(_BITS, dtype=_WORD).reshape((1,) * at + (_BITS,) + (1,) * (ndim - 1 - at))


def _traced_planes(numbers: Integer[Array, "..."], axes: int) -> Bool[Array, "..."]:
    words = lax.bitcast_convert_type(numbers, _WORD)
    at = words.ndim - axes
    words = jnp.expand_dims(words, at)
    return ((words >> _shifts(words.ndim, at)) & np.uint32(1)).astype(bool)


def _traced_numbers(planes: Bool[Array, "..."], of: Sealed) -> Integer[Array, "..."]:
    at = planes.ndim - 1 - of.axes
    words = (planes.astype(_WORD) << _shifts(planes.ndim, at)).sum(at, dtype=_WORD)
    return lax.bitcast_convert_type(words, of.dtype)
