// The vocabulary of the kernels by hand: uint32 lanes, eight of AVX2 (x86-64-v3) or sixteen of AVX-512
// (x86-64-v4). Each source here is compiled for both levels; EVOPS_SYMBOL names what it exports.
#pragma once
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wuninitialized"  // inside GCC 12's AVX-512 intrinsics
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <cstdint>

#include "format.h"

#define EVOPS_INLINE __attribute__((always_inline)) inline  // in the loops, wherever they are called from
#define EVOPS_INLINED __attribute__((always_inline))        // the same of lambdas
#define EVOPS_OUTLINE __attribute__((noinline))             // loops that want all registers for themselves

namespace evops {
namespace {  // a copy for every file: nothing compiled for one level may be picked by the linker elsewhere

// Words at the halves of two indices. Loads take less time than a gather of words.
EVOPS_INLINE __m128i LoadFour(const uint32_t* words, uint64_t at, uint64_t more) {
  const auto load = [&](uint64_t i) EVOPS_INLINED { return _mm_cvtsi32_si128(static_cast<int32_t>(words[i])); };
  const __m128i first = _mm_unpacklo_epi32(load(at & 0xFFFFFFFF), load(at >> 32));
  return _mm_unpacklo_epi64(first, _mm_unpacklo_epi32(load(more & 0xFFFFFFFF), load(more >> 32)));
}
// Two pairs of words that begin at the words of both halves of `at`. Loads take less time than a gather of pairs.
EVOPS_INLINE __m128 LoadPairs(const void* pairs, uint64_t at) {
  const auto from = static_cast<const uint32_t*>(pairs);
  const __m128i first = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + (at & 0xFFFFFFFF)));
  return _mm_loadh_pi(_mm_castsi128_ps(first), reinterpret_cast<const __m64*>(from + (at >> 32)));
}

#ifdef __AVX512F__

#define EVOPS_SYMBOL(name) evops_##name##_x86_64_v4

using Lanes = __m512i;
using Mask = __mmask16;
constexpr int64_t kLanes = 16;

inline Lanes Set(uint32_t x) { return _mm512_set1_epi32(static_cast<int32_t>(x)); }
inline Lanes Zero() { return _mm512_setzero_si512(); }
inline Lanes Count() { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
inline Lanes Load(const uint32_t* x) { return _mm512_loadu_si512(x); }
inline Lanes LoadBytes(const uint8_t* x) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
}
inline void Store(uint32_t* to, Lanes x) { _mm512_storeu_si512(to, x); }
inline Lanes And(Lanes x, Lanes y) { return _mm512_and_si512(x, y); }
inline Lanes Xor(Lanes x, Lanes y) { return _mm512_xor_si512(x, y); }
inline Lanes Add(Lanes x, Lanes y) { return _mm512_add_epi32(x, y); }
inline Lanes Subtract(Lanes x, Lanes y) { return _mm512_sub_epi32(x, y); }
inline Lanes Multiply(Lanes x, Lanes y) { return _mm512_mullo_epi32(x, y); }
inline Lanes High(Lanes x, Lanes y) {  // of the products; y is the same in all lanes
  const Lanes even = _mm512_srli_epi64(_mm512_mul_epu32(x, y), 32);
  return _mm512_mask_blend_epi32(0xAAAA, even, _mm512_mul_epu32(_mm512_srli_epi64(x, 32), y));
}
inline Lanes HighEach(Lanes x, Lanes y) {  // of the products
  const Lanes odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(y, 32));
  return _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(_mm512_mul_epu32(x, y), 32), odd);
}
// Halves of 16 bits, each for itself.
inline Lanes AddHalves(Lanes x, Lanes y) { return _mm512_add_epi16(x, y); }
inline Lanes SubtractHalves(Lanes x, Lanes y) { return _mm512_sub_epi16(x, y); }
inline Lanes MultiplyHalves(Lanes x, Lanes y) { return _mm512_mullo_epi16(x, y); }
inline Lanes HighHalves(Lanes x, Lanes y) { return _mm512_mulhi_epu16(x, y); }  // of the products
inline Lanes LesserHalves(Lanes x, Lanes y) { return _mm512_min_epu16(x, y); }
template <int k>
Lanes RightHalves(Lanes x) {
  return _mm512_srli_epi16(x, k);
}
inline Lanes RightHalves(Lanes x, __m128i by) { return _mm512_srl_epi16(x, by); }
// The low halves of x and the high ones of y.
inline Lanes JoinHalves(Lanes x, Lanes y) { return _mm512_mask_blend_epi16(0xAAAAAAAA, x, y); }
inline Lanes Lesser(Lanes x, Lanes y) { return _mm512_min_epu32(x, y); }
inline Lanes Greater(Lanes x, Lanes y) { return _mm512_max_epu32(x, y); }
template <int k>
Lanes Left(Lanes x) {
  return _mm512_slli_epi32(x, k);
}
template <int k>
Lanes Right(Lanes x) {
  return _mm512_srli_epi32(x, k);
}
inline Lanes Left(Lanes x, __m128i by) { return _mm512_sll_epi32(x, by); }
inline Lanes Right(Lanes x, __m128i by) { return _mm512_srl_epi32(x, by); }
inline Lanes LeftEach(Lanes x, Lanes by) { return _mm512_sllv_epi32(x, by); }
inline Lanes RightEach(Lanes x, Lanes by) { return _mm512_srlv_epi32(x, by); }
// Bits of numbers up to 2^24 and a bit more.
inline Lanes BitLengths(Lanes x) { return _mm512_sub_epi32(_mm512_set1_epi32(32), _mm512_lzcnt_epi32(x)); }
inline Lanes Gather(const uint32_t* table, Lanes at) {
  alignas(64) uint64_t two[kLanes / 2];
  _mm512_store_si512(two, at);
  const auto eight = [&](int k) EVOPS_INLINED {
    return _mm256_set_m128i(LoadFour(table, two[k + 2], two[k + 3]), LoadFour(table, two[k], two[k + 1]));
  };
  return _mm512_inserti64x4(_mm512_castsi256_si512(eight(0)), eight(4), 1);
}
// The same in the lanes of `which`, else 0; nothing else is read.
inline Lanes GatherWhere(uint32_t which, const uint32_t* table, Lanes at) {
  return _mm512_mask_i32gather_epi32(Zero(), static_cast<Mask>(which), at, table, 4);
}

// x[at] in every lane.
inline Lanes Pick(Lanes x, Lanes at) { return _mm512_permutexvar_epi32(at, x); }
// x[0], x[0] + x[1], …
inline Lanes SumsSoFar(Lanes x) {
  x = Add(x, _mm512_alignr_epi32(x, Zero(), 15));
  x = Add(x, _mm512_alignr_epi32(x, Zero(), 14));
  x = Add(x, _mm512_alignr_epi32(x, Zero(), 12));
  return Add(x, _mm512_alignr_epi32(x, Zero(), 8));
}

inline Mask Equal(Lanes x, Lanes y) { return _mm512_cmpeq_epi32_mask(x, y); }
inline Mask Less(Lanes x, Lanes y) { return _mm512_cmplt_epi32_mask(x, y); }      // signed
inline Mask NotAbove(Lanes x, Lanes y) { return _mm512_cmple_epu32_mask(x, y); }  // unsigned
inline Lanes AddWhere(Mask which, Lanes x, Lanes y) { return _mm512_mask_add_epi32(x, which, x, y); }
inline Mask Both(Mask x, Mask y) { return x & y; }
inline Mask Either(Mask x, Mask y) { return x | y; }
inline Mask Except(Mask x, Mask y) { return x & ~y; }
inline Lanes Select(Mask which, Lanes yes, Lanes no) { return _mm512_mask_blend_epi32(which, no, yes); }
// GCC 12 may spill these 16 bits and read 32 of them back. What an instruction has extended it cannot spill so.
EVOPS_INLINE uint32_t Bits(Mask x) {
  if (__builtin_constant_p(x)) return x;
  uint32_t bits;
  __asm__("kmovw %1, %0" : "=r"(bits) : "k"(x));
  return bits;
}

// Bits of the lanes' bytes.
inline uint64_t BytesEqual(Lanes x, Lanes y) { return _mm512_cmpeq_epi8_mask(x, y); }
inline uint64_t BytesBelow(Lanes x, Lanes y) { return _mm512_cmplt_epu8_mask(x, y); }

// The lanes of x in `mask`, moved to the front.
EVOPS_INLINE Lanes Squeeze(Lanes x, uint32_t mask) {
  if (__builtin_constant_p(mask) && mask == 0xFFFF) return x;
  return _mm512_maskz_compress_epi32(mask, x);
}
// The low byte of every lane.
inline void StoreBytes(uint8_t* to, Lanes x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(x));
}

// Lanes as float32.
inline Lanes Floats(Lanes x) { return _mm512_castps_si512(_mm512_cvtepi32_ps(x)); }
inline Lanes AddFloats(Lanes x, Lanes y) {
  return _mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(y)));
}
inline Lanes MultiplyFloats(Lanes x, Lanes y) {
  return _mm512_castps_si512(_mm512_mul_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(y)));
}

inline Mask EqualFloats(Lanes x, Lanes y) {
  return _mm512_cmp_ps_mask(_mm512_castsi512_ps(x), _mm512_castsi512_ps(y), _CMP_EQ_OQ);
}

struct Pairs {  // two words each, looked up together
  Lanes first, second;
};
inline Pairs LookUp(const void* pairs, Lanes at) {
  alignas(64) uint64_t two[kLanes / 2];
  _mm512_store_si512(two, at);
  const auto four = [&](int k) EVOPS_INLINED {
    const __m256 low = _mm256_set_m128(LoadPairs(pairs, two[k + 2]), LoadPairs(pairs, two[k]));
    const __m256 high = _mm256_set_m128(LoadPairs(pairs, two[k + 6]), LoadPairs(pairs, two[k + 4]));
    return _mm512_castpd_ps(
        _mm512_insertf64x4(_mm512_castps_pd(_mm512_castps256_ps512(low)), _mm256_castps_pd(high), 1));
  };
  const __m512 even = four(0), odd = four(1);
  return {_mm512_castps_si512(_mm512_shuffle_ps(even, odd, _MM_SHUFFLE(2, 0, 2, 0))),
          _mm512_castps_si512(_mm512_shuffle_ps(even, odd, _MM_SHUFFLE(3, 1, 3, 1)))};
}

// A table of 2**bits words in registers.
template <int bits>
struct Held {
  explicit Held(const uint32_t* table) : low(table), high(table + (1 << (bits - 1))) {}
  Lanes At(Lanes at) const {
    return _mm512_mask_mov_epi32(low.At(at), _mm512_test_epi32_mask(at, Set(1 << (bits - 1))), high.At(at));
  }
  Held<bits - 1> low, high;
};
template <>
struct Held<5> {
  explicit Held(const uint32_t* table) : low(Load(table)), high(Load(table + kLanes)) {}
  Lanes At(Lanes at) const { return _mm512_permutex2var_epi32(low, at, high); }
  Lanes low, high;
};
constexpr int kMostHeld = 7;  // bits; with one more, reading memory is as fast

#else

#define EVOPS_SYMBOL(name) evops_##name##_x86_64_v3

using Lanes = __m256i;
using Mask = __m256i;
constexpr int64_t kLanes = 8;

inline Lanes Set(uint32_t x) { return _mm256_set1_epi32(static_cast<int32_t>(x)); }
inline Lanes Zero() { return _mm256_setzero_si256(); }
inline Lanes Count() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
inline Lanes Load(const uint32_t* x) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)); }
inline Lanes LoadBytes(const uint8_t* x) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x)));
}
inline void Store(uint32_t* to, Lanes x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x); }
inline Lanes And(Lanes x, Lanes y) { return _mm256_and_si256(x, y); }
inline Lanes Xor(Lanes x, Lanes y) { return _mm256_xor_si256(x, y); }
inline Lanes Add(Lanes x, Lanes y) { return _mm256_add_epi32(x, y); }
inline Lanes Subtract(Lanes x, Lanes y) { return _mm256_sub_epi32(x, y); }
inline Lanes Multiply(Lanes x, Lanes y) { return _mm256_mullo_epi32(x, y); }
inline Lanes High(Lanes x, Lanes y) {  // of the products; y is the same in all lanes
  const Lanes even = _mm256_srli_epi64(_mm256_mul_epu32(x, y), 32);
  return _mm256_blend_epi32(even, _mm256_mul_epu32(_mm256_srli_epi64(x, 32), y), 0xAA);
}
inline Lanes HighEach(Lanes x, Lanes y) {  // of the products
  const Lanes odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(y, 32));
  return _mm256_blend_epi32(_mm256_srli_epi64(_mm256_mul_epu32(x, y), 32), odd, 0xAA);
}
inline Lanes AddHalves(Lanes x, Lanes y) { return _mm256_add_epi16(x, y); }
inline Lanes SubtractHalves(Lanes x, Lanes y) { return _mm256_sub_epi16(x, y); }
inline Lanes MultiplyHalves(Lanes x, Lanes y) { return _mm256_mullo_epi16(x, y); }
inline Lanes HighHalves(Lanes x, Lanes y) { return _mm256_mulhi_epu16(x, y); }
inline Lanes LesserHalves(Lanes x, Lanes y) { return _mm256_min_epu16(x, y); }
template <int k>
Lanes RightHalves(Lanes x) {
  return _mm256_srli_epi16(x, k);
}
inline Lanes RightHalves(Lanes x, __m128i by) { return _mm256_srl_epi16(x, by); }
inline Lanes JoinHalves(Lanes x, Lanes y) { return _mm256_blend_epi16(x, y, 0xAA); }
inline Lanes Lesser(Lanes x, Lanes y) { return _mm256_min_epu32(x, y); }
inline Lanes Greater(Lanes x, Lanes y) { return _mm256_max_epu32(x, y); }
template <int k>
Lanes Left(Lanes x) {
  return _mm256_slli_epi32(x, k);
}
template <int k>
Lanes Right(Lanes x) {
  return _mm256_srli_epi32(x, k);
}
inline Lanes Left(Lanes x, __m128i by) { return _mm256_sll_epi32(x, by); }
inline Lanes Right(Lanes x, __m128i by) { return _mm256_srl_epi32(x, by); }
inline Lanes LeftEach(Lanes x, Lanes by) { return _mm256_sllv_epi32(x, by); }
inline Lanes RightEach(Lanes x, Lanes by) { return _mm256_srlv_epi32(x, by); }
inline Lanes BitLengths(Lanes x) {  // by the exponents of floats, which rounds no number of 24 bits
  const Lanes exponent = Right<23>(_mm256_castps_si256(_mm256_cvtepi32_ps(x)));
  return _mm256_andnot_si256(_mm256_cmpeq_epi32(x, Zero()), Subtract(exponent, Set(126)));
}
inline Lanes Gather(const uint32_t* table, Lanes at) {
  alignas(32) uint64_t two[kLanes / 2];
  _mm256_store_si256(reinterpret_cast<Lanes*>(two), at);
  return _mm256_set_m128i(LoadFour(table, two[2], two[3]), LoadFour(table, two[0], two[1]));
}
// The same in the lanes of `which`, else 0; nothing else is read.
inline Lanes GatherWhere(uint32_t which, const uint32_t* table, Lanes at) {
  const Lanes bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const Lanes mask = _mm256_cmpeq_epi32(And(Set(which), bits), bits);
  return _mm256_mask_i32gather_epi32(Zero(), reinterpret_cast<const int*>(table), at, mask, 4);
}

// x[at] in every lane.
inline Lanes Pick(Lanes x, Lanes at) { return _mm256_permutevar8x32_epi32(x, at); }
// x[0], x[0] + x[1], …
inline Lanes SumsSoFar(Lanes x) {
  x = Add(x, _mm256_slli_si256(x, 4));
  x = Add(x, _mm256_slli_si256(x, 8));
  return Add(x, _mm256_blend_epi32(Zero(), Pick(x, Set(3)), 0xF0));
}

inline Mask Equal(Lanes x, Lanes y) { return _mm256_cmpeq_epi32(x, y); }
inline Mask Less(Lanes x, Lanes y) { return _mm256_cmpgt_epi32(y, x); }    // signed
inline Mask NotAbove(Lanes x, Lanes y) { return Equal(Lesser(x, y), x); }  // unsigned
inline Lanes AddWhere(Mask which, Lanes x, Lanes y) { return Add(x, And(which, y)); }
inline Mask Both(Mask x, Mask y) { return And(x, y); }
inline Mask Either(Mask x, Mask y) { return _mm256_or_si256(x, y); }
inline Mask Except(Mask x, Mask y) { return _mm256_andnot_si256(y, x); }
inline Lanes Select(Mask which, Lanes yes, Lanes no) { return _mm256_blendv_epi8(no, yes, which); }
inline uint32_t Bits(Mask x) { return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(x))); }

// Bits of the lanes' bytes.
inline uint64_t BytesEqual(Lanes x, Lanes y) {
  return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, y)));
}
inline uint64_t BytesBelow(Lanes x, Lanes y) { return static_cast<uint32_t>(~BytesEqual(_mm256_max_epu8(x, y), x)); }

// The lanes in `mask`, moved to the front, as lanes of a permutation.
struct KeepTable {
  alignas(32) uint32_t lanes[256][kLanes] = {};
  constexpr KeepTable() {
    for (uint32_t mask = 0; mask < 256; ++mask)
      for (uint32_t lane = 0, kept = 0; lane < kLanes; ++lane)
        if (mask >> lane & 1) lanes[mask][kept++] = lane;
  }
};
constexpr KeepTable kKeep;

// The lanes of x in `mask`, moved to the front.
EVOPS_INLINE Lanes Squeeze(Lanes x, uint32_t mask) {
  if (__builtin_constant_p(mask) && mask == 0xFF) return x;
  return _mm256_permutevar8x32_epi32(x, Load(kKeep.lanes[mask]));
}
// The low byte of every lane.
inline void StoreBytes(uint8_t* to, Lanes x) {
  const __m256i low = _mm256_shuffle_epi8(x, _mm256_set1_epi64x(0x0C080400));
  const __m128i bytes = _mm_unpacklo_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), bytes);
}

// Lanes as float32.
inline Lanes Floats(Lanes x) { return _mm256_castps_si256(_mm256_cvtepi32_ps(x)); }
inline Lanes AddFloats(Lanes x, Lanes y) {
  return _mm256_castps_si256(_mm256_add_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(y)));
}
inline Lanes MultiplyFloats(Lanes x, Lanes y) {
  return _mm256_castps_si256(_mm256_mul_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(y)));
}

inline Mask EqualFloats(Lanes x, Lanes y) {
  return _mm256_castps_si256(_mm256_cmp_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(y), _CMP_EQ_OQ));
}

struct Pairs {  // two words each, looked up together
  Lanes first, second;
};
inline Pairs LookUp(const void* pairs, Lanes at) {
  alignas(32) uint64_t two[kLanes / 2];
  _mm256_store_si256(reinterpret_cast<Lanes*>(two), at);
  const __m256 even = _mm256_set_m128(LoadPairs(pairs, two[2]), LoadPairs(pairs, two[0]));
  const __m256 odd = _mm256_set_m128(LoadPairs(pairs, two[3]), LoadPairs(pairs, two[1]));
  return {_mm256_castps_si256(_mm256_shuffle_ps(even, odd, _MM_SHUFFLE(2, 0, 2, 0))),
          _mm256_castps_si256(_mm256_shuffle_ps(even, odd, _MM_SHUFFLE(3, 1, 3, 1)))};
}

constexpr int kMostHeld = 0;  // too few registers for tables
template <int bits>
struct Held;

#endif

constexpr uint32_t kAllLanes = (uint32_t{1} << kLanes) - 1;

// The sampler's functions (evops.connectivity.sampler).
inline Lanes Mix(Lanes x) {
  x = Multiply(Xor(x, Right<16>(x)), Set(kMultiply1));
  x = Multiply(Xor(x, Right<15>(x)), Set(kMultiply2));
  return Xor(x, Right<15>(x));
}

struct Key {
  Lanes k0, k1;
};

inline Key Feistel(Lanes a, Lanes b, Lanes t0, Lanes t1) {
  a = Xor(a, Mix(Add(Add(b, t0), Set(kPi0))));
  b = Xor(b, Mix(Add(Add(a, t1), Set(kPi1))));
  a = Xor(a, Mix(Add(Add(b, t0), Set(kPi2))));
  b = Xor(b, Mix(Add(Add(a, t1), Set(kPi3))));
  return {a, b};
}

// The word at the counter's value `x` = k0 + i kWeyl.
inline Lanes Word(Lanes x, Lanes k1) {
  x = Multiply(Xor(x, Right<16>(x)), Set(kMultiply1));
  x = Xor(x, k1);
  x = Multiply(Xor(x, Right<15>(x)), Set(kMultiply2));
  x = Multiply(Xor(x, Right<15>(x)), Set(kMultiply3));
  return Xor(x, Right<16>(x));
}

}  // namespace
}  // namespace evops
