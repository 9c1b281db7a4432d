"""The handler of states that spikes change, by hand: sizes, types and ranges that it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
from test_handlers_stored import array

F32, I32 = np.float32, np.int32
# Rows of 1, 0 and 3 synapses, onto columns 2, 0, 2, 1 of 3.
GIVEN = {
    "state": ((4,), F32),
    "x": ((3,), bool),
    "value": ((1,), F32),
    "low": jnp.full(1, -9, F32),
    "high": jnp.full(1, 9, F32),
    "indices": [2, 0, 2, 1],
    "indptr": [0, 1, 1, 4],
}
INDEX = {"begins": [0, 1, 2, 4], "synapses": [1, 3, 0, 2], "guide": [0, 2, 2, 2, 2]}


@pytest.fixture(autouse=True, scope="module")
def library():
    """The handlers are known once the library is loaded."""
    assert evops.backends()["native"].available


def add(side=0, per=0, n_post=3, out=None, words=None, more=(), listed=0, **given):
    chosen = GIVEN | (INDEX if side == 1 else {}) | given
    operands = [*(array(v) for v in chosen.values()), *map(array, more)]
    result = jax.ShapeDtypeStruct(*(out or (operands[0].shape, operands[0].dtype)))
    fn = jax.ffi.ffi_call("evops_spiked_state", result)
    words = np.array([side, per, n_post] if words is None else words, np.int64)
    return fn(*operands, words=words, listed=np.int64(listed))


def test_good_calls():
    np.testing.assert_array_equal(add(), [2] * 4)
    np.testing.assert_array_equal(add(side=1), [2] * 4)
    fired = jnp.array([False, False, True])
    np.testing.assert_array_equal(add(x=fired), [1, 2, 2, 2])
    np.testing.assert_array_equal(add(side=1, x=fired), [2, 1, 2, 1])
    each = jnp.array([10.0, 20, 30])
    np.testing.assert_array_equal(add(per=2, value=each, high=jnp.full(1, 25.0)), [11, 25, 25, 25])
    np.testing.assert_array_equal(add(per=3, value=each, high=jnp.full(1, 99.0)), [31, 11, 31, 21])
    np.testing.assert_array_equal(
        add(side=1, per=2, value=each, high=jnp.full(1, 99.0)), [11, 31, 31, 31]
    )
    batch = add(state=((2, 4), F32), x=jnp.stack([fired, ~fired]))
    np.testing.assert_array_equal(batch, [[1, 2, 2, 2], [2, 1, 1, 1]])
    empty = {"state": ((0,), F32), "indices": ((0,), I32), "indptr": [0] * 4}
    assert add(**empty).shape == (0,)
    assert add(side=1, begins=[0] * 4, synapses=((0,), I32), guide=[2], **empty).shape == (0,)


def test_rows_without_synapses_are_passed_over():
    """A guide whose places are many rows apart."""
    rows = 100
    indptr = np.r_[np.zeros(40), np.full(60, 3), 4].astype(I32)  # of rows 39 and 99
    given = {"indices": [0, 0, 0, 0], "indptr": jnp.asarray(indptr), "x": ((1,), bool)}
    value = jnp.arange(rows, dtype=F32)
    index = {"begins": [0, 4], "synapses": [0, 1, 2, 3], "guide": [39, 39, 39, 99, 99]}
    got = add(side=1, per=2, n_post=1, value=value, high=jnp.full(1, 200.0), **given, **index)
    np.testing.assert_array_equal(got, [40, 40, 40, 100])
    wide = index | {"guide": [0, 0, 0, 0, 99]}  # as wide as a guide can be
    got = add(side=1, per=2, n_post=1, value=value, high=jnp.full(1, 200.0), **given, **wide)
    np.testing.assert_array_equal(got[3:], [100])


REFUSED = [
    ({"state": ((), F32)}, r"state is float32\[\], expected rank 1 or more"),
    ({"state": ((4,), np.float16)}, "expected float16"),
    ({"state": ((3,), F32)}, r"indices is int32\[4\], expected int32\[3\]"),
    ({"state": ((2, 4), F32), "x": ((3, 3), bool)}, r"bool\[3,3\] is of another batch than"),
    ({"x": ((2, 3), bool)}, r"bool\[2,3\] is of another batch than"),
    ({"x": ((2,), bool)}, r"x is bool\[2\], expected bool\[3\]"),
    ({"x": ((3,), I32)}, r"x is int32\[3\], expected bool or float32"),
    ({"side": 1, "n_post": 4}, r"x is bool\[3\], expected bool\[4\]"),
    ({"value": ((2,), F32)}, r"value is float32\[2\], expected float32\[1\]"),
    ({"per": 1}, r"value is float32\[1\], expected float32\[4\]"),
    ({"per": 2}, r"value is float32\[1\], expected float32\[3\]"),
    ({"per": 3, "n_post": 2}, r"value is float32\[1\], expected float32\[2\]"),
    ({"value": ((1,), I32)}, r"value is int32\[1\], expected float32\[1\]"),
    ({"low": ((2,), F32)}, r"low is float32\[2\], expected float32\[1\]"),
    ({"high": ((1,), I32)}, r"high is int32\[1\], expected float32\[1\]"),
    ({"indices": [0, 1]}, r"indices is int32\[2\], expected int32\[4\]"),
    ({"indptr": ((0,), I32)}, "expected rank 1 and one entry more than rows"),
    ({"indptr": ((4,), F32)}, r"indptr is float32\[4\], expected int32\[4\]"),
    ({"indptr": [0, 1, 1, 5]}, "indptr has rows out of their range, which ends at 4 synapses"),
    ({"indptr": [0, 2, 1, 4]}, "indptr has rows out of their range"),
    ({"indptr": [0, -1, 1, 4]}, "indptr has rows out of their range"),
    ({"per": 3, "value": ((3,), F32), "indices": [0, 1, 3, 0]}, "indices has entries out of their"),
    (
        {"per": 3, "value": ((3,), F32), "indices": [0, 1, -1, 0]},
        "indices has entries out of their",
    ),
    ({"out": ((3,), F32)}, r"result is float32\[3\], expected float32\[4\]"),
    ({"n_post": -1}, "more than 2147483647 synapses or neurons"),
    ({"n_post": 2**31}, "more than 2147483647 synapses or neurons"),
    ({"words": [0, 0]}, "7 operands and 2 words, expected 7 or 10 operands"),
    ({"words": [2, 0, 3]}, "7 operands and 3 words, expected"),
    ({"words": [-1, 0, 3]}, "7 operands and 3 words, expected"),
    ({"words": [0, 4, 3]}, "7 operands and 3 words, expected"),
    ({"words": [1, 0, 3]}, "7 operands and 3 words, expected"),
    ({"more": [[0]]}, "8 operands and 3 words, expected"),
    ({"side": 1, "begins": [0, 1, 2]}, r"begins is int32\[3\], expected int32\[4\]"),
    ({"side": 1, "begins": [0, 1, 2, 5]}, "the index of columns has entries out of their range"),
    ({"side": 1, "begins": [0, 3, 2, 4]}, "the index of columns has entries out of their range"),
    ({"side": 1, "synapses": [0, 1, 2]}, r"synapses is int32\[3\], expected int32\[4\]"),
    ({"side": 1, "synapses": [0, 1, 4, 2]}, "the index of columns has entries out of their range"),
    ({"side": 1, "synapses": [0, 1, -1, 2]}, "the index of columns has entries out of their range"),
    ({"side": 1, "guide": [0, 0, 2, 2]}, r"guide is int32\[4\], expected int32\[5\]"),
]
BY_ROW = {"side": 1, "per": 2, "value": ((3,), F32)}
REFUSED += [
    (BY_ROW | {"guide": guide}, "the index of columns has entries out of their range")
    for guide in ([0, 0, 2, 3, 3], [2, 0, 0, 0, 0], [0, -1, 2, 2, 2])
]


@pytest.mark.parametrize(("given", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused(given, message):
    with pytest.raises(Exception, match="evops_spiked_state: .*(" + message + ")"):
        jax.block_until_ready(add(**given))
