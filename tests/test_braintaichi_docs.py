"""The docstrings of the published operators, which share what they say alike."""

import inspect
import re
import subprocess
import sys

import pytest

import evops
from evops.braintaichi import operators

OPERATORS = [
    f for f in vars(operators).values() if getattr(f, "__module__", "") == operators.__name__
]


def section(thing, title):
    found = re.search(rf"^{title}:\n((?:    .*\n|\n)+)", inspect.getdoc(thing) + "\n", re.M)
    assert found, f"{thing.__name__} has no section {title}"
    return found[1]


def test_all_published_operators_are_here():
    assert len(OPERATORS) == 11
    assert all(getattr(evops, f.__name__) is f for f in OPERATORS)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda f: f.__name__)
def test_docstrings_are_whole(operator):
    """Every argument once and in order, shape and dtype of the result, errors, source, example."""
    named = re.findall(r"^    (\w+): \S", section(operator, "Args"), re.M)
    assert named == list(inspect.signature(operator).parameters)
    assert " in the dtype of " in section(operator, "Returns")
    assert re.findall(r"^    (\w+): \S", section(operator, "Raises"), re.M) == [
        "ValueError",
        "TypeError",
    ]
    assert "BrainPy" in section(operator, "Source")
    assert f"evops.{operator.__name__}(" in section(operator, "Example")
    doc = inspect.getdoc(operator)
    assert max(map(len, doc.splitlines())) <= 96 and "{" not in doc
    titles = re.findall(r"^(\w+):$", doc, re.M)
    assert titles == ["Args", "Returns", "Raises", "Source", "Example"]


@pytest.mark.parametrize(
    ("operator", "argument", "says"),
    [
        (
            "event_mv_prob_homo",
            "events",
            "`(n_in,)`; bool, or numbers where 0 and NaN are no event.",
        ),
        ("mv_prob_normal", "vector", "`(n_in,)`, bool or real."),
        ("mv_prob_uniform", "shape", "matrix shape, static."),
        ("get_normal_weight_matrix", "shape", "matrix shape before it is transposed, static."),
        ("multi_area_event_mv_prob_homo_E", "events", "`(n_pre,)`; bool"),
        ("multi_area_event_mv_prob_homo_E", "weight", "`(area_num,)`, the weight onto each area."),
        ("multi_area_event_mv_prob_homo_I", "events", "`(area_num, n_pre)`; bool"),
        ("multi_area_event_mv_prob_homo_I", "weight", "scalar or `(1,)`"),
        ("multi_area_event_mv_prob_homo_I", "seed", "`(area_num,)` integers"),
    ],
)
def test_an_argument_says_what_it_is_in_that_function(operator, argument, says):
    assert f"    {argument}: {says}" in section(getattr(operators, operator), "Args")


def test_operators_import_without_docstrings():
    program = "import evops; assert evops.mv_prob_homo.__doc__ is None; print(evops.__version__)"
    done = subprocess.run([sys.executable, "-OO", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
