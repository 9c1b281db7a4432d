"""Positions, grids, kernels of distance and masks, before any synapse is drawn."""

import math

import numpy as np
import pytest

import evops
from evops import masks
from evops.connectivity import distance_tables, format, position_tree, sampler
from evops.connectivity.distances import _shape_words


def test_positions_of_one_to_three_axes():
    line = evops.Positions([0.0, 1.0, 5.0])
    assert (len(line), line.axes, line.periods) == (3, 1, (None,))
    assert repr(line) == "Positions(3 neurons, 1 axes)"
    space = evops.Positions(np.zeros((4, 3), np.int16), (2, None, 1.5))
    assert space.periods == (2.0, None, 1.5) and space.coordinates.dtype == np.float64
    assert space == evops.Positions(np.zeros((4, 3)), [2.0, None, 1.5])
    assert hash(space) == hash(evops.Positions(np.zeros((4, 3)), [2.0, None, 1.5]))
    assert space != evops.Positions(np.zeros((4, 3)))
    assert len(space[1:3]) == 2 and space[1:3].periods == space.periods
    with pytest.raises(ValueError, match="read-only"):
        space.coordinates[0] = 1
    with pytest.raises(AttributeError, match="does not change"):
        space.periods = ()


def test_positions_are_arrays_to_numpy():
    grid = evops.Grid((2, 3), periodic=True)
    np.testing.assert_array_equal(np.asarray(grid), grid.coordinates)
    assert np.array(grid, np.float32).dtype == np.float32
    with pytest.raises(TypeError, match=r"coordinates must be an array, got Grid.*coordinates"):
        evops.Positions(grid)


def test_populations_may_carry_positions():
    sheet, cells = evops.Grid((4, 5)), evops.Positions(np.zeros((6, 2)))
    p = evops.Populations({"E": sheet, "I": cells, "X": 7})
    assert (p.n, p.size("E"), p.offset("X"), p.names) == (33, 20, 26, ("E", "I", "X"))
    assert p.positions("E") is sheet and p.sides("I", "X") == (cells, 7)
    assert p == evops.Populations({"E": evops.Grid((4, 5)), "I": cells, "X": 7})
    assert hash(p) == hash(evops.Populations({"E": evops.Grid((4, 5)), "I": cells, "X": 7}))
    assert p != evops.Populations({"E": 20, "I": cells, "X": 7})
    with pytest.raises(ValueError, match="population 'X' has no positions: only their number"):
        p.positions("X")
    for ask in (lambda: p.positions("L"), lambda: p.sides("E", "L")):
        with pytest.raises(ValueError, match="unknown population 'L'; there are E, I, X"):
            ask()
    near = evops.FixedProbability(evops.Gaussian(2.0))
    W = evops.Projection(near, 1.0, p.sides("E", "I"), seed=1, delay=2)
    circuit = evops.Circuit(p, {("E", "I"): W})
    spikes = np.zeros(33, bool)
    spikes[:20] = True
    ring = circuit.push(spikes, circuit.buffer())
    np.testing.assert_array_equal(ring.sums.sum(0)[20:26], W.todense().sum(0))


def test_what_is_given_is_copied():
    given = np.zeros((2, 2))
    x = evops.Positions(given)
    given[:] = 7
    assert not x.coordinates.any()


def test_distances_go_the_shorter_way():
    x = evops.Positions([[0.1, 0.1], [0.9, 0.5]], (1.0, None))
    np.testing.assert_allclose(x.displacements(0, x, 1), [-0.2, 0.4])
    np.testing.assert_allclose(x.distances(0, x, np.arange(2)), [0, math.hypot(0.2, 0.4)])


def test_grids_are_numbered_along_the_last_axis_first():
    grid = evops.Grid((2, 3), spacing=(1, 0.5), periodic=(False, True))
    np.testing.assert_array_equal(
        grid.coordinates, [[0, 0], [0, 0.5], [0, 1], [1, 0], [1, 0.5], [1, 1]]
    )
    assert grid.shape == (2, 3) and grid.periods == (None, 1.5)
    assert repr(grid) == "Grid((2, 3), periodic=(False, True))"
    ring = evops.Grid(5, periodic=True)
    assert ring.shape == (5,) and ring.periods == (5.0,)
    unit = evops.Grid((3, 1, 5), normalize=True)
    np.testing.assert_array_equal(unit.coordinates.max(0), [1, 0, 1])


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: evops.Positions(np.zeros((0, 2))), ValueError, "at least 1 neuron"),
        (lambda: evops.Positions(np.zeros((3, 4))), ValueError, r"1 to 3 axes, got \(3, 4\)"),
        (lambda: evops.Positions(np.zeros((3, 2, 1))), ValueError, r"got \(3, 2, 1\)"),
        (lambda: evops.Positions(1.0), ValueError, r"got \(\)"),
        (lambda: evops.Positions([[0, math.nan]]), ValueError, r"got nan at \[0, 1\]"),
        (lambda: evops.Positions([0, math.inf]), ValueError, r"got inf at \[1, 0\]"),
        (lambda: evops.Positions([1j]), TypeError, "real numbers"),
        (lambda: evops.Positions(["a"]), TypeError, "real numbers"),
        (lambda: evops.Positions([[0, 1], [2]]), TypeError, "real numbers"),
        (lambda: evops.Positions([0.0], periodic=0), ValueError, r"periodic\[0\] must be above 0"),
        (lambda: evops.Positions([0.0], periodic=True), TypeError, "length of a period"),
        (lambda: evops.Positions([0.0], periodic=(1, 2)), ValueError, "periodic must have 1 "),
        (lambda: evops.Grid(()), ValueError, "shape must have 1 to 3 axes"),
        (lambda: evops.Grid((1, 2, 3, 4)), ValueError, "shape must have 1 to 3 axes"),
        (lambda: evops.Grid((2, 0)), ValueError, r"shape\[1\] must be an integer from 1"),
        (lambda: evops.Grid(2.5), TypeError, "shape must be a tuple"),
        (lambda: evops.Grid((2**16, 2**16)), ValueError, "product of shape"),
        (lambda: evops.Grid(4, spacing=0), ValueError, r"spacing\[0\] must be above 0, got 0"),
        (lambda: evops.Grid(4, spacing=(1, 1)), ValueError, "spacing must have 1 entries"),
        (lambda: evops.Grid(4, periodic=1.0), TypeError, r"periodic\[0\] must be True or False"),
        (lambda: evops.Grid(4, 2.0, normalize=True), ValueError, "spacing must be left out"),
        (lambda: evops.Gaussian(0), ValueError, "sigma must be above 0, got 0"),
        (lambda: evops.Gaussian(math.nan), ValueError, "sigma must be a finite number"),
        (lambda: evops.Gaussian(1, -1), ValueError, "peak must be above 0, got -1"),
        (lambda: evops.Gaussian(1, cutoff=0), ValueError, "cutoff must be above 0, got 0"),
        (lambda: evops.Gaussian(1, p_min=-0.1), ValueError, "p_min must be at least 0"),
        (lambda: evops.Gaussian(1, mask=0.5), TypeError, "mask must be a mask"),
        (lambda: evops.Exponential("a"), TypeError, "length must be a real number"),
        (lambda: evops.Gamma(0.5), ValueError, "kappa must be at least 1, got 0.5"),
        (lambda: evops.Table((0, 1), (1,)), ValueError, "values must be at least 2 numbers"),
        (lambda: evops.Table((0, 1), (1, 2, 3)), ValueError, "an entry for each of 2 distances"),
        (lambda: evops.Table((1, 0), (1, 2)), ValueError, "distances must rise"),
        (lambda: evops.Table((0, 1, 1, 1), (1, 2, 3, 4)), ValueError, "each at most twice"),
        (lambda: evops.Table((0, 1), (1, -2)), ValueError, "values must be at least 0, got -2"),
        (lambda: evops.FunctionKernel(3), TypeError, "function must be a function of distance"),
        (lambda: evops.FunctionKernel(abs, (2, 1)), ValueError, "breakpoints must rise"),
        (lambda: evops.FunctionKernel(abs, (0,)), ValueError, "breakpoints must rise"),
        (lambda: evops.FunctionKernel(abs, range(1, 17)), ValueError, "at most 15, got 16"),
        (lambda: evops.FunctionKernel(abs, 1.0), TypeError, "breakpoints must be a tuple"),
        (lambda: masks.Ball(0), ValueError, "radius must be above 0, got 0"),
        (lambda: masks.Ball(1, center="a"), TypeError, "center must be a real number"),
        (lambda: masks.Doughnut(2, 1), ValueError, "inner must be below outer = 1"),
        (lambda: masks.Box(1, 1), ValueError, "high must be above low"),
        (lambda: masks.Box((0, 0), (1, 1, 1)), ValueError, "must have 3 entries"),
        (lambda: masks.Ellipse(1.0), TypeError, "a number for each axis"),
        (lambda: masks.Ellipse((1.0, 0.0)), ValueError, r"diameters\[1\] must be above 0"),
        (lambda: masks.Ellipse((1.0,), angle=3), ValueError, "angle must be 0 in one dimension"),
        (lambda: masks.Ball(1) | 3, TypeError, "a mask is combined with masks, got 3"),
    ],
)  # fmt: skip
def test_bad_input(make, error, match):
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize(
    ("kernel", "formula"),
    [
        (evops.Gaussian(0.3, 0.8), lambda d: 0.8 * np.exp(-(d**2) / (2 * 0.3**2))),
        (evops.Exponential(0.3, 0.8), lambda d: 0.8 * np.exp(-d / 0.3)),
        (
            evops.Gamma(2.5, 0.2, scale=0.3),
            lambda d: 0.3 * d**1.5 * np.exp(-d / 0.2) / (0.2**2.5 * math.gamma(2.5)),
        ),
        (evops.Box(0.7, 0.3), lambda d: 0.3 * (d <= 0.7)),
        (evops.Table((0, 1, 2), (0.5, 1, 0)), lambda d: np.interp(d, [0, 1, 2], [0.5, 1, 0])),
        (evops.FunctionKernel(lambda d: 1 / (1 + d)), lambda d: 1 / (1 + d)),
        (evops.FunctionKernel(lambda d: math.exp(-d)), lambda d: np.exp(-d)),
        (evops.FunctionKernel(lambda d: 0.25), lambda d: np.full(d.shape, 0.25)),
        (
            evops.Gaussian(0.3, p_min=0.5),
            lambda d: np.where(d < 0.35323, np.exp(-(d**2) / 0.18), 0),
        ),
        (evops.Gaussian(1, cutoff=0.5), lambda d: np.where(d <= 0.5, np.exp(-(d**2) / 2), 0)),
    ],
)
def test_values_of_kernels(kernel, formula):
    d = np.linspace(0, 2, 501)
    np.testing.assert_allclose(kernel(d), formula(d), rtol=1e-13, atol=1e-15)
    assert float(kernel(0.25)) == kernel(np.array([0.25]))[0]


# With how far the tables of probabilities may be off, relative: promised are 2**-10.
CONTINUOUS = [
    evops.Gaussian(0.1, 0.4, cutoff=0.3),
    evops.Gaussian(3.0),
    evops.Gaussian(0.1, 2**-18),
    evops.Exponential(0.2, 0.7),
    evops.Exponential(1.0, cutoff=1e-3),
    evops.Gamma(1.2, 0.1, scale=0.05),
    evops.Gamma(4.0, 0.1, scale=0.4),
    evops.Box(2.0, 0.3),
    evops.Table((0, 0.5, 1), (0, 1, 0)),
    evops.FunctionKernel(lambda d: 1 - d, cutoff=1.0),
    evops.FunctionKernel(lambda d: (1 + np.cos(40 * d)) / 2, cutoff=1.0),
    evops.FunctionKernel(lambda d: 0.5 - 0.4 * np.sqrt(d), cutoff=1.0),
    evops.FunctionKernel(lambda d: np.where(d < 0.3, 0.9, 0.01 * d), (0.3,), cutoff=1.0),
]


@pytest.mark.parametrize("kernel", CONTINUOUS, ids=repr)
def test_tables_are_as_exact_as_promised(kernel, rng):
    """Near 0, at the cut-off, at jumps, and at random; the error said is the error found."""
    table, top = distance_tables.table_of(kernel, 2), 2**30
    whole = rng.integers(0, top, 30_000)
    log = (2 ** rng.uniform(0, 30, 30_000)).astype(np.int64)
    jumps = [int((b / table.unit) ** 2) for b in kernel.jumps]
    near = np.concatenate(
        [np.arange(3000), top - np.arange(3000), *(b - np.arange(300) for b in jumps)]
    )
    square = np.minimum(np.concatenate([whole, log, near]), top).astype(np.uint32)
    got = looked_up(table, square) / 2**31
    p = kernel.value(np.sqrt(square) * table.unit)
    some = p > 2**-20
    error = np.abs(got - p)[some] / p[some]
    assert error.max() < 2**-10
    assert error.max() <= table.error * 1.5 + 2**-12 and table.error < 2**-10
    assert np.abs(got - p)[~some].max(initial=0) < 2**-30


def looked_up(table, square):
    piece = (square[:, None] >= table.breaks).sum(-1) * format.DISTANCE_SLOTS
    with np.errstate(over="ignore"):
        bits = sampler.slot_bits(square)
        entry = table.slots[piece + sampler.distance_slot(square, bits)]
        at, part = sampler.division(entry, square, bits)
        return sampler.on_line(table.knots[at], table.knots[at + 1], part).astype(float)


@pytest.mark.parametrize("kernel", CONTINUOUS, ids=repr)
def test_bounds_are_the_largest_probability_from_there_on(kernel, rng):
    table = distance_tables.table_of(kernel, 2)
    square = np.sort(rng.integers(0, 2**30, 20_000)).astype(np.uint32)
    p = looked_up(table, square)
    beyond = np.maximum.accumulate(p[::-1])[::-1]
    bits = sampler.slot_bits(square)
    assert (table.bounds[sampler.distance_slot(square, bits)] >= beyond).all()
    assert (np.diff(table.bounds.astype(np.int64)) <= 0).all()


def test_kernels_that_are_no_probabilities_say_where():
    x = evops.Positions(np.zeros((3, 2)))
    for kernel, match in (
        (evops.Gaussian(1, 1.5), r"must be in \[0, 1\] where it is a probability, got 1.5 at 0.0"),
        (evops.FunctionKernel(lambda d: 1 - d, cutoff=2), "must be finite and at least 0 at every"),
        (evops.FunctionKernel(lambda d: d * math.nan, cutoff=2), "got nan at 0.0"),
        (evops.FunctionKernel(lambda d: 0 * d, cutoff=2), "must not be 0"),
        (evops.Gaussian(1, 0.5, p_min=0.5), "must not be 0, or at most p_min"),
        (lambda d: 0.5, "give it a cutoff"),
        (evops.Box(peak=0.5), "give it a cutoff"),
        (evops.Box(peak=0.5, mask=~masks.Ball(1)), "give it a cutoff"),
    ):
        with pytest.raises(ValueError, match=match):
            evops.Projection(evops.FixedProbability(kernel), 1.0, (x, x), seed=1)


def test_sides_that_do_not_fit():
    rule = evops.FixedProbability(evops.Gaussian(0.1, cutoff=1.0))
    flat, line = evops.Positions(np.zeros((3, 2))), evops.Positions(np.zeros(3))
    for shape, error, match in (
        ((3, 3), ValueError, "shape must be a pair of evops.Positions or evops.Grid"),
        ((flat, 3), ValueError, "shape must be a pair of evops.Positions"),
        (flat, TypeError, r"shape must be a pair \(pre, post\)"),
        ((flat, line), ValueError, "equally many axes"),
        ((flat, evops.Positions(np.zeros((3, 2)), 1.0)), ValueError, "the same periods"),
        ((flat, evops.Positions([[7e4, 0]])), ValueError, "of the post neurons must be within"),
        ((evops.Positions([[0, -9e9]]), flat), ValueError, "of the pre neurons must be within"),
        ((evops.Positions(np.zeros((1, 2)), 1e9),) * 2, ValueError, "periods of the pre neurons"),
    ):
        with pytest.raises(error, match=match):
            evops.Projection(rule, 1.0, shape, seed=1)
    small = evops.FixedProbability(evops.Box(peak=1.0, mask=masks.Box((0, 0, 0), (1, 1, 1))))
    with pytest.raises(ValueError, match="low must have 2 entries"):
        evops.Projection(small, 1.0, (flat, flat), seed=1)
    with pytest.raises(ValueError, match="shape must be a pair of evops.Positions"):
        evops.MultiAreaProjection(rule, np.eye(2), 1, pre=3, post=3, seed=1)
    # rules that need none take positions for their numbers
    W = evops.Projection(evops.FixedProbability(0.5), 1.0, (flat, evops.Grid((2, 5))), seed=1)
    assert W.shape == (3, 10)


MASKS = {
    "ball": (masks.Ball(0.5), 2),
    "ball elsewhere": (masks.Ball(0.4, center=(0.3, -0.2)), 2),
    "large ball elsewhere": (masks.Ball(30.0, center=(30.1, 0.0)) & masks.Ball(1), 2),
    "doughnut": (masks.Doughnut(0.3, 0.6), 3),
    "box": (masks.Box((-0.1, -0.5), (0.7, 0.2)), 2),
    "turned box": (masks.Box((-0.1, -0.5), (0.7, 0.2), angle=30), 2),
    "half-space": (masks.Box((-1e9, -1e9), (0.1, 1e9)) & masks.Ball(1), 2),
    "ellipse": (masks.Ellipse((1.6, 0.4), angle=-20), 2),
    "ellipsoid": (masks.Ellipse((1.6, 0.4, 1.0), center=(0.1, 0, 0.2)), 3),
    "union less intersection": (
        (masks.Ball(0.4) | masks.Box(-0.5, 0.3)) - (masks.Ball(0.2) & masks.Box(0, 1)),
        2,
    ),
    "interval": (masks.Ball(0.2, center=0.5), 1),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_in_integers_are_those_in_reals(name, rng):
    mask, axes = MASKS[name]
    unit = min(mask.reach(axes), 1.0) / 2**15
    by = rng.integers(-(2**15), 2**15, (40_000, axes))
    inside = mask.contains(by * unit)
    assert 0.01 < inside.mean() < 0.99
    words = {s: _shape_words(s.frame(axes), unit).astype(np.uint32) for s in mask.shapes()}
    x, y, z = (by[:, k].astype(np.uint32) if k < axes else np.uint32(0) for k in range(3))
    with np.errstate(over="ignore"):
        found = {}
        for shape, w in words.items():
            e = [sampler.in_frame(x, y, z, *w[3 * k : 3 * k + 3]) for k in range(3)]
            found[shape] = sampler.in_shape(*e, *w[9:])
    got = mask.holds(found)
    # Only boundaries are rounded: nothing further from one than three units differs. Those of a
    # ball beyond the cut-off have larger units.
    far = 3 * (32 if "large" in name else 1)
    away = np.all(
        [
            mask.contains((by + far * d) * unit) == inside
            for d in np.array([*np.ndindex(*(3,) * axes)]) - 1
        ],
        0,
    )
    assert (got == inside)[away].all() and away.mean() > 0.9
    assert np.linalg.norm(by[inside] * unit, axis=-1).max() <= mask.reach(axes)


def test_boundaries_belong_to_masks():
    """Places of a grid whose distance is the radius, to within a rounding."""
    grid = evops.Grid((41, 41))
    middle = 20 * 41 + 20
    for radius in (1, 5, 13, 17):
        near = grid.distances(middle, grid, np.arange(len(grid))) <= radius + 1e-9
        for kernel in (
            evops.Box(radius),
            evops.Box(peak=1.0, mask=masks.Ball(radius)),
            evops.Box(20, mask=masks.Ellipse((2 * radius, 2 * radius), angle=90)),
        ):
            W = evops.Projection(
                evops.FixedProbability(kernel), 1.0, (grid[[middle]], grid), seed=1
            )
            np.testing.assert_array_equal(np.asarray(W.todense())[0] > 0, near)


def test_mask_of_too_many_shapes():
    many = masks.Ball(1)
    for k in range(8):
        many = many | masks.Ball(2 + k)
    with pytest.raises(
        ValueError, match="number of shapes of a mask must be an integer from 1 to 8"
    ):
        evops.Box(peak=1.0, mask=many)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 16, 255, 256, 257, 5000])
def test_trees_hold_every_neuron_once_in_boxes(axes, n, rng):
    points = rng.integers(-(2**20), 2**20, (n, axes))
    order = position_tree.order_of(points)
    assert sorted(order.tolist()) == list(range(n))
    for size in (16, 256):
        count = -(-n // size)
        boxes = position_tree.boxes(points[order], size, count + 3)
        for k in range(count):
            some = points[order[k * size : (k + 1) * size]]
            np.testing.assert_array_equal(boxes[:, 0, k], some.min(0))
            np.testing.assert_array_equal(boxes[:, 1, k], some.max(0))
    if n == 5000:  # and boxes are small
        boxes = position_tree.boxes(points[order], 16, n // 16)
        assert np.median(boxes[:, 1] - boxes[:, 0]) < 3 * 2**21 * (16 / n) ** (1 / axes)
