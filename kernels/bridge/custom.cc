// evops_custom: a user's own kernel, compiled when it is first used and made known here under a key.
#include <cstring>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "kernels.h"
#include "parallel.h"

namespace evops {
namespace {

struct Parameter {
  ffi::DataType type;
  size_t rank;
};

// A kernel for operands and results in this order. One that can be split takes one array more, int32[2]: which
// part of its loop to run, and of how many.
struct Custom {
  Kernel kernel;
  std::vector<Parameter> parameters;
  bool split;
};

// Keys never change their meaning and entries are never removed, so that a pointer to one stays good.
class Registry {
 public:
  void Add(const char* key, Custom custom) {
    std::unique_lock<std::shared_mutex> lock(mutex_);
    kernels_.emplace(key, std::move(custom));
  }
  const Custom* Find(std::string_view key) const {
    std::shared_lock<std::shared_mutex> lock(mutex_);
    const auto found = kernels_.find(key);
    return found == kernels_.end() ? nullptr : &found->second;
  }
  static Registry& Get() {
    static Registry* registry = new Registry;  // outlives whatever still runs when the process ends
    return *registry;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::map<std::string, Custom, std::less<>> kernels_;
};

// Taichi's argument block: for each array its extents, padded to 8 bytes, and its address.
class Block {
 public:
  explicit Block(const Custom& custom) {
    size_t words = custom.split ? 2 : 0;
    for (const Parameter& p : custom.parameters) words += Words(p.rank);
    if (words > kOnStack) heap_.resize(words);
    begin_ = at_ = words > kOnStack ? heap_.data() : stack_;
  }
  void Add(const ffi::AnyBuffer& buffer) {
    const auto extents = buffer.dimensions();
    int32_t* shape = reinterpret_cast<int32_t*>(at_);
    shape[0] = 1;  // of an array of rank 0
    for (size_t i = 0; i < extents.size(); ++i) shape[i] = static_cast<int32_t>(extents[i]);
    at_ += Words(extents.size());
    const void* data = buffer.untyped_data();
    std::memcpy(at_ - 1, &data, sizeof data);
  }
  void Run(Kernel kernel) {
    RuntimeContext context{begin_, nullptr, 0, nullptr};
    kernel(&context);
  }
  // Runs one of several parts, in whichever thread, with a block of its own.
  void RunPart(Kernel kernel, int64_t part, int64_t parts) const {
    std::vector<uint64_t> own(begin_, at_);
    const int32_t which[] = {static_cast<int32_t>(part), static_cast<int32_t>(parts)};
    const int32_t* data = which;
    own.resize(own.size() + 2, 2);  // the extent
    std::memcpy(&own.back(), &data, sizeof data);
    RuntimeContext context{own.data(), nullptr, 0, nullptr};
    kernel(&context);
  }

 private:
  static constexpr size_t kOnStack = 64;
  static size_t Words(size_t rank) { return (std::max<size_t>(rank, 1) + 1) / 2 + 1; }
  uint64_t stack_[kOnStack];
  std::vector<uint64_t> heap_;
  uint64_t *begin_, *at_;
};

// Whether a kernel can take a buffer. Taichi's indices are 32 bits wide.
bool Fits(const ffi::AnyBuffer& buffer, const Parameter& wanted) {
  bool fits = buffer.element_type() == wanted.type && buffer.dimensions().size() == wanted.rank &&
              static_cast<int64_t>(buffer.element_count()) <= kMaxElements;
  for (const int64_t extent : buffer.dimensions()) fits = fits && extent <= kMaxElements;
  return fits;
}

ffi::Error Unfit(const std::string& op, const char* kind, size_t index, const ffi::AnyBuffer& buffer,
                 const Parameter& wanted) {
  return Invalid(op, std::string(kind) + " " + std::to_string(index) + " is " + Describe(buffer) + ", expected " +
                         Name(wanted.type) + " of rank " + std::to_string(wanted.rank) +
                         " with at most 2**31 - 1 elements");
}

ffi::Error RunCustom(ffi::ThreadPool pool, ffi::RemainingArgs operands, ffi::RemainingRets results,
                     std::string_view key, std::string_view name) {
  const auto op = [&] { return "evops_custom " + std::string(name); };
  const Custom* custom = Registry::Get().Find(key);
  if (!custom)
    return ffi::Error(ffi::ErrorCode::kFailedPrecondition,
                      op() + ": the kernel is not loaded in this process; trace or call its evops.XLACustomOp once "
                           "before running code that was compiled elsewhere (key " + std::string(key) + ")");
  const size_t n = custom->parameters.size();
  if (operands.size() + results.size() != n)
    return Invalid(op(), std::to_string(operands.size()) + " operands and " + std::to_string(results.size()) +
                           " results, the kernel has " + std::to_string(n) + " arrays");
  Block block(*custom);
  for (size_t i = 0; i < n; ++i) {
    const bool operand = i < operands.size();
    const size_t index = operand ? i : i - operands.size();
    const Parameter& wanted = custom->parameters[i];
    if (operand) {
      const auto buffer = operands.get<ffi::AnyBuffer>(index);
      if (!buffer.has_value()) return buffer.error();
      if (!Fits(*buffer, wanted)) return Unfit(op(), "operand", index, *buffer, wanted);
      block.Add(*buffer);
    } else {
      auto buffer = results.get<ffi::AnyBuffer>(index);
      if (!buffer.has_value()) return buffer.error();
      if (!Fits(**buffer, wanted)) return Unfit(op(), "result", index, **buffer, wanted);
      block.Add(**buffer);
    }
  }
  for (size_t i = 0; i < results.size(); ++i) {
    auto buffer = results.get<ffi::AnyBuffer>(i);
    if ((*buffer)->size_bytes()) std::memset((*buffer)->untyped_data(), 0, (*buffer)->size_bytes());
  }
  if (!custom->split) {
    block.Run(custom->kernel);
    return ffi::Error::Success();
  }
  const int64_t parts = std::max<int64_t>(1, pool.num_threads());
  Parallel(pool, parts, [&](int64_t part) { block.RunPart(custom->kernel, part, parts); });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace evops

// Makes a kernel known under a key: its address, and XLA's element type and the rank of each of its `arrays`
// arrays. 0 on success, 1 where an argument is out of range.
extern "C" __attribute__((visibility("default"))) int evops_register_custom(const char* key, void* kernel,
                                                                            const int32_t* signature, int64_t arrays,
                                                                            int split) {
  if (!key || !kernel || !signature || arrays < 1) return 1;
  evops::Custom custom{reinterpret_cast<evops::Kernel>(kernel), {}, split != 0};
  for (int64_t i = 0; i < arrays; ++i) {
    if (signature[2 * i + 1] < 0) return 1;
    custom.parameters.push_back(
        {static_cast<xla::ffi::DataType>(signature[2 * i]), static_cast<size_t>(signature[2 * i + 1])});
  }
  evops::Registry::Get().Add(key, std::move(custom));
  return 0;
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(evops_custom, evops::RunCustom,
                              evops::ffi::Ffi::Bind()
                                  .Ctx<evops::ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<std::string_view>("key")
                                  .Attr<std::string_view>("name"));
