"""The law that clips: delays and weights at its bounds, beside the law that draws again."""

import jax
import numpy as np
import pytest
from scipy import stats

import evops
from chance import check_binomial, check_normal, project
from evops.connectivity.delay_tables import discretise


def shares(law):
    """Probability of every delay of the table."""
    table = discretise(law)
    edges = project(0.2, (1000, 1000), 7, delay=law).edges()
    return table, np.asarray(edges.delay)


def test_delays_are_clipped():
    """Those of a Brian2 script: clip(d + s randn, 0.1 ms, inf), d = 1.5 ms and s = 0.75 ms."""
    law = evops.Clipped(15.0, 7.5, low=1)
    table, delay = shares(law)
    assert table.shortest == 1
    for d in (1, 2, 15):
        ends = [(d + s - 15) / 7.5 for s in (-0.5, 0.5)]
        p = stats.norm.cdf(ends[1]) - (stats.norm.cdf(ends[0]) if d > 1 else 0)
        check_binomial(int((delay == d).sum()), delay.size, p)
    redrawn = project(0.2, (1000, 1000), 7, delay=evops.Normal(15.0, 7.5, low=0.5)).edges().delay
    assert (np.asarray(redrawn) == 1).mean() < 0.5 * (delay == 1).mean()


def test_both_bounds():
    _, delay = shares(evops.Clipped(5.0, 3.0, low=3, high=6))
    assert set(np.unique(delay)) == {3, 4, 5, 6}
    check_binomial(int((delay == 6).sum()), delay.size, stats.norm.sf(0.5 / 3))


def test_weights_are_clipped(backend):
    law = evops.Clipped(0.3, 1.0, low=0.0, high=1.0)
    W = evops.Projection(evops.FixedProbability(0.5), law, (400, 400), seed=2, backend=backend)
    w = np.asarray(W.edges().weight)
    assert w.min() >= 0 and w.max() <= 1
    # what is left between the bounds is normal; a slot of quantiles lies at each bound
    z = stats.norm.cdf([(x - 0.3) for x in (0.1, 0.5, 0.9)])
    for x, p in zip((0.1, 0.5, 0.9), z, strict=True):
        check_normal(((w <= x).mean() - p) * np.sqrt(w.size / (p * (1 - p))) * 0.95)
    assert abs((w < 0.01).mean() - stats.norm.cdf(0.01 - 0.3)) < 0.004
    np.testing.assert_array_equal(W.tocsr().todense(), W.todense())


def test_one_value_is_a_constant():
    assert evops.Clipped(2.0, 0.0, low=3.0).loc_scale() == (3.0, 0.0)
    assert evops.Clipped(9.0, 0.0, low=3.0, high=5.0).loc_scale() == (5.0, 0.0)
    assert discretise(evops.Clipped(0.2, 0.0, low=1)).shortest == 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ((1.0, -1.0), "std must be at least 0, got -1.0"),
        ((1.0, 1.0, 3.0, 2.0), "high must be at least low = 3.0, got 2.0"),
        ((0.0, 1.0, 7.0), "make one value of a normal distribution .* use a Constant"),
        ((0.0, 1.0, None, -7.0), "use a Constant"),
        ((0.0, 1.0, 2.0, 2.0), "use a Constant"),
        ((np.nan, 1.0), "mean must be finite"),
        ((0.0, 1.0, "0"), "low must be a real number"),
    ],
)
def test_parameters_that_are_refused(parameters, message):
    with pytest.raises((TypeError, ValueError), match=message):
        evops.Clipped(*parameters)


def test_traced_parameters_are_refused():
    with pytest.raises(TypeError, match="mean must be known"):
        jax.jit(lambda m: evops.Clipped(m, 1.0).loc_scale())(1.0)
