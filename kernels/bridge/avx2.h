// Shorthands for the kernels by hand in AVX2: eight uint32 lanes.
#pragma once
#include <immintrin.h>

#include <cstdint>

#pragma GCC diagnostic ignored "-Wunused-function"

namespace evops {
namespace {  // a copy for every file: nothing compiled for AVX2 may be picked by the linker elsewhere

constexpr int64_t kLanes = 8;

// The lanes in `mask`, moved to the front: as lanes of a permutation and as bytes.
struct KeepTable {
  alignas(32) uint32_t lanes[256][kLanes] = {};
  uint64_t bytes[256] = {};
  constexpr KeepTable() {
    for (uint32_t mask = 0; mask < 256; ++mask)
      for (uint32_t lane = 0, kept = 0; lane < kLanes; ++lane)
        if (mask >> lane & 1) {
          bytes[mask] |= uint64_t{lane} << (8 * kept);
          lanes[mask][kept++] = lane;
        }
  }
};
constexpr KeepTable kKeep;

inline __m256i Set(uint32_t x) { return _mm256_set1_epi32(static_cast<int32_t>(x)); }
inline __m256i Load(const uint32_t* x) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)); }
inline void Store(uint32_t* to, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x); }
inline __m256i Xor(__m256i x, __m256i y) { return _mm256_xor_si256(x, y); }
inline __m256i Add(__m256i x, __m256i y) { return _mm256_add_epi32(x, y); }
template <int k>
__m256i Left(__m256i x) { return _mm256_slli_epi32(x, k); }
template <int k>
__m256i Right(__m256i x) { return _mm256_srli_epi32(x, k); }

inline __m256i Mix(__m256i x) {
  x = _mm256_mullo_epi32(Xor(x, Right<16>(x)), Set(0x21F0AAAD));
  x = _mm256_mullo_epi32(Xor(x, Right<15>(x)), Set(0x735A2D97));
  return Xor(x, Right<15>(x));
}

// The sampler's functions (evops.connectivity.sampler).
struct Key {
  __m256i k0, k1;
};

inline Key Feistel(__m256i a, __m256i b, __m256i t0, __m256i t1) {
  a = Xor(a, Mix(Add(Add(b, t0), Set(0x243F6A88))));
  b = Xor(b, Mix(Add(Add(a, t1), Set(0x05A308D3))));
  a = Xor(a, Mix(Add(Add(b, t0), Set(0x13198A2E))));
  b = Xor(b, Mix(Add(Add(a, t1), Set(0x03707344))));
  return {a, b};
}

constexpr uint32_t kWeyl = 0x61C88647, kTie = 0x243F6A88, kWeight = 0x13198A2E, kLine = 0x7FFFFFFF;

// The word at the counter's value `x` = k0 + i kWeyl.
inline __m256i Word(__m256i x, __m256i k1) {
  x = _mm256_mullo_epi32(Xor(x, Right<16>(x)), Set(0x21F0AAAD));
  x = Xor(x, k1);
  x = _mm256_mullo_epi32(Xor(x, Right<15>(x)), Set(0x735A2D97));
  x = _mm256_mullo_epi32(Xor(x, Right<15>(x)), Set(0x31848BAB));
  return Xor(x, Right<16>(x));
}

}  // namespace
}  // namespace evops
