"""Rules, laws and positions as dictionaries of what JSON has, and back.

A checkpoint of leaves has no rule and no version of the sampler; a record has both.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from evops.connectivity.laws import Law
from evops.connectivity.rule import Rule
from evops.errors import check_numbers, check_static, shown
from evops.space.kernels import Kernel
from evops.space.masks import Mask
from evops.space.positions import Grid, Positions

_BASES = (Rule, Law, Kernel, Mask)
_TYPE, _ARRAY = "type", "array"


def record_of(name: str, value: Any) -> Any:
    """`value` as numbers, texts, lists and dictionaries; `name` is for errors."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    check_static(name, value)
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        array = np.asarray(value)
        return {_TYPE: _ARRAY, "dtype": array.dtype.name, "values": array.tolist()}
    if isinstance(value, (tuple, list)):
        return [record_of(f"{name}[{k}]", part) for k, part in enumerate(value)]
    if isinstance(value, Positions):
        parts = {key: getattr(value, key) for key in _attributes(type(value))}
    elif isinstance(value, _BASES) and dataclasses.is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    else:
        raise TypeError(
            f"{name} must be made of numbers, texts, arrays, rules, laws, kernels and masks to be "
            f"written down, got {shown(value)}"
        )
    written = {key: record_of(f"{name}.{key}", part) for key, part in parts.items()}
    return {_TYPE: _name(type(value)), **written}


def value_of(name: str, record: Any, classes: Iterable[type] = ()) -> Any:
    """What `record_of` has written, with the user's own `classes`."""
    known = {_name(cls): cls for cls in (*_own(), *classes)}
    return _value(name, record, known)


def _value(name: str, record: Any, known: Mapping[str, type]) -> Any:
    if isinstance(record, (list, tuple)):
        return tuple(_value(f"{name}[{k}]", part, known) for k, part in enumerate(record))
    if not isinstance(record, Mapping):
        return record
    parts = dict(record)
    kind = parts.pop(_TYPE, None)
    if kind == _ARRAY and parts.keys() == {"dtype", "values"}:
        array = np.asarray(parts["values"], np.dtype(parts["dtype"]))
        return array if array.ndim else array[()]
    cls = known.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise ValueError(
            f"{name} must have a type of evops, or one of classes, got {shown(kind)}: hand your "
            "own rules and laws over as classes=[…]"
        )
    values = {key: _value(f"{name}.{key}", part, known) for key, part in parts.items()}
    wanted = set(_attributes(cls))
    if values.keys() != wanted:
        raise ValueError(
            f"{name} must have {', '.join(sorted(wanted))} for {kind}, got "
            f"{', '.join(sorted(values)) or 'nothing'}"
        )
    return _made(cls, values)


def _made(cls: type, values: dict[str, Any]) -> Any:
    if issubclass(cls, Positions):
        found = object.__new__(cls)
        points = np.array(values.pop("coordinates"), np.float64)
        periods = values.pop("periods")
        for key, value in values.items():
            setattr(found, key, value)
        found._place(points, periods)
        return found
    if not issubclass(cls, Law):
        return cls(**values)
    # Parameters that have been trained may be none that a user would write: they are kept as the
    # law has them, and so is what it keeps of its first parameters.
    found = object.__new__(cls)
    for field in dataclasses.fields(cls):  # pyright: ignore[reportArgumentType]
        value = values[field.name]
        if not field.metadata.get("static") and not isinstance(value, Law):
            check_numbers(field.name, value)
        object.__setattr__(found, field.name, value)
    return found


def _name(cls: type) -> str:
    """As users write it: there is a kernel Box and a mask."""
    return f"masks.{cls.__name__}" if issubclass(cls, Mask) else cls.__name__


def _attributes(cls: type) -> Iterator[str]:
    if issubclass(cls, Positions):
        yield from ("coordinates", "periods")
        yield from ("shape", "periodic") if issubclass(cls, Grid) else ()
    else:
        yield from (f.name for f in dataclasses.fields(cls))  # pyright: ignore[reportArgumentType]


def _own() -> Iterator[type]:
    """The classes of evops that records name."""
    yield from (Positions, Grid)
    waiting: list[type] = list(_BASES)
    while waiting:
        cls = waiting.pop()
        waiting.extend(cls.__subclasses__())
        if cls.__module__.startswith("evops.") and dataclasses.is_dataclass(cls):
            yield cls
