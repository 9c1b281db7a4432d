"""Connectors of users: a subclass that lists synapses, or has a matrix of them."""

import copy
import dataclasses
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import evops
from evops.structures import STRUCTURES


class IndexConn(evops.Connector):
    """The connector of BrainPy's tutorial, of handed indices."""

    def __init__(self, i, j):
        self.pre_ids = i
        self.post_ids = j

    def edges(self, n_pre, n_post, seed):
        return self.pre_ids, self.post_ids


@dataclasses.dataclass(frozen=True)
class MatConn(evops.Connector):
    """A given matrix."""

    given: Any

    def matrix(self, n_pre, n_post, seed):
        return self.given


class Random(evops.Connector):
    """Each pair with probability 0.3, of NumPy's numbers."""

    def matrix(self, n_pre, n_post, seed):
        return np.random.default_rng(seed).random((n_pre, n_post)) < 0.3


def synapses(rule, shape, law=1.0, seed=3, **more):
    return evops.Synapses(rule, law, shape, seed=seed, **more)


def counted(S):
    counts = np.zeros(S.shape, int)
    np.add.at(counts, (np.asarray(S.pre_ids), np.asarray(S.post_ids)), 1)
    return counts


def test_the_tutorial_of_brainpy():
    S = synapses(IndexConn(i=[0, 1, 2], j=[0, 0, 0]), (5, 3))
    found = dict(zip(STRUCTURES, map(S.requires, STRUCTURES), strict=True))
    np.testing.assert_array_equal(found["conn_mat"], [[1, 0, 0]] * 3 + [[0, 0, 0]] * 2)
    assert [list(a) for a in found["pre2post"]] == [[0], [0], [0], [], []]
    assert [list(a) for a in found["pre2syn"]] == [[0], [1], [2], [], []]
    assert S.requires("pre_slice_syn").tolist() == [[0, 1], [1, 2], [2, 3], [3, 3], [3, 3]]
    assert [list(a) for a in found["post2pre"]] == [[0, 1, 2], [], []]
    assert [list(a) for a in found["post2syn"]] == [[0, 1, 2], [], []]
    assert found["post_slice"].tolist() == [[0, 3], [3, 3], [3, 3]]
    assert found["pre_ids"].tolist() == [0, 1, 2] and found["post_ids"].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(found["csr"].todense(), found["csc"].todense())


def test_operators_and_delays(backend):
    rng = np.random.default_rng(0)
    i, j = rng.integers(0, 20, 90), rng.integers(0, 30, 90)
    law, delay = evops.Uniform(0.5, 1.5), evops.Uniform(1, 6)
    S = synapses(IndexConn(i, j), (20, 30), law, delay=delay, backend=backend)
    edges = [np.asarray(part) for part in S.edges()]
    order = np.argsort(i, kind="stable")  # rows keep the order of the list
    np.testing.assert_array_equal(edges[0], i[order])
    np.testing.assert_array_equal(edges[1], j[order])
    dense = np.zeros((20, 30), np.float32)
    np.add.at(dense, (i[order], j[order]), edges[2])
    x, v = rng.random(20, np.float32), rng.random(30, np.float32)
    np.testing.assert_allclose(x @ S, x @ dense, rtol=1e-5)
    np.testing.assert_allclose(S @ v, dense @ v, rtol=1e-5)
    grad = jax.grad(lambda x: (x @ S).sum())(jnp.asarray(x))
    np.testing.assert_allclose(grad, dense.sum(1), rtol=1e-5)
    assert set(edges[3].tolist()) == set(range(1, 7))
    buffer = S.push(jnp.asarray(x), evops.DelayBuffer.zeros(30, S.max_delay))
    for step in range(1, 8):
        arriving, buffer = buffer.pop()
        want = np.zeros(30, np.float32)
        due = edges[3] == step - 1  # the first pop is of the step of the spikes
        np.add.at(want, edges[1][due], edges[2][due] * x[edges[0][due]])
        np.testing.assert_allclose(arriving, want, rtol=1e-5, atol=1e-6)


COUNTS = np.array([[0, 2, 0], [1, 0, 3]])
GIVEN = {
    "bool": (COUNTS > 0, COUNTS > 0),
    "int8": (COUNTS.astype(np.int8), COUNTS),
    "uint64": (COUNTS.astype(np.uint64), COUNTS),
    "list": (COUNTS.tolist(), COUNTS),
    "jax": (jnp.asarray(COUNTS), COUNTS),
    "transposed": (np.asfortranarray(COUNTS), COUNTS),
    "empty": (np.zeros((2, 3), bool), np.zeros((2, 3))),
    **{
        f"scipy {form}": (scipy.sparse.csr_array(COUNTS).asformat(form), COUNTS)
        for form in ("coo", "csr", "csc", "lil", "dok", "bsr")
    },
    "scipy bool": (scipy.sparse.csr_matrix(COUNTS > 0), COUNTS > 0),
    "scipy repeats": (scipy.sparse.coo_array(([1, 1, 0], ([0, 0, 1], [1, 1, 0])), (2, 3)), [[0, 2, 0], [0, 0, 0]]),
}  # fmt: skip


@pytest.mark.parametrize("name", GIVEN)
def test_matrices(name):
    given, want = GIVEN[name]
    S = synapses(MatConn(given), (2, 3))
    np.testing.assert_array_equal(counted(S), want)
    np.testing.assert_array_equal(S.todense(), np.asarray(want, np.float32))


@pytest.mark.parametrize(
    "of", [list, tuple, np.array, np.int8, np.uint64, jnp.array, np.float64], ids=lambda f: f.__name__
)  # fmt: skip
def test_lists_of_any_integers(of):
    pairs = ([3, 0, 2], [1, 1, 0])
    if of is np.float64:  # an empty list has no type of its own
        assert synapses(IndexConn([], np.zeros(0)), (4, 2)).nnz == 0
        return
    want = np.zeros((4, 2))
    want[pairs] = 1
    np.testing.assert_array_equal(counted(synapses(IndexConn(*map(of, pairs)), (4, 2))), want)


def test_the_seed_is_one_of_the_synapses():
    seen = []

    class Seen(evops.Connector):
        def edges(self, n_pre, n_post, seed):
            seen.append((n_pre, n_post, seed))
            return [], []

    for seed in (1, 2, -1, 2**64 - 1, jax.random.key(1), 5):
        synapses(Seen(), (4, 6), seed=seed)
    synapses(Seen(), (4, 6), evops.Normal(1.0, 0.1), seed=1, delay=3, backend="jnp")
    assert {s[:2] for s in seen} == {(4, 6)}
    given = [s[2] for s in seen]
    assert all(type(s) is int and 0 <= s < 2**63 for s in given)
    assert given[0] == given[4] == given[6] and given[2] == given[3] and len(set(given)) == 4
    assert max(given) > 2**40  # both words
    one, same, other = (counted(synapses(Random(), (50, 60), seed=s)) for s in (1, 1, 2))
    assert (one == same).all() and (one != other).any() and 700 < one.sum() < 1100


def test_weights_follow_from_pairs_or_from_numbers_in_a_row():
    """Repeats have weights of their own; without any, weights do not depend on the list's order."""
    law = evops.Normal(1.0, 0.1)
    weights = np.asarray(synapses(IndexConn([1] * 50, [2] * 50), (3, 4), law).data)
    assert len(set(weights.tolist())) == 50
    i, j = np.unravel_index(np.random.default_rng(1).permutation(60)[:30], (6, 10))
    forward, backward = (
        synapses(IndexConn(i[::step], j[::step]), (6, 10), law).todense() for step in (1, -1)
    )
    np.testing.assert_array_equal(forward, backward)
    for pair, several in ((([1, 0], [2, 2]), False), (([1, 0, 1], [2, 2, 2]), True)):
        words = np.uint32(1), np.uint32(2)
        assert IndexConn(*pair).stored((3, 4), words)[2] is several
    for counts, several in ((COUNTS, True), (COUNTS > 0, False)):
        assert MatConn(counts).stored((2, 3), (np.uint32(1), np.uint32(2)))[2] is several


PAIR, MATRIX = "must return a tuple of two vectors of integers", r"must return a matrix \(n_pre, n_post\) = \(5, 3\) of bools or integers"  # fmt: skip
WRONG = [
    (None, TypeError, f"{PAIR}, pre and post neurons, got None"),
    (np.arange(3), TypeError, rf"{PAIR}, .*got an array of shape \(3,\) of int64"),
    (np.zeros((2, 3), int), TypeError, rf"{PAIR}, .*got an array of shape \(2, 3\)"),
    ("ab", TypeError, f"{PAIR}, .*got 'ab'"),
    (([0], [1], [2]), TypeError, rf"{PAIR}, .*got a tuple of 3: \(\[0\], \[1\], \[2\]\)"),
    ([[0]], TypeError, f"{PAIR}, .*got a list of 1"),
    ({"pre": [0], "post": [1]}, TypeError, f"{PAIR}, .*got {{'post'"),
    (([0.0, 1.0], [0, 1]), TypeError, f"{PAIR}, .*got float64 of pre"),
    (([0, 1], jnp.ones(2)), TypeError, f"{PAIR}, .*got float32 of post"),
    ((["a"], ["b"]), TypeError, f"{PAIR}, .*got <U1 of pre"),
    (([0], [True]), TypeError, f"{PAIR}, .*got bool of post"),
    (([0], [None]), TypeError, f"{PAIR}, .*got object of post"),
    (([0, 10**30], [0, 1]), TypeError, f"{PAIR}, .*got object of pre"),
    (({0, 1}, [0, 1]), (TypeError, ValueError), rf"{PAIR}, .*got shape \(\) of pre"),
    (([[0], [1, 2]], [0, 1]), TypeError, rf"{PAIR}, .*got a list of 2: \[\[0\], \[1, 2\]\]"),
    ((0, 1), ValueError, rf"{PAIR}, .*got shape \(\) of pre"),
    (([0, 1], [[0], [1]]), ValueError, rf"{PAIR}, .*got shape \(2, 1\) of post"),
    (([0, 1], [0]), ValueError, "as many pre as post neurons, got 2 and 1"),
    (([0, 5], [0, 1]), ValueError, "pre neurons from 0 to n_pre - 1 = 4, got 5 at 1"),
    (([0, 1], [3, 1]), ValueError, "post neurons from 0 to n_post - 1 = 2, got 3 at 0"),
    (([0, -1], [0, 1]), ValueError, "pre neurons from 0 to n_pre - 1 = 4, got -1 at 1"),
    (([0], [2**63]), ValueError, "post neurons from 0 to n_post - 1 = 2, got 9223372036854775808"),
]
WRONG_MATRICES = [
    (None, (TypeError, ValueError), f"{MATRIX}, got"),
    ("ab", (TypeError, ValueError), f"{MATRIX}, got"),
    (np.zeros((5, 3)), TypeError, f"{MATRIX}, got float64"),
    (np.full((5, 3), "a"), TypeError, f"{MATRIX}, got <U1"),
    (scipy.sparse.eye_array(5, 3), TypeError, f"{MATRIX}, got float64"),
    (np.zeros((3, 5), bool), ValueError, rf"{MATRIX}, got shape \(3, 5\)"),
    (scipy.sparse.csr_array((3, 5), dtype=bool), ValueError, rf"{MATRIX}, got shape \(3, 5\)"),
    (np.zeros(15, int), ValueError, rf"{MATRIX}, got shape \(15,\)"),
    (([0, 1], [0, 1]), ValueError, rf"{MATRIX}, got shape \(2, 2\)"),
    ([[1], [1, 2]], TypeError, rf"{MATRIX}, got a list of 2: \[\[1\], \[1, 2\]\]"),
    (-np.eye(5, 3, 1, dtype=int), ValueError, rf"{MATRIX}, not negative, got -1 at \(0, 1\)"),
    (np.full((5, 3), 2**30), ValueError, f"{MATRIX}, at most 2147483647 synapses, got 16106127360"),
]


@pytest.mark.parametrize(("found", "error", "match"), WRONG)
def test_wrong_edges_are_named(found, error, match):
    class Wrong(evops.Connector):
        def edges(self, n_pre, n_post, seed):
            return found

    with pytest.raises(error, match=f"^Wrong.edges must return .*{match.removeprefix('must return ')}"):  # fmt: skip
        synapses(Wrong(), (5, 3))


@pytest.mark.parametrize(("found", "error", "match"), WRONG_MATRICES)
def test_wrong_matrices_are_named(found, error, match):
    with pytest.raises(error, match=f"^MatConn.matrix {match}"):
        synapses(MatConn(found), (5, 3))


def test_traced_results_are_refused():
    with pytest.raises(TypeError, match=r"IndexConn.edges must return .*, got an array of shape"):
        jax.jit(lambda i: synapses(IndexConn(i, [0]), (5, 3)).data)(jnp.array([1]))


def test_errors_of_the_method_pass_through():
    class OwnError(Exception):
        pass

    error = OwnError("mine")

    class Failing(evops.Connector):
        def edges(self, n_pre, n_post, seed):
            raise error

    with pytest.raises(OwnError) as raised:
        synapses(Failing(), (5, 3))
    assert raised.value is error and error.__cause__ is None and error.__context__ is None


def test_one_of_two_methods():
    class Neither(evops.Connector):
        """A base with what several connectors share."""

    class Both(Neither):
        def edges(self, n_pre, n_post, seed):
            return [], []

        def matrix(self, n_pre, n_post, seed):
            return []

    class One(Neither):
        def edges(self, n_pre, n_post, seed):
            return [n_pre - 1], [n_post - 1]

    for kind, has in ((Neither, "neither"), (evops.Connector, "neither"), (Both, "both")):
        match = f"{kind.__name__} must have one of the methods edges and matrix .*got {has}"
        with pytest.raises(TypeError, match=match):
            kind()
    assert counted(synapses(One(), (2, 2))).tolist() == [[0, 0], [0, 1]]


def test_a_projection_names_the_door():
    for rule in (IndexConn([0], [0]), MatConn(3)):
        with pytest.raises(ValueError, match=r"^(IndexConn|MatConn)\(.*store it with evops.Synap"):
            evops.Projection(rule, 1.0, (5, 3), seed=1)
    assert repr(IndexConn([0], [0])) == "IndexConn(…)" and repr(MatConn(3)) == "MatConn(given=3)"
    assert np.isnan(Random().expected_synapses((5, 3)))


def test_connectors_are_objects_like_others():
    for made in (pickle.loads(pickle.dumps(IndexConn([4], [2]))), copy.deepcopy(IndexConn([4], [2]))):  # fmt: skip
        assert counted(synapses(made, (5, 3))).sum() == counted(synapses(made, (5, 3)))[4, 2] == 1


def test_stored_synapses_of_a_connector_in_a_circuit():
    S = synapses(Random(), (5, 3), delay=2)
    circuit = evops.Circuit(evops.Populations({"E": 5, "I": 3}), {("E", "I"): S})
    current, buffer = circuit(jnp.arange(8) < 5, circuit.buffer())
    for _ in range(2):
        current, buffer = circuit(jnp.zeros(8, bool), buffer)
    np.testing.assert_array_equal(current[5:], counted(S).sum(0))
