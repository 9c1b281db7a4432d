"""MultiAreaProjection and DelayBuffer against the oracle's matrices and a plain delay loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import evops
import oracle
import oracle_exact
from bits import assert_same_bits

pytestmark = pytest.mark.range_ends

AREAS, PRE, POST, P = 3, (12, 5), (9, 7), 0.2
STEPS = 30


def weights(rng):
    w = rng.normal(size=(AREAS, 2, AREAS, 2)).astype(np.float32)
    w[:, 1] *= np.eye(AREAS)[:, :, None]
    w[0, 0, 2] = 0
    return w


def delays(kind, rng):
    shape = {
        "one": (),
        "areas": (AREAS, AREAS),
        "pairs": (AREAS, 2, AREAS, 2),
        "neurons": (AREAS, sum(PRE), AREAS),
    }[kind]
    return rng.integers(0, 9, shape)


def project(weight, delay, backend, rule=P, **other):
    options = {"pre": PRE, "post": POST, "seed": 77, "backend": backend, **other}
    return evops.MultiAreaProjection(rule, weight, delay, **options)


def per_pair(delay, kind, a, p, b, q):
    """Delay of every neuron of source population (a, p) to target population (b, q)."""
    start, n = (0, PRE[0])[p], PRE[p]
    if kind == "neurons":
        return delay[a, start : start + n, b]
    value = {"one": lambda: delay, "areas": lambda: delay[a, b], "pairs": lambda: delay[a, p, b, q]}
    return np.full(n, value[kind]())


def matrix(rule, key, n_pre, n_post):
    if isinstance(rule, evops.LfsrGaps):
        return oracle.lines(key[0], n_pre, n_post, rule.p, hashed=True)
    out = np.zeros((n_pre, n_post), bool)
    for i in range(n_pre):
        out[i, oracle_exact.bernoulli(key, i, n_post, rule)] = True
    return out


def expected(projection, rule, weight, delay, kind, spikes):
    """The oracle's input to all targets at every step; the keys are read off the projection."""
    keys = np.asarray(projection.keys).reshape(AREAS, 2, 2, AREAS, 2).transpose(0, 1, 3, 2, 4)
    pairs = []
    for a, p, b, q in np.ndindex(AREAS, 2, AREAS, 2):
        pre = a * sum(PRE) + (0, PRE[0])[p]
        post = b * sum(POST) + (0, POST[0])[q]
        synapses = matrix(rule, keys[a, p, b, q].tolist(), PRE[p], POST[q])
        pairs.append((
            slice(pre, pre + PRE[p]), slice(post, post + POST[q]), synapses,
            float(weight[a, p, b, q]), per_pair(delay, kind, a, p, b, q),
        ))  # fmt: skip
    return oracle.delayed(spikes.reshape(len(spikes), -1), pairs, AREAS * sum(POST), 16)


def run(projection, spikes):
    def step(buffer, fired):
        now, buffer = projection(fired, buffer)
        return buffer, now

    return jax.jit(lambda s: jax.lax.scan(step, projection.buffer(), s)[1])(jnp.asarray(spikes))


@pytest.mark.thin(5)
@pytest.mark.parametrize("rule", [P, 0.1, evops.LfsrGaps(P)])
@pytest.mark.parametrize("kind", ["one", "areas", "pairs", "neurons"])
def test_equals_oracle(kind, rule, backend, rng):
    weight, delay = weights(rng), delays(kind, rng)
    spikes = rng.random((STEPS, AREAS, sum(PRE))) < 0.15
    projection = project(weight, delay, backend, rule)
    got = np.asarray(run(projection, spikes)).reshape(STEPS, -1)
    want = expected(projection, rule, weight, delay, kind, spikes)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    assert np.abs(want).max() > 0


@pytest.mark.thin(3)
def test_integer_and_float_spikes_are_events(backend, rng):
    weight, delay = weights(rng), delays("neurons", rng)
    spikes = rng.random((STEPS, AREAS, sum(PRE))) < 0.15
    projection = project(weight, delay, backend)
    want = run(projection, spikes)
    for dtype in (np.int32, np.float32):
        assert_same_bits(run(projection, spikes.astype(dtype)), want)
    np.testing.assert_array_equal(run(projection, np.where(spikes, np.nan, 0)), np.zeros_like(want))


def test_one_population_drops_its_axes(backend):
    projection = evops.MultiAreaProjection(
        0.5, np.eye(2, 3), 1, pre=6, post=4, seed=1, backend=backend
    )
    buffer = projection.buffer()
    assert buffer.sums.shape == (2, 12)
    spikes = jnp.ones((2, 6), bool)
    first, buffer = projection(spikes, buffer)
    second, _ = projection(spikes, buffer)
    assert not first.any() and second.shape == (3, 4)
    assert np.asarray(second)[:2].any(1).all() and not np.asarray(second)[2].any()


def test_streams_of_all_pairs_differ():
    projection = evops.MultiAreaProjection(
        0.1, np.ones((5, 5, 2)), 1, pre=50, post=(40, 40), seed=9
    )
    keys = [tuple(key) for key in np.asarray(projection.keys).reshape(-1, 2).tolist()]
    assert len(set(keys)) == len(keys) == 50
    assert len({tuple(oracle_exact.bernoulli(key, 3, 40, 0.1)) for key in keys}) > 40


def test_seed_may_be_a_key_and_more_than_32_bits():
    def seeds(seed):
        projection = evops.MultiAreaProjection(0.1, np.ones((2, 2)), 1, pre=5, post=5, seed=seed)
        return np.asarray(projection.keys)

    drawn = [seeds(s) for s in (0, 1, 2**32, 2**64 - 1, jax.random.key(7), jax.random.key(8))]
    for i, one in enumerate(drawn):
        assert all((one != other).any() for other in drawn[:i])
    np.testing.assert_array_equal(seeds(jax.random.key(7)), seeds(jax.random.key(7)))


def test_two_projections_share_a_buffer(backend, rng):
    near = evops.MultiAreaProjection(
        0.5, np.eye(2), 2, pre=6, post=4, seed=1, max_delay=5, backend=backend
    )
    far = evops.MultiAreaProjection(0.5, np.ones((2, 2)), 5, pre=6, post=4, seed=2, backend=backend)
    spikes = jnp.asarray(rng.random((2, 6)) < 0.5)
    buffer = far.push(spikes, near.push(spikes, near.buffer()))
    silent = jnp.zeros((2, 6), bool)
    apart = [
        np.asarray(run(p, np.stack([spikes, *[silent] * 7]))).reshape(8, -1) for p in (near, far)
    ]
    for t in range(8):
        now, buffer = buffer.pop(backend)
        np.testing.assert_allclose(now, apart[0][t] + apart[1][t], rtol=1e-6)


def test_updates_are_in_place_under_scan(rng):
    projection = project(weights(rng), delays("neurons", rng), "native", max_delay=300)

    def step(buffer, fired):
        now, buffer = projection(fired, buffer)
        return buffer, now.sum()

    scan = jax.jit(lambda b, s: jax.lax.scan(step, b, s), donate_argnums=0)
    spikes = jnp.zeros((10, AREAS, sum(PRE)), bool)
    text = scan.lower(projection.buffer(), spikes).compile().as_text()
    ring = f"f32[301,{AREAS * sum(POST)}]"
    assert ring in text
    copies = [line for line in text.splitlines() if " copy(" in line and f"= {ring}" in line]
    assert not copies


@pytest.mark.thin(2)
def test_gradients_in_weight_and_spikes(backend, rng):
    projection = project(weights(rng), delays("neurons", rng), backend)
    leaves, tree = jax.tree.flatten(projection)
    spikes = jnp.asarray((rng.random((STEPS, AREAS, sum(PRE))) < 0.1).astype(np.float32))
    gain = jnp.asarray(rng.normal(size=(STEPS, 1, 1)).astype(np.float32))

    def loss(weight, spikes):
        other = jax.tree.unflatten(tree, [weight, *leaves[1:]])
        return jnp.sum(jnp.sin(run(other, spikes)) * gain)

    check_grads(lambda w: loss(w, spikes), (projection.weight,), 1, eps=1e-2, rtol=3e-2, atol=3e-2)
    in_spikes = jax.grad(loss, argnums=1)(projection.weight, spikes)
    tangent = jnp.asarray(rng.normal(size=spikes.shape).astype(np.float32))
    _, forward = jax.jvp(lambda s: loss(projection.weight, s), (spikes,), (tangent,))
    assert float(jnp.vdot(in_spikes, tangent)) == pytest.approx(float(forward), rel=1e-3)


@pytest.mark.thin(15)
@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_vmap_over_spikes_and_weights(axes, backend, rng):
    projection = project(weights(rng), delays("pairs", rng), backend)
    leaves, tree = jax.tree.flatten(projection)
    spikes = jnp.asarray(rng.random((2, STEPS, AREAS, sum(PRE))) < 0.15)
    weight = jnp.stack([projection.weight, 2 * projection.weight])

    def simulate(spikes, weight):
        return run(jax.tree.unflatten(tree, [weight, *leaves[1:]]), spikes)

    operands = [o if a == 0 else o[0] for o, a in zip((spikes, weight), axes, strict=True)]
    y = jax.vmap(simulate, axes)(*operands)
    for b in range(2):
        one = [o[b] if a == 0 else o for o, a in zip(operands, axes, strict=True)]
        np.testing.assert_allclose(y[b], simulate(*one), rtol=1e-6, atol=1e-6)


def test_projection_is_a_pytree_and_says_what_it_is():
    projection = evops.MultiAreaProjection(0.1, np.ones((2, 2)), 3, pre=5, post=5, seed=1)
    again = jax.tree.map(lambda leaf: leaf, projection)
    assert repr(again) == repr(projection) and "2 areas of (5,)" in repr(projection)
    assert again.max_delay == 3
    assert isinstance(hash(jax.tree.structure(projection)), int)


BAD = [
    ({"rule": -0.5}, ValueError, r"rule must be in \[0, 1\], got -0.5"),
    ({"rule": 1.5}, ValueError, r"rule must be in \[0, 1\], got 1.5"),
    ({"rule": float("nan")}, ValueError, r"rule must be in \[0, 1\], got nan"),
    ({"rule": "0.1"}, TypeError, "rule must be a real number, got '0.1'"),
    (
        {"rule": evops.OneToOne()},
        TypeError,
        "rule must be a probability, FixedProbability or LfsrG",
    ),
    ({"weight": np.ones(3)}, ValueError, "weight must have 2 axes"),
    ({"weight": np.ones((0, 2))}, ValueError, "weight must have one area at least on each side"),
    ({"weight": np.ones((2, 0))}, ValueError, "weight must have one area at least on each side"),
    ({"weight": np.full((2, 2), np.nan)}, ValueError, "weight must not be NaN"),
    ({"weight": np.ones((2, 2), complex)}, TypeError, "weight must be real"),
    ({"weight": "strong"}, TypeError, "weight must be an array"),
    ({"delay": 1.5}, TypeError, r"delay must be integers \(steps\)"),
    ({"delay": -1}, ValueError, "delay must be from 0"),
    (
        {"delay": np.ones((3, 2), int)},
        ValueError,
        r"delay must be one integer or have shape \(2, 2\)",
    ),
    ({"delay": 7, "max_delay": 6}, ValueError, "delay must be at most max_delay = 6 steps, got 7"),
    ({"max_delay": 2**31 - 2}, ValueError, "slots times postsynaptic neurons"),
    ({"pre": 0}, ValueError, "pre must be an integer from 1"),
    ({"pre": ()}, ValueError, "weight must have 3 axes|pre must name at least one population"),
    ({"post": 2.5}, TypeError, "post must be an integer, got 2.5"),
    ({"seed": 2**64}, ValueError, "seed must be an integer from"),
    ({"seed": 1.5}, TypeError, "seed must be an integer"),
    ({"backend": "cuda"}, ValueError, "backend must be one of native, jnp, got 'cuda'"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_bad_construction(change, error, message):
    good = {"rule": 0.1, "weight": np.ones((2, 2)), "delay": 1, "pre": 5, "post": 4, "seed": 1}
    with pytest.raises(error, match=message):
        evops.MultiAreaProjection(**{**good, **change})


def test_bad_calls():
    projection = evops.MultiAreaProjection(0.1, np.ones((2, 2)), 4, pre=5, post=4, seed=1)
    buffer = projection.buffer()
    with pytest.raises(
        ValueError, match=r"spikes must have shape \(A_pre = 2, N_pre = 5\), got \(2, 4\)"
    ):
        projection(jnp.ones((2, 4), bool), buffer)
    with pytest.raises(
        ValueError, match="buffer must hold 8 neurons and delays of 4 steps, got 8 neurons and 3"
    ):
        projection(jnp.ones((2, 5), bool), evops.DelayBuffer.zeros(8, 3))
    with pytest.raises(ValueError, match="max_delay must be an integer from 0"):
        evops.DelayBuffer.zeros(8, -1)
    with pytest.raises(TypeError, match="seed must be known before compilation"):
        jax.jit(
            lambda s: (
                evops.MultiAreaProjection(0.1, np.ones((2, 2)), 1, pre=5, post=4, seed=s).weight
            )
        )(1)
