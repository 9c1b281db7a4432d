"""The draw format: what a rule tells the readers about a matrix, by name.

A *reader* draws the synapses of a row from words of the sampler; each backend has the same readers.
A rule answers with a `Scheme`: the frozen record of one reader. A `MatrixSpec` adds how weights and
delays are drawn and where their tables begin. ``pack()`` lays both out as words of 32 bits: XLA
attributes, arguments of kernels. The build makes the C++ structs (format.h) from these classes, and
the Taichi kernels unpack the words by the same names. So each field, range and size stands here
alone. Constants of the random numbers stand in `sampler`.

Standard library only: the build loads this file by its path, before there is a package.
"""

import dataclasses
import enum
from typing import Any, ClassVar

MAX_WORD = 2**32 - 1
# Synapses of a row, of a counted matrix, and elements of an array.
MAX_SYNAPSES = 2**31 - 1
# Synapses of a row that a task of a reader draws, where the row has its synapses by number.
SYNAPSES_PER_BLOCK = 1024
# Numbers that are permuted: the least domain (on a smaller one the rounds are uneven), and bits
# that a high and a low half have at most: a lane of 32 bits holds two halves.
MIN_DOMAIN, MAX_HIGH_BITS, MAX_LOW_BITS = 256, 15, 16
# Blocks of 2**bits targets; the least is also that of dense blocks that have synapses.
MIN_BLOCK_BITS, MAX_BLOCK_BITS = 12, 22
# Alias tables of gaps: of the high digit, and of the low one where there is one.
MIN_DIGIT_BITS, MAX_DIGIT_BITS, LOW_DIGIT_BITS = 6, 12, 10
# Bits of a dense threshold that a byte of a word is compared with.
THRESHOLD_BITS = 8
# The alias table of delays.
MAX_DELAY_BITS = 12
# Squares of distances: units up to the cut-off, a unit more than that, and slots of 2**5 an octave.
DISTANCE_UNITS, DISTANCE_BITS = 1 << 15, 5
MAX_SQUARE = (DISTANCE_UNITS + 1) ** 2
DISTANCE_SLOTS = 26 * 32 + 1  # the last is that of MAX_SQUARE
# Coordinates in units lie below it: then no two far ends of the range look near each other.
MAX_COORDINATE = (1 << 31) - (1 << 15)
# The tree of positions: neurons of a leaf, leaves of a node.
LEAF_BITS = 4
LEAF = 1 << LEAF_BITS
NODE = LEAF * LEAF
# Shapes of a mask, words of each, and of a bit for each set of them; pieces of a kernel less one;
# types of neurons.
MAX_SHAPES, SHAPE_WORDS, TRUTH_WORDS, MAX_BREAKS, MAX_TYPES = 8, 16, 8, 15, 1 << 15
# Places along an axis of a grid: a displacement less twice as many is still more than -2**31.
MAX_EXTENT = 2**30 - 1


class Reader(enum.IntEnum):
    """How the synapses of a row are read (the docstring of `sampler` defines each)."""

    UNIFORM_GAPS = 0
    GEOMETRIC_GAPS = 1
    DENSE_BLOCKS = 2
    EQUAL_ROWS = 3
    DIAGONAL = 4
    COUNTED_ROWS = 5
    GRID_OFFSETS = 6
    DISTANCES = 7
    TYPED_PAIRS = 8


class WeightLaw(enum.IntEnum):
    """Where the variate z of a weight comes from; the last two are of `UniformGaps` alone."""

    CONSTANT = 0  # nowhere: one weight for all
    QUANTILES = 1  # a quantile table
    LFSR_UNIFORM = 2  # one word of the row's own stream
    LFSR_NORMAL = 3  # two words of it


def _word(low: int, high: int, meaning: str, default: Any = dataclasses.MISSING) -> Any:
    """A field: a whole number from `low` to `high`."""
    metadata = {"low": low, "high": high, "meaning": meaning}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Scheme:
    """What one reader needs to know; a subclass for each.

    Attributes:
        exclude_autapses: whether pairs (i, i) are left out; readers with `excludes` can.
    """

    reader: ClassVar[Reader]
    excludes: ClassVar[bool] = False
    exclude_autapses: bool = dataclasses.field(default=False, kw_only=True)

    @property
    def by_rank(self) -> bool:
        """Whether variates belong to the synapses of a row by number, not by post neuron."""
        return False

    @property
    def table_size(self) -> int:
        """Entries of the rule's table."""
        return 0

    def degrees(self, shape: tuple[int, int], total: int | None) -> tuple[int | None, int | None]:
        """Synapses of every pre and of every post neuron, where all have equally many; else None.

        `total` is the number of synapses of a counted matrix.
        """
        del shape, total
        return None, None

    def relation(self, n_post: int) -> tuple[bool, str]:
        """Whether fields, each in its range, fit each other and the matrix, and what would."""
        del n_post
        return True, ""

    def pack(self) -> tuple[int, ...]:
        """Reader, `exclude_autapses`, and the fields in order."""
        words = [int(getattr(self, field.name)) for field in fields(type(self))]
        words += [0] * (FIELD_WORDS - len(words))
        return int(self.reader), int(self.exclude_autapses), *words


@dataclasses.dataclass(frozen=True)
class UniformGaps(Scheme):
    """Gaps uniform on {1 … clen}: the scheme of braintaichi."""

    reader = Reader.UNIFORM_GAPS
    clen: int = _word(1, MAX_SYNAPSES, "largest gap")
    reciprocal: int = _word(1, MAX_WORD, "min(2**32 // clen, 2**32 - 1), which divides by clen")
    hashed: int = _word(0, 1, "whether the state of a row is hashed from its seed")

    def relation(self, n_post):
        reciprocal = min((1 << 32) // self.clen, MAX_WORD)
        return self.reciprocal == reciprocal, f"reciprocal = {reciprocal}"


@dataclasses.dataclass(frozen=True)
class GeometricGaps(Scheme):
    """Geometric gaps from alias tables, in blocks of 2**block_bits targets."""

    reader, excludes = Reader.GEOMETRIC_GAPS, True
    block_bits: int = _word(MIN_BLOCK_BITS, MAX_BLOCK_BITS, "log2 of the targets of a block")
    high_digit_bits: int = _word(MIN_DIGIT_BITS, MAX_DIGIT_BITS, "log2 of outcomes, high digit")
    low_digit_bits: int = _word(0, LOW_DIGIT_BITS, "the same of the low digit; 0: one digit")

    @property
    def table_size(self):
        low = 1 << self.low_digit_bits if self.low_digit_bits else 0
        return (1 << self.high_digit_bits) + low

    def relation(self, n_post):
        allowed = f"low_digit_bits = 0 or {LOW_DIGIT_BITS}"
        return self.low_digit_bits in (0, LOW_DIGIT_BITS), allowed


@dataclasses.dataclass(frozen=True)
class DenseBlocks(Scheme):
    """Every target draws a byte, and a word where the byte equals the threshold."""

    reader, excludes = Reader.DENSE_BLOCKS, True
    block_bits: int = _word(0, MAX_BLOCK_BITS, "log2 of the targets of a block")
    threshold: int = _word(0, 1 << THRESHOLD_BITS, "p * 2**8, rounded down")
    tie_threshold: int = _word(0, MAX_WORD, "the rest of p * 2**8, times 2**32")

    def degrees(self, shape, total):
        if self.threshold == 1 << THRESHOLD_BITS and not self.exclude_autapses:
            return shape[1], shape[0]
        return (0, 0) if self.threshold == self.tie_threshold == 0 else (None, None)

    def relation(self, n_post):
        fits = self.block_bits == MIN_BLOCK_BITS or self.threshold == self.tie_threshold == 0
        return fits, f"block_bits = {MIN_BLOCK_BITS}, or both thresholds 0"


@dataclasses.dataclass(frozen=True)
class EqualRows(Scheme):
    """Every row has k synapses by number: distinct targets, or with replacement."""

    reader = Reader.EQUAL_ROWS
    k: int = _word(0, MAX_SYNAPSES, "synapses of a row")
    low_bits: int = _word(0, MAX_LOW_BITS, "bits of the low half, permuted; 0: with replacement")
    high_count: int = _word(0, 1 << MAX_HIGH_BITS, "values of the high half")
    n_post: int = _word(0, MAX_SYNAPSES, "post neurons")

    @property
    def by_rank(self):
        return self.low_bits == 0

    def degrees(self, shape, total):
        return self.k, None

    def relation(self, n_post):
        cut, halved = (self.low_bits, self.high_count), halves(n_post)
        fits = cut == (0, 0) or (cut == halved and self.k <= n_post)
        wanted = f"low_bits = high_count = 0, or {halved[0]} and {halved[1]} for k up to n_post"
        return self.n_post == n_post and fits, f"n_post = {n_post}, {wanted}"


@dataclasses.dataclass(frozen=True)
class Diagonal(Scheme):
    """Neuron i to neuron i."""

    reader = Reader.DIAGONAL

    def degrees(self, shape, total):
        return (1, 1) if shape[0] == shape[1] else (None, None)


@dataclasses.dataclass(frozen=True)
class CountedRows(Scheme):
    """As many synapses of a row as an array of their running counts says, by number.

    Targets are uniform, or every post neuron has `slots` of all synapses.
    """

    reader = Reader.COUNTED_ROWS
    slots: int = _word(1, MAX_SYNAPSES, "synapses of a post neuron; 1 where targets are uniform")
    low_bits: int = _word(0, MAX_LOW_BITS, "bits of the low half of slots; 0: uniform targets")
    high_count: int = _word(0, 1 << MAX_HIGH_BITS, "values of the high half")
    n_post: int = _word(0, MAX_SYNAPSES, "post neurons; 0 where targets are uniform")

    @property
    def by_rank(self):
        return True

    def degrees(self, shape, total):
        full = self.low_bits > 0 and total == self.slots * self.n_post
        return None, self.slots if full and total else None

    def relation(self, n_post):
        if self.low_bits == 0:
            uniform = (self.slots, self.high_count, self.n_post) == (1, 0, 0)
            return uniform, "slots = 1, high_count = n_post = 0 with low_bits = 0"
        total = self.slots * n_post
        fits = total <= MAX_SYNAPSES and (self.low_bits, self.high_count) == halves(total)
        wanted = f"n_post = {n_post}, low_bits and high_count those of slots * n_post"
        return fits and self.n_post == n_post, wanted


@dataclasses.dataclass(frozen=True)
class GridOffsets(Scheme):
    """The same displacements from every neuron of a grid of up to three axes.

    The table has three words for a displacement, one for each axis, as `sampler.moved` takes them.
    Neurons are numbered along the last axis first. The first axis has the places that are left.
    """

    reader = Reader.GRID_OFFSETS
    extent_1: int = _word(1, MAX_EXTENT, "places along the second axis")
    extent_2: int = _word(1, MAX_EXTENT, "places along the third axis")
    offsets: int = _word(0, MAX_SYNAPSES // 3, "displacements")

    @property
    def table_size(self):
        return 3 * self.offsets

    def relation(self, n_post):
        plane = self.extent_1 * self.extent_2
        fits = n_post % plane == 0 and n_post // plane <= MAX_EXTENT
        return fits, f"extents that divide {n_post}, at most {MAX_EXTENT} times"


@dataclasses.dataclass(frozen=True)
class Distances(Scheme):
    """Every pair within a cut-off draws a word, and is connected with a probability of distance.

    The table has what `distance_sections` lists: the kernel, a mask, positions of pre neurons, and
    those of post neurons in the order of a tree of leaves and nodes.
    """

    reader, excludes = Reader.DISTANCES, True
    n_pre: int = _word(1, MAX_SYNAPSES, "pre neurons")
    n_post: int = _word(1, MAX_SYNAPSES, "post neurons")
    axes: int = _word(1, 3, "axes of the positions")
    breaks: int = _word(0, MAX_BREAKS, "squares of distances at which the kernel jumps")
    shapes: int = _word(0, MAX_SHAPES, "shapes of the mask")
    knots: int = _word(2, MAX_SYNAPSES >> 5, "probabilities of the kernel")

    @property
    def sections(self) -> tuple[int, ...]:
        """Where the parts of the table begin, and where it ends."""
        return distance_sections(
            self.n_pre, self.n_post, self.axes, self.breaks, self.shapes, self.knots
        )

    @property
    def table_size(self):
        return self.sections[-1]

    def relation(self, n_post):
        fits = self.n_post == n_post and self.table_size <= MAX_SYNAPSES
        return fits, f"n_post = {n_post}, and a table of at most {MAX_SYNAPSES} words"


@dataclasses.dataclass(frozen=True)
class TypedPairs(Scheme):
    """Every pair draws a word, and is connected with a probability of its two neurons' types.

    The table has a probability for each pair of types, in units of 2**-31, a row for each type of
    pre neurons. Where it is not the only one, pre neurons' types follow, then post neurons'.
    """

    reader, excludes = Reader.TYPED_PAIRS, True
    n_pre: int = _word(1, MAX_SYNAPSES, "pre neurons")
    n_post: int = _word(1, MAX_SYNAPSES, "post neurons")
    pre_types: int = _word(1, MAX_TYPES, "types of pre neurons")
    post_types: int = _word(1, MAX_TYPES, "types of post neurons")
    ways: int = _word(0, 2, "0: (i, j) and (j, i) apart; 1: both or none; 2: one of both at most")

    @property
    def table_size(self):
        pairs = self.pre_types * self.post_types
        return pairs + (self.n_pre + self.n_post if pairs > 1 else 0)

    def relation(self, n_post):
        sides = self.n_post == n_post and (self.ways == 0 or self.n_pre == n_post)
        fits = sides and self.table_size <= MAX_SYNAPSES
        return fits, f"n_post = {n_post} (= n_pre, with ways), a table of at most {MAX_SYNAPSES}"


def distance_sections(n_pre, n_post, axes, breaks, shapes, knots):
    """Where the parts of the table of `Distances` begin, and where it ends.

    Kernels and C++ get it from here, so it has only what they have too.
    """
    filled = n_post + NODE - 1
    nodes = filled >> 2 * LEAF_BITS
    leaves = nodes * LEAF
    full = nodes + LEAF - 1
    rows = full >> LEAF_BITS << LEAF_BITS  # of boxes, which are read so many at a time
    # The least probability, a period for each axis, and the squares at which the kernel jumps.
    periods = 1
    jumps = periods + axes
    # Whether a displacement that lies in some of the shapes is allowed, a bit for each set of them.
    truth = jumps + breaks
    mask = truth + TRUTH_WORDS
    bounds = mask + shapes * SHAPE_WORDS
    slots = bounds + DISTANCE_SLOTS
    values = slots + (breaks + 1) * DISTANCE_SLOTS
    # Coordinates, all of an axis in a row; numbers of post neurons; boxes: least, then largest.
    pre = values + knots
    post = pre + axes * n_pre
    places = post + nodes * NODE
    leaf = places + axes * nodes * NODE
    node = leaf + 2 * axes * leaves
    end = node + 2 * axes * rows
    return periods, jumps, truth, mask, bounds, slots, values, pre, post, places, leaf, node, end


def halves(size: int) -> tuple[int, int]:
    """Bits of the low half and values of the high half of 0 … size - 1, to be permuted."""
    last = max(size, MIN_DOMAIN) - 1
    low_bits = max(last.bit_length() // 2, last.bit_length() - MAX_HIGH_BITS)
    return low_bits, (last >> low_bits) + 1


def fields(record: type) -> list[dataclasses.Field]:
    """The fields of a record that take a word each, in order."""
    return [field for field in dataclasses.fields(record) if field.metadata]


SCHEMES: dict[Reader, type[Scheme]] = {record.reader: record for record in Scheme.__subclasses__()}
# Words of the fields of a scheme, the same for all, and with those before them.
FIELD_WORDS = max(len(fields(record)) for record in SCHEMES.values())
SCHEME_WORDS = 2 + FIELD_WORDS


@dataclasses.dataclass(frozen=True)
class MatrixSpec:
    """What of a random matrix is known when a program is compiled."""

    scheme: Scheme
    law: WeightLaw = _word(0, len(WeightLaw) - 1, "a WeightLaw", WeightLaw.CONSTANT)
    synapses_per_row: int = _word(0, MAX_SYNAPSES, "expected, for the split over threads", 0)
    delay_bits: int = _word(0, MAX_DELAY_BITS, "log2 of the delays' alias table; 0: not drawn", 0)
    table_offset: int = _word(0, MAX_SYNAPSES, "where the rule's table begins among several", 0)
    quantiles_offset: int = _word(0, MAX_SYNAPSES, "the same of the quantile table", 0)
    delays_offset: int = _word(0, MAX_SYNAPSES, "the same of the delays' alias table", 0)
    ramp: int = _word(0, 1, "whether the table has the upper 20 bits of a word for it", 0)

    @property
    def parameters(self) -> int:
        """Weight parameters of a matrix: 1, or 2 for ``weight[0] + weight[1] * z``."""
        return 1 if self.law == WeightLaw.CONSTANT else 2

    @property
    def published(self) -> bool:
        """Whether rows are those of braintaichi."""
        return self.scheme.reader == Reader.UNIFORM_GAPS

    @property
    def counted(self) -> bool:
        """Whether a table says how many synapses each row has."""
        return self.scheme.reader == Reader.COUNTED_ROWS

    def pack(self) -> tuple[int, ...]:
        """The words of the scheme, then those of the other fields."""
        return *self.scheme.pack(), *(int(getattr(self, f.name)) for f in fields(MatrixSpec))


SPEC_WORDS = SCHEME_WORDS + len(fields(MatrixSpec))
