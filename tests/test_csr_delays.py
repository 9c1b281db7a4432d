"""Stored matrices with delays: what is pushed, when it arrives, under every transform, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import evops
from csr_cases import N_POST, N_PRE, arrays

AT, N, LONGEST = 4, 40, 6  # the buffer's neuron that is post neuron 0, and its neurons


def make(rng, kind="each", dtype=np.float32, backend=None, delays="each"):
    data, indices, indptr = arrays(rng, kind, dtype)
    delay = 3 if delays == "one" else rng.integers(1, LONGEST + 1, indices.size)
    shape = (N_PRE, N_POST)
    return evops.CSR(data, indices, indptr, shape=shape, delay=delay, backend=backend)


def expected(W, spikes, steps, at=AT):
    """Sums that arrive at every step, by a loop over synapses, in float64."""
    pre, post, weight, delay = (np.asarray(a) for a in W.edges())
    out = np.zeros((steps, N))
    for t, x in enumerate(np.asarray(spikes, np.float64)):
        for i, j, w, d in zip(pre, post, weight.astype(np.float64), delay, strict=True):
            if t + d < steps:
                out[t + d, at + j] += x[i] * w
    return out


def run(W, spikes, steps, buffer=None, at=AT):
    if buffer is None:
        dtype = None if jnp.issubdtype(W.dtype, jnp.floating) else jnp.int32
        buffer = evops.DelayBuffer.zeros(N, W.max_delay + 2, *([] if dtype is None else [dtype]))

    def step(buffer, x):
        now, buffer = W.push(x, buffer, post_offset=at).pop(W._backend)
        return buffer, now

    silence = jnp.zeros((steps - len(spikes), N_PRE), spikes.dtype)
    return jax.lax.scan(step, buffer, jnp.concatenate([spikes, silence]))[1]


@pytest.fixture(params=["one", "each"])
def delays(request):
    return request.param


@pytest.fixture
def spikes(rng):
    return jnp.asarray(rng.random((9, N_PRE)) < 0.3)


@pytest.mark.thin(7)
@pytest.mark.range_ends
@pytest.mark.parametrize(
    "dtype", ["int8", "int16", "int32", "float16", "bfloat16", "float32", "float64"]
)
def test_sums_arrive_when_they_should(dtype, kind, delays, backend, rng, spikes):
    with jax.enable_x64(dtype == "float64"):
        W = make(rng, kind, dtype, backend, delays)
        steps = len(spikes) + W.max_delay + 1
        got = run(W, spikes, steps)
        np.testing.assert_allclose(got, expected(W, spikes, steps), rtol=1e-5, atol=1e-5)


@pytest.mark.thin(5)
@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "float16", "float32"])
def test_events_are_any_number(dtype, kind, delays, backend, rng):
    x = jnp.asarray(rng.integers(-2, 3, (5, N_PRE))).astype(dtype)
    W = make(rng, kind, backend=backend, delays=delays)
    got = run(W, x, 12)
    np.testing.assert_allclose(got, expected(W, x, 12), rtol=1e-5, atol=1e-5)


def test_bits_of_the_backends_are_equal(kind, delays, spikes):
    if "native" not in evops.backends() or not evops.backends()["native"].available:
        pytest.fail("needs the native library")
    both = [
        run(make(np.random.default_rng(3), kind, backend=b, delays=delays), spikes, 16)
        for b in ("native", "jnp")
    ]
    np.testing.assert_array_equal(*both)


def test_edges_have_the_delays(kind, rng):
    W = make(rng, kind)
    assert W.edges().delay.dtype == np.int32 and W.edges().delay.shape == (W.nnz,)
    np.testing.assert_array_equal(W.edges().delay, W.delay)
    one = make(rng, kind, delays="one")
    assert one.delay.shape == (1,) and (one.edges().delay == 3).all() and one.max_delay == 3
    plain = evops.CSR(W.data, W.indices, W.indptr, shape=W.shape)
    assert plain.delay is None and plain.edges().delay is None and plain.max_delay == 0
    x = rng.random(N_PRE) < 0.5
    np.testing.assert_array_equal(x @ W, x @ plain)


@pytest.mark.parametrize("law", [evops.Constant(0.5), evops.Normal(1.0, 0.3)])
@pytest.mark.parametrize("delay", [None, 3, evops.Normal(6, 3, low=1)])
def test_the_stored_twin_of_a_projection_has_its_delays(law, delay, backend, rng):
    rule = evops.FixedProbability(0.2)
    W = evops.Projection(rule, law, (N_PRE, N_POST), seed=2, delay=delay, backend=backend)
    S = W.tocsr()
    for mine, theirs in zip(S.edges(), W.edges(), strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            np.testing.assert_array_equal(mine, theirs)
    if delay is None:
        return
    assert S.delay.shape == ((1,) if delay == 3 else (S.nnz,)) and S.max_delay <= W.max_delay
    spikes = jnp.asarray(rng.random((9, N_PRE)) < 0.3)
    buffers = [evops.DelayBuffer.zeros(N, W.max_delay) for _ in "ab"]
    mine, theirs = (run(M, spikes, 30, b) for M, b in zip((S, W), buffers, strict=True))
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def loss_of(W, spikes, steps=14):
    """A function of (x, data, sums) that sees every arriving sum."""
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(steps, N)), jnp.float32)

    def loss(x, data, sums):
        own = evops.CSR(data, W.indices, W.indptr, shape=W.shape, delay=W.delay, backend=W._backend)
        return jnp.sum(weights * jnp.sin(run(own, x, steps, evops.DelayBuffer(sums))))

    sums = jnp.asarray(np.random.default_rng(2).normal(size=(LONGEST + 2, N)), jnp.float32)
    return loss, (spikes.astype(jnp.float32), W.data, sums)


@pytest.mark.thin(3)
@pytest.mark.range_ends
def test_gradients_are_those_of_the_dense_product(kind, delays, backend, rng, spikes):
    W = make(rng, kind, backend=backend, delays=delays)
    loss, operands = loss_of(W, spikes[:5])
    pre, post, _, delay = W.edges()

    def dense(x, data, sums, steps=14):
        weights = jnp.asarray(np.random.default_rng(1).normal(size=(steps, N)), jnp.float32)
        out = jnp.zeros((steps + LONGEST + 2, N)).at[: sums.shape[0]].add(sums)
        w = jnp.broadcast_to(data, (W.nnz,))
        for t in range(len(x)):
            out = out.at[t + delay, AT + post].add(x[t, pre] * w)
        return jnp.sum(weights * jnp.sin(out[:steps]))

    np.testing.assert_allclose(loss(*operands), dense(*operands), rtol=1e-5)
    got, want = (jax.grad(f, (0, 1, 2))(*operands) for f in (loss, dense))
    for mine, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.thin(3)
def test_derivatives_match_differences(kind, delays, backend, rng):
    W = make(rng, kind, backend=backend, delays=delays)
    sums = jnp.asarray(rng.normal(size=(LONGEST + 2, N)), jnp.float32)
    x = jnp.asarray(rng.normal(size=N_PRE), jnp.float32)

    def push(x, data, sums):
        own = evops.CSR(data, W.indices, W.indptr, shape=W.shape, delay=W.delay, backend=backend)
        return own.push(x, evops.DelayBuffer(sums, 2), post_offset=AT).sums

    check_grads(push, (x, W.data, sums), order=2, modes=("fwd", "rev"), rtol=2e-2, atol=2e-2)


@pytest.mark.thin(3)
@pytest.mark.range_ends
def test_batches_of_everything(kind, delays, backend, rng):
    W = make(rng, kind, backend=backend, delays=delays)
    size = 3
    x = jnp.asarray(rng.integers(0, 2, (size, N_PRE)), jnp.float32)
    sums = jnp.asarray(rng.normal(size=(size, LONGEST + 2, N)), jnp.float32)
    data = W.data[None] * jnp.arange(1.0, size + 1)[:, None]
    steps = jnp.arange(size)

    def push(x, data, sums, step):
        own = evops.CSR(data, W.indices, W.indptr, shape=W.shape, delay=W.delay, backend=backend)
        return own.push(x, evops.DelayBuffer(sums, step), post_offset=AT).sums

    for axes in [
        (0, 0, 0, 0),
        (0, None, 0, None),
        (None, None, 0, 0),
        (0, None, None, None),
        (None, 0, None, None),
    ]:
        operands = [
            a if axis == 0 else a[0] for a, axis in zip((x, data, sums, steps), axes, strict=True)
        ]
        got = jax.vmap(push, axes)(*operands)
        for k in range(size):
            own = (a[k] if axis == 0 else a for a, axis in zip(operands, axes, strict=True))
            np.testing.assert_array_equal(got[k], push(*own))
    twice = jax.vmap(jax.vmap(push, (0, None, 0, None)), (None, 0, None, 0))(x, data, sums, steps)
    np.testing.assert_array_equal(twice[2, 1], push(x[1], data[2], sums[1], steps[2]))


@pytest.mark.thin(15)
@pytest.mark.parametrize("axes", [(0, 0, 0), (0, None, 0), (None, 0, 0), (0, None, None)])
def test_derivatives_of_batches(axes, kind, delays, backend, rng):
    W = make(rng, kind, backend=backend, delays=delays)
    x = jnp.asarray(rng.normal(size=(3, N_PRE)), jnp.float32)
    data = W.data[None] * jnp.arange(1.0, 4.0)[:, None]
    sums = jnp.asarray(rng.normal(size=(3, LONGEST + 2, N)), jnp.float32)
    operands = [a if axis == 0 else a[0] for a, axis in zip((x, data, sums), axes, strict=True)]
    weights = jnp.asarray(rng.normal(size=(LONGEST + 2, N)), jnp.float32)

    def one(x, data, sums):
        own = evops.CSR(data, W.indices, W.indptr, shape=W.shape, delay=W.delay, backend=backend)
        return (weights * own.push(x, evops.DelayBuffer(sums, 1), post_offset=AT).sums ** 2).sum()

    def together(*operands):
        return jax.vmap(one, axes)(*operands).sum()

    def apart(*operands):
        own = lambda k: [a[k] if axis == 0 else a for a, axis in zip(operands, axes, strict=True)]  # noqa: E731
        return sum(one(*own(k)) for k in range(3))

    for of in (jax.grad, jax.jacfwd):
        got, want = (of(f, (0, 1, 2))(*operands) for f in (together, apart))
        for mine, theirs in zip(got, want, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-3)


def test_new_weights_and_delays_compile_nothing(kind, backend, rng):
    traces = []

    @jax.jit
    def call(W, x, buffer):
        traces.append(1)
        return W.push(x, buffer, post_offset=AT).sums

    W = make(rng, kind, backend=backend)
    x, buffer = jnp.ones(N_PRE, bool), evops.DelayBuffer.zeros(N, LONGEST)
    for delay in (W.delay, W.delay[::-1]):
        own = evops.CSR(W.data, W.indices, W.indptr, shape=W.shape, delay=delay, backend=W._backend)
        got = call(own, x, buffer)
        np.testing.assert_array_equal(got, own.push(x, buffer, post_offset=AT).sums)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("delay", "error", "message"),
    [
        (0, ValueError, r"delay must be in \[1, 2147483646\], got 0"),
        (-3, ValueError, r"delay must be in \[1, 2147483646\], got -3"),
        (1.5, TypeError, "delay must be an array of integers"),
        (2**31, ValueError, r"delay must be in \[1, 2147483646\], got 2147483648"),
        ([1, 2], ValueError, r"delay must be one delay or have shape \(nnz = 3,\), got \(2,\)"),
        ([1, 0, 2], ValueError, r"delay\[1\] must be in \[1, 2147483646\], got 0"),
        (True, TypeError, "delay must be an array of integers"),
        ("1", TypeError, "delay must be an array of integers"),
        (evops.Normal(3, 1), TypeError, "delay must be numbers"),
    ],
)
def test_wrong_delays(delay, error, message):
    with pytest.raises(error, match=message):
        evops.CSR([1.0, 2, 3], [0, 1, 1], [0, 2, 3], shape=(2, 2), delay=delay)


def test_wrong_pushes(rng, backend):
    W = make(rng, backend=backend)
    x = jnp.ones(N_PRE, bool)
    with pytest.raises(ValueError, match="buffer must hold 23 neurons and delays of 6 steps"):
        W.push(x, evops.DelayBuffer.zeros(N_POST, LONGEST - 1))
    with pytest.raises(ValueError, match="buffer must hold 24 neurons"):
        W.push(x, evops.DelayBuffer.zeros(N_POST, LONGEST), post_offset=1)
    with pytest.raises(TypeError, match="buffer must be a DelayBuffer"):
        W.push(x, x)
    with pytest.raises(ValueError, match=r"spikes must have shape \(n_pre = 30\)"):
        W.push(x[:3], evops.DelayBuffer.zeros(N, LONGEST))
    with pytest.raises(TypeError, match="the buffer holds int32, weights are float32"):
        W.push(x, evops.DelayBuffer.zeros(N, LONGEST, jnp.int32))
    plain = evops.CSR(W.data, W.indices, W.indptr, shape=W.shape, backend=backend)
    with pytest.raises(
        ValueError, match="push needs delays: make the matrix with delay=…, in steps"
    ):
        plain.push(x, evops.DelayBuffer.zeros(N, LONGEST))


def test_leaves_out_of_range(backend, rng):
    W = make(rng, backend=backend)
    buffer = evops.DelayBuffer.zeros(N, LONGEST)

    @jax.jit
    def push(delay, indices, x):
        own = evops.CSR(W.data, indices, W.indptr, shape=W.shape, delay=delay, backend=backend)
        return own.push(x, buffer, post_offset=AT).sums

    fired = jnp.ones(N_PRE, bool)
    good = push(W.delay, W.indices, fired)
    assert np.isfinite(good).all()
    for wrong in (-1, LONGEST + 1, 2**31 - 1):
        for delay, indices, what in (
            (W.delay.at[5].set(wrong), W.indices, r"delay\[5\] is -?\d+, expected 0 to 6"),
            (
                W.delay,
                W.indices.at[5].set(wrong if wrong < 0 else max(wrong, N_POST)),
                r"indices\[5\] is -?\d+, expected 0 to 22",
            ),
        ):
            assert not push(delay, indices, jnp.zeros(N_PRE, bool)).any()
            if backend == "native":
                with pytest.raises(Exception, match="evops_stored_push: " + what):
                    jax.block_until_ready(push(delay, indices, fired))
            else:
                assert np.isnan(push(delay, indices, fired)).any()
