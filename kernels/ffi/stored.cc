// Products with a stored matrix in compressed rows: evops_stored_scatter, y = x @ M, where rows whose x is
// 0 cost nothing, evops_stored_gather, y = x @ M.T, where x runs along the columns, evops_stored_columns, the same with
// members in the columns of x and y, and evops_stored_outer, the derivative of all in the entries of M.
//
// A row's columns need not be sorted and may repeat. Members of a batch that need the same rows share one walk over
// them (stored_tiles.h), others walk alone: which way, changes no bit of a result.
#include <type_traits>

#include "handler.h"
#include "stored_batch.h"
#include "stored_products.h"

namespace evops {
namespace {

constexpr int64_t kManySums = 1 << 17;  // worth waking a thread to add them up

// Adds up the rows `active`, whose x is not 0. A row is prefetched in two steps: its place in indptr, then
// its first entries.
template <class X, class T>
void ScatterRows(const X* x, const int64_t* active, int64_t count, const StoredWeights<T>& w, T* y, Pattern& m) {
  constexpr int64_t kAhead = 4;
  for (int64_t a = 0; a < count; ++a) {
    if (a + 2 * kAhead < count) m.PrefetchPlace(active[a + 2 * kAhead]);
    if (a + kAhead < count) m.PrefetchEntries(active[a + kAhead], w);
    ScatterRow(active[a], static_cast<T>(x[active[a]]), w, y, m);
  }
}

template <class X>
std::vector<int64_t> ActiveRows(const X* x, const Entries& entries) {
  std::vector<int64_t> active;
  active.reserve(std::min<int64_t>(entries.n, 256));
  ListNonzero(x, entries.n, entries.words, &active);
  return active;
}

template <class X, class T>
void Scatter(const X* x, const Entries& entries, const StoredWeights<T>& w, T* y, int64_t n_y, Pattern& m,
             ffi::ThreadPool& pool) {
  const std::vector<int64_t> active = ActiveRows(x, entries);
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

// The rows of each member where its parts begin in Scatter, and where the last ends: member by member. Members have as
// many parts as need be, the last of which may be empty.
template <class X>
std::vector<int64_t> PartsOfMembers(const Group<X>& x, const Entries& entries, const Pattern& m,
                                    ffi::ThreadPool& pool) {
  int64_t most = Parts(pool, static_cast<double>(m.rows) * m.EntriesPerRow());
  std::vector<int64_t> begins;
  for (int64_t member = 0; member < x.members; ++member) {
    begins.push_back(0);
    if (most > 1) {
      const std::vector<int64_t> active = ActiveRows(x.of[member], entries);
      const int64_t parts = Parts(pool, static_cast<double>(active.size()) * m.EntriesPerRow());
      for (int64_t part = 1; part < most; ++part)
        begins.push_back(part < parts ? active[active.size() * part / parts] : m.rows);
    }
    begins.push_back(m.rows);
  }
  return begins;
}

template <class X, class T>
void ScatterTogether(const Group<X>& x, const Entries& entries, const StoredWeights<T>& w, const Group<T>& y,
                     int64_t n_y, Pattern& m, ffi::ThreadPool& pool) {
  const std::vector<int64_t> begins = PartsOfMembers(x, entries, m, pool);
  const int64_t each = begins.size() / x.members, parts = each - 1, width = x.width;
  std::vector<Pattern> own(parts, m);
  const int64_t size = n_y * width;
  const TileRoom<T> sums(parts * size);
  Parallel(pool, parts, [&](int64_t part) {
    const int64_t* of = begins.data() + part;
    T* const own_sums = sums.get() + part * size;
    std::fill(own_sums, own_sums + size, T(0));
    int64_t begin = m.rows, end = 0;
    for (int64_t member = 0; member < x.members; ++member)
      if (of[member * each] < of[member * each + 1]) {
        begin = std::min(begin, of[member * each]);
        end = std::max(end, of[member * each + 1]);
      }
    const TileRoom<T> rows(kRowsAtOnce * width);
    for (int64_t i = begin; i < end; i += kRowsAtOnce) {
      const int64_t stop = std::min(i + kRowsAtOnce, end);
      Interleave(x, i, stop, rows.get());
      for (int64_t member = 0; member < x.members; ++member) {
        const auto silence = [&](int64_t from, int64_t to) {  // rows that are another part's
          for (int64_t k = from; k < to; ++k) rows.get()[(k - i) * width + member] = T(0);
        };
        silence(i, std::min(stop, of[member * each]));
        silence(std::max(i, of[member * each + 1]), stop);
      }
      MultiplyOnAnyLevel<T>({StoredProduct::kScatter, width, i, stop, rows.get(), own_sums, w, nullptr, false},
                            own[part]);
    }
  });
  const int64_t pieces = size < kManySums ? 1 : parts;
  Parallel(pool, pieces, [&](int64_t piece) {
    const int64_t begin = n_y * piece / pieces, end = n_y * (piece + 1) / pieces;
    T* const __restrict__ total = sums.get();
    for (int64_t part = 1; part < parts; ++part) {
      const T* const __restrict__ more = total + part * size;
      for (int64_t k = begin * width; k < end * width; ++k) total[k] += more[k];
    }
    Separate(total + begin * width, begin, end, y);
  });
  for (const Pattern& part : own) m.Blame(part);
}

template <class X, class T>
void ScatterBatch(const X* x, const Entries& entries, int64_t batch, const StoredWeights<T>& w, T* y, int64_t n_y,
                  Pattern& m, ffi::ThreadPool& pool) {
  for (int64_t b = 0, width; b < batch; b += width) {
    width = WidthOf<T>(batch - b);
    const Group<const X> of_x(x + b * entries.stride(), entries.stride(), width, batch - b);
    const Group<T> of_y(y + b * n_y, n_y, width, batch - b);
    if (width > 1 && m.rows > 0 && RowsAreShared(of_x, m.rows)) {
      ScatterTogether(of_x, entries, w, of_y, n_y, m, pool);
    } else {
      std::fill(of_y.of[0], of_y.of[0] + of_y.members * n_y, T(0));
      for (int64_t k = 0; k < of_x.members; ++k) Scatter(of_x.of[k], entries, w, of_y.of[k], n_y, m, pool);
    }
  }
}

// Rows from `begin` to `end`.
template <class T>
void Gather(const T* x, const StoredWeights<T>& w, T* y, int64_t begin, int64_t end, Pattern& m) {
  for (int64_t i = begin; i < end; ++i) {
    y[i] = GatherRow(i, x, w, m);
  }
}

template <class T>
void GatherTogether(const Group<const T>& x, T* columns, const StoredWeights<T>& w, const Group<T>& y, int64_t begin,
                    int64_t end, Pattern& m) {
  const TileRoom<T> rows(kRowsAtOnce * x.width);
  for (int64_t i = begin; i < end; i += kRowsAtOnce) {
    const int64_t stop = std::min(i + kRowsAtOnce, end);
    MultiplyOnAnyLevel<T>({StoredProduct::kGather, x.width, i, stop, rows.get(), columns, w, nullptr, false}, m);
    Separate(rows.get(), i, stop, y);
    int32_t any = w.shared && !Finite(w.one);
    for (int64_t k = 0; k < (stop - i) * x.width; ++k) any |= rows.get()[k] != rows.get()[k];
    for (int64_t member = 0; any && member < y.members; ++member)
      for (int64_t k = i; k < stop; ++k)
        if (T& sum = y.of[member][k * y.stride]; NeedsEvents(w, sum))
          sum = SumOfEvents(x.of[member], x.stride, w, k, m);
  }
}

// Calls body(begin, end, pattern) for parts of the rows, on threads where it pays.
template <class Body>
void ForRows(Pattern& m, int64_t members, ffi::ThreadPool& pool, const Body& body) {
  const int64_t parts = Parts(pool, static_cast<double>(m.size) * members);
  std::vector<Pattern> own(parts, m);
  Parallel(pool, parts, [&](int64_t part) { body(m.rows * part / parts, m.rows * (part + 1) / parts, own[part]); });
  for (const Pattern& part : own) m.Blame(part);
}

// The members are rows of x and y, or columns.
template <class T>
void GatherBatch(const T* x, int64_t batch, int64_t n_x, const StoredWeights<T>& w, T* y, bool columns, Pattern& m,
                 ffi::ThreadPool& pool) {
  columns = columns && batch > 1;  // one column is one row
  for (int64_t b = 0, width; b < batch; b += width) {
    width = std::max<int64_t>(WidthOf<T>(batch - b), columns ? 4 : 1);
    const int64_t apart_x = columns ? 1 : n_x, apart_y = columns ? 1 : m.rows, stride = columns ? batch : 1;
    const Group<const T> of_x(x + b * apart_x, apart_x, stride, width, batch - b);
    const Group<T> of_y(y + b * apart_y, apart_y, stride, width, batch - b);
    const TileRoom<T> tile(width > 1 ? n_x * width : 0);
    if (width > 1) Interleave(of_x, 0, n_x, tile.get());
    ForRows(m, of_x.members, pool, [&](int64_t begin, int64_t end, Pattern& own) {
      if (width > 1)
        GatherTogether(of_x, tile.get(), w, of_y, begin, end, own);
      else
        Gather(of_x.of[0], w, of_y.of[0], begin, end, own);
    });
  }
}

// out[k] += the sum over the batch of x[row of k] c[column of k]; out[k] = it, for the first members.
template <class T>
void OuterBatch(const T* x, const T* c, int64_t batch, int64_t n_c, T* out, Pattern& m, ffi::ThreadPool& pool) {
  for (int64_t b = 0, width; b < batch; b += width) {
    width = WidthOf<T>(batch - b);
    const Group<const T> of_x(x + b * m.rows, m.rows, width, batch - b);
    const Group<const T> of_c(c + b * n_c, n_c, width, batch - b);
    const StoredWeights<T> unit{nullptr, 0, true, T(1), nullptr};
    const TileRoom<T> columns(width > 1 ? n_c * width : 0);
    if (width > 1) Interleave(of_c, 0, n_c, columns.get());
    ForRows(m, of_x.members, pool, [&](int64_t begin, int64_t end, Pattern& own) {
      const TileRoom<T> rows(width > 1 ? kRowsAtOnce * width : 0);
      for (int64_t i = begin; width > 1 && i < end; i += kRowsAtOnce) {
        const int64_t stop = std::min(i + kRowsAtOnce, end);
        Interleave(of_x, i, stop, rows.get());
        MultiplyOnAnyLevel<T>({StoredProduct::kOuter, width, i, stop, rows.get(), columns.get(), unit, out, b > 0},
                              own);
      }
      for (int64_t i = begin; width == 1 && i < end; ++i) {
        const T value = of_x.of[0][i], *at = of_c.of[0];
        int64_t k = own.indptr[i];
        own.ForEachEntry(i, unit, [&](T, uint32_t j, int) EVOPS_ALWAYS_INLINE {
          out[k] = (b > 0 ? out[k] : T(0)) + value * at[j];
          ++k;
        });
      }
    });
  }
}

enum class Kind { kScatter, kGather, kColumns };

ffi::Error Stored(const char* op, Kind kind, ffi::ThreadPool& pool, ffi::AnyBuffer x, ffi::AnyBuffer data,
                  ffi::AnyBuffer indices, ffi::AnyBuffer indptr, ffi::AnyBuffer y, int64_t listed = 0) {
  const bool gather = kind != Kind::kScatter, columns = kind == Kind::kColumns;
  const std::string bad = CheckStored(gather, x, indices, indptr, y, columns, listed);
  if (!bad.empty()) return Invalid(op, bad);
  return ForElement(op, y.element_type(), [&](auto zero) {
    using T = decltype(zero);
    StoredWeights<T> w;
    const std::string bad = CheckWeights(data, WeightsOf(data, &w) ? data.element_type() : y.element_type(), indices);
    if (!bad.empty()) return Invalid(op, bad);
    const int64_t batch = x.dimensions()[columns], n_x = x.dimensions()[!columns], n_y = y.dimensions()[!columns];
    const T* values = static_cast<const T*>(x.untyped_data());
    Entries entries;
    entries.Read(x, listed, y.element_type());
    T* out = static_cast<T*>(y.untyped_data());
    Pattern pattern(indices, indptr, gather ? n_x : n_y);
    if (gather)
      GatherBatch(values, batch, n_x, w, out, columns, pattern, pool);
    else if (entries.flags)
      ScatterBatch(static_cast<const uint8_t*>(x.untyped_data()), entries, batch, w, out, n_y, pattern, pool);
    else
      ScatterBatch(values, entries, batch, w, out, n_y, pattern, pool);
    return pattern.Result(op);
  });
}

// The sum over the batch of x[row of k] c[column of k] for every entry k; 0 for those of no row.
ffi::Error StoredOuter(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer columns, ffi::AnyBuffer indices,
                       ffi::AnyBuffer indptr, ffi::Result<ffi::AnyBuffer> entries) {
  constexpr const char* kOp = "evops_stored_outer";
  std::string bad = CheckStored(true, columns, indices, indptr, x);
  if (bad.empty())
    bad = Mismatch("result", *entries, x.element_type(), {static_cast<int64_t>(indices.element_count())});
  if (!bad.empty()) return Invalid(kOp, bad);
  return ForElement(kOp, x.element_type(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t batch = x.dimensions()[0], n_columns = columns.dimensions()[1];
    T* out = static_cast<T*>(entries->untyped_data());
    Pattern m(indices, indptr, n_columns);
    const int64_t begin = std::min<int64_t>(m.indptr[0], m.size), end = std::min<int64_t>(m.indptr[m.rows], m.size);
    std::fill(out, batch > 0 ? out + begin : out + m.size, T(0));
    std::fill(out + end, out + m.size, T(0));
    OuterBatch(static_cast<const T*>(x.untyped_data()), static_cast<const T*>(columns.untyped_data()), batch, n_columns,
               out, m, pool);
    return m.Result(kOp);
  });
}

ffi::Error StoredScatter(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer data, ffi::AnyBuffer indices,
                         ffi::AnyBuffer indptr, ffi::Result<ffi::AnyBuffer> y, int64_t listed) {
  return Stored("evops_stored_scatter", Kind::kScatter, pool, x, data, indices, indptr, *y, listed);
}

ffi::Error StoredGather(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer data, ffi::AnyBuffer indices,
                        ffi::AnyBuffer indptr, ffi::Result<ffi::AnyBuffer> y, int64_t listed) {
  return Stored("evops_stored_gather", Kind::kGather, pool, x, data, indices, indptr, *y, listed);
}

ffi::Error StoredColumns(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer data, ffi::AnyBuffer indices,
                         ffi::AnyBuffer indptr, ffi::Result<ffi::AnyBuffer> y) {
  return Stored("evops_stored_columns", Kind::kColumns, pool, x, data, indices, indptr, *y);
}

auto StoredBinding() { return BindOnCpu<4, 1>(); }

}  // namespace
}  // namespace evops

EVOPS_HANDLER(evops_stored_scatter, evops::StoredScatter, evops::StoredBinding().Attr<int64_t>("listed"));
EVOPS_HANDLER(evops_stored_gather, evops::StoredGather, evops::StoredBinding().Attr<int64_t>("listed"));
EVOPS_HANDLER(evops_stored_columns, evops::StoredColumns, evops::StoredBinding());
EVOPS_HANDLER(evops_stored_outer, evops::StoredOuter, evops::StoredBinding());
