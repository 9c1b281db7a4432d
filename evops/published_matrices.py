"""The published operators on vectors of real numbers, and their matrices themselves.

Source: BrainPy 2.5 and braintaichi 0.0.5.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Num, Shaped

from evops import inputs
from evops.connectivity.format import WeightLaw
from evops.engine import dense, library, ops
from evops.engine.compat import typed_like
from evops.errors import INT32_MAX, check_flag, check_shape
from evops.published import bind, multiply, parameters

# Lines of a matrix that are drawn at once: each is a random matrix of its own.
_LINES_AT_ONCE = 1 << 16


def mv_prob_homo(
    vector: Shaped[ArrayLike, "n_in"],
    weight: Num[ArrayLike, "..."],
    conn_prob: float,
    seed: ArrayLike,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    outdim_parallel: bool = True,
    backend: str | None = None,
) -> Num[Array, "n_out"]:
    """Product of a vector with a random matrix of one weight.

    The matrix is that of `event_mv_prob_homo`, and the values of the vector count: a NaN reaches
    every output that it is connected to.

    Args:
        vector: `(n_in,)`, bool or real.
        weight: scalar or `(1,)`, the weight of every synapse; in float32 for a Python float. Any
            unit.
        conn_prob: connection probability in (0, 1]; ``1 / ceil(1 / conn_prob)`` is drawn.
        seed: integer or JAX key, modulo 2**32; may be traced.
        shape: matrix shape, static.
        transpose: whether `shape` is (n_in, n_out).
        outdim_parallel: whether a line of the scheme is an output.
        backend: "native", "jnp" or None for the fastest there is.

    Returns:
        `(n_out,)` in the dtype of `vector`, or of the weights for a vector of bools or integers.

    Raises:
        ValueError: a probability, shape, length or backend that does not fit.
        TypeError: complex or non-numeric arrays, a traced `shape` or `conn_prob`.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> evops.mv_prob_homo(jnp.ones(100), 0.5, 0.1, 42, shape=(80, 100)).shape
        (80,)
    """
    return multiply(
        "vector", vector, WeightLaw.CONSTANT, {"weight": weight},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip


def mv_prob_uniform(
    vector: Shaped[ArrayLike, "n_in"],
    w_low: Num[ArrayLike, "..."],
    w_high: Num[ArrayLike, "..."],
    conn_prob: float,
    seed: ArrayLike,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    outdim_parallel: bool = True,
    backend: str | None = None,
) -> Num[Array, "n_out"]:
    """Product of a vector with a random matrix of uniformly drawn weights.

    The matrix is that of `event_mv_prob_uniform`, and the values of the vector count: a NaN reaches
    every output that it is connected to.

    Args:
        vector: `(n_in,)`, bool or real.
        w_low: scalar or `(1,)`, lower end of the weights; in float32 for a Python number. Any unit.
        w_high: scalar or `(1,)`, upper end of the weights.
        conn_prob: connection probability in (0, 1]; ``1 / ceil(1 / conn_prob)`` is drawn.
        seed: integer or JAX key, modulo 2**32; may be traced.
        shape: matrix shape, static.
        transpose: whether `shape` is (n_in, n_out).
        outdim_parallel: whether a line of the scheme is an output.
        backend: "native", "jnp" or None for the fastest there is.

    Returns:
        `(n_out,)` in the dtype of `vector`, or of the weights for a vector of bools or integers.

    Raises:
        ValueError: a probability, shape, length or backend that does not fit.
        TypeError: complex or non-numeric arrays, a traced `shape` or `conn_prob`.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> evops.mv_prob_uniform(jnp.ones(100), 0.0, 1.0, 0.1, 42, shape=(80, 100)).shape
        (80,)
    """
    return multiply(
        "vector", vector, WeightLaw.LFSR_UNIFORM, {"w_low": w_low, "w_high": w_high},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip


def mv_prob_normal(
    vector: Shaped[ArrayLike, "n_in"],
    w_mu: Num[ArrayLike, "..."],
    w_sigma: Num[ArrayLike, "..."],
    conn_prob: float,
    seed: ArrayLike,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    outdim_parallel: bool = True,
    backend: str | None = None,
) -> Num[Array, "n_out"]:
    """Product of a vector with a random matrix of normally drawn weights.

    The matrix is that of `event_mv_prob_normal`, and the values of the vector count: a NaN reaches
    every output that it is connected to.

    Args:
        vector: `(n_in,)`, bool or real.
        w_mu: scalar or `(1,)`, mean of the weights; in float32 for a Python number. Any unit.
        w_sigma: scalar or `(1,)`, standard deviation of the weights.
        conn_prob: connection probability in (0, 1]; ``1 / ceil(1 / conn_prob)`` is drawn.
        seed: integer or JAX key, modulo 2**32; may be traced.
        shape: matrix shape, static.
        transpose: whether `shape` is (n_in, n_out).
        outdim_parallel: whether a line of the scheme is an output.
        backend: "native", "jnp" or None for the fastest there is.

    Returns:
        `(n_out,)` in the dtype of `vector`, or of the weights for a vector of bools or integers.

    Raises:
        ValueError: a probability, shape, length or backend that does not fit.
        TypeError: complex or non-numeric arrays, a traced `shape` or `conn_prob`.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> evops.mv_prob_normal(jnp.ones(100), 0.5, 0.1, 0.1, 42, shape=(80, 100)).shape
        (80,)
    """
    return multiply(
        "vector", vector, WeightLaw.LFSR_NORMAL, {"w_mu": w_mu, "w_sigma": w_sigma},
        conn_prob, seed, shape, transpose, outdim_parallel, backend,
    )  # fmt: skip


def get_homo_weight_matrix(
    weight: Num[ArrayLike, "..."],
    conn_prob: float,
    seed: ArrayLike,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    outdim_parallel: bool = True,
    backend: str | None = None,
) -> Num[Array, "..."]:
    """The matrix of `mv_prob_homo`, stored: one weight.

    With M the matrix for `outdim_parallel` and N the one for its opposite, `mv_prob_homo` gives
    ``M @ v``, and with ``transpose=True`` ``v @ N``.

    Args:
        weight: scalar or `(1,)`, the weight of every synapse; in float32 for a Python float. Any
            unit.
        conn_prob: connection probability in (0, 1]; ``1 / ceil(1 / conn_prob)`` is drawn.
        seed: integer or JAX key, modulo 2**32; may be traced.
        shape: matrix shape before it is transposed, static.
        transpose: whether to return the transposed matrix.
        outdim_parallel: whether a line of the scheme is a row of `shape`, or else a column.
        backend: "native", "jnp" or None for the fastest there is.

    Returns:
        `shape`, or reversed with ``transpose=True``, in the dtype of the weights.

    Raises:
        ValueError: a probability, shape or backend that does not fit, 2**31 entries or more.
        TypeError: complex or non-numeric weights, a traced `shape` or `conn_prob`.

    Example:
        >>> import evops
        >>> evops.get_homo_weight_matrix(0.5, 0.1, 42, shape=(80, 100)).shape
        (80, 100)
    """
    weights = {"weight": weight}
    return _matrix(
        WeightLaw.CONSTANT, weights, conn_prob, seed, shape, transpose, outdim_parallel, backend
    )


def get_uniform_weight_matrix(
    w_low: Num[ArrayLike, "..."],
    w_high: Num[ArrayLike, "..."],
    conn_prob: float,
    seed: ArrayLike,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    outdim_parallel: bool = True,
    backend: str | None = None,
) -> Num[Array, "..."]:
    """The matrix of `mv_prob_uniform`, stored: uniformly drawn weights.

    With M the matrix for `outdim_parallel` and N the one for its opposite, `mv_prob_uniform` gives
    ``M @ v``, and with ``transpose=True`` ``v @ N``.

    Args:
        w_low: scalar or `(1,)`, lower end of the weights; in float32 for a Python number. Any unit.
        w_high: scalar or `(1,)`, upper end of the weights.
        conn_prob: connection probability in (0, 1]; ``1 / ceil(1 / conn_prob)`` is drawn.
        seed: integer or JAX key, modulo 2**32; may be traced.
        shape: matrix shape before it is transposed, static.
        transpose: whether to return the transposed matrix.
        outdim_parallel: whether a line of the scheme is a row of `shape`, or else a column.
        backend: "native", "jnp" or None for the fastest there is.

    Returns:
        `shape`, or reversed with ``transpose=True``, in the dtype of the weights.

    Raises:
        ValueError: a probability, shape or backend that does not fit, 2**31 entries or more.
        TypeError: complex or non-numeric weights, a traced `shape` or `conn_prob`.

    Example:
        >>> import evops
        >>> evops.get_uniform_weight_matrix(0.0, 1.0, 0.1, 42, shape=(80, 100)).shape
        (80, 100)
    """
    weights = {"w_low": w_low, "w_high": w_high}
    return _matrix(
        WeightLaw.LFSR_UNIFORM, weights, conn_prob, seed, shape, transpose, outdim_parallel, backend
    )


def get_normal_weight_matrix(
    w_mu: Num[ArrayLike, "..."],
    w_sigma: Num[ArrayLike, "..."],
    conn_prob: float,
    seed: ArrayLike,
    *,
    shape: tuple[int, int],
    transpose: bool = False,
    outdim_parallel: bool = True,
    backend: str | None = None,
) -> Num[Array, "..."]:
    """The matrix of `mv_prob_normal`, stored: normally drawn weights.

    With M the matrix for `outdim_parallel` and N the one for its opposite, `mv_prob_normal` gives
    ``M @ v``, and with ``transpose=True`` ``v @ N``.

    Args:
        w_mu: scalar or `(1,)`, mean of the weights; in float32 for a Python number. Any unit.
        w_sigma: scalar or `(1,)`, standard deviation of the weights.
        conn_prob: connection probability in (0, 1]; ``1 / ceil(1 / conn_prob)`` is drawn.
        seed: integer or JAX key, modulo 2**32; may be traced.
        shape: matrix shape before it is transposed, static.
        transpose: whether to return the transposed matrix.
        outdim_parallel: whether a line of the scheme is a row of `shape`, or else a column.
        backend: "native", "jnp" or None for the fastest there is.

    Returns:
        `shape`, or reversed with ``transpose=True``, in the dtype of the weights.

    Raises:
        ValueError: a probability, shape or backend that does not fit, 2**31 entries or more.
        TypeError: complex or non-numeric weights, a traced `shape` or `conn_prob`.

    Example:
        >>> import evops
        >>> evops.get_normal_weight_matrix(0.5, 0.1, 0.1, 42, shape=(80, 100)).shape
        (80, 100)
    """
    weights = {"w_mu": w_mu, "w_sigma": w_sigma}
    return _matrix(
        WeightLaw.LFSR_NORMAL, weights, conn_prob, seed, shape, transpose, outdim_parallel, backend
    )


def _matrix(law, weights, conn_prob, seed, shape, transpose, outdim_parallel, backend) -> Array:
    rule = inputs.lfsr_rule(conn_prob)
    rows, columns = check_shape("shape", shape)
    if rows * columns > INT32_MAX:
        raise ValueError(f"shape must have at most {INT32_MAX} entries, got {rows} x {columns}")
    transpose = check_flag("transpose", transpose)
    outdim_parallel = check_flag("outdim_parallel", outdim_parallel)
    dtype = inputs.weights_dtype(weights, varied=law != WeightLaw.CONSTANT)
    wide = ops.accumulator(dtype)
    s = inputs.seed("seed", seed)
    lines = (rows, columns) if outdim_parallel else (columns, rows)
    return _lines(
        parameters(inputs.weights(weights, wide), law, wide),
        s,
        rule=rule,
        law=law,
        shape=lines,
        dtype=dtype,
        transposed=transpose == outdim_parallel,
        backend=library.choose(backend),
    )


@functools.partial(
    jax.jit, static_argnames=("rule", "law", "shape", "dtype", "transposed", "backend")
)
def _lines(w, s, *, rule, law, shape, dtype, transposed, backend):
    """Lines of the scheme as the rows of a matrix, or as its columns."""

    def rows(first, count):
        # Line L of seed s is line 0 of seed s + L: one matrix of one line each.
        seed = s + first.astype(jnp.uint32) + jnp.arange(count, dtype=jnp.uint32)
        each = jnp.broadcast_to(w, (count, w.shape[1]))
        one = jnp.ones((1, 1), bool)
        return bind(one, each, seed, rule, law, shape[1], False, count, backend)

    zero = typed_like(jnp.zeros((), dtype), s, w)
    return dense.in_blocks(
        rows,
        shape,
        zero,
        in_place=w.dtype == dtype and not transposed,
        transposed=transposed,
        most=_LINES_AT_ONCE,
    )
