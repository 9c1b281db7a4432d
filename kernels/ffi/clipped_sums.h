// Sums of states that are kept within bounds; integers wrap around before.
#pragma once
#include <cstdint>

namespace evops {
namespace {

template <class T>
T WrappedSum(T a, T b) {
  return a + b;
}
template <class T>
T WrappedProduct(T a, T b) {
  return a * b;
}
template <>
inline int32_t WrappedSum(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}
template <>
inline int32_t WrappedProduct(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) * static_cast<uint32_t>(b));
}

// s[k] = min(max(s[k] + of(k), least), most) for k from begin to end.
template <class T, class Of>
void AddClipped(T* s, int64_t begin, int64_t end, T least, T most, Of of) {
  for (int64_t k = begin; k < end; ++k) {
    const T sum = WrappedSum(s[k], of(k)), above = sum < least ? least : sum;
    s[k] = above > most ? most : above;
  }
}

}  // namespace
}  // namespace evops
