"""Stored matrices of lists of synapses: of edges, scipy, networkx; appended ones; what is refused."""

import types

import jax
import jax.numpy as jnp
import networkx
import numpy as np
import pytest
import scipy.sparse

import evops

PRE, POST = [2, 0, 2, 1, 2, 0], [1, 3, 1, 0, 0, 3]
WEIGHT, DELAY = [0.5, 1.5, -2.0, 3.0, 0.25, 1.5], [1, 2, 3, 4, 5, 6]
SHAPE = (4, 5)


def listed(W):
    """Every synapse, in the order of rows and within them."""
    edges = W.edges()
    delay = [None] * W.nnz if edges.delay is None else np.asarray(edges.delay).tolist()
    rows = zip(*(np.asarray(a).tolist() for a in edges[:3]), delay, strict=True)
    return list(rows)


def test_a_list_in_any_order_keeps_its_repeats():
    W = evops.CSR.from_edges(PRE, POST, WEIGHT, shape=SHAPE, delay=DELAY)
    rows = sorted(zip(PRE, POST, WEIGHT, DELAY, strict=True), key=lambda row: row[0])
    assert listed(W) == rows and W.nnz == 6 and W.dtype == np.float32 and W.max_delay == 6
    want = np.zeros(SHAPE)
    np.add.at(want, (PRE, POST), WEIGHT)
    np.testing.assert_array_equal(W.todense(), want)
    np.testing.assert_array_equal(W.indptr, [0, 2, 3, 6, 6])


@pytest.mark.parametrize("seed", range(5))
def test_random_lists(seed, backend):
    rng = np.random.default_rng(seed)
    n, shape = rng.integers(1, 400), tuple(rng.integers(1, 30, 2))
    pre, post = (rng.integers(0, k, n) for k in shape)
    weight, delay = rng.normal(size=n).astype(np.float32), rng.integers(1, 9, n)
    W = evops.CSR.from_edges(pre, post, weight, shape=shape, delay=delay, backend=backend)
    order = np.argsort(pre, kind="stable")
    assert listed(W) == [
        *zip(*(a[order].tolist() for a in (pre, post, weight, delay)), strict=True)
    ]
    want = scipy.sparse.coo_array((weight, (pre, post)), shape).toarray()
    np.testing.assert_allclose(W.todense(), want, atol=1e-5)


def test_one_weight_and_one_delay_stay_one_number():
    W = evops.CSR.from_edges(PRE, POST, 0.5, shape=SHAPE, delay=2)
    assert W.data.shape == W.delay.shape == (1,) and W.nbytes == 4 * (1 + 1 + 6 + 5)
    each = evops.CSR.from_edges(PRE, POST, WEIGHT, shape=SHAPE, delay=DELAY)
    assert each.nbytes == 12 * 6 + 4 * 5
    one = evops.CSR.from_edges([1], [2], [0.5], shape=SHAPE, delay=[3])
    assert listed(one) == [(1, 2, 0.5, 3)]


def test_the_order_of_the_list_is_kept_where_it_is_asked_for():
    W = evops.CSR.from_edges(PRE, POST, WEIGHT, shape=SHAPE, delay=DELAY, keep_order=True)
    plain = evops.CSR.from_edges(PRE, POST, WEIGHT, shape=SHAPE, delay=DELAY)
    assert plain.order is None and W.nbytes == plain.nbytes + 4 * 6
    np.testing.assert_array_equal(np.array(WEIGHT, np.float32)[W.order], W.data)
    np.testing.assert_array_equal(jnp.zeros(6).at[W.order].set(W.data), WEIGHT)
    more = W.append([0, 3], [1, 1], [7.0, 8.0], delay=[1, 1])
    np.testing.assert_array_equal(np.array([*WEIGHT, 7, 8], np.float32)[more.order], more.data)
    T = more.T.tocsr()
    np.testing.assert_array_equal(np.array([*WEIGHT, 7, 8], np.float32)[T.order], T.data)
    assert W.with_weights(1.0).order is W.order and plain.T.tocsr().order is None
    in_rows = evops.CSR.from_edges([0, 1], [0, 0], 1.0, shape=(2, 1), keep_order=True)
    np.testing.assert_array_equal(in_rows.order, [0, 1])
    got = jax.jit(lambda W: W.data.at[W.order].set(W.data))(W)
    np.testing.assert_array_equal(got, WEIGHT)


def test_no_synapses(backend):
    W = evops.CSR.from_edges([], [], 0.5, shape=SHAPE, delay=2, backend=backend)
    assert W.nnz == 0 and not W.todense().any() and listed(W) == []
    buffer = W.push(np.ones(4, bool), evops.DelayBuffer.zeros(5, 2))
    assert not buffer.sums.any()
    assert evops.CSR.from_edges([], [], [], shape=SHAPE, delay=[]).nnz == 0


@pytest.mark.parametrize("dtype", ["int8", "int16", "float16", "bfloat16", "float32"])
def test_weights_keep_their_dtype(dtype):
    weight = jnp.asarray(WEIGHT).astype(dtype)
    assert evops.CSR.from_edges(PRE, POST, weight, shape=SHAPE).dtype == dtype


def test_weights_may_be_traced():
    def loss(weight):
        W = evops.CSR.from_edges(PRE, POST, weight, shape=SHAPE)
        return (jnp.arange(4.0) @ W @ jnp.arange(5.0)).sum()

    got = jax.jit(jax.grad(loss))(jnp.asarray(WEIGHT))
    np.testing.assert_array_equal(got, np.multiply(PRE, POST))


def test_matrices_of_scipy_keep_what_repeats():
    coo = scipy.sparse.coo_array((WEIGHT, (PRE, POST)), SHAPE)
    W = evops.CSR.from_scipy(coo, delay=DELAY)
    assert listed(W) == listed(
        evops.CSR.from_edges(PRE, POST, np.array(WEIGHT, np.float32), shape=SHAPE, delay=DELAY)
    )
    indptr = np.array([0, 2, 3, 6, 6])
    csr = scipy.sparse.csr_array((np.array(WEIGHT), np.array([3, 3, 0, 1, 1, 0]), indptr), SHAPE)
    W = evops.CSR.from_scipy(csr, delay=DELAY)
    assert W.nnz == 6 and [row[3] for row in listed(W)] == DELAY
    assert evops.CSR.from_scipy(coo.tocsc(copy=False)).nnz in (4, 6)  # as scipy has it
    for matrix in (scipy.sparse.coo_matrix(coo), coo.todok(), coo.tolil(), coo.tobsr()):
        np.testing.assert_array_equal(evops.CSR.from_scipy(matrix).todense(), coo.toarray())
        assert evops.CSR.from_scipy(matrix, delay=3).max_delay == 3
    with pytest.raises(
        ValueError, match="delay of each entry needs a COO or CSR matrix, got format 'lil'"
    ):
        evops.CSR.from_scipy(coo.tolil(), delay=DELAY)


class Graph:
    """What evops reads of a graph of networkx."""

    def __init__(self, edges, directed=True):
        self.nodes = list(dict.fromkeys(k for u, v, _ in edges for k in (u, v)))
        self.edges = lambda data: iter(edges)
        self.is_directed = lambda: directed


def test_graphs():
    edges = [
        ("a", "b", {"weight": 2.0, "d": 3}),
        ("b", "c", {"d": 1}),
        ("a", "b", {"weight": 4.0, "d": 2}),
        ("c", "c", {"d": 5}),
    ]
    W = evops.CSR.from_networkx(Graph(edges), delay="d")
    assert W.shape == (3, 3)
    assert listed(W) == [(0, 1, 2.0, 3), (0, 1, 4.0, 2), (1, 2, 1.0, 1), (2, 2, 1.0, 5)]
    both = evops.CSR.from_networkx(Graph(edges, directed=False), weight=0.5)
    assert sorted(row[:2] for row in listed(both)) == [(0, 1)] * 2 + [(1, 0)] * 2 + [
        (1, 2),
        (2, 1),
        (2, 2),
    ]
    assert both.data.shape == (1,)
    with pytest.raises(
        ValueError,
        match="delay must be an attribute of every edge, got none named 'e' for 'a' to 'b'",
    ):
        evops.CSR.from_networkx(Graph(edges), delay="e")
    with pytest.raises(TypeError, match="graph must be a networkx graph, got list"):
        evops.CSR.from_networkx([])


def test_graphs_of_networkx():
    graph = networkx.gnp_random_graph(30, 0.2, seed=1, directed=True)
    want = networkx.to_numpy_array(graph)
    np.testing.assert_array_equal(evops.CSR.from_networkx(graph).todense(), want)
    assert evops.CSR.from_networkx(graph).dtype == np.float32  # Python numbers, x64 or not
    with jax.enable_x64(True):
        assert evops.CSR.from_networkx(graph).dtype == np.float32
        for number, dtype in ((2, np.int32), (2.5, np.float32)):
            networkx.set_edge_attributes(graph, number, "w")
            assert evops.CSR.from_networkx(graph, weight="w").dtype == dtype
    graph = networkx.barabasi_albert_graph(30, 3, seed=1)
    np.testing.assert_array_equal(
        evops.CSR.from_networkx(graph).todense(), networkx.to_numpy_array(graph)
    )


def test_synapses_are_appended_after_those_of_their_rows(backend):
    W = evops.CSR.from_edges(PRE, POST, WEIGHT, shape=SHAPE, delay=DELAY, backend=backend)
    more = W.append([2, 3, 0], [4, 1, 3], 7.0, delay=[9, 8, 7])
    assert listed(more) == [
        (0, 3, 1.5, 2), (0, 3, 1.5, 6), (0, 3, 7.0, 7),
        (1, 0, 3.0, 4),
        (2, 1, 0.5, 1), (2, 1, -2.0, 3), (2, 0, 0.25, 5), (2, 4, 7.0, 9),
        (3, 1, 7.0, 8),
    ]  # fmt: skip
    assert W.nnz == 6 and more.max_delay == 9 and more._backend == backend
    assert listed(W.append([], [], 0.5, delay=1)) == listed(W)
    one = evops.CSR.from_edges(PRE, POST, 2, shape=SHAPE)
    assert one.dtype == np.int32 and one.append([3], [3], 5).dtype == np.int32
    assert listed(one.append([3], [3], 5))[-1] == (3, 3, 5, None)
    small = evops.CSR.from_edges(PRE, POST, jnp.int8(2), shape=SHAPE)
    assert (
        small.append([3], [3], 5).dtype == np.int8
        and W.append([3], [3], 5, delay=1).dtype == np.float32
    )
    with pytest.raises(
        ValueError, match="weight must be within -128 to 127 for dtype int8, got 200"
    ):
        small.append([3], [3], 200)
    with pytest.raises(ValueError, match="append needs delay=…, as the matrix has delays"):
        W.append([0], [0], 1.0)
    with pytest.raises(ValueError, match="append takes no delay=…, as the matrix has no delays"):
        one.append([0], [0], 1.0, delay=3)
    with pytest.raises(
        TypeError, match=r"weight must be integers, as those of the matrix \(int32\), got float32"
    ):
        one.append([0], [0], 1.5)
    with pytest.raises(ValueError, match=r"pre\[0\] must be in \[0, n_pre = 4\), got 4"):
        one.append([4], [0], 1)
    with pytest.raises(TypeError, match="call it outside jax.jit"):
        jax.jit(lambda W: W.append([0], [0], 1).data)(one)


def test_the_order_of_a_list_is_that_of_its_rows_after_it_is_appended():
    whole = evops.CSR.from_edges(PRE, POST, WEIGHT, shape=SHAPE, delay=DELAY)
    part = evops.CSR.from_edges(PRE[:3], POST[:3], WEIGHT[:3], shape=SHAPE, delay=DELAY[:3])
    assert listed(part.append(PRE[3:], POST[3:], WEIGHT[3:], delay=DELAY[3:])) == listed(whole)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"pre": [2, 0, 2, 1, 4, 0]}, ValueError, r"pre\[4\] must be in \[0, n_pre = 4\), got 4"),
        ({"pre": [2, 0, -1, 1, 2, 0]}, ValueError, r"pre\[2\] must be in \[0, n_pre = 4\), got -1"),
        (
            {"post": [1, 3, 1, 0, 0, 5]},
            ValueError,
            r"post\[5\] must be in \[0, n_post = 5\), got 5",
        ),
        (
            {"pre": [2, 0]},
            ValueError,
            "pre and post must have one entry for each synapse, got 2 and 6",
        ),
        (
            {"pre": [2.0, 0, 2, 1, 2, 0]},
            TypeError,
            "pre must be an array of integers, got dtype float64",
        ),
        ({"post": [[1]]}, ValueError, r"post must have 1 axis, got shape \(1, 1\)"),
        (
            {"weight": [1.0, 2]},
            ValueError,
            r"weight must be one weight or have shape \(nnz = 6,\), got \(2,\)",
        ),
        (
            {"weight": [1.0, 2, np.nan, 4, 5, 6]},
            ValueError,
            r"weight\[2\] must be a number, got nan",
        ),
        ({"weight": np.nan}, ValueError, r"weight\[0\] must be a number, got nan"),
        ({"weight": "a"}, TypeError, "weight must be an array of numbers"),
        (
            {"weight": evops.Normal(1, 1)},
            TypeError,
            "weight must be numbers, got Normal.*a law goes into a Projection",
        ),
        (
            {"delay": [1, 2]},
            ValueError,
            r"delay must be one delay or have shape \(nnz = 6,\), got \(2,\)",
        ),
        (
            {"delay": [1, 2, 3, 0, 5, 6]},
            ValueError,
            r"delay\[3\] must be in \[1, 2147483646\], got 0",
        ),
        ({"delay": 0.5}, TypeError, "delay must be an array of integers, in steps"),
        ({"shape": (4, 0)}, ValueError, "shape"),
        ({"shape": 4}, TypeError, "shape must be a pair of integers"),
    ],
)
def test_wrong_lists(changes, error, message):
    given = {"pre": PRE, "post": POST, "weight": WEIGHT, "shape": SHAPE, "delay": DELAY} | changes
    with pytest.raises(error, match=message):
        evops.CSR.from_edges(given.pop("pre"), given.pop("post"), given.pop("weight"), **given)


def test_neurons_must_be_known():
    with pytest.raises(TypeError, match="pre must be known before compilation"):
        jax.jit(lambda pre: evops.CSR.from_edges(pre, POST, 1.0, shape=SHAPE).data)(jnp.array(PRE))
    with pytest.raises(
        TypeError, match="matrix must be a scipy sparse matrix, got SimpleNamespace"
    ):
        evops.CSR.from_scipy(types.SimpleNamespace())


@pytest.mark.parametrize("drawn", [True, False])
def test_the_transpose_is_stored(drawn, backend):
    if drawn:
        rule, law = evops.FixedProbability(0.3), evops.Normal(1.0, 0.2)
        W = evops.Projection(
            rule, law, (30, 20), seed=2, delay=evops.Uniform(1, 5), backend=backend
        )
    else:
        W = evops.CSR.from_edges(PRE, POST, WEIGHT, shape=SHAPE, delay=DELAY, backend=backend)
    T = W.T.tocsr()
    assert T.shape == W.shape[::-1] and W.T.T.tocsr().shape == W.shape
    np.testing.assert_allclose(T.todense(), W.todense().T, rtol=1e-6)
    pre, post, weight, delay = (np.asarray(a) for a in W.edges())
    order = np.lexsort((np.arange(pre.size), post))
    for mine, theirs in zip(T.edges(), (post, pre, weight, delay), strict=True):
        np.testing.assert_array_equal(mine, theirs[order])
    one = evops.CSR.from_edges(PRE, POST, 0.5, shape=SHAPE)
    assert one.T.tocsr().data.shape == (1,) and one.tocsr() is one
    with pytest.raises(TypeError, match="outside jax.jit"):
        jax.jit(lambda W: W.T.tocsr().data)(one)
