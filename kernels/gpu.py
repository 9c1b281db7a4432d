"""The list of all GPU kernels."""

import taichi as ti

from gpu_arrays import compact, pop, stored_gather, stored_scatter, weigh
from gpu_product import KINDS, product_gather, product_scatter, push
from sampler_ti import ELEMENT


def kernels():
    """How each kernel is made, by name: ``<family>_<kind>_<types of inputs or sums, of weights>``.

    A pair: the family, whose kernels all take arguments of the same names, and a function.
    """
    types = {**ELEMENT, "u8": ti.u8}
    own = [(e, e) for e in ELEMENT]
    counted = [("i32", "f32"), *own]  # spikes are counted where the weight has 32 bits
    pairs = {
        name: [(e, e) for e in ("f32", "f64")] if kind.varied else own
        for name, kind in KINDS.items()
    }
    every = {}

    def add(make, *arguments, kind=None):
        names = [make.__name__, *([kind] if kind else []), *arguments]
        of_kind = [KINDS[kind]] if kind else []
        every["_".join(names)] = (
            make.__name__,
            lambda: make(*(types[a] for a in arguments), *of_kind),
        )

    for x, e in [("u8", e) for e in ELEMENT] + own:
        add(compact, x, e)
    for kind in KINDS:
        for s, w in counted if kind in ("constant", "grid") else pairs[kind]:
            add(product_scatter, s, w, kind=kind)
        if KINDS[kind].grid:
            continue
        for x, w in [("u8", "f32"), *own] if kind == "constant" else pairs[kind]:
            add(product_gather, x, w, kind=kind)
        for e, _ in pairs[kind]:
            add(push, e, kind=kind)
    for s, w in counted:
        add(weigh, s, w)
    for e in ELEMENT:
        add(stored_scatter, e)
        add(stored_gather, e)
    add(pop)
    return every
