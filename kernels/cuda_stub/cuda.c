// A stand-in for the CUDA driver, libcuda.so: with it Taichi compiles for a GPU on a machine that has none. It
// says yes to everything, hands out host memory, and never runs a kernel.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int Result;

// CUdevice_attribute, as far as Taichi's compiler asks.
enum { kThreadsPerBlock = 1, kMultiprocessors = 16, kCapabilityMajor = 75, kCapabilityMinor = 76, kSharedOptIn = 97 };

Result cuInit(unsigned flags) { return (void)flags, 0; }
Result cuDriverGetVersion(int* version) { return *version = 12020, 0; }
Result cuDeviceGetCount(int* count) { return *count = 1, 0; }
Result cuDeviceGet(int* device, int ordinal) { return *device = ordinal, 0; }
Result cuDeviceGetName(char* name, int size, int device) { return (void)device, strncpy(name, "none", size), 0; }
Result cuGetErrorName(int error, const char** name) { return (void)error, *name = "stand-in", 0; }
Result cuGetErrorString(int error, const char** text) { return (void)error, *text = "stand-in driver", 0; }

Result cuDeviceGetAttribute(int* value, int attribute, int device) {
  (void)device;
  switch (attribute) {
    case kThreadsPerBlock: *value = 1024; break;
    case kMultiprocessors: *value = 80; break;
    case kCapabilityMajor: *value = 7; break;
    case kCapabilityMinor: *value = 0; break;
    case kSharedOptIn: *value = 96 * 1024; break;
    default: *value = 1;
  }
  return 0;
}

static Result Allocate(void** pointer, size_t size) { return *pointer = calloc(1, size ? size : 1), *pointer == NULL; }
Result cuMemAlloc_v2(void** pointer, size_t size) { return Allocate(pointer, size); }
Result cuMemAllocAsync(void** pointer, size_t size, void* stream) { return (void)stream, Allocate(pointer, size); }
Result cuMemAllocManaged(void** pointer, size_t size, unsigned flags) { return (void)flags, Allocate(pointer, size); }
Result cuMemFree_v2(void* pointer) { return free(pointer), 0; }
Result cuMemFreeAsync(void* pointer, void* stream) { return (void)stream, free(pointer), 0; }
Result cuMemcpyHtoD_v2(void* to, const void* from, size_t size) { return memcpy(to, from, size), 0; }
Result cuMemcpyDtoH_v2(void* to, const void* from, size_t size) { return memcpy(to, from, size), 0; }
Result cuMemcpyDtoD_v2(void* to, const void* from, size_t size) { return memcpy(to, from, size), 0; }
Result cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t size, void* stream) {
  return (void)stream, memcpy(to, from, size), 0;
}
Result cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t size, void* stream) {
  return (void)stream, memcpy(to, from, size), 0;
}
Result cuMemsetD8_v2(void* to, unsigned char value, size_t size) { return memset(to, value, size), 0; }
Result cuMemsetD32_v2(uint32_t* to, unsigned value, size_t count) {
  for (size_t i = 0; i < count; ++i) to[i] = value;
  return 0;
}
Result cuMemGetInfo_v2(size_t* unused, size_t* total) { return *unused = *total = (size_t)16 << 30, 0; }
Result cuDeviceGetDefaultMemPool(void** pool, int device) { return (void)device, *pool = (void*)1, 0; }
Result cuDevicePrimaryCtxRetain(void** context, int device) { return (void)device, *context = (void*)1, 0; }
Result cuCtxGetCurrent(void** context) { return *context = (void*)1, 0; }
Result cuPointerGetAttribute(unsigned* value, unsigned attribute, void* pointer) {
  return (void)attribute, (void)pointer, *value = 2, 0;
}
Result cuModuleLoadDataEx(void** module, const char* text, unsigned count, void* options, void* values) {
  return (void)text, (void)count, (void)options, (void)values, *module = (void*)1, 0;
}
Result cuModuleGetFunction(void** function, void* module, const char* name) {
  return (void)module, (void)name, *function = (void*)1, 0;
}
Result cuFuncGetAttribute(int* value, unsigned attribute, void* function) {
  return (void)attribute, (void)function, *value = 0, 0;
}
Result cuOccupancyMaxActiveBlocksPerMultiprocessor(int* count, void* function, int threads, size_t shared) {
  return (void)function, (void)threads, (void)shared, *count = 1, 0;
}

#define EVOPS_SUCCEEDS(name) \
  Result name(void) { return 0; }
EVOPS_SUCCEEDS(cuMemPoolSetAttribute)
EVOPS_SUCCEEDS(cuCtxCreate_v2)
EVOPS_SUCCEEDS(cuCtxSetCurrent)
EVOPS_SUCCEEDS(cuCtxSetLimit)
EVOPS_SUCCEEDS(cuStreamCreate)
EVOPS_SUCCEEDS(cuStreamSynchronize)
EVOPS_SUCCEEDS(cuMemAdvise)
EVOPS_SUCCEEDS(cuLaunchKernel)
EVOPS_SUCCEEDS(cuFuncSetAttribute)
EVOPS_SUCCEEDS(cuEventCreate)
EVOPS_SUCCEEDS(cuEventDestroy)
EVOPS_SUCCEEDS(cuEventDestroy_v2)
EVOPS_SUCCEEDS(cuEventRecord)
EVOPS_SUCCEEDS(cuEventSynchronize)
EVOPS_SUCCEEDS(cuEventElapsedTime)
EVOPS_SUCCEEDS(cuImportExternalMemory)
EVOPS_SUCCEEDS(cuExternalMemoryGetMappedBuffer)
EVOPS_SUCCEEDS(cuExternalMemoryGetMappedMipmappedArray)
EVOPS_SUCCEEDS(cuMipmappedArrayGetLevel)
EVOPS_SUCCEEDS(cuSurfObjectCreate)
EVOPS_SUCCEEDS(cuSignalExternalSemaphoresAsync)
EVOPS_SUCCEEDS(cuWaitExternalSemaphoresAsync)
EVOPS_SUCCEEDS(cuImportExternalSemaphore)
