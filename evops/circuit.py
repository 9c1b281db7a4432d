"""Named populations inside one index range, and the projections between them."""

import dataclasses
import itertools
import types
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped, UInt32

from evops import inputs, population_grid
from evops.connectivity.rules import LfsrGaps, Rule
from evops.delays import DelayBuffer, DelayedNetwork, check_buffer
from evops.edges import Edges
from evops.engine.compat import Tracer
from evops.errors import check_integer
from evops.inputs import Nested
from evops.leaves import Fixed
from evops.projection import Projection


class Populations(Fixed):
    """Populations one after another in one range of neurons, without overlap or gap.

    Args:
        sizes: number of neurons of each, by name, in their order.

    Attributes:
        n: all neurons.
        names: the populations, in their order.

    Raises:
        ValueError: no population, or a size outside 1 … 2**31 - 1.
        TypeError: a size that is not an integer, a name that is not a string.

    Example:
        >>> import evops
        >>> p = evops.Populations({"E": 3200, "I": 800})
        >>> p.n, p.slice("I")
        (4000, slice(3200, 4000, None))
    """

    n: int
    _sizes: dict[str, int]
    _offsets: dict[str, int]

    def __init__(self, sizes: Mapping[str, SupportsIndex]):
        if not isinstance(sizes, Mapping) or not sizes:
            raise ValueError(f"sizes must map names to numbers of neurons, got {sizes!r}")
        for name in sizes:
            if not isinstance(name, str):
                raise TypeError(f"names of populations must be strings, got {name!r}")
        self._sizes = {k: check_integer(f"sizes[{k!r}]", v, 1) for k, v in sizes.items()}
        ends = np.cumsum(list(self._sizes.values()))
        self.n = check_integer("the sum of sizes", int(ends[-1]), 1)
        self._offsets = dict(zip(self._sizes, [0, *ends[:-1].tolist()], strict=True))

    @classmethod
    def from_ranges(
        cls,
        ranges: Mapping[str, tuple[SupportsIndex, SupportsIndex] | list[SupportsIndex]],
        n: SupportsIndex,
    ) -> "Populations":
        """Populations ``name: (first, end)`` that cover neurons 0 … n - 1.

        Raises:
            ValueError: ranges that overlap, leave neurons out, or end before they begin.
            TypeError: a range that is no pair of integers.
        """
        n = check_integer("n", n, 1)
        if not isinstance(ranges, Mapping):
            raise TypeError(f"ranges must map names to (first, end), got {ranges!r}")
        spans = {}
        for name, span in ranges.items():
            if not isinstance(span, (tuple, list)) or len(span) != 2:
                raise TypeError(f"ranges[{name!r}] must be a pair (first, end), got {span!r}")
            first = check_integer(f"ranges[{name!r}][0]", span[0], 0)
            spans[name] = first, check_integer(f"ranges[{name!r}][1]", span[1], first + 1)
        at, before = 0, ""
        ordered = sorted(spans.items(), key=lambda item: item[1][0])
        for name, (first, end) in ordered:
            if first != at:
                what = "overlap" if first < at else "leave a gap"
                raise ValueError(f"ranges {what}: {name!r} begins at {first}, not at {at}{before}")
            at, before = end, f" where {name!r} ends"
        if at != n:
            raise ValueError(f"ranges end at {at}, but there are {n} neurons")
        return cls({name: end - first for name, (first, end) in ordered})

    @property
    def names(self) -> tuple[str, ...]:
        """The populations, in their order."""
        return tuple(self._sizes)

    def size(self, name: str) -> int:
        """Number of neurons of one population."""
        return self._sizes[self._known(name)]

    def offset(self, name: str) -> int:
        """Index of a population's first neuron among all neurons."""
        return self._offsets[self._known(name)]

    def slice(self, name: str) -> slice:
        """Indices of a population: ``spikes[p.slice("E")]`` are its spikes among those of all."""
        return slice(self.offset(name), self.offset(name) + self.size(name))

    def _known(self, name: str) -> str:
        if not isinstance(name, str) or name not in self._sizes:
            raise ValueError(f"unknown population {name!r}; there are {', '.join(self._sizes)}")
        return name

    def __repr__(self) -> str:
        return f"Populations({self._sizes})"

    def __eq__(self, other: object) -> bool:
        """Same names and sizes in the same order."""
        return isinstance(other, Populations) and [*self._sizes.items()] == [*other._sizes.items()]

    def __hash__(self) -> int:
        return hash(tuple(self._sizes.items()))


@jax.tree_util.register_pytree_node_class
class Circuit(DelayedNetwork):
    """Projections between named populations that share one `DelayBuffer`.

    The synapses of a pair depend on its projection alone (rule, law, shape, seed, delays). So you
    get the same network if you push the pairs one by one, or divide them among several circuits.
    ``autapses=False`` keeps neurons from connecting to themselves; between two different
    populations it drops nothing. Two projections with one seed share their random numbers: a
    warning names them.

    `buffer` makes a `DelayBuffer`. A step is `push` and then `pop`, or ``circuit(spikes, buffer)``,
    which is both. Events are any number here; in a `MultiAreaProjection` they are 0 or 1.

    Args:
        populations: of all neurons.
        projections: by (source, target), each with delays and the shape of its populations.

    Raises:
        ValueError: unknown populations, shapes that differ, projections without delays.
        TypeError: arguments that are no `Populations`, no pairs of names, no `Projection`.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> p = evops.Populations({"E": 80, "I": 20})
        >>> rule, weight = evops.FixedTotalNumber(400), evops.Normal(0.5, 0.1, low=0)
        >>> c = evops.Circuit(p, {
        ...     ("E", "I"): evops.Projection(rule, weight, (80, 20), seed=1, delay=15)})
        >>> buffer = c.buffer()
        >>> current, buffer = c(jnp.ones(100, bool), buffer)   # the input of this step
        >>> current.shape
        (100,)
    """

    _words: ClassVar[dict[str, np.dtype]] = Projection._words
    populations: Populations
    _indptr: UInt32[Array, " m"]
    _drawn: dict[tuple[str, str], Projection]

    def __init__(self, populations: Populations, projections: Mapping[tuple[str, str], Projection]):
        if not isinstance(populations, Populations):
            raise TypeError(f"populations must be Populations, got {populations!r}")
        if not isinstance(projections, Mapping):
            raise TypeError(
                f"projections must map (source, target) to Projection, got {projections!r}"
            )
        for pair, W in projections.items():
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise TypeError(f"projections must have keys (source, target), got {pair!r}")
            name = f"projections[{pair[0]!r}, {pair[1]!r}]"
            if not isinstance(W, Projection):
                raise TypeError(f"{name} must be a Projection, got {W!r}")
            shape = tuple(populations.size(k) for k in pair)
            if W.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {W.shape}")
            if W.delay is None:
                raise ValueError(f"{name} has no delays: make it with delay=…, in steps")
        self.populations = populations
        # Counted rules keep where their rows start: here in one array, for a call that pushes all.
        indptr = [W.indptr for W in projections.values() if W.indptr is not None]
        self._indptr = jnp.concatenate([jnp.zeros(0, jnp.uint32), *indptr])
        self._drawn = {pair: W._with(rule=_rule(*pair, W)) for pair, W in projections.items()}
        _warn_of_seeds(projections)

    def tree_flatten(self) -> tuple[Any, Any]:
        """The projections are children; names and populations are static."""
        leaves = tuple(self._drawn.values()), self._indptr
        return leaves, (self.populations, tuple(self._drawn))

    @classmethod
    def tree_unflatten(cls, static: Any, leaves: Any) -> "Circuit":
        self = object.__new__(cls)
        self.populations, names = static
        projections, self._indptr = leaves
        self._drawn = dict(zip(names, projections, strict=True))
        return self

    def __repr__(self) -> str:
        pairs = ", ".join(f"{source} to {target}" for source, target in self._drawn)
        return f"Circuit({self.populations}: {pairs})"

    @property
    def projections(self) -> Mapping[tuple[str, str], Projection]:
        """The projections, by (source, target); for others make another circuit."""
        spans = zip(self._drawn.items(), self._spans(), strict=True)
        return types.MappingProxyType(
            {
                pair: W._with(_part(self._indptr, at, end)) if end > at else W
                for (pair, W), (at, end) in spans
            }
        )

    def _spans(self) -> list[tuple[int, int]]:
        """Where the indptr of each projection begins and ends."""
        sizes = [
            W.shape[0] + 1 if W.rule.total(W.shape) is not None else 0 for W in self._drawn.values()
        ]
        ends = np.cumsum([0, *sizes]).tolist()
        return list(itertools.pairwise(ends))

    def _axes(self) -> Iterator[tuple[str, Any, int]]:
        for pair, W in self._drawn.items():
            if not isinstance(W, Projection):
                raise TypeError(f"projections[{pair}] must be a Projection, got {W!r}")
            for name, leaf, axes in W._axes():
                if name != "indptr":
                    yield f"{name} of projections[{pair}]", leaf, axes
        yield "indptr", self._indptr, 1

    @property
    def max_delay(self) -> int:
        return max((W.max_delay for W in self._drawn.values()), default=0)

    @property
    def _post_shape(self) -> tuple[int]:
        return (self.populations.n,)

    @property
    def _own_backend(self) -> str | None:
        backends = {W._backend for W in self._drawn.values()}
        return backends.pop() if len(backends) == 1 else None

    @property
    def _wide(self) -> bool:
        return any(W.dtype == np.float64 for W in self._drawn.values())

    def push(self, spikes: Shaped[Any, " n"] | Nested, buffer: DelayBuffer) -> DelayBuffer:
        """The buffer after this step's spikes: their input is added at the time of its arrival.

        Events are 0 or 1 in a `MultiAreaProjection`: any value but 0 and NaN is one spike. In a
        `Circuit` and a `Projection` they are any number, by which weights are multiplied.

        Args:
            spikes: `(n,)`, of all neurons; bool, integer or float; zeros cost nothing.
            buffer: of the post neurons, `(n,)`.

        Raises:
            ValueError: spikes of another shape, a buffer with too few neurons or slots.
            TypeError: no buffer, or one of integers for weights or spikes that are floats.
        """
        x = inputs.shaped("spikes", spikes, ("n",), (self.populations.n,))
        check_buffer(buffer)
        buffer.check(self.populations.n, self.max_delay)
        offset = self.populations.offset
        placed = [
            W._placed(offset(source), offset(target), at)
            for ((source, target), W), (at, _) in zip(
                self._drawn.items(), self._spans(), strict=True
            )
        ]
        return population_grid.push(placed, self._indptr, x, buffer)

    def edges(self) -> Edges:
        """All synapses, with indices into all neurons, pair after pair (not inside ``jax.jit``)."""
        dtypes = [W.dtype for W in self.projections.values()]
        dtype = inputs.common_dtype(dtypes) if dtypes else np.dtype(np.float32)
        # on the host: no program is compiled for the number of synapses
        parts = [[np.zeros(0, t) for t in (np.int32, np.int32, dtype, np.int32)]]
        for (source, target), W in self.projections.items():
            pre, post, weight, delay = W._columns()
            pre = pre + np.int32(self.populations.offset(source))
            post = post + np.int32(self.populations.offset(target))
            parts.append([pre, post, weight.astype(dtype), delay])
        return Edges(*(_joined([part.pop(0) for part in parts]) for _ in Edges._fields))


def _joined(parts: list) -> jax.Array:
    """Arrays one after another; known ones on the host."""
    known = not any(isinstance(part, Tracer) for part in parts)
    return inputs.device_array(np.concatenate(parts)) if known else jnp.concatenate(parts)


def _rule(source: str, target: str, W: Projection) -> Rule:
    """The rule of a pair; between two populations no neuron meets itself: nothing is left out."""
    if source == target or getattr(W.rule, "autapses", True):
        return W.rule
    return dataclasses.replace(W.rule, autapses=True)  # pyright: ignore[reportArgumentType]


def _part(indptr: Any, at: int, end: int) -> Any:
    """A part of the indptr, or the marker that jax has put in its place."""
    return indptr[..., at:end] if np.ndim(indptr) else indptr


def _warn_of_seeds(projections: Mapping[tuple[str, str], Projection]) -> None:
    """Warn of two projections of one seed: they share their random numbers."""
    known: dict[tuple, tuple[str, str]] = {}
    for pair, W in projections.items():
        if isinstance(W.key, Tracer):
            continue
        words = (isinstance(W.rule, LfsrGaps), *np.asarray(W.key).tolist())
        first = known.setdefault(words, pair)
        if first != pair:
            inputs.warn(
                f"projections {first} and {pair} have one seed, so their synapses are not "
                "independent: give each a seed of its own"
            )
