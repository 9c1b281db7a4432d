"""Connectivity of the 29 cortical areas of the macaque, from the package or from a user's files.

Sources: N. T. Markov et al. (2014), Cereb Cortex 24:17-36, doi:10.1093/cercor/bhs270 (fractions of
labelled neurons); M. Ercsey-Ravasz et al. (2013), Neuron 80:184-197,
doi:10.1016/j.neuron.2013.07.036 (distances); R. Chaudhuri et al. (2015), Neuron 88:419-431,
doi:10.1016/j.neuron.2015.09.008 (hierarchy).
"""

import dataclasses
import os
from importlib import resources
from pathlib import Path

import numpy as np

from evops.errors import DataError
from evops.networks.joglekar2018.tables import Table, read_csv, read_mat

# Table: its CSV file, and the file and variable of the published MATLAB data.
FILES = {
    "fln": ("fln.csv", "efelenMatpython.mat", "flnMatpython"),
    "hierarchy": ("hierarchy.csv", "hierValspython.mat", "hierVals"),
    "distance_mm": ("distance_mm.csv", "subgraphWiring29.mat", "wiring"),
}
# A delay buffer has a slot for every step of the longest delay; a wrong unit would fill the memory.
LONGEST_MM = 1000


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
            ``hierValspython.mat`` and ``subgraphWiring29.mat``.

    Raises:
        DataError: a file is missing or malformed, or the tables do not fit together.
    """
    data = resources.files("evops.networks.joglekar2018") / "data"
    packaged = _from_csv(Path(str(data / "macaque29")))
    if folder is None:
        return packaged
    if not os.path.isdir(folder):
        raise DataError(f"data must be a directory, got {str(folder)!r}")
    path = Path(folder)
    if any(os.path.lexists(path / mat) for _, mat, _ in FILES.values()):
        return _from_mat(path, packaged.areas)
    return _from_csv(path)


def _from_csv(folder: Path) -> Cortex:
    tables: dict[str, Table] = {}
    for name, (file, _, _) in FILES.items():
        table = read_csv(folder / file, square=name != "hierarchy")
        first = next(iter(tables.values()), table)
        table.check_names(first.names, first.path)
        tables[name] = table
    return _checked(tables["fln"].names, tables)


def _from_mat(folder: Path, areas: tuple[str, ...]) -> Cortex:
    tables = {name: read_mat(folder / file, var) for name, (_, file, var) in FILES.items()}
    return _checked(areas, tables, relative=True)


def _checked(areas: tuple[str, ...], tables: dict[str, Table], relative: bool = False) -> Cortex:
    """The tables, where they fit together; with `relative` the highest hierarchy becomes 1."""
    n, found = len(areas), {}
    for name, table in tables.items():
        values = table.values
        shapes = [(n, 1), (1, n)] if name == "hierarchy" else [(n, n)]
        if values.shape not in shapes:
            raise DataError(f"{table.path}: expected shape {shapes[0]}, got {values.shape}")
        table.check(np.isfinite(values) & (values >= 0), "finite numbers >= 0")
        highest = LONGEST_MM if name == "distance_mm" else 1
        # Only the published MATLAB file has hierarchies on another scale.
        if relative and name == "hierarchy":
            values = values / max(values.max(), np.finfo(float).tiny)
        else:
            table.check(values <= highest, f"numbers from 0 to {highest}")
        found[name] = values.ravel() if name == "hierarchy" else values
    return Cortex(areas, **found)
