// The compiled Taichi kernels and how they are called.
#pragma once
#include <cstdint>

#include "kernel_table.h"  // made by kernels/build.py: EVOPS_KERNELS

namespace evops {

// What Taichi 1.7's CPU code expects. The kernels here use neither the runtime nor the result buffer.
struct RuntimeContext {
  void* arguments;
  void* runtime;
  int32_t thread;
  uint64_t* result;
};
using Kernel = void (*)(RuntimeContext*);

// One kernel of each name, all of one instruction-set level.
struct Kernels {
#define EVOPS_FIELD(name) Kernel name;
  EVOPS_KERNELS(EVOPS_FIELD)
#undef EVOPS_FIELD
};

// The level chosen by cpuid, or by evops_select.
const Kernels& ActiveKernels();

// Packs 1-D arrays the way Taichi lays out its argument block, and calls.
struct Array {
  Array(const void* data, int64_t size)
      : size(static_cast<int32_t>(size)), data(const_cast<void*>(data)) {}
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
#define EVOPS_ELEMENT(type, suffix)                                         \
  template <>                                                               \
  struct Element<type> {                                                    \
    static Kernel Scatter() { return ActiveKernels().scatter_##suffix; }    \
    static Kernel Gather() { return ActiveKernels().gather_##suffix; }      \
  }
EVOPS_ELEMENT(int32_t, i32);
EVOPS_ELEMENT(float, f32);
EVOPS_ELEMENT(double, f64);
#undef EVOPS_ELEMENT

}  // namespace evops
