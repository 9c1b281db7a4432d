"""Drawn wiring with stored weights: the same as the stored matrix of these weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
from evops.engine import drawn

N, M = 300, 200
RULES = {
    "probability": evops.FixedProbability(0.1),
    "dense": evops.FixedProbability(0.6, autapses=False),
    "all": evops.AllToAll(),
    "out-degree": evops.FixedOutDegree(20),
    "multapses": evops.FixedOutDegree(1500, multapses=True),
    "total": evops.FixedTotalNumber(3000),
    "in-degree": evops.FixedInDegree(7),
    "lfsr": evops.LfsrGaps(0.1),
}
SQUARE = {"diagonal": evops.OneToOne(), "neighbours": evops.Neighbours((10, 20), 2.0)}


def projection(rule, backend="native", seed=5, delay=None, shape=(N, M)):
    return evops.Projection(rule, 1.0, shape, seed=seed, delay=delay, backend=backend)


def weights(n: int, dtype=np.float32) -> jax.Array:
    values = np.random.default_rng(n).normal(size=n) * 10
    return jnp.asarray(values.astype(np.float32)).astype(dtype)


def both(name, backend, delay=None, dtype=np.float32):
    """A weighted projection, and the CSR that it stands for."""
    square = name in SQUARE
    rule = (RULES | SQUARE)[name]
    W = projection(rule, backend, delay=delay, shape=(M, M) if square else (N, M))
    S = W.tocsr()
    values = weights(S.nnz, dtype)
    return W.with_weights(values), S.with_weights(values), values


@pytest.mark.thin(5)
@pytest.mark.parametrize("dtype", [np.float32, jnp.float16, np.int16])
@pytest.mark.parametrize("name", ["probability", "total"])
def test_weights_of_every_dtype(name, dtype, backend):
    V, S, _ = both(name, backend, dtype=dtype)
    x = np.random.default_rng(1).random(N) < 0.2
    np.testing.assert_array_equal(x @ V, x @ S)
    assert (x @ V).dtype == dtype
    numbers = np.random.default_rng(1).normal(size=N).astype(np.float32)
    np.testing.assert_array_equal(numbers @ V, numbers @ S)


EVERY = [("native", name) for name in [*RULES, *SQUARE]]
EVERY += [("jnp", name) for name in ("probability", "total", "neighbours")]


@pytest.mark.parametrize(("backend", "name"), EVERY)
def test_products_have_the_bits_of_the_stored_matrix(name, backend, rng):
    V, S, _ = both(name, backend)
    n_pre, n_post = V.shape
    for x in (rng.random((4, n_pre)) < 0.2, rng.normal(size=(4, n_pre)).astype(np.float32)):
        x[0] = 0
        for row in x:
            np.testing.assert_array_equal(row @ V, row @ S)
        np.testing.assert_array_equal(x @ V, jnp.stack([row @ S for row in x]))
    v = rng.normal(size=(n_post, 3)).astype(np.float32)
    np.testing.assert_array_equal(V @ v[:, 0], S @ v[:, 0])
    np.testing.assert_allclose(V @ v, S @ v, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(V @ (v[:, 0] > 0), S @ (v[:, 0] > 0))
    np.testing.assert_array_equal(V.todense(), S.todense())
    np.testing.assert_array_equal(jax.jit(lambda V: V.todense())(V), S.todense())
    np.testing.assert_array_equal(V.T.todense(), S.todense().T)
    np.testing.assert_array_equal(V.in_degree(), S.in_degree())
    np.testing.assert_array_equal(V.out_degree(), S.out_degree())
    for got, want in zip(V.edges(), S.edges(), strict=True):
        np.testing.assert_array_equal(got, want) if want is not None else None


@pytest.mark.parametrize("delay", [3, evops.Normal(4.0, 2.0, low=0.5)])
@pytest.mark.parametrize(("backend", "name"), [pair for pair in EVERY if pair[1] in RULES])
def test_pushes_have_the_bits_of_the_stored_matrix(name, delay, backend, rng):
    V, S, _ = both(name, backend, delay=delay)
    for x in (rng.random(N) < 0.2, rng.normal(size=N).astype(np.float32)):
        buffer = evops.DelayBuffer(rng.normal(size=(16, M + 9)).astype(np.float32), 11)
        got, want = V.push(x, buffer, post_offset=4), S.push(x, buffer, post_offset=4)
        if backend == "native":
            np.testing.assert_array_equal(got.sums, want.sums)
        np.testing.assert_allclose(got.sums, want.sums, rtol=1e-5, atol=1e-4)
    assert V.max_delay >= S.max_delay


def test_pushes_add_integers(backend):
    V, S, _ = both("probability", backend, delay=evops.Uniform(1, 6), dtype=np.int16)
    x, buffer = np.arange(N) % 3 == 0, evops.DelayBuffer.zeros(M, 8, np.int32)
    np.testing.assert_array_equal(V.push(x, buffer).sums, S.push(x, buffer).sums)


@pytest.mark.thin(5)
@pytest.mark.parametrize("per", ["all", "synapse", "pre", "post"])
@pytest.mark.parametrize("side", ["pre", "post"])
@pytest.mark.parametrize(
    ("backend", "name"), [("native", "probability"), ("native", "lfsr"), ("jnp", "in-degree")]
)
def test_updates_have_the_bits_of_the_stored_matrix(name, side, per, backend, rng):
    V, S, values = both(name, backend)
    C, n = S.csc, V.shape[side == "post"]
    sizes = {"all": (), "synapse": S.nnz, "pre": N, "post": M}
    for dtype in (np.float32, np.int32, jnp.float16)[: 3 if backend == "native" else 1]:
        value = jnp.asarray(rng.normal(size=sizes[per]) * 4).astype(dtype)
        which = {} if per == "all" else {"per": per}
        state = (values * 3).astype(dtype)
        for x in (rng.random(n) < 0.2, rng.integers(-1, 2, n)):
            update = f"add_where_{side}_spiked"
            for bounds in ({}, {"low": -5, "high": 20}):
                got = getattr(V, update)(state, x, value, **which, **bounds)
                want = getattr(C, update)(state, x, value, **which, **bounds)
                np.testing.assert_array_equal(got, want)


def test_updates_of_the_room_for_more(backend):
    V, S, values = both("probability", backend)
    assert V.data.shape[0] > V.nnz == S.nnz
    x = np.arange(N) % 2 == 1  # the last one fires, too
    got = V.add_where_pre_spiked(V.data, x, 1.0, high=3.0)
    want = S.add_where_pre_spiked(values, x, 1.0, high=3.0)
    every = V.add_where_post_spiked(V.data, np.ones(M, bool), 1.0)
    np.testing.assert_array_equal(every[V.nnz :], 0)
    np.testing.assert_array_equal(got[: V.nnz], want)
    np.testing.assert_array_equal(got[V.nnz :], 0)
    learnt = V.with_weights(got)
    np.testing.assert_array_equal(x @ learnt, x @ S.with_weights(want))


@pytest.mark.parametrize(
    ("backend", "name"), [("native", "probability"), ("native", "total"), ("jnp", "out-degree")]
)
def test_gradients_are_those_of_the_stored_matrix(name, backend, rng):
    V, S, values = both(name, backend, delay=evops.Uniform(1, 6))
    x, toward = rng.normal(size=N).astype(np.float32), rng.normal(size=M).astype(np.float32)

    def product(W):
        return lambda values, x: ((x @ W.with_weights(values)) ** 2) @ toward

    def gather(W):
        return lambda values, x: ((W.with_weights(values) @ x[:M]) ** 2).sum()

    def push(W):
        def f(values, x):
            ring = evops.DelayBuffer.zeros(M, 6)
            sums = W.with_weights(values).push(x, W.with_weights(values).push(x, ring)).sums
            return ((sums**2) @ toward).sum()

        return f

    def update(W):
        return lambda values, x: (
            W.add_where_pre_spiked(values, x, values[0] * 2, high=4.0) ** 2
        ).sum()

    for f in (product, gather, push, update):
        for transform in (jax.grad, jax.jacfwd):
            for argument in (0, 1):
                if transform is jax.jacfwd and (argument == 0 or f is update):
                    continue
                got = transform(f(V), argument)(values, x)
                want = transform(f(S), argument)(values, x)
                assert got.shape == want.shape
                np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-3)
        second = [
            jax.grad(lambda v, W=W, f=f: (jax.grad(f(W))(v, x) * values).sum())(values)
            for W in (V, S)
        ]
        np.testing.assert_allclose(*second, rtol=1e-3, atol=2e-2)
    batch = jnp.stack([values, 2 * values])
    got = jax.vmap(jax.grad(product(V)), (0, None))(batch, x)
    np.testing.assert_allclose(
        got, jax.vmap(jax.grad(product(S)), (0, None))(batch, x), rtol=2e-4, atol=2e-3
    )


def test_batches_and_vmap(backend, rng):
    V, S, values = both("probability", backend, delay=evops.Uniform(1, 6))
    x = rng.random((3, N)) < 0.2
    np.testing.assert_array_equal(jax.vmap(lambda x: x @ V)(x), x @ V)
    several = jnp.stack([values, -values, 3 * values])
    got = jax.vmap(lambda v, x: x @ V.with_weights(v))(several, x)
    want = jnp.stack([row @ S.with_weights(v) for row, v in zip(x, several, strict=True)])
    np.testing.assert_array_equal(got, want)
    buffer = evops.DelayBuffer.zeros(M, 6)
    got = jax.vmap(lambda x: V.push(x, buffer).sums)(x)
    want = jnp.stack([V.push(row, buffer).sums for row in x])
    np.testing.assert_array_equal(got, want)
    got = jax.vmap(lambda v, x: V.add_where_pre_spiked(v, x, 1.0))(several, x)
    want = [S.add_where_pre_spiked(v, row, 1.0) for v, row in zip(several, x, strict=True)]
    np.testing.assert_array_equal(got, jnp.stack(want))


def test_lists_of_spikes(backend):
    V, _, _ = both("probability", backend, delay=2)
    flags = np.arange(N) % 7 == 0
    spikes, buffer = evops.SpikeList.from_flags(flags, 60), evops.DelayBuffer.zeros(M, 4)
    np.testing.assert_array_equal(spikes @ V, flags @ V)
    np.testing.assert_array_equal(V.push(spikes, buffer).sums, V.push(flags, buffer).sums)
    updated = (V.add_where_pre_spiked(V.data, x, 1.0) for x in (spikes, flags))
    np.testing.assert_array_equal(*updated)


@pytest.mark.parametrize("rule", [evops.FixedProbability(0.1), evops.FixedTotalNumber(3000)])
def test_another_seed_compiles_nothing(rule, backend):
    traces = []

    @jax.jit
    def step(V, x):
        traces.append(1)
        return x @ V

    x = np.arange(N) % 7 == 0
    for seed in range(4):
        W = projection(rule, backend, seed)
        values = weights(W.tocsr().nnz)
        np.testing.assert_array_equal(
            step(W.with_weights(values), x), x @ W.tocsr().with_weights(values)
        )
    assert len(traces) == 1


def test_a_traced_seed(backend):
    rule, x = evops.FixedProbability(0.1), np.arange(N) % 7 == 0
    room = projection(rule).with_weights(1.0).data.shape[0]
    values = weights(room)

    def of(seed, values):
        return x @ projection(rule, backend, seed).with_weights(values)

    W = projection(rule, backend, 9)
    want = x @ W.tocsr().with_weights(values[: W.tocsr().nnz])
    np.testing.assert_array_equal(jax.jit(of)(9, values), want)
    with pytest.raises(ValueError, match=rf"values must have shape \({room},\), for a traced"):
        jax.jit(of)(9, values[:-1])


def test_memory_is_that_of_the_weights():
    W = projection(evops.FixedOutDegree(50), shape=(2000, 3000))
    assert W.with_weights(0.5).nbytes == 4 * 100_000 + 4 * 2001
    assert W.with_weights(jnp.float16(0.5)).nbytes == 2 * 100_000 + 4 * 2001
    assert 2.0 * W.tocsr().with_weights(jnp.zeros(100_000)).nbytes > 3.9 * 100_000 * 2


def test_one_number_is_a_weight_for_each():
    W = projection(RULES["probability"])
    V = W.with_weights(0.5)
    assert V.data.shape[0] >= V.nnz and (np.asarray(V.data) == 0.5).all()
    np.testing.assert_array_equal(np.ones(N, bool) @ V, np.ones(N, bool) @ W * 0.5)


def test_bad_weights_raise():
    W = projection(RULES["probability"])
    nnz = W.tocsr().nnz
    for values, error in [
        (jnp.ones(nnz - 1), ValueError), (jnp.ones((nnz, 1)), ValueError), ("x", TypeError),
        (None, TypeError), (True, TypeError), (1j, TypeError),
    ]:  # fmt: skip
        with pytest.raises(error, match="values must"):
            W.with_weights(values)
        with pytest.raises(error, match="values must"):
            W.with_weights(1.0).with_weights(values)
    V = W.with_weights(1.0)
    with pytest.raises(ValueError, match="push needs delays"):
        V.push(np.ones(N, bool), evops.DelayBuffer.zeros(M, 4))
    with pytest.raises(ValueError, match=rf"state must have shape \(nnz = {nnz},\)"):
        V.add_where_pre_spiked(jnp.ones(3), np.ones(N, bool), 1.0)
    with pytest.raises(TypeError, match="known seed"):
        jax.jit(lambda V: V.nnz)(V)
    with pytest.raises(TypeError, match=r"projections\[.*must be a Projection or a CSR|must be a"):
        evops.Circuit(evops.Populations({"a": N, "b": M}), {("a", "b"): V})


@pytest.mark.parametrize(
    "edit", [lambda s: s[::-1], lambda s: s + 1, lambda s: s // 2, lambda s: s - 5]
)
def test_wrong_starts_are_errors(edit):
    V, _, _ = both("out-degree", "native")
    wrong, ones = jax.tree.map(lambda leaf: leaf, V), jnp.ones(M)
    wrong.starts = jnp.asarray(edit(np.asarray(V.starts)).astype(np.int32))
    for call in (
        lambda: np.ones(N, bool) @ wrong,
        lambda: wrong @ jnp.ones(M),
        lambda: wrong.add_where_pre_spiked(wrong.data, np.ones(N, bool), ones, per="post"),
    ):
        with pytest.raises(Exception, match="not have the number of synapses that starts say"):
            jax.block_until_ready(call())


ALL = np.ones(200, bool)


def test_programs_keep_the_room_there_is(backend):
    """A seed with more synapses than most has more room, and keeps it."""
    W = projection(evops.LfsrGaps(0.1), backend, seed=0, shape=(200, 2000))
    V = W.with_weights(1.0)
    learnt = jax.jit(lambda V: V.with_weights(V.add_where_pre_spiked(V.data, ALL, -0.25)))(V)
    np.testing.assert_array_equal(learnt.data[: V.nnz], 0.75)
    two = jax.jit(lambda V: ALL @ V.with_weights(2.0))(V)
    np.testing.assert_array_equal(two, 2 * W.in_degree().astype(jnp.float32))
    with pytest.raises(ValueError, match=r"state must have the shape of W.data, \(\d+,\), where"):
        jax.jit(lambda V: V.add_where_pre_spiked(jnp.ones(9), ALL, 1.0))(V)


def test_updates_in_a_ring_are_refused():
    V, _, _ = both("out-degree", "native")
    spec = V.projection._spec(law=False)
    of = {"spec": spec, "n_post": M, "ring": drawn.Ring(4, 1_000_000, 999_000, 3), "listed": 0}
    name, attributes = drawn.attributes_of("update", **of, side="pre", per="post")
    call = jax.ffi.ffi_call(name, jax.ShapeDtypeStruct(V.data.shape, jnp.float32))
    bounds = jnp.array([-1.0]), jnp.array([1.0])
    with pytest.raises(Exception, match="an update with a ring"):
        call(V.data, jnp.ones(N, bool), jnp.ones(M), *bounds, *V._wiring(spec), **attributes)


def test_only_projections_are_weighted():
    for other in (3, projection(RULES["total"]).tocsr()):
        with pytest.raises(TypeError, match="projection must be a Projection"):
            evops.WeightedProjection(other, 1.0)


def test_leaves_of_other_shapes_raise():
    V, _, _ = both("out-degree", "native")
    shorter = jax.tree.map(lambda leaf: leaf, V)
    shorter.starts = V.starts[:9]
    for call in (lambda: np.ones(N, bool) @ shorter, lambda: shorter.nnz):
        with pytest.raises(ValueError, match=rf"starts has shape \(9,\), expected \({N + 1},\)"):
            call()
    batched = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), V)
    with pytest.raises(ValueError, match="leaves with a batch axis"):
        _ = batched.nnz
    with pytest.raises(TypeError, match="no array"):
        _ = jax.tree.map(lambda leaf: object(), V).nnz


def test_delays_beyond_the_buffer_raise():
    V, _, _ = both("probability", "native", delay=evops.Uniform(1, 6))
    with pytest.raises(ValueError, match="max_delay=6 or more"):
        V.push(np.ones(N, bool), evops.DelayBuffer.zeros(M, 5))
