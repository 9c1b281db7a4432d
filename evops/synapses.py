"""Stored synapses of any rule."""

from collections.abc import Iterable, Iterator
from typing import Any, SupportsFloat, SupportsIndex

import jax
import numpy as np

from evops import inputs
from evops.connectivity import stored_rules
from evops.connectivity.delay_tables import delay_law, discretise
from evops.connectivity.distance_laws import DistanceDelay
from evops.connectivity.laws import Law
from evops.connectivity.pair_laws import PairLaw, PairWeight
from evops.connectivity.rule import Rule, place
from evops.csr import CSR
from evops.engine import library, near, ops
from evops.engine.compat import Tracer
from evops.errors import check_integer, check_static
from evops.inputs import Seed
from evops.leaves import parts_of
from evops.projection import Projection, key_of
from evops.space.positions import Positions

# Synapses whose distances are computed at once.
_PIECE = 1 << 20


def Synapses(
    rule: Rule,
    law: Law | PairWeight | SupportsFloat,
    shape: Iterable[SupportsIndex | Positions],
    *,
    seed: Seed,
    delay: Law | DistanceDelay | SupportsFloat | None = None,
    backend: str | None = None,
) -> CSR:
    """The synapses of a rule, drawn once and stored: a `CSR`.

    Rules that cannot be drawn again at each spike are made here: `FixedInDegree` and
    `FixedTotalNumber` without multapses or autapses, `FixedOutDegree` without autapses. For others
    it is ``Projection(…).tocsr()``. Weights and delays may follow from both neurons, by
    `DistanceWeight`, `BlockWeight` and `DistanceDelay`. The synapses follow from rule, shape and
    seed alone; they are the same on every backend and with any number of threads.

    Args:
        rule: which pairs are connected.
        law: the weights: a law, a number, a `DistanceWeight` or a `BlockWeight`.
        shape: ``(n_pre, n_post)``; `Positions` in place of numbers where distances are needed.
        seed: integer of up to 64 bits or JAX key, known.
        delay: delays in steps: a law, a number, a `DistanceDelay`, or None.
        backend: as of `CSR`.

    Raises:
        ValueError: parameters out of range, numbers in place of positions.
        TypeError: no rule or law, a traced seed or law.

    Example:
        >>> import evops
        >>> rule = evops.FixedInDegree(10, multapses=False, autapses=False)
        >>> S = evops.Synapses(rule, 0.5, (100, 100), seed=42, delay=15)
        >>> S.nnz, int(S.in_degree().min()), int(S.todense().max() / 0.5)
        (1000, 10, 1)
    """
    sides = tuple(shape) if isinstance(shape, (tuple, list)) else ()
    rule, numbers = place(rule, shape)
    for name, value in (("law", law), ("delay", delay)):
        if isinstance(value, PairLaw):
            value.check(name, sides, numbers)
    words = inputs.seed_words("seed", seed)
    if isinstance(words, Tracer):
        raise TypeError("seed must be known to store synapses: call Synapses outside jax.jit")
    weight = law.law if isinstance(law, PairWeight) else law
    for parameter in jax.tree.leaves(weight) if isinstance(weight, Law) else parts_of(weight):
        check_static("law", parameter)
    weight, delays = inputs.law(weight), None
    if delay is not None and not isinstance(delay, DistanceDelay):
        delays = delay_law(delay)
    key = np.asarray(key_of(np.asarray(words)))
    rule = rule.settled(numbers, key)
    native = near.partners if library.choose(backend) == "native" else None
    found = rule.stored(numbers, (key[0], key[1]), native)
    if found is None:
        W = Projection(rule, weight, numbers, seed=seed, delay=delays, backend=backend).tocsr()
        ranked = rule.scheme(numbers).by_rank
    else:
        ranked = found[2]
        W = _stored(*found, weight, delays, numbers, (key[0], key[1]), backend)
    given = law if isinstance(law, PairWeight) else None
    after = delay if isinstance(delay, DistanceDelay) else None
    if given is None and after is None:
        return W
    return _of_pairs(W, given, after, sides, (key[0], key[1]), ranked, backend)


def _stored(
    pre: np.ndarray,
    post: np.ndarray,
    multapses: bool,
    law: Law,
    delay: Law | None,
    shape: tuple[int, int],
    key: stored_rules.Words,
    backend: str | None,
) -> CSR:
    """Synapses with the weights and delays that a reader would draw for them."""
    check_integer("number of synapses", pre.size, 0)
    delays = None if delay is None else discretise(delay)
    counter = post
    if multapses and (law.quantile() is not None or (delays and delays.bits)):
        counter = stored_rules.ranks(pre)
    weight = law.parameters(ops.accumulator(inputs.weight_dtype(law)))
    if law.quantile() is not None:
        z = stored_rules.variates(pre, counter, law.table()[0], key)
        weight = weight[0] + weight[1] * z.astype(weight.dtype)
    steps = None
    if delays is not None:
        steps = delays.shortest
        if delays.bits:
            drawn = stored_rules.drawn_delays(pre, counter, delays.table, delays.bits, key)
            steps = drawn + np.int32(delays.shortest)
    weight = weight.astype(inputs.weight_dtype(law))
    return CSR.from_edges(pre, post, weight, shape=shape, delay=steps, backend=backend)


def _of_pairs(
    W: CSR,
    law: PairWeight | None,
    delay: DistanceDelay | None,
    sides: tuple[Any, ...],
    key: stored_rules.Words,
    ranked: bool,
    backend: str | None,
) -> CSR:
    """The same synapses, with the weights and delays of their neurons."""
    indptr, post = np.asarray(W.indptr), np.asarray(W.indices)
    pre = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    weight, steps = W.data, W.delay
    if law is not None:
        weight = np.broadcast_to(np.asarray(weight), pre.shape).copy()
        for some in _pieces(pre.size):
            factor = law.factors(sides, pre[some], post[some])
            weight[some] = (weight[some] * factor).astype(weight.dtype)
    if delay is not None:
        steps = np.empty(pre.size, np.int32)
        counter = stored_rules.ranks(pre) if ranked else post
        for some in _pieces(pre.size):
            distance = sides[0].distances(pre[some], sides[1], post[some])
            steps[some] = delay.steps(distance, pre[some], counter[some], key)
    more = {"shape": W.shape, "delay": steps, "backend": backend}
    return CSR(weight, W.indices, W.indptr, **more)


def _pieces(size: int) -> Iterator[slice]:
    return (slice(first, first + _PIECE) for first in range(0, size, _PIECE))
