"""Total numbers of synapses between pairs drawn by a kernel of distance."""

import itertools
import math

import numpy as np
import pytest

import evops
from chance import check_chi2, check_normal
from evops.connectivity import near, near_pairs
from test_near import GAUSSIAN, RING, SQUARE, TUBE, matrix, points, synapses

WORDS = np.uint32(5), np.uint32(6)


def pairs_rule(k, kernel, **more):
    return evops.FixedTotalNumber(k, p=kernel, given="pair", **more)


def forum(n, seed=3):
    """Half of the neurons in a dense place, half spread out, as in the thread on Brian2's forum."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(-3000, 3000, (n - n // 2, 2))
    return evops.Positions(np.concatenate([rng.normal(size=(n // 2, 2)) * 800, spread]))


def weights(shape, kernel, autapses=True):
    """Of all pairs, with the logarithm to the base 2 of the largest taken off."""
    i, j = np.indices([len(side) for side in shape])
    log = kernel.log(shape[0].distances(i, shape[1], j))
    if kernel.mask is not None:
        log = np.where(kernel.mask.contains(shape[0].displacements(i, shape[1], j)), log, -np.inf)
    if not autapses:
        np.fill_diagonal(log, -np.inf)
    return np.exp(log - log.max())


def check_pairs(counts, expected):
    """Counts of all pairs are multinomial; those that are rare count together."""
    some = expected > 60
    counts, expected = ([*a[some], a[~some].sum()] for a in (counts, expected))
    last = None if expected[-1] > 60 else -1  # too rare even together
    check_chi2(counts[:last], expected[:last])


@pytest.mark.parametrize("autapses", [True, False])
@pytest.mark.parametrize(
    "shape, kernel",
    [
        (SQUARE, GAUSSIAN),
        (TUBE, evops.Gaussian(0.2, mask=RING)),
        ((forum(300),) * 2, evops.Exponential(150.0)),
    ],
    ids=["square", "a mask on a tube", "forum"],
)
@pytest.mark.parametrize("cells", ["few", "many"])
def test_pairs_are_in_proportion_to_the_kernel(shape, kernel, autapses, cells, monkeypatch):
    """Over all pairs. With few attempts for each pair cells are drawn from, else pairs alone."""
    if cells == "many":
        monkeypatch.setattr(near_pairs, "_TRIES", 1 << 20)
    k = 400_000 if cells == "few" else 150_000
    counts = matrix(synapses(pairs_rule(k, kernel, autapses=autapses), shape))
    w = weights(shape, kernel, autapses)
    assert not counts[w == 0].any()
    check_pairs(counts, k * w / w.sum())


def test_distances_of_a_large_network():
    """Bins of distance, and pre neurons: counts of a dense place and of one far away."""
    n, k, sigma = 1500, 200_000, 350.0
    x = forum(n)
    bins, share, of_pre = np.linspace(0, 1500, 31), np.zeros(30), np.zeros(n)
    for i in range(n):
        every = x.distances(i, x, np.arange(n))
        p = np.exp(-(every**2) / (2 * sigma**2))
        share += np.histogram(every, bins, weights=p)[0]
        of_pre[i] = p.sum()
    share, of_pre = share / of_pre.sum(), of_pre / of_pre.sum()
    S = synapses(pairs_rule(k, evops.Gaussian(sigma)), (x, x))
    found = np.histogram(x.distances(np.asarray(S.pre_ids), x, np.asarray(S.post_ids)), bins)[0]
    check_pairs(np.append(found, k - found.sum()), k * np.append(share, 1 - share.sum()))
    check_pairs(np.asarray(S.out_degree()), k * of_pre)
    assert of_pre.max() > 15 * of_pre.min()


TINY = evops.Positions([[0.0], [0.12]]), evops.Positions([[0.02], [0.15], [0.33]])


def near_horizon(self, target, gone, loose):
    """So near that few pairs ring; a sixth of the cells is looked at."""
    del target, gone, loose
    heavy = self.bound.size // 6
    return self.bound[heavy] - 1, heavy, 0.0


@pytest.mark.parametrize("often", [False, True])
def test_without_multapses_pairs_are_drawn_one_after_another(often, monkeypatch):
    """Successive sampling: probabilities of all sets of two pairs of four, over both orders."""
    if often:
        monkeypatch.setattr(near_pairs.Pairs, "horizon", near_horizon)
    of = near.near_of(*TINY, GAUSSIAN, 1, backwards=False, autapses=False, size=2)
    pairs, runs = near_pairs.Pairs(of), 400
    found = [near_pairs.successive(pairs, 2, (np.uint32(r), np.uint32(9))) for r in range(runs)]
    w = weights(TINY, GAUSSIAN, False).ravel()
    w = w / w.sum()
    counts, expected = [], []
    for a, b in itertools.combinations(np.flatnonzero(w), 2):
        counts.append(sum(f.tolist() == [a, b] for f in found))
        expected.append(runs * (w[a] * w[b] / (1 - w[a]) + w[a] * w[b] / (1 - w[b])))
    assert sum(counts) == runs
    check_pairs(np.array(counts), np.array(expected))


@pytest.mark.parametrize("often", [False, True])
def test_without_multapses_on_a_network(often, monkeypatch):
    """A dense place whose pairs are nearly all taken: ranks of weights, against clocks in NumPy."""
    if often:
        monkeypatch.setattr(near_pairs.Pairs, "horizon", near_horizon)
    x, kernel, k = forum(300), evops.Gaussian(350.0), 6000
    of = near.near_of(x, x, kernel, 1, backwards=False, autapses=True, size=16)
    w = weights((x, x), kernel).ravel()
    rank = np.empty(w.size, int)
    rank[np.argsort(-w)] = np.arange(w.size) // 1500
    rng, pairs = np.random.default_rng(8), near_pairs.Pairs(of)
    ours, theirs = [], []
    for r in range(10):
        found = near_pairs.successive(pairs, k, (np.uint32(r), np.uint32(1)))
        assert np.unique(found).size == k
        ours.append(np.bincount(rank[found], minlength=60))
    for _ in range(200):
        first = np.argpartition(rng.exponential(size=w.size) / np.maximum(w, 1e-300), k)[:k]
        theirs.append(np.bincount(rank[first], minlength=60))
    (mean, spread), some = (f(theirs, axis=0) for f in (np.mean, np.var)), slice(0, 9)
    assert mean[0] > 1350 and mean[some].min() > 60
    z = (np.mean(ours, axis=0) - mean)[some] / np.sqrt(spread[some] * (1 / 10 + 1 / 200))
    check_normal(z)


@pytest.mark.parametrize("draw", [near_pairs.independent, near_pairs.successive])
def test_pairs_do_not_depend_on_how_many_are_drawn_at_once(draw, monkeypatch):
    x = forum(400)
    of = near.near_of(x, x, evops.Gaussian(100.0), 1, backwards=False, autapses=False, size=16)
    once = draw(near_pairs.Pairs(of), 5000, WORDS)
    monkeypatch.setattr(near_pairs, "_PIECE", 700)
    np.testing.assert_array_equal(draw(near_pairs.Pairs(of), 5000, WORDS), once)


def test_seeds_and_totals_draw_apart():
    """Seeds have other pairs; without multapses fewer pairs are not all among more."""
    one, other = (matrix(synapses(pairs_rule(2000, GAUSSIAN), SQUARE, seed)) for seed in (1, 2))
    w = weights(SQUARE, GAUSSIAN)
    alike = 2000 * 2000 * ((w / w.sum()) ** 2).sum()
    check_normal(((one * other).sum() - alike) / math.sqrt(alike * 2))


def test_weights_have_no_end():
    """At 300 deviations from all targets, weights are 2**-60000: only their ratios count."""
    x = evops.Positions([[30.0, 0.0], [30.001, 0.0]])
    y = evops.Positions([[0.0, 0.0], [0.001, 0.0], [0.0, 0.002], [0.0005, 0.0]])
    counts = matrix(synapses(pairs_rule(30_000, GAUSSIAN), (x, y)))
    w = weights((x, y), GAUSSIAN)
    check_pairs(counts, 30_000 * w / w.sum())
    both = evops.Positions([[30.0, 0.0], [0.0, 0.0]])
    assert matrix(synapses(pairs_rule(3000, GAUSSIAN), (both, y)))[0].sum() == 0
    near_first = matrix(synapses(pairs_rule(5, GAUSSIAN, multapses=False), (both, y)))
    assert near_first.sum(1).tolist() == [1, 4]


def test_narrow_kernels_leave_bounds_far_behind():
    """Boxes of neurons overlap, and hardly any pair is near: bounds alone would never end."""
    x = evops.Positions(points(1000, seed=5))
    kernel = evops.Gaussian(1e-4)
    for multapses in (True, False):
        rule = pairs_rule(50, kernel, multapses=multapses, autapses=False)
        S = synapses(rule, (x, x))
        d = x.distances(np.asarray(S.pre_ids), x, np.asarray(S.post_ids))
        assert S.nnz == 50 and d.max() < 0.01
    i, j = np.triu_indices(1000, 1)
    every = np.sort(x.distances(i, x, j))
    np.testing.assert_allclose(np.sort(d)[::2], every[:25], rtol=1e-3)  # without multapses


def test_too_few_pairs():
    x, y = evops.Positions([[0.0], [5.0], [0.1]]), evops.Positions([[0.0], [0.2], [0.3]])
    near_by = evops.Gaussian(0.1, cutoff=1.0)
    with pytest.raises(ValueError, match="only 6 possible pairs, and k is 7; shortfall"):
        synapses(pairs_rule(7, near_by, multapses=False), (x, y))
    S = synapses(pairs_rule(7, near_by, multapses=False, shortfall="take all"), (x, y))
    np.testing.assert_array_equal(matrix(S), [[1, 1, 1], [0, 0, 0], [1, 1, 1]])
    far = evops.Positions([[50.0]])
    with pytest.raises(ValueError, match="there is no possible pair, and k is 1$"):
        synapses(pairs_rule(1, near_by), (x, far))
    with pytest.raises(ValueError, match="there is no possible pair, and k is 2; shortfall"):
        synapses(pairs_rule(2, near_by, multapses=False), (x, far))
    for multapses in (True, False):
        assert synapses(pairs_rule(0, near_by, multapses=multapses), (x, far)).nnz == 0
    assert (
        synapses(pairs_rule(3, near_by, multapses=False, shortfall="take all"), (x, far)).nnz == 0
    )


@pytest.mark.parametrize("multapses", [True, False])
def test_a_mask_that_leaves_no_pair_is_an_error(multapses):
    """Cells have bounds above 0, but no pair has a weight."""
    x = evops.Positions(points(600))
    kernel = evops.Gaussian(0.3, mask=evops.masks.Ball(0.5) - evops.masks.Ball(0.5))
    with pytest.raises(ValueError, match="no possible pair"):
        synapses(pairs_rule(3, kernel, multapses=multapses), (x, x))


def test_what_is_given():
    rule = pairs_rule(3, GAUSSIAN)
    assert "given=pair" in repr(rule) and "given" not in repr(evops.FixedTotalNumber(3))
    assert "given='pair'" in repr(rule.placed(*SQUARE))
    with pytest.raises(ValueError, match="given must be one of pre, pair, got 'post'"):
        evops.FixedTotalNumber(3, p=GAUSSIAN, given="post")
    alike = [
        synapses(evops.FixedTotalNumber(9, multapses=False, given=given), (5, 5)).indices
        for given in ("pre", "pair")
    ]
    np.testing.assert_array_equal(*alike)


def test_large_networks_have_few_cells():
    for n, m in ((10, 10), (10_000, 10_000), (40_000, 40_000), (1, 10**6), (10**6, 10**6)):
        size = near_pairs.tile_size(n, m)
        assert -(-n // size) * -(-m // size) <= 1 << 19 and size & (size - 1) == 0
