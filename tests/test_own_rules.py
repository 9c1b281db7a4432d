"""Rules that users write: one that is right is drawn, one that is wrong is named when it is used."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import evops
from evops.connectivity.rules import COUNTED, DENSE, DIAGONAL, GAPS, LFSR, SUBSET

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


HALF = (DENSE, 0, 12, 128, 0)
GAP = evops.FixedProbability(0.01)
GOOD = [
    (own(HALF), evops.FixedProbability(0.5)),
    (own(GAP.scheme(SHAPE), GAP.table), GAP),
    (own((SUBSET, 0, 7, 9, 300)), evops.FixedOutDegree(7)),
    (own((SUBSET, 0, 7, 0, 300)), evops.FixedOutDegree(7, multapses=True)),
    (own((COUNTED, 0, 1, 0, 0), total=50), evops.FixedTotalNumber(50)),
    (own((COUNTED, 0, 2, 10, 300), total=600), evops.FixedInDegree(2)),
]


@pytest.mark.parametrize(("rule", "same"), GOOD, ids=lambda r: type(r).__name__)
def test_own_rules_are_drawn(rule, same, backend):
    got, want = (evops.Projection(r, 1.0, SHAPE, seed=3, backend=backend) for r in (rule, same))
    np.testing.assert_array_equal(got.todense(), want.todense())


BAD = [
    (own(None), "scheme must return a tuple of 5 ints, got None"),
    (own(list(HALF)), r"scheme must return a tuple of 5 ints, got \["),
    (own(HALF[:4]), "scheme must return a tuple of 5 ints"),
    (own((*HALF, 0)), "scheme must return a tuple of 5 ints"),
    (own((DENSE, False, 12, 128, 0)), "scheme must return a tuple of 5 ints"),
    (own((DENSE, 0, 12.0, 128, 0)), "scheme must return a tuple of 5 ints"),
    (own((DENSE, 0, 12, np.int64(128), 0)), "scheme must return a tuple of 5 ints"),
    (own((6, 0, 0, 0, 0)), r"scheme\[0\], must be one of 0 .LFSR., .*, got 6"),
    (own((-1, 0, 0, 0, 0)), r"scheme\[0\], must be one of"),
    (own((DENSE, 2, 12, 128, 0)), r"scheme\[1\] must be 0 or 1, got 2"),
    (own((DIAGONAL, 1, 0, 0, 0)), r"scheme\[1\] must be 0 for DIAGONAL, got 1"),
    (own((DENSE, 0, 13, 128, 0)), r"scheme\[2:\] must be .* for DENSE, got \(13, 128, 0\)"),
    (own((DENSE, 0, 12, 257, 0)), "for DENSE"),
    (own((DENSE, 0, 12, 0, -1)), "for DENSE"),
    (own((DENSE, 0, 12, 0, 2**32)), "for DENSE"),
    (own((GAPS, 0, 11, 8, 0)), "for GAPS"),
    (own((GAPS, 0, 12, 13, 0)), "for GAPS"),
    (own((GAPS, 0, 12, 8, 9)), "for GAPS"),
    (own((SUBSET, 0, 301, 9, 300)), "for SUBSET, got"),
    (own((SUBSET, 0, 7, 8, 300)), "for SUBSET, got"),
    (own((SUBSET, 0, 7, 10, 300)), "for SUBSET, got"),
    (own((SUBSET, 0, 7, 9, 299)), "for SUBSET, got"),
    (own((SUBSET, 0, -1, 0, 300)), "for SUBSET, got"),
    (own((SUBSET, 0, 2**31, 0, 300)), "for SUBSET, got"),
    (own((DIAGONAL, 0, 1, 0, 0)), "for DIAGONAL, got"),
    (own((LFSR, 0, 0, 0, 0)), "for LFSR, got"),
    (own((LFSR, 0, 19, 7, 0)), "for LFSR, got"),
    (own((LFSR, 0, 19, 2**32 // 19, 2)), "for LFSR, got"),
    (own((COUNTED, 0, 2, 0, 0), total=5), "for COUNTED, got"),
    (own((COUNTED, 0, 2, 9, 300), total=5), "for COUNTED, got"),
    (own((COUNTED, 0, 0, 8, 300), total=0), "for COUNTED, got"),
    (own((COUNTED, 0, 2**31, 31, 1), total=0), "for COUNTED, got"),
    (own((GAPS, 0, 12, 8, 0)), r"table must be a numpy array uint32\[256\], got uint32\[0\]"),
    (own((GAPS, 0, 12, 8, 0), np.zeros(256)), r"table must .*, got float64\[256\]"),
    (own((GAPS, 0, 12, 8, 10), np.zeros(256, np.uint32)), r"uint32\[1280\], got uint32\[256\]"),
    (own((GAPS, 0, 12, 8, 0), np.zeros((1, 256), np.uint32)), r"got uint32\[1, 256\]"),
    (own((GAPS, 0, 12, 8, 0), [0] * 256), "table must be a numpy array"),
    (own(HALF, np.zeros(3, np.uint32)), r"table must be a numpy array uint32\[0\]"),
    (own(HALF, total=5), "total must be None for DENSE, got 5"),
    (own((COUNTED, 0, 1, 0, 0)), "total must return an int for COUNTED, got None"),
    (own((COUNTED, 0, 1, 0, 0), total=5.0), "total must return an int for COUNTED, got 5.0"),
    (own((COUNTED, 0, 1, 0, 0), total=-1), "total must be from 0 to 2147483647, got -1"),
    (own((COUNTED, 0, 1, 0, 0), total=2**31), "total must be from 0 to 2147483647"),
    (own((COUNTED, 0, 2, 10, 300), total=601), "total must be from 0 to 600, got 601"),
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
            return SUBSET, 0, 1, 8, shape[1]

    with pytest.raises(ValueError, match=r"rule Own cannot .*must be one of 1 .GAPS.*, got 3"):
        evops.MultiAreaProjection(Own(0.5), jnp.ones((2, 2)), 1, pre=5, post=4, seed=1)
