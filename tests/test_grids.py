"""Neighbours on a grid: which they are, for every shape of grid, and what is refused."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
import oracle_exact

SHAPES = [(1,), (2,), (7,), (1, 5), (4, 5), (2, 2), (3, 1, 4), (2, 3, 5)]
RADII = [0, 1, math.sqrt(2), math.sqrt(3), 2.5, 40]


def every_case():
    """Shapes and radii in full, the other choices in turn."""
    for k, (grid, radius) in enumerate(itertools.product(SHAPES, RADII)):
        periodic = tuple(bool((k + axis) % 3) for axis in range(len(grid)))
        yield grid, radius, ("euclidean", "chebyshev")[k % 2], periodic, bool(k % 5 == 0)


def project(rule, law=1.0, **options):
    places = math.prod(rule.grid)
    return evops.Projection(rule, law, (places, places), seed=1, **options)


@pytest.mark.parametrize("case", [*every_case()], ids=str)
def test_neighbours_are_the_places_within_the_radius(case):
    rule = evops.Neighbours(*case)
    places = math.prod(rule.grid)
    want = oracle_exact.matrix(("neighbours", *case), 1, places, places)
    assert want.max(initial=0) <= 1 and rule.expected_synapses(want.shape) == want.sum()
    got = project(rule, backend="native")
    np.testing.assert_array_equal(got.todense(), want)
    np.testing.assert_array_equal(np.arange(places) @ got, np.arange(places) @ want)
    np.testing.assert_array_equal(got @ np.arange(places), want @ np.arange(places))


@pytest.mark.thin(6)
@pytest.mark.parametrize("case", [*every_case()], ids=str)
def test_backends_have_the_same_neighbours_weights_and_delays(case):
    rule, options = evops.Neighbours(*case), {"delay": evops.Uniform(1, 6)}
    native, jnp_path = (
        project(rule, evops.Normal(0.5, 0.1), backend=b, **options).edges()
        for b in ("native", "jnp")
    )
    for a, b in zip(native, jnp_path, strict=True):
        np.testing.assert_array_equal(a, b)


def test_four_and_eight_neighbours():
    four, eight = evops.Neighbours((5, 6)), evops.Neighbours((5, 6), metric="chebyshev")
    centre = jnp.zeros(30).at[2 * 6 + 3].set(1)
    cross = [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    square = [[1, 1, 1], [1, 0, 1], [1, 1, 1]]
    for rule, around in ((four, cross), (eight, square)):
        got = (centre @ project(rule)).reshape(5, 6)
        np.testing.assert_array_equal(got[1:4, 2:5], around)
        assert int(got.sum()) == np.sum(around)


@pytest.mark.parametrize("radius", [40, 33])
def test_rows_of_more_synapses_than_a_block_has(radius, backend):
    """Displacements are read 1024 at a time: here 6560 and 4488."""
    case = (90, 90), radius, "chebyshev", (True, False), False
    W = project(evops.Neighbours(*case), backend=backend)
    for pre in (0, 90 * 45 + 45):
        got = (jnp.arange(8100) == pre) @ W
        want = np.zeros(8100)
        want[oracle_exact.neighbours(pre, *case)] = 1
        np.testing.assert_array_equal(got, want)


def test_transforms_and_delays(backend):
    rule = evops.Neighbours((4, 5), periodic=True)
    M = np.asarray(project(rule, backend=backend).todense())
    x = jnp.linspace(-1.0, 1.0, 20)

    def loss(w, x):
        return jnp.sin(x @ project(rule, w, backend=backend)).sum()

    grad_w, grad_x = jax.grad(loss, (0, 1))(jnp.float32(0.5), x)
    cosine = np.cos(0.5 * np.asarray(x) @ M)
    assert float(grad_w) == pytest.approx(cosine @ (np.asarray(x) @ M), abs=1e-4)
    np.testing.assert_allclose(grad_x, 0.5 * M @ cosine, atol=1e-5)
    W = project(rule, delay=3, backend=backend)
    buffer = W.push(x, evops.DelayBuffer.zeros(20, W.max_delay))
    np.testing.assert_allclose(buffer.sums.sum(0), np.asarray(x) @ M, atol=1e-5)


REFUSED = [
    ({"grid": 5}, ValueError, "grid must be 4, 8 or a tuple of 1 to 3 integers, got 5"),
    ({"grid": "ab"}, TypeError, "grid must be 4, 8 or a tuple of 1 to 3 integers, got 'ab'"),
    ({"grid": ()}, ValueError, "grid must have 1 to 3 axes"),
    ({"grid": (2, 2, 2, 2)}, ValueError, "grid must have 1 to 3 axes"),
    ({"grid": (3, 0)}, ValueError, r"grid\[1\] must be an integer from 1"),
    ({"grid": (3, 2.0)}, TypeError, r"grid\[1\] must be an integer, got 2.0"),
    ({"grid": (2**30,)}, ValueError, r"grid\[0\] must be an integer from 1 to 1073741823"),
    ({"grid": (2**16, 2**16)}, ValueError, "the product of grid must be an integer from 1"),
    ({"radius": -1}, ValueError, "radius must be at least 0, got -1"),
    ({"radius": math.nan}, ValueError, "radius must be a finite number"),
    ({"radius": "1"}, TypeError, "radius must be a real number"),
    ({"grid": (4000, 4000), "radius": 600}, ValueError, "radius must reach at most 1048576 places"),
    ({"metric": "taxi"}, ValueError, "metric must be one of .*euclidean.*, got 'taxi'"),
    ({"periodic": (True,)}, ValueError, "periodic must have 2 entries, one for each axis, got"),
    ({"periodic": 1}, TypeError, r"periodic\[0\] must be True or False, got 1"),
    ({"periodic": (True, "no")}, TypeError, r"periodic\[1\] must be True or False"),
    ({"include_self": None}, TypeError, "include_self must be True or False"),
]


@pytest.mark.parametrize(("change", "error", "message"), REFUSED, ids=str)
def test_bad_input(change, error, message):
    with pytest.raises(error, match=message):
        evops.Neighbours(**{"grid": (3, 4), **change})


def test_arrays_are_taken_as_tuples():
    wanted = evops.Neighbours((3, 4), periodic=(True, False))
    found = evops.Neighbours(np.array([3, 4]), periodic=np.array([True, False]))
    assert found == wanted and hash(found) == hash(wanted) and found.grid == (3, 4)


def test_traced_parameters_are_refused():
    with pytest.raises(TypeError, match="radius must be known before compilation"):
        jax.jit(lambda r: evops.Neighbours((3, 4), r).scheme((12, 12)).offsets)(1.0)


GRIDS = [evops.Grid((5, 6)), evops.Grid((4, 5), spacing=0.1, periodic=(True, False))]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_shape_may_have_the_grid(grid):
    places = {"grid": grid.shape, "periodic": grid.periodic}
    wanted = {
        evops.Neighbours(4): evops.Neighbours(**places),
        evops.Neighbours(8): evops.Neighbours(**places, metric="chebyshev"),
        evops.Neighbours(): evops.Neighbours(**places),
        evops.Neighbours(radius=2.5, include_self=True): evops.Neighbours(
            **places, radius=2.5, include_self=True
        ),
    }
    n = len(grid)
    for rule, same in wanted.items():
        assert evops.Projection(rule, 1.0, (grid, grid), seed=1).rule == same
        found = evops.Synapses(rule, 1.0, (grid, grid), seed=1).todense()
        np.testing.assert_array_equal(found, evops.Projection(same, 1.0, (n, n), seed=1).todense())
        assert evops.Projection(same, 1.0, (grid, grid), seed=1).rule == same


def test_neighbours_on_grids_of_one_and_three_axes():
    ring, cube = evops.Grid(7, periodic=True), evops.Grid((3, 3, 3))
    assert evops.Projection(evops.Neighbours(), 1.0, (ring, ring), seed=1).todense().sum() == 14
    W = evops.Projection(evops.Neighbours(radius=1, metric="chebyshev"), 1.0, (cube, cube), seed=1)
    assert W.todense()[13].sum() == 26


TORUS = evops.Grid((5, 6), periodic=True)
LEFT_OPEN = [
    ({"grid": 5}, None, ValueError, "grid must be 4, 8 or a tuple of 1 to 3 integers, got 5"),
    ({"grid": True}, None, TypeError, "grid must be 4, 8 or a tuple of 1 to 3 integers, got True"),
    (
        {"grid": 4, "radius": 2},
        None,
        ValueError,
        "radius must be left out with 4 neighbours, got 2",
    ),
    ({"grid": 8, "metric": "euclidean"}, None, ValueError, "metric must be left out with 8"),
    ({"periodic": True}, None, ValueError, "periodic must be left out where the Grid says it"),
    ({}, (30, 30), ValueError, "shape must be a pair of evops.Grid for .*, got numbers"),
    ({}, (TORUS, 30), ValueError, "shape must be a pair of the same evops.Grid for"),
    ({}, (TORUS, evops.Grid((5, 6))), ValueError, "shape must be a pair of the same evops.Grid"),
    ({}, (evops.Positions(np.ones(3)),) * 2, ValueError, "shape must be a pair of the same evops"),
    ({"grid": 4}, (evops.Grid(9),) * 2, ValueError, "shape must be a pair of grids of two axes"),
    ({"grid": (6, 5)}, (TORUS,) * 2, ValueError, "shape must be a pair of the grid of Neighbours"),
    ({"grid": (5, 6)}, (TORUS,) * 2, ValueError, "shape must be a pair of the grid of Neighbours"),
]


@pytest.mark.parametrize(("given", "shape", "error", "message"), LEFT_OPEN, ids=str)
def test_what_does_not_fit_the_grid_is_refused(given, shape, error, message):
    with pytest.raises(error, match=message):
        evops.Projection(evops.Neighbours(**given), 1.0, shape or (TORUS, TORUS), seed=1)


@pytest.mark.parametrize("shape", [(12, 13), (13, 12), (6, 6)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="shape must have the 12 places of grid=.* on both sides"):
        evops.Projection(evops.Neighbours((3, 4)), 1.0, shape, seed=1)


def test_rules_are_values():
    a, b = evops.Neighbours([3, 4], 1, periodic=True), evops.Neighbours((3, 4), 1.0)
    assert a == evops.Neighbours((3, 4), periodic=(True, True)) != b
    assert hash(a) == hash(evops.Neighbours((3, 4), periodic=True))
    assert a.scheme((12, 12)).offsets == 4 and b.grid == (3, 4)
