// Weights of a stored matrix in any type that CSR takes, read as the type of the sums.
#pragma once
#include <immintrin.h>

#include <type_traits>

#include "stored.h"

namespace evops {

struct Half {
  uint16_t bits;
  explicit operator float() const {
    // without branches, so that the compiler takes several at once
    const uint32_t magnitude = bits & 0x7FFFu;
    // the exponent's bias is 15 here and 127 there; infinities and NaN have the largest
    const uint32_t rebased = (magnitude << 13) + ((112u + 112u * (magnitude >= 0x7C00u)) << 23);
    const float denormal = static_cast<float>(static_cast<int32_t>(magnitude & 0x3FFu)) * 0x1p-24f;
    uint32_t word;
    std::memcpy(&word, &denormal, sizeof word);
    const uint32_t is_denormal = -static_cast<uint32_t>(magnitude < 0x400u);
    word = (word & is_denormal) | (rebased & ~is_denormal) | (bits & 0x8000u) << 16;
    float value;
    std::memcpy(&value, &word, sizeof value);
    return value;
  }
  explicit operator double() const { return static_cast<float>(*this); }
};

struct BFloat16 {
  uint16_t bits;
  explicit operator float() const {
    const uint32_t word = uint32_t{bits} << 16;
    float value;
    std::memcpy(&value, &word, sizeof value);
    return value;
  }
  explicit operator double() const { return static_cast<float>(*this); }
};

template <class From, class T>
void Convert(const void* data, int64_t k, int64_t count, T* to) {
  const From* from = static_cast<const From*>(data) + k;
  for (int64_t q = 0; q < count; ++q) to[q] = static_cast<T>(from[q]);
}

// What processors since 2012 do in one instruction.
__attribute__((target("f16c"))) inline void ConvertHalves(const void* data, int64_t k, int64_t count, float* to) {
  const Half* from = static_cast<const Half*>(data) + k;
  int64_t q = 0;
  for (; count - q >= 8; q += 8)
    _mm256_storeu_ps(to + q, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + q))));
  for (; q < count; ++q) to[q] = static_cast<float>(from[q]);
}

template <class From, class T>
auto ConverterOf() {
  void (*found)(const void*, int64_t, int64_t, T*) = std::is_same_v<From, T> ? nullptr : Convert<From, T>;
  if constexpr (std::is_same_v<From, Half> && std::is_same_v<T, float>)
    if (__builtin_cpu_supports("f16c")) found = ConvertHalves;
  return found;
}

template <class From, class T>
bool SetWeights(const ffi::AnyBuffer& data, StoredWeights<T>* w) {
  w->data = data.untyped_data();
  w->bytes = sizeof(From);
  w->shared = data.element_count() == 1;
  Convert<From>(w->data, 0, w->shared, &w->one);
  w->convert = ConverterOf<From, T>();
  return true;
}

// The weights, or false where `data` cannot be read as T without loss: sums of integers have weights of integers, of at
// most 32 bits, and no type is narrowed.
template <class T>
bool WeightsOf(const ffi::AnyBuffer& data, StoredWeights<T>* w) {
  switch (data.element_type()) {
    case ffi::DataType::S8: return SetWeights<int8_t>(data, w);
    case ffi::DataType::S16: return SetWeights<int16_t>(data, w);
    case ffi::DataType::U8: return SetWeights<uint8_t>(data, w);
    case ffi::DataType::U16: return SetWeights<uint16_t>(data, w);
    case ffi::DataType::U32: return SetWeights<uint32_t>(data, w);
    case ffi::DataType::S32:
      return SetWeights<std::conditional_t<std::is_same_v<T, uint32_t>, uint32_t, int32_t>>(data, w);
    default: break;
  }
  if constexpr (!std::is_same_v<T, uint32_t>) {
    switch (data.element_type()) {
      case ffi::DataType::F16: return SetWeights<Half>(data, w);
      case ffi::DataType::BF16: return SetWeights<BFloat16>(data, w);
      case ffi::DataType::F32: return SetWeights<float>(data, w);
      default: break;
    }
  }
  if constexpr (std::is_same_v<T, double>)
    if (data.element_type() == ffi::DataType::F64) return SetWeights<double>(data, w);
  return false;
}

}  // namespace evops
