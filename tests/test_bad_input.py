"""Errors name argument, value and allowed range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
from evops.networks.joglekar2018.model import Model as Joglekar2018
from evops.networks.microcircuit2014.model import Model as Microcircuit2014

GOOD = {"events": np.ones(8, bool), "weight": 1.0, "conn_prob": 0.5, "seed": 1, "shape": (6, 8)}
BAD = [
    ({"conn_prob": 0}, ValueError, r"conn_prob must be in \(0, 1\], got 0"),
    ({"conn_prob": -0.1}, ValueError, r"conn_prob must be in \(0, 1\], got -0.1"),
    ({"conn_prob": 1.5}, ValueError, r"conn_prob must be in \(0, 1\], got 1.5"),
    ({"conn_prob": float("nan")}, ValueError, r"conn_prob must be in \(0, 1\], got nan"),
    ({"conn_prob": float("inf")}, ValueError, "conn_prob must be a finite number, got inf"),
    ({"conn_prob": "0.1"}, TypeError, "conn_prob must be a real number, got '0.1'"),
    ({"conn_prob": None}, TypeError, "conn_prob must be a real number, got None"),
    ({"conn_prob": 0.1j}, TypeError, "conn_prob must be a real number"),
    ({"conn_prob": np.array([0.1, 0.2])}, TypeError, "conn_prob must be a real number"),
    ({"events": np.ones(7)}, ValueError, r"events must have shape \(n_in = 8\), got \(7,\)"),
    ({"events": np.ones((8, 1))}, ValueError, r"events must have shape \(n_in = 8\), got \(8, 1\)"),
    ({"events": np.float32(1)}, ValueError, r"events must have shape \(n_in = 8\), got \(\)"),
    (
        {"events": np.ones(8, complex)},
        TypeError,
        "events must be real or bool, got dtype complex64",
    ),
    ({"events": np.array(["a"] * 8)}, TypeError, "events must be an array of numbers or bools"),
    ({"events": None}, TypeError, "events must be an array of numbers or bools"),
    (
        {"weight": np.ones(2)},
        ValueError,
        r"weight must be a scalar or have 1 entry, got shape \(2,\)",
    ),
    ({"weight": 1j}, TypeError, "weight must be real"),
    ({"weight": "1"}, TypeError, "weight must be an array of numbers"),
    ({"weight": True}, TypeError, "weight must be a number or an array of numbers, got dtype bool"),
    ({"seed": 1.5}, TypeError, "seed must be an integer or an array of integers"),
    (
        {"seed": np.arange(2)},
        ValueError,
        r"seed must be a scalar or have 1 entry, got shape \(2,\)",
    ),
    ({"seed": "x"}, TypeError, "seed must be an array"),
    ({"shape": (6,)}, ValueError, "shape must have 2 entries, got 1"),
    ({"shape": (6, 8, 2)}, ValueError, "shape must have 2 entries, got 3"),
    ({"shape": 6}, TypeError, "shape must be a pair of integers, got 6"),
    ({"shape": (-6, 8)}, ValueError, r"shape\[0\] must be an integer from 1 to 2147483647, got -6"),
    ({"shape": (0, 8)}, ValueError, r"shape\[0\] must be an integer from 1"),
    ({"shape": (2**31, 8)}, ValueError, r"shape\[0\] must be an integer .* got 2147483648"),
    ({"shape": (6.0, 8)}, TypeError, r"shape\[0\] must be an integer, got 6.0"),
    ({"backend": "gpu"}, ValueError, "backend must be one of native, jnp, got 'gpu'"),
]


def call(**arguments):
    positional = [arguments.pop(k) for k in ("events", "weight", "conn_prob", "seed")]
    return evops.event_mv_prob_homo(*positional, **arguments)


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_event_mv_prob_homo(change, error, message):
    with pytest.raises(error, match=message):
        call(**{**GOOD, **change})


@pytest.mark.parametrize("kind", ["E", "I"])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"area_num": 2}, ValueError, "must have shape"),
        ({"area_num": 0}, ValueError, "area_num must be an integer from 1"),
        ({"area_num": 3.0}, TypeError, "area_num must be an integer, got 3.0"),
        ({"area_num": True}, TypeError, "area_num must be an integer, got True"),
        ({"seed": np.arange(2)}, ValueError, r"seed must have shape \(area_num = 3,\), got \(2,\)"),
        ({"seed": 7}, ValueError, r"seed must have shape \(area_num = 3,\), got \(\)"),
        ({"shape": (5, 9)}, ValueError, r"events must have shape .*n_pre = 5"),
        ({"weight": np.ones((3, 2))}, ValueError, "weight must"),
        ({"conn_prob": 2.0}, ValueError, r"conn_prob must be in \(0, 1\]"),
    ],
)
def test_multi_area(kind, change, error, message):
    operator = getattr(evops, f"multi_area_event_mv_prob_homo_{kind}")
    events, weight = (np.ones(8), np.ones(3)) if kind == "E" else (np.ones((3, 8)), 1.0)
    good = {"events": events, "weight": weight, "seed": np.arange(3), "conn_prob": 0.5}
    arguments = {**good, "shape": (8, 9), "area_num": 3, **change}
    positional = [arguments.pop(k) for k in good]
    with pytest.raises(error, match=message):
        operator(*positional, **arguments)


def test_traced_statics_are_refused():
    with pytest.raises(TypeError, match=r"shape\[0\] must be known before compilation"):
        jax.jit(lambda n: call(**{**GOOD, "shape": (n, 8)}))(6)
    with pytest.raises(TypeError, match="conn_prob must be known before compilation"):
        jax.jit(lambda p: call(**{**GOOD, "conn_prob": p}))(0.5)


def test_result_too_large_is_an_error_of_xla():
    seeds = jnp.zeros(2**12, jnp.uint32)
    fn = jax.vmap(
        lambda s: call(**{**GOOD, "seed": s, "shape": (2**20, 8), "outdim_parallel": False})
    )
    with pytest.raises(
        Exception, match=r"evops_scatter: .* at most 2147483647 elements|[Oo]ut of memory|RESOURCE"
    ):
        jax.block_until_ready(jax.jit(fn)(seeds))


CHOICES = {
    "metric": lambda v: evops.Neighbours((3, 4), metric=v),
    "backend": lambda v: evops.Projection(evops.AllToAll(), 1.0, (3, 4), seed=1, backend=v),
    "regime": lambda v: Joglekar2018(regime=v),
    "scheme": lambda v: Joglekar2018(scheme=v),
    "drive": lambda v: Microcircuit2014(drive=v),
    "variant": lambda v: Microcircuit2014(variant=v),
}
NO_TEXTS = [np.zeros(()), np.zeros(2), np.zeros((), "V4"), [], {}, 1, b"jnp", jnp.zeros(2), print]


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("value", NO_TEXTS, ids=repr)
def test_a_choice_among_texts_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} must be one of .*, got"):
        CHOICES[name](value)


def projection(**change):
    arguments = {"rule": evops.FixedProbability(0.5), "law": 1.0, "shape": (6, 8), "seed": 1}
    return evops.Projection(**{**arguments, **change})


def areas(**change):
    arguments = {"weight": jnp.ones((1, 1)), "delay": 3, "pre": 6, "post": 8, "seed": 1}
    return evops.MultiAreaProjection(evops.FixedProbability(0.5), **{**arguments, **change})


LAW = evops.Normal(1.0, 2.0)
OF_OBJECTS = [
    (lambda: areas(weight=LAW), "weight must be numbers, got Normal.*a law goes into a Projection"),
    (lambda: areas(delay=LAW), "delay must be numbers, got Normal.*a law goes into a Projection"),
    (lambda: areas(pre=[6, 2]), r"pre must be an integer, or a tuple of integers, got \[6, 2\]"),
    (lambda: projection(delay="3"), "delay must be a real number, got '3'; or a law"),
    (lambda: projection(delay=np.ones(3)), "delay must be a real number, got .*; or a law"),
    (lambda: areas(pre=[[6], [6, 2]]), "pre must be an integer, or a tuple of integers, got"),
    (lambda: projection(seed=[[1], [1, 2]]), r"seed must be an integer or a JAX key, got \[\[1\]"),
    (lambda: projection(seed=print), "seed must be an integer or a JAX key, got <built-in"),
    (lambda: projection(seed=np.zeros((), "V4")), "seed must be an integer or a JAX key"),
    (lambda: abs(projection()), "W has no arithmetic"),
]


@pytest.mark.parametrize(("make", "message"), OF_OBJECTS, ids=range(len(OF_OBJECTS)))
def test_what_objects_are_made_of_is_refused_by_name(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_only_arguments_that_can_be_marked_are_said_to_be():
    with pytest.raises(TypeError, match=r"shape\[1\] must be known .* static in jax.jit(?! \()"):
        jax.jit(lambda n: projection(shape=(6, n)))(8)
    with pytest.raises(TypeError, match=r"jax.jit \(static_argnames='p'\)"):
        jax.jit(evops.FixedProbability)(0.5)


def test_parts_of_another_type_are_named():
    W, x = projection(), np.ones(6, bool)
    W.law = 3
    with pytest.raises(TypeError, match="W.law must be a weight law, got 3"):
        x @ W
    W = projection()
    W.key = jnp.arange(2, dtype=jnp.int32)
    with pytest.raises(TypeError, match="key has dtype int32, expected bool"):
        x @ W
    halves = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), projection())
    with pytest.raises(
        TypeError, match="key has dtype bfloat16, expected bool.*: map over W.law instead"
    ):
        x @ halves
    C = evops.CSR(1.0, [0, 1], [0, 1, 2], shape=(2, 3))
    C.indices = jnp.ones(2, jnp.float32)
    with pytest.raises(TypeError, match="indices has dtype float32, expected int32"):
        np.ones(2) @ C


def test_a_location_and_a_scale_are_asked_of_laws():
    class Lonely(evops.Law):
        m: float

        def loc_scale(self):
            return self.m

    class Forgotten(evops.Law):
        m: float

        def loc_scale(self):
            return 0, self.m

    with pytest.raises(TypeError, match=r"loc_scale of Lonely must return two numbers, got 2.0"):
        projection(law=Lonely(2.0))
    with pytest.raises(ValueError, match="loc_scale of Forgotten must return 0 as its scale"):
        projection(law=Forgotten(2.0))
    with pytest.raises(ValueError, match="loc_scale of Forgotten must return 0 as its scale"):
        jax.jit(lambda m: projection(law=Forgotten(m)))(2.0)
    with pytest.raises(
        ValueError, match="delay: loc_scale of Forgotten must return 0 as its scale"
    ):
        projection(delay=Forgotten(2.0))


W = evops.Projection(evops.FixedProbability(0.5), 1.0, (3, 2), seed=1)
ITERATED = {
    "x": lambda value: value @ W,
    "v": lambda value: W @ value,
    "pre": lambda value: evops.CSR.from_edges(value, [0], 1.0, shape=(2, 2)),
    "weight": lambda value: evops.CSR.from_edges([0], [0], value, shape=(2, 2)),
    "post_ids": lambda value: evops.syn2post([1.0], value, 2),
    "rate": lambda value: evops.PoissonInput(9, value, 1.0, dt=0.1, size=3, seed=1),
    "values": W.with_weights,
    "indices": lambda value: evops.SpikeList(value, 3),
    "law": lambda value: evops.Synapses(evops.FixedProbability(0.5), value, (3, 2), seed=1),
    "sums": evops.DelayBuffer,
}


@pytest.mark.parametrize("name", ITERATED)
@pytest.mark.parametrize("inside", [False, True])
def test_what_can_be_iterated_is_no_array(name, inside):
    """jax warns of it where it takes values apart, and warnings are errors here."""
    for value in (iter([3]), map(int, "3"), {3: 1}.values()):
        given = [value] if inside else value
        if isinstance(given, list) and name in ("x", "v"):
            given = np.array([value], object)
        with pytest.raises((TypeError, ValueError), match=name):
            ITERATED[name](given)
