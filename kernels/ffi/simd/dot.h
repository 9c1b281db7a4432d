// Draws synapses and adds up what lies at their targets, a sum for each task, in one pass.
//
// A lane that reads a task of its own adds to a sum of its own; where one task fills all lanes, their sums are added up
// when it ends. So neither targets nor weights are ever written down.
#pragma once
#include <type_traits>

#include "law.h"
#include "readers.h"

namespace evops {
namespace {

// Sums in lanes, of numbers of type T.
template <class T>
Lanes Plus(Lanes x, Lanes y) {
  if constexpr (std::is_floating_point_v<T>) return AddFloats(x, y);
  return Add(x, y);
}

// A strand of the row in every lane.
template <class T>
struct Strand {
  Lanes x = Zero();
  friend Strand Sum(Strand a, Strand b) { return {Plus<T>(a.x, b.x)}; }
};

template <class T, Addend addend>
class Dots {
 public:
  Dots(const Tasks& tasks, const DotProduct<T>& d) : d_(d) {
    static_assert(sizeof(T) == 4, "a sum fills a lane");
    (void)tasks;
    if constexpr (addend != Addend::kOne) a_ = LanesOf(d.a);
    if constexpr (addend == Addend::kVariate) b_ = LanesOf(d.b);
  }
  ~Dots() { TakeDown(); }

  void Begin(const Group& g, int64_t first) {
    TakeDown();
    first_ = first;
    if constexpr (addend == Addend::kVariate) of_group_ = VariateKey(g.pre, g.shift, g.t0, g.t1);
    Unfocus();
  }
  void Unfocus() {
    TakeDown();
    lane_ = kEach;
    key_ = of_group_;
  }
  void Focus(int64_t lane) {
    TakeDown();
    lane_ = lane;
    if constexpr (addend == Addend::kVariate) {
      const Lanes which = Set(static_cast<uint32_t>(lane));
      key_.start = Pick(of_group_.start, which);
      key_.second = Pick(of_group_.second, which);
    }
  }
  static constexpr bool Full(int64_t) { return false; }

  // Lanes that have a task each add to sums of their own. The terms of one task are added in order, as from a list.
  EVOPS_INLINE void Emit(Lanes target, Lanes counter, uint32_t hit) {
    const Lanes term = TermsOf(target, counter, hit);
    if (lane_ == kEach) {
      strands_[0] = Plus<T>(strands_[0], term);
      return;
    }
    alignas(64) T terms[kLanes];
    Store(reinterpret_cast<uint32_t*>(terms), term);
#pragma GCC unroll 16
    for (int64_t l = 0; l < kLanes; ++l) in_order_ += terms[l];
  }
  EVOPS_INLINE void EmitNumbered(Lanes target, Lanes counter, uint32_t hit, int vector) {
    Lanes& strand = strands_[vector % kVectors];
    strand = Plus<T>(strand, TermsOf(target, counter, hit));
  }
  static constexpr bool kTakesRows = true;
  EVOPS_INLINE void EmitOfEach(Lanes target, Lanes counter, uint32_t hit, uint32_t synapse) {
    Strand<T>& strand = strands_of_each_[synapse % kStrands];
    strand.x = Plus<T>(strand.x, TermsOf(target, counter, hit));
    any_of_each_ = true;
  }

 private:
  static constexpr int64_t kEach = -1;

  static Lanes LanesOf(T x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return Set(bits);
  }

  EVOPS_INLINE Lanes TermsOf(Lanes target, Lanes counter, uint32_t hit) const {
    const auto words = reinterpret_cast<const uint32_t*>(d_.x);
    // beside the loads of a look-up in the table of variates a gather takes less time
    const bool loads = addend != Addend::kVariate && hit == kAllLanes;
    const Lanes value = loads ? Gather(words, target) : GatherWhere(hit, words, target);
    if constexpr (addend == Addend::kOne) return value;
    Lanes weight = a_;
    if constexpr (addend == Addend::kVariate)
      weight = AddFloats(a_, MultiplyFloats(b_, Floats(Variate(key_.WordOf(kWeight, counter), d_.quantiles))));
    // a silent neuron adds nothing, even times infinity
    return Select(EqualFloats(value, Zero()), Zero(), MultiplyFloats(weight, value));
  }

  // Adds the sums so far to those of the tasks, and starts anew.
  void TakeDown() {
    alignas(64) T strands[kStrands];
    for (int64_t v = 0; v < kVectors; ++v) {
      Store(reinterpret_cast<uint32_t*>(strands + v * kLanes), strands_[v]);
      strands_[v] = Zero();
    }
    if (lane_ == kEach) {
      for (int64_t l = 0; l < kLanes; ++l) d_.sums[first_ + l] += strands[l];
      if (any_of_each_) TakeDownEach();
    } else {
      d_.sums[first_ + lane_] += in_order_ + SumOfStrands(strands);
      in_order_ = 0;
    }
  }

  void TakeDownEach() {
    alignas(64) T sums[kLanes];
    Store(reinterpret_cast<uint32_t*>(sums), SumOfStrands(strands_of_each_).x);
    for (int64_t l = 0; l < kLanes; ++l) d_.sums[first_ + l] += sums[l];
    for (Strand<T>& strand : strands_of_each_) strand = {};
    any_of_each_ = false;
  }

  static constexpr int64_t kVectors = kStrands / kLanes;
  const DotProduct<T> d_;
  int64_t first_ = 0, lane_ = kEach;  // of the group's tasks; the task that fills all lanes
  T in_order_ = 0;
  Lanes strands_[kVectors] = {}, a_ = Zero(), b_ = Zero();
  Strand<T> strands_of_each_[kStrands];
  bool any_of_each_ = false;
  VariateKey of_group_{}, key_{};
};

template <Addend addend, class T>
void DotInto(const Tasks& tasks, const DotProduct<T>& d) {
  Dots<T, addend> dots(tasks, d);
  ReadTasks(tasks, dots);
}

// Which of them: integers are counted, or weighted afterwards.
template <class T>
void Dot(const Tasks& tasks, const DotProduct<T>& d) {
  if constexpr (std::is_floating_point_v<T>) {
    if (d.addend == Addend::kValue) return DotInto<Addend::kValue>(tasks, d);
    if (d.addend == Addend::kVariate) return DotInto<Addend::kVariate>(tasks, d);
  }
  DotInto<Addend::kOne>(tasks, d);
}

}  // namespace
}  // namespace evops
