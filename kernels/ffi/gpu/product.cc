// Products of a vector with K matrices at once on a GPU: evops_gpu_scatter and evops_gpu_gather. The operands of
// product.cc, and room for the lists of spikes.
#include <cmath>
#include <cstdlib>

#include "../product.h"
#include "commands.h"

namespace evops::gpu {
namespace {

// The type of the sums: spikes of one weight are counted where the counts fit into the result's memory.
ffi::DataType SumsOf(const Plan& p, ffi::DataType weight) {
  const bool counted = p.law() == Law::kConstant && !IsPublished(p.spec.scheme) && p.spikes;
  return counted && weight == ffi::DataType::F32 ? ffi::DataType::S32 : weight;
}

// Words between the tables of two matrices.
uint32_t TableStride(const ffi::AnyBuffer& table) {
  return table.dimensions()[0] > 1 ? static_cast<uint32_t>(table.dimensions()[1]) : 0;
}

// What the kernels of both directions are told about the operands.
template <class Arguments>
void SetShape(const Shape& s, const ffi::AnyBuffer& table, const Scheme& scheme, Arguments* arguments) {
  arguments->inputs = static_cast<uint32_t>(s.rows);
  arguments->n_x = static_cast<uint32_t>(s.n_x);
  arguments->n_out = static_cast<uint32_t>(s.n_out);
  arguments->matrices = static_cast<uint32_t>(s.matrices);
  arguments->per_input = static_cast<uint32_t>(s.per_input);
  arguments->table_size = TableStride(table);
  arguments->scheme = scheme;
}

std::string Read(Plan* p, bool gather, const Operands& o, int64_t per_input, Integers spec) {
  const auto type = o.y.element_type();
  if (type != ffi::DataType::S32 && type != ffi::DataType::F32 && type != ffi::DataType::F64)
    return "values are " + Name(type) + ", expected int32, float32 or float64";
  std::string bad = p->Read(gather, o, per_input, spec);
  return bad.empty() ? TooLarge(0, {o.x, o.weight, o.seed, o.table}, WordsOf(o.y)) : bad;
}

// Blocks for which a multiprocessor has room: of its 65,536 registers a thread takes up to 64.
constexpr int64_t kBlocksAtOnce = 2;

// How the work on x @ C is shared out: blocks of threads for every tile of targets and split of the spikes.
struct Layout {
  int64_t parts;         // into which a row is cut
  int64_t tile_parts;    // parts in a tile
  int64_t tiles;         // in a line
  int64_t spike_splits;  // of the spikes
  double shared_from;    // spikes from which tiles are added up in shared memory
  int64_t blocks;        // to launch
};

// The sums that a block of threads must expect for each of its targets to add them up in shared memory first: with
// fewer, clearing and adding the tile to the result costs more than it saves. The variable is for measurements.
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
  const Scheme& scheme = p.spec.scheme;
  const int64_t tile = kTileBytes / (sums == ffi::DataType::F64 ? 8 : 4);
  int64_t part = s.n_out;  // targets of a part, where rows are cut by targets
  if (scheme.reader == Reader::kGeometricGaps) part = std::min(int64_t{1} << scheme.geometric_gaps.block_bits, s.n_out);
  if (scheme.reader == Reader::kDenseBlocks) part = std::min(int64_t{1} << scheme.dense_blocks.block_bits, s.n_out);
  const bool tiled = !IsPublished(scheme) && !IsGrid(scheme);  // as the kernels can
  const bool fits = tiled && part <= tile;
  const int64_t tile_parts = fits && s.n_out > tile ? tile / part : parts;
  const int64_t tiles = (parts + tile_parts - 1) / tile_parts;
  const int64_t at_once = std::min(multiprocessors * kBlocksAtOnce, kWorkers / kTileThreads);
  const int64_t tasks = std::max<int64_t>(s.n_x * tile_parts, 1);
  const int64_t spike_splits = std::clamp<int64_t>(at_once / (s.matrices * tiles), 1, tasks);
  const double of_a_spike =
      s.synapses_per_row / static_cast<double>(spike_splits * s.n_out);  // to each target and block
  const bool possible = fits && (from == 0 || of_a_spike > 0);
  const double shared_from = !possible ? HUGE_VAL : from == 0 ? 0 : std::ceil(from / of_a_spike);
  return {parts,        tile_parts,  tiles,
          spike_splits, shared_from, std::min(s.matrices * tiles * spike_splits, kWorkers / kTileThreads)};
}

template <Stage kStage>
ffi::Error Scatter(Stream stream, ffi::AnyBuffer x, ffi::AnyBuffer weight, ffi::AnyBuffer seed, ffi::AnyBuffer table,
                   ffi::AnyBuffer quantiles, ffi::Result<ffi::AnyBuffer> y, ffi::Result<ffi::AnyBuffer> active,
                   ffi::Result<ffi::AnyBuffer> value, ffi::Result<ffi::AnyBuffer> count, int64_t per_input,
                   Integers spec) {
  constexpr const char* kOp = "evops_gpu_scatter";
  Plan p;
  const auto type = y->element_type();
  std::string bad = Read(&p, false, {x, weight, seed, table, quantiles, *y}, per_input, spec);
  const auto sums = SumsOf(p, type);
  const Spikes spikes{*active, *value, *count};
  if (bad.empty()) bad = spikes.Mismatch(p.shape.rows, p.shape.n_x, sums);
  const int64_t parts = bad.empty() ? PartsOf(p.spec, p.shape.n_out) : 0;
  if (bad.empty()) bad = TooLarge(static_cast<double>(p.shape.n_x) * parts, {});
  const double from = SharedFrom(&bad);
  if (!bad.empty()) return Invalid(kOp, bad);
  const Shape& s = p.shape;
  Commands commands(kOp, kStage, stream);
  if (s.matrices * s.n_out == 0) return commands.Result();
  spikes.Find(commands, x, sums, *y, WordsOf(*y));
  const Layout l = LayoutOf(p, sums, parts, from, commands.Multiprocessors());
  constexpr double kNever = 4294967295.0;  // no row has as many spikes
  ProductScatter arguments{All(*active), spikes.Values(sums), All(*count),    All(weight),
                           All(seed),    All(table),          All(quantiles), All(*y)};
  SetShape(s, table, p.spec.scheme, &arguments);
  arguments.parts = static_cast<uint32_t>(l.parts);
  arguments.tile_parts = static_cast<uint32_t>(l.tile_parts);
  arguments.tiles = static_cast<uint32_t>(l.tiles);
  arguments.spike_splits = static_cast<uint32_t>(l.spike_splits);
  arguments.shared_from = static_cast<uint32_t>(std::min(l.shared_from, kNever));
  commands.LaunchBlocks(ScatterKindOf(p.spec) + Suffix(sums) + Suffix(type), l.blocks, kTileThreads, arguments);
  if (p.law() == Law::kConstant && !IsPublished(p.spec.scheme)) {
    Weigh weigh{All(*y), All(weight), All(*y)};
    weigh.n_out = arguments.n_out;
    weigh.size = static_cast<uint32_t>(y->element_count());
    commands.Launch(Suffix(sums) + Suffix(type), y->element_count(), weigh);
  }
  return commands.Result();
}

template <Stage kStage>
ffi::Error Gather(Stream stream, ffi::AnyBuffer x, ffi::AnyBuffer weight, ffi::AnyBuffer seed, ffi::AnyBuffer table,
                  ffi::AnyBuffer quantiles, ffi::Result<ffi::AnyBuffer> y, int64_t per_input, Integers spec) {
  constexpr const char* kOp = "evops_gpu_gather";
  const auto type = y->element_type();
  Plan p;
  std::string bad = Read(&p, true, {x, weight, seed, table, quantiles, *y}, per_input, spec);
  const bool counted = SumsOf(p, type) != type;  // other spikes are cast before (engine/gpu.py)
  if (bad.empty() && p.spikes && !counted) bad = "x is " + Describe(x) + ", expected " + Name(type);
  if (!bad.empty()) return Invalid(kOp, bad);
  const Shape& s = p.shape;
  Commands commands(kOp, kStage, stream);
  const int64_t rows = s.matrices * s.n_out, lanes = IsPublished(p.spec.scheme) ? 1 : kWarp;
  ProductGather arguments{All(x), All(weight), All(seed), All(table), All(quantiles), All(*y)};
  SetShape(s, table, p.spec.scheme, &arguments);
  const std::string kind = KindOf(IsPublished(p.spec.scheme), p.law());
  commands.Launch(kind + Suffix(x.element_type()) + Suffix(type), std::min(rows, kWorkers) * lanes, arguments);
  return commands.Result();
}

template <class Binding>
auto WithAttributes(Binding&& binding) {
  return std::move(binding).template Attr<int64_t>("per_input").template Attr<Integers>("spec");
}
template <Stage kStage>
auto ScatterBinding() {
  return WithAttributes(Bind<kStage, 5, 4>());
}
template <Stage kStage>
auto GatherBinding() {
  return WithAttributes(Bind<kStage, 5, 1>());
}

}  // namespace
}  // namespace evops::gpu

EVOPS_GPU_HANDLERS(evops_gpu_scatter, evops::gpu::Scatter, evops::gpu::ScatterBinding);
EVOPS_GPU_HANDLERS(evops_gpu_gather, evops::gpu::Gather, evops::gpu::GatherBinding);
