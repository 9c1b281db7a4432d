"""Random inputs for everything public, beside an oracle of its own.

    python tests/fuzz.py --inputs 100000 --shapes 1000 --seed 1 --parts 8 --out fuzz-results

Three in ten inputs are executed, on both backends, by programs that are compiled once for each of
the shapes (fuzz_shapes.py); the others are calls with an odd argument (fuzz_refused.py), which must
be refused by an error that names it, or mean the same as a plain call. Parts are run one after
another; those whose file is in the folder already are not run again.
"""

import argparse
import collections
import dataclasses
import json
import os
import re
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where PYTHONSAFEPATH is set

import jax
import numpy as np
from matplotlib.axes import Axes

import evops
import fuzz_refused
import fuzz_shapes
from unchecked import unchecked

BACKENDS = ("native", "jnp")
EXECUTED = 0.3


@dataclasses.dataclass
class Report:
    """What was run, and each failure with a line that repeats it."""

    inputs: int = 0
    executed: int = 0
    shapes: int = 0
    programs: int = 0
    refused: int = 0
    equal: int = 0
    either: int = 0
    cpu_seconds: float = 0.0
    constructors: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    failures: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)

    def add(self, other):
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def fail(self, kind, what, repeat):
        """One more failure: those of a kind stand together in the text."""
        self.failures.append((kind, what, repeat))

    def text(self):
        counts = ", ".join(f"{n} {name}" for name, n in sorted(self.constructors.items()))
        lines = [
            f"{self.inputs} inputs: {self.executed} executed on both backends "
            f"({self.shapes} shapes, {self.programs} programs), {self.refused} refused, "
            f"{self.equal} equal to a plain call, {self.either} either; "
            f"{self.cpu_seconds:.0f} CPU seconds",
            counts,
            f"{len(self.failures)} failures",
        ]
        kinds = collections.defaultdict(list)
        for kind, *failure in self.failures:
            kinds[kind].append(failure)
        for kind, alike in sorted(kinds.items()):
            what, repeat = alike[0]
            lines.append(f"- {kind} ({len(alike)}): {what}\n    {repeat}")
        return "\n".join(lines)


# ---- executed ----
def differs(got, want, largest):
    """What is wrong with a result, or an empty string."""
    got = np.asarray(got)
    half = got.dtype.kind not in "biu" and got.dtype.itemsize < 4  # of jax: its kind is V
    got, want = got.astype(np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape:
        return f"shape {got.shape} for {want.shape}"
    largest = largest + (2.0**-7 * np.abs(want) if half else 0)
    with np.errstate(invalid="ignore"):
        wrong = ~((np.abs(got - want) <= largest) | (np.isnan(got) & np.isnan(want)))
    if not wrong.any():
        return ""
    first = tuple(np.argwhere(wrong)[0])
    return f"{wrong.sum()} of {wrong.size} differ, {got[first]} for {want[first]} at {first}"


def execute(report, seed, number, inputs):
    """Inputs of one shape, every fifth with x64; `inputs` are their numbers."""
    with jax.enable_x64(number % 5 == 4):
        _execute(report, seed, number, inputs)


def _execute(report, seed, number, inputs):
    shape = fuzz_shapes.shape(seed, number)
    programs = {backend: shape.run(backend) for backend in BACKENDS}
    for i in inputs:
        repeat = f"python tests/fuzz.py --seed {seed} --only {number}:{i}"
        try:
            arguments, want = shape.draw(np.random.default_rng([seed, 2, number, i]))
            for backend, program in programs.items():
                given = arguments(backend)
                results = list(program(*given))
                if shape.eager and i % 16 == 0:
                    results += shape.eager(given)
                for k, (got, wanted) in enumerate(zip(results, want, strict=False)):
                    if wrong := differs(got, *wanted):
                        what = f"{backend}, result {k}: {wrong}; {shape.text}"
                        report.fail(f"{shape.constructor}, wrong", what, repeat)
        except Exception as error:
            what = f"{first_line(error)}; {shape.text}"
            report.fail(f"{shape.constructor}, {type(error).__name__}", what, repeat)
        report.executed += 1
        report.constructors[shape.constructor] += 1
    report.shapes += 1
    report.programs += sum(program._cache_size() for program in programs.values())
    if any(program._cache_size() != 1 for program in programs.values()):
        report.fail(f"{shape.constructor}, more than one program", shape.text, repeat)


def first_line(error):
    return (str(error).splitlines() or [""])[0][:200]


# ---- refused ----
def same(a, b):
    """Whether two objects are equal, leaf by leaf."""
    if isinstance(a, evops.Positions):  # equal arrays may have other periods
        return a == b
    if isinstance(a, Axes):
        a, b = fuzz_refused.drawn(a), fuzz_refused.drawn(b)
    a, b = jax.tree.leaves(a), jax.tree.leaves(b)
    return len(a) == len(b) and all(map(np.array_equal, a, b))


def refuse(report, seed, number):
    """One call with an odd argument."""
    call, odd, text, named, meaning = fuzz_refused.draw(np.random.default_rng([seed, 3, number]))
    report.constructors[call.constructor] += 1
    failed, what = "", ""
    try:
        with unchecked():
            value = eval(text, vars(fuzz_refused))
        if meaning is None:
            failed = "taken without a word"
        elif meaning != "either" and not same(value, fuzz_refused.valued(meaning)):
            failed, what = "another meaning", f"not that of {meaning}"
    except (ValueError, TypeError, evops.EvopsError) as error:
        what = f"{type(error).__name__}: {first_line(error)}"
        if meaning not in (None, "either"):
            failed = "refused"
        elif not re.search(named, str(error)):
            failed = "not named"
    except Exception as error:
        if meaning != "either" or not isinstance(error, Warning):  # a number may become infinite
            failed, what = type(error).__name__, first_line(error)
    if failed:
        repeat = f'cd tests && python -c "from fuzz_refused import *; {text}"'
        report.fail(f"{odd}, {failed}, {call.constructor}", what, repeat)
    elif meaning is None:
        report.refused += 1
    elif meaning == "either":
        report.either += 1
    else:
        report.equal += 1


# ---- runs ----
def fuzz(inputs, shapes, seed, part=0, parts=1):
    """One of `parts` equal parts of a run."""
    report, began = Report(), time.process_time()
    executed = int(inputs * EXECUTED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", evops.EvopsConnectivityWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="taichi")
        for number in range(part, shapes, parts):
            execute(report, seed, number, range(-(-(executed - number) // shapes)))
            if number // parts % 8 == 7:
                jax.clear_caches()  # a process may map 65,530 pieces of memory
        for k, number in enumerate(range(part, inputs - executed, parts)):
            refuse(report, seed, number)
            if k % 4000 == 3999:
                jax.clear_caches()
    report.inputs = sum(report.constructors.values())
    report.cpu_seconds = time.process_time() - began
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--shapes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--part", type=int, help="run this part only, from 0 on")
    parser.add_argument("--out", type=Path, help="folder for a JSON file of each part")
    parser.add_argument("--only", help="SHAPE:INPUT to execute again")
    options = parser.parse_args()
    whole = Report()
    if options.only:
        number, i = map(int, options.only.split(":"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", evops.EvopsConnectivityWarning)
            execute(whole, options.seed, number, [i])
        print(whole.text())
        return bool(whole.failures)
    run = (options.inputs, options.shapes, options.seed)
    wanted = range(options.parts) if options.part is None else [options.part]
    for part in wanted:
        name = "-".join(map(str, (*run, part, "of", options.parts)))
        file = options.out / f"{name}.json" if options.out else None
        if file and file.exists():
            kept = json.loads(file.read_text())
            kept["constructors"] = collections.Counter(kept["constructors"])
            report = Report(**kept)
        else:
            report = fuzz(*run, part, options.parts)
            if file:
                options.out.mkdir(parents=True, exist_ok=True)
                file.with_suffix(".tmp").write_text(json.dumps(vars(report)))
                file.with_suffix(".tmp").replace(file)
            print(
                f"part {part + 1} of {options.parts}: {len(report.failures)} failures", flush=True
            )
        whole.add(report)
    print(whole.text())
    return bool(whole.failures)


if __name__ == "__main__":
    sys.exit(main())
