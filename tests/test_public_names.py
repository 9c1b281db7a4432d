"""Every public name has a docstring and a row in docs/api.md."""

import inspect
import re
from pathlib import Path

import pytest

import evops
import evops.plot
import evops.taichi
from evops.connectivity import format

DOCS = Path(__file__).parent.parent / "docs"
API = (DOCS / "api.md").read_text()
NO_DOCSTRING = {"SAMPLER_VERSION"}  # a number


def rows(page):
    """What stands in code in the first column of a page's tables."""
    cells = re.findall(r"^\| (`[^|]*) \|", page, re.M)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def public(module):
    return {n for n, v in vars(module).items() if n[0] != "_" and not inspect.ismodule(v)}


def test_all_names_that_evops_has_are_in_its_list():
    assert public(evops) == set(evops.__all__)


def test_every_public_name_has_one_row():
    pictures = [f"plot.{name}" for name in evops.plot.__all__]
    assert sorted(rows(API)) == sorted([*evops.__all__, "evops.taichi", *pictures])
    assert public(evops.plot) == set(evops.plot.__all__)


@pytest.mark.parametrize("name", sorted(set(evops.__all__) - NO_DOCSTRING))
def test_every_public_name_has_a_docstring(name):
    own = vars(getattr(evops, name)).get("__doc__") if name[0].isupper() else None
    doc = own or inspect.getdoc(getattr(evops, name)) or ""
    assert len(doc.split()) > 3 and not doc.startswith(f"{name}("), doc


def test_functions_for_kernels_are_documented():
    page = (DOCS / "custom_op.md").read_text()
    functions = {n for n, v in vars(evops.taichi).items() if inspect.isfunction(v) and n[0] != "_"}
    assert {"next_gap", "feistel", "lfsr88_key", "lfsr113_normal"} <= functions
    assert not {n for n in functions if not (inspect.getdoc(getattr(evops.taichi, n)) or "")}
    generators = {n.partition("_")[2] for n in functions if n.startswith("lfsr")}
    assert not {n for n in generators if f"`lfsr88_{n}`" not in page}


def test_records_of_rules_have_docstrings():
    for record in format.SCHEMES.values():
        assert record.__doc__ and not record.__doc__.startswith(f"{record.__name__}("), record


def test_links_between_the_pages_lead_somewhere():
    pages = [*DOCS.glob("*.md"), *(DOCS.parent / n for n in ("README.md", "CONTRIBUTING.md"))]
    for page in pages:
        for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
            name, _, part = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), f"{page.name}: {link}"
            if part:
                titles = re.findall(r"^#+ (.*)$", target.read_text(), re.M)
                slugs = {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}
                assert part in slugs, f"{page.name}: {link}"
