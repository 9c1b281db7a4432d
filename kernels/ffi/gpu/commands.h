// The compiled GPU kernels, and how they are launched.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "../check.h"
#include "../handler.h"
#include "driver.h"
#include "launches.h"  // made by kernels/build_gpu.py: sizes of launches, arguments of kernels

namespace evops::gpu {

// XLA's stream as an argument of a handler. EVOPS_GPU_ON_CPU is for tests: XLA's CPU client has none.
struct XlaStream {};

// One entry of the table that kernels/build_gpu.py writes: PTX with the entry evops_gpu_<name>.
struct KernelText {
  const char* name;
  size_t argument_bytes;
  const char* ptx;
};
extern const KernelText kKernelTexts[];
extern const size_t kKernelTextCount;

// An entry of a PTX text, which lives as long as the process, and what messages call it.
struct Entry {
  const char* ptx;
  std::string symbol, name;
};

// What a handler does with its kernels: XLA calls it once to load them, before any graph is recorded, then to
// launch them.
enum class Stage { kLoad, kExecute };

// The commands of one call, in their order on XLA's stream. The first failure is kept, and nothing follows it.
class Commands {
 public:
  Commands(std::string_view op, Stage stage, Stream stream)
      : op_(op), stage_(stage), stream_(stream), error_(Driver::Get().error) {}

  // Launches the kernel of a family (kernels/gpu.py) and of `types` with about `threads` threads.
  template <class Arguments>
  void Launch(const std::string& types, int64_t threads, const Arguments& arguments) {
    LaunchBlocks(types, (std::min(threads, kWorkers) + kThreads - 1) / kThreads, kThreads, arguments);
  }

  // Launches blocks of as many threads as the kernel was compiled for.
  template <class Arguments>
  void LaunchBlocks(const std::string& types, int64_t blocks, int64_t threads, Arguments arguments) {
    if (!error_.empty()) return;
    const std::string kernel = Arguments::kFamily + types;
    const Function function = Load(kernel, sizeof arguments);
    if (!error_.empty() || stage_ == Stage::kLoad || blocks <= 0) return;
    Launch(kernel, function, blocks, threads, &arguments);
  }

  // Of the device that the stream belongs to.
  int64_t Multiprocessors();

  // Launches an entry that takes one block of arguments.
  void Launch(const Entry& entry, int64_t blocks, int64_t threads, void* block) {
    if (!error_.empty()) return;
    const Function function = Load(entry);
    if (error_.empty() && stage_ == Stage::kExecute) Launch(entry.name, function, blocks, threads, block);
  }

  void Zero(const ffi::AnyBuffer& words) {
    if (!error_.empty() || stage_ == Stage::kLoad || words.size_bytes() == 0) return;
    Check("clearing counts", Driver::Get().MemsetD32Async(Address(words), 0, words.size_bytes() / 4, stream_));
  }

  void ClearResult(const ffi::AnyBuffer& result) {
    if (!error_.empty() || stage_ == Stage::kLoad || result.size_bytes() == 0) return;
    Check("clearing a result", Driver::Get().MemsetD8Async(Address(result), 0, result.size_bytes(), stream_));
  }

  void Copy(const ffi::AnyBuffer& to, const ffi::AnyBuffer& from) {
    if (!error_.empty() || stage_ == Stage::kLoad || to.untyped_data() == from.untyped_data()) return;
    if (to.size_bytes() == 0) return;
    Check("copying an operand", Driver::Get().MemcpyDtoDAsync(Address(to), Address(from), to.size_bytes(), stream_));
  }

  ffi::Error Result() const {
    if (error_.empty()) return ffi::Error::Success();
    return ffi::Error(ffi::ErrorCode::kInternal, std::string(op_) + ": " + error_);
  }

 private:
  static DevicePointer Address(const ffi::AnyBuffer& b) { return reinterpret_cast<DevicePointer>(b.untyped_data()); }

  void Launch(const std::string& name, Function function, int64_t blocks, int64_t threads, void* block) {
    void* parameters[] = {block};
    Check("launch of " + name,
          Driver::Get().LaunchKernel(function, static_cast<unsigned>(blocks), 1, 1, static_cast<unsigned>(threads), 1,
                                     1, 0, stream_, parameters, nullptr));
  }

  Function Load(const std::string& kernel, size_t argument_bytes);
  Function Load(const Entry& entry);
  void Check(const std::string& what, CudaResult result);

  std::string_view op_;
  Stage stage_;
  Stream stream_;
  std::string error_;
};

// All elements of a buffer, or its 32-bit words.
inline Array All(const ffi::AnyBuffer& b) { return Array(b.untyped_data(), b.element_count()); }
inline Array Words(const ffi::AnyBuffer& b) { return Array(b.untyped_data(), b.size_bytes() / 4); }
inline int64_t WordsOf(const ffi::AnyBuffer& b) { return static_cast<int64_t>(b.size_bytes() / 4); }

// How the kernels' names call element types, and which rows are read.
inline std::string Suffix(ffi::DataType type) {
  switch (type) {
    case ffi::DataType::PRED: return "_u8";
    case ffi::DataType::S32: return "_i32";
    case ffi::DataType::F32: return "_f32";
    default: return "_f64";
  }
}
inline std::string KindOf(bool published, Law law) {
  switch (law) {
    case Law::kQuantiles: return published ? "_lfsr_quantiles" : "_quantiles";
    case Law::kLfsrUniform: return "_lfsr_uniform";
    case Law::kLfsrNormal: return "_lfsr_normal";
    default: return published ? "_lfsr" : "_constant";
  }
}

// The same for x @ C, which has kernels for grids alone.
inline std::string ScatterKindOf(const MatrixSpec& spec) {
  if (!IsGrid(spec.scheme)) return KindOf(IsPublished(spec.scheme), LawOf(spec));
  return LawOf(spec) == Law::kQuantiles ? "_grid_quantiles" : "_grid";
}

// Tasks into which a row of n post neurons is cut, one at least.
inline int64_t PartsOf(const MatrixSpec& spec, int64_t n) {
  const int64_t synapses = IsCounted(spec.scheme) ? spec.synapses_per_row : SynapsesOfRow(spec.scheme);
  return std::max<int64_t>(BlocksOf(spec.scheme, std::max<int64_t>(n, 1), synapses), 1);
}

// What the kernels' 32-bit numbers cannot count, or an empty string: more tasks (threads go on in strides of
// kWorkers), an array of more elements, or words to clear.
inline std::string TooLarge(double tasks, std::initializer_list<ffi::AnyBuffer> arrays, int64_t words = 0) {
  constexpr double kMostTasks = 4294967296.0 - kWorkers;
  for (const ffi::AnyBuffer& b : arrays)
    if (static_cast<int64_t>(b.element_count()) > kMaxElements) return Describe(b) + ", at most 2147483647 elements";
  if (words > kMaxElements) return "the result has " + std::to_string(words) + " words of 32 bits, at most 2147483647";
  if (tasks < kMostTasks) return "";
  return "rows are cut into " + std::to_string(static_cast<int64_t>(tasks)) +
         " parts, at most 4294705152: split the projection";
}

// Lists of the spikes in rows of x: neurons, their values as words of `element`, and how many there are.
struct Spikes {
  ffi::AnyBuffer active, value, count;

  std::string Mismatch(int64_t rows, int64_t n, ffi::DataType element) const {
    const int64_t words = element == ffi::DataType::F64 ? 2 : 1;
    std::string bad = evops::Mismatch("active", active, ffi::DataType::U32, {rows, n});
    if (bad.empty()) bad = evops::Mismatch("value", value, ffi::DataType::U32, {rows, n * words});
    return bad.empty() ? evops::Mismatch("count", count, ffi::DataType::S32, {rows}) : bad;
  }
  // Fills the lists, and clears `words` 32-bit words of `y`.
  void Find(Commands& commands, const ffi::AnyBuffer& x, ffi::DataType element, const ffi::AnyBuffer& y,
            int64_t words) const {
    Compact arguments{All(x), Words(y), All(active), Values(element), All(count)};
    arguments.inputs = static_cast<uint32_t>(x.dimensions().size() == 2 ? x.dimensions()[0] : 1);
    arguments.n = static_cast<uint32_t>(x.dimensions().back());
    arguments.words = static_cast<uint32_t>(words);
    commands.Zero(count);
    commands.Launch(Suffix(x.element_type()) + Suffix(element), std::max<int64_t>(x.element_count(), words), arguments);
  }
  Array Values(ffi::DataType element) const {
    return Array(value.untyped_data(), value.element_count() / (element == ffi::DataType::F64 ? 2 : 1));
  }
};

}  // namespace evops::gpu

namespace xla::ffi {

template <>
struct CtxDecoding<evops::gpu::XlaStream> {
  using Type = evops::gpu::Stream;
  static std::optional<Type> Decode(const XLA_FFI_Api* api, XLA_FFI_ExecutionContext* ctx,
                                    DiagnosticEngine& diagnostic) {
#ifdef EVOPS_GPU_ON_CPU
    return (void)api, (void)ctx, (void)diagnostic, reinterpret_cast<Type>(0x57);  // which the tests' driver expects
#else
    return CtxDecoding<PlatformStream<Type> >::Decode(api, ctx, diagnostic);
#endif
  }
};

}  // namespace xla::ffi

namespace evops::gpu {

// A handler's stream; and its arguments and results.
template <Stage kStage>
auto BindStream() {
  constexpr auto stage = kStage == Stage::kLoad ? ffi::ExecutionStage::kInitialize : ffi::ExecutionStage::kExecute;
  return ffi::Ffi::Bind<stage>().template Ctx<XlaStream>();
}
template <Stage kStage, int kArguments, int kResults>
auto Bind() {
  return WithBuffers<kArguments, kResults>(BindStream<kStage>());
}

}  // namespace evops::gpu

// Exports a handler and, as <name>_load, the stage that loads its kernels. Launches on the stream that XLA gives are
// all that a handler does, so they can be recorded into a graph.
#define EVOPS_GPU_HANDLERS(name, implementation, binding)                                                  \
  EVOPS_HANDLER(name, implementation<evops::gpu::Stage::kExecute>, binding<evops::gpu::Stage::kExecute>(), \
                {evops::ffi::Traits::kCmdBufferCompatible});                                               \
  EVOPS_HANDLER(name##_load, implementation<evops::gpu::Stage::kLoad>, binding<evops::gpu::Stage::kLoad>())
