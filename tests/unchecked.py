"""Blocks in which jaxtyping's hook is off: bad input meets the errors of evops and not the hook's."""

import contextlib

import pytest
from jaxtyping import TypeCheckError, config

_raises = pytest.raises


@contextlib.contextmanager
def unchecked():
    """No types are checked."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", before)


@contextlib.contextmanager
def raises(error, **options):
    """`pytest.raises` with the hook off, but for the hook's own error."""
    __tracebackhide__ = True
    hook = contextlib.nullcontext() if error is TypeCheckError else unchecked()
    with _raises(error, **options) as raised, hook:
        yield raised
