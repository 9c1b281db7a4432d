"""One seed, however it is given: an integer, a key of `jax.random.key`, or of `PRNGKey`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

pytestmark = pytest.mark.range_ends

X = np.ones(12, bool)


def projection(seed, rule=None):
    return evops.Projection(
        rule or evops.FixedProbability(0.5), 1.0, (12, 12), seed=seed, backend="jnp"
    )


def of_projection(seed):
    return projection(seed).key


def of_published_rule(seed):
    return projection(seed, evops.LfsrGaps(0.5)).key[0]  # of the low word alone


def of_areas(seed):
    return evops.MultiAreaProjection(0.5, [[1.0]], 1, pre=12, post=12, seed=seed).keys


def of_operator(seed):
    return evops.event_mv_prob_homo(X, 1, 0.25, seed, shape=(12, 12), backend="jnp")


def of_matrix(seed):
    return evops.get_homo_weight_matrix(1, 0.25, seed, shape=(12, 12), backend="jnp")


SINGLE = (of_projection, of_published_rule, of_areas, of_operator, of_matrix)
INTEGERS = [0, 7, 2**31 - 1, 2**31 + 5, 2**32 - 1]


@pytest.mark.thin(3)
@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("network", SINGLE)
def test_keys_and_integers_are_one_seed(network, x64):
    with jax.enable_x64(x64):
        seeds = [*INTEGERS, *([2**40 + 3, -1] if x64 and network is not of_matrix else [])]
        for s in seeds:
            want = network(s)
            old = jax.random.PRNGKey(np.int64(s))
            for given in (jax.random.key(np.int64(s)), old, np.asarray(old)):
                np.testing.assert_array_equal(network(given), want)
        assert (np.asarray(network(7)) != np.asarray(network(8))).any()
        np.testing.assert_array_equal(network(np.uint64(7)), network(jnp.int32(7)))


def test_traced_keys_are_those_that_are_known():
    for network in (of_projection, of_operator):
        want = network(5)
        for key in (jax.random.key(5), jax.random.PRNGKey(5), 5):
            np.testing.assert_array_equal(jax.jit(network)(key), want)
    keys = jax.random.split(jax.random.PRNGKey(1), 3)
    many = jax.vmap(of_projection)(keys)
    np.testing.assert_array_equal(many[2], of_projection(keys[2]))
    # a network made inside a program, of a key from outside
    key = jax.random.key(5)
    np.testing.assert_array_equal(jax.jit(lambda: of_areas(key))(), of_areas(5))


def test_seeds_of_areas_keep_their_meaning():
    """`uint32 (2,)` is two seeds where one for each area is expected, and no key."""

    def run(seed):
        return evops.multi_area_event_mv_prob_homo_E(
            X, np.ones(2), seed, 0.25, shape=(12, 12), area_num=2, backend="jnp"
        )

    want = run([3, 2**32 - 1])
    for seed in (np.uint32([3, 2**32 - 1]), [3, -1], np.int64([3 + 2**32, -1]), [3 + 2**70, -1]):
        np.testing.assert_array_equal(run(seed), want)
    np.testing.assert_array_equal(run([2**63, -1]), run([0, -1]))
    with pytest.raises(TypeError, match="seed must be integers, one for each area, got JAX keys"):
        run(jax.random.split(jax.random.key(1), 2))


WRONG = [
    (jax.random.split(jax.random.key(1), 3), ValueError),
    (jax.random.split(jax.random.PRNGKey(1), 3), ValueError),
    (np.arange(5), ValueError),
    ([1, 2], ValueError),
    (1.5, TypeError),
    (None, TypeError),
    ("1", TypeError),
    (True, TypeError),
    (1j, TypeError),
    (np.timedelta64(3, "s"), TypeError),
]


@pytest.mark.parametrize("network", SINGLE)
@pytest.mark.parametrize(("seed", "error"), WRONG)
def test_what_is_no_seed_is_named(network, seed, error):
    with pytest.raises(error, match="^seed must"):
        network(seed)


def test_seeds_beyond_64_bits():
    for network in (of_projection, of_areas):
        with pytest.raises(ValueError, match="seed must be an integer from"):
            network(2**64)
    np.testing.assert_array_equal(of_operator(2**80 + 9), of_operator(9))  # modulo 2**32
