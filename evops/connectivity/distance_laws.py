"""Weights and delays that follow from the distance between two neurons, for stored synapses."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from evops.connectivity import sampler, stored_rules
from evops.connectivity.delay_tables import known_law, location_and_scale
from evops.connectivity.laws import Law
from evops.connectivity.pair_laws import PairLaw, PairWeight, check_positions
from evops.connectivity.stored_rules import Words
from evops.errors import INT32_MAX, Real, check_size
from evops.space.kernels import Kernel, kernel_of


@dataclasses.dataclass(frozen=True)
class DistanceWeight(PairWeight):
    """A weight law: a function of distance times a weight drawn from another law.

    For `Synapses`, between `Positions`. The distance is that of the coordinates, the shorter way
    round on a periodic axis. Equivalents: a weight of ``spatial.distance`` (NEST), a string for
    ``S.w`` (Brian2).

    Args:
        kernel: a `Kernel`, or any function of distance, also with negative values.
        law: the other factor, a law or a number.

    Raises:
        ValueError: a law of distance in place of `law`, or one out of range.
        TypeError: `kernel` or `law` is of another type, or traced.

    Example:
        >>> import evops
        >>> x = evops.Grid(3)
        >>> law = evops.DistanceWeight(lambda d: 1 - d)
        >>> evops.Synapses(evops.AllToAll(), law, (x, x), seed=1).todense()[0].tolist()
        [1.0, 0.0, -1.0]
    """

    kernel: Kernel | Callable[[Any], Any]
    law: Law | Real = 1.0

    def __post_init__(self) -> None:
        kernel_of("kernel", self.kernel)
        known_law("law", self.law)

    def check(self, name: str, sides: tuple[Any, ...], shape: tuple[int, int]) -> None:
        del shape
        check_positions(name, self, sides)

    def factors(self, sides: tuple[Any, ...], pre: np.ndarray, post: np.ndarray) -> np.ndarray:
        """The function of each pair's distance: 0 where the kernel ends, by cut-off or mask."""
        kernel = kernel_of("kernel", self.kernel)
        by = sides[0].displacements(pre, sides[1], post)
        d = np.sqrt(np.square(by).sum(-1))
        value = np.where(d > kernel.bound(sides[0].axes), 0.0, kernel.value(d))
        if kernel.mask is not None:
            value[~kernel.mask.contains(by)] = 0.0
        if kernel.p_min:
            value[value <= kernel.p_min] = 0.0
        wrong = np.flatnonzero(~np.isfinite(value))
        if wrong.size:
            at = wrong[0]
            raise ValueError(f"{self} must be finite at every distance, got {value[at]} at {d[at]}")
        return value


@dataclasses.dataclass(frozen=True)
class DistanceDelay(PairLaw):
    """A delay law: conduction over the distance between two neurons, and an offset.

    A delay is ``(distance / speed + offset) / dt`` steps, rounded (halves up), and at least 1. For
    `Synapses`, between `Positions`. Equivalents: ``delay = offset + distance / speed`` (NEST,
    Brian2, PyNN).

    Args:
        speed: of conduction, above 0, in the unit of positions by the unit of time.
        dt: time step, above 0.
        offset: time at distance 0, from 0 on; or a law, such as `Normal`, from which every synapse
            draws its own.

    Raises:
        ValueError: a number outside its range.
        TypeError: one that is no real number, or is traced.

    Example:
        >>> import evops
        >>> x = evops.Grid(3, spacing=300)  # in µm
        >>> delay = evops.DistanceDelay(speed=300, dt=0.1, offset=0.5)  # µm/ms, ms
        >>> evops.Synapses(evops.OneToOne(), 1.0, (x, x[::-1]), seed=1, delay=delay).delay.tolist()
        [25, 5, 25]
    """

    speed: Real
    dt: Real = 1.0
    offset: Law | Real = 0.0

    def __post_init__(self) -> None:
        for name in ("speed", "dt"):
            object.__setattr__(self, name, check_size(name, getattr(self, name)))
        offset = known_law("offset", self.offset)
        location_and_scale("offset", offset)
        if not isinstance(self.offset, Law):
            check_size("offset", self.offset, zero=True)
        object.__setattr__(self, "offset", offset)

    def check(self, name: str, sides: tuple[Any, ...], shape: tuple[int, int]) -> None:
        del shape
        check_positions(name, self, sides)

    def steps(
        self, distance: np.ndarray, pre: np.ndarray, counter: np.ndarray, words: Words
    ) -> np.ndarray:
        """Delays of synapses of these distances, int32.

        Offsets are read from the words that delays have: those of the pre neuron, and `counter`.
        """
        assert isinstance(self.offset, Law)
        loc, scale = location_and_scale("offset", self.offset)
        time = distance / self.speed + loc
        if self.offset.quantile() is not None:
            table, unit = self.offset.table()
            z = stored_rules.variates(pre, counter, table, words, sampler.DELAY)
            time = time + scale * unit * z.astype(float)
        steps = np.maximum(np.floor(time / self.dt + 0.5), 1.0)
        if steps.size and steps.max() >= INT32_MAX:
            raise ValueError(
                f"delay must be at most {INT32_MAX - 1} steps, got {self}: {steps.max():.0f} steps"
            )
        return steps.astype(np.int32)
