// evops_custom: a user's own kernel, compiled when it is first used and made known here under a key.
#include "custom.h"

#include "handler.h"
#include "kernels.h"
#include "parallel.h"

namespace evops {
namespace {

// A kernel for operands and results in this order. One that can be split takes one array more, int32[2]: which
// part of its loop to run, and of how many.
struct Custom {
  Kernel kernel;
  Parameters parameters;
  bool split;
};

// Runs one of several parts, in whichever thread, with an argument block of its own.
void RunPart(Kernel kernel, const Block& block, int64_t part, int64_t parts) {
  std::vector<uint64_t> own(block.begin(), block.end());
  const int32_t which[] = {static_cast<int32_t>(part), static_cast<int32_t>(parts)};
  const int32_t* data = which;
  own.resize(own.size() + 2, 2);  // the extent
  std::memcpy(&own.back(), &data, sizeof data);
  RuntimeContext context{own.data(), nullptr, 0, nullptr};
  kernel(&context);
}

ffi::Error RunCustom(ffi::ThreadPool pool, ffi::RemainingArgs operands, ffi::RemainingRets results,
                     std::string_view key, std::string_view name) {
  const auto op = [&] { return "evops_custom " + std::string(name); };
  const Custom* custom = Registry<Custom>::Get().Find(key);
  if (!custom) return NotLoaded(op(), key);
  Block block(custom->parameters, 0);
  ffi::Error error = Pack(op, custom->parameters, operands, results, results.size(), &block);
  if (error.failure()) return error;
  for (size_t i = 0; i < results.size(); ++i) {
    auto buffer = results.get<ffi::AnyBuffer>(i);
    if ((*buffer)->size_bytes()) std::memset((*buffer)->untyped_data(), 0, (*buffer)->size_bytes());
  }
  if (!custom->split) {
    RuntimeContext context{block.begin(), nullptr, 0, nullptr};
    custom->kernel(&context);
    return ffi::Error::Success();
  }
  const int64_t parts = std::max<int64_t>(1, pool.num_threads());
  Parallel(pool, parts, [&](int64_t part) { RunPart(custom->kernel, block, part, parts); });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace evops

// Makes a kernel known under a key: its address, and XLA's element type and the rank of each of its `arrays`
// arrays. See GuardedStatus for what it returns.
EVOPS_EXPORT int evops_register_custom(const char* key, void* kernel, const int32_t* signature, int64_t arrays,
                                       int split) {
  return evops::GuardedStatus([&] {
    evops::Custom custom{reinterpret_cast<evops::Kernel>(kernel), {}, split != 0};
    if (!key || !kernel || !evops::ReadSignature(signature, arrays, &custom.parameters)) return 1;
    evops::Registry<evops::Custom>::Get().Add(key, std::move(custom));
    return 0;
  });
}

EVOPS_HANDLER(evops_custom, evops::RunCustom,
              evops::ffi::Ffi::Bind()
                  .Ctx<evops::ffi::ThreadPool>()
                  .RemainingArgs()
                  .RemainingRets()
                  .Attr<std::string_view>("key")
                  .Attr<std::string_view>("name"));
