// What the package asks of the library when it loads it: version, instruction-set level.
#include <array>
#include <atomic>
#include <cstring>
#include <vector>

#include "handler.h"
#include "kernels.h"

namespace evops {
// The kernels of a level, and what the SIMD kernels have beside them. Which levels there are, CMake says.
#define EVOPS_DECLARE_SUMS(level)                                      \
  void evops_sum_##level(const Tasks&, const Summation<uint32_t>&);    \
  void evops_sum_##level(const Tasks&, const Summation<float>&);       \
  void evops_sum_##level(const Tasks&, const Summation<double>&);      \
  void evops_dot_##level(const Tasks&, const DotProduct<uint32_t>&);   \
  void evops_dot_##level(const Tasks&, const DotProduct<float>&);      \
  void evops_stored_##level(const StoredTile<uint32_t>&, StoredRows&); \
  void evops_stored_##level(const StoredTile<float>&, StoredRows&);    \
  void evops_stored_##level(const StoredTile<double>&, StoredRows&);
#define EVOPS_BY_TYPE(function) function, function, function
#define EVOPS_TILES_OF(level) EVOPS_BY_TYPE(evops_tile_##level), EVOPS_BY_TYPE(evops_tile_##level)
#define EVOPS_SUMS(level) \
  EVOPS_BY_TYPE(evops_sum_##level), evops_dot_##level, evops_dot_##level, nullptr, EVOPS_BY_TYPE(evops_stored_##level)
#define EVOPS_DECLARE_TILE(kind, type)          \
  void evops_tile_x86_64(const kind<type>&);    \
  void evops_tile_x86_64_v3(const kind<type>&); \
  void evops_tile_x86_64_v4(const kind<type>&);
EVOPS_TILES(EVOPS_DECLARE_TILE)
#define EVOPS_NAME_BASE(name) evops_##name##_x86_64
#define EVOPS_NAME_V3(name) evops_##name##_x86_64_v3
#define EVOPS_NAME_V4(name) evops_##name##_x86_64_v4

#define EVOPS_DECLARE(name) extern "C" void EVOPS_NAME_BASE(name)(RuntimeContext*);
EVOPS_KERNELS(EVOPS_DECLARE)
#undef EVOPS_DECLARE
#define EVOPS_ENTRY(name) EVOPS_NAME_BASE(name),
constexpr Kernels kBase{EVOPS_KERNELS(EVOPS_ENTRY) EVOPS_TILES_OF(x86_64)};
#undef EVOPS_ENTRY

#ifdef EVOPS_HAS_x86_64_v3
#define EVOPS_DECLARE(name) extern "C" void EVOPS_NAME_V3(name)(RuntimeContext*);
EVOPS_KERNELS(EVOPS_DECLARE)
#undef EVOPS_DECLARE
EVOPS_DECLARE_SUMS(x86_64_v3)
#define EVOPS_ENTRY(name) EVOPS_NAME_V3(name),
constexpr Kernels kV3{EVOPS_KERNELS(EVOPS_ENTRY) EVOPS_TILES_OF(x86_64_v3), EVOPS_SUMS(x86_64_v3)};
#undef EVOPS_ENTRY
#endif

#ifdef EVOPS_HAS_x86_64_v4
#define EVOPS_DECLARE(name) extern "C" void EVOPS_NAME_V4(name)(RuntimeContext*);
EVOPS_KERNELS(EVOPS_DECLARE)
#undef EVOPS_DECLARE
EVOPS_DECLARE_SUMS(x86_64_v4)
#define EVOPS_ENTRY(name) EVOPS_NAME_V4(name),
constexpr Kernels kV4{EVOPS_KERNELS(EVOPS_ENTRY) EVOPS_TILES_OF(x86_64_v4), EVOPS_SUMS(x86_64_v4)};
#undef EVOPS_ENTRY
#endif

namespace {

struct Level {
  const char* name;
  const Kernels* kernels;
  bool supported;
};

// The best last.
const std::vector<Level>& Levels() {
  [[maybe_unused]] const auto has_v3 = [] {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  };
  [[maybe_unused]] const auto has_v4 = [] {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  };
  static const std::vector<Level> levels{
      {"x86-64", &kBase, true},
#ifdef EVOPS_HAS_x86_64_v3
      {"x86-64-v3", &kV3, has_v3()},
#endif
#ifdef EVOPS_HAS_x86_64_v4
      {"x86-64-v4", &kV4, has_v3() && has_v4()},
#endif
  };
  return levels;
}

const Kernels* Best() {
  const Kernels* best = nullptr;
  for (const Level& level : Levels())
    if (level.supported) best = level.kernels;
  return best;
}

std::atomic<const Kernels*>& Active() {
  static std::atomic<const Kernels*> active{Best()};
  return active;
}
}  // namespace

const Kernels& ActiveKernels() { return *Active().load(std::memory_order_relaxed); }
}  // namespace evops

// What a thread needs to throw an exception then has its place from the start. Otherwise the C library finds it when it
// is first needed, which may be where memory has run out, and ends the process if it cannot.
static __attribute__((tls_model("initial-exec"))) thread_local volatile char in_static_memory;

EVOPS_EXPORT const char* evops_version() {
  in_static_memory = 1;
  return EVOPS_VERSION;
}

EVOPS_EXPORT const char* evops_level() {
  for (const evops::Level& level : evops::Levels())
    if (level.kernels == &evops::ActiveKernels()) return level.name;
  return "";
}

// Names of the levels that the processor supports, the best last, between blanks.
EVOPS_EXPORT const char* evops_levels() {
  static const auto names = [] {
    std::array<char, 64> joined{};
    for (const evops::Level& level : evops::Levels())
      if (level.supported) std::strcat(std::strcat(joined.data(), joined[0] ? " " : ""), level.name);
    return joined;
  }();
  return names.data();
}

// Chooses a level by name; 0 on success, 1 where the processor lacks it or the name is unknown.
EVOPS_EXPORT int evops_select(const char* name) {
  for (const evops::Level& level : evops::Levels())
    if (level.supported && std::strcmp(name, level.name) == 0) {
      evops::Active().store(level.kernels);
      return 0;
    }
  return 1;
}
