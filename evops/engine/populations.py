"""Pre and post neurons cut into populations: a static parameter of the ring's primitives."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class PopulationGrid:
    """Pre and post neurons cut into populations, one random matrix for each pair of populations.

    Pairs come row by row, a row for each pre population. Tuples, since a parameter of a primitive
    must be hashable.

    Attributes:
        n_pre: entries of the spikes.
        pre_offset: first neuron of each pre population.
        pre_size: neurons of each pre population.
        post_offset: first neuron of each post population.
        post_size: neurons of each post population.
        delay_column: empty where delays are one per pair; else, for each post population, its
            column of a per-neuron delay array.
        spec_of_pair: which `MatrixSpec` draws each pair, -1 for none; empty if one draws all.
        indptr_offset: where the row counts of each pair's matrix begin in the table, if they do.
    """

    n_pre: int
    pre_offset: tuple[int, ...]
    pre_size: tuple[int, ...]
    post_offset: tuple[int, ...]
    post_size: tuple[int, ...]
    delay_column: tuple[int, ...] = ()
    spec_of_pair: tuple[int, ...] = ()
    indptr_offset: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of pre and post populations."""
        return len(self.pre_size), len(self.post_size)

    def specs(self) -> np.ndarray:
        """`spec_of_pair`, (S, T) int32: a row for each pre population; 0 where it is empty."""
        return self._grid(self.spec_of_pair)

    def indptr_offsets(self) -> np.ndarray:
        """`indptr_offset`, (S, T) int32; 0 where it is empty."""
        return self._grid(self.indptr_offset)

    def _grid(self, values: Sequence[int]) -> np.ndarray:
        return np.array(values or np.zeros(self.shape), np.int32).reshape(self.shape)

    def select(self, rows: np.ndarray, columns: np.ndarray) -> "PopulationGrid":
        """The grid of some pre and post populations, whose pairs are all drawn by one spec."""

        def of(values: tuple[int, ...], which: np.ndarray) -> tuple[int, ...]:
            return tuple(values[k] for k in which) if values else ()

        return PopulationGrid(
            self.n_pre,
            of(self.pre_offset, rows),
            of(self.pre_size, rows),
            of(self.post_offset, columns),
            of(self.post_size, columns),
            of(self.delay_column, columns),
            indptr_offset=tuple(self.indptr_offsets()[np.ix_(rows, columns)].reshape(-1).tolist()),
        )

    def _per_neuron(self, values: Iterable[Any]) -> np.ndarray:
        out = np.full(self.n_pre, -1, np.int32)  # populations need not cover all neurons
        for offset, size, value in zip(self.pre_offset, self.pre_size, values, strict=True):
            out[offset : offset + size] = value
        return out

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Population of every pre neuron and its index there, (n_pre,) int32; -1 for none."""
        return (
            self._per_neuron(range(len(self.pre_offset))),
            self._per_neuron([np.arange(size, dtype=np.int32) for size in self.pre_size]),
        )
