// Spikes into a ring of delayed sums on a GPU: evops_gpu_push, with the operands of push.cc, its populations and specs
// once more as arrays, and room for the list of spikes; and evops_gpu_pop.
//
// Delays and the step are read on the device: a spike whose delay lies outside the ring is lost there, where the
// CPU reports it.
#include "../push.h"
#include "commands.h"

namespace evops::gpu {
namespace {

template <Stage kStage>
ffi::Error PushHandler(Stream stream, ffi::AnyBuffer ring, ffi::AnyBuffer x, ffi::AnyBuffer weight, ffi::AnyBuffer seed,
                       ffi::AnyBuffer delay, ffi::AnyBuffer step, ffi::AnyBuffer table, ffi::AnyBuffer quantiles,
                       ffi::AnyBuffer delays, ffi::AnyBuffer population_of, ffi::AnyBuffer row_of,
                       ffi::AnyBuffer offsets, ffi::AnyBuffer sizes, ffi::AnyBuffer column_of, ffi::AnyBuffer spec_of,
                       ffi::AnyBuffer indptr_offsets, ffi::AnyBuffer spec_words, ffi::Result<ffi::AnyBuffer> out,
                       ffi::Result<ffi::AnyBuffer> active, ffi::Result<ffi::AnyBuffer> value,
                       ffi::Result<ffi::AnyBuffer> count, Integers pre_offset, Integers pre_size, Integers post_offset,
                       Integers post_size, Integers delay_column, Integers spec_of_pair, Integers indptr_offset,
                       Integers specs) {
  constexpr const char* kOp = "evops_gpu_push";
  const auto type = ring.element_type();
  PushPlan p({pre_offset, pre_size}, {post_offset, post_size}, delay_column, spec_of_pair, indptr_offset, specs);
  std::string bad = p.Read({ring, x, weight, seed, delay, step, table, quantiles, delays, *out});
  const int64_t targets = p.post.count(), pairs = p.pre.count() * targets, words = static_cast<int64_t>(specs.size());
  const Spikes spikes{*active, *value, *count};
  if (bad.empty() && type != ffi::DataType::S32 && type != ffi::DataType::F32 && type != ffi::DataType::F64)
    bad = "values are " + Name(type) + ", expected int32, float32 or float64";
  if (bad.empty()) bad = spikes.Mismatch(1, p.n_pre, type);
  for (const std::string& wrong : {Mismatch("population_of", population_of, ffi::DataType::S32, {p.n_pre}),
                                   Mismatch("row_of", row_of, ffi::DataType::S32, {p.n_pre}),
                                   Mismatch("offsets", offsets, ffi::DataType::S32, {targets}),
                                   Mismatch("sizes", sizes, ffi::DataType::S32, {targets}),
                                   Mismatch("column_of", column_of, ffi::DataType::S32, {targets}),
                                   Mismatch("spec_of", spec_of, ffi::DataType::S32, {pairs}),
                                   Mismatch("indptr_offsets", indptr_offsets, ffi::DataType::S32, {pairs}),
                                   Mismatch("spec_words", spec_words, ffi::DataType::U32, {words})})
    if (bad.empty()) bad = wrong;
  int64_t parts = 0;
  for (const MatrixSpec& s : p.specs)
    if (bad.empty()) parts = std::max(parts, PartsOf(s, p.longest()));
  if (bad.empty())
    bad = TooLarge(static_cast<double>(targets) * parts, {weight, seed, delay, table, quantiles, delays});
  if (!bad.empty()) return Invalid(kOp, bad);
  Commands commands(kOp, kStage, stream);
  commands.Copy(*out, ring);
  if (p.n_pre * targets * p.n_post == 0) return commands.Result();
  spikes.Find(commands, x, type, *count, 0);
  const int64_t lanes = p.published() ? 1 : kWarp;
  Push arguments{All(*active),       spikes.Values(type), All(*count),     All(weight),    All(seed),
                 All(delay),         All(step),           All(table),      All(quantiles), All(delays),
                 All(population_of), All(row_of),         All(offsets),    All(sizes),     All(column_of),
                 All(spec_of),       All(indptr_offsets), All(spec_words), All(*out)};
  arguments.slots = static_cast<uint32_t>(p.slots);
  arguments.n_post = static_cast<uint32_t>(p.n_post);
  arguments.targets = static_cast<uint32_t>(targets);
  arguments.columns = static_cast<uint32_t>(p.per_neuron() ? p.columns : 0);
  arguments.parts = static_cast<uint32_t>(parts);
  commands.Launch(KindOf(p.published(), p.law()) + Suffix(type), std::min(p.n_pre * targets * parts, kWorkers) * lanes,
                  arguments);
  return commands.Result();
}

template <Stage kStage>
ffi::Error PopHandler(Stream stream, ffi::AnyBuffer ring, ffi::AnyBuffer step, ffi::Result<ffi::AnyBuffer> out,
                      ffi::Result<ffi::AnyBuffer> now) {
  constexpr const char* kOp = "evops_gpu_pop";
  if (ring.dimensions().size() != 2) return Invalid(kOp, "ring is " + Describe(ring) + ", expected rank 2");
  const int64_t slots = ring.dimensions()[0], width = ring.dimensions()[1];
  for (const std::string& bad :
       {Mismatch("result", *out, ring.element_type(), {slots, width}),
        Mismatch("now", *now, ring.element_type(), {width}), Mismatch("step", step, ffi::DataType::S32, {})})
    if (!bad.empty()) return Invalid(kOp, bad);
  if (slots < 1 || WordsOf(*out) > kMaxElements || now->size_bytes() % 4 != 0)
    return Invalid(kOp, "ring is " + Describe(ring) + ", expected 1 to 2147483647 words of 32 bits");
  Commands commands(kOp, kStage, stream);
  commands.Copy(*out, ring);
  Pop arguments{All(step), Words(*out), Words(*now)};
  arguments.slots = static_cast<uint32_t>(slots);
  arguments.words = static_cast<uint32_t>(WordsOf(*now));
  commands.Launch("", WordsOf(*now), arguments);
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
      .template Attr<Integers>("spec_of_pair")
      .template Attr<Integers>("indptr_offset")
      .template Attr<Integers>("specs");
}
template <Stage kStage>
auto PopBinding() {
  return Bind<kStage, 2, 2>();
}

}  // namespace
}  // namespace evops::gpu

EVOPS_GPU_HANDLERS(evops_gpu_push, evops::gpu::PushHandler, evops::gpu::PushBinding);
EVOPS_GPU_HANDLERS(evops_gpu_pop, evops::gpu::PopHandler, evops::gpu::PopBinding);
