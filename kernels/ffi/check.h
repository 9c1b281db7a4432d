// Checks of the buffers and attributes of a call, before any pointer is used.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "synapse_reader.h"
#include "xla/ffi/api/ffi.h"

namespace evops {
namespace ffi = xla::ffi;
using Integers = ffi::Span<const int64_t>;

constexpr int64_t kMaxElements = (int64_t{1} << 31) - 1;  // of an array: Taichi and the GPU count in 32 bits

inline ffi::Error Invalid(const std::string& op, const std::string& what) {
  return ffi::Error(ffi::ErrorCode::kInvalidArgument, op + ": " + what);
}

inline std::string Name(ffi::DataType type) {
  switch (type) {
    case ffi::DataType::PRED: return "bool";
    case ffi::DataType::S8: return "int8";
    case ffi::DataType::S16: return "int16";
    case ffi::DataType::S32: return "int32";
    case ffi::DataType::S64: return "int64";
    case ffi::DataType::U8: return "uint8";
    case ffi::DataType::U16: return "uint16";
    case ffi::DataType::U32: return "uint32";
    case ffi::DataType::U64: return "uint64";
    case ffi::DataType::F16: return "float16";
    case ffi::DataType::BF16: return "bfloat16";
    case ffi::DataType::F32: return "float32";
    case ffi::DataType::F64: return "float64";
    default: return "XLA element type " + std::to_string(static_cast<int>(type));
  }
}

inline std::string Describe(const ffi::AnyBuffer& b) {
  std::string s = Name(b.element_type()) + "[";
  for (size_t i = 0; i < b.dimensions().size(); ++i) s += (i ? "," : "") + std::to_string(b.dimensions()[i]);
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
  for (int64_t extent : shape) wanted += (wanted.back() == '[' ? "" : ",") + std::to_string(extent);
  return std::string(argument) + " is " + Describe(b) + ", expected " + wanted + "]";
}

template <class T>
constexpr ffi::DataType TypeOf();
template <>
constexpr ffi::DataType TypeOf<bool>() {
  return ffi::DataType::PRED;
}
template <>
constexpr ffi::DataType TypeOf<int32_t>() {
  return ffi::DataType::S32;
}
template <>
constexpr ffi::DataType TypeOf<uint32_t>() {
  return ffi::DataType::U32;
}
template <>
constexpr ffi::DataType TypeOf<float>() {
  return ffi::DataType::F32;
}
template <>
constexpr ffi::DataType TypeOf<double>() {
  return ffi::DataType::F64;
}

// Entries of x in its last axis: numbers, flags, or flags with a list of those that are set behind them, `words`
// numbers of 4 bytes (engine/spike_lists.py).
struct Entries {
  int64_t n = 0, words = 0;
  bool flags = false;

  // How far rows are from each other.
  int64_t stride() const { return n + 4 * words; }
  // A description of what is wrong, or an empty string. Numbers are of the type `type`.
  std::string Read(const ffi::AnyBuffer& x, int64_t listed, ffi::DataType type) {
    const int64_t last = x.dimensions().back();
    flags = x.element_type() == (listed ? ffi::DataType::U8 : ffi::DataType::PRED);
    if (listed < 0 || listed > last / 4 || (listed && !flags))
      return "x is " + Describe(x) + ", expected uint8 with a list of " + std::to_string(listed) + " words";
    n = last - 4 * listed;
    words = listed;
    if (!flags && x.element_type() != type) return "x is " + Describe(x) + ", expected bool or " + Name(type);
    return "";
  }
};

// Entries of a law's table, and of the delays'.
inline int64_t QuantilesOf(Law law) { return law == Law::kQuantiles ? 3 * int64_t{kQuantileKnots} : 0; }
inline int64_t DelaysOf(int64_t bits) { return bits ? int64_t{1} << bits : 0; }

// What is wrong with the words of a spec (MatrixSpec.pack) for rows of `shortest` to `longest` post neurons, or an
// empty string.
inline std::string ReadSpec(Integers words, int64_t shortest, int64_t longest, MatrixSpec* spec) {
  if (static_cast<int64_t>(words.size()) != kSpecWords)
    return "spec has " + std::to_string(words.size()) + " words, expected " + std::to_string(kSpecWords);
  uint32_t packed[kSpecWords];
  for (int64_t k = 0; k < kSpecWords; ++k) {
    if (words[k] < 0 || words[k] > kMaxWord) return "spec has the word " + std::to_string(words[k]);
    packed[k] = static_cast<uint32_t>(words[k]);
  }
  std::memcpy(spec, packed, sizeof packed);
  if (const char* field = spec->scheme.Wrong()) return std::string("spec: ") + field + " is out of its range";
  if (const char* field = spec->Wrong()) return std::string("spec: ") + field + " is out of its range";
  if (!Fits(spec->scheme, shortest, longest)) return "spec: fields of the scheme do not fit each other or the rows";
  if (!IsPublished(spec->scheme) && LawOf(*spec) > Law::kQuantiles)
    return "spec: law is " + std::to_string(spec->law) + ", which the reader of uniform gaps has alone";
  return "";
}

// What is wrong with the tables of `matrices` matrices of `rows` rows, or an empty string. The rule's table has a row
// for all of them or one for each.
inline std::string CheckTables(const MatrixSpec& spec, const ffi::AnyBuffer& table, const ffi::AnyBuffer& quantiles,
                               int64_t matrices, int64_t rows) {
  const int64_t tables = table.dimensions().size() == 2 && table.dimensions()[0] == matrices ? matrices : 1;
  const std::string bad = Mismatch("table", table, ffi::DataType::U32, {tables, TableSizeOf(spec.scheme, rows)});
  return bad.empty() ? Mismatch("quantiles", quantiles, ffi::DataType::S32, {QuantilesOf(LawOf(spec))}) : bad;
}

inline SynapseReader::Table TableOf(const ffi::AnyBuffer& b) {
  return {b.untyped_data(), static_cast<int64_t>(b.element_count())};
}
// The row of matrix k in the tables of a rule.
inline SynapseReader::Table RowOf(const ffi::AnyBuffer& b, int64_t k) {
  const int64_t rows = b.dimensions()[0], size = b.dimensions()[1];
  return {static_cast<const uint32_t*>(b.untyped_data()) + (rows > 1 ? k * size : 0), size};
}

inline ffi::Error WrongElement(const std::string& op, ffi::DataType type) {
  return Invalid(op, "values are " + Name(type) + ", expected int32, float32 or float64");
}

// Runs body(T()) for the element type T of an array of values, unsigned for integers: they wrap around.
template <class Body>
ffi::Error ForElement(const char* op, ffi::DataType type, Body body) {
  switch (type) {
    case ffi::DataType::S32: return body(uint32_t{});
    case ffi::DataType::F32: return body(float{});
    case ffi::DataType::F64: return body(double{});
    default: return WrongElement(op, type);
  }
}

}  // namespace evops
