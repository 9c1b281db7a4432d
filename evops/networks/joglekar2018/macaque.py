"""Connectivity of the 29 cortical areas of the macaque, from the package or from a user's files.

Sources: N. T. Markov et al. (2014), Cereb Cortex 24:17-36, doi:10.1093/cercor/bhs270 (fractions of
labelled neurons); M. Ercsey-Ravasz et al. (2013), Neuron 80:184-197,
doi:10.1016/j.neuron.2013.07.036 (distances); R. Chaudhuri et al. (2015), Neuron 88:419-431,
doi:10.1016/j.neuron.2015.09.008 (hierarchy).
"""

import codecs
import csv
import dataclasses
import io
import itertools
import os
import reprlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from evops.errors import DataError

# Table: CSV file, and the file and variable of the published MATLAB data.
TABLES = {
    "fln": ("fln.csv", "efelenMatpython.mat", "flnMatpython"),
    "hierarchy": ("hierarchy.csv", "hierValspython.mat", "hierVals"),
    "distance_mm": ("distance_mm.csv", "subgraphWiring29.mat", "wiring"),
}
LONGEST_MM = 1000  # a delay buffer has a slot for every step of the longest distance


@dataclasses.dataclass(frozen=True)
class Cortex:
    """Areas in hierarchical order and the tables between them.

    Attributes:
        areas: names.
        fln: `(areas, areas)`, fraction of labelled neurons, row = target, column = source.
        hierarchy: `(areas,)`, 0 to 1.
        distance_mm: `(areas, areas)`, wiring distance in mm, row = target, column = source.
    """

    areas: tuple[str, ...]
    fln: np.ndarray
    hierarchy: np.ndarray
    distance_mm: np.ndarray


def load(folder: str | Path | None = None) -> Cortex:
    """The tables of the package, or those in `folder`.

    Args:
        folder: a directory with ``fln.csv``, ``hierarchy.csv`` and ``distance_mm.csv`` in the form
            of the package's own, or with the published ``efelenMatpython.mat``,
            ``hierValspython.mat`` and
            ``subgraphWiring29.mat``.

    Raises:
        DataError: a file is missing or malformed, or the tables do not fit together.
    """
    packaged = _from_csv(Path(str(resources.files(__package__) / "data" / "macaque29")))
    if folder is None:
        return packaged
    if not os.path.isdir(folder):
        raise DataError(f"data must be a directory, got {str(folder)!r}")
    path = Path(folder)
    if any(os.path.lexists(path / mat) for _, mat, _ in TABLES.values()):
        return _from_mat(path, packaged.areas)
    return _from_csv(path)


@dataclasses.dataclass(frozen=True)
class _Table:
    """The numbers of a file as they stand there, `(rows, columns)`, and what to call their places.

    Rows are lines of a CSV file (`lines`), or numbered; columns have names (`header`) or numbers.
    """

    path: Path
    values: np.ndarray
    lines: Sequence[int] = ()
    header: Sequence[str] = ()

    def at(self, i: int, j: int) -> str:
        """File, row and column of a number."""
        row = f"line {self.lines[i]}" if self.lines else f"row {i + 1}"
        return f"{self.path}, {row}, column {self.header[j] if self.header else j + 1}"

    def check(self, ok: np.ndarray, expected: str) -> None:
        """Raise at the first number that is not `ok`."""
        for i, j in np.argwhere(~ok):
            raise DataError(f"{self.at(i, j)}: expected {expected}, got {self.values[i, j]}")


def _from_csv(folder: Path) -> Cortex:
    areas, tables = (), {}
    for table, (file, _, _) in TABLES.items():
        names, tables[table] = _read_csv(folder / file, square=table != "hierarchy")
        areas = areas or names
        for i, (theirs, name) in enumerate(itertools.zip_longest(areas, names)):
            if theirs != name:
                lines = tables[table].lines
                line = lines[i] if i < len(lines) else lines[-1] + 1
                raise DataError(
                    f"{folder / file}, line {line}, column 1: the files do not name the same areas "
                    f"in the same order: {_cell(theirs)} in {TABLES['fln'][0]}, {_cell(name)} here"
                )
    return _checked(areas, tables)


def _read_csv(path: Path, square: bool) -> tuple[tuple[str, ...], _Table]:
    """Names of the rows, and the numbers beside them; where `square`, of the columns as well."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not a CSV file: {error}") from error
    if len(rows) < 2:
        raise DataError(f"{path} must have a header and a row per area, got {len(rows)} rows")
    (first, header), body = rows[0], rows[1:]
    for line, row in body:
        if len(row) != len(header):
            where = f"none in column {header[len(row)]}" if len(row) < len(header) else (
                f"column {len(header) + 1} has no name"
            )  # fmt: skip
            raise DataError(
                f"{path}, line {line}: expected {len(header)} cells, got {len(row)} ({where})"
            )
    areas = tuple(row[0] for _, row in body)
    for i, area in enumerate(areas):
        if not area.strip() or area in areas[:i]:
            wrong = "is there twice" if area.strip() else "is no name of an area"
            raise DataError(f"{path}, line {body[i][0]}, column 1: {_cell(area)} {wrong}")
    if square:
        for j, (area, name) in enumerate(itertools.zip_longest(areas, header[1:]), 2):
            if area != name:
                raise DataError(
                    f"{path}, line {first}, column {j}: the header names other areas than the rows,"
                    f" or in another order: expected {_cell(area)}, got {_cell(name)}"
                )
    elif len(header) != 2:
        raise DataError(
            f"{path}, line {first}, column {min(len(header), 2) + 1}: expected 2 columns between "
            f"commas, area and value, got {len(header)}"
        )
    table = _Table(path, np.empty((len(body), len(header) - 1)), [n for n, _ in body], header[1:])
    for i, (_, row) in enumerate(body):
        for j, cell in enumerate(row[1:]):
            try:
                table.values[i, j] = float("no" if "_" in cell else cell)  # Python reads 1_000
            except ValueError:
                raise DataError(f"{table.at(i, j)}: expected a number, got {_cell(cell)}") from None
    return areas, table


def _cell(content: str | None) -> str:
    return "nothing" if content is None else reprlib.repr(content)


def _text(path: Path) -> str:
    content = _content(path).removeprefix(codecs.BOM_UTF8)
    try:
        text, end = content.decode("utf-8"), content.find(b"\0")
    except UnicodeDecodeError as error:
        text, end = "", error.start
    if end < 0:
        return text
    before = content[:end].split(b"\n")
    raise DataError(
        f"{path}, line {len(before)}, column {before[-1].count(b',') + 1}: not a CSV file in "
        f"UTF-8, got the byte {content[end : end + 1].hex()}"
    )


def _content(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise OSError(None, "it is no plain file")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _from_mat(folder: Path, areas: tuple[str, ...]) -> Cortex:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise DataError(
            "reading .mat files needs scipy: pip install 'jax-evops[networks]'"
        ) from error
    tables = {}
    for table, (_, file, variable) in TABLES.items():
        path = folder / file
        content = io.BytesIO(_content(path))
        try:
            values = loadmat(content, variable_names=[variable]).get(variable)
        except Exception as error:  # a broken file raises whatever its parser stumbles over
            raise DataError(f"cannot read {path}: {error}") from error
        if values is None:
            raise DataError(f"{path} must have a variable {variable!r}")
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "biufc":
            raise DataError(f"{path}: {variable} is not an array of numbers")
        if values.ndim != 2:
            raise DataError(f"{path}: {variable} has {values.ndim} dimensions, expected 2")
        if values.dtype.kind == "c":
            real = (values.imag == 0) & values.imag.any()  # where all are, the first is named
            _Table(path, values).check(real, "a real number")
        tables[table] = _Table(path, values.astype(float))
    return _checked(areas, tables, relative=True)


def _checked(areas: tuple[str, ...], tables: dict[str, _Table], relative: bool = False) -> Cortex:
    """The tables, where they fit together; with `relative` the highest hierarchy becomes 1."""
    n, found = len(areas), {}
    for name, table in tables.items():
        values = table.values
        shapes = [(n, 1), (1, n)] if name == "hierarchy" else [(n, n)]
        if values.shape not in shapes:
            raise DataError(f"{table.path}: expected shape {shapes[0]}, got {values.shape}")
        table.check(np.isfinite(values) & (values >= 0), "finite numbers >= 0")
        highest = LONGEST_MM if name == "distance_mm" else 1
        if relative and name == "hierarchy":
            values = values / max(values.max(), np.finfo(float).tiny)
        else:
            table.check(values <= highest, f"numbers from 0 to {highest}")
        found[name] = values.ravel() if name == "hierarchy" else values
    return Cortex(areas, **found)
