"""Rules against those of NEST and BrainPy: their networks, as measured by `peers/`, and ours.

The record is `golden/peers.json`, or the file that EVOPS_PEERS names: `.ci/full peers` makes one
anew. Each comparison fails by chance with probability `chance.share`, 5 in 10**10. All of them here
are 200 at most, so together they do once in 10 million records. Exact comparisons never do.

Counts of degrees, pairs and distances are compared bin by bin: squares of differences over their
variances, were the counts independent and Poisson. Those of a network vary less, as their sums are
fixed or their parts exclude each other. So the bound is safe, and only the upper end is tested.
Degrees of a graph depend on each other: there, numbers of whole networks are compared.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import evops
from chance import check_binomial, share
from evops import masks
from peers import compared
from peers.compared import (
    CASES,
    EXTENT,
    GRID,
    GRID_SIGMA,
    KAPPA,
    PEAK,
    SCALE,
    SIGMA,
    THETA,
    TOTAL,
    K,
    P,
)

RECORD = json.loads(
    Path(os.environ.get("EVOPS_PEERS", Path(__file__).parent / "golden" / "peers.json")).read_text()
)
SEED = 7_000
PROBABILITY, OUT, IN = evops.FixedProbability, evops.FixedOutDegree, evops.FixedInDegree
TORUS = evops.Positions(compared.places("torus"), periodic=EXTENT)
CUBE = evops.Positions(compared.places("cube"))
SQUARE_GRID = evops.Grid(GRID)
PERIODIC_GRID = evops.Grid(GRID, periodic=True)
GAUSSIAN = evops.Gaussian(SIGMA, PEAK)
OFF_CENTRE = (0.1, -0.05)
RECTANGLE = (-0.1, -0.25), (0.2, 0.15)


def inside(mask):
    return PROBABILITY(evops.Box(mask=mask))


def linear(d):
    return PEAK - 1.5 * d


# Each case by the rule of ours for it; sides are those of the case, or the positions beside it.
OURS = {
    "nest": {
        "one_to_one": evops.OneToOne(),
        "all_to_all": evops.AllToAll(),
        "all_to_all, no autapses": evops.AllToAll(autapses=False),
        "pairwise_bernoulli": PROBABILITY(P),
        "pairwise_bernoulli, no autapses": PROBABILITY(P, autapses=False),
        "pairwise_poisson": evops.PoissonMultiplicity(compared.MEAN),
        "fixed_indegree": IN(K),
        "fixed_indegree, no multapses": IN(K, multapses=False),
        "fixed_indegree, no autapses": IN(K, autapses=False),
        "fixed_indegree, neither": IN(K, multapses=False, autapses=False),
        "fixed_outdegree": OUT(K, multapses=True),
        "fixed_outdegree, no multapses": OUT(K),
        "fixed_outdegree, no autapses": OUT(K, multapses=True, autapses=False),
        "fixed_outdegree, neither": OUT(K, autapses=False),
        "fixed_total_number": evops.FixedTotalNumber(TOTAL),
        "fixed_total_number, no autapses": evops.FixedTotalNumber(TOTAL, autapses=False),
        "gaussian": (PROBABILITY(GAUSSIAN), TORUS),
        "exponential": (PROBABILITY(evops.Exponential(SIGMA, PEAK)), TORUS),
        "gamma": (PROBABILITY(evops.Gamma(KAPPA, THETA, SCALE)), TORUS),
        "linear, in a disc": (PROBABILITY(evops.FunctionKernel(linear, cutoff=0.4)), TORUS),
        "disc, off centre": (inside(masks.Ball(0.2, center=OFF_CENTRE)), TORUS),
        "rectangle, turned": (inside(masks.Box(*RECTANGLE, angle=30)), TORUS),
        "doughnut": (inside(masks.Doughnut(0.12, 0.31)), TORUS),
        "ellipse, turned": (inside(masks.Ellipse((0.6, 0.3), angle=25)), TORUS),
        "disc without rectangle": (inside(masks.Ball(0.3) - masks.Box(*RECTANGLE)), TORUS),
        "ball": (inside(masks.Ball(0.35)), CUBE),
        "box": (inside(masks.Box((-0.3, -0.1, -0.2), (0.12, 0.41, 0.3))), CUBE),
        "ellipsoid, turned": (inside(masks.Ellipse((0.9, 0.6, 0.5), angle=40)), CUBE),
        "fixed_outdegree, gaussian": (OUT(K, p=GAUSSIAN, multapses=True), TORUS),
        "fixed_outdegree, gaussian, no multapses": (OUT(K, p=GAUSSIAN), TORUS),
        "fixed_indegree, gaussian": (IN(K, p=GAUSSIAN), TORUS),
        "fixed_indegree, gaussian, no multapses": (IN(K, p=GAUSSIAN, multapses=False), TORUS),
        # NEST's mask of displacements from the post neuron is ours from the pre neuron, mirrored.
        "fixed_indegree, disc off centre": (
            IN(8, p=evops.Box(mask=masks.Ball(0.2, center=(-0.1, 0.05)))),
            TORUS,
        ),
    },
    "brainpy": {
        "One2One": evops.OneToOne(),
        "All2All": evops.AllToAll(),
        "All2All, no autapses": evops.AllToAll(autapses=False),
        "FixedProb, conn_mat": PROBABILITY(P),
        "FixedProb, pre_ids": OUT(round(P * compared.SHAPE[1])),
        "FixedPreNum": IN(K, multapses=False),
        "FixedPreNum, allow_multi_conn": IN(K),
        "FixedPostNum": OUT(K),
        "FixedPostNum, allow_multi_conn": OUT(K, multapses=True),
        "FixedTotalNum": evops.FixedTotalNumber(TOTAL, multapses=False),
        "FixedTotalNum, allow_multi_conn": evops.FixedTotalNumber(TOTAL),
        "GridFour": (evops.Neighbours(4), SQUARE_GRID),
        "GridFour, periodic": (evops.Neighbours(4), PERIODIC_GRID),
        "GridEight": (evops.Neighbours(8), SQUARE_GRID),
        "GridEight, periodic": (evops.Neighbours(8), PERIODIC_GRID),
        "GridN": (evops.Neighbours(radius=2, metric="chebyshev"), SQUARE_GRID),
        "GridN, periodic, include_self": (
            evops.Neighbours(radius=2, metric="chebyshev", include_self=True),
            PERIODIC_GRID,
        ),
        "GaussianProb": (PROBABILITY(evops.Gaussian(GRID_SIGMA)), SQUARE_GRID),
        "GaussianProb, periodic": (PROBABILITY(evops.Gaussian(GRID_SIGMA)), PERIODIC_GRID),
        "ProbDist": (PROBABILITY(evops.Box(3, peak=0.4)), SQUARE_GRID),
        "SmallWorld": evops.SmallWorld(4, 0.2),
        "ScaleFreeBA": evops.ScaleFree(3),
        "PowerLaw": evops.PowerLawCluster(3, 0.5),
    },
}
OTHER_LAWS = {"nest": {"symmetric_pairwise_bernoulli"}, "brainpy": {"ScaleFreeBADual"}}
PAIRS = [(peer, name) for peer in OURS for name in OURS[peer]]


def measured(peer, name):
    """What `peers/` measures, of our networks."""
    case, rule = CASES[peer][name], OURS[peer][name]
    rule, at = rule if isinstance(rule, tuple) else (rule, None)
    shape = compared.sides(case.of) if at is None else (at, at)
    networks = []
    for seed in range(SEED, SEED + case.networks):
        S = evops.Synapses(rule, 1.0, shape, seed=seed)
        networks.append((S.pre_ids, S.post_ids))
    return compared.measure(case, networks, EXTENT if at is TORUS else None)


def padded(a, b):
    a, b = (np.array(values, float) for values in (a, b))
    longest = max(a.size, b.size)
    return [np.pad(values, (0, longest - values.size)) for values in (a, b)]


def together(a, b, least=100):
    """The same counts in fewer bins: neighbours join until both hold `least` together."""
    joined, left = [], np.zeros(2)
    for pair in np.stack(padded(a, b), 1):
        left = left + pair
        if left.sum() >= least:
            joined.append(left)
            left = np.zeros(2)
    if not joined:
        return np.array([left])
    joined[-1] = joined[-1] + left
    return np.array(joined)


def check_counts(ours, theirs):
    """Counts over as many networks on both sides; where nothing is random they are equal."""
    a, b = padded(ours, theirs)
    if (a > 0).sum() == 1:
        np.testing.assert_array_equal(a, b)
        return
    bins = together(a, b)
    squares = (np.square(bins[:, 0] - bins[:, 1]) / bins.sum(1)).sum()
    bound = stats.chi2.isf(share(), len(bins))
    assert squares < bound, (squares, bound, bins.tolist())


def check_means(ours, theirs):
    """Numbers of independent networks, each column by Student's t; constants are equal."""
    a, b = (np.array(rows, float).reshape(len(rows), -1) for rows in (ours, theirs))
    for column in range(a.shape[1]):
        x, y = a[:, column], b[:, column]
        if x.std() == 0 and y.std() == 0:
            assert x[0] == y[0], (column, x[0], y[0])
            continue
        t = (x.mean() - y.mean()) / np.sqrt(x.var(ddof=1) / x.size + y.var(ddof=1) / y.size)
        bound = stats.t.isf(share() / 2, min(x.size, y.size) - 1)
        assert abs(t) < bound, (column, t, bound, x.mean(), y.mean())


CHECKS = {"graph": check_means, "autapses": check_means, "one-sided": check_means}


@pytest.mark.parametrize(("peer", "name"), PAIRS, ids=map(": ".join, PAIRS))
def test_networks_are_those_of_the_peer(peer, name):
    theirs, ours = RECORD[peer]["cases"][name], measured(peer, name)
    assert list(theirs) == list(ours)
    for what, numbers in ours.items():
        if what == "edges":
            assert numbers == theirs[what]
        else:
            CHECKS.get(what, check_counts)(numbers, theirs[what])


def test_the_record_has_every_case_and_every_case_is_compared():
    for peer, part in CASES.items():
        known = set(OURS[peer]) | OTHER_LAWS[peer]
        assert set(RECORD[peer]["cases"]) == set(part) == known


def test_the_symmetric_rule_of_nest_draws_every_pair_in_both_orders():
    """So `p` there is half the number of synapses, and two neurons may have two each way."""
    found = RECORD["nest"]["cases"]["symmetric_pairwise_bernoulli"]
    case, n = CASES["nest"]["symmetric_pairwise_bernoulli"], compared.SQUARE[0]
    synapses = sum(number * count for number, count in enumerate(found["pairs"]))
    assert not any(found["one-sided"]) and not any(found["autapses"])
    check_binomial(synapses // 2, case.networks * n * n, P)
    assert len(found["pairs"]) == 3 and found["pairs"][2] > 1000


@pytest.mark.parametrize(
    ("peer", "name", "other"),
    [
        ("nest", "pairwise_bernoulli", PROBABILITY(1.04 * P)),
        ("nest", "fixed_indegree", IN(K, multapses=False)),
        ("nest", "fixed_outdegree, no multapses", OUT(K, multapses=True)),
        ("nest", "fixed_total_number", PROBABILITY(TOTAL / (compared.SHAPE[0] * compared.SHAPE[1]))),
        ("nest", "gaussian", (PROBABILITY(evops.Gaussian(1.06 * SIGMA, PEAK)), TORUS)),
        ("nest", "gaussian", (PROBABILITY(evops.Gaussian(SIGMA, 0.92 * PEAK)), TORUS)),
        ("nest", "fixed_outdegree, gaussian, no multapses", (OUT(K, p=evops.Gaussian(1.05 * SIGMA)), TORUS)),
        ("nest", "fixed_indegree, disc off centre", (IN(8, p=evops.Box(mask=masks.Ball(0.2, center=OFF_CENTRE))), TORUS)),
        ("nest", "ellipse, turned", (inside(masks.Ellipse((0.6, 0.3), angle=-25)), TORUS)),
        ("brainpy", "FixedProb, pre_ids", PROBABILITY(P)),
        ("brainpy", "FixedProb, conn_mat", OUT(round(P * compared.SHAPE[1]))),
        ("brainpy", "GaussianProb, periodic", (PROBABILITY(evops.Gaussian(GRID_SIGMA)), SQUARE_GRID)),
    ],
)  # fmt: skip
def test_another_law_is_seen(monkeypatch, peer, name, other):
    """What the comparisons can tell apart, at their false-alarm rate."""
    monkeypatch.setitem(OURS[peer], name, other)
    with pytest.raises(AssertionError):
        test_networks_are_those_of_the_peer(peer, name)
