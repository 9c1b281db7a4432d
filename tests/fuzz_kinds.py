"""Values of parameters as source text: what is refused, what is fine, and what may be either.

A value that is fine stands beside a plain one that means the same. ``TRACED(v)`` stands for v inside
a program that is traced.
"""

import dataclasses
from collections.abc import Callable


def texts(listed):
    """Values from one text."""
    return [value.strip() for value in listed.split(" |")]


NOTHING = texts("None | () | [] | {} | set() | object() | ... | NotImplemented | slice(0, 3)")
NO_NUMBERS = [
    *NOTHING, "'3'", "''", "b'3'", "'\\x00'", "float", "evops", "lambda: 3", "range(3)", "1j",
    "np.complex64(1)", "np.array('3')", "np.array(None)", "np.array(1 + 0j)", "np.datetime64(3, 's')",
    "decimal.Decimal(3)", "jax.random.key(3)", "jax.ShapeDtypeStruct((), float)",
    "np.zeros((), 'V4')", "iter([3])",
]  # fmt: skip
BOOLS = texts("True | False | np.True_ | np.array(True) | jnp.array(False)")
NOT_FINITE = texts("""math.nan | math.inf | -math.inf | np.float16('nan') | np.float32('inf') |
    np.float64('-inf') | np.longdouble('nan') | np.array(np.nan) | jnp.array(jnp.inf)""")  # fmt: skip
HUGE = texts("10**400 | -(10**400) | 2**1024 | fractions.Fraction(10**400)")
ARRAYS = texts("""np.ones(1) | np.ones((1, 1)) | jnp.ones(2) | np.ones(0) | [1] | (1,) | [[1]] |
    np.ones((2, 3))[::2] | np.array([1, None]) | np.array(['1']) | np.zeros(3, 'i4,f4') |
    np.array([[1], [2]]).T""")  # fmt: skip
FLOATS = texts(
    "1.0 | 2.5 | -0.5 | 1e20 | np.float32(1) | np.float64(2) | np.array(1.0) | jnp.ones(())"
)
UNUSUAL = texts("""ml_dtypes.bfloat16(0.5) | jnp.bfloat16(0.5) | jnp.float8_e4m3fn(0.5) |
    jnp.zeros((), jnp.int4) | np.longdouble(0.5) | jnp.zeros((), jnp.float8_e5m2) |
    Weird(0.5) | np.timedelta64(3) | np.ma.masked""")  # fmt: skip


@dataclasses.dataclass
class Kind:
    """What a parameter is given. `draw` makes more values that are refused."""

    bad: list[str]
    fine: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    either: list[str] = dataclasses.field(default_factory=list)
    draw: Callable[..., str] | None = None


def magnitude(rng):
    """A whole number of any size."""
    return 2 ** int(rng.integers(0, 140)) + int(rng.integers(-2, 3))


def integer(low, high=2**31 - 1, fine=1):
    """A whole number from low to high, known before compilation."""

    def draw(rng):
        text = str(pick(rng, [-1, 1]) * magnitude(rng))
        if low <= int(text) <= high:
            text += pick(rng, [".5", " / 2**70", " + 1j"])
        return text

    ends = [str(low - 1), str(high + 1), "2**31", "2**32 + 1", "2**63", "2**64", "-(2**63)"]
    bad = [*NO_NUMBERS, *BOOLS, *NOT_FINITE, *HUGE, *ARRAYS, *FLOATS, *ends, "-1" if low >= 0 else str(low - 1)]  # fmt: skip
    bad += ["fractions.Fraction(1)", "TRACED(1)"]
    types = texts("np.int8 | np.uint8 | np.int32 | np.uint64 | np.array | jnp.array | jnp.int32")
    return Kind(bad, [(f"{t}({fine})", str(fine)) for t in types], UNUSUAL, draw)


def probability(zero):
    """A number in [0, 1] or (0, 1]."""

    def draw(rng):
        return pick(rng, ["-{}", "1 + {}"]).format(float(2.0 ** -rng.uniform(-100, 50)))

    bad = [*NO_NUMBERS, *BOOLS, *NOT_FINITE, *HUGE, *ARRAYS, "-1e-9", "-1e-300", "1.5", "2", "-1"]
    bad += texts("math.nextafter(1, 2) | np.float32(1.5) | TRACED(0.5) | fractions.Fraction(3, 2)")
    bad += [] if zero else ["0", "0.0", "-0.0"]
    fine = texts(
        "np.float32(0.5) | np.float16(0.5) | np.array(0.5) | jnp.array(0.5) | np.float64(0.5)"
    )
    fine += ["fractions.Fraction(1, 2)"]
    return Kind(bad, [(f, "0.5") for f in fine], UNUSUAL, draw)


def flag(strict=True):
    """True or False."""
    bad = [*NO_NUMBERS, *FLOATS]
    bad += texts("'True' | 'False' | 2 | -1 | math.nan | [True] | TRACED(True)")
    bad += ["0", "1"] if strict else []
    either = ["np.array(True)", "jnp.array(True)", "0", "1", "np.ones(1, bool)", *UNUSUAL]
    return Kind(bad, [("np.True_", "True"), ("np.False_", "False")], either)


def shape(rows, columns):
    """A pair of sizes."""

    def draw(rng):
        sizes = [str(int(rng.integers(1, 9))) for _ in range(int(pick(rng, [0, 1, 3, 4, 2, 2])))]
        if len(sizes) == 2:
            sizes[int(rng.integers(2))] = pick(
                rng, texts("0 | -3 | 2.0 | True | 2**31 | None | '4'")
            )
        return f"[{', '.join(sizes)}]"

    pair = f"({rows}, {columns})"
    bad = [*NO_NUMBERS, *BOOLS, *HUGE, "5", "2.5", "'ab'", "(3,)", "(3, 4, 5)", "(0, 4)", "(3, 0)"]
    bad += texts("(-1, 4) | (3.0, 4) | (3, 4.5) | (True, 4) | (2**31, 1) | (1, 2**64) | (None, 3)")
    bad += texts("""(math.nan, 3) | ('3', '4') | ((3, 4), (5, 6)) | np.ones((2, 2)) |
        np.array([3.0, 4.0])""")
    bad += texts("""(TRACED(3), 4) | jnp.ones(2) | {'a': 1, 'b': 2} | np.array(3) | [3, [4]] |
        (10**400, 2)""")
    fine = [f"[{rows}, {columns}]", f"np.array({pair})", f"(np.int64({rows}), np.uint8({columns}))"]
    fine += [f"jnp.array({pair})", f"jax.numpy.zeros({pair}).shape"]
    return Kind(bad, [(f, pair) for f in fine], [f"iter({pair})"], draw)


def seed(wraps=False, traced=False):
    """A whole number of 64 bits or a key; published seeds are taken modulo 2**32."""

    def draw(rng):
        return pick(
            rng, [f"{rng.normal()}", f"'{rng.integers(99)}'", f"[{rng.integers(99)}, 1, 2]"]
        )

    bad = [*NO_NUMBERS, *NOT_FINITE, *FLOATS]
    bad += texts("True | np.True_ | [1, 2, 3] | np.array([1, 2, 3])")
    bad += texts("""jnp.arange(6).reshape(2, 3) | [[1, 2, 3]] | jax.random.split(jax.random.key(1), 3) |
        np.ones(3)""")
    bad += texts("TRACED(0.5) | np.array([]) | jnp.zeros((0, 2), jnp.uint32) | ['1', '2', '3']")
    bad = [b for b in bad if "random.key(3)" not in b]
    if not wraps:
        bad += ["2**64", "-(2**63) - 1", *HUGE, "fractions.Fraction(10**400)", "[[3]]"]
    values = texts("""7 | np.int8(7) | np.uint32(7) | np.int64(7) | np.array(7) | jnp.array(7) |
        jnp.uint32(7)""")
    either = UNUSUAL + texts("""jax.random.PRNGKey(7) | jax.random.key(7) | [7] | np.array([7]) |
        fractions.Fraction(7)""")
    either += HUGE[:3] if wraps else []
    bad += ["TRACED(7)"] * traced
    return Kind(bad, [(v, "7") for v in values], either, draw)


def weight(scalar=True, finite=True):
    """A weight: a real number, or one entry."""
    bad = [b for b in NO_NUMBERS if b not in ("range(3)", "()", "[]", "object()")]
    bad += ["True", "np.True_", "np.array(True)"]
    if scalar:
        bad += texts("""np.ones(3) | np.ones((2, 2)) | np.array(['1']) | np.array([1, None]) |
            [1, 2, 3]""")
    bad += texts("jnp.ones(2, complex) | 10**400 | -(10**400) | 2**2000")
    bad += NOT_FINITE[:6] if finite else []
    fine = ["np.float32(0.5)", "jnp.float32(0.5)"]
    either = UNUSUAL + texts("""np.ones(1) | [0.5] | np.float64(0.5) | jnp.int32(3) | 2**40 | 3 |
        np.int64(2**40) | np.array(0.5) | fractions.Fraction(1, 2) | TRACED(0.5) | 2**31 |
        np.uint64(2**63) | 1e300 | -1e39 |
        object()""")  # a law alone has no type to be beyond, and jax puts object() for leaves
    return Kind(bad, [(f, "0.5") for f in fine], either)


def vector(*sizes):
    """An array of numbers or bools of that shape."""
    text = ", ".join(map(str, sizes)) + ","
    more = [*sizes[:-1], sizes[-1] + 1]

    def draw(rng):
        wrong = [int(rng.integers(0, 5)) for _ in range(int(rng.integers(0, 4)))]
        while tuple(wrong[-1:]) == (sizes[-1],) or tuple(wrong) == sizes:
            wrong = [int(rng.integers(8, 12))]
        dtype = pick(rng, texts("bool | int8 | uint16 | int64 | float16 | float32 | float64"))
        order = pick(rng, ["", ", order='F'"])
        return f"np.zeros({tuple(wrong)}, {dtype!r}{order})"

    bad = texts("""None | object() | 'spikes' | b'1' | {} | ... | lambda: 0 | 1.0 | True | math.nan | 1j |
        [[1], [2, 3]] | np.zeros((0, 0)) | jax.random.split(jax.random.key(1), 5) | [] | set() |
        np.zeros((SHAPE), complex) | np.full((SHAPE), None) | np.zeros((SHAPE), 'U3') |
        np.zeros((SHAPE), 'M8[s]') | np.zeros((SHAPE), 'm8[s]') | np.zeros((SHAPE), 'V8') |
        np.zeros(MORE) | TRACED(np.zeros(MORE)) | [None] * FIRST""")
    fine = texts("""np.ones((SHAPE), bool) | np.ones((SHAPE)) | np.ones((SHAPE), 'int8') |
        np.ones((SHAPE), 'uint16') | np.ones((SHAPE)).tolist() | np.ones((2, SHAPE))[1] |
        np.asfortranarray(np.ones((SHAPE))) | np.ones((SHAPE))[::-1]""")
    either = texts("""np.zeros((SHAPE), object) | jnp.ones((SHAPE), jnp.float8_e4m3fn) | jnp.ones((SHAPE), jnp.int4) |
        np.ones((SHAPE), 'g') | np.ones((SHAPE), '>f4') | jnp.ones((SHAPE), 'bfloat16') |
        np.full((SHAPE), 2**40) | np.full((SHAPE), -1, 'int64') | np.full((SHAPE), 2**64 - 1, 'uint64') |
        np.full((SHAPE), np.inf) | [10**400] * FIRST | np.full((SHAPE), 1e300)""")

    def filled(values):
        places = {"SHAPE": text, "MORE": str(tuple(more)), "FIRST": str(sizes[0])}
        for place, value in places.items():
            values = [v.replace(place, value) for v in values]
        return values

    plain = filled(["jnp.ones((SHAPE))"])[0]
    return Kind(filled(bad), [(f, plain) for f in filled(fine)], filled(either), draw)


def one_of():
    """A word among some, or None."""
    bad = texts("""3 | '' | 'cuda' | True | 'NATIVE' | b'jnp' | ['native'] | ('jnp',) | 2.5 |
        np.array(['jnp', 'native'])""")
    return Kind([*[n for n in NO_NUMBERS if n != "None"], *bad])


def instance(others):
    """An object of one class."""
    more = texts("3 | 0.5 | True | math.nan | np.ones(3) | jnp.ones((5, 6)) | 'rule' | TRACED(0.5)")
    return Kind([*NO_NUMBERS, *more, *others], [], [])


def pick(rng, options):
    return options[int(rng.integers(len(options)))]
