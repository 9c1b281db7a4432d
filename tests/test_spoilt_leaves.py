"""Arithmetic over all leaves of an object is an error, or leaves its synapses as they are."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

N_PRE, N_POST = 12, 10
RULES = {
    "p": evops.FixedProbability(0.4),
    "out": evops.FixedOutDegree(4),
    "in": evops.FixedInDegree(4),
    "total": evops.FixedTotalNumber(50),
    "published": evops.LfsrGaps(0.5),
}
LAW = evops.Normal(0.5, 0.1)


def projection(rule, backend, **more):
    return evops.Projection(RULES[rule], LAW, (N_PRE, N_POST), seed=3, backend=backend, **more)


def circuit(backend):
    rules = {"total": ("E", "I"), "p": ("E", "E"), "in": ("I", "E")}
    populations = evops.Populations({"E": 12, "I": 10})
    return evops.Circuit(
        populations,
        {
            pair: evops.Projection(
                RULES[rule],
                LAW,
                [populations.size(k) for k in pair],
                seed=k,
                delay=2,
                backend=backend,
            )
            for k, (rule, pair) in enumerate(rules.items())
        },
    )


def areas(backend):
    return evops.MultiAreaProjection(
        0.4, jnp.ones((2, 2)), 3, pre=6, post=5, seed=42, backend=backend
    )


X = jnp.ones(N_PRE)
# How to make each object, what it computes, and what of it is trained.
CASES = {
    **{
        rule: (lambda backend, rule=rule: projection(rule, backend), lambda W: X @ W)
        for rule in RULES
    },
    "weighted": (lambda backend: projection("p", backend).with_weights(0.5), lambda W: X @ W),
    "transposed": (lambda backend: projection("total", backend).T, lambda W: W @ X),
    "csr": (lambda backend: projection("p", backend).tocsr(), lambda W: X @ W),
    "csc": (lambda backend: projection("p", backend).tocsc(), lambda W: X @ W),
    "circuit": (circuit, lambda W: W.push(jnp.ones(22, bool), W.buffer()).sums),
    "areas": (areas, lambda W: W.push(jnp.ones((2, 6), bool), W.buffer()).sums),
    "poisson": (
        lambda _: evops.PoissonInput(100, 50.0, 1.0, size=7, dt=0.1, seed=1),
        lambda W: W(3),
    ),
}
SPOILS = {
    "doubled": lambda a: 2 * a,
    "scaled": lambda a: 0.9 * a,
    "negated": lambda a: -a,
    "shifted": lambda a: a + 1,
    "added": lambda a: a + a.astype(jnp.int32),
    "clipped": lambda a: jnp.clip(a, -1, 1),
    "halves": lambda a: a.astype(jnp.bfloat16),
    "numpy": lambda a: np.asarray(a) * np.float32(2),
}


@pytest.fixture
def promotion():
    """As users have it: under strict promotion most arithmetic raises by itself."""
    with jax.numpy_dtype_promotion("standard"):
        yield


BACKENDS = ("jnp", "native")
one_of_each = pytest.mark.parametrize("case", CASES)


@pytest.mark.thin(3)
@pytest.mark.parametrize("backend", BACKENDS)
@one_of_each
@pytest.mark.usefixtures("promotion")
def test_arithmetic_over_all_leaves_is_an_error(case, backend):
    make, use = CASES[case]
    W = make(backend)
    for name, spoil in SPOILS.items():
        if name == "negated":
            with pytest.raises(TypeError, match="neg"):
                jax.tree.map(spoil, W)
            continue
        spoilt = jax.tree.map(spoil, W)
        programs = [lambda spoilt=spoilt: use(spoilt), lambda spoilt=spoilt: jax.jit(use)(spoilt)]
        if name != "numpy":
            programs.append(lambda spoil=spoil: jax.jit(lambda W: use(jax.tree.map(spoil, W)))(W))
        for program in programs:
            with pytest.raises(
                TypeError, match=r"Not all leaves of .* map over .*(law|data|weight)"
            ):
                program()


@pytest.mark.usefixtures("promotion")
def test_the_error_of_stored_weights_names_what_may_be_mapped_over():
    W = projection("p", "jnp").with_weights(0.5)
    for spoilt in (jax.tree.map(lambda a: 2 * a, W), jax.tree.map(lambda a: 0.9 * a, W)):
        with pytest.raises(TypeError, match=r"map over W\.data instead"):
            X @ spoilt


def decayed(W, rate=0.1, decay=1e-4):
    """A step of AdamW with gradients of 0, as Optax makes it."""

    def step(a):
        return (a - rate * decay * a).astype(a.dtype)

    return jax.tree.map(step, W)


@pytest.mark.thin(3)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", [c for c in CASES if c not in ("csr", "csc")])
@pytest.mark.usefixtures("promotion")
def test_weight_decay_over_all_leaves_leaves_the_synapses(case, backend):
    make, use = CASES[case]
    W = make(backend)
    for _ in range(3):
        V = decayed(W)
        assert jax.tree.structure(V) == jax.tree.structure(W)
        np.testing.assert_allclose(use(V), use(W), rtol=1e-4)
        np.testing.assert_allclose(jax.jit(use)(V), use(W), rtol=1e-4)
        W = V


@pytest.mark.thin(3)
@pytest.mark.parametrize("backend", BACKENDS)
@one_of_each
def test_what_does_not_spoil_leaves_still_works(case, backend):
    make, use = CASES[case]
    W = make(backend)
    want = use(W)
    copies = [
        jax.jit(lambda W: W)(W),
        jax.tree.map(lambda a: a, W),
        jax.tree.map(np.asarray, W),
        jax.device_put(W, jax.devices()[0]),
        pickle.loads(pickle.dumps(W)),
        jax.tree.unflatten(jax.tree.structure(W), jax.tree.leaves(W)),
        jax.lax.scan(lambda W, _: (W, None), W, None, length=3)[0],
        jax.tree.map(lambda a, b: jnp.where(True, a, b), W, W),
    ]
    for V in copies:
        np.testing.assert_array_equal(use(V), want)
        np.testing.assert_array_equal(jax.jit(use)(V), want)
    many = jax.tree.map(lambda a: jnp.stack([a, a]), W)
    np.testing.assert_array_equal(jax.vmap(use)(many), jnp.stack([want, want]))
    np.testing.assert_array_equal(use(jax.tree.map(lambda a: a[1], many)), want)
    for where, leaf in jax.tree_util.tree_leaves_with_path(W):
        assert "flat index" not in jax.tree_util.keystr(where) and leaf is not None


@pytest.mark.parametrize("rule", RULES)
def test_numbers_of_a_leaf_are_those_of_the_constructor(rule):
    W = projection(rule, "jnp")
    many = jax.vmap(lambda seed: W.replace(seed=seed))(jnp.arange(4))
    assert many.key.shape == (4, 2) and many.key.dtype == np.uint32
    for k in range(4):
        one = W.replace(seed=k)
        np.testing.assert_array_equal(many.key[k], one.key)
        np.testing.assert_array_equal(jax.tree.map(lambda a, k=k: a[k], many).key, one.key)
        if one.indptr is not None:
            np.testing.assert_array_equal(many.indptr[k], one.indptr)
    np.testing.assert_array_equal(jax.jit(lambda W: W.key)(W), W.key)


def test_a_scan_that_closes_over_a_matrix_converts_its_seed_once():
    W = projection("total", "native")

    def run(W):
        return jax.lax.scan(lambda c, _: (c + X @ W, None), jnp.zeros(N_POST), None, length=5)[0]

    body = next(e for e in jax.make_jaxpr(run)(W).eqns if e.primitive.name == "scan")
    inside = {e.primitive.name for e in body.params["jaxpr"].jaxpr.eqns}
    assert "shift_left" not in inside
