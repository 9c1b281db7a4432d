"""Connectivity of the 29 cortical areas of the macaque, from the package or from a user's files.

Sources: N. T. Markov et al. (2014), Cereb Cortex 24:17-36, doi:10.1093/cercor/bhs270 (fractions of
labelled neurons); M. Ercsey-Ravasz et al. (2013), Neuron 80:184-197,
doi:10.1016/j.neuron.2013.07.036 (distances); R. Chaudhuri et al. (2015), Neuron 88:419-431,
doi:10.1016/j.neuron.2015.09.008 (hierarchy).
"""

import csv
import dataclasses
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
    packaged = _from_csv(Path(str(resources.files("evops.networks") / "data" / "macaque29")))
    if folder is None:
        return packaged
    path = Path(folder)
    if not path.is_dir():
        raise DataError(f"data must be a directory, got {str(folder)!r}")
    if any((path / mat).exists() for _, mat, _ in TABLES.values()):
        return _from_mat(path, packaged.areas)
    return _from_csv(path)


def _from_csv(folder: Path) -> Cortex:
    names, tables = {}, {}
    for table, (file, _, _) in TABLES.items():
        names[table], tables[table] = _read_csv(folder / file)
    if len(set(names.values())) != 1:
        raise DataError(f"the files in {folder} do not name the same areas in the same order")
    return _checked(names["fln"], {**tables, "hierarchy": tables["hierarchy"][:, 0]}, folder)


def _read_csv(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    try:
        rows = [row for row in csv.reader(path.read_text().splitlines()) if row]
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV file: {error}") from error
    if len(rows) < 2:
        raise DataError(f"{path} must have a header and a row per area, got {len(rows)} rows")
    header, body = rows[0], rows[1:]
    for number, row in enumerate(body, 2):
        if len(row) != len(header):
            raise DataError(f"{path}, line {number}: expected {len(header)} cells, got {len(row)}")
    areas = tuple(row[0] for row in body)
    if len(header) > 2 and tuple(header[1:]) != areas:
        raise DataError(f"{path}: the header names other areas than the rows, or in another order")
    values = np.empty((len(body), len(header) - 1))
    for i, row in enumerate(body):
        for j, cell in enumerate(row[1:]):
            try:
                values[i, j] = float(cell)
            except ValueError:
                where = f"{path}, line {i + 2}, column {header[j + 1]}"
                raise DataError(f"{where}: expected a number, got {cell!r}") from None
    return areas, values


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
        try:
            content = loadmat(path)
        except (OSError, ValueError, TypeError, NotImplementedError) as error:
            raise DataError(f"cannot read {path}: {error}") from error
        if variable not in content:
            raise DataError(f"{path} must have a variable {variable!r}")
        try:
            tables[table] = np.asarray(content[variable], float).squeeze()
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: {variable} is not an array of numbers") from error
    highest = tables["hierarchy"].max(initial=0)
    if highest > 0:
        tables["hierarchy"] = tables["hierarchy"] / highest
    return _checked(areas, tables, folder)


def _checked(areas: tuple[str, ...], tables: dict[str, np.ndarray], folder: Path) -> Cortex:
    n = len(areas)
    for table, values in tables.items():
        file = TABLES[table][0]
        wanted = (n,) if table == "hierarchy" else (n, n)
        if values.shape != wanted:
            raise DataError(f"{folder}, {file}: expected shape {wanted}, got {values.shape}")
        if not np.isfinite(values).all() or (values < 0).any():
            raise DataError(f"{folder}, {file}: expected finite numbers >= 0")
    for table in ("fln", "hierarchy"):
        if tables[table].max() > 1:
            raise DataError(
                f"{folder}, {TABLES[table][0]}: expected numbers from 0 to 1, got "
                f"{tables[table].max()}"
            )
    return Cortex(areas, **tables)
