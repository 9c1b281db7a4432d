// The operands of a product with a stored matrix (engine/stored.py), checked for any device.
#pragma once
#include <string>
#include <utility>

#include "check.h"

namespace evops {

// A description of what is wrong, or an empty string. Reads no operand's elements. Members of a batch are the rows of x
// and y, or their columns.
inline std::string CheckStored(bool gather, const ffi::AnyBuffer& x, const ffi::AnyBuffer& indices,
                               const ffi::AnyBuffer& indptr, const ffi::AnyBuffer& y, bool turned = false,
                               int64_t listed = 0) {
  if (x.dimensions().size() != 2) return "x is " + Describe(x) + ", expected rank 2";
  if (y.dimensions().size() != 2) return "y is " + Describe(y) + ", expected rank 2";
  if (indices.dimensions().size() != 1) return "indices is " + Describe(indices) + ", expected rank 1";
  if (indptr.dimensions().size() != 1 || indptr.dimensions()[0] < 1)
    return "indptr is " + Describe(indptr) + ", expected rank 1, one entry more than rows";
  const int64_t rows = indptr.dimensions()[0] - 1, nnz = indices.dimensions()[0];
  const int64_t columns = (gather ? x : y).dimensions()[!turned];
  if (nnz > kMaxElements || columns > kMaxElements)
    return std::to_string(nnz) + " entries and " + std::to_string(columns) + " columns, at most 2147483647 each";
  const int64_t batch = x.dimensions()[turned];
  const int64_t n_x = gather ? columns : rows, n_y = gather ? rows : columns;
  const auto shape = [&](int64_t n) { return turned ? std::pair(n, batch) : std::pair(batch, n); };
  Entries entries;
  const std::string wrong = entries.Read(x, listed, y.element_type());
  for (const std::string& bad :
       {Mismatch("indices", indices, ffi::DataType::S32, {nnz}),
        Mismatch("indptr", indptr, ffi::DataType::S32, {rows + 1}),
        Mismatch("x", x, x.element_type(), {shape(n_x).first, shape(n_x).second + 4 * entries.words}),
        Mismatch("y", y, y.element_type(), {shape(n_y).first, shape(n_y).second})})
    if (!bad.empty()) return bad;
  if (gather && entries.flags) return "x is " + Describe(x) + ", expected " + Name(y.element_type());
  return wrong;
}

// The same of the weights, which must be of the type `expected`.
inline std::string CheckWeights(const ffi::AnyBuffer& data, ffi::DataType expected, const ffi::AnyBuffer& indices) {
  const bool shared = data.element_count() == 1;
  return Mismatch("data", data, expected, {shared ? 1 : static_cast<int64_t>(indices.element_count())});
}

}  // namespace evops
