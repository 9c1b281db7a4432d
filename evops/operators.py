"""Values of neurons on their synapses, and values of synapses gathered on neurons.

The operators of BrainPy's mathematics, for the ids that `CSR.requires` gives. All take one value
for each neuron or synapse, run inside ``jax.jit``, and have derivatives and batches (`jax.vmap`).
Known ids are checked. Of traced ids that are out of range, float results are NaN.
"""

import functools
from collections.abc import Callable
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Num, Shaped

from evops import inputs, synapse_lists
from evops.engine import library, ops, stored
from evops.engine.compat import Tracer
from evops.errors import check_integer
from evops.inputs import Nested

# Into how many parts threads may divide a sum.
_PARTS = 16


def pre2syn(
    pre_values: Shaped[Any, "n_pre"] | Nested, pre_ids: Shaped[Any, "nnz"] | Nested
) -> Shaped[Array, "nnz"]:
    """The value of its pre neuron for each synapse.

    Args:
        pre_values: `(n_pre,)`, numbers or bools.
        pre_ids: pre neuron of each synapse, `(nnz,)` integers in [0, n_pre).

    Raises:
        ValueError: ids that are out of range, other axes.
        TypeError: ids that are no integers.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> evops.pre2syn(jnp.array([1.0, 2.0]), [0, 1, 1])
        Array([1., 2., 2.], dtype=float32)
    """
    return _spread("pre", pre_values, pre_ids)


def post2syn(
    post_values: Shaped[Any, "n_post"] | Nested, post_ids: Shaped[Any, "nnz"] | Nested
) -> Shaped[Array, "nnz"]:
    """The value of its post neuron for each synapse, as `pre2syn` of post neurons.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> evops.post2syn(jnp.array([1.0, 2.0]), [1, 0, 1])
        Array([2., 1., 2.], dtype=float32)
    """
    return _spread("post", post_values, post_ids)


def syn2post(
    syn_values: Shaped[Any, "nnz"] | Nested,
    post_ids: Shaped[Any, "nnz"] | Nested,
    n_post: SupportsIndex,
    *,
    backend: str | None = None,
) -> Num[Array, "n_post"]:
    """Sums of the values of the synapses onto each post neuron; 0 for a neuron without.

    Args:
        syn_values: `(nnz,)`, numbers, or bools, which are counted.
        post_ids: post neuron of each synapse, `(nnz,)` integers in [0, n_post).
        n_post: number of post neurons.
        backend: "native", "jnp" or None for the fastest there is.

    Raises:
        ValueError: ids that are out of range, shapes that differ.
        TypeError: ids that are no integers.

    Example:
        >>> import evops
        >>> evops.syn2post([1.0, 2.0, 4.0], [0, 2, 2], 3)
        Array([1., 0., 6.], dtype=float32)
    """
    values, ids, n = _synapses(syn_values, post_ids, n_post)
    return _sum(values, ids, n, library.choose(backend))


def syn2post_mean(
    syn_values: Shaped[Any, "nnz"] | Nested,
    post_ids: Shaped[Any, "nnz"] | Nested,
    n_post: SupportsIndex,
) -> Num[Array, "n_post"]:
    """Means of the values of the synapses onto each post neuron; 0 for a neuron without.

    Args and errors are those of `syn2post`; integers and bools give float32.

    Example:
        >>> import evops
        >>> evops.syn2post_mean([1.0, 2.0, 4.0], [0, 2, 2], 3)
        Array([1., 0., 3.], dtype=float32)
    """
    values, ids, n = _synapses(syn_values, post_ids, n_post)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        values = values.astype(jnp.float32)
    sums, counts = (_sum(v, ids, n, library.choose(None)) for v in (values, jnp.ones_like(values)))
    return sums / jnp.maximum(counts, jnp.ones_like(counts))


def syn2post_max(
    syn_values: Shaped[Any, "nnz"] | Nested,
    post_ids: Shaped[Any, "nnz"] | Nested,
    n_post: SupportsIndex,
) -> Num[Array, "n_post"]:
    """The largest value of the synapses onto each post neuron.

    Of a neuron without synapses it is -inf, or the least integer. Args and errors are those of
    `syn2post`.

    Example:
        >>> import evops
        >>> evops.syn2post_max([1.0, 2.0, 4.0], [0, 2, 2], 3)
        Array([  1., -inf,   4.], dtype=float32)
    """
    values, ids, n = _synapses(syn_values, post_ids, n_post)
    return _known(jax.ops.segment_max(values, ids, n), ids, n)


def syn2post_min(
    syn_values: Shaped[Any, "nnz"] | Nested,
    post_ids: Shaped[Any, "nnz"] | Nested,
    n_post: SupportsIndex,
) -> Num[Array, "n_post"]:
    """The least value of the synapses onto each post neuron.

    Of a neuron without synapses it is inf, or the largest integer. Args and errors are those of
    `syn2post`.

    Example:
        >>> import evops
        >>> evops.syn2post_min([1.0, 2.0, 4.0], [0, 2, 2], 3)
        Array([ 1., inf,  2.], dtype=float32)
    """
    values, ids, n = _synapses(syn_values, post_ids, n_post)
    return _known(jax.ops.segment_min(values, ids, n), ids, n)


def syn2post_prod(
    syn_values: Shaped[Any, "nnz"] | Nested,
    post_ids: Shaped[Any, "nnz"] | Nested,
    n_post: SupportsIndex,
) -> Num[Array, "n_post"]:
    """Products of the values of the synapses onto each post neuron; 1 for a neuron without.

    Args and errors are those of `syn2post`.

    Example:
        >>> import evops
        >>> evops.syn2post_prod([1.0, 2.0, 4.0], [0, 2, 2], 3)
        Array([1., 1., 8.], dtype=float32)
    """
    values, ids, n = _synapses(syn_values, post_ids, n_post)
    return _known(_products(values, ids, n), ids, n)


def syn2post_softmax(
    syn_values: Shaped[Any, "nnz"] | Nested,
    post_ids: Shaped[Any, "nnz"] | Nested,
    n_post: SupportsIndex,
) -> Num[Array, "nnz"]:
    """Softmax over the synapses onto each post neuron: values of synapses, which add up to 1.

    Args and errors are those of `syn2post`; integers and bools give float32.

    Example:
        >>> import evops
        >>> evops.syn2post_softmax([1.0, 2.0, 2.0], [0, 2, 2], 3)
        Array([1. , 0.5, 0.5], dtype=float32)
    """
    values, ids, n = _synapses(syn_values, post_ids, n_post)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        values = values.astype(jnp.float32)
    largest = jax.lax.stop_gradient(jax.ops.segment_max(values, ids, n))
    powers = jnp.exp(values - largest[ids])
    return powers / _sum(powers, ids, n, library.choose(None))[ids]


def _spread(side: str, values: Any, ids: Any) -> jax.Array:
    values = inputs.array_of(f"{side}_values", values)
    if values.ndim != 1:
        raise ValueError(f"{side}_values must have shape (n_{side},), got {values.shape}")
    n = values.shape[0]
    ids = synapse_lists.ids(f"{side}_ids", ids, n)
    if not isinstance(ids, Tracer):
        return values[ids]
    return values.at[jnp.where(ids < 0, n, ids)].get(mode="fill")  # NaN where it can be


def _synapses(values: Any, ids: Any, n_post: Any) -> tuple[jax.Array, jax.Array, int]:
    n = check_integer("n_post", n_post, 0)
    ids = synapse_lists.ids("post_ids", ids, n)
    values = inputs.shaped("syn_values", values, ("nnz",), ids.shape)
    return values.astype(jnp.int32) if values.dtype == bool else values, ids, n


def _known(result: jax.Array, ids: jax.Array, n: int) -> jax.Array:
    """`result`, NaN where ids are out of range, which only traced ones can be."""
    if not isinstance(ids, Tracer) or not jnp.issubdtype(result.dtype, jnp.floating):
        return result
    return jnp.where(((ids < 0) | (ids >= n)).any(), jnp.nan, result)


def _sum(values: jax.Array, ids: jax.Array, n: int, backend: str) -> jax.Array:
    """Sums as the product of ones with a matrix whose rows are parts of the synapses."""
    dtype = ops.accumulator(values.dtype)
    nnz = ids.shape[0]
    if values.dtype.itemsize == 8 and dtype != values.dtype:  # integers of 64 bits
        return jax.ops.segment_sum(values, ids, n)
    begins = np.linspace(0, nnz, _PARTS + 1).astype(np.int32)
    sums = stored.stored(
        jnp.ones((1, _PARTS), dtype),
        values,
        ids,
        jnp.asarray(begins),
        dtype=dtype,
        n_out=n,
        gather=False,
        backend=backend,
    )
    return sums[0].astype(values.dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _products(values: jax.Array, ids: jax.Array, n: int) -> jax.Array:
    """Products of segments; jax's own have no derivative where ids repeat."""
    return jax.ops.segment_prod(values, ids, n)


@_products.defjvp
def _products_jvp(n: int, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    values, ids = primals
    zero = values == 0
    zeros = jax.ops.segment_sum(zero.astype(jnp.int32), ids, n)[ids]
    # The product of the others: by division where no zero is in the way.
    own = jnp.where(zero, jnp.ones_like(values), values)
    others = _products(own, ids, n)[ids] / own
    others = jnp.where(zeros == zero.astype(jnp.int32), others, jnp.zeros_like(others))
    slope = jax.ops.segment_sum(others * tangents[0], ids, n)
    return _products(values, ids, n), slope


def _pre2post(form: Callable[..., Any]) -> Callable[..., Any]:
    """The operator from pre to post neurons that gathers as `form` does."""

    def operator(
        pre_values: Shaped[Any, "n_pre"] | Nested,
        pre_ids: Shaped[Any, "nnz"] | Nested,
        post_ids: Shaped[Any, "nnz"] | Nested,
        n_post: SupportsIndex,
    ) -> Num[Array, "n_post"]:
        return form(pre2syn(pre_values, pre_ids), post_ids, n_post)

    name = form.__name__.removeprefix("syn2post")
    operator.__name__ = operator.__qualname__ = f"pre2post{name or '_sum'}"
    operator.__doc__ = f"""`{form.__name__}` of the values of pre neurons on their synapses.

    For sums over large matrices, ``x @ S`` reads the synapses of neurons that fire alone.

    Args:
        pre_values: `(n_pre,)`, numbers or bools.
        pre_ids: pre neuron of each synapse, `(nnz,)` integers in [0, n_pre).
        post_ids: post neuron of each synapse, `(nnz,)` integers in [0, n_post).
        n_post: number of post neurons.

    Raises:
        ValueError: ids that are out of range, shapes that differ.
        TypeError: ids that are no integers.

    Example:
        >>> import evops
        >>> evops.{operator.__name__}([1.0, 2.0], [0, 1, 1], [0, 0, 2], 3).shape
        (3,)
    """
    return operator


syn2post_sum = syn2post
pre2post_sum = _pre2post(syn2post)
pre2post_mean = _pre2post(syn2post_mean)
pre2post_max = _pre2post(syn2post_max)
pre2post_min = _pre2post(syn2post_min)
pre2post_prod = _pre2post(syn2post_prod)
