"""Circuits that hold drawn and stored synapses, several projections of one pair, and receptors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

P = evops.Populations({"E": 40, "I": 15, "L": 25})
LAW = evops.Uniform(jnp.float32(0.5), jnp.float32(1.5))


def drawn(source, target, seed, rule=None, dtype=np.float32, backend=None):
    law = LAW if dtype == np.float32 else evops.Constant(dtype(seed))
    rule = rule or evops.FixedProbability(0.3)
    shape = P.size(source), P.size(target)
    return evops.Projection(rule, law, shape, seed=seed, delay=evops.Uniform(1, 6), backend=backend)


def stored(source, target, seed, dtype=np.float32, delay="each", backend=None):
    rng = np.random.default_rng(seed)
    shape = P.size(source), P.size(target)
    pre, post = (rng.integers(0, k, 60) for k in shape)
    weight = rng.integers(1, 9, 60).astype(dtype)
    delay = rng.integers(1, 8, 60) if delay == "each" else 4
    return evops.CSR.from_edges(pre, post, weight, shape=shape, delay=delay, backend=backend)


def circuit(dtype=np.float32, backend=None):
    total, gaps = evops.FixedTotalNumber(200), evops.FixedProbability(0.05)
    make = {"dtype": dtype, "backend": backend}
    return evops.Circuit(
        P,
        {
            ("E", "E"): drawn("E", "E", 1, **make),
            ("E", "E", "nmda"): drawn("E", "E", 2, **make),
            ("E", "E", "gaba"): drawn("E", "E", 3, total, **make),
            ("E", "E", "list"): stored("E", "E", 4, **make),
            ("I", "E"): stored("I", "E", 5, delay="one", **make),
            ("I", "E", "nmda"): stored("I", "E", 6, **make),
            ("L", "I", "nmda"): drawn("L", "I", 7, gaps, **make),
            ("E", "L", "gaba"): drawn("E", "L", 8, total, **make),
            ("E", "L"): drawn("E", "L", 9, **make),
        },
    )


def one_by_one(c, x, buffer, only=lambda key: True):
    for key, W in c.projections.items():
        if only(key):
            source, target = key[:2]
            buffer = W.push(x[P.slice(source)], buffer, post_offset=P.offset(target))
    return buffer


@pytest.fixture
def x(rng):
    return jnp.asarray(rng.random(P.n) < 0.4)


@pytest.mark.thin(2)
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_what_is_pushed_together_is_what_is_pushed_one_by_one(dtype, backend, x):
    c = circuit(dtype, backend)
    together = np.asarray(c.push(x, c.buffer(dtype)).sums)
    apart = one_by_one(c, x, c.buffer(dtype)).sums
    assert together.any(axis=1).sum() >= 6
    if dtype == np.int32:
        np.testing.assert_array_equal(together, apart)
    else:
        np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-5 * np.abs(apart).max())


def test_every_receptor_has_its_buffer(backend, x):
    c = circuit(backend=backend)
    named = evops.Circuit(P, {key: W for key, W in c.projections.items() if len(key) == 3})
    assert named.receptors == ("nmda", "gaba", "list")
    buffers = named.push(x, named.buffers())
    assert list(buffers) == ["nmda", "gaba", "list"]
    for name, buffer in buffers.items():
        want = one_by_one(named, x, named.buffer(), lambda key, name=name: key[2] == name).sums
        np.testing.assert_allclose(buffer.sums, want, rtol=1e-5, atol=1e-5)
    now, after = named(x, named.buffers())
    for name in named.receptors:
        arriving, left = buffers[name].pop()
        np.testing.assert_array_equal(now[name], arriving)
        np.testing.assert_array_equal(after[name].sums, left.sums)
    other = evops.DelayBuffer.zeros(3, 2)
    assert named.push(x, {**named.buffers(), "other": other})["other"] is other


def test_few_calls_push_all(backend, x):
    """However many projections there are: one for stored ones, and one for each kind of drawn ones."""
    c = circuit(backend=backend)
    text = str(jax.make_jaxpr(lambda c, x: c.push(x, c.buffer()).sums)(c, x))
    assert text.count("evops_push[") == 2 and text.count("evops_stored_push[") == 1
    assert "concatenate" not in text.split("evops_stored_push[")[0].rsplit("evops_push[", 1)[-1]
    several = {("E", "E", str(k)): stored("E", "E", k, backend=backend) for k in range(9)}
    several |= {("E", "I", str(k)): drawn("E", "I", k, backend=backend) for k in range(9)}
    c = evops.Circuit(P, several)
    text = str(jax.make_jaxpr(lambda c, x: c.push(x, c.buffer()).sums)(c, x))
    assert text.count("evops_push[") == text.count("evops_stored_push[") == 1


def test_edges_of_all_projections(x):
    c = circuit()
    edges = c.edges()
    at = 0
    for key, W in c.projections.items():
        alone = W.edges()
        part = slice(at, at + len(alone.pre))
        at = part.stop
        np.testing.assert_array_equal(edges.pre[part] - P.offset(key[0]), alone.pre)
        np.testing.assert_array_equal(edges.post[part] - P.offset(key[1]), alone.post)
        np.testing.assert_array_equal(edges.weight[part], alone.weight)
        np.testing.assert_array_equal(edges.delay[part], alone.delay)
    assert at == len(edges.pre)


@pytest.mark.slow
def test_derivatives_are_those_of_the_projections(backend, x, rng):
    c = circuit(backend=backend)
    x = x.astype(np.float32)
    out = jnp.asarray(rng.standard_normal(c.buffer().sums.shape), jnp.float32)

    def loss(push, c, x):
        return (push(c, x, c.buffer()).sums * out).sum()

    together, apart = (
        jax.grad(lambda c, x, push=push: loss(push, c, x), argnums=(0, 1), allow_int=True)(c, x)
        for push in (evops.Circuit.push, one_by_one)
    )
    np.testing.assert_allclose(together[1], apart[1], rtol=1e-4, atol=1e-4)
    for key, W in together[0].projections.items():
        other = apart[0].projections[key]
        pairs = [(W.data, other.data)] if isinstance(W, evops.CSR) else [(W.law.low, other.law.low)]
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


@pytest.mark.thin(2)
def test_batches_of_spikes_and_of_circuits(backend, x):
    c = circuit(backend=backend)
    many = jnp.stack([x, ~x])
    together = jax.vmap(lambda x: c.push(x, c.buffer()).sums)(many)
    for own, sums in zip(many, together, strict=True):
        np.testing.assert_allclose(sums, c.push(own, c.buffer()).sums, rtol=1e-5, atol=1e-5)
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(o) for o in leaves]), c, c)
    again = jax.vmap(lambda c: c.push(x, c.buffer()).sums)(stacked)
    np.testing.assert_allclose(again[1], c.push(x, c.buffer()).sums, rtol=1e-5, atol=1e-5)


def test_a_circuit_of_stored_synapses_alone(backend, x):
    c = evops.Circuit(P, {("I", "E"): stored("I", "E", 5, backend=backend)})
    np.testing.assert_allclose(c.push(x, c.buffer()).sums, one_by_one(c, x, c.buffer()).sums)
    assert "I to E" in repr(c) and "nmda" in repr(circuit())


def test_wrong_circuits(x):
    W, S = drawn("I", "E", 1), stored("I", "E", 1)
    plain = evops.CSR(S.data, S.indices, S.indptr, shape=S.shape)
    for projections, error, message in [
        ({("I", "E"): plain}, ValueError, r"projections\['I', 'E'\] has no delays"),
        ({("I", "L"): S}, ValueError, r"projections\['I', 'L'\] must have shape \(15, 25\), got \(15, 40\)"),
        ({("I", "E", 3): S}, TypeError, r"projections must have keys \(source, target\), got \('I', 'E', 3\); or"),
        ({("I",): S}, TypeError, r"projections must have keys \(source, target\), got"),
        ({("I", "E", "a", "b"): S}, TypeError, r"projections must have keys \(source, target\), got"),
        ({("I", "E", "a"): 3}, TypeError, r"projections\['I', 'E', 'a'\] must be a Projection or a CSR, got 3"),
    ]:  # fmt: skip
        with pytest.raises(error, match=message):
            evops.Circuit(P, projections)
    c = evops.Circuit(P, {("I", "E", "a"): S, ("I", "E", "b"): W})
    with pytest.raises(ValueError, match="buffers lack receptor 'b', that of projections"):
        c.push(x, {"a": c.buffer()})
    with pytest.raises(TypeError, match="buffer must be a DelayBuffer"):
        c.push(x, {"a": c.buffer(), "b": 3})
    nameless = evops.Circuit(P, {("I", "E"): S, ("I", "E", "b"): W})
    with pytest.raises(ValueError, match="names no receptor: give it a key"):
        nameless.push(x, nameless.buffers())
    same = evops.Circuit(P, {("I", "E", "a"): W, ("I", "E", "b"): S})
    assert same.receptors == ("a", "b")
    with pytest.warns(evops.EvopsConnectivityWarning, match="have one seed"):
        evops.Circuit(P, {("I", "E", "a"): W, ("I", "E", "b"): W})
