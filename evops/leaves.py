"""Base classes of the objects that users hold: which attributes may be set, and pytree nodes."""

import dataclasses
import functools
import hashlib
import numbers
import types
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import jax
import numpy as np

from evops.sealed import Sealed

_BOOL = np.dtype(bool)
_OPERATORS = ("__matmul__", "__rmatmul__", "__call__", "__getitem__")


def digest_of(*parts: Any) -> bytes:
    """Bytes that are equal where all parts are: arrays, and what `repr` tells apart."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        array = isinstance(part, np.ndarray)
        digest.update(repr((part.shape, part.dtype.str) if array else part).encode())
        digest.update(np.ascontiguousarray(part).data if array else b"")
    return digest.digest()


class Fixed:
    """Base of objects whose attributes are those their class declares, each set once.

    Those in `_leaves` may be set again: programs take them as arguments, so a new value has effect.
    """

    _declared: ClassVar[frozenset[str]] = frozenset()
    _leaves: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        own = vars(cls).get("__annotations__", {}).items()
        cls._declared = cls._declared | {name for name, kind in own if "ClassVar" not in str(kind)}

    def __setattr__(self, name: str, value: Any) -> None:
        again = name in vars(self) and name not in self._leaves
        if again or name not in self._declared:
            raise dataclasses.FrozenInstanceError(
                f"{type(self).__name__} does not change once it is made: {name!r} cannot be set; "
                "make another one"
            )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(
            f"{type(self).__name__} does not change once it is made: {name!r} cannot be deleted"
        )


class Node(Fixed):
    """Base of pytree nodes: properties bear whatever jax puts in the place of leaves.

    A subclass names its leaves and what is static. Every public method checks at its entrance that
    the leaves have the axes and the types it reads.
    """

    _name: ClassVar[str] = "W"
    _weight_leaf: ClassVar[str] = ""  # the attribute that users map over
    _children: ClassVar[tuple[str, ...]] = ()  # leaves and other nodes, in order
    _constants: ClassVar[tuple[str, ...]] = ()  # hashable; a new one makes another program
    _words: ClassVar[dict[str, np.dtype]] = {}  # leaves that are no weights, and their dtype

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        for name, function in list(vars(cls).items()):
            public = not name.startswith(("_", "tree_"))  # jax takes any leaves apart
            if isinstance(function, types.FunctionType) and (public or name in _OPERATORS):
                setattr(cls, name, checked(function))
        own = {name.lstrip("_"): _BOOL for name in vars(cls) if _sealed(cls, name)}
        cls._words = {**cls._words, **own}

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        """Leaves with their names, which jax traces, maps and differentiates; what is static."""
        leaves, static = self.tree_flatten()
        keys = [jax.tree_util.GetAttrKey(name.lstrip("_")) for name in self._children]
        return tuple(zip(keys, leaves, strict=True)), static

    def tree_flatten(self) -> tuple[Any, Any]:
        """Leaves, which jax traces, maps and differentiates, and what is static: hashable."""
        leaves = tuple(_leaf_of(self, name) for name in self._children)
        return leaves, tuple(getattr(self, name) for name in self._constants)

    @classmethod
    def tree_unflatten(cls, static: Any, leaves: Any) -> Any:
        """The object of these leaves, unchecked: jax puts markers and batches in their place."""
        node = object.__new__(cls)
        for name, leaf in zip(cls._children, leaves, strict=True):
            sealed = _sealed(cls, name)
            if sealed is None:
                object.__setattr__(node, name, leaf)
            else:
                sealed.restore(node, leaf)
        for name, value in zip(cls._constants, static, strict=True):
            object.__setattr__(node, name, value)
        return node

    def _like(self, **changes: Any) -> Any:
        """The same with other attributes, unchecked."""
        node = object.__new__(type(self))
        vars(node).update(vars(self))
        for name, value in changes.items():
            object.__setattr__(node, name, value)
        return node

    def _axes(self) -> Iterator[tuple[str, Any, int]]:
        """Name, value and number of axes of every leaf that is not sealed."""
        raise NotImplementedError

    def _all_axes(self) -> Iterator[tuple[str, Any, int]]:
        """The same of every leaf that can be wrong: sealed ones where they have come from jax."""
        yield from self._axes()
        for name in self._children:
            sealed = _sealed(type(self), name)
            if sealed is not None and sealed.unproven(self):
                yield name.lstrip("_"), sealed.leaf(self), sealed.axes + 1

    def _check_leaves(self, name: str | None = None) -> None:
        """Raise where a leaf is no array of the axes that methods read."""
        name = name or self._name
        for which, leaf, axes in self._all_axes():
            if not isinstance(leaf, (jax.Array, np.ndarray, np.generic, numbers.Number)):
                raise TypeError(f"{name} has a leaf that is no array: {which} is {leaf!r}")
            shape = tuple(getattr(leaf, "shape", ()))
            got = f"{which} has shape {shape}, expected {axes} axes"
            if len(shape) > axes:
                raise ValueError(
                    f"{name} has leaves with a batch axis: use it under jax.vmap, or take one out "
                    f"with jax.tree.map(lambda leaf: leaf[0], {name}) ({got})"
                )
            whole, found = self._words.get(which.partition(" ")[0]), getattr(leaf, "dtype", None)
            if whole is not None and found != whole:
                hint = f": map over {name}.{self._weight_leaf} instead" if self._weight_leaf else ""
                raise TypeError(
                    f"{name} has a leaf of another dtype: {which} has dtype {found}, expected "
                    f"{whole}. Not all leaves of {name} are weights{hint}"
                )
            if len(shape) < axes:
                raise ValueError(f"{name} has leaves with too few axes: {got}")


def _sealed(cls: type, name: str) -> Sealed | None:
    found = getattr(cls, name, None)
    return found if isinstance(found, Sealed) else None


def _leaf_of(node: Node, name: str) -> Any:
    sealed = _sealed(type(node), name)
    return getattr(node, name) if sealed is None else sealed.leaf(node)


def checked(method: Callable) -> Callable:
    """A method of a node, which checks leaves first."""

    @functools.wraps(method)
    def entrance(self, *arguments, **options):
        self._check_leaves()
        return method(self, *arguments, **options)

    return entrance


def parts_of(value: Any) -> list[Any]:
    """What stands in nested lists and tuples; a value that is neither stands for itself.

    Unlike leaves of jax, which warns of what may be iterated and is no node.
    """
    if not isinstance(value, (list, tuple)):
        return [value]
    return [part for each in value for part in parts_of(each)]


def shape_of(leaf: Any, axes: int) -> tuple[int, ...]:
    """The last `axes` extents of a leaf, 0 for those that it does not have."""
    shape = getattr(leaf, "shape", None)
    known = tuple(shape)[-axes:] if isinstance(shape, tuple) else ()
    return (0,) * (axes - len(known)) + known


def dtype_of(leaf: Any) -> np.dtype | None:
    """The dtype that a leaf has by itself: None for Python numbers and what is no array.

    Weakly typed arrays of jax are Python numbers that went into a program.
    """
    if getattr(leaf, "weak_type", False):
        return None
    dtype = getattr(leaf, "dtype", None)
    if not isinstance(dtype, np.dtype):
        return None
    real = dtype == np.dtype(bool) or jax.numpy.issubdtype(dtype, jax.numpy.number)
    return jax.dtypes.canonicalize_dtype(dtype) if real else None
