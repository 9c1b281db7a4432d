"""Stored matrices: values against scipy and the dense product, surface, exporters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import evops
from csr_cases import N_POST, N_PRE, dense, make, replaced

X_DTYPES = ["bool", "int8", "int32", "float16", "bfloat16", "float32"]


@pytest.mark.thin(45)
@pytest.mark.parametrize("x_dtype", X_DTYPES)
@pytest.mark.parametrize("w_dtype", ["int8", "int32", "float16", "bfloat16", "float32"])
def test_products_of_every_dtype(x_dtype, w_dtype, backend, rng):
    W = make(rng, "each", w_dtype, backend)
    expected = dense(W)
    result = W.dtype
    if x_dtype in ("float16", "bfloat16", "float32"):
        with jax.numpy_dtype_promotion("standard"):
            result = jnp.promote_types(x_dtype, w_dtype)
    for product, matrix in (
        (lambda x: x @ W, expected.T),
        (lambda x: W @ x, expected),
        (lambda x: x @ W.T, expected),
        (lambda x: W.T @ x, expected.T),
    ):
        x = jnp.asarray(rng.integers(0, 3, matrix.shape[1])).astype(x_dtype)
        y = product(x)
        assert y.dtype == result and y.shape == (matrix.shape[0],)
        want = jnp.asarray(matrix @ np.asarray(x, np.float64), jnp.float32).astype(result)
        np.testing.assert_array_equal(np.asarray(y, np.float64), np.asarray(want, np.float64))


@pytest.mark.thin(3)
def test_float64_sums_in_float64(kind, backend, rng):
    with jax.enable_x64(True):
        W = make(rng, kind, np.float64, backend)
        x, v = rng.normal(size=N_PRE), rng.normal(size=N_POST)
        assert (x @ W).dtype == (x.astype(bool) @ W).dtype == np.float64
        np.testing.assert_allclose(x @ W, x @ dense(W), rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(W @ v, dense(W) @ v, rtol=1e-13, atol=1e-13)
        single = make(rng, kind, np.float32, backend)
        assert (x @ single).dtype == np.float64 and (x > 0) @ single == pytest.approx(
            (x > 0) @ dense(single)
        )
        assert (x.astype(np.float32) @ single).dtype == np.float32


def test_half_floats_are_summed_in_float32(backend):
    n = 5000  # the sum of as many ones in float16 stays at 2048
    W = evops.CSR(np.float16(1), np.zeros(n, int), np.arange(n + 1), shape=(n, 1), backend=backend)
    assert (np.ones(n, bool) @ W).dtype == np.float16
    assert (np.ones(n, bool) @ W)[0] == n and (W.T @ np.ones(n, np.float16))[0] == n


def test_integers_wrap_around(kind, backend, rng):
    W = make(rng, kind, np.int32, backend)
    x = np.full(N_PRE, 2**30 + 1, np.int32)
    expected = (dense(W).T.astype(np.int64) @ x.astype(np.int64)).astype(np.int32)
    np.testing.assert_array_equal(x @ W, expected)
    np.testing.assert_array_equal(W.T @ x, expected)


@pytest.mark.thin(27)
@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 3), (0,), (2, 1, 3)])
def test_batch_axes(batch, kind, backend, rng):
    W = make(rng, kind, backend=backend)
    x = rng.integers(-1, 2, (*batch, N_PRE)).astype(np.float32)
    y = x @ W
    assert isinstance(y, jax.Array) and y.shape == (*batch, N_POST)
    np.testing.assert_allclose(y, x @ dense(W), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(W(x), y)
    np.testing.assert_array_equal(x.astype(bool) @ W, (x != 0).astype(np.float32) @ W)
    v = rng.normal(size=(*batch, N_POST, 4)).astype(np.float32)
    assert (W @ v).shape == (*batch, N_PRE, 4)
    np.testing.assert_allclose(W @ v, np.matmul(dense(W), v), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(jnp.asarray(x) @ W, y)


@pytest.mark.thin(9)
def test_long_rows_and_populations(kind, backend, rng):
    """Rows beyond every block and prefetch distance of the kernel; rates from none to all."""
    n_pre, n_post = 1000, 700
    degree = rng.integers(0, 600, n_pre)
    indptr = np.concatenate([[0], np.cumsum(degree)])
    indices = rng.integers(0, n_post, indptr[-1])
    data = rng.integers(-3, 4, 1 if kind == "one" else indices.size).astype(np.float32)
    W = evops.CSR(data, indices, indptr, shape=(n_pre, n_post), backend=backend)
    each = np.broadcast_to(data, indices.shape)
    reference = scipy.sparse.csr_array((each, indices, indptr), shape=W.shape)
    for rate in (0, 0.002, 0.05, 0.5, 1):
        x = (rng.random(n_pre) < rate).astype(np.float32)
        np.testing.assert_array_equal(x.astype(bool) @ W, x @ reference)
        np.testing.assert_array_equal((2 * x) @ W, 2 * x @ reference)
    v = rng.integers(-3, 4, n_post).astype(np.float32)
    np.testing.assert_array_equal(W @ v, reference @ v)


def test_silent_rows_contribute_nothing_even_if_infinite(backend):
    data = np.float32([np.inf, np.nan, 2])
    W = evops.CSR(data, [0, 1, 1], [0, 1, 2, 3], shape=(3, 2), backend=backend)
    np.testing.assert_array_equal(np.float32([0, 0, 1]) @ W, [0, 2])
    np.testing.assert_array_equal(np.array([1, 0, 1], bool) @ W, [np.inf, 2])
    assert np.isnan(np.float32([np.nan, 0, 0]) @ W)[0]


@pytest.mark.thin(3)
@pytest.mark.parametrize("data", [[], 0.5])
def test_no_synapses(data, backend):
    W = evops.CSR(data, [], [0] * 5, shape=(4, 3), backend=backend)
    assert W.nnz == 0 and not W.todense().any() and not W.in_degree().any()
    assert not (np.ones(4) @ W).any() and not (W @ np.ones(3)).any()
    assert W.edges().pre.shape == W.edges().weight.shape == (0,)
    gradient = jax.grad(lambda d: (jnp.ones(4) @ replaced(W, d)).sum())(W.data)
    assert gradient.shape == W.data.shape and not gradient.any()
    # the same as an argument, in one program
    every = jax.jit(
        lambda W: (W.todense(), W.T.todense(), W.in_degree(), W.out_degree(), *W.edges()[:3])
    )(W)
    assert [a.shape for a in every] == [(4, 3), (3, 4), (3,), (4,), (0,), (0,), (0,)]
    assert not any(a.any() for a in every)
    two = jax.tree.map(lambda a: jnp.stack([a, a]), W)
    assert jax.vmap(lambda W: W.todense() + (W @ jnp.ones(3))[:, None])(two).shape == (2, 4, 3)


@pytest.mark.parametrize("bad", [[0, None, 1], [{"a": 0}, 1, 1], [[0], 1, 1], [0, "1", 1]])
def test_arrays_of_what_are_no_integers(bad):
    for name in ("data", "indices", "indptr"):
        arrays = {"data": [1.0, 2, 3], "indices": [0, 1, 1], "indptr": [0, 3, 3], name: bad}
        with pytest.raises((TypeError, ValueError), match=f"^{name} must "):
            evops.CSR(**arrays, shape=(2, 2))
    wanted = evops.CSR([1.0, 2, 3], [0, 1, 1], [0, 3, 3], shape=(2, 2)).todense()
    objects = evops.CSR([1.0, 2, 3], np.array([0, 1, 1], object), [0, 3, 3], shape=(2, 2))
    np.testing.assert_array_equal(objects.todense(), wanted)


def test_surface(kind, rng):
    W = make(rng, kind)
    assert W.shape == (N_PRE, N_POST) and W.ndim == 2 and W.dtype == np.float32
    assert W.T.shape == (N_POST, N_PRE) and W.T.ndim == 2 and W.T.dtype == np.float32
    assert W.T.T is W and W[...] is W and not hasattr(W, "__jax_array__")
    np.testing.assert_array_equal(W.todense(), dense(W))
    np.testing.assert_array_equal(W.T.todense(), dense(W).T)
    count = dense(replaced(W, 1.0))
    np.testing.assert_array_equal(W.out_degree(), count.sum(1))
    np.testing.assert_array_equal(W.in_degree(), count.sum(0))
    assert W.in_degree().dtype == W.out_degree().dtype == np.int32
    pre, post, weight, _ = W.edges()
    again = np.zeros(W.shape)
    np.add.at(again, (np.asarray(pre), np.asarray(post)), np.asarray(weight))
    np.testing.assert_array_equal(again, dense(W))
    assert pre.dtype == post.dtype == np.int32 and pre.shape == weight.shape == (W.nnz,)
    assert W.nbytes == 4 * (W.data.size + W.nnz + N_PRE + 1)
    assert f"shape=(30, 23), nnz={W.nnz}, dtype=float32, {W.nbytes} bytes" in repr(W)
    assert repr(W.T) == repr(W) + ".T"


def test_memory_is_not_shared_with_numpy():
    def aligned(values, dtype):  # jax shares memory of such arrays
        raw = np.zeros(4096, np.uint8)
        start = -raw.ctypes.data % 64
        out = raw[start : start + 4 * len(values)].view(dtype)
        out[:] = values
        return out

    host = (
        aligned([1, 2, 3], np.float32),
        aligned([0, 3, 1], np.int32),
        aligned([0, 2, 3], np.int32),
    )
    W = evops.CSR(*host, shape=(2, 4))
    for array in host:
        array[:] = 0
    np.testing.assert_array_equal(W.todense(), [[1, 0, 0, 2], [0, 3, 0, 0]])
    back = W.to_scipy()
    back.data[:] = 0
    np.testing.assert_array_equal(W.data, [1, 2, 3])


@pytest.mark.parametrize(
    "form", ["csr_array", "csr_matrix", "coo_array", "csc_matrix", "lil_array"]
)
@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_scipy_round_trip(form, dtype, rng):
    values = rng.integers(1, 5, (9, 7)) * (rng.random((9, 7)) < 0.3)
    matrix = getattr(scipy.sparse, form)(values.astype(dtype))
    W = evops.CSR.from_scipy(matrix)
    assert W.dtype == (np.float32 if dtype == "float64" else dtype)
    back = W.to_scipy()
    assert isinstance(back, scipy.sparse.csr_array)
    np.testing.assert_array_equal(back.toarray(), values)
    x = np.arange(9, dtype=np.float32)
    np.testing.assert_array_equal(x @ W, x @ matrix)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int32"])
def test_exporters(dtype, kind, rng):
    W = make(rng, kind, dtype)
    np.testing.assert_array_equal(W.to_scipy().toarray(), dense(W))
    bcsr = W.to_bcsr()
    assert bcsr.shape == W.shape and bcsr.dtype == W.dtype
    np.testing.assert_array_equal(np.asarray(bcsr.to_bcoo().todense(), np.float64), dense(W))
