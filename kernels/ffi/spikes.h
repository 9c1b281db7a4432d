// Which neurons fire.
#pragma once
#include <emmintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace evops {

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
  for (size_t k = 0; k < 16 * sizeof(X); ++k)
    any = _mm_or_si128(any, _mm_loadu_si128(reinterpret_cast<const __m128i*>(x) + k));
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

// Appends a list of entries that are not 0: its length, its room and which they are, in order, as
// evops_list_spikes writes it behind n flags. Whether it is one of these flags that names them all.
inline bool TakeList(const uint8_t* x, int64_t n, int64_t words, std::vector<int64_t>* active) {
  const uint8_t* list = x + n;
  const auto word = [list](int64_t k) {
    uint32_t value;
    std::memcpy(&value, list + 4 * k, sizeof value);  // rows of a batch begin anywhere
    return static_cast<int64_t>(value);
  };
  const int64_t count = word(0);
  if (count >= words) return false;
  const size_t before = active->size();
  for (int64_t k = 1, next = 0; k <= count; ++k) {
    const int64_t i = word(k);
    if (i < next || i >= n || x[i] == 0) {
      active->resize(before);
      return false;
    }
    active->push_back(i);
    next = i + 1;
  }
  return true;
}

// Appends the entries of x that are not 0, in order: from the list of `words` numbers behind flags, if there is one, or
// from the entries themselves.
template <class X>
void ListNonzero(const X* x, int64_t n, int64_t words, std::vector<int64_t>* active) {
  if constexpr (sizeof(X) == 1)
    if (words > 0 && TakeList(x, n, words, active)) return;
  ForEachNonzero(x, n, [active](int64_t i) { active->push_back(i); });
}

}  // namespace evops
