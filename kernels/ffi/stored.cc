// Products with a stored matrix in compressed rows: evops_stored_scatter, y = x @ M, where rows whose x is
// 0 cost nothing, and evops_stored_gather, y = x @ M.T, where x runs along the columns.
//
// A row's columns need not be sorted and may repeat. Nothing in indptr and indices is taken on trust: every
// entry that is read is compared with its range before it is used.
#include <type_traits>

#include "handler.h"
#include "parallel.h"
#include "spikes.h"
#include "stored.h"

// What only prefetches has no effect in the eyes of GCC, which drops calls of it.
#define EVOPS_INLINE __attribute__((always_inline)) inline

namespace evops {
namespace {

// Rows of column numbers, and the first entry that is out of range.
class Pattern {
 public:
  Pattern(const ffi::AnyBuffer& indices, const ffi::AnyBuffer& indptr, int64_t columns)
      : rows(indptr.dimensions()[0] - 1),
        columns_(static_cast<uint32_t>(columns)),
        size_(indices.dimensions()[0]),
        // as unsigned numbers, so that one comparison finds negative ones too
        indices_(static_cast<const uint32_t*>(indices.untyped_data())),
        indptr_(static_cast<const uint32_t*>(indptr.untyped_data())) {}

  const int64_t rows;

  // Calls f(k, column, lane) for the entries k of row i, which reads data[k] if `data` is given; lane is a
  // constant, 0 to 3.
  template <class T, class F>
  void ForEachEntry(int64_t i, const T* data, F f) {
    int64_t k = indptr_[i];
    const int64_t end = indptr_[i + 1];
    if (k > end || end > size_) {
      bad_row_ = i;
      return;
    }
    const uint32_t n = columns_;
    for (; end - k >= 4; k += 4) {
      const uint32_t a = indices_[k], b = indices_[k + 1], c = indices_[k + 2], d = indices_[k + 3];
      if ((a >= n) | (b >= n) | (c >= n) | (d >= n)) break;  // the loop below finds which
      // once per line of memory; the processor itself stops at the end of a page
      if (k % kLine < 4 && end - k > kFar) Fetch(k + kFar, data);
      f(k, a, 0);
      f(k + 1, b, 1);
      f(k + 2, c, 2);
      f(k + 3, d, 3);
    }
    for (; k < end; ++k) {
      const uint32_t a = indices_[k];
      if (a >= n) {
        bad_entry_ = k;
        return;
      }
      f(k, a, 0);
    }
  }

  // Ask for what will be read soon: a row's place in indptr, its first entries.
  EVOPS_INLINE void PrefetchPlace(int64_t i) const { __builtin_prefetch(indptr_ + i); }
  template <class T>
  EVOPS_INLINE void PrefetchEntries(int64_t i, const T* data) const {
    const int64_t end = std::min<int64_t>(indptr_[i + 1], size_);
    int64_t k = indptr_[i];
    for (int line = 0; k < end && line < 4; k += kLine, ++line) Fetch(k, data);
  }

  double EntriesPerRow() const { return static_cast<double>(size_) / std::max<int64_t>(rows, 1); }
  // Takes over what a copy found wrong.
  void Blame(const Pattern& copy) {
    if (bad_row_ < 0) bad_row_ = copy.bad_row_;
    if (bad_entry_ < 0) bad_entry_ = copy.bad_entry_;
  }
  ffi::Error Result(const char* op) const {
    if (bad_row_ >= 0)
      return Invalid(op, "indptr of row " + std::to_string(bad_row_) + " is " + Signed(indptr_[bad_row_]) + " to " +
                             Signed(indptr_[bad_row_ + 1]) + ", expected 0 to " + std::to_string(size_) +
                             ", not decreasing");
    if (bad_entry_ >= 0)
      return Invalid(op, "indices[" + std::to_string(bad_entry_) + "] is " + Signed(indices_[bad_entry_]) +
                             ", expected 0 to " + std::to_string(static_cast<int64_t>(columns_) - 1));
    return ffi::Error::Success();
  }

 private:
  static constexpr int64_t kLine = 16, kFar = 128;  // entries

  template <class T>
  EVOPS_INLINE void Fetch(int64_t k, const T* data) const {
    __builtin_prefetch(indices_ + k);
    if (data) __builtin_prefetch(data + k);
  }

  static std::string Signed(uint32_t x) { return std::to_string(static_cast<int32_t>(x)); }

  const uint32_t columns_;
  const int64_t size_;
  const uint32_t *indices_, *indptr_;
  int64_t bad_row_ = -1, bad_entry_ = -1;
};

// Weights of the entries, or one for all; which, says `one`: `each` may be null for an empty array too.
template <class T>
struct Weights {
  const T *each, *one;
};

// Adds up the rows `active`, whose x is not 0. A row is prefetched in two steps: its place in indptr, then
// its first entries.
template <class X, class T>
void ScatterRows(const X* x, const int64_t* active, int64_t count, Weights<T> w, T* y, Pattern& m) {
  constexpr int64_t kAhead = 4;
  for (int64_t a = 0; a < count; ++a) {
    if (a + 2 * kAhead < count) m.PrefetchPlace(active[a + 2 * kAhead]);
    if (a + kAhead < count) m.PrefetchEntries(active[a + kAhead], w.each);
    const int64_t i = active[a];
    const T xi = static_cast<T>(x[i]);
    if (w.one) {
      const T v = *w.one * xi;
      m.ForEachEntry(i, w.each, [=](int64_t, uint32_t j, int) { y[j] += v; });
    } else if (xi == T(1)) {
      m.ForEachEntry(i, w.each, [=](int64_t k, uint32_t j, int) { y[j] += w.each[k]; });
    } else {
      m.ForEachEntry(i, w.each, [=](int64_t k, uint32_t j, int) { y[j] += w.each[k] * xi; });
    }
  }
}

template <class X, class T>
void Scatter(const X* x, Weights<T> w, T* y, int64_t n_y, Pattern& m, ffi::ThreadPool& pool) {
  std::vector<int64_t> active;
  active.reserve(std::min<int64_t>(m.rows, 256));
  ForEachNonzero(x, m.rows, [&](int64_t i) { active.push_back(i); });
  if (active.empty()) return;
  const int64_t count = active.size(), *rows = active.data();
  const int64_t parts = Parts(pool, static_cast<double>(count) * m.EntriesPerRow(), n_y);
  std::vector<Pattern> own(parts, m);
  const auto add = [&](int64_t part, T* sums) {
    const int64_t begin = count * part / parts;
    ScatterRows(x, rows + begin, count * (part + 1) / parts - begin, w, sums, own[part]);
  };
  SumsOfParts(parts, y, n_y).Run(pool, add, [](T*, int64_t) {});
  for (const Pattern& part : own) m.Blame(part);
}

// The sum of row i where silent x add nothing, whatever their weights.
template <class T>
T SumOfEvents(const T* x, Weights<T> w, int64_t i, Pattern& m) {
  T sum(0);
  m.ForEachEntry(i, w.each, [&](int64_t k, uint32_t j, int) {
    if (x[j] != T(0)) sum += (w.one ? *w.one : w.each[k]) * x[j];
  });
  return sum;
}

template <class T>
void Gather(const T* x, Weights<T> w, T* y, Pattern& m) {
  for (int64_t i = 0; i < m.rows; ++i) {
    T sum[4] = {};  // side by side: additions wait for each other
    if (w.one) {
      m.ForEachEntry(i, w.each, [&](int64_t, uint32_t j, int lane) { sum[lane] += x[j]; });
    } else {
      m.ForEachEntry(i, w.each, [&](int64_t k, uint32_t j, int lane) { sum[lane] += w.each[k] * x[j]; });
    }
    const T total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    y[i] = w.one ? total * *w.one : total;
    // an infinite weight times 0 is not a number, and does not weigh what cancels
    if (y[i] != y[i] || (w.one && !Finite(*w.one))) y[i] = SumOfEvents(x, w, i, m);
  }
}

ffi::Error Stored(const char* op, bool gather, ffi::ThreadPool& pool, ffi::AnyBuffer x, ffi::AnyBuffer data,
                  ffi::AnyBuffer indices, ffi::AnyBuffer indptr, ffi::AnyBuffer y) {
  const std::string bad = CheckStored(gather, x, data, indices, indptr, y);
  if (!bad.empty()) return Invalid(op, bad);
  return ForElement(op, y.element_type(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t batch = x.dimensions()[0], n_x = x.dimensions()[1], n_y = y.dimensions()[1];
    const T* first = static_cast<const T*>(data.untyped_data());
    const bool one = data.element_count() == 1;
    const Weights<T> w{one ? nullptr : first, one ? first : nullptr};
    const T* values = static_cast<const T*>(x.untyped_data());
    const uint8_t* spikes = static_cast<const uint8_t*>(x.untyped_data());
    T* out = static_cast<T*>(y.untyped_data());
    Pattern pattern(indices, indptr, gather ? n_x : n_y);
    if (!gather) std::memset(out, 0, y.size_bytes());
    for (int64_t b = 0; b < batch; ++b, out += n_y) {
      if (gather)
        Gather(values + b * n_x, w, out, pattern);
      else if (x.element_type() == ffi::DataType::PRED)
        Scatter(spikes + b * n_x, w, out, n_y, pattern, pool);
      else
        Scatter(values + b * n_x, w, out, n_y, pattern, pool);
    }
    return pattern.Result(op);
  });
}

ffi::Error StoredScatter(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer data, ffi::AnyBuffer indices,
                         ffi::AnyBuffer indptr, ffi::Result<ffi::AnyBuffer> y) {
  return Stored("evops_stored_scatter", false, pool, x, data, indices, indptr, *y);
}

ffi::Error StoredGather(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer data, ffi::AnyBuffer indices,
                        ffi::AnyBuffer indptr, ffi::Result<ffi::AnyBuffer> y) {
  return Stored("evops_stored_gather", true, pool, x, data, indices, indptr, *y);
}

auto StoredBinding() { return BindOnCpu<4, 1>(); }

}  // namespace
}  // namespace evops

EVOPS_HANDLER(evops_stored_scatter, evops::StoredScatter, evops::StoredBinding());
EVOPS_HANDLER(evops_stored_gather, evops::StoredGather, evops::StoredBinding());
