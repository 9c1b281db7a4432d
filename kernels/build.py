"""Compile the Taichi kernels to objects: ``python kernels/build.py OUT``.

Taichi writes textual LLVM IR (its ahead-of-time module); llvmlite turns it into
position-independent objects, one per kernel and instruction-set level. ``OUT/kernel_table.h`` lists
them for the bridge and
``OUT/objects.txt`` for CMake. Taichi and llvmlite are needed here and never at run time.
"""

import hashlib
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # also where PYTHONSAFEPATH is set

import format_header  # noqa: E402
from _evops import PACKAGE, module  # noqa: E402

emit = module("compiler/emit.py")

# level name -> LLVM's CPU name
LEVELS = {"x86_64": "x86-64", "x86_64_v3": "x86-64-v3", "x86_64_v4": "x86-64-v4"}
# kernels that the bridge has by hand for the levels above the first (kernels/ffi/simd)
BY_HAND = (
    "scatter",
    "draw_geometric_gaps",
    "draw_dense_blocks",
    "draw_counted_rows",
    "variate",
)


def kernels():
    """Every kernel to build, by name."""
    from draw import READERS, count_rows, delay, draw, variate
    from gather import gather
    from sampler_ti import ELEMENT
    from scatter import scatter

    every = {f"{make.__name__}_{e}": make(e) for make in (scatter, gather) for e in ELEMENT}
    every |= {f"draw_{r}": draw(r) for r in READERS}
    return every | {f"{make.__name__}": make() for make in (variate, delay, count_rows)}


def write_names(names, out: Path):
    """The kernels' names as a macro, for the bridge."""
    table = "".join(f" \\\n  X({name})" for name in names)
    (out / "kernel_table.h").write_text(f"#pragma once\n#define EVOPS_KERNELS(X){table}\n")


def inputs_digest() -> str:
    """Digest of everything that the compiled kernels depend on."""
    files = sorted([*HERE.glob("*.py"), *HERE.glob("cuda_stub/*")])
    files += [
        PACKAGE / "compiler/emit.py",
        PACKAGE / "compiler/cuda.py",
        PACKAGE / "taichi.py",
        PACKAGE / "connectivity/sampler.py",
        PACKAGE / "connectivity/format.py",
    ]
    digest = hashlib.sha256()
    for part in [*(f.read_bytes() for f in files), *map(_version, ("taichi", "llvmlite"))]:
        digest.update(part + b"\0")
    return digest.hexdigest()


def _version(package: str) -> bytes:
    try:
        return metadata.version(package).encode()
    except metadata.PackageNotFoundError:
        return b"none"


def is_done(stamp: Path) -> bool:
    """Whether a build before wrote the same kernels: a package is built several times in a row."""
    return stamp.exists() and stamp.read_text() == inputs_digest()


def main(out: Path):
    out.mkdir(parents=True, exist_ok=True)
    format_header.write(out)
    if is_done(out / "cpu.stamp"):
        return
    try:
        emit.start()
    except ImportError as error:
        sys.exit(f"taichi does not import: {error} (a library named here is a system package)")
    names, objects = [], []
    for name, ir, _ in emit.taichi_ir(kernels(), out):
        names.append(name)
        for level, cpu in LEVELS.items():
            if level != "x86_64" and name.startswith(BY_HAND):
                continue
            path = out / f"{name}_{level}.o"
            path.write_bytes(emit.compile_object(ir, f"evops_{name}_{level}", cpu))
            objects.append(path.as_posix())
    write_names(names, out)
    (out / "objects.txt").write_text(";".join(objects))
    (out / "cpu.stamp").write_text(inputs_digest())


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]).resolve())
    except emit.Refused as error:
        sys.exit(str(error))
