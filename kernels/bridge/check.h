// Checks of the buffers and attributes of a call, before any pointer is used.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>

#include "lines.h"
#include "xla/ffi/api/ffi.h"

namespace evops {
namespace ffi = xla::ffi;
using Integers = ffi::Span<const int64_t>;

constexpr int64_t kMaxElements = (int64_t{1} << 31) - 1;

inline ffi::Error Invalid(const std::string& op, const std::string& what) {
  return ffi::Error(ffi::ErrorCode::kInvalidArgument, op + ": " + what);
}

inline std::string Name(ffi::DataType type) {
  switch (type) {
    case ffi::DataType::PRED: return "bool";
    case ffi::DataType::S32: return "int32";
    case ffi::DataType::U32: return "uint32";
    case ffi::DataType::F32: return "float32";
    case ffi::DataType::F64: return "float64";
    default: return "XLA element type " + std::to_string(static_cast<int>(type));
  }
}

inline std::string Describe(const ffi::AnyBuffer& b) {
  std::string s = Name(b.element_type()) + "[";
  for (size_t i = 0; i < b.dimensions().size(); ++i)
    s += (i ? "," : "") + std::to_string(b.dimensions()[i]);
  return s + "]";
}

// A description of what is wrong, or an empty string.
inline std::string Mismatch(const char* argument, const ffi::AnyBuffer& b, ffi::DataType type,
                            std::initializer_list<int64_t> shape) {
  bool same = b.element_type() == type && b.dimensions().size() == shape.size();
  if (same) {
    size_t i = 0;
    for (int64_t extent : shape) same = same && b.dimensions()[i++] == extent;
  }
  if (same) return "";
  std::string wanted = Name(type) + "[";
  for (int64_t extent : shape)
    wanted += (wanted.back() == '[' ? "" : ",") + std::to_string(extent);
  return std::string(argument) + " is " + Describe(b) + ", expected " + wanted + "]";
}

template <class T>
constexpr ffi::DataType TypeOf();
template <>
constexpr ffi::DataType TypeOf<bool>() { return ffi::DataType::PRED; }
template <>
constexpr ffi::DataType TypeOf<int32_t>() { return ffi::DataType::S32; }
template <>
constexpr ffi::DataType TypeOf<uint32_t>() { return ffi::DataType::U32; }
template <>
constexpr ffi::DataType TypeOf<float>() { return ffi::DataType::F32; }
template <>
constexpr ffi::DataType TypeOf<double>() { return ffi::DataType::F64; }

// The words of a scheme; false where they are not what the kernels need.
inline bool ReadScheme(Integers words, Scheme* scheme) {
  if (words.size() != 3 || words[0] < 1 || words[0] > kMaxElements) return false;
  const int64_t multiplier = std::min((int64_t{1} << 32) / words[0], (int64_t{1} << 32) - 1);
  if (words[1] != multiplier || words[2] < 0 || words[2] > 1) return false;
  for (size_t i = 0; i < 3; ++i) scheme->words[i] = static_cast<uint32_t>(words[i]);
  return true;
}

// Runs body<T>() for the element type T of an array of values.
template <class Body>
ffi::Error ForElement(const char* op, ffi::DataType type, Body body) {
  switch (type) {
    case ffi::DataType::S32: return body(int32_t{});
    case ffi::DataType::F32: return body(float{});
    case ffi::DataType::F64: return body(double{});
    default: return Invalid(op, "values are " + Name(type) + ", expected int32, float32 or float64");
  }
}

}  // namespace evops
