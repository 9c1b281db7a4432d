"""Checks of what is drawn, with a stated false-alarm rate.

Were the seeds drawn anew for every run, all tests together would fail by chance once in 10**6 runs
or less: every comparison takes an equal share of that, and its bound follows from the share. Seeds
are fixed.
"""

import math

import numpy as np
from scipy import stats

import evops

RATE, CHECKS = 1e-6, 2000  # false alarms of all tests; single comparisons in them, at most
DONE = {"checks": 0}


def share(comparisons=1):
    """The false-alarm rate of each of so many comparisons of one check."""
    DONE["checks"] += comparisons
    assert DONE["checks"] <= CHECKS, "more comparisons than the rate was split over"
    return RATE / CHECKS


def check_normal(z):
    """Standard normal numbers, each within its bound; for sums of many terms of known variance."""
    z = np.atleast_1d(z)
    worst = int(np.abs(z).argmax())
    assert abs(z[worst]) < stats.norm.isf(share(z.size) / 2), (worst, z[worst])


def check_binomial(count, n, p):
    """A binomial count, exactly."""
    tail = min(stats.binom.cdf(count, n, p), stats.binom.sf(count - 1, n, p))
    assert tail > share() / 2, (count, n * p)


def check_poisson(count, mean):
    """Rare events out of many."""
    tail = min(stats.poisson.cdf(count, mean), stats.poisson.sf(count - 1, mean))
    assert tail > share() / 2, (count, mean)


def check_chi2(counts, expected):
    """Counts of a multinomial; both tails, as too even is as wrong as too uneven."""
    counts, expected = np.ravel(counts), np.broadcast_to(expected, np.shape(counts)).ravel()
    assert expected.min() > 50
    check_spread(((counts - expected) ** 2 / expected).sum(), counts.size - 1)


def check_spread(squares, freedom):
    """A sum of squares of so many independent standard normal numbers."""
    rate = share()
    low, high = stats.chi2.ppf(rate / 2, freedom), stats.chi2.isf(rate / 2, freedom)
    assert low < squares < high, (low, squares, high)


def project(p, shape=(4000, 4000), seed=42, law=1.0, delay=None):
    rule = p if isinstance(p, evops.Rule) else evops.FixedProbability(p)
    return evops.Projection(rule, law, shape, seed=seed, delay=delay, backend="native")


def correlation(a, b):
    """As a standard normal number, for many independent terms."""
    return np.corrcoef(a, b)[0, 1] * math.sqrt(len(a))
