"""Random numbers of the networks: their laws, and the very numbers that published rates rest on."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import poisson as poisson_law

from chance import check_binomial, check_chi2, check_normal, correlation
from evops.noise import (
    noise_key,
    normal,
    poisson,
    poisson_thresholds,
    random_words,
)


def test_numbers_never_change():
    """The rates in docs/ were simulated with these numbers."""
    key, step = jnp.asarray(noise_key(5 + 2**40)), jnp.int32(7)
    words = [0x16599B7A, 0xBC762672, 0x1E4E38AE, 0x66F5AF7F]
    np.testing.assert_array_equal(random_words(key, step, (2, 2)), np.reshape(words, (2, 2)))
    # the logarithm belongs to XLA, so its last bits may change
    expected = [-1.3575529, 0.6315991, -1.1831186, -0.24769403]
    np.testing.assert_allclose(normal(key, step, (4,)), expected, rtol=1e-6)
    thresholds = poisson_thresholds(np.array([0.012, 1.28]))
    assert thresholds.shape == (13, 2)
    first = [[2096252045, -953322535], [2147176873, 575203689], [2147482422, 1553460472]]
    np.testing.assert_array_equal(thresholds[:3], first)
    counts = poisson(random_words(key, step, (8,)), thresholds[:, 1])
    np.testing.assert_array_equal(counts, [1, 0, 1, 3, 1, 2, 0, 1])


def test_noise_is_standard_normal_and_reproducible():
    """Moments and quantiles of a million numbers; unrelated at other keys and steps."""
    draw = partial(normal, shape=(1000, 1000))
    z = np.asarray(draw(jnp.asarray(noise_key(5)), jnp.int32(7)), np.float64).reshape(-1)
    n = z.size
    moments = (z.mean(), (z**2).mean() - 1, (z**3).mean(), (z**4).mean() - 3)
    check_normal(np.array(moments) * (n / np.array([1, 2, 15, 96])) ** 0.5)
    for u in (0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999):
        check_binomial(int((z < ndtri(u)).sum()), n, u)
    again = np.asarray(draw(jnp.asarray(noise_key(5)), jnp.int32(7))).reshape(-1)
    np.testing.assert_array_equal(z, again)
    for key, step in ((5, 8), (6, 7), (5 + 2**32, 7)):
        other = np.asarray(draw(jnp.asarray(noise_key(key)), jnp.int32(step))).reshape(-1)
        check_normal(correlation(z, other))


def test_poisson_counts():
    """Of the law of their mean; independent over steps and neurons."""
    means = np.array([1.28, 2.32, 0.012])
    thresholds = poisson_thresholds(means)
    key = jnp.asarray(noise_key(9))
    for i, mean in enumerate(means):

        def draw(step, column=thresholds[:, i]):
            return np.asarray(poisson(random_words(key, jnp.int32(step), (400_000,)), column))

        counts = draw(5)
        last = int(poisson_law.isf(60 / counts.size, mean))
        seen = np.bincount(np.minimum(counts, last), minlength=last + 1)
        share = np.append(poisson_law.pmf(np.arange(last), mean), poisson_law.sf(last - 1, mean))
        check_chi2(seen, counts.size * share)
        check_normal([correlation(counts, draw(6)), correlation(counts[1:], counts[:-1])])
    with pytest.raises(ValueError, match="means must be from 0 to 20"):
        poisson_thresholds(np.array([1.0, np.nan]))
