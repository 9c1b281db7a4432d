"""Rules that are stored: without multapses, without autapses; and the door for stored synapses."""

import itertools

import jax
import numpy as np
import pytest

import evops
from chance import check_chi2
from evops.projection import key_of

IN, OUT, TOTAL = evops.FixedInDegree, evops.FixedOutDegree, evops.FixedTotalNumber
STORED = [
    IN(3, multapses=False),
    IN(3, multapses=False, autapses=False),
    IN(3, autapses=False),
    OUT(3, autapses=False),
    OUT(3, multapses=True, autapses=False),
    TOTAL(40, multapses=False),
    TOTAL(40, autapses=False),
    TOTAL(40, multapses=False, autapses=False),
]
SHAPES = [(10, 10), (9, 14), (14, 9), (300, 300)]


def matrix(S):
    counts = np.zeros(S.shape, int)
    np.add.at(counts, (np.asarray(S.pre_ids), np.asarray(S.post_ids)), 1)
    return counts


@pytest.mark.parametrize("rule", STORED, ids=repr)
@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_repeats_and_autapses(rule, shape):
    S = evops.Synapses(rule, 0.5, shape, seed=3)
    counts = matrix(S)
    if isinstance(rule, IN):
        assert (counts.sum(0) == rule.k).all()
    elif isinstance(rule, OUT):
        assert (counts.sum(1) == rule.k).all()
    assert counts.sum() == rule.expected_synapses(shape)
    if not rule.multapses:
        assert counts.max() == 1
    if not rule.autapses:
        assert not np.diagonal(counts).any()


@pytest.mark.parametrize("rule", STORED, ids=repr)
def test_a_projection_names_the_door(rule):
    with pytest.raises(ValueError, match=r"cannot be drawn again at each spike: .*evops.Synapses"):
        evops.Projection(rule, 0.5, (10, 10), seed=1)


def test_rules_that_are_drawn_are_stored_as_they_are_drawn(backend):
    law, delay = evops.Normal(1.0, 0.1), evops.Uniform(1, 9)
    for rule in (evops.FixedProbability(0.1), OUT(4), TOTAL(99), IN(4), evops.OneToOne()):
        W = evops.Projection(rule, law, (20, 20), seed=5, delay=delay, backend=backend)
        S = evops.Synapses(rule, law, (20, 20), seed=5, delay=delay, backend=backend)
        for one, other in zip(jax.tree.leaves(S), jax.tree.leaves(W.tocsr()), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("multapses", [False, True])
def test_targets_and_variates_are_those_of_the_reader(multapses, monkeypatch):
    """With autapses the same functions give what `FixedOutDegree` draws."""
    from evops.connectivity import counted_rules, stored_rules

    rule, law, delay = (
        OUT(7, multapses=multapses),
        evops.Normal(1.0, 0.1),
        evops.Normal(8, 3, low=1),
    )
    W = evops.Projection(rule, law, (40, 30), seed=9, delay=delay).edges()

    def stored(self, shape, words, partners):
        del partners
        options = {"role": 0, "multapses": multapses, "autapses": True}
        return *stored_rules.partners(self.k, *shape, words, **options), multapses

    monkeypatch.setattr(counted_rules.FixedOutDegree, "stored", stored)
    S = evops.Synapses(rule, law, (40, 30), seed=9, delay=delay).edges()
    listed = [sorted(zip(*(np.asarray(a).tolist() for a in e), strict=True)) for e in (W, S)]
    assert listed[0] == listed[1]


def test_synapses_depend_on_rule_shape_and_seed_alone():
    rule = STORED[1]
    one = evops.Synapses(rule, 0.5, (50, 50), seed=1)
    other = evops.Synapses(rule, evops.Normal(1, 1), (50, 50), seed=1, delay=evops.Uniform(1, 5))
    np.testing.assert_array_equal(one.indices, other.indices)
    key = evops.Synapses(rule, 0.5, (50, 50), seed=jax.random.key(1), backend="jnp")
    np.testing.assert_array_equal(one.indices, key.indices)
    assert not np.array_equal(one.indices, evops.Synapses(rule, 0.5, (50, 50), seed=2).indices)
    assert other.max_delay == 5 and len(set(np.asarray(other.delay).tolist())) == 5
    weight = np.asarray(other.data)
    assert weight.shape == (150,) and 0.5 < weight.std() < 1.5


def outcomes(rule, shape):
    """Every matrix that a rule may give, all of them equally likely; of rules without repeats."""
    pairs = [p for p in np.ndindex(shape) if rule.autapses or p[0] != p[1]]
    if isinstance(rule, TOTAL):
        return [frozenset(c) for c in itertools.combinations(pairs, rule.k)]
    side = int(isinstance(rule, IN))
    groups = [
        [c for c in itertools.combinations([p for p in pairs if p[side] == j], rule.k)]
        for j in range(shape[side])
    ]
    return [frozenset(itertools.chain(*choice)) for choice in itertools.product(*groups)]


@pytest.mark.parametrize(
    ("rule", "shape"),
    [
        (IN(1, multapses=False, autapses=False), (3, 3)),
        (IN(2, multapses=False), (3, 2)),
        (OUT(2, autapses=False), (3, 4)),
        (TOTAL(2, multapses=False), (3, 3)),
        (TOTAL(5, multapses=False, autapses=False), (3, 3)),
    ],
    ids=repr,
)
def test_all_outcomes_are_equally_likely(rule, shape):
    possible = outcomes(rule, shape)
    found = dict.fromkeys(possible, 0)
    seeds = 60 * len(possible)

    def drawn(seed):
        """Without the matrix round it, which takes much longer."""
        words = tuple(key_of(np.array([seed, 0], np.uint32)))
        return list(zip(*(side.tolist() for side in rule.stored(shape, words)[:2]), strict=True))

    S = evops.Synapses(rule, 1.0, shape, seed=seeds)
    pairs = zip(np.asarray(S.pre_ids).tolist(), np.asarray(S.post_ids).tolist(), strict=True)
    assert sorted(pairs) == sorted(drawn(seeds))
    for seed in range(seeds):
        found[frozenset(drawn(seed))] += 1
    check_chi2([*found.values()], np.full(len(found), seeds / len(found)))


def test_repeats_are_uniform_where_they_are_allowed():
    for rule in (IN(2000, autapses=False), OUT(2000, multapses=True, autapses=False)):
        counts = matrix(evops.Synapses(rule, 1.0, (12, 12), seed=4))
        off = counts[~np.eye(12, dtype=bool)]
        check_chi2(off, np.full(off.size, 2000 / 11))
    off = matrix(evops.Synapses(TOTAL(30_000, autapses=False), 1.0, (12, 15), seed=4))
    off = off[~np.eye(12, 15, dtype=bool)]
    check_chi2(off, np.full(off.size, 30_000 / off.size))


def test_numbers_that_do_not_fit():
    for rule, shape, most in (
        (IN(4, multapses=False), (3, 9), 3),
        (IN(3, multapses=False, autapses=False), (3, 9), 2),
        (IN(1, autapses=False), (1, 9), 0),
        (OUT(4, autapses=False), (9, 4), 3),
        (OUT(1, multapses=True, autapses=False), (9, 1), 0),
        (TOTAL(10, multapses=False), (3, 3), 9),
        (TOTAL(7, multapses=False, autapses=False), (3, 3), 6),
        (TOTAL(1, autapses=False), (1, 1), 0),
    ):
        with pytest.raises(ValueError, match=f"k must be an integer from 0 to {most}"):
            evops.Synapses(rule, 1.0, shape, seed=1)
    assert evops.Synapses(TOTAL(6, multapses=False, autapses=False), 1.0, (3, 3), seed=1).nnz == 6
    assert evops.Synapses(IN(0, multapses=False), 1.0, (3, 3), seed=1).nnz == 0
    for flag in ("multapses", "autapses"):
        with pytest.raises(TypeError, match=f"{flag} must be True or False"):
            IN(3, **{flag: 1})
    with pytest.raises(TypeError, match="rule must be a connectivity rule"):
        evops.Synapses(0.1, 1.0, (3, 3), seed=1)
    with pytest.raises(TypeError, match="seed must be known to store synapses"):
        jax.jit(lambda s: evops.Synapses(STORED[0], 1.0, (3, 3), seed=s).data)(1)


def test_texts_of_rules():
    assert repr(TOTAL(3)) == "FixedTotalNumber(k=3)"
    assert repr(IN(3, autapses=False)) == "FixedInDegree(k=3, autapses=False)"
