"""The tables of mutants and of faults for sanitizers fit the files, and some are killed."""

import ast
import dataclasses
import sys
from collections import Counter
from pathlib import Path

import mutants

sys.path.insert(0, str(Path(__file__).parent / "without_xla"))

import sanitize

EVERY = mutants.every()
# the quickest; .ci/run has all of those in Python, .ci/full those in kernels
QUICK = next(
    m for m in EVERY if m.breaks == "keys of blocks: the high word of the seed is the low one"
)


def test_every_mutant_has_a_place_and_a_name_of_its_own():
    for mutant in EVERY:
        assert mutant.text != (mutants.ROOT / mutant.file).read_text(), mutant.breaks
        if mutant.file.endswith(".py"):
            ast.parse(mutant.text)
    names = Counter(mutant.breaks for mutant in EVERY)
    assert max(names.values()) == 1, names.most_common(3)


def test_every_fault_for_a_sanitizer_has_a_place():
    for file, before, after, _ in sanitize.PLANTS.values():
        assert (sanitize.FFI / file).read_text().count(before) == 1, (file, before)
        assert after != before


def test_every_source_is_built_for_sanitizers():
    assert sorted(path.stem for path in sanitize.FFI.glob("*.cc")) == sorted(sanitize.HANDLERS)


def test_every_test_that_kills_is_there():
    for mutant in EVERY:
        file, _, name = mutant.killed_by.partition("::")
        source = (mutants.TESTS / file).read_text()
        assert f"def {name.partition('[')[0]}(" in source or not name, mutant


def test_the_page_lists_every_mutant():
    page = (mutants.ROOT / "docs" / "mutants.md").read_text()
    assert mutants.table(EVERY) in page, "python tests/mutants.py --table gives the table"


def test_a_mutant_is_killed():
    assert mutants.verdict(QUICK) == "killed"


def test_what_changes_nothing_survives():
    same = dataclasses.replace(QUICK, after=QUICK.before)
    assert mutants.verdict(same) == "survived"
