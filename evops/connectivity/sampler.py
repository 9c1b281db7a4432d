"""Which synapses exist: the one definition, in unsigned-integer operators.

Every function works on uint32 values, which wrap modulo 2**32. It uses only ``+ - * ^ & | << >> %``
and comparisons, with literals below 2**31. So one source text gives equal bits on NumPy arrays, on
jax arrays (x64 on or off) and, under ``taichi.func``, in the native kernels. No float decides
whether a synapse exists.

The exact sampler
-----------------
Words are counter-based: a key of 64 bits for every (seed, pre, block), and word i of that key for
i = 0, 1, 2 …::

    t = feistel(seed_low, seed_high, 0, 0)      once per projection
    k = feistel(pre, block, *t)                 a permutation: no two (pre, block) share a key
    word(*k, i)

A block is 2**B targets in a row, B a function of the probability alone. So a reader can start at
any block, and more post neurons keep the old synapses. Readers (`evops.connectivity.format`):

- *geometric gaps* (p < 1/8): ``c = 0``, then for i = 0, 1, 2 …:
  ``g = look_up(table[word(i) >> shift], …)``, a geometric number from an alias table
  (`evops.connectivity.alias_tables`). The last outcome K - 1 says "none of the next K - 1
  targets": ``c += K - 1``. Any other says "a synapse at c + g": ``c += g + 1``. Below p = 2**-11
  two words give the high and the low digit of g.
- *dense blocks* (p >= 1/8): let P = p 2**40. Target j of the block exists if byte ``j & 3`` of
  word(j >> 2) is below P >> 32. It also exists if the two are equal and a second word, word(TIE +
  j), is below the low word of P.
- *equal rows* (fixed out-degree k): the block is the whole row. Synapse i goes to `permuted` i,
  permuted again until the number is below n. With multapses it goes to `below` n of word(i).
- *counted rows* (fixed total number, fixed in-degree): K synapses are divided among the rows, as if
  each chose a pre neuron. Of m synapses of R rows that begin at a, the first T rows get those whose
  random number is below the fraction T / R; T is the largest power of two below R. Numbers are read
  bit by bit: where bit q of the fraction is 1, those with bit 0 are below it; where it is 0, those
  with bit 1 are not; the others are undecided. Bit q of the u that are undecided before is one of u
  bits of the next words of the key (a + T, SOURCES), the last one's low bits. So only `ones` of
  words are counted. Both parts are divided in the same way. The synapses of a row, i = 0, 1, …, go
  to `below` n of word(i) of the key (pre, 0). If every post neuron has equally many, they go to ``t
  % n`` instead, where t is `permuted` s' under the key (0, SLOTS), permuted again until it is in
  range. Here s' is i plus the number of synapses of all rows before.
- *distances*: neurons have coordinates, whole numbers of a unit. By `displacement` along each axis
  two neurons have a squared distance. Pairs up to a distance of 2**15 + 1 units are candidates. A
  mask may leave some out (`in_frame`, `in_shape`). A table gives the probability p of a squared
  distance, in units of 2**-31: of its slot (`distance_slot`) it has knots (`division`), and between
  them p is `on_line`. Target j exists if word(j) of the key (pre, 0), halved, is below `chance` p.
- *pairs*: each pair has a probability p, in units of 2**-31. Target j exists if word(j) of the key
  (pre, 0), halved, is below `chance` p. Where (i, j) and (j, i) are not apart, the first word of
  `both_ways` takes its place: both exist, or one of them, which `leads` says.
- *diagonal*: row i has target i. *Grid offsets*: row i is a place of a grid, whose coordinates are
  `moved` by every displacement of a table. These two draw no words.

The weight of a synapse is read from word(WEIGHT + post) of the key (pre, LINE): it depends on seed,
pre and post alone. Where two neurons may have several synapses, i stands in the place of post. The
delay is read in the same way, with DELAY, from an alias table. A role is added to the start of the
counter. Roles lie at least 2**29 steps apart, so no stream reaches the next.

The published scheme
--------------------
LFSR88 words (P. L'Ecuyer, "Maximally equidistributed combined Tausworthe generators", Math. Comp.
65 (1996), doi:10.1090/S0025-5718-96-00696-5) and uniform gaps. A line is one row or column of the
matrix. Its synapses are found like this; `hashed_line_state` takes the place of `line_state` if
neighbouring lines must be independent::

    state = line_state(seed + line)
    position = -1
    repeat:
        state = next_state(*state)
        position = position + gap(word88(*state), clen)
        stop if position >= n, else visit position
"""

# Parameters have no annotations: Taichi takes those of its functions literally, and refuses any
# that is not one of its own types. All are words (uint32): of NumPy, of jax or of Taichi.

# Another version means other synapses for the same seed.
SAMPLER_VERSION = 4

# Digits of pi in words of 32 bits (the second without its top bit): constants that nobody could
# choose for their effect. All are below 2**31, as jnp without x64 and Taichi take larger literals
# for other types.
PI_0, PI_1, PI_2, PI_3 = 0x243F6A88, 0x05A308D3, 0x13198A2E, 0x03707344
# Odd multipliers of `mix` and `word`, which lose no bits. The counter's step is 2**32 by the golden
# ratio, negated to be below 2**31: consecutive counts lie far apart.
MULTIPLY_1, MULTIPLY_2, MULTIPLY_3, WEYL = 0x21F0AAAD, 0x735A2D97, 0x31848BAB, 0x61C88647
# The same of 16 bits, for halves of permuted numbers: 2**16 by the golden ratio, and the low half
# of MULTIPLY_3.
HALVES_1, HALVES_2 = 0x9E37, 0x8BAB

# Roles: a second use of a key adds one to its first word.
TIE = PI_0
WEIGHT = PI_2
DELAY = PI_1
# In place of a block's number: the key of a row's variates. No row has so many blocks.
LINE = 0x7FFFFFFF
# The same for the keys that divide counted synapses among rows, and permute their targets.
SOURCES = 0x7FFFFFFE
SLOTS = 0x7FFFFFFD

# A quantile table divides [0, 1] into 2**QUANTILE_BITS slots, and its first and last slot again.
QUANTILE_BITS = 10
QUANTILE_SLOTS = 1 << QUANTILE_BITS
QUANTILE_KNOTS = QUANTILE_SLOTS + 1


def line_state(line_seed):
    """Generator state of a line; `line_seed` is the projection's seed plus the line's index.

    The offsets are braintaichi's, which this must equal bit for bit.
    """
    return line_seed + 1, line_seed + 7, line_seed + 15


def hashed_line_state(line_seed):
    """Generator state of a line, hashed from the same line seed: nearby lines are unrelated.

    After one step the states that `line_state` gives for seeds 2k - 1 and 2k are equal. Those of
    nearby seeds are linearly related (docs/published.md has the measurements).
    """
    return mix(line_seed), mix(line_seed + PI_0), mix(line_seed + PI_1)


def next_state(s1, s2, s3):
    """One step of LFSR88 (three Tausworthe generators; the shifts drop 1, 3 and 4 low bits)."""
    # L'Ecuyer masks the low bits and shifts by 12, 4 and 17. His masks are above 2**31, hence two
    # shifts.
    return (
        ((s1 >> 1) << 13) ^ (((s1 << 13) ^ s1) >> 19),
        ((s2 >> 3) << 7) ^ (((s2 << 2) ^ s2) >> 25),
        ((s3 >> 4) << 21) ^ (((s3 << 3) ^ s3) >> 11),
    )


def word88(s1, s2, s3):
    """The random word of a state: its three parts combined."""
    return s1 ^ s2 ^ s3


def gap(w, clen):
    """Steps to the next synapse, 1 to clen, from word w; by the remainder, as braintaichi does."""
    return w % clen + 1


def mix(x):
    """Hash of one word: every bit of x flips each bit of the result in half of all cases."""
    x = x ^ (x >> 16)
    x = x * MULTIPLY_1
    x = x ^ (x >> 15)
    x = x * MULTIPLY_2
    return x ^ (x >> 15)


def feistel(a, b, t0, t1):
    """A permutation of 64 bits (a, b), keyed by the 64 bits (t0, t1)."""
    # Each round can be undone, so no two (a, b) share a result: no two blocks share a key.
    a = a ^ mix(b + t0 + PI_0)
    b = b ^ mix(a + t1 + PI_1)
    a = a ^ mix(b + t0 + PI_2)
    b = b ^ mix(a + t1 + PI_3)
    return a, b


def word(k0, k1, i):
    """Word i of the stream with key (k0, k1)."""
    # k1 comes in after the first product; before the last it would only shift the top bits of
    # streams whose k0 overlap. Two products follow: after one alone its top bit would never reach
    # bit 0.
    x = k0 + i * WEYL
    x = x ^ (x >> 16)
    x = x * MULTIPLY_1
    x = x ^ k1
    x = x ^ (x >> 15)
    x = x * MULTIPLY_2
    x = x ^ (x >> 15)
    x = x * MULTIPLY_3
    return x ^ (x >> 16)


def look_up(entry, w, shift):
    """Outcome of an alias table for word w, where ``entry = table[w >> shift]``.

    An entry is ``alias << shift | threshold``; low bits of w below the threshold keep the column.
    """
    # The difference wraps, and its top bit is 1, where w is below the threshold: `keep` is then all
    # ones, else 0. Without a branch, which random words would mispredict, and NumPy does not have.
    low = (1 << shift) - 1
    keep = 0 - (((w & low) - (entry & low)) >> 31)
    return (entry ^ ((entry ^ w) & keep)) >> shift


def dense_hit(w, j, tie, whole, rest):
    """Whether target j of a dense block exists; w is word(j >> 2), `tie` its word(TIE + j).

    Four targets share a word. One in 256 needs its tie, which makes p exact to 2**-40.
    """
    byte = (w >> ((j & 3) << 3)) & 255
    return (byte < whole) | ((byte == whole) & (tie < rest))


def below(w, n):
    """``floor(w n / 2**32)``, by halves of words: a number below n, uniform to 2**-32.

    The product has 64 bits, which jnp has only with x64.
    """
    low = (w & 0xFFFF) * (n & 0xFFFF)
    mid = (w >> 16) * (n & 0xFFFF) + (low >> 16)
    mid2 = (w & 0xFFFF) * (n >> 16) + (mid & 0xFFFF)
    return (w >> 16) * (n >> 16) + (mid >> 16) + (mid2 >> 16)


def ones(w):
    """How many bits of a word are 1."""
    w = w - ((w >> 1) & 0x55555555)
    w = (w & 0x33333333) + ((w >> 2) & 0x33333333)
    return (((w + (w >> 4)) & 0x0F0F0F0F) * 0x01010101) >> 24


def half_word(key, half):
    """16 random bits for one half of a number that is permuted; the high ones are best."""
    x = (half * HALVES_1 + key) & 0xFFFF
    return ((x ^ (x >> 7)) * HALVES_2) & 0xFFFF


def turned(high, w, high_count):
    """A high half, moved on by as many of its `high_count` values as the 16 bits of w say."""
    # What reaches `high_count` starts again: the difference is negative for all other sums.
    at = high + ((w * high_count) >> 16) - high_count
    return at + (high_count & (0 - (at >> 31)))


def permuted(k0, k1, x, high_count, low_bits):
    """A keyed permutation of the numbers below ``high_count << low_bits``: seven Feistel rounds.

    `format.halves` says where a number is cut. On fewer than 2**8 seven rounds are uneven.
    """
    # A high half of any number of values, not of some bits, leaves few numbers outside of what is
    # wanted. Halves and their words have 16 bits, so a lane of 32 holds two. Each round has a key
    # of its own: first the four parts of the key, then mixtures of them.
    high = x >> low_bits
    low = x & ((1 << low_bits) - 1)
    unused = 16 - low_bits
    high = turned(high, half_word(k0, low), high_count)
    low = low ^ (half_word(k1, high) >> unused)
    high = turned(high, half_word(k0 >> 16, low), high_count)
    low = low ^ (half_word(k1 >> 16, high) >> unused)
    high = turned(high, half_word((k0 >> 8) + PI_1, low), high_count)
    low = low ^ (half_word((k1 >> 8) + PI_2, high) >> unused)
    high = turned(high, half_word(((k0 + k1) >> 16) + PI_3, low), high_count)
    return (high << low_bits) | low


def moved(at, by, extent):
    """Coordinate `at` of an axis of `extent` places, moved by d; a larger number if there is none.

    `by` is d modulo 2**32. It is ``d - extent`` for d < 0, and for any d from 0 to ``extent - 1``
    if the axis is periodic.
    """
    # A negative sum gets the extent back. So on a periodic axis d leads past the end to the start,
    # and on another a place before the start stays negative, which is a large number.
    to = at + by
    return to + (extent & (0 - (to >> 31)))


def displacement(a, b, period):
    """From coordinate a to b, the shorter way if the axis is periodic: as signed, modulo 2**32.

    `period` is 0 for an axis that is not, else below 2**31, and a and b are below it.
    """
    d = b - a
    d = d + (period & (0 - (d >> 31)))
    return d - (period & (0 - (((period >> 1) - d) >> 31)))


def magnitude(d):
    """Of a signed number."""
    sign = 0 - (d >> 31)
    return (d ^ sign) - sign


def slot_bits(square):
    """log2 of the squares of distances that share the slot of this one: see `distance_slot`."""
    # As many bits as there are above the lowest six.
    x = square >> 6
    x = x | (x >> 1)
    x = x | (x >> 2)
    x = x | (x >> 4)
    x = x | (x >> 8)
    return ones(x | (x >> 16))


def distance_slot(square, bits):
    """Slot of the square of a distance: 32 for each octave, and one for each square below 64."""
    return (bits << 5) + (square >> bits)


def division(entry, square, bits):
    """Where the slot's `entry` has the knot below a square, and how far the next one is (2**-32).

    An entry is the place of its first knot, times 32, plus log2 of the slot's divisions.
    """
    rest = bits - (entry & 31)
    at = (entry >> 5) + ((square & ((1 << bits) - 1)) >> rest)
    # In two steps, as a word is not shifted by 32.
    return at, (square << (31 - rest)) << 1


def on_line(a, b, part):
    """The number at `part` / 2**32 of the way from a to b, both below 2**31, rounded."""
    d = b - a
    sign = 0 - (d >> 31)
    size = (d ^ sign) - sign
    step = (below(part, size + size) + 1) >> 1
    return a + ((step ^ sign) - sign)


def in_frame(x, y, z, m0, m1, m2):
    """A coordinate of a displacement, of 16 bits and sign, in the frame of a shape.

    The factors m are signed, in units of 2**-15, and at most 1; all are modulo 2**32.
    """
    top = 1 << 30
    return ((x * m0 + y * m1 + z * m2 + top + top + (1 << 14)) >> 15) - (1 << 16)


def in_shape(e0, e1, e2, low0, low1, low2, span0, span1, span2, square):
    """Whether a displacement is in a box of its frame, and in a ball round the box's middle."""
    a, b, c = e0 - low0, e1 - low1, e2 - low2
    boxed = (a <= span0) & (b <= span1) & (c <= span2)
    a, b, c = a - (span0 >> 1), b - (span1 >> 1), c - (span2 >> 1)
    return boxed & (a * a + b * b + c * c <= square)


def chance(p):
    """What a word, halved, must be below: p in units of 2**-31; the largest p is certain."""
    return p + ((p + 1) >> 31)


def both_ways(i, j, t0, t1):
    """Two words of the neurons i and j, the same as those of j and i."""
    back = (j - i) & (0 - ((j - i) >> 31))
    return feistel(i + back, j - back, t0, t1)


def leads(i, j, w):
    """Whether it is i -> j, not j -> i, that the second word of `both_ways` says."""
    return ((w ^ (j - i)) >> 31) == 0


def variate_key(pre, t0, t1):
    """Key of the words behind the variates of a row, whatever its rule; counter `post`."""
    # `pre * 0` gives LINE the type of pre: as a literal it would be signed in Taichi.
    return feistel(pre, pre * 0 + LINE, t0, t1)


def slot(w):
    """Where a quantile table is read for word w: entry, and how far towards the next (10 bits).

    A table has the quantiles at 0, 1/1024, …, 1. Then come those that divide the first of these
    1024 slots into 1024 parts, and those of the last slot (1025 knots each).
    """
    # The tails of a law are steep, so the two outer slots have finer knots. `first` and `last` are
    # 1 in those slots; products with them choose, where a branch would not run on arrays.
    main = w >> (32 - QUANTILE_BITS)
    part = (w >> (32 - 2 * QUANTILE_BITS)) & (QUANTILE_SLOTS - 1)
    first = ((main - 1) >> 31) & 1
    last = (main + 1) >> QUANTILE_BITS
    tail = first | last
    at = main * (1 - tail) + (QUANTILE_KNOTS + last * QUANTILE_KNOTS + part) * tail
    finer = (w >> (32 - 3 * QUANTILE_BITS)) & (QUANTILE_SLOTS - 1)
    return at, part * (1 - tail) + finer * tail


def between(a, b, part):
    """The value at `part` / 1024 of the way from a to b >= a; signed numbers as uint32.

    Tables have steps below 2**21, so the product stays below 2**31.
    """
    return a + (((b - a) * part) >> QUANTILE_BITS)
