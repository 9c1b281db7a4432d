"""Which synapses exist: the same for the oracle, NumPy, jnp, native, and every way of asking."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
import oracle_exact
from bits import check_synapses
from evops.connectivity import alias_tables, sampler
from evops.connectivity.delay_tables import discretise
from evops.connectivity.format import GeometricGaps

SEED = 0x1_2345_6789
GOLDEN = json.loads((Path(__file__).parent / "golden" / "edges.json").read_text())


def neighbours(*parameters):
    return evops.Neighbours(*parameters), ("neighbours", *parameters)


def blocks(p, autapses):
    """With types in no order, and one type more than there are neurons of."""
    rows, columns = ([(7 * i) // 3 % len(k) for i in range(n)] for k, n in ((p, 23), (p[0], 4231)))
    rule = evops.BlockProbability(p, rows, columns, autapses=autapses)
    return rule, ("blocks", p, rows, columns, autapses)


RULES = {
    "p=0.9": (evops.FixedProbability(0.9), ("bernoulli", 0.9, True)),
    "p=0.3": (evops.FixedProbability(0.3), ("bernoulli", 0.3, True)),
    "p=0.15, no autapses": (evops.FixedProbability(0.15, False), ("bernoulli", 0.15, False)),
    "p=0.1": (evops.FixedProbability(0.1), ("bernoulli", 0.1, True)),
    "p=0.05, no autapses": (evops.FixedProbability(0.05, False), ("bernoulli", 0.05, False)),
    "p=0.003": (evops.FixedProbability(0.003), ("bernoulli", 0.003, True)),
    "p=1e-4": (evops.FixedProbability(1e-4), ("bernoulli", 1e-4, True)),
    "p=0": (evops.FixedProbability(0), ("bernoulli", 0.0, True)),
    "p=1": (evops.FixedProbability(1), ("bernoulli", 1.0, True)),
    "all, no autapses": (evops.AllToAll(autapses=False), ("bernoulli", 1.0, False)),
    "one to one": (evops.OneToOne(), ("one_to_one",)),
    "k=7": (evops.FixedOutDegree(7), ("out_degree", 7, False)),
    "k=1100": (evops.FixedOutDegree(1100), ("out_degree", 1100, False)),
    "k=9, multapses": (evops.FixedOutDegree(9, multapses=True), ("out_degree", 9, True)),
    "k=0": (evops.FixedOutDegree(0), ("out_degree", 0, False)),
    "total": (evops.FixedTotalNumber(3000), ("total", 3000)),
    "total of 60 blocks": (evops.FixedTotalNumber(50_000), ("total", 50_000)),
    "in-degree": (evops.FixedInDegree(3), ("in_degree", 3)),
    "no synapse": (evops.FixedTotalNumber(0), ("total", 0)),
    "neighbours": neighbours((15, 20), 1, "euclidean", (False, False), False),
    "neighbours, a ring": neighbours((300,), 2, "chebyshev", (True,), True),
    "neighbours, many": neighbours((3, 10, 10), 9, "chebyshev", (False, True, False), False),
    "symmetric": (evops.SymmetricProbability(0.2), ("symmetric", 0.2, False)),
    "symmetric, autapses": (evops.SymmetricProbability(0.6, True), ("symmetric", 0.6, True)),
    "symmetric, certain": (evops.SymmetricProbability(1.0), ("symmetric", 1.0, False)),
    "no mutual": (evops.NoMutualProbability(0.3), ("no_mutual", 0.3)),
    "no mutual, certain": (evops.NoMutualProbability(0.5), ("no_mutual", 0.5)),
    "blocks": blocks([[0.1, 0.9, 0.0], [1.0, 0.3, 0.02]], True),
    "blocks, no autapses": blocks([[0.5], [0.7]], False),
    "one block": blocks([[0.2]], True),
}
SHAPE = (23, 4231)  # a block of 4096 and a piece of the next
SQUARE = (300, 300)


@pytest.fixture(params=RULES, scope="module")
def case(request):
    rule, spelled = RULES[request.param]
    return rule, oracle_exact.matrix(spelled, SEED, *shape_of(rule))


SQUARES = (
    evops.OneToOne, evops.Neighbours, evops.SymmetricProbability, evops.NoMutualProbability
)  # fmt: skip


def shape_of(rule):
    return SQUARE if isinstance(rule, SQUARES) else SHAPE


def project(rule, backend, shape=None, law=1.0, seed=SEED):
    shape = shape or shape_of(rule)
    return evops.Projection(rule, law, shape, seed=seed, backend=backend)


@pytest.mark.thin(49)
@pytest.mark.parametrize("x64", [False, True])
def test_equal_edges(case, backend, x64):
    rule, want = case
    with jax.enable_x64(x64):
        W = project(rule, backend)
        check_synapses(W, want)


@pytest.mark.thin(27)
def test_equal_edges_for_batches_of_seeds(case, backend):
    rule, want = case

    def product(seed):
        return jnp.eye(len(want), dtype=bool)[:3] @ project(rule, backend, seed=seed)

    seeds = jnp.array([5, SEED % 2**32, 7], jnp.uint32)
    got = jax.jit(jax.vmap(product))(seeds)
    for k, seed in enumerate(np.asarray(seeds)):
        alone = project(rule, backend, seed=int(seed)).todense()
        np.testing.assert_array_equal(got[k], alone[:3])


@pytest.mark.thin(3)
@pytest.mark.parametrize("name", ["total", "in-degree"])
def test_batches_of_spikes_and_of_seeds_have_counts_of_their_own(name, backend):
    """Of seeds inside, of spikes outside."""
    rule, _ = RULES[name]
    xs, seeds = np.arange(SHAPE[0]) % 5 > np.array([[1], [3]]), jnp.arange(3)

    def product(x, seed):
        return x @ project(rule, backend, seed=seed)

    got = jax.jit(jax.vmap(jax.vmap(product, (None, 0)), (0, None)))(xs, seeds)
    for k in range(3):
        W = np.asarray(project(rule, backend, seed=k).todense())
        np.testing.assert_array_equal(got[:, k], xs @ W)


@pytest.mark.thin(3)
@pytest.mark.parametrize("name", ["p=0.3", "p=0.1", "p=0.003", "p=1e-4"])
def test_more_neurons_keep_the_synapses(name, backend):
    rule, _ = RULES[name]
    small = project(rule, backend, (11, 5000)).todense()
    large = project(rule, backend, (19, 9001)).todense()
    np.testing.assert_array_equal(large[:11, :5000], small)


@pytest.mark.parametrize("rule", [evops.SymmetricProbability(0.3), evops.NoMutualProbability(0.3)])
def test_more_neurons_keep_the_synapses_between_them(rule, backend):
    small, large = (project(rule, backend, (n, n)).todense() for n in (130, 211))
    np.testing.assert_array_equal(large[:130, :130], small)


def test_rules_without_autapses_have_some_to_leave_out():
    for _, (name, *parameters) in RULES.values():
        if name == "bernoulli" and not parameters[1]:
            lines = oracle_exact.lines((name, parameters[0], True), SEED, SHAPE[0], SHAPE[0])
            assert any(i in line for i, line in enumerate(lines)), parameters


# A probability for each way to read blocks, and a shape with autapses. There are so many targets that a row alone is
# read in another way than many rows side by side.
READERS = {
    "dense": (0.4, (130, 140)),
    "gaps of a small table": (0.1, (140, 150)),
    "gaps of a table in memory": (0.02, (400, 520)),
    "gaps of two digits": (4.8e-4, (5000, 70_000)),
}


@pytest.fixture(params=READERS, scope="module")
def reader(request):
    return READERS[request.param]


@pytest.mark.thin(9)
def test_autapses_are_all_that_their_flag_removes(reader, backend):
    p, (n_pre, n_post) = reader
    W, without = (
        project(evops.FixedProbability(p, autapses), backend, (n_pre, n_post))
        for autapses in (True, False)
    )
    pre, post = (np.asarray(a) for a in W.edges()[:2])
    removed = post == pre
    assert removed.any()
    kept = np.sort((pre * n_post + post)[~removed])
    got = without.edges()
    np.testing.assert_array_equal(np.sort(np.asarray(got.pre) * n_post + got.post), kept)
    check_products(without, pre[~removed], post[~removed], alone=pre[removed][:3])


@pytest.mark.thin(3)
def test_rows_alone_are_those_of_many_rows(reader, backend):
    p, shape = reader
    W = project(evops.FixedProbability(p), backend, shape)
    pre, post = (np.asarray(a) for a in W.edges()[:2])
    check_products(W, pre, post, alone=pre[[0, -1]])


def check_products(W, pre, post, alone):
    """Products are those of the synapses: of all neurons, and of each of `alone` by itself."""
    n_pre, n_post = W.shape
    np.testing.assert_array_equal(jnp.ones(n_pre, bool) @ W, np.bincount(post, minlength=n_post))
    np.testing.assert_array_equal(W @ jnp.ones(n_post, bool), np.bincount(pre, minlength=n_pre))
    got = (np.arange(n_pre) == np.asarray(alone)[:, None]) @ W
    for row, i in zip(got, alone, strict=True):
        np.testing.assert_array_equal(row, np.bincount(post[pre == i], minlength=n_post))


@pytest.mark.thin(15)
@pytest.mark.parametrize("law", [evops.Uniform(-1.0, 2.0), evops.Normal(0.5, 0.25)])
@pytest.mark.parametrize(
    "name",
    ["p=0.3", "p=0.05, no autapses", "k=7", "k=9, multapses", "total", "in-degree", "blocks",
     "no mutual"],
)  # fmt: skip
def test_weights_and_delays_are_those_of_the_oracle(law, name, backend):
    rule, spelled = RULES[name]
    delay = evops.Normal(15, 7.5, low=1)
    shape = shape_of(rule)
    edges = evops.Projection(rule, law, shape, seed=SEED, delay=delay, backend=backend).edges()
    quantiles, unit = law.table()
    pairs = list(zip(edges.pre.tolist(), edges.post.tolist(), strict=True))
    wanted = oracle_exact.lines(spelled, SEED, *shape)
    assert sorted(pairs) == sorted((i, j) for i, line in enumerate(wanted) for j in line)
    counters = [j for _, j in pairs]
    if name in ("k=9, multapses", "total", "in-degree"):  # their synapses come in order
        assert pairs == [(i, j) for i, line in enumerate(wanted) for j in line]
        counters = [c for line in wanted for c in range(len(line))]
    own = [(i, c) for (i, _), c in zip(pairs, counters, strict=True)]
    table = discretise(delay)
    size = 2 ** (32 - table.bits)
    columns = [(int(t) % size, int(t) // size) for t in table.table]
    drawn = [oracle_exact.delay(columns, table.bits, SEED, *c) for c in own]
    assert edges.delay.tolist() == [table.shortest + d for d in drawn]
    z = np.array([oracle_exact.variate(quantiles, SEED, *c) for c in own])
    loc, scale = (np.float32(v) for v in law.loc_scale())
    want = loc + (scale * np.float32(unit)) * z.astype(np.float32)
    np.testing.assert_allclose(edges.weight, want, rtol=1e-6, atol=1e-6)


def test_weights_do_not_depend_on_the_probability(backend):
    law = evops.Normal(0.0, 1.0)
    dense, sparse = (
        np.asarray(project(evops.FixedProbability(p), backend, law=law).todense())
        for p in (0.3, 0.01)
    )
    both = (dense != 0) & (sparse != 0)
    assert both.sum() > 100
    np.testing.assert_array_equal(dense[both], sparse[both])


def test_sampler_source_runs_on_numpy():
    pre = np.arange(50, dtype=np.uint32)
    t = [np.full(50, w, np.uint32) for w in oracle_exact.seed_key(SEED)]
    k0, k1 = sampler.feistel(pre, pre * np.uint32(3), *t)
    i = np.arange(50, dtype=np.uint32) * np.uint32(77)
    w = sampler.word(k0, k1, i)
    for j in range(50):
        key = oracle_exact.feistel(j, 3 * j, *oracle_exact.seed_key(SEED))
        assert (int(k0[j]), int(k1[j])) == key
        assert int(w[j]) == oracle_exact.word(*key, 77 * j)
    for n in (3, 1_234_567_891, 2**31 - 1):  # the last has the largest carries
        below = sampler.below(w, np.full(50, n, np.uint32))
        np.testing.assert_array_equal(below, w.astype(np.uint64) * np.uint64(n) >> np.uint64(32))


@pytest.mark.parametrize("p", [0.1, 0.02, 1e-4])
def test_tables_of_gaps_are_those_of_the_oracle(p):
    high, low = oracle_exact.gap_tables(p)
    want = [
        other << (32 - bits) | threshold
        for bits, columns in (high, low or (0, []))
        for threshold, other in columns
    ]
    assert alias_tables.gaps(p)[2].tolist() == want


class LongGaps(evops.Rule):
    """Every second gap goes on, of two digits: those of a probability hardly ever do."""

    def scheme(self, shape):
        return GeometricGaps(block_bits=22, high_digit_bits=6, low_digit_bits=10)

    @property
    def masses(self):
        high = [2**31 // 63] * 63
        return [*high, 2**32 - sum(high)], [2**22] * 1024

    @property
    def table(self):
        high, low = self.masses
        return np.concatenate([alias_tables.alias(high, 6), alias_tables.alias(low, 10)])

    def expected_synapses(self, shape):
        return shape[0] * shape[1] / 2**16


def test_gaps_that_go_on(backend):
    rule, (n_pre, n_post) = LongGaps(), (20, 300_000)
    high, low = rule.masses
    columns = (6, oracle_exact.alias(high, 6)), (10, oracle_exact.alias(low, 10))
    wanted = [oracle_exact.bernoulli(SEED, i, n_post, 1e-4, columns) for i in range(n_pre)]
    edges = project(rule, backend, (n_pre, n_post)).edges()
    pairs = sorted(zip(edges.pre.tolist(), edges.post.tolist(), strict=True))
    assert pairs == [(i, j) for i, line in enumerate(wanted) for j in line]
    assert len(pairs) > n_pre


FOLLOWS = {  # rules, and whether out- and in-degrees follow from them
    "equal rows": (evops.FixedOutDegree(7), "out"),
    "equal rows, multapses": (evops.FixedOutDegree(9, multapses=True), "out"),
    "total": (evops.FixedTotalNumber(900), "out"),
    "in-degree": (evops.FixedInDegree(3), "out in"),
    "all": (evops.AllToAll(), "out in"),
    "all but autapses": (evops.AllToAll(autapses=False), ""),
    "none": (evops.FixedProbability(0.0), "out in"),
    "one to one": (evops.OneToOne(), "out in"),
    "gaps": (evops.FixedProbability(0.1), ""),
    "dense": (evops.FixedProbability(0.5), ""),
    "pairs": (evops.SymmetricProbability(0.5), ""),
}


@pytest.mark.parametrize("backend", ["native", "jnp"])
@pytest.mark.parametrize("name", FOLLOWS)
def test_degrees_that_follow_from_a_rule_are_not_counted(name, backend):
    rule, known = FOLLOWS[name]
    W = evops.Projection(rule, 1.0, (60, 60), seed=5, backend=backend)
    edges = W.edges()
    for side, degree, which in (("out", W.out_degree, edges.pre), ("in", W.in_degree, edges.post)):
        want = np.bincount(np.asarray(which), minlength=60)
        np.testing.assert_array_equal(degree(), want)
        assert degree().dtype == np.int32
        program = str(jax.make_jaxpr(lambda W, side=side: getattr(W, f"{side}_degree")())(W))
        assert ("evops" not in program) == (side in known.split()), program


@pytest.mark.parametrize("golden", GOLDEN["cases"], ids=lambda g: g["id"])
def test_golden_edges(golden, backend):
    """A change here is a change of every user's network: a new SAMPLER_VERSION."""
    assert GOLDEN["sampler_version"] == evops.SAMPLER_VERSION
    rule = getattr(evops, golden["rule"])(*golden["arguments"])
    W = evops.Projection(
        rule, evops.Normal(0.0, 1.0), (golden["pre"] + 1, golden["n_post"]),
        seed=golden["seed"], delay=evops.Normal(15, 7.5, low=1), backend=backend,
    )  # fmt: skip
    edges = W.edges()
    mine = np.asarray(edges.pre) == golden["pre"]
    post = np.asarray(edges.post)[mine][: len(golden["post"])]
    weight = np.asarray(edges.weight)[mine][: len(golden["post"])]
    assert post.tolist() == golden["post"]
    assert np.asarray(edges.delay)[mine][: len(post)].tolist() == golden["delay"]
    np.testing.assert_allclose(weight, np.float32(golden["weight"]), rtol=1e-6, atol=1e-6)
