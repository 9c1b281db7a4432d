// The matrices of a product by name: their inputs, weights, seeds, results, and who reads their synapses.
#pragma once
#include <cstring>
#include <vector>

#include "handler.h"
#include "product.h"
#include "synapse_reader.h"

namespace evops {
namespace {

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

// The operands by name. With one weight for all (kOne) inputs are summed and weighted at the end; times an infinite
// weight, or one that is not a number, they would not cancel, so each is weighted by itself. Spikes are counted (where
// the weight has 32 bits in integers, in the result's own memory), so that the result is the same for any number of
// threads.
template <class X, class T, bool kOne>
class Matrices {
 public:
  static constexpr bool kSpikes = std::is_same_v<X, uint8_t>;
  using Sum = std::conditional_t<kOne && kSpikes && sizeof(T) == 4, uint32_t, T>;
  static constexpr Addend kAddend = !kOne ? Addend::kVariate : kSpikes ? Addend::kOne : Addend::kValue;

  Matrices(const Operands& o, const Plan& p)
      : shape(p.shape),
        x_(static_cast<const X*>(o.x.untyped_data())),
        weight_(static_cast<const T*>(o.weight.untyped_data())),
        seed_(static_cast<const uint32_t*>(o.seed.untyped_data())),
        y_(static_cast<T*>(o.y.untyped_data())),
        spec_(p.spec),
        table_(o.table),
        quantiles_(TableOf(o.quantiles)) {}

  const X* Input(int64_t k) const { return x_ + (k / shape.per_input) % shape.rows * shape.stride; }
  Sum* Output(int64_t k) const { return reinterpret_cast<Sum*>(y_ + k * shape.n_out); }
  T A(int64_t k) const { return weight_[k * shape.parameters]; }
  T B(int64_t k) const { return kOne ? T(0) : weight_[k * shape.parameters + 1]; }
  bool Silent(int64_t k) const { return A(k) == T(0) && B(k) == T(0); }
  // Whether each input is weighted by itself, as the published operators do.
  bool Each(int64_t k) const {
    if constexpr (!kOne) return true;
    if constexpr (kSpikes || !std::is_floating_point_v<T>) return false;
    return published() || !Finite(A(k));
  }

  Row RowOf(int64_t k, int64_t pre, int64_t n_post) const {
    return {seed_[2 * k], seed_[2 * k + 1], static_cast<uint32_t>(pre), 0, n_post, 0, nullptr};
  }
  // Whether sums depend on the order of their additions: counts and integers do not.
  static constexpr bool kOrdered = std::is_floating_point_v<T> && !(kOne && kSpikes);
  // Whether all rows are read, as for a member of a batch: then the sums of a member are those that it has alone. Times
  // an infinite weight silent rows would not add 0.
  bool TakesAllRows(int64_t k) const {
    if constexpr (kOrdered && !kSpikes) {
      if (published() || (kOne ? Each(k) : !Splits(k))) return false;
      int64_t nonzero = 0;
      const X* x = Input(k);
      for (int64_t i = 0; i < shape.n_x; ++i) nonzero += x[i] != X(0);
      return 8 * nonzero >= 3 * shape.n_x;
    }
    return false;
  }
  // Whether x a + x b z overflows for no x (Value).
  bool Splits(int64_t k) const {
    if constexpr (!kOne && std::is_floating_point_v<T>) {
      T most = 1;
      if constexpr (!kSpikes) {
        // as whole numbers, magnitudes have the same order, and what is not a number comes last
        using Bits = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
        const T* x = Input(k);
        Bits bits = 0;
        for (int64_t i = 0; i < shape.n_x; ++i) {
          Bits magnitude;
          std::memcpy(&magnitude, x + i, sizeof magnitude);
          magnitude &= std::numeric_limits<Bits>::max();
          bits = magnitude > bits ? magnitude : bits;
        }
        std::memcpy(&most, &bits, sizeof most);
      }
      return Value<T>{most, A(k), B(k)}.Splits();
    }
    return true;
  }
  bool published() const { return IsPublished(spec_.scheme); }
  bool numbered() const { return IsNumbered(spec_.scheme); }
  // How many matrices from k on have the same synapses, at most so many.
  int64_t Alike(int64_t k, int64_t most) const {
    int64_t next = k + 1;
    if (table_.dimensions()[0] > 1) return 1;
    const auto same = [&](int64_t other) {
      return seed_[2 * k] == seed_[2 * other] && seed_[2 * k + 1] == seed_[2 * other + 1];
    };
    while (next < shape.matrices && next - k < most && same(next)) ++next;
    return next - k;
  }
  SynapseReader ReaderOf(int64_t k) const {
    return {spec_.scheme, LawOf(spec_), evops::RowOf(table_, k), quantiles_, spec_.ramp != 0};
  }

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

  const Shape& shape;

 private:
  const X* x_;
  const T* weight_;
  const uint32_t* seed_;
  T* y_;
  MatrixSpec spec_;
  ffi::AnyBuffer table_;
  SynapseReader::Table quantiles_;
};

}  // namespace
}  // namespace evops
