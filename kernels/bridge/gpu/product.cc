// Products of a vector with K matrices at once on a GPU: evops_gpu_scatter and evops_gpu_gather. The operands of
// product.cc, and room for the lists of spikes.
#include <cmath>
#include <cstdlib>

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
  return bad.empty() ? TooLarge(0, {o.x, o.weight, o.seed, o.table}, WordsOf(o.y)) : bad;
}

// As in kernels/gpu_product.py: threads of a block, and bytes of the sums that it shares.
constexpr int64_t kBlock = 512, kSlabBytes = 1 << 15;
// Blocks for which a multiprocessor has room: of its 65,536 registers a thread takes up to 64.
constexpr int64_t kBlocksAtOnce = 2;

// How the work on x @ C is shared out: blocks of threads for every slab of targets and share of the spikes.
struct Layout {
  int64_t parts;       // into which a line is cut
  int64_t slab_parts;  // parts in a slab
  int64_t slabs;       // in a line
  int64_t shares;      // of the spikes
  double shared_from;  // spikes from which slabs are added up in shared memory
  int64_t blocks;      // to launch
};

// The sums that a block of threads must expect for each of its targets to add them up in shared memory first: with
// fewer, clearing and adding the slab to the result costs more than it saves. The variable is for measurements.
double SharedFrom(std::string* bad) {
  const char* asked = std::getenv("EVOPS_GPU_SHARED_FROM");
  if (!asked) return 2;
  char* end = nullptr;
  const double sums = std::strtod(asked, &end);
  if (end == asked || *end || !(sums >= 0))
    *bad = "EVOPS_GPU_SHARED_FROM is '" + std::string(asked) + "', expected a number from 0 to inf";
  return sums;
}

Layout LayoutOf(const Plan& p, ffi::DataType sums, int64_t parts, double from, int64_t multiprocessors) {
  const Shape& s = p.shape;
  const uint32_t* words = p.scheme.words;
  const int64_t slab = kSlabBytes / (sums == ffi::DataType::F64 ? 8 : 4);
  const bool cut = words[0] == Scheme::kGaps || words[0] == Scheme::kDense;  // by targets
  const int64_t part = cut ? std::min(int64_t{1} << words[2], s.n_out) : s.n_out;
  const bool fits = !p.scheme.published() && part <= slab;
  const int64_t slab_parts = fits && s.n_out > slab ? slab / part : parts;
  const int64_t slabs = (parts + slab_parts - 1) / slab_parts;
  const int64_t at_once = std::min(multiprocessors * kBlocksAtOnce, kWorkers / kBlock);
  const int64_t tasks = std::max<int64_t>(s.n_x * slab_parts, 1);
  const int64_t shares = std::clamp<int64_t>(at_once / (s.instances * slabs), 1, tasks);
  const double of_a_spike = s.synapses_per_line / static_cast<double>(shares * s.n_out);  // to each target and block
  const bool possible = fits && (from == 0 || of_a_spike > 0);
  const double shared_from = !possible ? HUGE_VAL : from == 0 ? 0 : std::ceil(from / of_a_spike);
  return {parts, slab_parts, slabs, shares, shared_from, std::min(s.instances * slabs * shares, kWorkers / kBlock)};
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
  const double from = SharedFrom(&bad);
  if (!bad.empty()) return Invalid(kOp, bad);
  const Shape& s = p.shape;
  Commands commands(kOp, kStage, stream);
  if (s.instances * s.n_out == 0) return commands.Result();
  spikes.Find(commands, x, sums, *y, WordsOf(*y));
  const auto n = [](int64_t number) { return static_cast<uint32_t>(number); };
  const Scheme& w = p.scheme;
  const Layout l = LayoutOf(p, sums, parts, from, commands.Multiprocessors());
  constexpr double kNever = 4294967295.0;  // no row has as many spikes
  commands.LaunchBlocks(KernelOf("product_scatter", p, sums, type), l.blocks, kBlock, All(*active),
                        spikes.Values(sums), All(*count), All(weight), All(seed), All(table), All(quantiles), All(*y),
                        n(s.rows), n(s.n_x), n(s.n_out), n(s.instances), n(repeat), TableStride(table), n(l.parts),
                        n(l.slab_parts), n(l.slabs), n(l.shares),
                        static_cast<uint32_t>(std::min(l.shared_from, kNever)), w.words[0], w.words[1], w.words[2],
                        w.words[3], w.words[4]);
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
