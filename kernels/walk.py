"""The sampler as Taichi functions (`evops.taichi`), and what the kernels share."""

import importlib.util
from math import pi
from pathlib import Path

import taichi as ti

_FUNCTIONS = Path(__file__).resolve().parent.parent / "evops/taichi.py"
_spec = importlib.util.spec_from_file_location("evops_taichi", _FUNCTIONS)
_functions = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_functions)

next_state = _functions.next_state
word88 = _functions.word88
feistel = _functions.feistel
word = _functions.word
look_up = _functions.look_up
dense_hit = _functions.dense_hit
below = _functions.below
permuted = _functions.permuted
variate_key = _functions.variate_key
slot = _functions.slot
between = _functions.between
next_gap = _functions.next_gap
TIE, WEIGHT, DELAY = _functions.TIE, _functions.WEIGHT, _functions.DELAY
SOURCES, SLOTS = _functions.SOURCES, _functions.SLOTS

# Lanes: how many lines are walked side by side, so that the compiler can use vector registers.
LANES = 8
ELEMENT = {"i32": ti.i32, "f32": ti.f32, "f64": ti.f64}


def array(dtype, ndim=1):
    """An ndarray argument of a kernel."""
    return ti.types.ndarray(dtype=dtype, ndim=ndim)


@ti.func
def first_state(line_seed, hashed):
    """State of a line before its first draw."""
    a, b, c = _functions.line_state(line_seed)
    if hashed != 0:
        a, b, c = _functions.hashed_line_state(line_seed)
    return a, b, c


@ti.func
def zeros(dtype: ti.template()):
    return ti.Vector([ti.cast(0, dtype)] * LANES, dtype)


@ti.func
def remainder(x, d, m):
    """x % d for any word x, by multiplication: the same value as the sampler's ``%``.

    With m = min(floor(2**32 / d), 2**32 - 1) the estimate q of the quotient is right or one too
    small, so x - q d is the remainder or the remainder plus d; in the first case taking d off wraps
    around.
    """
    q = ti.cast((ti.cast(x, ti.u64) * ti.cast(m, ti.u64)) >> 32, ti.u32)
    r = x - q * d
    return ti.min(r, r - d)


@ti.func
def uniform(w):
    """A word as a number in [0, 1], as the published operators take it."""
    return ti.cast(w, ti.f32) * ti.f32(2.0**-32)


@ti.func
def normal(u, turn):
    """A normal number from two uniform ones (Box and Muller), as the published operators do."""
    radius = ti.sqrt(ti.f32(-2.0) * ti.log(ti.max(u, ti.f32(1e-10))))
    return radius * ti.sin(ti.f32(2 * pi) * turn)
