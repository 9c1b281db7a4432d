"""Tables of numbers in CSV and MATLAB files; errors name file, row and column.

`macaque` reads the connectivity of the 29-area model with them, from the package or from a user's
folder.
"""

import codecs
import csv
import dataclasses
import io
import itertools
import reprlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evops.errors import DataError


@dataclasses.dataclass(frozen=True)
class Table:
    """The numbers of a file, `(rows, columns)`, and the names of their places for errors.

    Attributes:
        path: the file.
        values: its numbers.
        lines: lines of the rows in a CSV file; rows are numbered where it is empty.
        header: names of the columns; columns are numbered where it is empty.
        names: names of the rows, in a CSV file.
    """

    path: Path
    values: np.ndarray
    lines: Sequence[int] = ()
    header: Sequence[str] = ()
    names: tuple[str, ...] = ()

    def at(self, i: int, j: int) -> str:
        """File, row and column of a number."""
        row = f"line {self.lines[i]}" if self.lines else f"row {i + 1}"
        return f"{self.path}, {row}, column {self.header[j] if self.header else j + 1}"

    def check(self, ok: np.ndarray, expected: str) -> None:
        """Raise at the first number that is not `ok`.

        Raises:
            DataError: there is one.
        """
        for i, j in np.argwhere(~ok).tolist():
            raise DataError(f"{self.at(i, j)}: expected {expected}, got {self.values[i, j]}")

    def check_names(self, expected: Sequence[str], first: Path) -> None:
        """Raise at the first row that is not named as in the file `first`.

        Raises:
            DataError: there is one.
        """
        for i, (theirs, name) in enumerate(itertools.zip_longest(expected, self.names)):
            if theirs != name:
                line = self.lines[i] if i < len(self.lines) else self.lines[-1] + 1
                raise DataError(
                    f"{self.path}, line {line}, column 1: the files do not name the same areas "
                    f"in the same order: {_cell(theirs)} in {first.name}, {_cell(name)} here"
                )


def read_csv(path: Path, square: bool) -> Table:
    """A CSV file with a name at the head of each row; where `square`, the same above each column.

    Raises:
        DataError: the file cannot be read, or is no such table.
    """
    (first, header), *body = _rows(path)
    names = tuple(row[0] for _, row in body)
    for i, name in enumerate(names):
        if not name.strip() or name in names[:i]:
            wrong = "is there twice" if name.strip() else "is no name of an area"
            raise DataError(f"{path}, line {body[i][0]}, column 1: {_cell(name)} {wrong}")
    if square:
        for j, (row, column) in enumerate(itertools.zip_longest(names, header[1:]), 2):
            if row != column:
                raise DataError(
                    f"{path}, line {first}, column {j}: the header names other areas than the rows,"
                    f" or in another order: expected {_cell(row)}, got {_cell(column)}"
                )
    elif len(header) != 2:
        raise DataError(
            f"{path}, line {first}, column {min(len(header), 2) + 1}: expected 2 columns between "
            f"commas, area and value, got {len(header)}"
        )
    values = np.empty((len(body), len(header) - 1))
    table = Table(path, values, [line for line, _ in body], header[1:], names)
    for i, (_, row) in enumerate(body):
        for j, cell in enumerate(row[1:]):
            try:
                values[i, j] = float("no" if "_" in cell else cell)  # Python reads 1_000
            except ValueError:
                raise DataError(f"{table.at(i, j)}: expected a number, got {_cell(cell)}") from None
    return table


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a CSV file that are not empty, header first, all of its length: (line, cells)."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not a CSV file: {error}") from error
    if len(rows) < 2:
        raise DataError(f"{path} must have a header and a row per area, got {len(rows)} rows")
    header = rows[0][1]
    for line, row in rows[1:]:
        if len(row) != len(header):
            where = f"column {len(header) + 1} has no name"
            if len(row) < len(header):
                where = f"none in column {header[len(row)]}"
            raise DataError(
                f"{path}, line {line}: expected {len(header)} cells, got {len(row)} ({where})"
            )
    return rows


def _cell(content: str | None) -> str:
    """The content of a cell for a message, shortened."""
    return "nothing" if content is None else reprlib.repr(content)


def _text(path: Path) -> str:
    """The text of a file in UTF-8, without the mark that spreadsheets put before it."""
    content = _content(path).removeprefix(codecs.BOM_UTF8)
    try:
        # UTF-16 and UTF-32 of plain letters are valid UTF-8; their zero bytes tell them apart.
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


def read_mat(path: Path, variable: str) -> Table:
    """A matrix of real numbers in a MATLAB file.

    Raises:
        DataError: the file cannot be read, has no such variable, or that is no such matrix.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise DataError(
            "reading .mat files needs scipy: pip install 'jax-evops[networks]'"
        ) from error
    content = io.BytesIO(_content(path))
    try:
        with warnings.catch_warnings():
            # Of defaults of loadmat that will change: what they decide about is refused below.
            warnings.simplefilter("ignore")
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
        Table(path, values).check(real, "a real number")
    return Table(path, values.astype(float))
