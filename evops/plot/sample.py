"""What of a matrix is drawn: a sample of its synapses, read from some of its pre neurons."""

import dataclasses
from collections.abc import Callable
from typing import Any, SupportsIndex

import numpy as np

from evops import synapse_lists
from evops.csc import CSC
from evops.csr import CSR
from evops.edges import Edges
from evops.errors import check_integer
from evops.projection import Projection
from evops.weighted import WeightedProjection

SYNAPSES_READ = 250_000
NEURONS_READ = 200
Matrix = Projection | WeightedProjection | CSR | CSC


def matrix(value: Any) -> Any:
    """`value`, where it is a matrix of synapses; a `CSC` by rows.

    Raises:
        TypeError: it is none.
    """
    found = value.csr if isinstance(value, CSC) else value
    if not isinstance(found, Projection | WeightedProjection | CSR):
        raise TypeError(
            f"W must be an evops.Projection, WeightedProjection or CSR, got {type(value).__name__}"
        )
    return found


def rule_of(W: Any) -> Any:
    """The rule of a drawn matrix; None of a stored one."""
    return getattr(getattr(W, "projection", W), "rule", None)


def size(W: Any) -> float:
    """The number of synapses; of a `Projection` the expected one."""
    if isinstance(W, Projection):
        return W.rule.expected_synapses(W.shape)
    return float(W.nnz)


def neurons_read(W: Any, rng: np.random.Generator, most: float = np.inf) -> np.ndarray:
    """Pre neurons whose synapses are read, in order: at most `most`, where a matrix is large."""
    n_pre, synapses = W.shape[0], size(W)
    if synapses <= SYNAPSES_READ and n_pre <= most:
        return np.arange(n_pre)
    read = SYNAPSES_READ * n_pre / max(synapses, 1)
    few = int(min(n_pre, most, max(1, min(NEURONS_READ, read))))
    # One of each of so many equal ranges, so that no part of the population is left out.
    bounds = np.arange(few + 1) * n_pre // few
    return rng.integers(bounds[:-1], bounds[1:])


def edges_of(W: Any, neurons: np.ndarray) -> Edges:
    """The synapses of these pre neurons, on the host.

    A small matrix is listed whole: native kernels do that, and XLA compiles no program for it.
    """
    if size(W) > SYNAPSES_READ:
        return _each(W.edges(neurons), np.asarray)
    whole = _each(W.edges(), np.asarray)
    kept = np.isin(whole.pre, neurons)
    return whole if kept.all() else _each(whole, lambda column: column[kept])


@dataclasses.dataclass(frozen=True)
class Sample:
    """Synapses that were read, on the host.

    Attributes:
        edges: arrays of pre neurons, post neurons, weights and delays (or None).
        neurons: pre neurons that were read.
        text: which share of the matrix they are; empty where they are all.
    """

    edges: Edges
    neurons: np.ndarray
    text: str


def read(W: Any, neurons: Any, most: int | None, seed: SupportsIndex) -> Sample:
    """Synapses of these pre neurons, or of some if None; at most `most` of them if it is given."""
    rng = np.random.default_rng(check_integer("seed", seed, 0))
    chosen = neurons is not None
    if chosen:
        some = synapse_lists.neurons("neurons", np.atleast_1d(neurons), W.shape[0])
    else:
        some = neurons_read(W, rng)
    whole = not chosen and some.size == W.shape[0]
    edges = edges_of(W, some)
    found = edges.pre.size
    shown = found if most is None else min(found, most)
    if shown < found:
        kept = np.sort(rng.choice(found, shown, replace=False))
        edges = _each(edges, lambda column: column[kept])
    return Sample(edges, some, _share(W, shown, found, some, whole=whole, chosen=chosen))


def _each(edges: Edges, of: Callable[[Any], Any]) -> Edges:
    columns: Any = (None if column is None else of(column) for column in edges)
    return Edges(*columns)


def _share(W: Any, shown: int, found: int, some: np.ndarray, *, whole: bool, chosen: bool) -> str:
    if whole:
        return "" if shown == found else f"{shown:,} of {found:,} synapses"
    if chosen:
        of = f"pre neuron {some[0]}" if some.size == 1 else f"{some.size:,} pre neurons"
        return of if shown == found else f"{of}: {shown:,} of {found:,} synapses"
    return f"{shown:,} of {number(W)} synapses, from {some.size:,} of {W.shape[0]:,} pre neurons"


def number(W: Any) -> str:
    """The number of synapses in words: about how many, where they are not counted."""
    synapses = round(size(W))
    if not isinstance(W, Projection):
        return f"{synapses:,}"
    step = 10 ** max(len(str(synapses)) - 3, 0)
    return f"about {round(synapses / step) * step:,}"
