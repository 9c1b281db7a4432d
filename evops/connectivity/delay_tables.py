"""Delays in whole steps: a law becomes the alias table from which every reader draws."""

import dataclasses
import functools
import math
from typing import Any

import numpy as np
from jaxtyping import UInt32

from evops.connectivity import alias_tables
from evops.connectivity.format import MAX_DELAY_BITS
from evops.connectivity.laws import Constant, Law, Uniform
from evops.connectivity.normal_laws import Normal
from evops.connectivity.pair_laws import refuse_pair_law
from evops.errors import INT32_MAX, check_real, mantissa_and_unit, shown


@dataclasses.dataclass(frozen=True)
class DiscreteDelays:
    """Delays of ``shortest + k`` steps, k an outcome of the alias table `table` of 2**bits.

    One delay for all synapses needs no table; then `bits` is 0.

    Attributes:
        shortest: steps, at least 1.
        longest: steps.
        bits: log2 of the outcomes of the table; 0: none is drawn.
        table: (2**bits,) uint32, or empty.
    """

    shortest: int
    longest: int
    bits: int
    table: UInt32[np.ndarray, " outcomes"]


def known_law(name: str, value: Any) -> Law:
    """`value`, an argument of that name, as a law of known numbers; a number is a constant."""
    refuse_pair_law(name, value)
    if isinstance(value, Law):
        law = value
    elif isinstance(value, (str, list, tuple, dict)) or (
        mantissa_and_unit(value) is not None or np.ndim(value)
    ):
        raise TypeError(f"{name} must be a real number, got {shown(value)}; or a law")
    else:
        law = Constant(check_real(name, value))
    # Tables are made on the host, from Python floats: tracers are refused here.
    known = {}
    for field in dataclasses.fields(law):  # pyright: ignore[reportArgumentType]
        value = getattr(law, field.name)
        if field.init:
            known[field.name] = (
                None if value is None else check_real(f"{name}: {field.name}", value)
            )
    return type(law)(**known)


def delay_law(delay: Any) -> Law:
    """`delay` as a law of known numbers; a number stands for a constant.

    Args:
        delay: a law or a number, in steps.

    Raises:
        ValueError: parameters or delays out of range.
        TypeError: parameters that are no real numbers, or traced.
    """
    law = known_law("delay", delay)
    discretise(law)  # raises now, where the user's call is, and not when delays are first drawn
    return law


@functools.lru_cache(maxsize=256)
def discretise(law: Law) -> DiscreteDelays:
    """The delays of a law: its values rounded to whole steps; `Uniform` is uniform on whole steps.

    Halves are rounded up: step d has the probability of values from d - 1/2 to d + 1/2.

    Raises:
        ValueError: delays below one step or beyond 2**31 - 2, or more than 4096 different ones.
    """
    if isinstance(law, Uniform):
        first, last = math.ceil(law.low), math.floor(law.high)
        if last < first:
            raise ValueError(f"delay must contain a whole step, got {law}")
        # Longer ranges are refused below; until then nothing should be made as long as they are.
        last = min(last, first + (1 << MAX_DELAY_BITS))
        share = {d: 1 / (last - first + 1) for d in range(first, last + 1)}
    else:
        share = _rounded(law)
        first, last = min(share), max(share)
    if first < 1:
        hint = ": set low=0.5 or more" if isinstance(law, Normal) else ""
        raise ValueError(f"delay must be at least 1 step, got {law}: {first} steps{hint}")
    if last >= INT32_MAX:
        raise ValueError(f"delay must be at most {INT32_MAX - 1} steps, got {law}: {last} steps")
    if last - first >= 1 << MAX_DELAY_BITS:
        raise ValueError(
            f"delay must have at most {1 << MAX_DELAY_BITS} different values, "
            f"got {first} to {last} steps"
        )
    # Floats may differ in their last bits between platforms, so masses are rounded to 2**-24 first.
    # All are then integers that sum to 2**32: the largest takes the rest, where it shows least.
    mass = {d: round(share[d] * 2**24) << 8 for d in range(first, last + 1)}
    mass = {d: m for d, m in mass.items() if m > 0}
    first, last = min(mass), max(mass)
    mass[max(mass, key=mass.__getitem__)] += (1 << 32) - sum(mass.values())
    # After rounding, delays at the ends may have lost all mass, and one delay may be left.
    bits = (last - first).bit_length()
    if bits == 0:
        return DiscreteDelays(first, last, 0, np.zeros(0, np.uint32))
    masses = [mass.get(first + k, 0) for k in range(1 << bits)]
    return DiscreteDelays(first, last, bits, alias_tables.alias(masses, bits))


def _rounded(law: Law) -> dict[int, float]:
    """Probability of every whole step to which values of the law are rounded."""
    loc, scale = location_and_scale("delay", law)
    quantile = law.quantile()
    if quantile is None or scale == 0:
        whole = math.floor(loc + 0.5)
        # A constant must be whole, but for what dividing ms by the step leaves.
        if quantile is None and abs(loc - whole) > 1e-6:
            raise ValueError(f"delay must be a whole number of steps, got {law}")
        return {whole: 1.0}

    law.table()  # raises where the quantiles do not rise

    # The ends may be infinite. Half a word from them is where weights have their last knots, too.
    def value(u: float) -> float:
        return loc + scale * quantile(min(max(u, 2.0**-33), 1 - 2.0**-33))

    def below(x: float) -> float:
        low, high = 0.0, 1.0
        # Bisection: a law may have any quantile function, and no inverse. 60 halves of [0, 1] are
        # more than the bits of a double.
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if value(middle) <= x else (low, middle)
        return low

    if not math.isfinite(value(0.0)) or not math.isfinite(value(1.0)):
        raise ValueError(
            f"delay must be at most {INT32_MAX - 1} steps, got {law}: beyond any float"
        )
    first, last = math.floor(value(0.0) + 0.5), math.floor(value(1.0) + 0.5)
    if last - first >= 1 << (MAX_DELAY_BITS + 1):
        # Refused by the caller, which names the range; the bisections below would take long.
        return {first: 0.5, last: 0.5}
    edges = [0.0, *(below(d + 0.5) for d in range(first, last)), 1.0]
    return {first + k: edges[k + 1] - edges[k] for k in range(last - first + 1)}


def location_and_scale(what: str, law: Law) -> tuple[float, float]:
    """Location and scale of a law, checked, since the law may be a user's own.

    `what` is the argument that it is.
    """
    name, found = type(law).__name__, law.checked_loc_scale(f"{what}: ")
    try:
        loc, scale = (float(v) for v in found)
    except (TypeError, ValueError, OverflowError):
        message = f"{what}: loc_scale of {name} must return two numbers, got {shown(found)}"
        raise TypeError(message) from None
    if not (math.isfinite(loc) and math.isfinite(scale) and scale >= 0):
        raise ValueError(
            f"{what}: loc_scale of {name} must return a finite location and a finite scale from 0 "
            f"on, got {shown(found)}"
        )
    return loc, scale
