// NVIDIA's driver, opened when the first kernel is loaded: the library needs no CUDA at build or run time.
#pragma once
#include <cstdint>
#include <string>

namespace evops::gpu {

// The part of cuda.h that is used.
using CudaResult = int;
using DevicePointer = unsigned long long;
using Stream = struct StreamTag*;
using Library = struct LibraryTag*;
using Function = struct FunctionTag*;

constexpr int kMultiprocessorCount = 16;  // a CUdevice_attribute

struct Driver {
  // Opened once; `error` says why it is of no use.
  static const Driver& Get();
  std::string Describe(CudaResult result) const;

  CudaResult (*GetErrorName)(CudaResult, const char**) = nullptr;
  CudaResult (*DriverGetVersion)(int*) = nullptr;
  CudaResult (*LibraryLoadData)(Library*, const void*, void*, void**, unsigned, void*, void**, unsigned) = nullptr;
  CudaResult (*LibraryGetKernel)(Function*, Library, const char*) = nullptr;
  CudaResult (*KernelGetFunction)(Function*, Function) = nullptr;
  CudaResult (*LaunchKernel)(Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Stream,
                             void**, void**) = nullptr;
  CudaResult (*CtxGetDevice)(int*) = nullptr;
  CudaResult (*DeviceGetAttribute)(int*, int, int) = nullptr;
  CudaResult (*MemsetD8Async)(DevicePointer, unsigned char, size_t, Stream) = nullptr;
  CudaResult (*MemsetD32Async)(DevicePointer, unsigned, size_t, Stream) = nullptr;
  CudaResult (*MemcpyDtoDAsync)(DevicePointer, DevicePointer, size_t, Stream) = nullptr;
  std::string error;
};

}  // namespace evops::gpu
