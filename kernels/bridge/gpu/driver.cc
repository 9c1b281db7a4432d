// Opens NVIDIA's driver, and loads the kernels into it.
#include "driver.h"

#include <dlfcn.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "kernels.h"

namespace evops::gpu {
namespace {

constexpr const char* kAdvice = "; install or update NVIDIA's driver (CUDA 12 or newer), or choose the CPU with JAX_PLATFORMS=cpu";

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
  find(&driver.MemsetD32Async, "cuMemsetD32Async");
  find(&driver.MemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2");
  return driver;
}

// Kernels that were loaded, by name: for every device at once.
struct Loaded {
  std::mutex mutex;
  std::map<std::string, Function, std::less<>> kernels;
};

const KernelText* Find(const std::string& name) {
  for (size_t k = 0; k < kKernelTextCount; ++k)
    if (name == kKernelTexts[k].name) return &kKernelTexts[k];
  return nullptr;
}

}  // namespace

const Driver& Driver::Get() {
  static const Driver driver = Open();
  return driver;
}

std::string Driver::Describe(CudaResult result) const {
  const char* name = nullptr;
  if (GetErrorName) GetErrorName(result, &name);
  return name ? name : "CUDA error " + std::to_string(result);
}

void Commands::Check(const std::string& what, CudaResult result) {
  if (result != 0 && error_.empty()) error_ = what + " failed: " + Driver::Get().Describe(result);
}

Function Commands::Load(const std::string& name, size_t argument_bytes) {
  static Loaded loaded;
  const Driver& driver = Driver::Get();
  if (!driver.error.empty()) {
    error_ = driver.error;
    return nullptr;
  }
  std::lock_guard<std::mutex> lock(loaded.mutex);
  const auto found = loaded.kernels.find(name);
  Function kernel = found == loaded.kernels.end() ? nullptr : found->second;
  if (!kernel) {
    const KernelText* text = Find(name);
    if (!text || text->argument_bytes != argument_bytes) {
      error_ = "there is no kernel " + name + " with " + std::to_string(argument_bytes) + " bytes of arguments";
      return nullptr;
    }
    Library library = nullptr;
    Check("loading the PTX of " + name,
          driver.LibraryLoadData(&library, text->ptx, nullptr, nullptr, 0, nullptr, nullptr, 0));
    if (error_.empty())
      Check("looking up " + name, driver.LibraryGetKernel(&kernel, library, ("evops_gpu_" + name).c_str()));
    if (!error_.empty()) return nullptr;
    loaded.kernels.emplace(name, kernel);
  }
  if (stage_ == Stage::kLoad) {  // now, and not while a graph is recorded
    Function here = nullptr;
    Check("loading " + name + " onto the device", driver.KernelGetFunction(&here, kernel));
  }
  return kernel;
}

}  // namespace evops::gpu
