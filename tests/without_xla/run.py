"""What is done with recorded calls, in processes of their own that have neither JAX nor XLA.

``python run.py check LIBRARY XLA CALLS [TARGETS [LEVELS]]``: right results on any number of threads and
at the best LEVELS instruction-set levels (all), from several calls at once, of handlers whose names
begin with TARGETS (all). ``python run.py fail LIBRARY XLA
CALLS [few]``, with XLA preloaded: an error, and a next call that is right, whichever allocation of a
call fails.
"""

import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where PYTHONSAFEPATH is set

import numpy as np

import calls
import xla


def same(got, want) -> bool:
    """Whether results are equal to the bit."""
    return all(g.tobytes() == w.tobytes() for g, w in zip(got, want, strict=True))


def splits_sums(call: dict) -> bool:
    """Whether the order of additions depends on the number of threads: docs/sampler.md."""
    if call["target"] == "evops_stored_scatter":
        return True
    counted = call["args"][0].dtype == bool and call["attrs"].get("law") == 0
    return call["target"] == "evops_scatter" and call["outs"][0][1] != "int32" and not counted


def depends_on_level(call: dict) -> bool:
    """Whether the order of additions depends on the instruction set, too."""
    return call["target"] in ("evops_scatter", "evops_push")


def close(got, want) -> bool:
    """Whether sums differ by no more than their order explains."""
    return all(
        np.allclose(g, w, rtol=1e-4, atol=1e-3, equal_nan=True)
        for g, w in zip(got, want, strict=True)
    )


def check(library: xla.Library, every: dict[str, dict], levels: list[str]) -> None:
    """Every call at some levels: on one, two, two busy and five threads, and from two callers at once."""
    wrong, at_first = [], {}

    def one(name, call, want, threads, equal):
        got, _ = library.call(**call, threads=threads)
        if not equal(got, want):
            wrong.append((name, threads))
        return got

    for level in levels:
        library.select(level)
        for name, call in every.items():
            call, want = {k: v for k, v in call.items() if k != "want"}, call["want"]
            alone = one(name, call, want, 1, close)
            if not depends_on_level(call) and not same(alone, at_first.setdefault(name, alone)):
                wrong.append((name, "as at the first level"))
            equal = close if splits_sums(call) else same
            one(name, call, alone, 2, equal)
            one(name, call, alone, -2, equal)
            several = name, call, alone, 5, equal
            callers = [threading.Thread(target=one, args=several) for _ in range(2)]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
        assert not wrong, (level, wrong)
        assert library.kept() <= library.limit()


def fail(library: xla.Library, every: dict[str, dict], few: bool) -> None:
    """Every allocation of every call fails: alone, and with all that come after it."""
    failed = 0
    for level in library.levels()[-1:] if few else library.levels():
        library.select(level)
        for name, call in every.items():
            call = {k: v for k, v in call.items() if k != "want"}
            for threads in (3,) if few else (1, 3):
                failed += fail_one(library, name, call, threads)
    assert failed > 2 * len(every) // 3, f"{failed} failures of {len(every)} calls"
    print(f"{failed} failures of {len(every)} calls")


def fail_one(library: xla.Library, name: str, call: dict, threads: int) -> int:
    """How many of the runs failed."""
    failed = 0
    library.free()
    want, allocations = library.call(**call, threads=threads)
    for first in range(1, allocations + 1):
        for last in (first + 1, xla.FOR_EVER):
            library.free()
            at = f"{name}, {threads} threads, allocations {first} to {last} of {allocations}"
            try:
                # a helper that cannot be woken is done without
                got, _ = library.call(**call, threads=threads, fail=(first, last))
                assert same(got, want), at
            except xla.Failure as error:
                failed += 1
                assert error.code == xla.NO_MEMORY, (at, error)
                assert str(error) == f"{call['target']}: out of memory", (at, error)
            got, _ = library.call(**call, threads=threads)
            assert same(got, want), f"after {at}"
    return failed


def main(what: str, library: str, standin: str, recorded: str, which="", levels="0") -> None:
    """See above."""
    every = calls.load(Path(recorded))
    opened = xla.Library(Path(library), Path(standin))
    if what == "check":
        some = {k: v for k, v in every.items() if v["target"].startswith(which)}
        check(opened, some, opened.levels()[-int(levels) :])
    else:
        fail(opened, every, few=bool(which))


if __name__ == "__main__":
    main(*sys.argv[1:])
