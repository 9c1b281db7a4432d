// A CUDA driver that runs kernels on the CPU, for tests: the kernels' LLVM IR, compiled for x86-64, with every
// thread as a fibre. Those of a warp wait for each other wherever lanes exchange values, those of a block at its
// barriers.
//
// Blocks run one after another, and the warps of a block, each up to the next barrier.
#include <dlfcn.h>
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace {

constexpr int kLanes = 32, kMostThreads = 1024, kStackBytes = 64 * 1024;
constexpr unsigned char kGarbage = 0xCD;
// What a thread waits for: its warp, or (from kBlock on) its block.
enum Meeting { kNone, kUp, kDown, kIndex, kWarp, kBlock, kBlockAnd, kBlockOr, kBlockCount };
using Entry = void (*)(void*);

struct Fibre {
  jmp_buf at;
  bool started = false;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
};

struct Thread {
  Fibre* fibre;  // from when it begins until it ends
  bool done;
  Meeting waits;
  uint32_t value, argument, index;
};

Thread threads[kMostThreads];
std::vector<std::unique_ptr<Fibre>> fibres;
std::vector<Fibre*> idle;
Thread* current;
jmp_buf scheduler;
ucontext_t origin;
Entry entry;
void* arguments;
uint32_t block_index, block_size, blocks, most_blocks = UINT32_MAX;
int multiprocessors = 1;
uint64_t barriers;
std::string calls, failure;
int failure_code;
std::recursive_mutex one_at_a_time;  // XLA's CPU client may call from several threads

// A fibre runs one thread after another: a new context takes the kernel calls that jumps do without.
void Run() {
  for (;;) {
    entry(arguments);
    current->done = true;
    idle.push_back(current->fibre);
    if (_setjmp(current->fibre->at) == 0) _longjmp(scheduler, 1);
  }
}

void Resume(Thread& thread) {
  if (!thread.fibre) {
    if (idle.empty()) {
      fibres.emplace_back(new Fibre);
      idle.push_back(fibres.back().get());
    }
    thread.fibre = idle.back();
    idle.pop_back();
  }
  current = &thread;
  if (_setjmp(scheduler) != 0) return;
  Fibre& fibre = *current->fibre;
  if (fibre.started) _longjmp(fibre.at, 1);
  fibre.started = true;
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = fibre.stack.get();
  context.uc_stack.ss_size = kStackBytes;
  context.uc_link = nullptr;
  makecontext(&context, Run, 0);
  swapcontext(&origin, &context);
}

// Lanes hand over what they exchange. All 32 must be there, as the masks of the kernels say (a smaller block has
// lanes that are done from the beginning).
bool MeetInWarp(Thread* lanes) {
  uint32_t given[kLanes];
  const Meeting meeting = lanes[0].waits;
  for (int l = 0; l < kLanes; ++l) {
    if (lanes[l].done || lanes[l].waits != meeting) return false;
    given[l] = lanes[l].value;
  }
  for (int l = 0; l < kLanes; ++l) {
    const int by = static_cast<int>(lanes[l].argument);
    const int from = meeting == kUp ? l - by : meeting == kDown ? l + by : meeting == kIndex ? by : l;
    if (from >= 0 && from < kLanes) lanes[l].value = given[from];
    lanes[l].waits = kNone;
  }
  return true;
}

// The threads of a block meet, but those that have ended, as on a GPU. False where they are at barriers of
// different kinds.
bool MeetInBlock() {
  uint32_t live = 0, count = 0;
  Meeting meeting = kNone;
  for (uint32_t t = 0; t < block_size; ++t) {
    if (threads[t].done) continue;
    if (live++ == 0) meeting = threads[t].waits;
    if (threads[t].waits != meeting) return false;
    count += threads[t].value != 0;
  }
  ++barriers;
  for (uint32_t t = 0; t < block_size; ++t) {
    threads[t].value = meeting == kBlockCount ? count : meeting == kBlockOr ? count > 0 : count == live;
    threads[t].waits = kNone;
  }
  return true;
}

// Runs the warp until its threads have ended or wait for their block. False where they wait for each other in vain.
bool RunWarp(Thread* lanes) {
  for (;;) {
    bool waiting = false;
    for (int l = 0; l < kLanes; ++l) {
      if (!lanes[l].done && lanes[l].waits < kBlock) Resume(lanes[l]);
      waiting |= !lanes[l].done && lanes[l].waits < kBlock;
    }
    if (!waiting) return true;
    if (!MeetInWarp(lanes)) return false;
  }
}

bool RunBlock() {
  const uint32_t rounded = (block_size + kLanes - 1) / kLanes * kLanes;
  for (uint32_t t = 0; t < rounded; ++t) threads[t] = {nullptr, t >= block_size, kNone, 0, 0, t};
  for (;;) {
    for (uint32_t first = 0; first < rounded; first += kLanes)
      if (!RunWarp(threads + first)) return false;
    if (std::all_of(threads, threads + block_size, [](const Thread& t) { return t.done; })) return true;
    if (!MeetInBlock()) return false;
  }
}

// What threads that wait in vain have begun is not continued.
void Abandon() {
  for (uint32_t t = 0; t < block_size; ++t) {
    if (threads[t].done || !threads[t].fibre) continue;
    threads[t].fibre->started = false;
    idle.push_back(threads[t].fibre);
  }
}

uint32_t Meet(Meeting meeting, uint32_t value, uint32_t argument) {
  Thread* thread = current;
  thread->waits = meeting;
  thread->value = value;
  thread->argument = argument;
  if (_setjmp(thread->fibre->at) == 0) _longjmp(scheduler, 1);
  return current->value;
}

int Result(const char* call) {
  std::lock_guard<std::recursive_mutex> lock(one_at_a_time);
  calls += std::string(call) + "\n";
  return failure == call ? failure_code : 0;
}

// The stream that handlers are given in the place of XLA's (gpu/kernels.h): commands must name it.
int OnStream(const char* call, void* stream) { return stream == reinterpret_cast<void*>(0x57) ? Result(call) : 400; }

}  // namespace

extern "C" {

// What the kernels' IR calls in place of the GPU's registers and instructions.
uint32_t emulated_tid_x() { return current->index; }
uint32_t emulated_ntid_x() { return block_size; }
uint32_t emulated_ctaid_x() { return block_index; }
uint32_t emulated_nctaid_x() { return blocks; }
uint32_t emulated_activemask() { return 0; }  // lanes that do not run together: each adds for itself
uint32_t emulated_shfl_sync_up_i32(uint32_t, uint32_t x, uint32_t by, uint32_t) { return Meet(kUp, x, by); }
uint32_t emulated_shfl_sync_down_i32(uint32_t, uint32_t x, uint32_t by, uint32_t) { return Meet(kDown, x, by); }
uint32_t emulated_shfl_sync_idx_i32(uint32_t, uint32_t x, uint32_t from, uint32_t) { return Meet(kIndex, x, from); }
void emulated_bar_warp_sync(uint32_t) { Meet(kWarp, 0, 0); }
void emulated_barrier0() { Meet(kBlock, 0, 0); }
uint32_t emulated_barrier0_and(uint32_t x) { return Meet(kBlockAnd, x, 0); }
uint32_t emulated_barrier0_or(uint32_t x) { return Meet(kBlockOr, x, 0); }
uint32_t emulated_barrier0_popc(uint32_t x) { return Meet(kBlockCount, x, 0); }
void emulated_membar_cta() {}
void emulated_membar_gl() {}
// Every thread begins with this, for each array that its block shares: there is garbage in it, as on a GPU.
void emulated_shared(void* memory, uint64_t size) {
  if (current->index == 0) std::memset(memory, kGarbage, size);
}
float emulated_shfl_sync_down_f32(uint32_t, float x, uint32_t by, uint32_t) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  bits = Meet(kDown, bits, by);
  std::memcpy(&x, &bits, 4);
  return x;
}
#define EMULATED(name, parameters, value)                \
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
  const std::map<int, const char*> names = {
      {2, "OUT_OF_MEMORY"},    {218, "INVALID_PTX"}, {222, "UNSUPPORTED_PTX_VERSION"},
      {400, "INVALID_HANDLE"}, {500, "NOT_FOUND"},   {700, "ILLEGAL_ADDRESS"}};
  static std::string found;
  found = std::string("CUDA_ERROR_") + (names.count(error) ? names.at(error) : "UNKNOWN");
  return *name = found.c_str(), 0;
}
int cuDriverGetVersion(int* version) { return *version = 12020, 0; }
// What is asked of a device is no command: `calls` does not have it.
int cuCtxGetDevice(int* device) { return *device = 0, failure == "cuCtxGetDevice" ? failure_code : 0; }
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  constexpr int kMultiprocessorCount = 16;
  return *value = multiprocessors, attribute == kMultiprocessorCount && device == 0 ? 0 : 1;
}
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
int cuMemsetD8Async(void* to, unsigned char value, size_t count, void* stream) {
  return std::memset(to, value, count), OnStream("cuMemsetD8Async", stream);
}
int cuMemsetD32Async(uint32_t* to, unsigned value, size_t count, void* stream) {
  for (size_t k = 0; k < count; ++k) to[k] = value;
  return OnStream("cuMemsetD32Async", stream);
}
int cuMemcpyDtoDAsync_v2(void* to, const void* from, size_t size, void* stream) {
  return std::memcpy(to, from, size), OnStream("cuMemcpyDtoDAsync_v2", stream);
}
int cuLaunchKernel(void* kernel, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz,
                   unsigned shared, void* stream, void** parameters, void** extra) {
  if (x == 0 || y != 1 || z != 1 || tx == 0 || tx > kMostThreads || ty != 1 || tz != 1) return 1;
  if (shared != 0 || extra) return 1;
  std::lock_guard<std::recursive_mutex> lock(one_at_a_time);
  entry = reinterpret_cast<Entry>(kernel);
  arguments = parameters[0];
  blocks = std::min(x, most_blocks);
  block_size = tx;
  for (block_index = 0; block_index < blocks; ++block_index)
    if (!RunBlock()) return Abandon(), 719;
  return OnStream("cuLaunchKernel", stream);
}

// For tests: the calls so far, one a line; and the call that is to fail from now on, with an error's number.
const char* emulated_calls() { return calls.c_str(); }
void emulated_clear() { calls.clear(), barriers = 0; }
void emulated_fail(const char* call, int code) { failure = call, failure_code = code; }
// Launches get no more blocks than this, which a kernel must see to by itself.
void emulated_limit(unsigned most) { most_blocks = most; }
void emulated_multiprocessors(int count) { multiprocessors = count; }
// How often all threads of a block have met.
uint64_t emulated_barriers() { return barriers; }
}
