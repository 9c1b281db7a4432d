"""A weight law times a number."""

from collections.abc import Callable
from typing import Any

import jax

from evops.connectivity.laws import Law, complete
from evops.errors import check_numbers


class Scaled(Law):
    """The weights of another law times one factor: what ``2 * W``, ``-W`` and ``W / 2`` have.

    Every synapse keeps its variate, so its weight is `factor` times what it was, up to rounding.

    Args:
        law: the law of the weights before.
        factor: a number, any unit; may be traced.

    Raises:
        TypeError: `law` is no weight law, `factor` no real number.
        ValueError: `factor` is not finite.

    Example:
        >>> import evops
        >>> evops.Scaled(evops.Normal(0.5, 0.1), -2).loc_scale()
        (-1.0, -0.2)
    """

    law: Any
    factor: Any

    def __post_init__(self) -> None:
        if type(self.law) is object:
            return  # jax's markers
        if not isinstance(self.law, Law):
            raise TypeError(f"law must be a weight law, got {self.law!r}")
        check_numbers("factor", self.factor)

    def loc_scale(self) -> tuple[Any, Any]:
        """Those of `law`, each times `factor`."""
        loc, scale = self.law.checked_loc_scale()
        with jax.numpy_dtype_promotion("standard"):
            return loc * self.factor, 0 if self.quantile() is None else scale * self.factor

    def quantile(self) -> Callable[[float], float] | None:
        return self.law.quantile()


complete(Scaled)


def scaled(law: Law, factor: Any) -> Scaled:
    """`law` times a factor, in one step where it has one already."""
    if isinstance(law, Scaled):
        return Scaled(law.law, law.factor * factor)
    return Scaled(law, factor)
