"""What a matrix that is never stored does; projection.py has how it is made."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Shaped, UInt32

from evops import inputs, population_grid, synapse_lists
from evops.connectivity.delay_tables import discretise
from evops.connectivity.format import MatrixSpec, WeightLaw
from evops.connectivity.laws import Law
from evops.connectivity.rule import Rule
from evops.delays import DelayBuffer, DelayedSynapses
from evops.edges import Edges
from evops.engine import dense, library, ops, some_rows
from evops.engine.compat import Tracer
from evops.inputs import Entries, Nested
from evops.matrix import Matrix
from evops.population_grid import PlacedProjection
from evops.sealed import sealed


class DrawnMatrix(Matrix, DelayedSynapses):
    """The seed of a `Projection`, its products, degrees, pushes and lists of synapses."""

    _weight_leaf = "law"
    _leaves = _children = ("law", "key", "indptr")
    _constants = ("rule", "_given", "_shape", "delay", "_backend")
    law: Law
    key: UInt32[Array, "2"] = sealed(np.uint32, axes=1)
    indptr: UInt32[Array, "n_pre+1"] | None = sealed(np.uint32, axes=1, optional=True)
    rule: Rule
    _given: Rule  # before it was settled for the seed
    delay: Law | None
    _shape: tuple[int, int]
    _backend: str | None

    @property
    def shape(self) -> tuple[int, int]:
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        return inputs.weight_dtype(self.law)

    def _axes(self) -> Iterator[tuple[str, Any, int]]:
        if not isinstance(self.law, Law):
            raise TypeError(f"{self._name}.law must be a weight law, got {self.law!r}")
        for path, parameter in jax.tree_util.tree_leaves_with_path(self.law):
            yield f"law{jax.tree_util.keystr(path)}", parameter, 0
        if self.indptr is None and self.rule.total(self._shape) is not None:
            yield "indptr", None, 1

    def _spec(self, law: bool = True, delay: bool = False) -> MatrixSpec:
        varied = law and self.law.quantile() is not None
        per_row = self.rule.expected_synapses(self._shape) / self._shape[0]
        return MatrixSpec(
            self.rule.scheme(self._shape),
            WeightLaw.QUANTILES if varied else WeightLaw.CONSTANT,
            round(per_row),
            discretise(self.delay).bits if delay and self.delay else 0,
            ramp=int(varied and self.law.is_ramp()),
        )

    def _tables(self, spec: MatrixSpec) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Of the rule, the law and the delays, as products take them."""
        table = _table_of(self.rule) if self.indptr is None else self.indptr
        varied = spec.law == WeightLaw.QUANTILES
        quantiles = self.law.table()[0] if varied else np.zeros(0, np.int32)
        delays = discretise(self.delay).table if spec.delay_bits else np.zeros(0, np.uint32)
        return table[None], jnp.asarray(quantiles), jnp.asarray(delays)

    def _product(self, x: Entries, dtype: np.dtype, transposed: bool) -> jax.Array:
        return self._bind(x, self.law.parameters(dtype), self._spec(), transposed)

    def _bind(
        self, x: Entries, parameters: jax.Array, spec: MatrixSpec, transposed: bool
    ) -> jax.Array:
        rows = x.shape[0]
        n_out = self._shape[0] if transposed else self._shape[1]
        if rows == 0:
            return jnp.zeros((0, n_out), parameters.dtype)
        return ops.product(
            x,
            jnp.broadcast_to(parameters, (rows, *parameters.shape)),
            jnp.broadcast_to(self.key, (rows, 2)),
            self._tables(spec)[:2],
            spec=spec,
            n_out=n_out,
            gather=transposed,
            per_input=1,
            backend=library.choose(self._backend),
        )

    @property
    def max_delay(self) -> int:
        """Longest delay, in steps; 0 without delays."""
        return discretise(self.delay).longest if self.delay else 0

    def _pushed(self, x: Entries, buffer: DelayBuffer, post_offset: int) -> DelayBuffer:
        indptr = jnp.zeros(0, jnp.uint32) if self.indptr is None else self.indptr
        return population_grid.push([self._placed(0, post_offset, 0)], indptr, x, buffer)

    def _placed(self, pre_offset: int, post_offset: int, indptr_offset: int) -> PlacedProjection:
        """This matrix among the neurons of a network; its indptr is among those of others."""
        return PlacedProjection(
            (pre_offset, self._shape[0]),
            (post_offset, self._shape[1]),
            self.rule,
            self.law,
            discretise(self.delay),
            self._spec(delay=True),
            self.key,
            indptr_offset,
            library.choose(self._backend),
        )

    def _degrees(self, transposed: bool) -> Int[Array, " n"]:
        # Where the rule says how many there are, nothing is drawn to count them.
        scheme, total = self.rule.scheme(self._shape), self.rule.total(self._shape)
        known = scheme.degrees(self._shape, total)[not transposed]
        if known is not None:
            return jnp.full(self._shape[not transposed], known, jnp.int32)
        if transposed and self.indptr is not None:
            starts, ends = self.indptr[:-1], self.indptr[1:]  # a row whose counts fall is empty
            return jnp.where(ends > starts, ends - starts, jnp.uint32(0)).astype(jnp.int32)
        everyone = jnp.ones((1, self._shape[transposed]), bool)
        return self._bind(everyone, jnp.ones(1, jnp.int32), self._spec(law=False), transposed)[0]

    def in_degree(self) -> Int[Array, " n_post"]:
        """Synapses onto every post neuron."""
        return self._degrees(transposed=False)

    def out_degree(self) -> Int[Array, " n_pre"]:
        """Synapses of every pre neuron."""
        return self._degrees(transposed=True)

    def _dense(self, transposed: bool) -> jax.Array:
        spec = self._spec()
        return dense.drawn(
            self.law.parameters(ops.accumulator(self.dtype)),
            self.key,
            self._tables(spec)[:2],
            spec=spec,
            shape=self._shape,
            dtype=self.dtype,
            transposed=transposed,
            backend=library.choose(self._backend),
        )

    def edges(self, pre: Shaped[Any, "k"] | Nested | None = None) -> Edges:
        """All synapses, or those of some neurons, with weights and delays (not in ``jax.jit``).

        Args:
            pre: `(k,)` pre neurons whose synapses are listed, in this order; None for all. Those of
                other neurons are not listed.
        """
        some = None if pre is None else synapse_lists.neurons("pre", pre, self._shape[0])
        return Edges(*map(inputs.device_array, self._columns(some)))

    def _columns(self, some: np.ndarray | None = None) -> Iterator[Any]:
        """What `Edges` has, on the host, one after another: each may go before the next comes."""
        indptr, post, z, drawn = self._synapses(some)
        neurons = np.arange(self._shape[0]) if some is None else some
        yield np.repeat(neurons.astype(np.int32), np.diff(indptr))
        total = post.size
        yield post
        del post
        yield self._weights(z, total)
        del z
        if self.delay is None:
            yield None
        else:
            shortest = np.int32(discretise(self.delay).shortest)
            yield drawn + shortest if drawn.size else np.full(total, shortest)

    def _synapses(self, some: np.ndarray | None = None) -> list[np.ndarray]:
        """Where the synapses of each row begin, and the results of `ops.edges`.

        Of all rows, or of some.
        """
        if isinstance(self.key, Tracer):
            raise TypeError("tocsr and edges need a known seed: call them outside jax.jit")
        if some is not None:
            spec, native = self._spec(delay=True), library.choose(self._backend) == "native"
            of = some, self.key, self._tables(spec), self.out_degree
            return some_rows.edges(*of, spec=spec, n_post=self._shape[1], native=native)
        degrees = np.asarray(self.out_degree()).astype(np.int64)
        total = int(degrees.sum())
        if total >= 2**31:
            raise ValueError(f"{total} synapses are more than a CSR holds: at most {2**31 - 1}")
        indptr = np.concatenate([[0], np.cumsum(degrees)]).astype(np.int32)
        spec = self._spec(delay=True)
        found = ops.edges(
            self.key,
            self._tables(spec),
            jnp.asarray(indptr),
            spec=spec,
            n_post=self._shape[1],
            synapses=total,
            expected=self.rule.expected_synapses(self._shape),
            backend=library.choose(self._backend),
        )
        return [indptr, *found]

    def _weights(self, z: np.ndarray, total: int) -> Any:
        """Weights of synapses with variates `z`, on the host where those of the law are known.

        `total` copies of the weight where all have one.
        """
        accumulator = ops.accumulator(self.dtype)
        parameters, xp = self.law.parameters(accumulator), jnp
        if not isinstance(parameters, Tracer):
            parameters, xp = np.asarray(parameters), np
        weight = xp.broadcast_to(parameters[0], (total,))
        if len(parameters) > 1:
            weight = parameters[0] + parameters[1] * z.astype(accumulator, copy=False)
        return weight.astype(self.dtype)


@functools.lru_cache(maxsize=32)
def _table_of(rule: Rule) -> jax.Array:
    """The table of a rule as an array of jax, made once: with positions it is large."""
    with jax.ensure_compile_time_eval():
        return jnp.asarray(rule.table)
