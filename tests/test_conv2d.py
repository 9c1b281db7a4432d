"""Convolutions: the product of the definition, of XLA and of stored synapses; transforms; refused input."""

import copy
import dataclasses
import functools
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jax.test_util import check_grads

import evops

# grid, kernel, stride, padding
CASES = {
    "valid": ((6, 7), (3, 2, 2, 3), 1, "valid"),
    "same": ((6, 7), (3, 4, 2, 2), (2, 1), "same"),
    "same, even": ((5, 8), (2, 2, 1, 3), 3, "same"),
    "one number": ((5, 5), (5, 4, 1, 2), 2, 1),
    "two numbers": ((7, 4), (2, 3, 3, 1), (3, 2), (1, 2)),
    "four numbers": ((7, 4), (2, 3, 3, 1), (3, 2), ((1, 0), (2, 1))),
    "one place": ((4, 9), (1, 1, 2, 4), 1, "valid"),
    "strides beyond the kernel": ((8, 9), (2, 3, 1, 2), (5, 4), (1, 0)),
    "full": ((2, 3), (3, 3, 2, 2), 1, ((2, 2), (2, 2))),
    "a line": ((1, 6), (1, 3, 2, 2), 1, "same"),
    "one post neuron": ((3, 3), (3, 3, 2, 1), 7, "valid"),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def whole(rng, *shape, dtype=np.float32):
    """Small whole numbers: all sums are exact, in any order."""
    return rng.integers(-8, 9, shape).astype(dtype)


def pairs(value):
    return value if isinstance(value, tuple) else (value, value)


def border(padding, axis, places, taps, stride):
    """What is added before and behind an axis."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        windows = math.ceil(places / stride)
        added = max((windows - 1) * stride + taps - places, 0)
        return added // 2, added - added // 2
    return pairs(pairs(padding)[axis])


@functools.cache
def taps(grid, shape, stride, padding):
    """For each pair of neurons, which entry of the kernel connects them; -1: none does.

    By GeNN's definition: post neuron (r, c) sees pre neuron (r, c) * stride - padding + kernel's place.
    """
    strides = pairs(stride)
    borders = [border(padding, k, grid[k], shape[k], strides[k]) for k in (0, 1)]
    out = [(grid[k] + sum(borders[k]) - shape[k]) // strides[k] + 1 for k in (0, 1)]
    entry = np.arange(math.prod(shape)).reshape(shape)
    found = np.full((*grid, shape[2], *out, shape[3]), -1)
    for r, c in np.ndindex(*out):
        for kr, kc in np.ndindex(*shape[:2]):
            row = r * strides[0] - borders[0][0] + kr
            column = c * strides[1] - borders[1][0] + kc
            if 0 <= row < grid[0] and 0 <= column < grid[1]:
                found[row, column, :, r, c, :] = entry[kr, kc]
    return found.reshape(math.prod(grid) * shape[2], -1), (*out, shape[3])


def matrix(which, kernel):
    """The dense matrix of a kernel."""
    flat = kernel.reshape(-1)
    return jnp.where(which >= 0, flat[which], jnp.zeros((), flat.dtype))


def make(case, rng, dtype=np.float32, **options):
    grid, shape, stride, padding = case
    return evops.Conv2D(whole(rng, *shape).astype(dtype), grid, stride, padding, **options)


@pytest.mark.thin(2)
def test_products_are_those_of_the_definition(case, rng):
    C = make(case, rng)
    which, grid_post = taps(*case)
    W = np.asarray(matrix(which, C.kernel))
    assert C.shape == W.shape and C.grid_post == grid_post
    assert C.grid_pre == (*case[0], case[1][2])
    spikes, x, v = rng.random((4, W.shape[0])) < 0.4, whole(rng, W.shape[0]), whole(rng, W.shape[1])
    both, listed = np.stack([v, v + 1], -1), evops.SpikeList.from_flags(spikes)
    none = np.zeros((0, len(x)), np.float32)

    @jax.jit  # one program for all of them, which compiles sooner
    def products(C):
        of_x = spikes[0] @ C, spikes.reshape(2, 2, -1) @ C, x @ C, C(x.astype(np.int8)), C.T @ x
        return *of_x, listed @ C, C @ v, v @ C.T, C @ both, none @ C

    want = spikes[0] @ W, spikes.reshape(2, 2, -1) @ W, x @ W, x @ W, x @ W
    want = *want, spikes @ W, W @ v, W @ v, W @ both, none @ W
    jax.tree.map(np.testing.assert_array_equal, products(C), want)
    np.testing.assert_array_equal(spikes[0] @ C, want[0])


def test_synapses_are_those_of_the_definition(case, rng):
    C = make(case, rng, delay=3)
    which, _ = taps(*case)
    pre, post = np.nonzero(which >= 0)  # zeros of the kernel are synapses, in the order of rows
    stored = C.tocsr()
    assert isinstance(stored, evops.CSR) and stored.shape == C.shape
    assert C.nnz == stored.nnz == len(pre)
    np.testing.assert_array_equal(stored.indices, post)
    np.testing.assert_array_equal(stored.indptr, np.searchsorted(pre, range(len(which) + 1)))
    np.testing.assert_array_equal(stored.data, np.asarray(C.kernel).ravel()[which[pre, post]])
    np.testing.assert_array_equal(C.out_degree(), (which >= 0).sum(1))
    np.testing.assert_array_equal(C.in_degree(), (which >= 0).sum(0))
    for own, others in zip(C.edges(), stored.edges(), strict=True):
        np.testing.assert_array_equal(own, others)
    assert C.nbytes == C.kernel.nbytes and C.max_delay == stored.max_delay == 3


@pytest.mark.thin(4)
def test_dense_and_stored_matrices_are_those_of_the_definition(case, rng):
    C = make(case, rng)
    W, stored = matrix(taps(*case)[0], C.kernel), C.tocsr()
    np.testing.assert_array_equal(C.todense(), W)
    np.testing.assert_array_equal(C.T.todense(), W.T)
    np.testing.assert_array_equal(jax.jit(lambda C: C.todense())(C), W)
    x, v = whole(rng, C.shape[0]), whole(rng, C.shape[1])
    np.testing.assert_array_equal(x @ C, x @ stored)
    np.testing.assert_array_equal(C @ v, stored @ v)
    np.testing.assert_array_equal(x @ C, C.T.tocsr() @ x)


def test_products_are_those_of_xla(case, rng):
    grid, shape, stride, padding = case
    C = make(case, rng)
    at = padding.upper() if isinstance(padding, str) else [pairs(p) for p in pairs(padding)]
    x = whole(rng, 3, *grid, shape[2])
    layout = ("NHWC", "HWIO", "NHWC")
    want = lax.conv_general_dilated(x, C.kernel, pairs(stride), at, dimension_numbers=layout)
    np.testing.assert_array_equal(x.reshape(3, -1) @ C, want.reshape(3, -1))
    assert C.grid_post == want.shape[1:]


@functools.partial(jax.jit, static_argnums=0)
def derivatives(loss, at, toward):
    """The gradient, and its own derivative."""
    return jax.jvp(jax.grad(loss, (0, 1, 2)), at, toward)


@pytest.mark.thin(5)
def test_derivatives_are_those_of_the_dense_product(case, rng):
    grid, _, stride, padding = case
    C, (which, _) = make(case, rng), taps(*case)
    x, v = whole(rng, C.shape[0]), whole(rng, C.shape[1])

    def value(product):
        """Of a kernel, an x and a v, with derivatives of every order in each."""
        return lambda k, x, v: (product(k, x, v) ** 2).sum()

    products = {
        "x @ C": (
            lambda k, x, v: x @ evops.Conv2D(k, grid, stride, padding),
            lambda k, x, v: x @ matrix(which, k),
        ),
        "C @ v": (
            lambda k, x, v: evops.Conv2D(k, grid, stride, padding) @ v,
            lambda k, x, v: matrix(which, k) @ v,
        ),
    }
    at = (C.kernel, jnp.asarray(x), jnp.asarray(v))
    toward = tuple(jnp.asarray(whole(rng, *a.shape)) for a in at)
    for ours, dense in products.values():
        got, want = (derivatives(value(f), at, toward) for f in (ours, dense))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), got, want)


def test_derivatives_match_differences(rng):
    grid, shape, stride, padding = CASES["four numbers"]
    k, x = rng.normal(size=shape), rng.normal(size=(2, math.prod(grid) * shape[2]))
    product = jax.jit(lambda k, x: x @ evops.Conv2D(k, grid, stride, padding))
    with jax.enable_x64(True):
        check_grads(product, (jnp.asarray(k), jnp.asarray(x)), order=1, modes=("fwd", "rev"))


def test_the_kernel_is_the_leaf(rng):
    C = make(CASES["same"], rng)
    spikes = rng.integers(0, 2, (5, C.shape[0])).astype(np.float32)
    gradient = jax.grad(lambda C: (spikes @ C).sum())(C)
    assert isinstance(gradient, evops.Conv2D) and gradient.kernel.shape == C.kernel.shape
    want = jax.grad(lambda k: (spikes @ matrix(taps(*CASES["same"])[0], k)).sum())(C.kernel)
    np.testing.assert_array_equal(gradient.kernel, want)
    stored = jax.grad(lambda C: (spikes @ C.tocsr()).sum())(C)
    np.testing.assert_array_equal(stored.kernel, want)
    traced = jax.jit(lambda C: C.tocsr().data)(C)
    np.testing.assert_array_equal(traced, C.tocsr().data)


def test_jit_scan_vmap_and_no_compilation_for_new_kernels(rng):
    C, (which, _) = make(CASES["same"], rng), taps(*CASES["same"])
    traces = []

    @jax.jit
    def call(C, x):
        traces.append(1)
        return x @ C

    xs, ks = rng.random((5, C.shape[0])) < 0.4, whole(rng, 3, *C.kernel.shape)
    many = [evops.Conv2D(k, (6, 7), (2, 1), "same") for k in ks]
    dense = [np.asarray(matrix(which, k)) for k in ks]
    for one, W in zip(many, dense, strict=True):
        np.testing.assert_array_equal(call(one, xs[0]), xs[0] @ W)
    assert len(traces) == 1

    def body(total, x):
        y = (x + 0 * total) @ C
        return total + y.sum(), y

    _, ys = lax.scan(body, jnp.float32(0), xs.astype(np.float32))
    W = np.asarray(matrix(which, C.kernel))
    np.testing.assert_array_equal(ys, xs @ W)
    np.testing.assert_array_equal(jax.vmap(lambda x: x @ C)(xs), xs @ W)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *many)
    got = jax.vmap(lambda C: xs @ C)(stacked)
    np.testing.assert_array_equal(got, np.stack([xs @ W for W in dense]))
    loss = lambda f: lambda k, x: (f(k, x) ** 2).sum()  # noqa: E731
    ours = loss(lambda k, x: x @ evops.Conv2D(k, (6, 7), (2, 1), "same"))
    plain = loss(lambda k, x: x @ matrix(which, k))
    got, want = (jax.vmap(jax.grad(f), (0, None))(ks, xs.astype(np.float32)) for f in (ours, plain))
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.range_ends
@pytest.mark.parametrize("check_vma", [True, False])
@pytest.mark.parametrize("back", [False, True])
def test_values_and_gradients_in_shard_map(back, check_vma, rng):
    C, (which, _) = make(CASES["same"], rng), taps(*CASES["same"])
    mesh = Mesh(np.array(jax.devices("cpu")[:2]), ("device",))
    split = PartitionSpec("device")
    x = jnp.asarray(whole(rng, 4, C.shape[back]))

    def ours(k, x):
        C = evops.Conv2D(k, (6, 7), (2, 1), "same")
        return x @ (C.T if back else C)

    def dense(k, x):
        W = matrix(which, k)
        return x @ (W.T if back else W)

    specs = {"in_specs": (PartitionSpec(), split), "out_specs": split, "check_vma": check_vma}
    sharded = jax.shard_map(ours, mesh=mesh, **specs)
    np.testing.assert_array_equal(jax.jit(sharded)(C.kernel, x), dense(C.kernel, x))
    of = lambda f: jax.jit(jax.grad(lambda k, x: (f(k, x) ** 2).sum(), (0, 1)))(C.kernel, x)  # noqa: E731
    for got, want in zip(of(sharded), of(dense), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)


TYPES = ["float16", "bfloat16", "float32", "float64"]


@pytest.mark.thin(2)
@pytest.mark.parametrize("x64", [False, True])
def test_dtypes_are_those_of_other_matrices(x64, rng):
    with jax.enable_x64(x64):
        for of in [*TYPES, "int8", "numbers"]:
            k = whole(rng, 2, 2, 1, 2)
            C = evops.Conv2D(k.astype(int).tolist() if of == "numbers" else k.astype(of), (3, 4))
            want = jnp.dtype(of if of in TYPES else "float32")
            assert C.dtype == (want if x64 or want.itemsize < 8 else np.float32)
            xs = [
                (rng.random(12) < 0.5).astype(jnp.dtype(t)) for t in ("bool", "bfloat16", "float64")
            ]
            products = jax.jit(lambda W, xs: [y for x in xs for y in (x @ W, W @ x)])
            for got, same in zip(products(C, xs), products(C.tocsr(), xs), strict=True):
                assert got.dtype == same.dtype
                np.testing.assert_array_equal(got, same)


def test_half_floats_are_summed_in_float32():
    C = evops.Conv2D(np.ones((1, 3, 1000, 1), np.float16), (1, 3))
    x = np.ones(3000, np.float16)
    x[0] = 2048  # to which float16 adds no 1
    assert (x @ C).dtype == np.float16 and float((x @ C)[0]) == np.float16(5047)


def test_gpus_multiply_in_all_bits():
    """Whatever the precision of the program around is; CPUs always do."""
    C = evops.Conv2D(np.ones((1, 1, 1, 1), np.float32), (1, 1))
    with jax.default_matmul_precision("bfloat16"):
        program = jax.make_jaxpr(lambda x: (x @ C, C @ x))(np.ones(1, np.float32))
    assert str(program).count("precision=(Precision.HIGHEST, Precision.HIGHEST)") == 2


@functools.partial(jax.jit, static_argnames="at")
def run(W, spikes, buffer, at=0):
    """Input of every step."""
    return lax.scan(lambda b, x: W.push(x, b, at).pop()[::-1], buffer, spikes)[::-1]


def test_pushes_arrive_after_the_delay(rng):
    C = make(CASES["same"], rng, delay=4)
    S, n = C.tocsr(), C.shape[1]
    spikes = jnp.asarray(rng.random((9, C.shape[0])) < 0.3)
    start = evops.DelayBuffer(whole(rng, 6, n + 5), step=3)
    (got, left), (want, same) = (
        run(W, spikes.astype(jnp.float32) * 3, start, at=2) for W in (C, S)
    )
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(left.sums, same.sums)
    x = evops.SpikeList.from_flags(spikes[0])
    np.testing.assert_array_equal(C.push(x, start, 2).sums, S.push(x, start, 2).sums)
    silent = evops.DelayBuffer.zeros(n, 4)
    arrived, _ = run(C, spikes, silent)
    np.testing.assert_array_equal(arrived[4:], spikes[:-4] @ C)
    np.testing.assert_array_equal(arrived[:4], 0)

    @jax.jit
    def derivatives(W, x, sums):
        def loss(W, x, sums):
            return (W.push(x, evops.DelayBuffer(sums, 2)).sums ** 2).sum()

        return jax.grad(loss, (0, 1, 2), allow_int=True)(W, x, sums)

    x, sums = spikes[0].astype(jnp.float32), silent.sums + 1
    (of_kernel, *got), (_, *want) = (derivatives(W, x, sums) for W in (C, S))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), got, want)
    want = jax.grad(lambda C: ((x @ C + 1) ** 2).sum())(C)
    np.testing.assert_allclose(of_kernel.kernel, want.kernel, 1e-5)
    buffers = jax.tree.map(lambda *leaves: jnp.stack(leaves), silent, silent.pop()[1])
    many = jax.vmap(C.push)(spikes[:2], buffers)
    assert [int(np.flatnonzero(s.any(1))[0]) for s in np.asarray(many.sums)] == [4, 0]


def test_pushes_into_the_buffer_of_a_circuit(rng):
    p = evops.Populations({"E": 84, "I": 42})
    C = evops.Conv2D(whole(rng, 3, 3, 2, 2), (6, 7), (2, 1), "same", delay=2)
    assert C.shape == (84, 42)
    W = evops.Projection(evops.FixedProbability(0.5), 1.0, (84, 42), seed=1, delay=1)
    circuit = evops.Circuit(p, {("E", "I"): W, ("E", "I", "stored"): C.tocsr()})
    alone = evops.Circuit(p, {("E", "I"): W})
    spikes, buffer = jnp.asarray(rng.random(p.n) < 0.3), circuit.buffer()
    other = C.push(spikes[p.slice("E")], alone.push(spikes, buffer), p.offset("I"))
    np.testing.assert_array_equal(circuit.push(spikes, buffer).sums, other.sums)
    with pytest.raises(TypeError, match=r"must be a Projection or a CSR, got Conv2D\("):
        evops.Circuit(p, {("E", "I"): C})


def test_a_grid_gives_its_places(rng):
    k = whole(rng, 2, 2, 1, 1)
    assert evops.Conv2D(k, evops.Grid((3, 4), spacing=0.5)).shape == (12, 6)
    C = evops.Conv2D(k, (30, 40), padding="same", delay=2)
    assert "Conv2D" in repr(C) and "grid=(30, 40)" in repr(C) and "delay=2" in repr(C)


def test_copies_and_leaves(rng):
    C = make(CASES["same"], rng, delay=2)
    for other in (copy.deepcopy(C), pickle.loads(pickle.dumps(C)), jax.device_put(C)):
        assert repr(other) == repr(C) and jax.tree.structure(other) == jax.tree.structure(C)
        np.testing.assert_array_equal(other.kernel, C.kernel)
    names = [k for k in dir(type(C)) if isinstance(getattr(type(C), k), property)]
    assert {"nnz", "grid_post", "max_delay", "dtype", "T"} <= {*names}
    for stand_in in (None, 0, object(), (), np.float32, np.zeros((2, 3))):
        odd = jax.tree.map(lambda _, s=stand_in: s, C)
        assert repr(odd) and [getattr(odd, name) for name in names]
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), C)
    calls = ("in_degree", "out_degree", "edges", "tocsr", "todense")
    for call in (*(getattr(many, name) for name in calls), lambda: np.ones(84) @ many):
        with pytest.raises(ValueError, match="W has leaves with a batch axis: use it under jax.v"):
            call()
    with pytest.raises(dataclasses.FrozenInstanceError, match="delay"):
        C.delay = 3


def test_changes_of_an_array_of_the_user_change_nothing(rng):
    k = np.ones((4, 4, 1, 1), np.float32)
    C = evops.Conv2D(k, (4, 4))
    k[:] = 0
    assert float(np.ones(16) @ C @ np.ones(1)) == 16
