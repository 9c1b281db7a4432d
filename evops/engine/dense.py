"""Dense matrices out of synapses that are drawn: in place, or in blocks of rows.

No more memory is used than the result takes and what a block does: no batch has a row for every
neuron.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from evops.connectivity.format import MatrixSpec, WeightLaw
from evops.engine import ring
from evops.engine.compat import typed_like
from evops.engine.ring import PopulationGrid

# Entries of a block: 16 MB of float32.
_ENTRIES = 1 << 22


@functools.partial(jax.jit, static_argnames=("spec", "shape", "dtype", "transposed", "backend"))
def drawn(
    parameters, key, tables, *, spec: MatrixSpec, shape, dtype, transposed: bool, backend: str
) -> jax.Array:
    """The matrix (n_pre, n_post) of `dtype`, or its transpose.

    It is what a ring with a slot for every row holds after all neurons have spiked once, neuron i
    with a delay of i. Synapses of one pair are added up in the order of the sampler.

    Args:
        parameters: of the law, (1,) or (2,), of the type that is added up in.
        key: (2,) uint32.
        tables: of the rule, (1, m) or (m,) uint32, and of the law, int32.
        spec: how rows and weights are drawn.
        shape: (n_pre, n_post).
        dtype: of the result.
        transposed: whether the result is (n_post, n_pre).
        backend: "native" or "jnp".
    """
    n_pre, n_post = shape
    # One weight for all is applied at the end, as products do (jnp_impl.product), or at once where
    # that gives the same bits, as no pair has two synapses, and XLA would not do it in place.
    at_end = spec.law == WeightLaw.CONSTANT and not spec.published
    at_end = at_end and (backend == "native" or spec.scheme.by_rank)
    weight = jnp.ones_like(parameters) if at_end else parameters
    rule, quantiles = tables
    pre = jnp.arange(n_pre, dtype=jnp.int32)

    def rows(first, count):
        here = (pre >= first) & (pre < first + count)
        sums = ring.push(
            jnp.zeros((count, n_post), parameters.dtype),
            here,
            weight[None, None],
            key[None, None],
            jnp.where(here, pre - first, 0)[:, None],
            jnp.zeros((), jnp.int32),
            (rule.reshape(-1), quantiles, jnp.zeros(0, jnp.uint32)),
            grid=PopulationGrid(n_pre, (0,), (n_pre,), (0,), (n_post,), delay_column=(0,)),
            specs=(spec,),
            backend=backend,
        )
        return parameters[0] * sums if at_end else sums

    zero = typed_like(jnp.zeros((), dtype), key, parameters)
    in_place = parameters.dtype == dtype and not transposed and (backend == "native" or not at_end)
    return in_blocks(rows, shape, zero, in_place=in_place, transposed=transposed)


def in_blocks(
    rows: Callable, shape, zero, *, in_place: bool, transposed: bool, most: int = 2**31
) -> jax.Array:
    """The matrix whose rows ``first … first + count - 1`` are ``rows(first, count)``.

    Args:
        rows: function of a traced row and a number of rows.
        shape: of the matrix.
        zero: scalar of the result's type.
        in_place: whether what `rows` gives for all rows is the result, with no copy made.
        transposed: whether the result is the transpose.
        most: rows to ask for at once.
    """
    n, width = shape
    if in_place and n <= most and n * width < 2**31:
        return rows(jnp.zeros((), jnp.int32), n)
    size = min(n, most, max(1, _ENTRIES // width))

    def put(i, out):
        first = jnp.minimum(i.astype(jnp.int32) * size, n - size)  # the last two may overlap
        block, start = rows(first, size).astype(out.dtype), jnp.zeros((), jnp.int32)
        if transposed:
            return lax.dynamic_update_slice(out, block.T, (start, first))
        return lax.dynamic_update_slice(out, block, (first, start))

    empty = jnp.broadcast_to(zero, (width, n) if transposed else (n, width))
    return lax.fori_loop(0, -(-n // size), put, empty)
