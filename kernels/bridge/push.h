// The operands of a push of spikes into a ring (engine/ring.py), read and checked for any device.
#pragma once
#include <string>
#include <vector>

#include "check.h"

namespace evops {

struct Blocks {
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

// What some pairs of blocks are drawn from, evops.engine.walk.Source.
struct PushSource {
  static constexpr int64_t kWords = 11;
  Scheme scheme;
  int64_t law_number, synapses_per_line, delay_bits, table_at, quantiles_at, delays_at, table_size;

  Law law() const { return static_cast<Law>(law_number); }
};

struct PushPlan {
  PushPlan(Blocks pre, Blocks post, Integers delay_column, Integers source_of_pair, Integers starts_at,
           Integers source_words)
      : pre(pre), post(post), delay_column(delay_column), source_of_pair(source_of_pair), starts_at(starts_at),
        source_words(source_words) {}

  Blocks pre, post;
  Integers delay_column;  // empty: delays are per pair
  Integers source_of_pair, starts_at, source_words;
  int64_t slots = 0, n_pre = 0, n_post = 0, columns = 0, parameters = 1;
  std::vector<PushSource> sources;

  bool per_neuron() const { return delay_column.size() > 0; }
  int64_t SourceOf(int64_t pair) const { return source_of_pair.size() ? source_of_pair[pair] : 0; }
  // Where the starts of lines of a pair's matrix begin, behind those of its source.
  int64_t StartsAt(int64_t pair) const { return starts_at.size() ? starts_at[pair] : 0; }
  int64_t longest() const {  // block of post neurons
    int64_t most = 0;
    for (int64_t size : post.size) most = std::max(most, size);
    return most;
  }
  // Published lines are walked by kernels of their own.
  bool published() const { return sources[0].scheme.published(); }
  Law law() const {
    Law any = Law::kConstant;
    for (const PushSource& s : sources) any = std::max(any, s.law());
    return any;
  }

  // A description of what is wrong, or an empty string. Reads no operand's elements.
  std::string Read(const PushOperands& o) {
    if (o.ring.dimensions().size() != 2 || o.x.dimensions().size() != 1 || o.delay.dimensions().size() != 2)
      return "ring is " + Describe(o.ring) + ", x " + Describe(o.x) + ", delay " + Describe(o.delay) +
             ", expected ranks 2, 1 and 2";
    slots = o.ring.dimensions()[0];
    n_post = o.ring.dimensions()[1];
    n_pre = o.x.dimensions()[0];
    columns = o.delay.dimensions()[1];
    const auto type = o.ring.element_type();
    if (!pre.Inside(n_pre) || !post.Inside(n_post))
      return "blocks reach outside " + Describe(o.x) + " or " + Describe(o.ring);
    if (per_neuron()) {
      bool inside = static_cast<int64_t>(delay_column.size()) == post.count();
      for (size_t t = 0; inside && t < delay_column.size(); ++t)
        inside = delay_column[t] >= 0 && delay_column[t] < columns;
      if (!inside) return "delay_column does not name a column per target block";
    }
    if (slots < 1 || n_pre > kMaxElements || n_post > kMaxElements / slots)
      return "ring is " + Describe(o.ring) + ", expected 1 to 2147483647 elements";
    if (o.x.element_type() != ffi::DataType::PRED && o.x.element_type() != type)
      return "x is " + Describe(o.x) + ", expected bool or " + Name(type);
    if (std::string bad = ReadSources(o); !bad.empty()) return bad;
    const int64_t rows = pre.count(), targets = post.count();
    const int64_t delay_rows = per_neuron() ? n_pre : rows, delay_columns = per_neuron() ? columns : targets;
    for (const std::string& bad :
         {Mismatch("result", o.out, type, {slots, n_post}), Mismatch("weight", o.weight, type, {rows, targets, parameters}),
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

  std::string ReadSources(const PushOperands& o) {
    const int64_t count = static_cast<int64_t>(source_words.size()) / PushSource::kWords, pairs = pre.count() * post.count();
    if (count < 1 || static_cast<int64_t>(source_words.size()) != count * PushSource::kWords)
      return "sources are " + std::to_string(source_words.size()) + " words, expected 11 for each";
    if (source_of_pair.size() == 0 && count != 1)
      return "source_of_pair has no entries, expected " + std::to_string(pairs) + " for " + std::to_string(count) + " sources";
    for (const Integers& words : {source_of_pair, starts_at})
      if (words.size() != 0 && static_cast<int64_t>(words.size()) != pairs)
        return "source_of_pair and starts_at have " + std::to_string(words.size()) + " entries, expected none or " +
               std::to_string(pairs);
    for (int64_t at : starts_at)
      if (at < 0 || at > kMaxElements) return "starts_at is " + std::to_string(at) + ", expected 0 to 2147483647";
    for (int64_t source : source_of_pair)
      if (source < -1 || source >= count)
        return "source_of_pair is " + std::to_string(source) + ", expected -1 to " + std::to_string(count - 1);
    sources.resize(count);
    std::vector<Spans> spans(count, Spans{n_post, 0, 0});
    ForEachPair([&](int64_t k, int64_t row, int64_t column) {
      spans[k].shortest = std::min(spans[k].shortest, post.size[column]);
      spans[k].longest = std::max(spans[k].longest, post.size[column]);
      spans[k].lines = std::max(spans[k].lines, pre.size[row]);
    });
    for (int64_t k = 0; k < count; ++k) {
      const std::string bad = ReadSource(k, spans[k], o);
      if (!bad.empty()) return bad;
      if (sources[k].law() != Law::kConstant) parameters = 2;
      if (sources[k].scheme.published() != published() || (published() && sources[k].law() != sources[0].law()))
        return "the published scheme, with each of its laws, stands alone";
    }
    std::string bad;
    // the kernels of a GPU look at the quantiles of every synapse where any weights are drawn
    for (int64_t k = 0; law() == Law::kQuantiles && bad.empty() && k < count; ++k)
      bad = Short("quantiles", o.quantiles, ffi::DataType::S32, sources[k].quantiles_at, QuantilesOf(1));
    if (starts_at.size() != 0)
      ForEachPair([&](int64_t k, int64_t row, int64_t column) {
        const PushSource& s = sources[k];
        if (bad.empty())
          bad = Short("table", o.table, ffi::DataType::U32, s.table_at + starts_at[row * post.count() + column],
                      s.scheme.counted() ? pre.size[row] + 1 : s.table_size);
      });
    return bad;
  }

  // Neurons of the blocks of a source's pairs.
  struct Spans {
    int64_t shortest, longest, lines;
  };

  // Calls visit(source, row, column) for every pair, or, where there is one source and no starts, for enough of them to
  // see every block.
  template <class Visit>
  void ForEachPair(Visit visit) const {
    const int64_t rows = pre.count(), columns = post.count();
    if (source_of_pair.size() == 0 && starts_at.size() == 0) {
      for (int64_t i = 0; i < std::max(rows, columns) && rows && columns; ++i)
        visit(0, std::min(i, rows - 1), std::min(i, columns - 1));
      return;
    }
    for (int64_t row = 0, pair = 0; row < rows; ++row)
      for (int64_t column = 0; column < columns; ++column, ++pair)
        if (SourceOf(pair) >= 0) visit(SourceOf(pair), row, column);
  }

  std::string ReadSource(int64_t k, const Spans& spans, const PushOperands& o) {
    PushSource& s = sources[k];
    const int64_t* words = source_words.begin() + k * PushSource::kWords;
    s.law_number = words[5];
    s.synapses_per_line = std::max<int64_t>(words[6], 0);
    s.delay_bits = words[7];
    s.table_at = words[8];
    s.quantiles_at = words[9];
    s.delays_at = words[10];
    if (s.table_at < 0 || s.table_at > kMaxElements) return "table_at is " + std::to_string(s.table_at);
    std::string bad =
        ReadScheme(Integers(words, 5), spans.lines, spans.shortest, spans.longest, &s.scheme, &s.table_size);
    if (bad.empty()) bad = CheckLaw(s.law_number, s.scheme);
    if (bad.empty()) bad = CheckDelayBits(s.delay_bits);
    if (bad.empty()) bad = Short("quantiles", o.quantiles, ffi::DataType::S32, s.quantiles_at, QuantilesOf(s.law_number));
    if (bad.empty()) bad = Short("delays", o.delays, ffi::DataType::U32, s.delays_at, DelaysOf(s.delay_bits));
    if (bad.empty() && starts_at.size() == 0) bad = Short("table", o.table, ffi::DataType::U32, s.table_at, s.table_size);
    return bad;
  }
};

}  // namespace evops
