// Rows that have their synapses by number: targets are numbers below n, permuted ones, or permuted slots modulo n.
//
// Synapses of one row fill the lanes. Where rows are too short for that, each lane has a row of its own, if the sink
// adds up in whatever order rows come (kTakesRows).
//
// Sinks have EmitNumbered for vectors 0, 1, … of a row, and EmitOfEach for synapses 0, 1, … of all rows.
#pragma once
#include <algorithm>
#include <type_traits>

#include "division.h"
#include "groups.h"
#include "permutation.h"

namespace evops {
namespace {

// Vectors that are drawn side by side, as a word takes several times as long as a lane of many.
constexpr int kSideBySide = 64 / kLanes;

// The synapses of a group's tasks: number s of lane l is begin[l] + s, for s < count[l].
struct Numbers {
  Numbers(const Tasks& tasks, int64_t first, bool counted) {
    for (int64_t l = 0; l < kLanes; ++l) {
      const bool any = tasks.n[first + l] != 0;
      const uint32_t all = !any ? 0 : counted ? tasks.table[2 * (first + l) + 1] : tasks.scheme.equal_rows.k;
      start[l] = any && counted ? tasks.table[2 * (first + l)] : 0;
      begin[l] = any ? tasks.block[first + l] * uint32_t{kSynapsesPerBlock} : 0;
      count[l] = std::min<uint32_t>(kSynapsesPerBlock, all - begin[l]);
      longest = std::max(longest, count[l]);
      shortest = std::min(shortest, count[l]);
      if (!any) continue;
      constexpr uint32_t kStep = kSideBySide * kLanes;
      vectors += (count[l] + kStep - 1) / kStep * kStep + kPerRow;
      alike = alike && (n == 0 || n == tasks.n[first + l]);
      n = tasks.n[first + l];
    }
  }
  // Whether a row in every lane takes less time. As measured: a synapse takes 5/4 of the time then.
  bool AreFew() const { return alike && int64_t{longest} * kLanes * 5 / 4 < vectors; }

  alignas(64) uint32_t start[kLanes], begin[kLanes], count[kLanes];
  uint32_t longest = 0, shortest = ~uint32_t{0}, n = 0;
  int64_t vectors = 0;  // lanes that rows take one after another
  bool alike = true;    // all rows have n targets

 private:
  static constexpr uint32_t kPerRow = 8;  // a row's own cost, in synapses
};

// Synapses begin … stop - 1 of a row; post(x) turns numbers into where those synapses go.
template <bool kByRank, class Post, class Sink>
EVOPS_INLINE void ReadNumbers(uint32_t begin, uint32_t stop, Lanes origin, Sink& sink, Post post) {
  constexpr uint32_t kStep = kSideBySide * kLanes;
  for (uint32_t i = begin; i < stop && !sink.Full(kStep); i += kStep) {
    Lanes index[kSideBySide], target[kSideBySide];
#pragma GCC unroll 8
    for (int j = 0; j < kSideBySide; ++j) target[j] = index[j] = Add(Set(i + j * kLanes), Count());
    post(target);
#pragma GCC unroll 8
    for (int j = 0; j < kSideBySide; ++j) {
      target[j] = Add(origin, target[j]);
      if (!kByRank) index[j] = target[j];
    }
    uint32_t left = stop - i;
    if (left >= kStep) {
#pragma GCC unroll 8
      for (int j = 0; j < kSideBySide; ++j) sink.EmitNumbered(target[j], index[j], kAllLanes, j);
    } else {
      for (int j = 0; left > 0; ++j) {
        sink.EmitNumbered(target[j], index[j], left < kLanes ? (uint32_t{1} << left) - 1 : kAllLanes, j);
        left -= left < kLanes ? left : kLanes;
      }
    }
  }
}

// A row in every lane.
template <bool kByRank, class Post, class Sink>
EVOPS_INLINE void ReadNumbersOfEach(const Numbers& numbers, Lanes origin, Sink& sink, Post post) {
  const Lanes begin = Load(numbers.begin), count = Load(numbers.count);
  sink.Unfocus();
  for (uint32_t s = 0; s < numbers.longest; s += kSideBySide) {
    Lanes index[kSideBySide], target[kSideBySide];
#pragma GCC unroll 8
    for (int j = 0; j < kSideBySide; ++j) target[j] = index[j] = Add(begin, Set(s + j));
    post(target);
    for (Lanes& at : target) at = Add(origin, at);
    if (s + kSideBySide <= numbers.shortest) {
#pragma GCC unroll 8
      for (int j = 0; j < kSideBySide; ++j)
        sink.EmitOfEach(target[j], kByRank ? index[j] : target[j], kAllLanes, s + j);
    } else {
      for (int j = 0; j < kSideBySide; ++j) {
        const uint32_t hit = Bits(Less(Set(s + j), count));
        if (hit) sink.EmitOfEach(target[j], kByRank ? index[j] : target[j], hit, s + j);
      }
    }
  }
}

template <class Sink>
void ReadNumberedGroup(const Tasks& tasks, const Group& g, int64_t first, int64_t lanes, Sink& sink) {
  const bool counted = tasks.scheme.reader == Reader::kCountedRows;
  const EqualRows& equal = tasks.scheme.equal_rows;
  const CountedRows& rows = tasks.scheme.counted_rows;
  const uint32_t low_bits = counted ? rows.low_bits : equal.low_bits;
  const uint32_t high_count = counted ? rows.high_count : equal.high_count;
  const Key key = counted && low_bits ? Feistel(Zero(), Set(kSlots), g.t0, g.t1) : g.key;
  const Numbers numbers(tasks, first, counted);

  // the numbers of a row, or of one in every lane, by words, a permutation, or a permutation of slots
  const auto by_words = [&](Lanes key0, Lanes key1, uint32_t n, auto read) EVOPS_INLINED {
    const Lanes all = Set(n);
    read(std::true_type(), [&](auto& x) EVOPS_INLINED {
      for (Lanes& i : x) i = High(Word(Add(key0, Multiply(i, Set(kWeyl))), key1), all);
    });
  };
  const auto permuted = [&](Lanes key0, Lanes key1, uint32_t n, auto read) EVOPS_INLINED {
    const Permutation permutation(key0, key1, high_count, low_bits, n);
    const Lanes last = Set(n - 1);  // of the domain: lanes past the end of a row stay inside
    read(std::false_type(), [&](auto& x) EVOPS_INLINED {
      for (Lanes& i : x) i = Lesser(i, last);
      permutation.Of(x);
    });
  };
  const auto slots = [&](Lanes key0, Lanes key1, uint32_t n, Lanes start, auto read) EVOPS_INLINED {
    const Permutation permutation(key0, key1, high_count, low_bits, rows.slots * n);
    const Division by_n(n);
    const Lanes last = Set(rows.slots * n - 1);
    read(std::true_type(), [&](auto& x) EVOPS_INLINED {
      for (Lanes& i : x) i = Lesser(Add(start, i), last);
      permutation.Of(x);
      for (Lanes& i : x) i = by_n.Remainder(i);
    });
  };
  const auto read_as = [&](Lanes key0, Lanes key1, uint32_t n, Lanes start, auto read) EVOPS_INLINED {
    if (low_bits == 0) return by_words(key0, key1, n, read);
    if (!counted) return permuted(key0, key1, n, read);
    slots(key0, key1, n, start, read);
  };

  if constexpr (Sink::kTakesRows) {
    if (numbers.AreFew()) {
      if (numbers.longest == 0) return;
      return read_as(key.k0, key.k1, numbers.n, Load(numbers.start), [&](auto by_rank, auto post) EVOPS_INLINED {
        ReadNumbersOfEach<decltype(by_rank)::value>(numbers, g.origin, sink, post);
      });
    }
  }
  for (int64_t l = 0; l < lanes; ++l) {
    const uint32_t n = tasks.n[first + l], begin = numbers.begin[l], stop = begin + numbers.count[l];
    if (n == 0) continue;
    sink.Focus(l);
    const Lanes which = Set(static_cast<uint32_t>(l)), origin = Set(tasks.origin[first + l]);
    read_as(Pick(key.k0, which), Pick(key.k1, which), n, Set(numbers.start[l]),
            [&](auto by_rank, auto post)
                EVOPS_INLINED { ReadNumbers<decltype(by_rank)::value>(begin, stop, origin, sink, post); });
  }
}

template <class Sink>
EVOPS_OUTLINE void ReadNumberedRows(const Tasks& tasks, Sink& sink) {
  for (Groups groups(tasks); groups.Next();) {
    sink.Begin(groups.group(), groups.first());
    ReadNumberedGroup(tasks, groups.group(), groups.first(), groups.lanes(), sink);
  }
}

}  // namespace
}  // namespace evops
