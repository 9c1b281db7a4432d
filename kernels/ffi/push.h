// The operands of a push of spikes into a ring (engine/ring.py), read and checked for any device.
#pragma once
#include <string>
#include <vector>

#include "check.h"

namespace evops {

// Populations: first neuron and number of neurons of each.
struct Populations {
  Integers offset, size;
  int64_t count() const { return static_cast<int64_t>(offset.size()); }
  bool Inside(int64_t n) const {
    if (size.size() != offset.size()) return false;
    for (int64_t b = 0; b < count(); ++b)
      if (offset[b] < 0 || size[b] < 0 || offset[b] > n || size[b] > n - offset[b]) return false;
    return true;
  }
};

struct PushOperands {
  ffi::AnyBuffer ring, x, weight, seed, delay, step, table, quantiles, delays, out;
};

struct PushPlan {
  PushPlan(Populations pre, Populations post, Integers delay_column, Integers spec_of_pair, Integers indptr_offset,
           Integers spec_words, int64_t listed = 0)
      : pre(pre),
        post(post),
        delay_column(delay_column),
        spec_of_pair(spec_of_pair),
        indptr_offset(indptr_offset),
        spec_words(spec_words),
        listed(listed) {}

  Populations pre, post;
  Integers delay_column;  // empty: delays are per pair
  Integers spec_of_pair, indptr_offset, spec_words;
  int64_t listed;
  Entries x;
  int64_t slots = 0, n_pre = 0, n_post = 0, columns = 0, parameters = 1;
  std::vector<MatrixSpec> specs;

  bool per_neuron() const { return delay_column.size() > 0; }
  int64_t SpecOf(int64_t pair) const { return spec_of_pair.size() ? spec_of_pair[pair] : 0; }
  // Where the row counts of a pair's matrix begin, behind the table of its spec.
  int64_t IndptrOffset(int64_t pair) const { return indptr_offset.size() ? indptr_offset[pair] : 0; }
  int64_t longest() const {  // population of post neurons
    int64_t most = 0;
    for (int64_t size : post.size) most = std::max(most, size);
    return most;
  }
  // Rows of the braintaichi scheme have kernels of their own.
  bool published() const { return IsPublished(specs[0].scheme); }
  Law law() const {
    Law any = Law::kConstant;
    for (const MatrixSpec& s : specs) any = std::max(any, LawOf(s));
    return any;
  }

  // A description of what is wrong, or an empty string. Reads no operand's elements.
  std::string Read(const PushOperands& o) {
    if (o.ring.dimensions().size() != 2 || o.x.dimensions().size() != 1 || o.delay.dimensions().size() != 2)
      return "ring is " + Describe(o.ring) + ", x " + Describe(o.x) + ", delay " + Describe(o.delay) +
             ", expected ranks 2, 1 and 2";
    slots = o.ring.dimensions()[0];
    n_post = o.ring.dimensions()[1];
    columns = o.delay.dimensions()[1];
    const auto type = o.ring.element_type();
    const std::string wrong = x.Read(o.x, listed, type);
    n_pre = x.n;
    if (!pre.Inside(n_pre) || !post.Inside(n_post))
      return "populations reach outside " + Describe(o.x) + " or " + Describe(o.ring);
    if (per_neuron()) {
      bool inside = static_cast<int64_t>(delay_column.size()) == post.count();
      for (size_t t = 0; inside && t < delay_column.size(); ++t)
        inside = delay_column[t] >= 0 && delay_column[t] < columns;
      if (!inside) return "delay_column does not name a column per post population";
    }
    if (slots < 1 || n_pre > kMaxElements || n_post > kMaxElements / slots)
      return "ring is " + Describe(o.ring) + ", expected 1 to 2147483647 elements";
    if (!wrong.empty()) return wrong;
    if (std::string bad = ReadSpecs(o); !bad.empty()) return bad;
    const int64_t rows = pre.count(), targets = post.count();
    const int64_t delay_rows = per_neuron() ? n_pre : rows, delay_columns = per_neuron() ? columns : targets;
    for (const std::string& bad : {Mismatch("result", o.out, type, {slots, n_post}),
                                   Mismatch("weight", o.weight, type, {rows, targets, parameters}),
                                   Mismatch("seed", o.seed, ffi::DataType::U32, {rows, targets, 2}),
                                   Mismatch("delay", o.delay, ffi::DataType::S32, {delay_rows, delay_columns}),
                                   Mismatch("step", o.step, ffi::DataType::S32, {})})
      if (!bad.empty()) return bad;
    return "";
  }

 private:
  // What is wrong with a table that needs `size` entries from `at` on.
  static std::string Short(const char* name, const ffi::AnyBuffer& b, ffi::DataType type, int64_t at, int64_t size) {
    if (b.element_type() == type && b.dimensions().size() == 1 && at >= 0 && at <= kMaxElements &&
        at + size <= b.dimensions()[0])
      return "";
    return std::string(name) + " is " + Describe(b) + ", expected " + Name(type) + " with " + std::to_string(size) +
           " entries from entry " + std::to_string(at) + " on";
  }

  std::string ReadSpecs(const PushOperands& o) {
    const int64_t count = static_cast<int64_t>(spec_words.size()) / kSpecWords, pairs = pre.count() * post.count();
    if (count < 1 || static_cast<int64_t>(spec_words.size()) != count * kSpecWords)
      return "specs are " + std::to_string(spec_words.size()) + " words, expected " + std::to_string(kSpecWords) +
             " for each";
    if (spec_of_pair.size() == 0 && count != 1)
      return "spec_of_pair has no entries, expected " + std::to_string(pairs) + " for " + std::to_string(count) +
             " specs";
    for (const Integers& words : {spec_of_pair, indptr_offset})
      if (words.size() != 0 && static_cast<int64_t>(words.size()) != pairs)
        return "spec_of_pair and indptr_offset have " + std::to_string(words.size()) + " entries, expected none or " +
               std::to_string(pairs);
    for (int64_t at : indptr_offset)
      if (at < 0 || at > kMaxElements) return "indptr_offset is " + std::to_string(at) + ", expected 0 to 2147483647";
    for (int64_t spec : spec_of_pair)
      if (spec < -1 || spec >= count)
        return "spec_of_pair is " + std::to_string(spec) + ", expected -1 to " + std::to_string(count - 1);
    specs.resize(count);
    std::vector<Spans> spans(count, Spans{n_post, 0, 0});
    ForEachPair([&](int64_t k, int64_t row, int64_t column) {
      spans[k].shortest = std::min(spans[k].shortest, post.size[column]);
      spans[k].longest = std::max(spans[k].longest, post.size[column]);
      spans[k].rows = std::max(spans[k].rows, pre.size[row]);
    });
    for (int64_t k = 0; k < count; ++k) {
      const std::string bad = ReadOneSpec(k, spans[k], o);
      if (!bad.empty()) return bad;
      if (LawOf(specs[k]) != Law::kConstant) parameters = 2;
      if (IsPublished(specs[k].scheme) != published() || (published() && LawOf(specs[k]) != LawOf(specs[0])))
        return "the published scheme, with each of its laws, stands alone";
    }
    std::string bad;
    // the kernels of a GPU look at the quantiles of every synapse where any weights are drawn
    for (int64_t k = 0; law() == Law::kQuantiles && bad.empty() && k < count; ++k)
      bad = Short("quantiles", o.quantiles, ffi::DataType::S32, specs[k].quantiles_offset, QuantilesOf(law()));
    if (indptr_offset.size() != 0)
      ForEachPair([&](int64_t k, int64_t row, int64_t column) {
        const MatrixSpec& s = specs[k];
        if (bad.empty())
          bad = Short("table", o.table, ffi::DataType::U32, s.table_offset + indptr_offset[row * post.count() + column],
                      TableSizeOf(s.scheme, pre.size[row]));
      });
    return bad;
  }

  // Post neurons of the pairs of a spec, and the most pre neurons.
  struct Spans {
    int64_t shortest, longest, rows;
  };

  // Calls visit(spec, row, column) for every pair, or, where there is one spec and no counts, for enough of them to
  // see every population.
  template <class Visit>
  void ForEachPair(Visit visit) const {
    const int64_t rows = pre.count(), columns = post.count();
    if (spec_of_pair.size() == 0 && indptr_offset.size() == 0) {
      for (int64_t i = 0; i < std::max(rows, columns) && rows && columns; ++i)
        visit(0, std::min(i, rows - 1), std::min(i, columns - 1));
      return;
    }
    for (int64_t row = 0, pair = 0; row < rows; ++row)
      for (int64_t column = 0; column < columns; ++column, ++pair)
        if (SpecOf(pair) >= 0) visit(SpecOf(pair), row, column);
  }

  std::string ReadOneSpec(int64_t k, const Spans& spans, const PushOperands& o) {
    MatrixSpec& s = specs[k];
    std::string bad =
        ReadSpec(Integers(spec_words.begin() + k * kSpecWords, kSpecWords), spans.shortest, spans.longest, &s);
    if (bad.empty())
      bad = Short("quantiles", o.quantiles, ffi::DataType::S32, s.quantiles_offset, QuantilesOf(LawOf(s)));
    if (bad.empty()) bad = Short("delays", o.delays, ffi::DataType::U32, s.delays_offset, DelaysOf(s.delay_bits));
    if (bad.empty() && indptr_offset.size() == 0)
      bad = Short("table", o.table, ffi::DataType::U32, s.table_offset, TableSizeOf(s.scheme, spans.rows));
    return bad;
  }
};

}  // namespace evops
