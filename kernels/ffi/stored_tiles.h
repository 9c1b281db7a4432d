// Products of a stored matrix with a tile of a batch: 4, 8 or 16 members, whose values of one neuron lie side by side,
// so that a row is read once for all of them.
//
// Compiled for every level: nothing here may be picked by the linker for another one. A member's additions are those of
// a member alone (stored.cc), in the same order, so that results do not depend on the batch.
#pragma once
#include <emmintrin.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels.h"
#include "vectors.h"

#pragma GCC diagnostic ignored "-Wpsabi"  // no vector is passed to a function that is not inlined

#define EVOPS_ALWAYS_INLINE __attribute__((always_inline))

namespace evops {
namespace {

// The values of a tile's members.
template <class T, int kWidth>
struct Members {
  static constexpr int kBytes = kWidth * sizeof(T), kEach = kBytes < kVectorBytes ? kBytes : kVectorBytes;
  static constexpr int kVectors = kBytes / kEach;
  using Vector = typename VectorOf<T, kEach>::Type;
  using Word = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  using Bits = typename VectorOf<Word, kEach>::Type;

  EVOPS_ALWAYS_INLINE static Vector& At(T* values, int a) { return reinterpret_cast<Vector*>(values)[a]; }
};

// Calls f(k, count, w, step) for pieces of row i: the entries from k on, the q-th with the weight w[q * step]. Stops
// where it returns false.
template <class T, class F>
EVOPS_ALWAYS_INLINE inline void ForEachPiece(const StoredWeights<T>& weights, StoredRows& rows, int64_t i, F f) {
  int64_t k = rows.indptr[i];
  const int64_t end = rows.indptr[i + 1];
  if (k > end || end > rows.size) {
    rows.bad_row = i;
    return;
  }
  if (weights.shared) {
    const T unit(1);
    f(k, end - k, &unit, 0);
  } else if (!weights.convert) {
    f(k, end - k, static_cast<const T*>(weights.data) + k, 1);
  } else {
    T piece[kStoredPiece];
    for (int64_t count; k < end; k += count) {
      count = end - k < kStoredPiece ? end - k : kStoredPiece;
      weights.convert(weights.data, k, count, piece);
      if (!f(k, count, piece, 1)) return;
    }
  }
}

// The first of `count` columns that is out of range; `count` if none is.
EVOPS_ALWAYS_INLINE inline int64_t FirstBeyond(const uint32_t* columns, int64_t count, uint32_t n) {
  bool fine = true;
  for (int64_t q = 0; q < count; ++q) fine &= columns[q] < n;
  if (fine) return count;
  int64_t q = 0;
  while (columns[q] < n) ++q;
  return q;
}

template <class T, int kWidth>
void ScatterTile(const StoredTile<T>& t, StoredRows& rows) {
  using M = Members<T, kWidth>;
  using Vector = typename M::Vector;
  using Bits = typename M::Bits;
  using Word = typename M::Word;
  T* const y = t.along_columns;
  const uint32_t n = rows.columns, *const indices = rows.indices;
  for (int64_t i = t.begin; i < t.end; ++i) {
    T* const values = t.along_rows + (i - t.begin) * kWidth;
    // by lane: with -O1, GCC 12 fails at comparisons of these vectors
    alignas(M::kBytes) Word lanes[kWidth];
    for (int m = 0; m < kWidth; ++m) lanes[m] = -static_cast<Word>(values[m] != T(0));
    Vector x[M::kVectors];
    Bits fired[M::kVectors], any{};
    for (int a = 0; a < M::kVectors; ++a) {
      x[a] = M::At(values, a);
      if (t.weights.shared) x[a] *= t.weights.one;
      fired[a] = reinterpret_cast<const Bits*>(lanes)[a];
      any |= fired[a];
    }
    uint64_t words[M::kEach / 8], hit = 0;
    std::memcpy(words, &any, M::kEach);
    for (const uint64_t word : words) hit |= word;
    if (!hit) continue;
    ForEachPiece(t.weights, rows, i, [&](int64_t k, int64_t count, const T* w, int64_t step) EVOPS_ALWAYS_INLINE {
      for (int64_t q = 0; q < count; ++q) {
        const uint32_t j = indices[k + q];
        if (j >= n) {
          rows.bad_entry = k + q;
          return false;
        }
        T* const sums = y + int64_t{j} * kWidth;
        // members that are silent get 0, whatever the weight
        for (int a = 0; a < M::kVectors; ++a) M::At(sums, a) += (Vector)((Bits)(w[q * step] * x[a]) & fired[a]);
      }
      return true;
    });
  }
}

template <class T, int kWidth>
void GatherTile(const StoredTile<T>& t, StoredRows& rows) {
  using M = Members<T, kWidth>;
  using Vector = typename M::Vector;
  T* const x = t.along_columns;
  const uint32_t n = rows.columns, *const indices = rows.indices;
  for (int64_t i = t.begin; i < t.end; ++i) {
    Vector sum[4][M::kVectors] = {};
    ForEachPiece(t.weights, rows, i, [&](int64_t k, int64_t count, const T* w, int64_t step) EVOPS_ALWAYS_INLINE {
      const auto add = [&](int lane, int64_t q) EVOPS_ALWAYS_INLINE {
        T* const values = x + int64_t{indices[k + q]} * kWidth;
        for (int a = 0; a < M::kVectors; ++a) sum[lane][a] += w[q * step] * M::At(values, a);
      };
      int64_t q = 0;
      for (; count - q >= 4 && FirstBeyond(indices + k + q, 4, n) == 4; q += 4)
        for (int lane = 0; lane < 4; ++lane) add(lane, q + lane);
      for (; q < count; ++q) {
        if (indices[k + q] >= n) {
          rows.bad_entry = k + q;
          return false;
        }
        add(0, q);
      }
      return true;
    });
    T* const y = t.along_rows + (i - t.begin) * kWidth;
    for (int a = 0; a < M::kVectors; ++a) {
      const Vector total = (sum[0][a] + sum[1][a]) + (sum[2][a] + sum[3][a]);
      M::At(y, a) = t.weights.shared ? total * t.weights.one : total;
    }
  }
}

// The lanes of a vector, added up to 16 bytes.
template <class T, class Vector>
EVOPS_ALWAYS_INLINE inline auto Folded(const Vector& lanes) {
  if constexpr (sizeof(Vector) == 16) {
    return lanes;
  } else {
    typename VectorOf<T, sizeof(Vector) / 2>::Type half[2];
    std::memcpy(half, &lanes, sizeof lanes);
    return Folded<T>(half[0] + half[1]);
  }
}

// What four vectors of 16 bytes add up to, each.
template <class Vector>
EVOPS_ALWAYS_INLINE inline void AddLanes(const Vector* of, float* to) {
  __m128 a = (__m128)of[0], b = (__m128)of[1], c = (__m128)of[2], d = (__m128)of[3];
  _MM_TRANSPOSE4_PS(a, b, c, d);
  _mm_storeu_ps(to, _mm_add_ps(_mm_add_ps(a, b), _mm_add_ps(c, d)));
}
template <class Vector, class T>
EVOPS_ALWAYS_INLINE inline void AddLanes(const Vector* of, T* to) {
  for (int e = 0; e < 4; ++e) {
    to[e] = of[e][0] + of[e][1];
    for (unsigned lane = 2; lane < 16 / sizeof(T); ++lane) to[e] += of[e][lane];
  }
}

template <class T, int kWidth>
void OuterTile(const StoredTile<T>& t, StoredRows& rows) {
  using M = Members<T, kWidth>;
  using Vector = typename M::Vector;
  const uint32_t n = rows.columns, *const indices = rows.indices;
  T *const out = t.entries, *const columns = t.along_columns;
  const bool more = t.more;
  for (int64_t i = t.begin; i < t.end; ++i) {
    Vector row[M::kVectors];
    for (int a = 0; a < M::kVectors; ++a) row[a] = M::At(t.along_rows + (i - t.begin) * kWidth, a);
    const auto product = [&](int64_t k) EVOPS_ALWAYS_INLINE {
      T* const column = columns + int64_t{indices[k]} * kWidth;
      Vector terms[M::kVectors];
      for (int a = 0; a < M::kVectors; ++a) terms[a] = row[a] * M::At(column, a);
      for (int n = M::kVectors / 2; n > 0; n /= 2)  // in the order of Folded, so that levels agree
        for (int a = 0; a < n; ++a) terms[a] += terms[a + n];
      return Folded<T>(terms[0]);
    };
    int64_t k = rows.indptr[i];
    const int64_t end = rows.indptr[i + 1];
    if (k > end || end > rows.size) {
      rows.bad_row = i;
      continue;
    }
    for (int64_t count; k < end; k += count) {
      count = end - k < 4 ? end - k : 4;
      const int64_t fine = FirstBeyond(indices + k, count, n);
      if (fine < count) {
        rows.bad_entry = k + fine;
        break;
      }
      using Lanes = decltype(product(k));
      Lanes of[4] = {};
      if (count == 4)
        for (int e = 0; e < 4; ++e) of[e] = product(k + e);
      else
        for (int64_t e = 0; e < count; ++e) of[e] = product(k + e);
      T sums[4];
      AddLanes(of, sums);
      if (count == 4 && !more) {
        std::memcpy(out + k, sums, sizeof sums);
        continue;
      }
      for (int64_t e = 0; e < count; ++e) out[k + e] = more ? out[k + e] + sums[e] : sums[e];
    }
  }
}

template <class T, int kWidth>
void MultiplyTileOf(const StoredTile<T>& t, StoredRows& rows) {
  if (t.product == StoredProduct::kScatter) return ScatterTile<T, kWidth>(t, rows);
  if (t.product == StoredProduct::kGather) return GatherTile<T, kWidth>(t, rows);
  OuterTile<T, kWidth>(t, rows);
}

template <class T>
void MultiplyTile(const StoredTile<T>& t, StoredRows& rows) {
  if (t.width == 4) return MultiplyTileOf<T, 4>(t, rows);
  if (t.width == 8) return MultiplyTileOf<T, 8>(t, rows);
  if constexpr (sizeof(T) == 4) MultiplyTileOf<T, 16>(t, rows);  // with more, a line of memory is full
}

}  // namespace
}  // namespace evops
