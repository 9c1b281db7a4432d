"""Rules that users write: one that is right is drawn, one that is wrong is named when it is used."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import evops
from evops.connectivity.format import (
    CountedRows,
    DenseBlocks,
    Diagonal,
    EqualRows,
    GeometricGaps,
    UniformGaps,
)
from unchecked import unchecked

SHAPE = (4, 300)


def own(scheme, table=None, total=None, expected=3.0):
    """A rule of a user, called Own, that returns these."""

    @dataclasses.dataclass(frozen=True)
    class Own(evops.Rule):
        def scheme(self, shape):
            return scheme

        @property
        def table(self):
            return np.zeros(0, np.uint32) if table is None else table

        def total(self, shape):
            return total

        def expected_synapses(self, shape):
            return expected

    return Own()


def odd(record, *words, **options):
    """A record with a field of another type."""
    with unchecked():
        return record(*words, **options)


HALF = DenseBlocks(12, 128, 0)
GAP = evops.FixedProbability(0.01)
GOOD = [
    (own(HALF), evops.FixedProbability(0.5)),
    (own(GAP.scheme(SHAPE), GAP.table), GAP),
    (own(EqualRows(7, 4, 19, 300)), evops.FixedOutDegree(7)),
    (own(EqualRows(7, 0, 0, 300)), evops.FixedOutDegree(7, multapses=True)),
    (own(CountedRows(1, 0, 0, 0), total=50), evops.FixedTotalNumber(50)),
    (own(CountedRows(2, 5, 19, 300), total=600), evops.FixedInDegree(2)),
]


@pytest.mark.thin(5)
@pytest.mark.parametrize(("rule", "same"), GOOD, ids=lambda r: type(r).__name__)
def test_own_rules_are_drawn(rule, same, backend):
    got, want = (evops.Projection(r, 1.0, SHAPE, seed=3, backend=backend) for r in (rule, same))
    np.testing.assert_array_equal(got.todense(), want.todense())


BAD = [
    (own(None), r"scheme must return a record of .*\(UniformGaps, .*\), got None"),
    (own((2, 0, 12, 128, 0)), r"scheme must return a record of .*, got \(2, 0, 12, 128, 0\)"),
    (own(DenseBlocks), "scheme must return a record of .*, got <class"),
    (own(DenseBlocks(True, 128, 0)), "DenseBlocks.block_bits must be an int, got True"),
    (own(odd(DenseBlocks, 12.0, 128, 0)), "DenseBlocks.block_bits must be an int, got 12.0"),
    (own(odd(DenseBlocks, 12, np.int64(128), 0)), "DenseBlocks.threshold must be an int"),
    (
        own(odd(DenseBlocks, 12, 128, 0, exclude_autapses=1)),
        "exclude_autapses must be a bool, got 1",
    ),
    (own(Diagonal(exclude_autapses=True)), "must be False, Diagonal cannot leave pairs out, got"),
    (own(DenseBlocks(13, 128, 0)), "DenseBlocks must have block_bits = 12, or both thresholds 0"),
    (own(DenseBlocks(23, 0, 0)), "DenseBlocks.block_bits must be from 0 to 22 .*, got 23"),
    (own(DenseBlocks(12, 257, 0)), "DenseBlocks.threshold must be from 0 to 256 .*, got 257"),
    (own(DenseBlocks(12, 0, -1)), "DenseBlocks.tie_threshold must be from 0 to"),
    (own(DenseBlocks(12, 0, 2**32)), "DenseBlocks.tie_threshold must be from 0 to"),
    (own(GeometricGaps(11, 8, 0)), "GeometricGaps.block_bits must be from 12 to 22"),
    (own(GeometricGaps(12, 13, 0)), "GeometricGaps.high_digit_bits must be from 6 to 12"),
    (own(GeometricGaps(12, 8, 11)), "GeometricGaps.low_digit_bits must be from 0 to 10"),
    (own(GeometricGaps(12, 8, 9)), "GeometricGaps must have low_digit_bits = 0 or 10"),
    (own(EqualRows(301, 4, 19, 300)), "EqualRows must have n_post = 300, .* k up to n_post, got"),
    (own(EqualRows(7, 5, 19, 300)), "EqualRows must have .* or 4 and 19 for k"),
    (own(EqualRows(7, 4, 20, 300)), "EqualRows must have"),
    (own(EqualRows(7, 4, 19, 299)), "EqualRows must have"),
    (own(EqualRows(-1, 0, 0, 300)), "EqualRows.k must be from 0 to 2147483647 .*, got -1"),
    (own(EqualRows(2**31, 0, 0, 300)), "EqualRows.k must be from 0 to 2147483647"),
    (own(UniformGaps(0, 0, 0)), "UniformGaps.clen must be from 1"),
    (own(UniformGaps(19, 7, 0)), "UniformGaps must have reciprocal = 226050910, got"),
    (own(UniformGaps(19, 2**32 // 19, 2)), "UniformGaps.hashed must be from 0 to 1"),
    (
        own(CountedRows(2, 0, 0, 0), total=5),
        "CountedRows must have slots = 1, high_count = n_post = 0",
    ),
    (own(CountedRows(2, 4, 19, 300), total=5), "CountedRows must have n_post = 300, low_bits and"),
    (own(CountedRows(0, 4, 16, 300), total=0), "CountedRows.slots must be from 1"),
    (
        own(CountedRows(2**31, 16, 2**15, 1), total=0),
        "CountedRows.slots must be from 1 to 2147483647",
    ),
    (own(CountedRows(2**30, 16, 2**15, 300), total=0), "CountedRows must have"),
    (own(GeometricGaps(12, 8, 0)), r"table must be a numpy array uint32\[256\], got uint32\[0\]"),
    (own(GeometricGaps(12, 8, 0), np.zeros(256)), r"table must .*, got float64\[256\]"),
    (own(GeometricGaps(12, 8, 10), np.zeros(256, np.uint32)), r"uint32\[1280\], got uint32\[256\]"),
    (own(GeometricGaps(12, 8, 0), np.zeros((1, 256), np.uint32)), r"got uint32\[1, 256\]"),
    (own(GeometricGaps(12, 8, 0), [0] * 256), "table must be a numpy array"),
    (own(HALF, np.zeros(3, np.uint32)), r"table must be a numpy array uint32\[0\]"),
    (own(HALF, total=5), "total must be None for DenseBlocks, got 5"),
    (own(CountedRows(1, 0, 0, 0)), "total must return an int for CountedRows, got None"),
    (own(CountedRows(1, 0, 0, 0), total=5.0), "total must return an int for CountedRows, got 5.0"),
    (own(CountedRows(1, 0, 0, 0), total=-1), "total must be from 0 to 2147483647, got -1"),
    (own(CountedRows(1, 0, 0, 0), total=2**31), "total must be from 0 to 2147483647"),
    (own(CountedRows(2, 5, 19, 300), total=601), "total must be from 0 to 600, got 601"),
    (own(HALF, expected=None), "expected_synapses must return a number, got None"),
    (own(HALF, expected="7"), "expected_synapses must return a number"),
    (own(HALF, expected=True), "expected_synapses must return a number"),
    (own(HALF, expected=-1), "expected_synapses must be from 0"),
    (own(HALF, expected=float("nan")), "expected_synapses must be from 0"),
    (own(HALF, expected=float("inf")), "expected_synapses must be from 0"),
    (own(HALF, expected=10**400), "expected_synapses must be from 0"),
]


@pytest.mark.parametrize(("rule", "message"), BAD, ids=[str(k) for k in range(len(BAD))])
def test_wrong_own_rules_are_named(rule, message, backend):
    with pytest.raises((ValueError, TypeError), match=f"rule Own cannot be drawn: .*{message}"):
        evops.Projection(rule, 1.0, SHAPE, seed=1, backend=backend)


def test_own_rules_must_be_hashable():
    @dataclasses.dataclass
    class Own(evops.Rule):
        k: int = 3

        def scheme(self, shape):
            return HALF

        def expected_synapses(self, shape):
            return 1.0

    with pytest.raises(TypeError, match="rule Own cannot be drawn: it must be hashable"):
        evops.Projection(Own(), 1.0, SHAPE, seed=1)


def test_areas_name_a_wrong_rule():
    class Own(evops.FixedProbability):
        def scheme(self, shape):
            return EqualRows(1, 4, 16, shape[1])

    with pytest.raises(TypeError, match=r"rule Own cannot .*\(GeometricGaps, .*, got EqualRows"):
        evops.MultiAreaProjection(Own(0.5), jnp.ones((2, 2)), 1, pre=5, post=4, seed=1)
