// The operands of a product (engine/ops.py), read and checked for any device.
#pragma once
#include <string>

#include "check.h"

namespace evops {

struct Shape {
  int64_t rows, n_x, instances, n_out, repeat, parameters;
  double synapses_per_line;
};

struct Operands {
  ffi::AnyBuffer x, weight, seed, table, quantiles, y;
};

inline std::string CheckShape(const Operands& o, int64_t repeat, Law law, Shape* s) {
  if (o.x.dimensions().size() != 2) return "x is " + Describe(o.x) + ", expected rank 2";
  if (o.y.dimensions().size() != 2) return "y is " + Describe(o.y) + ", expected rank 2";
  s->rows = o.x.dimensions()[0];
  s->n_x = o.x.dimensions()[1];
  s->instances = o.y.dimensions()[0];
  s->n_out = o.y.dimensions()[1];
  s->repeat = repeat;
  s->parameters = law == Law::kConstant ? 1 : 2;
  if (s->n_x > kMaxElements || s->instances * s->n_out > kMaxElements)
    return "x is " + Describe(o.x) + " and y " + Describe(o.y) + ", at most 2147483647 elements each";
  // neither factor is more than the instances, so their product does not overflow
  if (s->instances > 0 && (repeat < 1 || s->rows < 1 || repeat > s->instances || s->rows > s->instances ||
                           s->instances % (s->rows * repeat) != 0))
    return std::to_string(s->instances) + " instances for " + std::to_string(s->rows) +
           " rows of x with repeat " + std::to_string(repeat);
  std::string bad = Mismatch("weight", o.weight, o.y.element_type(), {s->instances, s->parameters});
  return bad.empty() ? Mismatch("seed", o.seed, ffi::DataType::U32, {s->instances, 2}) : bad;
}

struct Plan {
  Shape shape;
  Scheme scheme;
  Law law;
  bool spikes;  // x is bool

  // A description of what is wrong, or an empty string.
  std::string Read(bool gather, const Operands& o, int64_t repeat, int64_t law_number, int64_t synapses_per_line,
                   Integers scheme_words) {
    law = static_cast<Law>(law_number);
    std::string bad = CheckShape(o, repeat, law, &shape);
    const int64_t n_post = gather ? shape.n_x : shape.n_out;
    if (bad.empty())
      bad = ReadScheme(scheme_words, o.table, shape.instances, gather ? shape.n_out : shape.n_x, n_post, &scheme);
    if (bad.empty()) bad = CheckLaw(law_number, o.quantiles, scheme);
    if (!bad.empty()) return bad;
    shape.synapses_per_line = static_cast<double>(std::max<int64_t>(synapses_per_line, 0));
    const bool fused_gather = gather && scheme.published() && law == Law::kConstant;
    spikes = o.x.element_type() == ffi::DataType::PRED && !fused_gather;
    if (!spikes && o.x.element_type() != o.y.element_type())
      return "x is " + Describe(o.x) + ", expected " + (fused_gather ? "" : "bool or ") + Name(o.y.element_type());
    return "";
  }
};

}  // namespace evops
