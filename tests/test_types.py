"""One type of weights, whatever the route on which a matrix reaches a program."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

pytestmark = pytest.mark.range_ends

N = 12
WEIGHTS = {
    "float": (0.1, np.float32, np.float32),
    "int": (3, np.float32, np.float32),
    "numpy": (np.float64(0.1), np.float32, np.float64),
    "numpy int": (np.int32(3), np.int32, np.int32),
    "bf16": (jnp.bfloat16(0.5), jnp.bfloat16, jnp.bfloat16),
    "weak": (lambda: jnp.asarray(0.1), np.float32, np.float32),
}
P = evops.Populations({"A": N})


def projection(w, **options):
    rule = evops.FixedProbability(0.5)
    return evops.Projection(rule, evops.Constant(w), (N, N), seed=1, backend="jnp", **options)


def csr(w):
    k = np.arange(N)
    return evops.CSR(w, k, np.arange(N + 1), shape=(N, N), backend="jnp")


def areas(w):
    weight = w[None, None] if hasattr(w, "ndim") else [[w]]
    return evops.MultiAreaProjection(0.5, weight, 1, pre=N, post=N, seed=1, backend="jnp")


def circuit(w):
    return evops.Circuit(P, {("A", "A"): projection(w, delay=1)})


def product(W, x):
    return x @ W


def pushed(W, x):
    """Of the weights: the sums are the buffer's."""
    return W.push(x[None], W.buffer()).sums[1].astype(W.weight.dtype)


def of_circuit(c, x):
    del x
    return jnp.zeros(N, c.projections["A", "A"].dtype)


MATRICES = {
    "Projection": (projection, product),
    "CSR": (csr, product),
    "MultiAreaProjection": (areas, pushed),
    "Circuit": (circuit, of_circuit),
}
X = np.ones(N, np.float16)[:1].repeat(N).astype(bool)


def scanned(call, W):
    def step(W, _):
        return W, call(W, X)

    return jax.lax.scan(step, W, None, length=2)[1][0]


def stacked(call, W):
    return jax.vmap(call, (0, None))(jax.tree.map(lambda *a: jnp.stack(a), W, W), X)[0]


ROUTES = {
    "closed over": lambda call, W: jax.jit(lambda x: call(W, x))(X),
    "argument": lambda call, W: jax.jit(call)(W, X),
    "tree.map": lambda call, W: call(jax.tree.map(jnp.asarray, W), X),
    "device_put": lambda call, W: call(jax.device_put(W), X),
    "vmap": stacked,
    "scan": scanned,
    "pickle": lambda call, W: call(pickle.loads(pickle.dumps(W)), X),
}


@pytest.mark.thin(45)
@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("kind", MATRICES)
@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_type_is_that_of_the_matrix_on_every_route(weight, kind, x64):
    make, call = MATRICES[kind]
    with jax.enable_x64(x64):
        value, narrow, wide = WEIGHTS[weight]
        if callable(value):
            value = value()
        want = np.dtype(wide if x64 else narrow)
        if kind == "MultiAreaProjection":  # sums are what it holds
            want = np.dtype(np.float64 if want == np.float64 else np.float32)
        elif (kind, weight) == ("CSR", "int"):  # stored integers stay integers
            want = np.dtype(np.int32)
        W = make(value)
        eager = call(W, X)
        assert eager.dtype == want
        for route, run in ROUTES.items():
            y = run(call, W)
            assert y.dtype == want, route
            np.testing.assert_array_equal(y, eager, err_msg=route)


@pytest.mark.thin(2)
@pytest.mark.parametrize("x64", [False, True])
def test_laws_and_weights_that_are_traced_are_those_that_are_closed_over(x64):
    with jax.enable_x64(x64):
        for make, call in (MATRICES["Projection"], MATRICES["CSR"]):
            for value in (0.1, 3):
                want = call(make(value), X)
                got = jax.jit(lambda w, make=make, call=call: call(make(w), X))(value)
                assert got.dtype == want.dtype
                np.testing.assert_array_equal(got, want)
        law = evops.Normal(0.1, 0.3)
        W = evops.Projection(evops.OneToOne(), law, (N, N), seed=1, backend="jnp")
        got = jax.jit(
            lambda law: X @ evops.Projection(evops.OneToOne(), law, (N, N), seed=1, backend="jnp")
        )(law)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, X @ W, rtol=1e-6)
        v = jnp.zeros(N, jnp.float32)  # a carry of the type that went in
        out = jax.jit(lambda W, v: jax.lax.scan(lambda v, _: (v @ W, None), v, None, length=2)[0])
        assert out(W, v).dtype == np.float32


@pytest.mark.parametrize("x64", [False, True])
def test_everything_a_matrix_gives_has_its_type(x64):
    with jax.enable_x64(x64):
        for value, want in ((0.1, np.float32), (np.float16(0.1), np.float16)):
            W = projection(value, delay=2)
            mapped = jax.device_put(W)
            c = evops.Circuit(P, {("A", "A"): W})
            for each in (W, mapped):
                assert each.dtype == each.edges().weight.dtype == each.tocsr().dtype == want
                assert each.in_degree().dtype == np.int32
            assert c.edges().weight.dtype == jax.device_put(c).edges().weight.dtype == want


@pytest.mark.slow
@pytest.mark.parametrize("x64", [False, True])
def test_published_operators(x64):
    """Weights as Python numbers have one type, closed over or as arguments."""
    arguments = {"conn_prob": 0.5, "seed": 3, "shape": (N, N), "backend": "jnp"}
    calls = (
        lambda w: evops.event_mv_prob_homo(X, w, **arguments),
        lambda w: evops.event_mv_prob_normal(X, w, w, **arguments),
        lambda w: evops.mv_prob_uniform(X, w, w, **arguments),
        lambda w: evops.get_homo_weight_matrix(w, **arguments),
    )
    with jax.enable_x64(x64):
        for k, call in enumerate(calls):
            for value in (0.1, np.float16(0.1)):
                want = np.float16 if isinstance(value, np.float16) else np.float32
                for y in (call(value), jax.jit(call)(value), call(jax.device_put(value))):
                    assert y.dtype == want, k
        assert calls[0](3).dtype == jax.jit(calls[0])(3).dtype == np.int32


def test_no_transfer_goes_unasked():
    W, x = projection(0.1), jnp.ones(N, bool)
    call = jax.jit(lambda W, x: x @ W)
    with jax.transfer_guard("disallow"):
        y = call(W, x)
    np.testing.assert_array_equal(y, x @ W)


def test_laws_keep_python_numbers_and_compare_by_value():
    law = evops.Normal(0.5, 0.1, low=0)
    assert law.mean == 0.5 and isinstance(law.mean, float)
    assert law == evops.Normal(0.5, 0.1, low=0) != evops.Normal(0.5, 0.2, low=0)
    assert hash(law) == hash(evops.Normal(0.5, 0.1, low=0))
    W = evops.Projection(evops.OneToOne(), law, (N, N), seed=1)
    assert repr(W.law) == repr(law) == "Normal(mean=0.5, std=0.1, low=0, high=None)"
    half = projection(0.5).law
    assert half == evops.Constant(0.5) and hash(half) == hash(evops.Constant(0.5))
    assert len({half, evops.Constant(0.5), evops.Constant(jnp.float32(0.25))}) == 2
    assert evops.Constant(1.0) != evops.Uniform(1.0, 1.0) and evops.Constant(1.0) != 1.0
