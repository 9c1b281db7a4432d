"""Spikes as flags with a list of them behind: calls that share it do not each look for them again.

A row of such spikes is n flags, a byte each, then how many are set, then which, in order, in words
of 4 bytes. ``listed`` is the number of words, 0 for plain flags. A list without room for all spikes
still tells how many they are: whoever reads the row then reads the flags, so nothing is lost.

Primitives that take spikes have ``listed`` among their statics (`register`). Kernels of the CPU
read lists; everything else reads flags.
"""

import abc
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Shaped, UInt8

from evops.engine.compat import Operand, ShapedArray

WORD = 4  # bytes


class Listed(abc.ABC):
    """Spikes with a list, which stand for an array of their flags.

    Attributes:
        packed: the rows, (…, n + 4 * listed).
        listed: words of a list.
    """

    packed: UInt8[Array, "*b width"]
    listed: int
    dtype = np.dtype(bool)

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """That of the flags, (…, n)."""

    @property
    def flags(self) -> Bool[Array, "*b n"]:
        """Whether each neuron fires."""
        return flags_of(self.packed, self.listed)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def reshape(self, *shape: int) -> Any:
        """The same with other axes, as rows where they stay whole, else as flags."""
        if shape[-1:] != self.shape[-1:]:
            return self.flags.reshape(*shape)
        width = self.packed.shape[-1]
        return Rows(self.packed.reshape(*shape[:-1], width), self.listed)

    def astype(self, dtype: Any) -> Array:
        """The flags as numbers."""
        return self.flags.astype(dtype)


class Rows(Listed):
    """Rows of spikes on their way to a primitive."""

    def __init__(self, packed: UInt8[Array, "*b width"], listed: int):
        self.packed, self.listed = packed, listed

    @property
    def shape(self) -> tuple[int, ...]:
        *batch, width = self.packed.shape
        return *batch, width - WORD * self.listed


def operand(x: Shaped[Operand, "*n"] | Listed) -> tuple[Operand, int]:
    """What a primitive takes for `x`, and the words of its list."""
    return (x.packed, x.listed) if isinstance(x, Listed) else (x, 0)


def plain(x: Shaped[Operand, "*n"] | Listed) -> Operand:
    """`x` without a list."""
    return x.flags if isinstance(x, Listed) else x


def flags_of(x: Shaped[Operand, "*b width"], listed: int) -> Any:
    """The entries of an operand, whose list has that many words."""
    if not listed:
        return x
    return lax.slice_in_dim(x, 0, x.shape[-1] - WORD * listed, axis=-1) != np.uint8(0)


def type_of_flags(x: Shaped[ShapedArray, "*b width"], listed: int) -> ShapedArray:
    """The type of `flags_of`."""
    if not listed:
        return x
    assert x.dtype == np.uint8
    return ShapedArray((*x.shape[:-1], x.shape[-1] - WORD * listed), np.dtype(bool))


def words_of(packed: UInt8[Array, "*b width"], listed: int) -> Shaped[Array, "*b listed"]:
    """The words of the list: how many neurons fire, and which."""
    start = packed.shape[-1] - WORD * listed
    part = packed[..., start:].reshape(*packed.shape[:-1], listed, WORD)
    return lax.bitcast_convert_type(part, np.int32)


def pack(flags: Bool[Array, "*b n"], words: Shaped[Array, "*b listed"]) -> UInt8[Array, "*b width"]:
    """Flags with a list behind them."""
    listed = words.shape[-1]
    part = lax.bitcast_convert_type(words, np.uint8).reshape(*words.shape[:-1], WORD * listed)
    return jnp.concatenate([flags.astype(np.uint8), part], -1)
