"""One table of operators for the tests of every transform."""

import dataclasses
from collections.abc import Callable

import numpy as np

import evops
import oracle

P = 0.1


@dataclasses.dataclass(frozen=True)
class Case:
    """An operator as ``call(events, weight, seed, backend)`` and its dense counterpart.

    ``dense(weight, seed)`` is the (outputs, inputs) matrix for flattened events and outputs.
    """

    name: str
    events: tuple[int, ...]
    weight: tuple[int, ...]
    seed: tuple[int, ...]
    call: Callable
    dense: Callable

    def __str__(self):
        return self.name

    def draw(self, rng, rate=0.3):
        """Random events (0 and 1, float32), weights and seeds."""
        events = (rng.random(self.events) < rate).astype(np.float32)
        weight = rng.normal(size=self.weight).astype(np.float32)
        seed = rng.integers(0, 2**31 - 1, self.seed).astype(np.int32)
        return events, weight, seed


def _homo(shape, transpose, outdim_parallel):
    flags = {"shape": shape, "transpose": transpose, "outdim_parallel": outdim_parallel}

    def call(events, weight, seed, backend=None):
        return evops.event_mv_prob_homo(events, weight, P, seed, **flags, backend=backend)

    def dense(weight, seed):
        return oracle.matrix(shape, P, int(seed), transpose, outdim_parallel) * weight

    n_in = shape[0] if transpose else shape[1]
    name = f"homo{'_t' if transpose else ''}{'_parallel' if outdim_parallel else ''}"
    return Case(name, (n_in,), (), (), call, dense)


def _multi_area(kind, areas, shape):
    operator = getattr(evops, f"multi_area_event_mv_prob_homo_{kind}")

    def call(events, weight, seed, backend=None):
        return operator(events, weight, seed, P, shape=shape, area_num=areas, backend=backend)

    def dense_e(weight, seed):
        blocks = [w * oracle.lines(int(s), *shape, P).T for w, s in zip(weight, seed, strict=True)]
        return np.concatenate(blocks)

    def dense_i(weight, seed):
        out = np.zeros((areas, shape[1], areas, shape[0]))
        for a, s in enumerate(seed):
            out[a, :, a] = weight * oracle.lines(int(s), *shape, P).T
        return out.reshape(areas * shape[1], areas * shape[0])

    if kind == "E":
        return Case("area_E", (shape[0],), (areas,), (areas,), call, dense_e)
    return Case("area_I", (areas, shape[0]), (), (areas,), call, dense_i)


CASES = [
    *(_homo((40, 60), t, o) for t in (False, True) for o in (False, True)),
    _multi_area("E", 3, (40, 50)),
    _multi_area("I", 3, (40, 50)),
]
