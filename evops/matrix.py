"""The base of all matrices of synapses: products from both sides, transpose, shape, dtype."""

import abc
import functools
import math
import numbers
from types import EllipsisType
from typing import Any, NoReturn, SupportsFloat

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Num, Shaped

from evops import inputs
from evops.engine import ops
from evops.engine.compat import Tracer
from evops.errors import check_numbers, mantissa_and_unit
from evops.inputs import Entries, Nested, Quantity
from evops.leaves import Node


class _MatrixType(abc.ABCMeta):
    """The type of matrices; its repr, which jax shows in errors of ``jnp.dot``, says what to do."""

    def __repr__(cls) -> str:
        return f"<class '{cls.__module__}.{cls.__qualname__}', for x @ W or W.todense()>"


class Matrix(Node, metaclass=_MatrixType):
    """A matrix of synapses with a row per pre and a column per post neuron.

    ``x @ W`` sums over pre neurons, ``W @ v`` over post neurons, with the axes of `jnp.matmul`.
    ``W(x)`` is ``x @ W``, and ``W.T`` is the transpose. A subclass defines `shape`, `dtype`,
    `_dense` and `_product`.

    Results have the dtype of the matrix where x is bool or integer, else
    ``jnp.promote_types(x.dtype, W.dtype)``: float64 only under x64. Half floats are summed in
    float32, and small integers in int32, and cast once at the end.
    """

    # numpy arrays leave `x @ W` to __rmatmul__ and do not take W apart. There is no __jax_array__:
    # jax would call it in `x @ W`.
    __array_ufunc__ = None
    _sides = ("presynaptic", "postsynaptic")

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """Numbers of pre and post neurons, ``(n_pre, n_post)``."""

    @property
    @abc.abstractmethod
    def dtype(self) -> np.dtype:
        """Type of the weights, and of ``x @ W`` for x of bools or integers."""

    def todense(self) -> Num[Array, "n_pre n_post"]:
        """The matrix with all its zeros; synapses of one pair of neurons are added up."""
        return self._dense(transposed=False)

    @abc.abstractmethod
    def _dense(self, transposed: bool) -> jax.Array:
        """`todense`, or its transpose, in hardly more memory than the result takes."""

    @abc.abstractmethod
    def tocsr(self) -> Any:
        """The same synapses as a `CSR`."""

    def tocsc(self) -> Any:
        """The same synapses as a `CSC`, with an index of columns (not inside ``jax.jit``)."""
        return self.tocsr().csc

    @abc.abstractmethod
    def _product(self, x: Entries, dtype: np.dtype, transposed: bool) -> jax.Array:
        """``x @ W``, or ``x @ W.T`` if `transposed`, for x (X, n), bool or of `dtype`, in `dtype`.

        `dtype` is int32, float32 or float64.
        """

    def _product_of_columns(self, v: jax.Array, dtype: np.dtype, transposed: bool) -> jax.Array:
        """`_product` of the columns of v (n, X), as columns."""
        return self._product(v.T, dtype, transposed).T

    @property
    def ndim(self) -> int:
        """Number of axes, as an array has them: 2."""
        return 2

    @property
    def T(self) -> "Matrix":
        """The transpose, a view of this matrix."""
        return Transposed(self)

    def __rmatmul__(
        self, x: Shaped[Any, "... n_pre"] | Nested
    ) -> Num[Array, "... n_post"] | Quantity:
        """``x @ W``: `x` `(…, n_pre)`, any real dtype or bool, gives `(…, n_post)`."""
        quantity = mantissa_and_unit(x)
        if quantity is not None:
            return (quantity[0] @ self) * quantity[1]
        listed = inputs.as_listed(x)
        given = inputs.array_of("x", x) if listed is None else listed
        return self._along_last("x", given, transposed=False)

    def __matmul__(
        self, v: Shaped[Any, "n_post"] | Shaped[Any, "... n_post m"] | Nested
    ) -> Num[Array, "n_pre"] | Num[Array, "... n_pre m"] | Quantity:
        """``W @ v``: `v` `(n_post,)` or `(…, n_post, m)` gives `(n_pre,)` or `(…, n_pre, m)`."""
        quantity = mantissa_and_unit(v)
        if quantity is not None:
            return (self @ quantity[0]) * quantity[1]
        v = inputs.array_of("v", v)
        if v.ndim < 2:
            return self._along_last("v", v, transposed=True)
        if v.ndim == 2:
            dtype, result = self._checked("v", v, 0, transposed=True)
            return self._product_of_columns(inputs.entries("v", v, dtype), dtype, True).astype(
                result
            )
        columns = self._along_last("v", jnp.swapaxes(v, -1, -2), transposed=True)
        return jnp.swapaxes(columns, -1, -2)

    def __call__(self, x: Shaped[Any, "... n_pre"] | Nested) -> Num[Array, "... n_post"] | Quantity:
        """``x @ W``, for use as a layer.

        Solvers call a function A for ``A @ v``: hand them `matvec`. ``gmres(W, b)`` would solve the
        system of the transpose.
        """
        return self.__rmatmul__(x)

    def __getitem__(self, key: EllipsisType) -> "Matrix":
        """``W[...]`` is W, as code that takes parameters out of containers expects."""
        if key is not Ellipsis:
            raise TypeError(f"{self._name} has no entries to index but {self._name}[...]: {key!r}")
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """An error: only `todense` makes the matrix dense."""
        raise TypeError(
            f"{self._name} is no array: multiply with x @ {self._name} or {self._name} @ v, or "
            f"make it dense with {self._name}.todense()"
        )

    @abc.abstractmethod
    def _times(self, factor: Any) -> "Matrix":
        """The same synapses with weights times one number, which may be traced."""

    def __mul__(self, factor: SupportsFloat | Any) -> "Matrix":
        """``W * a`` for one number: the same synapses, each weight times a.

        A quantity of brainunit, ``W * (0.5 * u.mS)``, gives W in its unit.
        """
        quantity = mantissa_and_unit(factor)
        if quantity is not None:
            return (self * quantity[0]) * quantity[1]
        known = self._factor(factor)
        return NotImplemented if known is None else self._times(known)

    def __truediv__(self, divisor: SupportsFloat | Any) -> "Matrix":
        """``W / a`` for one number: the same synapses, each weight times 1 / a."""
        quantity = mantissa_and_unit(divisor)
        if quantity is not None:
            return (self / quantity[0]) / quantity[1]
        known = self._factor(divisor)
        return NotImplemented if known is None else self._times(1 / known)

    def __neg__(self) -> "Matrix":
        """``-W``: the same synapses, each weight times -1."""
        return self._times(-1)

    def __pos__(self) -> "Matrix":
        """``+W`` is W."""
        return self

    __rmul__ = __mul__

    def _factor(self, value: Any) -> Any:
        """A number that weights may be multiplied with; None for what has arithmetic of its own."""
        if isinstance(value, Matrix):
            self._no_arithmetic(value)
        arrays = (np.generic, np.ndarray, jax.Array, list, tuple)
        if not isinstance(value, (numbers.Number, *arrays)):
            return None
        shape = np.shape(value) if isinstance(value, arrays) else ()
        if shape:
            raise TypeError(
                f"{self._name} takes one number as a factor, got shape {shape}: write (x * a) @ "
                f"{self._name} for a factor of each row, (x @ {self._name}) * a of each column"
            )
        return check_numbers("factor", value)

    def _no_arithmetic(self, other: Any) -> NoReturn:
        raise TypeError(
            f"{self._name} has no arithmetic but x @ {self._name}, {self._name} @ v and a number "
            f"times {self._name}: add results, x @ {self._name} + x @ V, make a matrix with other "
            f"weights, or take {self._name}.todense()"
        )

    __rtruediv__ = __add__ = __radd__ = __sub__ = __rsub__ = _no_arithmetic
    __abs__ = functools.partialmethod(_no_arithmetic, None)

    def matvec(self, v: Shaped[Any, "n_post"] | Shaped[Any, "n_post m"] | Nested) -> Any:
        """``W @ v``, as solvers want it: ``jax.scipy.sparse.linalg.gmres(W.matvec, b)``.

        With it, `scipy.sparse.linalg.aslinearoperator` takes W.

        Args:
            v: `(n_post,)`, or columns `(n_post, m)`. One of NumPy gives one of NumPy, as solvers of
                SciPy write into what they get.
        """
        return _as_given(self @ v, v)

    def rmatvec(self, u: Shaped[Any, "n_pre"] | Shaped[Any, "n_pre m"] | Nested) -> Any:
        """``W.T @ u``, the product with the transpose.

        Args:
            u: `(n_pre,)`, or columns `(n_pre, m)`, as of `matvec`.
        """
        return _as_given(self.T @ u, u)

    def as_linear_operator(self, tags: Any = ()) -> Any:
        """W as a ``lineax.FunctionLinearOperator``, whose ``mv(v)`` is ``W @ v`` (needs lineax).

        Gradients of a solution with respect to the weights pass through it.

        Args:
            tags: what is known of the matrix, such as ``lineax.positive_semidefinite_tag``.
        """
        import lineax  # pyright: ignore[reportMissingImports]

        entries = jax.ShapeDtypeStruct((self.shape[1],), self.dtype)
        product = jax.tree_util.Partial(type(self).__matmul__, self)
        return lineax.FunctionLinearOperator(product, entries, tags)

    def _along_last(self, name: str, x: Entries, transposed: bool) -> jax.Array:
        dtype, result = self._checked(name, x, -1, transposed)
        batch, n_in = x.shape[:-1], x.shape[-1]
        x = inputs.entries(name, x.reshape(math.prod(batch), n_in), dtype)
        y = self._product(x, dtype, transposed)
        return y.astype(result).reshape(*batch, y.shape[-1])

    def _checked(
        self, name: str, x: Entries, axis: int, transposed: bool
    ) -> tuple[np.dtype, np.dtype]:
        """The dtypes of the sums and of the result, for an x that fits along `axis`."""
        n_in = self.shape[transposed]
        if x.ndim == 0 or x.shape[axis] != n_in:
            got = f"{x.shape[axis]} entries" if x.ndim else "no axes"
            side = self._sides[transposed]
            raise ValueError(f"{name} has {got}; {self._name} expects {n_in} {side} neurons")
        inputs.check_dtype(f"weights of {self._name}", self.dtype)
        result = self._result_dtype(x.dtype)
        return ops.accumulator(result), result

    def _result_dtype(self, x: np.dtype) -> np.dtype:
        if not jnp.issubdtype(x, jnp.floating):
            return self.dtype
        with jax.numpy_dtype_promotion("standard"):
            return jnp.promote_types(x, self.dtype)


def _as_given(result: jax.Array, given: Any) -> Any:
    """A result as an array that may be written to, where NumPy asked for it."""
    known = isinstance(given, np.ndarray) and not isinstance(result, Tracer)
    return np.array(result) if known else result


@jax.tree_util.register_pytree_with_keys_class
class Transposed(Matrix):
    """A matrix seen from the post neurons: ``x @ W.T`` is ``W @ x``."""

    matrix: Matrix
    _name = "W.T"
    _children = ("matrix",)
    _sides = ("postsynaptic", "presynaptic")

    def __init__(self, matrix: Matrix):
        self.matrix = matrix

    def __repr__(self) -> str:
        return f"{self.matrix!r}.T"

    @property
    def T(self) -> Matrix:
        return self.matrix

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of post and pre neurons, ``(n_post, n_pre)``."""
        n_pre, n_post = self.matrix.shape
        return n_post, n_pre

    @property
    def dtype(self) -> np.dtype:
        return self.matrix.dtype

    def _dense(self, transposed: bool) -> jax.Array:
        return self.matrix._dense(not transposed)

    def tocsr(self) -> Any:
        """The same synapses as a `CSR` with a row for each post neuron (not inside ``jax.jit``)."""
        return self.matrix.tocsr()._transposed()

    def _times(self, factor: Any) -> "Transposed":
        return self._like(matrix=self.matrix._times(factor))

    def _check_leaves(self, name: str | None = None) -> None:
        self.matrix._check_leaves(name)

    def _product(self, x: Entries, dtype: np.dtype, transposed: bool) -> jax.Array:
        return self.matrix._product(x, dtype, not transposed)

    def _product_of_columns(self, v: jax.Array, dtype: np.dtype, transposed: bool) -> jax.Array:
        return self.matrix._product_of_columns(v, dtype, not transposed)
