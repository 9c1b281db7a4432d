"""Networks from a table: a row for each projection."""

import csv
import dataclasses
import hashlib
import math
import numbers
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from evops import inputs
from evops.connectivity.counted_rules import FixedInDegree, FixedTotalNumber
from evops.connectivity.laws import Constant, Law
from evops.connectivity.normal_laws import Normal
from evops.connectivity.rule import Rule
from evops.connectivity.rules import FixedProbability
from evops.engine.compat import Tracer
from evops.errors import check_real, shown
from evops.populations import Populations
from evops.projection import Projection


@runtime_checkable
class Frame(Protocol):
    """What is read of a pandas DataFrame."""

    @property
    def columns(self) -> Any:
        """Names of the columns."""

    def to_dict(self, orient: Any) -> Any:
        """Rows as dicts, for "records"."""


# A table as users have it: a DataFrame, rows by column, or a file of text.
Table: TypeAlias = Iterable[Mapping[str, Any]] | str | os.PathLike[str] | Frame
# What makes a law of a mean and a standard deviation.
MakesLaw: TypeAlias = Callable[[float, float], Law]

NAMES, COUNTS = ("source", "target", "receptor"), ("p", "number", "indegree")
NUMBERS = (*COUNTS, "weight", "weight_sd", "delay", "delay_sd")
COLUMNS = (*NAMES, *NUMBERS)
_NEEDED = ("source", "target", "weight", "delay")


def redrawn_delay(mean: float, sd: float) -> Law:
    """Delays in steps that are normal, drawn again where they would round to no step."""
    return Normal(mean, sd, low=0.5)


@dataclasses.dataclass(frozen=True)
class Row:
    """A projection of a table; `where` names its row in errors."""

    where: str
    key: tuple[str, ...]
    numbers: dict[str, float]

    def error(self, what: str) -> ValueError:
        return ValueError(f"{self.where}: {what}")


def projections(
    populations: Populations,
    table: Table,
    *,
    dt: Any,
    seed: Any,
    columns: Mapping[Any, str | None] | None,
    separator: str,
    total_from_p: bool,
    weight: MakesLaw,
    delay: MakesLaw,
    backend: str | None,
) -> dict[tuple[str, ...], Projection]:
    """The projections of `Circuit.from_table`, whose arguments these are."""
    dt = check_real("dt", dt)
    if dt <= 0:
        raise ValueError(f"dt must be above 0, got {dt}")
    if not isinstance(separator, str) or len(separator) != 1:
        raise ValueError(f"separator must be one character, got {shown(separator)}")
    if isinstance(seed, Tracer):
        raise TypeError("seed must be known: make circuits from tables outside jax.jit")
    words = np.asarray(inputs.seed_words("seed", seed), np.uint32)
    found: dict[tuple[str, ...], Projection] = {}
    first: dict[tuple[str, ...], str] = {}
    for row in _rows(table, separator, columns or {}):
        for side, name in zip(("source", "target"), row.key, strict=False):
            if name not in populations.names:
                raise row.error(
                    f"{side} must be one of {', '.join(populations.names)}, got {shown(name)}"
                )
        if row.key in first:
            raise row.error(f"{' to '.join(row.key[:2])} stands in {first[row.key]} already")
        first[row.key] = row.where
        shape = populations.size(row.key[0]), populations.size(row.key[1])
        try:
            rule = _rule(row, shape, total_from_p)
            if rule is None:
                continue
            found[row.key] = Projection(
                rule,
                _law(row, "weight", weight, 1.0),
                shape,
                seed=_seed(words, row.key),
                delay=_law(row, "delay", delay, dt),
                backend=backend,
            )
        except (TypeError, ValueError) as error:
            if str(error).startswith(row.where):
                raise
            raise type(error)(f"{row.where}: {error}") from error
    return found


def _seed(words: np.ndarray, key: tuple[str, ...]) -> int:
    """A seed of 64 bits that depends on the words of a seed and on the key of a row."""
    text = "\0".join(key).encode()
    digest = hashlib.blake2b(text, digest_size=8, key=words.astype("<u4").tobytes())
    return int.from_bytes(digest.digest(), "little")


def _rule(row: Row, shape: tuple[int, int], total_from_p: bool) -> Rule | None:
    """The rule of a row; None where it asks for no synapses."""
    given = [name for name in COUNTS if name in row.numbers]
    if len(given) != 1:
        got = " and ".join(given) or "none"
        raise row.error(f"one of p, number and indegree must be given, got {got}")
    (name,), value = given, row.numbers[given[0]]
    if name == "p":
        if not 0 <= value <= 1:
            raise row.error(f"p must be in [0, 1], got {value}")
        if value == 0:
            return None
        return (
            FixedTotalNumber.from_probability(value, shape)
            if total_from_p
            else FixedProbability(value)
        )
    if value < 0 or value != int(value):
        raise row.error(f"{name} must be an integer from 0 on, got {value}")
    if value == 0:
        return None
    return FixedTotalNumber(int(value)) if name == "number" else FixedInDegree(int(value))


def _law(row: Row, name: str, makes: MakesLaw, unit: float) -> Law:
    """The law of a column and of its deviation, in that unit."""
    mean, sd = row.numbers[name] / unit, row.numbers.get(f"{name}_sd", 0.0) / unit
    if sd < 0:
        raise row.error(f"{name}_sd must be at least 0, got {row.numbers[f'{name}_sd']}")
    if sd > 0:
        law = makes(mean, sd)
        if not isinstance(law, Law):
            raise TypeError(f"{name} must make a weight law, got {shown(law)}")
        return law
    # a constant delay is a whole number of steps, but for what dividing by dt leaves
    return Constant(float(np.round(mean, 6)) if name == "delay" else mean)


def _rows(table: Any, separator: str, columns: Mapping[Any, str | None]) -> Iterator[Row]:
    """The rows of a table, with documented names and numbers."""
    for k, cells in enumerate(_cells(table, separator)):
        where = f"table row {k}"
        named = _renamed(cells, columns, where)
        absent = [name for name in _NEEDED if _missing(named.get(name))]
        if absent:
            raise ValueError(f"{where}: {absent[0]} must be given, as {', '.join(_NEEDED)} are")
        receptor = named.get("receptor")
        key = tuple(str(named[name]) for name in ("source", "target"))
        key += () if _missing(receptor) else (str(receptor),)
        numeric = {
            name: _number(named[name], name, where)
            for name in NUMBERS
            if not _missing(named.get(name))
        }
        yield Row(where, key, numeric)


def _renamed(
    cells: Mapping[Any, Any], columns: Mapping[Any, str | None], where: str
) -> dict[str, Any]:
    """Cells by documented names; one name may come from several columns, joined as text."""
    left, named = dict(cells), {}
    for source, name in columns.items():
        parts = source if isinstance(source, tuple) else (source,)
        if name is not None and name not in COLUMNS:
            raise ValueError(
                f"columns[{source!r}] must be one of {', '.join(COLUMNS)} or None, got "
                f"{shown(name)}"
            )
        absent = [part for part in parts if part not in left]
        if absent:
            raise ValueError(f"{where}: there is no column {absent[0]!r}; there are {_list(cells)}")
        values = [left.pop(part) for part in parts]
        if name is not None:
            named[name] = values[0] if len(values) == 1 else "".join(map(str, values))
    for name, value in left.items():
        if name not in COLUMNS or name in named:
            twice = " a second time" if name in named else ""
            raise ValueError(
                f"{where}: column {name!r} is unknown{twice}; known are {', '.join(COLUMNS)}: name "
                "others in columns, as {'Pmax': 'p'} or {'note': None}"
            )
        named[name] = value
    return named


def _list(cells: Mapping[Any, Any]) -> str:
    return ", ".join(map(repr, cells))


def _missing(value: Any) -> bool:
    """Whether a cell is empty: None, an empty text or NaN, as pandas has it."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    return isinstance(value, numbers.Real) and math.isnan(value)


def _number(value: Any, name: str, where: str) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise ValueError(f"{where}: {name} must be a number, got {shown(value)}") from None
    try:
        return check_real(name, value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from None


def _cells(table: Any, separator: str) -> Iterator[Mapping[Any, Any]]:
    """Rows as mappings from column to cell."""
    if isinstance(table, (str, os.PathLike)):
        yield from _of_file(Path(table), separator)
        return
    if isinstance(table, Frame):
        table = table.to_dict("records")
    if isinstance(table, Mapping) or not isinstance(table, Iterable):
        raise TypeError(
            f"table must be a DataFrame, a list of dicts or a path, got {type(table).__name__}"
        )
    for k, row in enumerate(table):
        if not isinstance(row, Mapping):
            raise TypeError(f"table row {k} must map columns to values, got {shown(row)}")
        yield row


def _of_file(path: Path, separator: str) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        if separator != " ":
            lines = [line for line in csv.reader(file, delimiter=separator) if line]
        else:  # blanks: any number of them
            lines = [line.split() for line in file if line.strip()]
    if not lines:
        raise ValueError(f"{path} has no header")
    header = [cell.strip() for cell in lines[0]]
    twice = [name for k, name in enumerate(header) if name in header[:k]]
    if twice:
        raise ValueError(f"{path} has column {twice[0]!r} twice")
    for k, line in enumerate(lines[1:]):
        if len(line) != len(header):
            raise ValueError(
                f"table row {k}: {len(header)} cells expected, got {len(line)}: {line}"
            )
        yield dict(zip(header, (cell.strip() for cell in line), strict=True))
