// Products of vectors with K matrices at once: evops_scatter (x of pre neurons) and evops_gather (x of post
// neurons). Matrix k uses row (k / per_input) mod X of x, weight[k] and seed[k].
//
// Weights are (K, 1), one for all synapses, or (K, 2), a synapse's being weight[0] + weight[1] z.
#include <numeric>

#include "batch.h"
#include "handler.h"
#include "matrices.h"
#include "parallel.h"
#include "product.h"
#include "row_buffers.h"
#include "spikes.h"

namespace evops {
namespace {

// ---- the braintaichi scheme with one weight: kernels of its own, one rounding per synapse ----

template <class X, class T>
void ScatterChains(const Operands& o, const Plan& p, ffi::ThreadPool&) {
  const X* x = static_cast<const X*>(o.x.untyped_data());
  const T* weight = static_cast<const T*>(o.weight.untyped_data());
  const uint32_t* seed = static_cast<const uint32_t*>(o.seed.untyped_data());
  const Shape& s = p.shape;
  ChainBuffer<T> buffer(p.spec.scheme, static_cast<T*>(o.y.untyped_data()), s.matrices * s.n_out);
  std::vector<int64_t> active;
  for (int64_t first = 0; first < s.matrices; first += s.per_input) {
    const X* row = x + (first / s.per_input) % s.rows * s.stride;
    active.clear();
    ListNonzero(row, s.n_x, s.words, &active);
    for (int64_t i : active)
      for (int64_t k = first; k < first + s.per_input; ++k)
        if (weight[k] != T(0))
          buffer.Add({seed[2 * k], seed[2 * k + 1], static_cast<uint32_t>(i), k * s.n_out, s.n_out, 0, nullptr},
                     {static_cast<T>(row[i]), weight[k], T(0)});
  }
  buffer.Flush();
}

template <class X, class T>
void GatherChains(const Operands& o, const Plan& p, ffi::ThreadPool&) {
  const X* x = static_cast<const X*>(o.x.untyped_data());
  const T* weight = static_cast<const T*>(o.weight.untyped_data());
  const uint32_t* seed = static_cast<const uint32_t*>(o.seed.untyped_data());
  T* y = static_cast<T*>(o.y.untyped_data());
  const Shape& s = p.shape;
  if (s.n_x == 0) return;
  for (int64_t k = 0; k < s.matrices; ++k) {
    if (weight[k] == T(0)) continue;
    Call(Element<T>::Gather(), Array(x + (k / s.per_input) % s.rows * s.n_x, s.n_x), Array(weight + k, 1),
         Array(seed + 2 * k, 1), Array(p.spec.scheme.words(), kSchemeWords), Array(y + k * s.n_out, s.n_out));
  }
}

// ---- all others ----

// Rows that are gathered at once. Parts of a call consist of whole ones, so that the rows that share lanes, and with
// them the order of additions, do not depend on the number of threads.
constexpr int64_t kMaxRowsAtOnce = 128;
inline int64_t RowsAtOnce(const Shape& shape) {
  return std::clamp<int64_t>(shape.n_out / 64 / 16 * 16, 16, kMaxRowsAtOnce);
}

// Adds the rows of some neurons that fire to `sums`.
template <class X, class T, bool kOne>
void ScatterRows(const Matrices<X, T, kOne>& m, int64_t k, const int64_t* active, int64_t count,
                 typename Matrices<X, T, kOne>::Sum* sums) {
  using Sum = typename Matrices<X, T, kOne>::Sum;
  const X* x = m.Input(k);
  const Sum a = m.Each(k) ? static_cast<Sum>(m.A(k)) : Sum(1), b = static_cast<Sum>(m.B(k));
  SynapseReader reader = m.ReaderOf(k);
  RowBuffer<Sum, Matrices<X, T, kOne>::kAddend> buffer(reader, sums);
  for (int64_t i = 0; i < count; ++i)
    buffer.Add(m.RowOf(k, active[i], m.shape.n_out), {static_cast<Sum>(x[active[i]]), a, b});
  buffer.Flush();
}

// Calls f(first, end) for every run of matrices that have the same synapses, up to some length.
template <class X, class T, bool kOne, class F>
void ForEachRun(const Matrices<X, T, kOne>& m, const F& f) {
  for (int64_t first = 0, end; first < m.shape.matrices; first = end) {
    end = first + m.Alike(first, kMaxMembers);
    f(first, end);
  }
}

template <class X, class T, bool kOne>
void ScatterMatrices(const Operands& o, const Plan& p, ffi::ThreadPool& pool) {
  const Matrices<X, T, kOne> m(o, p);
  std::vector<int64_t> active;  // of one input
  active.reserve(std::min<int64_t>(m.shape.n_x, 256));
  const X* of_input = nullptr;
  bool of_all = false;
  const auto one = [&](int64_t k) {
    const bool all = m.TakesAllRows(k);
    if (of_input != m.Input(k) || of_all != all) {
      of_input = m.Input(k);
      of_all = all;
      active.clear();
      if (all) {
        active.resize(m.shape.n_x);
        std::iota(active.begin(), active.end(), int64_t{0});
      } else {
        ListNonzero(of_input, m.shape.n_x, m.shape.words, &active);
      }
    }
    if (m.Silent(k) || active.empty()) return;
    const int64_t count = active.size();
    const int64_t parts = Parts(pool, static_cast<double>(count) * m.shape.synapses_per_row, m.shape.n_out);
    const auto add = [&](int64_t part, auto* sums) {
      const int64_t begin = count * part / parts;
      ScatterRows(m, k, active.data() + begin, count * (part + 1) / parts - begin, sums);
    };
    SumsOfParts(parts, m.Output(k), m.shape.n_out).Run(pool, add, [&](auto* piece, int64_t n) {
      if (kOne && !m.Each(k)) m.TakeWeighted(m.A(k), piece, n);
    });
  };
  ForEachRun(m, [&](int64_t first, int64_t end) {
    const Batch batch = end - first > 1 ? BatchOf(m, first, end, kTile<typename Matrices<X, T, kOne>::Sum>) : Batch();
    if (!batch.members.empty()) ScatterBatch(m, batch, pool);
    auto done = batch.members.begin();
    for (int64_t k = first; k < end; ++k) {
      if (done != batch.members.end() && *done == k)
        ++done;
      else
        one(k);
    }
  });
}

// Sums up the inputs `x` of rows begin … end - 1.
template <class X, class T, bool kOne>
void GatherRows(const Matrices<X, T, kOne>& m, int64_t k, const typename Matrices<X, T, kOne>::Sum* x, int64_t begin,
                int64_t end) {
  using Sum = typename Matrices<X, T, kOne>::Sum;
  const Sum a = static_cast<Sum>(m.A(k)), b = static_cast<Sum>(m.B(k));
  SynapseReader reader = m.ReaderOf(k);
  Row rows[kMaxRowsAtOnce];
  for (int64_t first = begin; first < end; first += RowsAtOnce(m.shape)) {
    const int64_t count = std::min(RowsAtOnce(m.shape), end - first);
    Sum* sums = m.Output(k) + first;  // zero so far
    for (int64_t i = 0; i < count; ++i) rows[i] = m.RowOf(k, first + i, m.shape.n_x);
    if (!m.Each(k))
      reader.template Collect<Addend::kOne>(rows, count, x, a, b, sums);
    else
      reader.template Collect<kOne ? Addend::kValue : Addend::kVariate>(rows, count, x, a, b, sums);
    if (!m.Each(k)) m.TakeWeighted(m.A(k), sums, count);
  }
}

template <class X, class T, bool kOne>
void GatherMatrices(const Operands& o, const Plan& p, ffi::ThreadPool& pool) {
  const Matrices<X, T, kOne> m(o, p);
  using Sum = typename Matrices<X, T, kOne>::Sum;
  if (m.shape.n_x == 0 || m.shape.n_out == 0) return;
  const int64_t n_out = m.shape.n_out, at_once = RowsAtOnce(m.shape), chunks = (n_out + at_once - 1) / at_once;
  std::vector<Sum> converted;  // spikes of one input as numbers
  const X* of_input = nullptr;
  const auto one = [&](int64_t k) {
    if (m.Silent(k)) return;
    const Sum* x;
    if constexpr (std::is_same_v<X, Sum>) {
      x = m.Input(k);
    } else {
      if (of_input != m.Input(k)) converted.assign(m.Input(k), m.Input(k) + m.shape.n_x);
      of_input = m.Input(k);
      x = converted.data();
    }
    const int64_t parts = std::min(chunks, Parts(pool, n_out * m.shape.synapses_per_row));
    Parallel(pool, parts, [&](int64_t part) {
      const int64_t begin = chunks * part / parts * at_once, end = chunks * (part + 1) / parts * at_once;
      GatherRows(m, k, x, begin, std::min(n_out, end));
    });
  };
  ForEachRun(m, [&](int64_t first, int64_t end) {
    if (end - first > 1 && GatherBatch(m, first, end - first, at_once, pool)) return;
    for (int64_t k = first; k < end; ++k) one(k);
  });
}

// ---- the handlers ----

using Product = void (*)(const Operands&, const Plan&, ffi::ThreadPool&);

template <bool kGather, class X, class T>
Product Choose(const Plan& p) {
  if (p.law() != Law::kConstant) return kGather ? GatherMatrices<X, T, false> : ScatterMatrices<X, T, false>;
  if (!IsPublished(p.spec.scheme)) return kGather ? GatherMatrices<X, T, true> : ScatterMatrices<X, T, true>;
  if constexpr (!kGather) return ScatterChains<X, T>;
  if constexpr (std::is_same_v<X, T>) return Element<T>::Dot() ? GatherMatrices<X, T, true> : GatherChains<X, T>;
  return nullptr;  // Plan::Read has refused it
}
template <bool kGather, class T>
Product ChooseInput(const Plan& p) {
  return p.spikes ? Choose<kGather, uint8_t, T>(p) : Choose<kGather, T, T>(p);
}
template <bool kGather>
Product ChooseElement(ffi::DataType type, const Plan& p) {
  switch (type) {
    case ffi::DataType::S32: return ChooseInput<kGather, uint32_t>(p);  // integers wrap around
    case ffi::DataType::F32: return ChooseInput<kGather, float>(p);
    case ffi::DataType::F64: return ChooseInput<kGather, double>(p);
    default: return nullptr;
  }
}

template <bool kGather>
ffi::Error Handle(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer weight, ffi::AnyBuffer seed,
                  ffi::AnyBuffer table, ffi::AnyBuffer quantiles, ffi::Result<ffi::AnyBuffer> y, int64_t listed,
                  int64_t per_input, Integers spec) {
  constexpr const char* kOp = kGather ? "evops_gather" : "evops_scatter";
  const Operands o{x, weight, seed, table, quantiles, *y};
  Plan p;
  const std::string bad = p.Read(kGather, o, per_input, spec, listed);
  if (!bad.empty()) return Invalid(kOp, bad);
  const Product product = ChooseElement<kGather>(y->element_type(), p);
  if (!product) return WrongElement(kOp, y->element_type());
  std::memset(y->untyped_data(), 0, y->size_bytes());  // XLA does not
  product(o, p, pool);
  return ffi::Error::Success();
}

auto Binding() { return BindOnCpu<5, 1>().Attr<int64_t>("listed").Attr<int64_t>("per_input").Attr<Integers>("spec"); }

}  // namespace
}  // namespace evops

EVOPS_HANDLER(evops_scatter, evops::Handle<false>, evops::Binding());
EVOPS_HANDLER(evops_gather, evops::Handle<true>, evops::Binding());
