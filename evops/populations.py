"""Named populations inside one index range."""

from collections.abc import Mapping
from typing import SupportsIndex

import numpy as np

from evops.errors import check_integer, shown
from evops.leaves import Fixed
from evops.space.positions import Positions


class Populations(Fixed):
    """Populations one after another in one range of neurons, without overlap or gap.

    Args:
        sizes: number of neurons of each, or their `Positions`, by name, in their order.

    Attributes:
        n: all neurons.
        names: the populations, in their order.

    Raises:
        ValueError: no population, or a size outside 1 … 2**31 - 1.
        TypeError: a size that is no integer and no `Positions`, a name that is not a string.

    Example:
        >>> import evops
        >>> p = evops.Populations({"E": 3200, "I": 800})
        >>> p.n, p.slice("I")
        (4000, slice(3200, 4000, None))
        >>> p = evops.Populations({"E": evops.Grid((60, 60), periodic=True), "I": 900})
        >>> p.sides("E", "I")
        (Grid((60, 60), periodic=(True, True)), 900)
    """

    n: int
    _sizes: dict[str, int]
    _offsets: dict[str, int]
    _places: dict[str, Positions]

    def __init__(self, sizes: Mapping[str, SupportsIndex | Positions]):
        if not isinstance(sizes, Mapping) or not sizes:
            raise ValueError(f"sizes must map names to numbers of neurons, got {shown(sizes)}")
        for name in sizes:
            if not isinstance(name, str):
                raise TypeError(f"names of populations must be strings, got {shown(name)}")
        self._places = {k: v for k, v in sizes.items() if isinstance(v, Positions)}
        numbers = {k: len(v) if isinstance(v, Positions) else v for k, v in sizes.items()}
        self._sizes = {k: check_integer(f"sizes[{k!r}]", v, 1) for k, v in numbers.items()}
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
            raise TypeError(f"ranges must map names to (first, end), got {shown(ranges)}")
        spans = {}
        for name, span in ranges.items():
            if not isinstance(span, (tuple, list)) or len(span) != 2:
                raise TypeError(f"ranges[{name!r}] must be a pair (first, end), got {shown(span)}")
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

    def positions(self, name: str) -> Positions:
        """Positions of the neurons of one population, of which they were given."""
        if self._known(name) not in self._places:
            raise ValueError(f"population {name!r} has no positions: only their number was given")
        return self._places[name]

    def sides(self, source: str, target: str) -> tuple[int | Positions, int | Positions]:
        """The `shape` of a matrix between two populations: their positions, or their numbers."""
        first, second = (self._places.get(self._known(k), self._sizes[k]) for k in (source, target))
        return first, second

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
        return f"Populations({self._sizes | self._places})"

    def _values(self) -> tuple:
        return tuple((self._sizes | self._places).items())

    def __eq__(self, other: object) -> bool:
        """Same names, sizes and positions in the same order."""
        return isinstance(other, Populations) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())
