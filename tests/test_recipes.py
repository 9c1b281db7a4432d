"""Recipes in packages that the tests need anyway run here; `.ci/full recipes` runs all."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "examples" / "recipes").glob("with_*.py"))
PAGE = ROOT / "docs" / "beside.md"
HERE = ("with_networkx.py", "with_scipy.py")


@pytest.mark.parametrize("name", HERE)
def test_recipes_run(name):
    """Each compares its results with those of the dense matrix."""
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / "recipes" / name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_page_has_every_recipe():
    linked = re.findall(r"\(\.\./examples/recipes/(\w+\.py)\)", PAGE.read_text())
    assert sorted(linked) == [recipe.name for recipe in RECIPES]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_recipes_are_short_and_compare(recipe):
    tree = ast.parse(recipe.read_text())
    imports = (ast.Import, ast.ImportFrom)
    lines = {
        line
        for node in tree.body[1:]
        if not isinstance(node, imports)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    assert ast.get_docstring(tree)
    assert re.search(r"\bassert", recipe.read_text())
    assert len(lines) <= 40
