// evops_stored_push: the spikes of one step on their way through stored matrices to a ring of delayed sums, in place.
//
// The ring is [slots, n_post]. Entry k of row i of a matrix is added to slot (step + delay[k]) mod slots. A call takes
// any number of matrices: each has its data, indices, indptr, delay and scale among the operands, and its place among
// the neurons in the attribute `places`, four numbers. All of them share one list of the neurons that fire.
//
// A batch of rings is one call too, as of evops_push.
#include <algorithm>
#include <functional>
#include <numeric>

#include "handler.h"
#include "parallel.h"
#include "ring_batches.h"
#include "spikes.h"
#include "stored_rows.h"

namespace evops {
namespace {

// Operands before the matrices, of each, and the numbers of its place.
constexpr size_t kHead = 3, kOfMatrix = 5, kOfPlace = 4;

// A matrix among the neurons of a network.
template <class T>
class PlacedMatrix {
 public:
  // What is wrong with its operands and its place, or an empty string.
  std::string Read(const XLA_FFI_Buffer* e, const int64_t* place, int64_t n_pre, int64_t n_post, ffi::DataType type) {
    const ffi::AnyBuffer data(&e[0]), indices(&e[1]), indptr(&e[2]), delay(&e[3]), factor(&e[4]);
    pre_offset = place[0], rows = place[1], post_offset = place[2], columns = place[3];
    const auto inside = [](int64_t offset, int64_t size, int64_t all) {
      return offset >= 0 && size >= 0 && size <= all && offset <= all - size;
    };
    if (!inside(pre_offset, rows, n_pre) || !inside(post_offset, columns, n_post))
      return "places reach outside " + std::to_string(n_pre) + " pre and " + std::to_string(n_post) + " post neurons";
    if (indices.dimensions().size() != 1) return "indices is " + Describe(indices) + ", expected rank 1";
    const int64_t nnz = indices.dimensions()[0];
    if (nnz > kMaxElements) return std::to_string(nnz) + " entries, at most 2147483647";
    one_delay = delay.element_count() == 1;
    for (const std::string& bad :
         {Mismatch("indices", indices, ffi::DataType::S32, {nnz}),
          Mismatch("indptr", indptr, ffi::DataType::S32, {rows + 1}),
          Mismatch("delay", delay, ffi::DataType::S32, {one_delay ? 1 : nnz}), Mismatch("scale", factor, type, {1}),
          CheckWeights(data, WeightsOf(data, &weights) ? data.element_type() : type, indices)})
      if (!bad.empty()) return bad;
    pattern.emplace_back(indices, indptr, columns);
    delays = static_cast<const uint32_t*>(delay.untyped_data());
    scale = *static_cast<const T*>(factor.untyped_data());
    return "";
  }

  int64_t pre_offset, rows, post_offset, columns;
  StoredWeights<T> weights;
  std::vector<Pattern> pattern;  // one
  const uint32_t* delays;        // as unsigned numbers, so that one comparison finds negative ones too
  bool one_delay;
  T scale;
};

template <class X, class T>
class StoredPush {
 public:
  StoredPush(const X* x, const Entries& entries, T* ring, int64_t slots, int64_t n_post, int64_t step,
             std::vector<PlacedMatrix<T>>& matrices)
      : x_(x), entries_(entries), ring_(ring), slots_(slots), n_post_(n_post), matrices_(matrices), slot_of_(slots) {
    for (int64_t d = 0; d < slots; ++d) slot_of_[d] = (step + d) % slots * n_post;
  }

  ffi::Error Run(const char* op) {
    std::vector<int64_t> active;
    active.reserve(std::min<int64_t>(entries_.n, 256));
    ListNonzero(x_, entries_.n, entries_.words, &active);
    for (PlacedMatrix<T>& m : matrices_) {
      const auto begin = std::lower_bound(active.begin(), active.end(), m.pre_offset),
                 end = std::lower_bound(begin, active.end(), m.pre_offset + m.rows);
      AddRows(m, active.data() + (begin - active.begin()), end - begin);
      if (ffi::Error error = m.pattern[0].Result(op); error.failure()) return error;
      if (bad_delay_ >= 0)
        return Invalid(op, "delay[" + std::to_string(bad_delay_) + "] is " +
                               std::to_string(static_cast<int32_t>(m.delays[bad_delay_])) + ", expected 0 to " +
                               std::to_string(slots_ - 1));
    }
    return ffi::Error::Success();
  }

 private:
  // Rows are prefetched in two steps: their places in indptr, then their first entries.
  void AddRows(PlacedMatrix<T>& m, const int64_t* active, int64_t count) {
    constexpr int64_t kAhead = 4;
    Pattern& pattern = m.pattern[0];
    if (m.one_delay && count && m.delays[0] >= slots_) {
      bad_delay_ = 0;
      return;
    }
    for (int64_t a = 0; a < count; ++a) {
      if (a + 2 * kAhead < count) pattern.PrefetchPlace(active[a + 2 * kAhead] - m.pre_offset);
      if (a + kAhead < count) pattern.PrefetchEntries(active[a + kAhead] - m.pre_offset, m.weights);
      const int64_t i = active[a] - m.pre_offset;
      const T xi = static_cast<T>(x_[active[a]]) * m.scale;
      if (m.one_delay)
        AddRowAtOnce(m, i, xi);
      else
        AddRow(m, i, xi);
    }
  }

  void AddRowAtOnce(PlacedMatrix<T>& m, int64_t i, T xi) {
    T* const y = ring_ + slot_of_[m.delays[0]] + m.post_offset;
    m.pattern[0].ForEachEntry(i, m.weights, [=](T w, uint32_t j, int) EVOPS_ALWAYS_INLINE { y[j] += w * xi; });
  }

  void AddRow(PlacedMatrix<T>& m, int64_t i, T xi) {
    T* const y = ring_ + m.post_offset;
    const int64_t* const slot_of = slot_of_.data();
    const uint32_t slots = static_cast<uint32_t>(slots_);
    const uint32_t* const delays = m.delays;
    int64_t k = m.pattern[0].indptr[i];
    m.pattern[0].ForEachEntry(i, m.weights, [&](T w, uint32_t j, int) EVOPS_ALWAYS_INLINE {
      const uint32_t d = delays[k];
      if (d < slots)
        y[slot_of[d] + j] += w * xi;
      else
        bad_delay_ = k;
      ++k;
    });
  }

  const X* x_;
  Entries entries_;
  T* ring_;
  int64_t slots_, n_post_;
  std::vector<PlacedMatrix<T>>& matrices_;
  std::vector<int64_t> slot_of_;  // where the slot of each delay begins in the ring
  int64_t bad_delay_ = -1;
};

// One ring; `e` are the operands and then the result.
ffi::Error PushOne(const char* op, const XLA_FFI_Buffer* e, size_t operands, int64_t listed, Integers places) {
  const ffi::AnyBuffer ring(&e[0]), x(&e[1]), step(&e[2]), out(&e[operands]);
  if (ring.dimensions().size() != 2 || x.dimensions().size() != 1)
    return Invalid(op, "ring is " + Describe(ring) + " and x " + Describe(x) + ", expected ranks 2 and 1");
  const int64_t slots = ring.dimensions()[0], n_post = ring.dimensions()[1];
  const auto type = ring.element_type();
  Entries entries;
  const std::string wrong = entries.Read(x, listed, type);
  const int64_t n_pre = entries.n;
  if (slots < 1 || n_pre > kMaxElements || n_post > kMaxElements / slots)
    return Invalid(op, "ring is " + Describe(ring) + ", expected 1 to 2147483647 elements");
  if (!wrong.empty()) return Invalid(op, wrong);
  for (const std::string& bad :
       {Mismatch("result", out, type, {slots, n_post}), Mismatch("step", step, ffi::DataType::S32, {})})
    if (!bad.empty()) return Invalid(op, bad);
  const int64_t now = *static_cast<const int32_t*>(step.untyped_data());
  if (now < 0) return Invalid(op, "step is " + std::to_string(now) + ", expected >= 0");
  return ForElement(op, type, [&](auto zero) {
    using T = decltype(zero);
    std::vector<PlacedMatrix<T>> matrices(places.size() / kOfPlace);
    for (size_t k = 0; k < matrices.size(); ++k) {
      const std::string bad =
          matrices[k].Read(e + kHead + kOfMatrix * k, places.begin() + kOfPlace * k, n_pre, n_post, type);
      if (!bad.empty()) return Invalid(op, bad);
    }
    if (ring.untyped_data() != out.untyped_data())
      std::memcpy(out.untyped_data(), ring.untyped_data(), ring.size_bytes());
    T* const sums = static_cast<T*>(out.untyped_data());
    const auto run = [&](auto* values) {
      using X = std::remove_const_t<std::remove_pointer_t<decltype(values)>>;
      return StoredPush<X, T>(values, entries, sums, slots, n_post, now, matrices).Run(op);
    };
    if (entries.flags) return run(static_cast<const uint8_t*>(x.untyped_data()));
    return run(static_cast<const T*>(x.untyped_data()));
  });
}

ffi::Error Push(ffi::ThreadPool, ffi::RemainingArgs operands, ffi::Result<ffi::AnyBuffer> out, int64_t listed,
                Integers places) {
  constexpr const char* kOp = "evops_stored_push";
  const size_t count = operands.size();
  if (places.size() % kOfPlace || count != kHead + places.size() / kOfPlace * kOfMatrix)
    return Invalid(kOp, std::to_string(count) + " operands and places of " + std::to_string(places.size()) +
                            " numbers, expected 3 and five for each matrix, and four numbers");
  if (auto ring = operands.get<ffi::AnyBuffer>(0); ring.has_value() && ring->dimensions().size() < 2)
    return Invalid(kOp, "ring is " + Describe(*ring) + ", expected rank 2 or more");
  std::vector<ffi::AnyBuffer> buffers;
  std::vector<size_t> own = {2, 1, 0};
  own.resize(count, 1);
  own.push_back(2);
  for (size_t i = 0; i < count; ++i) {
    const auto buffer = operands.get<ffi::AnyBuffer>(i);
    if (!buffer.has_value()) return buffer.error();
    buffers.push_back(*buffer);
  }
  buffers.push_back(*out);
  return ForEachEntry(kOp, buffers, own,
                      [&](const XLA_FFI_Buffer* e) { return PushOne(kOp, e, count, listed, places); });
}

}  // namespace
}  // namespace evops

EVOPS_HANDLER(evops_stored_push, evops::Push,
              evops::ffi::Ffi::Bind()
                  .Ctx<evops::ffi::ThreadPool>()
                  .RemainingArgs()
                  .Ret<evops::ffi::AnyBuffer>()
                  .Attr<int64_t>("listed")
                  .Attr<evops::Integers>("places"));
