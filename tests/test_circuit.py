"""Circuits: projections between populations, pushed together."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
from test_delays import DELAYS, LAWS

RULES = (
    evops.FixedTotalNumber(300),
    evops.FixedProbability(0.05),
    evops.FixedInDegree(6),
    evops.FixedProbability(0.4, autapses=False),
    evops.LfsrGaps(0.1, hashed=True),
    evops.OneToOne(),  # from a population to itself
    evops.FixedOutDegree(9),
    evops.LfsrGaps(0.2, hashed=True),
    evops.FixedOutDegree(5, multapses=True),
    evops.FixedProbability(1e-3),
    evops.AllToAll(autapses=False),
)
SIZES = {"E": 40, "I": 15, "L": 25, "M": 30}


def circuit(backend=None):
    populations = evops.Populations({"E": 40, "I": 15, "L": 25})
    projections = {}
    for s, source in enumerate(populations.names):
        for t, target in enumerate(populations.names):
            shape = populations.size(source), populations.size(target)
            projections[source, target] = evops.Projection(
                evops.FixedTotalNumber(300), LAWS["each"], shape, seed=10 * s + t,
                delay=DELAYS["drawn"], backend=backend,
            )  # fmt: skip
    return evops.Circuit(populations, projections)


@pytest.mark.slow
def test_one_population_with_ranges_is_the_network_of_many_projections(backend, rng):
    """Same seeds and rules: equal edges and equal input, whichever way it is held."""
    whole = circuit(backend)
    p = whole.populations
    edges = whole.edges()
    assert len(edges.pre) == 9 * 300
    at = 0
    for (source, target), W in circuit(backend).projections.items():
        alone = W.edges()
        part = slice(at, at + len(alone.pre))
        np.testing.assert_array_equal(edges.pre[part] - p.offset(source), alone.pre)
        np.testing.assert_array_equal(edges.post[part] - p.offset(target), alone.post)
        np.testing.assert_array_equal(edges.weight[part], alone.weight)
        np.testing.assert_array_equal(edges.delay[part], alone.delay)
        at += len(alone.pre)
    spikes = jnp.asarray(rng.random((9, p.n)) < 0.2)

    def of_circuit(buffer, x):
        now, buffer = whole.push(x, buffer).pop(backend)
        return buffer, now

    def pair_by_pair(buffers, x):
        nows = {}
        for target in p.names:
            for source in p.names:
                W = whole.projections[source, target]
                buffers = {**buffers, target: W.push(x[p.slice(source)], buffers[target])}
            nows[target], buffers[target] = buffers[target].pop(backend)
        return buffers, jnp.concatenate([nows[k] for k in p.names])

    one = jax.lax.scan(of_circuit, whole.buffer(), spikes)[1]
    own = {k: evops.DelayBuffer.zeros(p.size(k), whole.max_delay) for k in p.names}
    many = jax.lax.scan(pair_by_pair, own, spikes)[1]
    assert np.asarray(one).any()
    np.testing.assert_allclose(one, many, rtol=1e-5, atol=1e-6)
    again = evops.Populations.from_ranges({"L": (55, 80), "E": (0, 40), "I": (40, 55)}, 80)
    assert again == p and hash(again) == hash(p) and "E" in repr(p)


def test_circuits_are_pytrees():
    c = circuit()
    doubled = jax.tree.map(lambda leaf: leaf * 2 if isinstance(leaf, float) else leaf, c)
    assert jax.tree.structure(doubled) == jax.tree.structure(c)
    x = jnp.ones(80, bool)
    push = jax.jit(lambda c, x: c.push(x, c.buffer()).sums)
    np.testing.assert_allclose(push(c, x), c.push(x, c.buffer()).sums, rtol=1e-6)


def test_edges_of_a_circuit_have_one_dtype():
    p = evops.Populations({"E": 4, "I": 2})
    assert len(evops.Circuit(p, {}).edges().pre) == 0
    whole, graded = (
        evops.Projection(evops.FixedOutDegree(1), weight, (4, 2), seed=1, delay=1)
        for weight in (np.int32(3), 0.5)
    )
    back = evops.Projection(evops.FixedOutDegree(1), np.int32(7), (2, 4), seed=2, delay=2)
    edges = evops.Circuit(p, {("E", "I"): graded, ("I", "E"): back}).edges()
    np.testing.assert_array_equal(edges.weight, np.float32([0.5] * 4 + [7] * 2))
    assert evops.Circuit(p, {("E", "I"): whole}).edges().weight.dtype == np.int32


def mixed(dtype=np.float32, backend=None, populations=4):
    """Every rule with every law and delay beside each other; some pairs are missing."""
    p = evops.Populations(dict(list(SIZES.items())[:populations]))
    pairs = [(s, t) for s in p.names for t in p.names if (s, t) not in {("I", "L"), ("M", "E")}]
    projections = {}
    for k, (source, target) in enumerate(pairs):
        laws = [
            evops.Constant(dtype(3)),
            evops.Normal(dtype(2), dtype(0.5)),
            evops.Uniform(dtype(1), dtype(2)),
        ]
        law = laws[0] if dtype is np.int32 else laws[k % 3]
        delay = [3, DELAYS["drawn"], 5, DELAYS["uniform"], evops.Uniform(2, 4)][k % 5]
        shape = p.size(source), p.size(target)
        projections[source, target] = evops.Projection(
            RULES[k % len(RULES)], law, shape, seed=k, delay=delay, backend=backend
        )
    return evops.Circuit(p, projections)


def pair_by_pair(c, x, buffer):
    for (source, target), W in c.projections.items():
        at = c.populations.offset(target)
        buffer = W.push(x[c.populations.slice(source)], buffer, post_offset=at)
    return buffer


@pytest.fixture
def firing(rng):
    return jnp.asarray(rng.random(sum(SIZES.values())) < 0.3)


@pytest.mark.thin(15)
@pytest.mark.parametrize("kind", ["float32", "int32", "graded"])
def test_what_is_pushed_together_is_what_is_pushed_pair_by_pair(kind, backend, firing):
    dtype = np.int32 if kind == "int32" else np.float32
    c = mixed(dtype, backend, populations=2 if (backend, kind) == ("jnp", "graded") else 4)
    firing = firing[: c.populations.n]
    x = firing.astype(np.float32) * 0.5 if kind == "graded" else firing
    together = c.push(x, c.buffer(dtype)).sums
    apart = pair_by_pair(c, x, c.buffer(dtype)).sums
    assert np.asarray(together).any(axis=1).sum() > 6  # arrivals at many steps
    if kind == "int32":
        np.testing.assert_array_equal(together, apart)
    else:
        np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-6)


def test_pairs_that_share_a_table_of_delays_have_their_own_shortest(backend):
    p = evops.Populations({"A": 5, "B": 5, "C": 70})
    projections = {
        (source, "C"): evops.Projection(
            evops.FixedProbability(0.4), 1.0, (5, 70), seed=first,
            delay=evops.Uniform(first, first + 3), backend=backend,
        )
        for source, first in (("A", 1), ("B", 4))
    }  # fmt: skip
    c = evops.Circuit(p, projections)
    x = jnp.arange(p.n) < 10
    sums = np.asarray(c.push(x, c.buffer()).sums)
    np.testing.assert_array_equal(sums, pair_by_pair(c, x, c.buffer()).sums)
    assert sums[1:8].any(axis=1).all()


def test_few_calls_push_all(backend, firing):
    """One for the published scheme (for each law of it), one for counted rules, one for all others."""
    c = mixed(backend=backend)
    text = str(jax.make_jaxpr(lambda c, x: c.push(x, c.buffer()).sums)(c, firing))
    assert text.count("evops_push[") == 3


@pytest.mark.slow
def test_derivatives_of_a_circuit_are_those_of_its_projections(backend, firing, rng):
    c = mixed(backend=backend, populations=2)
    x = firing[: c.populations.n].astype(np.float32)
    out = jnp.asarray(rng.standard_normal(c.buffer().sums.shape), jnp.float32)

    def loss(push, c, x):
        return (push(c, x, c.buffer()).sums * out).sum()

    together, apart = (
        jax.grad(lambda c, x, push=push: loss(push, c, x), argnums=(0, 1), allow_int=True)(c, x)
        for push in (evops.Circuit.push, pair_by_pair)
    )
    np.testing.assert_allclose(together[1], apart[1], rtol=1e-4, atol=1e-4)
    for pair, W in together[0].projections.items():
        for a, b in zip(
            *map(jax.tree.leaves, (W.law, apart[0].projections[pair].law)), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)
    tangents = [
        jax.jvp(lambda x, push=push: loss(push, c, x), (x,), (x + 1,))[1]
        for push in (evops.Circuit.push, pair_by_pair)
    ]
    np.testing.assert_allclose(*tangents, rtol=1e-4)


@pytest.mark.thin(2)
def test_batches_of_spikes_and_of_circuits(backend, firing):
    c = mixed(backend=backend, populations=2)
    firing = firing[: c.populations.n]
    many = jnp.stack([firing, ~firing])
    together = jax.vmap(lambda x: c.push(x, c.buffer()).sums)(many)
    for x, sums in zip(many, together, strict=True):
        np.testing.assert_allclose(sums, c.push(x, c.buffer()).sums, rtol=1e-6, atol=1e-6)
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(o) for o in leaves]), c, c)
    again = jax.vmap(lambda c: c.push(firing, c.buffer()).sums)(stacked)
    np.testing.assert_allclose(again[1], c.push(firing, c.buffer()).sums, rtol=1e-6, atol=1e-6)
    W = stacked.projections["E", "E"]
    assert W.indptr.shape == (2, SIZES["E"] + 1)


THREADS = """
import hashlib, os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cores}])  # before XLA counts them
import jax.numpy as jnp, numpy as np
import evops

p = evops.Populations({{str(k): 3000 for k in range(5)}})
rule, law = evops.FixedTotalNumber(400_000), evops.Normal(1.0, 0.2)
c = evops.Circuit(p, {{
    (s, t): evops.Projection(rule, law, (3000, 3000), seed=5 * int(s) + int(t), delay=evops.Uniform(1, 8))
    for s in p.names for t in p.names
}})
x = jnp.arange(p.n) % 7 == 0
print(hashlib.sha256(np.asarray(c.push(x, c.buffer()).sums).tobytes()).hexdigest())
"""


def test_threads_do_not_change_a_sum():
    """Targets are shared out among threads, always into as many parts: enough synapses for it."""
    programs = [THREADS.format(cores=cores) for cores in (1, 64)]
    env = {**os.environ, "EVOPS_BACKEND": "native"}
    one, all_there_are = (
        subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True)
        for program in programs
    )
    assert one.stdout == all_there_are.stdout and len(one.stdout) == 65


def test_projections_of_a_circuit_are_those_given():
    W = evops.Projection(evops.FixedTotalNumber(300), 1.0, (40, 15), seed=3, delay=2)
    c = evops.Circuit(evops.Populations({"E": 40, "I": 15}), {("E", "I"): W})
    again = c.projections["E", "I"]
    for a, b in zip(jax.tree.leaves(W), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    x = jnp.ones(40, bool)
    np.testing.assert_array_equal(x @ again, x @ W)
    with pytest.raises(TypeError, match="does not support item assignment"):
        c.projections["E", "I"] = W


def test_lines_in_many_parts_beside_lines_of_one_large_block():
    """1075 parts, and blocks of 2**22 targets: native only, in plain JAX a million steps."""
    rules = evops.FixedOutDegree(1_100_000, multapses=True), evops.FixedProbability(1e-5)
    p = evops.Populations({"A": 3, "B": 3, "C": 1_200_000})
    projections = {
        (source, "C"): evops.Projection(
            rule, 1.0, (3, p.size("C")), seed=seed, delay=1, backend="native"
        )
        for seed, source, rule in zip((1, 2), "AB", rules, strict=True)
    }
    c = evops.Circuit(p, projections)
    x = jnp.zeros(p.n, bool).at[4].set(True)
    sums = np.asarray(c.push(x, c.buffer()).sums)
    assert sums.sum() > 4
    np.testing.assert_array_equal(
        sums[1, p.slice("C")], (jnp.arange(3) == 1) @ projections["B", "C"]
    )
