// evops_list_spikes: flags with a list of those that are set behind them, for the handlers that take spikes.
//
// A row is the flags, a byte each, then how many are set, and then which, in order, in numbers of 4 bytes. Where they
// are more than there is room for, the number tells: whoever reads the row then reads the flags. Room that is left
// holds the number of flags, which names none.
#include <algorithm>
#include <cstring>

#include "handler.h"
#include "check.h"
#include "spikes.h"

namespace evops {
namespace {

void ListRow(const uint8_t* flags, int64_t n, int64_t capacity, uint8_t* out) {
  uint8_t* const list = out + n;
  const auto write = [list](int64_t word, int64_t value) {
    const uint32_t bits = static_cast<uint32_t>(value);
    std::memcpy(list + 4 * word, &bits, sizeof bits);  // rows of a batch begin anywhere
  };
  std::memcpy(out, flags, n);
  int64_t count = 0;
  ForEachNonzero(flags, n, [&](int64_t i) {
    if (count++ < capacity) write(count, i);
  });
  write(0, count);
  for (int64_t k = count; k < capacity; ++k) write(k + 1, n);
}

ffi::Error List(ffi::AnyBuffer flags, ffi::Result<ffi::AnyBuffer> out, int64_t listed) {
  constexpr const char* kOp = "evops_list_spikes";
  if (flags.dimensions().size() != 2) return Invalid(kOp, "flags are " + Describe(flags) + ", expected rank 2");
  const int64_t rows = flags.dimensions()[0], n = flags.dimensions()[1];
  if (listed < 1 || listed > kMaxElements || n > kMaxElements)
    return Invalid(kOp,
                   std::to_string(listed) + " words for " + std::to_string(n) + " flags, expected 1 to 2147483647");
  for (const std::string& bad : {Mismatch("flags", flags, ffi::DataType::PRED, {rows, n}),
                                 Mismatch("result", *out, ffi::DataType::U8, {rows, n + 4 * listed})})
    if (!bad.empty()) return Invalid(kOp, bad);
  const uint8_t* from = static_cast<const uint8_t*>(flags.untyped_data());
  uint8_t* to = static_cast<uint8_t*>(out->untyped_data());
  for (int64_t row = 0; row < rows; ++row) ListRow(from + row * n, n, listed - 1, to + row * (n + 4 * listed));
  return ffi::Error::Success();
}

}  // namespace
}  // namespace evops

EVOPS_HANDLER(evops_list_spikes, evops::List,
              (evops::WithBuffers<1, 1>(evops::ffi::Ffi::Bind()).Attr<int64_t>("listed")));
