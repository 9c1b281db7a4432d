"""Handlers called by hand with wrong buffers return errors, and write nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evops
from evops.connectivity.format import Distances


@pytest.fixture(autouse=True, scope="module")
def registered():
    """Handlers called by hand are registered when the library is first asked for."""
    assert evops.backends()["native"].available


F32, U32, I32, U8 = np.float32, np.uint32, np.int32, np.uint8
# as the format numbers its readers
LFSR, GAPS, DENSE, SUBSET, DIAGONAL, COUNTED, GRID, DISTANCES, PAIRS = range(9)
NONE = ((0,), U32)
SCHEME = [LFSR, 0, 19, 2**32 // 19, 0, 0, 0, 0]
UNIT = ((0,), I32)  # the quantiles of a law that has none
QUANTILES = ((3 * 1025,), I32)


def spec(scheme, law=0, synapses_per_row=1, delay_bits=0, **others):
    """The words of a spec, and the other attributes."""
    words = np.array([*scheme, law, synapses_per_row, delay_bits, 0, 0, 0, 0], np.int64)
    return {"spec": words, **{k: np.int64(v) for k, v in others.items()}}


def product(
    target="evops_scatter",
    x=((1, 8), bool),
    w=((2, 1), F32),
    s=((2, 2), U32),
    table=((1, 0), U32),
    quantiles=UNIT,
    y=((2, 5), F32),
    **attributes,
):
    attributes = spec(**{"per_input": 2, "listed": 0, "scheme": SCHEME, **attributes})
    fn = jax.ffi.ffi_call(target, jax.ShapeDtypeStruct(*y))
    return fn(*(jnp.ones(*operand) for operand in (x, w, s, table, quantiles)), **attributes)


def words(reader, autapses, *fields):
    """The words of a scheme, which are as many for all."""
    return [reader, autapses, *fields, *(0,) * (6 - len(fields))]


def reader(*scheme, table=0, **other):
    """A change of the scheme: x and y are 8 and 5 neurons, the table has so many entries."""
    return {"scheme": words(*scheme), "table": ((1, table), U32), **other}


def gather(**changes):
    """The same from the 5 pre neurons' side: x has the 8 post neurons."""
    return product("evops_gather", **{"x": ((1, 8), F32), **changes})


def edges(
    indptr=(0, 3, 6),
    key=((2,), U32),
    table=((1, 0), U32),
    quantiles=UNIT,
    delays=NONE,
    post=((6,), I32),
    z=((0,), F32),
    drawn=((0,), I32),
    indptr_type=I32,
    **attributes,
):
    """Three synapses of each of two neurons."""
    attributes = spec(**{"n_post": 5, "scheme": words(SUBSET, 0, 3, 4, 16, 5), **attributes})
    fn = jax.ffi.ffi_call("evops_edges", [jax.ShapeDtypeStruct(*o) for o in (post, z, drawn)])
    operands = (jnp.ones(*operand) for operand in (key, table, quantiles, delays))
    return fn(*operands, jnp.asarray(indptr, indptr_type), **attributes)


def draw_indptr(key=((2,), U32), out=((6,), U32), total=9):
    fn = jax.ffi.ffi_call("evops_indptr", jax.ShapeDtypeStruct(*out))
    return fn(jnp.ones(*key), total=np.int64(total))


HANDLERS = [
    (product, {"x": ((8,), bool)}, "expected rank 2"),
    (product, {"y": ((5,), F32)}, "expected rank 2"),
    (product, {"x": ((1, 8), I32)}, r"x is int32\[1,8\], expected bool or float32"),
    (product, {"listed": 2}, r"x is bool\[1,8\], expected uint8 with a list of 2 words"),
    (product, {"x": ((1, 8), U8)}, r"x is uint8\[1,8\], expected bool or float32"),
    (product, {"x": ((1, 11), U8), "listed": 3}, r"uint8\[1,11\], expected uint8 with a list of 3"),
    (product, {"x": ((1, 11), U8), "listed": -1}, "with a list of -1 words"),
    (gather, {"x": ((1, 12), U8), "listed": 1}, "which this product does not take"),
    (product, {"w": ((3, 1), F32)}, r"weight is float32\[3,1\], expected float32\[2,1\]"),
    (product, {"w": ((2,), F32)}, r"weight is float32\[2\], expected float32\[2,1\]"),
    (product, {"w": ((2, 2), F32)}, r"weight is float32\[2,2\], expected float32\[2,1\]"),
    (product, {"w": ((2, 1), I32)}, r"weight is int32\[2,1\], expected float32\[2,1\]"),
    (product, {"s": ((2, 2), I32)}, r"seed is int32\[2,2\], expected uint32\[2,2\]"),
    (product, {"s": ((2,), U32)}, r"seed is uint32\[2\], expected uint32\[2,2\]"),
    (product, {"y": ((2, 5), np.float16), "w": ((2, 1), np.float16)}, "expected int32, float32 or"),
    (product, {"per_input": 0}, "with per_input 0"),
    (product, {"per_input": 3}, "2 matrices for 1 rows of x with per_input 3"),
    (
        product,
        {"per_input": 2**62, "x": ((4, 8), bool)},
        "2 matrices for 4 rows of x with per_input",
    ),
    (
        product,
        {"per_input": 2**62, "x": ((2, 8), bool)},
        "2 matrices for 2 rows of x with per_input",
    ),
    (product, {"x": ((0, 8), bool)}, "2 matrices for 0 rows"),
    (product, {"law": -1, "w": ((2, 2), F32)}, "spec has the word -1"),
    (product, {"law": 4, "w": ((2, 2), F32)}, "MatrixSpec.law is out of its range"),
    (product, {"law": 1}, r"weight is float32\[2,1\], expected float32\[2,2\]"),
    (product, {"law": 1, "w": ((2, 2), F32)}, r"quantiles is int32\[0\], expected int32\[3075\]"),
    (
        product,
        {"law": 1, "w": ((2, 2), F32), "quantiles": ((3074,), I32)},
        r"quantiles is int32\[3074\], expected int32\[3075\]",
    ),
    (
        product,
        {"law": 1, "w": ((2, 2), F32), "quantiles": ((3075,), F32)},
        r"quantiles is float32\[3075\], expected int32\[3075\]",
    ),
    (product, {"quantiles": QUANTILES}, r"quantiles is int32\[3075\], expected int32\[0\]"),
    *(
        (product, {**reader(DENSE, 0, 12, 9, 9), "law": law, "w": ((2, 2), F32)}, "law is [23]")
        for law in (2, 3)
    ),
    (gather, {"x": ((1, 8), bool)}, r"x is bool\[1,8\], expected float32"),
    (gather, {"x": ((1, 8), I32)}, r"x is int32\[1,8\], expected float32"),
    (gather, {**reader(DENSE, 0, 12, 9, 9), "x": ((1, 8), I32)}, "expected bool or float32"),
    (gather, reader(SUBSET, 0, 3, 4, 16, 5), "spec: "),  # its targets are the 8 neurons of x
    (edges, {"indptr": (0, 3, 2)}, "indptr does not rise from 0 to at most 6"),
    (edges, {"indptr": (0, 7, 6)}, "indptr does not rise from 0 to at most 6"),
    (edges, {"indptr": (1, 3, 6)}, "indptr does not rise from 0 to at most 6"),
    (edges, {"indptr": (-3, 0, 6)}, "indptr does not rise from 0 to at most 6"),
    (edges, {"indptr": (0, 3, 5)}, "more or fewer synapses than indptr says"),
    (edges, {"indptr": (7,)}, "indptr does not rise from 0 to at most 6"),
    (edges, {"indptr": ()}, "expected int32"),
    (edges, {"indptr": ((0, 3), (3, 6))}, "expected int32"),
    (edges, {"indptr_type": U32}, r"indptr is uint32\[3\], expected int32\[3\]"),
    (edges, {"indptr": (0, 2, 6)}, "more or fewer synapses than indptr says"),
    (edges, {"indptr": (0, 4, 6)}, "more or fewer synapses than indptr says"),
    (edges, {"indptr": (0, 3, 7), "post": ((7,), I32)}, "more or fewer synapses"),
    (edges, {"post": ((6, 1), I32)}, r"post is int32\[6,1\], expected int32\[6\]"),
    (edges, {"post": ((6,), U32)}, r"post is uint32\[6\], expected int32\[6\]"),
    (edges, {"z": ((6,), F32)}, r"z is float32\[6\], expected float32\[0\]"),
    (edges, {"law": 1, "quantiles": QUANTILES}, r"z is float32\[0\], expected float32\[6\]"),
    (edges, {"law": 1, "z": ((6,), F32)}, r"quantiles is int32\[0\], expected int32\[3075\]"),
    (edges, {"law": 2, "z": ((6,), F32)}, "law is 2"),
    (edges, {"key": ((1, 2), U32)}, r"key is uint32\[1,2\], expected uint32\[2\]"),
    (edges, {"table": ((2,), U32)}, r"table is uint32\[2\], expected uint32\[1,0\]"),
    (edges, {"delay_bits": 1}, r"delays is uint32\[0\], expected uint32\[2\]"),
    (edges, {"delay_bits": 1, "delays": ((2,), U32)}, r"drawn is int32\[0\], expected int32\[6\]"),
    (edges, {"drawn": ((6,), I32)}, r"drawn is int32\[6\], expected int32\[0\]"),
    (
        edges,
        reader(COUNTED, 0, 1, 0, 0, table=2),
        r"table is uint32\[1,2\], expected uint32\[1,3\]",
    ),
    (draw_indptr, {"key": ((1, 2), U32)}, r"key is uint32\[1,2\], expected uint32\[2\]"),
    (draw_indptr, {"out": ((1,), U32)}, "expected uint32.n_pre . 1."),
    (draw_indptr, {"out": ((6,), I32)}, r"indptr is int32\[6\], expected uint32\[6\]"),
    (draw_indptr, {"total": -1}, "total is -1"),
    (draw_indptr, {"total": 2**31}, "total is 2147483648"),
    (edges, {"n_post": 0}, "n_post is 0"),
    (edges, {"n_post": 2**31}, "n_post is 2147483648"),
    (edges, {"n_post": 6}, "spec: "),
    (edges, {"scheme": SCHEME}, "more or fewer synapses"),
]


# What a scheme may say; x and y of `product` are 8 and 5 neurons.
def distances(*fields, **other):
    """A rule of distance of 8 pre and 5 post neurons: axes, breaks, shapes and knots."""
    size = Distances(*fields).sections[-1] if fields[2] in (1, 2, 3) else 0
    return reader(DISTANCES, 0, *fields, table=size, **other)


GOOD_SCHEMES = {
    "clen 19": reader(*SCHEME),
    "clen 1": reader(LFSR, 0, 1, 2**32 - 1, 1),
    "gaps": reader(GAPS, 1, 12, 6, 0, table=64),
    "gaps of two digits": reader(GAPS, 0, 22, 12, 10, table=4096 + 1024),
    "dense": reader(DENSE, 1, 12, 255, 2**32 - 1),
    "dense, all": reader(DENSE, 0, 12, 256, 0),
    "dense, none": reader(DENSE, 0, 22, 0, 0),
    "subset": reader(SUBSET, 0, 5, 4, 16, 5),
    "multapses": reader(SUBSET, 0, 50, 0, 0, 5),
    "diagonal": reader(DIAGONAL, 0, 0, 0, 0),
    "a total": reader(COUNTED, 0, 1, table=9),
    "in-degrees": reader(COUNTED, 0, 3, 4, 16, 5, table=9),
    "a grid": reader(GRID, 0, 1, 5, 2, table=6),
    "a column": reader(GRID, 0, 5, 1, 2, table=6),
    "a grid alone": reader(GRID, 0, 1, 5, 0),
    "distances": distances(8, 5, 2, 0, 0, 9),
    "distances with jumps and a mask": distances(8, 5, 3, 15, 8, 2),
    "pairs": reader(PAIRS, 1, 8, 5, 1, 1, 0, table=1),
    "pairs of types": reader(PAIRS, 0, 8, 5, 2, 3, 0, table=6 + 13),
}
BAD_SCHEMES = {
    "no words": {"scheme": []},
    "three words": {"scheme": SCHEME[:3]},
    "seven words": {"scheme": [*SCHEME, 0]},
    "clen 0": reader(LFSR, 0, 0, 0, 0),
    "clen 2**31": reader(LFSR, 0, 2**31, 2, 0),
    "wrong multiplier": reader(LFSR, 0, 19, 5, 0),
    "hashed 2": reader(LFSR, 0, 19, 2**32 // 19, 2),
    "autapses of the published scheme": reader(LFSR, 1, *SCHEME[2:]),
    "unknown reader": reader(9, 0, 0, 0, 0),
    "pairs of other neurons": reader(PAIRS, 0, 8, 6, 1, 1, 0, table=1),
    "pairs of none": reader(PAIRS, 0, 0, 5, 1, 1, 0, table=1),
    "no types": reader(PAIRS, 0, 8, 5, 0, 1, 0, table=0),
    "32769 types": reader(PAIRS, 0, 8, 5, 2**15 + 1, 1, 0, table=2**15 + 14),
    "ways of two sides": reader(PAIRS, 0, 8, 5, 1, 1, 1, table=1),
    "three ways": reader(PAIRS, 0, 5, 5, 1, 1, 3, table=1),
    "types beyond 2**31": reader(PAIRS, 0, 2**31 - 1, 5, 1, 2, 0, table=0),
    "distances of other neurons": distances(8, 6, 2, 0, 0, 9),
    "distances of none": distances(0, 5, 2, 0, 0, 9),
    "distances along no axis": distances(8, 5, 0, 0, 0, 9),
    "distances along four axes": distances(8, 5, 4, 0, 0, 9),
    "16 jumps": distances(8, 5, 2, 16, 0, 9),
    "9 shapes": distances(8, 5, 2, 0, 9, 9),
    "one knot": distances(8, 5, 2, 0, 0, 1),
    "distances beyond 2**31": reader(DISTANCES, 0, 2**31 - 1, 5, 3, 0, 0, 9),
    "negative reader": reader(-1, 0, 0, 0, 0),
    "reader of 33 bits": reader(2**32, 0, 19, 2**32 // 19, 0),
    "autapses 2": reader(DENSE, 2, 12, 9, 9),
    "negative autapses": reader(DENSE, -1, 12, 9, 9),
    "block of 2**11": reader(GAPS, 0, 11, 7, 0, table=128),
    "block of 2**23": reader(GAPS, 0, 23, 7, 0, table=128),
    "table of 2**5": reader(GAPS, 0, 12, 5, 0, table=32),
    "table of 2**13": reader(GAPS, 0, 12, 13, 0, table=8192),
    "low digit of 9 bits": reader(GAPS, 0, 12, 7, 9, table=128 + 512),
    "negative low digit": reader(GAPS, 0, 12, 7, -10, table=128),
    "dense block of 2**13": reader(DENSE, 0, 13, 9, 9),
    "dense block of 2**23": reader(DENSE, 0, 23, 0, 0),
    "whole 257": reader(DENSE, 0, 12, 257, 0),
    "rest of 33 bits": reader(DENSE, 0, 12, 9, 2**32),
    "more targets than neurons": reader(SUBSET, 0, 6, 4, 16, 5),
    "a subset of others": reader(SUBSET, 0, 3, 4, 16, 6),
    "multapses of others": reader(SUBSET, 0, 3, 0, 0, 6),
    "multapses with halves": reader(SUBSET, 0, 3, 0, 16, 5),
    "domain too small": reader(SUBSET, 0, 3, 4, 15, 5),
    "low halves too small": reader(SUBSET, 0, 3, 3, 16, 5),
    "low halves too large": reader(SUBSET, 0, 3, 20, 1, 5),
    "domain larger than needed": reader(SUBSET, 0, 3, 4, 17, 5),
    "domain of 2**32": reader(SUBSET, 0, 3, 21, 2048, 5),
    "autapses of a subset": reader(SUBSET, 1, 3, 4, 16, 5),
    "diagonal of something": reader(DIAGONAL, 0, 1, 0, 0),
    "a grid of others": reader(GRID, 0, 2, 3, 1, table=3),
    "a grid without places": reader(GRID, 0, 1, 0, 1, table=3),
    "a grid beyond 2**31": reader(GRID, 0, 2**30 - 1, 2**30 - 1, 1, table=3),
    "an axis of 2**30 places": reader(GRID, 0, 1, 2**30, 1, table=3),
    "autapses of a grid": reader(GRID, 1, 1, 5, 1, table=3),
    "autapses of a total": reader(COUNTED, 1, 1, 0, 0, 5, table=9),
    "a total of others": reader(COUNTED, 0, 1, 0, 0, 6, table=9),
    "two totals": reader(COUNTED, 0, 2, table=9),
    "no in-degree": reader(COUNTED, 0, 0, 4, 16, 5, table=9),
    "in-degrees beyond 2**31": reader(COUNTED, 0, 2**30, 20, 2048, 5, table=9),
    "in-degrees in a small domain": reader(COUNTED, 0, 60, 4, 16, 5, table=9),
    "in-degrees in a large domain": reader(COUNTED, 0, 3, 4, 17, 5, table=9),
}
BAD_TABLES = {
    "no table of gaps": reader(GAPS, 0, 12, 7, 0),
    "half a table": reader(GAPS, 0, 12, 7, 0, table=64),
    "no second table": reader(GAPS, 0, 22, 12, 10, table=4096),
    "a table too many": reader(GAPS, 0, 22, 12, 0, table=4096 + 1024),
    "a dense table": reader(DENSE, 0, 12, 9, 9, table=1),
    "a published table": reader(*SCHEME, table=1),
    "a table of int32": {**reader(GAPS, 0, 12, 7, 0), "table": ((1, 128), I32)},
    "a table of one axis": {**reader(GAPS, 0, 12, 7, 0), "table": ((128,), U32)},
    "a table too few": {**reader(GAPS, 0, 12, 7, 0), "table": ((3, 128), U32)},
    "counts of fewer rows": reader(COUNTED, 0, 1, 0, 0, table=8),
    "displacements along two axes": reader(GRID, 0, 1, 5, 2, table=4),
    "types of fewer neurons": reader(PAIRS, 0, 8, 5, 2, 3, 0, table=6 + 12),
    "positions of fewer neurons": {
        **distances(8, 5, 2, 0, 0, 9),
        **reader(DISTANCES, 0, 9, 5, 2, 0, 0, 9, table=0),
    },
}


@pytest.mark.parametrize("scheme", GOOD_SCHEMES.values(), ids=GOOD_SCHEMES)
def test_schemes_in_range_pass(scheme):
    """Even where the table holds nonsense: all ones is a gap of 0 with p near 1."""
    assert np.isfinite(product(**scheme)).all()


@pytest.mark.parametrize("scheme", BAD_SCHEMES.values(), ids=BAD_SCHEMES)
def test_schemes_out_of_range_are_refused(scheme):
    with pytest.raises(Exception, match="evops_scatter: spec"):
        jax.block_until_ready(product(**scheme))


@pytest.mark.parametrize("scheme", BAD_TABLES.values(), ids=BAD_TABLES)
def test_tables_of_wrong_size_are_refused(scheme):
    with pytest.raises(Exception, match="evops_scatter: table is .*, expected uint32"):
        jax.block_until_ready(product(**scheme))


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


def list_spikes(flags=((2, 5), bool), out=((2, 17), U8), listed=3):
    fn = jax.ffi.ffi_call("evops_list_spikes", jax.ShapeDtypeStruct(*out))
    return fn(jnp.ones(*flags), listed=np.int64(listed))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flags": ((5,), bool)}, r"flags are bool\[5\], expected rank 2"),
        ({"flags": ((2, 5), U8)}, r"flags is uint8\[2,5\], expected bool\[2,5\]"),
        ({"out": ((2, 16), U8)}, r"result is uint8\[2,16\], expected uint8\[2,17\]"),
        ({"out": ((3, 17), U8)}, r"result is uint8\[3,17\], expected uint8\[2,17\]"),
        ({"out": ((2, 17), bool)}, r"result is bool\[2,17\], expected uint8\[2,17\]"),
        ({"listed": 0, "out": ((2, 5), U8)}, "0 words for 5 flags, expected 1 to 2147483647"),
        ({"listed": -1, "out": ((2, 1), U8)}, "-1 words for 5 flags"),
        ({"listed": 2**61, "out": ((2, 5), U8)}, "words for 5 flags, expected 1 to 2147483647"),
    ],
)
def test_lists_of_spikes_are_refused(change, message):
    want = [*[1] * 5, *np.array([5, 0, 1], np.uint32).view(U8)]
    np.testing.assert_array_equal(list_spikes(), [want, want])
    with pytest.raises(Exception, match=message):
        jax.block_until_ready(list_spikes(**change))
