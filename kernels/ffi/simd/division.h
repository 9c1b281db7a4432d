// Quotients and remainders by one number.
#pragma once
#include <algorithm>

#include "lanes.h"

namespace evops {
namespace {

class Division {
 public:
  explicit Division(uint32_t by)
      : by_(Set(by)), reciprocal_(Set(static_cast<uint32_t>(std::min<uint64_t>((uint64_t{1} << 32) / by, kMaxWord)))) {}

  Lanes Remainder(Lanes x) const {
    const Lanes rest = RestOf(x, Estimate(x));
    return Lesser(rest, Subtract(rest, by_));
  }
  Lanes Quotient(Lanes x) const {
    const Lanes estimate = Estimate(x);
    return AddWhere(NotAbove(by_, RestOf(x, estimate)), estimate, Set(1));
  }

 private:
  // The quotient, or one less.
  Lanes Estimate(Lanes x) const { return High(x, reciprocal_); }
  Lanes RestOf(Lanes x, Lanes quotient) const { return Subtract(x, Multiply(quotient, by_)); }

  Lanes by_, reciprocal_;
};

}  // namespace
}  // namespace evops
