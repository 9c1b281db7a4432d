"""Rules of pairs: blocks of types, symmetric, never mutual, Poisson numbers; weights by type."""

import math

import jax
import numpy as np
import pytest
from scipy import stats

import evops
from chance import check_binomial, check_chi2, check_normal, check_spread, project
from evops.connectivity.poisson_rules import poisson_number

N = 1500


def pairs_of(rule, n=N, seed=3):
    W = project(rule, (n, n), seed=seed)
    found = np.zeros((n, n), bool)
    found[tuple(map(np.asarray, W.edges()[:2]))] = True
    return found


def upper(matrix):
    return matrix[np.triu_indices(len(matrix), 1)]


# ---- symmetric, and never mutual ----
@pytest.mark.parametrize("p", [0.02, 0.3, 0.9])
def test_symmetric_pairs_have_the_probability(p):
    found = pairs_of(evops.SymmetricProbability(p, autapses=True))
    np.testing.assert_array_equal(found, found.T)
    check_binomial(upper(found).sum(), N * (N - 1) // 2, p)
    check_binomial(np.diag(found).sum(), N, p)
    degree = found.sum(1)
    # Rows share a pair each, so degrees are hardly dependent.
    check_normal((degree.var() / (N * p * (1 - p)) - 1) * math.sqrt(N / 2))


@pytest.mark.parametrize("p", [0.02, 0.3, 0.5])
def test_no_pair_is_mutual_and_directions_are_fair(p):
    found = pairs_of(evops.NoMutualProbability(p))
    assert not (found & found.T).any() and not np.diag(found).any()
    connected = upper(found | found.T)
    check_binomial(connected.sum(), connected.size, 2 * p)
    forward = upper(found)
    check_binomial(forward.sum(), int(connected.sum()), 0.5)
    for degree in (found.sum(1), found.sum(0)):
        check_normal((degree.var() / (N * p * (1 - p)) - 1) * math.sqrt(N / 2))


@pytest.mark.parametrize(
    "rule", [evops.SymmetricProbability(0.4), evops.NoMutualProbability(0.3)], ids=str
)
def test_pairs_of_a_seed_are_unrelated(rule):
    """Neighbours in a row, in a column, along the diagonal; triangles; other seeds."""
    p = float(rule.p)
    found = pairs_of(rule) - p
    for di, dj in ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (0, 64), (64, 0), (1, 2)):
        a, b = found[: N - di, : N - dj], found[di:, dj:]
        far = np.triu(np.ones(a.shape, bool), 70)
        z = (a * b)[far].sum() / (p * (1 - p) * math.sqrt(far.sum()))
        check_normal(z)
    i, j, k = np.arange(0, 500), np.arange(500, 1000), np.arange(1000, 1500)
    z = found[i[:, None], j] @ found[j[:, None], k] * found[i[:, None], k]
    check_normal(z.sum() / math.sqrt((p * (1 - p)) ** 3 * 500**3))
    other = pairs_of(rule, seed=4) - p
    check_normal(upper(found * other).sum() / (p * (1 - p) * math.sqrt(N * (N - 1) / 2)))


@pytest.mark.parametrize("make", [evops.SymmetricProbability, evops.NoMutualProbability])
def test_both_sides_are_the_same_neurons(make):
    with pytest.raises(ValueError, match=r"shape must have as many pre as post .*, got \(3, 4\)"):
        evops.Projection(make(0.1), 1.0, (3, 4), seed=1)


def test_both_synapses_of_a_pair_have_weights_of_their_own():
    W = project(evops.SymmetricProbability(0.5), (300, 300), law=evops.Normal(0.0, 1.0)).todense()
    a, b = upper(np.asarray(W)), upper(np.asarray(W).T)
    both = a != 0
    assert (both == (b != 0)).all()
    check_normal((a * b)[both].sum() / math.sqrt(both.sum()))


# ---- blocks ----
P = np.array([[0.05, 0.6, 0.0], [1.0, 0.25, 0.3]])
PRE, POST = np.arange(900) % 2, (np.arange(1100) * 7) % 3


def blocks(autapses=True, p=P):
    return evops.BlockProbability(p, PRE, POST, autapses=autapses)


def test_blocks_have_their_probabilities(backend):
    W = evops.Projection(blocks(), 1.0, (900, 1100), seed=7, backend=backend)
    found = np.asarray(W.todense()) > 0
    for k in range(2):
        for m in range(3):
            block = found[np.ix_(PRE == k, POST == m)]
            check_binomial(int(block.sum()), block.size, P[k, m])
    assert blocks().expected_synapses((900, 1100)) == pytest.approx(
        sum(P[k, m] * (PRE == k).sum() * (POST == m).sum() for k in range(2) for m in range(3))
    )


def test_blocks_of_one_probability_are_binomial():
    found = np.asarray(project(blocks(p=np.full((2, 3), 0.2)), (900, 1100)).todense()) > 0
    for counts, n in ((found.sum(1), 1100), (found.sum(0), 900)):
        check_spread(((counts - 0.2 * n) ** 2 / (n * 0.2 * 0.8)).sum(), len(counts))


def test_autapses_of_blocks():
    with_, without = (
        np.asarray(project(blocks(own), (900, 1100)).todense()) > 0 for own in (True, False)
    )
    own = np.arange(900)
    assert with_[own, own].any() and not without[own, own].any()
    with_[own, own] = False
    np.testing.assert_array_equal(with_, without)
    by_hand = P[PRE, POST[:900]].sum()
    less = blocks().expected_synapses((900, 1100)) - blocks(False).expected_synapses((900, 1100))
    assert less == pytest.approx(by_hand)


def test_types_do_not_change_the_words_of_a_pair():
    """More of a probability keeps the synapses that there are."""
    some, more = (
        np.asarray(project(blocks(p=p), (900, 1100)).todense()) > 0
        for p in (P, np.minimum(P + 0.1, 1))
    )
    assert not (some & ~more).any() and (more & ~some).any()


def test_blocks_are_values():
    same = evops.BlockProbability(P.tolist(), PRE.tolist(), list(POST))
    assert same == blocks() and hash(same) == hash(blocks())
    assert blocks() != blocks(False) and blocks() != blocks(p=P / 2)
    square = evops.BlockProbability(np.ones((2, 2)), PRE)
    assert square == evops.BlockProbability(np.ones((2, 2)), PRE, PRE)
    assert "2 by 3 types, autapses=False" in repr(blocks(False))
    weights = [evops.BlockWeight(P, PRE, POST, law=w) for w in (1.0, 1.0, 2.0)]
    assert weights[0] == weights[1] != weights[2] and hash(weights[0]) == hash(weights[1])
    assert weights[0] != evops.BlockWeight(P, PRE[::-1], POST)
    types = PRE.copy()
    rule = evops.BlockProbability(np.ones((2, 2)), types)
    types[:] = 1
    assert (rule.pre_types == PRE).all()


def test_one_program_for_all_seeds_of_blocks():
    rule = blocks()
    made = 0

    @jax.jit
    def degrees(W):
        nonlocal made
        made += 1
        return W.out_degree()

    for seed in (1, 2):
        degrees(evops.Projection(rule, 1.0, (900, 1100), seed=seed))
    degrees(evops.Projection(blocks(), 1.0, (900, 1100), seed=3))
    assert made == 1


# ---- clusters, weights by type ----
def test_clusters():
    types = np.arange(400) // 20
    rule, law = evops.Clusters(types, p=(0.5, 0.1), w=(1.9, -1.0), law=evops.Normal(2.0, 0.1))
    assert rule.p.shape == (20, 20) and not rule.autapses
    S = evops.Synapses(rule, law, (400, 400), seed=1, delay=3)
    plain = evops.Synapses(rule, evops.Normal(2.0, 0.1), (400, 400), seed=1)
    i, j, weight, _ = map(np.asarray, S.edges())
    same = types[i] == types[j]
    np.testing.assert_allclose(weight, plain.data * np.where(same, 1.9, -1.0), rtol=1e-6)
    check_binomial(int(same.sum()), 400 * 19, 0.5)
    check_binomial(int((~same).sum()), 400 * 380, 0.1)
    drawn = evops.Projection(rule, 1.0, (400, 400), seed=1)
    np.testing.assert_array_equal(drawn.todense() > 0, S.todense() != 0)


def test_weights_by_type_go_with_any_rule():
    w = np.array([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]])
    law = evops.BlockWeight(w, PRE[:30], POST[:40])
    for rule in (evops.FixedOutDegree(7), evops.FixedInDegree(3, multapses=False)):
        S = evops.Synapses(rule, law, (30, 40), seed=5)
        i, j, weight, _ = S.edges()
        np.testing.assert_array_equal(weight, w[PRE[i], POST[j]])


# ---- Poisson numbers ----
@pytest.mark.parametrize("mean", [0.05, 0.7, 3.0])
def test_numbers_of_pairs_are_poisson(mean, backend):
    W = evops.Projection(evops.PoissonMultiplicity(mean), 1.0, (300, 400), seed=2, backend=backend)
    counts = np.bincount(np.asarray(W.todense(), int).ravel())
    most = next(k for k in range(99) if stats.poisson.sf(k, mean) * 120_000 < 60)
    expected = stats.poisson.pmf(np.arange(most + 1), mean) * 120_000
    expected[-1] = stats.poisson.sf(most - 1, mean) * 120_000
    counts = np.append(counts[:most], counts[most:].sum())
    # the number of all synapses is one more that is drawn
    check_chi2(counts, expected)


def test_totals_are_poisson():
    rng = np.random.default_rng(1)
    for mean in (0.3, 6.0, 80.0):
        totals = [poisson_number(mean, words) for words in rng.integers(0, 2**32, (20_000, 2))]
        counts = np.bincount(totals, minlength=200)[:200]
        pmf = stats.poisson.pmf(np.arange(200), mean) * 20_000
        common = np.flatnonzero(pmf > 60)
        inside = slice(common[0], common[-1] + 1)
        rest = [pmf[: common[0]].sum(), pmf[common[-1] + 1 :].sum()]
        outside = [counts[: common[0]].sum(), counts[common[-1] + 1 :].sum()]
        big = [k for k in (0, 1) if rest[k] > 50]
        check_chi2(
            [*counts[inside], *(outside[k] for k in big)], [*pmf[inside], *(rest[k] for k in big)]
        )
    large = np.array([poisson_number(1e8, words) for words in rng.integers(0, 2**32, (60, 2))])
    z = (large - 1e8) / 1e4
    check_normal([z.sum() / math.sqrt(60), (z @ z - 60) / math.sqrt(120)])
    assert poisson_number(0.0, (1, 2)) == 0


@pytest.mark.parametrize("mean", [0.0, 0.4])
def test_poisson_numbers_without_autapses_are_stored(mean):
    rule = evops.PoissonMultiplicity(mean, autapses=False)
    S = evops.Synapses(rule, 1.0, (200, 200), seed=4)
    assert not np.diag(S.todense()).any()
    check_normal((S.nnz - mean * 200 * 199) / math.sqrt(max(mean, 1) * 200 * 199))
    with pytest.raises(ValueError, match=r"Synapses"):
        evops.Projection(rule, 1.0, (200, 200), seed=4)


def test_a_seed_of_poisson_numbers_is_known():
    rule = evops.PoissonMultiplicity(0.5)
    with pytest.raises(TypeError, match="seed must be known before compilation"):
        jax.jit(lambda s: evops.Projection(rule, 1.0, (9, 9), seed=s).todense())(1)


# ---- what is refused ----
REFUSED = [
    (lambda: evops.SymmetricProbability(1.1), ValueError, r"p must be in \[0, 1\], got 1.1"),
    (lambda: evops.NoMutualProbability(0.6), ValueError, r"p must be in \[0, 1/2\], got 0.6"),
    (lambda: evops.BlockProbability(0.1, [0]), TypeError, "p must be a matrix of real numbers"),
    (lambda: evops.BlockProbability([[0.1], [0.2, 0.3]], [0]), TypeError, "p must be a matrix"),
    (lambda: evops.BlockProbability([[1.5]], [0]), ValueError, r"p must be in \[0, 1\], got 1.5"),
    (lambda: evops.BlockProbability([[-0.5]], [0]), ValueError, r"p must be in .*, got -0.5"),
    (lambda: evops.BlockProbability([[math.nan]], [0]), ValueError, "p must be finite, got nan at"),
    (
        lambda: evops.BlockProbability([[1.0]], [1]),
        ValueError,
        "pre_types must be from 0 to 0, got",
    ),
    (lambda: evops.BlockProbability([[1.0]], [-1]), ValueError, "pre_types must be from 0 to 0"),
    (lambda: evops.BlockProbability([[1.0]], [0.0]), TypeError, "pre_types must be an array"),
    (lambda: evops.BlockProbability([[1.0]], []), TypeError, "pre_types must be an array"),
    (lambda: evops.BlockProbability([[1.0]], [True]), TypeError, "pre_types must be an array"),
    (
        lambda: evops.BlockProbability(np.ones((2, 1)), [0, 1]),
        ValueError,
        "post_types must be from 0 to 0, got 1 for neuron 1",
    ),
    (
        lambda: evops.Projection(blocks(), 1.0, (900, 1101), seed=1),
        ValueError,
        r"shape must be \(900, 1100\), the neurons that have types",
    ),
    (
        lambda: evops.Projection(evops.AllToAll(), evops.BlockWeight([[1]], [0]), (1, 1), seed=1),
        ValueError,
        "law must be a law that is drawn again",
    ),
    (
        lambda: evops.Synapses(evops.AllToAll(), evops.BlockWeight([[1]], [0]), (1, 2), seed=1),
        ValueError,
        r"shape must be \(1, 1\), the neurons that have types, for law=",
    ),
    (lambda: evops.Clusters([0, 1], 0.1), ValueError, "p must be two numbers, within and between"),
    (lambda: evops.Clusters([0, 1], (0.1, 2)), ValueError, r"p\[1\] must be in \[0, 1\], got 2"),
    (lambda: evops.Clusters([0, 1], (0.1, 0.2), (1, "x")), TypeError, r"w\[1\] must be a real"),
    (lambda: evops.PoissonMultiplicity(-1), ValueError, "mean must be at least 0, got -1"),
    (
        lambda: evops.Projection(evops.PoissonMultiplicity(1e9), 1.0, (9, 9), seed=1),
        ValueError,
        "mean must give at most 2147483647 synapses",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
