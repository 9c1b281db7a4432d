"""Counted rules, weights with bounds, delays; with the false-alarm rate of `chance`."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import evops
from chance import (
    check_binomial,
    check_chi2,
    check_normal,
    check_spread,
    correlation,
    project,
)

TOTAL, IN_DEGREE = evops.FixedTotalNumber, evops.FixedInDegree
# numbers of neurons that are powers of two and are not, a fraction and a hundred synapses a pair
COUNTED = [
    (TOTAL(1_000_000), (1000, 777)),
    (TOTAL(1_000_000), (512, 4096)),
    (TOTAL(300_000), (60, 50)),
    (IN_DEGREE(1000), (1000, 777)),
    (IN_DEGREE(250), (512, 4096)),
    (IN_DEGREE(6000), (60, 50)),
]
# one in six is redrawn, none is, both sides, one tail, nearly uniform, an upper bound alone
BOUNDED = [
    evops.Normal(0.1, 0.1, low=0.0),
    evops.Normal(87.8, 8.78, low=0.0),
    evops.Normal(-2.0, 1.0, low=-3.0, high=-1.5),
    evops.Normal(0.0, 1.0, low=5.0, high=5.5),
    evops.Normal(1.0, 10.0, low=0.5, high=1.5),
    evops.Normal(0.0, 2.0, high=1.0),
]
DELAYS = [
    evops.Uniform(3, 12),
    evops.Uniform(0.2, 40.9),
    evops.Normal(15, 7.5, low=1),
    evops.Normal(15, 7.5, low=0.5),
    evops.Normal(8, 4, low=0.5, high=20),
    evops.Normal(60.0, 20.0, low=30.25, high=90.75),
]
# one synapse a pair, and 140
DRAWN = [(0.3, (1500, 1111)), (TOTAL(500_000), (50, 70))]


def edges(rule, shape, seed=42, **options):
    """Pre, post, weight and delay of every synapse."""
    found = project(rule, shape, seed, **options).edges()
    return tuple(None if a is None else np.asarray(a) for a in found)


def counts(rule, shape, seed=42):
    """(n_pre, n_post) numbers of synapses."""
    pre, post, *_ = edges(rule, shape, seed)
    return np.bincount(pre * shape[1] + post, minlength=math.prod(shape)).reshape(shape)


def check_table(table):
    """Rows and columns of a table of counts are independent, given the sums of both."""
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    assert expected.min() > 50
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    check_spread(((table - expected) ** 2 / expected).sum(), freedom)


def check_independent(a, b):
    """Two series of small numbers."""
    columns = b.max() + 1
    table = np.bincount(a * columns + b, minlength=(a.max() + 1) * columns)
    check_table(table.reshape(-1, columns))


def classes(values, n=10):
    """Number of the part, of `n` about equal ones, that each value is in."""
    ends = np.unique(np.quantile(values, np.arange(1, n) / n))
    return np.searchsorted(ends, values, side="left")


def partners(pre, post):
    """Synapses of one pair of neurons: indices of each and of the next."""
    order = np.lexsort((np.arange(len(pre)), post, pre))
    same = (np.diff(pre[order]) == 0) & (np.diff(post[order]) == 0)
    return order[:-1][same], order[1:][same]


@pytest.fixture(params=COUNTED, scope="module", ids=str)
def counted(request):
    return request.param


@pytest.fixture(scope="module")
def matrix(counted):
    return counts(*counted)


def test_degrees(counted, matrix):
    """Multinomial out-degrees, and in-degrees of a fixed total (their chi-square is the variance);
    fixed in-degrees and totals exactly."""
    rule, (n_pre, n_post) = counted
    total = rule.total((n_pre, n_post))
    assert matrix.sum() == total
    sides = [(matrix.sum(1), n_pre)]
    if isinstance(rule, IN_DEGREE):
        assert (matrix.sum(0) == rule.k).all()
    else:
        sides.append((matrix.sum(0), n_post))
    for degree, n in sides:
        check_chi2(degree, total / n)
        for i in (0, 1, n - 2, n - 1):
            check_binomial(int(degree[i]), total, 1 / n)


def test_pre_and_post_are_independent(counted, matrix):
    """Numbers of synapses of a pair: of its own row and column, and beside its neighbours'."""
    rule, (n_pre, n_post) = counted
    if matrix.mean() > 60:
        check_table(matrix)
    # what a column with a fixed sum has in one row it lacks in others
    shared = 1 / (n_pre - 1) if isinstance(rule, IN_DEGREE) else 0
    for lag in (1, 2, 4, 32):
        above, below = matrix[lag:].ravel(), matrix[:-lag].ravel()
        check_normal(correlation(above, below) + shared * math.sqrt(above.size))
        check_normal(correlation(matrix[:, lag:].ravel(), matrix[:, :-lag].ravel()))
    upper = np.triu(np.ones((min(n_pre, n_post),) * 2, bool), 1)
    square = matrix[: len(upper), : len(upper)]
    check_normal(correlation(square[upper], square.T[upper]))


def test_multapses(counted, matrix):
    """Pairs of synapses that join the same two neurons; any two pairs do so independently."""
    rule, (n_pre, n_post) = counted
    if isinstance(rule, IN_DEGREE):
        pairs, p = n_post * math.comb(rule.k, 2), 1 / n_pre
    else:
        pairs, p = math.comb(rule.k, 2), 1 / (n_pre * n_post)
    found = int((matrix * (matrix - 1) // 2).sum())
    check_normal((found - pairs * p) / math.sqrt(pairs * p * (1 - p)))


def test_synapses_of_a_neuron_in_their_order(counted):
    """Targets one, two and eight synapses on, and of the next neuron's first synapse."""
    rule, shape = counted
    pre, post, *_ = edges(rule, shape)
    part = post * 10 // shape[1]
    for lag in (1, 2, 8):
        same = pre[lag:] == pre[:-lag]
        check_independent(part[lag:][same], part[:-lag][same])
    check_independent(part[1:], pre[:-1] % 16)


def test_other_seeds_and_rules_are_unrelated(counted, matrix):
    rule, shape = counted
    others = [(rule, seed) for seed in (43, 42 + 2**32, 42 + 2**31, 42 ^ 1 << 20)]
    fewer = rule.total(shape) // shape[1] - 1
    others += [(TOTAL(fewer * shape[1]), 43), (IN_DEGREE(fewer), 43), (0.3, 43)]
    for other, seed in others:
        found = counts(other, shape, seed)
        check_normal(correlation(matrix.ravel(), found.ravel()))
        check_normal(correlation(matrix.sum(1), found.sum(1)))


def test_a_larger_total_of_one_seed_keeps_the_synapses():
    small, large = (counts(TOTAL(k), (300, 200), 7) for k in (40_000, 41_000))
    assert (small <= large).all()


def many(rule, shape, seeds):
    """(seeds, n_pre, n_post) numbers of synapses."""

    def dense(seed):
        return evops.Projection(rule, 1, shape, seed=seed, backend="native").todense()

    return np.asarray(jax.jit(jax.vmap(dense))(jnp.arange(seeds)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "shape"), [(TOTAL(3), (4, 3)), (IN_DEGREE(2), (3, 3)), (IN_DEGREE(1), (5, 4))], ids=str
)
def test_every_small_network_is_as_likely_as_it_should_be(rule, shape):
    """All networks that there are, over seeds one after another; and seeds beside one another."""
    seeds, cells, total = 120_000, math.prod(shape), rule.total(shape)
    drawn = many(rule, shape, seeds).reshape(seeds, cells).astype(np.int64)
    digits = (rule.k + 1) ** np.arange(cells)
    code, seen = np.unique(drawn @ digits, return_counts=True)
    networks = code[:, None] // digits % (rule.k + 1)
    repeats = np.array([math.prod(map(math.factorial, network)) for network in networks])
    if isinstance(rule, IN_DEGREE):
        p = math.factorial(rule.k) ** shape[1] / repeats / shape[0] ** total
    else:
        p = math.factorial(total) / repeats / cells**total
    assert p.sum() == pytest.approx(1)
    check_chi2(seen, seeds * p)
    hit = drawn.clip(max=1)
    for lag in (1, 2, 1024):
        for column in (0, -1):
            check_independent(hit[lag:, 0], hit[:-lag, column])


def test_in_degrees_of_few_neurons():
    """240 slots in a permutation of eight bits: neighbours and multapses over seeds."""
    seeds, n_pre, n_post = 20_000, 6, 120
    drawn = many(IN_DEGREE(2), (n_pre, n_post), seeds)
    check_chi2(drawn.sum((0, 2)), 2 * n_post * seeds / n_pre)
    for lag in (1, 2, 64):
        check_normal(correlation(drawn[:, :, lag:].ravel(), drawn[:, :, :-lag].ravel()))
    check_binomial(int((drawn == 2).sum()), n_post * seeds, 1 / n_pre)


def within(law):
    """The normal distribution between the bounds of a law."""
    low = -math.inf if law.low is None else law.low
    high = math.inf if law.high is None else law.high
    a, b = (low - law.mean) / law.std, (high - law.mean) / law.std
    return stats.truncnorm(a, b, law.mean, law.std)


def check_own(variate, pre, post, other):
    """Numbers of synapses: unrelated to neurons, to their neighbours', and to another seed's.

    `other` has pre, post and number of another seed's synapses.
    """
    part = classes(variate)
    check_independent(part, pre % 16)
    check_independent(part, post % 16)
    for lag in (1, 2):
        check_independent(part[lag:], part[:-lag])
    one, two = partners(pre, post)
    if len(one):
        check_independent(part[one], part[two])
    places = [
        np.arange(len(a)) - np.searchsorted(a, a) + (a.astype(np.int64) << 32)
        for a in (pre, other[0])
    ]
    _, i, j = np.intersect1d(*places, return_indices=True)
    check_independent(part[i], classes(other[2])[j])


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "shape"), DRAWN, ids=str)
@pytest.mark.parametrize("law", BOUNDED, ids=str)
def test_weights_with_bounds(law, rule, shape):
    """Inside the bounds, of the normal distribution between them, each its own."""
    pre, post, w, _ = edges(rule, shape, law=law)
    want = within(law)
    low, high = want.support()
    assert low <= w.min() and w.max() <= high
    n, u = len(w), want.cdf(w.astype(np.float64))
    check_chi2(np.bincount((u * 500).astype(int).clip(0, 499), minlength=500), n / 500)
    for tail in (1e-4, 1e-3, 0.01, 0.99, 0.999, 0.9999):
        check_binomial(int((u < tail).sum()), n, tail)
    check_normal((w.mean(dtype=np.float64) - want.mean()) / want.std() * math.sqrt(n))
    one, two = partners(pre, post)
    assert np.count_nonzero(w[one] == w[two]) <= 1e-4 * len(one)
    check_own(w, pre, post, edges(rule, shape, 43, law=law)[:3])


def shares(law):
    """First step and probability of each: values are rounded, halves up; `Uniform` is whole."""
    if isinstance(law, evops.Uniform):
        first, last = math.ceil(law.low), math.floor(law.high)
        return first, np.full(last - first + 1, 1 / (last - first + 1))
    want = within(law)
    first, last = (math.floor(want.ppf(u) + 0.5) for u in (1e-12, 1 - 1e-12))
    return first, np.diff(want.cdf(np.arange(first, last + 2) - 0.5))


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "shape"), DRAWN, ids=str)
@pytest.mark.parametrize("law", DELAYS, ids=str)
def test_delays(law, rule, shape):
    """As often each step as the law rounds to it, each synapse its own, whatever its weight."""
    pre, post, w, delay = edges(rule, shape, law=evops.Normal(1.0, 0.2), delay=law)
    first, p = shares(law)
    assert first <= delay.min() and delay.max() < first + len(p)
    often = np.flatnonzero(p * len(delay) > 60)
    seen = np.bincount(delay.clip(first + often[0], first + often[-1]) - first)[often[0] :]
    p[often[0]], p[often[-1]] = p[: often[0] + 1].sum(), p[often[-1] :].sum()
    check_chi2(seen, len(delay) * p[often])
    check_independent(classes(delay), classes(w))
    other = edges(rule, shape, 43, delay=law)
    check_own(delay, pre, post, (other[0], other[1], other[3]))


@pytest.mark.parametrize(("rule", "shape"), DRAWN, ids=str)
def test_constant_delays(rule, shape):
    assert set(edges(rule, shape, delay=7)[3].tolist()) == {7}
