// The reader of pairs: the targets of a row side by side.
#pragma once
#include <algorithm>

#include "distances.h"

namespace evops {
namespace {

template <class Sink>
EVOPS_OUTLINE void ReadTypedPairs(const Tasks& tasks, Sink& sink) {
  const TypedPairs& d = tasks.scheme.typed_pairs;
  const int64_t kinds = int64_t{d.pre_types} * d.post_types;
  const uint32_t* of_pre = tasks.table + kinds;
  const uint32_t* of_post = of_pre + d.n_pre;
  const Lanes first_chance = Chance(Set(tasks.table[0])), last_type = Set(d.post_types - 1);
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
      // a table at run time may be wrong
      const uint32_t type = kinds > 1 ? std::min(of_pre[std::min(pre, d.n_pre - 1)], d.pre_types - 1) : 0;
      const uint32_t* row = tasks.table + int64_t{type} * d.post_types;
      Lanes counter = Add(Pick(g.key.k0, which), Multiply(Count(), Set(kWeyl)));
      for (uint32_t j = 0; j < n && !sink.Full(kLanes); j += kLanes) {
        const Lanes post = Add(Set(j), Count());
        Mask hit = Except(NotAbove(post, last), Equal(post, leave_out));
        Lanes chance = first_chance;
        if (kinds > 1) {
          const Lanes types = Gather(of_post, Lesser(post, last));
          chance = Chance(Gather(row, Select(NotAbove(types, last_type), types, last_type)));
        }
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
        hit = Both(hit, NotAbove(Add(Right<1>(word), Set(1)), chance));
        const Lanes target = Add(origin, post);
        sink.Emit(target, target, Bits(hit));
      }
    }
  }
}

}  // namespace
}  // namespace evops
