"""Delays of projections: what is pushed, when it arrives, under every transform, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

pytestmark = pytest.mark.range_ends

RULES = {
    "gaps": evops.FixedProbability(0.05),
    "dense": evops.FixedProbability(0.4, autapses=False),
    "subset": evops.FixedOutDegree(9),
    "total": evops.FixedTotalNumber(700),
    "in-degree": evops.FixedInDegree(6),
    "published": evops.LfsrGaps(0.1, hashed=True),
}
LAWS = {"one": evops.Constant(0.5), "each": evops.Normal(1.0, 0.3, low=0.0)}
DELAYS = {"drawn": evops.Normal(6, 3, low=1), "fixed": 3, "uniform": evops.Uniform(1, 8)}
SHAPE, AT, N = (60, 90), 7, 100


def project(rule="gaps", law="each", delay="drawn", seed=5, backend=None, shape=SHAPE):
    return evops.Projection(
        RULES[rule], LAWS[law], shape, seed=seed, delay=DELAYS[delay], backend=backend
    )


def dense(W, n=N, at=AT):
    """(max_delay + 1, n_pre, n) weights by delay."""
    pre, post, weight, delay = (np.asarray(a) for a in W.edges())
    out = np.zeros((W.max_delay + 1, W.shape[0], n))
    np.add.at(out, (delay, pre, post + at), weight)
    return out


def run(W, spikes, steps_after=0, buffer=None, at=AT):
    """Sums that arrive at every step."""
    buffer = evops.DelayBuffer.zeros(N, W.max_delay + 2) if buffer is None else buffer

    def step(buffer, x):
        now, buffer = W.push(x, buffer, post_offset=at).pop(W._backend)
        return buffer, now

    silence = jnp.zeros((steps_after, *spikes.shape[1:]), spikes.dtype)
    return jax.lax.scan(step, buffer, jnp.concatenate([spikes, silence]))[1]


@pytest.fixture
def spikes(rng):
    return jnp.asarray(rng.random((13, SHAPE[0])) < 0.2)


def expected(W, spikes, total):
    by_delay = dense(W)
    out = np.zeros((total, N))
    for t, x in enumerate(np.asarray(spikes, float)):
        for d in range(by_delay.shape[0]):
            if t + d < total:
                out[t + d] += x @ by_delay[d]
    return out


@pytest.mark.thin(11)
@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("rule", RULES)
def test_spikes_arrive_when_their_synapses_say(rule, law, delay, backend, spikes):
    W = project(rule, law, delay, backend=backend)
    got = jax.jit(lambda W, s: run(W, s, 20))(W, spikes)
    want = expected(W, spikes, 33)
    assert want.any()
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.thin(3)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.int32, jnp.float64])
def test_graded_spikes_and_other_types(dtype, backend, spikes):
    with jax.enable_x64(dtype == jnp.float64):
        law = evops.Constant(jnp.asarray(3, dtype))
        W = evops.Projection(
            RULES["gaps"], law, SHAPE, seed=5, delay=DELAYS["drawn"], backend=backend
        )
        x = spikes.astype(dtype) * jnp.asarray(2, dtype)
        got = run(W, x, 20, evops.DelayBuffer.zeros(N, W.max_delay, dtype))
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected(W, x, 33), rtol=1e-6)


@pytest.mark.thin(9)
@pytest.mark.parametrize("rule", ["gaps", "total"])
def test_batches_of_spikes_weights_and_seeds(rule, backend, rng):
    x = jnp.asarray(rng.random((3, 2, SHAPE[0])) < 0.3)
    W = project(rule, backend=backend)
    got = jax.vmap(lambda s: run(W, s, 6))(x)
    for k in range(3):
        np.testing.assert_allclose(got[k], run(W, x[k], 6), rtol=1e-5, atol=1e-5)

    def seeded(seed, mean):
        law = evops.Normal(mean, 0.3)
        W = evops.Projection(
            RULES[rule], law, SHAPE, seed=seed, delay=DELAYS["drawn"], backend=backend
        )
        return run(W, x[0], 6)

    seeds, means = jnp.arange(4, 7), jnp.array([1.0, 2.0, 3.0])
    got = jax.jit(jax.vmap(seeded))(seeds, means)
    for k in range(3):
        want = seeded(int(seeds[k]), float(means[k]))
        np.testing.assert_allclose(got[k], want, rtol=1e-5, atol=1e-5)


@pytest.mark.thin(5)
@pytest.mark.parametrize("rule", ["gaps", "subset", "total", "in-degree"])
def test_gradients_through_the_buffer(rule, backend, spikes, rng):
    cotangent = jnp.asarray(rng.normal(size=(17, N)), jnp.float32)
    x = spikes.astype(jnp.float32) * rng.uniform(0.5, 2, spikes.shape).astype(np.float32)

    def loss(mean, std, x):
        law = evops.Normal(mean, std)
        W = evops.Projection(
            RULES[rule], law, SHAPE, seed=5, delay=DELAYS["drawn"], backend=backend
        )
        return (run(W, x, 4) * cotangent).sum()

    got = jax.jit(jax.grad(loss, (0, 1, 2)))(1.0, 0.3, x)

    def by_hand(mean, std):
        law = evops.Normal(mean, std)
        W = evops.Projection(RULES[rule], law, SHAPE, seed=5, delay=DELAYS["drawn"])
        return dense(W)

    ct = np.asarray(cotangent, np.float64)
    units = [by_hand(1.0, 0.0), by_hand(0.0, 1.0), by_hand(1.0, 0.3)]
    for g, unit in zip(got[:2], units, strict=False):
        want = sum(
            np.asarray(x, float)[t] @ unit[d] @ ct[t + d]
            for t in range(13) for d in range(unit.shape[0]) if t + d < 17
        )  # fmt: skip
        np.testing.assert_allclose(g, want, rtol=1e-4)
    want = np.zeros(x.shape)
    for t in range(13):
        for d in range(units[2].shape[0]):
            if t + d < 17:
                want[t] += units[2][d] @ ct[t + d]
    np.testing.assert_allclose(got[2], want, rtol=1e-4, atol=1e-4)


@pytest.mark.thin(3)
def test_tangents_equal_differences(backend, spikes):
    def f(mean):
        W = evops.Projection(
            RULES["total"], evops.Normal(mean, 0.3), SHAPE, seed=5, delay=DELAYS["drawn"],
            backend=backend,
        )  # fmt: skip
        return run(W, spikes, 4)

    _, tangent = jax.jvp(f, (1.0,), (1.0,))
    np.testing.assert_allclose(tangent, (f(1.5) - f(0.5)), rtol=1e-4, atol=1e-4)


@pytest.mark.thin(3)
def test_second_derivatives_of_a_push(backend, rng):
    """A push is linear in the spikes and in the mean: its mixed derivative, in both orders."""
    x, v = (jnp.asarray(rng.normal(size=SHAPE[0]), jnp.float32) for _ in range(2))

    def projection(mean, deviation, backend=backend):
        law = evops.Normal(mean, deviation)
        return evops.Projection(
            RULES["gaps"], law, SHAPE, seed=5, delay=DELAYS["drawn"], backend=backend
        )

    ones = dense(projection(1.0, 0.0), n=SHAPE[1], at=0)
    cotangent = jnp.asarray(rng.normal(size=(len(ones), SHAPE[1])), jnp.float32)

    def f(mean, x):
        empty = evops.DelayBuffer.zeros(SHAPE[1], len(ones) - 1)
        return (projection(mean, 0.3).push(x, empty).sums * cotangent).sum()

    want = np.einsum("dij,dj->i", ones, cotangent)
    by_mean = jax.grad(lambda mean: jax.grad(f, 1)(mean, x) @ v)(1.0)
    np.testing.assert_allclose(by_mean, want @ v, rtol=1e-4)
    by_x = jax.grad(lambda x: jax.grad(f)(1.0, x))(x)
    np.testing.assert_allclose(by_x, want, rtol=1e-4, atol=1e-4)
    tangent = jax.jvp(lambda x: jax.grad(f)(1.0, x), (x,), (v,))[1]
    np.testing.assert_allclose(tangent, want @ v, rtol=1e-4)


def test_gradient_of_a_pop_is_that_of_its_slot(backend, rng):
    """What was cleared passes nothing on: the slot that the ring goes on with is another."""
    sums, ct = (jnp.asarray(rng.normal(size=(4, N)), jnp.float32) for _ in range(2))
    out = jnp.asarray(rng.normal(size=N), jnp.float32)

    def pop(sums):
        now, rest = evops.DelayBuffer(sums, jnp.int32(2)).pop(backend)
        return now, rest.sums

    [got] = jax.vjp(pop, sums)[1]((out, ct))
    np.testing.assert_array_equal(got, ct.at[2].set(out))


def test_projections_share_a_buffer(backend, spikes):
    a, b = project("gaps", backend=backend), project("total", delay="uniform", backend=backend)
    buffer = evops.DelayBuffer.zeros(N, max(a.max_delay, b.max_delay))
    both = b.push(spikes[0], a.push(spikes[0], buffer, post_offset=AT), post_offset=3)
    apart = (
        a.push(spikes[0], buffer, post_offset=AT).sums
        + b.push(spikes[0], buffer, post_offset=3).sums
    )
    np.testing.assert_allclose(both.sums, apart, rtol=1e-6, atol=1e-6)


P = evops.Populations({"E": 4, "I": 2})
BAD = [
    (lambda: project(shape=(5, 5)).push(jnp.ones(4), evops.DelayBuffer.zeros(9, 40)), "spikes must"),
    (lambda: project().push(jnp.ones(60), evops.DelayBuffer.zeros(89, 40)), "n=90 or more"),
    (lambda: project().push(jnp.ones(60), evops.DelayBuffer.zeros(90, 40), post_offset=1), "n=91 or more"),
    (lambda: project().push(jnp.ones(60), evops.DelayBuffer.zeros(90, 3)), "make it with max_delay="),
    (lambda: project().push(jnp.ones(60), evops.DelayBuffer.zeros(90, 40), post_offset=-1), "post_offset must be"),
    (
        lambda: evops.Projection(RULES["gaps"], 1.0, SHAPE, seed=1).push(
            jnp.ones(60), evops.DelayBuffer.zeros(90, 3)
        ),
        "push needs delays: make the projection with delay",
    ),
    *(
        (lambda delay=delay: evops.Projection(RULES["gaps"], 1.0, SHAPE, seed=1, delay=delay), message)
        for delay, message in [
            (0, "delay must be at least 1 step"),
            (-3, "delay must be at least 1 step"),
            (1.5, "delay must be a whole number of steps"),
            (float("nan"), "delay must be a finite number, got nan"),
            ("3", "delay must be a real number, got '3'"),
            (float("inf"), "delay must be a finite number, got inf"),
            (True, "delay must be a real number, got True"),
            (np.array([1, 2]), "delay must be a real number"),
            (2**31, "delay must be at most 2147483646 steps"),
            (1e20, "delay must be at most 2147483646 steps"),
            (evops.Normal(1e10, 1), "delay must be at most 2147483646 steps"),
            (evops.Normal(15, 7.5), "set low=0.5 or more"),
            (evops.Normal(15, 7.5, low=0), "set low=0.5 or more"),
            (evops.Uniform(0, 9), "at least 1 step"),
            (evops.Uniform(1.2, 1.8), "whole step"),
            (evops.Uniform(1, 9000), "at most 4096 different values"),
            (evops.Normal(50_000, 9_000, low=1), "at most 4096 different values"),
            (evops.Normal(jnp.ones(2), 1.0), "must be a real number"),
        ]
    ),
    (lambda: evops.FixedTotalNumber(-1), "k must be an integer from 0"),
    (lambda: evops.FixedTotalNumber(2**31), "k must be an integer from 0 to 2147483647"),
    (lambda: evops.FixedTotalNumber(1.5), "k must be an integer"),
    (lambda: evops.FixedInDegree(-1), "k must be an integer from 0"),
    (lambda: evops.Projection(evops.FixedInDegree(2**20), 1.0, (9, 2**12), seed=1), "k . n_post must"),
    (lambda: evops.Normal(1.0, 0.1, low=3.0), "leave nothing of a normal distribution"),
    (lambda: evops.Normal(1.0, 0.1, low=2.0, high=0.0), "leave nothing of a normal distribution"),
    (lambda: evops.Normal(1.0, 0.0, high=0.5), "leave nothing of a normal distribution"),
    (lambda: evops.Normal(1.0, 0.1, low=float("nan")), "low must be a finite number"),
    (lambda: evops.Normal(float("nan"), 0.1), "mean must be finite"),
    (lambda: evops.Normal(jnp.ones(3), 0.1, low=0), "mean .with bounds. must be a real number"),
    (lambda: jax.jit(lambda m: evops.Normal(m, 0.1, low=0))(1.0), "mean .with bounds. must be known"),
    (lambda: evops.Populations({}), "sizes must map names"),
    (lambda: evops.Populations([4, 2]), "sizes must map names"),
    (lambda: evops.Populations({"E": 0}), r"sizes\['E'\] must be an integer from 1"),
    (lambda: evops.Populations({3: 4}), "names of populations must be strings"),
    (lambda: evops.Populations({"E": 2**31 - 1, "I": 1}), "the sum of sizes must be"),
    *(
        (lambda ranges=ranges: evops.Populations.from_ranges(ranges, 6), message)
        for ranges, message in [
            ({"E": slice(0, 6)}, r"ranges\['E'\] must be a pair .first, end., got slice"),
            ({"E": (0, 6, 1)}, r"ranges\['E'\] must be a pair"),
            ({"E": (None, 4), "I": (4, 6)}, r"ranges\['E'\]\[0\] must be an integer, got None"),
            ([(0, 6)], "ranges must map names to .first, end."),
            ({"E": (1, 6)}, "ranges leave a gap: 'E' begins at 1, not at 0$"),
        ]
    ),
    (lambda: evops.Populations.from_ranges({"E": (0, 6)}, 6.0), "n must be an integer, got 6.0"),
    (lambda: P.slice("X"), "unknown population 'X'; there are E, I"),
    (lambda: evops.Populations.from_ranges({"E": (0, 4), "I": (3, 6)}, 6), "ranges overlap: 'I'"),
    (lambda: evops.Populations.from_ranges({"E": (0, 4), "I": (5, 6)}, 6), "leave a gap: 'I'"),
    (lambda: evops.Populations.from_ranges({"E": (0, 4)}, 6), "end at 4, but there are 6"),
    (lambda: evops.Populations.from_ranges({"E": (4, 4)}, 6), "must be an integer from 5"),
    (lambda: evops.Circuit(P, {("E", "I"): project()}), r"must have shape \(4, 2\), got \(60, 90\)"),
    (lambda: evops.Circuit(P, {("E", "X"): project()}), "unknown population"),
    (lambda: evops.Circuit(P, {("E", "I"): 3}), "must be a Projection"),
    (lambda: evops.Circuit(P, {"EI": project(shape=(4, 2))}), r"keys .source, target., got 'EI'"),
    (lambda: evops.Circuit(P, [project()]), "projections must map"),
    (lambda: evops.Circuit({"E": 4}, {}), "populations must be Populations"),
    (lambda: project().push(jnp.ones(60), jnp.zeros((40, 90))), "buffer must be a DelayBuffer"),
    (lambda: project().push(jnp.ones(60), evops.DelayBuffer.zeros(90, 40, jnp.int32)), "weights are float32"),
    (
        lambda: evops.Projection(RULES["gaps"], np.int32(1), SHAPE, seed=1, delay=3).push(
            jnp.ones(60), evops.DelayBuffer.zeros(90, 40, jnp.int32)
        ),
        "spikes are float32: make it with dtype=float32",
    ),
    *(
        (lambda dtype=dtype: evops.DelayBuffer.zeros(9, 4, dtype), "dtype must be float32, float64 or int32")
        for dtype in (bool, jnp.float16, jnp.bfloat16, jnp.int8, complex)
    ),
    (
        lambda: evops.Circuit(
            P, {("E", "I"): evops.Projection(RULES["gaps"], 1.0, (4, 2), seed=1)}
        ),
        "has no delays: make it with delay",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_input_names_what_to_change(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
