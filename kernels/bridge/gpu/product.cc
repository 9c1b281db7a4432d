// Products of a vector with K matrices at once on a GPU: evops_gpu_scatter and evops_gpu_gather. The operands of
// product.cc, and room for the lists of spikes.
#include "../product.h"
#include "kernels.h"

namespace evops::gpu {
namespace {

// The type of the sums: spikes of one weight are counted where the counts fit into the result's memory.
ffi::DataType SumsOf(const Plan& p, ffi::DataType weight) {
  const bool counted = p.law == Law::kConstant && !p.scheme.published() && p.spikes;
  return counted && weight == ffi::DataType::F32 ? ffi::DataType::S32 : weight;
}

std::string KernelOf(const char* what, const Plan& p, ffi::DataType sums, ffi::DataType weight) {
  return std::string(what) + "_" + KindOf(p.scheme.published(), p.law) + "_" + Suffix(sums) + "_" + Suffix(weight);
}

// Words between the tables of two matrices.
uint32_t TableStride(const ffi::AnyBuffer& table) {
  return table.dimensions()[0] > 1 ? static_cast<uint32_t>(table.dimensions()[1]) : 0;
}

std::string Read(Plan* p, bool gather, const Operands& o, int64_t repeat, int64_t law, int64_t synapses_per_line,
                 Integers scheme) {
  const auto type = o.y.element_type();
  if (type != ffi::DataType::S32 && type != ffi::DataType::F32 && type != ffi::DataType::F64)
    return "values are " + Name(type) + ", expected int32, float32 or float64";
  std::string bad = p->Read(gather, o, repeat, law, synapses_per_line, scheme);
  return bad.empty() ? TooLarge(0, {o.x, o.weight, o.seed, o.table}) : bad;
}

template <Stage kStage>
ffi::Error Scatter(Stream stream, ffi::AnyBuffer x, ffi::AnyBuffer weight, ffi::AnyBuffer seed, ffi::AnyBuffer table,
                   ffi::AnyBuffer quantiles, ffi::Result<ffi::AnyBuffer> y, ffi::Result<ffi::AnyBuffer> active,
                   ffi::Result<ffi::AnyBuffer> value, ffi::Result<ffi::AnyBuffer> count, int64_t repeat, int64_t law,
                   int64_t synapses_per_line, Integers scheme) {
  constexpr const char* kOp = "evops_gpu_scatter";
  Plan p;
  const auto type = y->element_type();
  std::string bad = Read(&p, false, {x, weight, seed, table, quantiles, *y}, repeat, law, synapses_per_line, scheme);
  const auto sums = SumsOf(p, type);
  const Spikes spikes{*active, *value, *count};
  if (bad.empty()) bad = spikes.Mismatch(p.shape.rows, p.shape.n_x, sums);
  const int64_t parts = bad.empty() ? PartsOf(p.scheme, p.shape.n_out, synapses_per_line) : 0;
  if (bad.empty()) bad = TooLarge(static_cast<double>(p.shape.n_x) * parts, {});
  if (!bad.empty()) return Invalid(kOp, bad);
  const Shape& s = p.shape;
  Commands commands(kOp, kStage, stream);
  if (s.instances * s.n_out == 0) return commands.Result();
  spikes.Find(commands, x, sums, *y, WordsOf(*y));
  const int64_t lanes = p.scheme.published() ? 1 : kWarp;
  const auto n = [](int64_t number) { return static_cast<uint32_t>(number); };
  const Scheme& w = p.scheme;
  commands.Launch(KernelOf("product_scatter", p, sums, type), std::min(s.n_x * s.instances * parts, kWorkers) * lanes,
                  All(*active), spikes.Values(sums), All(*count), All(weight), All(seed), All(table), All(quantiles),
                  All(*y), n(s.rows), n(s.n_x), n(s.n_out), n(s.instances), n(repeat), TableStride(table), n(parts),
                  w.words[0], w.words[1], w.words[2], w.words[3], w.words[4]);
  if (p.law == Law::kConstant && !p.scheme.published())
    commands.Launch("weigh_" + Suffix(sums) + "_" + Suffix(type), y->element_count(), All(*y), All(weight), All(*y),
                    n(s.n_out), n(y->element_count()));
  return commands.Result();
}

template <Stage kStage>
ffi::Error Gather(Stream stream, ffi::AnyBuffer x, ffi::AnyBuffer weight, ffi::AnyBuffer seed, ffi::AnyBuffer table,
                  ffi::AnyBuffer quantiles, ffi::Result<ffi::AnyBuffer> y, int64_t repeat, int64_t law,
                  int64_t synapses_per_line, Integers scheme) {
  constexpr const char* kOp = "evops_gpu_gather";
  const auto type = y->element_type();
  Plan p;
  std::string bad = Read(&p, true, {x, weight, seed, table, quantiles, *y}, repeat, law, synapses_per_line, scheme);
  const bool counted = SumsOf(p, type) != type;  // other spikes are cast before (engine/gpu.py)
  if (bad.empty() && p.spikes && !counted) bad = "x is " + Describe(x) + ", expected " + Name(type);
  if (!bad.empty()) return Invalid(kOp, bad);
  const Shape& s = p.shape;
  Commands commands(kOp, kStage, stream);
  const auto n = [](int64_t number) { return static_cast<uint32_t>(number); };
  const int64_t lines = s.instances * s.n_out, lanes = p.scheme.published() ? 1 : kWarp;
  const Scheme& w = p.scheme;
  commands.Launch(KernelOf("product_gather", p, x.element_type(), type), std::min(lines, kWorkers) * lanes, All(x),
                  All(weight), All(seed), All(table), All(quantiles), All(*y), n(s.rows), n(s.n_x), n(s.n_out),
                  n(s.instances), n(repeat), TableStride(table), w.words[0], w.words[1], w.words[2], w.words[3],
                  w.words[4]);
  return commands.Result();
}

template <class Binding>
auto WithAttributes(Binding&& binding) {
  return std::move(binding)
      .template Attr<int64_t>("repeat")
      .template Attr<int64_t>("law")
      .template Attr<int64_t>("synapses_per_line")
      .template Attr<Integers>("scheme");
}
template <Stage kStage>
auto ScatterBinding() { return WithAttributes(Bind<kStage, 5, 4>()); }
template <Stage kStage>
auto GatherBinding() { return WithAttributes(Bind<kStage, 5, 1>()); }

}  // namespace
}  // namespace evops::gpu

EVOPS_GPU_HANDLERS(evops_gpu_scatter, evops::gpu::Scatter, evops::gpu::ScatterBinding);
EVOPS_GPU_HANDLERS(evops_gpu_gather, evops::gpu::Gather, evops::gpu::GatherBinding);
