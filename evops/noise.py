"""Random numbers of networks: membrane noise and Poisson input, by counters.

Every number is a function of a key, the time step and its position. So a trial does not depend on
how its steps are divided into compiled calls.

Sources: J. K. Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3", SC '11,
doi:10.1145/2063384.2063405 (counters in place of states); M. Giles (2011), "Approximating the
erfinv function", GPU Computing Gems, doi:10.1016/B978-0-12-385963-1.00010-1 (the form of the normal
quantile); L. Devroye (1986), "Non-Uniform Random Variate Generation",
doi:10.1007/978-1-4613-8643-8 (Poisson counts by inversion).
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float32, Int, UInt32

from evops.connectivity import sampler

# Standard normal quantile of (1 + u) / 2 as u P(t), t = w / 8.7 - 1, w = -log(1 - u^2):
# coefficients of P by rising power, a Chebyshev fit on 0 <= w <= 17.4. The error is below 4e-5 for
# every 24-bit u.
_QUANTILE = (
    3.9350422, 2.0873549, -0.48907001, 0.19771208, -0.074973609, 0.037407873,
    0.02966378, -0.15373883, 0.1087729, 0.042046461, -0.04532086,
)  # fmt: skip
# The number of thresholds, and with it the cost of a step, grows with the mean.
LARGEST_MEAN = 20


def noise_key(seed: int) -> np.ndarray:
    """Two words from an integer seed of up to 64 bits, the key of `normal` and `random_words`."""
    return np.array([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF], np.uint32)


def normal(
    key: UInt32[Array, "2"], step: Int[Array, ""], shape: tuple[int, ...]
) -> Float32[Array, "*shape"]:
    """Standard normal numbers of one time step, a pure function of (key, step, position).

    A random word of each position goes through the normal quantile. This takes about a quarter of
    the time of ``jax.random.normal`` on a CPU. Numbers lie within 5.4 standard deviations.

    Args:
        key: two words, as `noise_key` makes them.
        step: the time step.
        shape: shape of the result.
    """
    x = random_words(key, step, shape)
    # 24 bits make an odd multiple of 2**-24 between -1 and 1: never 1, where the quantile is
    # infinite.
    u = (x >> 8).astype(jnp.float32) * np.float32(2**-23) + np.float32(2**-24 - 1)
    t = jnp.log((1 - u) * (1 + u)) * np.float32(-1 / 8.7) - 1
    p = jnp.full_like(t, np.float32(_QUANTILE[-1]))
    for coefficient in _QUANTILE[-2::-1]:
        p = p * t + np.float32(coefficient)
    return u * p


# The next two functions are shortened forms of `sampler.word` and `sampler.feistel`, with the same
# constants and other results. Noise takes one word per neuron and step, so the last multiplication
# is left out. A step has 32 bits, where (pre, block) has 64, so two rounds keep the keys apart. The
# sampler's functions cannot replace them: every rate in docs/ was simulated with these numbers.


def random_words(
    key: UInt32[Array, "2"], step: Int[Array, ""], shape: tuple[int, ...]
) -> UInt32[Array, "*shape"]:
    """Random words of one time step, each a hash of its position.

    Args:
        key: two words, as `noise_key` makes them.
        step: the time step.
        shape: shape of the result.
    """
    k0, k1 = _step_key(key, step.astype(jnp.uint32))
    position = lax.iota(jnp.uint32, int(np.prod(shape))).reshape(shape)
    x = k0 + position * sampler.WEYL
    x = (x ^ (x >> 16)) * sampler.MULTIPLY_1 ^ k1
    x = (x ^ (x >> 15)) * sampler.MULTIPLY_2
    return x ^ (x >> 15)


def _step_key(key: Array, step: Array) -> tuple[Array, Array]:
    """The Feistel network of (step, 0) under the key: no two steps share the result."""
    a, b = step, jnp.zeros_like(step)
    for _ in range(2):
        a = a ^ sampler.mix(b + key[0] + sampler.PI_0)
        b = b ^ sampler.mix(a + key[1] + sampler.PI_1)
    return a, b


def poisson_thresholds(means: np.ndarray) -> np.ndarray:
    """`(thresholds, means)`, what `poisson` compares with: ``P(count <= k)`` for k from 0.

    In units of 2**-32, shifted to signed words. Tails below 2**-33 are left out: they are less than
    half of what one word stands for.

    Args:
        means: events per step, each from 0 to 20.

    Raises:
        ValueError: a mean is not from 0 to 20.
    """
    means = np.asarray(means, float)
    if not ((means >= 0) & (means <= LARGEST_MEAN)).all():
        raise ValueError(f"means must be from 0 to {LARGEST_MEAN} events per step, got {means}")
    mass = np.exp(-means)
    total, thresholds = mass, []
    while (1 - total).max(initial=0) > 2.0**-33:
        thresholds.append(total)
        mass = mass * means / len(thresholds)
        total = total + mass
    scaled = np.floor(np.reshape(thresholds, (-1, *means.shape)) * 2.0**32 + 0.5)
    return (np.minimum(scaled, 2.0**32 - 1) - 2.0**31).astype(np.int32)


def poisson(
    random: UInt32[Array, "*shape"],
    thresholds: Sequence[Int[np.ndarray, "..."]]
    | Int[np.ndarray, "thresholds ..."]
    | Int[Array, "thresholds ..."],
) -> Int[Array, "*shape"]:
    """Poisson counts for random words: how many `poisson_thresholds` they reach.

    One comparison and one addition per threshold vectorise. A table would be gathered and a search
    would branch on random numbers.

    Args:
        random: words, as `random_words` makes them.
        thresholds: one for each count, each of a shape that broadcasts with `random`.
    """
    # Vector units before AVX-512 compare signed words only.
    signed = lax.bitcast_convert_type(random, jnp.int32)
    count = jnp.zeros(random.shape, jnp.int32)
    for threshold in thresholds:
        count = count + (signed >= threshold).astype(jnp.int32)
    return count
