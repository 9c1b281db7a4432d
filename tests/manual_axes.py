"""Operators inside `jax.shard_map` and the same with dense matrices, for the tests of every transform."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

import custom_kernels as kernels
import evops
from evops.engine import ops

N_PRE, N_POST, DEVICES = 12, 9, 2
SEEDS = np.array([3, 4], np.uint32)
RULE = evops.FixedProbability(0.4)
DELAY = evops.Uniform(1, 3)


@dataclasses.dataclass(frozen=True)
class Operator:
    """``call(x, w, s, backend)`` and ``dense(x, w, s)``, bilinear in x and w, for one device.

    `x`, `w` and `s` are what two devices hold, one after another.
    """

    call: Callable
    dense: Callable
    x: np.ndarray
    w: np.ndarray
    s: np.ndarray


def random(*shape):
    return np.random.default_rng(len(shape) + sum(shape)).normal(size=shape).astype(np.float32)


def projection(w, seed, backend, rule=RULE, **options):
    law = evops.Normal(w[0], w[1])
    return evops.Projection(rule, law, (N_PRE, N_POST), seed=seed, backend=backend, **options)


@functools.cache
def drawn(seed, rule=RULE):
    """Pre, post, delay and variate of every synapse."""
    W = projection((0.0, 1.0), seed, "jnp", rule, delay=DELAY)
    edges = W.edges()
    return tuple(np.asarray(a) for a in (edges.pre, edges.post, edges.delay, edges.weight))


def weights(w, s, rule=RULE):
    pre, post, _, z = drawn(int(s), rule)
    return jnp.zeros((N_PRE, N_POST)).at[pre, post].add(w[0] + w[1] * z)


def push(x, w, s, backend):
    W = projection(w, s, backend, delay=DELAY)
    return W.push(x, evops.DelayBuffer.zeros(N_POST, W.max_delay)).sums


def push_dense(x, w, s):
    pre, post, delay, z = drawn(int(s))
    return jnp.zeros((4, N_POST)).at[delay, post].add(x[pre] * (w[0] + w[1] * z))


SPIKES = np.arange(N_PRE) % 3 == 0


def push_onto(x, w, s, backend):
    return projection(w, s, backend, delay=DELAY).push(SPIKES, evops.DelayBuffer(x)).sums


def fired(s):
    return jnp.asarray(SPIKES) ^ (s % 2 == 0)


def listed_onto(x, w, s, backend):
    spikes = evops.SpikeList.from_flags(fired(s), backend=backend)
    return projection(w, s, backend, delay=DELAY).push(spikes, evops.DelayBuffer(x)).sums


def pop(x, w, s, backend):
    now, rest = evops.DelayBuffer(x, s).pop(backend)
    return jnp.concatenate([now[None], rest.sums]) * w[None]


def pop_dense(x, w, s):
    return jnp.concatenate([x[s][None], x.at[s].set(0)]) * w[None]


ROWS = np.sort(np.arange(20) * 7 % N_PRE)
INDPTR = np.searchsorted(ROWS, np.arange(N_PRE + 1)).astype(np.int32)
COLUMNS = (np.arange(40).reshape(2, 20) ** 2 % N_POST).astype(np.int32)


def stored(x, w, s, backend):
    return x @ evops.CSR(w, s, INDPTR, shape=(N_PRE, N_POST), backend=backend)


def stored_dense(x, w, s):
    return x @ jnp.zeros((N_PRE, N_POST)).at[ROWS, s].add(w)


DELAYS = np.arange(20, dtype=np.int32) % 3 + 1


def stored_push(x, w, s, backend):
    W = evops.CSR(w, s, INDPTR, shape=(N_PRE, N_POST), delay=DELAYS, backend=backend)
    return W.push(x, evops.DelayBuffer.zeros(N_POST, 3)).sums


def stored_push_dense(x, w, s):
    return jnp.zeros((4, N_POST)).at[DELAYS, s].add(x[ROWS] * w)


def spiked_state(x, w, s, backend):
    S = evops.CSR(w, s, INDPTR, shape=(N_PRE, N_POST), backend=backend)
    return S.add_where_pre_spiked(jnp.zeros(20), x, w, per="synapse")


ROOM = ops.room(0, RULE.expected_synapses((N_PRE, N_POST)))
PATTERN = np.float32(1 + np.arange(ROOM) % 3)


def weighted(x, w, s, backend):
    values = jnp.broadcast_to(w[0], ROOM) * PATTERN
    return x @ projection(w, s, backend).with_weights(values)


def weighted_state(x, w, s, backend):
    W = projection(w, s, backend).with_weights(np.zeros(ROOM, np.float32))
    value = jnp.broadcast_to(w[0], ROOM) * PATTERN
    return W.add_where_pre_spiked(jnp.zeros(ROOM), x, value, per="synapse")


def weighted_state_dense(x, w, s):
    pre, *_ = drawn(int(s))
    return (
        jnp.zeros(ROOM)
        .at[: len(pre)]
        .set(x[pre] * jnp.broadcast_to(w[0], len(pre)) * PATTERN[: len(pre)])
    )


def weighted_dense(x, w, s):
    pre, post, *_ = drawn(int(s))
    own = jnp.broadcast_to(w[0], len(pre)) * PATTERN[: len(pre)]
    return jnp.zeros((x.shape[0], N_POST)).at[:, post].add(x[:, pre] * own[None])


@functools.cache
def times():
    """A user's operator, x times one number, with rules for derivatives."""

    def jvp(primals, tangents, **_):
        (x, w), (dx, dw) = primals, tangents
        terms = [call(a, b) for a, b in ((dx, w), (x, dw)) if a is not None and b is not None]
        return [call(x, w)], [sum(terms[1:], terms[0])]

    def transpose(cts, x, w, **_):
        if isinstance(x, jax.ShapeDtypeStruct):
            return [call(cts[0], w), None]
        return [None, (cts[0] * x).sum()[None]]

    operator = evops.XLACustomOp(
        kernels.times, fallback=lambda x, w, *, outs: [x * w[0]], jvp=jvp, transpose=transpose
    )

    def call(x, w, backend=None):
        return operator(x, w, outs=[jax.ShapeDtypeStruct(x.shape, x.dtype)], backend=backend)[0]

    return call


FIXED = evops.FixedTotalNumber(60)
OPERATORS = {
    "x @ W": Operator(
        lambda x, w, s, backend: x @ projection(w, s, backend),
        lambda x, w, s: x @ weights(w, s),
        random(DEVICES, 3, N_PRE),
        random(DEVICES, 2),
        SEEDS,
    ),
    "W @ v": Operator(
        lambda x, w, s, backend: projection(w, s, backend, FIXED) @ x,
        lambda x, w, s: weights(w, s, FIXED) @ x,
        random(DEVICES, N_POST),
        random(DEVICES, 2),
        SEEDS,
    ),
    "x @ CSR": Operator(
        stored, stored_dense, random(DEVICES, 3, N_PRE), random(DEVICES, 20), COLUMNS
    ),
    "push through CSR": Operator(
        stored_push, stored_push_dense, random(DEVICES, N_PRE), random(DEVICES, 20), COLUMNS
    ),
    "weighted": Operator(
        weighted, weighted_dense, random(DEVICES, 3, N_PRE), random(DEVICES, 2), SEEDS
    ),
    "weighted states": Operator(
        weighted_state, weighted_state_dense, random(DEVICES, N_PRE), random(DEVICES, 2), SEEDS
    ),
    "spiked states": Operator(
        spiked_state,
        lambda x, w, s: x[ROWS] * w,
        random(DEVICES, N_PRE),
        random(DEVICES, 20),
        COLUMNS,
    ),
    "push": Operator(push, push_dense, random(DEVICES, N_PRE), random(DEVICES, 2), SEEDS),
    "push onto a ring": Operator(
        push_onto,
        lambda x, w, s: x + push_dense(jnp.float32(SPIKES), w, s),
        random(DEVICES, 4, N_POST),
        random(DEVICES, 2),
        SEEDS,
    ),
    "list onto a ring": Operator(
        listed_onto,
        lambda x, w, s: x + push_dense(jnp.float32(fired(s)), w, s),
        random(DEVICES, 4, N_POST),
        random(DEVICES, 2),
        SEEDS,
    ),
    "pop": Operator(
        pop, pop_dense, random(DEVICES, 3, 5), random(DEVICES, 5), np.array([0, 2], np.int32)
    ),
    "XLACustomOp": Operator(
        lambda x, w, s, backend: times()(x, w, backend) + s,
        lambda x, w, s: x * w[0] + s,
        random(DEVICES, 7),
        random(DEVICES, 1),
        random(DEVICES, 1),
    ),
}

# What differs from device to device, and whether results are added up: a neuron's inputs are cut.
CUTS = {
    "batch": ("x", "each"),
    "weights": ("w", "each"),
    "seeds": ("s", "each"),
    "post": ("sw", "each"),
    "pre": ("xs", "sum"),
}


def once(call):
    return call


def vmapped(call):
    def both(x, w, s):
        each = jax.vmap(call, in_axes=(0, 0, None))
        return each(jnp.stack([x, 2 * x]), jnp.stack([w, w + 1]), s)

    return both


def scanned(call):
    def total(x, w, s):
        def step(total, factor):
            return total + call(factor * x, w, s), None

        factors = jnp.array([0.5, -2.0], jnp.float32)
        return jax.lax.scan(step, call(x, w, s), factors)[0]

    return total


def value_of(function, x, w):
    return function(x, w)


def jvp_of(function, x, w):
    return jax.jvp(function, (x, w), (jnp.cos(x), jnp.sin(w)))


def gradients_of(function, x, w):
    def loss(x, w):
        y = function(x, w)
        return (y * y + y).sum()

    return jax.value_and_grad(loss, argnums=(0, 1))(x, w)


# What a device computes, and what is asked of the whole.
TRANSFORMS = {
    "value": (once, value_of),
    "jvp": (once, jvp_of),
    "gradient": (once, gradients_of),
    "vmap": (vmapped, gradients_of),
    "scan": (scanned, gradients_of),
    "remat": (jax.checkpoint, gradients_of),
}


def of_one(name, cut):
    """Operands of an operator: two devices' where they differ, else one's."""
    operator = OPERATORS[name]
    return [getattr(operator, o) if o in CUTS[cut][0] else getattr(operator, o)[0] for o in "xws"]


def sharded(name, cut, transform, backend, check_vma):
    """The function of x and w on a mesh."""
    differ, combine = CUTS[cut]
    mesh = Mesh(np.array(jax.devices("cpu")[:DEVICES]), ("device",))
    inner, _ = TRANSFORMS[transform]
    call = inner(functools.partial(OPERATORS[name].call, backend=backend))

    def on_device(*operands):
        own = (o[0] if k in differ else o for k, o in zip("xws", operands, strict=True))
        y = call(*own)
        return jax.lax.psum(y, "device") if combine == "sum" else y[None]

    specs = tuple(PartitionSpec("device") if k in differ else PartitionSpec() for k in "xws")
    out = PartitionSpec("device") if combine == "each" else PartitionSpec()
    function = jax.shard_map(
        on_device, mesh=mesh, in_specs=specs, out_specs=out, check_vma=check_vma
    )
    s = jnp.asarray(of_one(name, cut)[2])
    return lambda x, w: function(x, w, s)


def dense(name, cut, transform):
    """The same, one device after another."""
    differ, combine = CUTS[cut]
    inner = TRANSFORMS[transform][0] if transform != "remat" else once
    call = inner(OPERATORS[name].dense)
    s = of_one(name, cut)[2]

    def all_devices(x, w):
        operands = dict(zip("xws", (x, w, s), strict=True))
        each = [
            call(*(o[k] if name in differ else o for name, o in operands.items()))
            for k in range(DEVICES)
        ]
        return sum(each[1:], each[0]) if combine == "sum" else jnp.stack(each)

    return all_devices
