// What the package asks of the library when it loads it: version, instruction-set level.
#include <atomic>
#include <cstring>

#include "kernels.h"

#define EVOPS_EXPORT extern "C" __attribute__((visibility("default")))

namespace evops {
#define EVOPS_DECLARE(name)                       \
  extern "C" void evops_##name##_x86_64(RuntimeContext*); \
  extern "C" void evops_##name##_x86_64_v3(RuntimeContext*);
EVOPS_KERNELS(EVOPS_DECLARE)
#undef EVOPS_DECLARE

namespace {
#define EVOPS_BASE(name) evops_##name##_x86_64,
#define EVOPS_V3(name) evops_##name##_x86_64_v3,
constexpr Kernels kBase{EVOPS_KERNELS(EVOPS_BASE)};
constexpr Kernels kV3{EVOPS_KERNELS(EVOPS_V3)};
#undef EVOPS_BASE
#undef EVOPS_V3

bool HasV3() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("popcnt");
}

std::atomic<const Kernels*>& Active() {
  static std::atomic<const Kernels*> active{HasV3() ? &kV3 : &kBase};
  return active;
}
}  // namespace

const Kernels& ActiveKernels() { return *Active().load(std::memory_order_relaxed); }
}  // namespace evops

EVOPS_EXPORT const char* evops_version() { return EVOPS_VERSION; }

EVOPS_EXPORT const char* evops_level() {
  return &evops::ActiveKernels() == &evops::kV3 ? "x86-64-v3" : "x86-64";
}

// Chooses a level by name; 0 on success, 1 where the processor lacks it or the name is unknown.
EVOPS_EXPORT int evops_select(const char* level) {
  if (std::strcmp(level, "x86-64") == 0) {
    evops::Active().store(&evops::kBase);
    return 0;
  }
  if (std::strcmp(level, "x86-64-v3") == 0 && evops::HasV3()) {
    evops::Active().store(&evops::kV3);
    return 0;
  }
  return 1;
}
