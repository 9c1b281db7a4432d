"""Of large matrices pictures show the sample that the documentation says."""

import numpy as np
import pytest

import evops
from evops import plot
from evops.plot.sample import NEURONS_READ, SYNAPSES_READ
from plot_cases import LARGE, PLACES, S, edges, errors, points, segments


def test_the_sample_is_of_the_synapses_and_repeats():
    pre, post, *_ = edges()
    every = set(zip(post.tolist(), pre.tolist(), strict=True))
    first, again, other = (points(plot.dots(S, sample=50, seed=s).lines) for s in (0, 0, 1))
    assert len(first) == 50 and set(map(tuple, first)) <= every
    np.testing.assert_array_equal(first, again)
    assert set(map(tuple, first)) != set(map(tuple, other))
    assert plot.connections(S, sample=50).get_title() == f"50 of {len(pre):,} synapses"


@pytest.fixture
def reads(monkeypatch):
    """The pre neurons of each read of edges; no large matrix may be read whole or stored."""
    found, drawn = [], evops.Projection.edges

    def read(self, pre=None):
        assert pre is not None
        found.append(np.asarray(pre))
        return drawn(self, pre)

    def stored(self, some=None):
        raise AssertionError("expanded")

    monkeypatch.setattr(evops.Projection, "edges", read)
    monkeypatch.setattr(evops.Projection, "tocsr", stored)
    return found


def test_300_million_synapses(reads):
    """A sample as documented: one pre neuron of each of equal ranges, about 250,000 synapses."""
    dots = plot.dots(LARGE)
    (some,) = reads
    share = SYNAPSES_READ / LARGE.rule.expected_synapses(LARGE.shape)
    assert some.size == int(54_772 * share) == 45 <= NEURONS_READ
    bounds = np.arange(46) * 54_772 // 45
    assert ((some >= bounds[:-1]) & (some < bounds[1:])).all()
    shown = points(dots.lines)
    assert len(shown) == 20_000 and set(shown[:, 1]) <= set(some)
    assert dots.get_title() == (
        "20,000 of about 300,000,000 synapses, from 45 of 54,772 pre neurons"
    )
    assert len(segments(plot.connections(LARGE))) == 1000
    placed = plot.positions(LARGE, PLACES)
    assert len(segments(placed)) == 1000 and len(placed.lines[0].get_xdata()) == 20_000
    delays = plot.delays(LARGE)
    heights = delays.patches[0].get_data().values
    assert heights.size == 8 and heights.sum() == np.asarray(LARGE.out_degree())[some].sum()
    assert "of about 300,000,000 synapses" in delays.get_title()
    (bars,) = plot.probability_by_distance(LARGE, PLACES, bins=5).containers
    assert (np.abs(bars.lines[0].get_ydata() - 0.1) < 6 * errors(bars)).all()
    assert all(len(read) == 45 for read in reads) and len(reads) == 5
    row = plot.weights(LARGE, 7, (2, 27_386)).images[0].get_array().compressed()
    assert row.size == np.asarray(LARGE.out_degree())[7]
    both = plot.degrees(LARGE)
    assert [patch.get_data().values.sum() for patch in both.patches] == [54_772] * 4
    assert both.get_title() == "" and len(reads) == 5  # counted by native kernels


def test_degrees_that_are_not_counted(reads, monkeypatch):
    """Out-degrees of a sample, no in-degrees."""
    monkeypatch.setattr("evops.plot.histograms._COUNTED", 1e8)
    ax = plot.degrees(LARGE)
    (some,) = reads
    known = np.asarray(LARGE.out_degree())[some]
    (filled, _) = ax.patches
    heights, bins, _ = filled.get_data()
    np.testing.assert_array_equal(heights, np.histogram(known, bins)[0])
    assert heights.sum() == 45
    assert ax.get_title() == (
        "45 of 54,772 pre neurons; no in-degrees: they need about 300,000,000 synapses"
    )


def test_2000_neurons_are_read_whole_or_in_part(reads):
    part = evops.Projection(evops.FixedProbability(0.2), 1.0, (2000, 2000), seed=1)
    assert "from 200 of 2,000 pre neurons" in plot.connections(part).get_title()
    assert reads[0].size == NEURONS_READ


def test_a_quarter_of_a_million_synapses_are_read_whole():
    whole = evops.Projection(evops.FixedOutDegree(125), 1.0, (2000, 2000), seed=1)
    assert plot.dots(whole).get_title() == "20,000 of 250,000 synapses"
    empty = evops.Projection(evops.FixedProbability(0.0), 1.0, (60, 60), seed=1, delay=3)
    for call in (plot.dots, plot.connections, plot.degrees, plot.delays):
        assert call(empty).get_title() == ""
