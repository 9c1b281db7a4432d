"""The base of all matrices of synapses: products from both sides, transpose, shape, dtype."""

import abc
import functools
import math
from types import EllipsisType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Num, Shaped

from evops import inputs
from evops.engine import ops
from evops.inputs import Entries, Nested
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

    def __rmatmul__(self, x: Shaped[Any, "... n_pre"] | Nested) -> Num[Array, "... n_post"]:
        """``x @ W``: `x` `(…, n_pre)`, any real dtype or bool, gives `(…, n_post)`."""
        listed = inputs.as_listed(x)
        given = inputs.array_of("x", x) if listed is None else listed
        return self._along_last("x", given, transposed=False)

    def __matmul__(
        self, v: Shaped[Any, "n_post"] | Shaped[Any, "... n_post m"] | Nested
    ) -> Num[Array, "n_pre"] | Num[Array, "... n_pre m"]:
        """``W @ v``: `v` `(n_post,)` or `(…, n_post, m)` gives `(n_pre,)` or `(…, n_pre, m)`."""
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

    def __call__(self, x: Shaped[Any, "... n_pre"] | Nested) -> Num[Array, "... n_post"]:
        """``x @ W``, for use as a layer."""
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

    def _no_arithmetic(self, other: Any) -> Any:
        raise TypeError(
            f"{self._name} has no arithmetic but x @ {self._name} and {self._name} @ v: write "
            f"(2 * x) @ {self._name} for 2 * {self._name}, make a matrix with other weights, or "
            f"take {self._name}.todense()"
        )

    __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _no_arithmetic
    __neg__ = __pos__ = __abs__ = functools.partialmethod(_no_arithmetic, None)
    __add__ = __radd__ = __sub__ = __rsub__ = _no_arithmetic

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

    def _check_leaves(self, name: str | None = None) -> None:
        self.matrix._check_leaves(name)

    def _product(self, x: Entries, dtype: np.dtype, transposed: bool) -> jax.Array:
        return self.matrix._product(x, dtype, not transposed)

    def _product_of_columns(self, v: jax.Array, dtype: np.dtype, transposed: bool) -> jax.Array:
        return self.matrix._product_of_columns(v, dtype, not transposed)
