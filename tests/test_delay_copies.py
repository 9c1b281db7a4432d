"""No step copies the ring: what XLA makes of pushes and pops, in every use that the docs name."""

import dataclasses
import re
from collections.abc import Callable
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

pytestmark = pytest.mark.range_ends

# No other array of these programs has a multiple of slots * n elements.
N, SLOTS, STEPS, DELAY = 101, 997, 6, evops.Uniform(1, 9)
RING = 4 * N * SLOTS  # bytes
# What may have the size of a ring and writes a part of it, or nothing.
IN_PLACE = (
    "parameter get-tuple-element tuple bitcast custom-call while conditional call fusion scatter "
    "dynamic-update-slice"
).split()


def written(text):
    """Instructions of optimised HLO that write all of a ring, or of some, by computation."""
    found, computation = {}, None
    for line in text.splitlines():
        if begin := re.match(r"(?:(ENTRY) )?%?([\w.-]+) .*\{$", line):
            computation = begin[1] or begin[2]
        if made := re.match(r"\s+(?:ROOT )?%?[\w.-]+ = \w+\[([\d,]+)\]\S* ([\w-]+)\(", line):
            size = prod(map(int, made[1].split(",")))
            if size and size % (N * SLOTS) == 0 and made[2] not in IN_PLACE:
                found.setdefault(computation, []).append(made[2])
    return found


def check_in_place(function, *arguments, donated=0, rings=1):
    """The program writes no ring, and has no room for another beside those it was given."""
    compiled = jax.jit(function, donate_argnums=donated).lower(*arguments).compile()
    assert written(compiled.as_text()) == {}
    memory = compiled.memory_analysis()
    assert memory.alias_size_in_bytes >= rings * RING
    assert memory.temp_size_in_bytes < RING


def project(backend, seed=1):
    rule, law = evops.FixedProbability(0.05), evops.Normal(1.0, 0.1)
    return evops.Projection(rule, law, (N, N), seed=seed, delay=DELAY, backend=backend)


def empty(backend, *batch):
    buffer = evops.DelayBuffer.zeros(N, SLOTS - 1, backend=backend)
    return jax.tree.map(lambda a: jnp.zeros((*batch, *a.shape), a.dtype), buffer)


@dataclasses.dataclass
class Steps:
    """Steps of a network, ``(carry, spikes) -> (carry, what it gives)``."""

    backend: str

    def __post_init__(self):
        self.one, self.other = project(self.backend, 1), project(self.backend, 2)
        self.listed = self.other.tocsr()

    def pushed(self, buffer, x):
        now, buffer = self.one.push(x, buffer).pop()
        return buffer, now.sum()

    def popped_first(self, carry, _):
        buffer, x = carry
        now, buffer = buffer.pop()
        return (self.one.push(x, buffer), now > 0.5), now

    def several(self, buffers, x):
        a, b = buffers
        a = self.other.push(~x, self.one.push(x, a))
        (now, a), (later, b) = a.pop(), self.one.push(x, b).pop()
        return (a, b), now + later

    def read(self, carry, x):
        now, buffer = self.one.push(x, carry["buffer"]).pop()
        soon = buffer.sums[buffer.step]
        v = carry["v"] + now + soon
        return {"buffer": buffer, "v": v, "largest": soon.max()}, (now, carry["largest"])

    def maybe_pushed(self, buffer, x):
        push = lambda buffer: self.one.push(x, buffer)  # noqa: E731
        now, buffer = jax.lax.cond(x[0], push, lambda buffer: buffer, buffer).pop()
        return buffer, now

    def maybe_stepped(self, carry, x):
        def step(buffer, v):
            now, buffer = self.one.push(x, buffer).pop()
            return buffer, v + now

        carry = jax.lax.cond(x[0], step, lambda *carry: carry, *carry)
        return carry, carry[1].sum()

    def either(self, buffer, x):
        first = x[0]
        buffer = self.other.push(x & ~first, self.one.push(x & first, buffer))
        now, buffer = buffer.pop()
        return buffer, now

    def circuit(self, buffer, x):
        populations = evops.Populations({"E": 60, "I": N - 60})
        size = populations.size
        rules = {"EE": evops.FixedInDegree(5), "EI": evops.FixedProbability(0.1)}
        rules["IE"] = evops.FixedTotalNumber(90)
        pairs = {
            (a, b): evops.Projection(
                rule, 1.0, (size(a), size(b)), seed=k, delay=DELAY, backend=self.backend
            )
            for k, ((a, b), rule) in enumerate(rules.items())
        }
        now, buffer = evops.Circuit(populations, pairs)(x, buffer)
        return buffer, now

    def stored(self, buffer, x):
        now, buffer = self.listed.push(x, buffer).pop()
        return buffer, now.sum()

    def mixed(self, buffer, x):
        populations = evops.Populations({"E": N})
        pairs = {("E", "E", "drawn"): self.one, ("E", "E", "stored"): self.listed}
        now, buffer = evops.Circuit(populations, pairs)(x, buffer)
        return buffer, now

    def convolved(self, buffer, x):
        C = evops.Conv2D(np.ones((3, 1, 1, 1), np.float32), (N, 1), padding="same", delay=5)
        now, buffer = C.push(~x, self.one.push(x, C.push(x, buffer))).pop()
        return buffer, now

    def areas(self, buffer, x):
        W = evops.MultiAreaProjection(
            0.1, jnp.ones((1, 1)), 5, pre=N, post=N, seed=1, backend=self.backend
        )
        now, buffer = W(x[None], buffer)
        return buffer, now

    def nested(self, buffer, x):
        return jax.lax.scan(self.pushed, buffer, jnp.stack([x, ~x]))

    def inside(self, buffer, x):
        return jax.jit(self.pushed)(buffer, x)

    def checkpointed(self, buffer, x):
        return jax.checkpoint(self.pushed)(buffer, x)


def carries(backend):
    """The carries of the steps that have another than a buffer."""
    buffer = empty(backend)
    return {
        "popped_first": (buffer, jnp.zeros(N, bool)),
        "several": (buffer, empty(backend)),
        "read": {"buffer": buffer, "v": jnp.zeros(N), "largest": jnp.float32(0)},
        "maybe_stepped": (buffer, jnp.zeros(N)),
    }


NAMES = [name for name, of in vars(Steps).items() if isinstance(of, Callable) and name[0] != "_"]
SPIKES = jnp.zeros((STEPS, N), bool)


@pytest.mark.thin(5)
@pytest.mark.parametrize("name", NAMES)
def test_a_scan_copies_no_ring(name, backend):
    step = getattr(Steps(backend), name)
    carry = carries(backend).get(name, empty(backend))
    check_in_place(lambda c, s: jax.lax.scan(step, c, s), carry, SPIKES)


@pytest.mark.thin(5)
@pytest.mark.parametrize("name", NAMES)
def test_a_step_whose_carry_is_donated_copies_no_ring(name, backend):
    step = getattr(Steps(backend), name)
    check_in_place(step, carries(backend).get(name, empty(backend)), SPIKES[0])


def test_other_loops_copy_no_ring(backend):
    step = Steps(backend).pushed
    check_in_place(
        lambda b, s: jax.lax.fori_loop(0, STEPS, lambda i, b: step(b, s[i])[0], b),
        empty(backend), SPIKES,
    )  # fmt: skip

    def until_none_arrives(buffer, x):
        start = buffer, jnp.float32(1)
        return jax.lax.while_loop(lambda c: c[1] > 0, lambda c: step(c[0], x), start)

    check_in_place(until_none_arrives, empty(backend), SPIKES[0])


def test_push_and_pop_alone_copy_no_ring(backend):
    check_in_place(project(backend).push, SPIKES[0], empty(backend), donated=1)
    check_in_place(lambda buffer: buffer.pop(), empty(backend))


@pytest.mark.thin(2)
@pytest.mark.parametrize("batch", [(3,), (2, 3)])
@pytest.mark.parametrize("name", ["pushed", "stored"])
def test_batches_of_rings_are_not_copied(batch, name, backend):
    step = getattr(Steps(backend), name)
    for _ in batch:
        step = jax.vmap(step)
    spikes = jnp.zeros((STEPS, *batch, N), bool)
    check = lambda f, s: check_in_place(f, empty(backend, *batch), s, rings=prod(batch))  # noqa: E731
    check(step, spikes[0])
    check(lambda b, s: jax.lax.scan(step, b, s), spikes)


def test_scans_in_a_batch_copy_no_ring(backend):
    """Of buffers that have one step, and of those that have each their own."""
    step = Steps(backend).pushed
    scan = lambda sums, at, s: jax.lax.scan(  # noqa: E731
        step, evops.DelayBuffer.tree_unflatten((backend,), (sums, at)), s
    )
    sums, at = empty(backend, 3).sums, jnp.zeros(3, jnp.int32)
    spikes = jnp.zeros((3, STEPS, N), bool)
    check_in_place(jax.vmap(scan), sums, at, spikes, rings=3)
    check_in_place(jax.vmap(scan, (0, None, 0)), sums, at[0], spikes, rings=3)


def test_tangents_of_a_scan_copy_no_ring(backend):
    def simulate(mean, buffer, spikes):
        law = evops.Normal(mean, 0.1)
        rule = evops.FixedProbability(0.05)
        W = evops.Projection(rule, law, (N, N), seed=1, delay=DELAY, backend=backend)
        return jax.lax.scan(lambda b, x: W.push(x, b).pop()[::-1], buffer, spikes)

    tangent = lambda b, db, s: jax.jvp(  # noqa: E731
        lambda mean, sums: simulate(mean, b.with_sums(sums), s), (1.0, b.sums), (1.0, db)
    )
    other = jnp.zeros((SLOTS, N))
    check_in_place(tangent, empty(backend), other, SPIKES, donated=(0, 1), rings=2)


def test_without_donation_a_call_copies_the_ring_once(backend):
    """Before the loop and never inside it; a buffer that is made inside is not copied either."""
    step = Steps(backend).pushed
    scan = lambda b, s: jax.lax.scan(step, b, s)  # noqa: E731
    for function, spikes in ((step, SPIKES[0]), (scan, SPIKES)):
        text = jax.jit(function).lower(empty(backend), spikes).compile().as_text()
        assert written(text) == {"ENTRY": ["copy"]}
    made_inside = jax.jit(lambda s: scan(empty(backend), s)[1]).lower(SPIKES).compile().as_text()
    assert all("broadcast" in names for names in written(made_inside).values())


def test_the_text_shows_copies():
    """What the tests above would see: a buffer that is read before it is pushed to."""

    def step(buffer, x):
        soon = buffer.sums[buffer.step]
        now, buffer = project("native").push(x, buffer).pop()
        return buffer, soon + now

    scan = jax.jit(lambda b, s: jax.lax.scan(step, b, s), donate_argnums=0)
    compiled = scan.lower(empty("native"), SPIKES).compile()
    [copies] = written(compiled.as_text()).values()
    assert set(copies) == {"copy"}
    assert compiled.memory_analysis().temp_size_in_bytes >= RING


AXES = {
    "all": (0, 0, 0, 0),
    "spikes": (None, None, 0, None),
    "steps": (None, 0, None, None),
    "weights and rings": (1, None, None, 0),
    "rings and steps": (2, 0, 0, None),
}


@pytest.mark.thin(10)
@pytest.mark.parametrize("rule", [evops.FixedProbability(0.1), evops.FixedInDegree(4)])
@pytest.mark.parametrize("axes", AXES)
def test_batches_are_their_entries(axes, rule, backend, rng):
    """Of sums, steps, spikes and weights, in one batch and in two; derivatives too."""
    size, n, slots = 3, 7, 12

    def call(sums, step, x, mean):
        W = evops.Projection(
            rule, evops.Normal(mean, 0.1), (n, n), seed=1, delay=DELAY, backend=backend
        )
        buffer = evops.DelayBuffer.tree_unflatten((backend,), (sums, step))
        now, buffer = W.push(x, buffer).pop()
        return now, buffer.sums

    def values_and_gradients(sums, step, x, mean):
        out, back = jax.vjp(lambda sums, x, mean: call(sums, step, x, mean), sums, x, mean)
        return out, back(jax.tree.map(jnp.sin, out))

    def operands(*batch):
        sums, x, mean = (
            jnp.asarray(rng.normal(size=(*batch, *shape)), jnp.float32)
            for shape in ((slots, n), (n,), ())
        )
        return [sums, jnp.asarray(rng.integers(0, slots, batch), jnp.int32), x, mean]

    def along(one, many, axes):
        """Operands without a batch, or the batch at the axis that they have it."""
        return [
            first if axis is None else jnp.moveaxis(all_, 0, axis)
            for first, all_, axis in zip(one, many, axes, strict=True)
        ]

    def entry(arguments, axes, k):
        pairs = zip(arguments, axes, strict=True)
        return [o if axis is None else jnp.take(o, k, axis) for o, axis in pairs]

    axes, close = AXES[axes], lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    arguments = along(operands(), operands(size), axes)
    batched = jax.vmap(values_and_gradients, axes)
    got = jax.jit(batched)(*arguments)
    for k in range(size):
        want = values_and_gradients(*entry(arguments, axes, k))
        jax.tree.map(close, jax.tree.map(lambda a: a[k], got), want)  # noqa: B023
    outer = (0, 0, 0, 0)
    arguments = [
        jnp.stack([o, 2 * o % slots if o.dtype == jnp.int32 else 2 * o]) for o in arguments
    ]
    got = jax.jit(jax.vmap(batched, outer))(*arguments)
    for k in range(2):
        jax.tree.map(close, jax.tree.map(lambda a: a[k], got), batched(*entry(arguments, outer, k)))  # noqa: B023
