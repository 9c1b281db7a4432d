"""Every public name says something, by itself or as what it overrides, and has types."""

import dataclasses
import inspect

import pytest

import evops
import evops.plot

# Where classmethods, properties and cached properties have their function.
KINDS = ("__func__", "fget", "func")
CLASSES = [thing for name in evops.__all__ if inspect.isclass(thing := getattr(evops, name))]


def functions(of):
    """Methods and properties by name; a quantile function is none of a law's methods."""
    for name, value in inspect.getmembers_static(of):
        function = next((f for k in KINDS if (f := getattr(value, k, None))), value)
        if inspect.isfunction(function) and function.__name__ == name:
            yield name, function


def members(of):
    """Public methods and properties that evops defines."""
    for name, function in functions(of):
        if function.__module__.startswith("evops.") and name[0] != "_":
            yield name, getattr(of, name)


OPERATORS = ("__init__", "__call__", "__matmul__", "__rmatmul__", "__getitem__")


def signatures(thing):
    """Of a function, or of what a class and its bases define in public, rules and laws included."""
    if not inspect.isclass(thing):
        yield thing.__name__, inspect.signature(thing)
        return
    for name, function in functions(thing):
        generated = name == "__init__" and dataclasses.is_dataclass(thing)
        if function.__module__.startswith("evops.") or generated:
            if name[0] != "_" or name in OPERATORS:
                yield name, inspect.signature(function)


PUBLIC = [thing for name in evops.__all__ if callable(thing := getattr(evops, name))]
PUBLIC += [getattr(evops.plot, name) for name in evops.plot.__all__]


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_parameters_and_results_have_types(thing):
    for method, signature in signatures(thing):
        for parameter in signature.parameters.values():
            if parameter.name not in ("self", "cls"):
                assert parameter.annotation is not inspect.Parameter.empty, (method, parameter)
        if method != "__init__":
            assert signature.return_annotation is not inspect.Signature.empty, method


def test_the_signatures_are_found():
    found = dict(signatures(evops.Normal))
    assert {"loc_scale", "__init__", "table"} <= found.keys()
    assert "std" in found["__init__"].parameters
    assert {"scheme", "total"} <= dict(signatures(evops.FixedInDegree)).keys()
    assert {"pop", "zeros", "max_delay"} <= dict(signatures(evops.DelayBuffer)).keys()
    assert [*dict(signatures(evops.backends))] == ["backends"]


@pytest.mark.parametrize("of", CLASSES, ids=lambda c: c.__name__)
def test_methods_say_what_they_do(of):
    """Ruff lets methods without a docstring pass, since an override has that of its base."""
    docs = {name: inspect.getdoc(member) or "" for name, member in members(of)}
    assert not {name: doc for name, doc in docs.items() if len(doc.split()) < 3}


def test_the_members_are_found():
    assert {"pop", "check", "max_delay", "tree_unflatten", "zeros"} <= dict(
        members(evops.DelayBuffer)
    ).keys()


def test_overrides_say_what_they_override():
    for name in ("max_delay", "pop", "buffer"):
        one, other = (
            inspect.getdoc(getattr(c, name)) for c in (evops.Circuit, evops.MultiAreaProjection)
        )
        assert one == other and one
    assert "n_pre" in inspect.getdoc(evops.CSR.shape)
