// Rows of a projection drawn some at a time, as rows of a stored matrix (stored_rows.h).
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "check.h"
#include "scratch.h"
#include "stored_rows.h"

namespace evops {
namespace {

// Rows and synapses that are drawn before they are read.
constexpr int64_t kDrawnRows = 256, kDrawnSynapses = 1 << 15;

// Where columns lie in a ring.
struct Ring {
  int64_t slots = 1, n = 0, offset = 0, shortest = 0;  // slots, neurons; the first target, the shortest delay
};

// The synapses of rows, drawn some rows at a time.
class DrawnRows {
 public:
  std::string Read(const XLA_FFI_Buffer* e, Integers words, int64_t n_post, Integers ring) {
    const ffi::AnyBuffer key(&e[0]), table(&e[1]), delays(&e[2]), starts(&e[3]), step(&e[4]);
    if (n_post < 1 || n_post > kMaxElements) return "n_post is " + std::to_string(n_post);
    if (starts.dimensions().size() != 1 || starts.dimensions()[0] < 1 || starts.dimensions()[0] > kMaxElements)
      return "starts is " + Describe(starts) + ", expected int32[n_pre + 1]";
    rows = starts.dimensions()[0] - 1;
    this->n_post = n_post;
    std::string bad = ReadSpec(words, n_post, n_post, &spec_);
    if (bad.empty() && LawOf(spec_) != Law::kConstant) bad = "spec has a law of weights, which are stored";
    if (bad.empty()) bad = CheckTables(spec_, table, NoQuantiles(), 1, rows);
    for (const std::string& wrong :
         {bad, Mismatch("key", key, ffi::DataType::U32, {2}),
          Mismatch("delays", delays, ffi::DataType::U32, {DelaysOf(spec_.delay_bits)}),
          Mismatch("starts", starts, ffi::DataType::S32, {rows + 1}), Mismatch("step", step, ffi::DataType::S32, {})})
      if (!wrong.empty()) return wrong;
    key_ = static_cast<const uint32_t*>(key.untyped_data());
    table_ = RowOf(table, 0);
    starts_ = static_cast<const int32_t*>(starts.untyped_data());
    columns = n_post;
    if (ring.size() == 0) {
      if (spec_.delay_bits) return "spec has delays, and there is no ring";
      return "";
    }
    if (ring.size() != 4) return "ring has " + std::to_string(ring.size()) + " words, expected 4";
    ring_ = {ring[0], ring[1], ring[2], ring[3]};
    if (ring_.slots < 1 || ring_.n < 0 || ring_.n > kMaxElements / ring_.slots || ring_.offset < 0 ||
        ring_.offset > ring_.n || n_post > ring_.n - ring_.offset || ring_.shortest < 0)
      return "ring of " + std::to_string(ring_.slots) + " slots and " + std::to_string(ring_.n) +
             " neurons does not hold " + std::to_string(n_post) + " from " + std::to_string(ring_.offset) + " on";
    const int64_t now = *static_cast<const int32_t*>(step.untyped_data());
    if (now < 0) return "step is " + std::to_string(now) + ", expected >= 0";
    delayed_ = true;
    columns = ring_.slots * ring_.n;
    delays_ = {spec_.delay_bits ? static_cast<const uint32_t*>(delays.untyped_data()) : nullptr, spec_.delay_bits};
    for (int64_t d = 0; d < ring_.slots; ++d)
      cell_of_.push_back(static_cast<uint32_t>((now + d) % ring_.slots * ring_.n + ring_.offset));
    return "";
  }

  // Calls body(i, begin, end) for every row of `which` and its synapses, which need not be drawn for that.
  template <class Body>
  void ForEachSpan(const int64_t* which, int64_t count, int64_t size, const Body& body) {
    for (int64_t a = 0; a < count; ++a) {
      if (!Fits(which[a], size)) return Blame(which[a]);
      body(which[a], int64_t{starts_[which[a]]}, int64_t{starts_[which[a] + 1]});
    }
  }

  // Calls body(i, row, first, pattern) for every row i of `which`, in order: `row` is its number in the pattern, whose
  // entry k is synapse first + k. Weights that begin `first` entries later than those of the pattern are thus its own.
  template <class Body>
  void ForEach(const int64_t* which, int64_t count, int64_t size, const Body& body) {
    SynapseReader reader(spec_.scheme, Law::kConstant, table_, {nullptr, 0}, false, delays_);
    Room<uint32_t> cells;
    Row rows[kDrawnRows];
    uint32_t begins[kDrawnRows + 1], at[kDrawnRows];
    for (int64_t a = 0, next; a < count; a = next) {
      int64_t total = 0;
      for (next = a; next < count && next - a < kDrawnRows && (next == a || total < kDrawnSynapses); ++next) {
        const int64_t i = which[next], begin = starts_[i], end = starts_[i + 1];
        if (!Fits(i, size)) return Blame(i);
        rows[next - a] = {key_[0], key_[1], static_cast<uint32_t>(i), 0, n_post, 0, nullptr};
        begins[next - a] = at[next - a] = static_cast<uint32_t>(total);
        total += end - begin;
      }
      begins[next - a] = static_cast<uint32_t>(total);
      if (room_ < total || !cells) {
        room_ = std::max(total, kDrawnSynapses);
        cells = Room<uint32_t>(room_);
      }
      if (!Draw(reader, rows, next - a, begins, at, cells.get(), which + a)) return;
      Pattern pattern(cells.get(), begins, total, columns, next - a);
      for (int64_t row = 0; row < next - a; ++row)
        body(which[a + row], row, starts_[which[a + row]] - begins[row], pattern);
    }
  }

  // Of all rows, or of some; the first error is kept.
  ffi::Error Result(const char* op) const {
    if (bad_row >= 0)
      return Invalid(op, "row " + std::to_string(bad_row) +
                             " does not have the number of synapses that starts say, or no room for it");
    if (bad_delay) return Invalid(op, "a delay is beyond the ring of " + std::to_string(ring_.slots) + " slots");
    return ffi::Error::Success();
  }
  void Take(const DrawnRows& other) {
    if (bad_row < 0) bad_row = other.bad_row;
    bad_delay = bad_delay || other.bad_delay;
  }
  double SynapsesPerRow() const { return spec_.synapses_per_row; }

  int64_t rows = 0, n_post = 0, columns = 0;
  int64_t bad_row = -1;
  bool bad_delay = false;

 private:
  static ffi::AnyBuffer NoQuantiles() {
    static int64_t extent = 0;
    static XLA_FFI_Buffer none{XLA_FFI_Buffer_STRUCT_SIZE, nullptr, XLA_FFI_DataType_S32, nullptr, 1, &extent};
    return ffi::AnyBuffer(&none);
  }
  // Whether row i lies among `size` synapses.
  bool Fits(int64_t i, int64_t size) const {
    return 0 <= starts_[i] && starts_[i] <= starts_[i + 1] && starts_[i + 1] <= size;
  }
  void Blame(int64_t i) { bad_row = i; }

  // Writes the columns of these rows, each from its place `at` up to the next row.
  bool Draw(SynapseReader& reader, const Row* rows, int64_t count, const uint32_t* begins, uint32_t* at,
            uint32_t* cells, const int64_t* which) {
    Synapses list;
    reader.Begin(rows, count);
    while (reader.Next(&list)) {
      for (int64_t k = 0; k < list.count; ++k) {
        const int64_t row = list.row[list.owner[k]];
        const uint32_t place = at[row];
        if (place >= begins[row + 1]) {  // written there, it would be another row's
          Blame(which[row]);
          return false;
        }
        ++at[row];
        uint32_t cell = list.target[k];
        if (delayed_) {
          const uint64_t d = uint64_t{list.delay ? list.delay[k] : 0} + ring_.shortest;
          if (d >= cell_of_.size()) {
            bad_delay = true;
            return false;
          }
          cell += cell_of_[d];
        }
        cells[place] = cell;
      }
    }
    for (int64_t row = 0; row < count; ++row)
      if (at[row] != begins[row + 1]) {
        Blame(which[row]);
        return false;
      }
    return true;
  }

  MatrixSpec spec_;
  const uint32_t* key_ = nullptr;
  SynapseReader::Table table_{nullptr, 0};
  const int32_t* starts_ = nullptr;
  Ring ring_;
  Delays delays_;
  bool delayed_ = false;
  std::vector<uint32_t> cell_of_;  // of the first target, for each delay
  int64_t room_ = 0;
};

}  // namespace
}  // namespace evops
