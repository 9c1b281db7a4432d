// Lines of uniform gaps, as braintaichi draws them, a line in each lane.
#pragma once
#include "format.h"
#include "lanes.h"

namespace evops {
namespace {

// Lines side by side, each at its next position.
class Walk {
 public:
  // Lines at base … stop - 1, by the sum of seed and index.
  Walk(const UniformGaps& gaps, Lanes line, Lanes base, Lanes stop)
      : length_(Set(gaps.clen)), multiplier_(Set(gaps.reciprocal)), at_(Subtract(base, Set(1))), stop_(stop) {
    if (gaps.hashed) {
      s1_ = Mix(line);
      s2_ = Mix(Add(line, Set(kPi0)));
      s3_ = Mix(Add(line, Set(kPi1)));
    } else {
      s1_ = Add(line, Set(1));
      s2_ = Add(line, Set(7));
      s3_ = Add(line, Set(15));
    }
    Advance();
  }

  Lanes at() const { return at_; }

  // Lines that have not ended.
  uint32_t Alive() const {
    const Lanes sign = Set(0x80000000u);  // signed numbers are compared
    return Bits(Less(Xor(at_, sign), Xor(stop_, sign)));
  }

  void Advance() {
    s1_ = Xor(Left<13>(Right<1>(s1_)), Right<19>(Xor(Left<13>(s1_), s1_)));
    s2_ = Xor(Left<7>(Right<3>(s2_)), Right<25>(Xor(Left<2>(s2_), s2_)));
    s3_ = Xor(Left<21>(Right<4>(s3_)), Right<11>(Xor(Left<3>(s3_), s3_)));
    const Lanes word = Xor(Xor(s1_, s2_), s3_);
    // the remainder of kernels/sampler_ti.py: an estimate of the quotient, right or one too small
    const Lanes rest = Subtract(word, Multiply(High(word, multiplier_), length_));
    const Lanes gap = Lesser(rest, Subtract(rest, length_));
    at_ = Add(at_, Add(gap, Set(1)));
  }

  // A line that has ended stays at its end.
  void Hold() { at_ = Lesser(at_, stop_); }

 private:
  Lanes length_, multiplier_, at_, stop_, s1_, s2_, s3_;
};

}  // namespace
}  // namespace evops
