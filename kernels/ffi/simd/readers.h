// Hand-written readers. They give a sink the synapses of kernels/draw.py, in its order.
//
// Gaps: the lanes draw the gaps of one block and add them up across lanes. Sparse blocks: each lane reads its own
// block. The next random word and gap are computed one iteration early to hide their latency.
// Dense: every lane compares a byte at once. Branches depend on a draw only at the ends of blocks and for the bytes
// that need a second word.
//
// Uniform gaps, grids: a row in each lane. Synapses by number: numbered.h.
//
// A sink has Begin(group, first) for each group of tasks, Focus(lane) where one of them fills all lanes and
// Unfocus() where each has its own again, Full(count), and Emit(targets, counters of the variates, hit).
#pragma once
#include <algorithm>

#include "distances.h"
#include "division.h"
#include "groups.h"
#include "numbered.h"
#include "pairs.h"
#include "walk.h"

namespace evops {
namespace {

// Where an alias table lies: in memory, or in registers (2**held entries).
template <int held>
struct Entries : Held<held> {
  using Held<held>::Held;
};
template <>
struct Entries<0> {
  explicit Entries(const uint32_t* table) : table(table) {}
  Lanes At(Lanes at) const { return Gather(table, at); }
  const uint32_t* table;
};

// An alias table of 2**bits outcomes (bits > 0).
template <int held>
class AliasTable {
 public:
  AliasTable(const uint32_t* table, uint32_t bits)
      : entries_(table), shift_(_mm_cvtsi32_si128(32 - bits)), low_(Set((uint32_t{1} << (32 - bits)) - 1)) {}

  Lanes Draw(Lanes word) const {
    const Lanes entry = entries_.At(Right(word, shift_));
    const Mask keep = Less(And(word, low_), And(entry, low_));
    return Right(Select(keep, word, entry), shift_);
  }

 private:
  Entries<held> entries_;
  __m128i shift_;
  Lanes low_;
};

// The tables of gaps: how many targets are skipped, and whether that is all.
template <int held, bool kTwoDigits>
struct Gaps {
  struct Gap {
    Lanes skipped;
    Mask nothing;  // no synapse follows: another gap does
  };

  explicit Gaps(const Tasks& tasks) : Gaps(tasks.table, tasks.scheme.geometric_gaps) {}
  Gaps(const uint32_t* table, const GeometricGaps& gaps)
      : high(table, gaps.high_digit_bits),
        low(table + (int64_t{1} << gaps.high_digit_bits), kLowDigitBits),
        restart(Set((uint32_t{1} << gaps.high_digit_bits) - 1)),
        low_bits(_mm_cvtsi32_si128(static_cast<int>(gaps.low_digit_bits))) {}

  static constexpr uint32_t kWords = kTwoDigits ? 2 : 1;

  Gap Draw(Lanes word, Lanes low_word) const {
    const Lanes digit = high.Draw(word);
    const Mask nothing = Equal(digit, restart);
    if (!kTwoDigits) return {digit, nothing};
    return {Add(Left(digit, low_bits), Select(nothing, Zero(), low.Draw(low_word))), nothing};
  }

  AliasTable<held> high;
  AliasTable<0> low;
  Lanes restart;
  __m128i low_bits;
};

// Counts inside a block are below 2**24: signed comparisons do. Tables are local, so
// that what the sink stores cannot change them: they stay in registers.
template <class Gaps, bool kAutapses, class Sink>
void ReadManyGaps(const Tasks& tasks, const Group& g, Lanes size, Sink& sink) {
  const Gaps gaps(tasks);
  const Lanes one = Set(1), weyl = Set(kWeyl);
  Lanes counter = g.key.k0, next = Zero();
  const auto next_word = [&] {
    const Lanes word = Word(counter, g.key.k1);
    counter = Add(counter, weyl);
    return word;
  };
  Lanes word = next_word(), low_word = Gaps::kWords == 2 ? next_word() : word;
  auto gap = gaps.Draw(word, low_word);
  const auto draw_words = [&] {
    word = next_word();
    if (Gaps::kWords == 2) low_word = next_word();
  };
  draw_words();
  while (Bits(Less(next, size)) != 0 && !sink.Full(kLanes)) {
    const Lanes post = Add(next, gap.skipped);
    Mask hit = Except(Less(post, size), gap.nothing);
    if (!kAutapses) hit = Except(hit, Equal(post, g.leave_out));
    // one past the synapse, or as far as nothing was found; a block that has ended stays there
    next = Lesser(Select(gap.nothing, post, Add(post, one)), Set(uint32_t{2} << kMaxBlockBits));
    gap = gaps.Draw(word, low_word);
    draw_words();
    const Lanes target = Add(g.base, post);
    sink.Emit(target, target, Bits(hit));
  }
}

// One block, kLanes words at once.
template <class Gaps, bool kAutapses, class Sink>
void ReadGapsOfOne(const Tasks& tasks, const Group& g, int64_t lane, Sink& sink) {
  const Gaps gaps(tasks);
  sink.Focus(lane);
  const Lanes which = Set(static_cast<uint32_t>(lane)), one = Set(1), k1 = Pick(g.key.k1, which),
              base = Pick(g.base, which), size = Pick(g.size, which), leave_out = Pick(g.leave_out, which);
  Lanes counter = Add(Pick(g.key.k0, which), Multiply(Count(), Set(Gaps::kWords * kWeyl))), next = Zero();
  Lanes ends, found;
  Mask nothing;
  const auto draw = [&] {
    const auto gap = gaps.Draw(Word(counter, k1), Word(Add(counter, Set(kWeyl)), k1));
    counter = Add(counter, Set(uint32_t{kLanes} * Gaps::kWords * kWeyl));
    nothing = gap.nothing;
    found = Select(nothing, Zero(), one);
    ends = SumsSoFar(Add(gap.skipped, found));
  };
  draw();
  while (Bits(Less(next, size)) != 0 && !sink.Full(kLanes)) {
    const Lanes post = Subtract(Add(next, ends), found);
    Mask hit = Except(Less(post, size), nothing);
    if (!kAutapses) hit = Except(hit, Equal(post, leave_out));
    next = Add(next, Pick(ends, Set(kLanes - 1)));
    draw();
    const Lanes target = Add(base, post);
    sink.Emit(target, target, Bits(hit));
  }
}

// Side by side as many blocks as there are lanes are read fastest; one at a time costs the sums over lanes, but
// leaves none idle. A full block has 256 synapses or more (rules.py), unless its size is the largest.
template <class Gaps, bool kAutapses, class Sink>
void ReadGapGroup(const Tasks& tasks, const Group& g, Sink& sink) {
  constexpr uint32_t kFew = 5;
  const uint32_t bits = tasks.scheme.geometric_gaps.block_bits;
  const Mask large = Less(Set(bits < kMaxBlockBits ? (uint32_t{1} << bits >> kFew) - 1 : ~uint32_t{0} >> 1), g.size);
  uint32_t alone = Bits(large);
  if (__builtin_popcount(alone) * 3 > 2 * kLanes) alone = 0;
  for (uint32_t rest = alone; rest != 0; rest &= rest - 1)
    ReadGapsOfOne<Gaps, kAutapses>(tasks, g, __builtin_ctz(rest), sink);
  const Lanes size = alone ? Select(large, Zero(), g.size) : g.size;
  if (Bits(Less(Zero(), size)) == 0) return;
  sink.Unfocus();
  ReadManyGaps<Gaps, kAutapses>(tasks, g, size, sink);
}

template <class Sink>
void ReadDenseGroup(const Tasks& tasks, const Group& g, int64_t lanes, Sink& sink) {
  constexpr uint32_t kBytes = 4 * kLanes;
  const uint32_t whole = tasks.scheme.dense_blocks.threshold, rest = tasks.scheme.dense_blocks.tie_threshold;
  alignas(64) uint32_t k0[kLanes], k1[kLanes], base[kLanes], size[kLanes], leave_out[kLanes], tie[kLanes];
  Store(k0, g.key.k0);
  Store(k1, g.key.k1);
  Store(base, g.base);
  Store(size, g.size);
  Store(leave_out, g.leave_out);
  const Lanes step = Multiply(Count(), Set(kWeyl)), threshold = Set(0x01010101 * (whole & 255));
  for (int64_t l = 0; l < lanes; ++l) {
    sink.Focus(l);
    Lanes counter = Add(Set(k0[l]), step);
    const Lanes key1 = Set(k1[l]);
    for (uint32_t j = 0; j < size[l] && !sink.Full(kBytes + kLanes); j += kBytes) {
      const Lanes word = Word(counter, key1);
      counter = Add(counter, Set(uint32_t{kLanes} * kWeyl));
      uint64_t hits = BytesBelow(word, threshold), ties = BytesEqual(word, threshold);
      if (whole > 255) {
        hits = ~uint64_t{0};
        ties = 0;
      }
      for (; ties; ties &= ties - 1) {
        const uint32_t bit = static_cast<uint32_t>(__builtin_ctzll(ties));
        Store(tie, Word(Set(k0[l] + kTie + (j + bit) * kWeyl), key1));
        hits |= uint64_t{tie[0] < rest} << bit;
      }
      if (size[l] - j < kBytes) hits &= (uint64_t{1} << (size[l] - j)) - 1;
      if (leave_out[l] - j < kBytes) hits &= ~(uint64_t{1} << (leave_out[l] - j));
      for (uint32_t part = 0; part < kBytes; part += kLanes) {
        const Lanes target = Add(Set(base[l] + j + part), Count());
        sink.Emit(target, target, hits >> part & kAllLanes);
      }
    }
  }
}

template <class Gaps, bool kAutapses, class Sink>
EVOPS_OUTLINE void ReadGapBlocks(const Tasks& tasks, Sink& sink) {
  for (Groups groups(tasks); groups.Next();) {
    sink.Begin(groups.group(), groups.first());
    ReadGapGroup<Gaps, kAutapses>(tasks, groups.group(), sink);
  }
}

template <class Sink>
EVOPS_OUTLINE void ReadDenseBlocks(const Tasks& tasks, Sink& sink) {
  for (Groups groups(tasks); groups.Next();) {
    sink.Begin(groups.group(), groups.first());
    ReadDenseGroup(tasks, groups.group(), groups.lanes(), sink);
  }
}

// Rows of uniform gaps, one in every lane.
template <class Sink>
EVOPS_OUTLINE void ReadUniformGaps(const Tasks& tasks, Sink& sink) {
  for (Groups groups(tasks); groups.Next();) {
    const Group& g = groups.group();
    sink.Begin(g, groups.first());
    Walk walk(tasks.scheme.uniform_gaps, Add(g.t0, g.pre), g.origin, Add(g.origin, Load(tasks.n + groups.first())));
    for (uint32_t alive = walk.Alive(); alive && !sink.Full(kLanes); alive = walk.Alive()) {
      const Lanes target = walk.at();
      walk.Hold();
      walk.Advance();
      sink.Emit(target, target, alive);
    }
  }
}

// Rows of a grid, one in every lane, all at the same displacement.
//
// A place moves by a displacement along each axis, and by the axis' extent if that is negative (sampler.moved). The
// target's number is linear in the places: numbers move alike, and nothing is multiplied in the loop.
template <class Sink>
EVOPS_OUTLINE void ReadGridOffsets(const Tasks& tasks, Sink& sink) {
  const GridOffsets& grid = tasks.scheme.grid_offsets;
  const uint32_t plane = grid.extent_1 * grid.extent_2;
  const Division by_plane(plane), by_row(grid.extent_2);
  const Lanes extent_1 = Set(grid.extent_1), extent_2 = Set(grid.extent_2), all_1 = Set(plane), all_2 = extent_2;
  const Lanes last_1 = Set(grid.extent_1 - 1), last_2 = Set(grid.extent_2 - 1);
  for (Groups groups(tasks); groups.Next();) {
    const int64_t first = groups.first();
    sink.Begin(groups.group(), first);
    alignas(64) uint32_t begin[kLanes], count[kLanes];
    uint32_t longest = 0;
    bool alike = true;  // all lanes are in the same block of displacements
    for (int64_t l = 0; l < kLanes; ++l) {
      const bool any = tasks.n[first + l] != 0;
      begin[l] = tasks.block[first + l] * uint32_t{kSynapsesPerBlock};
      count[l] = any ? std::min<uint32_t>(kSynapsesPerBlock, grid.offsets - begin[l]) : 0;
      longest = std::max(longest, count[l]);
      alike = alike && (!any || begin[l] == begin[0]);
    }
    const Lanes pre = Load(tasks.pre + first), n = Load(tasks.n + first), last = Subtract(n, Set(1));
    const Lanes x = by_plane.Quotient(pre), in_plane = by_plane.Remainder(pre);
    const Lanes y = by_row.Quotient(in_plane), z = by_row.Remainder(in_plane);
    const Lanes all_0 = Subtract(n, by_plane.Remainder(n));
    const Lanes origin = groups.group().origin, from = Multiply(Load(begin), Set(3)), counts = Load(count);
    const uint32_t* row = tasks.table + int64_t{3} * begin[0];
    for (uint32_t s = 0; s < longest && !sink.Full(kLanes); ++s, row += 3) {
      const Mask reads = Less(Set(s), counts);
      Lanes by[3], moved;
      if (alike) {
        for (uint32_t axis = 0; axis < 3; ++axis) by[axis] = Set(row[axis]);
        moved = Set(row[0] * plane + row[1] * grid.extent_2 + row[2]);
      } else {
        for (uint32_t axis = 0; axis < 3; ++axis)
          by[axis] = GatherWhere(Bits(reads), tasks.table, Add(from, Set(3 * s + axis)));
        moved = Add(Add(Multiply(by[0], all_1), Multiply(by[1], extent_2)), by[2]);
      }
      const Lanes a = Add(x, by[0]), b = Add(y, by[1]), c = Add(z, by[2]);
      const Mask around_0 = Less(a, Zero()), around_1 = Less(b, Zero()), around_2 = Less(c, Zero());
      Lanes post = Add(pre, moved);
      post = AddWhere(around_0, post, all_0);
      post = AddWhere(around_1, post, all_1);
      post = AddWhere(around_2, post, all_2);
      // beyond the first axis lies no neuron below n, whatever the others say
      const Mask inside = Both(NotAbove(AddWhere(around_1, b, extent_1), last_1),
                               Both(NotAbove(AddWhere(around_2, c, extent_2), last_2), NotAbove(post, last)));
      const Lanes target = Add(origin, post);
      sink.Emit(target, target, Bits(Both(inside, reads)));
    }
  }
}

// All synapses of the tasks into the sink.
template <class Sink>
void ReadTasks(const Tasks& tasks, Sink& sink) {
  const bool autapses = tasks.scheme.exclude_autapses == 0;
  const GeometricGaps& gaps = tasks.scheme.geometric_gaps;
  switch (tasks.scheme.reader) {
    case Reader::kDenseBlocks: return ReadDenseBlocks(tasks, sink);
    case Reader::kEqualRows:
    case Reader::kCountedRows: return ReadNumberedRows(tasks, sink);
    case Reader::kUniformGaps: return ReadUniformGaps(tasks, sink);
    case Reader::kGridOffsets: return ReadGridOffsets(tasks, sink);
    case Reader::kDistances: return ReadDistances(tasks, sink);
    case Reader::kTypedPairs: return ReadTypedPairs(tasks, sink);
    case Reader::kGeometricGaps: break;
    default: return;  // others have no reader by hand
  }
  if (gaps.low_digit_bits) {
    autapses ? ReadGapBlocks<Gaps<0, true>, true>(tasks, sink) : ReadGapBlocks<Gaps<0, true>, false>(tasks, sink);
  } else if (gaps.high_digit_bits == kMostHeld) {
    autapses ? ReadGapBlocks<Gaps<kMostHeld, false>, true>(tasks, sink)
             : ReadGapBlocks<Gaps<kMostHeld, false>, false>(tasks, sink);
  } else {
    autapses ? ReadGapBlocks<Gaps<0, false>, true>(tasks, sink) : ReadGapBlocks<Gaps<0, false>, false>(tasks, sink);
  }
}

}  // namespace
}  // namespace evops
