"""Faults that a test must see: plants them one at a time and runs the test that is named.

    python tests/mutants.py [--kind python|native|gpu] [--passing] [--list | --table] [WORD ...]

A word chooses the mutants whose description or file has it. `mutants_*.toml` list them. Python is
changed in a copy of the package. The kernels are changed where they stand, built again
(kernels/rebuild.py, so the installation must be editable), and restored whatever happens.
"""

import argparse
import compileall
import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
KINDS = ("python", "native", "gpu")
TIMEOUT = 600  # of a test, in seconds: a mutant may have no end
# An editable installation looks evops up by itself, before PYTHONPATH: not here.
SITE = """import sys
sys.meta_path[:] = [f for f in sys.meta_path if "evops" not in getattr(f, "known_source_files", {})]
"""


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A fault: in `file`, `after` stands in the place of `before`; the test `killed_by` sees it."""

    kind: str
    file: str
    breaks: str
    before: str
    after: str
    killed_by: str

    @property
    def text(self) -> str:
        """The file with the fault."""
        text = (ROOT / self.file).read_text()
        count = text.count(self.before)
        if count != 1:
            raise ValueError(
                f"{self.breaks}: {self.file} has its text {count} times, expected once"
            )
        return text.replace(self.before, self.after)


def every() -> list[Mutant]:
    """The mutants of the tables."""
    return [
        Mutant(kind, file, **fields)
        for kind in KINDS
        for file, mutants in tomllib.loads((TESTS / f"mutants_{kind}.toml").read_text()).items()
        for fields in mutants
    ]


def table(mutants: list[Mutant]) -> str:
    """Those of docs/mutants.md."""
    lines = [f"| {m.breaks} | `{m.file}` | `{m.killed_by}` |" for m in mutants]
    return "\n".join(["| mutant | file | killed by |", "| --- | --- | --- |", *lines])


def pytest(tests: list[str], package: Path | None = None) -> tuple[int, str]:
    """How pytest ends, and what it says; with the package in the folder `package`, if one is given."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    environment.pop("EVOPS_REQUIRE_NATIVE", None)  # a developer's library may lack GPU code
    environment.pop("PYTHONPATH", None)
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = (
        "1"  # what is not needed costs a second each time
    )
    if package:
        environment["PYTHONPATH"] = str(package)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-p",
        "no:cacheprovider",
        "-m",
        "not gpu",
        "-o",
        "addopts=",  # types are not checked: that would take longer than most of the tests
    ]
    command += [str(TESTS / test) for test in tests]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return -signal.SIGALRM, f"no end after {TIMEOUT} s"
    return done.returncode, done.stdout + done.stderr


@contextlib.contextmanager
def copied(mutant: Mutant):
    """A folder with a copy of the package that has the fault, and the library that is installed."""
    from evops import installed

    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder)
        shutil.copytree(
            ROOT / "evops", package / "evops", ignore=shutil.ignore_patterns("_lib")
        )  # with the bytecode, which stays valid: files keep their times
        (package / "evops" / "_lib").symlink_to(installed.FOLDER)
        (package / "sitecustomize.py").write_text(SITE)
        (package / mutant.file).write_text(mutant.text)
        yield package


@contextlib.contextmanager
def built(mutant: Mutant):
    """The checkout has the fault, and the library too, until it is built again."""
    path = ROOT / mutant.file
    old, new = path.read_text(), mutant.text
    try:
        path.write_text(new)
        if mutant.kind == "native":  # the tests of GPU kernels compile them
            rebuild()
        yield None
    finally:
        path.write_text(old)


def rebuild():
    """Build the kernels as they are."""
    command = [sys.executable, ROOT / "kernels" / "rebuild.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"the kernels cannot be built:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )


def verdict(mutant: Mutant) -> str:
    """ "killed", "survived", or why it is neither."""
    try:
        with (copied if mutant.kind == "python" else built)(mutant) as package:
            code, said = pytest([mutant.killed_by], package)
    except (RuntimeError, ValueError) as error:
        return f"not planted: {error}"
    if code == 0:
        return "survived"
    if code == 1 or code < 0:  # a test failed, or the process died of it
        return "killed"
    return f"no test ran: {said[-2000:]}"


def is_killed(mutant: Mutant) -> bool:
    """Whether a mutant is killed; says so."""
    start = time.monotonic()
    found = verdict(mutant)
    print(f"{found}: {mutant.breaks} ({time.monotonic() - start:.0f} s)", flush=True)
    return found == "killed"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="WORD", help="in the description or the file")
    parser.add_argument(
        "--kind", action="append", choices=KINDS, help="python and native by default"
    )
    parser.add_argument(
        "--passing", action="store_true", help="the tests have just passed: do not run them first"
    )
    parser.add_argument("--list", action="store_true", help="names only")
    parser.add_argument("--table", action="store_true", help="that of docs/mutants.md")
    options = parser.parse_args(arguments)
    if options.table:
        print(table(every()))
        return 0
    kinds = options.kind or (KINDS if options.list else KINDS[:2])
    chosen = [m for m in every() if m.kind in kinds]
    if options.words:
        chosen = [m for m in chosen if any(w in f"{m.breaks} {m.file}" for w in options.words)]
    if options.list:
        print("\n".join(f"{m.kind}: {m.breaks}" for m in chosen))
        return 0
    if not chosen:
        print("no such mutant")
        return 2

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is planted is taken out again
    if not options.passing:
        tests = sorted({m.killed_by for m in chosen})
        print(f"without a mutant: {len(tests)} tests", flush=True)
        code, said = pytest(tests)
        if code:
            print(f"they fail:\n{said[-3000:]}")
            return 2
    compileall.compile_dir(ROOT / "evops", quiet=1)  # once for all copies
    in_copies = all(m.kind == "python" for m in chosen)
    try:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if in_copies else 1) as threads:
            killed = sum(threads.map(is_killed, chosen))
    finally:
        if any(m.kind == "native" for m in chosen):
            rebuild()
    print(f"{killed} of {len(chosen)} mutants were killed")
    return int(killed < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
