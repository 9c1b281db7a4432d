"""`connectivity.near.partners` by the native library: the same synapses, on all threads."""

import ctypes
from typing import Any

import numpy as np

from evops.connectivity import near
from evops.connectivity.stored_rules import Words
from evops.engine import library

_SIZES = (
    "n others axes tile tiles breaks slots pieces knots shapes backwards autapses multapses "
    "role total"
).split()
_ARRAYS = {
    "key": np.uint32,
    "own": np.int64,
    "periods": np.int64,
    "points": np.int64,
    "order": np.int64,
    "boxes": np.int64,
    "break_at": np.uint64,
    "begins": np.int64,
    "bits": np.int64,
    "knot": np.float64,
    "bounds": np.float64,
    "shape": np.float64,
    "truth": np.uint8,
    "powers": np.uint64,
    "k": np.int64,
    "found": np.int32,
    "counts": np.int64,
}


class _Request(ctypes.Structure):
    """`NearRequest` of kernels/ffi/near.cc."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in _SIZES),
        ("furthest", ctypes.c_uint64),
        ("unit", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
    )


def requested(
    of: near.Near, k: np.ndarray, words: Words, *, role: int, multapses: bool
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Numbers and arrays of a request, in the order of its fields; the last two are results."""
    tiles, table = of.tiles, of.table
    shapes, truth = near.mask_of(of)
    total = int(k.sum())
    arrays = {
        "key": np.array(words),
        "own": of.own,
        "periods": tiles.periods,
        "points": tiles.points.T,
        "order": tiles.order,
        "boxes": tiles.boxes,
        "break_at": table.breaks,
        "begins": table.begins,
        "bits": table.bits,
        "knot": table.knots,
        "bounds": table.bounds,
        "shape": shapes,
        "truth": truth,
        "powers": near.POWERS,
        "k": k,
        "found": np.empty(total, np.int32),
        "counts": np.zeros(len(k), np.int64),
    }
    numbers = {
        "n": len(of.own),
        "others": len(tiles.order),
        "axes": of.own.shape[1],
        "tile": tiles.size,
        "tiles": len(tiles.begins),
        "breaks": len(table.breaks),
        "slots": len(table.bounds),
        "pieces": len(table.breaks) + 1,
        "knots": len(table.knots),
        "shapes": len(shapes),
        "backwards": of.backwards,
        "autapses": of.autapses,
        "multapses": multapses,
        "role": role,
        "total": total,
    }
    numbers |= {"furthest": table.furthest, "unit": table.unit}
    return numbers, {name: np.ascontiguousarray(a, _ARRAYS[name]) for name, a in arrays.items()}


def drawn(numbers: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Fills the arrays of results."""
    pointers = {name: a.ctypes.data for name, a in arrays.items()}
    status = library.loaded().evops_draw_near(ctypes.byref(_Request(**numbers, **pointers)))
    if status == 2:
        raise MemoryError(f"no memory to draw {numbers['total']} synapses")
    if status:
        raise ValueError(
            f"the partners of {numbers['total']} synapses cannot be drawn: out of range"
        )


def partners(
    of: near.Near, k: np.ndarray, words: Words, *, role: int, multapses: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Each neuron, as often as it finds partners, and these; see `connectivity.near.partners`."""
    numbers, arrays = requested(of, k, words, role=role, multapses=multapses)
    drawn(numbers, arrays)
    found, counts = arrays["found"], arrays["counts"]
    if counts.sum() < found.size:  # some found fewer: the rest of their room is empty
        room = np.arange(found.size) - np.repeat(np.cumsum(k) - k, k)
        found = found[room < np.repeat(counts, k)]
    return np.repeat(np.arange(len(k), dtype=np.int32), counts), found
