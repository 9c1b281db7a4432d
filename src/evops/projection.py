"""Random matrices that are never stored."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Num, UInt32

from evops import inputs
from evops.connectivity import sampler
from evops.connectivity.laws import Law
from evops.connectivity.rules import LfsrGaps, Rule
from evops.csr import CSR, Edges
from evops.engine import bridge, ops
from evops.engine.compat import Tracer
from evops.engine.walk import CONSTANT, QUANTILES, Source
from evops.errors import check_shape
from evops.matrix import Matrix


@jax.tree_util.register_pytree_node_class
class Projection(Matrix):
    """A random matrix of synapses (n_pre, n_post): a rule, a weight law and a seed.

    Its synapses are a pure function of rule, law, shape and seed: the same for ``x @ W``,
    ``W @ v``, gradients, `todense`, `tocsr` and `edges`, on every device and backend, for any
    number of threads. They are drawn again at every use and never stored. More post neurons keep
    the old synapses (fixed out-degree apart), as do more pre neurons.

    Args:
        rule: which pairs are connected, for example ``evops.FixedProbability(0.1)``.
        law: the weights, for example ``evops.Constant(0.6)``; a number stands for that constant.
            Weights have the dtype of its parameters, Python numbers being float32. Any unit.
        shape: (n_pre, n_post).
        seed: integer of up to 64 bits or JAX key; may be traced.
        backend: "native", "jnp" or None for the fastest there is.

    Raises:
        ValueError: shapes, probabilities, degrees or parameters outside their range.
        TypeError: parameters that are no real numbers, a traced shape.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> W = evops.Projection(evops.FixedProbability(0.1), evops.Normal(0.5, 0.1),
        ...                      shape=(1000, 800), seed=42)
        >>> spikes = jnp.zeros(1000, bool).at[7].set(True)
        >>> (spikes @ W).shape
        (800,)
    """

    law: Law
    key: UInt32[Array, "2"]

    def __init__(
        self,
        rule: Rule,
        law: Law | Any,
        shape: tuple[int, int],
        *,
        seed: Any,
        backend: str | None = None,
    ):
        if not isinstance(rule, Rule):
            raise TypeError(
                f"rule must be a connectivity rule such as FixedProbability, got {rule!r}"
            )
        self._shape = check_shape("shape", shape)
        rule.scheme(self._shape)  # raises where rule and shape do not fit
        self.rule = rule
        self.law = inputs.law(law)
        words = inputs.seed_words("seed", seed)
        self.key = words if isinstance(rule, LfsrGaps) else _key(words)
        self._backend = bridge.choose(backend)

    def tree_flatten(self):
        """Weight parameters and the seed's key words are leaves; the rest is static."""
        return (self.law, self.key), (self.rule, self._shape, self._backend)

    @classmethod
    def tree_unflatten(cls, static, leaves) -> "Projection":
        """The projection with other leaves."""
        self = object.__new__(cls)
        self.law, self.key = leaves
        self.rule, self._shape, self._backend = static
        return self

    def __repr__(self) -> str:
        """Rule, law, shape, expected synapses and what stored CSR would take."""
        synapses = self.rule.expected_synapses(self.shape)
        stored = synapses * (4 + self.dtype.itemsize) + 4 * (self.shape[0] + 1)
        return (
            f"Projection({self.rule}, {self.law}, shape={self.shape}): about {synapses:.4g} "
            f"synapses; CSR would take {_bytes(stored)}"
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(n_pre, n_post)."""
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the weights."""
        return inputs.weight_dtype(self.law)

    def _source(self, law: bool = True) -> Source:
        varied = law and type(self.law).unit_quantile is not None
        per_line = self.rule.expected_synapses(self._shape) / self._shape[0]
        return Source(
            self.rule.scheme(self._shape), QUANTILES if varied else CONSTANT, round(per_line)
        )

    def _tables(self, source: Source):
        quantiles = self.law.table()[0] if source.law == QUANTILES else np.zeros(0, np.int32)
        return jnp.asarray(self.rule.table), jnp.asarray(quantiles)

    def _product(self, x, dtype, transposed):
        return self._bind(x, self.law.parameters(dtype), self._source(), transposed)

    def _bind(self, x, parameters, source, transposed):
        rows = x.shape[0]
        n_out = self._shape[0] if transposed else self._shape[1]
        if rows == 0:
            return jnp.zeros((0, n_out), parameters.dtype)
        return ops.product(
            x,
            jnp.broadcast_to(parameters, (rows, *parameters.shape)),
            jnp.broadcast_to(self.key, (rows, 2)),
            self._tables(source),
            source=source,
            n_out=n_out,
            gather=transposed,
            repeat=1,
            backend=self._backend,
        )

    def _count(self, transposed: bool) -> Int[Array, " n"]:
        everyone = jnp.ones((1, self._shape[transposed]), bool)
        return self._bind(everyone, jnp.ones(1, jnp.int32), self._source(law=False), transposed)[0]

    def in_degree(self) -> Int[Array, " n_post"]:
        """Synapses onto every post neuron."""
        return self._count(transposed=False)

    def out_degree(self) -> Int[Array, " n_pre"]:
        """Synapses of every pre neuron."""
        return self._count(transposed=True)

    def todense(self) -> Num[Array, "n_pre n_post"]:
        """The matrix with all its zeros; synapses of one pair of neurons are added up."""
        return jnp.eye(self._shape[0], dtype=bool) @ self

    def edges(self) -> Edges:
        """All synapses, with their weights (not inside ``jax.jit``: their number must be known)."""
        csr = self.tocsr()
        pre = np.repeat(np.arange(self._shape[0], dtype=np.int32), np.diff(np.asarray(csr.indptr)))
        return Edges(jnp.asarray(pre), csr.indices, csr.data)

    def tocsr(self) -> CSR:
        """The same synapses, stored (not inside ``jax.jit``: their number must be known)."""
        if isinstance(self.key, Tracer):
            raise TypeError("tocsr and edges need a known seed: call them outside jax.jit")
        degrees = np.asarray(self.out_degree()).astype(np.int64)
        total = int(degrees.sum())
        if total >= 2**31:
            raise ValueError(f"{total} synapses are more than a CSR holds: at most {2**31 - 1}")
        indptr = np.concatenate([[0], np.cumsum(degrees)]).astype(np.int32)
        source = self._source()
        post, z = ops.edges(
            self.key,
            self._tables(source),
            jnp.asarray(indptr),
            source=source,
            n_post=self._shape[1],
            synapses=total,
            backend=self._backend,
        )
        accumulator = ops.accumulator(self.dtype)
        parameters = self.law.parameters(accumulator)
        weight = jnp.broadcast_to(parameters[0], (total,))
        if source.law == QUANTILES:
            weight = parameters[0] + parameters[1] * z.astype(accumulator)
        return CSR(
            weight.astype(self.dtype), post, indptr, shape=self._shape, backend=self._backend
        )


def _key(words):
    """Key words of the exact sampler for the two words of a seed."""
    zero = words[..., 0] * np.uint32(0)
    with np.errstate(over="ignore"):
        low, high = sampler.feistel(words[..., 0], words[..., 1], zero, zero)
    return jnp.stack([jnp.asarray(low), jnp.asarray(high)], -1)


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"
