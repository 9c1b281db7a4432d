"""Weights and delays of distance: the functions they are, on every rule, and what is refused."""

import math

import numpy as np
import pytest

import evops
from chance import check_chi2, check_normal
from evops import masks

RNG = np.random.default_rng(5)
X = evops.Positions(RNG.random((60, 2)), periodic=(1.0, None))
Y = evops.Positions(RNG.random((50, 2)), periodic=(1.0, None))
RULES = {
    "drawn": evops.FixedProbability(0.3),
    "by distance": evops.FixedProbability(evops.Gaussian(0.2, 0.9)),
    "counted": evops.FixedTotalNumber(700),
    "stored": evops.FixedInDegree(9, multapses=False),
    "near": evops.FixedOutDegree(9, p=evops.Gaussian(0.2)),
}


def distances(S, pre=X, post=Y):
    i, j, *_ = map(np.asarray, S.edges())
    by = pre.coordinates[i] - post.coordinates[j]
    by[:, 0] -= np.round(by[:, 0])
    return np.hypot(*by.T)


@pytest.mark.parametrize("backend", ["native", "jnp"])
@pytest.mark.parametrize("name", RULES)
def test_weights_and_delays_follow_from_distance(name, backend):
    def store(law, delay):
        return evops.Synapses(RULES[name], law, (X, Y), seed=3, delay=delay, backend=backend)

    law, delay = evops.Normal(2.0, 0.5), evops.DistanceDelay(0.02, 0.5, 1.0)
    S, plain = store(evops.DistanceWeight(lambda d: 1 - 3 * d, law), delay), store(law, None)
    d = distances(S)
    np.testing.assert_array_equal(S.indices, plain.indices)
    np.testing.assert_allclose(S.data, plain.data * (1 - 3 * d), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(S.delay, np.floor((d / 0.02 + 1.0) / 0.5 + 0.5))
    one = store(evops.DistanceWeight(evops.Gaussian(0.3, 2.0)), 3)
    np.testing.assert_allclose(one.data, 2 * np.exp(-0.5 * (d / 0.3) ** 2), rtol=1e-6)
    np.testing.assert_array_equal(one.delay, 3)


@pytest.mark.parametrize("name", RULES)
def test_backends_and_threads_agree(name):
    law = evops.DistanceWeight(evops.Exponential(0.2), evops.Uniform(1, 2))
    delay = evops.DistanceDelay(0.1, 0.5, evops.Normal(3.0, 0.5, low=0.0))
    native, jnp = (
        evops.Synapses(RULES[name], law, (X, Y), seed=3, delay=delay, backend=backend)
        for backend in ("native", "jnp")
    )
    for a, b in zip(native.edges(), jnp.edges(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_offsets_are_drawn_apart_from_each_other():
    n = 300
    x = evops.Positions(np.zeros((n, 1)))
    offset = evops.Normal(20.0, 3.0)
    delay = evops.DistanceDelay(1.0, 0.01, offset)
    S = evops.Synapses(evops.AllToAll(), offset, (x, x), seed=8, delay=delay)
    z = (np.asarray(S.delay) * 0.01 - 20.0) / 3.0
    check_normal(z.mean() * math.sqrt(z.size))
    check_normal((z.var() - 1) * math.sqrt(z.size / 2))
    weight = (np.asarray(S.data) - 20.0) / 3.0
    check_normal((z * weight).mean() * math.sqrt(z.size))  # not those of the weights
    table = z.reshape(n, n)
    check_normal((table[:, 1:] * table[:, :-1]).mean() * math.sqrt(z.size))
    counts = np.bincount((np.vectorize(math.erf)(z / math.sqrt(2)) * 10 + 10).astype(int) // 1)
    check_chi2(counts[:20], np.full(20, z.size / 20))


def test_delays_are_at_least_a_step_and_halves_are_rounded_up():
    x = evops.Positions([0.0, 0.4, 1.5, 2.5, 2.4])
    here = x[:1]
    S = evops.Synapses(evops.AllToAll(), 1.0, (here, x), seed=1, delay=evops.DistanceDelay(1.0))
    assert S.todense().shape == (1, 5) and S.delay.tolist() == [1, 1, 2, 3, 2]


def test_a_kernel_ends_where_its_cut_off_mask_and_p_min_say():
    x = evops.Grid(9)
    here = x[4:5]

    def row(kernel):
        law = evops.DistanceWeight(kernel)
        return evops.Synapses(evops.AllToAll(), law, (here, x), seed=1).todense()[0].tolist()

    assert row(evops.Box(2)) == [0, 0, 1, 1, 1, 1, 1, 0, 0]
    assert row(evops.Exponential(1e9, cutoff=1)) == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    right = masks.Box((0,), (3,))
    assert row(evops.Exponential(1e9, mask=right)) == [0, 0, 0, 0, 1, 1, 1, 1, 0]
    table = evops.Table((0, 4), (1, 0), p_min=0.5)
    assert row(table) == [0, 0, 0, 0.75, 1, 0.75, 0, 0, 0]


@pytest.mark.parametrize("weights", ["float16", "bfloat16", "float32"])
def test_weights_keep_the_type_of_the_law(weights):
    import jax.numpy as jnp

    law = evops.DistanceWeight(lambda d: d, evops.Constant(jnp.asarray(2, weights)))
    S = evops.Synapses(evops.AllToAll(), law, (X, Y), seed=1)
    assert S.dtype == jnp.dtype(weights)
    rtol = 0.01 if weights == "bfloat16" else 1e-3
    np.testing.assert_allclose(S.data.astype("float32"), 2 * distances(S), rtol=rtol)


# ---- Gaussians and their differences ----
def dense(rule, law, grid):
    S = evops.Synapses(rule, law, (grid, grid), seed=1)
    pairs = np.zeros(S.shape, bool)
    pairs[tuple(map(np.asarray, S.edges()[:2]))] = True
    return S.todense(), pairs


def all_distances(grid):
    n = np.arange(len(grid))
    return grid.distances(n[:, None], grid, n)


GRID = evops.Grid((12, 15), normalize=True)
DOGS = [
    ((0.08, 0.15), (1.0, 0.7), None),
    ((0.08, 0.15), (1.0, 0.7), 0.01),
    ((0.15, 0.08), (0.5, 1.0), 0.05),  # negative in the middle
    ((0.1, 0.1), (1.0, 0.4), 0.1),
    ((0.2, 0.1), (1.0, 1.0), 0.1),  # nothing in the middle
    ((0.1, 0.3), (1.0, 0.02), 0.015),
]


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("w_max", [1.0, -2.5])
def test_gaussian_weights(w_max, include_self):
    for w_min in (None, 0.3):
        pair = evops.GaussianWeight(0.1, w_max, w_min, include_self=include_self)
        weights, found = dense(*pair, GRID)
        wanted = w_max * np.exp(-0.5 * (all_distances(GRID) / 0.1) ** 2)
        exists = np.abs(wanted) >= (0.01 * abs(w_max) if w_min is None else w_min)
        exists &= include_self | ~np.eye(len(GRID), dtype=bool)
        np.testing.assert_array_equal(found, exists)
        np.testing.assert_allclose(weights, np.where(exists, wanted, 0), rtol=1e-6)


@pytest.mark.parametrize(("sigmas", "ws_max", "w_min"), DOGS)
def test_differences_of_gaussians(sigmas, ws_max, w_min):
    weights, found = dense(*evops.DifferenceOfGaussians(sigmas, ws_max, w_min), GRID)
    parts = [
        w * np.exp(-0.5 * (all_distances(GRID) / s) ** 2)
        for s, w in zip(sigmas, ws_max, strict=True)
    ]
    wanted = parts[0] - parts[1]
    least = 0.01 * abs(ws_max[0] - ws_max[1]) if w_min is None else w_min
    exists = np.abs(wanted) >= least
    assert 0 < exists.sum() < exists.size
    np.testing.assert_array_equal(found, exists)
    np.testing.assert_allclose(weights, np.where(exists, wanted, 0), rtol=1e-5, atol=1e-7)


def test_without_a_least_weight_all_pairs_exist():
    for make in (
        lambda own: evops.GaussianWeight(0.1, 1.0, 0, include_self=own),
        lambda own: evops.DifferenceOfGaussians((0.1, 0.2), (1, 2), 0, include_self=own),
    ):
        assert dense(*make(True), GRID)[1].all()
        assert (~dense(*make(False), GRID)[1] == np.eye(len(GRID), dtype=bool)).all()


# ---- what is refused ----
PLACES = (X, Y)
LAW = evops.DistanceWeight(evops.Gaussian(0.1))
DELAY = evops.DistanceDelay(1.0)
ALL = evops.AllToAll()
REFUSED = [
    (lambda: evops.DistanceWeight(3), TypeError, "kernel must be a kernel or a function"),
    (lambda: evops.DistanceWeight(LAW.kernel, LAW), ValueError, "law must be a law that is drawn"),
    (lambda: evops.DistanceDelay(0), ValueError, "speed must be above 0, got 0"),
    (lambda: evops.DistanceDelay(math.nan), ValueError, "speed must be a finite number"),
    (lambda: evops.DistanceDelay("1"), TypeError, "speed must be a real number"),
    (lambda: evops.DistanceDelay(1, -1), ValueError, "dt must be above 0, got -1"),
    (lambda: evops.DistanceDelay(1, 1, -1), ValueError, "offset must be at least 0, got -1"),
    (lambda: evops.DistanceDelay(1, 1, "x"), TypeError, "offset must be a real number"),
    (lambda: evops.DistanceDelay(1, 1, DELAY), ValueError, "offset must be a law that is drawn"),
    (lambda: evops.GaussianWeight(0), ValueError, "sigma must be above 0, got 0"),
    (lambda: evops.GaussianWeight(1, 0), ValueError, "w_max must be any number but 0"),
    (lambda: evops.GaussianWeight(1, 1, 2), ValueError, r"w_min must be at most \|w_max\| = 1.0"),
    (lambda: evops.GaussianWeight(1, 1, -1), ValueError, "w_min must be at least 0, got -1"),
    (lambda: evops.DifferenceOfGaussians(1, (1, 2)), ValueError, "sigmas must be two numbers"),
    (lambda: evops.DifferenceOfGaussians((1, 0), (1, 2)), ValueError, r"sigmas\[1\] must be above"),
    (lambda: evops.DifferenceOfGaussians((1, 2), (1,)), ValueError, "ws_max must be two numbers"),
    (lambda: evops.DifferenceOfGaussians((1, 2), (1, 0.7), 9), ValueError, "w_min must be below"),
    (lambda: evops.Synapses(ALL, LAW, (3, 3), seed=1), ValueError, "Positions .* for law="),
    (lambda: evops.Synapses(ALL, LAW, (X, 3), seed=1), ValueError, "Positions .* for law="),
    (
        lambda: evops.Synapses(ALL, 1, (3, 3), seed=1, delay=DELAY),
        ValueError,
        "Positions .* for delay=",
    ),
    (
        lambda: evops.Synapses(ALL, LAW, (X, evops.Grid((5, 5))), seed=1),
        ValueError,
        "positions must have the same periods",
    ),
    (
        lambda: evops.Synapses(ALL, evops.DistanceWeight(lambda d: d / 0), PLACES, seed=1),
        (ValueError, ZeroDivisionError),
        "finite|division",
    ),
    (
        lambda: evops.Synapses(ALL, evops.DistanceWeight(lambda d: np.log(0 * d)), PLACES, seed=1),
        ValueError,
        "must be finite at every distance, got -inf at",
    ),
    (
        lambda: evops.Synapses(ALL, 1, PLACES, seed=1, delay=evops.DistanceDelay(1e-12)),
        ValueError,
        "delay must be at most 2147483646 steps",
    ),
    (lambda: evops.Projection(ALL, LAW, PLACES, seed=1), ValueError, "law must be .*Synapses"),
    (
        lambda: evops.Projection(ALL, 1, PLACES, seed=1, delay=DELAY),
        ValueError,
        "delay must be a law that is drawn again .*Synapses",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
