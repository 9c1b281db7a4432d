// evops_push: add the spikes of many populations to a ring of delayed sums, in place; evops_pop: take the
// sums of one slot out of it.
//
// The ring is [slots, n_post]; a spike of pre neuron i at `step` with delay d is added to slot
// (step + d) mod slots. Pre neurons and post neurons come in blocks; every pair (s, t) of blocks has
// its own weight and random stream, and pairs of zero weight are skipped. Delays are one per pair
// [S, T], or one per pre neuron and delay column [n_pre, C], where block t reads column delay_column[t]; every
// synapse may add what it draws from a table.
#include "push.h"

namespace evops {
namespace {

template <class X, class T, class Sink>
ffi::Error PushSpikes(const X* x, const T* weight, const uint32_t* seed, const PushPlan& p, Sink& lines) {
  const size_t targets = p.post.count();
  const int64_t parameters = p.parameters();
  int64_t bad_delay = 0, bad_neuron = -1;
  for (size_t s = 0; s < p.pre.count(); ++s) {
    const T* w = weight + s * targets * parameters;
    const int64_t first = p.pre.offset[s];
    ForEachNonzero(x + first, p.pre.size[s], [&](int64_t i) {
      const int32_t* delay = p.delay_column.size() ? p.delay + (first + i) * p.columns
                                                   : p.delay + s * targets;
      const T value = static_cast<T>(x[first + i]);
      for (size_t t = 0; t < targets; ++t) {
        const T a = w[t * parameters], b = parameters == 2 ? w[t * parameters + 1] : T(0);
        if (a == T(0) && b == T(0)) continue;
        const int64_t d = delay[p.delay_column.size() ? p.delay_column[t] : t];
        if (d < 0 || d >= p.slots) {
          bad_delay = d;
          bad_neuron = first + i;
          continue;
        }
        const int64_t slot = (p.step + d) % p.slots, base = p.drawn.table ? 0 : slot * p.n_post;
        lines.Add(seed + 2 * (s * targets + t), i, base + p.post.offset[t], p.post.size[t],
                  static_cast<T>(a * value), static_cast<T>(b * value), static_cast<uint32_t>(slot));
      }
    });
  }
  if (bad_neuron >= 0)
    return Invalid("evops_push", "delay of " + std::to_string(bad_delay) + " steps of presynaptic neuron " +
                                     std::to_string(bad_neuron) + ", expected 0 to " +
                                     std::to_string(p.slots - 1));
  return ffi::Error::Success();
}

template <class X, class T>
ffi::Error PushAny(const X* x, const T* weight, const uint32_t* seed, T* ring, const PushPlan& p, Draws::Table table,
                   Draws::Table quantiles) {
  if (p.scheme.published() && p.law == Law::kConstant && !p.drawn.table) {
    Lines<T> lines(p.scheme, ring, p.slots * p.n_post);
    return PushSpikes(x, weight, seed, p, lines);
  }
  const Draws draws(p.scheme, p.law, table, quantiles, p.drawn);
  if (p.law == Law::kConstant) {
    DrawnLines<T, Addend::kValue> lines(draws, ring);
    return PushSpikes(x, weight, seed, p, lines);
  }
  DrawnLines<T, Addend::kVariate> lines(draws, ring);
  return PushSpikes(x, weight, seed, p, lines);
}

ffi::Error Push(ffi::AnyBuffer ring, ffi::AnyBuffer x, ffi::AnyBuffer weight, ffi::AnyBuffer seed,
                ffi::AnyBuffer delay, ffi::AnyBuffer step, ffi::AnyBuffer table, ffi::AnyBuffer quantiles,
                ffi::AnyBuffer delays, ffi::Result<ffi::AnyBuffer> out, Integers pre_offset, Integers pre_size,
                Integers post_offset, Integers post_size, Integers delay_column, int64_t law, int64_t delay_bits,
                int64_t, Integers scheme_words) {
  constexpr const char* kOp = "evops_push";
  PushPlan p({pre_offset, pre_size}, {post_offset, post_size}, delay_column);
  const std::string bad =
      p.Read({ring, x, weight, seed, delay, step, table, quantiles, delays, *out}, law, delay_bits, scheme_words);
  if (!bad.empty()) return Invalid(kOp, bad);
  p.step = *static_cast<const int32_t*>(step.untyped_data());
  if (p.step < 0) return Invalid(kOp, "step is " + std::to_string(p.step) + ", expected >= 0");
  p.delay = static_cast<const int32_t*>(delay.untyped_data());
  const auto type = ring.element_type();
  return ForElement(kOp, type, [&](auto zero) {
    using T = decltype(zero);
    T* sums = static_cast<T*>(out->untyped_data());
    if (ring.untyped_data() != out->untyped_data())
      std::memcpy(sums, ring.untyped_data(), ring.size_bytes());
    const T* w = static_cast<const T*>(weight.untyped_data());
    const uint32_t* seeds = static_cast<const uint32_t*>(seed.untyped_data());
    if (x.element_type() == ffi::DataType::PRED)
      return PushAny(static_cast<const uint8_t*>(x.untyped_data()), w, seeds, sums, p, RowOf(table, 0),
                     TableOf(quantiles));
    return PushAny(static_cast<const T*>(x.untyped_data()), w, seeds, sums, p, RowOf(table, 0), TableOf(quantiles));
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
                                  .Attr<int64_t>("law")
                                  .Attr<int64_t>("delay_bits")
                                  .Attr<int64_t>("synapses_per_line")
                                  .Attr<evops::Integers>("scheme"));
