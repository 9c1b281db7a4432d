// A CUDA driver that runs kernels on the CPU, for tests: the kernels' LLVM IR, compiled for x86-64, with a thread
// of a warp as a fibre that waits for the others wherever lanes exchange values.
//
// Warps run one after another; nothing here waits for a whole block.
#include <dlfcn.h>
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>

namespace {

constexpr int kLanes = 32, kStackBytes = 64 * 1024;
enum Exchange { kNone, kUp, kDown, kIndex };
using Entry = void (*)(void*);

struct Lane {
  jmp_buf at;
  bool started, done;
  Exchange wants;
  uint32_t value, argument, thread;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
};

Lane lanes[kLanes];
Lane* current;
jmp_buf scheduler;
ucontext_t origin;
Entry entry;
void* arguments;
uint32_t block_index, block_size, blocks, most_blocks = UINT32_MAX;
std::string calls, failure;
std::recursive_mutex one_at_a_time;  // XLA's CPU client may call from several threads

void Fibre() {
  entry(arguments);
  current->done = true;
  _longjmp(scheduler, 1);
}

void Resume(Lane& lane) {
  current = &lane;
  if (_setjmp(scheduler) != 0) return;
  if (lane.started) _longjmp(lane.at, 1);
  lane.started = true;
  ucontext_t fibre;
  getcontext(&fibre);
  fibre.uc_stack.ss_sp = lane.stack.get();
  fibre.uc_stack.ss_size = kStackBytes;
  fibre.uc_link = nullptr;
  makecontext(&fibre, Fibre, 0);
  swapcontext(&origin, &fibre);
}

// Lanes hand over what they exchange. All 32 must be there, as the masks of the kernels say (a smaller block has
// lanes that are done from the beginning).
bool Give() {
  uint32_t given[kLanes];
  const Exchange wants = lanes[0].wants;
  for (int l = 0; l < kLanes; ++l) {
    if (lanes[l].done || lanes[l].wants != wants) return false;
    given[l] = lanes[l].value;
  }
  for (int l = 0; l < kLanes; ++l) {
    const int by = static_cast<int>(lanes[l].argument);
    const int from = wants == kUp ? l - by : wants == kDown ? l + by : by;
    if (from >= 0 && from < kLanes) lanes[l].value = given[from];
    lanes[l].wants = kNone;
  }
  return true;
}

bool RunWarp(uint32_t first) {
  for (int l = 0; l < kLanes; ++l) {
    lanes[l].started = false;
    lanes[l].done = first + l >= block_size;
    lanes[l].wants = kNone;
    lanes[l].thread = first + l;
  }
  for (;;) {
    bool waiting = false;
    for (Lane& lane : lanes) {
      if (!lane.done) Resume(lane);
      waiting |= !lane.done;
    }
    if (!waiting) return true;
    if (!Give()) return false;
  }
}

uint32_t Ask(Exchange wants, uint32_t value, uint32_t argument) {
  Lane* lane = current;
  lane->wants = wants;
  lane->value = value;
  lane->argument = argument;
  if (_setjmp(lane->at) == 0) _longjmp(scheduler, 1);
  return lane->value;
}

int Result(const char* call) {
  std::lock_guard<std::recursive_mutex> lock(one_at_a_time);
  calls += std::string(call) + "\n";
  return failure == call ? 700 : 0;
}

}  // namespace

extern "C" {

// What the kernels' IR calls in place of the GPU's registers and instructions.
uint32_t emulated_tid_x() { return current->thread; }
uint32_t emulated_ntid_x() { return block_size; }
uint32_t emulated_ctaid_x() { return block_index; }
uint32_t emulated_nctaid_x() { return blocks; }
uint32_t emulated_activemask() { return 0; }  // lanes that do not run together: each adds for itself
uint32_t emulated_shfl_sync_up_i32(uint32_t, uint32_t x, uint32_t by, uint32_t) { return Ask(kUp, x, by); }
uint32_t emulated_shfl_sync_down_i32(uint32_t, uint32_t x, uint32_t by, uint32_t) { return Ask(kDown, x, by); }
uint32_t emulated_shfl_sync_idx_i32(uint32_t, uint32_t x, uint32_t from, uint32_t) { return Ask(kIndex, x, from); }
float emulated_shfl_sync_down_f32(uint32_t, float x, uint32_t by, uint32_t) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  bits = Ask(kDown, bits, by);
  std::memcpy(&x, &bits, 4);
  return x;
}
#define EMULATED(name, parameters, value)    \
  float emulated_##name##_f parameters { return value; } \
  float emulated_##name##_ftz_f parameters { return value; }
EMULATED(fabs, (float x), std::fabs(x))
EMULATED(mul_rn, (float x, float y), x* y)
EMULATED(fma_rn, (float x, float y, float z), std::fma(x, y, z))
int32_t emulated_f2i_rn_ftz(float x) { return static_cast<int32_t>(std::nearbyint(x)); }
float emulated_sqrt_f(float x) { return std::sqrt(x); }
int32_t emulated_f2i_rn(float x) { return static_cast<int32_t>(std::nearbyint(x)); }
uint32_t emulated_mulhi_ui(uint32_t x, uint32_t y) { return static_cast<uint32_t>(uint64_t{x} * y >> 32); }

// The driver, as far as evops calls it.
int cuGetErrorName(int error, const char** name) {
  *name = error == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : error == 500 ? "CUDA_ERROR_NOT_FOUND" : "CUDA_ERROR_UNKNOWN";
  return 0;
}
int cuDriverGetVersion(int* version) { return *version = 12020, 0; }
int cuLibraryLoadData(void** library, const void* text, void*, void**, unsigned, void*, void**, unsigned) {
  *library = const_cast<void*>(text);
  return Result("cuLibraryLoadData");
}
int cuLibraryGetKernel(void** kernel, void* library, const char* name) {
  const std::string text = static_cast<const char*>(library);
  if (text.find(".entry " + std::string(name) + "(") == std::string::npos) return 500;
  // a user's kernel is a library of its own, which the first line of its text names
  Dl_info own;
  dladdr(reinterpret_cast<void*>(&cuDriverGetVersion), &own);
  const std::string path = text.compare(0, 3, "// ") == 0 ? text.substr(3, text.find('\n') - 3) : own.dli_fname;
  *kernel = dlsym(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL), name);
  return *kernel ? Result("cuLibraryGetKernel") : 500;
}
int cuKernelGetFunction(void** function, void* kernel) { return *function = kernel, Result("cuKernelGetFunction"); }
int cuMemsetD8Async(void* to, unsigned char value, size_t count, void*) {
  return std::memset(to, value, count), Result("cuMemsetD8Async");
}
int cuMemsetD32Async(uint32_t* to, unsigned value, size_t count, void*) {
  for (size_t k = 0; k < count; ++k) to[k] = value;
  return Result("cuMemsetD32Async");
}
int cuMemcpyDtoDAsync_v2(void* to, const void* from, size_t size, void*) {
  return std::memcpy(to, from, size), Result("cuMemcpyDtoDAsync_v2");
}
int cuLaunchKernel(void* kernel, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned ty, unsigned tz,
                   unsigned shared, void*, void** parameters, void** extra) {
  if (x == 0 || y != 1 || z != 1 || threads == 0 || ty != 1 || tz != 1 || shared != 0 || extra) return 1;
  std::lock_guard<std::recursive_mutex> lock(one_at_a_time);
  entry = reinterpret_cast<Entry>(kernel);
  arguments = parameters[0];
  blocks = std::min(x, most_blocks);
  block_size = threads;
  for (block_index = 0; block_index < blocks; ++block_index)
    for (uint32_t first = 0; first < threads; first += kLanes)
      if (!RunWarp(first)) return 719;
  return Result("cuLaunchKernel");
}

// For tests: the calls so far, one a line; and the call that is to fail from now on.
const char* emulated_calls() { return calls.c_str(); }
void emulated_clear() { calls.clear(); }
void emulated_fail(const char* call) { failure = call; }
// Launches get no more blocks than this, which a kernel must see to by itself.
void emulated_limit(unsigned most) { most_blocks = most; }
}
