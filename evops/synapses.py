"""Stored synapses of any rule."""

from collections.abc import Iterable
from typing import SupportsFloat, SupportsIndex

import jax
import numpy as np

from evops import inputs
from evops.connectivity import stored_rules
from evops.connectivity.delay_tables import delay_law, discretise
from evops.connectivity.laws import Law
from evops.connectivity.rule import Rule, place
from evops.csr import CSR
from evops.engine import library, near, ops
from evops.engine.compat import Tracer
from evops.errors import check_integer, check_static
from evops.inputs import Seed
from evops.leaves import parts_of
from evops.projection import Projection, key_of
from evops.space.positions import Positions


def Synapses(
    rule: Rule,
    law: Law | SupportsFloat,
    shape: Iterable[SupportsIndex | Positions],
    *,
    seed: Seed,
    delay: Law | SupportsFloat | None = None,
    backend: str | None = None,
) -> CSR:
    """The synapses of a rule, drawn once and stored: a `CSR`.

    Rules that cannot be drawn again at each spike are made here: `FixedInDegree` and
    `FixedTotalNumber` without multapses or autapses, `FixedOutDegree` without autapses. For others
    it is ``Projection(…).tocsr()``. The synapses follow from rule, shape and seed alone; they are
    the same on every backend and with any number of threads.

    Args:
        rule: which pairs are connected.
        law: the weights, a law or a number.
        shape: ``(n_pre, n_post)``.
        seed: integer of up to 64 bits or JAX key, known.
        delay: delays in steps, a law or a number, or None.
        backend: as of `CSR`.

    Raises:
        ValueError: parameters out of range.
        TypeError: no rule or law, a traced seed or law.

    Example:
        >>> import evops
        >>> rule = evops.FixedInDegree(10, multapses=False, autapses=False)
        >>> S = evops.Synapses(rule, 0.5, (100, 100), seed=42, delay=15)
        >>> S.nnz, int(S.in_degree().min()), int(S.todense().max() / 0.5)
        (1000, 10, 1)
    """
    rule, shape = place(rule, shape)
    words = inputs.seed_words("seed", seed)
    if isinstance(words, Tracer):
        raise TypeError("seed must be known to store synapses: call Synapses outside jax.jit")
    for parameter in jax.tree.leaves(law) if isinstance(law, Law) else parts_of(law):
        check_static("law", parameter)
    words = np.asarray(key_of(np.asarray(words)))
    key = words[0], words[1]
    native = near.partners if library.choose(backend) == "native" else None
    found = rule.stored(shape, key, native)
    if found is None:
        return Projection(rule, law, shape, seed=seed, delay=delay, backend=backend).tocsr()
    pre, post, multapses = found
    check_integer("number of synapses", pre.size, 0)
    law, delays = inputs.law(law), None if delay is None else discretise(delay_law(delay))
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
