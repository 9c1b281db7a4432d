// Rows of a stored matrix as handlers read them. Nothing in indptr and indices is taken on trust: every entry that is
// read is compared with its range before it is used.
#pragma once
#include <string>

#include "stored_tiles.h"
#include "stored_weights.h"

namespace evops {

// Rows of column numbers, and the first entry that is out of range.
class Pattern : public StoredRows {
 public:
  Pattern(const ffi::AnyBuffer& indices, const ffi::AnyBuffer& indptr, int64_t columns)
      // as unsigned numbers, so that one comparison finds negative ones too
      : StoredRows{static_cast<const uint32_t*>(indices.untyped_data()),
                   static_cast<const uint32_t*>(indptr.untyped_data()), indices.dimensions()[0],
                   static_cast<uint32_t>(columns)},
        rows(indptr.dimensions()[0] - 1) {}
  Pattern(const uint32_t* indices, const uint32_t* indptr, int64_t size, int64_t columns, int64_t rows)
      : StoredRows{indices, indptr, size, static_cast<uint32_t>(columns)}, rows(rows) {}

  const int64_t rows;

  // Calls f(weight, column, lane) for the entries of row i; lane is a constant, 0 to 3.
  template <class T, class F>
  EVOPS_ALWAYS_INLINE inline void ForEachEntry(int64_t i, const StoredWeights<T>& w, F f) {
    int64_t k = indptr[i];
    const int64_t end = indptr[i + 1];
    if (k > end || end > size) {
      bad_row = i;
      return;
    }
    if (w.shared) {
      Entries(k, end, w, [&](int64_t) EVOPS_ALWAYS_INLINE { return w.one; }, f);
    } else if (!w.convert) {
      const T* each = static_cast<const T*>(w.data) + k;
      Entries(k, end, w, [=](int64_t q) EVOPS_ALWAYS_INLINE { return each[q]; }, f);
    } else {
      T piece[kStoredPiece];
      for (int64_t stop; k < end && bad_entry < 0; k = stop) {
        stop = std::min(k + kStoredPiece, end);
        w.convert(w.data, k, stop - k, piece);
        Entries(k, stop, w, [&](int64_t q) EVOPS_ALWAYS_INLINE { return piece[q]; }, f);
      }
    }
  }

  // Ask for what will be read soon: a row's place in indptr, its first entries. (GCC drops calls of what only
  // prefetches.)
  EVOPS_ALWAYS_INLINE inline void PrefetchPlace(int64_t i) const { __builtin_prefetch(indptr + i); }
  template <class T>
  EVOPS_ALWAYS_INLINE inline void PrefetchEntries(int64_t i, const StoredWeights<T>& w) const {
    const int64_t end = std::min<int64_t>(indptr[i + 1], size);
    int64_t k = indptr[i];
    for (int line = 0; k < end && line < 4; k += kLine, ++line) Fetch(k, w);
  }

  double EntriesPerRow() const { return static_cast<double>(size) / std::max<int64_t>(rows, 1); }
  // Takes over what a copy found wrong.
  void Blame(const Pattern& copy) {
    if (bad_row < 0) bad_row = copy.bad_row;
    if (bad_entry < 0) bad_entry = copy.bad_entry;
  }
  ffi::Error Result(const char* op) const {
    if (bad_row >= 0)
      return Invalid(op, "indptr of row " + std::to_string(bad_row) + " is " + Signed(indptr[bad_row]) + " to " +
                             Signed(indptr[bad_row + 1]) + ", expected 0 to " + std::to_string(size) +
                             ", not decreasing");
    if (bad_entry >= 0)
      return Invalid(op, "indices[" + std::to_string(bad_entry) + "] is " + Signed(indices[bad_entry]) +
                             ", expected 0 to " + std::to_string(static_cast<int64_t>(columns) - 1));
    return ffi::Error::Success();
  }

 private:
  static constexpr int64_t kLine = 16, kFar = 128;  // entries

  template <class T, class Weight, class F>
  EVOPS_ALWAYS_INLINE inline void Entries(const int64_t begin, const int64_t end, const StoredWeights<T>& w,
                                          Weight weight, F f) {
    const uint32_t n = columns;
    int64_t k = begin;
    for (; end - k >= 4; k += 4) {
      const uint32_t a = indices[k], b = indices[k + 1], c = indices[k + 2], d = indices[k + 3];
      if ((a >= n) | (b >= n) | (c >= n) | (d >= n)) break;  // the loop below finds which
      // once per line of memory; the processor itself stops at the end of a page
      if (k % kLine < 4 && end - k > kFar) Fetch(k + kFar, w);
      f(weight(k - begin), a, 0);
      f(weight(k + 1 - begin), b, 1);
      f(weight(k + 2 - begin), c, 2);
      f(weight(k + 3 - begin), d, 3);
    }
    for (; k < end; ++k) {
      const uint32_t a = indices[k];
      if (a >= n) {
        bad_entry = k;
        return;
      }
      f(weight(k - begin), a, 0);
    }
  }

  template <class T>
  EVOPS_ALWAYS_INLINE inline void Fetch(int64_t k, const StoredWeights<T>& w) const {
    __builtin_prefetch(indices + k);
    if (!w.shared) __builtin_prefetch(static_cast<const char*>(w.data) + k * w.bytes);
  }

  static std::string Signed(uint32_t x) { return std::to_string(static_cast<int32_t>(x)); }
};

}  // namespace evops
