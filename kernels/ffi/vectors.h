// Vectors as wide as the registers of the level that a file is compiled for: GCC is slow with larger ones.
#pragma once
#include <cstdint>

namespace evops {
namespace {  // a copy for every level

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// Memory needs no alignment.
template <class T, int kBytes>
struct VectorOf {
  typedef T Type __attribute__((vector_size(kBytes), aligned(alignof(T)), may_alias));
};

}  // namespace
}  // namespace evops
