"""One surface for networks with delays: what works with one of them works with the other."""

import inspect
import re

import jax.numpy as jnp
import numpy as np
import pytest

import evops

NETWORKS = (evops.MultiAreaProjection, evops.Circuit)
AREAS, N, STEPS = 2, 3, 6
WEIGHT = np.float32([[1, 2], [4, 8]])  # source area, target area
DELAY = np.array([[1, 3], [2, 1]])


def areas(**options):
    return evops.MultiAreaProjection(1.0, WEIGHT, DELAY, pre=N, post=N, seed=1, **options)


def circuit(**options):
    populations = evops.Populations({str(a): N for a in range(AREAS)})
    rule = evops.FixedProbability(1.0)
    return evops.Circuit(populations, {
        (str(a), str(b)): evops.Projection(
            rule, WEIGHT[a, b], (N, N), seed=2 * a + b, delay=int(DELAY[a, b]), **options
        )
        for a, b in np.ndindex(AREAS, AREAS)
    })  # fmt: skip


MAKE = {"areas": (areas, (AREAS, N)), "circuit": (circuit, (AREAS * N,))}


@pytest.fixture(params=MAKE)
def network(request):
    """A network of two populations, and the axes of its neurons."""
    make, shape = MAKE[request.param]
    return make(backend="jnp"), shape


@pytest.mark.parametrize("verb", ["buffer", "push", "pop", "__call__"])
def test_verbs_take_the_same_arguments(verb):
    one, other = (
        [
            (p.name, p.kind, p.default)
            for p in inspect.signature(getattr(n, verb)).parameters.values()
        ]
        for n in NETWORKS
    )
    assert one == other
    assert all(inspect.getdoc(getattr(n, verb)) for n in NETWORKS)


def test_verbs_stand_in_the_order_of_their_use():
    for of in NETWORKS:
        doc = inspect.getdoc(of)
        assert re.search(
            r"`buffer` makes .*`push` and then\s+`pop`, or ``\w+\(spikes, buffer\)``", doc, re.S
        )


def test_what_events_are_is_said_in_the_same_words():
    said = {
        next(part for part in inspect.getdoc(of.push).split("\n\n") if "Events are" in part)
        for of in (*NETWORKS, evops.Projection)
    }
    (words,) = (" ".join(one.split()) for one in said)
    assert "0 or 1 in a `MultiAreaProjection`: any value but 0 and NaN is one spike" in words
    assert "any number, by which weights are multiplied" in words


def run(network, shape, spikes):
    buffer, inputs = network.buffer(), []
    for x in spikes:
        now, buffer = network(jnp.asarray(x.reshape(shape)), buffer)
        assert now.shape == shape and now.dtype == jnp.float32
        inputs.append(np.asarray(now).reshape(-1))
    return np.stack(inputs)


def expected(spikes):
    """Every neuron of a target area has the spikes of the source area, one delay later."""
    each = spikes.reshape(STEPS, AREAS, N).sum(-1)
    out = np.zeros((STEPS, AREAS), np.float32)
    for a, b in np.ndindex(AREAS, AREAS):
        out[DELAY[a, b] :, b] += WEIGHT[a, b] * each[: STEPS - DELAY[a, b], a]
    return np.repeat(out, N, axis=1)


def test_one_network_runs_through_both(backend, rng):
    spikes = rng.random((STEPS, AREAS * N)) < 0.4
    for make, shape in MAKE.values():
        got = run(make(backend=backend), shape, spikes)
        np.testing.assert_array_equal(got, expected(spikes), err_msg=str(make))


def test_a_step_is_push_and_then_pop(network):
    W, shape = network
    x = jnp.ones(shape, bool)
    now, after = W(x, W.buffer())
    then, same = W.pop(W.push(x, W.buffer()))
    np.testing.assert_array_equal(now, then)
    np.testing.assert_array_equal(after.sums, same.sums)
    assert int(after.step) == int(same.step) == 1


def test_events_are_0_or_1_in_areas_and_any_number_in_a_circuit():
    half = {
        k: make(backend="jnp").push(jnp.full(shape, 0.5), make().buffer()).sums
        for k, (make, shape) in MAKE.items()
    }
    np.testing.assert_array_equal(half["areas"], 2 * half["circuit"])


def test_buffers_are_made_alike(network):
    W, _ = network
    buffer = W.buffer()
    assert buffer.sums.shape == (W.max_delay + 1, AREAS * N) == (4, 6)
    assert buffer.sums.dtype == np.float32 and buffer.backend == "jnp"
    assert W.buffer(dtype="int32").sums.dtype == np.int32
    with pytest.raises(TypeError, match="dtype must be float32, float64 or int32, got float16"):
        W.buffer(np.float16)


ZEROS = evops.DelayBuffer.zeros
REFUSED = [
    ("push", jnp.zeros((4, 6)), TypeError, "buffer must be a DelayBuffer"),
    ("pop", jnp.zeros((4, 6)), TypeError, "buffer must be a DelayBuffer"),
    ("push", ZEROS(5, 3), ValueError, "hold 6 neurons and delays of 3 steps, got 5 neurons and 3 steps: make it with n=6 or more$"),
    ("push", ZEROS(6, 2), ValueError, "got 6 neurons and 2 steps: make it with max_delay=3 or more$"),
    ("push", ZEROS(5, 2), ValueError, "make it with n=6 or more, max_delay=3 or more$"),
    ("push", ZEROS(6, 3, jnp.int32), TypeError, "holds int32, weights are float32: make it with dtype=float32"),
    ("pop", ZEROS(7, 3), ValueError, "buffer must hold 6 neurons, those of the network, got 7"),
    ("pop", ZEROS(5, 3), ValueError, "buffer must hold 6 neurons, those of the network, got 5"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "buffer", "error", "message"), REFUSED)
def test_buffers_that_do_not_fit_are_refused_in_the_same_words(
    network, verb, buffer, error, message
):
    W, shape = network
    spikes = jnp.ones(shape, bool)
    with pytest.raises(error, match=message):
        W.push(spikes, buffer) if verb == "push" else W.pop(buffer)
    with pytest.raises(error):
        W(spikes, buffer)


@pytest.mark.parametrize("of", MAKE)
def test_a_larger_buffer_may_be_pushed_to(of, backend):
    make, shape = MAKE[of]
    W = make(backend=backend)
    x = jnp.ones(shape, bool)
    sums = W.push(x, ZEROS(8, 5)).sums
    np.testing.assert_array_equal(sums[:4, :6], W.push(x, W.buffer()).sums)
    assert not sums[:, 6:].any() and not sums[4:].any()


def test_the_first_post_neuron_has_one_name():
    for function in (evops.Projection.push, evops.DelayBuffer.check):
        assert "post_offset" in inspect.signature(function).parameters
