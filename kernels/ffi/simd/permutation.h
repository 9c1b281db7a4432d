// Keyed permutations in lanes.
#pragma once
#include "lanes.h"

namespace evops {
namespace {

// sampler.permuted, of the numbers below `size`: what falls outside is permuted again.
class Permutation {
 public:
  // Halves of numbers have 16 bits, so a lane holds those of two numbers. Lanes may have keys of their own.
  Permutation(Lanes k0, Lanes k1, uint32_t high_count, uint32_t low_bits, uint32_t size)
      : keys_{InBoth(k0),
              InBoth(k1),
              InBoth(Right<16>(k0)),
              InBoth(Right<16>(k1)),
              InBoth(Add(Right<8>(k0), Set(kPi1))),
              InBoth(Add(Right<8>(k1), Set(kPi2))),
              InBoth(Add(Right<16>(Add(k0, k1)), Set(kPi3)))},
        high_count_(InBoth(high_count)),
        low_(InBoth((uint32_t{1} << low_bits) - 1)),
        size_(Set(size)),  // below 2**31: signed comparisons do
        by_low_bits_(_mm_cvtsi32_si128(static_cast<int>(low_bits))),
        unused_(_mm_cvtsi32_si128(static_cast<int>(16 - low_bits))) {}

  template <int kMany>
  EVOPS_INLINE void Of(Lanes (&x)[kMany]) const {
    Once(x);
    Lanes most = x[0];
    for (int j = 1; j < kMany; ++j) most = Greater(most, x[j]);
    if (Bits(Less(most, size_)) == kAllLanes) return;
    for (int j = 0; j < kMany; j += 2) Walk(x + j);
  }

 private:
  // Two vectors of numbers, until all are below `size`.
  EVOPS_OUTLINE void Walk(Lanes* x) const {
    while ((Bits(Less(x[0], size_)) & Bits(Less(x[1], size_))) != kAllLanes) {
      Lanes again[2] = {x[0], x[1]};
      Once(again);
      for (int j = 0; j < 2; ++j) x[j] = Select(Less(x[j], size_), x[j], again[j]);
    }
  }

  static constexpr int kCount = 7;
  static Lanes InBoth(uint32_t half) { return Set((half & 0xFFFF) * 0x10001); }
  static Lanes InBoth(Lanes half) { return JoinHalves(half, Left<16>(half)); }

  // Numbers 2j and 2j + 1 share lanes; pairs are side by side, so that no product waits for another.
  template <int kMany>
  EVOPS_INLINE void Once(Lanes (&x)[kMany]) const {
    constexpr int kPairs = kMany / 2;
    Lanes high[kPairs], low[kPairs];
#pragma GCC unroll 8
    for (int j = 0; j < kPairs; ++j) {
      const Lanes first = x[2 * j], second = x[2 * j + 1];
      high[j] = Add(Right(first, by_low_bits_), Left<16>(Right(second, by_low_bits_)));
      low[j] = And(JoinHalves(first, Left<16>(second)), low_);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kCount; ++r) {
#pragma GCC unroll 8
      for (int j = 0; j < kPairs; ++j) {
        const Lanes at = AddHalves(MultiplyHalves(r % 2 ? high[j] : low[j], InBoth(kHalves1)), keys_[r]);
        const Lanes word = MultiplyHalves(Xor(at, RightHalves<7>(at)), InBoth(kHalves2));
        if (r % 2) {
          low[j] = Xor(low[j], RightHalves(word, unused_));
        } else {
          high[j] = AddHalves(high[j], HighHalves(word, high_count_));
          high[j] = LesserHalves(high[j], SubtractHalves(high[j], high_count_));
        }
      }
    }
#pragma GCC unroll 8
    for (int j = 0; j < kPairs; ++j) {
      x[2 * j] = Add(Left(Right<16>(Left<16>(high[j])), by_low_bits_), Right<16>(Left<16>(low[j])));
      x[2 * j + 1] = Add(Left(Right<16>(high[j]), by_low_bits_), Right<16>(low[j]));
    }
  }

  Lanes keys_[kCount], high_count_, low_, size_;
  __m128i by_low_bits_, unused_;
};

}  // namespace
}  // namespace evops
