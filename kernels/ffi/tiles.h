// Synapses applied to several members of a batch at once. Members lie side by side in tiles: entry (neuron, member) of
// a tile is at neuron * kTile + member, so that a synapse adds whole vectors.
//
// Every member gets the same terms in the same order as alone: sums are equal to the bit.
#pragma once
#include "kernels.h"
#include "vectors.h"

namespace evops {

// Members of a tile: a line of the cache.
template <class T>
constexpr int64_t kTile = 64 / static_cast<int64_t>(sizeof(T));

// sums[target] += a[row] + b[row] z, a tile of members each; without variates b is not read.
template <class T>
struct TileSum {
  const Synapses& list;
  const T *a, *b;
  T* sums;
  Addend addend;
};

// sums[row] += x[target], times a + b z of each member if the addend says so; where x is 0 nothing is added. Rows that
// have their synapses by number (`numbered`) sum them up in strands.
template <class T>
struct TileDot {
  const Synapses& list;
  const T *x, *a, *b;
  T* sums;
  Addend addend;
  bool numbered;
};

namespace {  // a copy for every level

// A tile of members.
template <class T>
struct Members {
  using Vector = typename VectorOf<T, kVectorBytes>::Type;
  static constexpr int64_t kVectors = 64 / kVectorBytes, kEach = kVectorBytes / static_cast<int64_t>(sizeof(T));
  Vector vectors[kVectors] = {};

  Members() = default;
  explicit Members(const T* tile) {
    for (int64_t v = 0; v < kVectors; ++v) vectors[v] = reinterpret_cast<const Vector&>(tile[v * kEach]);
  }
  void Add(const Members& x) {
    for (int64_t v = 0; v < kVectors; ++v) vectors[v] += x.vectors[v];
  }
  void AddScaled(const Members& x, T by) {
    for (int64_t v = 0; v < kVectors; ++v) vectors[v] += x.vectors[v] * by;
  }
  // Adds weight * x where x is not 0, whatever the weight: all bits of the mask are set there.
  void AddWhereNotZero(const Members& x, const Members& weight) {
    for (int64_t v = 0; v < kVectors; ++v) {
      const auto mask = x.vectors[v] != T(0);
      using Bits = std::remove_const_t<decltype(mask)>;
      vectors[v] += reinterpret_cast<Vector>(reinterpret_cast<Bits>(weight.vectors[v] * x.vectors[v]) & mask);
    }
  }
  friend Members Sum(Members x, const Members& y) {
    x.Add(y);
    return x;
  }
  void AddTo(T* tile) const {
    for (int64_t v = 0; v < kVectors; ++v) reinterpret_cast<Vector&>(tile[v * kEach]) += vectors[v];
  }
};

constexpr int64_t kTilesAhead = 8;  // are fetched into the cache

// Everything is copied first: what is added to the sums may lie anywhere, as far as the compiler knows.
template <class T, bool kVariate>
void AddTile(const TileSum<T>& s) {
  const Synapses l = s.list;
  const T *const a = s.a, *const b = s.b;
  T* const sums = s.sums;
  int64_t row_of[kMaxTasks];
  for (int64_t t = 0; t < l.tasks; ++t) row_of[t] = l.row[t] * kTile<T>;
  for (int64_t j = 0; j < l.count; ++j) {
    if (j + kTilesAhead < l.count) __builtin_prefetch(sums + int64_t{l.target[j + kTilesAhead]} * kTile<T>, 1);
    const int64_t row = row_of[l.owner[j]];
    Members<T> term(a + row);
    if constexpr (kVariate) term.AddScaled(Members<T>(b + row), Cast<T>(l.z[j]));
    term.AddTo(sums + int64_t{l.target[j]} * kTile<T>);
  }
}

// What synapse j adds to the sums of its task.
template <class T, Addend addend>
class Terms {
 public:
  explicit Terms(const TileDot<T>& d) : x_(d.x), list_(d.list) {
    if constexpr (addend != Addend::kOne) a_ = Members<T>(d.a);
    if constexpr (addend == Addend::kVariate) b_ = Members<T>(d.b);
  }
  void AddTo(Members<T>& sums, int64_t j) const {
    if (j + kTilesAhead < list_.count) __builtin_prefetch(x_ + int64_t{list_.target[j + kTilesAhead]} * kTile<T>);
    const Members<T> x(x_ + int64_t{list_.target[j]} * kTile<T>);
    if constexpr (addend == Addend::kOne) return sums.Add(x);
    Members<T> weight = a_;
    if constexpr (addend == Addend::kVariate) weight.AddScaled(b_, Cast<T>(list_.z[j]));
    sums.AddWhereNotZero(x, weight);
  }

 private:
  const T* x_;
  const Synapses list_;
  Members<T> a_, b_;
};

template <class T, Addend addend>
void DotTile(const TileDot<T>& d) {
  const Terms<T, addend> terms(d);
  const Synapses l = d.list;
  if (!d.numbered) {
    alignas(64) Members<T> of_task[kMaxTasks];
    for (int64_t j = 0; j < l.count; ++j) terms.AddTo(of_task[l.owner[j]], j);
    for (int64_t t = 0; t < l.tasks; ++t) of_task[t].AddTo(d.sums + l.row[t] * kTile<T>);
    return;
  }
  for (int64_t j = 0; j < l.count;) {
    const uint8_t task = l.owner[j];
    alignas(64) Members<T> strands[kStrands];
    for (int64_t i = 0; j < l.count && l.owner[j] == task; ++i, ++j) terms.AddTo(strands[i % kStrands], j);
    SumOfStrands(strands).AddTo(d.sums + l.row[task] * kTile<T>);
  }
}

template <class T>
void Tile(const TileSum<T>& s) {
  s.addend == Addend::kVariate ? AddTile<T, true>(s) : AddTile<T, false>(s);
}
template <class T>
void Tile(const TileDot<T>& d) {
  if (d.addend == Addend::kOne) return DotTile<T, Addend::kOne>(d);
  if (d.addend == Addend::kValue) return DotTile<T, Addend::kValue>(d);
  DotTile<T, Addend::kVariate>(d);
}

}  // namespace
}  // namespace evops
