// Spikes into a ring of delayed sums on a GPU: evops_gpu_push, with the operands of push.cc, its blocks and sources once
// more as arrays, and room for the list of spikes; and evops_gpu_pop.
//
// Delays and the step are read on the device: a spike whose delay lies outside the ring is lost there, where the
// CPU reports it.
#include "../push.h"
#include "kernels.h"

namespace evops::gpu {
namespace {

template <Stage kStage>
ffi::Error Push(Stream stream, ffi::AnyBuffer ring, ffi::AnyBuffer x, ffi::AnyBuffer weight, ffi::AnyBuffer seed,
                ffi::AnyBuffer delay, ffi::AnyBuffer step, ffi::AnyBuffer table, ffi::AnyBuffer quantiles,
                ffi::AnyBuffer delays, ffi::AnyBuffer block_of, ffi::AnyBuffer line_of, ffi::AnyBuffer offsets,
                ffi::AnyBuffer sizes, ffi::AnyBuffer column_of, ffi::AnyBuffer source_of, ffi::AnyBuffer starts_of,
                ffi::AnyBuffer source_words, ffi::Result<ffi::AnyBuffer> out, ffi::Result<ffi::AnyBuffer> active,
                ffi::Result<ffi::AnyBuffer> value, ffi::Result<ffi::AnyBuffer> count, Integers pre_offset,
                Integers pre_size, Integers post_offset, Integers post_size, Integers delay_column,
                Integers source_of_pair, Integers starts_at, Integers sources) {
  constexpr const char* kOp = "evops_gpu_push";
  const auto type = ring.element_type();
  PushPlan p({pre_offset, pre_size}, {post_offset, post_size}, delay_column, source_of_pair, starts_at, sources);
  std::string bad = p.Read({ring, x, weight, seed, delay, step, table, quantiles, delays, *out});
  const int64_t targets = p.post.count(), pairs = p.pre.count() * targets, words = static_cast<int64_t>(sources.size());
  const Spikes spikes{*active, *value, *count};
  if (bad.empty() && type != ffi::DataType::S32 && type != ffi::DataType::F32 && type != ffi::DataType::F64)
    bad = "values are " + Name(type) + ", expected int32, float32 or float64";
  if (bad.empty()) bad = spikes.Mismatch(1, p.n_pre, type);
  for (const std::string& wrong : {Mismatch("block_of", block_of, ffi::DataType::S32, {p.n_pre}),
                                   Mismatch("line_of", line_of, ffi::DataType::S32, {p.n_pre}),
                                   Mismatch("offsets", offsets, ffi::DataType::S32, {targets}),
                                   Mismatch("sizes", sizes, ffi::DataType::S32, {targets}),
                                   Mismatch("column_of", column_of, ffi::DataType::S32, {targets}),
                                   Mismatch("source_of", source_of, ffi::DataType::S32, {pairs}),
                                   Mismatch("starts_of", starts_of, ffi::DataType::S32, {pairs}),
                                   Mismatch("source_words", source_words, ffi::DataType::U32, {words})})
    if (bad.empty()) bad = wrong;
  int64_t parts = 0;
  for (const PushSource& s : p.sources)
    if (bad.empty()) parts = std::max(parts, PartsOf(s.scheme, p.longest(), s.synapses_per_line));
  if (bad.empty())
    bad = TooLarge(static_cast<double>(targets) * parts, {weight, seed, delay, table, quantiles, delays});
  if (!bad.empty()) return Invalid(kOp, bad);
  Commands commands(kOp, kStage, stream);
  commands.Copy(*out, ring);
  if (p.n_pre * targets * p.n_post == 0) return commands.Result();
  spikes.Find(commands, x, type, *count, 0);
  const int64_t lanes = p.published() ? 1 : kWarp;
  const auto n = [](int64_t number) { return static_cast<uint32_t>(number); };
  commands.Launch("push_" + KindOf(p.published(), p.law()) + "_" + Suffix(type),
                  std::min(p.n_pre * targets * parts, kWorkers) * lanes, All(*active), spikes.Values(type), All(*count),
                  All(weight), All(seed), All(delay), All(step), All(table), All(quantiles), All(delays),
                  All(block_of), All(line_of), All(offsets), All(sizes), All(column_of), All(source_of),
                  All(starts_of), All(source_words), All(*out), n(p.slots), n(p.n_post), n(targets),
                  n(p.per_neuron() ? p.columns : 0), n(parts));
  return commands.Result();
}

template <Stage kStage>
ffi::Error Pop(Stream stream, ffi::AnyBuffer ring, ffi::AnyBuffer step, ffi::Result<ffi::AnyBuffer> out,
               ffi::Result<ffi::AnyBuffer> now) {
  constexpr const char* kOp = "evops_gpu_pop";
  if (ring.dimensions().size() != 2) return Invalid(kOp, "ring is " + Describe(ring) + ", expected rank 2");
  const int64_t slots = ring.dimensions()[0], width = ring.dimensions()[1];
  for (const std::string& bad : {Mismatch("result", *out, ring.element_type(), {slots, width}),
                                 Mismatch("now", *now, ring.element_type(), {width}),
                                 Mismatch("step", step, ffi::DataType::S32, {})})
    if (!bad.empty()) return Invalid(kOp, bad);
  if (slots < 1 || WordsOf(*out) > kMaxElements || now->size_bytes() % 4 != 0)
    return Invalid(kOp, "ring is " + Describe(ring) + ", expected 1 to 2147483647 words of 32 bits");
  Commands commands(kOp, kStage, stream);
  commands.Copy(*out, ring);
  commands.Launch("pop", WordsOf(*now), All(step), Words(*out), Words(*now), static_cast<uint32_t>(slots),
                  static_cast<uint32_t>(WordsOf(*now)));
  return commands.Result();
}

template <Stage kStage>
auto PushBinding() {
  return Bind<kStage, 17, 4>()
      .template Attr<Integers>("pre_offset")
      .template Attr<Integers>("pre_size")
      .template Attr<Integers>("post_offset")
      .template Attr<Integers>("post_size")
      .template Attr<Integers>("delay_column")
      .template Attr<Integers>("source_of_pair")
      .template Attr<Integers>("starts_at")
      .template Attr<Integers>("sources");
}
template <Stage kStage>
auto PopBinding() { return Bind<kStage, 2, 2>(); }

}  // namespace
}  // namespace evops::gpu

EVOPS_GPU_HANDLERS(evops_gpu_push, evops::gpu::Push, evops::gpu::PushBinding);
EVOPS_GPU_HANDLERS(evops_gpu_pop, evops::gpu::Pop, evops::gpu::PopBinding);
