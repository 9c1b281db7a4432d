"""`FixedProbability` of a kernel: the same synapses everywhere, with the probabilities of the kernel."""

import dataclasses
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
import oracle_distances
from bits import check_synapses
from chance import check_binomial, check_spread
from evops import masks
from evops.connectivity import distance_tables

SEED = 0x1234567890ABCDEF


def points(n, axes, seed=0):
    return np.random.default_rng(seed).random((n, axes))


def sides(axes, periodic=None, n=(23, 611)):
    return tuple(evops.Positions(points(size, axes, k), periodic) for k, size in enumerate(n))


@dataclasses.dataclass(frozen=True)
class Case:
    kernel: evops.Kernel
    sides: tuple
    autapses: bool = True
    allowed: object = None


GRID = evops.Grid((12, 13), spacing=0.25)
CASES = {
    "a square": Case(evops.Gaussian(0.1, 0.8), sides(2)),
    "a torus": Case(evops.Gaussian(0.1, 0.7, cutoff=0.3), sides(2, 1.0)),
    "a line": Case(evops.Exponential(0.03), sides(1)),
    "a ring": Case(evops.Exponential(0.05, 0.5), sides(1, 0.7)),
    "space": Case(evops.Gamma(2.0, 0.07, scale=0.1), sides(3)),
    "a tube": Case(evops.Box(0.3, 0.4), sides(3, (None, 1.0, None))),
    "a cut-off of more than the period": Case(evops.Gaussian(0.5, 0.3), sides(2, (0.5, None))),
    "jumps": Case(
        evops.Table((0, 0.1, 0.1, 0.2, 0.2, 0.3), (1, 0.7, 0.1, 0.9, 0.0, 0.3)), sides(2)
    ),
    "certain, no autapses": Case(evops.Box(0.3), (GRID, GRID), autapses=False),
    "p_min": Case(evops.Gaussian(0.2, 0.9, p_min=0.4), sides(2)),
    "a ball elsewhere": Case(
        evops.Box(peak=0.5, mask=masks.Ball(0.25, center=(0.2, 0.1))),
        sides(2),
        allowed=lambda by, unit: math.dist(by, (0.2 / unit, 0.1 / unit)) <= 0.25 / unit,
    ),
}


def table_of(case):
    table = distance_tables.table_of(case.kernel, case.sides[0].axes)
    words = ("breaks", "slots", "knots")
    return {k: [int(w) for w in getattr(table, k)] for k in words} | {
        "unit": table.unit,
        "least": table.least,
    }


@pytest.fixture(params=CASES, scope="module")
def case(request):
    case = CASES[request.param]
    table = table_of(case)
    allowed = case.allowed and (lambda by: case.allowed(by, table["unit"]))
    pre, post = (side.coordinates.tolist() for side in case.sides)
    found = oracle_distances.edges(
        SEED, pre, post, case.sides[0].periods, table, case.autapses, allowed
    )
    want = np.zeros([len(side) for side in case.sides], int)
    want[tuple(np.array(sorted(found)).T)] = 1
    assert 0 < want.sum() < want.size / 2
    return case, want


def project(case, backend, law=1.0, **more):
    rule = evops.FixedProbability(case.kernel, autapses=case.autapses)
    return evops.Projection(rule, law, case.sides, seed=SEED, backend=backend, **more)


@pytest.mark.thin(3)
@pytest.mark.parametrize("x64", [False, True])
def test_equal_edges(case, backend, x64):
    case, want = case
    with jax.enable_x64(x64):
        W = project(case, backend)
        check_synapses(W, want)
        spikes = jnp.arange(want.shape[0]) % 3 == 0
        np.testing.assert_array_equal(spikes @ W, want[::3].sum(0))


def test_each_pair_has_the_probability_of_the_kernel(backend):
    """Over many seeds: the number of synapses of every pair."""
    x, y = evops.Positions(points(12, 2, 1)), evops.Positions(points(15, 2, 2))
    kernel, seeds = evops.Gaussian(0.25, 0.9), 4000
    rule = evops.FixedProbability(kernel)

    @jax.jit
    def count(seed):
        W = evops.Projection(rule, 1.0, (x, y), seed=seed, backend=backend)
        return jnp.eye(12, dtype=bool) @ W

    found = sum(
        np.asarray(jax.vmap(count)(jnp.arange(k, k + 500))).sum(0) for k in range(0, seeds, 500)
    )
    i, j = np.indices(found.shape)
    p = kernel(x.distances(i, y, j))
    z = (found - seeds * p) / np.sqrt(seeds * p * (1 - p))
    check_spread((z[p > 0.01] ** 2).sum(), int((p > 0.01).sum()))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_counts_by_distance(axes):
    """Of many pairs: totals in bins of distance, in and out of the middle of a torus."""
    n = 3000
    x = evops.Positions(points(n, axes, 5), 1.0)
    kernel = evops.Exponential(0.08, 0.6, cutoff=0.45)
    W = evops.Projection(evops.FixedProbability(kernel), 1.0, (x, x), seed=11)
    edges = W.edges()
    d = x.distances(np.asarray(edges.pre), x, np.asarray(edges.post))
    assert d.max() <= 0.45 * (1 + 2**-14)
    bins = np.linspace(0, 0.45, 31)
    mean, variance = np.zeros((2, 30))
    for i in range(n):
        every = x.distances(i, x, np.arange(n))
        p = kernel(every)
        at = np.digitize(every, bins) - 1
        mean += np.bincount(np.clip(at, 0, 29), p, 30)
        variance += np.bincount(np.clip(at, 0, 29), p * (1 - p), 30)
    found = np.histogram(np.minimum(d, 0.4499999), bins)[0]
    some = variance > 50
    check_spread((((found - mean) ** 2) / np.maximum(variance, 1e-9))[some].sum(), int(some.sum()))
    # A bin of the expected number: rules say about how many synapses there are.
    assert abs(W.rule.expected_synapses(W.shape) / mean.sum() - 1) < 0.2


def test_rows_and_seeds_are_independent():
    x = evops.Positions(np.zeros((2000, 2)))  # all pairs have p = 0.5
    rule = evops.FixedProbability(evops.Box(1.0, 0.5))
    one, other = (np.asarray(evops.Projection(rule, 1.0, (x, x), seed=s).todense()) for s in (1, 2))
    check_binomial(int(one.sum()), one.size, 0.5)
    check_binomial(int((one == other).sum()), one.size, 0.5)
    check_binomial(int((one[1:] == one[:-1]).sum()), one[1:].size, 0.5)
    check_binomial(int((one[:, 1:] == one[:, :-1]).sum()), one[:, 1:].size, 0.5)
    check_binomial(int((one == one.T).sum() - 2000) // 2, 2000 * 1999 // 2, 0.5)


def test_more_neurons_keep_the_synapses(backend):
    many = points(900, 2, 3)
    rule = evops.FixedProbability(evops.Gaussian(0.1, 0.7))
    small, large = (
        evops.Projection(
            rule,
            1.0,
            (evops.Positions(many[:a]), evops.Positions(many[:b])),
            seed=4,
            backend=backend,
        ).todense()
        for a, b in ((40, 300), (60, 900))
    )
    np.testing.assert_array_equal(large[:40, :300], small)


def test_moved_together_they_keep_the_synapses():
    """Displacements count, not places: by whole units, since others are rounded anew."""
    kernel = evops.Gaussian(0.1, 0.7, cutoff=0.5)
    unit, at = 0.5 / 2**15, np.round(points(300, 2) * 2**15) / 2**16
    rule = evops.FixedProbability(kernel)
    here, there = (
        evops.Projection(rule, 1.0, (evops.Positions(at + by),) * 2, seed=4).todense()
        for by in (0, 12345 * unit)
    )
    np.testing.assert_array_equal(here, there)


def test_what_is_stored_and_pushed_is_what_is_drawn(backend):
    x, y = sides(2, 1.0, (300, 400))
    rule = evops.FixedProbability(evops.Gaussian(0.08, 0.9), autapses=False)
    delay = evops.Uniform(1, 9)
    W = evops.Projection(rule, evops.Normal(1, 0.2), (x, y), seed=1, delay=delay, backend=backend)
    S = evops.Synapses(rule, evops.Normal(1, 0.2), (x, y), seed=1, delay=delay, backend=backend)
    np.testing.assert_allclose(S.todense(), W.todense(), rtol=1e-6)
    spikes = jnp.arange(300) % 7 == 0
    buffers = [M.push(spikes, evops.DelayBuffer.zeros(400, 9)) for M in (W, S)]
    np.testing.assert_allclose(buffers[0].sums, buffers[1].sums, rtol=1e-5, atol=1e-6)
    V = W.with_weights(0.5)
    np.testing.assert_allclose(spikes @ V, spikes @ S.with_weights(0.5), rtol=1e-6)
    gradient = jax.grad(lambda mean: (spikes @ W_of(mean)).sum())

    def W_of(mean):
        law = evops.Normal(mean, 0.2)
        return evops.Projection(rule, law, (x, y), seed=1, backend=backend)

    counts = np.asarray(S.out_degree())[np.asarray(spikes)].sum()
    np.testing.assert_allclose(gradient(1.0), counts, rtol=1e-6)


def test_circuits_hold_rules_of_distance(backend):
    p = evops.Populations({"E": 200, "I": 60})
    at = {"E": evops.Positions(points(200, 2)), "I": evops.Positions(points(60, 2, 1))}
    kernel = evops.FixedProbability(evops.Gaussian(0.2, 0.5))
    wide = evops.FixedProbability(evops.Box(0.4, 0.3), autapses=False)

    def pair(source, target, rule, seed):
        shape = at[source], at[target]
        options = {"delay": evops.Uniform(1, 5), "backend": backend}
        return evops.Projection(rule, jnp.int32(2), shape, seed=seed, **options)

    projections = {
        ("E", "I"): pair("E", "I", kernel, 1),
        ("E", "E"): pair("E", "E", wide, 2),
        ("I", "E"): pair("I", "E", evops.FixedProbability(evops.Box(0.3, 0.3)), 3),
        ("I", "I"): pair("I", "I", evops.FixedProbability(0.2), 4),
    }
    circuit = evops.Circuit(p, projections)
    spikes = jnp.arange(260) % 4 == 0
    buffer = circuit.push(spikes, circuit.buffer(jnp.int32))
    want = np.zeros(buffer.sums.shape, int)
    for (source, target), W in projections.items():
        alone = evops.DelayBuffer.zeros(W.shape[1], W.max_delay, jnp.int32)
        sums = W.push(spikes[p.slice(source)], alone).sums
        want[: len(sums), p.slice(target)] += np.asarray(sums)
    np.testing.assert_array_equal(buffer.sums, want)


GOLDEN = json.loads((Path(__file__).parent / "golden" / "distances.json").read_text())


@pytest.mark.parametrize("name", GOLDEN["cases"])
def test_golden_edges(name, backend):
    """A change here is a change of every user's network: a new SAMPLER_VERSION."""
    assert GOLDEN["sampler_version"] == evops.SAMPLER_VERSION
    law, delay = evops.Normal(0.0, 1.0), evops.Normal(15, 7.5, low=1)
    edges = project(CASES[name], backend, law, delay=delay).edges()
    order = np.lexsort((edges.post, edges.pre))[:40]
    for part, want in GOLDEN["cases"][name].items():
        got = np.asarray(getattr(edges, part))[order]
        np.testing.assert_allclose(got, np.array(want, got.dtype), rtol=1e-6, atol=1e-6)
