"""Random matrices that are never stored."""

from collections.abc import Iterable, Mapping
from typing import Any, SupportsFloat, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from evops import inputs
from evops.connectivity import sampler
from evops.connectivity.delay_tables import delay_law, discretise
from evops.connectivity.laws import Constant, Law
from evops.connectivity.rule import Rule, place
from evops.connectivity.rules import LfsrGaps
from evops.connectivity.sampler import SAMPLER_VERSION
from evops.connectivity.scaled_law import scaled
from evops.connectivity.schemes import check_rule
from evops.csr import CSR
from evops.drawn_matrix import DrawnMatrix
from evops.engine import library, ops
from evops.engine.compat import Tracer
from evops.errors import check_integer, shown
from evops.inputs import Nested, Seed
from evops.records import record_of, value_of
from evops.space.positions import Positions
from evops.weighted import WeightedProjection


class _Kept:
    """An argument that is left out, where None means something."""

    def __repr__(self) -> str:
        return "as it is"


_KEPT = _Kept()


@jax.tree_util.register_pytree_with_keys_class
class Projection(DrawnMatrix):
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
        key: two uint32 words that follow from the seed; every synapse depends on them. Their bits
            are a leaf, (32, 2) bool: arithmetic over all leaves is an error, as it would make
            another network. Map over `law`, and set it with `replace`.
        indptr: `(n_pre + 1,)` uint32, running numbers of synapses, where the rule draws the pre
            neurons first (`FixedTotalNumber`, `FixedInDegree`); else None. Its bits are a leaf.
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
        self._given, self._shape = place(rule, shape)
        key = self._key_of("seed", seed)
        self.rule = self._settled(key)
        if isinstance(self.rule, LfsrGaps):
            inputs.warn_of_density(self.rule)
        self.law = inputs.law(law)
        self.delay = None if delay is None else delay_law(delay)
        library.choose(backend)  # raises where there is none of that name
        self._backend = backend
        self.key, self.indptr = jnp.asarray(key), self._drawn_indptr(key)

    def _key_of(self, name: str, seed: Any) -> Any:
        words = inputs.seed_words(name, seed)
        return words if isinstance(self._given, LfsrGaps) else key_of(words)

    def _settled(self, key: Any) -> Rule:
        rule = self._given.settled(self._shape, key)
        check_rule(rule, self._shape)
        return rule

    def _drawn_indptr(self, key: Any) -> jax.Array | None:
        total, backend = self.rule.total(self._shape), library.choose(self._backend)
        if total is None:
            return None
        return ops.draw_indptr(key, total=total, n_pre=self._shape[0], backend=backend)

    def _of_key(self, key: Any) -> "Projection":
        """The same of another key."""
        other = self._like(rule=self._settled(key), key=jnp.asarray(key))
        return other._like(indptr=other._drawn_indptr(key))

    def replace(
        self,
        *,
        law: Law | SupportsFloat | None = None,
        seed: Seed | None = None,
        delay: Law | SupportsFloat | _Kept | None = _KEPT,
        backend: str | _Kept | None = _KEPT,
    ) -> "Projection":
        """The same rule and shape with another law, seed, delay or backend; this one stays.

        With another law the synapses stay, so that it can be trained: see the example. Arguments
        are those of `Projection`; what is left out stays as it is.

        Example:
            >>> import jax, jax.numpy as jnp, evops
            >>> W = evops.Projection(evops.FixedOutDegree(10), 0.5, shape=(100, 80), seed=42)
            >>> x = jnp.ones(100)
            >>> loss = lambda law: ((x @ W.replace(law=law)).mean() - 25) ** 2
            >>> jax.grad(loss)(W.law)           # 12.5 synapses onto each, of weight 0.5
            Constant(w=-468.75)
        """
        changes: dict[str, Any] = {}
        if law is not None:
            changes["law"] = inputs.law(law)
        if delay is not _KEPT:
            changes["delay"] = None if delay is None else delay_law(delay)
        if backend is not _KEPT:
            library.choose(backend)
            changes["_backend"] = backend
        other = self._like(**changes)
        return other if seed is None else other._of_key(self._key_of("seed", seed))

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

    def to_dict(self) -> dict[str, Any]:
        """What makes this matrix, as numbers, texts, lists and dictionaries: JSON can write it.

        Unlike its leaves it has the rule, and the version of the sampler on which synapses depend.

        Raises:
            TypeError: a traced matrix, a function of distance, rules or laws that are no dataclass.

        Example:
            >>> import json, evops
            >>> W = evops.Projection(evops.FixedProbability(0.1), 0.5, shape=(100, 80), seed=42)
            >>> text = json.dumps(W.to_dict())
            >>> evops.Projection.from_dict(json.loads(text)).rule
            FixedProbability(p=0.1, autapses=True)
        """
        parts = {
            "rule": self._given,
            "law": self.law,
            "shape": self._shape,
            "key": np.asarray(self.key).tolist() if not isinstance(self.key, Tracer) else self.key,
            "delay": self.delay,
            "backend": self._backend,
        }
        written = {name: record_of(name, part) for name, part in parts.items()}
        return {"sampler_version": SAMPLER_VERSION, **written}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], classes: Iterable[type] = ()) -> "Projection":
        """The matrix that `to_dict` has written: the same synapses, weights and delays.

        Args:
            record: what `to_dict` gave, or JSON made of it.
            classes: your own rules and laws, which the record names.

        Raises:
            ValueError: another version of the sampler, parts that are missing or out of range.
            TypeError: no dictionary, or parts of another type.
        """
        names = ("rule", "law", "shape", "key", "delay", "backend")
        if not isinstance(record, Mapping):
            raise TypeError(f"record must be a dictionary of to_dict, got {shown(record)}")
        if set(record) != {"sampler_version", *names}:
            raise ValueError(f"record must have sampler_version, {', '.join(names)}: {[*record]}")
        if record["sampler_version"] != SAMPLER_VERSION:
            raise ValueError(
                f"record must be of SAMPLER_VERSION {SAMPLER_VERSION}, in which a seed gives other "
                f"synapses than in {record['sampler_version']!r}"
            )
        rule, law, shape, key, delay, backend = (
            value_of(name, record[name], classes) for name in names
        )
        if not isinstance(key, tuple) or len(key) != 2:
            raise TypeError(f"key must be two words, got {shown(key)}")
        words = [check_integer(f"key[{k}]", word, 0, 2**32 - 1) for k, word in enumerate(key)]
        made = cls(rule, law, shape, seed=0, delay=delay, backend=backend)
        return made._of_key(np.array(words, np.uint32))

    def _times(self, factor: Any) -> "Projection":
        return self.replace(law=scaled(self.law, factor))

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
        return WeightedProjection(self._like(law=Constant(jnp.float32(1))), values)


def key_of(words: Any) -> Any:
    """Key words of the exact sampler for the two words of a seed."""
    zero = words[..., 0] * np.uint32(0)
    with np.errstate(over="ignore"):
        low, high = sampler.feistel(words[..., 0], words[..., 1], zero, zero)
    return (np if isinstance(words, np.ndarray) else jnp).stack([low, high], -1)


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"
