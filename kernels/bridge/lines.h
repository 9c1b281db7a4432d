// Lists of lines: a spike's walk along its targets, collected from any number of matrices, then handed to
// the scatter kernel together, so that its lanes are full even when few neurons fire.
#pragma once
#include <cstdint>
#include <cstring>

#include "kernels.h"

namespace evops {

// Which synapses a line has: clen, the multiplier that divides by it (kernels/walk.py), and whether line
// seeds are hashed.
struct Scheme {
  uint32_t words[3];
};

template <class T>
class Lines {
 public:
  Lines(const Scheme& scheme, T* out, int64_t out_size)
      : kernel_(Element<T>::Scatter()), scheme_(scheme), out_(out), out_size_(out_size) {}
  ~Lines() { Flush(); }

  // The caller has checked that [base, base + n) lies inside `out`.
  void Add(uint32_t seed, int64_t index, int64_t base, int64_t n, T value) {
    if (n == 0) return;  // the kernel touches out[base] of every line
    seed_[count_] = seed;
    index_[count_] = static_cast<uint32_t>(index);
    base_[count_] = static_cast<uint32_t>(base);
    stop_[count_] = static_cast<uint32_t>(base + n);
    value_[count_] = value;
    if (++count_ == kCapacity) Flush();
  }

  void Flush() {
    if (count_ == 0) return;
    Call(kernel_, Array(seed_, count_), Array(index_, count_), Array(base_, count_),
         Array(stop_, count_), Array(value_, count_), Array(scheme_.words, 3),
         Array(out_, out_size_));
    count_ = 0;
  }

 private:
  static constexpr int64_t kCapacity = 512;
  Kernel kernel_;
  Scheme scheme_;
  T* out_;
  int64_t out_size_;
  int64_t count_ = 0;
  uint32_t seed_[kCapacity], index_[kCapacity], base_[kCapacity], stop_[kCapacity];
  T value_[kCapacity];
};

// Calls f(i) for every i in [0, n) with x[i] != 0; NaN counts as non-zero.
template <class X, class F>
void ForEachNonzero(const X* x, int64_t n, F f) {
  constexpr int64_t kBlock = 64 / sizeof(X);
  int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    uint64_t words[8], any = 0;
    std::memcpy(words, x + i, sizeof words);
    for (uint64_t w : words) any |= w;
    if (any == 0) continue;
    // without a branch per entry: which neurons fire cannot be predicted
    int64_t found[kBlock], count = 0;
    for (int64_t j = i; j < i + kBlock; ++j) {
      found[count] = j;
      count += x[j] != X(0);
    }
    for (int64_t k = 0; k < count; ++k) f(found[k]);
  }
  for (; i < n; ++i)
    if (x[i] != X(0)) f(i);
}

}  // namespace evops
