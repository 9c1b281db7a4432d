// Weights and delays in lanes: keys of variates, and the look-up in a quantile table
// (evops.connectivity.sampler).
#pragma once
#include "lanes.h"

namespace evops {
namespace {

// The variates of kLanes lines, by counters that are `shift` too large.
struct VariateKey {
  VariateKey() = default;
  VariateKey(Lanes pre, Lanes shift, Lanes t0, Lanes t1) {
    const Key key = Feistel(pre, Set(kLine), t0, t1);
    start = Subtract(key.k0, Multiply(shift, Set(kWeyl)));
    second = key.k1;
  }
  Lanes WordOf(uint32_t role, Lanes counter) const {
    return Word(Add(Add(start, Set(role)), Multiply(counter, Set(kWeyl))), second);
  }
  Lanes start, second;
};

// The variate of a word, as a whole number of the table's unit; without a table it is a ramp (MatrixSpec).
EVOPS_INLINE Lanes Variate(Lanes word, const int32_t* quantiles) {
  constexpr int kBits = kQuantileBits;
  if (!quantiles) return Right<32 - 2 * kBits>(word);
  const Lanes last_slot = Set(kQuantileSlots - 1), main = Right<32 - kBits>(word);
  const Lanes part = And(Right<32 - 2 * kBits>(word), last_slot);
  const Mask last = Equal(main, last_slot), tail = Either(last, Equal(main, Zero()));
  const Lanes in_tail = Add(part, Select(last, Set(2 * kQuantileKnots), Set(kQuantileKnots)));
  const Lanes share = Select(tail, And(Right<32 - 3 * kBits>(word), last_slot), part);
  const Pairs knot = LookUp(quantiles, Select(tail, in_tail, main));
  return Add(knot.first, Right<kBits>(Multiply(Subtract(knot.second, knot.first), share)));
}

}  // namespace
}  // namespace evops
