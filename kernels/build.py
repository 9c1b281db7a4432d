"""Compile the Taichi kernels to objects: ``python kernels/build.py OUT [LEVEL...]``.

Taichi writes textual LLVM IR (its ahead-of-time module); llvmlite turns it into
position-independent objects, one per kernel and instruction-set level. ``OUT/kernel_table.h`` and
``OUT/format.h`` are for the C++ sources, ``OUT/objects.txt`` and ``OUT/levels.txt`` for CMake.
Taichi and llvmlite are needed here and never at run time.
"""

import ast
import hashlib
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # also where PYTHONSAFEPATH is set

import format_header  # noqa: E402
from _evops import PACKAGE, module  # noqa: E402

emit = module("compiler/emit.py")

# level -> LLVM's CPU name, and what /proc/cpuinfo calls what it needs; the best last
LEVELS = {"x86_64": "x86-64", "x86_64_v3": "x86-64-v3", "x86_64_v4": "x86-64-v4"}
_NEEDS = {
    "x86_64": set(),
    "x86_64_v3": {"avx2", "fma", "bmi1", "bmi2", "popcnt"},
    "x86_64_v4": {"avx2", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}
# kernels that are written in C++ for the levels above the first (kernels/ffi/simd)
BY_HAND = (
    "scatter",
    "draw_geometric_gaps",
    "draw_dense_blocks",
    "draw_equal_rows",
    "draw_counted_rows",
    "draw_grid_offsets",
    "draw_distances",
    "draw_typed_pairs",
    "variate",
)
# what kernels of every kind depend on, besides what they import
COMMON = (
    "compiler/emit.py",
    *(path.relative_to(PACKAGE) for path in sorted(PACKAGE.glob("compiler/passes/*.py"))),
    "taichi.py",
    "connectivity/sampler.py",
    "connectivity/format.py",
)


def kernels():
    """Every kernel to build, by name."""
    from draw import READERS, delay, draw, variate
    from gather import gather
    from neurons import NEURONS
    from row_counts import count_rows
    from sampler_ti import ELEMENT
    from scatter import scatter

    every = {f"{make.__name__}_{e}": make(e) for make in (scatter, gather) for e in ELEMENT}
    every |= {f"draw_{r}": draw(r) for r in READERS}
    every |= {f"{make.__name__}": make() for make in (variate, delay, count_rows)}
    return every | {kernel.__name__: kernel for kernel in NEURONS}


def write(path: Path, text: str):
    """Write a file, unless it holds that already: what depends on it is not made again."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


# XLA's word for the dtype of an array, and Taichi's
DTYPES = {"bool": ("PRED", "u8"), "uint8": ("U8", "u8"), "float32": ("F32", "f32")}


def neurons():
    """Name of each kernel of neurons, and XLA's words for the dtypes of its arrays."""
    from neurons import NEURONS

    for kernel, dtypes in NEURONS.items():
        *arrays, _ = kernel._primal.arguments
        words, own = zip(*(DTYPES[dtype] for dtype in dtypes.split()), strict=True)
        if [str(a.annotation.dtype) for a in arrays] != list(own):
            raise emit.Refused(f"{kernel.__name__}: its arrays are not of {dtypes}")
        yield kernel.__name__, words


def write_names(names, out: Path):
    """The kernels' names as a macro, for C++, and the arrays of those of neurons."""
    table = "".join(f" \\\n  X({name})" for name in names)
    own = "".join(f" \\\n  X({name}, {', '.join(words)})" for name, words in neurons())
    macros = f"#define EVOPS_KERNELS(X){table}\n#define EVOPS_NEURONS(X){own}\n"
    write(out / "kernel_table.h", f"#pragma once\n{macros}")


def sources(script: str) -> set[Path]:
    """The files of this folder that a script imports, itself included."""
    found, new = set(), {HERE / script}
    while new:
        path = new.pop()
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            new |= {HERE / f"{n}.py" for n in names if (HERE / f"{n}.py").exists()} - found
    return found


def inputs_digest(script: str, *more: object) -> str:
    """Digest of everything that the kernels which a script compiles depend on."""
    files = [*sorted(sources(script)), *(PACKAGE / name for name in COMMON)]
    digest = hashlib.sha256()
    parts = [f.read_bytes() for f in files] + [str(part).encode() for part in more]
    for part in [*parts, *map(_version, ("taichi", "llvmlite"))]:
        digest.update(part + b"\0")
    return digest.hexdigest()


def _version(package: str) -> bytes:
    try:
        return metadata.version(package).encode()
    except metadata.PackageNotFoundError:
        return b"none"


def is_done(stamp: Path, digest: str) -> bool:
    """Whether a build before wrote the same kernels: a package is built several times in a row."""
    return stamp.exists() and stamp.read_text() == digest


def levels(asked: list[str]) -> list[str]:
    """The levels asked for, in order; ``native`` stands for the first and this processor's best."""
    if asked != ["native"]:
        return [level for level in LEVELS if level in asked or not asked]
    flags = set(Path("/proc/cpuinfo").read_text().split())
    return ["x86_64", *[level for level, needs in _NEEDS.items() if needs and needs <= flags][-1:]]


def main(out: Path, asked: list[str]):
    out.mkdir(parents=True, exist_ok=True)
    write(out / "format.h", format_header.header())
    wanted = levels(asked)
    write(out / "levels.txt", ";".join(wanted))
    digest = inputs_digest("build.py", wanted)
    if is_done(out / "cpu.stamp", digest):
        return
    try:
        emit.start()
    except ImportError as error:
        sys.exit(f"taichi does not import: {error} (a library named here is a system package)")
    names, objects = [], []
    for made in emit.taichi_ir(kernels(), out):
        names.append(made.name)
        for level in wanted:
            if level != "x86_64" and made.name.startswith(BY_HAND):
                continue
            path = out / f"{made.name}_{level}.o"
            symbol = f"evops_{made.name}_{level}"
            path.write_bytes(emit.objects.compile_object(made.tasks, symbol, LEVELS[level]))
            objects.append(path.as_posix())
    write_names(names, out)
    write(out / "objects.txt", ";".join(objects))
    (out / "cpu.stamp").write_text(digest)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]).resolve(), sys.argv[2:])
    except emit.Refused as error:
        sys.exit(str(error))
