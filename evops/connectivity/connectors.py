"""Rules whose synapses one method lists: the base of users' own connectors and of graph models."""

import math
import reprlib
from typing import Any

import numpy as np

from evops.connectivity import format, stored_rules
from evops.connectivity.rule import Rule
from evops.errors import INT32_MAX

_METHODS = ("edges", "matrix")


class Connector(Rule):
    """Base of connectors of your own: one method says which neurons are connected.

    Write `edges` or `matrix` in a subclass. ``evops.Synapses(MyConnector(…), law, shape, seed=…,
    delay=…)`` stores what it returns as a `CSR`, which has every operator, structure and delay.
    BrainPy's word for the same is ``brainpy.connect.Connector``. What the method returns is checked
    once the synapses are made. An error of your own method passes through as it is.

    Raises:
        TypeError: a class that has neither method or both, when an object is made; a method that
            returns something else.
        ValueError: arrays of another shape, neurons out of range, negative numbers of synapses.

    Example:
        >>> import numpy as np, evops
        >>> class Mirrored(evops.Connector):
        ...     def edges(self, n_pre, n_post, seed):
        ...         pre = np.arange(n_pre)
        ...         return pre, n_post - 1 - pre
        >>> S = evops.Synapses(Mirrored(), 0.5, (3, 4), seed=1, delay=2)
        >>> [int(j) for j in S.indices], S.max_delay
        ([3, 2, 1], 2)
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> "Connector":
        """An object of a class that has one of the two methods."""
        del args, kwargs
        own = [name for name in _METHODS if getattr(cls, name) is not getattr(Connector, name)]
        if len(own) != 1:
            has = "both" if own else "neither"
            raise TypeError(
                f"{cls.__name__} must have one of the methods edges and matrix of a "
                f"evops.Connector, got {has}"
            )
        return super().__new__(cls)

    def __repr__(self) -> str:
        """The class alone: what a user's object holds may be of any size."""
        return f"{type(self).__name__}(…)"

    def edges(self, n_pre: int, n_post: int, seed: int) -> tuple[Any, Any]:
        """The synapses between so many neurons, for a subclass to define.

        Args:
            n_pre: number of pre neurons.
            n_post: number of post neurons.
            seed: from 0 to 2**63 - 1, other for other seeds of `Synapses`;
                ``np.random.default_rng(seed)`` takes it.

        Returns:
            A tuple of two vectors of integers of one length: the pre and the post neuron of every
            synapse, in any order. Pairs that repeat are several synapses.
        """
        raise NotImplementedError

    def matrix(self, n_pre: int, n_post: int, seed: int) -> Any:
        """The connection matrix between so many neurons, for a subclass to define.

        Args:
            n_pre: number of pre neurons.
            n_post: number of post neurons.
            seed: as of `edges`.

        Returns:
            A matrix `(n_pre, n_post)` of bools, or of integers, which are numbers of synapses: an
            array, nested lists, or a sparse matrix of scipy.
        """
        raise NotImplementedError

    def stored(
        self, shape: tuple[int, int], words: stored_rules.Words, partners: Any = None
    ) -> tuple[np.ndarray, np.ndarray, bool] | None:
        """What the method returns, checked and in the order of pre neurons."""
        del partners
        seed = int(words[0]) | (int(words[1]) & 0x7FFFFFFF) << 32
        listed = type(self).edges is not Connector.edges
        method = self.edges if listed else self.matrix
        read = _listed if listed else _entries
        pre, post = stored_rules.by_row(
            *read(f"{type(self).__name__}.{_METHODS[not listed]}", method(*shape, seed), shape)
        )
        pairs = np.sort(pre * shape[1] + post)
        return pre, post, bool((pairs[1:] == pairs[:-1]).any())

    def scheme(self, shape: tuple[int, int]) -> format.Scheme:
        del shape
        self.refuse_to_draw()

    def expected_synapses(self, shape: tuple[int, int]) -> float:
        """NaN: the number is not known before the synapses are made; a subclass may say it."""
        del shape
        return math.nan


def _listed(name: str, found: Any, shape: tuple[int, int]) -> stored_rules.Edges:
    """Pre and post neurons of what `edges` returned."""
    wanted = "a tuple of two vectors of integers, pre and post neurons"
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise TypeError(f"{name} must return {wanted}, got {_shown(found)}")
    sides = [_array(f"{name} must return {wanted}", part) for part in found]
    for side, part in zip(("pre", "post"), sides, strict=True):
        if part.ndim != 1:
            raise ValueError(f"{name} must return {wanted}, got shape {part.shape} of {side}")
        if part.size and part.dtype.kind not in "iu":
            raise TypeError(f"{name} must return {wanted}, got {part.dtype} of {side}")
    if sides[0].size != sides[1].size:
        raise ValueError(
            f"{name} must return as many pre as post neurons, got {sides[0].size} and "
            f"{sides[1].size}"
        )
    for side, part, n in zip(("pre", "post"), sides, shape, strict=True):
        for at in (part.argmin(), part.argmax()) if part.size else ():
            if not 0 <= part[at] < n:
                raise ValueError(
                    f"{name} must return {side} neurons from 0 to n_{side} - 1 = {n - 1}, got "
                    f"{part[at]} at {at}"
                )
    return sides[0].astype(np.int64), sides[1].astype(np.int64)


def _entries(name: str, found: Any, shape: tuple[int, int]) -> stored_rules.Edges:
    """Pre and post neurons of what `matrix` returned."""
    must = f"{name} must return a matrix (n_pre, n_post) = {shape} of bools or integers"
    sparse = hasattr(found, "tocoo")
    given: Any = found if sparse else _array(must, found)
    if tuple(given.shape) != shape:
        raise ValueError(f"{must}, got shape {tuple(given.shape)}")
    if given.dtype.kind not in "biu":
        raise TypeError(f"{must}, got {given.dtype}")
    if sparse:
        coo = given.tocoo()
        pre, post, number = coo.row, coo.col, coo.data
    else:
        pre, post = np.nonzero(given)
        number = given[pre, post]
    if number.size and number.min() < 0:
        at = number.argmin()
        raise ValueError(
            f"{must}, not negative, got {number[at]} at ({int(pre[at])}, {int(post[at])})"
        )
    total = number.sum(dtype=np.float64)
    if total > INT32_MAX:
        raise ValueError(f"{must}, at most {INT32_MAX} synapses, got {total:.0f}")
    number = number.astype(np.int64)
    pre, post = (np.repeat(side.astype(np.int64), number) for side in (pre, post))
    return pre, post


def _array(must: str, value: Any) -> np.ndarray:
    """`value` on the host."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # rows of different lengths, traced arrays, random keys
        raise TypeError(f"{must}, got {_shown(value)}") from None


def _shown(value: Any) -> str:
    """A short text of what was returned."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)} of {value.dtype}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}: {reprlib.repr(value)}"
    return reprlib.repr(value)
