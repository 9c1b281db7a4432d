"""Projections between named populations, drawn and stored, pushed together."""

import dataclasses
import itertools
import types
from collections.abc import Iterator, Mapping, Set
from typing import Any, ClassVar, SupportsFloat, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped, UInt32

from evops import inputs, placed_matrices, population_grid, tables
from evops.connectivity.normal_laws import Normal
from evops.connectivity.rule import Rule
from evops.connectivity.rules import LfsrGaps
from evops.csr import CSR
from evops.delays import Buffers, DelayBuffer, DelayedNetwork, check_buffer
from evops.edges import Edges
from evops.engine import library
from evops.engine.compat import Tracer
from evops.errors import check_flag, shown
from evops.inputs import Entries, Nested, Seed
from evops.placed_matrices import PlacedMatrix
from evops.populations import Populations
from evops.projection import Projection
from evops.sealed import sealed

Key: TypeAlias = tuple[str, str] | tuple[str, str, str]
Synapses: TypeAlias = Projection | CSR
Projections: TypeAlias = (
    Mapping[tuple[str, str], Synapses]
    | Mapping[tuple[str, str, str], Synapses]
    | Mapping[Key, Synapses]
)


@jax.tree_util.register_pytree_with_keys_class
class Circuit(DelayedNetwork):
    """Projections between named populations that share one `DelayBuffer`, or one per receptor.

    Projections are drawn (`Projection`) or stored (`CSR`). A pair of populations may have several:
    a third part of their keys tells them apart, and names a receptor where receptors have buffers
    of their own (`buffers`). However many there are, a step takes a few native calls.

    The synapses of a pair depend on its projection alone (rule, law, shape, seed, delays). So you
    get the same network if you push the pairs one by one, or divide them among several circuits.
    ``autapses=False`` keeps neurons from connecting to themselves; between two different
    populations it drops nothing. Two projections with one seed share their random numbers: a
    warning names them.

    `buffer` makes a `DelayBuffer`. A step is `push` and then `pop`, or ``circuit(spikes, buffer)``,
    which is both. Events are any number here; in a `MultiAreaProjection` they are 0 or 1.

    Args:
        populations: of all neurons.
        projections: by (source, target) or (source, target, name), each with delays and the shape
            of its populations.

    Raises:
        ValueError: unknown populations, shapes that differ, projections without delays.
        TypeError: arguments that are no `Populations`, no such keys, no `Projection` or `CSR`.

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

    _weight_leaf = "projections[…].law"
    _words: ClassVar[dict[str, np.dtype]] = Projection._words
    _children = ("_projections", "_indptr")
    _constants = ("populations", "_keys")
    populations: Populations
    _indptr: UInt32[Array, " m"] = sealed(np.uint32, axes=1)
    _projections: tuple[Synapses, ...]
    _keys: tuple[Key, ...]

    def __init__(self, populations: Populations, projections: Projections):
        if not isinstance(populations, Populations):
            raise TypeError(f"populations must be Populations, got {shown(populations)}")
        if not isinstance(projections, Mapping):
            raise TypeError(
                f"projections must map (source, target) to Projection, got {shown(projections)}"
            )
        for key, W in projections.items():
            if not isinstance(key, tuple) or len(key) not in (2, 3) or not isinstance(key[-1], str):
                raise TypeError(
                    f"projections must have keys (source, target), got {shown(key)}; or (source, "
                    "target, name)"
                )
            name = _name(key)
            if not isinstance(W, (Projection, CSR)):
                raise TypeError(f"{name} must be a Projection or a CSR, got {W!r}")
            shape = tuple(populations.size(k) for k in key[:2])
            if W.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {W.shape}")
            if W.delay is None:
                raise ValueError(f"{name} has no delays: make it with delay=…, in steps")
        self.populations = populations
        # Counted rules keep where their rows start: here in one array, for a call that pushes all.
        drawn = {key: W for key, W in projections.items() if isinstance(W, Projection)}
        indptr = [W.indptr for W in drawn.values() if W.indptr is not None]
        self._indptr = jnp.concatenate([jnp.zeros(0, jnp.uint32), *indptr])
        without = {key: W._like(indptr=None, rule=_rule(*key[:2], W)) for key, W in drawn.items()}
        held = dict(projections.items()) | without
        self._keys, self._projections = tuple(held), tuple(held.values())
        _warn_of_seeds(drawn)

    @classmethod
    def from_table(
        cls,
        populations: Populations,
        table: tables.Table,
        *,
        dt: SupportsFloat,
        seed: Seed,
        columns: Mapping[Any, str | None] | None = None,
        separator: str = ",",
        total_from_p: bool = False,
        weight: tables.MakesLaw = Normal,
        delay: tables.MakesLaw = tables.redrawn_delay,
        backend: str | None = None,
    ) -> "Circuit":
        """The circuit of a table with a row for each projection.

        A row has ``source`` and ``target``, one of ``p`` (`FixedProbability`), ``number``
        (`FixedTotalNumber`) and ``indegree`` (`FixedInDegree`), ``weight`` and ``delay``, and
        optionally their deviations ``weight_sd`` and ``delay_sd``, and a ``receptor``, the third
        part of the key. Rows with p or number 0 make no projection.

        The synapses of a row depend on `seed` and its source, target and receptor, and on its rule
        and populations: other weights, delays or rows leave them as they are.

        Args:
            populations: of all neurons.
            table: a DataFrame of pandas, a list of dicts, or the path of a text file with a header.
            dt: time step, in the unit of the delays.
            seed: integer of up to 64 bits or JAX key, known.
            columns: documented names for other columns, such as ``{"Pmax": "p"}``. A tuple of
                columns is joined as text: ``{("Source", "SourceType"): "source"}``. None leaves a
                column out.
            separator: between the cells of a file; ``" "`` for any blanks.
            total_from_p: whether ``p`` gives a total, by `FixedTotalNumber.from_probability`.
            weight: makes the law of weights of their mean and deviation, where that is above 0.
            delay: the same for delays, in steps; by default normal ones, drawn again below half a
                step. For clipped ones: ``lambda mean, sd: evops.Clipped(mean, sd, low=1)``.
            backend: as of `Projection`.

        Raises:
            ValueError: unknown columns or populations, cells that are missing or out of range, two
                rows with one key. The message names the row (the first is 0) and the column.
            TypeError: arguments of another type.

        Example:
            >>> import evops
            >>> row = {"source": "E", "target": "I", "p": 0.1, "weight": 0.5, "delay": 1.5}
            >>> evops.Circuit.from_table(
            ...     evops.Populations({"E": 80, "I": 20}), [row], dt=0.1, seed=1).max_delay
            15
        """
        if not isinstance(populations, Populations):
            raise TypeError(f"populations must be Populations, got {shown(populations)}")
        if columns is not None and not isinstance(columns, Mapping):
            raise TypeError(f"columns must map columns to names, got {shown(columns)}")
        for name, makes in (("weight", weight), ("delay", delay)):
            if not callable(makes):
                raise TypeError(
                    f"{name} must be a function of mean and deviation, got {shown(makes)}"
                )
        rows: Any = tables.projections(
            populations,
            table,
            dt=dt,
            seed=seed,
            columns=columns,
            separator=separator,
            total_from_p=check_flag("total_from_p", total_from_p),
            weight=weight,
            delay=delay,
            backend=backend,
        )
        return cls(populations, rows)

    @property
    def _held(self) -> dict[Key, Synapses]:
        """The projections without what all share, by their keys."""
        return dict(zip(self._keys, self._projections, strict=True))

    def __repr__(self) -> str:
        pairs = ", ".join(f"{' to '.join(key[:2])}{_named(key)}" for key in self._held)
        return f"Circuit({self.populations}: {pairs})"

    @property
    def projections(self) -> Mapping[Key, Synapses]:
        """The projections, by their keys; for others make another circuit."""
        return types.MappingProxyType(
            {
                key: W._like(indptr=_part(self._indptr, at, end)) if end > at else W
                for key, W, (at, end) in self._with_spans()
            }
        )

    @property
    def receptors(self) -> tuple[str, ...]:
        """The names of projections, those that stand third in their keys, each once."""
        return tuple(dict.fromkeys(key[2] for key in self._held if len(key) == 3))

    def _with_spans(self) -> Iterator[tuple[Key, Any, tuple[int, int]]]:
        """Every projection, and where its indptr begins and ends among those of counted rules."""
        sizes = [
            W.shape[0] + 1 if isinstance(W, Projection) and W.rule.total(W.shape) is not None else 0
            for W in self._held.values()
        ]
        spans = itertools.pairwise(np.cumsum([0, *sizes]).tolist())
        for (key, W), span in zip(self._held.items(), spans, strict=True):
            yield key, W, span

    def _axes(self) -> Iterator[tuple[str, Any, int]]:
        for key, W in self._held.items():
            if not isinstance(W, (Projection, CSR)):
                raise TypeError(f"{_name(key)} must be a Projection or a CSR, got {W!r}")
            for name, leaf, axes in W._all_axes() if isinstance(W, Projection) else ():
                if name != "indptr":
                    yield f"{name} of {_name(key)}", leaf, axes

    def _check_leaves(self, name: str | None = None) -> None:
        super()._check_leaves(name)
        for key, W in self._held.items():
            if isinstance(W, CSR):
                W._check_leaves(_name(key))

    @property
    def max_delay(self) -> int:
        return max((W.max_delay for W in self._held.values()), default=0)

    @property
    def _post_shape(self) -> tuple[int]:
        return (self.populations.n,)

    @property
    def _own_backend(self) -> str | None:
        backends = {W._backend for W in self._held.values()}
        return backends.pop() if len(backends) == 1 else None

    @property
    def _wide(self) -> bool:
        return any(W.dtype == np.float64 for W in self._held.values())

    def buffers(self, dtype: Any = None) -> dict[str, DelayBuffer]:
        """An empty buffer for each of `receptors`; `dtype` as of `buffer`."""
        return {name: self.buffer(dtype) for name in self.receptors}

    def push(self, spikes: Shaped[Any, " n"] | Nested, buffer: Buffers) -> Any:
        """The buffer after this step's spikes: their input is added at the time of its arrival.

        Events are 0 or 1 in a `MultiAreaProjection`: any value but 0 and NaN is one spike. In a
        `Circuit` and a `Projection` they are any number, by which weights are multiplied.

        Args:
            spikes: `(n,)`, of all neurons; bool, integer or float; zeros cost nothing.
            buffer: of the post neurons, `(n,)`; or one for each receptor, by name, as `buffers`
                makes them: then every projection is pushed into that of its name, and a dict comes
                back.

        Raises:
            ValueError: spikes of another shape, a buffer with too few neurons or slots, a receptor
                without a buffer, a projection without a name where buffers have names.
            TypeError: no buffer, or one of integers for weights or spikes that are floats.
        """
        x = inputs.spikes("spikes", spikes, ("n",), (self.populations.n,))
        if not isinstance(buffer, Mapping):
            return self._push(x, buffer, self._held.keys())
        if not buffer:
            check_buffer(buffer)  # raises: no buffer is in it
        of_receptor: dict[str, set[Key]] = {name: set() for name in buffer}
        for key in self._held:
            if len(key) != 3:
                raise ValueError(
                    f"{_name(key)} names no receptor: give it a key (source, target, name)"
                )
            if key[2] not in of_receptor:
                raise ValueError(f"buffers lack receptor {key[2]!r}, that of {_name(key)}")
            of_receptor[key[2]].add(key)
        return {
            name: self._push(x, buffer[name], keys) if keys else buffer[name]
            for name, keys in of_receptor.items()
        }

    def _push(self, x: Entries, buffer: DelayBuffer, keys: Set[Key]) -> DelayBuffer:
        """The buffer after the spikes on their way through some projections."""
        check_buffer(buffer)
        buffer.check(
            self.populations.n, max((self._held[key].max_delay for key in keys), default=0)
        )
        offset = self.populations.offset
        drawn, stored = [], {}
        for key, W, (at, _) in self._with_spans():
            if key not in keys:
                continue
            places = offset(key[0]), offset(key[1])
            if isinstance(W, Projection):
                drawn.append(W._placed(*places, at))
            else:
                stored.setdefault(library.choose(W._backend), []).append(PlacedMatrix(W, *places))
        buffer = population_grid.push(drawn, self._indptr, x, buffer)
        for backend, matrices in stored.items():
            buffer = placed_matrices.push(matrices, x, buffer, backend)
        return buffer

    def edges(self) -> Edges:
        """All synapses, with indices into all neurons, pair after pair (not inside ``jax.jit``)."""
        dtypes = [W.dtype for W in self.projections.values()]
        dtype = inputs.common_dtype(dtypes) if dtypes else np.dtype(np.float32)
        # on the host: no program is compiled for the number of synapses
        parts = [[np.zeros(0, t) for t in (np.int32, np.int32, dtype, np.int32)]]
        for key, W in self.projections.items():
            pre, post, weight, delay = W._columns()
            pre = pre + np.int32(self.populations.offset(key[0]))
            post = post + np.int32(self.populations.offset(key[1]))
            parts.append([pre, post, weight.astype(dtype), delay])
        return Edges(*(_joined([part.pop(0) for part in parts]) for _ in Edges._fields))


def _named(key: Key) -> str:
    return f" ({key[2]})" if len(key) == 3 else ""


def _name(key: Key) -> str:
    """A projection in errors."""
    return f"projections[{', '.join(map(repr, key))}]"


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


def _warn_of_seeds(projections: Mapping[Key, Projection]) -> None:
    """Warn of two projections of one seed: they share their random numbers."""
    known: dict[tuple, Key] = {}
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
