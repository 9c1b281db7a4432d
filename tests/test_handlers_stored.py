"""The handler of pushes through stored matrices by hand: sizes, types and ranges that it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

F32, I32 = np.float32, np.int32
MATRIX = {
    "data": ((4,), F32),
    "indices": [0, 1, 2, 1],
    "indptr": [0, 1, 4],
    "delay": [1, 2, 1, 0],
    "scale": ((1,), F32),
}
PLACE = (1, 2, 2, 3)  # first pre neuron and their number, first post neuron and their number


@pytest.fixture(autouse=True, scope="module")
def library():
    """The handlers are known once the library is loaded."""
    assert evops.backends()["native"].available


def array(given):
    """Ones of a shape and a dtype, or numbers."""
    if isinstance(given, tuple):
        return jnp.ones(*given)
    return given if isinstance(given, jax.Array) else jnp.asarray(np.array(given, I32))


def push(
    ring=((4, 6), F32), x=((5,), bool), step=3, out=None, places=PLACE, more=(), listed=0, **matrix
):
    operands = [array(v) for v in (ring, x, step, *(MATRIX | matrix).values(), *more)]
    result = jax.ShapeDtypeStruct(*(out or (operands[0].shape, operands[0].dtype)))
    fn = jax.ffi.ffi_call("evops_stored_push", result)
    return fn(*operands, places=np.array(places, np.int64), listed=np.int64(listed))


def test_a_good_call():
    want = np.ones((4, 6))
    for post, delay in ((0, 1), (1, 2), (2, 1), (1, 0)):
        want[(3 + delay) % 4, 2 + post] += 1
    np.testing.assert_array_equal(push(), want)
    np.testing.assert_array_equal(push(ring=((2, 4, 6), F32), x=((2, 5), F32))[1], want)
    # of one batch entry its own weights, of all the same spikes
    each = jnp.arange(8.0).reshape(2, 4)
    both = push(ring=((2, 4, 6), F32), x=((2, 5), bool), data=each)
    np.testing.assert_array_equal(both[1], push(data=each[1]))
    twice = push(more=[((4,), F32), *list(MATRIX.values())[1:]], places=PLACE * 2)
    np.testing.assert_array_equal(twice, 2 * want - 1)
    np.testing.assert_array_equal(push(delay=[1], data=((1,), F32))[0], [1, 1, 2, 3, 2, 1])
    np.testing.assert_array_equal(push(scale=jnp.float32([2])), 2 * want - 1)


REFUSED = [
    ({"ring": ((6,), F32)}, r"ring is float32\[6\], expected rank 2 or more"),
    ({"ring": ((4, 6), np.float16)}, "expected int32, float32 or float64"),
    ({"ring": ((4, 4), F32)}, "places reach outside 5 pre and 4 post neurons"),
    ({"ring": ((2, 4, 6), F32), "x": ((3, 5), bool)}, r"bool\[3,5\] is of another batch than the ring"),
    ({"x": ((2, 5), bool)}, r"bool\[2,5\] is of another batch than the ring"),
    ({"x": ((), bool)}, "and x bool"),
    ({"x": ((2,), bool)}, "places reach outside 2 pre and 6 post neurons"),
    ({"x": ((5,), I32)}, r"x is int32\[5\], expected bool or float32"),
    ({"step": -1}, "step is -1, expected >= 0"),
    ({"step": [1]}, "another batch than the ring"),
    ({"out": ((4, 5), F32)}, r"result is float32\[4,5\], expected float32\[4,6\]"),
    ({"data": ((3,), F32)}, r"data is float32\[3\], expected float32\[4\]"),
    ({"scale": ((1,), I32), "ring": ((4, 6), I32)}, r"data is float32\[4\], expected int32\[4\]"),
    ({"scale": ((2,), F32)}, r"scale is float32\[2\], expected float32\[1\]"),
    ({"scale": ((1,), I32)}, r"scale is int32\[1\], expected float32\[1\]"),
    ({"delay": [1, 2, 3]}, r"delay is int32\[3\], expected int32\[4\]"),
    ({"delay": ((4,), F32)}, r"delay is float32\[4\], expected int32\[4\]"),
    ({"delay": [1, 2, 4, 0]}, r"delay\[2\] is 4, expected 0 to 3"),
    ({"delay": [1, 2, 3, -1]}, r"delay\[3\] is -1, expected 0 to 3"),
    ({"delay": [-(2**31)]}, r"delay\[0\] is -2147483648, expected 0 to 3"),
    ({"indices": [0, 1, 3, 1]}, r"indices\[2\] is 3, expected 0 to 2"),
    ({"indices": [0, -1, 2, 1]}, r"indices\[1\] is -1, expected 0 to 2"),
    ({"indices": [0, 1, 2]}, r"indptr of row 1 is 1 to 4|data is float32\[4\]|delay is"),
    ({"indptr": [0, 1, 5]}, "indptr of row 1 is 1 to 5, expected 0 to 4, not decreasing"),
    ({"indptr": [0, 3, 1]}, "indptr of row 1 is 3 to 1"),
    ({"indptr": [-1, 1, 4]}, "indptr of row 0 is -1 to 1"),
    ({"indptr": [0, 4]}, r"indptr is int32\[2\], expected int32\[3\]"),
    ({"indptr": [0, 1, 2, 4]}, r"indptr is int32\[4\], expected int32\[3\]"),
    ({"places": ()}, "8 operands and places of 0 numbers"),
    ({"places": (1, 2, 2)}, "8 operands and places of 3 numbers"),
    ({"places": PLACE * 2}, "8 operands and places of 8 numbers"),
    ({"more": [((1,), F32)]}, "9 operands and places of 4 numbers"),
    ({"places": (4, 2, 2, 3)}, "places reach outside"),
    ({"places": (-1, 2, 2, 3)}, "places reach outside"),
    ({"places": (1, -2, 2, 3)}, "places reach outside"),
    ({"places": (1, 2, 2**62, 3)}, "places reach outside"),
    ({"places": (1, 2, 2, 2**62)}, "places reach outside"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_is_out_of_range_is_refused(change, message):
    with pytest.raises(Exception, match="evops_stored_push: .*(" + message + ")"):
        jax.block_until_ready(push(**change))
