// The reader of pairs: the targets of a row side by side.
#pragma once
#include <algorithm>

#include "distances.h"

namespace evops {
namespace {

// Chances of a row of the table, by the types of post neurons.
class Chances {
 public:
  // `row` has an entry for each type.
  Chances(const uint32_t* row, uint32_t types) : row_(row), last_(Set(types - 1)), held_(types <= kLanes) {
    if (!held_) return;
    alignas(64) uint32_t entries[kLanes];
    for (uint32_t k = 0; k < kLanes; ++k) entries[k] = row[std::min(k, types - 1)];
    first_ = Chance(Load(entries));
  }
  // A table at run time may be wrong: a type beyond the last is the last.
  Lanes Of(Lanes types) const {
    const Lanes known = Select(NotAbove(types, last_), types, last_);
    return held_ ? Pick(first_, known) : Chance(Gather(row_, known));
  }

 private:
  const uint32_t* row_;
  Lanes first_, last_;
  bool held_;
};

// Synapses are few among the pairs that are tried. So they wait until they fill the lanes of a call of the sink.
template <class Sink>
EVOPS_OUTLINE void ReadTypedPairs(const Tasks& tasks, Sink& sink) {
  const TypedPairs& d = tasks.scheme.typed_pairs;
  const int64_t kinds = int64_t{d.pre_types} * d.post_types;
  const uint32_t* of_pre = tasks.table + kinds;
  const uint32_t* of_post = of_pre + d.n_pre;
  const Lanes only = Chance(Set(tasks.table[0]));
  alignas(64) uint32_t found[2 * kLanes];
  for (Groups groups(tasks); groups.Next();) {
    const Group& g = groups.group();
    sink.Begin(g, groups.first());
    for (int64_t l = 0; l < groups.lanes(); ++l) {
      const int64_t task = groups.first() + l;
      const uint32_t n = std::min(tasks.n[task], d.n_post), pre = tasks.pre[task];
      if (n == 0) continue;
      sink.Focus(l);
      const Lanes which = Set(static_cast<uint32_t>(l)), k1 = Pick(g.key.k1, which), origin = Pick(g.origin, which),
                  t0 = Pick(g.t0, which), t1 = Pick(g.t1, which), own = Set(pre), last = Set(n - 1);
      const Lanes leave_out = tasks.scheme.exclude_autapses ? own : Set(~uint32_t{0});
      const uint32_t type = kinds > 1 ? std::min(of_pre[std::min(pre, d.n_pre - 1)], d.pre_types - 1) : 0;
      const Chances chances(tasks.table + int64_t{type} * d.post_types, d.post_types);
      Lanes counter = Add(Pick(g.key.k0, which), Multiply(Count(), Set(kWeyl)));
      int64_t waiting = 0;
      const auto emit = [&](int64_t count) {
        const Lanes target = Add(origin, Load(found));
        sink.Emit(target, target, (uint32_t{1} << count) - 1);
      };
      for (uint32_t j = 0; j < n && !sink.Full(2 * kLanes); j += kLanes) {
        const Lanes post = Add(Set(j), Count());
        Mask hit = Except(NotAbove(post, last), Equal(post, leave_out));
        Lanes chance = only;
        if (kinds > 1) chance = chances.Of(n - j < kLanes ? Gather(of_post, Lesser(post, last)) : Load(of_post + j));
        Lanes word;
        if (d.ways == 0) {
          word = Word(counter, k1);
          counter = Add(counter, Set(uint32_t{kLanes} * kWeyl));
        } else {
          const Lanes by = Subtract(post, own), back = And(by, Subtract(Zero(), Right<31>(by)));
          const Key both = Feistel(Add(own, back), Subtract(post, back), t0, t1);
          word = both.k0;
          if (d.ways == 2) hit = Both(hit, Equal(Right<31>(Xor(both.k1, by)), Zero()));
        }
        const uint32_t hits = Bits(Both(hit, NotAbove(Add(Right<1>(word), Set(1)), chance)));
        Store(found + waiting, Squeeze(post, hits));
        waiting += __builtin_popcount(hits);
        if (waiting < kLanes) continue;
        emit(kLanes);
        waiting -= kLanes;
        Store(found, Load(found + kLanes));
      }
      if (waiting) emit(waiting);
    }
  }
}

}  // namespace
}  // namespace evops
