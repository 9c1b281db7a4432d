"""Dense matrices from drawn synapses: in place, or in blocks of rows.

This takes the memory of the result and of one block. A product with the identity matrix would take
n_pre**2 entries for its input.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Num, Shaped, UInt32

from evops.connectivity.format import MatrixSpec, WeightLaw
from evops.engine import ring
from evops.engine.compat import Operand, typed_like
from evops.engine.populations import PopulationGrid

# Entries of a block: 16 MB of float32.
_ENTRIES = 1 << 22


@functools.partial(jax.jit, static_argnames=("spec", "shape", "dtype", "transposed", "backend"))
def drawn(
    parameters: Num[Operand, " parameters"],
    key: UInt32[Operand, "2"],
    tables: Sequence[Operand],
    *,
    spec: MatrixSpec,
    shape: tuple[int, int],
    dtype: np.dtype,
    transposed: bool,
    backend: str,
) -> Num[Array, "rows columns"]:
    """The matrix (n_pre, n_post) of `dtype`, or its transpose.

    All neurons spike once into a ring with a slot for every row, neuron i with a delay of i. The
    ring is then the matrix. Several synapses of a pair are added up in the order of the sampler.

    Args:
        parameters: those of the law, (1,) or (2,), of the type for sums.
        key: (2,) uint32.
        tables: those of the rule, (1, m) or (m,) uint32, and of the law, int32.
        spec: how rows and weights are drawn.
        shape: (n_pre, n_post).
        dtype: element type of the result.
        transposed: whether the result is (n_post, n_pre).
        backend: "native" or "jnp".
    """
    n_pre, n_post = shape
    # A constant weight is multiplied in at the end, as products do (jnp_impl.product). Where no
    # pair has two synapses, pushing it gives the same bits; in jnp this saves a copy, since XLA
    # would not multiply in place.
    at_end = spec.law == WeightLaw.CONSTANT and not spec.published
    at_end = at_end and (backend == "native" or spec.scheme.by_rank)
    weight = jnp.ones_like(parameters) if at_end else parameters
    rule, quantiles = tables
    pre = jnp.arange(n_pre, dtype=jnp.int32)

    def rows(first: Array, count: int) -> Num[Array, "count n_post"]:
        here = (pre >= first) & (pre < first + count)
        sums = ring.push(
            jnp.zeros((count, n_post), parameters.dtype),
            here,
            weight[None, None],
            key[None, None],
            jnp.where(here, pre - first, 0)[:, None],  # other neurons are silent, but in range
            jnp.zeros((), jnp.int32),
            (rule.reshape(-1), quantiles, jnp.zeros(0, jnp.uint32)),
            grid=PopulationGrid(n_pre, (0,), (n_pre,), (0,), (n_post,), delay_column=(0,)),
            specs=(spec,),
            backend=backend,
        )
        return parameters[0] * sums if at_end else sums

    zero = typed_like(jnp.zeros((), dtype), key, parameters)
    # One block for all where its ring can be the result: no cast, no transpose, and no product
    # at the end that XLA would not do in place.
    in_place = parameters.dtype == dtype and not transposed and (backend == "native" or not at_end)
    return in_blocks(rows, shape, zero, in_place=in_place, transposed=transposed)


def in_blocks(
    rows: Callable[[Array, int], Array],
    shape: tuple[int, int],
    zero: Shaped[Operand, ""],
    *,
    in_place: bool,
    transposed: bool,
    most: int = 2**31,
) -> Shaped[Array, "rows columns"]:
    """The matrix whose rows ``first … first + count - 1`` are ``rows(first, count)``.

    Args:
        rows: function of a traced row and a number of rows.
        shape: (rows, columns) of the matrix.
        zero: scalar of the result's type.
        in_place: whether all rows at once are the result, without a copy.
        transposed: whether the result is the transpose.
        most: rows to ask for at once.
    """
    n, width = shape
    # Rings have 32-bit indices; a larger matrix is made of blocks.
    if in_place and n <= most and n * width < 2**31:
        return rows(jnp.zeros((), jnp.int32), n)
    size = min(n, most, max(1, _ENTRIES // width))

    def put(i, out):
        # The last two blocks may overlap, which draws some rows twice: all blocks have one size, as
        # the program is compiled once.
        first = jnp.minimum(i.astype(jnp.int32) * size, n - size)
        block, start = rows(first, size).astype(out.dtype), jnp.zeros((), jnp.int32)
        if transposed:
            return lax.dynamic_update_slice(out, block.T, (start, first))
        return lax.dynamic_update_slice(out, block, (first, start))

    # Broadcast from `zero`, which varies over the axes of shard_map that the blocks vary over.
    empty = jnp.broadcast_to(zero, (width, n) if transposed else (n, width))
    return lax.fori_loop(0, -(-n // size), put, empty)
