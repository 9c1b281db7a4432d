"""Errors name argument, value and allowed range; handlers called by hand with wrong buffers return errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops

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


F32, U32, I32 = np.float32, np.uint32, np.int32
SCHEME = np.array([19, 2**32 // 19, 0], np.int64)


def product(
    target="evops_scatter",
    x=((1, 8), bool),
    w=((2,), F32),
    s=((2,), U32),
    y=((2, 5), F32),
    **attributes,
):
    attributes = {"repeat": np.int64(2), "scheme": SCHEME, **attributes}
    fn = jax.ffi.ffi_call(target, jax.ShapeDtypeStruct(*y))
    return fn(*(jnp.ones(shape, dtype) for shape, dtype in (x, w, s)), **attributes)


def push(
    ring=((4, 6), F32),
    x=((5,), bool),
    w=((1, 1), F32),
    s=((1, 1), U32),
    d=((1, 1), I32),
    t=((), I32),
    **a,
):
    a = {
        "pre_offset": [0], "pre_size": [5], "post_offset": [0], "post_size": [6], "delay_column": [],
        "scheme": SCHEME, **a,
    }  # fmt: skip
    a = {k: np.array(v, np.int64) for k, v in a.items()}
    fn = jax.ffi.ffi_call("evops_push", jax.ShapeDtypeStruct(*ring))
    scale = a.pop("delay_value", 1)
    operands = [jnp.ones(shape, dtype) for shape, dtype in (ring, x, w, s, d, t)]
    operands[4] = operands[4] * int(scale)
    return fn(*operands, **a)


def pop(ring=((4, 6), F32), t=((), I32), out=((4, 6), F32), now=((6,), F32), step=1):
    fn = jax.ffi.ffi_call("evops_pop", [jax.ShapeDtypeStruct(*out), jax.ShapeDtypeStruct(*now)])
    return fn(jnp.ones(*ring), jnp.full(*t[:1], step, t[1]))


HANDLERS = [
    (product, {"x": ((8,), bool)}, "expected rank 2"),
    (product, {"y": ((5,), F32)}, "expected rank 2"),
    (product, {"x": ((1, 8), I32)}, r"x is int32\[1,8\], expected bool or float32"),
    (product, {"w": ((3,), F32)}, r"weight is float32\[3\], expected float32\[2\]"),
    (product, {"w": ((2,), I32)}, r"weight is int32\[2\], expected float32\[2\]"),
    (product, {"s": ((2,), I32)}, r"seed is int32\[2\], expected uint32\[2\]"),
    (
        product,
        {"y": ((2, 5), np.float16), "w": ((2,), np.float16)},
        "expected int32, float32 or float64",
    ),
    (product, {"repeat": np.int64(0)}, "with repeat 0"),
    (product, {"repeat": np.int64(3)}, "2 instances for 1 rows of x with repeat 3"),
    (product, {"x": ((0, 8), bool)}, "2 instances for 0 rows"),
    (product, {"scheme": np.array([19], np.int64)}, "scheme is not"),
    (product, {"scheme": np.array([0, 0, 0], np.int64)}, "scheme is not"),
    (product, {"scheme": np.array([19, 5, 0], np.int64)}, "scheme is not"),
    (product, {"scheme": np.array([19, 2**32 // 19, 2], np.int64)}, "scheme is not"),
    (product, {"target": "evops_gather"}, r"x is bool\[1,8\], expected float32"),
    (push, {"ring": ((4, 6, 1), F32)}, "expected ranks 2, 1 and 2"),
    (push, {"w": ((1, 2), F32)}, r"weight is float32\[1,2\], expected float32\[1,1\]"),
    (push, {"s": ((1, 1), I32)}, "seed is int32"),
    (push, {"d": ((2, 1), I32)}, r"delay is int32\[2,1\], expected int32\[1,1\]"),
    (push, {"t": ((1,), I32)}, "step is int32"),
    (push, {"x": ((5,), I32)}, r"x is int32\[5\], expected bool or float32"),
    (push, {"pre_size": [6]}, "blocks reach outside"),
    (push, {"pre_offset": [-1]}, "blocks reach outside"),
    (push, {"post_offset": [2**62]}, "blocks reach outside"),
    (push, {"post_size": [7]}, "blocks reach outside"),
    (push, {"post_size": [3, 3]}, "blocks reach outside"),
    (push, {"delay_column": [1], "d": ((5, 1), I32)}, "delay_column does not name"),
    (push, {"delay_column": [0, 0], "d": ((5, 1), I32)}, "delay_column does not name"),
    (push, {"delay_value": 4}, "delay of 4 steps of presynaptic neuron 4, expected 0 to 3"),
    (push, {"delay_value": -1}, "delay of -1 steps"),
    (pop, {"ring": ((4,), F32)}, "expected rank 2"),
    (pop, {"out": ((4, 7), F32)}, r"result is float32\[4,7\], expected float32\[4,6\]"),
    (pop, {"now": ((5,), F32)}, r"now is float32\[5\], expected float32\[6\]"),
    (pop, {"t": ((2,), I32)}, "step is int32"),
    (pop, {"step": 4}, "step is 4, expected 0 to 3"),
    (pop, {"step": -1}, "step is -1, expected 0 to 3"),
]


@pytest.mark.parametrize(("handler", "change", "message"), HANDLERS)
def test_handlers_refuse_wrong_buffers(handler, change, message):
    assert evops.backends()["native"].available
    jax.block_until_ready(handler())
    with pytest.raises(Exception, match=message):
        jax.block_until_ready(handler(**change))


def test_handler_with_wrong_number_of_buffers_is_an_error():
    assert evops.backends()["native"].available
    fn = jax.ffi.ffi_call("evops_pop", jax.ShapeDtypeStruct((4, 6), F32))
    with pytest.raises(Exception, match="Wrong number of|wrong number of|Unexpected|arguments"):
        jax.block_until_ready(fn(jnp.ones((4, 6))))
