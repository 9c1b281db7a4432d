"""Random numbers and the sampler for users' Taichi kernels: ``import evops.taichi``.

All are Taichi functions (`ti.func`). The state of a generator is a key, a vector of four uint32.
Every function that draws takes a key, and returns the next key and a number::

    key = lfsr88_key(seed + row)
    key, gap = lfsr88_random_integers(key, 1, 19)
    key, x = lfsr88_normal(key, 0.0, 1.0)

LFSR88 (period about 2**88) is the generator of the published operators, and draws the same numbers
as they do. LFSR113 (about 2**113) is its larger sibling. Both are combined Tausworthe generators:
neighbouring small seeds give related streams (docs/published.md). Seeds are 1 or more, since the
states of 0 and -1 stay at 0.

The functions of `evops.connectivity.sampler` (`feistel`, `word`, `look_up`, `below`, `permuted`,
…) are here under their names. Their words are counter-based, without these faults, and define which
synapses a `Projection` has. `next_gap` steps through the synapses of a block if the probability is
below 1/8. Pass ``key = W.key``, ``scheme = np.uint32(W.rule.scheme(W.shape).pack())`` and ``table =
W.rule.table`` to a kernel; then these are the targets of neuron `pre` in block `block`::

    gaps = geometric_gaps(scheme)
    k0, k1 = feistel(pre, block, key[0], key[1])
    begin = block << gaps.block_bits
    size = ti.min(ti.u32(1) << gaps.block_bits, n_post - begin)
    i, c, found = ti.u32(0), ti.u32(0), False
    while c < size:
        i, c, found = next_gap(k0, k1, i, c, gaps, table)
        if found:
            if c < size:
                ...  # a synapse from pre to begin + c
            c += ti.u32(1)

References:
    P. L'Ecuyer, Math. Comp. 65 (1996), doi:10.1090/S0025-5718-96-00696-5 (LFSR88);
    P. L'Ecuyer, Math. Comp. 68 (1999), doi:10.1090/S0025-5718-99-01039-X (LFSR113).
"""

# pyright: reportInvalidTypeForm=false
import importlib.util
import sys
from collections.abc import Callable
from math import pi
from pathlib import Path
from types import ModuleType
from typing import Any, no_type_check

try:
    import taichi as ti
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "evops.taichi needs taichi: pip install 'jax-evops[taichi]'", name="taichi"
    ) from error


def _copy(name: str) -> ModuleType:
    """A second copy of a module of `evops.connectivity`, loaded from its file.

    So the build can use this file before the package exists. And the functions of the sampler's
    copy can call each other as Taichi functions, while the original stays plain.
    """
    path = Path(__file__).resolve().parent / f"connectivity/{name}.py"
    spec = importlib.util.spec_from_file_location(f"evops_taichi_{name}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_sampler, _format = _copy("sampler"), _copy("format")
# In the copy itself, so that its functions find the wrapped ones under the names that they call.
for _name, _function in list(vars(_sampler).items()):
    if callable(_function) and getattr(_function, "__module__", "") == _sampler.__name__:
        setattr(_sampler, _name, ti.func(_function))

line_state = _sampler.line_state
hashed_line_state = _sampler.hashed_line_state
next_state = _sampler.next_state
word88 = _sampler.word88
gap = _sampler.gap
mix = _sampler.mix
feistel = _sampler.feistel
word = _sampler.word
look_up = _sampler.look_up
dense_hit = _sampler.dense_hit
below = _sampler.below
ones = _sampler.ones
permuted = _sampler.permuted
moved = _sampler.moved
displacement = _sampler.displacement
magnitude = _sampler.magnitude
slot_bits = _sampler.slot_bits
distance_slot = _sampler.distance_slot
division = _sampler.division
on_line = _sampler.on_line
chance = _sampler.chance
in_frame = _sampler.in_frame
in_shape = _sampler.in_shape
both_ways = _sampler.both_ways
leads = _sampler.leads
variate_key = _sampler.variate_key
slot = _sampler.slot
between = _sampler.between
TIE, WEIGHT, DELAY = _sampler.TIE, _sampler.WEIGHT, _sampler.DELAY
LINE, SOURCES, SLOTS = _sampler.LINE, _sampler.SOURCES, _sampler.SLOTS

_TWO_PI = 2 * pi

# Annotations of Taichi functions are Taichi's, and Taichi reads their source: hooks that check
# types leave them alone (`no_type_check`).


def record(of: type) -> Any:
    """A Taichi struct of uint32 with the fields of a record of `evops.connectivity.format`."""
    return ti.types.struct(**{field.name: ti.u32 for field in _format.fields(of)})


def unpacker(of: type) -> Callable:
    """A Taichi function that takes the words of `Scheme.pack`, and returns the record in them.

    Args:
        of: the record's class in `evops.connectivity.format`.
    """
    struct, count = record(of), len(_format.fields(of))
    first = _format.SCHEME_WORDS - _format.FIELD_WORDS

    @ti.func
    @no_type_check
    def unpack(words: ti.template()):
        """The record that words hold, as its `pack()` lays them out; fields by name."""
        return struct(*[words[first + k] for k in range(count)])

    return unpack


geometric_gaps = unpacker(_format.GeometricGaps)


@ti.func
@no_type_check
def next_gap(k0, k1, i, c, gaps, table: ti.template()):
    """The next step along a block of targets, for probabilities below 1/8.

    Args:
        k0: first key word of the block, uint32 (`feistel`).
        k1: second key word, uint32.
        i: index of the next random word, uint32; 0 at the start of a block.
        c: target at which the gap begins, uint32; 0 at the start of a block.
        gaps: the record that `geometric_gaps` returns.
        table: the rule's table, uint32.

    Returns:
        The next i, the next c, and whether c is a synapse. It is one only if it lies in the block:
        c may be past its end. After a synapse go on from c + 1, else from c.
    """
    high, low = gaps.high_digit_bits, gaps.low_digit_bits
    shift = ti.u32(32) - high
    w = word(k0, k1, i)
    i += ti.u32(1)
    g = look_up(table[ti.i32(w >> shift)], w, shift)
    found = g != (ti.u32(1) << high) - ti.u32(1)  # the last outcome says that the gap goes on
    # The second word is drawn in any case: the count of words does not depend on the draw.
    if low != 0:
        w = word(k0, k1, i)
        i += ti.u32(1)
        part = look_up(table[ti.i32((ti.u32(1) << high) + (w >> (ti.u32(32) - low)))], w, 32 - low)
        g = g << low
        if found:
            g += part
    return i, c + g, found


@ti.func
@no_type_check
def _unit(x):
    """A word as a float32 in [0, 1]: rounding makes the largest words 1."""
    return ti.cast(x, ti.f32) * ti.f32(2.0**-32)


@ti.func
@no_type_check
def _within(x, low, high):
    """A word as an integer from low to high, both included, by the remainder."""
    # The whole range of integers has 2**32 values, which is 0 here: any word will do.
    span = ti.cast(high - low, ti.u32) + ti.u32(1)
    r = x
    if span != 0:
        r = x % span
    return low + ti.cast(r, ti.i32)


@ti.func
@no_type_check
def _gaussian(u1, u2, mu, sigma, epsilon):
    """Normal number from two numbers in [0, 1] (Box and Muller); u1 is at least epsilon."""
    radius = ti.sqrt(ti.f32(-2.0) * ti.log(ti.max(u1, ti.cast(epsilon, ti.f32))))
    return ti.cast(mu, ti.f32) + ti.cast(sigma, ti.f32) * (radius * ti.sin(ti.f32(_TWO_PI) * u2))


@ti.func
@no_type_check
def lfsr88_key(seed):
    """The key of a seed, an integer of 1 or more; negative ones below -1 wrap modulo 2**32.

    The fourth word is unused: keys of both generators have one shape.
    """
    s1, s2, s3 = _sampler.line_state(ti.cast(seed, ti.u32))
    return ti.Vector([s1, s2, s3, ti.u32(0)], ti.u32)


@ti.func
@no_type_check
def lfsr88_next_key(key):
    """The key after one step of LFSR88."""
    s1, s2, s3 = _sampler.next_state(key[0], key[1], key[2])
    return ti.Vector([s1, s2, s3, ti.u32(0)], ti.u32)


@ti.func
@no_type_check
def lfsr113_key(seed):
    """The key of a seed, an integer of 1 or more: seed + 1, + 7, + 15, + 127.

    The four generators drop 1, 3, 4 and 7 low bits of their words. The bits above must not all be
    0, or the generator stays at 0.
    """
    s = ti.cast(seed, ti.u32)
    return ti.Vector([s + 1, s + 7, s + 15, s + 127], ti.u32)


@ti.func
@no_type_check
def _tausworthe(z, q: ti.template(), s: ti.template(), k: ti.template()):
    """One step of a Tausworthe generator of k bits with x**k + x**q + 1, s bits at a time."""
    b = ((z << q) ^ z) >> (k - s)
    return ((z >> (32 - k)) << (32 - k + s)) ^ b


@ti.func
@no_type_check
def lfsr113_next_key(key):
    """The key after one step of LFSR113."""
    return ti.Vector(
        [
            _tausworthe(key[0], 6, 18, 31),
            _tausworthe(key[1], 2, 2, 29),
            _tausworthe(key[2], 13, 7, 28),
            _tausworthe(key[3], 3, 13, 25),
        ],
        ti.u32,
    )


def _draws(next_key: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    """What can be drawn from a generator: its word is the four words of the next key, combined.

    The fourth word of a key of LFSR88 is 0.
    """

    @ti.func
    @no_type_check
    def randint(key, dtype: ti.template() = ti.u32):
        """The next key, and a random word, cast to `dtype`: an integer type of Taichi (uint32)."""
        after = next_key(key)
        return after, ti.cast(after[0] ^ after[1] ^ after[2] ^ after[3], dtype)

    @ti.func
    @no_type_check
    def random_integers(key, low, high):
        """The next key, and an int32 from low to high, both included."""
        after, x = randint(key)
        return after, _within(x, low, high)

    @ti.func
    @no_type_check
    def rand(key):
        """The next key, and a float32 uniform on [0, 1], both ends included."""
        after, x = randint(key)
        return after, _unit(x)

    @ti.func
    @no_type_check
    def uniform(key, low, high):
        """The next key, and a float32 uniform on [low, high]."""
        after, u = rand(key)
        return after, u * ti.cast(high - low, ti.f32) + ti.cast(low, ti.f32)

    @ti.func
    @no_type_check
    def normal(key, mu, sigma, epsilon=1e-10):
        """The key after two steps, and a float32 normal number: mean mu, standard deviation sigma.

        Source: G. E. P. Box, M. E. Muller (1958). `epsilon` bounds the first uniform number from
        below: with 1e-10 no number is more than 6.8 standard deviations from the mean.
        """
        middle, u1 = rand(key)
        after, u2 = rand(middle)
        return after, _gaussian(u1, u2, mu, sigma, epsilon)

    @ti.func
    @no_type_check
    def randn(key, epsilon=1e-10):
        """The key after two steps, and a standard normal float32 (`normal`)."""
        after, z = normal(key, 0.0, 1.0, epsilon)
        return after, z

    return randint, random_integers, rand, uniform, normal, randn


(
    lfsr88_randint,
    lfsr88_random_integers,
    lfsr88_rand,
    lfsr88_uniform,
    lfsr88_normal,
    lfsr88_randn,
) = _draws(lfsr88_next_key)
(
    lfsr113_randint,
    lfsr113_random_integers,
    lfsr113_rand,
    lfsr113_uniform,
    lfsr113_normal,
    lfsr113_randn,
) = _draws(lfsr113_next_key)
