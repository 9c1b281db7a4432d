// XLA's side of its C interface for a test without XLA: a pool of threads of our own, frames of calls, and an
// allocator that fails when it is told to. xla.py builds and calls it.
#include <errno.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "xla/ffi/api/c_api.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

// ---- The allocator: counts while a handler runs, and fails from allocation `from` up to `until`. One call at a time.

namespace {
std::atomic<bool> armed{false};
std::atomic<int64_t> asked{0}, from{0}, until{0};

bool Fails() {
  if (!armed.load()) return false;
  const int64_t number = ++asked;
  return number >= from.load() && number < until.load();
}
}  // namespace

#ifdef FAILING_ALLOCATOR  // in place of the C library's, where this is loaded before everything else
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

EXPORT void* malloc(size_t bytes) { return Fails() ? (errno = ENOMEM, nullptr) : __libc_malloc(bytes); }
EXPORT void* calloc(size_t n, size_t bytes) { return Fails() ? (errno = ENOMEM, nullptr) : __libc_calloc(n, bytes); }
EXPORT void* realloc(void* old, size_t bytes) {
  return Fails() ? (errno = ENOMEM, nullptr) : __libc_realloc(old, bytes);
}
EXPORT void* memalign(size_t to, size_t bytes) {
  return Fails() ? (errno = ENOMEM, nullptr) : __libc_memalign(to, bytes);
}
EXPORT void* aligned_alloc(size_t to, size_t bytes) { return memalign(to, bytes); }
EXPORT int posix_memalign(void** out, size_t to, size_t bytes) {
  *out = memalign(to, bytes);
  return *out ? 0 : ENOMEM;
}
}
#endif

// ---- Errors, which take no memory of their own.

struct XLA_FFI_Error {
  XLA_FFI_Error_Code code;
  char message[512];
};

namespace {

XLA_FFI_Error* Create(XLA_FFI_Error_Create_Args* args) {
  static thread_local XLA_FFI_Error error;
  error.code = args->errc;
  std::strncpy(error.message, args->message, sizeof error.message - 1);
  return &error;
}
// The function that gives the message has had two names, in one place.
template <class A>
auto SetMessage(A* api, int) -> decltype(void(api->XLA_FFI_Error_GetMessage)) {
  api->XLA_FFI_Error_GetMessage = [](auto* args) { args->message = args->error->message; };
}
template <class A>
void SetMessage(A* api, long) {
  api->XLA_FFI_Error_GetDetails = [](auto* args) { args->message = args->error->message; };
}
void Destroy(XLA_FFI_Error_Destroy_Args*) {}

// ---- The pool. Its threads are new for every call, and gone after it. One of -n threads has n that are busy: what is
// given to them begins when the call is over.

class Pool {
 public:
  explicit Pool(int64_t threads) : size_(std::abs(threads)) {
    for (int64_t k = 0; k < threads; ++k) threads_.emplace_back([this] { Work(); });
  }
  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ends_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    if (threads_.empty()) Work();
  }
  int64_t size() const { return size_; }
  void Schedule(XLA_FFI_Task* task, void* data) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      tasks_.push_back({task, data});  // may find no memory
    }
    changed_.notify_one();
  }

 private:
  void Work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ends_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const auto [task, data] = tasks_.front();
      tasks_.pop_front();
      lock.unlock();
      task(data);
      lock.lock();
    }
  }

  const int64_t size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<XLA_FFI_Task*, void*>> tasks_;
  std::vector<std::thread> threads_;
  bool ends_ = false;
};

Pool* PoolOf(XLA_FFI_ExecutionContext* ctx) { return reinterpret_cast<Pool*>(ctx); }

XLA_FFI_Error* Schedule(XLA_FFI_ThreadPool_Schedule_Args* args) {
  PoolOf(args->ctx)->Schedule(args->task, args->data);
  return nullptr;
}
XLA_FFI_Error* NumThreads(XLA_FFI_ThreadPool_NumThreads_Args* args) {
  *args->num_threads = PoolOf(args->ctx)->size();
  return nullptr;
}

XLA_FFI_Api Api() {
  XLA_FFI_Api api{};
  api.struct_size = XLA_FFI_Api_STRUCT_SIZE;
  api.api_version = {XLA_FFI_Api_Version_STRUCT_SIZE, nullptr, XLA_FFI_API_MAJOR, XLA_FFI_API_MINOR};
  api.XLA_FFI_Error_Create = Create;
  SetMessage(&api, 0);
  api.XLA_FFI_Error_Destroy = Destroy;
  api.XLA_FFI_ThreadPool_Schedule = Schedule;
  api.XLA_FFI_ThreadPool_NumThreads = NumThreads;
  return api;
}

}  // namespace

// What xla.py packs.
struct Buffer {
  int64_t type, rank;
  int64_t* extents;
  void* data;
};
struct Attribute {
  const char* name;
  int64_t kind;  // 0: a number, 1: numbers, 2: a text
  const void* data;
  int64_t size;
};

// A call of which allocations [first, last) fail, counted from 1, in all threads; *allocations says how many there are.
template <class Call>
auto Failing(int64_t first, int64_t last, int64_t* allocations, Call call) {
  asked = 0;
  from = first;
  until = last;
  armed = true;
  const auto result = call();
  armed = false;
  *allocations = asked;
  return result;
}

// Calls a function that takes a struct, has threads of its own and returns a status.
EXPORT int xla_call_status(int (*function)(const void*), const void* request, int64_t first, int64_t last,
                           int64_t* allocations) {
  return Failing(first, last, allocations, [&] { return function(request); });
}

// Calls a handler; 0, or the code of its error, whose message it copies.
EXPORT int xla_call(XLA_FFI_Handler* handler, int64_t threads, const Buffer* arguments, int64_t argument_count,
                    const Buffer* results, int64_t result_count, const Attribute* attributes, int64_t attribute_count,
                    int64_t first, int64_t last, int64_t* allocations, char* message, int64_t room) {
  std::vector<XLA_FFI_Buffer> buffers;
  for (int64_t k = 0; k < argument_count + result_count; ++k) {
    const Buffer& b = k < argument_count ? arguments[k] : results[k - argument_count];
    buffers.push_back(
        {XLA_FFI_Buffer_STRUCT_SIZE, nullptr, static_cast<XLA_FFI_DataType>(b.type), b.data, b.rank, b.extents});
  }
  std::vector<void*> places;
  for (XLA_FFI_Buffer& b : buffers) places.push_back(&b);
  std::vector<XLA_FFI_ArgType> argument_types(argument_count, XLA_FFI_ArgType_BUFFER);
  std::vector<XLA_FFI_RetType> result_types(result_count, XLA_FFI_RetType_BUFFER);
  std::vector<XLA_FFI_ByteSpan> names(attribute_count), texts(attribute_count);
  std::vector<XLA_FFI_Scalar> scalars(attribute_count);
  std::vector<XLA_FFI_Array> arrays(attribute_count);
  std::vector<XLA_FFI_AttrType> types;
  std::vector<XLA_FFI_ByteSpan*> name_places;
  std::vector<void*> values;
  for (int64_t k = 0; k < attribute_count; ++k) {
    const Attribute& a = attributes[k];
    void* data = const_cast<void*>(a.data);
    names[k] = {a.name, std::strlen(a.name)};
    texts[k] = {static_cast<const char*>(a.data), static_cast<size_t>(a.size)};
    scalars[k] = {XLA_FFI_DataType_S64, data};
    arrays[k] = {XLA_FFI_DataType_S64, static_cast<size_t>(a.size), data};
    name_places.push_back(&names[k]);
    types.push_back(a.kind == 0   ? XLA_FFI_AttrType_SCALAR
                    : a.kind == 1 ? XLA_FFI_AttrType_ARRAY
                                  : XLA_FFI_AttrType_STRING);
    values.push_back(a.kind == 0   ? static_cast<void*>(&scalars[k])
                     : a.kind == 1 ? static_cast<void*>(&arrays[k])
                                   : &texts[k]);
  }
  static const XLA_FFI_Api api = Api();
  Pool pool(threads);
  XLA_FFI_CallFrame frame{};
  frame.struct_size = XLA_FFI_CallFrame_STRUCT_SIZE;
  frame.api = &api;
  frame.ctx = reinterpret_cast<XLA_FFI_ExecutionContext*>(&pool);
  frame.stage = XLA_FFI_ExecutionStage_EXECUTE;
  frame.args = {XLA_FFI_Args_STRUCT_SIZE, nullptr, argument_count, argument_types.data(), places.data()};
  frame.rets = {XLA_FFI_Rets_STRUCT_SIZE, nullptr, result_count, result_types.data(), places.data() + argument_count};
  frame.attrs = {XLA_FFI_Attrs_STRUCT_SIZE, nullptr, attribute_count, types.data(), name_places.data(), values.data()};
  const XLA_FFI_Error* error = Failing(first, last, allocations, [&] { return handler(&frame); });
  if (!error) return 0;
  std::strncpy(message, error->message, room - 1);
  return error->code;
}

// A user's kernel, int32[n] -> int32[n], for evops_register_custom: doubles its part of the loop.
EXPORT void xla_double(void* context) {
  struct Array {
    int32_t extent, padding;
    int32_t* data;
  };
  const Array* arrays = *static_cast<Array**>(context);
  const int64_t n = arrays[0].extent, part = arrays[2].data[0], parts = arrays[2].data[1];
  for (int64_t i = n * part / parts; i < n * (part + 1) / parts; ++i) arrays[1].data[i] = 2 * arrays[0].data[i];
}
