"""Poisson background input: its law, what it depends on, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import evops
from chance import check_chi2, check_normal, correlation

N = 500


def background(n=2000, rate=8.0, weight=0.5, size=N, seed=3, dt=0.1):
    return evops.PoissonInput(n, rate, weight, size=size, dt=dt, seed=seed)


def test_counts_are_poisson():
    """Mean 1.6 a step, over neurons and steps: chi-square of the numbers."""
    run = jax.jit(lambda B: lax.map(B.counts, jnp.arange(2000)))
    counts = np.asarray(run(background()))
    mean = 2000 * 8 * 1e-4
    numbers = np.arange(8)
    mass = np.exp(-mean) * np.cumprod(np.r_[1, mean / numbers[1:]])
    expected = np.r_[mass, 1 - mass.sum()] * counts.size
    found = np.bincount(np.minimum(counts.ravel(), 8), minlength=9)
    check_chi2(found, expected)
    # neighbours in time and among neurons are independent
    for a, b in ((counts[1:], counts[:-1]), (counts[:, 1:], counts[:, :-1])):
        check_normal(correlation(a.ravel(), b.ravel()))


def test_input_is_weight_times_counts():
    B = background(weight=np.linspace(1, 2, N, dtype=np.float32))
    np.testing.assert_array_equal(B(7), np.asarray(B.counts(7), np.float32) * np.asarray(B.weight))
    assert B(7).dtype == np.float32 and B(7).shape == (N,)
    gradient = jax.grad(lambda w: background(weight=w)(7).sum())(0.5)
    assert float(gradient) == int(background().counts(7).sum())


def test_what_it_depends_on():
    B = background()
    assert not np.array_equal(B.counts(0), B.counts(1))
    assert not np.array_equal(B.counts(0), background(seed=4).counts(0))
    np.testing.assert_array_equal(B.counts(5), jax.jit(lambda B, t: B.counts(t))(B, jnp.int32(5)))
    np.testing.assert_array_equal(B.counts(5), background(size=2 * N).counts(5)[:N])
    np.testing.assert_array_equal(B.counts(5), background(seed=jax.random.key(3)).counts(5))
    each = background(n=np.arange(N) * 4)
    assert np.asarray(each.counts(0))[: N // 4].sum() < np.asarray(each.counts(0))[-N // 4 :].sum()
    assert not background(rate=0).counts(0).any() and not background(n=0)(0).any()
    many = jax.vmap(lambda s: background(seed=s).counts(1))(jnp.arange(3))
    np.testing.assert_array_equal(many[2], background(seed=2).counts(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": -1}, "n must be finite and at least 0, got -1"),
        ({"rate": np.nan}, "rate must be finite and at least 0, got nan"),
        ({"rate": np.inf}, "rate must be finite and at least 0, got inf"),
        (
            {"rate": [1.0, 2.0]},
            r"rate must be one number or have shape \(size = 500,\), got \(2,\)",
        ),
        ({"rate": 1000}, "at most 20 spikes per step, got 200"),
        ({"weight": [1.0, 2.0]}, "weight must be one number or have shape"),
        ({"size": 0}, "size must be an integer from 1"),
        ({"dt": 0}, "dt must be above 0 ms, got 0.0"),
        ({"n": "many"}, "n must be an array of numbers"),
        ({"n": True}, "n must be a number"),
        ({"seed": 1.5}, "seed must be an integer or a JAX key"),
    ],
)
def test_parameters_that_are_refused(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        background(**change)


def test_steps_that_are_refused():
    B = background()
    for step in (-1, 0.5, jnp.zeros(2, int), jnp.float32(1)):
        with pytest.raises((TypeError, ValueError), match="step must be (an|one) integer"):
            B(step)
