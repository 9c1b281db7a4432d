// How functions leave the library. XLA and Python know no exceptions: none gets out.
#pragma once
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>
#include <utility>

#include "xla/ffi/api/ffi.h"

#define EVOPS_EXPORT extern "C" __attribute__((visibility("default")))

namespace evops {

// XLA's error for an exception. It asks for no memory of its own, of which there may be none.
inline XLA_FFI_Error* Failure(XLA_FFI_CallFrame* frame, const char* op, XLA_FFI_Error_Code code, const char* what) {
  char message[256];
  std::snprintf(message, sizeof message, "%s: %s", op, what);
  XLA_FFI_Error_Create_Args args{XLA_FFI_Error_Create_Args_STRUCT_SIZE, nullptr, message, code};
  return frame->api->XLA_FFI_Error_Create(&args);
}

// What call() returns, or the error for what it throws.
template <class Call>
XLA_FFI_Error* Guarded(const char* op, XLA_FFI_CallFrame* frame, Call call) noexcept {
  constexpr const char* kNoMemory = "out of memory";
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return Failure(frame, op, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED, kNoMemory);
  } catch (const std::length_error&) {  // of a list that is larger than any memory
    return Failure(frame, op, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED, kNoMemory);
  } catch (const std::exception& error) {
    return Failure(frame, op, XLA_FFI_Error_Code_INTERNAL, error.what());
  } catch (...) {
    return Failure(frame, op, XLA_FFI_Error_Code_INTERNAL, "unknown exception");
  }
}

// The same for functions that Python calls: 0 on success, 1 where an argument is out of range, 2 without memory.
template <class Call>
int GuardedStatus(Call call) noexcept {
  try {
    return call();
  } catch (...) {
    return 2;
  }
}

// A binding that takes kArguments buffers and gives kResults, one at least.
template <int kArguments, int kResults, class Binding>
auto WithBuffers(Binding&& binding) {
  using Buffer = xla::ffi::AnyBuffer;
  if constexpr (kArguments > 0) {
    return WithBuffers<kArguments - 1, kResults>(std::move(binding).template Arg<Buffer>());
  } else if constexpr (kResults > 1) {
    return WithBuffers<0, kResults - 1>(std::move(binding).template Ret<Buffer>());
  } else {  // bindings cannot be copied
    return std::move(binding).template Ret<Buffer>();
  }
}

// The same for the CPU, whose handlers get a pool of threads.
template <int kArguments, int kResults>
auto BindOnCpu() {
  return WithBuffers<kArguments, kResults>(xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>());
}

}  // namespace evops

// Exports a handler: its name, its function and what it binds, and its traits if it has any.
#define EVOPS_HANDLER(name, ...)                               \
  EVOPS_EXPORT XLA_FFI_Error* name(XLA_FFI_CallFrame* frame) { \
    return evops::Guarded(#name, frame, [frame] {              \
      XLA_FFI_DEFINE_HANDLER(handler, __VA_ARGS__);            \
      return (*handler)(frame);                                \
    });                                                        \
  }                                                            \
  static_assert(std::is_same_v<decltype(name), XLA_FFI_Handler>)
