"""What can be called with which arguments: the table of the fuzzer's refused calls."""

import dataclasses
import re

from evops.connectivity import format
from fuzz_kinds import (
    ARRAYS,
    HUGE,
    NO_NUMBERS,
    NOT_FINITE,
    Kind,
    flag,
    instance,
    integer,
    one_of,
    pick,
    probability,
    seed,
    shape,
    texts,
    vector,
    weight,
)
from fuzz_parameters import (
    ARRAY,
    ASCENDING,
    CONVOLVED,
    COORDINATES,
    COUNT,
    DATA,
    DEGREES,
    DELAYS,
    DTYPE,
    EDGES,
    ENDS,
    EXTENTS,
    IDS,
    INDICES,
    INDPTR,
    JUMPS,
    KERNEL,
    KNOWN,
    KNOWN_OR_NONE,
    LIMIT,
    LONG,
    MATRICES,
    NAMES,
    NEURONS,
    OUTS,
    PADDINGS,
    PAIRS,
    PER,
    PERIODS,
    PROBABILITY_OR_KERNEL,
    RANGES,
    RULES,
    SCIPY,
    SIZES,
    SOME,
    SOURCES,
    SPACINGS,
    STATIC,
    STEPS,
    SUMS,
    TYPES,
    VALUES,
    WHOLE_STEPS,
    above_zero,
    areas_delay,
    areas_weight,
    buffer,
    delay,
    function,
    law,
    mapping,
    population,
)


@dataclasses.dataclass(frozen=True)
class Call:
    """A call with a place for each parameter, good values and kinds of odd ones."""

    text: str
    good: dict[str, list[str]]
    kinds: dict[str, Kind]
    names: dict[str, str] = dataclasses.field(default_factory=dict)  # also good in a message

    @property
    def constructor(self):
        found = re.search(r"evops\.(\w+)", self.text)
        return found[1] if found else re.search(r"[A-Z]+", self.text)[0]


def call(text, *, names=(), **parameters):
    """A `Call` from ``name=(good values, kind)``."""
    good = {
        name: values if isinstance(values, list) else [values]
        for name, (values, _) in parameters.items()
    }
    return Call(text, good, {name: kind for name, (_, kind) in parameters.items()}, dict(names))


def given(kind):
    """What an argument may be that is left out where it is None."""
    return Kind([bad for bad in kind.bad if bad != "None"], kind.fine, kind.either, kind.draw)


BACKEND = (["None", "'native'", "'jnp'"], one_of())
PROBABILITY = (["0.5", "1.0"], probability(zero=False))
SEED, SEEDS = (["7", "-3", "2**63"], seed()), Kind(seed(wraps=True).bad)
KNOWN_SEED = Kind([*SEED[1].bad, "TRACED(7)"], SEED[1].fine, SEED[1].either, SEED[1].draw)
FLAG = (["True", "False"], flag())
PUBLISHED = ("0.5", weight(finite=False))
SPIKES, BATCH = ("jnp.ones(5)", vector(5)), ("jnp.ones(6)", vector(6))


def published(name, first, weights):
    """One of the published functions; the matrix has 6 rows and columns."""
    of_vector = {first: ("jnp.ones(6)", vector(6))} if first else {}
    parameters = {
        **of_vector,
        **{w: PUBLISHED for w in weights},
        "conn_prob": PROBABILITY,
        "seed": (["7", "-3"], seed(wraps=True)),
        "shape": ("(6, 6)", shape(6, 6)),
        "outdim_parallel": (["True", "False"], flag(strict=False)),
        "backend": BACKEND,
    }
    places = ", ".join(f"{p}={{{p}}}" for p in parameters)
    transposed = f"evops.{name}({places}, transpose={{transpose}})"
    flags = {"transpose": (["True", "False"], flag(strict=False))}
    return call(transposed, **parameters, **flags)


WEIGHTS = {"homo": ["weight"], "uniform": ["w_low", "w_high"], "normal": ["w_mu", "w_sigma"]}
BOUND = texts("True | TRACED(-1.0)") + [*NO_NUMBERS[1:], *NOT_FINITE, *HUGE, *ARRAYS]
OF_AREAS = texts(
    "None | '1' | np.ones(3) | np.ones((2, 1)) | 0.5 | np.ones(2, complex) | [None] * 2 | {} | np.ones(2, bool)"
)
TOO_SMALL = texts("evops.DelayBuffer.zeros(3, 2) | evops.DelayBuffer.zeros(11, 1)")
OTHER_SIZE = texts("evops.DelayBuffer.zeros(3, 2) | evops.DelayBuffer.zeros(13, 2)")
KERNELS = ("None", Kind([*NO_NUMBERS[1:], "KERNEL", "3"]))
SCHEMES = [
    *NO_NUMBERS,
    *texts("""(2, 0, 12, 128, 0) | format.DenseBlocks | format.DenseBlocks(12.0, 128, 0) |
    format.DenseBlocks(12, True, 0) | format.DenseBlocks(12, 128, 0, exclude_autapses=1) |
    format.GeometricGaps(12, 8, 0) | format.CountedRows(1, 0, 0, 0) | format.UniformGaps(0, 0, 0) |
    format.Diagonal(exclude_autapses=True)"""),
]


def draw_scheme(rng):
    """A record with fields that its reader does not take: all are too large."""
    name = pick(rng, ("UniformGaps", "GeometricGaps", "DenseBlocks", "EqualRows", "CountedRows"))
    words = rng.integers(2**16, 2**33, len(format.fields(getattr(format, name)))).tolist()
    return f"format.{name}({', '.join(map(str, words))})"


ABOVE_0, LENGTH = ("0.5", above_zero()), ("1.0", above_zero())
OPTIONS = {
    "cutoff": (["None", "2.0"], above_zero(none=True)),
    "p_min": ("0.01", above_zero(zero=True)),
    "mask": (["None", "evops.masks.Ball(1.0)"], Kind([*NO_NUMBERS[1:], "3", "evops.masks.Ball"])),
}


def kernel(name, **parameters):
    """A kernel of distance."""
    places = ", ".join(f"{p}={{{p}}}" for p in [*parameters, *OPTIONS])
    return call(f"evops.{name}({places})", **parameters, **OPTIONS)


# fmt: off
SPACE = [
    call("evops.Positions({coordinates}, {periodic})", coordinates=("[[0.0, 1.0], [2.0, 3.0]]", COORDINATES),
         periodic=(["None", "2.0", "(1.0, None)"], PERIODS)),
    call("evops.Grid({shape}, {spacing}, {periodic})", shape=("(3, 4)", EXTENTS), spacing=("(1.0, 2.0)", SPACINGS),
         periodic=(["True", "(False, True)"], ENDS)),
    call("evops.Grid(4, normalize={normalize})", normalize=FLAG),
    kernel("Gaussian", sigma=ABOVE_0, peak=ABOVE_0),
    kernel("Exponential", length=ABOVE_0, peak=ABOVE_0),
    kernel("Gamma", kappa=("2.0", above_zero(least=1)), theta=ABOVE_0, scale=ABOVE_0),
    kernel("Box", radius=(["None", "1.5"], above_zero(none=True)), peak=ABOVE_0),
    kernel("Table", distances=("(0.0, 1.0)", ASCENDING), values=("(1.0, 0.5)", VALUES)),
    kernel("FunctionKernel", function=("abs", Kind([b for b in NO_NUMBERS if b not in ("float", "lambda: 3")])),
           breakpoints=(["()", "(1.0,)"], JUMPS)),
]
SHORTFALL = (["'error'", "'take all'"], Kind([*NO_NUMBERS, "'none'", "3"]))
CALLS = [
    call("evops.FixedProbability({p}, autapses={autapses})", p=("0.5", PROBABILITY_OR_KERNEL), autapses=FLAG),
    *SPACE,
    call("evops.LfsrGaps({p}, hashed={hashed})", p=PROBABILITY, hashed=FLAG),
    call("evops.realised_probability({p})", p=PROBABILITY),
    call("evops.AllToAll(autapses={autapses})", autapses=FLAG),
    call("evops.FixedOutDegree({k}, multapses={multapses})", k=("1", integer(0)), multapses=FLAG),
    *(call(f"evops.{name}({{k}}, p={{p}}, shortfall={{shortfall}}, multapses=False)", k=(["1", "(1, 2)"], DEGREES),
           p=("evops.Gaussian(1.0)", KERNEL), shortfall=SHORTFALL) for name in ("FixedOutDegree", "FixedInDegree")),
    call("evops.FixedTotalNumber({k}, p={p}, shortfall={shortfall}, given={given}, multapses=False)", k=("1", DEGREES), shortfall=SHORTFALL,
         p=("evops.Gaussian(1.0)", KERNEL), given=(["'pre'", "'pair'"], Kind([*NO_NUMBERS, "'post'", "3", "np.array(['pair'])"]))),
    *(call("evops.RULE({k}, multapses={multapses}, autapses={autapses})".replace("RULE", name), k=("1", integer(0)),
           multapses=FLAG, autapses=FLAG) for name in ("FixedTotalNumber", "FixedInDegree", "FixedOutDegree")),
    call("evops.Synapses({rule}, {law}, {shape}, seed={seed}, delay={delay}, backend={backend})",
         rule=(["RULE", "evops.FixedInDegree(2, multapses=False)"], RULES), law=(["0.5", "evops.Normal(0.5, 0.1)"], law()),
         shape=("(5, 6)", shape(5, 6)), seed=(SEED[0], KNOWN_SEED), delay=(["None", "2", "evops.Uniform(1, 3)"], delay()),
         backend=BACKEND),
    call("evops.SymmetricProbability({p}, autapses={autapses})", p=("0.5", probability(zero=True)), autapses=FLAG),
    call("evops.NoMutualProbability({p})", p=("0.25", Kind([*probability(zero=True).bad, "0.75", "1"]))),
    call("evops.PoissonMultiplicity({mean}, autapses={autapses})", mean=("0.5", above_zero(zero=True)), autapses=FLAG),
    call("evops.BlockProbability({p}, {pre_types}, {post_types}, autapses={autapses})", p=("[[0.1, 0.2]]", Kind([*NO_NUMBERS, "0.1", "[0.1]", "[[2.0]]", "[[-1.0]]", "[[0.1], [0.2, 0.3]]", "[[math.nan]]", "[[True]]", "[[1j]]", "np.ones((1, 0))"])),
         pre_types=("[0, 0]", TYPES), post_types=("[0, 1, 1]", TYPES), autapses=FLAG),
    call("evops.BlockWeight({w}, {pre_types}, {post_types}, {law})", w=("[[0.1, 0.2]]", Kind([*NO_NUMBERS, "0.1", "[0.1]", "[[0.1], [0.2, 0.3]]", "[[math.nan]]", "[[True]]", "[[1j]]"])),
         pre_types=("[0, 0]", TYPES), post_types=("[0, 1, 1]", TYPES), law=("1.0", Kind([*NO_NUMBERS, *NOT_FINITE, "True"]))),
    call("evops.Clusters({types}, {p}, {w}, autapses={autapses})", types=("[0, 1]", Kind([b for b in TYPES.bad[:-1] if b != 'range(3)'])), p=("(0.5, 0.1)", Kind([*NO_NUMBERS, "0.5", "(0.5,)", "(0.5, 2)", "(0.5, math.nan)", "(1, 2, 3)"])),
         w=("(2.0, 1.0)", Kind([*NO_NUMBERS, "0.5", "(0.5,)", "(1, math.inf)", "(1, '2')"])), autapses=FLAG),
    call("evops.DistanceWeight({kernel}, {law})", kernel=("evops.Gaussian(1.0)", KERNEL), law=("1.0", Kind([*NO_NUMBERS, *NOT_FINITE, "True", "evops.DistanceWeight(KERNEL)", "TRACED(0.5)"]))),
    call("evops.DistanceDelay({speed}, {dt}, {offset})", speed=ABOVE_0, dt=ABOVE_0, offset=(["0.5", "evops.Normal(0.5, 0.1)"], Kind([*NO_NUMBERS, *NOT_FINITE, "-1", "True"]))),
    call("evops.GaussianWeight({sigma}, {w_max}, {w_min}, include_self={own})", sigma=ABOVE_0, w_max=("-1.0", Kind([*NO_NUMBERS, *NOT_FINITE, "0", "True"])),
         w_min=(["None", "0.1"], Kind([*NO_NUMBERS[1:], *NOT_FINITE, "-1", "2", "True"])), own=FLAG, names={"own": "include_self"}),
    call("evops.DifferenceOfGaussians({sigmas}, {ws_max}, {w_min}, include_self={own})", sigmas=("(0.1, 0.2)", Kind([*NO_NUMBERS, "(1, 0)", "1", "(1,)", "(1, 2, 3)"])),
         ws_max=("(1.0, 0.7)", Kind([*NO_NUMBERS, "(1, -1)", "1", "(1,)", "(1, 2, 3)"])), w_min=(["None", "0.1"], Kind([*NO_NUMBERS[1:], *NOT_FINITE, "-1", "2", "True"])),
         own=FLAG, names={"own": "include_self"}),
    call("evops.Neighbours({number}, include_self={own})", number=(["4", "8", "None"], Kind(["5", "0", "True", "4.0", "'4'", "()", "-4", "2**70"])),
         own=FLAG, names={"number": "grid", "own": "include_self"}),
    call("evops.SmallWorld({num_neighbor}, {prob}, {directed}, {include_self})", num_neighbor=("1", integer(0)),
         prob=("0.5", probability(zero=True)), directed=FLAG, include_self=FLAG),
    call("evops.ScaleFree({m}, {directed})", m=("1", integer(1)), directed=FLAG),
    call("evops.DualScaleFree({m1}, {m2}, {p}, {directed})", m1=("1", integer(1)), m2=("1", integer(1)),
         p=("0.5", probability(zero=True)), directed=FLAG),
    call("evops.PowerLawCluster({m}, {p}, {directed})", m=("1", integer(1)), p=("0.5", probability(zero=True)), directed=FLAG),
    call("evops.Synapses(evops.ScaleFree(4, True), 0.5, {shape}, seed=1)", shape=("(5, 5)", Kind(texts("(4, 4) | (5, 6)"))), names={"shape": "m"}),
    call("evops.Synapses(OwnConnector({edges}), 0.5, (5, 6), seed=1)", edges=("([0, 4], [5, 0])", EDGES), names={"edges": "OwnConnector.edges"}),
    call("evops.Synapses(OwnMatrix({matrix}), 0.5, (5, 6), seed=1)", matrix=("np.eye(5, 6, dtype=int)", MATRICES), names={"matrix": "OwnMatrix.matrix"}),
    call("evops.Neighbours({grid}, {radius}, {metric}, periodic={periodic}, include_self={own})",
         grid=("(3, 4)", Kind([*NO_NUMBERS[1:], "5", "(3, 0)", "(2.0,)", "(2, 2, 2, 2)", "(2**16, 2**16)", "(True, 3)"])),
         radius=("1.0", Kind([*NO_NUMBERS[1:], *NOT_FINITE, "-1", "True"])), metric=("'chebyshev'", Kind([*NO_NUMBERS[1:], "2"])),
         periodic=("(True, False)", Kind([*NO_NUMBERS[1:], "1", "(True,)", "(True, 1)"])), own=FLAG, names={"own": "include_self"}),
    call("evops.Constant({w})", w=("0.5", weight(scalar=False))),
    call("evops.Uniform({low}, {high})", low=("-9.0", weight(scalar=False)), high=("9.0", weight(scalar=False)),
         names={"low": "high"}),
    call("evops.Clipped({mean}, {std}, low={low}, high={high})", mean=("0.5", KNOWN), std=("0.5", KNOWN),
         low=(["None", "0.0"], KNOWN_OR_NONE), high=(["None", "2.0"], KNOWN_OR_NONE)),
    call("evops.FixedTotalNumber.from_probability({p}, {shape})", p=("0.5", probability(zero=True)), shape=("(5, 6)", shape(5, 6))),
    call("evops.PoissonInput({n}, {rate}, {weight}, size={size}, dt={dt}, seed={seed})", n=("10", SOURCES), rate=("8.0", SOURCES),
         weight=("0.5", Kind(texts("None | '0.5' | object() | [1.0, 2.0] | np.ones(3) | 1j | {} | True"))),
         size=("5", integer(1, fine=5)), dt=("0.1", Kind([*KNOWN.bad, "0", "-0.1"])), seed=SEED),
    call("evops.Circuit.from_table(POPULATIONS, {table}, dt={dt}, seed={seed}, columns={columns}, separator={separator}, "
         "total_from_p={total_from_p}, weight={weight}, delay={delay})",
         table=("[ROW]", Kind(texts("""None | 3 | {'source': 'E'} | [3] | ['x'] | object() | [{}] | [ROW, ROW] |
             [dict(ROW, p=2.0)] | [dict(ROW, source='X')] | [dict(ROW, x=1)] | [dict(ROW, delay='x')]"""))),
         dt=("0.1", Kind([*KNOWN.bad, "0", "-0.1"])), seed=SEED,
         columns=(["None", "{}"], Kind(texts("3 | 'x' | ['p'] | {'x': 'p'} | {'p': 'x'} | object()"))),
         separator=("','", Kind(texts("None | 3 | '' | ',,' | object()"))), total_from_p=("False", Kind(flag().bad)),
         weight=("evops.Normal", Kind(texts("None | 3 | 'x' | evops.Normal(1.0, 0.1)"))),
         delay=("evops.tables.redrawn_delay", Kind(texts("None | 3 | 'x' | evops.Normal(1.0, 0.1)"))),
         names={"columns": "column|table row", "table": "row"}),
    call("evops.Normal({mean}, {std})", mean=("0.5", weight(scalar=False)), std=("0.5", weight(scalar=False))),
    call("evops.Normal(0.0, 1.0, low={low}, high={high})",
         low=("-1.0", Kind([*BOUND, "5.0"])), high=("1.0", Kind([*BOUND, "-5.0"]))),
    call("evops.Projection({rule}, {law}, {shape}, seed={seed}, delay={delay}, backend={backend})",
         rule=(["RULE", "evops.FixedTotalNumber(3)", "evops.FixedOutDegree(2)"], RULES),
         law=(["0.5", "evops.Normal(0.5, 0.1)"], law()), shape=("(5, 6)", shape(5, 6)), seed=SEED,
         delay=(["None", "2", "evops.Uniform(1, 3)"], delay()), backend=BACKEND),
    call("evops.Projection(OwnRule({scheme}, {total}, {expected}), 0.5, (5, 6), seed=1)",
         scheme=("format.DenseBlocks(12, 128, 0)", Kind(SCHEMES, [], [], draw_scheme)), total=("None", Kind(["3", "0", "2.5", "'3'", "()"])),
         expected=("1.0", Kind([*NO_NUMBERS, *NOT_FINITE[:3], "-1", "True", "10**400", "1e300", "1j"])),
         names={odd: "OwnRule" for odd in ("scheme", "total", "expected")}),
    call("evops.Projection(RULE, 0.5, (5, 6), seed=1, delay=OwnLaw({delay}))",
         delay=("(3.0, 1.0)", Kind([*NO_NUMBERS, "(1, 2, 3)", "(math.nan, 1.0)", "(5, -1)", "(5, math.inf)", "('a', 1)", "(0, 0)", "3"]))),
    call("evops.Projection.from_dict({record})",
         record=("W.to_dict()", Kind(texts("None | 3 | 'x' | {} | [] | object() | {'rule': 3} | W | np.ones(3)")))),
    call("evops.Scaled({law}, {factor})", factor=("2.0", weight(scalar=False)),
         law=("evops.Constant(0.5)", Kind(texts("None | 0.5 | 'x' | RULE | [0.5] | np.ones(3) | evops.Constant")))),
    call("W.replace(law={law}, seed={seed}, delay={delay}, backend={backend})", law=("0.5", given(law())), seed=("7", given(seed())),
         delay=(["None", "2", "evops.Uniform(1, 3)"], delay()), backend=BACKEND),
    call("W.matvec({v})", v=BATCH),
    call("({x}) @ W", x=SPIKES),
    call("W @ ({v})", v=BATCH),
    call("W({x})", x=SPIKES),
    call("({x}) @ W.T", x=BATCH),
    call("W.push({spikes}, {buffer}, post_offset={post_offset})", spikes=SPIKES, post_offset=(["0", "5"], integer(0, 5)),
         buffer=("BUFFER", buffer(*TOO_SMALL, "evops.DelayBuffer.zeros(11, 2, 'int32')")), names={"post_offset": "n=", "buffer": "post_offset must"}),
    call("W[{index}]", index=("...", Kind([n for n in NO_NUMBERS if n != "..."])), names={"index": "index"}),
    call("evops.CSR({data}, {indices}, {indptr}, shape={shape}, backend={backend})",
         data=("[0.5, 1.0, 2.0]", Kind(DATA, [("np.float32([0.5, 1, 2])", "[0.5, 1.0, 2.0]")], ["np.ones(3)", "math.nan"])),
         indices=("[0, 5, 2]", Kind(INDICES, [("np.uint8([0, 5, 2])", "[0, 5, 2]"), ("(0, 5, 2)", "[0, 5, 2]"), ("np.array([0, 5, 2], object)", "[0, 5, 2]")])),
         indptr=("[0, 1, 1, 2, 3, 3]", Kind(INDPTR, [("np.int64([0, 1, 1, 2, 3, 3])", "[0, 1, 1, 2, 3, 3]")])),
         shape=("(5, 6)", shape(5, 6)), backend=BACKEND, names={"data": "synapses", "indices": "synapses"}),
    call("evops.Conv2D({kernel}, {grid}, {stride}, {padding}, delay={delay})", kernel=("np.ones((2, 2, 1, 2))", CONVOLVED),
         grid=(["(3, 4)", "evops.Grid((3, 4))"], shape(3, 4)), stride=(["1", "(2, 1)"], integer(1)),
         padding=(["'same'", "1", "((1, 0), (0, 1))"], PADDINGS), delay=(["None", "2"], WHOLE_STEPS)),
    call("evops.CSR.from_scipy({matrix})", matrix=("CSR.to_scipy()", SCIPY)),
    call("evops.CSR.from_edges({pre}, {post}, {weight}, shape={shape}, delay={delay}, backend={backend})",
         pre=("[1, 4, 1]", NEURONS), post=("[0, 5, 2]", NEURONS),
         weight=("[0.5, 1.0, 2.0]", Kind([*DATA, "[1.0, math.nan, 2.0]"])), shape=("(5, 6)", shape(5, 6)),
         delay=(["[3, 1, 2]", "2", "None"], DELAYS), backend=BACKEND),
    call("evops.CSR(0.5, [0, 5, 2], [0, 1, 1, 2, 3, 3], shape=(5, 6), delay={delay})", delay=("[3, 1, 2]", DELAYS)),
    call("CSR.append({pre}, {post}, {weight})", pre=("[1, 4, 1]", NEURONS), post=("[0, 5, 2]", NEURONS),
         weight=("[0.5, 1.0, 2.0]", Kind(DATA))),
    call("evops.CSR.from_edges([1], [0], 0.5, shape=(5, 6), keep_order={keep_order})", keep_order=("True", Kind(flag().bad))),
    call("evops.CSR.from_networkx({graph})", graph=("GRAPH", Kind([*NO_NUMBERS, "[(0, 1)]", "np.ones((3, 3))"]))),
    call("DELAYED.push({spikes}, {buffer}, post_offset={post_offset})", spikes=SPIKES, post_offset=(["0", "5"], integer(0, 5)),
         buffer=("BUFFER", buffer(*TOO_SMALL, "evops.DelayBuffer.zeros(11, 2, 'int32')")), names={"post_offset": "n=", "buffer": "post_offset must"}),
    call("({x}) @ CSR", x=SPIKES),
    *(call(f"evops.plot.{name}({{W}}, axes(), sample={{sample}}, seed={{seed}})", W=(["CSR", "W"], Kind([*NO_NUMBERS, "np.ones((5, 6))", "W.T"])),
           sample=("3", integer(1, fine=3)), seed=("7", integer(0, fine=7))) for name in ("dots", "connections")),
    call("evops.plot.weights(CSR, {neuron}, {grid}, axes(), side={side})", neuron=("1", integer(0, 4)), grid=("(2, 3)", EXTENTS),
         side=("'out'", one_of())),
    call("evops.plot.rates({times}, {n}, axes(), bin={bin})", times=("[0.5, 1.0]", Kind(texts("""None | object() | 1.0 | 'x' | True |
         np.ones((3, 1)) | np.ones(3, complex) | [None] | TRACED(np.ones(2))"""))), n=("5", integer(1, fine=5)), bin=("0.5", above_zero())),
    *(call(f"{matrix}.edges({{pre}})", pre=("[1, 4, 1]", SOME)) for matrix in ("W", "CSR", "WEIGHTED")),
    call("evops.WeightedProjection({projection}, {values})", projection=("W", Kind([*NO_NUMBERS, "np.ones((5, 6))", "CSR"])),
         values=("0.5", Kind([t for t in DATA if "* 3" not in t]))),
    call("W.with_weights({values})", values=("0.5", Kind([t for t in DATA if "* 3" not in t]))),
    call("evops.SpikeList({indices}, {n}, {count})", indices=("[0, 5, 2]", IDS), n=("6", integer(1, fine=6)),
         count=("3", COUNT)),
    call("evops.SpikeList.from_flags({flags}, {capacity})", flags=("[True, False]", Kind([*ARRAY.bad, "1.0", "True", "[]", "1j"])),
         capacity=("1", COUNT)),
    call("CSR.requires({name})", name=("'pre_ids'", Kind(texts("None | 3 | 'x' | ['pre_ids'] | object() | ''")))),
    call("evops.CSC({matrix})", matrix=("CSR", Kind([*NO_NUMBERS, "np.ones((5, 6))", "W"]))),
    call("CSR.with_weights({values})", values=("[0.5, 1.0, 2.0]", Kind(DATA))),
    *(call("CSR.add_where_SIDE_spiked({state}, {spikes}, {value}, low={low}, high={high}, per={per})".replace("SIDE", side),
           state=("[0.5, 1.0, 2.0]", Kind(DATA)), spikes=spikes, value=("[0.5, 1.0, 2.0]", Kind([t for t in DATA if not t.endswith("* 3") and "2**40" not in t])),
           low=(["None", "-1"], LIMIT), high=(["None", "2.0"], LIMIT), per=("'synapse'", PER))
      for side, spikes in (("pre", SPIKES), ("post", BATCH))),
    *(call("evops.OPERATOR({syn_values}, {post_ids}, {n_post})".replace("OPERATOR", name),
           syn_values=("[0.5, 1.0, 2.0]", vector(3)), post_ids=("[0, 1, 2]", IDS), n_post=("3", integer(0, fine=3)))
      for name in ("syn2post", "syn2post_sum", "syn2post_mean", "syn2post_max", "syn2post_min", "syn2post_prod", "syn2post_softmax")),
    *(call("evops.SIDE2syn({SIDE_values}, {SIDE_ids})".replace("SIDE", side),
           **{f"{side}_values": ("jnp.ones(6)", LONG), f"{side}_ids": ("[0, 5, 2]", IDS)}) for side in ("pre", "post")),
    *(call("evops.OPERATOR({pre_values}, {pre_ids}, {post_ids}, {n_post})".replace("OPERATOR", name),
           pre_values=("jnp.ones(6)", LONG), pre_ids=("[0, 5, 2]", IDS), post_ids=("[0, 5, 2]", IDS),
           n_post=("6", integer(0, fine=6)), names={"pre_ids": "synapses", "post_ids": "syn"})
      for name in ("pre2post_sum", "pre2post_mean", "pre2post_max", "pre2post_min", "pre2post_prod")),
    call("CSR @ ({v})", v=BATCH),
    call("evops.Populations({sizes})", sizes=(["{'E': 5}", "{'E': evops.Grid(5), 'I': 3}"], mapping(SIZES)), names={"sizes": "names of populations"}),
    call("evops.Populations.from_ranges({ranges}, {n})", ranges=("{'E': (0, 6)}", mapping(RANGES)),
         n=("6", integer(1, 6, 6)), names={"n": "neurons"}),
    *(call("POPULATIONS.METHOD({name})".replace("METHOD", method), name=("'E'", NAMES), names={"name": "population"})
      for method in ("size", "offset", "slice")),
    call("evops.Circuit({populations}, {projections})",
         populations=("POPULATIONS", instance(["{'E': 5}", "evops.Populations", "W"])),
         projections=("{('E', 'I'): W}", Kind([b for b in mapping(PAIRS).bad if b != "{}"])), names={"projections": "population"}),
    call("CIRCUIT.push({spikes}, {buffer})", spikes=("jnp.ones(11)", vector(11)),
         buffer=("BUFFER", buffer(*TOO_SMALL))),
    call("CIRCUIT.buffer({dtype})", dtype=("jnp.float32", DTYPE)),
    call("CIRCUIT.pop({buffer})", buffer=("BUFFER", buffer(*OTHER_SIZE))),
    call("CIRCUIT({spikes}, {buffer})", spikes=("jnp.ones(11)", vector(11)), buffer=("BUFFER", buffer(*TOO_SMALL, *OTHER_SIZE))),
    call("evops.DelayBuffer.zeros({n}, {max_delay}, {dtype})", n=("11", integer(1, fine=11)),
         max_delay=("2", integer(0, fine=2)), dtype=("jnp.float32", DTYPE)),
    call("evops.DelayBuffer({sums}, {step}).pop({backend})", sums=("jnp.zeros((3, 4))", Kind(SUMS)),
         step=("jnp.int32(0)", Kind(STEPS)), backend=BACKEND, names={"sums": "buffer", "step": "buffer"}),
    call("evops.MultiAreaProjection({rule}, {weight}, {delay}, pre={pre}, post={post}, seed={seed}, "
         "max_delay={max_delay}, backend={backend})",
         rule=(["0.5", "RULE"], Kind([*probability(zero=True).bad, "evops.OneToOne()", "evops.FixedTotalNumber(3)", "W"])),
         weight=("np.ones((2, 2))", areas_weight()), delay=("1", areas_delay()), pre=("5", population(5)),
         post=("6", population(6)), seed=(["7", "-3", "2**63"], seed(traced=True)),
         max_delay=(["3", "None"], Kind([b for b in integer(0).bad if b != "None"])), backend=BACKEND,
         names={"pre": "weight", "post": "weight", "max_delay": "slots", "delay": "max_delay"}),
    call("MULTI.push({spikes}, {buffer})", spikes=("jnp.ones((2, 5))", vector(2, 5)),
         buffer=("MULTI.buffer()", buffer("BUFFER", "evops.DelayBuffer.zeros(12, 0)"))),
    call("MULTI({spikes}, MULTI.buffer())", spikes=("jnp.ones((2, 5))", vector(2, 5))),
    call("MULTI.buffer({dtype})", dtype=("jnp.float32", DTYPE)),
    call("MULTI.pop({buffer})", buffer=("MULTI.buffer()", buffer(*OTHER_SIZE))),
    *(published(f"{kind}mv_prob_{of}", first, weights)
      for kind, first in (("event_", "events"), ("", "vector")) for of, weights in WEIGHTS.items()),
    *(published(f"get_{of}_weight_matrix", None, weights) for of, weights in WEIGHTS.items()),
    *(call("evops.multi_area_event_mv_prob_homo_KIND({events}, {weight}, {seed}, {conn_prob}, shape={shape}, "
           "area_num={area_num}, backend={backend})".replace("KIND", kind),
           events=(f"jnp.ones({sizes})", vector(*sizes)), weight=weights, seed=("[1, 2]", SEEDS), conn_prob=PROBABILITY,
           shape=("(5, 6)", shape(5, 6)), area_num=("2", integer(1, 2, 2)), backend=BACKEND,
           names={"area_num": "weight|seed|events", "seed": "area_num"})
      for kind, sizes, weights in (("E", (5,), ("np.ones(2)", Kind(OF_AREAS))), ("I", (2, 5), PUBLISHED))),
    call("evops.XLACustomOp({cpu_kernel}, {gpu_kernel}, fallback=KERNEL)", cpu_kernel=KERNELS, gpu_kernel=KERNELS),
    call("evops.XLACustomOp(fallback=KERNEL, in_place={in_place})", in_place=("{}", Kind(texts("""'x' | 3 | {'y': 0} | {'x': -1} |
        {'x': 0.5} | {'x': True} | {3: 0} | [('x', 0)] | object()""")))),
    call("evops.XLACustomOp(fallback={fallback}, jvp={jvp}, transpose={transpose}, batching={batching}, "
         "parallel={parallel})", fallback=("KERNEL", function()), jvp=("None", function()),
         transpose=("None", function()), batching=("None", function()), parallel=("True", Kind(flag().bad))),
    call("OP({array}, outs={outs}, backend={backend}, a={a})", array=("jnp.ones(3)", ARRAY), outs=("[OUT]", Kind(OUTS)),
         backend=(["None", "'jnp'"], BACKEND[1]), a=("3", STATIC), names={"array": "argument 0"}),
]
# fmt: on
