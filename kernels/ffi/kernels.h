// The compiled Taichi kernels and how they are called.
#pragma once
#include <cstdint>
#include <type_traits>

#include "format.h"        // made by kernels/build.py
#include "kernel_table.h"  // the same: EVOPS_KERNELS

namespace evops {

// What Taichi 1.7's CPU code expects. The kernels here use neither the runtime nor the result buffer.
struct RuntimeContext {
  void* arguments;
  void* runtime;
  int32_t thread;
  uint64_t* result;
};
using Kernel = void (*)(RuntimeContext*);

// Blocks in one list: enough to fill the lanes of any level several times, few enough for an owner to be a byte.
constexpr int64_t kMaxTasks = 64;

namespace {  // a copy for every file: nothing compiled for one level may be picked by the linker elsewhere
// Readers of rows that have their synapses by number.
inline bool IsNumbered(const Scheme& s) { return s.reader == Reader::kEqualRows || s.reader == Reader::kCountedRows; }
inline bool IsCounted(const Scheme& s) { return s.reader == Reader::kCountedRows; }
// Whether variates belong to the synapses of a row by number, not by post neuron.
inline bool IsByRank(const Scheme& s) {
  return IsCounted(s) || (s.reader == Reader::kEqualRows && s.equal_rows.low_bits == 0);
}
}  // namespace

// Blocks to read, all under one scheme (synapse_reader.h). Arrays are padded to whole groups of lanes.
struct Tasks {
  const uint32_t *t0, *t1, *pre, *block, *origin, *n;
  int64_t count;
  const Scheme& scheme;
  const uint32_t* table;
};

// A list of synapses: target, owner (index of the task), and variate and delay where they are drawn. `row` says for
// each task which row it is of.
struct Synapses {
  const uint32_t* target;
  const uint8_t* owner;
  const float* z;
  const uint32_t* delay;
  int64_t count;
  const int64_t* row;
  int64_t tasks;
};

// Delays of synapses, and the ring of slots of `width` sums that they choose from: a synapse goes to slot
// (base_slot + delay) mod slots, `base_slot` < slots being that of its task and the delay drawn from an alias table of
// 2**bits outcomes.
struct Delays {
  const uint32_t* table = nullptr;
  uint32_t bits = 0, slots = 0, width = 0;
  const uint32_t* base_slot = nullptr;
};

// What a synapse adds to the sum of its target: 1, the value a of its line, or a + b z with a variate z.
enum class Addend { kOne, kValue, kVariate };

// out[target] += … at every synapse of the tasks; a and b have an entry for each, as far as they are used.
template <class T>
struct Summation {
  T* out;
  const T *a, *b;
  const int32_t* quantiles;
  Addend addend;
  Delays delays;
};

// Partial sums of a row that has its synapses by number: synapse i adds to strand i % kStrands. Every way to add them
// up does so, and to strands in this order, so that sums are equal to the bit at every instruction-set level.
constexpr int64_t kStrands = 16;
namespace {
// A variate, which may be negative.
template <class T>
T Cast(float z) {
  using Signed = std::conditional_t<std::is_integral_v<T>, int32_t, T>;
  return static_cast<T>(static_cast<Signed>(z));
}

inline float Sum(float x, float y) { return x + y; }
inline double Sum(double x, double y) { return x + y; }
inline uint32_t Sum(uint32_t x, uint32_t y) { return x + y; }
template <class T>
T SumOfStrands(const T* strands) {
  T sum{};
  for (int64_t s = 0; s < kStrands / 2; ++s) sum = Sum(sum, Sum(strands[s], strands[s + kStrands / 2]));
  return sum;
}
}  // namespace

// sums[task] += x[target], times a + b z, at every synapse of the tasks; `sums` has room for whole groups of lanes.
template <class T>
struct DotProduct {
  const T* x;
  T* sums;
  T a, b;
  const int32_t* quantiles;
  Addend addend;
};

// Sums and dot products of batches (tiles.h), of each element type.
template <class T>
struct TileSum;
template <class T>
struct TileDot;
#define EVOPS_TILES(X) \
  X(TileSum, uint32_t) X(TileSum, float) X(TileSum, double) X(TileDot, uint32_t) X(TileDot, float) X(TileDot, double)

// Rows of a stored matrix, and the first row and entry found out of range.
struct StoredRows {
  const uint32_t *indices, *indptr;
  int64_t size;
  uint32_t columns;
  int64_t bad_row = -1, bad_entry = -1;
};

// Weights of stored entries. Those of another type than the sums are converted as they are read, a piece at a time.
constexpr int64_t kStoredPiece = 256;  // entries, a multiple of four
template <class T>
struct StoredWeights {
  const void* data;
  int64_t bytes;  // of one of them
  bool shared;    // one weight for all
  T one{};
  void (*convert)(const void* data, int64_t k, int64_t count, T* to);  // null: data is of type T
};

// Members of a batch whose values of a neuron lie side by side, `width` of them: those along the rows, from row `begin`
// on, and along all columns.
enum class StoredProduct { kScatter, kGather, kOuter };
template <class T>
struct StoredTile {
  StoredProduct product;
  int64_t width, begin, end;
  T *along_rows, *along_columns;
  StoredWeights<T> weights;
  T* entries;  // results of kOuter, which are added to if there are some already
  bool more;
};

// One kernel of each name, all of one instruction-set level. Sums and dot products draw and add up in one pass, with no
// list between (readers that have one: schemes.h); they are null at the base level, which goes through lists.
struct Kernels {
#define EVOPS_FIELD(name) Kernel name;
  EVOPS_KERNELS(EVOPS_FIELD)
#undef EVOPS_FIELD
  void (*add_tile_i32)(const TileSum<uint32_t>&);
  void (*add_tile_f32)(const TileSum<float>&);
  void (*add_tile_f64)(const TileSum<double>&);
  void (*dot_tile_i32)(const TileDot<uint32_t>&);
  void (*dot_tile_f32)(const TileDot<float>&);
  void (*dot_tile_f64)(const TileDot<double>&);
  void (*sum_i32)(const Tasks&, const Summation<uint32_t>&) = nullptr;
  void (*sum_f32)(const Tasks&, const Summation<float>&) = nullptr;
  void (*sum_f64)(const Tasks&, const Summation<double>&) = nullptr;
  void (*dot_i32)(const Tasks&, const DotProduct<uint32_t>&) = nullptr;
  void (*dot_f32)(const Tasks&, const DotProduct<float>&) = nullptr;
  void (*dot_f64)(const Tasks&, const DotProduct<double>&) = nullptr;  // none
  void (*stored_i32)(const StoredTile<uint32_t>&, StoredRows&) = nullptr;
  void (*stored_f32)(const StoredTile<float>&, StoredRows&) = nullptr;
  void (*stored_f64)(const StoredTile<double>&, StoredRows&) = nullptr;
};

// The level chosen by cpuid, or by evops_select.
const Kernels& ActiveKernels();

// Packs 1-D arrays the way Taichi lays out its argument block, and calls.
struct Array {
  Array(const void* data, int64_t size) : size(static_cast<int32_t>(size)), data(const_cast<void*>(data)) {}
  int32_t size;
  int32_t padding = 0;
  void* data;
};
static_assert(sizeof(Array) == 16, "kernels/build.py checks the same size");

template <class... A>
void Call(Kernel kernel, const A&... arrays) {
  Array block[] = {arrays...};
  RuntimeContext context{block, nullptr, 0, nullptr};
  kernel(&context);
}

// The kernels of one element type.
template <class T>
struct Element;
#define EVOPS_ELEMENT(type, suffix)                                      \
  template <>                                                            \
  struct Element<type> {                                                 \
    static Kernel Scatter() { return ActiveKernels().scatter_##suffix; } \
    static Kernel Gather() { return ActiveKernels().gather_##suffix; }   \
    static auto Sum() { return ActiveKernels().sum_##suffix; }           \
    static auto AddTile() { return ActiveKernels().add_tile_##suffix; }  \
    static auto DotTile() { return ActiveKernels().dot_tile_##suffix; }  \
    static auto Dot() { return ActiveKernels().dot_##suffix; }           \
    static auto Stored() { return ActiveKernels().stored_##suffix; }     \
  }
EVOPS_ELEMENT(uint32_t, i32);  // integers wrap around
EVOPS_ELEMENT(float, f32);
EVOPS_ELEMENT(double, f64);
#undef EVOPS_ELEMENT

}  // namespace evops
