"""The sampler as Taichi functions: `evops.connectivity.sampler`, wrapped and not written again."""

import importlib.util
from pathlib import Path

import taichi as ti

_SAMPLER = Path(__file__).resolve().parent.parent / "src/evops/connectivity/sampler.py"
_spec = importlib.util.spec_from_file_location("evops_sampler", _SAMPLER)
_sampler = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_sampler)
for _name, _function in list(vars(_sampler).items()):
    if callable(_function) and getattr(_function, "__module__", "") == _sampler.__name__:
        setattr(_sampler, _name, ti.func(_function))  # so that they call each other as such

next_state = _sampler.next_state
word88 = _sampler.word88
feistel = _sampler.feistel
word = _sampler.word
look_up = _sampler.look_up
dense_hit = _sampler.dense_hit
below = _sampler.below
permuted = _sampler.permuted
variate_key = _sampler.variate_key
slot = _sampler.slot
between = _sampler.between
TIE, WEIGHT, DELAY = _sampler.TIE, _sampler.WEIGHT, _sampler.DELAY
SOURCES, SLOTS = _sampler.SOURCES, _sampler.SLOTS

# Lanes: how many lines are walked side by side, so that the compiler can use vector registers.
LANES = 8
ELEMENT = {"i32": ti.i32, "f32": ti.f32, "f64": ti.f64}


def array(dtype, ndim=1):
    """An ndarray argument of a kernel."""
    return ti.types.ndarray(dtype=dtype, ndim=ndim)


@ti.func
def first_state(line_seed, hashed):
    """State of a line before its first draw."""
    a, b, c = _sampler.line_state(line_seed)
    if hashed != 0:
        a, b, c = _sampler.hashed_line_state(line_seed)
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
