// Draws synapses and adds them up in one pass.
//
// Synapses are added kBehind draws after they are drawn. Loading a target right after storing it stalls on
// store-to-load forwarding: 7 ns in place of 1 per synapse.
#pragma once
#include <type_traits>

#include "law.h"
#include "readers.h"

namespace evops {
namespace {

template <class T, Addend addend, bool kDelayed>
class Sums {
 public:
  Sums(const Tasks& tasks, const Summation<T>& s)
      : s_(s), count_(tasks.count), delays_(s.delays.table, kDelayed ? s.delays.bits : 1) {}
  ~Sums() { AddUntil(at_); }

  void Begin(const Group& g, int64_t first) {
    if constexpr (addend == Addend::kOne && !kDelayed) return;
    if constexpr (kWide) {
      AddUntil(at_);  // they read the values of the group before
      for (int64_t l = 0; l < kLanes; ++l) {
        a_of_[l] = first + l < count_ ? s_.a[first + l] : T(0);
        b_of_[l] = addend == Addend::kVariate && first + l < count_ ? s_.b[first + l] : T(0);
      }
    } else if constexpr (addend != Addend::kOne) {
      all_.a = ValuesOf(s_.a, first);
      if constexpr (addend == Addend::kVariate) all_.b = ValuesOf(s_.b, first);
    }
    if constexpr (kDelayed) all_.base_slot = ValuesOf(s_.delays.base_slot, first);
    if constexpr (addend == Addend::kVariate || kDelayed) all_.key = VariateKey(g.pre, g.shift, g.t0, g.t1);
    Unfocus();
  }
  void Unfocus() {
    owner_ = Count();
    here_ = all_;
  }
  void Focus(int64_t lane) {
    if constexpr (addend == Addend::kOne && !kDelayed) return;
    owner_ = Set(static_cast<uint32_t>(lane));
    here_.a = Pick(all_.a, owner_);
    here_.b = Pick(all_.b, owner_);
    here_.base_slot = Pick(all_.base_slot, owner_);
    here_.key.start = Pick(all_.key.start, owner_);
    here_.key.second = Pick(all_.key.second, owner_);
  }
  static constexpr bool Full(int64_t) { return false; }

  static constexpr bool kTakesRows = false;  // rows come in order
  EVOPS_INLINE void EmitNumbered(Lanes target, Lanes counter, uint32_t hit, int) { Emit(target, counter, hit); }
  EVOPS_INLINE void Emit(Lanes target, Lanes counter, uint32_t hit) {
    if constexpr (kDelayed) {
      const Lanes slots = Set(s_.delays.slots), last = Subtract(slots, Set(1));
      const Lanes drawn = Lesser(delays_.Draw(here_.key.WordOf(kDelay, counter)), last);
      const Lanes slot = Add(here_.base_slot, drawn);  // below 2 slots
      target = Add(target, Multiply(Lesser(slot, Subtract(slot, slots)), Set(s_.delays.width)));
    }
    Store(target_ + at_, Squeeze(target, hit));
    if constexpr (addend == Addend::kVariate) {
      const Lanes z = Floats(Variate(here_.key.WordOf(kWeight, counter), s_.quantiles));
      Store(value_ + at_, Squeeze(kWide ? z : AddFloats(here_.a, MultiplyFloats(here_.b, z)), hit));
    } else if constexpr (addend == Addend::kValue && !kWide) {
      Store(value_ + at_, Squeeze(here_.a, hit));
    }
    if constexpr (kWide) Store(owner_at_ + at_, Squeeze(owner_, hit));
    at_ += __builtin_popcount(hit);
    if constexpr (kDelayed)  // a ring is larger than the cache
      for (const int64_t end = at_ - kLanes; asked_ < end; ++asked_) __builtin_prefetch(s_.out + target_[asked_], 1);
    if (at_ - done_ >= kBehind + kLanes) AddLanes();
    if (at_ >= kRoom) {
      AddUntil(at_);
      at_ = done_ = asked_ = 0;
    }
  }

 private:
  static constexpr bool kWide = sizeof(T) > 4 && addend != Addend::kOne;  // T does not fit into a lane
  static constexpr int64_t kRoom = 1024, kBehind = kDelayed ? 128 : kLanes;

  template <class Word>
  Lanes ValuesOf(const Word* values, int64_t first) const {
    alignas(64) uint32_t bits[kLanes] = {};
    static_assert(sizeof(Word) == 4);
    __builtin_memcpy(bits, values + first, 4 * (count_ - first < kLanes ? count_ - first : kLanes));
    return Load(bits);
  }
  static float FloatOf(uint32_t bits) {
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
  }

  T AddendAt(int64_t k) const {
    if constexpr (addend == Addend::kOne) return T(1);
    if constexpr (kWide) {
      const uint32_t l = owner_at_[k];
      return addend == Addend::kValue ? a_of_[l] : a_of_[l] + b_of_[l] * static_cast<T>(FloatOf(value_[k]));
    }
    T value;
    __builtin_memcpy(&value, value_ + k, sizeof value < 4 ? sizeof value : 4);
    return value;
  }
  EVOPS_INLINE void AddLanes() {
#pragma GCC unroll 16
    for (int64_t k = 0; k < kLanes; ++k) s_.out[target_[done_ + k]] += AddendAt(done_ + k);
    done_ += kLanes;
  }
  EVOPS_INLINE void AddUntil(int64_t end) {
    for (; done_ < end; ++done_) s_.out[target_[done_]] += AddendAt(done_);
  }

  const Summation<T> s_;
  const int64_t count_;
  int64_t at_ = 0, done_ = 0, asked_ = 0;  // synapses written down, added, prefetched
  const AliasTable<0> delays_;
  struct Values {
    Lanes a = Zero(), b = Zero(), base_slot = Zero();
    VariateKey key{};
  };
  Values all_, here_;  // of the group's lines; of what is put: the same, or of one line in every lane
  Lanes owner_ = Zero();
  T a_of_[kWide ? kLanes : 1], b_of_[kWide ? kLanes : 1];
  alignas(64) uint32_t target_[kRoom + kLanes], value_[addend == Addend::kOne ? 1 : kRoom + kLanes];
  uint32_t owner_at_[kWide ? kRoom + kLanes : 1];
};

template <class T, Addend addend, bool kDelayed>
void SumInto(const Tasks& tasks, const Summation<T>& s) {
  Sums<T, addend, kDelayed> sums(tasks, s);
  ReadTasks(tasks, sums);
}

// Which of them: ones have no delays, as they are counted, and integers no variates.
template <class T>
void Sum(const Tasks& tasks, const Summation<T>& s) {
  const bool delayed = s.delays.table != nullptr;
  if (s.addend == Addend::kOne) return SumInto<T, Addend::kOne, false>(tasks, s);
  if (s.addend == Addend::kValue)
    return delayed ? SumInto<T, Addend::kValue, true>(tasks, s) : SumInto<T, Addend::kValue, false>(tasks, s);
  if constexpr (std::is_floating_point_v<T>)
    return delayed ? SumInto<T, Addend::kVariate, true>(tasks, s) : SumInto<T, Addend::kVariate, false>(tasks, s);
}

}  // namespace

}  // namespace evops
