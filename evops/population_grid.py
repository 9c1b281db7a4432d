"""Projections placed into a grid of populations, and pushed together in few calls.

A row of the grid is a presynaptic population, a column a postsynaptic one, which may have several.
A cell holds the random matrix between the two, or none. One call pushes many cells: one by one,
those of the cortical microcircuit took 55 calls in every step.
"""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Num, Shaped, UInt32

from evops import inputs
from evops.connectivity.delay_tables import DiscreteDelays
from evops.connectivity.format import MatrixSpec, WeightLaw
from evops.connectivity.laws import Law
from evops.connectivity.rule import Rule
from evops.delays import DelayBuffer
from evops.engine import ring
from evops.engine.populations import PopulationGrid
from evops.inputs import Entries


@dataclasses.dataclass(frozen=True, eq=False)
class PlacedProjection:
    """A random matrix from one range of neurons to another, with delays.

    Attributes:
        pre: first neuron and number of neurons, among the spikes.
        post: first neuron and number of neurons, in the buffer.
        rule: which pairs of neurons are connected.
        law: the weights.
        delay: the delays, in steps.
        spec: how synapses are drawn; where its tables begin is set when projections are joined.
        key: words of the seed.
        indptr_offset: where the running counts of its rows begin among those of all projections.
        backend: "native" or "jnp".
    """

    pre: tuple[int, int]
    post: tuple[int, int]
    rule: Rule
    law: Law
    delay: DiscreteDelays
    spec: MatrixSpec
    key: UInt32[Array, "2"]
    indptr_offset: int
    backend: str

    @property
    def counted(self) -> bool:
        """Whether its table is an indptr, which follows from the seed."""
        return self.spec.counted

    @property
    def call(self) -> tuple:
        """Equal for projections that one call can push.

        A call has kernels for the braintaichi scheme with one law, or for all others. And it has
        one table, which joins those of rules, or is the indptr of counted ones.
        """
        law = self.spec.law if self.spec.published else None
        return self.backend, self.spec.published, law, self.counted

    def check(self, buffer: DelayBuffer, spikes: Any) -> None:
        """Raise where the buffer cannot hold what `spikes` cause."""
        post_offset, n = self.post
        types = {"weights": inputs.weight_dtype(self.law), "spikes": spikes.dtype}
        buffer.check(n, self.delay.longest, post_offset, **types)


def push(
    projections: Sequence[PlacedProjection],
    indptr: UInt32[Array, " m"],
    spikes: Entries,
    buffer: DelayBuffer,
) -> DelayBuffer:
    """The buffer with the input from `spikes` added, in one call for each kind of projection.

    Args:
        projections: the cells of the grid, in any order.
        indptr: running counts of the rows of all counted projections, one after another.
        spikes: of all pre neurons.
        buffer: its sums are those of all post neurons.

    Raises:
        ValueError: the buffer is too short for a delay, or has too few neurons.
        TypeError: the buffer's sums cannot hold weights or spikes.
    """
    sums, calls = buffer.sums, {}
    for projection in projections:
        projection.check(buffer, spikes)
        calls.setdefault(projection.call, []).append(projection)
    x = inputs.entries("spikes", spikes, sums.dtype)
    for of_call in calls.values():
        sums = _push(of_call, indptr, x, sums, buffer.step)
    return buffer.with_sums(sums)


def _push(
    projections: list[PlacedProjection],
    indptr: UInt32[Array, " m"],
    x: Entries,
    sums: Num[Array, "slots n_post"],
    step: Int32[Array, ""],
) -> Num[Array, "slots n_post"]:
    """`sums` with the input from projections of one call."""
    grid = _grid(projections)
    tables, specs, spec_of = _pack_tables(projections, indptr)
    weight, key = _dense_operands(projections, grid, sums.dtype)
    delay = grid.of_cells([p.delay.shortest for p in projections], empty=1)
    spec_of_cell = grid.of_cells(spec_of, empty=-1)
    indptr_offset = grid.of_cells(
        [p.indptr_offset if p.counted else 0 for p in projections], empty=0
    )
    # Empty where it says nothing: with one spec for all pairs backends need not group them.
    told_apart = len(specs) > 1 or -1 in spec_of_cell
    return ring.push(
        sums,
        x,
        weight,
        key,
        jnp.asarray(delay),
        step,
        tables,
        grid=PopulationGrid(
            x.shape[0],
            *(tuple(k) for side in (grid.pre, grid.post) for k in zip(*side, strict=True)),
            spec_of_pair=tuple(spec_of_cell.ravel().tolist()) if told_apart else (),
            indptr_offset=tuple(indptr_offset.ravel().tolist()) if indptr_offset.any() else (),
        ),
        specs=specs,
        backend=projections[0].backend,
    )


class _Grid(NamedTuple):
    """Populations of the two sides, and the cell of each projection.

    Attributes:
        pre: first neuron and size of every pre population.
        post: first neuron and size of every post population, once for each of its columns.
        cells: for each projection the index of its cell, row by row.
    """

    pre: list[tuple[int, int]]
    post: list[tuple[int, int]]
    cells: list[int]

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of pre and post populations."""
        return len(self.pre), len(self.post)

    def of_cells(self, values: list[int], empty: int) -> np.ndarray:
        """Values of projections by cell, (S, T) int32, and `empty` in cells without one."""
        out = np.full(self.shape, empty, np.int32)
        out.reshape(-1)[self.cells] = values
        return out


def _grid(projections: list[PlacedProjection]) -> _Grid:
    """The grid of these projections: populations in the order of their neurons.

    Of several projections of one pair each has a column of its own.
    """
    before = collections.Counter()
    columns = []
    for p in projections:
        columns.append((p.post, before[p.pre, p.post]))
        before[p.pre, p.post] += 1
    pre, post = sorted({p.pre for p in projections}), sorted(set(columns))
    cells = [
        pre.index(p.pre) * len(post) + post.index(column)
        for p, column in zip(projections, columns, strict=True)
    ]
    return _Grid(pre, [population for population, _ in post], cells)


def _pack_tables(
    projections: list[PlacedProjection], indptr: UInt32[Array, " m"]
) -> tuple[tuple[Array, Array, Array], tuple[MatrixSpec, ...], list[int]]:
    """Tables of rules, laws and delays, the specs that read them, and each projection's spec.

    Projections whose specs differ in expected synapses alone share one, which has their mean. That
    number is only a hint for the split over threads, and readers go through the grid spec by spec.
    """
    rules, laws, delays = _Joined(np.uint32), _Joined(np.int32), _Joined(np.uint32)
    counted = projections[0].counted
    per_row: dict[MatrixSpec, list[int]] = {}
    each = []
    for p in projections:
        varied = p.spec.law == WeightLaw.QUANTILES
        spec = dataclasses.replace(
            p.spec,
            synapses_per_row=0,
            table_offset=0 if counted else rules.place(p.rule.table),
            quantiles_offset=laws.place(p.law.table()[0]) if varied else 0,
            delays_offset=delays.place(p.delay.table) if p.spec.delay_bits else 0,
        )
        per_row.setdefault(spec, []).append(p.spec.synapses_per_row)
        each.append(list(per_row).index(spec))
    specs = tuple(
        dataclasses.replace(spec, synapses_per_row=round(sum(synapses) / len(synapses)))
        for spec, synapses in per_row.items()
    )
    return (indptr if counted else rules.array(), laws.array(), delays.array()), specs, each


def _dense_operands(
    projections: list[PlacedProjection], grid: _Grid, dtype: Any
) -> tuple[Num[Array, "s t parameters"], UInt32[Array, "s t 2"]]:
    """Weight parameters `(S, T, 1 or 2)` and key words `(S, T, 2)` of every cell, 0 if empty."""
    # Laws of one parameter have a second of 0 beside others of two: their z is multiplied away.
    parameters = [p.law.parameters(dtype) for p in projections]
    most = max(map(len, parameters))
    weight = jnp.stack([w if len(w) == most else jnp.pad(w, (0, 1)) for w in parameters])
    key = jnp.stack([p.key for p in projections])
    size = grid.shape[0] * grid.shape[1]
    # A full grid in order, the usual case, is a reshape; others are put into zeros cell by cell.
    if grid.cells != list(range(size)):
        index = np.array(grid.cells)
        weight, key = (
            jnp.zeros((size, o.shape[1]), o.dtype).at[index].set(o) for o in (weight, key)
        )
    return weight.reshape(*grid.shape, most), key.reshape(*grid.shape, 2)


class _Joined:
    """Tables one after another, equal ones once: the same rule or law may stand in many cells."""

    def __init__(self, dtype: type[np.generic]):
        self._tables, self._places, self._size = [np.zeros(0, dtype)], {}, 0

    def place(self, table: np.ndarray) -> int:
        """Where a table begins; it is appended if it is new."""
        known = table.tobytes()
        if known not in self._places:
            self._places[known] = self._size
            self._tables.append(table)
            self._size += len(table)
        return self._places[known]

    def array(self) -> Shaped[Array, " m"]:
        """All tables in the order of their places; empty without any."""
        return jnp.asarray(np.concatenate(self._tables))
