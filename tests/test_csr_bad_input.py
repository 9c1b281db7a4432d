"""Stored matrices: errors of the constructor, of products and of handlers called by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import evops
from evops.engine import library

GOOD = {
    "data": [0.5, 1.0, 2.0],
    "indices": [0, 3, 1],
    "indptr": [0, 2, 3],
    "shape": (2, 4),
}
BAD = [
    ({"data": [1j, 1, 1]}, TypeError, "data must be real or bool, got dtype complex64"),
    ({"data": np.array(["a"] * 3)}, TypeError, "data must be an array of numbers"),
    ({"data": None}, TypeError, "data must be an array of numbers"),
    (
        {"data": [True] * 3},
        TypeError,
        "data must be a number or an array of numbers, got dtype bool",
    ),
    (
        {"data": [1.0, 2.0]},
        ValueError,
        r"data must be one weight or have shape \(nnz = 3,\), got \(2,\)",
    ),
    ({"data": [[1.0, 2.0, 3.0]]}, ValueError, r"data must be one weight .* got \(1, 3\)"),
    ({"data": [[1.0]]}, ValueError, r"data must be one weight .* got \(1, 1\)"),
    ({"indices": [0, 3]}, ValueError, "indptr must end at the number of indices, 2, got 3"),
    ({"indices": [[0, 3, 1]]}, ValueError, r"indices must have 1 axis, got shape \(1, 3\)"),
    (
        {"indices": [0, 3.0, 1]},
        TypeError,
        "indices must be an array of integers, got dtype float64",
    ),
    ({"indices": [False] * 3}, TypeError, "indices must be an array of integers, got dtype bool"),
    (
        {"indices": np.array([0, 3, 1], "m8[s]")},
        TypeError,
        r"indices must be an array of integers, got dtype timedelta64\[s\]",
    ),
    ({"indices": None}, ValueError, "indices must have 1 axis"),
    ({"indices": [0, 4, 1]}, ValueError, r"indices must be in \[0, n_post = 4\), got 4"),
    ({"indices": [0, -1, 1]}, ValueError, r"indices must be in \[0, n_post = 4\), got -1"),
    ({"indices": [0, 2**32, 1]}, ValueError, r"indices must be in .* got 4294967296"),
    ({"indptr": [0, 3]}, ValueError, r"indptr must have n_pre \+ 1 = 3 entries, got 2"),
    ({"indptr": [1, 2, 3]}, ValueError, "indptr must start at 0, got 1"),
    ({"indptr": [0, 4, 3]}, ValueError, "indptr must not decrease, got 4 to 3 for pre 1"),
    ({"indptr": np.uint32([0, 4, 3])}, ValueError, "indptr must not decrease"),
    ({"indptr": [0, 2, 2]}, ValueError, "indptr must end at the number of indices, 3, got 2"),
    ({"indptr": [0.0, 2.0, 3.0]}, TypeError, "indptr must be an array of integers"),
    ({"shape": (-2, 4)}, ValueError, r"shape\[0\] must be an integer from 1 to 2147483647, got -2"),
    ({"shape": (2, 0)}, ValueError, r"shape\[1\] must be an integer from 1"),
    ({"shape": (2, 4, 1)}, ValueError, "shape must have 2 entries, got 3"),
    ({"shape": 2}, TypeError, "shape must be a pair of integers, got 2"),
    ({"backend": "gpu"}, ValueError, "backend must be one of native, jnp, got 'gpu'"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_bad_arguments(change, error, message):
    arguments = {**GOOD, **change}
    leaves = [arguments.pop(name) for name in ("data", "indices", "indptr")]
    with pytest.raises(error, match=message):
        evops.CSR(*leaves, **arguments)


def test_64_bit_integer_weights_are_refused():
    with jax.enable_x64(True), pytest.raises(TypeError, match="up to 32 bits, got int64"):
        evops.CSR(np.int64([1, 2, 3]), [0, 3, 1], [0, 2, 3], shape=(2, 4))


def test_bad_arguments_of_from_scipy():
    with pytest.raises(TypeError, match="matrix must be a scipy sparse matrix, got ndarray"):
        evops.CSR.from_scipy(np.eye(3))
    with pytest.raises(TypeError, match="data must be real"):
        evops.CSR.from_scipy(scipy.sparse.csr_array(np.eye(3) * 1j))
    with pytest.raises(ValueError, match="shape of matrix must have 2 entries, got 1"):
        evops.CSR.from_scipy(scipy.sparse.coo_array(np.ones(3)))


@pytest.mark.parametrize("trace", [False, True])
def test_sizes_that_do_not_fit_are_named_in_words_of_the_field(trace):
    W = evops.CSR(0.5, [0, 3, 1], [0, 2, 3], shape=(2, 4))
    for product, x, message in (
        (lambda x: x @ W, np.ones(3), "x has 3 entries; W expects 2 presynaptic neurons"),
        (lambda x: W(x), np.ones((5, 4)), "x has 4 entries; W expects 2 presynaptic neurons"),
        (lambda x: x @ W, np.float32(1), "x has no axes; W expects 2 presynaptic neurons"),
        (lambda v: W @ v, np.ones(3), "v has 3 entries; W expects 4 postsynaptic neurons"),
        (lambda v: W @ v, np.ones((2, 4)), "v has 2 entries; W expects 4 postsynaptic neurons"),
        (lambda x: x @ W.T, np.ones(2), "x has 2 entries; W.T expects 4 postsynaptic neurons"),
        (lambda v: W.T @ v, np.ones(4), "v has 4 entries; W.T expects 2 presynaptic neurons"),
    ):
        with pytest.raises(ValueError, match=message):
            (jax.jit(product) if trace else product)(x)


def test_operands_that_are_no_vectors():
    W = evops.CSR(0.5, [0, 3, 1], [0, 2, 3], shape=(2, 4))
    with pytest.raises(TypeError, match="x must be real or bool, got dtype complex64"):
        np.ones(2, complex) @ W
    with pytest.raises(TypeError, match="x must be an array of numbers"):
        np.array(["a", "b"]) @ W
    with pytest.raises(TypeError, match="v must be an array of numbers or bools, got CSR"):
        W @ W
    with pytest.raises(TypeError, match=r"no entries to index but W\[\.\.\.\]: 0"):
        W[0]
    with pytest.raises((TypeError, ValueError)):
        jnp.asarray(W)
    with pytest.raises(TypeError):
        jnp.matmul(jnp.ones(2), W)
    with pytest.raises(TypeError):
        np.ones(2) * W


def test_traced_connections_are_checked_where_they_are_read(rng):
    """No value check is possible in traced code: the native kernels report what they meet."""

    @jax.jit
    def call(x, indices, indptr):
        return x @ evops.CSR(1.0, indices, indptr, shape=(2, 4), backend="native")

    good = call(np.ones(2, bool), np.array([0, 3, 1]), np.array([0, 2, 3]))
    np.testing.assert_array_equal(good, [1, 1, 0, 1])
    with pytest.raises(Exception, match=r"indices\[1\] is 4, expected 0 to 3"):
        jax.block_until_ready(call(np.ones(2, bool), np.array([0, 4, 1]), np.array([0, 2, 3])))


F32, I32 = np.float32, np.int32


def handler(
    target="evops_stored_scatter",
    x=((2, 3), bool),
    data=((9,), F32),
    indices=((9,), I32),
    indptr=((4,), I32),
    y=((2, 5), F32),
    places=(0, 2, 4, 9),
    entry=4,
    at=8,
    listed=0,
):
    assert library.choose("native")
    fn = jax.ffi.ffi_call(target, jax.ShapeDtypeStruct(*y))
    targets = np.ones(indices[0], indices[1])
    if targets.size > at:
        targets.flat[at] = entry
    fits = indptr == ((4,), I32)
    rows = np.array(places, I32) if fits else np.zeros(*indptr)
    arrays = jnp.ones(*x), jnp.ones(*data), jnp.asarray(targets), jnp.asarray(rows)
    return fn(*arrays, **({} if "columns" in target else {"listed": np.int64(listed)}))


GATHER = {"target": "evops_stored_gather", "x": ((2, 5), F32), "y": ((2, 3), F32)}
COLUMNS = {"target": "evops_stored_columns", "x": ((5, 2), F32), "y": ((3, 2), F32)}
HANDLER = [
    ({"x": ((3,), bool)}, "x is bool.3., expected rank 2"),
    ({"y": ((5,), F32)}, "y is float32.5., expected rank 2"),
    ({"indices": ((3, 3), I32)}, "expected rank 1"),
    ({"indices": ((9,), np.uint32)}, r"indices is uint32\[9\], expected int32\[9\]"),
    ({"indptr": ((4,), np.uint32)}, r"indptr is uint32\[4\], expected int32\[4\]"),
    ({"indptr": ((2, 2), I32)}, "expected rank 1, one entry more than rows"),
    ({"indptr": ((0,), I32)}, "expected rank 1, one entry more than rows"),
    ({"indptr": ((5,), I32)}, r"x is bool\[2,3\], expected bool\[2,4\]"),
    ({"x": ((2, 4), bool)}, r"x is bool\[2,4\], expected bool\[2,3\]"),
    ({"x": ((1, 3), bool)}, r"y is float32\[2,5\], expected float32\[1,5\]"),
    ({"x": ((2, 3), I32)}, r"x is int32\[2,3\], expected bool or float32"),
    ({"data": ((8,), F32)}, r"data is float32\[8\], expected float32\[9\]"),
    ({"data": ((9,), np.float64)}, r"data is float64\[9\], expected float32\[9\]"),
    ({"data": ((8,), I32)}, r"data is int32\[8\], expected int32\[9\]"),
    ({"data": ((9,), F32), "y": ((2, 5), I32)}, r"data is float32\[9\], expected int32\[9\]"),
    ({"data": ((9,), bool)}, r"data is bool\[9\], expected float32\[9\]"),
    ({"data": ((), F32)}, r"data is float32\[\], expected float32\[1\]"),
    ({"y": ((2, 5), np.float16), "data": ((9,), np.float16)}, "expected int32, float32 or float64"),
    ({"y": ((2, 4), F32)}, r"indices\[8\] is 4, expected 0 to 3"),
    ({"entry": -1}, r"indices\[8\] is -1, expected 0 to 4"),
    ({"entry": 2**31 - 1, "at": 4}, r"indices\[4\] is 2147483647, expected 0 to 4"),
    ({"entry": -(2**31), "at": 0}, r"indices\[0\] is -2147483648"),
    ({"places": (0, 2, 1, 9)}, "indptr of row 1 is 2 to 1, expected 0 to 9, not decreasing"),
    ({"places": (-1, 2, 4, 9)}, "indptr of row 0 is -1 to 2"),
    ({"places": (0, 2, 4, 10)}, "indptr of row 2 is 4 to 10, expected 0 to 9"),
    ({"places": (0, 2, 4, -1)}, "indptr of row 2 is 4 to -1"),
    ({"places": (2**31 - 1,) * 4}, "indptr of row . is 2147483647 to 2147483647"),
    ({"places": (-(2**31),) * 4}, "indptr of row . is -2147483648 to"),
    ({**GATHER, "x": ((2, 5), bool)}, r"x is bool\[2,5\], expected float32"),
    ({**GATHER, "x": ((2, 4), F32)}, r"indices\[8\] is 4, expected 0 to 3"),
    ({**GATHER, "y": ((2, 4), F32)}, r"y is float32\[2,4\], expected float32\[2,3\]"),
    ({**GATHER, "places": (0, 2, 1, 9)}, "evops_stored_gather: indptr of row 1 is 2 to 1"),
    ({**COLUMNS, "x": ((4, 2), F32)}, r"indices\[8\] is 4, expected 0 to 3"),
    ({**COLUMNS, "x": ((5, 3), F32)}, r"y is float32\[3,2\], expected float32\[3,3\]"),
    ({**COLUMNS, "x": ((5, 2), bool)}, r"x is bool\[5,2\], expected float32"),
    ({**COLUMNS, "places": (0, 2, 1, 9)}, "evops_stored_columns: indptr of row 1 is 2 to 1"),
    ({**GATHER, "entry": -1}, r"indices\[8\] is -1, expected 0 to 4"),
]


@pytest.mark.parametrize(("change", "message"), HANDLER)
def test_handlers_refuse_what_is_out_of_range(change, message):
    with jax.enable_x64(True):
        refuse(change, message)


def refuse(change, message):
    np.testing.assert_array_equal(handler()[0], [0, 8, 0, 0, 1])
    np.testing.assert_array_equal(handler(**GATHER)[0], [2, 2, 5])
    with pytest.raises(Exception, match=message):
        jax.block_until_ready(handler(**change))


@pytest.mark.parametrize("change", [{}, GATHER], ids=["scatter", "gather"])
@pytest.mark.parametrize("at", range(9))
@pytest.mark.parametrize("batch", [1, 2, 20])
@pytest.mark.parametrize("data", [F32, np.float16])
def test_every_entry_is_checked(change, at, batch, data):
    change = {"x": ((2, 3), bool), "y": ((2, 5), F32), **change, "data": ((9,), data)}
    for name in ("x", "y"):
        (_, n), dtype = change[name]
        change[name] = (batch, n), dtype
    with pytest.raises(Exception, match=rf"indices\[{at}\] is 5, expected 0 to 4"):
        jax.block_until_ready(handler(**change, entry=5, at=at))


def outer(r=((2, 3), F32), c=((2, 5), F32), y=((9,), F32), places=(0, 2, 4, 9), at=8, entry=4):
    assert library.choose("native")
    fn = jax.ffi.ffi_call("evops_stored_outer", jax.ShapeDtypeStruct(*y))
    targets = np.ones(9, I32)
    targets[at] = entry
    return fn(jnp.ones(*r), jnp.ones(*c), targets, np.array(places, I32))


@pytest.mark.parametrize("batch", [1, 2, 20])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": ((8,), F32)}, r"result is float32\[8\], expected float32\[9\]"),
        ({"r": ((3, 3), F32)}, r"y is float32\[3,3\], expected float32\[\d+,3\]"),
        ({"places": (0, 2, 1, 9)}, "evops_stored_outer: indptr of row 1 is 2 to 1"),
        ({"places": (-1, 2, 4, 9)}, "indptr of row 0 is -1 to 2"),
        ({"places": (0, 2, 4, 10)}, "indptr of row 2 is 4 to 10, expected 0 to 9"),
        *[({"entry": 5, "at": k}, rf"indices\[{k}\] is 5, expected 0 to 4") for k in range(9)],
        ({"entry": -1}, r"indices\[8\] is -1"),
    ],
)
def test_the_outer_product_refuses_what_is_out_of_range(batch, change, message):
    arrays = {"r": ((batch, 3), F32), "c": ((batch, 5), F32)}
    np.testing.assert_array_equal(outer(**arrays), np.full(9, batch))
    # entries of no row
    few = outer(**arrays, places=(2, 3, 3, 7))
    np.testing.assert_array_equal(few, [0, 0, *[batch] * 5, 0, 0])
    with pytest.raises(Exception, match=message):
        jax.block_until_ready(outer(**{**arrays, **change}))


def test_rows_that_are_silent_are_not_read():
    """What no spike reaches is not read, and so not checked."""
    W = evops.CSR(1.0, [0, 0], [0, 1, 2], shape=(2, 4), backend="native")
    W.indices = jnp.int32([0, 99])
    np.testing.assert_array_equal(np.array([True, False]) @ W, [1, 0, 0, 0])
    with pytest.raises(Exception, match=r"indices\[1\] is 99"):
        jax.block_until_ready(np.array([False, True]) @ W)
