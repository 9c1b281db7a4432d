"""Random matrices between ranges of neurons, pushed together in one call of the primitive."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Num, UInt32

from evops import inputs
from evops.connectivity.format import MatrixSpec, WeightLaw
from evops.connectivity.laws import Law
from evops.connectivity.rules import Rule
from evops.connectivity.steps import Steps
from evops.delays import DelayBuffer
from evops.engine import ring


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """A random matrix from one range of neurons to another, with delays.

    Attributes:
        pre: first neuron and number of neurons.
        post: the same of the other side, in the buffer.
        rule: which pairs of neurons are connected.
        law: the weights.
        delay: the delays.
        spec: how synapses are drawn, without places of tables.
        key: words of the seed.
        starts_at: where the starts of its lines begin among those of all pairs.
        backend: "native" or "jnp".
    """

    pre: tuple[int, int]
    post: tuple[int, int]
    rule: Rule
    law: Law
    delay: Steps
    spec: MatrixSpec
    key: UInt32[Array, "2"]
    starts_at: int
    backend: str

    @property
    def call(self) -> tuple:
        """Equal for pairs that one call can push: the published scheme is walked for one law."""
        law = self.spec.law if self.spec.published else None
        return self.backend, self.spec.published, law, self.spec.counted

    def check(self, buffer: DelayBuffer, spikes: Any) -> None:
        """Raise where the buffer cannot hold what `spikes` cause."""
        buffer.check(self.post[1], self.delay.longest, self.post[0])
        dtype = buffer.sums.dtype
        for name, kind in (("weights", inputs.weight_dtype(self.law)), ("spikes", spikes.dtype)):
            if jnp.issubdtype(dtype, jnp.floating):
                break
            wide = name == "weights" and kind.itemsize > 4
            if wide or jnp.issubdtype(kind, jnp.floating):
                wanted = "float64" if wide else "float32"
                raise TypeError(
                    f"the buffer holds {dtype}, {name} are {kind}: make it with dtype={wanted}"
                )


def push(
    pairs: Sequence[Pair],
    starts: UInt32[Array, " m"],
    spikes: Bool[Array, " n"] | Num[Array, " n"],
    buffer: DelayBuffer,
) -> DelayBuffer:
    """The buffer with what `spikes` cause added, in as few calls as there are kinds of pairs."""
    sums, calls = buffer.sums, {}
    for pair in pairs:
        pair.check(buffer, spikes)
        calls.setdefault(pair.call, []).append(pair)
    x = spikes if spikes.dtype == bool else inputs.cast("spikes", spikes, sums.dtype)
    for of_call in calls.values():
        sums = _push(of_call, starts, x, sums, buffer.step)
    return buffer.with_sums(sums)


def _push(pairs: list[Pair], starts, x, sums, step):
    pre, post = (sorted({getattr(p, side) for p in pairs}) for side in ("pre", "post"))
    shape = len(pre), len(post)
    place = [pre.index(p.pre) * shape[1] + post.index(p.post) for p in pairs]
    tables = _Joined(np.uint32), _Joined(np.int32), _Joined(np.uint32)
    counted = pairs[0].spec.counted
    found: dict[MatrixSpec, list[int]] = {}
    spec_of, starts_at, delays = (np.full(shape, k, np.int32).reshape(-1) for k in (-1, 0, 1))
    for p, at in zip(pairs, place, strict=True):
        varied = p.spec.law == WeightLaw.QUANTILES
        spec = dataclasses.replace(
            p.spec,
            synapses_per_row=0,
            table_offset=0 if counted else tables[0].place(p.rule.table),
            quantiles_offset=tables[1].place(p.law.table()[0]) if varied else 0,
            delays_offset=tables[2].place(p.delay.table) if p.spec.delay_bits else 0,
        )
        found.setdefault(spec, []).append(p.spec.synapses_per_row)
        spec_of[at] = list(found).index(spec)
        starts_at[at], delays[at] = p.starts_at if counted else 0, p.delay.shortest
    specs = tuple(
        dataclasses.replace(spec, synapses_per_row=round(sum(each) / len(each)))
        for spec, each in found.items()
    )
    weight = [p.law.parameters(sums.dtype) for p in pairs]
    most = max(len(w) for w in weight)
    weight = jnp.stack([w if len(w) == most else jnp.pad(w, (0, 1)) for w in weight])
    key = jnp.stack([p.key for p in pairs])
    if len(pairs) < shape[0] * shape[1] or place != sorted(place):
        index = np.array(place)
        weight, key = (
            jnp.zeros((shape[0] * shape[1], o.shape[1]), o.dtype).at[index].set(o)
            for o in (weight, key)
        )
    return ring.push(
        sums,
        x,
        weight.reshape(*shape, most),
        key.reshape(*shape, 2),
        jnp.asarray(delays.reshape(shape)),
        step,
        (starts if counted else tables[0].array(), tables[1].array(), tables[2].array()),
        grid=ring.PopulationGrid(
            x.shape[0],
            *(tuple(k) for side in (pre, post) for k in zip(*side, strict=True)),
            spec_of_pair=tuple(spec_of.tolist()) if len(specs) > 1 or -1 in spec_of else (),
            indptr_offset=tuple(starts_at.tolist()) if starts_at.any() else (),
        ),
        specs=specs,
        backend=pairs[0].backend,
    )


class _Joined:
    """Tables one after another, each once."""

    def __init__(self, dtype):
        self._tables, self._places, self._size = [np.zeros(0, dtype)], {}, 0

    def place(self, table: np.ndarray) -> int:
        """Where a table begins."""
        known = table.tobytes()
        if known not in self._places:
            self._places[known] = self._size
            self._tables.append(table)
            self._size += len(table)
        return self._places[known]

    def array(self):
        """All tables."""
        return jnp.asarray(np.concatenate(self._tables))
