"""A projection as a dictionary, by way of JSON: the same synapses, weights and delays."""

import json

import jax
import numpy as np
import pytest

import evops
from evops.connectivity.rules import FixedProbability

GRID = evops.Grid((8, 10), periodic=(True, False))
PLACES = evops.Positions(np.random.default_rng(0).random((80, 2)), 1.0)
RING = evops.masks.Doughnut(0.05, 0.25) - ~evops.masks.Box((0, -0.1), 0.6, angle=30)
RULES = {
    "p": (evops.FixedProbability(0.1, autapses=False), (80, 80)),
    "total": (evops.FixedTotalNumber(500), (80, 80)),
    "in": (evops.FixedInDegree(4), (80, 80)),
    "out": (evops.FixedOutDegree(5), (80, 80)),
    "poisson": (evops.PoissonMultiplicity(0.1), (80, 80)),
    "all": (evops.AllToAll(), (80, 80)),
    "published": (evops.LfsrGaps(0.25), (80, 80)),
    "types": (evops.BlockProbability([[0.1, 0.2], [0.4, 0.3]], np.repeat([0, 1], 40)), (80, 80)),
    "distance": (evops.FixedProbability(evops.Gaussian(0.1, mask=RING)), (PLACES, PLACES)),
    "grid": (evops.Neighbours(8), (GRID, GRID)),
}
LAWS = {
    "one": 0.5,
    "normal": evops.Normal(0.5, 0.1, low=0),
    "double": evops.Uniform(np.float16(0.25), np.float16(1)),
    "clipped": evops.Clipped(0.5, 1, low=0.0),
    "scaled": 3 * evops.Projection(evops.AllToAll(), evops.Normal(1, 2), (2, 2), seed=1),
}
LAWS["scaled"] = LAWS["scaled"].law


def again(W, **options):
    return evops.Projection.from_dict(json.loads(json.dumps(W.to_dict())), **options)


def assert_same(W, V):
    assert jax.tree.structure(V) == jax.tree.structure(W)
    assert repr(V) == repr(W)
    for a, b in zip(W.edges(), V.edges(), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype


@pytest.mark.thin(3)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("law", LAWS)
def test_round_trip(rule, law):
    connectivity, shape = RULES[rule]
    W = evops.Projection(
        connectivity, LAWS[law], shape, seed=3, delay=evops.Normal(15, 7.5, low=0.5), backend="jnp"
    )
    assert_same(W, again(W))
    assert_same(W.replace(seed=5), again(W).replace(seed=5))


def test_trained_parameters_are_kept_as_they_are():
    W = evops.Projection(*RULES["p"][:1], LAWS["normal"], (80, 80), seed=3)
    trained = W.replace(law=jax.tree.map(lambda a: a - 3, W.law))
    assert_same(trained, again(trained))


class Halves(evops.Law):
    at: float
    unit_quantile = staticmethod(lambda u: 1.0 * (u > 0.5))

    def loc_scale(self):
        return self.at, 1.0


def test_laws_of_users_are_named_to_from_dict():
    W = evops.Projection(RULES["p"][0], Halves(0.5), (80, 80), seed=3)
    assert_same(W, again(W, classes=[Halves]))
    with pytest.raises(ValueError, match=r"law must have a type of evops.*'Halves'.*classes="):
        again(W)


def test_a_function_of_distance_cannot_be_written():
    kernel = evops.FunctionKernel(lambda d: np.exp(-d), cutoff=0.3)
    W = evops.Projection(FixedProbability(kernel), 0.5, (PLACES, PLACES), seed=1)
    with pytest.raises(TypeError, match=r"rule\.kernel\.function must be made of numbers"):
        W.to_dict()


def test_a_traced_matrix_cannot_be_written():
    with pytest.raises(TypeError, match="must be known"):
        jax.jit(lambda s: evops.Projection(RULES["p"][0], 0.5, (5, 5), seed=s).to_dict())(3)


BAD = {
    "no dictionary": (lambda r: 3, TypeError, "record must be a dictionary"),
    "part": (lambda r: {k: v for k, v in r.items() if k != "law"}, ValueError, "must have sampler"),
    "more": (lambda r: {**r, "x": 1}, ValueError, "record must have"),
    "version": (lambda r: {**r, "sampler_version": 0}, ValueError, "SAMPLER_VERSION .* than in 0"),
    "type": (lambda r: {**r, "rule": {"type": "os.system"}}, ValueError, "rule must have a type"),
    "no rule": (lambda r: {**r, "rule": 3}, TypeError, "rule must be a connectivity rule"),
    "field": (lambda r: {**r, "rule": {"type": "FixedProbability"}}, ValueError, "must have autap"),
    "p": (
        lambda r: {**r, "rule": {"type": "FixedProbability", "p": 2.0, "autapses": True}},
        ValueError,
        "p must be",
    ),
    "key": (lambda r: {**r, "key": [1]}, TypeError, "key must be two words"),
    "no key": (lambda r: {**r, "key": 3}, TypeError, "key must be"),
    "word": (lambda r: {**r, "key": [1, 2**32]}, ValueError, r"key\[1\] must be"),
    "shape": (lambda r: {**r, "shape": [0, 5]}, ValueError, "shape"),
    "backend": (lambda r: {**r, "backend": "fast"}, ValueError, "backend"),
    "number": (
        lambda r: {**r, "law": {**r["law"], "w": "heavy"}},
        TypeError,
        "w must be a real number",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_records(case):
    spoil, error, message = BAD[case]
    record = evops.Projection(RULES["p"][0], 0.5, (80, 80), seed=3).to_dict()
    with pytest.raises(error, match=message):
        evops.Projection.from_dict(spoil(record))
