"""Own tables of the 29-area model: what is wrong with a file is said with its row and column."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_array

import evops
from evops.__main__ import main
from evops.networks.joglekar2018 import macaque

DATA = Path(macaque.__file__).parent / "data" / "macaque29"


@pytest.fixture
def own(tmp_path):
    shutil.copytree(DATA, tmp_path / "data")
    return tmp_path / "data"


def cell(line, column, content):
    """Another content of one cell; both count from 1."""

    def change(text):
        rows = [row.split(b",") for row in text.split(b"\n")]
        rows[line - 1][column - 1] = content
        return b"\n".join(b",".join(row) for row in rows)

    return change


def first_column(text):
    return b"\n".join(row.split(b",")[0] for row in text.split(b"\n"))


def recoded(encoding):
    return lambda text: text.decode().encode(encoding)


F, H, D = "fln.csv", "hierarchy.csv", "distance_mm.csv"
CSV = [
    (H, first_column, "line 1, column 2: expected 2 columns between commas, area and value, got 1"),
    (H, lambda t: t.replace(b",", b";"), "line 1, column 2: expected 2 columns between commas"),
    (H, lambda t: t.replace(b"\n", b",1\n"), "line 1, column 3: expected 2 columns between"),
    (F, first_column, "line 1, column 2: the header names other areas .* 'V1', got nothing"),
    (F, lambda t: t.replace(b",", b"\t"), "line 1, column 2: the header names other areas"),
    (F, lambda t: t[t.index(b"\n") :], "line 2, column 2: the header names .* 'V2', got '0'"),
    (F, lambda t: t.replace(b",", b"", 1), "line 2: expected 29 cells, got 30 .column 30 has no"),
    (F, cell(3, 4, b"1,2"), "line 3: expected 30 cells, got 31 .column 31 has no name"),
    (F, cell(9, 30, b'"1'), "line 30: not a CSV file: unexpected end of data"),
    (F, lambda t: b"\n\n" + cell(3, 4, b"x")(t), "line 5, column V4: expected a number, got 'x'"),
    (F, cell(3, 4, b""), "line 3, column V4: expected a number, got ''"),
    (F, cell(3, 4, b"1_0"), "line 3, column V4: expected a number, got '1_0'"),
    (F, cell(3, 4, b"0x1"), "line 3, column V4: expected a number, got '0x1'"),
    (F, cell(3, 4, b"x" * 10**5), "line 3, column V4: expected a number, got 'xxx[x.]{,40}'$"),
    (F, cell(3, 4, b"1e999"), "line 3, column V4: expected finite numbers >= 0, got inf"),
    (F, cell(3, 4, b"nan"), "line 3, column V4: expected finite numbers >= 0, got nan"),
    (F, cell(3, 4, b"-1e-9"), "line 3, column V4: expected finite numbers >= 0, got -1e-09"),
    (F, cell(3, 4, b"1.1"), "line 3, column V4: expected numbers from 0 to 1, got 1.1"),
    (H, cell(3, 2, b"2"), "line 3, column hierarchy: expected numbers from 0 to 1, got 2.0"),
    (D, cell(3, 4, b"1e9"), "line 3, column V4: expected numbers from 0 to 1000, got 1000000000"),
    (H, cell(3, 1, b"V1"), "line 3, column 1: 'V1' is there twice"),
    (H, cell(3, 1, b" "), "line 3, column 1: ' ' is no name of an area"),
    (H, lambda t: t.rstrip().rpartition(b"\n")[0], "line 30, column 1: .* '24c' in fln.csv, noth"),
    (H, lambda t: t + b"X,1\n", "line 31, column 1: .* nothing in fln.csv, 'X' here"),
    (H, lambda t: b"", "must have a header and a row per area, got 0 rows"),
    (F, recoded("utf-16"), "line 1, column 1: not a CSV file in UTF-8, got the byte ff"),
    (F, recoded("utf-16-le"), "line 1, column 1: not a CSV file in UTF-8, got the byte 00"),
    (F, recoded("utf-32-be"), "line 1, column 1: not a CSV file in UTF-8, got the byte 00"),
    (H, cell(3, 1, "Aré".encode("latin-1")), "line 3, column 1: not a CSV .*UTF-8, got the byte e9"),
    (F, cell(3, 4, b"0.1\xa0"), "line 3, column 4: not a CSV file in UTF-8, got the byte a0"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "change", "message"), CSV)
def test_malformed_csv(own, file, change, message):
    path = own / file
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(evops.DataError, match=message) as raised:
        macaque.load(own)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("change", [lambda t: b"\xef\xbb\xbf" + t, lambda t: t.replace(b"\n", b"\r\n"),
                                    lambda t: b"\n" + t.replace(b"\n", b"\n\n")])  # fmt: skip
def test_what_spreadsheets_write_is_read(own, change):
    for path in own.glob("*.csv"):
        path.write_bytes(change(path.read_bytes()))
    np.testing.assert_array_equal(macaque.load(own).fln, macaque.load().fln)


@pytest.mark.parametrize(("place", "reason"), [(Path.mkdir, "it is no plain file"),
    (os.mkfifo, "it is no plain file"), (lambda p: p.symlink_to("/dev/zero"), "it is no plain"),
    (lambda p: p.symlink_to("nowhere"), "No such file")])  # fmt: skip
@pytest.mark.parametrize("file", ["fln.csv", "hierValspython.mat"])
def test_what_is_no_file(own, place, reason, file):
    (own / file).unlink(missing_ok=True)
    if file.endswith("mat"):
        savemat(own / "efelenMatpython.mat", {"flnMatpython": np.zeros((29, 29))})
    place(own / file)
    with pytest.raises(
        evops.DataError, match=f"cannot read {re.escape(str(own / file))}: {reason}"
    ):
        macaque.load(own)


@pytest.mark.parametrize("folder", ["", "nowhere", "x" * 5000, "a\0b"])
def test_no_folder(folder, capsys):
    with pytest.raises(evops.DataError, match="data must be a directory, got"):
        macaque.load(folder)
    assert main(["joglekar2018", "--data", folder]) == 2
    assert capsys.readouterr().err.startswith("evops joglekar2018: data must be a directory")


def changed(value):
    return lambda fln: np.where(np.arange(29)[:, None] * 29 + np.arange(29) == 32, value, fln)


MAT = [
    (changed(1j), "row 2, column 4: expected a real number, got 1j"),
    (lambda f: f.astype(complex), "row 1, column 1: expected a real number, got 0j"),
    (changed(np.nan), "row 2, column 4: expected finite numbers >= 0, got nan"),
    (changed(-0.5), "row 2, column 4: expected finite numbers >= 0, got -0.5"),
    (changed(3), "row 2, column 4: expected numbers from 0 to 1, got 3.0"),
    (lambda f: f[:28], "expected shape (29, 29), got (28, 29)"),
    (lambda f: f[:0], "expected shape (29, 29), got (0, 29)"),
    (lambda f: np.stack([f, f], 2), "flnMatpython has 3 dimensions, expected 2"),
    (lambda f: f.astype(object), "flnMatpython is not an array of numbers"),
    (lambda f: f.astype(str), "flnMatpython is not an array of numbers"),
    (lambda f: {"a": f}, "flnMatpython is not an array of numbers"),
    (csc_array, "flnMatpython is not an array of numbers"),
]


@pytest.fixture
def mats(tmp_path):
    cortex = macaque.load()
    savemat(tmp_path / "efelenMatpython.mat", {"flnMatpython": cortex.fln})
    savemat(tmp_path / "hierValspython.mat", {"hierVals": cortex.hierarchy})
    savemat(tmp_path / "subgraphWiring29.mat", {"wiring": cortex.distance_mm})
    return tmp_path


@pytest.mark.parametrize(("change", "message"), MAT)
def test_malformed_mat(mats, change, message):
    path = mats / "efelenMatpython.mat"
    savemat(path, {"flnMatpython": change(macaque.load().fln)})
    with pytest.raises(evops.DataError, match=re.escape(message)) as raised:
        macaque.load(mats)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("hierarchy", [np.nan, np.inf, -1.0, 1j])
def test_malformed_hierarchy(mats, hierarchy):
    values = np.where(np.arange(29) == 3, hierarchy, macaque.load().hierarchy)
    savemat(mats / "hierValspython.mat", {"hierVals": values})
    with pytest.raises(evops.DataError, match=r"hierValspython.mat, row 1, column 4: expected "):
        macaque.load(mats)


CONTENTS = [
    b"",
    b"\0" * 200,
    b"MATLAB 7.3 MAT-file" + b" " * 105 + b"\0\2IM",
    b"x",
    bytes(range(256)) * 9,
]


@pytest.mark.parametrize("content", [*CONTENTS, *range(3, 2000, 211)], ids=lambda c: str(c)[:12])
def test_broken_mat(mats, content):
    """Empty, of another format, or cut after so many bytes."""
    path = mats / "efelenMatpython.mat"
    path.write_bytes(path.read_bytes()[:content] if isinstance(content, int) else content)
    with pytest.raises(evops.DataError, match=f"{re.escape(str(path))}"):
        macaque.load(mats)
