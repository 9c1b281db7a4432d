"""A run of the fuzzer (fuzz.py) short enough for every change; longer ones: docs/fuzzing.md."""

import inspect
import re
from pathlib import Path

import pytest

import evops
import fuzz
import fuzz_calls

INPUTS, SHAPES, SEED, PARTS = 2000, 20, 20261126, 4


@pytest.mark.slow  # .ci/run has it too
@pytest.mark.parametrize("part", range(PARTS))
def test_random_inputs(part):
    report = fuzz.fuzz(INPUTS, SHAPES, SEED, part, PARTS)
    assert not report.failures, report.text()
    assert report.inputs == INPUTS // PARTS and report.shapes == SHAPES // PARTS
    assert report.executed == int(INPUTS * fuzz.EXECUTED) // PARTS


def test_a_wrong_result_and_a_wrong_error_are_found(monkeypatch):
    report = fuzz.Report()
    draw = fuzz.fuzz_refused.draw

    def other_name(rng):
        call, odd, text, _, meaning = draw(rng)
        return call, odd, text, "no such name", meaning

    monkeypatch.setattr(fuzz.fuzz_refused, "draw", other_name)
    for number in range(10):
        fuzz.refuse(report, SEED, number)
    assert report.failures and "from fuzz_refused import" in report.text()
    near = fuzz.fuzz_shapes.near(1.0, 1.0)
    assert not fuzz.differs(1.0, *near) and not fuzz.differs(1.0 + 1e-6, *near)
    assert fuzz.differs(1.001, *near) and fuzz.differs(float("nan"), *near)
    assert fuzz.differs([1.0], *near)


def test_everything_public_is_called():
    texts = [call.text for call in fuzz_calls.CALLS]
    texts += [Path(module.__file__).read_text() for module in (fuzz.fuzz_refused, fuzz.fuzz_shapes)]
    called = {name for text in texts for name in re.findall(r"evops\.(\w+)", text)}
    for name in set(evops.__all__) - called:
        item = getattr(evops, name)
        result = name in ("Backend", "Edges") or (
            isinstance(item, type) and issubclass(item, Exception)
        )
        if callable(item) and not result and not inspect.isabstract(item):
            assert not inspect.signature(item).parameters, name
