// Lists of lines of the published scheme: a spike's walk along its targets, collected from any number of matrices, then handed to
// the scatter kernel together, so that its lanes are full even when few neurons fire.
#pragma once
#include <emmintrin.h>

#include <cstdint>
#include <cstring>

#include "draws.h"

namespace evops {

template <class T>
class Lines {
 public:
  Lines(const Scheme& scheme, T* out, int64_t out_size)
      : kernel_(Element<T>::Scatter()), scheme_(scheme), out_(out), out_size_(out_size) {}

  // The caller has checked that [base, base + n) lies inside `out`, and flushes at the end.
  void Add(const uint32_t* seed, int64_t index, int64_t base, int64_t n, Value<T> value, uint32_t = 0,
           const uint32_t* = nullptr) {
    if (n == 0) return;  // the kernel touches out[base] of every line
    seed_[count_] = seed[0];
    index_[count_] = static_cast<uint32_t>(index);
    base_[count_] = static_cast<uint32_t>(base);
    stop_[count_] = static_cast<uint32_t>(base + n);
    value_[count_] = static_cast<T>(value.x * value.a);
    if (++count_ == kCapacity) Flush();
  }

  void Flush() {
    if (count_ == 0) return;
    for (int64_t k = count_; k % kGroup != 0; ++k) {  // kernels may read whole groups
      seed_[k] = index_[k] = base_[k] = stop_[k] = 0;
      value_[k] = T(0);
    }
    Call(kernel_, Array(seed_, count_), Array(index_, count_), Array(base_, count_),
         Array(stop_, count_), Array(value_, count_), Array(scheme_.words(), kSchemeWords),
         Array(out_, out_size_));
    count_ = 0;
  }

 private:
  static constexpr int64_t kGroup = 16, kCapacity = 512;
  Kernel kernel_;
  Scheme scheme_;
  T* out_;
  int64_t out_size_;
  int64_t count_ = 0;
  uint32_t seed_[kCapacity], index_[kCapacity], base_[kCapacity], stop_[kCapacity];
  T value_[kCapacity];
};

// The same for readers of the exact sampler: a + b z is added at every synapse of the line. With delays that
// are drawn, `out` is their ring and a line begins in its first slot, `late` slots before where it would arrive.
template <class T, Addend addend>
class DrawnLines {
 public:
  DrawnLines(Draws& draws, T* out) : draws_(draws), out_(out) {}

  void Add(const uint32_t* seed, int64_t index, int64_t base, int64_t n, Value<T> value, uint32_t late,
           const uint32_t* table) {
    line_[count_] = {seed[0], seed[1], static_cast<uint32_t>(index), base, n, late, table};
    value_[count_] = value;
    if (++count_ == kCapacity) Flush();
  }

  void Flush() {
    draws_.template AddUp<addend>(
        count_, [&](int64_t i) -> const Line& { return line_[i]; }, [&](int64_t i) { return value_[i]; }, out_);
    count_ = 0;
  }

 private:
  static constexpr int64_t kCapacity = 512;
  Draws& draws_;
  T* out_;
  int64_t count_ = 0;
  Line line_[kCapacity];
  Value<T> value_[kCapacity];
};

// (x86-64 has no instruction for it; the library's function costs a call)
inline int64_t CountBits(uint64_t x) {
  x -= x >> 1 & 0x5555555555555555;
  x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
  return ((x + (x >> 4)) & 0x0F0F0F0F0F0F0F0F) * 0x0101010101010101 >> 56;
}

// Bit j is set where x[j] != 0; NaN counts as non-zero.
inline uint64_t Nonzero16(const uint8_t* x) {
  const __m128i zero = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)), _mm_setzero_si128());
  return static_cast<uint16_t>(~_mm_movemask_epi8(zero));
}
template <class X>
uint64_t Nonzero16(const X* x) {
  uint64_t bits = 0;
  for (int j = 0; j < 16; ++j) bits |= static_cast<uint64_t>(x[j] != X(0)) << j;
  return bits;
}

// Whether any of 256 entries has a bit set.
template <class X>
bool AnyOf256(const X* x) {
  __m128i any = _mm_setzero_si128();
  for (size_t k = 0; k < 16 * sizeof(X); ++k) any = _mm_or_si128(any, _mm_loadu_si128(reinterpret_cast<const __m128i*>(x) + k));
  return _mm_movemask_epi8(_mm_cmpeq_epi8(any, _mm_setzero_si128())) != 0xFFFF;
}

// Calls f(i) for every i in [0, n) with x[i] != 0.
//
// Which neurons fire cannot be predicted, so there is no branch per entry, nor one per word of 64: only
// per kBlock entries, which are nearly always all silent or nearly never.
template <class X, class F>
void ForEachNonzero(const X* x, int64_t n, F f) {
  constexpr int64_t kBlock = 256, kEager = 4;
  for (int64_t i = 0; i < n; i += kBlock) {
    X last[kBlock];  // filled up
    const X* block = x + i;
    if (n - i < kBlock) {
      std::fill(std::copy(block, x + n, last), last + kBlock, X(0));
      block = last;
    }
    if (!AnyOf256(block)) continue;
    int64_t found[kBlock + kEager], count = 0;
    for (int64_t j = 0; j < kBlock; j += 64) {
      uint64_t bits = 0;
      for (int64_t k = 0; k < 64; k += 16) bits |= Nonzero16(block + j + k) << k;
      const int64_t end = count + CountBits(bits);
      do {  // entries past `end` are written over
        for (int64_t k = 0; k < kEager; ++k, bits &= bits - 1)
          found[count + k] = i + j + __builtin_ctzll(bits | uint64_t{1} << 63);
        count += kEager;
      } while (count < end);
      count = end;
    }
    for (int64_t k = 0; k < count; ++k) f(found[k]);
  }
}

}  // namespace evops
