"""Results in the place of an operand: the kernel changes its states, and nobody else sees it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import taichi as ti

import evops
from evops.compiler import native

pytestmark = pytest.mark.range_ends

STRUCT = jax.ShapeDtypeStruct
A = ti.types.ndarray(ndim=1)
N = 1000


@ti.kernel
def integrate(v: A, current: A, spikes: A):
    for i in range(v.shape[0]):
        v[i] = 0.5 * v[i] + current[i]
        spikes[i] = ti.cast(v[i] > 1.0, ti.u8)
        if v[i] > 1.0:
            v[i] = 0.0


def expected(v, current):
    v = np.float32(0.5) * np.asarray(v) + np.asarray(current)
    return np.where(v > 1, np.float32(0), v), v > 1


def fallback(v, current, *, outs):
    v = 0.5 * v + current
    return [jnp.where(v > 1, 0.0, v), v > 1]


@functools.cache
def operator(**options):
    return evops.XLACustomOp(integrate, in_place={"v": 0}, fallback=fallback, **options)


def call(v, current, **options):
    return operator(**options)(v, current, outs=[STRUCT(v.shape, v.dtype), STRUCT(v.shape, bool)])


def states(n=N):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=n), jnp.float32), jnp.asarray(rng.random(n), jnp.float32)


def same(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("n", [0, 1, N, 100_000])
def test_what_is_given_stays(n, parallel):
    v, current = states(n)
    before, wanted = np.asarray(v).copy(), expected(v, current)
    for _ in range(3):  # also when the kernel's pace is known, and it is split
        same(call(v, current, parallel=parallel), wanted)
        np.testing.assert_array_equal(v, before)
    same(call(before, current, parallel=parallel), wanted)  # NumPy's memory, which jax may share
    np.testing.assert_array_equal(v, before)


def test_one_array_as_both_operands():
    v, _ = states()
    before = np.asarray(v).copy()
    same(call(v, v), expected(v, v))
    same(jax.jit(lambda v: call(v, v))(v), expected(v, v))
    np.testing.assert_array_equal(v, before)


def test_users_of_the_operand_see_what_it_was():
    v, current = states()

    @jax.jit
    def both(v):
        w = v * 2
        new, spikes = call(w, current)
        again, _ = call(w, current)
        return new, again, w, w.sum(), spikes

    new, again, w, total, spikes = both(v)
    wanted, fired = expected(v * 2, current)
    same((new, again, w, spikes), (wanted, wanted, 2 * v, fired))
    assert total == (2 * v).sum()


def test_scan_and_transforms():
    v, current = states()

    def step(v, _):
        new, spikes = call(v, current)
        return new, (v, spikes)  # the state before, which must not be overwritten

    last, (seen, fired) = jax.lax.scan(step, v, length=5)
    now = np.asarray(v)
    for k in range(5):
        np.testing.assert_array_equal(seen[k], now)
        now, spikes = expected(now, current)
        np.testing.assert_array_equal(fired[k], spikes)
    np.testing.assert_array_equal(last, now)
    many = jnp.stack([v, v + 1, 2 * v])
    same(jax.vmap(call, (0, None))(many, current), expected(many, current))
    with jax.disable_jit():
        same(call(v, current), expected(v, current))
    same(
        operator()(
            v, current, outs=[STRUCT(v.shape, v.dtype), STRUCT(v.shape, bool)], backend="jnp"
        ),
        expected(v, current),
    )


def test_a_scan_copies_no_state():
    v, current = states()

    def run(v, current):
        return jax.lax.scan(lambda v, _: (call(v, current)[0], None), v, length=5)[0]

    text = jax.jit(run, donate_argnums=0).lower(v, current).compile().as_text()
    assert "evops_custom" in text
    assert f"f32[{N}]{{0}} copy(" not in text


def test_donated_memory_is_used_again():
    v, current = states(100_000)
    wanted = expected(v, current)
    where = v.unsafe_buffer_pointer()
    new, spikes = jax.jit(call, donate_argnums=0)(v, current)
    same((new, spikes), wanted)
    assert v.is_deleted() and new.unsafe_buffer_pointer() == where


@ti.kernel
def swap(a: A, b: A):
    for i in range(a.shape[0]):
        a[i], b[i] = b[i], a[i]


def test_several_in_any_order():
    a, b = states()
    outs = [STRUCT(a.shape, a.dtype)] * 2
    straight = evops.XLACustomOp(swap, in_place={"a": 0, "b": 1})
    crossed = evops.XLACustomOp(swap, in_place={"a": 1, "b": 0})
    same(straight(a, b, outs=outs), (b, a))
    same(crossed(a, b, outs=outs), (a, b))
    same(crossed(a, a, outs=outs), (a, a))
    same(jax.jit(lambda a, b: straight(*crossed(a, b, outs=outs), outs=outs))(a, b), (b, a))


def test_other_operands_are_still_read_only():
    v, current = states()
    with pytest.raises(evops.KernelError, match="swap writes to b: what a call is given"):
        evops.XLACustomOp(swap, in_place={"a": 0})(v, current, outs=[STRUCT(v.shape, v.dtype)])


def test_a_result_in_other_memory_is_a_copy(monkeypatch):
    """XLA puts results in place; where it does not, the handler copies, and spares the operand."""
    keys, registered = [], native.registered
    monkeypatch.setattr(
        native, "registered", lambda request: keys.append(registered(request)) or keys[-1]
    )
    v, current = states()
    before = np.asarray(v).copy()
    wanted = call(v, current, name="by hand")
    outs = [STRUCT(v.shape, v.dtype), STRUCT(v.shape, bool)]
    by_hand = jax.ffi.ffi_call("evops_custom", outs)
    contents = np.array([0, -1], np.int64)
    same(by_hand(v, current, key=keys[-1], name="by hand", contents=contents), wanted)
    np.testing.assert_array_equal(v, before)


WRONG = {
    r"in_place must be a dict .* got \['v'\]": (TypeError, ["v"]),
    r"in_place must be a dict .* got \{0: 0\}": (TypeError, {0: 0}),
    r"in_place\['v'\] must be an integer, got 0.5": (TypeError, {"v": 0.5}),
    r"in_place\['v'\] must be an integer from 0": (ValueError, {"v": -1}),
    "in_place must give each array a result of its own": (ValueError, {"v": 0, "current": 0}),
    r"in_place must name arrays of integrate \(v, current, spikes\), got 'w'": (
        ValueError,
        {"w": 0},
    ),
}


@pytest.mark.parametrize(("message", "given"), WRONG.items())
def test_wrong_arguments(message, given):
    kind, in_place = given
    with pytest.raises(kind, match=message):
        evops.XLACustomOp(integrate, in_place=in_place)


def test_wrong_calls():
    v, current = states()
    good = [STRUCT(v.shape, v.dtype), STRUCT(v.shape, bool)]
    bad = {
        r"v is in the place of outs\[0\], which must be float32\[1000\] as well, got int32\[1000\]": [
            STRUCT(v.shape, jnp.int32),
            good[1],
        ],
        r"v is in the place of outs\[0\], .* got float32\[10\]": [STRUCT((10,), v.dtype), good[1]],
    }
    for message, outs in bad.items():
        with pytest.raises(ValueError, match=f"integrate: {message}"):
            operator()(v, current, outs=outs)
    with pytest.raises(TypeError, match="got 2 arrays and 1 outs, 1 of them in place"):
        operator()(v, current, outs=good[:1])
    with pytest.raises(ValueError, match="in the place of result 5; outs has 2"):
        evops.XLACustomOp(integrate, in_place={"v": 5})(v, current, outs=good)
    with pytest.raises(ValueError, match="in_place names spikes, an array of outs"):
        evops.XLACustomOp(integrate, in_place={"spikes": 0})(v, current, outs=good)
    with pytest.raises(ValueError, match="in_place names arrays of a kernel"):
        evops.XLACustomOp(fallback=fallback, in_place={"v": 0})
    with pytest.raises(ValueError, match="same arrays of cpu_kernel and gpu_kernel"):

        @ti.kernel
        def other(current: A, v: A, spikes: A):
            for i in range(v.shape[0]):
                v[i] = current[i]

        evops.XLACustomOp(integrate, other, in_place={"v": 0})


# ---- On a GPU, which here is the CPU that runs the GPU's code (test_custom_gpu.py).


@pytest.mark.gpu_code
def test_on_a_gpu(driver):
    op = evops.XLACustomOp(gpu_kernel=integrate, in_place={"v": 0})
    v, current = states()
    before, wanted = np.asarray(v).copy(), expected(v, current)
    outs = [STRUCT(v.shape, v.dtype), STRUCT(v.shape, bool)]

    def step(v, _):
        v, spikes = op(v, current, outs=outs)
        return v, spikes

    same(op(v, current, outs=outs), wanted)
    same(op(v, v, outs=outs), expected(v, v))
    np.testing.assert_array_equal(v, before)
    last, fired = jax.jit(lambda v: jax.lax.scan(step, v, length=2))(v)
    again, spikes = expected(wanted[0], current)
    same((last, *fired), (again, wanted[1], spikes))
    driver.emulated_clear()
    op(v, current, outs=outs)
    assert "memset" not in driver.emulated_calls().decode().lower()  # `spikes` is written wholly
