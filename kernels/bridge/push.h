// The operands of a push of spikes into a ring (engine/ops.py), read and checked for any device.
#pragma once
#include <string>

#include "check.h"

namespace evops {

struct Blocks {
  Integers offset, size;
  size_t count() const { return offset.size(); }
  bool Inside(int64_t n) const {
    if (size.size() != offset.size()) return false;
    for (size_t b = 0; b < count(); ++b)
      if (offset[b] < 0 || size[b] < 0 || offset[b] > n || size[b] > n - offset[b]) return false;
    return true;
  }
};

struct PushOperands {
  ffi::AnyBuffer ring, x, weight, seed, delay, step, table, quantiles, delays, out;
};

struct PushPlan {
  PushPlan(Blocks pre, Blocks post, Integers delay_column) : pre(pre), post(post), delay_column(delay_column) {}

  Blocks pre, post;
  Integers delay_column;  // empty: delays are per pair
  int64_t slots = 0, n_pre = 0, n_post = 0, columns = 0, step = 0;
  int64_t longest = 0;  // block of post neurons
  const int32_t* delay = nullptr;
  Scheme scheme = {};
  Law law = Law::kConstant;
  Delays drawn = {};

  int64_t parameters() const { return law == Law::kConstant ? 1 : 2; }
  bool per_neuron() const { return delay_column.size() > 0; }

  // A description of what is wrong, or an empty string. Reads no operand's elements.
  std::string Read(const PushOperands& o, int64_t law_number, int64_t delay_bits, Integers scheme_words) {
    if (o.ring.dimensions().size() != 2 || o.x.dimensions().size() != 1 || o.delay.dimensions().size() != 2)
      return "ring is " + Describe(o.ring) + ", x " + Describe(o.x) + ", delay " + Describe(o.delay) +
             ", expected ranks 2, 1 and 2";
    slots = o.ring.dimensions()[0];
    n_post = o.ring.dimensions()[1];
    n_pre = o.x.dimensions()[0];
    columns = o.delay.dimensions()[1];
    law = static_cast<Law>(law_number);
    const auto type = o.ring.element_type();
    const int64_t sources = pre.count(), targets = post.count();
    const int64_t delay_rows = per_neuron() ? n_pre : sources, delay_columns = per_neuron() ? columns : targets;
    for (const std::string& bad :
         {Mismatch("result", o.out, type, {slots, n_post}),
          Mismatch("weight", o.weight, type, {sources, targets, parameters()}),
          Mismatch("seed", o.seed, ffi::DataType::U32, {sources, targets, 2}),
          Mismatch("delay", o.delay, ffi::DataType::S32, {delay_rows, delay_columns}),
          Mismatch("step", o.step, ffi::DataType::S32, {})})
      if (!bad.empty()) return bad;
    if (!pre.Inside(n_pre) || !post.Inside(n_post))
      return "blocks reach outside " + Describe(o.x) + " or " + Describe(o.ring);
    if (per_neuron()) {
      bool inside = static_cast<int64_t>(delay_column.size()) == targets;
      for (size_t t = 0; inside && t < delay_column.size(); ++t)
        inside = delay_column[t] >= 0 && delay_column[t] < columns;
      if (!inside) return "delay_column does not name a column per target block";
    }
    if (slots < 1 || n_pre > kMaxElements || n_post > kMaxElements / slots)
      return "ring is " + Describe(o.ring) + ", expected 1 to 2147483647 elements";
    if (o.x.element_type() != ffi::DataType::PRED && o.x.element_type() != type)
      return "x is " + Describe(o.x) + ", expected bool or " + Name(type);
    int64_t shortest = n_post, lines = 0;
    for (int64_t size : post.size) shortest = std::min(shortest, size), longest = std::max(longest, size);
    for (int64_t size : pre.size) lines = std::max(lines, size);
    std::string bad = ReadScheme(scheme_words, o.table, 1, lines, shortest, longest, &scheme);
    if (bad.empty()) bad = CheckLaw(law_number, o.quantiles, scheme);
    if (bad.empty()) bad = CheckDelays(delay_bits, o.delays);
    if (bad.empty() && scheme.counted() && sources * targets != 1) bad = "counted rules are pushed one pair at a time";
    if (bad.empty() && delay_bits)
      drawn = {static_cast<const uint32_t*>(o.delays.untyped_data()), static_cast<uint32_t>(delay_bits),
               static_cast<uint32_t>(slots), static_cast<uint32_t>(n_post)};
    return bad;
  }
};

}  // namespace evops
