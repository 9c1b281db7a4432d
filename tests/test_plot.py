"""Pictures show what the data are."""

import inspect

import matplotlib.axes
import numpy as np
import pytest
from matplotlib import pyplot

import evops
from evops import plot
from plot_cases import CALLS, GRID, NEAR, S, W, edges, errors, points, segments


@pytest.fixture(params=["drawn", "learned", "stored", "by columns"])
def matrix(request):
    """The same synapses, in every form that is drawn."""
    forms = {"drawn": W, "learned": W.with_weights(S.data), "stored": S, "by columns": S.csc}
    return forms[request.param]


def by_row(rows):
    rows = np.asarray(rows, float)
    return rows[np.lexsort(rows.reshape(len(rows), -1).T)]


@pytest.mark.parametrize("name", plot.__all__)
def test_axes_are_returned_made_or_filled(name):
    made = CALLS[name](None)
    assert isinstance(made, matplotlib.axes.Axes) and made.figure.get_layout_engine() is not None
    assert made.has_data() and (made.get_xlabel() or made.get_xticklabels())
    figure, (first, second) = pyplot.subplots(1, 2)
    assert CALLS[name](second) is second and second.has_data() and not first.has_data()
    assert figure is not made.figure
    figure.canvas.draw()


def test_all_are_called():
    assert list(CALLS) and set(CALLS) == set(plot.__all__)
    for name in plot.__all__:
        assert "ax" in inspect.signature(getattr(plot, name)).parameters


def test_dots_are_the_synapses(matrix):
    pre, post, weight, _ = edges()
    ax = plot.dots(matrix)
    assert sorted(line.get_label() for line in ax.lines) == ["negative weight", "positive weight"]
    for line in ax.lines:
        kept = (weight < 0) == (line.get_label() == "negative weight")
        want = np.stack([post[kept], pre[kept]], 1)
        np.testing.assert_array_equal(by_row(line.get_xydata()), by_row(want))
    assert ax.get_title() == ""  # all of them


def test_lines_lead_from_pre_to_post(matrix):
    pre, post, weight, _ = edges()
    ax = plot.connections(matrix)
    want = np.stack([0 * pre, pre, 0 * post + 1, post], 1)
    np.testing.assert_array_equal(by_row(segments(ax).reshape(-1, 4)), by_row(want))
    assert [len(c.get_segments()) for c in ax.collections] == [
        (weight >= 0).sum(),
        (weight < 0).sum(),
    ]


def test_lines_end_at_the_positions(rng):
    targets = evops.Positions(rng.random((48, 2)))
    pre, post, *_ = edges()
    ax = plot.positions(W, GRID, targets, unit="mm")
    want = np.concatenate([GRID.coordinates[pre], targets.coordinates[post]], 1)
    np.testing.assert_allclose(by_row(segments(ax).reshape(-1, 4).round(9)), by_row(want.round(9)))
    marks = {line.get_label(): line.get_xydata() for line in ax.lines}
    np.testing.assert_array_equal(marks["pre"], GRID.coordinates)
    np.testing.assert_array_equal(marks["post"], targets.coordinates)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (mm)", "y (mm)")


def test_lines_take_the_shorter_way():
    ring = evops.Positions(np.arange(10) / 10, periodic=1.0)
    across = evops.CSR.from_edges([9, 1], [1, 8], 1.0, shape=(10, 10))
    got = segments(plot.positions(across, ring))
    np.testing.assert_allclose(by_row(got[:, :, 0]), [[0.1, -0.2], [0.9, 1.1]], atol=1e-12)
    np.testing.assert_array_equal(got[:, :, 1], [[1, 0], [1, 0]])  # pre neurons above


def test_lines_in_space(rng):
    cloud = evops.Positions(rng.random((48, 3)))
    ax = plot.positions(S, cloud)
    pre, post, weight, _ = edges()
    assert ax.name == "3d"
    for lines, kept in zip(ax.collections, (weight >= 0, weight < 0), strict=True):
        want = np.stack([cloud.coordinates[pre[kept]], cloud.coordinates[post[kept]]], 1)
        np.testing.assert_allclose(np.stack(lines._segments3d), want)
    with pytest.raises(TypeError, match="ax must have three dimensions"):
        plot.positions(S, cloud, ax=pyplot.figure().add_subplot())


@pytest.mark.parametrize("neurons", [7, [7, 20]])
def test_lines_of_some_neurons(neurons):
    pre, *_ = edges()
    wanted = np.isin(pre, neurons)
    for ax in (plot.connections(S, neurons=neurons), plot.positions(W, GRID, neurons=neurons)):
        assert len(segments(ax)) == wanted.sum()
        assert "pre neuron" in ax.get_title()


def test_matrices_of_pairs():
    other = evops.Grid((5, 2))
    by = np.linalg.norm(GRID.coordinates[:, None] - other.coordinates, axis=-1)
    image = plot.distance_matrix(GRID, other, unit="µm").images[0]
    np.testing.assert_allclose(image.get_array(), by)
    assert image.colorbar.ax.get_ylabel() == "distance (µm)"
    for p in (NEAR, NEAR.p, lambda d: 0.7 * np.exp(-((d / 2) ** 2) / 2)):
        if not isinstance(p, evops.FixedProbability | evops.Kernel):
            p = evops.FunctionKernel(p, cutoff=30.0)
        image = plot.probability_matrix(p, GRID, other).images[0]
        np.testing.assert_allclose(image.get_array(), 0.7 * np.exp(-(by**2) / 8))
    same = plot.probability_matrix(evops.FixedProbability(0.3, autapses=False), GRID).images[0]
    np.testing.assert_array_equal(same.get_array(), 0.3 * (1 - np.eye(48)))


def test_a_mask_is_seen():
    right = evops.masks.Box((0.5, -9), (9, 9))
    shown = plot.probability_matrix(evops.Gaussian(2.0, mask=right), GRID).images[0].get_array()
    by = GRID.coordinates[:, 0] - GRID.coordinates[:, :1]  # from row to column
    assert ((shown > 0) == (by > 0)).all()


def test_large_matrices_of_pairs_are_thinned():
    line = evops.Grid(3000)
    ax = plot.distance_matrix(line)
    shown = ax.images[0].get_array()
    assert shown.shape == (500, 500) and shown[0, -1] == 2999
    assert ax.get_title() == "500 × 500 of 3,000 × 3,000" and ax.get_xlim() == (-0.5, 2999.5)


def test_probability_by_distance_counts_pairs(matrix):
    place = None if hasattr(matrix, "rule") or hasattr(matrix, "projection") else GRID
    ax = plot.probability_by_distance(matrix, place, kernel=NEAR.p, bins=12, unit="mm")
    pre, post, *_ = edges()
    by = np.linalg.norm(GRID.coordinates[:, None] - GRID.coordinates, axis=-1)
    other = ~np.eye(48, dtype=bool)
    (bars,) = ax.containers
    x, y = bars.lines[0].get_data()
    bins = np.linspace(0, ax.get_xlim()[1], 13)
    pairs = np.histogram(by[other], bins)[0]
    hits = np.histogram(by[pre, post][pre != post], bins)[0]
    np.testing.assert_allclose(y, hits[pairs > 0] / pairs[pairs > 0])
    total = np.histogram(by[other], bins, weights=by[other])[0]
    np.testing.assert_allclose(x, total[pairs > 0] / pairs[pairs > 0])
    line = next(line for line in ax.lines if line.get_label() == "kernel")
    d, value = line.get_data()
    np.testing.assert_allclose(value, NEAR.p(d))
    assert ax.get_xlabel() == "distance (mm)"


def test_probability_by_distance_finds_the_kernel():
    """Within 6 standard errors in every bin; one seed in 10^7 has one outside."""
    torus = evops.Grid((50, 40), periodic=True)
    near = evops.FixedProbability(evops.Exponential(6.0, 0.8))
    drawn = evops.Projection(near, 1.0, (torus, torus), seed=8)
    (bars,) = plot.probability_by_distance(drawn, bins=15).containers
    assert len(bars.lines[0].get_xdata()) == 15
    by = torus.distances(0, torus, np.arange(1, 2000))
    bins = np.linspace(0, bars.lines[0].axes.get_xlim()[1], 16)
    pairs = np.histogram(by, bins)[0]
    mean = np.histogram(by, bins, weights=near.p(by))[0] / pairs
    assert (np.abs(bars.lines[0].get_ydata() - mean) < 6 * errors(bars)).all()


def test_degrees_are_counted(matrix):
    ax = plot.degrees(matrix)
    pre, post, *_ = edges()
    names = [patch.get_label() for patch in ax.patches[::2]]
    assert [name.partition(":")[0] for name in names] == ["out-degree", "in-degree"]
    for patch, ids in zip(ax.patches[::2], (pre, post), strict=True):
        counts = np.bincount(np.bincount(ids, minlength=48))
        heights, bins, _ = patch.get_data()
        np.testing.assert_array_equal(np.diff(bins), 1)
        want = [counts[int(c)] if c < len(counts) else 0 for c in bins[:-1] + 0.5]
        np.testing.assert_array_equal(heights, want)
        assert heights.sum() == 48


@pytest.mark.parametrize(("side", "n"), [("out", 300), ("in", 700)])
def test_wide_degrees_have_wide_bins(side, n):
    wide = evops.Projection(evops.FixedProbability(0.9), 1.0, (300, 700), seed=1)
    ax = plot.degrees(wide, side=side)
    heights, bins, _ = ax.patches[0].get_data()
    assert heights.sum() == n and len(heights) <= 60 and len(set(np.diff(bins))) == 1
    known = np.asarray(wide.out_degree() if side == "out" else wide.in_degree())
    np.testing.assert_array_equal(heights, np.histogram(known, bins)[0])
    assert len(ax.patches) == 2  # of one side


def test_delays_are_counted(matrix):
    *_, delay = edges()
    heights, bins, _ = plot.delays(matrix).patches[0].get_data()
    counts = np.bincount(delay)
    np.testing.assert_array_equal(heights, [counts[int(d)] for d in bins[:-1] + 0.5])
    ax = plot.delays(matrix, dt=0.1)
    np.testing.assert_allclose(ax.patches[0].get_data().edges, bins * 0.1)
    assert ax.get_xlabel() == "delay (ms)"


@pytest.mark.parametrize("side", ["out", "in"])
def test_weights_are_an_image(matrix, side):
    ax = plot.weights(matrix, 20, GRID, side=side)
    dense = np.asarray(W.todense())
    want = (dense[20] if side == "out" else dense[:, 20]).reshape(6, 8)
    image = ax.images[0].get_array()
    np.testing.assert_allclose(image.filled(0), want, rtol=1e-6)
    np.testing.assert_array_equal(image.mask, want == 0)
    assert ax.images[0].get_clim()[0] == -ax.images[0].get_clim()[1]  # both signs: 0 in the middle
    np.testing.assert_array_equal(points(ax.lines), [[4, 2]])  # 20 = 2 * 8 + 4


def test_weights_are_a_surface():
    ax = plot.weights(S, 20, (6, 8), surface=True)
    want = np.asarray(W.todense())[20].reshape(6, 8)
    corners = np.array([want[:-1, :-1], want[:-1, 1:], want[1:, :-1], want[1:, 1:]])
    np.testing.assert_allclose(
        np.sort(ax.collections[0].get_array()), np.sort(corners.mean(0).ravel()), atol=1e-6
    )


def test_weights_of_one_sign_begin_at_0():
    ones = evops.CSR.from_edges([0, 0, 0], [1, 1, 5], [1.0, 2.0, 0.5], shape=(4, 6))
    ax = plot.weights(ones, 0, (2, 3))
    np.testing.assert_array_equal(ax.images[0].get_array().filled(0), [[0, 3, 0], [0, 0, 0.5]])
    assert ax.images[0].get_clim() == (0, 3) and not ax.lines


def test_raster_dots_are_the_spikes(rng):
    times, neurons = np.sort(rng.random(500) * 90), rng.integers(0, 30, 500)
    got = points(plot.raster(times, neurons, marker="o").lines)
    np.testing.assert_array_equal(got, np.stack([times, neurons], 1))
    ax = plot.raster(times, neurons, populations=evops.Populations({"E": 20, "I": 10}), ms=3)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["E", "I"]
    assert [len(line.get_xdata()) for line in ax.lines] == [
        (neurons < 20).sum(),
        (neurons >= 20).sum(),
    ]
    assert len({line.get_color() for line in ax.lines}) == 2
    some = plot.raster(times, neurons, sample=100)
    assert some.get_title() == "100 of 500 spikes"
    kept = points(some.lines)
    assert len(kept) == 100 and set(map(tuple, kept)) <= set(zip(times, neurons, strict=True))


def test_rates_are_those_of_bins(rng):
    steps = np.sort(rng.integers(0, 1000, 800))
    ax = plot.rates(steps * 0.1, 25, bin=5.0, end=100.0)
    heights, bins, _ = ax.patches[0].get_data()
    # in whole steps, no time is rounded
    counts = np.histogram(steps, np.arange(0, 1001, 50))[0]
    np.testing.assert_allclose(heights, counts / 25 / 5e-3)
    np.testing.assert_allclose(bins, np.arange(0, 101, 5))
    assert len(plot.rates(steps * 0.1, 25, bin=7.0, end=100.0).patches[0].get_data().values) == 14
    assert plot.rates([], 3).patches[0].get_data().values.tolist() == [0]


def test_rate_map_is_an_image():
    rates = np.arange(6.0).reshape(2, 3)
    ax = plot.rate_map(rates, begin=10, end=40, names=["V1", "V2"])
    np.testing.assert_array_equal(ax.images[0].get_array(), rates)
    assert ax.images[0].get_extent() == [10, 40, 1.5, -0.5]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["V1", "V2"]


def test_potential_and_spikes():
    ax = plot.potential([0.0, 1.0, 2.0], [-60.0, -50.0, -65.0], spikes=[1.0], lw=2)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[0, -60], [1, -50], [2, -65]])
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), [1.0])
    assert ax.lines[0].get_linewidth() == 2
