// Products with one row of entries that have columns and weights.
#pragma once
#include "stored_rows.h"

namespace evops {

// Adds row i, whose x is not 0, to y.
template <class T>
EVOPS_ALWAYS_INLINE inline void ScatterRow(int64_t i, T xi, const StoredWeights<T>& w, T* y, Pattern& m) {
  if (w.shared) {
    const T v = w.one * xi;
    m.ForEachEntry(i, w, [=](T, uint32_t j, int) EVOPS_ALWAYS_INLINE { y[j] += v; });
  } else if (xi == T(1)) {
    m.ForEachEntry(i, w, [=](T weight, uint32_t j, int) EVOPS_ALWAYS_INLINE { y[j] += weight; });
  } else {
    m.ForEachEntry(i, w, [=](T weight, uint32_t j, int) EVOPS_ALWAYS_INLINE { y[j] += weight * xi; });
  }
}

// The sum of row i where silent x, `stride` apart, add nothing, whatever their weights.
template <class T>
T SumOfEvents(const T* x, int64_t stride, const StoredWeights<T>& w, int64_t i, Pattern& m) {
  T sum(0);
  m.ForEachEntry(i, w, [&](T weight, uint32_t j, int) EVOPS_ALWAYS_INLINE {
    const T xj = x[j * stride];
    if (xj != T(0)) sum += weight * xj;
  });
  return sum;
}

// An infinite weight times 0 is not a number, and one that all share does not weigh what cancels.
template <class T>
bool NeedsEvents(const StoredWeights<T>& w, T y) {
  return y != y || (w.shared && !Finite(w.one));
}

// The sum over row i of x at its columns.
template <class T>
EVOPS_ALWAYS_INLINE inline T GatherRow(int64_t i, const T* x, const StoredWeights<T>& w, Pattern& m) {
  T sum[4] = {};  // side by side: additions wait for each other
  if (w.shared) {
    m.ForEachEntry(i, w, [&](T, uint32_t j, int lane) EVOPS_ALWAYS_INLINE { sum[lane] += x[j]; });
  } else {
    m.ForEachEntry(i, w, [&](T weight, uint32_t j, int lane) EVOPS_ALWAYS_INLINE { sum[lane] += weight * x[j]; });
  }
  const T total = (sum[0] + sum[1]) + (sum[2] + sum[3]), y = w.shared ? total * w.one : total;
  return NeedsEvents(w, y) ? SumOfEvents(x, 1, w, i, m) : y;
}

}  // namespace evops
