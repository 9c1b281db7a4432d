// What C++ knows of the readers, all in one place: which kernel each has, how many tasks a row is cut into, and how the
// fields of its record fit each other. What a field means, and its range, is generated (format.h).
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels.h"

namespace evops {

inline Law LawOf(const MatrixSpec& spec) { return static_cast<Law>(spec.law); }
inline bool IsPublished(const Scheme& s) { return s.reader == Reader::kUniformGaps; }
inline bool IsGrid(const Scheme& s) { return s.reader == Reader::kGridOffsets; }
// Whether a row is one task, which may have as many synapses as there are post neurons.
inline bool IsInOneTask(const Scheme& s) {
  return IsPublished(s) || s.reader == Reader::kDistances || s.reader == Reader::kTypedPairs;
}
// Whether a block has a few synapses only.
inline bool IsSparse(const Scheme& s) {
  return s.reader == Reader::kGeometricGaps || s.reader == Reader::kDiagonal || IsGrid(s);
}
// Synapses of every row, where all rows have equally many; else nothing that matters.
inline int64_t SynapsesOfRow(const Scheme& s) { return s.reader == Reader::kEqualRows ? s.equal_rows.k : 0; }

inline Kernel KernelOf(const Scheme& scheme, Law law) {
  const Kernels& k = ActiveKernels();
  if (law == Law::kLfsrUniform) return k.draw_uniform_gaps_uniform;
  if (law == Law::kLfsrNormal) return k.draw_uniform_gaps_normal;
  switch (scheme.reader) {
    case Reader::kGeometricGaps: return k.draw_geometric_gaps;
    case Reader::kDenseBlocks: return k.draw_dense_blocks;
    case Reader::kEqualRows: return k.draw_equal_rows;
    case Reader::kDiagonal: return k.draw_diagonal;
    case Reader::kCountedRows: return k.draw_counted_rows;
    case Reader::kGridOffsets: return k.draw_grid_offsets;
    case Reader::kDistances: return k.draw_distances;
    case Reader::kTypedPairs: return k.draw_typed_pairs;
    case Reader::kUniformGaps: return k.draw_uniform_gaps;
  }
  return nullptr;  // schemes have been checked
}

// Whether the SIMD kernels draw and add up in one pass.
inline bool HasSum(Reader reader) {
  return reader == Reader::kGeometricGaps || reader == Reader::kDenseBlocks || reader == Reader::kEqualRows ||
         reader == Reader::kCountedRows || reader == Reader::kUniformGaps || reader == Reader::kGridOffsets ||
         reader == Reader::kDistances || reader == Reader::kTypedPairs;
}

inline int64_t BlocksOfNumbers(int64_t count) { return (count + kSynapsesPerBlock - 1) / kSynapsesPerBlock; }

// Tasks of a row of n_post > 0 post neurons, which has so many synapses where they are known before they are drawn: a
// block of targets each, or of synapses.
inline int64_t BlocksOf(const Scheme& scheme, int64_t n_post, int64_t synapses) {
  switch (scheme.reader) {
    case Reader::kDenseBlocks: {
      const DenseBlocks& dense = scheme.dense_blocks;
      if (dense.threshold == 0 && dense.tie_threshold == 0) return 0;
      return ((n_post - 1) >> dense.block_bits) + 1;
    }
    case Reader::kGeometricGaps: return ((n_post - 1) >> scheme.geometric_gaps.block_bits) + 1;
    case Reader::kEqualRows:
    case Reader::kCountedRows: return BlocksOfNumbers(synapses);
    case Reader::kGridOffsets: return BlocksOfNumbers(scheme.grid_offsets.offsets);
    default: return 1;
  }
}

// Whether 0 … size - 1 are cut so to be permuted (evops.connectivity.format): with less room a number would have no
// place, and with more, many would lie outside and be drawn again.
inline bool AreHalves(int64_t low_bits, int64_t high_count, int64_t size) {
  const int64_t last = std::max<int64_t>(size, kMinDomain) - 1, bits = 64 - __builtin_clzll(last);
  return low_bits == std::max<int64_t>(bits / 2, bits - kMaxHighBits) && high_count == (last >> low_bits) + 1;
}

inline int64_t TableSizeOf(const TypedPairs& pairs) {
  const int64_t kinds = int64_t{pairs.pre_types} * pairs.post_types;
  return kinds + (kinds > 1 ? int64_t{pairs.n_pre} + pairs.n_post : 0);
}

// Whether the fields of a scheme, each in its range, fit each other and rows of `shortest` to `longest` post neurons.
inline bool Fits(const Scheme& scheme, int64_t shortest, int64_t longest) {
  const auto is_n_post = [&](int64_t n) { return n == shortest && n == longest; };
  switch (scheme.reader) {
    case Reader::kUniformGaps: {
      const UniformGaps& gaps = scheme.uniform_gaps;
      return gaps.reciprocal == std::min((int64_t{1} << 32) / gaps.clen, kMaxWord);
    }
    case Reader::kGeometricGaps: {
      const GeometricGaps& gaps = scheme.geometric_gaps;
      return gaps.low_digit_bits == 0 || gaps.low_digit_bits == kLowDigitBits;
    }
    case Reader::kDenseBlocks: {
      const DenseBlocks& dense = scheme.dense_blocks;
      return dense.block_bits == kMinBlockBits || (dense.threshold == 0 && dense.tie_threshold == 0);
    }
    case Reader::kEqualRows: {
      const EqualRows& rows = scheme.equal_rows;
      if (!is_n_post(rows.n_post)) return false;
      if (rows.low_bits == 0) return rows.high_count == 0;
      return AreHalves(rows.low_bits, rows.high_count, rows.n_post) && rows.k <= rows.n_post;
    }
    case Reader::kDiagonal: return true;
    case Reader::kCountedRows: {
      const CountedRows& rows = scheme.counted_rows;
      if (rows.low_bits == 0) return rows.slots == 1 && rows.high_count == 0 && rows.n_post == 0;
      const int64_t total = int64_t{rows.slots} * rows.n_post;  // below 2^62
      return is_n_post(rows.n_post) && total <= kMaxSynapses && AreHalves(rows.low_bits, rows.high_count, total);
    }
    case Reader::kGridOffsets: {
      const GridOffsets& grid = scheme.grid_offsets;
      const int64_t plane = int64_t{grid.extent_1} * grid.extent_2;  // below 2^60
      return shortest % plane == 0 && longest % plane == 0 && longest / plane <= kMaxExtent;
    }
    case Reader::kDistances:
      return is_n_post(scheme.distances.n_post) && SectionsOf(scheme.distances).end <= kMaxSynapses;
    case Reader::kTypedPairs: {
      const TypedPairs& pairs = scheme.typed_pairs;
      return is_n_post(pairs.n_post) && TableSizeOf(pairs) <= kMaxSynapses &&
             (pairs.ways == 0 || pairs.n_pre == pairs.n_post);
    }
  }
  return false;
}

// Entries of what the reader of `rows` rows looks up: the rule's table, or running counts of the synapses of rows.
inline int64_t TableSizeOf(const Scheme& scheme, int64_t rows) {
  if (IsCounted(scheme)) return rows + 1;
  if (IsGrid(scheme)) return int64_t{3} * scheme.grid_offsets.offsets;
  if (scheme.reader == Reader::kTypedPairs) return TableSizeOf(scheme.typed_pairs);
  if (scheme.reader == Reader::kDistances) return SectionsOf(scheme.distances).end;
  if (scheme.reader != Reader::kGeometricGaps) return 0;
  const GeometricGaps& gaps = scheme.geometric_gaps;
  return (int64_t{1} << gaps.high_digit_bits) + (gaps.low_digit_bits ? int64_t{1} << gaps.low_digit_bits : 0);
}

}  // namespace evops
