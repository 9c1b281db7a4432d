// The readers of gaps and of dense blocks by hand: the synapses of kernels/draw.py in its order, given to
// a sink.
//
// Gaps: blocks side by side, one in each lane, and the next word and gap drawn ahead of the present one.
// Dense: a byte of every lane at once. No branch depends on a draw, but for the ends of blocks and the bytes
// that need a second word.
//
// A sink has Begin(group, first) for each group of tasks, Focus(lane) where one of them fills all lanes,
// Full(count), and Put(targets, hit).
#pragma once
#include <algorithm>

#include "../kernels.h"
#include "lanes.h"

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

// An alias table of 2**bits outcomes.
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

// kLanes tasks; lists are padded to whole groups with lines of no targets (draws.h).
struct Group {
  Group() = default;
  Group(const Tasks& tasks, int64_t first) {
    const __m128i bits = _mm_cvtsi32_si128(static_cast<int>(tasks.scheme[2]));
    t0 = Load(tasks.t0 + first);
    t1 = Load(tasks.t1 + first);
    pre = Load(tasks.pre + first);
    origin = Load(tasks.origin + first);
    const Lanes block = Load(tasks.block + first), begin = Left(block, bits);
    key = Feistel(pre, block, t0, t1);
    base = Add(origin, begin);
    size = Lesser(Left(Set(1), bits), Subtract(Load(tasks.n + first), begin));
    leave_out = tasks.scheme[1] ? Subtract(pre, begin) : Set(~uint32_t{0});
  }
  Key key;
  Lanes t0, t1, pre, origin, base, size, leave_out;  // leave_out: the autapse, counted from the block's begin
};

template <int held, bool kTwoDigits, bool kAutapses, class Sink>
void ReadGaps(const Tasks& tasks, const Group& g, Sink& sink) {
  const uint32_t high = tasks.scheme[3], low = tasks.scheme[4];
  const AliasTable<held> high_table(tasks.table, high);
  const AliasTable<0> low_table(tasks.table + (int64_t{1} << high), kTwoDigits ? low : 10);
  const Lanes restart = Set((uint32_t{1} << high) - 1), one = Set(1), weyl = Set(kWeyl);
  const __m128i low_shift = _mm_cvtsi32_si128(static_cast<int>(low));
  Lanes counter = g.key.k0, next = Zero(), gap;
  Mask nothing;
  const auto next_word = [&] {
    const Lanes word = Word(counter, g.key.k1);
    counter = Add(counter, weyl);
    return word;
  };
  Lanes word = next_word(), low_word = kTwoDigits ? next_word() : word;
  const auto next_gap = [&] {
    gap = high_table.Draw(word);
    nothing = Equal(gap, restart);
    if (kTwoDigits) gap = Add(Left(gap, low_shift), Select(nothing, Zero(), low_table.Draw(low_word)));
    word = next_word();
    if (kTwoDigits) low_word = next_word();
  };
  next_gap();
  // counts inside a block are below 2**24: signed comparisons do
  while (Bits(Less(next, g.size)) != 0 && !sink.Full(kLanes)) {
    const Lanes post = Add(next, gap);
    Mask hit = Except(Less(post, g.size), nothing);
    if (!kAutapses) hit = Except(hit, Equal(post, g.leave_out));
    // one past the synapse, or as far as nothing was found; a block that has ended stays there
    next = Lesser(Select(nothing, post, Add(post, one)), Set(uint32_t{1} << 23));
    next_gap();
    sink.Put(Add(g.base, post), Bits(hit));
  }
}

template <class Sink>
void ReadDense(const Tasks& tasks, const Group& g, int64_t lanes, Sink& sink) {
  constexpr uint32_t kBytes = 4 * kLanes;
  const uint32_t whole = tasks.scheme[3], rest = tasks.scheme[4];
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
      for (uint32_t part = 0; part < kBytes; part += kLanes)
        sink.Put(Add(Set(base[l] + j + part), Count()), hits >> part & kAllLanes);
    }
  }
}

// All synapses of the tasks into the sink. Keys come first, for many groups: they do not wait for each
// other, as synapses of a block do.
template <class Read, class Sink>
void ForEachGroup(const Tasks& tasks, Sink& sink, Read read) {
  constexpr int64_t kGroups = 64 / kLanes;
  for (int64_t begin = 0; begin < tasks.count; begin += kGroups * kLanes) {
    const int64_t end = std::min(tasks.count, begin + kGroups * kLanes);
    Group groups[kGroups];
    for (int64_t first = begin; first < end; first += kLanes) groups[(first - begin) / kLanes] = Group(tasks, first);
    for (int64_t first = begin; first < end; first += kLanes) {
      const Group& group = groups[(first - begin) / kLanes];
      sink.Begin(group, first);
      read(group, std::min(kLanes, tasks.count - first));
    }
  }
}

template <int held, bool kTwoDigits, bool kAutapses, class Sink>
void ReadAllGaps(const Tasks& tasks, Sink& sink) {
  ForEachGroup(tasks, sink, [&](const Group& group, int64_t) {
    ReadGaps<held, kTwoDigits, kAutapses>(tasks, group, sink);
  });
}

template <class Sink>
void ReadGaps(const Tasks& tasks, Sink& sink) {
  const bool autapses = tasks.scheme[1] == 0;
  if (tasks.scheme[4]) {
    autapses ? ReadAllGaps<0, true, true>(tasks, sink) : ReadAllGaps<0, true, false>(tasks, sink);
  } else if (tasks.scheme[3] == kMostHeld) {
    autapses ? ReadAllGaps<kMostHeld, false, true>(tasks, sink) : ReadAllGaps<kMostHeld, false, false>(tasks, sink);
  } else {
    autapses ? ReadAllGaps<0, false, true>(tasks, sink) : ReadAllGaps<0, false, false>(tasks, sink);
  }
}

template <class Sink>
void ReadDense(const Tasks& tasks, Sink& sink) {
  ForEachGroup(tasks, sink, [&](const Group& group, int64_t lanes) { ReadDense(tasks, group, lanes, sink); });
}

}  // namespace
}  // namespace evops
