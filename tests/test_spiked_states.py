"""States of stored synapses that spikes change: values, transforms, memory, what is refused."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import evops
from test_structures import random_matrix


def update(S, side, *arguments, **options):
    return getattr(S, f"add_where_{side}_spiked")(*arguments, **options)


def reference(S, side, state, x, value, per=None, low=None, high=None):
    """Synapse by synapse."""
    pre, post = np.asarray(S.pre_ids), np.asarray(S.post_ids)
    out = np.array(state)
    for k in range(S.nnz):
        spikes = x[{"pre": pre, "post": post}[side][k]]
        if spikes == 0:
            continue
        at = {None: None, "synapse": k, "pre": pre[k], "post": post[k]}[per]
        out[k] += spikes * (value if at is None else value[at])
        if low is not None or high is not None:
            out[k] = np.clip(out[k], low, high)
    return out


SIDES, PER = ("pre", "post"), (None, "synapse", "pre", "post")
# Every combination of integers below fits every dtype without rounding.
DTYPES = (np.float32, np.float64, np.int32, np.float16, np.int8)


@pytest.mark.thin(5)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("per", PER)
@pytest.mark.parametrize("dtype", DTYPES)
def test_updates_where_neurons_spike(side, per, dtype, backend):
    with jax.enable_x64(dtype == np.float64):
        for seed, bounds in itertools.product(range(4), ({}, {"low": -2, "high": 3}, {"high": 1})):
            S = random_matrix(seed, backend)
            rng = np.random.default_rng(seed)
            n = S.shape[side == "post"]
            sizes = {None: (), "synapse": S.nnz, "pre": S.shape[0], "post": S.shape[1]}
            state = rng.integers(-5, 5, S.nnz).astype(dtype)
            value = rng.integers(-5, 5, sizes[per]).astype(dtype)
            for x in (rng.random(n) < 0.4, rng.integers(-1, 2, n).astype(dtype)):
                got = update(S, side, state, x, value, per=per, **bounds)
                want = reference(S, side, state, x, value, per, **bounds)
                assert got.dtype == dtype
                np.testing.assert_array_equal(got, want)
                columns = update(S.csc, side, state, x, value, per=per, **bounds)
                np.testing.assert_array_equal(columns, want)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("per", PER)
@pytest.mark.parametrize("bounded", [False, True])
def test_derivatives(side, per, bounded, backend):
    """Of states, spikes, values and bounds; beside finite differences of the reference."""
    S = random_matrix(7, backend)
    rng = np.random.default_rng(7)
    n, m = (
        S.shape[side == "post"],
        {None: (), "synapse": S.nnz, "pre": S.shape[0], "post": S.shape[1]}[per],
    )
    bounds = {"low": -1.0, "high": 1.5} if bounded else {}

    def loss(state, x, value, weights):
        return (update(S, side, state, x, value, per=per, **bounds) * weights).sum()

    def wanted(state, x, value, weights):
        return (reference(S, side, state, x, value, per, **bounds) * weights).sum()

    with jax.enable_x64(True):
        silent = rng.random(n) < 0.4
        point = rng.normal(size=S.nnz), np.where(silent, 0, rng.normal(size=n)), rng.normal(size=m)
        weights = rng.normal(size=S.nnz)
        gradients = jax.jit(jax.grad(loss, (0, 1, 2)))(*point, weights)
        direction = [rng.normal(size=np.shape(p)) for p in point]
        direction[1] = np.where(
            silent, 0, direction[1]
        )  # a silent neuron is no neighbour of others
        h = 1e-6
        ends = [
            wanted(*(p + s * h * d for p, d in zip(point, direction, strict=True)), weights)
            for s in (1, -1)
        ]
        slope = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True))
        np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-6)
        tangent = jax.jvp(lambda *p: loss(*p, weights), point, tuple(direction))[1]
        np.testing.assert_allclose(tangent, slope, rtol=1e-9)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("per", PER)
@pytest.mark.parametrize("axes", [(0, 0, 0), (0, None, None), (None, 0, None), (1, 0, None)])
def test_batches(side, per, axes, backend):
    S = random_matrix(2, backend)
    rng = np.random.default_rng(2)
    sizes = {None: (), "synapse": S.nnz, "pre": S.shape[0], "post": S.shape[1]}
    own = [(S.nnz,), (S.shape[side == "post"],), sizes[per] if per is None else (sizes[per],)]
    if per is None:
        axes = (*axes[:2], None)
    given = [
        np.insert(shape, axis, 3) if axis is not None else shape
        for shape, axis in zip(own, axes, strict=True)
    ]
    state, x, value = (
        rng.integers(-3, 4, tuple(map(int, shape))).astype(np.float32) for shape in given
    )
    one = functools.partial(update, S.csc, side, per=per, low=-3)
    got = jax.jit(jax.vmap(one, axes))(state, x, value)
    for k in range(3):
        each = (
            a if axis is None else np.take(a, k, axis)
            for a, axis in zip((state, x, value), axes, strict=True)
        )
        np.testing.assert_array_equal(got[k], one(*each))
    twice = jax.vmap(jax.vmap(one, (None, 0, None)), (0, None, None))
    states, spikes = (
        np.stack([np.zeros(S.nnz, np.float32)] * 2),
        np.stack([np.ones(own[1], bool)] * 2),
    )
    value = np.ones(own[2], np.float32)
    np.testing.assert_array_equal(
        twice(states, spikes, value)[1, 1], one(states[0], spikes[0], value)
    )


@pytest.mark.parametrize("side", SIDES)
def test_scans_change_states_in_place(side, backend):
    """A program that takes the matrix as an argument, whose steps have no copy of the states."""
    S = random_matrix(4, backend)
    C = S.csc
    n = S.shape[side == "post"]
    spikes = np.random.default_rng(4).random((20, n)) < 0.3

    @functools.partial(jax.jit, donate_argnums=1)
    def run(C, state, spikes):
        def step(state, x):
            return update(C, side, state, x, 0.25, low=0, high=2), None

        return lax.scan(step, state, spikes)[0]

    want = np.array(S.data)
    for x in spikes:
        want = reference(S, side, want, x, 0.25, None, 0, 2)
    np.testing.assert_array_equal(run(C, jnp.array(S.data), spikes), want)
    text = run.lower(C, jnp.array(S.data), spikes).compile().as_text()
    body = text[: text.index("ENTRY")]
    assert f"copy(f32[{S.nnz}]" not in body.replace(" ", "")


def test_many_neurons_at_once(backend):
    """Enough synapses for threads: each neuron's are changed once."""
    rng = np.random.default_rng(0)
    n, k = 3000, 400
    indices = rng.integers(0, n, n * k)
    S = evops.CSR(
        np.zeros(n * k, np.float32),
        indices,
        np.arange(0, n * k + 1, k),
        shape=(n, n),
        backend=backend,
    )
    value = np.arange(n, dtype=np.float32)
    x = rng.random(n) < 0.7
    pre = np.repeat(np.arange(n), k)
    for per, of in (("pre", value[pre]), ("post", value[indices])):
        np.testing.assert_array_equal(update(S, "pre", S.data, x, value, per=per), x[pre] * of)
        np.testing.assert_array_equal(update(S, "post", S.data, x, value, per=per), x[indices] * of)


def test_updates_that_are_refused():
    S = evops.CSR.from_edges([0, 0, 1], [0, 2, 1], [1.0, 2.0, 3.0], shape=(3, 3))
    pre = S.add_where_pre_spiked
    spikes = np.ones(3, bool)
    with pytest.raises(ValueError, match=r"state must have shape \(nnz = 3,\), got \(2,\)"):
        pre(np.zeros(2), spikes, 1.0)
    with pytest.raises(ValueError, match=r"spikes must have shape \(n_pre = 3\), got \(2,\)"):
        pre(S.data, spikes[:2], 1.0)
    with pytest.raises(
        ValueError, match="value of shape .* fits per='synapse' or per='pre' or per='post'"
    ):
        pre(S.data, spikes, np.ones(3))
    with pytest.raises(ValueError, match="value must be one number or a vector"):
        pre(S.data, spikes, np.ones(4))
    with pytest.raises(ValueError, match=r"value per pre must have shape \(3,\), got \(2,\)"):
        pre(S.data, spikes, np.ones(2), per="pre")
    with pytest.raises(ValueError, match="per must be one of synapse, pre, post, got 'row'"):
        pre(S.data, spikes, 1.0, per="row")
    with pytest.raises(ValueError, match="low must be at most high, got 1.0 and 0.0"):
        pre(S.data, spikes, 1.0, low=1, high=0)
    with pytest.raises(ValueError, match="low must be one number"):
        pre(S.data, spikes, 1.0, low=[0, 1])
    for name, arguments in (("value", (spikes, 0.5)), ("spikes", (np.ones(3, np.float32), 1))):
        with pytest.raises(TypeError, match=f"{name} must be integers for a state of int32"):
            pre(np.zeros(3, np.int32), *arguments)
    with pytest.raises(TypeError, match="csc outside"):
        jax.jit(lambda S: S.add_where_post_spiked(S.data, spikes, 1.0))(S)


def test_silent_neurons_keep_states_outside_the_bounds(backend):
    S = evops.CSR.from_edges([0, 1], [0, 0], [5.0, np.inf], shape=(2, 1), backend=backend)
    got = S.add_where_pre_spiked(S.data, [True, False], 1.0, low=0, high=1)
    np.testing.assert_array_equal(got, [1, np.inf])


def test_numbers_have_the_precision_of_the_state(backend):
    """Python's are no float32 in between."""
    S = evops.CSR.from_edges([0, 1], [0, 0], 1.0, shape=(2, 1), backend=backend)
    with jax.enable_x64(True):
        for value in (0.1, [0.1, 0.1], np.float64(0.1), jnp.float64(0.1)):
            got = S.add_where_pre_spiked(
                np.zeros(2), [True, True], value, per=None if np.ndim(value) == 0 else "synapse"
            )
            np.testing.assert_array_equal(got, [0.1, 0.1])
        got = S.add_where_pre_spiked(np.zeros(2), [True, True], -1, low=0.1, high=0.7)
        np.testing.assert_array_equal(got, [0.1, 0.1])
        got = S.add_where_pre_spiked(np.zeros(2), [0.1, 0.0], 1)
        np.testing.assert_array_equal(got, [0.1, 0.0])


def test_closed_over_matrices_keep_their_index():
    """A program that closes over known synapses and takes weights as an argument."""
    S = random_matrix(4)

    @jax.jit
    def step(w, x):
        W = S.with_weights(w)
        return W.add_where_post_spiked(w, x, 1.0), W.csc.synapses

    x = np.ones(S.shape[1], bool)
    w, synapses = step(S.data, x)
    np.testing.assert_array_equal(w, np.asarray(S.data) + 1)
    np.testing.assert_array_equal(synapses, S.csc.synapses)


def test_weights_that_learn():
    S = random_matrix(6)
    W = S.with_weights(S.add_where_pre_spiked(S.data, np.ones(S.shape[0], bool), 1.0))
    np.testing.assert_array_equal(W.data, np.asarray(S.data) + 1)
    np.testing.assert_array_equal(W.indices, S.indices)
    assert W.with_weights(2.0).data.shape == (1,)
    counts = S.with_weights(np.ones(S.nnz, np.int8), scale=0.5)
    np.testing.assert_array_equal(counts.todense(), S.with_weights(0.5).todense())
    with pytest.raises(ValueError, match="values must be one weight"):
        S.with_weights(np.ones(S.nnz + 1))
