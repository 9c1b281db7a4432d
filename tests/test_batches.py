"""A batch of drawn products draws every row once: each member gets what it gets alone, to the bit.

Batches of stored products are in test_csr_batches.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

RULES = {
    "gaps": evops.FixedProbability(0.05),
    "dense": evops.FixedProbability(0.4),
    "out-degree": evops.FixedOutDegree(17),
    "multapses": evops.FixedOutDegree(17, multapses=True),
    "in-degree": evops.FixedInDegree(17),
    "total": evops.FixedTotalNumber(5000),
    "neighbours": evops.Neighbours((15, 20), radius=3),
    "diagonal": evops.OneToOne(),
}
LAWS = {"one": 0.5, "each": evops.Normal(0.5, 0.25)}
N = 300
# A tile of float32 has 16 members, of float64 8; 128 are drawn for at once.
SIZES = (2, 16, 17, 131)


def inputs(kind, size, rng):
    x = rng.normal(size=(size, N))
    return {
        "floats": x.astype(np.float32),
        "some silent": np.where(rng.random((size, N)) < 0.5, x, 0).astype(np.float32),
        "most silent": np.where(rng.random((size, N)) < 0.1, x, 0).astype(np.float32),
        "doubles": x,
        "whole": (4 * x).astype(np.int32),
        "spikes": x > 1.5,
        "most fire": x > -1,
    }[kind]


@pytest.mark.thin(4)
@pytest.mark.parametrize(
    "kind", ["floats", "some silent", "most silent", "doubles", "whole", "spikes", "most fire"]
)
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("rule", RULES)
def test_members_get_what_they_get_alone(rule, law, kind, rng):
    with jax.enable_x64(True):
        W = evops.Projection(RULES[rule], LAWS[law], (N, N), seed=3, backend="native")
        for size in SIZES:
            x = inputs(kind, size, rng)
            for M in (W, W.T):
                together = np.asarray(x @ M)
                alone = np.stack([np.asarray(row @ M) for row in x])
                assert together.tobytes() == alone.tobytes(), size


@pytest.mark.parametrize("of", ["x @ W", "W @ v"])
def test_members_with_weights_of_their_own(of, rng):
    x = jnp.asarray(inputs("floats", 20, rng))
    mean, std = jnp.linspace(-1, 1, 20), jnp.linspace(0.5, 0, 20)

    def product(x, mean, std):
        W = evops.Projection(
            RULES["gaps"], evops.Normal(mean, std), (N, N), seed=3, backend="native"
        )
        return x @ W if of == "x @ W" else W @ x

    together = jax.vmap(product)(x, mean, std)
    for k in range(20):
        np.testing.assert_array_equal(together[k], product(x[k], mean[k], std[k]))


@pytest.mark.parametrize("bad", [np.inf, np.nan, 3e38])
@pytest.mark.parametrize("law", LAWS)
def test_one_member_that_overflows_spoils_no_other(law, bad, rng):
    W = evops.Projection(RULES["gaps"], LAWS[law], (N, N), seed=3, backend="native")
    x = inputs("floats", 18, rng)
    x[5, 7] = bad
    for M in (W, W.T):
        together = np.asarray(x @ M)
        alone = np.stack([np.asarray(row @ M) for row in x])
        np.testing.assert_array_equal(together, alone)
        assert np.isfinite(together[np.arange(18) != 5]).all()


def test_matrices_of_other_seeds_are_no_batch(rng):
    x = jnp.asarray(inputs("floats", 6, rng))
    seeds = jnp.asarray([1, 1, 2, 2, 1, 3])

    def product(x, seed):
        return x @ evops.Projection(RULES["gaps"], 0.5, (N, N), seed=seed, backend="native")

    together = jax.vmap(product)(x, seeds)
    for k in range(6):
        np.testing.assert_array_equal(together[k], product(x[k], seeds[k]))


def test_derivatives_are_those_of_plain_jax(rng):
    x, ct = jnp.asarray(inputs("floats", 20, rng)), jnp.asarray(inputs("floats", 20, rng))

    def loss(x, mean, std, backend):
        W = evops.Projection(
            RULES["gaps"], evops.Normal(mean, std), (N, N), seed=3, backend=backend
        )
        return (ct * jnp.tanh(x @ W)).sum()

    native, plain = (
        jax.grad(loss, (0, 1, 2))(x, 0.5, 0.25, backend) for backend in ("native", "jnp")
    )
    for a, b in zip(native, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)
