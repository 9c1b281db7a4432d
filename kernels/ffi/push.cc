// evops_push: add the spikes of many populations to a ring of delayed sums, in place; evops_pop: take the
// sums of one slot out of it.
//
// The ring is [slots, n_post]; a spike of pre neuron i at `step` with delay d is added to slot
// (step + d) mod slots. Pre neurons and post neurons come in populations; every pair (s, t) of them has
// its own weight and random stream, and pairs of zero weight are skipped. Delays are one per pair
// [S, T], or one per pre neuron and delay column [n_pre, C], where post population t reads column delay_column[t];
// every synapse may add what it draws from a table. Rules, laws and delays of pairs may differ.
//
// A batch of rings is one call too, in place. The ring and x then have the axes of the batch in front, and so has every
// other operand that is not the same for all rings.
#include <algorithm>

#include "handler.h"
#include "parallel.h"
#include "push.h"
#include "ring_batches.h"
#include "row_buffers.h"
#include "spikes.h"

namespace evops {
namespace {

// A delay outside the ring, and whose it is (-1: nobody's).
struct BadDelay {
  int64_t steps = 0, neuron = -1;
};

template <class X, class T>
class PushOp {
 public:
  PushOp(const PushOperands& o, const PushPlan& p)
      : p_(p),
        x_(static_cast<const X*>(o.x.untyped_data())),
        weight_(static_cast<const T*>(o.weight.untyped_data())),
        seed_(static_cast<const uint32_t*>(o.seed.untyped_data())),
        delay_(static_cast<const int32_t*>(o.delay.untyped_data())),
        table_(static_cast<const uint32_t*>(o.table.untyped_data())),
        table_size_(o.table.element_count()),
        quantiles_(static_cast<const int32_t*>(o.quantiles.untyped_data())),
        delays_(static_cast<const uint32_t*>(o.delays.untyped_data())),
        step_(*static_cast<const int32_t*>(o.step.untyped_data())),
        ring_(static_cast<T*>(o.out.untyped_data())) {}

  ffi::Error Run(const char* op, ffi::ThreadPool& pool) {
    if (step_ < 0) return Invalid(op, "step is " + std::to_string(step_) + ", expected >= 0");
    const double work = List();
    if (active_.empty()) return ffi::Error::Success();
    GroupPairs();
    // Targets are shared out, so every sum has one thread. Into how many units does not depend on the threads there
    // are: synapses of a unit are drawn side by side, which settles the order in which they are added up.
    const std::vector<int64_t> begins = BeginsOfTargets();
    const int64_t targets = static_cast<int64_t>(begins.size()) - 1;
    const int64_t units = work >= 2 * kWorkOfAThread ? std::clamp<int64_t>(targets, 1, kUnits) : 1;
    std::vector<BadDelay> bad(units);
    Parallel(
        pool, units,
        [&](int64_t unit) {
          for (const MatrixSpec& spec : p_.specs)
            PushSpec(spec, begins[targets * unit / units], begins[targets * (unit + 1) / units], &bad[unit]);
        },
        std::min(Parts(pool, work), units));
    for (const BadDelay& b : bad)
      if (b.neuron >= 0)
        return Invalid(op, "delay of " + std::to_string(b.steps) + " steps of presynaptic neuron " +
                               std::to_string(b.neuron) + ", expected 0 to " + std::to_string(p_.slots - 1));
    return ffi::Error::Success();
  }

 private:
  // A synapse in a ring, which is larger than the cache, takes about as long as three in a vector.
  static constexpr double kWorkInRing = 3;
  static constexpr int64_t kUnits = 16;

  // Lists the neurons that fire, block by block; returns the work expected for them.
  double List() {
    begin_.reserve(p_.pre.count() + 1);
    active_.reserve(std::min<int64_t>(p_.n_pre, 256));
    std::vector<int64_t> all;
    if (p_.x.words) ListNonzero(x_, p_.n_pre, p_.x.words, &all);
    for (int64_t s = 0; s < p_.pre.count(); ++s) {
      const int64_t first = p_.pre.offset[s], size = p_.pre.size[s];
      begin_.push_back(static_cast<int64_t>(active_.size()));
      if (!p_.x.words) {
        ListNonzero(x_ + first, size, 0, &active_);
        continue;
      }
      for (auto at = std::lower_bound(all.begin(), all.end(), first); at != all.end() && *at < first + size; ++at)
        active_.push_back(*at - first);
    }
    begin_.push_back(static_cast<int64_t>(active_.size()));
    double most = 0, work = 0;
    for (const MatrixSpec& spec : p_.specs) most = std::max(most, WorkOfRow(spec));
    const int64_t targets = p_.post.count();
    if (most * static_cast<double>(active_.size()) * targets < 2 * kWorkOfAThread) return 0;  // for one thread at most
    for (int64_t s = 0; s < p_.pre.count(); ++s) {
      const int64_t count = begin_[s + 1] - begin_[s];
      for (int64_t pair = s * targets; count > 0 && pair < (s + 1) * targets; ++pair)
        if (const int64_t k = p_.SpecOf(pair); k >= 0 && !Silent(pair)) work += count * WorkOfRow(p_.specs[k]);
    }
    return work;
  }
  static double WorkOfRow(const MatrixSpec& spec) {
    return static_cast<double>(spec.synapses_per_row) * (spec.delay_bits ? kWorkInRing : 1);
  }

  // Lists the pairs of each spec, row by row.
  void GroupPairs() {
    if (p_.spec_of_pair.size() == 0) return;
    first_.assign(p_.specs.size() + 1, 0);
    for (int64_t k : p_.spec_of_pair)
      if (k >= 0) ++first_[k + 1];
    for (size_t k = 1; k < first_.size(); ++k) first_[k] += first_[k - 1];
    pairs_.resize(first_.back());
    std::vector<int64_t> at(first_.begin(), first_.end() - 1);
    for (int64_t pair = 0; pair < static_cast<int64_t>(p_.spec_of_pair.size()); ++pair)
      if (const int64_t k = p_.spec_of_pair[pair]; k >= 0) pairs_[at[k]++] = pair;
  }

  // Where the populations begin, and end, that share no neuron with those before them; all of them where they do not
  // come in the order of their neurons.
  std::vector<int64_t> BeginsOfTargets() const {
    const int64_t all = p_.post.count();
    std::vector<int64_t> begins;
    for (int64_t t = 0, end = 0; t < all; ++t) {
      const int64_t first = p_.post.offset[t], last = first + p_.post.size[t];
      if (t && first < p_.post.offset[t - 1]) return {0, all};
      if (first >= end) begins.push_back(t);
      end = std::max(end, last);
    }
    if (begins.empty() || begins[0] != 0) begins.insert(begins.begin(), 0);
    begins.push_back(all);
    return begins;
  }

  T A(int64_t pair) const { return weight_[pair * p_.parameters]; }
  T B(int64_t pair) const { return p_.parameters == 2 ? weight_[pair * 2 + 1] : T(0); }
  bool Silent(int64_t pair) const { return A(pair) == T(0) && B(pair) == T(0); }

  // The pairs of one spec, with post populations first … last - 1.
  void PushSpec(const MatrixSpec& spec, int64_t first, int64_t last, BadDelay* bad) {
    Delays drawn;
    if (spec.delay_bits)
      drawn = {delays_ + spec.delays_offset, static_cast<uint32_t>(spec.delay_bits), static_cast<uint32_t>(p_.slots),
               static_cast<uint32_t>(p_.n_post)};
    const bool constant = LawOf(spec) == Law::kConstant;
    if (IsPublished(spec.scheme) && constant && !drawn.table) {
      ChainBuffer<T> buffer(spec.scheme, ring_, p_.slots * p_.n_post);
      return PushPairs(spec, first, last, bad, buffer);
    }
    SynapseReader reader(spec.scheme, LawOf(spec), {table_ + spec.table_offset, table_size_ - spec.table_offset},
                         {quantiles_ + spec.quantiles_offset, QuantilesOf(LawOf(spec))}, spec.ramp != 0, drawn);
    if (constant) {
      RowBuffer<T, Addend::kValue> buffer(reader, ring_);
      return PushPairs(spec, first, last, bad, buffer);
    }
    RowBuffer<T, Addend::kVariate> buffer(reader, ring_);
    PushPairs(spec, first, last, bad, buffer);
  }

  template <class Buffer>
  void PushPairs(const MatrixSpec& spec, int64_t first, int64_t last, BadDelay* bad, Buffer& buffer) {
    const int64_t targets = p_.post.count();
    if (p_.spec_of_pair.size() == 0) {
      for (int64_t s = 0; s < p_.pre.count(); ++s)
        PushPopulation(spec, s, last - first, [&](int64_t j) { return s * targets + first + j; }, bad, buffer);
      return buffer.Flush();
    }
    const int64_t k = &spec - p_.specs.data();
    std::vector<int64_t> own;
    for (int64_t at = first_[k]; at < first_[k + 1];) {
      const int64_t s = pairs_[at] / targets;
      own.clear();
      for (; at < first_[k + 1] && pairs_[at] < (s + 1) * targets; ++at)
        if (const int64_t t = pairs_[at] - s * targets; t >= first && t < last) own.push_back(pairs_[at]);
      PushPopulation(spec, s, static_cast<int64_t>(own.size()), [&](int64_t j) { return own[j]; }, bad, buffer);
    }
    buffer.Flush();
  }

  // The spikes of a pre population, to some pairs of its row.
  template <class PairOf, class Buffer>
  void PushPopulation(const MatrixSpec& spec, int64_t s, int64_t count, PairOf pair_of, BadDelay* bad, Buffer& buffer) {
    const int64_t targets = p_.post.count();
    for (int64_t at = begin_[s]; count > 0 && at < begin_[s + 1]; ++at) {
      const int64_t i = active_[at], neuron = p_.pre.offset[s] + i;
      const int32_t* delay = delay_ + (p_.per_neuron() ? neuron * p_.columns : s * targets);
      const T value = static_cast<T>(x_[neuron]);
      for (int64_t j = 0; j < count; ++j) {
        const int64_t pair = pair_of(j), t = pair - s * targets;
        const T a = A(pair), b = B(pair);
        if (a == T(0) && b == T(0)) continue;
        const int64_t d = delay[p_.per_neuron() ? p_.delay_column[t] : t];
        if (d < 0 || d >= p_.slots) {
          *bad = {d, neuron};
          continue;
        }
        const int64_t slot = (step_ + d) % p_.slots, base = spec.delay_bits ? 0 : slot * p_.n_post;
        buffer.Add({seed_[2 * pair], seed_[2 * pair + 1], static_cast<uint32_t>(i), base + p_.post.offset[t],
                    p_.post.size[t], static_cast<uint32_t>(slot), table_ + spec.table_offset + p_.IndptrOffset(pair)},
                   {value, a, b});
      }
    }
  }

  const PushPlan& p_;
  const X* x_;
  const T* weight_;
  const uint32_t* seed_;
  const int32_t* delay_;
  const uint32_t* table_;
  int64_t table_size_;
  const int32_t* quantiles_;
  const uint32_t* delays_;
  int64_t step_;
  T* ring_;
  std::vector<int64_t> active_, begin_;  // neurons that fire, and where those of each block begin
  std::vector<int64_t> pairs_, first_;   // pairs by their spec, and where those of each begin
};

ffi::Error PushOne(ffi::ThreadPool& pool, const PushOperands& o, PushPlan p) {
  constexpr const char* kOp = "evops_push";
  const std::string bad = p.Read(o);
  if (!bad.empty()) return Invalid(kOp, bad);
  return ForElement(kOp, o.ring.element_type(), [&](auto zero) {
    using T = decltype(zero);
    if (o.ring.untyped_data() != o.out.untyped_data())
      std::memcpy(o.out.untyped_data(), o.ring.untyped_data(), o.ring.size_bytes());
    if (p.x.flags) return PushOp<uint8_t, T>(o, p).Run(kOp, pool);
    return PushOp<T, T>(o, p).Run(kOp, pool);
  });
}

ffi::Error Push(ffi::ThreadPool pool, ffi::AnyBuffer ring, ffi::AnyBuffer x, ffi::AnyBuffer weight, ffi::AnyBuffer seed,
                ffi::AnyBuffer delay, ffi::AnyBuffer step, ffi::AnyBuffer table, ffi::AnyBuffer quantiles,
                ffi::AnyBuffer delays, ffi::Result<ffi::AnyBuffer> out, int64_t listed, Integers pre_offset,
                Integers pre_size, Integers post_offset, Integers post_size, Integers delay_column,
                Integers spec_of_pair, Integers indptr_offset, Integers specs) {
  const PushPlan p({pre_offset, pre_size}, {post_offset, post_size}, delay_column, spec_of_pair, indptr_offset, specs,
                   listed);
  if (ring.dimensions().size() < 3 || x.dimensions().size() < 2)
    return PushOne(pool, {ring, x, weight, seed, delay, step, table, quantiles, delays, *out}, p);
  return ForEachEntry("evops_push", {ring, x, weight, seed, delay, step, table, quantiles, delays, *out},
                      {2, 1, 3, 3, 2, 0, 1, 1, 1, 2}, [&](const XLA_FFI_Buffer* e) {
                        const auto of = [e](size_t i) { return ffi::AnyBuffer(&e[i]); };
                        const PushOperands o{of(0), of(1), of(2), of(3), of(4), of(5), of(6), of(7), of(8), of(9)};
                        return PushOne(pool, o, p);
                      });
}

ffi::Error PopOne(const ffi::AnyBuffer& ring, const ffi::AnyBuffer& step, const ffi::AnyBuffer& out,
                  const ffi::AnyBuffer& now) {
  constexpr const char* kOp = "evops_pop";
  if (ring.dimensions().size() != 2) return Invalid(kOp, "ring is " + Describe(ring) + ", expected rank 2");
  const int64_t slots = ring.dimensions()[0], n = ring.dimensions()[1];
  for (const std::string& bad :
       {Mismatch("result", out, ring.element_type(), {slots, n}), Mismatch("now", now, ring.element_type(), {n}),
        Mismatch("step", step, ffi::DataType::S32, {})})
    if (!bad.empty()) return Invalid(kOp, bad);
  const int64_t slot = *static_cast<const int32_t*>(step.untyped_data());
  if (slot < 0 || slot >= slots)
    return Invalid(kOp, "step is " + std::to_string(slot) + ", expected 0 to " + std::to_string(slots - 1));
  if (ring.untyped_data() != out.untyped_data())
    std::memcpy(out.untyped_data(), ring.untyped_data(), ring.size_bytes());
  const size_t bytes = now.size_bytes();
  char* at = static_cast<char*>(out.untyped_data()) + slot * bytes;
  std::memcpy(now.untyped_data(), at, bytes);
  std::memset(at, 0, bytes);
  return ffi::Error::Success();
}

ffi::Error Pop(ffi::AnyBuffer ring, ffi::AnyBuffer step, ffi::Result<ffi::AnyBuffer> out,
               ffi::Result<ffi::AnyBuffer> now) {
  if (ring.dimensions().size() < 3 || now->dimensions().size() < 2) return PopOne(ring, step, *out, *now);
  return ForEachEntry("evops_pop", {ring, step, *out, *now}, {2, 0, 2, 1}, [](const XLA_FFI_Buffer* e) {
    return PopOne(ffi::AnyBuffer(&e[0]), ffi::AnyBuffer(&e[1]), ffi::AnyBuffer(&e[2]), ffi::AnyBuffer(&e[3]));
  });
}

}  // namespace
}  // namespace evops

EVOPS_HANDLER(evops_pop, evops::Pop, (evops::WithBuffers<2, 2>(evops::ffi::Ffi::Bind())));
EVOPS_HANDLER(evops_push, evops::Push,
              (evops::BindOnCpu<9, 1>()
                   .Attr<int64_t>("listed")
                   .Attr<evops::Integers>("pre_offset")
                   .Attr<evops::Integers>("pre_size")
                   .Attr<evops::Integers>("post_offset")
                   .Attr<evops::Integers>("post_size")
                   .Attr<evops::Integers>("delay_column")
                   .Attr<evops::Integers>("spec_of_pair")
                   .Attr<evops::Integers>("indptr_offset")
                   .Attr<evops::Integers>("specs")));
