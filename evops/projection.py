"""Random matrices that are never stored."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, SupportsFloat, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Shaped, UInt32

from evops import inputs, population_grid, synapse_lists
from evops.connectivity import sampler
from evops.connectivity.delay_tables import delay_law, discretise
from evops.connectivity.format import MatrixSpec, WeightLaw
from evops.connectivity.laws import Constant, Law
from evops.connectivity.rule import Rule, place
from evops.connectivity.rules import LfsrGaps
from evops.connectivity.schemes import check_rule
from evops.csr import CSR
from evops.delays import DelayBuffer, DelayedSynapses
from evops.edges import Edges
from evops.engine import dense, library, ops, some_rows
from evops.engine.compat import Tracer
from evops.inputs import Entries, Nested, Seed
from evops.matrix import Matrix
from evops.population_grid import PlacedProjection
from evops.space.positions import Positions
from evops.weighted import WeightedProjection


@jax.tree_util.register_pytree_node_class
class Projection(Matrix, DelayedSynapses):
    """A random matrix of synapses (n_pre, n_post): a rule, a weight law and a seed.

    Its synapses are a pure function of rule, law, shape and seed. ``x @ W``, ``W @ v``, gradients,
    `todense`, `tocsr` and `edges` see the same ones, on every device and backend, with any number
    of threads. They are drawn again at every use and never stored. A matrix with more pre or post
    neurons keeps the old synapses (fixed degrees and totals, `OneToOne` and `Neighbours` apart).

    With delays, `push` adds each synapse to a `DelayBuffer` at the time of its arrival. ``x @ W``
    ignores delays.

    An entry of x that is 0 is silent: it adds nothing, whatever the weights. Nor does a pair of
    neurons without a synapse, or a matrix whose parameters are all 0. Everything else is IEEE
    arithmetic of each synapse's term ``x * (loc + scale * z)``, infinities and NaN included. Inputs
    of one finite weight are added up first. The same holds for `push` and `CSR`.

    Args:
        rule: which pairs are connected, for example ``evops.FixedProbability(0.1)``.
        law: the weights, for example ``evops.Constant(0.6)``; a number stands for that constant.
            Weights have the dtype of its parameters, and Python numbers are float32. Any unit.
        shape: (n_pre, n_post); `Positions` or a `Grid` in place of a number, where rules of
            distance need them.
        seed: integer of up to 64 bits or JAX key, of `jax.random.key` or `PRNGKey`: ``s`` and
            ``key(s)`` are one seed (below 2**32; jax keeps more only under x64). May be traced.
        delay: delays in time steps, at least 1; None for no delays. A number holds for all
            synapses. From a law every synapse draws its own: ``evops.Uniform(1, 20)`` gives whole
            numbers, values of others, such as ``evops.Normal(15, 7.5, low=0.5)``, are rounded
            (halves up).
        backend: "native", "jnp" or None for the fastest there is where the matrix is used.

    Attributes:
        law: the weight law, its parameters as arrays of the weights' dtype; a leaf of the pytree.
        key: two uint32 words that follow from the seed; every synapse depends on them. A leaf.
        indptr: `(n_pre + 1,)` uint32, running numbers of synapses, where the rule draws the pre
            neurons first (`FixedTotalNumber`, `FixedInDegree`); else None. A leaf.
        rule: the connectivity rule.
        delay: the law of the delays, or None.

    Raises:
        ValueError: shapes, probabilities, degrees, parameters or delays outside their range.
        TypeError: parameters that are no real numbers, a traced shape.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> W = evops.Projection(evops.FixedProbability(0.1), evops.Normal(0.5, 0.1),
        ...                      shape=(1000, 800), seed=42)
        >>> spikes = jnp.zeros(1000, bool).at[7].set(True)
        >>> (spikes @ W).shape
        (800,)
    """

    _leaves = ("law", "key", "indptr")
    _words: ClassVar[dict[str, np.dtype]] = {
        "key": np.dtype(np.uint32),
        "indptr": np.dtype(np.uint32),
    }
    law: Law
    key: UInt32[Array, "2"]
    indptr: UInt32[Array, "n_pre+1"] | None
    rule: Rule
    delay: Law | None
    _shape: tuple[int, int]
    _backend: str | None

    def __init__(
        self,
        rule: Rule,
        law: Law | SupportsFloat,
        shape: Iterable[SupportsIndex | Positions],
        *,
        seed: Seed,
        delay: Law | SupportsFloat | None = None,
        backend: str | None = None,
    ):
        rule, self._shape = place(rule, shape)
        words = inputs.seed_words("seed", seed)
        key = words if isinstance(rule, LfsrGaps) else key_of(words)
        rule = rule.settled(self._shape, key)
        check_rule(rule, self._shape)
        if isinstance(rule, LfsrGaps):
            inputs.warn_of_density(rule)
        self.rule = rule
        self.law = inputs.law(law)
        self.key = jnp.asarray(key)
        self.delay = None if delay is None else delay_law(delay)
        chosen, self._backend = library.choose(backend), backend
        total = rule.total(self._shape)
        indptr = None
        if total is not None:
            indptr = ops.draw_indptr(key, total=total, n_pre=self._shape[0], backend=chosen)
        self.indptr = indptr

    def tree_flatten(self) -> tuple[Any, Any]:
        """Weight parameters, key and running numbers are leaves; the rest is static."""
        return (self.law, self.key, self.indptr), (
            self.rule,
            self._shape,
            self.delay,
            self._backend,
        )

    @classmethod
    def tree_unflatten(cls, static: Any, leaves: Any) -> "Projection":
        self = object.__new__(cls)
        self.law, self.key, self.indptr = leaves
        self.rule, self._shape, self.delay, self._backend = static
        return self

    def __repr__(self) -> str:
        synapses = self.rule.expected_synapses(self.shape)
        stored = synapses * (4 + self.dtype.itemsize) + 4 * (self.shape[0] + 1)
        delay, ignored = "", ""
        if self.delay is not None:
            delay, ignored = f", delay={self.delay}", "; push heeds delays, x @ W ignores them"
        return (
            f"Projection({self.rule}, {self.law}, shape={self.shape}{delay}): about {synapses:.4g} "
            f"synapses; CSR would take {_bytes(stored)}{ignored}"
        )

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
        yield "key", self.key, 1
        if self.rule.total(self._shape) is not None:
            yield "indptr", self.indptr, 1

    def _with(self, indptr: Any = None, rule: Rule | None = None) -> "Projection":
        """The same with another `indptr`, and another rule if there is one."""
        _, (own, *static) = self.tree_flatten()
        return Projection.tree_unflatten((rule or own, *static), (self.law, self.key, indptr))

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

    def tocsr(self) -> CSR:
        """The same synapses, stored (not inside ``jax.jit``: their number must be known).

        Where the law is one weight for all, so is `CSR.data`: one number. The same holds of delays.
        """
        indptr, post, z, drawn = self._synapses()
        weight = inputs.device_array(self._weights(z, 1))
        delay = None
        if self.delay is not None:
            shortest = np.int32(discretise(self.delay).shortest)
            delay = drawn + shortest if drawn.size else shortest
        post = inputs.device_array(post)
        arrays = weight, post, indptr
        return CSR(*arrays, shape=self._shape, delay=delay, backend=self._backend)

    def with_weights(
        self, values: Shaped[Any, "..."] | SupportsFloat | Nested
    ) -> WeightedProjection:
        """The same synapses, drawn at every use, with a stored weight each.

        It takes the memory of the weights alone, where `tocsr` takes that of targets too. The law
        of weights is ignored.

        Args:
            values: `(nnz,)`, one for each synapse in the order of rows, as `edges` and `tocsr`
                have them; or one number for all. Any dtype that `CSR` takes. With a traced seed,
                whose number of synapses is unknown, the error says how many there is room for.

        Raises:
            ValueError: another number of values, or 2**31 synapses or more.
        """
        _, static = self.tree_flatten()
        one = Constant(jnp.float32(1))
        return WeightedProjection(
            Projection.tree_unflatten(static, (one, self.key, self.indptr)), values
        )

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


def key_of(words: Any) -> Any:
    """Key words of the exact sampler for the two words of a seed."""
    zero = words[..., 0] * np.uint32(0)
    with np.errstate(over="ignore"):
        low, high = sampler.feistel(words[..., 0], words[..., 1], zero, zero)
    return (np if isinstance(words, np.ndarray) else jnp).stack([low, high], -1)


@functools.lru_cache(maxsize=32)
def _table_of(rule: Rule) -> jax.Array:
    """The table of a rule as an array of jax, made once: with positions it is large."""
    with jax.ensure_compile_time_eval():
        return jnp.asarray(rule.table)


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"
