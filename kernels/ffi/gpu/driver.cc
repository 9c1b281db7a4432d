// Opens NVIDIA's driver, and loads the kernels into it.
#include "driver.h"

#include <dlfcn.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "commands.h"

namespace evops::gpu {
namespace {

constexpr const char* kAdvice =
    "; install or update NVIDIA's driver (CUDA 12 or newer), or choose the CPU with JAX_PLATFORMS=cpu";

Driver Open() {
  Driver driver;
  // another name is for tests: a driver that runs kernels on the CPU
  const char* asked = std::getenv("EVOPS_CUDA_DRIVER");
  const std::string name = asked ? asked : "libcuda.so.1";
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    driver.error = "the NVIDIA driver does not open: " + std::string(dlerror()) + kAdvice;
    return driver;
  }
  const auto find = [&](auto* function, const char* symbol) {
    *function = reinterpret_cast<std::remove_pointer_t<decltype(function)>>(dlsym(library, symbol));
    if (!*function && driver.error.empty()) driver.error = std::string("the NVIDIA driver has no ") + symbol + kAdvice;
  };
  find(&driver.GetErrorName, "cuGetErrorName");
  find(&driver.DriverGetVersion, "cuDriverGetVersion");
  find(&driver.LibraryLoadData, "cuLibraryLoadData");
  find(&driver.LibraryGetKernel, "cuLibraryGetKernel");
  find(&driver.KernelGetFunction, "cuKernelGetFunction");
  find(&driver.LaunchKernel, "cuLaunchKernel");
  find(&driver.CtxGetDevice, "cuCtxGetDevice");
  find(&driver.DeviceGetAttribute, "cuDeviceGetAttribute");
  find(&driver.MemsetD8Async, "cuMemsetD8Async");
  find(&driver.MemsetD32Async, "cuMemsetD32Async");
  find(&driver.MemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2");
  return driver;
}

// Texts that were loaded, and their entries: for every device at once.
struct Loaded {
  std::mutex mutex;
  std::map<const char*, Library> texts;
  std::map<std::pair<const char*, std::string>, Function> entries;
};

const KernelText* Find(std::string_view name) {
  static const auto texts = [] {
    std::map<std::string_view, const KernelText*> every;
    for (size_t k = 0; k < kKernelTextCount; ++k) every.emplace(kKernelTexts[k].name, &kKernelTexts[k]);
    return every;
  }();
  const auto found = texts.find(name);
  return found == texts.end() ? nullptr : found->second;
}

}  // namespace

const Driver& Driver::Get() {
  static const Driver driver = Open();
  return driver;
}

std::string Driver::Describe(CudaResult result) const {
  constexpr CudaResult kOutOfMemory = 2, kNoBinaryForGpu = 209, kInvalidPtx = 218, kUnsupportedPtxVersion = 222;
  const char* name = nullptr;
  if (GetErrorName) GetErrorName(result, &name);
  const std::string what = name ? name : "CUDA error " + std::to_string(result);
  switch (result) {
    case kOutOfMemory:
      return what +
             "; JAX takes three quarters of a device's memory at once: leave more for kernels with a smaller "
             "XLA_PYTHON_CLIENT_MEM_FRACTION, or XLA_PYTHON_CLIENT_PREALLOCATE=false";
    case kNoBinaryForGpu:
    case kInvalidPtx:
    case kUnsupportedPtxVersion: return what + "; kernels need a card of compute capability 7.0 or newer" + kAdvice;
    default: return what;
  }
}

void Commands::Check(const std::string& what, CudaResult result) {
  if (result != 0 && error_.empty()) error_ = what + " failed: " + Driver::Get().Describe(result);
}

int64_t Commands::Multiprocessors() {
  if (!error_.empty() || stage_ == Stage::kLoad) return 1;
  int device = 0, count = 1;
  Check("asking for the device", Driver::Get().CtxGetDevice(&device));
  if (error_.empty())
    Check("asking for the device's multiprocessors",
          Driver::Get().DeviceGetAttribute(&count, kMultiprocessorCount, device));
  return std::max(count, 1);
}

Function Commands::Load(const std::string& name, size_t argument_bytes) {
  const KernelText* text = Find(name);
  if (text && text->argument_bytes == argument_bytes) return Load({text->ptx, "evops_gpu_" + name, name});
  error_ = "there is no kernel " + name + " with " + std::to_string(argument_bytes) + " bytes of arguments";
  return nullptr;
}

Function Commands::Load(const Entry& entry) {
  static Loaded loaded;
  const Driver& driver = Driver::Get();
  std::lock_guard<std::mutex> lock(loaded.mutex);
  const auto known = loaded.entries.find({entry.ptx, entry.symbol});
  Function kernel = known == loaded.entries.end() ? nullptr : known->second;
  if (!kernel) {
    const auto text = loaded.texts.find(entry.ptx);
    Library library = text == loaded.texts.end() ? nullptr : text->second;
    if (!library) {
      Check("loading the PTX of " + entry.name,
            driver.LibraryLoadData(&library, entry.ptx, nullptr, nullptr, 0, nullptr, nullptr, 0));
      if (!error_.empty()) return nullptr;
      loaded.texts.emplace(entry.ptx, library);
    }
    Check("looking up " + entry.name, driver.LibraryGetKernel(&kernel, library, entry.symbol.c_str()));
    if (!error_.empty()) return nullptr;
    loaded.entries.emplace(std::pair(entry.ptx, entry.symbol), kernel);
  }
  if (stage_ == Stage::kLoad) {  // now, and not while a graph is recorded
    Function here = nullptr;
    Check("loading " + entry.name + " onto the device", driver.KernelGetFunction(&here, kernel));
  }
  return kernel;
}

}  // namespace evops::gpu

// The name of kernel k and its PTX, or null: for tests and the curious.
EVOPS_EXPORT const char* evops_gpu_kernel(size_t k, const char** ptx) {
  if (k >= evops::gpu::kKernelTextCount) return nullptr;
  *ptx = evops::gpu::kKernelTexts[k].ptx;
  return evops::gpu::kKernelTexts[k].name;
}
