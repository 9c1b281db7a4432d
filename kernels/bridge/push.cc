// evops_push: add the spikes of many populations to a ring of delayed sums, in place; evops_pop: take the
// sums of one slot out of it.
//
// The ring is [slots, n_post]; a spike of pre neuron i at `step` with delay d is added to slot
// (step + d) mod slots. Pre neurons and post neurons come in blocks; every pair (s, t) of blocks has
// its own weight and random stream, and pairs of zero weight are skipped. Delays are one per pair
// [S, T], or one per pre neuron and delay column [n_pre, C], where block t reads column delay_column[t]; every
// synapse may add what it draws from a table. Rules, laws and delays of pairs may differ.
#include "parallel.h"
#include "push.h"

namespace evops {
namespace {

// A delay outside the ring, and whose it is (-1: nobody's).
struct BadDelay {
  int64_t steps = 0, neuron = -1;
};

template <class X, class T>
class Pushing {
 public:
  Pushing(const PushOperands& o, const PushPlan& p)
      : p_(p), x_(static_cast<const X*>(o.x.untyped_data())), weight_(static_cast<const T*>(o.weight.untyped_data())),
        seed_(static_cast<const uint32_t*>(o.seed.untyped_data())),
        delay_(static_cast<const int32_t*>(o.delay.untyped_data())),
        table_(static_cast<const uint32_t*>(o.table.untyped_data())), table_size_(o.table.element_count()),
        quantiles_(static_cast<const int32_t*>(o.quantiles.untyped_data())),
        delays_(static_cast<const uint32_t*>(o.delays.untyped_data())),
        step_(*static_cast<const int32_t*>(o.step.untyped_data())), ring_(static_cast<T*>(o.out.untyped_data())) {}

  ffi::Error Run(const char* op, ffi::ThreadPool& pool) {
    if (step_ < 0) return Invalid(op, "step is " + std::to_string(step_) + ", expected >= 0");
    const double work = List();
    const int64_t targets = p_.post.count();
    const int64_t threads = std::min(Parts(pool, work), targets);
    // Targets are shared out: every sum has one thread, and its addends come in the same order.
    const int64_t units = threads == 1 ? 1 : std::min(targets, kUnitsOfAThread * threads);
    std::vector<BadDelay> bad(units);
    Parallel(pool, units, [&](int64_t unit) {
      for (const PushSource& source : p_.sources)
        Push(source, targets * unit / units, targets * (unit + 1) / units, &bad[unit]);
    }, threads);
    for (const BadDelay& b : bad)
      if (b.neuron >= 0)
        return Invalid(op, "delay of " + std::to_string(b.steps) + " steps of presynaptic neuron " +
                               std::to_string(b.neuron) + ", expected 0 to " + std::to_string(p_.slots - 1));
    return ffi::Error::Success();
  }

 private:
  // A synapse in a ring, which is larger than the cache, takes about as long as three in a vector.
  static constexpr double kWorkInRing = 3;
  static constexpr int64_t kUnitsOfAThread = 4;

  // Lists the neurons that fire, block by block; returns the work expected for them.
  double List() {
    double work = 0;
    const int64_t targets = p_.post.count();
    for (int64_t s = 0; s < p_.pre.count(); ++s) {
      const int64_t before = static_cast<int64_t>(active_.size());
      begin_.push_back(before);
      ForEachNonzero(x_ + p_.pre.offset[s], p_.pre.size[s], [&](int64_t i) { active_.push_back(i); });
      const int64_t count = static_cast<int64_t>(active_.size()) - before;
      if (count == 0) continue;
      double synapses = 0;
      for (int64_t pair = s * targets; pair < (s + 1) * targets; ++pair)
        if (const int64_t k = p_.SourceOf(pair); k >= 0 && !Silent(pair))
          synapses += p_.sources[k].synapses_per_line * (p_.sources[k].delay_bits ? kWorkInRing : 1);
      work += count * synapses;
    }
    begin_.push_back(static_cast<int64_t>(active_.size()));
    return work;
  }

  T A(int64_t pair) const { return weight_[pair * p_.parameters]; }
  T B(int64_t pair) const { return p_.parameters == 2 ? weight_[pair * 2 + 1] : T(0); }
  bool Silent(int64_t pair) const { return A(pair) == T(0) && B(pair) == T(0); }

  void Push(const PushSource& source, int64_t first, int64_t last, BadDelay* bad) {
    Delays drawn;
    if (source.delay_bits)
      drawn = {delays_ + source.delays_at, static_cast<uint32_t>(source.delay_bits),
               static_cast<uint32_t>(p_.slots), static_cast<uint32_t>(p_.n_post)};
    const bool constant = source.law() == Law::kConstant;
    if (source.scheme.published() && constant && !drawn.table) {
      Lines<T> lines(source.scheme, ring_, p_.slots * p_.n_post);
      return Push(source, first, last, bad, lines);
    }
    const Draws draws(source.scheme, source.law(), {table_ + source.table_at, table_size_ - source.table_at},
                      {quantiles_ + source.quantiles_at, 3 * 1025}, drawn);
    if (constant) {
      DrawnLines<T, Addend::kValue> lines(draws, ring_);
      return Push(source, first, last, bad, lines);
    }
    DrawnLines<T, Addend::kVariate> lines(draws, ring_);
    Push(source, first, last, bad, lines);
  }

  template <class Sink>
  void Push(const PushSource& source, int64_t first, int64_t last, BadDelay* bad, Sink& lines) {
    const int64_t targets = p_.post.count(), k = &source - p_.sources.data();
    const bool alone = p_.source_of_pair.size() == 0;
    for (int64_t s = 0; s < p_.pre.count(); ++s) {
      for (int64_t at = begin_[s]; at < begin_[s + 1]; ++at) {
        const int64_t i = active_[at], neuron = p_.pre.offset[s] + i;
        const int32_t* delay = delay_ + (p_.per_neuron() ? neuron * p_.columns : s * targets);
        const T value = static_cast<T>(x_[neuron]);
        for (int64_t t = first; t < last; ++t) {
          const int64_t pair = s * targets + t;
          if (!alone && p_.source_of_pair[pair] != k) continue;
          const T a = A(pair), b = B(pair);
          if (a == T(0) && b == T(0)) continue;
          const int64_t d = delay[p_.per_neuron() ? p_.delay_column[t] : t];
          if (d < 0 || d >= p_.slots) {
            *bad = {d, neuron};
            continue;
          }
          const int64_t slot = (step_ + d) % p_.slots, base = source.delay_bits ? 0 : slot * p_.n_post;
          lines.Add(seed_ + 2 * pair, i, base + p_.post.offset[t], p_.post.size[t], static_cast<T>(a * value),
                    static_cast<T>(b * value), static_cast<uint32_t>(slot), table_ + source.table_at + p_.StartsAt(pair));
        }
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
};

ffi::Error Push(ffi::ThreadPool pool, ffi::AnyBuffer ring, ffi::AnyBuffer x, ffi::AnyBuffer weight,
                ffi::AnyBuffer seed, ffi::AnyBuffer delay, ffi::AnyBuffer step, ffi::AnyBuffer table,
                ffi::AnyBuffer quantiles, ffi::AnyBuffer delays, ffi::Result<ffi::AnyBuffer> out, Integers pre_offset,
                Integers pre_size, Integers post_offset, Integers post_size, Integers delay_column,
                Integers source_of_pair, Integers starts_at, Integers sources) {
  constexpr const char* kOp = "evops_push";
  PushPlan p({pre_offset, pre_size}, {post_offset, post_size}, delay_column, source_of_pair, starts_at, sources);
  const PushOperands o{ring, x, weight, seed, delay, step, table, quantiles, delays, *out};
  const std::string bad = p.Read(o);
  if (!bad.empty()) return Invalid(kOp, bad);
  return ForElement(kOp, ring.element_type(), [&](auto zero) {
    using T = decltype(zero);
    if (ring.untyped_data() != out->untyped_data())
      std::memcpy(out->untyped_data(), ring.untyped_data(), ring.size_bytes());
    if (x.element_type() == ffi::DataType::PRED) return Pushing<uint8_t, T>(o, p).Run(kOp, pool);
    return Pushing<T, T>(o, p).Run(kOp, pool);
  });
}

ffi::Error Pop(ffi::AnyBuffer ring, ffi::AnyBuffer step, ffi::Result<ffi::AnyBuffer> out,
               ffi::Result<ffi::AnyBuffer> now) {
  constexpr const char* kOp = "evops_pop";
  if (ring.dimensions().size() != 2) return Invalid(kOp, "ring is " + Describe(ring) + ", expected rank 2");
  const int64_t slots = ring.dimensions()[0], n = ring.dimensions()[1];
  for (const std::string& bad : {Mismatch("result", *out, ring.element_type(), {slots, n}),
                                 Mismatch("now", *now, ring.element_type(), {n}),
                                 Mismatch("step", step, ffi::DataType::S32, {})})
    if (!bad.empty()) return Invalid(kOp, bad);
  const int64_t slot = *static_cast<const int32_t*>(step.untyped_data());
  if (slot < 0 || slot >= slots)
    return Invalid(kOp, "step is " + std::to_string(slot) + ", expected 0 to " + std::to_string(slots - 1));
  if (ring.untyped_data() != out->untyped_data())
    std::memcpy(out->untyped_data(), ring.untyped_data(), ring.size_bytes());
  const size_t bytes = now->size_bytes();
  char* at = static_cast<char*>(out->untyped_data()) + slot * bytes;
  std::memcpy(now->untyped_data(), at, bytes);
  std::memset(at, 0, bytes);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace evops

XLA_FFI_DEFINE_HANDLER_SYMBOL(evops_pop, evops::Pop,
                              evops::ffi::Ffi::Bind()
                                  .Arg<evops::ffi::AnyBuffer>()
                                  .Arg<evops::ffi::AnyBuffer>()
                                  .Ret<evops::ffi::AnyBuffer>()
                                  .Ret<evops::ffi::AnyBuffer>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(evops_push, evops::Push,
                              evops::ffi::Ffi::Bind()
                                  .Ctx<evops::ffi::ThreadPool>()
                                  .Arg<evops::ffi::AnyBuffer>()
                                  .Arg<evops::ffi::AnyBuffer>()
                                  .Arg<evops::ffi::AnyBuffer>()
                                  .Arg<evops::ffi::AnyBuffer>()
                                  .Arg<evops::ffi::AnyBuffer>()
                                  .Arg<evops::ffi::AnyBuffer>()
                                  .Arg<evops::ffi::AnyBuffer>()
                                  .Arg<evops::ffi::AnyBuffer>()
                                  .Arg<evops::ffi::AnyBuffer>()
                                  .Ret<evops::ffi::AnyBuffer>()
                                  .Attr<evops::Integers>("pre_offset")
                                  .Attr<evops::Integers>("pre_size")
                                  .Attr<evops::Integers>("post_offset")
                                  .Attr<evops::Integers>("post_size")
                                  .Attr<evops::Integers>("delay_column")
                                  .Attr<evops::Integers>("source_of_pair")
                                  .Attr<evops::Integers>("starts_at")
                                  .Attr<evops::Integers>("sources"));
