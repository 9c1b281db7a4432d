"""Objects that users hold: they compare, copy and pickle, do not change, and check their leaves."""

import copy
import dataclasses
import pickle
import subprocess
import sys
from types import SimpleNamespace

import dill
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
from evops.structures import structure

pytestmark = pytest.mark.range_ends

RULE = evops.FixedProbability(0.5)
P = evops.Populations({"A": 6, "B": 6})


def projection(seed=1, rule=RULE, shape=(6, 6), **options):
    return evops.Projection(rule, 0.5, shape, seed=seed, delay=1, **options)


def csr(**options):
    return evops.CSR([1.0, 2.0], [0, 1], [0, 1, 2], shape=(2, 3), **options)


def areas(rule=RULE, **options):
    return evops.MultiAreaProjection(rule, np.ones((2, 2)), 1, pre=6, post=6, seed=1, **options)


def circuit(rule=RULE, **options):
    pairs = {("A", "A"): projection(1, rule, **options), ("A", "B"): projection(2, rule, **options)}
    return evops.Circuit(P, pairs)


def counted():
    return projection(rule=evops.FixedTotalNumber(9))


def buffer():
    return evops.DelayBuffer.zeros(4, 3)


MAKE = {f.__name__: f for f in (projection, counted, csr, areas, circuit, buffer)}
OBJECTS = {
    **MAKE,
    "transposed": lambda: csr().T,
    "csc": lambda: csr().csc,
    "input": lambda: evops.PoissonInput(10, 8.0, 0.5, size=3, dt=0.1, seed=1),
    "law": lambda: evops.Normal(0.5, jnp.float32(0.1)),
    "populations": lambda: P,
    "edges": lambda: csr().edges(),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_comparison_hash_and_copies(kind):
    one = OBJECTS[kind]()
    clones = [copy.copy(one), copy.deepcopy(one), *(m.loads(m.dumps(one)) for m in (pickle, dill))]
    for other in clones:
        assert isinstance(one == other, bool) and isinstance(one != other, bool)
        assert one == one and not one != one and one in [one] and isinstance(hash(one), int)
        assert type(other) is type(one) and repr(other) == repr(one)
        assert jax.tree.structure(other) == jax.tree.structure(one)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_array_equal(a, b)
        if kind in ("law", "populations"):
            assert other == one and hash(other) == hash(one)
        assert len({one, other}) == (1 if one == other else 2)


STATIC = ("shape", "seed", "backend", "rule", "weights", "dtype", "max_delay", "T", "step", "sums")


@pytest.mark.parametrize("kind", [k for k in OBJECTS if k != "edges"])
def test_attributes_are_not_set(kind):
    one = OBJECTS[kind]()
    before = repr(one)
    for name in {*STATIC, *vars(one)} - {*type(one)._leaves}:
        with pytest.raises(AttributeError, match=f"{name}"):
            setattr(one, name, 3)
    with pytest.raises(AttributeError):
        del one.law
    assert repr(one) == before


@pytest.mark.parametrize("kind", ["projection", "csr", "areas"])
def test_leaves_may_be_set(kind):
    """Trees of axes are made so, and trainers set parameters."""
    one, other = OBJECTS[kind](), OBJECTS[kind]()
    for name in type(one)._leaves:
        setattr(other, name, None)
        assert getattr(other, name) is None
        setattr(other, name, getattr(one, name))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a is b or (a.dtype == bool and np.array_equal(a, b))


STAND_INS = (None, 0, "data", object(), (), (3, 4), np.float32, np.dtype("int8"), True, {})


@pytest.mark.parametrize("kind", [k for k in OBJECTS if k != "populations"])
def test_properties_bear_any_leaf(kind):
    one = OBJECTS[kind]()
    properties = [k for k in dir(type(one)) if isinstance(getattr(type(one), k), property)]
    for stand_in in (*STAND_INS, jax.ShapeDtypeStruct((3, 2), np.float32), np.zeros((2, 3, 4))):
        odd = jax.tree.map(lambda _, s=stand_in: s, one)
        assert repr(odd)
        for name in properties:
            if isinstance(
                getattr(type(one), name), structure
            ):  # what is computed says what is wrong
                with pytest.raises((TypeError, ValueError), match=" has (a leaf|leaves|no leaves)"):
                    getattr(odd, name)
                continue
            getattr(odd, name)
        assert (odd == odd and isinstance(hash(odd), int)) or kind == "edges"


CALLS = {
    "products": lambda W: (jnp.ones(W.shape[0]) @ W, W @ jnp.ones(W.shape[1]), W(jnp.ones(6))),
    "T": lambda W: jnp.ones(W.shape[1]) @ W.T,
    "push": lambda W: W.push(jnp.ones(W.shape[0]), evops.DelayBuffer.zeros(6, 1)),
    "pushed": lambda W: circuit().push(jnp.ones(12), W),
}
BATCHED = {
    "projection": "products in_degree out_degree edges tocsr todense push T",
    "counted": "products in_degree out_degree edges tocsr todense push T",
    "csr": "products in_degree out_degree edges todense to_scipy to_bcsr T pre_ids conn_mat csc",
    "areas": "push buffer",
    "circuit": "push buffer edges",
    "buffer": "pop pushed check",
}


def call(W, name):
    if name in CALLS:
        return CALLS[name](W)
    arguments = {"check": (4, 1), "push": (None, None)}.get(name, ())
    return getattr(W, name)(*arguments)


@pytest.mark.parametrize("kind", BATCHED)
def test_stacked_leaves_are_for_vmap(kind):
    many = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(MAKE[kind]() for _ in range(3)))
    who = "buffer" if kind == "buffer" else "W"
    for name in BATCHED[kind].split():
        message = f"{who} has leaves with a batch axis: use it under jax.vmap"
        if kind in ("areas", "circuit") and name == "push":
            with pytest.raises(ValueError, match=message):
                many.push(jnp.ones(12), None)
            continue
        with pytest.raises(ValueError, match=message):
            call(many, name)
    if kind == "csr":
        assert many.nnz == 2
        y = jax.vmap(lambda W: jnp.ones(2) @ W)(many)
        np.testing.assert_array_equal(y, [[1, 2, 0]] * 3)
    none = jax.tree.map(lambda _: None, MAKE[kind](), is_leaf=lambda v: isinstance(v, jax.Array))
    first = BATCHED[kind].split()[0]
    with pytest.raises((TypeError, ValueError), match="leaf that is no array"):
        none.push(None, None) if first == "push" else call(none, first)


@dataclasses.dataclass(frozen=True)
class Frozen(evops.Law):
    m: float
    unit_quantile = staticmethod(lambda u: u)

    def loc_scale(self):
        return 0, self.m


@dataclasses.dataclass
class Plain(evops.Law):
    m: float
    name: str = dataclasses.field(default="a", kw_only=True, metadata={"static": True})

    def loc_scale(self):
        return self.m, 0


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Registered(evops.Law):
    m: float

    def loc_scale(self):
        return self.m, 0


@jax.tree_util.register_pytree_node_class
class ByHand(evops.Law):
    m: float

    def loc_scale(self):
        return self.m, 0

    def tree_flatten(self):
        return (self.m,), None

    @classmethod
    def tree_unflatten(cls, _, leaves):
        law = object.__new__(cls)
        object.__setattr__(law, "m", leaves[0])
        return law


class Derived(Plain):
    def loc_scale(self):
        return 2 * self.m, 0


@pytest.mark.thin(3)
@pytest.mark.parametrize("law", [Frozen, Plain, Registered, ByHand, Derived])
def test_laws_of_ones_own_however_they_are_declared(law):
    one = law(0.5)
    assert one == law(0.5) != law(0.25) and hash(one) == hash(law(0.5)) and "m=0.5" in repr(one)
    assert law(jnp.float32(0.5)) == one
    with pytest.raises(AttributeError):
        one.m = 3
    W = evops.Projection(RULE, one, (6, 6), seed=1, backend="jnp")
    x = jnp.ones(6, bool)
    y = x @ W
    np.testing.assert_allclose(jax.jit(lambda W: x @ W)(W), y)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), W, W)
    np.testing.assert_allclose(jax.vmap(lambda W: x @ W, in_axes=0)(both)[1], y)
    np.testing.assert_array_equal(x @ pickle.loads(pickle.dumps(W)), y)
    static = dataclasses.replace(one, m=0.25)
    assert type(static) is law and static.m == 0.25


SCRIPT = """
import dataclasses, sys, dill, evops, jax.numpy as jnp
{decorator}
class L(evops.Law):
    m: float
    unit_quantile = staticmethod(lambda u: u)
    def loc_scale(self): return 0, self.m
W = evops.Projection(evops.AllToAll(), L(.5), (4, 3), seed=1, backend="jnp")
again = dill.loads(dill.dumps(W, recurse=True))
assert type(again.law).__name__ == "L" and (jnp.ones(4) @ again == jnp.ones(4) @ W).all()
assert dill.loads(dill.dumps(L(.5), byref=False, recurse=True)).m == .5
sys.stdout.buffer.write(dill.dumps(W, recurse=True))
"""


@pytest.mark.thin(3)
@pytest.mark.parametrize("decorator", ["", "@dataclasses.dataclass(frozen=True)"])
def test_laws_of_a_script_go_through_dill(decorator):
    script = SCRIPT.format(decorator=decorator)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    W = dill.loads(done.stdout)
    assert W.law.m == 0.5 and (jnp.ones(4) @ W).shape == (3,)


def test_buffers_made_by_hand():
    good = evops.DelayBuffer(np.zeros((3, 4), np.float32), 2)
    assert good.step.dtype == np.int32 and good.max_delay == 2
    assert int(dataclasses.replace(good, step=1).step) == 1
    for sums, step, error, message in (
        (0, 0, ValueError, "sums must have shape"),
        (np.zeros((3, 4)).astype(np.float16), 0, TypeError, "sums must be float32"),
        (np.zeros((0, 4), np.float32), 0, ValueError, "sums must have shape"),
        (np.zeros((3, 4), np.float32), 3, ValueError, "step must be an integer from 0 to 2"),
        (np.zeros((3, 4), np.float32), [0], TypeError, "step must be an integer"),
        (np.zeros((3, 4), np.float32), 0.0, TypeError, "step must be an integer"),
        (np.zeros((3, 4), complex), 0, TypeError, "sums must be real"),
    ):
        with pytest.raises(error, match=message):
            evops.DelayBuffer(sums, step)
    with pytest.raises(ValueError, match="backend must be one of"):
        evops.DelayBuffer.zeros(4, 3, backend="gpu")


@pytest.mark.thin(3)
@pytest.mark.parametrize("kind", ["projection", "areas", "circuit"])
def test_donation_consumes_one_buffer(kind):
    W = MAKE[kind](backend="jnp")
    n, x = (6, jnp.ones(6)) if kind == "projection" else (12, jnp.ones(12))
    x = x.reshape(2, 6) if kind == "areas" else x
    before = evops.DelayBuffer.zeros(n, 1)
    for push in (W.push, jax.jit(W.push)):
        after = push(x, before)
        jax.jit(lambda b: b.pop("jnp"), donate_argnums=0)(after)
        assert int(before.step) == 0 and not before.sums.is_deleted()


@pytest.mark.parametrize("kind", ["areas", "circuit"])
def test_a_buffer_keeps_the_backend_of_what_made_it(kind):
    W = MAKE[kind](backend="jnp")
    b = W.buffer()
    assert "jnp" in repr(b) and jax.tree.map(lambda a: a, b).backend == "jnp"
    x = jnp.ones((2, 6) if kind == "areas" else 12)
    text = str(jax.make_jaxpr(lambda b: W.push(x, b).pop())(b))
    assert "backend=jnp" in text and "backend=native" not in text
    assert MAKE[kind]().buffer().backend is None


@pytest.mark.parametrize("kind", ["projection", "csr", "areas", "circuit"])
def test_the_backend_is_chosen_at_use(kind, monkeypatch):
    assert evops.backends()["native"].available
    W = pickle.loads(pickle.dumps(MAKE[kind]()))
    monkeypatch.setenv("EVOPS_BACKEND", "jnp")  # as where there is no library
    if kind in ("projection", "csr"):
        jaxpr = jax.make_jaxpr(lambda W: jnp.ones(W.shape[0]) @ W)(W)
    else:
        x = jnp.ones((2, 6) if kind == "areas" else 12)
        jaxpr = jax.make_jaxpr(lambda W: W.push(x, W.buffer()).pop())(W)
    assert "backend=jnp" in str(jaxpr) and "backend=native" not in str(jaxpr)


@pytest.mark.parametrize("make", [evops.FixedProbability, lambda p, **o: evops.AllToAll(**o)])
def test_without_autapses_nothing_is_dropped_between_populations(make):
    rule, all_of = make(1.0, autapses=False), 36
    c = circuit(rule, backend="jnp")
    edges = c.edges()
    own = np.asarray(edges.post) < 6
    assert own.sum() == all_of - 6 and (~own).sum() == all_of
    c = SimpleNamespace(circuit=c)
    sums = c.circuit.push(jnp.ones(12, bool), c.circuit.buffer()).sums[1]
    np.testing.assert_array_equal(sums, [2.5] * 6 + [3.0] * 6)


def test_without_autapses_nothing_is_dropped_between_areas(backend):
    rule = evops.FixedProbability(1.0, autapses=False)
    weight = np.ones((2, 2, 2, 2), np.float32)
    W = evops.MultiAreaProjection(rule, weight, 1, pre=(3, 2), post=(3, 2), seed=1, backend=backend)
    sums = W.push(jnp.ones((2, 5), bool), W.buffer()).sums[1]
    np.testing.assert_array_equal(sums, [9.0] * 10)  # 10 neurons but oneself
    some = evops.MultiAreaProjection(
        rule, np.ones((2, 2)), 1, pre=3, post=5, seed=1, backend=backend
    )
    sums = some.push(jnp.ones((2, 3), bool), some.buffer()).sums[1].reshape(2, 5)
    np.testing.assert_array_equal(sums, [[5.0] * 3 + [6.0] * 2] * 2)
    with pytest.raises(ValueError, match="must begin together"):
        evops.MultiAreaProjection(rule, np.ones((2, 2, 2)), 1, pre=(3, 2), post=5, seed=1)


def test_two_projections_of_one_seed_are_named():
    pairs = {("A", "A"): projection(3), ("A", "B"): projection(jax.random.key(3))}
    match = r"\('A', 'A'\) and \('A', 'B'\) have one seed"
    with pytest.warns(evops.EvopsConnectivityWarning, match=match):
        evops.Circuit(P, pairs)


X = jnp.ones(2)
NOT_ARRAYS = {
    "np.asarray": lambda W: np.asarray(W),
    "np.array": lambda W: np.array(W, copy=True),
    "jnp.dot": lambda W: jnp.dot(X, W),
    "jnp.matmul": lambda W: jnp.matmul(X, W),
    "jnp.einsum": lambda W: jnp.einsum("i,ij->j", X, W),
    "np.dot": lambda W: np.dot(np.ones(2), W),
    "W + W": lambda W: W + W,
}


@pytest.mark.parametrize("name", NOT_ARRAYS)
def test_what_is_no_product_names_the_product(name):
    for W in (csr(), projection(shape=(2, 3))):
        with pytest.raises(TypeError, match=r"x @ W.*(todense|as)"):
            NOT_ARRAYS[name](W)


def test_a_matrix_is_no_array_of_jax():
    """In the words of jax up to 0.8, which takes trees apart before it asks W."""
    for W in (csr(), projection(shape=(2, 3))):
        with pytest.raises((TypeError, ValueError)):
            jnp.asarray(W)


LOADED = """
import sys, numpy as np, jax, evops
program = jax.export.deserialize(sys.stdin.buffer.read())
print(float(np.asarray(program.call(np.ones(6, np.float32))).sum()))
"""


def test_exported_programs_find_their_handlers():
    W = projection(backend="native")
    program = jax.jit(lambda x: x @ W)
    exported = jax.export.export(program, disabled_checks=evops.export_checks())
    program = exported(jax.ShapeDtypeStruct((6,), np.float32)).serialize()
    done = subprocess.run(
        [sys.executable, "-c", LOADED], input=program, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert float(done.stdout) == float((jnp.ones(6) @ W).sum())
