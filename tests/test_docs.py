"""The examples of the README and of every public docstring run."""

import doctest
import inspect
import linecache
import re
from pathlib import Path

import pytest

import evops
import evops.plot

ROOT = Path(__file__).parent.parent


def public():
    things = [thing for name in evops.__all__ if callable(thing := getattr(evops, name))]
    return things + [getattr(evops.plot, name) for name in evops.plot.__all__]


@pytest.mark.parametrize("thing", public(), ids=lambda t: t.__name__)
def test_docstring_examples(thing):
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in finder.find(thing, thing.__name__, globs={}):
        runner.run(test)
    assert runner.failures == 0


def test_public_operators_have_an_example():
    for thing in public():
        if inspect.isfunction(thing):
            assert ">>>" in (inspect.getdoc(thing) or ""), thing.__name__


def test_readme_examples_run():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert blocks
    scope = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), scope)
    assert scope["current"].shape == (2, 2000)


def test_readme_commands_are_the_two_of_the_project():
    commands = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert commands == [
        "pip install '.[networks]' && evops joglekar2018\n",
        "pip install '.[test]' && pytest\n",
    ]


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_examples_of_the_docs_run(page):
    scope = {}
    for i, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.S)):
        name = f"<{page.name} {i}>"  # kernels are compiled from their source, as in a notebook
        linecache.cache[name] = (len(block), None, block.splitlines(True), name)
        exec(compile(block, name, "exec"), scope)
