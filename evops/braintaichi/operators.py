"""The published operators: products with matrices of the LFSR88 scheme, and these matrices.

Arguments, results and errors that they have in common stand in `evops.braintaichi.docs`.
"""

from collections.abc import Iterable
from typing import Any, SupportsFloat, SupportsIndex

from jaxtyping import Array, Num, Shaped

from evops.braintaichi import scheme
from evops.braintaichi.docs import AREAS, EVENT, EVENTS, MATRIX, VECTOR, documented
from evops.connectivity.format import WeightLaw
from evops.errors import Flag
from evops.inputs import Nested, Seed


@documented(EVENTS)
def event_mv_prob_homo(
    events: Shaped[Any, "n_in"] | Nested,
    weight: Shaped[Any, "..."] | SupportsFloat | Nested,
    conn_prob: SupportsFloat,
    seed: Seed | Nested,
    *,
    shape: Iterable[SupportsIndex],
    transpose: Flag = False,
    outdim_parallel: Flag = True,
    backend: str | None = None,
) -> Num[Array, "n_out"]:
    """Sum of a constant weight over the events connected to each output.

    The matrix has `shape` (n_out, n_in), or (n_in, n_out) with ``transpose=True``; it is drawn from
    `seed` and never stored. Lines run along the outputs with ``outdim_parallel=True`` and along the
    inputs with False (then silent inputs cost nothing): the two are different matrices.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> spikes = jnp.zeros(100).at[3].set(1)
        >>> evops.event_mv_prob_homo(spikes, 0.5, 0.1, 42, shape=(80, 100)).shape
        (80,)
    """
    return scheme.product(
        "events", events, WeightLaw.CONSTANT, {"weight": weight},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip


@documented(EVENTS)
def event_mv_prob_uniform(
    events: Shaped[Any, "n_in"] | Nested,
    w_low: Shaped[Any, "..."] | SupportsFloat | Nested,
    w_high: Shaped[Any, "..."] | SupportsFloat | Nested,
    conn_prob: SupportsFloat,
    seed: Seed | Nested,
    *,
    shape: Iterable[SupportsIndex],
    transpose: Flag = False,
    outdim_parallel: Flag = True,
    backend: str | None = None,
) -> Num[Array, "n_out"]:
    """Sum of uniformly drawn weights over the events connected to each output.

    As `event_mv_prob_homo`, but each synapse has its own weight. Weights and gaps come from one
    stream, so the synapses are not those of the other published families.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> spikes = jnp.zeros(100).at[3].set(1)
        >>> evops.event_mv_prob_uniform(spikes, 0.0, 1.0, 0.1, 42, shape=(80, 100)).shape
        (80,)
    """
    return scheme.product(
        "events", events, WeightLaw.LFSR_UNIFORM, {"w_low": w_low, "w_high": w_high},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip


@documented(EVENTS)
def event_mv_prob_normal(
    events: Shaped[Any, "n_in"] | Nested,
    w_mu: Shaped[Any, "..."] | SupportsFloat | Nested,
    w_sigma: Shaped[Any, "..."] | SupportsFloat | Nested,
    conn_prob: SupportsFloat,
    seed: Seed | Nested,
    *,
    shape: Iterable[SupportsIndex],
    transpose: Flag = False,
    outdim_parallel: Flag = True,
    backend: str | None = None,
) -> Num[Array, "n_out"]:
    """Sum of normally drawn weights over the events connected to each output.

    As `event_mv_prob_homo`, but each synapse has its own weight. Weights and gaps come from one
    stream, so the synapses are not those of the other published families.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> spikes = jnp.zeros(100).at[3].set(1)
        >>> evops.event_mv_prob_normal(spikes, 0.5, 0.1, 0.1, 42, shape=(80, 100)).shape
        (80,)
    """
    return scheme.product(
        "events", events, WeightLaw.LFSR_NORMAL, {"w_mu": w_mu, "w_sigma": w_sigma},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip


@documented(
    AREAS,
    events=f"`(n_pre,)`; {EVENT}",
    weight="`(area_num,)`, the weight onto each area. Any unit.",
)
def multi_area_event_mv_prob_homo_E(
    events: Shaped[Any, "n_pre"] | Nested,
    weight: Shaped[Any, "area_num"] | Nested,
    seed: Seed | Nested,
    conn_prob: SupportsFloat,
    *,
    shape: Iterable[SupportsIndex],
    area_num: SupportsIndex,
    backend: str | None = None,
) -> Num[Array, "area_num n_post"]:
    """Input to every area from the spikes of one excitatory population.

    Each target area has its own weight and random matrix; areas of zero weight cost nothing.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> spikes = jnp.zeros(16, bool).at[3].set(True)
        >>> evops.multi_area_event_mv_prob_homo_E(
        ...     spikes, jnp.ones(2), jnp.array([1, 2]), 0.5, shape=(16, 8), area_num=2).shape
        (2, 8)
    """
    arguments = events, weight, seed, conn_prob, shape, area_num, backend
    return scheme.areas_product(*arguments, own_spikes=False)


@documented(AREAS, events=f"`(area_num, n_pre)`; {EVENT}", area_num="number of areas, static.")
def multi_area_event_mv_prob_homo_I(
    events: Shaped[Any, "area_num n_pre"] | Nested,
    weight: Shaped[Any, "..."] | SupportsFloat | Nested,
    seed: Seed | Nested,
    conn_prob: SupportsFloat,
    *,
    shape: Iterable[SupportsIndex],
    area_num: SupportsIndex,
    backend: str | None = None,
) -> Num[Array, "area_num n_post"]:
    """Input to every area from the spikes of its inhibitory population.

    Each area has its own random matrix; the weight is common.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> spikes = jnp.zeros((2, 16), bool).at[1, 3].set(True)
        >>> evops.multi_area_event_mv_prob_homo_I(
        ...     spikes, -0.5, jnp.array([1, 2]), 0.5, shape=(16, 8), area_num=2).shape
        (2, 8)
    """
    arguments = events, weight, seed, conn_prob, shape, area_num, backend
    return scheme.areas_product(*arguments, own_spikes=True)


@documented(VECTOR)
def mv_prob_homo(
    vector: Shaped[Any, "n_in"] | Nested,
    weight: Shaped[Any, "..."] | SupportsFloat | Nested,
    conn_prob: SupportsFloat,
    seed: Seed | Nested,
    *,
    shape: Iterable[SupportsIndex],
    transpose: Flag = False,
    outdim_parallel: Flag = True,
    backend: str | None = None,
) -> Num[Array, "n_out"]:
    """Product of a vector with a random matrix of one weight.

    The matrix is that of `event_mv_prob_homo`.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> evops.mv_prob_homo(jnp.ones(100), 0.5, 0.1, 42, shape=(80, 100)).shape
        (80,)
    """
    return scheme.product(
        "vector", vector, WeightLaw.CONSTANT, {"weight": weight},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip


@documented(VECTOR)
def mv_prob_uniform(
    vector: Shaped[Any, "n_in"] | Nested,
    w_low: Shaped[Any, "..."] | SupportsFloat | Nested,
    w_high: Shaped[Any, "..."] | SupportsFloat | Nested,
    conn_prob: SupportsFloat,
    seed: Seed | Nested,
    *,
    shape: Iterable[SupportsIndex],
    transpose: Flag = False,
    outdim_parallel: Flag = True,
    backend: str | None = None,
) -> Num[Array, "n_out"]:
    """Product of a vector with a random matrix of uniformly drawn weights.

    The matrix is that of `event_mv_prob_uniform`.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> evops.mv_prob_uniform(jnp.ones(100), 0.0, 1.0, 0.1, 42, shape=(80, 100)).shape
        (80,)
    """
    return scheme.product(
        "vector", vector, WeightLaw.LFSR_UNIFORM, {"w_low": w_low, "w_high": w_high},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip


@documented(VECTOR)
def mv_prob_normal(
    vector: Shaped[Any, "n_in"] | Nested,
    w_mu: Shaped[Any, "..."] | SupportsFloat | Nested,
    w_sigma: Shaped[Any, "..."] | SupportsFloat | Nested,
    conn_prob: SupportsFloat,
    seed: Seed | Nested,
    *,
    shape: Iterable[SupportsIndex],
    transpose: Flag = False,
    outdim_parallel: Flag = True,
    backend: str | None = None,
) -> Num[Array, "n_out"]:
    """Product of a vector with a random matrix of normally drawn weights.

    The matrix is that of `event_mv_prob_normal`.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> evops.mv_prob_normal(jnp.ones(100), 0.5, 0.1, 0.1, 42, shape=(80, 100)).shape
        (80,)
    """
    return scheme.product(
        "vector", vector, WeightLaw.LFSR_NORMAL, {"w_mu": w_mu, "w_sigma": w_sigma},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip


@documented(MATRIX)
def get_homo_weight_matrix(
    weight: Shaped[Any, "..."] | SupportsFloat | Nested,
    conn_prob: SupportsFloat,
    seed: Seed | Nested,
    *,
    shape: Iterable[SupportsIndex],
    transpose: Flag = False,
    outdim_parallel: Flag = True,
    backend: str | None = None,
) -> Num[Array, "..."]:
    """The matrix of `mv_prob_homo`, stored: one weight.

    Example:
        >>> import evops
        >>> evops.get_homo_weight_matrix(0.5, 0.1, 42, shape=(80, 100)).shape
        (80, 100)
    """
    return scheme.matrix(
        WeightLaw.CONSTANT, {"weight": weight},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip


@documented(MATRIX)
def get_uniform_weight_matrix(
    w_low: Shaped[Any, "..."] | SupportsFloat | Nested,
    w_high: Shaped[Any, "..."] | SupportsFloat | Nested,
    conn_prob: SupportsFloat,
    seed: Seed | Nested,
    *,
    shape: Iterable[SupportsIndex],
    transpose: Flag = False,
    outdim_parallel: Flag = True,
    backend: str | None = None,
) -> Num[Array, "..."]:
    """The matrix of `mv_prob_uniform`, stored: uniformly drawn weights.

    Example:
        >>> import evops
        >>> evops.get_uniform_weight_matrix(0.0, 1.0, 0.1, 42, shape=(80, 100)).shape
        (80, 100)
    """
    return scheme.matrix(
        WeightLaw.LFSR_UNIFORM, {"w_low": w_low, "w_high": w_high},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip


@documented(MATRIX)
def get_normal_weight_matrix(
    w_mu: Shaped[Any, "..."] | SupportsFloat | Nested,
    w_sigma: Shaped[Any, "..."] | SupportsFloat | Nested,
    conn_prob: SupportsFloat,
    seed: Seed | Nested,
    *,
    shape: Iterable[SupportsIndex],
    transpose: Flag = False,
    outdim_parallel: Flag = True,
    backend: str | None = None,
) -> Num[Array, "..."]:
    """The matrix of `mv_prob_normal`, stored: normally drawn weights.

    Example:
        >>> import evops
        >>> evops.get_normal_weight_matrix(0.5, 0.1, 0.1, 42, shape=(80, 100)).shape
        (80, 100)
    """
    return scheme.matrix(
        WeightLaw.LFSR_NORMAL, {"w_mu": w_mu, "w_sigma": w_sigma},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip
