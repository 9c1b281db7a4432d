"""Projection: values against the dense product, its surface, seeds, laws and errors."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
from chance import check_binomial, check_normal
from evops.engine import ops
from fuzz_values import Exponential

SHAPE = (30, 23)
RULES = {
    "p=0.4": evops.FixedProbability(0.4),
    "p=0.1": evops.FixedProbability(0.1, autapses=False),
    "k=5": evops.FixedOutDegree(5),
    "k=40": evops.FixedOutDegree(40, multapses=True),
    "one to one": evops.OneToOne(),
    "neighbours": evops.Neighbours((5, 6)),
    "all to all": evops.AllToAll(autapses=False),
    "published": evops.LfsrGaps(0.2),
}
LAWS = {
    "constant": evops.Constant(1.5),
    "uniform": evops.Uniform(-1.0, 2.0),
    "normal": evops.Normal(0.5, 0.25),
}


def project(rule="p=0.4", law=1.5, shape=None, seed=7, backend=None):
    shape = shape or (SHAPE if rule not in ("one to one", "neighbours") else (SHAPE[0],) * 2)
    rule = RULES[rule] if isinstance(rule, str) else rule
    law = LAWS[law] if isinstance(law, str) else law
    return evops.Projection(rule, law, shape, seed=seed, backend=backend)


def dense(W):
    return np.asarray(W.todense(), np.float64)


def close(got, want, result=np.float32, steps=8):
    """Equal to some steps of the result's precision, relative to the largest entry."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    tolerance = steps * float(jnp.finfo(result).eps) * max(1.0, np.abs(want).max(initial=0))
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


def directions(W):
    """Products with a vector, each with the matrix it multiplies by from the left."""
    M = dense(W)
    return (
        (lambda x: x @ W, M.T),
        (lambda x: W @ x, M),
        (lambda x: x @ W.T, M),
        (lambda x: W.T @ x, M.T),
    )


@pytest.mark.thin(7)
@pytest.mark.parametrize(
    ("rule", "law"), [*itertools.product(RULES, ["constant", "normal"]), ("p=0.4", "uniform")]
)
def test_products_of_every_dtype(rule, law, backend, rng):
    W = project(rule, law, backend=backend)
    assert dense(W).any()
    for product, M in directions(W):
        for dtype in ("bool", "int8", "uint8", "int32", "float16", "bfloat16", "float32"):
            x = jnp.asarray(rng.integers(0, 3, M.shape[1])).astype(dtype)
            y = product(x)
            assert y.dtype == np.float32 and y.shape == M.shape[:1]
            close(y, M @ np.asarray(x, np.float64))


@pytest.mark.thin(9)
@pytest.mark.parametrize("rule", ["p=0.4", "p=0.1", "k=5", "published"])
def test_more_neurons_than_are_walked_side_by_side(rule, rng):
    """In jnp: then those that fired are looked for, some at a time."""
    W, native = (
        evops.Projection(RULES[rule], LAWS["normal"], (2600, 40), seed=7, delay=1, backend=backend)
        for backend in ("jnp", "native")
    )
    buffers = [evops.DelayBuffer.zeros(40, 2) for _ in range(2)]
    for rate in (0, 0.01, 0.6, 1):
        x = rng.random(2600) < rate
        close(x @ W, x @ native)
        close(*(w.push(x, b).sums for w, b in zip((W, native), buffers, strict=True)))


@pytest.mark.thin(9)
@pytest.mark.parametrize("law", ["constant", "normal"])
def test_float64(law, backend, rng):
    with jax.enable_x64(True):
        W = project("p=0.4", law, backend=backend)
        for product, M in directions(W):
            x = rng.normal(size=M.shape[1])
            assert product(x).dtype == np.float64
            close(product(x), M @ x, np.float32 if law != "constant" else np.float64)
        double = type(LAWS[law])(*(np.float64(v) for v in jax.tree.leaves(LAWS[law])))
        W = project("p=0.1", double, backend=backend)
        assert W.dtype == W.todense().dtype == np.float64
        for product, M in directions(W):
            x = rng.normal(size=M.shape[1])
            assert product(x > 0).dtype == product(x.astype(np.float32)).dtype == np.float64
            close(product(x), M @ x, np.float64)


@pytest.mark.thin(15)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int32", "int8"])
def test_dtype_of_weights(dtype, backend, rng):
    W = project("p=0.4", jnp.asarray(3).astype(dtype), backend=backend)
    assert W.dtype == W.todense().dtype == W.tocsr().dtype == dtype
    for product, M in directions(W):
        x = rng.integers(0, 3, M.shape[1]).astype(np.int32)
        for value in (x > 1, x):
            assert product(value).dtype == dtype
            np.testing.assert_array_equal(np.asarray(product(value), np.float64), M @ value)
        assert product(x.astype(np.float32)).dtype == np.float32
    varied = project("p=0.4", evops.Uniform(0, 2), backend=backend)
    assert varied.dtype == np.float32
    half = project("p=0.4", evops.Normal(*jnp.ones(2, jnp.bfloat16)), backend=backend)
    assert half.dtype == half.edges().weight.dtype == jnp.bfloat16
    close(np.ones(30, bool) @ half, dense(half).sum(0), jnp.bfloat16)


def test_float64_parameters_without_x64_are_float32(backend):
    for law in (np.float64(0.5), evops.Normal(np.float64(0.5), np.float64(0.1))):
        W = project("p=0.4", law, backend=backend)
        assert W.dtype == (np.ones(30) @ W).dtype == np.float32


@pytest.mark.thin(15)
@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 3), (2, 1, 3), (0,), (3, 0)])
def test_batch_axes(batch, backend, rng):
    W = project("p=0.1", "normal", backend=backend)
    M = dense(W)
    x = rng.integers(-1, 2, (*batch, 30)).astype(np.float32)
    y = x @ W  # a numpy array on the left
    assert isinstance(y, jax.Array) and y.shape == (*batch, 23)
    close(y, x @ M)
    for same in (jnp.asarray(x) @ W, W(x), W[...](x), W.T.T(x)):
        np.testing.assert_array_equal(same, y)
    v = rng.normal(size=(*batch, 23, 4)).astype(np.float32)
    assert (W @ v).shape == (*batch, 30, 4)
    close(W @ v, np.matmul(M, v))
    close(x[..., None, :] @ W, x[..., None, :] @ M)


def test_surface(backend):
    W = project("p=0.1", "normal", backend=backend)
    assert W[...] is W and W.T.T is W
    assert W.shape == (30, 23) and W.T.shape == (23, 30)
    assert W.ndim == 2 and W.dtype == W.T.dtype == np.float32
    np.testing.assert_array_equal(W.T.todense(), W.todense().T)
    assert not hasattr(W, "__jax_array__")
    with pytest.raises(TypeError, match=r"W has no entries to index but W\[...\]: 0"):
        W[0]
    with pytest.raises(ValueError, match="x has 29 entries; W expects 30 presynaptic neurons"):
        jnp.ones(29) @ W
    with pytest.raises(ValueError, match="v has 30 entries; W expects 23 postsynaptic neurons"):
        W @ jnp.ones(30)
    with pytest.raises(ValueError, match=r"x has 30 entries; W.T expects 23 postsynaptic neurons"):
        jnp.ones(30) @ W.T
    with pytest.raises(ValueError, match="x has no axes; W expects 30"):
        W(1.0)
    with pytest.raises(TypeError, match="x must be real or bool, got dtype complex64"):
        W(np.ones(30, np.complex64))


def test_repr_says_what_it_is():
    text = repr(project(evops.FixedProbability(0.1), 0.6, (10_000, 5000)))
    assert "Projection(FixedProbability(p=0.1, autapses=True), Constant(w=0.6)" in text
    assert "shape=(10000, 5000)" in text
    assert "about 5e+06 synapses" in text and "CSR would take 40 MB" in text
    assert repr(project().T) == repr(project()) + ".T"
    assert "delay" not in text


def test_repr_says_that_products_ignore_delays():
    rule, shape, steps = evops.FixedProbability(0.1), (10, 20), evops.Uniform(1, 20)
    text = repr(evops.Projection(rule, 1.0, shape, seed=1, delay=steps))
    assert "shape=(10, 20), delay=Uniform(low=1.0, high=20.0)): about" in text
    assert text.endswith("; push heeds delays, x @ W ignores them")


@pytest.mark.parametrize("law", LAWS)
def test_pytree(law, rng):
    W = project("p=0.1", law)
    leaves, tree = jax.tree.flatten(W)
    assert len(leaves) == len(jax.tree.leaves(LAWS[law])) + 1
    assert leaves[-1].dtype == bool and leaves[-1].shape == (32, 2)  # bits of the key
    assert isinstance(hash(tree), int)
    assert tree == jax.tree.structure(project("p=0.1", law, seed=8)) != jax.tree.structure(W.T)
    x = rng.normal(size=30).astype(np.float32)
    np.testing.assert_array_equal(x @ jax.tree.unflatten(tree, leaves), x @ W)
    # any object may stand for a leaf: axes, shapes, masks, the markers of jax
    for stand_in in (object(), None, (), True, jax.ShapeDtypeStruct((), np.float32)):
        again = jax.tree.unflatten(tree, [stand_in] * len(leaves))
        assert again.shape == W.shape and again.rule == W.rule and repr(again)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(W.law)]
    fields = dataclasses.fields(LAWS[law])
    assert names == [f".{f.name}" for f in fields if not f.metadata.get("static")]


def test_leaves_do_not_compile_again(backend):
    traces = []

    @jax.jit
    def call(x, W):
        traces.append(1)
        return x @ W

    for seed, mean in ((1, 0.5), (2, 0.75), (jax.random.key(3), 1.0)):
        W = project("p=0.1", evops.Normal(mean, 0.1), seed=seed, backend=backend)
        np.testing.assert_allclose(call(jnp.ones(30), W), jnp.ones(30) @ W, rtol=1e-6)
    assert len(traces) == 1


def test_edges_of_many_seeds_share_programs():
    before = ops._edges._cache_size()
    counts = {
        len(project("p=0.1", "normal", (200, 300), seed, "jnp").edges().pre) for seed in range(6)
    }
    assert len(counts) == 6 and ops._edges._cache_size() - before <= 2


@pytest.mark.thin(5)
@pytest.mark.parametrize("rule", RULES)
def test_degrees_and_stored_twin(rule, backend, rng):
    W = project(rule, 1.5, backend=backend)
    np.testing.assert_array_equal(W.in_degree(), dense(W).sum(0) / 1.5)
    np.testing.assert_array_equal(W.out_degree(), dense(W).sum(1) / 1.5)
    assert W.in_degree().dtype == W.out_degree().dtype == np.int32
    W = project(rule, "normal", backend=backend)
    stored = W.tocsr()
    assert isinstance(stored, evops.CSR) and stored.shape == W.shape
    assert stored.nnz == int(W.out_degree().sum())
    x, v = rng.random(30) < 0.5, rng.normal(size=W.shape[1]).astype(np.float32)
    close(x @ stored, x @ W)
    close(stored @ v, W @ v)
    close(stored.todense(), W.todense())


def test_spikes_give_the_same_bits_on_every_backend(rng):
    """More than 10**6 synapses: the native product is split over threads."""
    x = rng.random(4000) < 0.9
    for p in (0.1, 0.3):
        native, plain = (
            project(evops.FixedProbability(p), 0.3, (4000, 4000), backend=b)
            for b in ("native", "jnp")
        )
        assert native.rule.expected_synapses(native.shape) > 1e6
        np.testing.assert_array_equal(x @ native, x @ plain)
        np.testing.assert_array_equal(native @ x, plain @ x)
        counts = np.bincount(native.tocsr().to_scipy()[x].indices, minlength=4000)
        np.testing.assert_array_equal(x @ native, np.float32(0.3) * counts.astype(np.float32))
        np.testing.assert_array_equal(jax.jit(lambda W: x @ W)(native), x @ native)


def test_varied_weights_over_threads(rng):
    W = project(evops.FixedProbability(0.3), evops.Normal(0.5, 0.1), (3000, 3000))
    stored = W.tocsr().to_scipy().astype(np.float64)
    x = rng.random(3000) < 0.9
    np.testing.assert_allclose(x @ W, x @ stored, rtol=1e-5)
    np.testing.assert_allclose(W @ x, stored @ x, rtol=1e-5)


def test_seeds(backend):
    def key(seed):
        return tuple(np.asarray(project(seed=seed, backend=backend).key).tolist())

    seeds = [0, 1, -1, 2**32, 2**40 + 1, 2**63, *jax.random.split(jax.random.key(0))]
    assert len({key(s) for s in seeds}) == len(seeds)
    assert key(-1) == key(2**64 - 1) == key(np.int8(-1)) == key(np.array(-1)) == key(jnp.int32(-1))
    assert key(-(2**63)) == key(2**63) and key(jax.random.key(5)) == key(5)
    assert key(2**40) == key(np.int64(2**40)) == key(np.array(2**40))
    assert key(7) == key(jnp.uint32(7)) == key(np.array(7, np.uint8)) == key(np.uint64(7))
    drawn = jax.random.split(jax.random.key(5))[0]
    high, low = np.asarray(jax.random.key_data(drawn)).tolist()
    assert key(drawn) == key((high << 32) + low)
    np.testing.assert_array_equal(
        project(seed=jax.random.key(5)).todense(), project(seed=jax.random.key(5)).todense()
    )


@pytest.mark.thin(3)
@pytest.mark.parametrize("seed", [3, 2**31 - 1, -5, jax.random.key(9)])
def test_traced_seed(seed, backend, rng):
    x = rng.random(30) < 0.5
    got = jax.jit(lambda s: x @ project("p=0.1", "normal", seed=s, backend=backend))(seed)
    close(got, x @ project("p=0.1", "normal", seed=seed, backend=backend))
    with jax.enable_x64(True):
        if isinstance(seed, int):
            wide = seed + 2**40
            keys = jax.jit(lambda s: project(seed=s, backend=backend).key)(jnp.int64(wide))
            np.testing.assert_array_equal(keys, project(seed=wide, backend=backend).key)


@pytest.mark.thin(3)
def test_a_law_of_ones_own(backend, rng):
    W = project(evops.FixedProbability(0.4), Exponential(2.0), (400, 1000), backend=backend)
    w = np.sort(np.asarray(W.edges().weight, np.float64))
    n = len(w)
    assert n > 150_000 and w[0] >= 0
    # standard errors of the mean and of the variance (fourth central moment 9 mean**4)
    check_normal([(w.mean() - 2) / 2 * n**0.5, (w.var() - 4) / 4 * (n / 8) ** 0.5])
    for u in (0.001, 0.01, 0.25, 0.5, 0.75, 0.99, 0.9999):
        check_binomial(int((w < -2 * math.log1p(-u)).sum()), n, u)
    x = jnp.asarray(rng.normal(size=400).astype(np.float32))
    close(x @ W, np.asarray(x) @ dense(W), steps=32)
    loss = jax.grad(lambda m: (x @ project("p=0.1", Exponential(m), (400, 50))).sum())
    unit = project("p=0.1", Exponential(1.0), (400, 50))
    assert float(loss(2.0)) == pytest.approx(float((x @ unit).sum()), rel=1e-4, abs=1e-4)


def test_a_law_whose_quantiles_are_not_in_order():
    class Backwards(evops.Law):
        mean: float
        unit_quantile = staticmethod(lambda u: -u)

        def loc_scale(self):
            return 0.0, self.mean

    with pytest.raises(ValueError, match="unit_quantile of Backwards must rise"):
        jnp.ones(30) @ project(law=Backwards(1.0))


BAD = [
    ({"rule": 0.1}, TypeError, "rule must be a connectivity rule .*, got 0.1"),
    ({"rule": evops.FixedProbability}, TypeError, "rule must be a connectivity rule"),
    ({"rule": evops.FixedOutDegree(24)}, ValueError, "k must be an integer from 0 to 23, got 24"),
    ({"law": "strong"}, TypeError, "law must be a weight law or a number, got 'strong'"),
    ({"law": None}, TypeError, "law must be a weight law or a number, got None"),
    ({"law": True}, TypeError, "law must be a weight law or a number, got True"),
    ({"law": 1j}, TypeError, "law must be a weight law or a number"),
    ({"law": float("nan")}, ValueError, "w must be finite, got nan"),
    ({"law": np.ones(3)}, ValueError, r"w must be one number, got shape \(3,\)"),
    ({"law": evops.Normal(0.0, np.ones(3))}, ValueError, r"std must be one number, got shape"),
    ({"shape": (0, 3)}, ValueError, r"shape\[0\] must be an integer from 1 to 2147483647, got 0"),
    ({"shape": (3, 2**31)}, ValueError, r"shape\[1\] must be an integer .* got 2147483648"),
    ({"shape": 5}, TypeError, "shape must be a pair of integers, got 5"),
    ({"seed": 1.5}, TypeError, "seed must be an integer"),
    ({"seed": None}, TypeError, "seed must be an integer or a JAX key, got None"),
    ({"seed": True}, TypeError, "seed must be an integer"),
    ({"seed": 2**64}, ValueError, "seed must be an integer from"),
    ({"seed": np.arange(2)}, ValueError, r"seed must be one integer or one JAX key, got shape"),
    ({"seed": jax.random.split(jax.random.key(1))}, ValueError, "one JAX key, got shape"),
    ({"backend": "gpu"}, ValueError, "backend must be one of native, jnp, got 'gpu'"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_bad_construction(change, error, message):
    good = {"rule": evops.FixedProbability(0.1), "law": 1.0, "shape": SHAPE, "seed": 1}
    arguments = {**good, **change}
    with pytest.raises(error, match=message):
        evops.Projection(arguments.pop("rule"), arguments.pop("law"), **arguments)


BAD_PARTS = [
    (lambda: evops.FixedProbability(1.1), ValueError, r"p must be in \[0, 1\], got 1.1"),
    (lambda: evops.FixedProbability(float("nan")), ValueError, r"p must be in \[0, 1\], got nan"),
    (lambda: evops.FixedProbability("a"), TypeError, "p must be a real number, got 'a'"),
    (lambda: evops.FixedProbability(0.1, 1), TypeError, "autapses must be True or False, got 1"),
    (lambda: evops.AllToAll("no"), TypeError, "autapses must be True or False, got 'no'"),
    (lambda: evops.FixedOutDegree(-1), ValueError, "k must be an integer from 0"),
    (lambda: evops.FixedOutDegree(2.0), TypeError, "k must be an integer, got 2.0"),
    (lambda: evops.FixedOutDegree(2, 3), TypeError, "multapses must be True or False, got 3"),
    (lambda: evops.LfsrGaps(0), ValueError, r"p must be in \(0, 1\], got 0"),
    (lambda: evops.Uniform(2.0, 1.0), ValueError, "high must be at least low = 2.0, got 1.0"),
    (lambda: evops.Normal(0.0, -1.0), ValueError, "std must be at least 0, got -1.0"),
    (lambda: evops.Normal(np.inf, 1.0), ValueError, "mean must be finite, got inf"),
    (lambda: evops.Normal("a", 1.0), TypeError, "mean must be a real number, got 'a'"),
    (lambda: evops.Constant(np.array("a")), TypeError, "w must be a real number"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD_PARTS)
def test_bad_rules_and_laws(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_what_must_be_known_before_compilation():
    for make, what in (
        (lambda n: project(evops.FixedProbability(n)), "p must be known"),
        (lambda n: project(evops.FixedOutDegree(n)), "k must be known"),
        (lambda n: project(shape=(n, 5)), r"shape\[0\] must be known"),
        (lambda n: project(seed=n).tocsr(), "tocsr and edges need a known seed"),
        (lambda n: project(seed=n).edges(), "tocsr and edges need a known seed"),
    ):
        with pytest.raises(TypeError, match=what):
            jax.jit(lambda n, make=make: make(n).key)(3)
