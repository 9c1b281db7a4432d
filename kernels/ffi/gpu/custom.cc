// evops_gpu_custom: a user's own kernel on a GPU, whose PTX is made known here under a key.
#include "../custom.h"

#include "commands.h"

namespace evops::gpu {
namespace {

// A launch: threads of a block, and as many blocks as the task has work for.
struct Task {
  int64_t threads, blocks;
};

// A kernel for operands and results in this order, whose tasks run one after another. `scratch` is memory in which
// they leave values for each other: its bytes, or 0; XLA places it as one more result.
struct Custom {
  std::string ptx;
  Parameters parameters;
  std::vector<Task> tasks;
  int64_t scratch;
};

template <Stage kStage>
ffi::Error Run(Stream stream, ffi::RemainingArgs operands, ffi::RemainingRets results, std::string_view key,
               std::string_view name, Contents contents) {
  const auto op = [&] { return "evops_gpu_custom " + std::string(name); };
  const Custom* custom = Registry<Custom>::Get().Find(key);
  if (!custom) return NotLoaded(op(), key);
  const size_t scratches = custom->scratch ? 1 : 0;
  if (results.size() < scratches) return Invalid(op(), "no results, the last must be its scratch memory");
  const size_t n = results.size() - scratches;
  Block block(custom->parameters, scratches);
  const std::string called = op();
  Commands commands(called, kStage, stream);
  const auto copy = [&](const ffi::AnyBuffer& to, const ffi::AnyBuffer& from) { commands.Copy(to, from); };
  ffi::Error error = Pack(op, custom->parameters, operands, results, n, contents, &block, copy);
  if (error.failure()) return error;
  if (custom->scratch) {
    auto scratch = results.get<ffi::AnyBuffer>(n);
    if (!scratch.has_value()) return scratch.error();
    const std::string bad = Mismatch("scratch memory", **scratch, ffi::DataType::U8, {custom->scratch});
    if (!bad.empty()) return Invalid(op(), bad);
    block.AddAddress((*scratch)->untyped_data());
  }
  for (size_t i = 0; i < n; ++i)
    if (contents[i] == kZeros) commands.ClearResult(**results.get<ffi::AnyBuffer>(i));
  for (size_t k = 0; k < custom->tasks.size(); ++k) {
    const std::string number = std::to_string(k);
    commands.Launch({custom->ptx.c_str(), "evops_custom_" + number, "task " + number}, custom->tasks[k].blocks,
                    custom->tasks[k].threads, block.begin());
  }
  return commands.Result();
}

template <Stage kStage>
auto Binding() {
  return BindStream<kStage>()
      .RemainingArgs()
      .RemainingRets()
      .template Attr<std::string_view>("key")
      .template Attr<std::string_view>("name")
      .template Attr<Contents>("contents");
}

}  // namespace
}  // namespace evops::gpu

// Makes a kernel known under a key: PTX with the entries evops_custom_0 and so on, threads of a block and blocks of
// each, XLA's element type and the rank of each of its arrays, and bytes of scratch memory. See GuardedStatus for what
// it returns.
EVOPS_EXPORT int evops_gpu_register_custom(const char* key, const char* ptx, const int32_t* signature, int64_t arrays,
                                           const int32_t* launches, int64_t tasks, int64_t scratch) {
  using evops::gpu::Custom;
  return evops::GuardedStatus([&] {
    if (!key || !ptx || !launches || tasks < 1 || scratch < 0) return 1;
    Custom custom{ptx, {}, {}, scratch};
    if (!evops::ReadSignature(signature, arrays, &custom.parameters)) return 1;
    for (int64_t k = 0; k < tasks; ++k) {
      const int64_t threads = launches[2 * k], blocks = launches[2 * k + 1];
      if (threads < 1 || threads > 1024 || blocks < 1) return 1;
      custom.tasks.push_back({threads, blocks});
    }
    evops::Registry<Custom>::Get().Add(key, std::move(custom));
    return 0;
  });
}

EVOPS_GPU_HANDLERS(evops_gpu_custom, evops::gpu::Run, evops::gpu::Binding);
