"""The handlers of the ring of delayed sums by hand: sizes, types and ranges that they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
from test_handlers import (
    COUNTED,
    DENSE,
    F32,
    GAPS,
    I32,
    QUANTILES,
    SCHEME,
    SUBSET,
    U32,
    UNIT,
    words,
)

NONE = ((0,), U32)
DENSE_WORDS = words(DENSE, 0, 12, 9, 9)


@pytest.fixture(autouse=True, scope="module")
def library():
    """The handlers are known once the library is loaded."""
    assert evops.backends()["native"].available


def push_attributes(**a):
    """Those of one pair of 5 and 6 neurons and one spec, in words `scheme`, `law` …"""
    spec = {"scheme": SCHEME, "law": 0, "synapses_per_row": 1, "delay_bits": 0}
    spec |= {"table_offset": 0, "quantiles_offset": 0, "delays_offset": 0, "ramp": 0}
    spec = {name: a.pop(name, value) for name, value in spec.items()}
    a = {
        "pre_offset": [0], "pre_size": [5], "post_offset": [0], "post_size": [6], "delay_column": [],
        "spec_of_pair": [], "indptr_offset": [], "listed": 0,
        "specs": [*spec.pop("scheme"), *spec.values()], **a,
    }  # fmt: skip
    return {k: np.array(v, np.int64)[()] for k, v in a.items()}


def one_table(reader, autapses, *three, table=0, **other):
    """A change of the scheme of a push, whose table has so many entries."""
    return {"scheme": words(reader, autapses, *three), "table": ((table,), U32), **other}


def push(
    ring=((4, 6), F32),
    x=((5,), bool),
    w=((1, 1, 1), F32),
    s=((1, 1, 2), U32),
    d=((1, 1), I32),
    t=((), I32),
    table=NONE,
    quantiles=UNIT,
    delays=NONE,
    **a,
):
    a = push_attributes(**a)
    fn = jax.ffi.ffi_call("evops_push", jax.ShapeDtypeStruct(*ring))
    scale = a.pop("delay_value", 1)
    operands = [jnp.ones(*o) for o in (ring, x, w, s, d, t, table, quantiles, delays)]
    operands[4] = operands[4] * int(scale)
    return fn(*operands, **a)


def pop(ring=((4, 6), F32), t=((), I32), out=((4, 6), F32), now=((6,), F32), step=1):
    fn = jax.ffi.ffi_call("evops_pop", [jax.ShapeDtypeStruct(*out), jax.ShapeDtypeStruct(*now)])
    return fn(jnp.ones(*ring), jnp.full(*t[:1], step, t[1]))


DELAYED = {"delays": ((4,), U32), "delay_bits": 2, "scheme": DENSE_WORDS}
TWO = {  # pairs of a counted rule
    **one_table(COUNTED, 0, 1, 0, 0, table=12),
    "post_offset": [0, 3], "post_size": [3, 3],
    "w": ((1, 2, 1), F32), "s": ((1, 2, 2), U32), "d": ((1, 2), I32),
    "indptr_offset": [0, 6],
}  # fmt: skip
HANDLERS = [
    (push, {"ring": ((4, 6, 1), F32)}, "expected ranks 2, 1 and 2"),
    (push, {"w": ((1, 2, 1), F32)}, r"weight is float32\[1,2,1\], expected float32\[1,1,1\]"),
    (push, {"w": ((1, 1), F32)}, r"weight is float32\[1,1\], expected float32\[1,1,1\]"),
    (push, {"law": 1, "w": ((1, 1, 2), F32)}, "expected int32 with 3075 entries from entry 0"),
    (
        push,
        {"law": 1, "w": ((1, 1, 2), F32), "quantiles": QUANTILES, "quantiles_offset": 1},
        "expected int32 with 3075 entries from entry 1 on",
    ),
    (
        push,
        {"law": 1, "quantiles": QUANTILES},
        r"weight is float32\[1,1,1\], expected float32\[1,1,2\]",
    ),
    (push, {**DELAYED, "delay_bits": 3}, r"delays is uint32\[4\], expected uint32 with 8 entries"),
    (push, {**DELAYED, "delays_offset": 1}, "expected uint32 with 4 entries from entry 1 on"),
    (push, {**DELAYED, "delays_offset": -4}, "spec has the word -4"),
    (push, {**DELAYED, "delay_bits": 13}, "MatrixSpec.delay_bits is out of its range"),
    (push, {**DELAYED, "delay_bits": -1}, "spec has the word -1"),
    (push, one_table(COUNTED, 0, 1, 0, 0, table=5), "expected uint32 with 6 entries from entry 0"),
    (push, {**TWO, "indptr_offset": [0, 7]}, "expected uint32 with 6 entries from entry 7 on"),
    (push, {**TWO, "indptr_offset": [0, -1]}, "indptr_offset is -1, expected 0 to 2147483647"),
    (push, {**TWO, "indptr_offset": [0, 2**63 - 1]}, "indptr_offset is 9223372036854775807"),
    (push, {**TWO, "indptr_offset": [6]}, "have 1 entries, expected none or 2"),
    (push, {**TWO, "table_offset": 2**63 - 1}, "spec has the word 9223372036854775807"),
    (push, {**TWO, "spec_of_pair": [0, 1]}, "spec_of_pair is 1, expected -1 to 0"),
    (push, {**TWO, "spec_of_pair": [0, -2]}, "spec_of_pair is -2, expected -1 to 0"),
    (push, {**TWO, "spec_of_pair": [0]}, "have 1 entries, expected none or 2"),
    (push, {"specs": 2 * [*SCHEME, 0, 1, 0, 0, 0, 0, 0]}, "no entries, expected 1 for 2 specs"),
    (
        push,
        {
            "specs": [*DENSE_WORDS, 0, 1, 0, 0, 9, 0, 0, *DENSE_WORDS, 1, 1, 0, 0, 0, 0, 0],
            "spec_of_pair": [0],
            "quantiles": QUANTILES,
            "w": ((1, 1, 2), F32),
        },
        "expected int32 with 3075 entries from entry 9 on",
    ),
    (push, {"specs": []}, "specs are 0 words, expected 15 for each"),
    (push, {"specs": [*SCHEME, 0, 1, 0, 0, 0, 0]}, "specs are 14 words"),
    (
        push,
        {
            "specs": [*SCHEME, 0, 1, 0, 0, 0, 0, 0, *DENSE_WORDS, 0, 1, 0, 0, 0, 0, 0],
            "spec_of_pair": [0],
        },
        "the published scheme, with each of its laws, stands alone",
    ),
    (push, {"s": ((1, 1, 2), I32)}, "seed is int32"),
    (push, {"s": ((1, 1), U32)}, r"seed is uint32\[1,1\], expected uint32\[1,1,2\]"),
    (push, {"scheme": [7, *SCHEME[1:]]}, "spec: "),
    (
        push,
        {"scheme": words(GAPS, 0, 12, 7, 0)},
        r"table is uint32\[0\], expected uint32 with 128 entries",
    ),
    (
        push,
        {"scheme": words(GAPS, 0, 12, 7, 0), "table": ((1, 128), U32)},
        r"table is uint32\[1,128\]",
    ),
    (push, {"scheme": words(GAPS, 0, 12, 7, 0), "table": ((128,), I32)}, r"table is int32\[128\]"),
    (push, {"scheme": words(SUBSET, 0, 7, 4, 16, 6)}, "spec: "),
    (push, {"scheme": words(SUBSET, 0, 4, 4, 16, 6), "post_size": [5]}, "spec: "),
    (push, {"d": ((2, 1), I32)}, r"delay is int32\[2,1\], expected int32\[1,1\]"),
    (push, {"t": ((1,), I32)}, "step is int32"),
    (push, {"x": ((5,), I32)}, r"x is int32\[5\], expected bool or float32"),
    (push, {"pre_size": [6]}, "populations reach outside"),
    (push, {"pre_offset": [-1]}, "populations reach outside"),
    (push, {"post_offset": [2**62]}, "populations reach outside"),
    (push, {"post_size": [7]}, "populations reach outside"),
    (push, {"post_size": [3, 3]}, "populations reach outside"),
    (push, {"delay_column": [1], "d": ((5, 1), I32)}, "delay_column does not name"),
    (push, {"delay_column": [0, 0], "d": ((5, 1), I32)}, "delay_column does not name"),
    (push, {"delay_value": 4}, "delay of 4 steps of presynaptic neuron 4, expected 0 to 3"),
    (push, {"delay_value": -1}, "delay of -1 steps"),
    (
        push,
        {"ring": ((2, 4, 6), F32), "x": ((3, 5), bool)},
        r"bool\[3,5\] is of another batch than",
    ),
    (
        push,
        {"ring": ((2, 4, 6), F32), "x": ((2, 5), bool), "d": ((2, 2, 1, 1), I32)},
        r"int32\[2,2,1,1\] is of another batch than the ring, float32\[2,4,6\]",
    ),
    (
        push,
        {"ring": ((2, 4, 6), F32), "x": ((2, 5), bool), "w": ((2, 1, 2, 1), F32)},
        "weight is float",
    ),
    (pop, {"ring": ((4,), F32)}, "expected rank 2"),
    (pop, {"ring": ((2, 4, 6), F32)}, "expected rank 2"),
    (pop, {"ring": ((2, 4, 6), F32), "now": ((3, 6), F32)}, "is of another batch than"),
    (pop, {"out": ((4, 7), F32)}, r"result is float32\[4,7\], expected float32\[4,6\]"),
    (pop, {"now": ((5,), F32)}, r"now is float32\[5\], expected float32\[6\]"),
    (pop, {"t": ((2,), I32)}, "step is int32"),
    (pop, {"step": 4}, "step is 4, expected 0 to 3"),
    (pop, {"step": -1}, "step is -1, expected 0 to 3"),
]


@pytest.mark.parametrize("fill", [0, 2**32 - 1, 0x0F0F0F0F])
def test_wrong_delays_stay_in_the_ring(fill):
    ring = push(**{**DELAYED, "delays": ((4,), U32)})
    assert float(np.asarray(ring).sum()) >= 24  # the table of ones
    fn = jax.ffi.ffi_call("evops_push", jax.ShapeDtypeStruct((3, 6), F32))
    attributes = push_attributes(scheme=words(DENSE, 0, 12, 256, 0), delay_bits=12)
    ring = fn(
        np.zeros((3, 6), F32), np.ones(5, bool), np.ones((1, 1, 1), F32), np.ones((1, 1, 2), U32),
        np.ones((1, 1), I32), np.int32(2), np.zeros(0, U32), np.zeros(0, I32),
        np.full(4096, fill, U32), **attributes,
    )  # fmt: skip
    assert float(np.asarray(ring).sum()) == 30


@pytest.mark.parametrize("at", [0, 6])
def test_wrong_starts_stay_in_their_targets(at, rng):
    """Of each pair, wherever its starts lie in the table."""
    starts = rng.integers(0, 10**5, 12).astype(U32)
    attributes = push_attributes(
        scheme=words(COUNTED, 0, 1, 0, 0),
        post_offset=[0, 4],
        post_size=[2, 2],
        indptr_offset=[at, 6 - at],
    )
    ring = jax.ffi.ffi_call("evops_push", jax.ShapeDtypeStruct((3, 6), F32))(
        np.zeros((3, 6), F32), np.ones(5, bool), np.ones((1, 2, 1), F32), np.ones((1, 2, 2), U32),
        np.ones((1, 2), I32), np.int32(1), starts, np.zeros(0, I32), np.zeros(0, U32), **attributes,
    )  # fmt: skip
    ring = np.asarray(ring)
    assert ring[2, [0, 1, 4, 5]].min() > 0 and ring[2, 2:4].max() == 0 and not ring[:2].any()


@pytest.mark.parametrize("bits", [0, 8])
def test_starts_that_fall_are_lines_without_synapses(bits):
    scheme = words(COUNTED, 0, 3, 4, 16, 6) if bits else words(COUNTED, 0, 1, 0, 0)
    attributes = push_attributes(scheme=scheme, pre_size=[2])
    starts = np.array([2**32 - 1, 7, 0], U32)
    ring = jax.ffi.ffi_call("evops_push", jax.ShapeDtypeStruct((3, 6), F32))(
        np.zeros((3, 6), F32), np.ones(2, bool), np.ones((1, 1, 1), F32), np.ones((1, 1, 2), U32),
        np.ones((1, 1), I32), np.int32(1), starts, np.zeros(0, I32), np.zeros(0, U32), **attributes,
    )  # fmt: skip
    assert not np.asarray(ring).any()


def test_starts_of_more_synapses_than_there_can_be_come_to_an_end():
    attributes = push_attributes(scheme=words(COUNTED, 0, 1, 0, 0), pre_size=[1])
    starts = np.array([0, 2**32 - 1], U32)
    ring = jax.ffi.ffi_call("evops_push", jax.ShapeDtypeStruct((3, 6), I32))(
        np.zeros((3, 6), I32), np.ones(1, bool), np.ones((1, 1, 1), I32), np.ones((1, 1, 2), U32),
        np.ones((1, 1), I32), np.int32(1), starts, np.zeros(0, I32), np.zeros(0, U32), **attributes,
    )  # fmt: skip
    assert np.asarray(ring, np.int64).sum() == 2**31 - 1


@pytest.mark.parametrize("offset", [0, 3])
def test_targets_of_several_blocks_are_added_to_the_ring(offset):
    """Blocks that share neurons go to one thread."""
    n, synapses = 6000, 40_000_000
    attributes = push_attributes(
        scheme=words(DENSE, 0, 12, 256, 0), synapses_per_row=synapses, pre_size=[40],
        post_offset=[0, offset], post_size=[n, n],
    )  # fmt: skip
    ring = jax.ffi.ffi_call("evops_push", jax.ShapeDtypeStruct((2, n + offset), F32))(
        np.full((2, n + offset), 7, F32), np.ones(40, bool), np.ones((1, 2, 1), F32),
        np.ones((1, 2, 2), U32), np.ones((1, 2), I32), np.int32(0), np.zeros(0, U32),
        np.zeros(0, I32), np.zeros(0, U32), **attributes,
    )  # fmt: skip
    assert (np.asarray(ring)[0] == 7).all() and (np.asarray(ring)[1, offset:n] == 87).all()


@pytest.mark.parametrize(("handler", "change", "message"), HANDLERS)
def test_handlers_refuse_wrong_buffers(handler, change, message):
    jax.block_until_ready(handler())
    with pytest.raises(Exception, match=message):
        jax.block_until_ready(handler(**change))
