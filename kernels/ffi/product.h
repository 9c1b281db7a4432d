// The operands of a product (engine/ops.py), read and checked for any device.
#pragma once
#include <string>

#include "check.h"

namespace evops {

struct Shape {
  int64_t rows, n_x, matrices, n_out, per_input, parameters;
  int64_t words, stride;  // of a row of x: those of its list, and its entries with them
  double synapses_per_row;
};

struct Operands {
  ffi::AnyBuffer x, weight, seed, table, quantiles, y;
};

inline std::string CheckShape(const Operands& o, const Entries& x, int64_t per_input, Law law, Shape* s) {
  s->rows = o.x.dimensions()[0];
  s->n_x = x.n;
  s->words = x.words;
  s->stride = x.stride();
  s->matrices = o.y.dimensions()[0];
  s->n_out = o.y.dimensions()[1];
  s->per_input = per_input;
  s->parameters = law == Law::kConstant ? 1 : 2;
  if (s->n_x > kMaxElements || s->matrices * s->n_out > kMaxElements)
    return "x is " + Describe(o.x) + " and y " + Describe(o.y) + ", at most 2147483647 elements each";
  // neither factor is more than the matrices, so their product does not overflow
  if (s->matrices > 0 && (per_input < 1 || s->rows < 1 || per_input > s->matrices || s->rows > s->matrices ||
                          s->matrices % (s->rows * per_input) != 0))
    return std::to_string(s->matrices) + " matrices for " + std::to_string(s->rows) + " rows of x with per_input " +
           std::to_string(per_input);
  std::string bad = Mismatch("weight", o.weight, o.y.element_type(), {s->matrices, s->parameters});
  return bad.empty() ? Mismatch("seed", o.seed, ffi::DataType::U32, {s->matrices, 2}) : bad;
}

struct Plan {
  Shape shape;
  MatrixSpec spec;
  bool spikes;  // x is bool

  Law law() const { return LawOf(spec); }

  // A description of what is wrong, or an empty string.
  std::string Read(bool gather, const Operands& o, int64_t per_input, Integers words, int64_t listed = 0) {
    if (o.x.dimensions().size() != 2) return "x is " + Describe(o.x) + ", expected rank 2";
    if (o.y.dimensions().size() != 2) return "y is " + Describe(o.y) + ", expected rank 2";
    if (gather && listed) return "a list of spikes, which this product does not take";
    Entries x;
    const std::string wrong = x.Read(o.x, listed, o.y.element_type());
    const int64_t n_x = x.n, n_out = o.y.dimensions()[1];
    const int64_t n_pre = gather ? n_out : n_x, n_post = gather ? n_x : n_out;
    std::string bad = ReadSpec(words, n_post, n_post, &spec);
    if (bad.empty()) bad = CheckShape(o, x, per_input, law(), &shape);
    if (bad.empty()) bad = CheckTables(spec, o.table, o.quantiles, shape.matrices, n_pre);
    if (!bad.empty()) return bad;
    shape.synapses_per_row = spec.synapses_per_row;
    const bool fused_gather = gather && IsPublished(spec.scheme) && law() == Law::kConstant;
    spikes = x.flags;
    if (fused_gather && o.x.element_type() != o.y.element_type())
      return "x is " + Describe(o.x) + ", expected " + Name(o.y.element_type());
    return wrong;
  }
};

}  // namespace evops
