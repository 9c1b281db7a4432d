"""Projections between all areas of a network, with delays, in one call per step."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, SupportsFloat, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped, UInt32

from evops import inputs
from evops.braintaichi.streams import streams
from evops.connectivity import sampler
from evops.connectivity.format import DenseBlocks, GeometricGaps, MatrixSpec, UniformGaps
from evops.connectivity.rule import Rule
from evops.connectivity.rules import FixedProbability, LfsrGaps
from evops.connectivity.schemes import check_rule
from evops.delays import DelayBuffer, DelayedNetwork, check_buffer
from evops.engine import library, ops, ring
from evops.engine.compat import Tracer
from evops.engine.populations import PopulationGrid
from evops.errors import check_integer, check_static, shown
from evops.inputs import Nested, Seed
from evops.leaves import dtype_of
from evops.sealed import sealed


@jax.tree_util.register_pytree_with_keys_class
class MultiAreaProjection(DelayedNetwork):
    """Random synapses from all populations of all areas to all populations of all areas.

    Each pair of a source and a target population has its own random matrix: the same rule, one
    weight, one random stream. Pairs of zero weight cost nothing. A spike is handled once, when it
    occurs: its weight is added at every target, to the slot of its arrival. Without autapses
    (``FixedProbability(p, autapses=False)``) no neuron connects to itself. Nothing is dropped
    between different neurons.

    Neurons of one side have the shape `(areas, neurons of an area)`. An area has its populations
    one after another: 1600 excitatory and 400 inhibitory neurons give `(areas, 2000)`.

    `buffer` makes a `DelayBuffer`. A step is `push` and then `pop`, or ``W(spikes, buffer)``, which
    is both. Events are 0 or 1 here; in a `Circuit` they are any number.

    Args:
        rule: a probability, ``FixedProbability`` or ``LfsrGaps`` (always with hashed rows).
        weight: `(A_pre, P_pre, A_post, P_post)`, source area and population, target area and
            population. A side given as one number has no P axis: with ``pre=1600, post=1600`` the
            shape is `(A_pre, A_post)`. Float, any unit.
        delay: in steps. One integer; or one per pair, in the shape of `weight` or as
            `(A_pre, A_post)`; or one per source neuron and target area, `(A_pre, N_pre, A_post)`.
        pre: neurons of each population of a source area, a number or a tuple of numbers.
        post: the same for a target area.
        seed: integer of up to 64 bits or JAX key; the stream of every pair is derived from it.
        max_delay: longest delay that the buffer holds, in steps; the largest of `delay` by default.
        backend: "native", "jnp" or None for the fastest there is.

    Raises:
        ValueError: shapes that do not fit, probabilities, delays or sizes outside their range, NaN.
        TypeError: traced, complex or non-numeric arguments.

    Example:
        >>> import jax.numpy as jnp, evops
        >>> W = evops.MultiAreaProjection(0.1, jnp.ones((2, 2)), 3, pre=100, post=50, seed=42)
        >>> buffer = W.buffer()
        >>> spikes = jnp.zeros((2, 100), bool).at[0, 7].set(True)
        >>> current, buffer = W(spikes, buffer)   # this step's input; the spike arrives in 3 steps
        >>> current.shape
        (2, 50)
    """

    _weight_leaf = "weight"
    _leaves = _children = ("weight", "keys", "delay")
    _constants = ("_static",)
    weight: Float[Array, "sources targets"]
    keys: UInt32[Array, "sources targets 2"] = sealed(np.uint32, axes=3)
    delay: Int[Array, "rows columns"] = sealed(np.int32, axes=2)
    _static: "_Static"

    def __init__(
        self,
        rule: Rule | SupportsFloat,
        weight: Shaped[Any, "..."] | Nested,
        delay: Shaped[Any, "..."] | SupportsIndex | Nested,
        *,
        pre: SupportsIndex | tuple[SupportsIndex, ...],
        post: SupportsIndex | tuple[SupportsIndex, ...],
        seed: Seed,
        max_delay: SupportsIndex | None = None,
        backend: str | None = None,
    ):
        rule = _rule(rule)
        pre_sizes, post_sizes = _populations("pre", pre), _populations("post", post)
        w = inputs.numbers("weight", weight)
        if not jnp.issubdtype(w.dtype, jnp.floating):
            w = w.astype(jnp.float32)
        axes = 2 + isinstance(pre, tuple) + isinstance(post, tuple)
        if w.ndim != axes:
            raise ValueError(
                f"weight must have {axes} axes for pre={pre}, post={post}, got {w.shape}"
            )
        if 0 in w.shape:
            raise ValueError(f"weight must have one area at least on each side, got {w.shape}")
        pre_areas, post_areas = w.shape[0], w.shape[1 + isinstance(pre, tuple)]
        sides = (_Side(pre_areas, pre_sizes), _Side(post_areas, post_sizes))
        check_rule(rule, (max(pre_sizes), max(post_sizes)), _RULES)
        full = (pre_areas, len(pre_sizes), post_areas, len(post_sizes))
        wanted = tuple(
            n
            for n, kept in zip(
                full, (1, isinstance(pre, tuple), 1, isinstance(post, tuple)), strict=True
            )
            if kept
        )
        if w.shape != wanted:
            raise ValueError(f"weight must have shape {wanted}, got {w.shape}")
        if not isinstance(w, Tracer) and bool(jnp.isnan(w).any()):
            raise ValueError("weight must not be NaN")
        steps, largest, per_neuron = _delays(delay, wanted, sides)
        longest = largest if max_delay is None else check_integer("max_delay", max_delay, 0)
        if largest > longest:
            raise ValueError(f"delay must be at most max_delay = {longest} steps, got {largest}")
        check_integer("slots times postsynaptic neurons", (longest + 1) * sides[1].n, 1)
        keys = _keys(rule, seed, sides[0].blocks, sides[1].blocks, max(pre_sizes))
        dtype = ops.accumulator(w.dtype)
        by_target = w.reshape(full).transpose(_Side.by_population)
        self.weight = by_target.reshape(sides[0].blocks, -1).astype(dtype)
        self.keys = keys
        self.delay = jnp.asarray(steps)
        library.choose(backend)  # raises where there is none of that name
        grid = _grid(*sides, per_neuron, _loops(rule, *sides))
        self._static = _Static(rule, *sides, grid, longest, backend)

    def __repr__(self) -> str:
        s = self._static
        return (
            f"MultiAreaProjection({s.pre.areas} areas of {s.pre.sizes} to {s.post.areas} areas of "
            f"{s.post.sizes}, {s.rule}, max_delay={s.max_delay}, backend={s.backend!r})"
        )

    def _axes(self) -> Iterator[tuple[str, Any, int]]:
        yield "weight", self.weight, 2

    @property
    def max_delay(self) -> int:
        return self._static.max_delay

    @property
    def _post_shape(self) -> tuple[int, int]:
        return self._static.post.areas, self._static.post.per_area

    @property
    def _own_backend(self) -> str | None:
        return self._static.backend

    @property
    def _wide(self) -> bool:
        return dtype_of(self.weight) == np.float64

    def push(self, spikes: Shaped[Any, "A_pre N_pre"] | Nested, buffer: DelayBuffer) -> DelayBuffer:
        """The buffer after this step's spikes: their input is added at the time of its arrival.

        Events are 0 or 1 in a `MultiAreaProjection`: any value but 0 and NaN is one spike. In a
        `Circuit` and a `Projection` they are any number, by which weights are multiplied.

        Args:
            spikes: `(A_pre, N_pre)`, bool, integer or float; zeros cost nothing.
            buffer: of the post neurons, `(A_post, N_post)` one area after another.

        Raises:
            ValueError: spikes of another shape, a buffer with too few neurons or slots.
            TypeError: no buffer, or one of integers.
        """
        pre, post = self._static.pre, self._static.post
        x = inputs.events("spikes", spikes, ("A_pre", "N_pre"), (pre.areas, pre.per_area))
        check_buffer(buffer)
        buffer.check(post.n, self.max_delay, weights=self.weight.dtype)
        if x.dtype != bool:
            x = x.astype(buffer.sums.dtype)
        sums = ring.push(
            buffer.sums,
            x.reshape(-1),
            self.weight[..., None].astype(buffer.sums.dtype),
            self.keys,
            self.delay,
            buffer.step,
            (
                jnp.asarray(self._static.rule.table),
                jnp.zeros(0, jnp.int32),
                jnp.zeros(0, jnp.uint32),
            ),
            grid=self._static.grid,
            specs=self._static.specs,
            backend=library.choose(self._static.backend),
        )
        return buffer.with_sums(sums)


@dataclasses.dataclass(frozen=True)
class _Side:
    """The populations of one side: areas, each with populations of these sizes in a row."""

    areas: int
    sizes: tuple[int, ...]

    # Axes of (A_pre, P_pre, A_post, P_post) that order targets by population, then by area: rows of
    # equal length then share a SIMD group.
    by_population = (0, 1, 3, 2)

    @property
    def per_area(self) -> int:
        """Neurons of an area."""
        return sum(self.sizes)

    @property
    def n(self) -> int:
        """Neurons of all areas."""
        return self.areas * self.per_area

    @property
    def blocks(self) -> int:
        """Populations of all areas."""
        return self.areas * len(self.sizes)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First neuron in an area and number of neurons of each population."""
        return list(zip(itertools.accumulate((0, *self.sizes[:-1])), self.sizes, strict=True))

    def offsets(self, by_population: bool) -> tuple[int, ...]:
        """First neuron of every population, in order of areas or of populations."""
        inside = np.cumsum((0, *self.sizes[:-1]))
        start = np.arange(self.areas)[:, None] * self.per_area + inside
        return tuple(int(o) for o in (start.T if by_population else start).reshape(-1))


@dataclasses.dataclass(frozen=True)
class _Static:
    """Everything that is known when a projection is compiled."""

    rule: FixedProbability | LfsrGaps
    pre: _Side
    post: _Side
    grid: PopulationGrid
    max_delay: int
    backend: str | None

    @property
    def specs(self) -> tuple[MatrixSpec, ...]:
        """Specs of the matrices: between different neurons, then between the same."""
        scheme = self.rule.scheme((self.pre.n, self.post.n))
        same = MatrixSpec(scheme)
        if not self.grid.spec_of_pair:
            return (same,)
        return MatrixSpec(dataclasses.replace(scheme, exclude_autapses=False)), same


_RULES = GeometricGaps, DenseBlocks, UniformGaps


def _rule(rule: Any) -> FixedProbability | LfsrGaps:
    if isinstance(rule, LfsrGaps):
        inputs.warn_of_density(rule)
        return LfsrGaps(rule.p, hashed=True)
    if isinstance(rule, FixedProbability):
        return rule
    if isinstance(rule, Rule):
        raise TypeError(
            f"rule must be a probability, FixedProbability or LfsrGaps, got {shown(rule)}"
        )
    try:
        return FixedProbability(rule)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("p must", "rule must", 1)) from None


def _loops(rule: Rule, pre: _Side, post: _Side) -> tuple[int, ...]:
    """Spec of every pair of blocks: 1 where neurons meet themselves and autapses are left out.

    Neurons are the same where their area and their place in it are. Empty with autapses.
    """
    if not rule.scheme((pre.n, post.n)).exclude_autapses:
        return ()
    same = np.zeros((pre.areas, len(pre.sizes), len(post.sizes), post.areas), np.int64)
    for (p, (a, n)), (q, (b, m)) in itertools.product(enumerate(pre.spans), enumerate(post.spans)):
        if a != b and a < b + m and b < a + n:
            raise ValueError(
                f"rule: without autapses the populations of pre and post must begin together where "
                f"they share neurons, got pre={pre.sizes} and post={post.sizes}"
            )
        if a == b:
            for area in range(min(pre.areas, post.areas)):
                same[area, p, q, area] = 1
    return tuple(same.ravel().tolist())


def _keys(rule: Rule, seed: Any, sources: int, targets: int, lines: int) -> jax.Array:
    """Key words of every pair of blocks, or its seed and 0 in the published scheme."""
    number, pairs = _seed(seed), sources * targets
    if isinstance(rule, LfsrGaps):
        seeds = streams(number, pairs, lines)
        words = seeds, np.zeros_like(seeds)
    else:
        zero = np.zeros(pairs, np.uint32)
        seed_words = (zero + np.uint32(number & 0xFFFFFFFF), zero + np.uint32(number >> 32))
        key = sampler.feistel(*seed_words, zero, zero)
        words = sampler.feistel(np.arange(pairs, dtype=np.uint32), zero, *key)
    return jnp.asarray(np.stack(words, -1).reshape(sources, targets, 2))


def _grid(pre: _Side, post: _Side, per_neuron: bool, spec_of_pair: tuple) -> PopulationGrid:
    """The populations of the primitive: sources by area, targets by population."""
    return PopulationGrid(
        n_pre=pre.n,
        pre_offset=pre.offsets(by_population=False),
        pre_size=pre.sizes * pre.areas,
        post_offset=post.offsets(by_population=True),
        post_size=tuple(n for n in post.sizes for _ in range(post.areas)),
        delay_column=tuple(range(post.areas)) * len(post.sizes) if per_neuron else (),
        spec_of_pair=spec_of_pair,
    )


def _populations(name: str, sizes: Any) -> tuple[int, ...]:
    check_static(name, sizes)
    if isinstance(sizes, tuple):
        if not sizes:
            raise ValueError(f"{name} must name at least one population, got ()")
        return tuple(check_integer(f"{name}[{i}]", n, 1) for i, n in enumerate(sizes))
    if isinstance(sizes, list) or getattr(sizes, "ndim", 0):
        raise TypeError(f"{name} must be an integer, or a tuple of integers, got {shown(sizes)}")
    return (check_integer(name, sizes, 1),)


def _seed(seed: Any) -> int:
    """A 64-bit integer of an int or a JAX key."""
    check_static("seed", seed)
    low, high = np.asarray(inputs.seed_words("seed", seed)).tolist()
    return low | high << 32


def _delays(
    delay: Any, weight_shape: tuple[int, ...], sides: tuple[_Side, _Side]
) -> tuple[np.ndarray, int, bool]:
    """Delays as the primitive takes them, the largest, and whether they are one per neuron."""
    check_static("delay", delay)
    steps = inputs.host("delay", delay)
    if steps.dtype.kind not in "iuO":
        raise TypeError(f"delay must be integers (steps), got dtype {steps.dtype}")
    if steps.size == 0 or steps.min() < 0 or steps.max() > 2**31 - 2:
        raise ValueError(f"delay must be from 0 to {2**31 - 2} steps, got {shown(delay)}")
    pre, post = sides
    largest, steps = int(steps.max()), steps.astype(np.int32)
    full = (pre.areas, len(pre.sizes), post.areas, len(post.sizes))
    pairs = (pre.areas, post.areas)
    if steps.shape == (pre.areas, pre.per_area, post.areas) and steps.shape != weight_shape:
        return steps.reshape(pre.n, post.areas), largest, True
    if steps.ndim == 0:
        steps = np.broadcast_to(steps, full)
    elif steps.shape == weight_shape:
        steps = steps.reshape(full)
    elif steps.shape == pairs:
        steps = np.broadcast_to(steps[:, None, :, None], full)
    else:
        raise ValueError(
            f"delay must be one integer or have shape {weight_shape}, {pairs} or "
            f"{(pre.areas, pre.per_area, post.areas)}, got {steps.shape}"
        )
    return steps.transpose(_Side.by_population).reshape(pre.blocks, -1).copy(), largest, False
