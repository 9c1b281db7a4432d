// Products with a stored matrix on a GPU: evops_gpu_stored_scatter and evops_gpu_stored_gather. Entries that point
// outside their range are left out there, where the CPU reports them.
#include "../stored.h"
#include "commands.h"

namespace evops::gpu {
namespace {

std::string Check(bool gather, const ffi::AnyBuffer& x, const ffi::AnyBuffer& data, const ffi::AnyBuffer& indices,
                  const ffi::AnyBuffer& indptr, const ffi::AnyBuffer& y) {
  const auto type = y.element_type();
  if (type != ffi::DataType::S32 && type != ffi::DataType::F32 && type != ffi::DataType::F64)
    return "values are " + Name(type) + ", expected int32, float32 or float64";
  std::string bad = CheckStored(gather, x, indices, indptr, y);
  if (bad.empty()) bad = CheckWeights(data, type, indices);
  if (!bad.empty()) return bad;
  return TooLarge(0, {x, y}, WordsOf(y));
}

// What the kernels of both directions are told about the operands.
template <class Arguments>
void SetShape(const ffi::AnyBuffer& x, const ffi::AnyBuffer& data, const ffi::AnyBuffer& indices,
              const ffi::AnyBuffer& y, Arguments* arguments) {
  arguments->inputs = static_cast<uint32_t>(x.dimensions()[0]);
  arguments->n_x = static_cast<uint32_t>(x.dimensions()[1]);
  arguments->n_out = static_cast<uint32_t>(y.dimensions()[1]);
  arguments->entries = static_cast<uint32_t>(indices.element_count());
  arguments->one = data.element_count() == 1;
}

template <Stage kStage>
ffi::Error Scatter(Stream stream, ffi::AnyBuffer x, ffi::AnyBuffer data, ffi::AnyBuffer indices, ffi::AnyBuffer indptr,
                   ffi::Result<ffi::AnyBuffer> y, ffi::Result<ffi::AnyBuffer> active, ffi::Result<ffi::AnyBuffer> value,
                   ffi::Result<ffi::AnyBuffer> count) {
  constexpr const char* kOp = "evops_gpu_stored_scatter";
  const auto type = y->element_type();
  std::string bad = Check(false, x, data, indices, indptr, *y);
  const Spikes spikes{*active, *value, *count};
  if (bad.empty()) bad = spikes.Mismatch(x.dimensions()[0], x.dimensions()[1], type);
  if (!bad.empty()) return Invalid(kOp, bad);
  Commands commands(kOp, kStage, stream);
  if (y->element_count() == 0) return commands.Result();
  spikes.Find(commands, x, type, *y, WordsOf(*y));
  if (indices.element_count() == 0) return commands.Result();
  StoredScatter arguments{All(*active), spikes.Values(type), All(*count), All(data),
                          All(indices), All(indptr),         All(*y)};
  SetShape(x, data, indices, *y, &arguments);
  commands.Launch(Suffix(type), std::min<int64_t>(x.element_count(), kWorkers) * kWarp, arguments);
  return commands.Result();
}

template <Stage kStage>
ffi::Error Gather(Stream stream, ffi::AnyBuffer x, ffi::AnyBuffer data, ffi::AnyBuffer indices, ffi::AnyBuffer indptr,
                  ffi::Result<ffi::AnyBuffer> y) {
  constexpr const char* kOp = "evops_gpu_stored_gather";
  const std::string bad = Check(true, x, data, indices, indptr, *y);
  if (!bad.empty()) return Invalid(kOp, bad);
  Commands commands(kOp, kStage, stream);
  StoredGather arguments{All(x), All(data), All(indices), All(indptr), All(*y)};
  SetShape(x, data, indices, *y, &arguments);
  commands.Launch(Suffix(y->element_type()), std::min<int64_t>(y->element_count(), kWorkers) * kWarp, arguments);
  return commands.Result();
}

template <Stage kStage>
auto ScatterBinding() {
  return Bind<kStage, 4, 4>();
}
template <Stage kStage>
auto GatherBinding() {
  return Bind<kStage, 4, 1>();
}

}  // namespace
}  // namespace evops::gpu

EVOPS_GPU_HANDLERS(evops_gpu_stored_scatter, evops::gpu::Scatter, evops::gpu::ScatterBinding);
EVOPS_GPU_HANDLERS(evops_gpu_stored_gather, evops::gpu::Gather, evops::gpu::GatherBinding);
