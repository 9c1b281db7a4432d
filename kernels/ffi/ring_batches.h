// Operands of a batch of rings, as the handlers of pushes and pops take them: with the axes of the batch in front.
#pragma once
#include <functional>
#include <numeric>
#include <vector>

#include "check.h"

namespace evops {

// Entry `k` of the `size` of a batch: the part of an operand that has the axes of the batch before its own, else all.
inline XLA_FFI_Buffer EntryOf(const ffi::AnyBuffer& b, size_t own, int64_t k, int64_t size) {
  const auto dims = b.dimensions();
  const size_t axes = dims.size() > own ? dims.size() - own : 0;
  XLA_FFI_Buffer entry{};
  entry.struct_size = XLA_FFI_Buffer_STRUCT_SIZE;
  entry.dtype = static_cast<XLA_FFI_DataType>(b.element_type());
  entry.data = static_cast<char*>(b.untyped_data()) + (axes ? b.size_bytes() / size * k : 0);
  entry.rank = static_cast<int64_t>(dims.size() - axes);
  entry.dims = const_cast<int64_t*>(dims.begin()) + axes;
  return entry;
}

// Calls one(entries) for every ring of a batch until there is an error; `own` are the axes of operands for one ring.
template <class One>
ffi::Error ForEachEntry(const char* op, const std::vector<ffi::AnyBuffer>& operands, const std::vector<size_t>& own,
                        One one) {
  const auto ring = operands[0].dimensions();
  const size_t axes = ring.size() - own[0];
  const int64_t size = std::accumulate(ring.begin(), ring.begin() + axes, int64_t{1}, std::multiplies<>());
  for (size_t i = 0; i < operands.size(); ++i) {
    const auto dims = operands[i].dimensions();
    if (dims.size() > own[i] &&
        (dims.size() != own[i] + axes || !std::equal(dims.begin(), dims.begin() + axes, ring.begin())))
      return Invalid(op, Describe(operands[i]) + " is of another batch than the ring, " + Describe(operands[0]));
  }
  std::vector<XLA_FFI_Buffer> entries(operands.size());
  for (int64_t k = 0; k < size; ++k) {
    for (size_t i = 0; i < operands.size(); ++i) entries[i] = EntryOf(operands[i], own[i], k, size);
    if (ffi::Error error = one(entries.data()); error.failure()) return error;
  }
  return ffi::Error::Success();
}

}  // namespace evops
