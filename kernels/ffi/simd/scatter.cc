// The scatter kernel by hand: bit-identical to kernels/scatter.py.
//
// What the compiled Taichi kernel cannot do: lanes of lines that have ended are squeezed out by one
// permutation, so that the end of a line costs no branch. Lists are padded to whole groups (row_buffers.h).
#include "../kernels.h"
#include "lanes.h"
#include "walk.h"

namespace evops {
namespace {

constexpr int64_t kBuffer = 1024;

template <class T>
void Scatter(RuntimeContext* context) {
  const Array* arrays = static_cast<const Array*>(context->arguments);
  const auto words = [&](int k) { return static_cast<const uint32_t*>(arrays[k].data); };
  const T* value = static_cast<const T*>(arrays[4].data);
  T* out = static_cast<T*>(arrays[6].data);
  uint32_t target[kBuffer], lane[kBuffer];
  for (int64_t first = 0; first < arrays[4].size; first += kLanes) {
    Walk walk(static_cast<const Scheme*>(arrays[5].data)->uniform_gaps,
              Add(Load(words(0) + first), Load(words(1) + first)), Load(words(2) + first), Load(words(3) + first));
    T v[kLanes];
    for (int64_t l = 0; l < kLanes; ++l) v[l] = value[first + l];
    uint32_t alive;
    while ((alive = walk.Alive()) == kAllLanes) {
      Store(target, walk.at());
      walk.Advance();
      for (int64_t l = 0; l < kLanes; ++l) out[target[l]] += v[l];
    }
    int64_t count = 0;
    const auto flush = [&] {
      for (int64_t k = 0; k < count; ++k) out[target[k]] += v[lane[k]];
      count = 0;
    };
    for (; alive; alive = walk.Alive()) {
      Store(target + count, Squeeze(walk.at(), alive));
      Store(lane + count, Squeeze(Count(), alive));
      count += __builtin_popcount(alive);
      if (count > kBuffer - kLanes) flush();
      walk.Hold();
      walk.Advance();
    }
    flush();
  }
}

}  // namespace

extern "C" {
void EVOPS_SYMBOL(scatter_i32)(RuntimeContext* context) { Scatter<int32_t>(context); }
void EVOPS_SYMBOL(scatter_f32)(RuntimeContext* context) { Scatter<float>(context); }
void EVOPS_SYMBOL(scatter_f64)(RuntimeContext* context) { Scatter<double>(context); }
}

}  // namespace evops
