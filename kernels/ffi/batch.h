// Products of a batch: matrices that have the same synapses draw them once, for all members (tiles.h).
#pragma once
#include <cmath>
#include <numeric>
#include <vector>

#include "matrices.h"
#include "parallel.h"
#include "spikes.h"
#include "tiles.h"

namespace evops {
namespace {

// Members that are drawn for at once: more would not save much, but take memory.
constexpr int64_t kMaxMembers = 128;

// Costs of a synapse, in units that matter to each other alone: to draw it, to add it to one sum, and to a tile of
// them.
constexpr double kDrawing = 1.3, kAdding = 0.3, kAddingTile = 1;

// Whether to draw `together` rows for all members is cheaper than `apart` rows, each for one of them.
inline bool Pays(double together, double apart, int64_t tiles) {
  return together * (kDrawing + kAddingTile * static_cast<double>(tiles)) < apart * (kDrawing + kAdding);
}

// Work of a call in synapses of a single product, which is what `Parts` takes.
inline double Work(double synapses, int64_t tiles) {
  return synapses * (kDrawing + kAddingTile * static_cast<double>(tiles)) / (kDrawing + kAdding);
}

// The first line of the cache in room for one more tile: vectors that lie across two lines cost twice.
template <class T>
T* FirstLine(T* room) {
  return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(room) + 63) / 64 * 64);
}

// Calls f(begin, end, member) for pieces of n entries of each member, pieces so small that their tiles stay in the
// cache.
template <class F>
void ForEachPiece(int64_t n, int64_t members, const F& f) {
  constexpr int64_t kPiece = 16;
  for (int64_t begin = 0; begin < n; begin += kPiece)
    for (int64_t member = 0; member < members; ++member) f(begin, std::min(n, begin + kPiece), member);
}

// Marks the entries of x that are not 0, and counts them.
template <class X>
int64_t MarkNonzero(const X* __restrict__ x, int64_t n, uint8_t* __restrict__ marks) {
  int64_t count = 0;
  for (int64_t begin = 0; begin < n; begin += 128) {  // so few that a byte counts them
    uint8_t here = 0;
    for (int64_t i = begin; i < std::min(n, begin + 128); ++i) {
      const uint8_t nonzero = x[i] != X(0);
      marks[i] |= nonzero;
      here += nonzero;
    }
    count += here;
  }
  return count;
}

// Members of a batch, and the rows that are drawn for them.
struct Batch {
  std::vector<int64_t> members, rows;
};

// Those of the matrices first … end - 1 for which it is cheaper to draw rows together. Sums that depend on their order
// must be those of a member alone, so all its members take all rows.
template <class X, class T, bool kOne>
Batch BatchOf(const Matrices<X, T, kOne>& m, int64_t first, int64_t end, int64_t tile) {
  using M = Matrices<X, T, kOne>;
  const int64_t n_x = m.shape.n_x;
  const auto tiles_of = [tile](int64_t members) { return (members + tile - 1) / tile; };
  Batch batch;
  if (M::kOrdered) {
    for (int64_t k = first; k < end; ++k)
      if (!m.Silent(k) && m.TakesAllRows(k)) batch.members.push_back(k);
    const int64_t members = batch.members.size();
    if (!Pays(1, static_cast<double>(members), tiles_of(members))) return {};
    batch.rows.resize(n_x);
    std::iota(batch.rows.begin(), batch.rows.end(), int64_t{0});
    return batch;
  }
  std::vector<uint8_t> any(n_x);
  double events = 0;
  const int64_t tiles = tiles_of(end - first);
  for (int64_t k = first; k < end; ++k) {
    if (m.Silent(k)) continue;
    batch.members.push_back(k);
    events += static_cast<double>(MarkNonzero(m.Input(k), n_x, any.data()));
    if (batch.members.size() > 1) continue;
    // as if all had as many events: few of them are not worth the look at the others
    const double fires = events / static_cast<double>(std::max<int64_t>(n_x, 1));
    const double inputs = static_cast<double>(end - first);
    // 1 - (1 - fires)^inputs of all; std::pow would take a C library of 2019, newer than wheels are built for
    const double expected = static_cast<double>(n_x) * -std::expm1(inputs * std::log1p(-fires));
    if (!Pays(expected, events * inputs, tiles)) return {};
  }
  batch.rows.reserve(n_x);
  ForEachNonzero(any.data(), n_x, [&](int64_t i) { batch.rows.push_back(i); });
  if (!Pays(static_cast<double>(batch.rows.size()), events, tiles)) return {};
  return batch;
}

// Something of each member.
template <class P, class F>
std::vector<P> OfMembers(const std::vector<int64_t>& members, const F& f) {
  std::vector<P> all;
  for (int64_t k : members) all.push_back(f(k));
  return all;
}

// y = x @ W of a batch, its rows in so many parts.
template <class X, class T, bool kOne>
void ScatterParts(const Matrices<X, T, kOne>& m, const Batch& batch, int64_t parts, ffi::ThreadPool& pool) {
  using Sum = typename Matrices<X, T, kOne>::Sum;
  constexpr int64_t kMembers = kTile<Sum>, kRows = 512, kSize = kRows * kMembers;
  const int64_t members = batch.members.size(), tiles = (members + kMembers - 1) / kMembers, n_out = m.shape.n_out;
  const int64_t size = n_out * kMembers, count = batch.rows.size(), any = batch.members[0];
  const auto inputs = OfMembers<const X*>(batch.members, [&](int64_t k) { return m.Input(k); });
  const auto outputs = OfMembers<Sum*>(batch.members, [&](int64_t k) { return m.Output(k); });
  const auto a_of = OfMembers<Sum>(batch.members, [&](int64_t k) { return kOne ? Sum(1) : static_cast<Sum>(m.A(k)); });
  const auto b_of = OfMembers<Sum>(batch.members, [&](int64_t k) { return static_cast<Sum>(m.B(k)); });
  ZeroSums<Sum> room(tiles * size + kMembers);
  Sum* const sums = FirstLine(room.get());
  const auto add = [&](int64_t part, Sum* of_part) {
    const int64_t end = count * (part + 1) / parts;
    SynapseReader reader = m.ReaderOf(any);
    Room<Sum> rooms(2 * tiles * kSize + kMembers);
    Sum *const a = FirstLine(rooms.get()), *const b = a + tiles * kSize;
    std::fill_n(a, 2 * tiles * kSize, Sum(0));
    Row rows[kRows];
    for (int64_t begin = count * part / parts; begin < end; begin += kRows) {
      const int64_t here = std::min(kRows, end - begin), *const which = batch.rows.data() + begin;
      for (int64_t i = 0; i < here; ++i) rows[i] = m.RowOf(any, which[i], n_out);
      ForEachPiece(here, members, [&](int64_t i, int64_t stop, int64_t member) {
        const int64_t at = member / kMembers * kSize + member % kMembers;
        const X* x = inputs[member];
        for (; i < stop; ++i) {
          const Sum value = static_cast<Sum>(x[which[i]]);
          a[at + i * kMembers] = value * a_of[member];
          if (!kOne) b[at + i * kMembers] = value * b_of[member];
        }
      });
      reader.Begin(rows, here);
      Synapses list;
      while (reader.Next(&list))
        for (int64_t t = 0; t < tiles; ++t)
          Element<Sum>::AddTile()(
              {list, a + t * kSize, b + t * kSize, of_part + t * size, kOne ? Addend::kValue : Addend::kVariate});
    }
  };
  SumsOfParts(parts, sums, tiles * size).Run(pool, add, [](Sum*, int64_t) {});

  ForEachPiece(n_out, members, [&](int64_t i, int64_t stop, int64_t member) {
    Sum* out = outputs[member];
    const Sum* tile = sums + member / kMembers * size + member % kMembers;
    for (; i < stop; ++i) out[i] = tile[i * kMembers];
  });
  std::memset(sums, 0, tiles * size * sizeof(Sum));
  room.Keep();
  if (kOne)
    for (int64_t k : batch.members) m.TakeWeighted(m.A(k), m.Output(k), n_out);
}

// y = x @ W of a batch. Where sums depend on their order, the rows are cut as for one member, and other threads take
// other members.
template <class X, class T, bool kOne>
void ScatterBatch(const Matrices<X, T, kOne>& m, const Batch& batch, ffi::ThreadPool& pool) {
  using M = Matrices<X, T, kOne>;
  constexpr int64_t kMembers = kTile<typename M::Sum>;
  const int64_t members = batch.members.size(), tiles = (members + kMembers - 1) / kMembers, n_out = m.shape.n_out;
  const double synapses = static_cast<double>(batch.rows.size()) * m.shape.synapses_per_row;
  if (!M::kOrdered) return ScatterParts(m, batch, Parts(pool, Work(synapses, tiles), tiles * n_out * kMembers), pool);
  const int64_t alone = Parts(pool, synapses, n_out);
  const int64_t groups = alone > 1 ? 1 : std::min(tiles, Parts(pool, Work(synapses, tiles)));
  if (groups == 1) return ScatterParts(m, batch, alone, pool);
  Parallel(pool, groups, [&](int64_t group) {
    const int64_t begin = tiles * group / groups * kMembers, end = tiles * (group + 1) / groups * kMembers;
    const auto of = batch.members.begin();
    ScatterParts(m, {{of + begin, of + std::min(end, members)}, batch.rows}, 1, pool);
  });
}

// y = W @ x of the members from `first` on.
template <class X, class T, bool kOne>
bool GatherBatch(const Matrices<X, T, kOne>& m, int64_t first, int64_t members, int64_t rows_at_once,
                 ffi::ThreadPool& pool) {
  using Sum = typename Matrices<X, T, kOne>::Sum;
  constexpr int64_t kMembers = kTile<Sum>;
  const int64_t tiles = (members + kMembers - 1) / kMembers, n_x = m.shape.n_x, n_out = m.shape.n_out;
  const bool each = m.Each(first);
  for (int64_t k = first; k < first + members; ++k)
    if (m.Each(k) != each) return false;
  if (!Pays(1, static_cast<double>(members), tiles)) return false;

  const int64_t size = n_x * kMembers;
  Room<Sum> room(tiles * (size + 2 * kMembers) + kMembers);
  Sum *const a = FirstLine(room.get()), *const b = a + tiles * kMembers, *const x = b + tiles * kMembers;
  std::fill_n(a, 2 * tiles * kMembers, Sum(0));
  std::fill_n(x + (tiles - 1) * size, size, Sum(0));  // members that are missing in the last tile
  for (int64_t member = 0; member < members; ++member) {
    a[member] = static_cast<Sum>(m.A(first + member));
    b[member] = static_cast<Sum>(m.B(first + member));
  }
  std::vector<const X*> inputs;
  for (int64_t k = first; k < first + members; ++k) inputs.push_back(m.Input(k));
  ForEachPiece(n_x, members, [&](int64_t i, int64_t stop, int64_t member) {
    const X* input = inputs[member];
    Sum* tile = x + member / kMembers * size + member % kMembers;
    for (; i < stop; ++i) tile[i * kMembers] = static_cast<Sum>(input[i]);
  });
  const Addend addend = !each ? Addend::kOne : kOne ? Addend::kValue : Addend::kVariate;
  const int64_t chunks = (n_out + rows_at_once - 1) / rows_at_once;
  const int64_t parts =
      std::min(chunks, Parts(pool, Work(static_cast<double>(n_out) * m.shape.synapses_per_row, tiles)));
  Parallel(pool, parts, [&](int64_t part) {
    SynapseReader reader = m.ReaderOf(first);
    std::vector<Row> rows(rows_at_once);
    const int64_t sums_size = rows_at_once * kMembers;
    Room<Sum> sums_room(tiles * sums_size + kMembers);
    Sum* const sums = FirstLine(sums_room.get());
    for (int64_t chunk = chunks * part / parts; chunk < chunks * (part + 1) / parts; ++chunk) {
      const int64_t begin = chunk * rows_at_once, count = std::min(rows_at_once, n_out - begin);
      for (int64_t i = 0; i < count; ++i) rows[i] = m.RowOf(first, begin + i, n_x);
      std::fill_n(sums, tiles * sums_size, Sum(0));
      reader.Begin(rows.data(), count);
      Synapses list;
      while (reader.Next(&list))
        for (int64_t t = 0; t < tiles; ++t)
          Element<Sum>::DotTile()(
              {list, x + t * size, a + t * kMembers, b + t * kMembers, sums + t * sums_size, addend, m.numbered()});
      for (int64_t member = 0; member < members; ++member) {
        const int64_t k = first + member;
        if (m.Silent(k)) continue;
        Sum* out = m.Output(k) + begin;
        const Sum* tile = sums + member / kMembers * sums_size + member % kMembers;
        for (int64_t i = 0; i < count; ++i) out[i] = tile[i * kMembers];
        if (!each) m.TakeWeighted(m.A(k), out, count);
      }
    }
  });
  return true;
}

}  // namespace
}  // namespace evops
