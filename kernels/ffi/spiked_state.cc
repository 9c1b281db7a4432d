// evops_spiked_state: what the spikes of one step add to states of stored synapses, in place.
//
// Where a neuron fires, each of its synapses k gets min(max(state[k] + x * value, low), high). The neurons are those of
// the rows, or those of the columns with an index of which synapses a column has. Values are one for all, or one for
// each synapse, row or column. Each synapse belongs to one row and one column, so threads share the neurons that fire.
//
// A batch of states is one call, as of evops_push.
#include <algorithm>
#include <atomic>

#include "clipped_sums.h"
#include "handler.h"
#include "parallel.h"
#include "ring_batches.h"
#include "spikes.h"

namespace evops {
namespace {

enum class Side : int64_t { kPre, kPost };
enum class Per : int64_t { kAll, kSynapse, kPre, kPost };

constexpr size_t kOfPre = 7, kOfPost = 10;  // operands
constexpr int64_t kAhead = 16, kNext = 4;   // synapses of a column, neurons: what is asked for before it is needed
constexpr int64_t kLine = 64, kLines = 4;   // bytes of memory that come at once, and how many are asked for

// Rows, columns and states of one call; nothing in them is taken on trust.
template <class T>
struct States {
  T* state;
  const T* value;
  T low, high;
  const uint32_t *indices, *indptr;           // as unsigned numbers, so that one comparison finds negative ones too
  const uint32_t *begins, *synapses, *guide;  // of the columns
  int64_t size, rows, columns;
  int shift;
  Per per;
  std::atomic<bool> wrong_row{false}, wrong_column{false}, wrong_index{false};

  template <class Of>
  void AddSpan(int64_t begin, int64_t end, Of of) {
    AddClipped(state, begin, end, low, high, of);
  }

  void AddRow(int64_t i, T x) {
    const int64_t begin = indptr[i], end = indptr[i + 1];
    if (begin > end || end > size) {
      wrong_row = true;
      return;
    }
    const T* const v = value;
    const T one = per == Per::kAll ? WrappedProduct(x, v[0]) : per == Per::kPre ? WrappedProduct(x, v[i]) : T(0);
    if (per == Per::kSynapse) return AddSpan(begin, end, [=](int64_t k) { return WrappedProduct(x, v[k]); });
    if (per != Per::kPost) return AddSpan(begin, end, [=](int64_t) { return one; });
    const uint32_t* const j = indices;
    uint32_t most = 0;
    for (int64_t k = begin; k < end; ++k) most = std::max(most, j[k]);
    if (most >= columns && begin < end) {
      wrong_column = true;
      return;
    }
    AddSpan(begin, end, [=](int64_t k) { return WrappedProduct(x, v[j[k]]); });
  }

  ffi::Error Result(const char* op) const {
    const std::string most = " out of their range, which ends at " + std::to_string(size) + " synapses, " +
                             std::to_string(rows) + " rows and " + std::to_string(columns) + " columns";
    if (wrong_row) return Invalid(op, "indptr has rows" + most);
    if (wrong_column) return Invalid(op, "indices has entries" + most);
    if (wrong_index) return Invalid(op, "the index of columns has entries" + most);
    return ffi::Error::Success();
  }

  // The row of synapse k, or -1 where the guide is none: between two places of it, which are nearly always equal or
  // neighbours. Which of the two cannot be predicted, so there is no branch.
  int64_t RowOfSynapse(int64_t k) const {
    const int64_t place = k >> shift, row = guide[place], last = guide[place + 1];
    if (static_cast<uint64_t>(last - row) > 1 || last >= rows) return FarRowOf(k, row, last);
    return row + ((row < last) & (indptr[row + 1] <= k));
  }
  int64_t FarRowOf(int64_t k, int64_t row, int64_t last) const {
    if (row > last || last >= rows) return -1;
    return std::upper_bound(indptr + row + 1, indptr + last + 1, k) - indptr - 1;
  }

  void PrefetchRow(int64_t i) const {
    const char* first = reinterpret_cast<const char*>(state + std::min<int64_t>(indptr[i], size));
    for (int64_t line = 0; line < kLines; ++line) __builtin_prefetch(first + line * kLine, 1);
  }
  void PrefetchColumn(int64_t j) const {
    const int64_t begin = std::min<int64_t>(begins[j], size), end = std::min<int64_t>(begin + kAhead, size);
    __builtin_prefetch(synapses + begin);
    __builtin_prefetch(synapses + end);
  }

  // Adds of(k) to the synapses of a column. They lie anywhere among the states, so they are asked for ahead.
  template <class Of>
  void AddPlaces(int64_t begin, int64_t end, Of of) {
    for (int64_t q = begin; q < end; ++q) {
      if (q + kAhead < end) __builtin_prefetch(state + synapses[q + kAhead], 1);
      const int64_t k = synapses[q];
      if (k >= size) {
        wrong_index = true;
        return;
      }
      const T more = of(k);
      AddSpan(k, k + 1, [=](int64_t) { return more; });
    }
  }

  void AddColumn(int64_t j, T x) {
    const int64_t begin = begins[j], end = begins[j + 1];
    if (begin > end || end > size) {
      wrong_index = true;
      return;
    }
    const T* const v = value;
    const T one = per == Per::kAll ? WrappedProduct(x, v[0]) : per == Per::kPost ? WrappedProduct(x, v[j]) : T(0);
    if (per == Per::kSynapse) return AddPlaces(begin, end, [=](int64_t k) { return WrappedProduct(x, v[k]); });
    if (per != Per::kPre) return AddPlaces(begin, end, [=](int64_t) { return one; });
    bool wrong = false;
    AddPlaces(begin, end, [&](int64_t k) {
      const int64_t row = RowOfSynapse(k);
      if (row >= 0) return WrappedProduct(x, v[row]);
      wrong = true;
      return T(0);
    });
    if (wrong) wrong_index = true;
  }
};

template <class X, class T>
void AddAll(const X* x, const Entries& entries, Side side, States<T>& states, ffi::ThreadPool& pool) {
  std::vector<int64_t> active;
  active.reserve(std::min<int64_t>(entries.n, 256));
  ListNonzero(x, entries.n, entries.words, &active);
  const int64_t count = active.size();
  // a synapse of a column waits for memory as long as some of a row
  const double each = (side == Side::kPre ? 1.0 : 4.0) * static_cast<double>(states.size) /
                      static_cast<double>(std::max<int64_t>(entries.n, 1));
  const int64_t parts =
      std::clamp<int64_t>(Parts(pool, static_cast<double>(count) * each), 1, std::max<int64_t>(count, 1));
  const bool pre = side == Side::kPre;
  Parallel(pool, parts, [&](int64_t part) {
    const int64_t stop = count * (part + 1) / parts;
    for (int64_t a = count * part / parts; a < stop; ++a) {
      if (a + 2 * kNext < stop) __builtin_prefetch((pre ? states.indptr : states.begins) + active[a + 2 * kNext]);
      if (a + kNext < stop) pre ? states.PrefetchRow(active[a + kNext]) : states.PrefetchColumn(active[a + kNext]);
      const T xi = static_cast<T>(x[active[a]]);
      pre ? states.AddRow(active[a], xi) : states.AddColumn(active[a], xi);
    }
  });
}

// One vector of states; `e` are the operands and then the result.
ffi::Error UpdateOne(const char* op, const XLA_FFI_Buffer* e, size_t operands, Side side, Per per, int64_t n_post,
                     int64_t listed, ffi::ThreadPool& pool) {
  const ffi::AnyBuffer state(&e[0]), x(&e[1]), value(&e[2]), low(&e[3]), high(&e[4]), indices(&e[5]), indptr(&e[6]),
      out(&e[operands]);
  if (state.dimensions().size() != 1 || indptr.dimensions().size() != 1 || indptr.dimensions()[0] < 1)
    return Invalid(op, "state is " + Describe(state) + " and indptr " + Describe(indptr) +
                           ", expected rank 1 and one entry more than rows");
  const int64_t size = state.dimensions()[0], rows = indptr.dimensions()[0] - 1;
  if (size > kMaxElements || rows > kMaxElements || n_post < 0 || n_post > kMaxElements)
    return Invalid(op, "more than 2147483647 synapses or neurons");
  const auto type = state.element_type();
  const int64_t n = side == Side::kPre ? rows : n_post;
  const int64_t values = per == Per::kAll ? 1 : per == Per::kSynapse ? size : per == Per::kPre ? rows : n_post;
  if (x.dimensions().size() != 1) return Invalid(op, "x is " + Describe(x) + ", expected rank 1");
  Entries entries;
  if (const std::string bad = entries.Read(x, listed, type); !bad.empty()) return Invalid(op, bad);
  for (const std::string& bad :
       {Mismatch("x", x, x.element_type(), {n + 4 * entries.words}), Mismatch("value", value, type, {values}),
        Mismatch("low", low, type, {1}), Mismatch("high", high, type, {1}),
        Mismatch("indices", indices, ffi::DataType::S32, {size}),
        Mismatch("indptr", indptr, ffi::DataType::S32, {rows + 1}), Mismatch("result", out, type, {size})})
    if (!bad.empty()) return Invalid(op, bad);
  int shift = 0;  // synapses of a place in the guide are 2**shift: about those of a row
  while (int64_t{2} << shift <= size / std::max<int64_t>(rows, 1)) ++shift;
  const int64_t places = size ? ((size - 1) >> shift) + 2 : 1;
  if (side == Side::kPost)
    for (const std::string& bad : {Mismatch("begins", ffi::AnyBuffer(&e[7]), ffi::DataType::S32, {n_post + 1}),
                                   Mismatch("synapses", ffi::AnyBuffer(&e[8]), ffi::DataType::S32, {size}),
                                   Mismatch("guide", ffi::AnyBuffer(&e[9]), ffi::DataType::S32, {places})})
      if (!bad.empty()) return Invalid(op, bad);
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    if (state.untyped_data() != out.untyped_data())
      std::memcpy(out.untyped_data(), state.untyped_data(), state.size_bytes());
    const auto of = [](const ffi::AnyBuffer& b) { return static_cast<const T*>(b.untyped_data()); };
    const auto words = [&](size_t k) { return static_cast<const uint32_t*>(ffi::AnyBuffer(&e[k]).untyped_data()); };
    const bool post = side == Side::kPost;
    States<T> states{static_cast<T*>(out.untyped_data()),
                     of(value),
                     *of(low),
                     *of(high),
                     words(5),
                     words(6),
                     post ? words(7) : nullptr,
                     post ? words(8) : nullptr,
                     post ? words(9) : nullptr,
                     size,
                     rows,
                     n_post,
                     shift,
                     per};
    if (entries.flags)
      AddAll(static_cast<const uint8_t*>(x.untyped_data()), entries, side, states, pool);
    else
      AddAll(of(x), entries, side, states, pool);
    return states.Result(op);
  };
  switch (type) {
    case ffi::DataType::S32: return run(int32_t{});
    case ffi::DataType::F32: return run(float{});
    case ffi::DataType::F64: return run(double{});
    default: return WrongElement(op, type);
  }
}

ffi::Error Update(ffi::ThreadPool pool, ffi::RemainingArgs operands, ffi::Result<ffi::AnyBuffer> out, int64_t listed,
                  Integers words) {
  constexpr const char* kOp = "evops_spiked_state";
  const size_t count = operands.size();
  if (words.size() != 3 || words[0] < 0 || words[0] > 1 || words[1] < 0 || words[1] > 3 ||
      count != (words[0] ? kOfPost : kOfPre))
    return Invalid(kOp, std::to_string(count) + " operands and " + std::to_string(words.size()) +
                            " words, expected 7 or 10 operands, and side, per and n_post");
  std::vector<ffi::AnyBuffer> buffers;
  for (size_t i = 0; i < count; ++i) {
    const auto buffer = operands.get<ffi::AnyBuffer>(i);
    if (!buffer.has_value()) return buffer.error();
    if (i == 0 && buffer->dimensions().size() < 1)
      return Invalid(kOp, "state is " + Describe(*buffer) + ", expected rank 1 or more");
    buffers.push_back(*buffer);
  }
  buffers.push_back(*out);
  return ForEachEntry(kOp, buffers, std::vector<size_t>(count + 1, 1), [&](const XLA_FFI_Buffer* e) {
    return UpdateOne(kOp, e, count, static_cast<Side>(words[0]), static_cast<Per>(words[1]), words[2], listed, pool);
  });
}

}  // namespace
}  // namespace evops

EVOPS_HANDLER(evops_spiked_state, evops::Update,
              evops::ffi::Ffi::Bind()
                  .Ctx<evops::ffi::ThreadPool>()
                  .RemainingArgs()
                  .Ret<evops::ffi::AnyBuffer>()
                  .Attr<int64_t>("listed")
                  .Attr<evops::Integers>("words"));
