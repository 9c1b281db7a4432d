"""Tables are data: whatever they say when a handler runs, it writes nowhere else."""

import jax
import numpy as np
import pytest

import evops
from evops.connectivity.format import Distances
from test_handlers import COUNTED, DISTANCES, F32, GAPS, GRID, I32, PAIRS, U32, spec, words


@pytest.fixture(autouse=True, scope="module")
def library():
    """The handlers are known once the library is loaded."""
    assert evops.backends()["native"].available


@pytest.mark.parametrize("fill", [0, 1, 2**32 - 1, 0x0F0F0F0F])
@pytest.mark.parametrize("low", [0, 10])
def test_wrong_tables_write_nowhere_else(fill, low, rng):
    """Entries are data: whatever they say, targets stay inside the result."""
    size = (1 << 12) + (1 << low if low else 0)
    noise = rng.integers(0, 2**32, size, np.uint32)
    for table in (np.full(size, fill, np.uint32), noise):
        out = jax.ShapeDtypeStruct((1, 5000), np.int32)
        y = jax.ffi.ffi_call("evops_scatter", out)(
            np.ones((1, 40), bool), np.ones((1, 1), I32), np.ones((1, 2), U32), table[None],
            np.zeros(0, I32), **spec(words(GAPS, 0, 22, 12, low), per_input=1, listed=0),
        )  # fmt: skip
        assert 0 <= int(np.asarray(y).min()) and int(np.asarray(y).max()) <= 40


def test_wrong_displacements_write_nowhere_else(rng):
    table = rng.integers(0, 2**32, 3 * 4000, np.uint32)
    table[: 3 * 99] %= 9  # some lead to places of the grid
    y = jax.ffi.ffi_call("evops_scatter", jax.ShapeDtypeStruct((1, 60), I32))(
        np.ones((1, 90), bool), np.ones((1, 1), I32), np.ones((1, 2), U32), table[None],
        np.zeros(0, I32), **spec(words(GRID, 0, 4, 5, 4000), per_input=1, listed=0),
    )  # fmt: skip
    assert 0 <= int(np.asarray(y).min()) and 0 < int(np.asarray(y).max()) <= 90 * 4000


@pytest.mark.parametrize("target", ["evops_scatter", "evops_gather"])
@pytest.mark.parametrize("fields", [(1, 0, 0), (2, 2, 3), (3, 15, 8)])
@pytest.mark.parametrize("fill", [0, 1, 2**31 - 1, 2**32 - 1, None])
def test_wrong_positions_write_nowhere_else(target, fields, fill, rng):
    """Nor do kernels and masks that make no sense, nor neurons that are none."""
    scheme = (90, 300, *fields, 50)
    size = Distances(*scheme).sections[-1]
    noise = rng.integers(0, 2**32, size, np.uint32)
    table = noise if fill is None else np.full(size, fill, np.uint32)
    n_in, n_out = (300, 90) if "gather" in target else (90, 300)
    y = jax.ffi.ffi_call(target, jax.ShapeDtypeStruct((1, n_out), F32))(
        np.ones((1, n_in), F32), np.ones((1, 1), F32), np.ones((1, 2), U32), table[None],
        np.zeros(0, I32), **spec(words(DISTANCES, 0, *scheme), per_input=1, listed=0),
    )  # fmt: skip
    assert np.isfinite(y).all()


@pytest.mark.parametrize("target", ["evops_scatter", "evops_gather"])
@pytest.mark.parametrize("fill", [0, 1, 2**31 - 1, 2**32 - 1, None])
def test_wrong_types_write_nowhere_else(target, fill, rng):
    """Nor do chances and types that are none."""
    table = rng.integers(0, 2**32, 6 + 90 + 300, np.uint32)
    if fill is not None:
        table[:] = fill
    n_in, n_out = (300, 90) if "gather" in target else (90, 300)
    y = jax.ffi.ffi_call(target, jax.ShapeDtypeStruct((1, n_out), F32))(
        np.ones((1, n_in), F32), np.ones((1, 1), F32), np.ones((1, 2), U32), table[None],
        np.zeros(0, I32), **spec(words(PAIRS, 0, 90, 300, 2, 3), per_input=1, listed=0),
    )  # fmt: skip
    assert 0 <= float(np.min(y)) and float(np.max(y)) <= n_in


@pytest.mark.parametrize("permuted", [False, True])
def test_wrong_counts_write_nowhere_else(permuted, rng):
    """Nor do counts of rows that fall, or reach beyond the synapses there are."""
    for starts in (rng.integers(0, 2**32, 41, np.uint32), np.arange(41, dtype=U32)[::-1] * 99):
        out = jax.ShapeDtypeStruct((1, 100), F32)
        y = jax.ffi.ffi_call("evops_scatter", out)(
            np.arange(40)[None] < 3, np.ones((1, 1), F32), np.ones((1, 2), U32),
            np.minimum(starts, 10**5)[None], np.zeros(0, I32),
            **spec(words(COUNTED, 0, *((3, 4, 19, 100) if permuted else (1,))), per_input=1, listed=0),
        )  # fmt: skip
        assert np.isfinite(y).all() and float(np.asarray(y).min()) >= 0
