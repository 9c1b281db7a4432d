// evops_drawn: products with a projection whose wiring is drawn again and whose weights are stored, one for each
// synapse in the order of rows; and what spikes add to such weights.
//
// `starts` says where the synapses of each row begin among the weights. Rows that are needed are drawn some at a time,
// into a list of columns that stays in the cache, and then read as those of a stored matrix are (stored_products.h).
//
// With a ring [slots, n] columns are its sums: a synapse with delay d leads to slot (step + d) mod slots.
#include <algorithm>
#include <numeric>

#include "clipped_sums.h"
#include "drawn_rows.h"
#include "handler.h"
#include "parallel.h"
#include "ring_batches.h"
#include "spikes.h"
#include "stored_products.h"

namespace evops {
namespace {

enum class What : int64_t { kScatter, kGather, kOuter, kPush, kUpdate };
enum class Per : int64_t { kAll, kSynapse, kPre, kPost };

constexpr size_t kOfPattern = 5;                 // operands at the end: key, table, delays, starts, step
constexpr size_t kOperands[] = {2, 2, 2, 3, 5};  // operands before them

// The weights of a pattern that begins `first` synapses after theirs.
template <class T>
StoredWeights<T> From(const StoredWeights<T>& w, int64_t first) {
  StoredWeights<T> own = w;
  own.data = static_cast<const char*>(w.data) + first * w.bytes;
  return own;
}

// Calls body(part, its rows, begin, end) for parts of `count` rows on threads, and puts their errors together.
template <class Body>
void ForParts(DrawnRows& rows, int64_t count, int64_t parts, ffi::ThreadPool& pool, const Body& body) {
  std::vector<DrawnRows> own(parts, rows);
  Parallel(pool, parts, [&](int64_t part) { body(part, own[part], count * part / parts, count * (part + 1) / parts); });
  for (const DrawnRows& part : own) rows.Take(part);
}

std::vector<int64_t> AllRows(const DrawnRows& rows) {
  std::vector<int64_t> all(rows.rows);
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

template <class T>
struct Weights {
  StoredWeights<T> w;
  int64_t size;

  std::string Read(const ffi::AnyBuffer& data, ffi::DataType type) {
    if (data.dimensions().size() != 1 || data.dimensions()[0] > kMaxElements)
      return "data is " + Describe(data) + ", expected rank 1";
    size = data.dimensions()[0];
    const std::string bad = Mismatch("data", data, WeightsOf(data, &w) ? data.element_type() : type, {size});
    w.shared = false;
    return bad;
  }
};

template <class X, class T>
void Scatter(const X* x, const Entries& entries, const Weights<T>& data, T* y, DrawnRows& rows, bool whole,
             ffi::ThreadPool& pool) {
  std::vector<int64_t> active;
  ListNonzero(x, entries.n, entries.words, &active);
  const int64_t count = active.size(), n_y = rows.columns;
  // a ring is larger than the cache: threads with sums of their own would wait for memory
  const int64_t parts = whole || !count ? 1 : Parts(pool, static_cast<double>(count) * rows.SynapsesPerRow(), n_y);
  std::vector<DrawnRows> own(parts, rows);
  const auto add = [&](int64_t part, T* sums) {
    const int64_t begin = count * part / parts, end = count * (part + 1) / parts;
    own[part].ForEach(active.data() + begin, end - begin, data.size,
                      [&](int64_t i, int64_t row, int64_t first, Pattern& m) {
                        ScatterRow(row, static_cast<T>(x[i]), From(data.w, first), sums, m);
                      });
  };
  SumsOfParts(parts, y, n_y).Run(pool, add, [](T*, int64_t) {});
  for (const DrawnRows& part : own) rows.Take(part);
}

template <class T>
void Gather(const T* x, const Weights<T>& data, T* y, DrawnRows& rows, ffi::ThreadPool& pool) {
  const std::vector<int64_t> all = AllRows(rows);
  const int64_t parts =
      std::min(Parts(pool, static_cast<double>(rows.rows) * rows.SynapsesPerRow()), std::max<int64_t>(rows.rows, 1));
  ForParts(rows, rows.rows, parts, pool, [&](int64_t, DrawnRows& own, int64_t begin, int64_t end) {
    own.ForEach(all.data() + begin, end - begin, data.size, [&](int64_t i, int64_t row, int64_t first, Pattern& m) {
      y[i] = GatherRow(row, x, From(data.w, first), m);
    });
  });
}

// d[k] = the sum over the batch of r[row of k] c[column of k]; 0 for what belongs to no row.
template <class T>
void Outer(const T* r, const T* c, int64_t batch, T* d, int64_t size, DrawnRows& rows, ffi::ThreadPool& pool) {
  const std::vector<int64_t> all = AllRows(rows);
  const StoredWeights<T> unit{nullptr, 0, true, T(1), nullptr};
  const int64_t parts = std::min(Parts(pool, static_cast<double>(rows.rows) * rows.SynapsesPerRow() * batch),
                                 std::max<int64_t>(rows.rows, 1));
  std::fill(d, d + size, T(0));
  ForParts(rows, rows.rows, parts, pool, [&](int64_t, DrawnRows& own, int64_t begin, int64_t end) {
    own.ForEach(all.data() + begin, end - begin, size, [&](int64_t i, int64_t row, int64_t first, Pattern& m) {
      for (int64_t b = 0; b < batch; ++b) {
        const T value = r[b * rows.rows + i], *at = c + b * rows.columns;
        T* out = d + first + m.indptr[row];
        m.ForEachEntry(row, unit, [&](T, uint32_t j, int) EVOPS_ALWAYS_INLINE { *out++ += value * at[j]; });
      }
    });
  });
}

// Updates where post neurons fire: of all rows, since columns are not stored.
template <class X, class T>
void UpdateColumns(const X* x, const T* value, Per per, T low, T high, T* state, int64_t size, DrawnRows& rows,
                   ffi::ThreadPool& pool) {
  const std::vector<int64_t> all = AllRows(rows);
  const int64_t parts =
      std::min(Parts(pool, static_cast<double>(rows.rows) * rows.SynapsesPerRow()), std::max<int64_t>(rows.rows, 1));
  ForParts(rows, rows.rows, parts, pool, [&](int64_t, DrawnRows& own, int64_t begin, int64_t end) {
    own.ForEach(all.data() + begin, end - begin, size, [&](int64_t i, int64_t row, int64_t first, Pattern& m) {
      for (int64_t k = m.indptr[row]; k < m.indptr[row + 1]; ++k) {
        const uint32_t j = m.indices[k];
        if (x[j] == X(0)) continue;
        const int64_t at = per == Per::kAll ? 0 : per == Per::kSynapse ? first + k : per == Per::kPre ? i : j;
        const T more = WrappedProduct(static_cast<T>(x[j]), value[at]);
        AddClipped(state + first, k, k + 1, low, high, [=](int64_t) { return more; });
      }
    });
  });
}

template <class X, class T>
void Update(const X* x, const Entries& entries, const T* value, Per per, T low, T high, T* state, int64_t size,
            DrawnRows& rows, ffi::ThreadPool& pool) {
  std::vector<int64_t> active;
  ListNonzero(x, entries.n, entries.words, &active);
  const int64_t count = active.size();
  const int64_t parts = std::clamp<int64_t>(Parts(pool, static_cast<double>(count) * rows.SynapsesPerRow()), 1,
                                            std::max<int64_t>(count, 1));
  ForParts(rows, count, parts, pool, [&](int64_t, DrawnRows& own, int64_t begin, int64_t end) {
    const int64_t *const which = active.data() + begin, n = end - begin;
    const auto term = [&](int64_t i, T v) { return WrappedProduct(static_cast<T>(x[i]), v); };
    if (per == Per::kSynapse)
      return own.ForEachSpan(which, n, size, [&](int64_t i, int64_t from, int64_t to) {
        AddClipped(state, from, to, low, high, [=](int64_t k) { return term(i, value[k]); });
      });
    if (per != Per::kPost)
      return own.ForEachSpan(which, n, size, [&](int64_t i, int64_t from, int64_t to) {
        const T one = term(i, value[per == Per::kPre ? i : 0]);
        AddClipped(state, from, to, low, high, [=](int64_t) { return one; });
      });
    own.ForEach(which, n, size, [&](int64_t i, int64_t row, int64_t first, Pattern& m) {
      const uint32_t* const j = m.indices;
      AddClipped(state + first, int64_t{m.indptr[row]}, int64_t{m.indptr[row + 1]}, low, high,
                 [=](int64_t k) { return term(i, value[j[k]]); });
    });
  });
}

ffi::Error Drawn(ffi::ThreadPool pool, ffi::RemainingArgs operands, ffi::Result<ffi::AnyBuffer> out, int64_t listed,
                 int64_t what_, int64_t side, int64_t per_, int64_t n_post, Integers ring, Integers spec) {
  constexpr const char* kOp = "evops_drawn";
  if (what_ < 0 || what_ > 4 || side < 0 || side > 1 || per_ < 0 || per_ > 3 ||
      operands.size() != kOperands[what_] + kOfPattern)
    return Invalid(kOp, "product " + std::to_string(what_) + " of " + std::to_string(operands.size()) + " operands");
  const What what = static_cast<What>(what_);
  const Per per = static_cast<Per>(per_);
  std::vector<ffi::AnyBuffer> given;
  std::vector<XLA_FFI_Buffer> raw;
  for (size_t i = 0; i < operands.size(); ++i) {
    const auto buffer = operands.get<ffi::AnyBuffer>(i);
    if (!buffer.has_value()) return buffer.error();
    given.push_back(*buffer);
    raw.push_back(EntryOf(*buffer, buffer->dimensions().size(), 0, 1));
  }
  DrawnRows rows;
  if (const std::string bad = rows.Read(raw.data() + kOperands[what_], spec, n_post, ring); !bad.empty())
    return Invalid(kOp, bad);
  const auto type = out->element_type();
  const bool rings = what == What::kPush, updates = what == What::kUpdate;
  if (rings && ring.size() == 0) return Invalid(kOp, "a push without a ring");
  if (updates && ring.size() != 0) return Invalid(kOp, "an update with a ring, which has values of its cells");
  const ffi::AnyBuffer& x = given[rings || updates];
  const size_t rank = rings || updates ? 1 : 2;
  if (x.dimensions().size() != rank)
    return Invalid(kOp, "x is " + Describe(x) + ", expected rank " + std::to_string(rank));
  Entries entries;
  if (const std::string bad = entries.Read(x, listed, type); !bad.empty()) return Invalid(kOp, bad);
  const bool numbers = what == What::kGather || what == What::kOuter;
  if (numbers && entries.flags) return Invalid(kOp, "x is " + Describe(x) + ", expected " + Name(type));
  const bool of_columns = what == What::kGather || (updates && side == 1);
  const int64_t n_x = of_columns ? rows.columns : rows.rows;
  if (entries.n != n_x) return Invalid(kOp, "x is " + Describe(x) + ", expected " + std::to_string(n_x) + " entries");
  const int64_t batch = rank == 2 ? x.dimensions()[0] : 1;
  const int64_t size = out->element_count();
  return ForElement(kOp, type, [&](auto zero) {
    using T = decltype(zero);
    Weights<T> data{};
    T* const y = static_cast<T*>(out->untyped_data());
    const T* const values = static_cast<const T*>(x.untyped_data());
    const auto with_x = [&](const auto& run) {
      if (entries.flags)
        run(static_cast<const uint8_t*>(x.untyped_data()));
      else
        run(values);
    };
    if (updates) {
      using S = std::conditional_t<std::is_same_v<T, uint32_t>, int32_t, T>;  // bounds are of signed numbers
      const int64_t of_value = per == Per::kAll       ? 1
                               : per == Per::kSynapse ? size
                               : per == Per::kPre     ? rows.rows
                                                      : n_post;
      for (const std::string& bad : {Mismatch("state", given[0], type, {size}), Mismatch("result", *out, type, {size}),
                                     Mismatch("value", given[2], type, {of_value}),
                                     Mismatch("low", given[3], type, {1}), Mismatch("high", given[4], type, {1})})
        if (!bad.empty()) return Invalid(kOp, bad);
      const auto of = [&](size_t k) { return static_cast<const S*>(given[k].untyped_data()); };
      if (given[0].untyped_data() != out->untyped_data())
        std::memcpy(out->untyped_data(), given[0].untyped_data(), given[0].size_bytes());
      S* const state = static_cast<S*>(out->untyped_data());
      const auto run = [&](auto* x) {
        if (side == 1) return UpdateColumns(x, of(2), per, *of(3), *of(4), state, size, rows, pool);
        Update(x, entries, of(2), per, *of(3), *of(4), state, size, rows, pool);
      };
      if (entries.flags)
        run(static_cast<const uint8_t*>(x.untyped_data()));
      else
        run(of(1));
      return rows.Result(kOp);
    }
    if (what == What::kOuter) {
      for (const std::string& bad :
           {Mismatch("columns", given[1], type, {batch, rows.columns}), Mismatch("result", *out, type, {size})})
        if (!bad.empty()) return Invalid(kOp, bad);
      Outer(values, static_cast<const T*>(given[1].untyped_data()), batch, y, size, rows, pool);
      return rows.Result(kOp);
    }
    if (const std::string bad = data.Read(given[kOperands[what_] - 1], type); !bad.empty()) return Invalid(kOp, bad);
    if (rings) {
      for (const std::string& bad :
           {Mismatch("ring", given[0], type, {ring[0], ring[1]}), Mismatch("result", *out, type, {ring[0], ring[1]})})
        if (!bad.empty()) return Invalid(kOp, bad);
      if (given[0].untyped_data() != out->untyped_data())
        std::memcpy(out->untyped_data(), given[0].untyped_data(), given[0].size_bytes());
      with_x([&](auto* x) { Scatter(x, entries, data, y, rows, true, pool); });
      return rows.Result(kOp);
    }
    const int64_t n_y = what == What::kGather ? rows.rows : rows.columns;
    if (const std::string bad = Mismatch("y", *out, type, {batch, n_y}); !bad.empty()) return Invalid(kOp, bad);
    if (what == What::kScatter) std::fill(y, y + size, T(0));
    for (int64_t b = 0; b < batch; ++b)
      if (what == What::kGather)
        Gather(values + b * n_x, data, y + b * n_y, rows, pool);
      else
        with_x([&](auto* x) { Scatter(x + b * entries.stride(), entries, data, y + b * n_y, rows, false, pool); });
    return rows.Result(kOp);
  });
}

}  // namespace
}  // namespace evops

EVOPS_HANDLER(evops_drawn, evops::Drawn,
              evops::ffi::Ffi::Bind()
                  .Ctx<evops::ffi::ThreadPool>()
                  .RemainingArgs()
                  .Ret<evops::ffi::AnyBuffer>()
                  .Attr<int64_t>("listed")
                  .Attr<int64_t>("what")
                  .Attr<int64_t>("side")
                  .Attr<int64_t>("per")
                  .Attr<int64_t>("n_post")
                  .Attr<evops::Integers>("ring")
                  .Attr<evops::Integers>("spec"));
