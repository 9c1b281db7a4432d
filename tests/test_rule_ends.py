"""Both ends of every rule's parameters and of its sizes: native, jnp and the oracle agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
import oracle
import oracle_exact

pytestmark = pytest.mark.filterwarnings("ignore::evops.EvopsConnectivityWarning")
SEED = 0x1_2345_6789
ALMOST = 1 - 2.0**-40


def p(value, autapses=True):
    return evops.FixedProbability(value, autapses), ("bernoulli", value, autapses)


def counted(rule, name, k, *more):
    return rule(k, *more), (name, k, *more)


def neighbours(grid, radius):
    parameters = grid, radius, "chebyshev", (False,) * len(grid), False
    return evops.Neighbours(*parameters), ("neighbours", *parameters)


OUT, IN, TOTAL = evops.FixedOutDegree, evops.FixedInDegree, evops.FixedTotalNumber
# name: what gives the rule and its spelling for the oracle
ENDS = {
    "p=0": lambda n_pre, n_post: p(0.0),
    "p=2**-42": lambda n_pre, n_post: p(2.0**-42),
    "p=2**-40": lambda n_pre, n_post: p(2.0**-40),
    "p=1/8, below": lambda n_pre, n_post: p(0.125 - 2.0**-30),
    "p=1/8": lambda n_pre, n_post: p(0.125),
    "p=1 - 2**-40": lambda n_pre, n_post: p(ALMOST),
    "p=1": lambda n_pre, n_post: p(1.0),
    "all but autapses": lambda n_pre, n_post: (evops.AllToAll(False), ("bernoulli", 1.0, False)),
    "one to one": lambda n_pre, n_post: (evops.OneToOne(), ("one_to_one",)),
    "no target": lambda n_pre, n_post: counted(OUT, "out_degree", 0, False),
    "every target": lambda n_pre, n_post: counted(OUT, "out_degree", n_post, False),
    "no target, multapses": lambda n_pre, n_post: counted(OUT, "out_degree", 0, True),
    "more targets than there are": lambda n_pre, n_post: counted(OUT, "out_degree", n_post + 5, True),
    "no synapse": lambda n_pre, n_post: counted(TOTAL, "total", 0),
    "one synapse": lambda n_pre, n_post: counted(TOTAL, "total", 1),
    "no source": lambda n_pre, n_post: counted(IN, "in_degree", 0),
    "one source": lambda n_pre, n_post: counted(IN, "in_degree", 1),
    "more sources than there are": lambda n_pre, n_post: counted(IN, "in_degree", n_pre + 2),
    "no neighbour": lambda n_pre, n_post: neighbours((n_post,), 0),
    "every neighbour": lambda n_pre, n_post: neighbours((1, n_post), n_post),
    "published, p=1": lambda n_pre, n_post: (evops.LfsrGaps(1), 1.0),
    "published, p=1e-300": lambda n_pre, n_post: (evops.LfsrGaps(1e-300), 1e-9),
}  # fmt: skip
SQUARE = ("one to one", "no neighbour", "every neighbour")
SIZES = [(1, 1), (2, 255), (2, 256), (2, 257), (257, 1)]
# Ends that depend on the bits of a permuted domain see every size, the others the smallest and 257.
CASES = [
    (name, size)
    for name in ENDS
    for size in SIZES
    if size in ((1, 1), (2, 257)) or name in ("no source", "every target", "one source")
]
# The ends that have shown faults are tried at every change.
OFTEN = (
    "p=0",
    "p=1 - 2**-40",
    "all but autapses",
    "one to one",
    "every neighbour",
    "every target",
    "no synapse",
    "no source",
)
CASES = [
    pytest.param(*case, marks=() if case[0] in OFTEN and case[1] != (2, 255) else pytest.mark.slow)
    for case in CASES
]


@jax.jit
def everything(W, circuit, x, v):
    n = W.shape[1]
    return (
        x @ W, W @ v, W.in_degree(), W.out_degree(),
        W.push(x, evops.DelayBuffer.zeros(n, W.max_delay)).sums[W.max_delay],
        circuit.push(jnp.concatenate([x, v]), circuit.buffer()).sums[W.max_delay, len(x) :],
    )  # fmt: skip


@pytest.mark.thin(15)
@pytest.mark.parametrize(("name", "size"), CASES, ids=str)
def test_ends_of_rules(name, size, backend):
    n_pre, n_post = (size[1],) * 2 if name in SQUARE else size
    rule, spelled = ENDS[name](n_pre, n_post)
    if isinstance(rule, evops.LfsrGaps):
        want = oracle.lines(SEED % 2**32, n_pre, n_post, spelled).astype(int)
    else:
        want = oracle_exact.matrix(spelled, SEED, n_pre, n_post)
    W = evops.Projection(rule, 1.0, (n_pre, n_post), seed=SEED, delay=2, backend=backend)
    circuit = evops.Circuit(evops.Populations({"E": n_pre, "I": n_post}), {("E", "I"): W})
    x, v = jnp.ones(n_pre, bool), jnp.ones(n_post, bool)
    onto, of = want.sum(0), want.sum(1)
    # between two populations no neuron meets itself: nothing is left out
    between = np.ones_like(want) if name == "all but autapses" else want
    for got, sums in zip(
        everything(W, circuit, x, v), (onto, of, onto, of, onto, between.sum(0)), strict=True
    ):
        np.testing.assert_array_equal(got, sums)
    for edges, synapses in ((W.edges(), want), (circuit.edges(), between)):
        assert len(edges.pre) == synapses.sum() and (np.asarray(edges.delay) == 2).all()
    if n_pre < 50:
        np.testing.assert_array_equal(W.todense(), want)


LARGEST = 2**31 - 1


@pytest.mark.parametrize(
    ("rule", "shape"),
    [
        (evops.FixedOutDegree(LARGEST, multapses=True), (1, 1)),
        (evops.FixedOutDegree(LARGEST, multapses=True), (2, 4)),
        (evops.FixedOutDegree(LARGEST), (1, LARGEST)),
        (evops.FixedOutDegree(0), (1, LARGEST)),
        (evops.FixedProbability(1), (1, LARGEST)),
        (evops.FixedProbability(1e-300), (1, LARGEST)),
        (evops.OneToOne(), (LARGEST, LARGEST)),
        (evops.Neighbours((2, 2**30 - 1), 2.5, periodic=True), (2**31 - 2,) * 2),
        (evops.AllToAll(False), (1, LARGEST)),
        (evops.LfsrGaps(1e-300), (1, LARGEST)),
        (evops.LfsrGaps(1), (1, LARGEST)),
    ],
    ids=str,
)
def test_the_largest_numbers_can_be_made(rule, shape, backend):
    W = evops.Projection(rule, 1.0, shape, seed=1, delay=1, backend=backend)
    assert W.shape == shape and repr(W)


@pytest.mark.parametrize(
    "rule",
    [
        evops.FixedOutDegree(LARGEST, multapses=True),
        evops.FixedOutDegree(300),
        evops.FixedOutDegree(0),
        evops.LfsrGaps(1e-300),
    ],
    ids=str,
)
def test_native_takes_the_largest_numbers_where_nobody_fires(rule):
    W = evops.Projection(rule, 1.0, (2, 300), seed=1, delay=1, backend="native")
    assert not (jnp.zeros(2, bool) @ W).any()
    assert not W.push(jnp.zeros(2, bool), evops.DelayBuffer.zeros(300, 1)).sums.any()


REFUSED = [
    (evops.OneToOne(), (4, 2), "shape must have as many pre as post neurons for OneToOne, got .4, 2."),
    (evops.OneToOne(), (1, 2), "shape must"),
    (evops.FixedOutDegree(3), (4, 2), "k must be an integer from 0 to 2, got 3"),
    (evops.FixedOutDegree(LARGEST, multapses=True), (2, 1), "k must be an integer from 0 to 1073741823"),
    (evops.FixedInDegree(LARGEST), (1, 2), r"k \* n_post must be an integer from 0 to"),
    (evops.FixedInDegree(2), (1, LARGEST), r"k \* n_post must"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "shape", "message"), REFUSED, ids=str)
def test_beyond_the_ends(rule, shape, message):
    with pytest.raises(ValueError, match=message):
        evops.Projection(rule, 1.0, shape, seed=1)
    if isinstance(rule, evops.OneToOne):
        with pytest.raises(ValueError, match="shape must"):
            rule.expected_synapses(shape)


@pytest.mark.parametrize("flag", ["no", 1, None])
def test_flags_are_flags(flag):
    for make in (
        lambda: evops.LfsrGaps(0.5, hashed=flag),
        lambda: evops.FixedProbability(0.5, autapses=flag),
        lambda: evops.FixedOutDegree(1, multapses=flag),
        lambda: evops.AllToAll(autapses=flag),
    ):
        with pytest.raises(TypeError, match="(hashed|autapses|multapses) must be True or False"):
            make()


@pytest.mark.thin(3)
# ---- delays ----
@pytest.mark.parametrize("longest", [1, 2, 255, 256, 4096])
def test_delays_at_the_end_of_the_ring(longest, backend):
    """The longest delay that fits wraps round the ring to the slot before the current one."""
    law = evops.Uniform(1, longest)
    W = evops.Projection(evops.OneToOne(), 1.0, (60, 60), seed=4, delay=law, backend=backend)
    drawn = np.asarray(W.edges().delay)
    assert W.max_delay == longest and (drawn >= 1).all() and (drawn <= longest).all()
    for step in (0, longest):
        empty = evops.DelayBuffer.zeros(60, longest)
        buffer = W.push(jnp.ones(60, bool), evops.DelayBuffer(empty.sums, jnp.int32(step)))
        slot, neuron = np.nonzero(np.asarray(buffer.sums))
        np.testing.assert_array_equal(slot[np.argsort(neuron)], (step + drawn) % (longest + 1))
    one = evops.Projection(evops.OneToOne(), 1.0, (60, 60), seed=4, delay=longest, backend=backend)
    buffer = one.push(jnp.ones(60, bool), evops.DelayBuffer.zeros(60, longest))
    assert np.asarray(buffer.sums)[longest].all()
    with pytest.raises(
        ValueError,
        match=f"delays of {longest} steps, got .* make it with max_delay={longest} or more",
    ):
        one.push(jnp.ones(60, bool), evops.DelayBuffer.zeros(60, longest - 1))


@pytest.mark.parametrize(
    ("delay", "steps"),
    [
        (evops.Normal(2.5, 0), 3),  # halves are rounded up, with and without a deviation
        (evops.Normal(0.5, 0), 1),
        (evops.Normal(3.4999, 1e-9), 3),
        (evops.Uniform(7, 7), 7),
        (1, 1),
        (LARGEST - 1, LARGEST - 1),
    ],
    ids=str,
)
def test_delays_of_one_value(delay, steps):
    W = evops.Projection(evops.OneToOne(), 1.0, (2, 2), seed=4, delay=delay)
    assert W.max_delay == steps and (np.asarray(W.edges().delay) == steps).all()


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "delay: loc_scale of Odd must return two numbers, got None"),
        ((1.0,), "two numbers"),
        (("a", 1.0), "two numbers"),
        ((float("nan"), 1.0), "a finite location"),
        ((5.0, -1.0), "a finite scale from 0"),
        ((5.0, float("inf")), "a finite scale"),
    ],
    ids=str,
)
def test_own_laws_of_delays_are_named(found, message):
    class Odd(evops.Law):
        unit_quantile = staticmethod(lambda u: u)

        def loc_scale(self):
            return found

    with pytest.raises((TypeError, ValueError), match=message):
        evops.Projection(evops.AllToAll(), 1.0, (2, 2), seed=4, delay=Odd())


@pytest.mark.parametrize("delay", [evops.Normal(1e308, 1e308), evops.Normal(1e300, 1.0)], ids=str)
def test_delays_beyond_any_ring(delay):
    with pytest.raises(ValueError, match="delay must be at (most|least)"):
        evops.Projection(evops.AllToAll(), 1.0, (2, 2), seed=4, delay=delay)


def test_more_multapses_than_targets(backend):
    rule = evops.FixedOutDegree(3000, multapses=True)
    W = evops.Projection(rule, 1.0, (4, 5), seed=7, backend=backend)
    np.testing.assert_array_equal(W.out_degree(), [3000] * 4)
    assert W.todense().min() > 400
    assert W.tocsr().nnz == 12_000
