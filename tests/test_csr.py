"""Stored matrices: values against scipy and the dense product, transforms, errors, exporters."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

import evops
from evops.engine import bridge

N_PRE, N_POST = 30, 23


@pytest.fixture(params=["one", "each"])
def kind(request):
    """One weight for all synapses, or one for each."""
    return request.param


def pattern(rng, n_pre=N_PRE, n_post=N_POST):
    """Unsorted targets that may repeat, rows of 0 to 11 synapses."""
    degree = rng.integers(0, 12, n_pre)
    degree[[0, n_pre // 2, n_pre - 1]] = 0, 11, 0
    indptr = np.concatenate([[0], np.cumsum(degree)])
    return rng.integers(0, n_post, indptr[-1]), indptr


def arrays(rng, kind="each", dtype=np.float32):
    indices, indptr = pattern(rng)
    data = rng.integers(-4, 5, 1 if kind == "one" else indices.size) + 0.5
    return np.asarray(data).astype(dtype), indices, indptr


def make(rng, kind="each", dtype=np.float32, backend=None):
    data, indices, indptr = arrays(rng, kind, dtype)
    return evops.CSR(data, indices, indptr, shape=(N_PRE, N_POST), backend=backend)


def dense(W):
    """The matrix by a loop over the entries, in float64."""
    data = np.broadcast_to(np.asarray(W.data, np.float64), (W.nnz,))
    out = np.zeros(W.shape)
    for i in range(W.shape[0]):
        for k in range(int(W.indptr[i]), int(W.indptr[i + 1])):
            out[i, int(W.indices[k])] += data[k]
    return out


X_DTYPES = ["bool", "int8", "int32", "float16", "bfloat16", "float32"]


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


@pytest.mark.parametrize("data", [[], 0.5])
def test_no_synapses(data, backend):
    W = evops.CSR(data, [], [0] * 5, shape=(4, 3), backend=backend)
    assert W.nnz == 0 and not W.todense().any() and not W.in_degree().any()
    assert not (np.ones(4) @ W).any() and not (W @ np.ones(3)).any()
    assert W.edges().pre.shape == W.edges().weight.shape == (0,)
    gradient = jax.grad(lambda d: (jnp.ones(4) @ replaced(W, d)).sum())(W.data)
    assert gradient.shape == W.data.shape and not gradient.any()


def replaced(W, data):
    """W with other weights."""
    return evops.CSR(data, W.indices, W.indptr, shape=W.shape, backend=W._static[1])


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
    pre, post, weight = W.edges()
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


def test_jit_scan_and_no_compilation_for_new_leaves(kind, backend, rng):
    traces = []

    @jax.jit
    def call(W, x):
        traces.append(1)
        return x @ W

    x = rng.integers(0, 2, N_PRE).astype(bool)
    for _ in range(3):
        W = make(np.random.default_rng(1), kind, backend=backend)
        W = replaced(W, W.data * rng.random(1, np.float32))
        np.testing.assert_allclose(call(W, x), x @ dense(W), rtol=1e-5)
    assert len(traces) == 1

    def body(total, x):
        y = (x + 0 * total) @ W
        return total + y.sum(), y

    xs = rng.integers(0, 2, (5, N_PRE)).astype(np.float32)
    _, ys = jax.jit(lambda: jax.lax.scan(body, jnp.float32(0), xs))()
    np.testing.assert_allclose(ys, xs @ dense(W), rtol=1e-5, atol=1e-6)


def products(W, kind, backend):
    """Both directions as functions of (x, data)."""
    return {
        False: lambda x, data: x @ replaced(W, data),
        True: lambda x, data: replaced(W, data) @ x,
    }


@pytest.fixture(params=[False, True], ids=["x@W", "W@v"])
def case(request, kind, backend, rng):
    """A product, an x and a `data`, and the matrix as a function of `data`."""
    W = make(rng, kind, backend=backend)
    x = rng.integers(-1, 2, W.shape[1 if request.param else 0]).astype(np.float32)
    pre, post, _ = W.edges()
    transposed = request.param

    def matrix(data):
        zeros = jnp.zeros(W.shape, data.dtype)
        out = zeros.at[pre, post].add(jnp.broadcast_to(data, (W.nnz,)))
        return out.T if transposed else out

    return products(W, kind, backend)[transposed], jnp.asarray(x), W.data, matrix


def test_gradients_are_those_of_the_dense_product(case, rng):
    product, x, data, matrix = case
    y, pull = jax.vjp(product, x, data)
    expected, dense_pull = jax.vjp(lambda x, d: x @ matrix(d), x, data)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    ct = jnp.asarray(rng.normal(size=y.shape).astype(np.float32))
    for got, want in zip(pull(ct), dense_pull(ct), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_batched_gradient_of_the_weights(case, rng):
    product, x, data, matrix = case
    xs = jnp.stack([x, 2 * x, x - 1])
    loss = lambda f: lambda d: jnp.sum(jnp.sin(jax.vmap(f, (0, None))(xs, d)))  # noqa: E731
    got = jax.grad(loss(product))(data)
    want = jax.grad(loss(lambda x, d: x @ matrix(d)))(data)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_derivatives_match_differences(case):
    product, x, data, _ = case
    # a silent entry has the derivative of a weak one: differences see both
    check_grads(product, (x, data), order=2, modes=("fwd", "rev"), eps=1e-2, rtol=2e-2, atol=2e-2)


def test_jvp_with_one_tangent_or_both(case, rng):
    product, x, data, matrix = case
    dx = jnp.asarray(rng.normal(size=x.shape).astype(np.float32))
    ddata = jnp.asarray(rng.normal(size=data.shape).astype(np.float32))
    for got, want in (
        (
            jax.jvp(lambda x: product(x, data), (x,), (dx,))[1],
            dx @ matrix(data),
        ),
        (
            jax.jvp(lambda d: product(x, d), (data,), (ddata,))[1],
            x @ matrix(ddata),
        ),
        (
            jax.jvp(product, (x, data), (dx, ddata))[1],
            dx @ matrix(data) + x @ matrix(ddata),
        ),
    ):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_gradient_with_spikes_as_bools(kind, backend, rng):
    W = make(rng, kind, backend=backend)
    x = rng.integers(0, 2, N_PRE).astype(bool)
    for f in (lambda d: (x @ replaced(W, d)).sum(), lambda d: (replaced(W, d).T @ x).sum()):
        got = jax.grad(f)(W.data)
        fired = x[np.asarray(W.edges().pre)].astype(np.float32)
        want = fired if kind == "each" else [fired.sum()]
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_gradient_with_respect_to_the_matrix(kind, backend, rng):
    W = make(rng, kind, backend=backend)
    x = jnp.ones(N_PRE)
    gradient = jax.grad(lambda W: (x @ W).sum(), allow_int=True)(W)
    assert isinstance(gradient, evops.CSR) and gradient.data.dtype == np.float32
    want = np.ones(W.nnz) if kind == "each" else [W.nnz]
    np.testing.assert_array_equal(gradient.data, want)
    through_view = jax.grad(lambda V: (V @ x).sum(), allow_int=True)(W.T)
    np.testing.assert_array_equal(through_view.T.data, want)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (-1, 0)])
def test_vmap(case, axes, rng):
    product, x, data, _ = case
    xs = jnp.stack([x, 1 - x, 2 * x])
    datas = jnp.stack([data, -data, data * 3])
    operands = [
        first if axis is None else jnp.moveaxis(many, 0, axis)
        for first, many, axis in zip((x, data), (xs, datas), axes, strict=True)
    ]
    y = jax.jit(jax.vmap(product, axes))(*operands)
    for b in range(3):
        one = product(x if axes[0] is None else xs[b], data if axes[1] is None else datas[b])
        np.testing.assert_allclose(y[b], one, rtol=1e-6, atol=1e-6)


def test_vmap_over_matrices(backend, rng):
    """Every leaf batched, as ensembles of networks are."""
    degree = 4
    indptr = np.arange(N_PRE + 1) * degree
    many = [
        evops.CSR(
            rng.normal(size=N_PRE * degree).astype(np.float32),
            rng.integers(0, N_POST, N_PRE * degree),
            indptr,
            shape=(N_PRE, N_POST),
            backend=backend,
        )
        for _ in range(3)
    ]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *many)
    x = rng.integers(0, 2, N_PRE).astype(bool)
    y = jax.vmap(lambda W: x @ W)(stacked)
    np.testing.assert_array_equal(y, [x @ W for W in many])
    grid = jax.vmap(jax.vmap(lambda W, x: x @ W, (None, 0)), (0, None))(stacked, jnp.stack([x, ~x]))
    np.testing.assert_array_equal(grid, [[x @ W, ~x @ W] for W in many])


def test_vmap_of_grad_and_hessian(case):
    product, x, data, matrix = case
    loss = lambda x, d: jnp.sum(jnp.sin(product(x, d)))  # noqa: E731
    dense_loss = lambda x, d: jnp.sum(jnp.sin(x @ matrix(d)))  # noqa: E731
    xs, datas = jnp.stack([x, 2 * x]), jnp.stack([data, data / 2])
    for got, want in zip(
        jax.vmap(jax.grad(loss, (0, 1)))(xs, datas),
        jax.vmap(jax.grad(dense_loss, (0, 1)))(xs, datas),
        strict=True,
    ):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    got = jax.tree.leaves(jax.hessian(loss, (0, 1))(x, data))
    want = jax.tree.leaves(jax.hessian(dense_loss, (0, 1))(x, data))
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-3, atol=1e-3)


def test_linear_transpose(case, rng):
    product, x, data, matrix = case
    ct = jnp.asarray(rng.normal(size=matrix(data).shape[1]).astype(np.float32))
    [back] = jax.linear_transpose(lambda x: product(x, data), x)(ct)
    np.testing.assert_allclose(back, matrix(data) @ ct, rtol=1e-4, atol=1e-4)


@given(
    n_pre=st.integers(1, 40),
    n_post=st.integers(1, 40),
    seed=st.integers(0, 10),
    backend=st.sampled_from(["native", "jnp"]),
)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_adjoint_identity(n_pre, n_post, seed, backend):
    rng = np.random.default_rng(seed)
    degree = rng.integers(0, 12, n_pre)
    indptr = np.concatenate([[0], np.cumsum(degree)])
    data = rng.normal(size=indptr[-1]).astype(np.float32)
    indices = rng.integers(0, n_post, indptr[-1])
    W = evops.CSR(data, indices, indptr, shape=(n_pre, n_post), backend=backend)
    x, y = rng.normal(size=n_pre), rng.normal(size=n_post)
    scale = 1 + np.abs(x) @ np.abs(dense(W)) @ np.abs(y)
    assert float(np.vdot(x @ W, y)) == pytest.approx(float(np.vdot(x, W @ y)), abs=1e-5 * scale)


def test_many_threads_at_once(kind, backend, rng):
    W = make(rng, kind, backend=backend)
    xs = rng.integers(0, 2, (8, N_PRE)).astype(bool)
    call = jax.jit(lambda W, x: x @ W)
    expected = [np.asarray(call(W, x)) for x in xs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            results = pool.map(lambda x: np.asarray(call(W, x)), xs)
            for got, want in zip(results, expected, strict=True):
                np.testing.assert_array_equal(got, want)


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
):
    assert bridge.choose("native")
    fn = jax.ffi.ffi_call(target, jax.ShapeDtypeStruct(*y))
    targets = np.ones(indices[0], indices[1])
    if targets.size > at:
        targets.flat[at] = entry
    fits = indptr == ((4,), I32)
    rows = np.array(places, I32) if fits else np.zeros(*indptr)
    return fn(jnp.ones(*x), jnp.ones(*data), jnp.asarray(targets), jnp.asarray(rows))


GATHER = {"target": "evops_stored_gather", "x": ((2, 5), F32), "y": ((2, 3), F32)}
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
    ({"data": ((9,), I32)}, r"data is int32\[9\], expected float32\[9\]"),
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
    ({**GATHER, "entry": -1}, r"indices\[8\] is -1, expected 0 to 4"),
]


@pytest.mark.parametrize(("change", "message"), HANDLER)
def test_handlers_refuse_what_is_out_of_range(change, message):
    np.testing.assert_array_equal(handler()[0], [0, 8, 0, 0, 1])
    np.testing.assert_array_equal(handler(**GATHER)[0], [2, 2, 5])
    with pytest.raises(Exception, match=message):
        jax.block_until_ready(handler(**change))


@pytest.mark.parametrize("change", [{}, GATHER], ids=["scatter", "gather"])
@pytest.mark.parametrize("at", range(9))
def test_every_entry_is_checked(change, at):
    with pytest.raises(Exception, match=rf"indices\[{at}\] is 5, expected 0 to 4"):
        jax.block_until_ready(handler(**change, entry=5, at=at))


def test_rows_that_are_silent_are_not_read():
    """What no spike reaches is not read, and so not checked."""
    broken = jax.tree.map(lambda a: a, (jnp.float32([1]), jnp.int32([0, 99]), jnp.int32([0, 1, 2])))
    _, structure = jax.tree.flatten(
        evops.CSR(1.0, [0, 0], [0, 1, 2], shape=(2, 4), backend="native")
    )
    W = jax.tree.unflatten(structure, broken)
    np.testing.assert_array_equal(np.array([True, False]) @ W, [1, 0, 0, 0])
    with pytest.raises(Exception, match=r"indices\[1\] is 99"):
        jax.block_until_ready(np.array([False, True]) @ W)
