"""Spikes on their way through stored matrices to a ring of delayed sums: a primitive and its rules.

``push`` takes any number of matrices in one call. Every entry k of row i of a matrix adds

    scale * x[pre_offset + i] * data[k]

to ``ring[(step + delay[k]) mod slots, post_offset + indices[k]]``. It is linear in the ring, and in
x, each `data` and each `scale` where the others stay. The ring as one vector of slots * n sums
takes a product of `stored`, whose columns follow from slots and neurons. So the derivatives bind
`stored` with such columns.

A batch of rings is one call, in place: operands then have its axes in front, the ring and x always,
the others if they are not the same for all rings.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Num, Shaped

from evops.engine import ring_batches, spike_lists, stored
from evops.engine.compat import (
    Cotangent,
    Dims,
    Linear,
    Operand,
    ShapedArray,
    Tangent,
    ad,
    is_zero,
)
from evops.engine.primitive import register


class Place(NamedTuple):
    """Where the rows of a matrix lie among the spikes, and its columns among the ring's neurons."""

    pre_offset: int
    n_pre: int
    post_offset: int
    n_post: int


def push(
    ring: Num[Operand, "slots n"],
    x: Shaped[Operand, " n_x"] | spike_lists.Listed,
    step: Int32[Operand, ""],
    matrices: Sequence[Sequence[Operand]],
    *,
    places: tuple[Place, ...],
    backend: str,
) -> Num[Array, "slots n"]:
    """Bind `push`; the result is the ring.

    Args:
        ring: (slots, n), int32, float32 or float64.
        x: (n_x,), bool, with a list or without, or of the ring's dtype.
        step: current slot, int32 scalar.
        matrices: `data`, `indices` and `indptr` of each, as `stored.stored` takes them, and
            `delay`, int32, (nnz,) or (1,) for one delay of all entries, and `scale`, (1,) of the
            ring's dtype.
        places: where each matrix lies.
        backend: "native" or "jnp".
    """
    x, listed = spike_lists.operand(x)
    matrices = [(stored.one_if_equal(x, data), *rest) for data, *rest in matrices]
    return _bind(ring, x, step, matrices, places=places, listed=listed, backend=backend)


def _bind(
    ring: Operand, x: Operand, step: Operand, matrices: Sequence[Sequence[Operand]], **statics: Any
) -> Array:
    """The primitive, of one ring or of a batch."""
    flat = [operand for matrix in matrices for operand in matrix]
    return push_p.bind(ring, x, step, *flat, **statics)


# Axes of the operands of one ring: of those before the matrices, and of a matrix; and how many
# operands of a batch always have its axes.
_HEAD, _MATRIX, _BATCHED = (2, 1, 0), (1, 1, 1, 1, 1), 2


def _ranks(operands: Sequence[Any]) -> tuple[int, ...]:
    return _HEAD + _MATRIX * ((len(operands) - len(_HEAD)) // len(_MATRIX))


def _split(operands: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    """The operands before the matrices, and those of the matrices."""
    return operands[: len(_HEAD)], operands[len(_HEAD) :]


def _each_matrix(matrices: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """The operands of a matrix, for each."""
    size = len(_MATRIX)
    return (tuple(matrices[k : k + size]) for k in range(0, len(matrices), size))


def _shape(
    *operands: Shaped[ShapedArray, "..."], places: tuple[Place, ...], **_: Any
) -> ShapedArray:
    ring, x = operands[:_BATCHED]
    ((_, n), (n_x,), _), rest = _split(ring_batches.shapes_of_one(operands, _ranks(operands)))
    assert x.dtype in (bool, ring.dtype)
    for place, matrix in zip(places, _each_matrix(rest), strict=True):
        data, indices, indptr, delay, scale = matrix
        assert data in ((1,), indices) and delay in ((1,), indices) and scale == (1,)
        assert indptr == (place.n_pre + 1,)
        assert place.pre_offset + place.n_pre <= n_x and place.post_offset + place.n_post <= n
    return ShapedArray(ring.shape, ring.dtype)


def _arrivals(
    shape: Sequence[int],
    step: Int32[Operand, ""],
    indices: Int32[Operand, " nnz"],
    delay: Int32[Operand, " d"],
    place: Place,
) -> tuple[Int32[Array, " nnz"], Int32[Array, " nnz"]]:
    """Slot and neuron where each entry arrives; past the last slot where it is out of range."""
    slots, _ = shape
    known = (delay >= 0) & (delay < slots) & (step >= 0)
    known = known & (indices >= 0) & (indices < place.n_post)
    slot = (step + jnp.where(known, delay, 0)) % slots
    neuron = place.post_offset + jnp.where(known, indices, 0)
    return jnp.where(known, slot, slots), neuron


def _value(*operands: Array, places: tuple[Place, ...]) -> Num[Array, "*b slots n"]:
    push_one = functools.partial(_push_one, places=places)
    return ring_batches.each(push_one, _ranks(operands))(*operands)


def _push_one(
    ring: Num[Array, "*b slots n"],
    x: Shaped[Array, " n_x"],
    step: Int32[Array, ""],
    *matrices: Array,
    places: tuple[Place, ...],
    entry: Int32[Array, ""] | None = None,
) -> Num[Array, "*b slots n"]:
    """The jnp path, of one ring or of `entry` in a batch: every entry is read.

    Entries out of range contribute nothing; a float ring then gets a NaN in its current slot.
    """
    shape = ring.shape[-2:]
    for place, matrix in zip(places, _each_matrix(matrices), strict=True):
        data, indices, indptr, delay, scale = matrix
        nnz = indices.shape[0]
        if nnz == 0:
            continue
        row = stored.row_of(indptr, nnz)
        own = jax.lax.slice_in_dim(x, place.pre_offset, place.pre_offset + place.n_pre)
        fired = own if own.dtype == bool else own != 0
        hit = fired[row]
        slot, neuron = _arrivals(shape, step, indices, delay, place)
        usable, of_row, rows = stored.valid(slot, indptr, shape[0])
        # `where`, not a product with a mask: 0 times an infinite weight would be NaN.
        added = (own.astype(ring.dtype) * scale)[row] * data.astype(ring.dtype)
        term = jnp.where(hit & usable, added, jnp.zeros((), ring.dtype))
        if jnp.issubdtype(ring.dtype, jnp.floating):  # plain XLA cannot raise
            first = jnp.arange(nnz, dtype=jnp.int32) == 0
            wrong = (hit & of_row & ~usable) | (first & ~rows & fired.any())
            term = jnp.where(wrong, jnp.nan, term)
            slot = jnp.where(wrong, step % shape[0], slot)
        # By slot and neuron: XLA copies what it changes in place in another shape than it got.
        at = (slot, neuron) if entry is None else (entry, slot, neuron)
        ring = ring.at[at].add(term, mode="drop")
    return ring


def _jvp(
    primals: Sequence[Operand], tangents: Sequence[Tangent], *, places: Any, **statics: Any
) -> tuple[Array, Array]:
    (ring, x, step), rest = _split(primals)
    (dring, dx, _), moving = _split(tangents)
    matrices = [*_each_matrix(rest)]
    out = push_p.bind(*primals, places=places, **statics)
    bind = functools.partial(_bind, **statics)
    # The tangent is a ring itself, so every term is pushed into it: no other ring is needed.
    tangent = jnp.zeros_like(ring) if is_zero(dring) else dring
    if not is_zero(dx):
        tangent = bind(tangent, dx.astype(ring.dtype), step, matrices, places=places)
    for which in (0, 4):  # data and scale
        moved = [
            (k, (*matrices[k][:which], own[which].astype(ring.dtype), *matrices[k][which + 1 :]))
            for k, own in enumerate(_each_matrix(moving))
            if not is_zero(own[which])
        ]
        if moved:
            own = tuple(places[k] for k, _ in moved)
            tangent = bind(tangent, x, step, [matrix for _, matrix in moved], places=own)
    return out, tangent


def _transpose(
    ct: Cotangent,
    ring: Linear,
    x: Linear,
    step: Operand,
    *matrices: Linear,
    places: tuple[Place, ...],
    listed: int,
    backend: str,
) -> list[Cotangent | None]:
    cts: list[Any] = [None] * (len(_HEAD) + len(matrices))
    if isinstance(ct, ad.Zero):
        return cts
    # The ring passes through unchanged, so its cotangent does too.
    cts[0] = ct if ad.is_undefined_primal(ring) else None
    of_x = ad.is_undefined_primal(x)
    x = x if of_x else spike_lists.flags_of(x, listed)
    if of_x:
        cts[1] = jnp.zeros(x.aval.shape, ct.dtype)
    for k, (place, matrix) in enumerate(zip(places, _each_matrix(matrices), strict=True)):
        if of_x:
            span = jnp.arange(place.pre_offset, place.pre_offset + place.n_pre, dtype=jnp.int32)
            part = _transpose_of_one(ct, x, step, matrix, place, backend)
            cts[1] = cts[1].at[..., span].add(part)
            continue
        for which in (0, 4):
            if ad.is_undefined_primal(matrix[which]):
                at = len(_HEAD) + len(_MATRIX) * k + which
                cts[at] = _transpose_of_one(ct, x, step, matrix, place, backend)
    return cts


def _transpose_of_one(
    ct: Operand, x: Linear, step: Operand, matrix: Sequence[Linear], place: Place, backend: str
) -> Any:
    """The cotangent of the matrix's own part of x, of its data or of its scale.

    Of one ring, or of a batch of them. The operand in question is the one that is undefined.
    """
    given: dict[str, Any] = dict(
        zip(("data", "indices", "indptr", "delay", "scale"), matrix, strict=True)
    )
    given |= {"ct": ct, "x": x, "step": step}
    [free] = [name for name, operand in given.items() if ad.is_undefined_primal(operand)]
    undefined = given.pop(free).aval
    if free != "x":
        given["x"] = x[..., place.pre_offset : place.pre_offset + place.n_pre]

    def product(
        ct, step, indices, indptr, delay, scale: Any = None, data: Any = None, x: Any = None
    ):
        """Of rows of cotangents and of x; all of one matrix and one step."""
        rows, shape = ct.shape[0], ct.shape[1:]
        if free == "data":
            pair = x.astype(ct.dtype) * scale[0], ad.UndefinedPrimal(own)
        else:
            pair = ad.UndefinedPrimal(ShapedArray((rows, place.n_pre), ct.dtype)), data
        slot, neuron = _arrivals(shape, step, indices, delay, place)
        columns = slot * shape[1] + neuron  # past the end where they are out of range
        size = shape[0] * shape[1]
        statics = {"dtype": ct.dtype, "n_out": size, "gather": False, "backend": backend}
        back: Any = stored.transpose(ct.reshape(rows, size), *pair, columns, indptr, **statics)
        if free == "data":
            return back[1]
        return back[0] * scale[0] if free == "x" else (back[0] * x.astype(ct.dtype)).sum()[None]

    own = ShapedArray(undefined.shape[-1:], undefined.dtype)
    batch = ct.shape[:-2]
    ranks = {"ct": 2, "x": 1, "step": 0} | dict.fromkeys(given.keys() - {"ct", "x", "step"}, 1)
    alike = all(given[name].ndim == ranks[name] for name in given if name not in ("ct", "x"))
    if alike and (free == "x" or undefined.ndim == 1):  # the batch is the rows
        whole = given | {"ct": ct.reshape(-1, *ct.shape[-2:])}
        if free != "x":
            whole["x"] = given["x"].reshape(-1, place.n_pre)
        found = product(**whole)
        return found.reshape(*batch, place.n_pre) if free == "x" else found

    def single(given):
        rows = {name: given[name][None] for name in ("ct", "x") if name in given}
        found = product(**(given | rows))
        return found[0] if free == "x" else found

    axes = {name: 0 if operand.ndim > ranks[name] else None for name, operand in given.items()}
    for _ in batch:
        single = jax.vmap(single, (axes,))
    found = single(given)
    if free == "x" or undefined.ndim > 1:
        return found
    return found.sum(tuple(range(len(batch))))


def _batch(operands: Sequence[Operand], dims: Dims, **statics: Any) -> tuple[Array, int]:
    moved = ring_batches.in_front(operands, dims, _ranks(operands), _BATCHED)
    return push_p.bind(*moved, **statics), 0


def _native(*, places: tuple[Place, ...]) -> tuple[str, dict[str, Any]]:
    words = [word for place in places for word in place]
    return "evops_stored_push", {"places": np.array(words, np.int64)}


# Operand 0, the ring, gives its memory to the result: else XLA would copy the whole ring in every
# step of a scan.
push_p = register(
    "evops_stored_push",
    shape=_shape,
    value=_value,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    native=_native,
    aliases=lambda **_: {0: 0},
    spikes=1,
)
