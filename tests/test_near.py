"""Exact numbers of synapses in proportion to a kernel of distance: stored rules."""

import ctypes
import dataclasses
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

import evops
from chance import check_binomial, check_chi2, check_spread
from evops import masks
from evops.connectivity import near
from evops.engine import library
from evops.engine import near as engine

OUT, IN, TOTAL = evops.FixedOutDegree, evops.FixedInDegree, evops.FixedTotalNumber
GAUSSIAN = evops.Gaussian(0.1)


def points(n, axes=2, seed=0):
    return np.random.default_rng(seed).random((n, axes))


SQUARE = evops.Positions(points(60)), evops.Positions(points(80, seed=1))
TUBE = (evops.Positions(points(90, 3), (1.0, None, 0.8)),) * 2
RING = masks.Doughnut(0.1, 0.4) - masks.Box(0, 0.5, angle=20)
RISING = evops.Table((0, 0.2, 0.2, 0.5, 1.5), (0.1, 0.05, 1.0, 0.9, 0.1))
RULES = {
    "out": (OUT(30, multapses=True, p=GAUSSIAN), SQUARE),
    "out, without multapses": (OUT(30, p=GAUSSIAN), SQUARE),
    "in": (IN(20, p=evops.Exponential(0.05)), SQUARE),
    "in, without multapses": (IN(20, p=evops.Exponential(0.05), multapses=False), SQUARE),
    "total": (TOTAL(2000, p=evops.Gamma(2.0, 0.1)), SQUARE),
    "total, without multapses": (TOTAL(900, p=GAUSSIAN, multapses=False), SQUARE),
    "a mask, no autapses": (
        OUT(9, p=evops.Gaussian(0.2, mask=RING), multapses=True, autapses=False),
        TUBE,
    ),
    "a mask, in": (IN(9, p=evops.Gaussian(0.2, mask=RING), autapses=False), TUBE),
    "one number for each": (
        OUT(tuple(i % 7 for i in range(90)), p=evops.Box(0.5), autapses=False),
        TUBE,
    ),
    "jumps, all": (
        OUT(40, p=evops.Table((0, 0.2, 0.2, 0.5), (1, 0.4, 0.9, 0.1)), shortfall="take all"),
        TUBE,
    ),
    "pairs": (TOTAL(2000, p=GAUSSIAN, given="pair"), SQUARE),
    "pairs, a mask, no autapses": (
        TOTAL(700, p=evops.Gaussian(0.2, mask=RING), given="pair", autapses=False),
        TUBE,
    ),
    "pairs, without multapses": (
        TOTAL(900, p=evops.Gamma(2.0, 0.1), given="pair", multapses=False),
        SQUARE,
    ),
    "narrow": (OUT(12, p=evops.Gaussian(0.002)), SQUARE),
}


def synapses(rule, shape, seed=3, backend="jnp", **more):
    return evops.Synapses(rule, 1.0, shape, seed=seed, backend=backend, **more)


def matrix(S):
    counts = np.zeros(S.shape, int)
    np.add.at(counts, (np.asarray(S.pre_ids), np.asarray(S.post_ids)), 1)
    return counts


@pytest.mark.parametrize("name", RULES)
def test_backends_store_the_same_synapses(name):
    rule, shape = RULES[name]
    native, plain = (synapses(rule, shape, backend=b) for b in ("native", "jnp"))
    np.testing.assert_array_equal(native.indptr, plain.indptr)
    np.testing.assert_array_equal(native.indices, plain.indices)


@pytest.mark.parametrize("name", RULES)
def test_numbers_repeats_and_autapses(name):
    rule, shape = RULES[name]
    counts = matrix(synapses(rule, shape, backend="native"))
    k = np.broadcast_to(rule.k, (len(shape[0]),)) if isinstance(rule, OUT) else rule.k
    if name == "jumps, all":
        assert (counts.sum(1) <= 40).all() and counts.sum(1).min() < 40
    elif isinstance(rule, TOTAL):
        assert counts.sum() == rule.k
    else:
        np.testing.assert_array_equal(counts.sum(int(isinstance(rule, OUT))), k)
    assert rule.multapses or counts.max() == 1
    assert rule.autapses or not np.diagonal(counts).any()


GOLDEN = json.loads((Path(__file__).parent / "golden" / "near.json").read_text())


@pytest.mark.parametrize("name", GOLDEN["cases"])
def test_golden_synapses(name):
    """A change here is a change of every user's network: a new SAMPLER_VERSION."""
    assert GOLDEN["sampler_version"] == evops.SAMPLER_VERSION
    S = synapses(*RULES[name], backend="native")
    pairs = np.stack([S.pre_ids, S.post_ids])[:, :40]
    assert pairs.tolist() == GOLDEN["cases"][name]


def distances(shape):
    i, j = np.indices([len(side) for side in shape])
    return shape[0].distances(i, shape[1], j), shape[0].displacements(i, shape[1], j)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("kernel", [GAUSSIAN, evops.Gaussian(0.3, mask=RING), RISING], ids=repr)
def test_partners_are_in_proportion_to_the_kernel(kernel, backwards):
    rule = (IN if backwards else OUT)(4000, multapses=True, p=kernel)
    counts = matrix(synapses(rule, SQUARE, backend="native"))
    d, by = distances(SQUARE)
    weight = kernel(d) * (1 if kernel.mask is None else kernel.mask.contains(by))
    axis = int(not backwards)
    expected = 4000 * weight / weight.sum(axis, keepdims=True)
    some = expected > 5
    z = (counts - expected)[some] ** 2 / expected[some]
    # Pairs of too small a number count together, a class for each neuron.
    rest = np.where(some, 0, expected).sum(axis), np.where(some, 0, counts).sum(axis)
    many = rest[0] > 5
    z = np.concatenate([z, (rest[1] - rest[0])[many] ** 2 / rest[0][many]])
    check_spread(z.sum(), z.size - counts.shape[1 - axis])


def test_one_far_away_keeps_its_whole_law():
    """At 300 deviations from everybody: weights of 2**-60000, whose ratios are what counts."""
    y = evops.Positions([[0.0, 0.0], [0.001, 0.0], [0.0, 0.002], [-0.003, 0.0], [0.1, 0.1]])
    x = evops.Positions([[30.0, 0.0], [0.0, 0.0]])
    counts = matrix(synapses(OUT(30_000, multapses=True, p=GAUSSIAN), (x, y), backend="native"))
    d, _ = distances((x, y))
    log = -(d**2) / (2 * 0.1**2)
    weight = np.exp(log - log.max(1, keepdims=True))
    expected = 30_000 * weight / weight.sum(1, keepdims=True)
    assert expected[0, 4] > 29_000  # the nearest
    for i, some in ((0, [4]), (1, [0, 1, 2, 3, 4])):
        if len(some) > 1:
            check_chi2(counts[i, some], expected[i, some])
        assert abs(counts[i, some[0]] - expected[i, some[0]]) < 6 * math.sqrt(30_000)


def test_without_multapses_partners_are_drawn_one_after_another():
    """Successive sampling: probabilities of all ordered choices of two and of three among five."""
    y = evops.Positions([[0.0], [0.05], [0.12], [0.2], [0.33]])
    many = evops.Positions(np.zeros((30_000, 1)))
    weight = np.exp(-(y.coordinates[:, 0] ** 2) / (2 * 0.1**2))
    for k in (2, 3):
        S = synapses(OUT(k, p=GAUSSIAN), (many, y), backend="native")
        found = np.asarray(S.indices).reshape(-1, k)
        counts, expected = [], []
        for chosen in itertools.permutations(range(5), k):
            left, p = weight.sum(), 1.0
            for j in chosen:
                p, left = p * weight[j] / left, left - weight[j]
            counts.append((found == chosen).all(1).sum())
            expected.append(30_000 * p)
        counts, expected = np.array(counts), np.array(expected)
        some = expected > 60
        rest = [30_000 - a[some].sum() for a in (counts, expected)]
        check_chi2([*counts[some], rest[0]], [*expected[some], rest[1]])


def test_totals_are_uniform_over_pre_neurons():
    counts = matrix(synapses(TOTAL(60_000, p=GAUSSIAN), SQUARE, backend="native"))
    check_chi2(counts.sum(1), np.full(60, 1000))


def test_distances_of_a_large_network():
    """The law of the loop with ``random.choices``: bins of distance of all synapses."""
    n = 3000
    x = evops.Positions(np.random.default_rng(3).normal(size=(n, 2)) * 1000)
    S = synapses(OUT(50, multapses=True, p=evops.Gaussian(350.0)), (x, x), backend="native")
    bins = np.linspace(0, 1200, 25)
    d = x.distances(np.asarray(S.pre_ids), x, np.asarray(S.post_ids))
    expected = np.zeros(24)
    variance = np.zeros(24)
    for i in range(n):
        every = x.distances(i, x, np.arange(n))
        p = np.exp(-(every**2) / (2 * 350.0**2))
        share = np.histogram(every, bins, weights=p / p.sum())[0]
        expected += 50 * share
        variance += 50 * share * (1 - share)
    found = np.histogram(d, bins)[0]
    check_spread(((found - expected) ** 2 / variance).sum(), 24)


def test_rows_are_independent():
    """Neurons at one place draw apart from each other, and seeds too."""
    x, y = evops.Positions(np.zeros((2000, 1))), evops.Positions([[0.0], [0.0]])
    rule = OUT(1, multapses=True, p=GAUSSIAN)
    one, other = (np.asarray(synapses(rule, (x, y), s).indices) for s in (1, 2))
    check_binomial(int(one.sum()), 2000, 0.5)
    check_binomial(int((one == other).sum()), 2000, 0.5)
    check_binomial(int((one[1:] == one[:-1]).sum()), 1999, 0.5)


def test_laws_and_delays_of_stored_pairs():
    rule, shape = RULES["out"]
    law, delay = evops.Normal(1.0, 0.2), evops.Uniform(1, 9)
    S = evops.Synapses(rule, law, shape, seed=3, delay=delay)
    np.testing.assert_array_equal(S.indices, synapses(rule, shape).indices)
    assert 0.9 < float(S.data.mean()) < 1.1 and S.max_delay == 9


@pytest.mark.parametrize("backend", ["native", "jnp"])
def test_too_few_partners(backend):
    x, y = evops.Positions([[0.0], [5.0], [0.1]]), evops.Positions([[0.0], [0.2], [0.3]])
    near = evops.Gaussian(0.1, cutoff=1.0)
    for rule, match in (
        (OUT(2, p=near), "pre neuron 1 has no possible post neuron, and k is 2; shortfall"),
        (OUT(2, p=near, multapses=True), "pre neuron 1 has no possible post neuron, and k is 2$"),
        (OUT((4, 0, 0), p=near), "pre neuron 0 has only 3 possible post neurons, and k is 4"),
        (IN(3, p=near, multapses=False), "post neuron 0 has only 2 possible pre neurons"),
    ):
        with pytest.raises(ValueError, match=match):
            synapses(rule, (x, y), backend=backend)
    S = synapses(OUT(4, p=near, shortfall="take all"), (x, y), backend=backend)
    np.testing.assert_array_equal(matrix(S), [[1, 1, 1], [0, 0, 0], [1, 1, 1]])


def test_bad_input():
    flat = evops.Positions(np.zeros((3, 2)))
    for make, error, match in (
        (lambda: OUT(-1, p=GAUSSIAN), ValueError, "k must be an integer from 0"),
        (lambda: OUT((1, 2.5), p=GAUSSIAN), TypeError, r"k\[1\] must be an integer"),
        (lambda: OUT((1, 2)), TypeError, "k must be an integer"),
        (lambda: OUT(2, p=0.5), TypeError, "p must be a kernel or a function of distance"),
        (lambda: OUT(2, p=GAUSSIAN, shortfall="none"), ValueError, "shortfall must be one of"),
        (lambda: OUT(2, shortfall="take all"), ValueError, "shortfall must be 'error'"),
        (lambda: synapses(OUT(2, p=GAUSSIAN), (3, 3)), ValueError, "shape must be a pair of evops"),
        (lambda: synapses(OUT((1, 2), p=GAUSSIAN), (flat, flat)), ValueError, "each of 3 neurons"),
        (lambda: TOTAL((1, 2), p=GAUSSIAN), TypeError, "k must be an integer"),
        (lambda: IN([], p=GAUSSIAN), ValueError, "k must be a number, or one for each neuron"),
        (lambda: synapses(OUT(2, p=lambda d: 1 / (1 + d)), (flat, flat)), ValueError, "a cutoff"),
        *(
            (
                lambda f=f: synapses(IN(2, p=evops.FunctionKernel(f, cutoff=1)), (flat, flat)),
                ValueError,
                "must be finite and at least 0 at every distance, got",
            )
            for f in (lambda d: -d, lambda d: d * np.nan, lambda d: 1 - 2 * d)
        ),
        (
            lambda: evops.Projection(OUT(2, p=GAUSSIAN), 1.0, (flat, flat), seed=1),
            ValueError,
            "store it with evops.Synapses",
        ),
        (
            lambda: synapses(OUT(2, p=evops.Gaussian(0.1)), (evops.Positions([[1e9, 0]]), flat)),
            ValueError,
            "coordinates of the pre neurons must be within",
        ),
    ):
        with pytest.raises(error, match=match):
            make()


def changed(of, **fields):
    return dataclasses.replace(of, table=dataclasses.replace(of.table, **fields))


def test_the_library_refuses_what_is_out_of_range():
    """Tables and orders that lead outside arrays, degrees below 0, and sizes that are none."""
    call = library.loaded().evops_draw_near
    assert call(ctypes.byref(engine._Request())) == 1
    rule = RULES["out"][0].placed(*SQUARE)
    of = near.near_of(*SQUARE, rule.kernel, 3, backwards=False, autapses=True)
    k, words, more = np.full(60, 3), (np.uint32(1), np.uint32(2)), {"role": 1, "multapses": True}
    assert engine.partners(of, k, words, **more)[1].size == 180
    wrong = [
        changed(of, begins=of.table.begins + 2**40),
        changed(of, begins=of.table.begins - 1),
        changed(of, bits=of.table.bits + np.uint64(1)),
        changed(of, furthest=2**63),
        changed(of, furthest=of.table.furthest * 4),
        changed(of, knots=of.table.knots[:1]),
        changed(of, bounds=of.table.bounds[:0]),
    ]
    for other in wrong:
        with pytest.raises(ValueError, match="cannot be drawn: out of range"):
            engine.partners(other, k, words, **more)
    with pytest.raises(ValueError, match="cannot be drawn: out of range"):
        engine.partners(of, np.full(60, 3) - 4 * (np.arange(60) == 7), words, **more)
