"""Kinds of arguments that the fuzzer gives to what it calls: what is refused, what is fine."""

from fuzz_kinds import (
    ARRAYS,
    HUGE,
    NO_NUMBERS,
    NOT_FINITE,
    Kind,
    instance,
    integer,
    probability,
    texts,
    vector,
    weight,
)

# ---- parameters ----
RULES = instance(texts("evops.FixedProbability | evops.Constant(1.0) | W | 0.1"))


def law():
    """A weight law or a number."""
    bad = [
        *NO_NUMBERS,
        "True",
        "np.True_",
        *NOT_FINITE,
        "'0.5'",
        "np.ones(3)",
        "[0.5]",
        "10**400",
        "1e300",
    ]
    bad += texts("evops.Constant | RULE | jnp.ones(2) | np.array(['1']) | evops.Normal")
    fine = texts("0.5 | evops.Constant(0.5) | np.float32(0.5) | evops.Constant(np.float32(0.5))")
    return Kind(
        bad, [(f, "evops.Constant(0.5)") for f in fine], ["2**40", "np.int64(2**40)", "TRACED(0.5)"]
    )


def delay():
    """A number of steps, or a law."""
    bad = [
        *[n for n in NO_NUMBERS if n != "None"],
        "True",
        *NOT_FINITE,
        *HUGE,
        *ARRAYS,
        "0",
        "-3",
        "1.5",
        "2**31",
    ]
    bad += texts("""1e20 | 1e300 | evops.Normal(15, 7.5) | evops.Normal(1e10, 1) |
        evops.Normal(1e308, 1e308)""")
    bad += texts("""evops.Uniform(0, 9) | evops.Uniform(1.2, 1.8) | evops.Uniform(1, 9000) |
        evops.Uniform(1e300, 1e301)""")
    bad += texts("""evops.Normal(jnp.ones(2), 1.0) | TRACED(3) | evops.Constant(2**31) |
        evops.Constant(-1e300)""")
    fine = texts("""3.0 | np.int8(3) | np.array(3) | jnp.array(3) | evops.Constant(3) |
        evops.Uniform(3, 3)""")
    fine += ["evops.Normal(3.0, 0)", "fractions.Fraction(3)"]
    return Kind(bad, [(f, "3") for f in fine], UNUSUAL_DELAYS, lambda rng: f"-{rng.random() * 1e9}")


UNUSUAL_DELAYS = ["None", "jnp.bfloat16(3)", "np.longdouble(3)"]


def above_zero(zero=False, none=False, least=0):
    """A real number above 0."""
    bad = [b for b in NO_NUMBERS if not (none and b == "None")]
    bad += [
        "True",
        "np.True_",
        *NOT_FINITE,
        "10**400",
        *ARRAYS,
        "-1.0",
        "-1e-300",
        "TRACED(0.5)",
        "'1'",
    ]
    bad += [] if zero else ["0", "-0.0"]
    bad += [f"{least} - 1e-9"] if least else []
    fine = texts("np.float32(0.5) | jnp.array(0.5) | np.array(0.5) | fractions.Fraction(1, 2)")
    return Kind(
        bad,
        [] if least else [(f, "0.5") for f in fine],
        ["jnp.bfloat16(3)", "np.longdouble(3)", "2"],
    )


COORDINATES = Kind(
    [*[b for b in NO_NUMBERS if b != "range(3)"], "'x'", "np.zeros((0, 2))", "np.zeros((3, 4))", "np.zeros((2, 2, 2))", "0.5", "True",
     "[[0, 1], [2]]", "[[0, math.nan]]", "[[math.inf, 0]]", "np.ones((2, 2), bool)", "TRACED(np.ones((2, 2)))",
     "np.ones((2, 2), complex)", "[['0', '1']]", "{}"],
    [(f, "np.zeros((2, 2))") for f in texts("np.zeros((2, 2), 'int8') | jnp.zeros((2, 2)) | [[0, 0], [0, 0]]")],
)  # fmt: skip
PERIODS = Kind(
    [b for b in NO_NUMBERS if b not in ("None",)]
    + texts(
        "True | 0 | -1.0 | math.nan | math.inf | (1.0,) | (1.0, 2.0, 3.0) | (1.0, 0) | '1' | 10**400 | TRACED(1.0)"
    )
)
EXTENTS = Kind(
    [*NO_NUMBERS, "(0, 3)", "(-1,)", "(2.0, 3)", "(1, 1, 1, 1)", "2.5", "True", "'34'", "(True, 3)", "(2**16, 2**16)",
     "TRACED((3, 4))", "10**400", "(10**400,)"]
)  # fmt: skip
SPACINGS = Kind(
    [b for b in NO_NUMBERS if b not in ("None",)]
    + texts(
        "0 | -1.0 | (1.0, 0) | (1.0,) | math.nan | math.inf | True | '1' | (1.0, 'a') | TRACED(1.0)"
    )
)
ENDS = Kind(
    [
        *NO_NUMBERS,
        "1",
        "0.0",
        "(True,)",
        "(True, 1)",
        "(True, None)",
        "'True'",
        "TRACED(True)",
        "math.nan",
    ]
)
NO_LINE = [
    *NO_NUMBERS,
    "3",
    "0.5",
    "(0.0,)",
    "(0.0, math.nan)",
    "(0.0, math.inf)",
    "(0.0, 'a')",
    "True",
]
ASCENDING = Kind(
    [*NO_LINE, "(1.0, 0.0)", "(-1.0, 1.0)", "(0.0, 0.0)", "(0.0, 1.0, 2.0)", "(0.0, 1j)"]
)
VALUES = Kind([*NO_LINE, "(1.0, -0.5)", "(0.1, 0.2, 0.3)", "(True, 0.5)"])
JUMPS = Kind(
    [b for b in NO_NUMBERS if b not in ("()", "[]")]
    + texts(
        "1.0 | (0.0,) | (-1.0,) | (2.0, 1.0) | (1.0, 1.0) | (math.nan,) | ('a',) | range(1, 20) | True"
    )
)

# of a convolution with a kernel of 2 by 2 places
CONVOLVED = Kind(
    [b for b in NO_NUMBERS if b not in ("range(3)",)]
    + texts(
        "0.5 | True | np.ones(4) | np.ones((2, 2, 1)) | np.ones((2, 2, 1, 2, 1)) | np.ones((2, 2, 0, 2)) | [[[[]]]] | "
        "np.ones((2, 2, 1, 2), bool) | np.ones((2, 2, 1, 2), complex) | np.full((2, 2, 1, 2), None) | [[1], [2, 3]] | "
        "np.full((2, 2, 1, 2), '1') | jnp.ones((2, 2, 1, 2), jnp.float8_e4m3fn) | [10**400]"
    ),
    [(f, "np.ones((2, 2, 1, 2))") for f in texts("np.ones((2, 2, 1, 2), 'int8') | jnp.ones((2, 2, 1, 2)) | [[[[1, 1]], [[1.0, 1]]]] * 2")],
    texts("TRACED(np.ones((2, 2, 1, 2))) | np.full((2, 2, 1, 2), 1e300) | np.full((2, 2, 1, 2), math.nan)"),
)  # fmt: skip
PADDINGS = Kind(
    [*integer(0, 1).bad, *texts("'SAME' | 'circular' | ((0, 1),) | ((0, 2), (0, 0)) | ((0, 0, 0), 0) | (0, 1, 0) | ('same', 0) | (0, None)")],
    [("(0, 0)", "'valid'"), ("[0, 0]", "'valid'"), ("((0, 0), 0)", "'valid'"), ("np.zeros((2, 2), int)", "'valid'")],
)  # fmt: skip
WHOLE_STEPS = Kind([b for b in integer(1).bad if b != "None"])


def areas_weight():
    """(2, 2), no NaN."""
    bad = texts("""None | 'strong' | object() | np.ones(3) | np.ones((2, 2, 1)) | 0.5 |
        {}""")
    bad += texts("""np.full((2, 2), np.nan) | np.ones((2, 2), complex) | np.ones((2, 2), bool) |
        [[1], [2, 3]]""")
    bad += texts("""np.full((2, 2), None) | np.zeros((0, 2)) | np.array([['1', '2'], ['3', '4']]) |
        [[None] * 2] * 2""")
    fine = texts("""[[1, 1], [1, 1]] | np.ones((2, 2), 'int8') | jnp.ones((2, 2)) |
        np.ones((4, 4))[::2, ::2]""")
    return Kind(
        bad,
        [(f, "np.ones((2, 2))") for f in fine],
        ["np.full((2, 2), 1e300)", "TRACED(np.ones((2, 2)))"],
    )


def areas_delay():
    """Whole steps: one, a pair's, or a neuron's."""
    bad = texts("""None | '3' | 1.5 | -1 | 2**31 | 2**63 | 10**400 | np.ones((2, 2)) |
        np.ones((3, 2), int) | {}""")
    bad += texts("""[[1], [2, 3]] | object() | math.nan | True | 1j | [] | np.zeros((0, 2), int) |
        TRACED(1)""")
    bad += texts("""-np.ones((2, 2), int) | np.full((2, 2), 2**40) | np.full((2, 2), None) |
        [[None] * 2] * 2""")
    fine = texts("""np.int8(3) | np.array(3) | [[3, 3], [3, 3]] | np.full((2, 2), 3, 'uint64') |
        np.full((2, 5, 2), 3)""")
    return Kind(bad, [(f, "3") for f in fine[:4]], [fine[4], "np.ones((2, 2), bool)"])


def population(n):
    """Numbers of neurons, for one size."""
    bad = [b for b in integer(1).bad if b not in ("()", "(1,)")]
    return Kind(
        [*bad, "()", f"({n}, 0)", f"({n}, {n})", "(2.5,)", "('4',)"], [(f"np.int8({n})", str(n))]
    )


def buffer(*bad):
    """A DelayBuffer that fits."""
    others = ["jnp.zeros((3, 11))", "W", "evops.DelayBuffer", "(jnp.zeros((3, 11)), 0)", *bad]
    return instance(others)


def mapping(bad):
    """A mapping with these wrong ones."""
    return Kind([*NO_NUMBERS, "'E'", "[('E', 5)]", "3", "True", *bad], [])


def function():
    """None or what can be called."""
    not_called = [b for b in NO_NUMBERS if b not in ("None", "float", "lambda: 3")]
    return Kind([*not_called, "3", "'f'", "True", "np.ones(2)"], [])


SIZES = texts("""{'E': 0} | {'E': -1} | {'E': 1.5} | {3: 4} | {'E': 2**31} | {'E': '4'} | {'E': None} |
    {'E': True}""")
SIZES += texts("""{'E': 2**31 - 1, 'I': 1} | {None: 4} | {'E': 10**400} | {'E': [4]} | {('E',): 4} |
    {'E': math.nan}""")
RANGES = texts("""{'E': (0, 3)} | {'E': (0, 4), 'I': (3, 6)} | {'E': (6, 0)} | {'E': 6} |
    {'E': slice(0, 6)} | {}""")
RANGES += texts("""{'E': (0, 6, 1)} | {'E': (0.0, 6)} | {'E': (None, 6)} | {'E': ('0', '6')} |
    {'E': (-1, 6)}""")
PAIRS = texts("""{'EI': W} | {('E', 'X'): W} | {('I', 'E'): W} | {('E', 'I'): 3} | {('E', 'I'): CSR} |
    {('E',): W}""")
PAIRS += [
    "{('E', 'I'): evops.Projection(RULE, 1.0, (5, 6), seed=1)}",
    "{('E', 'I', 3): W}",
    "{('E', 3): W}",
]
PAIRS += texts("{('E', 'I'): W.T} | {(('E',), 'I'): W} | [W] | {('E', 'I'): None}")
NAMES = Kind(
    [*[n for n in NO_NUMBERS if n not in ("()",)], "'X'", "''", "'e'", "('E',)", "3", "['E']"]
)
DATA = texts("""None | '0.5' | object() | [1.0, 2.0] | np.ones((3, 1)) | np.ones(3, complex) |
    np.ones(3, bool) | {}""")
DATA += texts("""np.full(3, None) | np.array(['1'] * 3) | [[1], [2, 3]] | np.zeros(0) | np.ones(4) |
    np.ones((3, 3))""")
DATA += texts("""[None] * 3 | np.array([2**40] * 3) | [10**400] * 3 | [2**31] * 3 | 2**63 | 1e300 |
    lambda: 1""")
INDICES = texts("""None | '0' | [0, 5, 6] | [0, -1, 2] | [0.0, 5.0, 2.0] | [[0, 5, 2]] | 3 | [True] * 3 |
    [0, 5]""")
INDICES += texts("""[0, 2**31, 1] | [0, 2**32, 1] | [0, 10**400, 1] | [0, None, 1] | np.zeros(3, complex) |
    object()""")
INDICES += texts("""np.array([0, 2**63, 1], 'uint64') | {0, 1, 2} | ['0', '1', '2'] | [{'a': 0}, 1, 2] |
    [[0], [1, 2]]""")
INDPTR = texts("""None | '0' | [0, 1, 2, 3] | [1, 1, 1, 2, 3, 3] | [0, 2, 1, 2, 3, 3] | [0, 1, 1, 2, 3, 4] |
    []""")
INDPTR += texts("""[0.0, 1, 1, 2, 3, 3] | [[0, 1, 1, 2, 3, 3]] | [0, 1, 1, 2, 3, 2**32 + 3] |
    [0, 1, 1, 2, 3, 10**400]""")
INDPTR += texts("""[0, 1, 1, 2, 2, 2] | [0, -1, 1, 2, 3, 3] | object() | np.zeros(6, complex) | [None] * 6 |
    3 | {}""")
# of three synapses, out of range for 5 and for 6 neurons
NEURONS = Kind(
    [text for text in INDICES if text not in ("[0, 5]", "[True] * 3")]
    + ["[0, 1, 6]", "TRACED([0, 1, 2])"]
)
EDGES = Kind(
    [*NO_NUMBERS, "3", "'ab'", "np.ones((2, 3), int)", "TRACED(np.ones(3, int))"]
    + [f"({ids}, [0, 1, 2])" for ids in NEURONS.bad]
    + [f"([0, 1, 2], {ids})" for ids in NEURONS.bad if ids not in ("[0, 5, 6]", "[0, 1, 6]")]
    + ["([0, 1, 2], [0, 1, 6])", "([0], [1], [2])", "([0, 1], [0])"],
    [("(np.uint8([0, 4]), jnp.array([5, 0]))", "([0, 4], [5, 0])"), ("[[0, 4], [5, 0]]", "([0, 4], [5, 0])")],
)  # fmt: skip
MATRICES = Kind(
    [*NO_NUMBERS, "3", "'ab'", "np.eye(5, 6)", "np.eye(6, 5, dtype=int)", "-np.eye(5, 6, dtype=int)", "np.full((5, 6), 2**31)",
     "np.full((5, 6), 'a')", "np.full((5, 6), None)", "[[1], [2, 3]]", "np.ones(30, int)", "np.ones((5, 6, 1), bool)",
     "CSR.to_scipy()", "TRACED(np.ones((5, 6), int))"],
    [("np.eye(5, 6, dtype=bool)", "np.eye(5, 6, dtype=int)"), ("jnp.eye(5, 6, dtype='uint8')", "np.eye(5, 6, dtype=int)"),
     ("np.eye(5, 6, dtype=int).tolist()", "np.eye(5, 6, dtype=int)")],
)  # fmt: skip
SOME = Kind([text for text in NEURONS.bad if text != "None"])
IDS = Kind([text for text in INDICES if text not in ("[0, 5]", "[True] * 3")] + ["[0, 1, 6]"])
COUNT = Kind([text for text in integer(0, 3).bad if text not in ("None", "TRACED(1)")])
LIMIT = Kind(texts("'0' | object() | [0.0, 1.0] | 1j | True | [[0.0]] | {} | 10**400"))
# Numbers of laws and steps that are known before compilation.
KNOWN = Kind(
    [b for b in weight().bad if b not in ("None", "'\\x00'")]
    + ["None", "TRACED(0.5)", "np.ones(2)"]
)
KNOWN_OR_NONE = Kind([b for b in KNOWN.bad if b != "None"])
SOURCES = Kind(
    texts("""None | '8' | object() | {} | 1j | -1 | -0.5 | math.nan | math.inf | [1.0, 2.0] | np.ones(3) |
    True | TRACED(3.0) | 1e9 | [[1.0]] | lambda: 0""")
)
LONG = Kind([text for text in vector(6).bad if text != "[]" and "7" not in text])  # of any length
PER = Kind(texts("'row' | 3 | object() | ['pre'] | 'pre' | 'post'"))
DELAYS = Kind(
    texts("""'0' | [1, 2] | [1, 0, 2] | 0 | -3 | 1.5 | [1.0, 2.0, 3.0] | 2**31 - 1 | [1, 2**40, 3] | object() |
    [[1, 2, 3]] | True | evops.Constant(2) | [None] * 3 | math.nan"""),
    [("np.int64(2)", "2"), ("np.uint8([3, 1, 2])", "[3, 1, 2]")],
)
DTYPES = texts("""'float33' | bool | jnp.float16 | jnp.bfloat16 | 'int8' | complex | object | 'U3' | 3 |
    math.nan""")
DTYPES += texts("""jnp.float8_e4m3fn | jnp.int4 | 'M8' | [] | {} | object() | float.__add__ |
    jax.random.key(1).dtype""")
DTYPE = Kind(
    DTYPES,
    [("'float32'", "jnp.float32"), ("np.dtype('f4')", "jnp.float32")],
    ["None", "float", "int"],
)
SUMS = texts("""jnp.zeros(3) | jnp.zeros((3, 4, 5)) | None | 'x' | 0.5 | jnp.zeros((3, 4), complex) |
    jnp.zeros((3, 4), bool)""")
SUMS += texts("jnp.zeros((0, 4)) | [[None]] | object() | jnp.zeros((3, 4), 'int8')")
STEPS = texts("""None | '0' | 0.5 | jnp.zeros(3, int) | jnp.float32(0) | object() |
    jnp.zeros((1,), jnp.int32) | [0]""")
OUTS = texts("""[] | () | None | 3 | [3] | [None] | 'x' | [jax.ShapeDtypeStruct((-1,), float)] |
    [OUT, None] | [[OUT]]""")
OUTS += texts("""[jax.ShapeDtypeStruct((2.5,), float)] | object() |
    [jax.ShapeDtypeStruct((True, 'a'), float)] | {}""")
ARRAY = Kind(
    texts("""None | object() | 'x' | [None] | [[1], [2, 3]] | {} | np.full(3, None) | lambda: 0 |
        b'1'""")
)
STATIC = Kind(
    texts("""object() | [object()] | np.ones(3) | {} | set() | lambda: 0 | TRACED(3) | jnp.ones(2) |
        (1, {})""")
)
SCIPY = Kind([*NO_NUMBERS, "np.ones((5, 6))", "3", "[[1]]"])


# Functions are kernels.
PROBABILITY_OR_KERNEL = probability(zero=True)
PROBABILITY_OR_KERNEL.bad[:] = [
    b for b in PROBABILITY_OR_KERNEL.bad if b not in ("float", "lambda: 3")
]
KERNEL = Kind(
    [b for b in NO_NUMBERS if b not in ("None", "float", "lambda: 3")]
    + ["0.5", "True", "np.ones(3)", "evops.masks.Ball(1.0)"]
)
DEGREES = Kind(
    [
        *[b for b in NO_NUMBERS if b != "range(3)"],
        "-1",
        "1.5",
        "True",
        "2**31",
        "10**400",
        "(1, -2)",
        "(1, 2.5)",
        "(True, 1)",
        "np.ones(3)",
        "TRACED(2)",
        "(None, 1)",
    ]
)
TYPES = Kind(
    [
        *NO_NUMBERS[1:],
        "0",
        "[[0]]",
        "[0.0]",
        "[-1]",
        "[True]",
        "['0']",
        "[None]",
        "[0, 2**70]",
        "[0, 9]",
    ]
)
