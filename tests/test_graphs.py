"""Models of random graphs: those of networkx, and directed ones against enumerated laws."""

import json
import math
import sys
from importlib import metadata
from pathlib import Path

import networkx
import numpy as np
import pytest
from scipy import stats

import evops
import graph_laws
from chance import check_binomial, check_chi2, check_normal, share
from evops.connectivity import graphs

SMALL, FREE = evops.SmallWorld, evops.ScaleFree
DUAL, POWER = evops.DualScaleFree, evops.PowerLawCluster
UNDIRECTED = {
    "small world": (SMALL(5, 0.2), lambda n, s: networkx.watts_strogatz_graph(n, 5, 0.2, s)),
    "scale free": (FREE(3), lambda n, s: networkx.barabasi_albert_graph(n, 3, s)),
    "dual": (DUAL(3, 5, 0.5), lambda n, s: networkx.dual_barabasi_albert_graph(n, 3, 5, 0.5, s)),
    "clustered": (POWER(3, 0.5), lambda n, s: networkx.powerlaw_cluster_graph(n, 3, 0.5, s)),
}
OWN = {
    "small world": SMALL(6, 0.2, directed=True),
    "small world, self": SMALL(6, 0.5, directed=True, include_self=True),
    "undirected small world, self": SMALL(6, 0.5, include_self=True),
    "scale free": FREE(3, directed=True),
    "dual": DUAL(3, 5, 0.5, directed=True),
    "clustered": POWER(3, 0.5, directed=True),
}
RULES = [*(rule for rule, _ in UNDIRECTED.values()), *OWN.values()]


def synapses(rule, n, seed=3, **more):
    return evops.Synapses(rule, 1.0, (n, n), seed=seed, **more)


def matrix(rule, n, seed=3):
    counts = np.zeros((n, n), int)
    np.add.at(counts, rule.edges(n, n, seed), 1)
    return counts


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_one_seed_one_graph(rule):
    one, same, other = (synapses(rule, 60, s) for s in (1, 1, 2))
    plain = synapses(rule, 60, 1, backend="jnp", delay=2)
    np.testing.assert_array_equal(one.conn_mat, same.conn_mat)
    np.testing.assert_array_equal(one.indices, plain.indices)
    assert (np.asarray(one.conn_mat) != np.asarray(other.conn_mat)).any()
    assert one.nnz == np.asarray(one.conn_mat).sum()  # no pair repeats


@pytest.mark.parametrize("name", UNDIRECTED)
def test_undirected_graphs_are_those_of_networkx(name):
    rule, of = UNDIRECTED[name]
    for seed in (0, 7, 2**63 - 1):
        np.testing.assert_array_equal(matrix(rule, 40, seed), networkx.to_numpy_array(of(40, seed)))


GOLDEN = json.loads((Path(__file__).parent / "golden" / "graphs.json").read_text())


@pytest.mark.parametrize("name", OWN)
def test_golden_synapses(name):
    """A change here is a change of every user's network: a new SAMPLER_VERSION."""
    assert GOLDEN["sampler_version"] == evops.SAMPLER_VERSION
    S = synapses(OWN[name], 60)
    assert np.stack([S.pre_ids, S.post_ids])[:, -40:].tolist() == GOLDEN["cases"][name]


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_numbers_of_synapses(rule):
    for n in (7, 50):
        counts = matrix(rule, n)
        loose = isinstance(rule, POWER) and not rule.directed
        loose |= isinstance(rule, DUAL) or (rule == OWN["undirected small world, self"])
        if not loose:
            assert counts.sum() == rule.expected_synapses((n, n))
        directed = rule.directed
        assert directed or (counts == counts.T).all()
        assert getattr(rule, "include_self", False) or not np.diagonal(counts).any()
        if directed and not isinstance(rule, SMALL):
            assert not np.triu(counts).any()  # from new to old
            m = [rule.m1, rule.m2] if isinstance(rule, DUAL) else [rule.m]
            assert set(counts.sum(1)[max(m) :]) <= set(m) and not counts[: max(m)].any()
    if isinstance(rule, POWER) and not rule.directed:
        assert matrix(rule, 50).sum() <= rule.expected_synapses((50, 50)) == 2 * 3 * 47


def test_expected_number_of_the_dual_model():
    """Of 45 neurons that join after the star, each with 3 or 5 edges."""
    for directed in (False, True):
        rule, ends = DUAL(3, 5, 0.3, directed=directed), 2 - directed
        assert rule.expected_synapses((50, 50)) == ends * (5 + 44 * (0.3 * 3 + 0.7 * 5))
        fives = sum(matrix(rule, 50, s).sum() / ends - 5 - 44 * 3 for s in range(40)) / 2
        check_binomial(round(fives), 40 * 44, 0.7)
        for p, m in ((0.0, 5), (1.0, 3)):
            one, other = DUAL(3, 5, p, directed=directed), FREE(m, directed=directed)
            assert one.expected_synapses((50, 50)) == other.expected_synapses((50, 50))
            assert matrix(one, 50).sum() == other.expected_synapses((50, 50))


def world(n, k, p, *, directed, include_self=False):
    flags = {"directed": directed, "include_self": include_self}
    return SMALL(k, p, **flags), n, lambda: graph_laws.rewired(n, k, p, **flags)


LAWS = {
    "scale free": (FREE(2, directed=True), 6, lambda: graph_laws.grown(6, {2: 1.0})),
    "one edge": (FREE(1, directed=True), 6, lambda: graph_laws.grown(6, {1: 1.0})),
    "dual": (DUAL(1, 2, 0.3, directed=True), 5, lambda: graph_laws.grown(5, {1: 0.3, 2: 0.7})),
    "clustered": (POWER(2, 0.6, directed=True), 6, lambda: graph_laws.clustered(6, 2, 0.6)),
    "five edges": (POWER(5, 0.6, directed=True), 8, lambda: graph_laws.clustered(8, 5, 0.6)),
    "draws alone": (POWER(3, 0.0, directed=True), 6, lambda: graph_laws.clustered(6, 3, 0.0)),
    "triangles": (POWER(3, 1.0, directed=True), 6, lambda: graph_laws.clustered(6, 3, 1.0)),
    "small world": world(5, 2, 0.4, directed=True),
    "small world of few": world(4, 2, 0.8, directed=True),
    "small world, self": world(4, 2, 0.4, directed=True, include_self=True),
    "small world, self alone": world(3, 2, 0.4, directed=True, include_self=True),
    "undirected small world, self": world(5, 2, 0.4, directed=False, include_self=True),
    "undirected, two neighbours": world(5, 4, 0.7, directed=False, include_self=True),
}


WORLDS = [name for name in LAWS if "world" in name and name != "small world"]


SLOW = ("small world", "five edges")


@pytest.mark.parametrize("name", [n for n in LAWS if n not in SLOW])
def test_every_graph_has_its_probability(name):
    """Graphs of few neurons are counted one by one; rare ones by numbers of synapses of neurons."""
    check_law(*LAWS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_more_graphs_have_their_probability(name):
    check_law(*LAWS[name], drawn=15_000)


@pytest.mark.parametrize("name", WORLDS[:2])
def test_listed_neurons_have_the_same_law(name, monkeypatch):
    """Those that are free are listed where draws do not find one."""
    monkeypatch.setattr(graphs, "_TRIES", 0)
    check_law(*LAWS[name])


def check_law(rule, n, law, drawn=1500):
    law = law()
    assert math.isclose(sum(law.values()), 1)
    found = dict.fromkeys(law, 0)
    for seed in range(drawn):
        pre, post = rule.edges(n, n, 977 * seed)
        found[frozenset(zip(pre.tolist(), post.tolist(), strict=True))] += 1
    groups = {}
    for graph, p in law.items():
        ends = [(sum(i == a for a, _ in graph), sum(i == b for _, b in graph)) for i in range(n)]
        group = graph if p * drawn > 60 else tuple(sorted(ends))
        groups[group] = np.add(groups.get(group, 0.0), (found[graph], p * drawn))
    cells = [np.zeros(2)]
    for cell in sorted(groups.values(), key=lambda cell: cell[1]):
        cells[-1] = cells[-1] + cell
        if cells[-1][1] > 60:
            cells.append(np.zeros(2))
    *cells, rest = cells
    cells[-1] = cells[-1] + rest
    assert len(cells) > 1
    check_chi2(*np.array(cells).T)


def largest(counts):
    """The most edges of a neuron, in both directions."""
    return int((counts.sum(0) + counts.sum(1)).max())


@pytest.mark.parametrize("name", ["scale free", "dual"])
def test_directed_graphs_have_the_degrees_of_networkx(name):
    """The most edges of a neuron in 500 graphs each: a two-sample chi-square test, of `share`'s rate."""
    (rule, of), own = UNDIRECTED[name], OWN[name]
    n, drawn = 30, 500
    sides = [[largest(matrix(own, n, s)) for s in range(drawn)],
             [max(d for _, d in of(n, s).degree) for s in range(drawn)]]  # fmt: skip
    cuts = np.quantile(np.concatenate(sides), [0.25, 0.5, 0.75])
    table = [np.bincount(np.searchsorted(cuts, side), minlength=4) for side in sides]
    assert np.min(table) > 50
    assert stats.chi2_contingency(table).pvalue > share()
    assert rule.expected_synapses((n, n)) == 2 * own.expected_synapses((n, n))


def test_degrees_have_a_power_law():
    """In-degrees of a directed network: above d there are about d**-2 of all neurons."""
    rule = FREE(5, directed=True)
    degree = 5 + np.bincount(rule.edges(20_000, 20_000, 1)[1], minlength=20_000)
    d = np.array([10, 20, 40])  # m (m + 1) / (d (d + 1)) of n neurons have d edges or more
    expected = 20_000 * 30 / (d * (d + 1))
    check_normal(((degree[:, None] >= d).sum(0) - expected) / np.sqrt(expected))


@pytest.mark.parametrize("more", [{}, {"directed": True}, {"include_self": True}], ids=repr)
def test_small_worlds_begin_as_rings(more):
    n, i = 40, np.arange(40)
    ring = np.minimum((i - i[:, None]) % n, (i[:, None] - i) % n)
    ring = (ring > 0) & (ring <= 3)
    for k in (6, 7):
        np.testing.assert_array_equal(matrix(SMALL(k, 0.0, **more), n), ring)
    rewired = matrix(SMALL(6, 1.0, **more), n)
    assert (rewired * ring).sum() < ring.sum() / 2
    assert bool(np.diagonal(rewired).any()) == ("include_self" in more)
    assert not matrix(SMALL(1, 0.5, **more), n).any()
    full = matrix(SMALL(4, 1.0, directed=bool(more.get("directed"))), 5)
    np.testing.assert_array_equal(full, ~np.eye(5, dtype=bool))  # nowhere else to go
    if more.get("directed"):
        np.testing.assert_array_equal(matrix(SMALL(6, 1.0, **more), n).sum(), ring.sum())
        assert (rewired != rewired.T).any()


def test_triangles_cluster():
    for more in ({}, {"directed": True}):
        of = [networkx.from_numpy_array(matrix(rule, 600)) for rule in (POWER(4, 0.9, **more), FREE(4, **more))]  # fmt: skip
        clustered, free = map(networkx.average_clustering, of)
        assert clustered > 4 * free, more


def test_large_networks():
    """Of 10,000 neurons; how long it takes is measured elsewhere."""
    S = evops.Synapses(FREE(5, directed=True), evops.Normal(1, 0.1), (10_000, 10_000), seed=1)
    assert S.nnz == 49_975 and int(S.in_degree().max()) > 200


def test_bad_input():
    for make, error, match in (
        (lambda: SMALL(-1, 0.5), ValueError, "num_neighbor must be an integer from 0"),
        (lambda: SMALL(2.0, 0.5), TypeError, "num_neighbor must be an integer"),
        (lambda: SMALL(2, 1.5), ValueError, r"prob must be in \[0, 1\], got 1.5"),
        (lambda: SMALL(2, 0.5, 1), TypeError, "directed must be True or False, got 1"),
        (lambda: SMALL(2, 0.5, include_self="no"), TypeError, "include_self must be True or False"),
        (lambda: FREE(0), ValueError, "m must be an integer from 1"),
        (lambda: DUAL(1, 0, 0.5), ValueError, "m2 must be an integer from 1"),
        (lambda: DUAL(1, 1, math.nan), ValueError, r"p must be in \[0, 1\], got nan"),
        (lambda: POWER(2, None), TypeError, "p must be a real number, got None"),
        (lambda: synapses(SMALL(5, 0.5), 5), ValueError, "num_neighbor must .* from 0 to 4, got 5"),
        (lambda: synapses(FREE(5), 5), ValueError, "m must be an integer from 1 to 4, got 5"),
        (lambda: synapses(DUAL(1, 9, 0.5, True), 9), ValueError, "m2 must .* from 1 to 8, got 9"),
        (lambda: POWER(5, 0.5).expected_synapses((5, 5)), ValueError, "m must .* 1 to 4, got 5"),
        (lambda: evops.Synapses(FREE(2, True), 1.0, (5, 6), seed=1), ValueError,
         r"as many pre as post neurons for ScaleFree\(m=2, directed=True\), got \(5, 6\)"),
        (lambda: evops.Projection(FREE(2, True), 1.0, (5, 5), seed=1), ValueError, "store it with"),
    ):  # fmt: skip
        with pytest.raises(error, match=match):
            make()


def test_texts_say_whose_edges_they_are(monkeypatch):
    version = metadata.version("networkx")
    assert repr(SMALL(4, 0.5)) == f"SmallWorld(num_neighbor=4, prob=0.5, networkx={version})"
    assert repr(FREE(np.int8(5))) == f"ScaleFree(m=5, networkx={version})"
    assert repr(DUAL(3, 5, 0.5, True)) == "DualScaleFree(m1=3, m2=5, p=0.5, directed=True)"
    loops = SMALL(4, 0.5, include_self=True)
    assert repr(loops) == "SmallWorld(num_neighbor=4, prob=0.5, include_self=True)"
    monkeypatch.setitem(sys.modules, "networkx", None)

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(ImportError, match=r"^PowerLawCluster\(m=2, p=0.5, networkx=missing\) needs networkx: pip install 'jax-evops\[graphs\]'"):  # fmt: skip
        synapses(POWER(2, 0.5), 9)
    assert synapses(POWER(2, 0.5, directed=True), 9).nnz == 14
    assert synapses(loops, 9).nnz <= 36


@pytest.mark.parametrize("kind", ["Graph", "DiGraph", "MultiGraph", "MultiDiGraph"])
def test_graphs_that_users_have(kind):
    """Nodes in the graph's order; both directions of an undirected edge, parallel edges, loops."""
    graph = getattr(networkx, kind)()
    graph.add_nodes_from("dbca")
    for u, v, w, d in (
        ("a", "b", 2.0, 1),
        ("b", "a", 3.0, 2),
        ("c", "c", 4.0, 3),
        ("a", "b", 5.0, 4),
    ):
        graph.add_edge(u, v, w=w, d=d)
    S = evops.CSR.from_networkx(graph, weight="w", delay="d")
    order = list(graph.nodes)
    assert order == list("dbca")
    np.testing.assert_array_equal(S.todense(), networkx.to_numpy_array(graph, order, weight="w"))
    found = sorted(zip(*(np.asarray(a).tolist() for a in S.edges()), strict=True))
    want = [
        (order.index(u), order.index(v), held["w"], held["d"])
        for u, v, held in graph.edges(data=True)
    ]
    if not graph.is_directed():
        want += [(j, i, w, d) for i, j, w, d in want if i != j]
    assert found == sorted(want)
