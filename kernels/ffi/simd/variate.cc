// The variates of a list by hand: bit-identical to `variate` of kernels/draw.py. Reads and writes whole groups of
// lanes: lists have room for that (synapse_reader.h).
#include "../kernels.h"
#include "law.h"

namespace evops {
namespace {

void VariatesOf(const Array* arrays) {
  const auto words = [&](int k) { return static_cast<const uint32_t*>(arrays[k].data); };
  const bool by_place = *words(4) != 0;
  const uint8_t* owners = static_cast<const uint8_t*>(arrays[6].data);
  const int32_t* quantiles = static_cast<const int32_t*>(arrays[7].data);
  float* z = static_cast<float*>(arrays[8].data);
  uint32_t key_of[kMaxTasks][2], start[kLanes], second[kLanes];
  for (int64_t j = 0; j < arrays[2].size; j += kLanes) {
    const VariateKey key(Load(words(2) + j), Load(words(3) + j), Load(words(0) + j), Load(words(1) + j));
    Store(start, key.start);
    Store(second, key.second);
    for (int64_t l = 0; l < kLanes; ++l) {
      key_of[j + l][0] = start[l];
      key_of[j + l][1] = second[l];
    }
  }
  for (int64_t s = 0; s < arrays[5].size; s += kLanes) {
    const Pairs found = LookUp(key_of, Left<1>(And(LoadBytes(owners + s), Set(kMaxTasks - 1))));
    VariateKey key;
    key.start = found.first;
    key.second = found.second;
    const Lanes counter = by_place ? Add(Set(static_cast<uint32_t>(s)), Count()) : Load(words(5) + s);
    const Lanes variate = Variate(key.WordOf(kWeight, counter), quantiles);
    Store(reinterpret_cast<uint32_t*>(z + s), Floats(variate));
  }
}

}  // namespace

extern "C" void EVOPS_SYMBOL(variate)(RuntimeContext* context) {
  VariatesOf(static_cast<const Array*>(context->arguments));
}

}  // namespace evops
