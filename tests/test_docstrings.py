"""Every public name says something, by itself or as what it overrides."""

import inspect

import pytest

import evops

# Where classmethods, properties and cached properties have their function.
KINDS = ("__func__", "fget", "func")
CLASSES = [thing for name in evops.__all__ if inspect.isclass(thing := getattr(evops, name))]


def members(of):
    """Public methods and properties that evops defines."""
    for name, value in inspect.getmembers_static(of):
        function = next((f for k in KINDS if (f := getattr(value, k, None))), value)
        where = getattr(function, "__module__", None) or ""
        if inspect.isfunction(function) and where.startswith("evops.") and name[0] != "_":
            yield name, getattr(of, name)


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
