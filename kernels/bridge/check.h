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
    case ffi::DataType::S8: return "int8";
    case ffi::DataType::S16: return "int16";
    case ffi::DataType::S32: return "int32";
    case ffi::DataType::S64: return "int64";
    case ffi::DataType::U8: return "uint8";
    case ffi::DataType::U16: return "uint16";
    case ffi::DataType::U32: return "uint32";
    case ffi::DataType::U64: return "uint64";
    case ffi::DataType::F16: return "float16";
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

// What is wrong with the five words of a scheme for `lines` lines of `shortest` to `longest` post neurons, or an
// empty string; and how many entries its table has.
inline std::string ReadScheme(Integers words, int64_t lines, int64_t shortest, int64_t longest, Scheme* scheme,
                              int64_t* table_size) {
  constexpr int64_t kWord = (int64_t{1} << 32) - 1;
  bool ok = words.size() == 5 && words[1] >= 0 && words[1] <= 1;
  for (size_t i = 0; ok && i < 5; ++i) {
    ok = words[i] >= 0 && words[i] <= kWord;
    if (ok) scheme->words[i] = static_cast<uint32_t>(words[i]);
  }
  *table_size = 0;
  if (ok) {
    const int64_t a = words[2], b = words[3], c = words[4];
    switch (words[0]) {
      case Scheme::kLfsr:
        ok = a >= 1 && a <= kMaxElements && b == std::min((int64_t{1} << 32) / a, kWord) && c <= 1 && words[1] == 0;
        break;
      case Scheme::kGaps:
        ok = a >= 12 && a <= 22 && b >= 6 && b <= 12 && (c == 0 || c == 10);
        if (ok) *table_size = (int64_t{1} << b) + (c ? int64_t{1} << c : 0);
        break;
      case Scheme::kDense: ok = (a == 12 && b <= 256) || (a <= 22 && b == 0 && c == 0); break;
      case Scheme::kSubset:
        // one length for all lines; a domain no larger than needed: targets outside it are drawn again
        ok = a <= kMaxElements && c == shortest && c == longest && words[1] == 0 &&
             (b == 0 || (b >= 8 && b <= 31 && a <= c && c <= int64_t{1} << b && (b == 8 || c > int64_t{1} << (b - 1))));
        break;
      case Scheme::kCounted:
        // targets by number (b = 0), or a domain no larger than needed (b bits for a times c slots)
        ok = words[1] == 0 && a >= 1 && a <= kMaxElements &&
             (b == 0 ? a == 1 && c == 0
                     : c == shortest && c == longest && b >= 8 && b <= 31 && a * c <= kMaxElements &&
                           a * c <= int64_t{1} << b && (b == 8 || a * c > int64_t{1} << (b - 1)));
        *table_size = lines + 1;
        break;
      case Scheme::kDiagonal: ok = words[1] == 0 && a == 0 && b == 0 && c == 0; break;
      default: ok = false;
    }
  }
  return ok ? "" : "scheme is not (reader, exclude_autapses, and three words of the reader)";
}

// The same for `matrices` matrices with n post neurons; the table has one row for all of them or one for each.
inline std::string ReadScheme(Integers words, const ffi::AnyBuffer& table, int64_t matrices, int64_t lines, int64_t n,
                              Scheme* scheme) {
  int64_t size = 0;
  const std::string bad = ReadScheme(words, lines, n, n, scheme, &size);
  if (!bad.empty()) return bad;
  const int64_t rows = table.dimensions().size() == 2 && table.dimensions()[0] == matrices ? matrices : 1;
  return Mismatch("table", table, ffi::DataType::U32, {rows, size});
}

// What is wrong with a law, or an empty string.
inline std::string CheckLaw(int64_t law, const Scheme& scheme) {
  const bool in_stream = law == static_cast<int64_t>(Law::kLfsrUniform) || law == static_cast<int64_t>(Law::kLfsrNormal);
  if (law >= 0 && law < static_cast<int64_t>(Law::kLaws) && (!in_stream || scheme.published())) return "";
  return "law is " + std::to_string(law) + ", expected 0 to 3, and 2 or 3 with the published scheme only";
}
// Entries of its table.
inline int64_t QuantilesOf(int64_t law) { return law == static_cast<int64_t>(Law::kQuantiles) ? 3 * 1025 : 0; }

inline std::string CheckDelayBits(int64_t bits) {
  return bits >= 0 && bits <= 12 ? "" : "delay_bits is " + std::to_string(bits) + ", expected 0 to 12";
}
inline int64_t DelaysOf(int64_t bits) { return bits ? int64_t{1} << bits : 0; }

// What is wrong with a law or delays and their only table, or an empty string.
inline std::string CheckLaw(int64_t law, const ffi::AnyBuffer& quantiles, const Scheme& scheme) {
  const std::string bad = CheckLaw(law, scheme);
  return bad.empty() ? Mismatch("quantiles", quantiles, ffi::DataType::S32, {QuantilesOf(law)}) : bad;
}
inline std::string CheckDelays(int64_t bits, const ffi::AnyBuffer& delays) {
  const std::string bad = CheckDelayBits(bits);
  return bad.empty() ? Mismatch("delays", delays, ffi::DataType::U32, {DelaysOf(bits)}) : bad;
}

inline Draws::Table TableOf(const ffi::AnyBuffer& b) {
  return {b.untyped_data(), static_cast<int64_t>(b.element_count())};
}
// The row of matrix k in the tables of a rule.
inline Draws::Table RowOf(const ffi::AnyBuffer& b, int64_t k) {
  const int64_t rows = b.dimensions()[0], size = b.dimensions()[1];
  return {static_cast<const uint32_t*>(b.untyped_data()) + (rows > 1 ? k * size : 0), size};
}

// Runs body(T()) for the element type T of an array of values, unsigned for integers: they wrap around.
template <class Body>
ffi::Error ForElement(const char* op, ffi::DataType type, Body body) {
  switch (type) {
    case ffi::DataType::S32: return body(uint32_t{});
    case ffi::DataType::F32: return body(float{});
    case ffi::DataType::F64: return body(double{});
    default: return Invalid(op, "values are " + Name(type) + ", expected int32, float32 or float64");
  }
}

}  // namespace evops
