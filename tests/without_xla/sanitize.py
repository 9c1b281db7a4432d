"""Sanitizers over recorded calls: ``python sanitize.py FOLDER LIBRARY INCLUDE [SANITIZER…] [simd]``.

FOLDER has calls.pkl (calls.py) and takes what is built; LIBRARY is the installed libevops.so, whose
compiled Taichi kernels are used; INCLUDE has the headers of XLA's interface. Sanitizers are "thread",
"address" and "undefined", all by default; "simd" compiles the SIMD kernels with them, too. Each is
first shown a fault that is planted in a copy of the sources, and must report it. Needs g++.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where PYTHONSAFEPATH is set

import xla

FFI = xla.HERE.parents[1] / "kernels" / "ffi"
sys.path.insert(0, str(FFI.parent))

import build as build_kernels  # noqa: E402
import format_header  # noqa: E402

HANDLERS = (
    "custom",
    "drawn",
    "edges",
    "library",
    "near",
    "product",
    "push",
    "scratch",
    "spike_list",
    "spiked_state",
    "stored",
    "stored_push",
    "tiles",
)
SANITIZERS = ("thread", "address", "undefined")
OPTIONS = {
    "TSAN_OPTIONS": "halt_on_error=1",
    "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
    "UBSAN_OPTIONS": "print_stacktrace=1",
}
# For each sanitizer: what is planted in which file, in place of what, and what the report must say.
PLANTS = {
    "thread": (
        "parallel.h",
        "if (!failed_.load()) body(step, part);",
        "static int64_t runs = 0; ++runs; if (!failed_.load()) body(step, part);",
        "data race .*parallel.h",
    ),
    "address": (
        "stored.cc",
        "ListNonzero(x, entries.n, entries.words, &active);",
        "ListNonzero(x, entries.n, entries.words, &active); active.data()[active.capacity()] = 0;",
        "heap-buffer-overflow",
    ),
    "undefined": (
        "stored.cc",
        "const int64_t count = active.size(),",
        "volatile int32_t most = 2147483647; most = most + 1; const int64_t count = active.size(),",
        "signed integer overflow",
    ),
}


def build(
    out: Path, library: Path, include: Path, sanitizer: str, sources: Path, names, simd: bool
) -> Path:
    """The handlers with a sanitizer; what `names` leave out comes from the library."""
    out.mkdir(exist_ok=True)
    kernels = subprocess.run(["nm", "-D", library], capture_output=True, text=True, check=True)
    found = sorted(set(re.findall(r"evops_(\w+)_x86_64$", kernels.stdout, re.M)))
    build_kernels.write_names(found, out)
    (out / "format.h").write_text(format_header.header())
    flags = ["-std=c++17", "-O1", "-g", "-fPIC", f"-fsanitize={sanitizer}"]
    flags += ["-fno-sanitize-recover=all", "-fno-omit-frame-pointer", '-DEVOPS_VERSION="sanitized"']
    flags += ["-DEVOPS_HAS_x86_64_v3", "-DEVOPS_HAS_x86_64_v4"]
    jobs = [(out / f"{name}.o", sources / f"{name}.cc", []) for name in names]
    if simd:
        levels = [(level, f"-march=x86-64-{level}") for level in ("v3", "v4")]
        jobs += [
            (out / f"{path.stem}_{level}.o", path, [march, "-ffp-contract=off"])
            for level, march in levels
            for path in sorted((sources / "simd").glob("*.cc"))
        ]
    compile_ = ["g++", *flags, "-isystem", include, f"-I{out}", f"-I{sources}", "-c", "-o"]
    for object_, source, own in jobs:
        run([*compile_, object_, source, *own])
    made = out / "libevops_sanitized.so"
    objects = [object_ for object_, *_ in jobs]
    link = ["-Wl,-Bsymbolic", f"-Wl,-rpath,{library.parent}", library, "-ldl"]
    run(["g++", "-shared", f"-fsanitize={sanitizer}", "-o", made, *objects, *link])
    return made


def run(command, **keywords) -> subprocess.CompletedProcess:
    """A command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, **keywords)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}{done.stderr[-8000:]}"
    return done


def check(
    out: Path, made: Path, include: Path, sanitizer: str, calls: Path, targets="evops_", levels=0
):
    """The calls, in a process with the sanitizer."""
    standin = xla.build(out / "xla.so", include, f"-fsanitize={sanitizer}")
    name = {"thread": "tsan", "address": "asan", "undefined": "ubsan"}[sanitizer]
    found = run(["g++", f"-print-file-name=lib{name}.so"]).stdout.strip()
    environment = {**os.environ, **OPTIONS, "LD_PRELOAD": found, "OPENBLAS_NUM_THREADS": "1"}
    # the sanitizer's own memory lies at fixed addresses
    command = ["setarch", "--addr-no-randomize", sys.executable, xla.HERE / "run.py", "check"]
    command += [made, standin, calls, targets, str(levels)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def planted(folder: Path, library: Path, include: Path, sanitizer: str) -> None:
    """A planted fault is reported."""
    name, old, new, report = PLANTS[sanitizer]
    sources = folder / f"planted_{sanitizer}"
    shutil.copytree(FFI, sources, dirs_exist_ok=True)
    text = (FFI / name).read_text()
    assert text.count(old) == 1, (name, old)
    (sources / name).write_text(text.replace(old, new))
    out = folder / f"build_planted_{sanitizer}"
    made = build(out, library, include, sanitizer, sources, ("stored", "scratch"), simd=False)
    done = check(out, made, include, sanitizer, folder / "calls.pkl", "evops_stored", 1)
    assert done.returncode != 0 and re.search(report, done.stderr, re.S), done.stderr[-8000:]


def clean(folder: Path, library: Path, include: Path, sanitizer: str, simd: bool, levels=0) -> None:
    """The sources as they are give no report."""
    out = folder / f"build_{sanitizer}"
    made = build(out, library, include, sanitizer, FFI, HANDLERS, simd)
    done = check(out, made, include, sanitizer, folder / "calls.pkl", levels=levels)
    assert done.returncode == 0, done.stderr[-12000:]


def main(folder: str, library: str, include: str, *more: str) -> None:
    """See above."""
    places = Path(folder).resolve(), Path(library).resolve(), Path(include).resolve()
    for sanitizer in [s for s in SANITIZERS if s in more] or SANITIZERS:
        planted(*places, sanitizer)
        print(f"{sanitizer}: a planted fault is reported")
        clean(*places, sanitizer, "simd" in more)
        print(f"{sanitizer}: no report")


if __name__ == "__main__":
    main(*sys.argv[1:])
