// Buffers of rows: what spikes of any number of matrices cause, collected and then read together, so that the lanes of
// the readers are full even where few neurons fire.
#pragma once
#include <cstdint>

#include "synapse_reader.h"

namespace evops {

// For the braintaichi scheme with one weight, where a row is a chain of gaps and kernels of its own add it up.
template <class T>
class ChainBuffer {
 public:
  ChainBuffer(const Scheme& scheme, T* out, int64_t out_size)
      : kernel_(Element<T>::Scatter()), scheme_(scheme), out_(out), out_size_(out_size) {}

  // The caller has checked that [origin, origin + n_post) lies inside `out`, and flushes at the end.
  void Add(const Row& row, const Value<T>& value) {
    if (row.n_post == 0) return;  // the kernel touches out[origin] of every row
    seed_[count_] = row.t0;
    index_[count_] = row.pre;
    base_[count_] = static_cast<uint32_t>(row.origin);
    stop_[count_] = static_cast<uint32_t>(row.origin + row.n_post);
    value_[count_] = static_cast<T>(value.x * value.a);
    if (++count_ == kCapacity) Flush();
  }

  void Flush() {
    if (count_ == 0) return;
    for (int64_t k = count_; k % kGroup != 0; ++k) {  // kernels may read whole groups
      seed_[k] = index_[k] = base_[k] = stop_[k] = 0;
      value_[k] = T(0);
    }
    Call(kernel_, Array(seed_, count_), Array(index_, count_), Array(base_, count_), Array(stop_, count_),
         Array(value_, count_), Array(scheme_.words(), kSchemeWords), Array(out_, out_size_));
    count_ = 0;
  }

 private:
  static constexpr int64_t kGroup = 16, kCapacity = 512;
  Kernel kernel_;
  Scheme scheme_;
  T* out_;
  int64_t out_size_;
  int64_t count_ = 0;
  uint32_t seed_[kCapacity], index_[kCapacity], base_[kCapacity], stop_[kCapacity];
  T value_[kCapacity];
};

// For all others: a + b z is added at every synapse of the row. With delays that are drawn, `out` is their ring and the
// origin of a row lies in its first slot.
template <class T, Addend addend>
class RowBuffer {
 public:
  RowBuffer(SynapseReader& reader, T* out) : reader_(reader), out_(out) {}

  void Add(const Row& row, const Value<T>& value) {
    row_[count_] = row;
    if constexpr (addend != Addend::kOne) value_[count_] = value;
    if (++count_ == kCapacity) Flush();
  }

  void Flush() {
    reader_.template Accumulate<addend>(row_, value_, count_, out_);
    count_ = 0;
  }

 private:
  static constexpr int64_t kCapacity = 512;
  SynapseReader& reader_;
  T* out_;
  int64_t count_ = 0;
  Row row_[kCapacity];
  Value<T> value_[addend == Addend::kOne ? 1 : kCapacity];
};

}  // namespace evops
