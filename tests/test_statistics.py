"""Statistics of what is drawn, with the false-alarm rate of `chance`."""

import math

import numpy as np
import pytest
from scipy import stats

import evops
from chance import (
    check_binomial,
    check_chi2,
    check_normal,
    check_poisson,
    check_spread,
    correlation,
    project,
)

PROBABILITIES = [0.9, 0.5, 0.4, 0.3, 0.1, 0.02, 1e-4]
N = 4000


def drawn(p, shape=(N, N), seed=42):
    """(n_pre, n_post) whether there is a synapse."""
    out = np.zeros(shape, bool)
    edges = project(p, shape, seed).edges()
    out[np.asarray(edges.pre), np.asarray(edges.post)] = True
    return out


def check_unrelated(a, b, p, q=None):
    """Hits in common of Bernoulli(p) and Bernoulli(q) matrices, over all pairs."""
    q, n = p if q is None else q, a.size
    common = np.count_nonzero(a & b)
    if n * p * q < 1000:
        check_poisson(common, n * p * q)
    else:  # given both densities
        x, y = np.count_nonzero(a) / n, np.count_nonzero(b) / n
        check_normal((common / n - x * y) * math.sqrt(n / (x * (1 - x) * y * (1 - y))))


@pytest.fixture(params=PROBABILITIES, scope="module")
def p(request):
    return request.param


@pytest.fixture(scope="module")
def matrix(p):
    return drawn(p)


def test_density_and_degrees(p):
    W = project(p)
    variance = p * (1 - p)
    for degree, n in (
        (np.asarray(W.in_degree(), float), N),
        (np.asarray(W.out_degree(), float), N),
    ):
        check_binomial(int(degree.sum()), N * n, p)
        # sum of squared deviations, whose variance follows from the binomial's fourth moment
        squares = (degree - n * p) ** 2
        fourth = n * variance * (1 + 3 * (n - 2) * variance)
        check_normal(
            (squares.mean() - n * variance) / math.sqrt((fourth - (n * variance) ** 2) / N)
        )


def test_density_over_many_seeds(p):
    """Each seed a fair draw, and their spread that of the binomial."""
    totals = np.array([int(project(p, seed=s).out_degree().sum()) for s in range(10)])
    z = (totals - N * N * p) / math.sqrt(N * N * p * (1 - p))
    check_normal(z.sum() / math.sqrt(10))
    check_spread((z**2).sum(), 10)


@pytest.mark.parametrize("q", PROBABILITIES[:-1])
def test_first_and_last_targets_and_block_borders(q):
    """Every single position, over 8000 lines of three blocks of 4096 targets."""
    lines, n = 8000, 3 * 4096
    near = [*range(3), *range(n - 3, n)]
    near += [k * 4096 + d for k in (1, 2) for d in range(-3, 4)]
    degree = np.asarray(project(q, (lines, n)).in_degree())
    for j in near:
        check_binomial(int(degree[j]), lines, q)
    end = np.asarray(project(q, (lines, 4095 + 7), seed=43).in_degree())
    check_binomial(int(end[-1]), lines, q)
    check_binomial(int(end[:7].sum()), 7 * lines, q)


def test_no_correlation_along_a_row(p, matrix):
    for lag in (*range(1, 65), 1024):
        check_unrelated(matrix[:2000, lag:], matrix[:2000, :-lag], p)


def test_no_correlation_between_rows(p, matrix):
    for k in range(11):
        check_unrelated(matrix[1 << k :], matrix[: -(1 << k)], p)


@pytest.mark.thin(3)
def test_other_seeds_shapes_and_transposes_are_unrelated(p, matrix):
    for seed in (43, 42 + 2**32, 42 + 2**31, 42 ^ 1 << 20):
        check_unrelated(matrix, drawn(p, seed=seed), p)
    upper = np.triu(np.ones((N, N), bool), 1)
    check_unrelated(matrix[upper], matrix.T[upper], p)
    check_unrelated(matrix, np.roll(matrix, 1, (0, 1)), p)


@pytest.mark.parametrize(
    ("q", "other"), [(0.9, 0.5), (0.3, 0.1), (0.1, 0.02), (0.1, 0.0999), (0.02, 1e-4)]
)
def test_matrices_of_other_probabilities(q, other):
    """Of two seeds, unrelated. Matrices of one seed read the same words: dense ones nest, and those
    of nearby probabilities share synapses (0.1 and 0.0999 correlate by 0.27)."""
    a, b = drawn(q), drawn(other, seed=43)
    check_unrelated(a, b, q, other)
    if min(q, other) >= 0.125:
        assert (drawn(other) <= a).all()


@pytest.mark.thin(3)
@pytest.mark.parametrize(("n_post", "q"), [(64, 0.3), (128, 0.1), (96, 0.15)])
def test_duplicate_target_lists_among_a_million_neurons(n_post, q):
    """Pairs of neurons with equal lists, against the number expected by chance."""
    n = 1_000_000
    edges = project(q, (n, n_post), seed=7).edges()
    pre, post = np.asarray(edges.pre), np.asarray(edges.post)
    bits = np.zeros((n, n_post // 8), np.uint8)
    np.bitwise_or.at(bits, (pre, post >> 3), (1 << (post & 7)).astype(np.uint8))
    _, counts = np.unique(np.ascontiguousarray(bits).view(f"V{n_post // 8}"), return_counts=True)
    pairs = int((counts * (counts - 1) // 2).sum())
    check_poisson(pairs, n * (n - 1) / 2 * (q * q + (1 - q) ** 2) ** n_post)


@pytest.mark.thin(3)
@pytest.mark.parametrize(("n_post", "k"), [(50, 4), (33, 5), (64, 3), (5, 2)])
def test_fixed_out_degree(n_post, k):
    """Targets, pairs of targets and ordered first pairs are uniform; no target comes twice."""
    lines = 300_000
    edges = project(evops.FixedOutDegree(k), (lines, n_post)).edges()
    post = np.asarray(edges.post).reshape(lines, k)
    ordered = np.sort(post, 1)
    assert (ordered[:, 1:] > ordered[:, :-1]).all() and (np.diff(edges.pre) >= 0).all()
    for column in post.T:
        check_chi2(np.bincount(column, minlength=n_post), lines / n_post)
    both = np.bincount(post[:, 0] * n_post + post[:, 1], minlength=n_post**2).reshape(n_post, -1)
    check_chi2(both[~np.eye(n_post, dtype=bool)], lines / (n_post * (n_post - 1)))
    for lag in (1, 2, 64):  # the neighbouring neuron's first target
        joint = np.bincount(post[lag:, 0] * n_post + post[:-lag, 0], minlength=n_post**2)
        check_chi2(joint, (lines - lag) / n_post**2)


def test_fixed_out_degree_with_multapses():
    lines, n_post, k = 300_000, 50, 4
    edges = project(evops.FixedOutDegree(k, multapses=True), (lines, n_post)).edges()
    post = np.asarray(edges.post).reshape(lines, k)
    for column in post.T:
        check_chi2(np.bincount(column, minlength=n_post), lines / n_post)
    for a, b in ((0, 1), (1, 2), (0, 3)):
        check_chi2(
            np.bincount(post[:, a] * n_post + post[:, b], minlength=n_post**2), lines / n_post**2
        )
    different = math.prod(1 - i / n_post for i in range(k))
    sorted_post = np.sort(post, 1)
    check_binomial(
        int((sorted_post[:, 1:] == sorted_post[:, :-1]).any(1).sum()), lines, 1 - different
    )


UNIFORM, NORMAL = evops.Uniform(0.0, 1.0), evops.Normal(0.0, 1.0)


def weights(law, q=0.3, shape=(2000, 2000), seed=42):
    edges = project(q, shape, seed, law).edges()
    return (np.asarray(edges.weight, np.float64), np.asarray(edges.pre), np.asarray(edges.post))


@pytest.mark.parametrize("q", [0.3, 0.02, evops.FixedOutDegree(300)])
def test_uniform_weights(q):
    w, *_ = weights(UNIFORM, q)
    n = len(w)
    for bins in (1024, 1000):
        check_chi2(
            np.bincount((w * bins).astype(int).clip(0, bins - 1), minlength=bins), n / bins
        ) if n / bins > 50 else None
    check_normal((w.mean() - 0.5) * math.sqrt(12 * n))
    check_normal((((w - 0.5) ** 2).mean() - 1 / 12) * math.sqrt(180 * n))


@pytest.mark.parametrize("q", [0.3, 0.02, evops.FixedOutDegree(300)])
def test_normal_weights(q):
    w, *_ = weights(NORMAL, q)
    n = len(w)
    check_normal(w.mean() * math.sqrt(n))
    check_normal(((w**2).mean() - 1) * math.sqrt(n / 2))
    check_normal((w**3).mean() * math.sqrt(n / 15))
    check_normal(((w**4).mean() - 3) * math.sqrt(n / 96))
    for u in (1e-4, 1e-3, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999):
        check_binomial(int((w < stats.norm.ppf(u)).sum()), n, u)


@pytest.mark.parametrize("q", [0.3, 0.02])
def test_weights_are_independent_of_positions_neighbours_and_degrees(q):
    w, pre, post = weights(NORMAL, q)
    W = np.full((2000, 2000), np.nan)
    W[pre, post] = w
    size = np.abs(w)
    for variate in (w, size):
        for position in (pre, post, post % 4, post % 32, pre % 2):
            check_normal(correlation(variate, position))
        check_normal(correlation(variate[1:], variate[:-1]))  # next synapse of the same neuron
        gaps = np.where(pre[1:] == pre[:-1], post[1:] - post[:-1], 0)
        inside = gaps > 0
        check_normal(correlation(variate[1:][inside], gaps[inside]))
        check_normal(correlation(variate[:-1][inside], gaps[inside]))
        degree = np.bincount(pre, minlength=2000)
        mean = np.bincount(pre, variate, 2000) / degree
        check_normal(correlation((mean - variate.mean()) * np.sqrt(degree), degree))
    for lag in (1, 2, 4, 64, 1024):
        for a, b in ((W[lag:], W[:-lag]), (W[:, lag:], W[:, :-lag])):
            both = ~np.isnan(a) & ~np.isnan(b)
            check_normal(correlation(a[both], b[both]))
    both = ~np.isnan(W) & ~np.isnan(W.T) & np.triu(np.ones_like(W, bool), 1)
    check_normal(correlation(W[both], W.T[both]))
    other = np.full((2000, 2000), np.nan)
    v, pre, post = weights(NORMAL, q, seed=43)
    other[pre, post] = v
    both = ~np.isnan(W) & ~np.isnan(other)
    check_normal(correlation(W[both], other[both]))


def test_weights_do_not_tell_which_synapses_exist():
    """The weights that a full matrix has, where a sparse one of the same seed has synapses."""
    full = np.asarray(project(evops.AllToAll(), (2000, 2000), law=NORMAL).todense(), np.float64)
    for q in (0.3, 0.1, 0.02):
        chosen = full[drawn(q, (2000, 2000))]
        check_normal(chosen.mean() * math.sqrt(chosen.size))
        check_normal(((chosen**2).mean() - 1) * math.sqrt(chosen.size / 2))
