"""The draw format: one definition for Python, C++ and Taichi; no constant of it stands twice."""

import ast
import ctypes
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import taichi as ti

from evops.connectivity import format, sampler
from unchecked import unchecked

ROOT = Path(__file__).resolve().parent.parent
KERNELS = ROOT / "kernels"
sys.path.insert(0, str(KERNELS))

import format_header  # noqa: E402

RECORDS = list(format.SCHEMES.values())
PROGRAM = """
#include "format.h"
#include <cstring>
using namespace evops;
extern "C" const char* unpack(const uint32_t* words, uint32_t* fields) {
  MatrixSpec spec;
  std::memcpy(&spec, words, sizeof spec);
  const Scheme& s = spec.scheme;
  *fields++ = static_cast<uint32_t>(s.reader);
  *fields++ = s.exclude_autapses;
  switch (s.reader) {
%s  }
%s
  if (const char* wrong = s.Wrong()) return wrong;
  return spec.Wrong();
}
"""


def drawn(record, rng, **fields):
    """A record with any fields in their ranges; `fields` may lie beyond, and a law is its number."""
    for field in format.fields(record):
        low, high = field.metadata["low"], field.metadata["high"]
        fields.setdefault(field.name, int(rng.integers(low, high, endpoint=True)))
    with unchecked():
        return record(**fields)


@pytest.fixture(scope="module")
def unpack(tmp_path_factory):
    """What C++ reads out of words, by the names of the fields, and the field that is out of range."""
    folder = tmp_path_factory.mktemp("format")
    (folder / "format.h").write_text(format_header.header())
    cases = [
        f"    case Reader::k{r.__name__}:\n"
        + "".join(
            f"      *fields++ = s.{format_header.snake(r.__name__)}.{f.name};\n"
            for f in format.fields(r)
        )
        + "      break;\n"
        for r in RECORDS
    ]
    own = "".join(f"  *fields++ = spec.{f.name};\n" for f in format.fields(format.MatrixSpec))
    (folder / "unpack.cc").write_text(PROGRAM % ("".join(cases), own))
    command = ["g++", "-std=c++17", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-I", folder]
    subprocess.run([*command, "-o", folder / "unpack.so", folder / "unpack.cc"], check=True)
    function = ctypes.CDLL(str(folder / "unpack.so")).unpack
    function.restype = ctypes.c_char_p

    def call(words):
        words, fields = np.array(words, np.uint32), np.zeros(format.SPEC_WORDS, np.uint32)
        wrong = function(
            words.ctypes.data_as(ctypes.c_void_p), fields.ctypes.data_as(ctypes.c_void_p)
        )
        return fields, wrong and wrong.decode()

    return call


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.__name__)
def test_what_python_packs_is_what_cpp_unpacks(record, unpack, rng):
    for _ in range(20):
        excludes = record.excludes and bool(rng.integers(2))
        scheme = drawn(record, rng, exclude_autapses=excludes)
        spec = drawn(format.MatrixSpec, rng, scheme=scheme)
        assert len(spec.pack()) == format.SPEC_WORDS and len(scheme.pack()) == format.SCHEME_WORDS
        names = [f.name for f in format.fields(record)]
        own = [getattr(spec, f.name) for f in format.fields(format.MatrixSpec)]
        want = [record.reader, excludes, *(getattr(scheme, n) for n in names), *own]
        fields, wrong = unpack(spec.pack())
        assert fields[: len(want)].tolist() == want and wrong is None


@pytest.mark.parametrize("record", [*RECORDS, format.MatrixSpec], ids=lambda r: r.__name__)
def test_cpp_names_the_field_that_is_out_of_range(record, unpack, rng):
    for field in format.fields(record):
        for value in (field.metadata["low"] - 1, field.metadata["high"] + 1):
            if not 0 <= value <= format.MAX_WORD:
                continue
            odd = {field.name: value}
            if record is format.MatrixSpec:
                spec = drawn(record, rng, scheme=format.Diagonal(), **odd)
            else:
                spec = format.MatrixSpec(drawn(record, rng, **odd))
            assert unpack(spec.pack())[1] == f"{record.__name__}.{field.name}"


@pytest.mark.parametrize(
    "record", [r for r in RECORDS if format.fields(r)], ids=lambda r: r.__name__
)
def test_what_python_packs_is_what_taichi_unpacks(record, rng):
    import evops.taichi as et

    ti.init(arch=ti.cpu, offline_cache=False, log_level=ti.ERROR)
    unpacked, struct = et.unpacker(record), et.record(record)

    @ti.kernel
    def kernel(packed: ti.types.ndarray(ti.u32, 1)) -> struct:
        return unpacked(packed)

    for _ in range(10):
        scheme = drawn(record, rng)
        fields = kernel(np.array(scheme.pack(), np.uint32)).to_dict()
        want = {field.name: getattr(scheme, field.name) for field in format.fields(record)}
        assert {name: int(value) for name, value in fields.items()} == want


def numbers(path):
    """Whole numbers that a file writes out, with the lines."""
    text = path.read_text()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and type(node.value) is int:
                yield node.value, node.lineno
        return
    for k, line in enumerate(text.split("\n")):
        for found in re.findall(r"(?<![\w.])(0x[0-9A-Fa-f]+|\d+)(?![\w.])", line.split("//")[0]):
            yield int(found, 0), k + 1


def test_no_constant_of_the_random_numbers_stands_twice():
    """Those that are like no other number: of nine bits or more, and no power of two or nearly so."""
    values = {v for v in vars(sampler).values() if type(v) is int and v.bit_length() > 8}
    values = {v for v in values if (v & (v + 1)) and (v & (v - 1)) and v < 0x7FFFFFF0}
    assert len(values) > 9
    files = [
        path
        for folder in ("evops", "kernels")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".cc", ".h")
    ]
    found = {
        (path.relative_to(ROOT).as_posix(), line)
        for path in files
        for value, line in numbers(path)
        if value in values
    }
    assert {path for path, _ in found} == {"evops/connectivity/sampler.py"}, found
    assert len(found) <= len(values)


@pytest.mark.parametrize(
    "name",
    [
        "MAX_BLOCK_BITS",
        "MIN_BLOCK_BITS",
        "LOW_DIGIT_BITS",
        "QUANTILE_KNOTS",
        "QUANTILE_SLOTS",
        "SYNAPSES_PER_BLOCK",
        "SCHEME_WORDS",
        "SPEC_WORDS",
    ],
)
def test_kernels_write_no_size_of_the_format_out(name):
    """C++ and Taichi name them; these files have no other use for such numbers."""
    value = getattr(format, name, None) or getattr(sampler, name)
    readers = ["draw.py", "gpu_reader.py", "sampler_ti.py", "scatter.py", "gather.py"]
    files = [KERNELS / name for name in readers]
    files += [
        KERNELS / "ffi" / f
        for f in (
            "schemes.h",
            "check.h",
            "push.h",
            "simd/readers.h",
            "simd/numbered.h",
            "simd/law.h",
        )
    ]
    for path in files:
        lines = [line for number, line in numbers(path) if number == value and value > 8]
        assert not lines, (path.name, lines)


def mention(words):
    pattern = re.compile(words)
    for folder in ("evops/connectivity", "evops/engine", "kernels"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".cc", ".h") and pattern.search(path.read_text()):
                yield path.relative_to(ROOT).as_posix()


def test_contributing_lists_every_file_that_a_reader_touches():
    """Those of one reader, and what another has more whose variates count by number."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("## A rule with a new reader") : text.index("Tests that go over all")]
    table = table[: table.index("The C++ struct")]
    listed = set(re.findall(r"`((?:evops|kernels)/[\w./]+)`", table))
    rows = set(mention(r"GridOffsets|grid_offsets|GRID_OFFSETS"))
    assert rows | {"evops/connectivity/sampler.py"} == listed
    more = set(mention(r"CountedRows|counted_rows|COUNTED_ROWS")) - rows
    # its total is one of a rule, and rules are in several files
    more -= {f"evops/connectivity/{name}.py" for name in ("schemes", "rule", "counted_rules")}
    assert more <= {f"kernels/ffi/{name}.h" for name in ("kernels", "simd/groups", "simd/numbered")}
