"""exp, log, tanh and pow as straight LLVM IR, so that loops with them are vectorised.

Taichi calls the C library, one number at a time, and a loop with a call is not vectorised. These
have no branches, tables or calls. They use neither fused operations nor other reorderings, so
their results are the same on every processor. Largest errors, in units in the last place: 1 for
exp and log, 2 for tanh and pow; infinities, NaNs, zeros and subnormal numbers are those of C99
(annex F).

The methods are textbook ones (J.-M. Muller, Elementary Functions, 3rd ed., 2016,
doi:10.1007/978-1-4899-7983-4): arguments are reduced exactly, the rest is a Taylor series. pow in
float64 carries logarithms as sums of two numbers (T. J. Dekker, 1971, doi:10.1007/BF01397083).
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from .values import F32, F64, FMULADD, Value, Width

# log(2) to 60 decimal places, more than two float64 hold (OEIS A002162)
_LN2 = Fraction(693147180559945309417232121458176568075500134360255254120680, 10**60)


def _series(x: Value, coefficients: list[Fraction]) -> Value:
    """The polynomial ``c[0] + c[1] x + …``."""
    # In pairs, then pairs of pairs (Estrin's scheme): a processor computes them side by side.
    parts: list[Value | float] = [float(c) for c in coefficients]
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        parts = [x.times(b, a) for a, b in pairs] + parts[len(parts) & ~1 :]
        x = x * x
    (whole,) = parts
    assert isinstance(whole, Value)
    return whole


def _parts_of_ln2(w: Width) -> tuple[float, float]:
    """log(2) as a sum whose first part has few bits."""
    high = float(Fraction(math.floor(_LN2 * 2**w.short), 2**w.short))
    return high, float(_LN2 - Fraction(high))


def _clamped(x: Value, low: float, high: float) -> Value:
    """`x` within bounds; a NaN stays one."""
    x = x.compare("olt", low).where(x.constant(low), x)
    return x.compare("ogt", high).where(x.constant(high), x)


def _rounded(x: Value, factor: float, w: Width) -> tuple[Value, Value]:
    """The integer next to x times factor, which is below 2**20, as a float and as an integer."""
    # Not fptosi and sitofp: the first is undefined for NaN, and AVX2 has neither for 64 bits.
    moved = x.times(factor, w.round_by)
    return moved - w.round_by, moved.bits_as(w.integer) - _bits(w, w.round_by)


def _bits(w: Width, number: float) -> int:
    """The bits of a power of 2 or 1.5 times one."""
    fraction, exponent = math.frexp(number)
    return (exponent - 1 + w.bias << w.mantissa) + int((2 * fraction - 1) * 2**w.mantissa)


def _power_of_two(n: Value, w: Width) -> Value:
    """2**n for an integer n whose power is a normal number."""
    return (n + w.bias << w.mantissa).bits_as(w.type)


def _scaled(x: Value, n: Value, w: Width) -> Value:
    """The product of x and 2**n; in two steps, since 2**n may not be a number."""
    half = n >> 1
    return x * _power_of_two(half, w) * _power_of_two(n - half, w)


def _reduced(x: Value, w: Width) -> tuple[Value, Value, Value]:
    """n, r and a small rest with x = n log(2) + r + rest, |r| at most log(2)/2."""
    high, low = _parts_of_ln2(w)
    whole, n = _rounded(x, 1 / math.log(2), w)
    return n, whole.times(-high, x), whole * -low


def _exp_series(r: Value, terms: int) -> Value:
    """(exp(r) - 1 - r) / r**2."""
    return _series(r, [Fraction(1, math.factorial(k)) for k in range(2, terms + 1)])


def _exp_of_small(r: Value, terms: int) -> Value:
    """exp(r) for |r| up to log(2)/2."""
    return (r * r).times(_exp_series(r, terms), r) + 1.0


def _exp(x: Value, w: Width) -> Value:
    # Beyond these bounds results are infinite or 0 in any case.
    x = _clamped(x, -1.2 * (w.bias + w.mantissa) * math.log(2), 1.2 * w.bias * math.log(2))
    n, high, rest = _reduced(x, w)
    return _scaled(_exp_of_small(high + rest, w.exp_terms), n, w)


def _tanh(x: Value, w: Width) -> Value:
    # (e - 1) / (e + 1) for e = exp(2 |x|) = 2**n exp(r): from tanh = 1/2 on as 1 - 2 / (e + 1),
    # below with h = (e - 1) / 2 as h - h (e - 1) / (e + 1), where only h's error counts.
    double = _size(x, w)
    double = double + double
    # From half this bound on tanh rounds to 1.
    n, high, rest = _reduced(_clamped(double, 0.0, 2.0 * w.mantissa), w)
    two = _power_of_two(n, w)
    r = high + rest
    small = two * (r * r).times(_exp_series(r, w.exp_terms), rest)
    # 2**n - 1 and 2**n high may cancel: they are added first, without an error then.
    above, below = two.times(high, two - 1.0) + small, two.times(high, small) + (two + 1.0)
    large = double.compare("ogt", math.log(3))
    quotient = large.where(x.constant(2.0), above) / below
    part = large.where(x.constant(1.0), above * 0.5)
    return _signed(part - part * quotient, _sign(x, w), w)


def _split(x: Value, w: Width) -> tuple[Value, Value]:
    """e, as floating-point number, and m with x = 2**e m, for positive x; m within sqrt(2)."""
    # Subnormal numbers are made normal ones first.
    tiny = x.compare("olt", 2.0 ** (1 - w.bias))
    bits = tiny.where(x * 2.0**w.mantissa, x).bits_as(w.integer)
    # Subtract the bits of sqrt(1/2): what is left of the exponent is e, for the m that is wanted.
    root = int(math.sqrt(0.5) * 2 ** (w.mantissa + 1)) + (w.bias - 2 << w.mantissa)
    e = bits - root >> w.mantissa
    m = (bits - (e << w.mantissa)).bits_as(w.type)
    number = (e + _bits(w, w.round_by)).bits_as(w.type) - w.round_by
    return tiny.where(number - float(w.mantissa), number), m


def _atanh_series(z: Value, first: int, terms: int) -> Value:
    """The sum of z**(k - first) 2 / (2 k + 1) for k from `first` to `terms`."""
    return _series(z, [Fraction(2, 2 * k + 1) for k in range(first, terms + 1)])


def _log(x: Value, w: Width) -> Value:
    high, low = _parts_of_ln2(w)
    e, m = _split(x, w)
    # log(m) = 2 atanh(s), whose first term 2 s is f - s f; so f, which is exact, is added last.
    f = m - 1.0
    s = f / (f + 2.0)
    z = s * s
    half = f * f * 0.5
    rest = s.times(z.times(_atanh_series(z, 1, w.log_terms), half), e * low)
    value = e.times(high, f - (half - rest))
    return _log_ends(x, value)


def _log_ends(x: Value, value: Value) -> Value:
    """The logarithm with its values at 0, below, and where x is not finite."""
    value = x.compare("oeq", math.inf).where(x, value)
    value = x.compare("oeq", 0.0).where(x.constant(-math.inf), value)
    return x.compare("oge", 0.0).where(value, math.nan)


def _sign(x: Value, w: Width) -> Value:
    """The bit of the sign, in its place."""
    return x.bits_as(w.integer) & (-1 << w.bits - 1)


def _signed(size: Value, sign: Value, w: Width) -> Value:
    """A positive number with a sign."""
    return (size.bits_as(w.integer) | sign).bits_as(w.type)


def _size(x: Value, w: Width) -> Value:
    """|x|."""
    return (x.bits_as(w.integer) ^ _sign(x, w)).bits_as(w.type)


def _pow_ends(x: Value, y: Value, power: Value, w: Width) -> Value:
    """pow(x, y) from pow(|x|, y): its sign, and where it is 1 or NaN whatever comes out."""
    whole = 2.0**w.mantissa  # from here on numbers are integers, from twice this on even ones
    size = _clamped(_size(y, w), 0.0, 2 * whole)
    rounded, half = size + whole - whole, size * 0.5 + whole - whole
    is_integer = rounded.compare("oeq", size) | size.compare("oge", whole)
    is_odd = is_integer & (half + half).compare("une", size)
    power = is_odd.where(_signed(power, _sign(x, w), w), power)
    no_root = x.compare("olt", 0.0) & x.compare("ogt", -math.inf) & (is_integer ^ 1)
    power = no_root.where(x.constant(math.nan), power)
    return (x.compare("oeq", 1.0) | y.compare("oeq", 0.0)).where(x.constant(1.0), power)


def _pow_f32(x: Value, y: Value) -> Value:
    # In float64, whose last bits make up for the errors of a plain logarithm.
    w = F64
    size = _size(x, F32).converted(w.type)
    e, m = _split(size, w)
    s = (m - 1.0) / (m + 1.0)
    log2 = _log_ends(size, (s * _atanh_series(s * s, 0, 7)).times(1 / math.log(2), e))
    # Larger exponents than these lead to 0, 1 and infinity, as these do.
    exponent = _clamped(log2 * _clamped(y.converted(w.type), -(2.0**40), 2.0**40), -300.0, 300.0)
    whole, n = _rounded(exponent, 1.0, w)
    power = _exp_of_small((exponent - whole) * math.log(2), 9) * _power_of_two(n, w)
    return _pow_ends(x, y, power.converted(F32.type), F32)


def _sum(a: Value, b: Value) -> tuple[Value, Value]:
    """The sum, rounded, and its rounding error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _product(a: Value, b: Value, w: Width) -> tuple[Value, Value]:
    """The product, rounded, and its rounding error."""

    def halves(x: Value) -> tuple[Value, Value]:
        high = (x.bits_as(w.integer) & (-1 << w.mantissa // 2 + 1)).bits_as(w.type)
        return high, x - high

    total = a * b
    (a0, a1), (b0, b1) = halves(a), halves(b)
    return total, a1 * b1 + (a0 * b1 + (a1 * b0 + (a0 * b0 - total)))


def _log_in_two(x: Value, w: Width) -> tuple[Value, Value]:
    """The logarithm of a positive number as a sum of two, to some 2**-65 of itself."""
    e, m = _split(x, w)
    # s = (m - 1) / (m + 1): a quotient, and what its product with m + 1 lacks.
    f = m - 1.0
    g, g_low = _sum(m, m.constant(1.0))
    s = f / g
    back, back_low = _product(s, g, w)
    s_low = (f - back - back_low - s * g_low) / g
    z, z_low = _product(s, s, w)
    z_low = z_low + s * s_low * 2.0
    # 2 atanh(s) = 2 s + s z q, where q = 2/3 + 2/5 z + …; q's first term needs two numbers.
    third = float(Fraction(2, 3))
    q, q_low = _sum(z.constant(third), z * _atanh_series(z, 2, 13))
    q_low = q_low + float(Fraction(2, 3) - Fraction(third))
    zq, zq_low = _product(z, q, w)
    zq_low = zq_low + (z * q_low + z_low * q)
    szq, szq_low = _product(s, zq, w)
    szq_low = szq_low + (s * zq_low + s_low * zq)
    log, log_low = _sum(s * 2.0, szq)
    log_low = log_low + (s_low * 2.0 + szq_low)
    high, low = _parts_of_ln2(w)
    total, total_low = _sum(e * high, log)
    return _sum(total, total_low + (e * low + log_low))


def _pow_f64(x: Value, y: Value) -> Value:
    w = F64
    size = _size(x, w)
    log, log_low = _log_in_two(size, w)
    # Larger exponents than these lead to 0, 1 and infinity, as these do; no product overflows.
    bounded = _clamped(y, -(2.0**66), 2.0**66)
    exponent, exponent_low = _product(bounded, log, w)
    exponent_low = exponent_low + bounded * log_low
    exponent = size.compare("oeq", 0.0).where(y * -math.inf, exponent)
    exponent = size.compare("oeq", math.inf).where(y * math.inf, exponent)
    exponent = size.compare("oeq", size).where(exponent, math.nan)
    in_range = _size(exponent, w).compare("olt", 800.0)
    exponent_low = in_range.where(exponent_low, 0.0)
    n, high, rest = _reduced(_clamped(exponent, -800.0, 800.0), w)
    rest = rest + exponent_low
    power = _scaled(_exp_of_small(high + rest, w.exp_terms), n, w)
    return _pow_ends(x, y, power, w)


# By Taichi's names: the type, the formula, and how many operands it has.
FUNCTIONS: dict[str, tuple[Width, Callable[..., Value], int]] = {
    "exp_f32": (F32, lambda x: _exp(x, F32), 1),
    "exp_f64": (F64, lambda x: _exp(x, F64), 1),
    "log_f32": (F32, lambda x: _log(x, F32), 1),
    "log_f64": (F64, lambda x: _log(x, F64), 1),
    "tanh_f32": (F32, lambda x: _tanh(x, F32), 1),
    "tanh_f64": (F64, lambda x: _tanh(x, F64), 1),
    "pow_f32": (F32, _pow_f32, 2),
    "pow_f64": (F64, _pow_f64, 2),
}


def definitions(names: Sequence[str]) -> str:
    """Functions of `FUNCTIONS` as LLVM IR."""
    declared = (
        f"declare {type} @{name}({type}, {type}, {type})\n" for type, name in FMULADD.items()
    )
    return "".join([*declared, *map(_definition, names)])


def _definition(name: str) -> str:
    w, formula, count = FUNCTIONS[name]
    operands = ["%x", "%y"][:count]
    code: list[str] = []
    result = formula(*(Value(code, w.type, operand) for operand in operands))
    parameters = ", ".join(f"{w.type} {operand}" for operand in operands)
    lines = "\n".join(code)
    return f"""
define internal {w.type} @{name}({parameters}) alwaysinline nounwind {{
{lines}
  ret {w.type} {result.name}
}}
"""
