// Products of vectors with K matrices at once: evops_scatter (x of pre neurons) and evops_gather (x of post
// neurons). Matrix k uses row (k / per_input) mod X of x, weight[k] and seed[k].
//
// Weights are (K, 1), one for all synapses, or (K, 2), a synapse's being weight[0] + weight[1] z.
#include "handler.h"
#include "parallel.h"
#include "product.h"

namespace evops {
namespace {

// The published scheme with one weight: the fused kernels, one rounding per synapse.
template <class X, class T>
void PublishedScatter(const X* x, const T* weight, const uint32_t* seed, T* y, const Shape& s,
                      const Scheme& scheme) {
  Lines<T> lines(scheme, y, s.matrices * s.n_out);
  for (int64_t first = 0; first < s.matrices; first += s.per_input) {
    const X* row = x + (first / s.per_input) % s.rows * s.n_x;
    ForEachNonzero(row, s.n_x, [&](int64_t i) {
      for (int64_t k = first; k < first + s.per_input; ++k)
        if (weight[k] != T(0))
          lines.Add(seed + 2 * k, i, k * s.n_out, s.n_out, {static_cast<T>(row[i]), weight[k], T(0)});
    });
  }
  lines.Flush();
}

template <class T>
void PublishedGather(const T* x, const T* weight, const uint32_t* seed, T* y, const Shape& s,
                     const Scheme& scheme) {
  if (s.n_x == 0) return;
  for (int64_t k = 0; k < s.matrices; ++k) {
    if (weight[k] == T(0)) continue;
    const T* row = x + (k / s.per_input) % s.rows * s.n_x;
    Call(Element<T>::Gather(), Array(row, s.n_x), Array(weight + k, 1), Array(seed + 2 * k, 1),
         Array(scheme.words(), kSchemeWords), Array(y + k * s.n_out, s.n_out));
  }
}

#ifdef __SANITIZE_THREAD__  // whose functions cannot be called yet where a clone is chosen
#define EVOPS_EVERY_LEVEL
#else
#define EVOPS_EVERY_LEVEL __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#endif

// Turns counts, below 2^31, into floats, in place, each times the weight.
EVOPS_EVERY_LEVEL void Weigh(float weight, uint32_t* counts, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    const float weighted = weight * static_cast<float>(static_cast<int32_t>(counts[j]));
    std::memcpy(counts + j, &weighted, sizeof weighted);
  }
}

// Sums of drawn synapses. With one weight for all (kOne) the inputs are summed and weighted at the end; times an
// infinite weight, or one that is not a number, they would not cancel, so each is weighted by itself. Spikes are
// counted (where the weight has 32 bits in integers, in the result's own memory), so that the result is the same for
// any number of threads.
template <class X, class T, bool kOne>
class Drawn {
 public:
  Drawn(const Operands& o, const Shape& s, const Scheme& scheme, Law law, ffi::ThreadPool& pool)
      : x_(static_cast<const X*>(o.x.untyped_data())), weight_(static_cast<const T*>(o.weight.untyped_data())),
        seed_(static_cast<const uint32_t*>(o.seed.untyped_data())), y_(static_cast<T*>(o.y.untyped_data())),
        s_(s), scheme_(scheme), law_(law), table_(o.table), quantiles_(TableOf(o.quantiles)), pool_(pool) {}

  static constexpr bool kSpikes = std::is_same_v<X, uint8_t>;
  using Sum = std::conditional_t<kOne && kSpikes && std::is_same_v<X, uint8_t> && sizeof(T) == 4, uint32_t, T>;

  void Scatter() {
    std::vector<int64_t> active;
    active.reserve(std::min<int64_t>(s_.n_x, 256));
    for (int64_t k = 0; k < s_.matrices; ++k) {
      const X* row = Row(k);
      if (k % s_.per_input == 0) {
        active.clear();
        ForEachNonzero(row, s_.n_x, [&](int64_t i) { active.push_back(i); });
      }
      if (Silent(k) || active.empty()) continue;
      const int64_t count = active.size();
      const int64_t parts = Parts(pool_, count * s_.synapses_per_row);
      Sum* sums = reinterpret_cast<Sum*>(y_ + k * s_.n_out);
      ParallelSums(
          pool_, parts, sums, s_.n_out,
          [&](int64_t part, Sum* own) {
            const int64_t begin = count * part / parts;
            ScatterLines(k, row, active.data() + begin, count * (part + 1) / parts - begin, own);
          },
          [&](int64_t begin, int64_t end) {
            if (kOne && !Each(k)) TakeWeighted(A(k), sums + begin, end - begin);
          });
    }
  }

  void Gather() {
    for (int64_t k = 0; k < s_.matrices; ++k) {
      if (Silent(k) || s_.n_x == 0) continue;
      const int64_t parts = Parts(pool_, s_.n_out * s_.synapses_per_row);
      Parallel(pool_, parts, [&](int64_t part) {
        GatherLines(k, s_.n_out * part / parts, s_.n_out * (part + 1) / parts);
      });
    }
  }

 private:
  const X* Row(int64_t k) const { return x_ + (k / s_.per_input) % s_.rows * s_.n_x; }
  T A(int64_t k) const { return weight_[k * s_.parameters]; }
  T B(int64_t k) const { return kOne ? T(0) : weight_[k * s_.parameters + 1]; }
  bool Silent(int64_t k) const { return A(k) == T(0) && B(k) == T(0); }
  // Whether each input is weighted by itself.
  bool Each(int64_t k) const { return !kOne || (!kSpikes && !Finite(A(k))); }
  // Turns sums into weighted sums, in place.
  static void TakeWeighted(T weight, Sum* sums, int64_t n) {
    const bool finite = Finite(weight);
    if constexpr (std::is_same_v<T, float> && std::is_same_v<Sum, uint32_t>)
      if (finite) return Weigh(weight, sums, n);
    for (int64_t j = 0; j < n; ++j) {
      if (!finite && sums[j] == Sum(0)) continue;  // no synapses
      const T weighted = static_cast<T>(weight * static_cast<T>(sums[j]));
      std::memcpy(sums + j, &weighted, sizeof weighted);
    }
  }

  Line LineOf(int64_t k, int64_t pre, int64_t n) const {
    return {seed_[2 * k], seed_[2 * k + 1], static_cast<uint32_t>(pre), 0, n};
  }

  void ScatterLines(int64_t k, const X* row, const int64_t* active, int64_t count, Sum* sums) {
    Draws draws(scheme_, law_, RowOf(table_, k), quantiles_);
    constexpr Addend addend = !kOne ? Addend::kVariate : kSpikes ? Addend::kOne : Addend::kValue;
    const Sum a = Each(k) ? static_cast<Sum>(A(k)) : Sum(1), b = static_cast<Sum>(B(k));
    draws.AddUp<addend>(
        count, [&](int64_t i) { return LineOf(k, active[i], s_.n_out); },
        [&](int64_t i) { return Value<Sum>{static_cast<Sum>(row[active[i]]), a, b}; }, sums);
  }

  void GatherLines(int64_t k, int64_t begin, int64_t end) {
    const X* row = Row(k);
    const bool each = Each(k);
    std::vector<Sum> sums(end - begin, Sum(0));
    Draws draws(scheme_, law_, RowOf(table_, k), quantiles_);
    draws.Run(end - begin, [&](int64_t i) { return LineOf(k, begin + i, s_.n_x); }, [&](const Synapses& list) {
      Sum part[Draws::kMaxTasks] = {};
      for (int64_t j = 0; j < list.count; ++j) {
        const X value = row[list.target[j]];
        if (kOne && !each) {
          part[list.owner[j]] += static_cast<Sum>(value);
        } else if constexpr (kOne) {
          if (value != X(0)) part[list.owner[j]] += static_cast<Sum>(A(k) * static_cast<T>(value));
        } else if (value != X(0)) {
          part[list.owner[j]] += static_cast<T>((A(k) + B(k) * Cast<T>(list.z[j])) * static_cast<T>(value));
        }
      }
      for (int64_t l = 0; l < list.lines; ++l) sums[list.line[l]] += part[l];
    });
    if (!each) TakeWeighted(A(k), sums.data(), end - begin);
    std::memcpy(y_ + k * s_.n_out + begin, sums.data(), (end - begin) * sizeof(T));
  }

  const X* x_;
  const T* weight_;
  const uint32_t* seed_;
  T* y_;
  Shape s_;
  Scheme scheme_;
  Law law_;
  ffi::AnyBuffer table_;
  Draws::Table quantiles_;
  ffi::ThreadPool& pool_;
};

template <class X, class T>
void Run(const Operands& o, const Shape& s, const Scheme& scheme, Law law, bool gather, ffi::ThreadPool& pool) {
  if (IsPublished(scheme) && law == Law::kConstant) {
    const X* x = static_cast<const X*>(o.x.untyped_data());
    const T* weight = static_cast<const T*>(o.weight.untyped_data());
    const uint32_t* seed = static_cast<const uint32_t*>(o.seed.untyped_data());
    T* y = static_cast<T*>(o.y.untyped_data());
    if (!gather) return PublishedScatter(x, weight, seed, y, s, scheme);
    if constexpr (std::is_same_v<X, T>) return PublishedGather(x, weight, seed, y, s, scheme);
  } else if (law == Law::kConstant) {
    Drawn<X, T, true> drawn(o, s, scheme, law, pool);
    gather ? drawn.Gather() : drawn.Scatter();
  } else {
    Drawn<X, T, false> drawn(o, s, scheme, law, pool);
    gather ? drawn.Gather() : drawn.Scatter();
  }
}

ffi::Error Product(const char* op, bool gather, ffi::ThreadPool& pool, const Operands& o, int64_t per_input,
                   Integers spec) {
  Plan p;
  const std::string bad = p.Read(gather, o, per_input, spec);
  if (!bad.empty()) return Invalid(op, bad);
  const Shape& s = p.shape;
  return ForElement(op, o.y.element_type(), [&](auto zero) {
    using T = decltype(zero);
    std::memset(o.y.untyped_data(), 0, s.matrices * s.n_out * sizeof(T));  // XLA does not
    if (p.spikes) {
      Run<uint8_t, T>(o, s, p.spec.scheme, p.law(), gather, pool);
    } else {
      Run<T, T>(o, s, p.spec.scheme, p.law(), gather, pool);
    }
    return ffi::Error::Success();
  });
}

template <bool kGather>
ffi::Error Handle(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer weight, ffi::AnyBuffer seed,
                  ffi::AnyBuffer table, ffi::AnyBuffer quantiles, ffi::Result<ffi::AnyBuffer> y, int64_t per_input,
                  Integers spec) {
  return Product(kGather ? "evops_gather" : "evops_scatter", kGather, pool, {x, weight, seed, table, quantiles, *y},
                 per_input, spec);
}

auto Binding() { return BindOnCpu<5, 1>().Attr<int64_t>("per_input").Attr<Integers>("spec"); }

}  // namespace
}  // namespace evops

EVOPS_HANDLER(evops_scatter, evops::Handle<false>, evops::Binding());
EVOPS_HANDLER(evops_gather, evops::Handle<true>, evops::Binding());
