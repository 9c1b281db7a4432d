// What the handlers of users' kernels share, on the CPU and the GPU: kernels by key, and their argument blocks.
#pragma once
#include <cstring>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"

namespace evops {

struct Parameter {
  ffi::DataType type;
  size_t rank;
};
using Parameters = std::vector<Parameter>;

// Reads XLA's element type and the rank of each of `arrays` arrays; whether they are in range.
inline bool ReadSignature(const int32_t* signature, int64_t arrays, Parameters* parameters) {
  if (!signature || arrays < 1) return false;
  for (int64_t i = 0; i < arrays; ++i) {
    if (signature[2 * i + 1] < 0) return false;
    parameters->push_back({static_cast<ffi::DataType>(signature[2 * i]), static_cast<size_t>(signature[2 * i + 1])});
  }
  return true;
}

// Keys never change their meaning and entries are never removed, so that a pointer to one stays good.
template <class T>
class Registry {
 public:
  void Add(const char* key, T kernel) {
    std::unique_lock<std::shared_mutex> lock(mutex_);
    kernels_.emplace(key, std::move(kernel));
  }
  const T* Find(std::string_view key) const {
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
  std::map<std::string, T, std::less<>> kernels_;
};

inline ffi::Error NotLoaded(const std::string& op, std::string_view key) {
  return ffi::Error(ffi::ErrorCode::kFailedPrecondition,
                    op +
                        ": the kernel is not loaded in this process; trace or call its evops.XLACustomOp once "
                        "before running code that was compiled elsewhere (key " +
                        std::string(key) + ")");
}

// Taichi's argument block: for each array its extents, padded to 8 bytes, and its address.
class Block {
 public:
  // Room for arrays of these ranks, and for some words more.
  Block(const Parameters& parameters, size_t more) {
    size_t words = more;
    for (const Parameter& p : parameters) words += Words(p.rank);
    if (words > kOnStack) heap_.resize(words);
    begin_ = end_ = words > kOnStack ? heap_.data() : stack_;
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  void Add(const ffi::AnyBuffer& buffer) {
    const auto extents = buffer.dimensions();
    int32_t* shape = reinterpret_cast<int32_t*>(end_);
    shape[0] = 1;  // of an array of rank 0
    for (size_t i = 0; i < extents.size(); ++i) shape[i] = static_cast<int32_t>(extents[i]);
    end_ += Words(extents.size()) - 1;
    AddAddress(buffer.untyped_data());
  }
  void AddAddress(const void* data) { std::memcpy(end_++, &data, sizeof data); }
  uint64_t* begin() const { return begin_; }
  uint64_t* end() const { return end_; }

 private:
  static constexpr size_t kOnStack = 64;
  static size_t Words(size_t rank) { return (std::max<size_t>(rank, 1) + 1) / 2 + 1; }
  uint64_t stack_[kOnStack];
  std::vector<uint64_t> heap_;
  uint64_t *begin_, *end_;
};

// Whether a kernel can take a buffer. Taichi's indices are 32 bits wide.
inline bool Fits(const ffi::AnyBuffer& buffer, const Parameter& wanted) {
  bool fits = buffer.element_type() == wanted.type && buffer.dimensions().size() == wanted.rank &&
              static_cast<int64_t>(buffer.element_count()) <= kMaxElements;
  for (const int64_t extent : buffer.dimensions()) fits = fits && extent <= kMaxElements;
  return fits;
}

inline ffi::Error Unfit(const std::string& op, const char* kind, size_t index, const ffi::AnyBuffer& buffer,
                        const Parameter& wanted) {
  return Invalid(op, std::string(kind) + " " + std::to_string(index) + " is " + Describe(buffer) + ", expected " +
                         Name(wanted.type) + " of rank " + std::to_string(wanted.rank) +
                         " with at most 2**31 - 1 elements");
}

// What a kernel finds in a result, for each: zeros, anything (it writes all of it), or what is in the operand of this
// number, of which it is the same array.
constexpr int64_t kZeros = -1, kAnything = -2;
using Contents = ffi::Span<const int64_t>;

// The first result that takes the place of an operand; their number if none does.
inline size_t PlaceOf(size_t operand, const Contents& contents) {
  return std::find(contents.begin(), contents.end(), static_cast<int64_t>(operand)) - contents.begin();
}

// Packs the operands and the first `count` results, after a check of each; `op()` names the operator. An operand that a
// result takes the place of is packed with the result's address. copy(to, from) is called where XLA gave them two.
template <class Op, class Copy>
ffi::Error Pack(const Op& op, const Parameters& parameters, const ffi::RemainingArgs& operands,
                ffi::RemainingRets& results, size_t count, const Contents& contents, Block* block, const Copy& copy) {
  if (contents.size() != count)
    return Invalid(op(), std::to_string(count) + " results, and contents of " + std::to_string(contents.size()));
  size_t own = 0;
  for (size_t i = 0; i < count; ++i) {
    const int64_t k = contents[i];
    if (k < kAnything || k >= static_cast<int64_t>(operands.size()) || (k >= 0 && PlaceOf(k, contents) != i))
      return Invalid(op(), "contents of result " + std::to_string(i) + " are " + std::to_string(k));
    own += k < 0;
  }
  if (operands.size() + own != parameters.size())
    return Invalid(op(), std::to_string(operands.size()) + " operands and " + std::to_string(own) +
                             " results of their own, the kernel has " + std::to_string(parameters.size()) + " arrays");
  for (size_t i = 0; i < operands.size(); ++i) {
    const auto buffer = operands.get<ffi::AnyBuffer>(i);
    if (!buffer.has_value()) return buffer.error();
    if (!Fits(*buffer, parameters[i])) return Unfit(op(), "operand", i, *buffer, parameters[i]);
    const size_t place = PlaceOf(i, contents);
    if (place == count) {
      block->Add(*buffer);
      continue;
    }
    auto result = results.get<ffi::AnyBuffer>(place);
    if (!result.has_value()) return result.error();
    const auto extents = (*result)->dimensions(), wanted = buffer->dimensions();
    if (!Fits(**result, parameters[i]) || !std::equal(extents.begin(), extents.end(), wanted.begin(), wanted.end()))
      return Unfit(op(), "result", place, **result, parameters[i]);
    if ((*result)->untyped_data() != buffer->untyped_data()) copy(**result, *buffer);
    block->Add(**result);
  }
  size_t at = operands.size();
  for (size_t i = 0; i < count; ++i) {
    if (contents[i] >= 0) continue;
    auto buffer = results.get<ffi::AnyBuffer>(i);
    const Parameter& wanted = parameters[at++];
    if (!buffer.has_value()) return buffer.error();
    if (!Fits(**buffer, wanted)) return Unfit(op(), "result", i, **buffer, wanted);
    block->Add(**buffer);
  }
  return ffi::Error::Success();
}

}  // namespace evops
