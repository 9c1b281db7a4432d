// The reader of rules of distance: see kernels/distances.py.
//
// Boxes of nodes and of leaves are looked at side by side, and so are the words of a leaf's neurons. Few words are
// below the largest probability in the leaf. Only the pairs of these go on to a second pass, which looks up their
// distance.
#pragma once
#include "groups.h"

namespace evops {
namespace {

// The functions of `sampler`.
inline Lanes Displacement(Lanes a, Lanes b, Lanes period) {
  Lanes d = Subtract(b, a);
  d = Add(d, And(period, Subtract(Zero(), Right<31>(d))));
  return Subtract(d, And(period, Subtract(Zero(), Right<31>(Subtract(Right<1>(period), d)))));
}
inline Lanes Magnitude(Lanes d) {
  const Lanes sign = Subtract(Zero(), Right<31>(d));
  return Subtract(Xor(d, sign), sign);
}
inline Lanes Chance(Lanes p) { return Add(p, Right<31>(Add(p, Set(1)))); }
inline Lanes OnLine(Lanes a, Lanes b, Lanes part) {
  const Lanes d = Subtract(b, a), sign = Subtract(Zero(), Right<31>(d)), size = Subtract(Xor(d, sign), sign);
  const Lanes step = Right<1>(Add(HighEach(part, Add(size, size)), Set(1)));
  return Add(a, Subtract(Xor(step, sign), sign));
}

// The table of a rule of distance.
class DistanceTable {
 public:
  explicit DistanceTable(const Tasks& tasks)
      : d_(tasks.scheme.distances), table_(tasks.table), at_(SectionsOf(d_)), axes_(d_.axes), least_(Set(*table_)) {
    nodes_ = (int64_t{d_.n_post} + kNode - 1) / kNode;
    for (int64_t axis = 0; axis < axes_; ++axis) period_[axis] = Set(table_[at_.periods + axis]);
  }

  int64_t nodes() const { return nodes_; }
  Lanes least() const { return least_; }
  const uint32_t* ids() const { return table_ + at_.post; }

  // Where a pre neuron lies.
  struct Place {
    Lanes at[3];
  };
  Place PlaceOf(uint32_t pre) const {
    Place place;
    const int64_t row = std::min(pre, d_.n_pre - 1);
    for (int64_t axis = 0; axis < axes_; ++axis) place.at[axis] = Set(table_[at_.pre + axis * d_.n_pre + row]);
    return place;
  }

  // The largest probabilities of kLanes nodes, or leaves, from one on; 0 beyond the cut-off.
  Lanes NodeBounds(const Place& from, int64_t node) const {
    return Bounds(from, table_ + at_.node + node, (nodes_ + kLeaf - 1) / kLeaf * kLeaf);
  }
  Lanes LeafBounds(const Place& from, int64_t leaf) const {
    return Bounds(from, table_ + at_.leaf + leaf, nodes_ * kLeaf);
  }

  // Probabilities of pairs with the neurons at these places of the tree, and which are not 0.
  EVOPS_INLINE Lanes Probability(const Place& from, Lanes place, Mask* near) const {
    const int64_t room = nodes_ * kNode;
    Lanes by[3] = {Zero(), Zero(), Zero()}, square = Zero(), furthest = Zero();
    for (int64_t axis = 0; axis < axes_; ++axis) {
      by[axis] = Displacement(from.at[axis], Gather(table_ + at_.places + axis * room, place), period_[axis]);
      const Lanes apart = Magnitude(by[axis]);
      furthest = Greater(furthest, apart);
      square = Add(square, Multiply(apart, apart));
    }
    *near = Both(NotAbove(furthest, Set(kFurthest)), NotAbove(square, Set(kMaxSquare)));
    if (d_.shapes) *near = Both(*near, Allowed(by));
    square = Lesser(square, Set(kMaxSquare));
    Lanes piece = Zero();
    for (int64_t k = 0; k < d_.breaks; ++k)
      piece = AddWhere(NotAbove(Set(table_[at_.jumps + k]), square), piece, Set(kDistanceSlots));
    const Lanes bits = BitLengths(Right<6>(square));
    const Lanes slot = Add(Left<kDistanceBits>(bits), RightEach(square, bits));
    const Lanes entry = Gather(table_ + at_.slots, Add(piece, slot));
    const Lanes rest = Subtract(bits, And(entry, Set(31)));
    Lanes at = Add(Right<5>(entry), RightEach(And(square, Subtract(LeftEach(Set(1), bits), Set(1))), rest));
    at = Lesser(at, Set(d_.knots - 2));  // a table at run time may be wrong
    const Lanes part = Left<1>(LeftEach(square, Subtract(Set(31), rest)));
    const Pairs knots = LookUp(table_ + at_.values, at);
    return OnLine(knots.first, knots.second, part);
  }

 private:
  static constexpr uint32_t kFurthest = kDistanceUnits + 1;

  EVOPS_INLINE Lanes Bounds(const Place& from, const uint32_t* low, int64_t count) const {
    Lanes square = Zero(), furthest = Zero();
    for (int64_t axis = 0; axis < axes_; ++axis, low += 2 * count) {
      const Lanes here = from.at[axis], begin = Load(low), end = Load(low + count);
      const Mask inside = NotAbove(Subtract(here, begin), Subtract(end, begin));
      const Lanes apart = Lesser(Magnitude(Displacement(here, begin, period_[axis])),
                                 Magnitude(Displacement(here, end, period_[axis])));
      const Lanes outside = Select(inside, Zero(), apart);
      furthest = Greater(furthest, outside);
      square = Add(square, Multiply(outside, outside));
    }
    const Mask near = Both(NotAbove(furthest, Set(kFurthest)), NotAbove(square, Set(kMaxSquare)));
    if (!Bits(near)) return Zero();
    square = Lesser(square, Set(kMaxSquare));
    const Lanes bits = BitLengths(Right<6>(square));
    const Lanes slot = Add(Left<kDistanceBits>(bits), RightEach(square, bits));
    return Select(near, Gather(table_ + at_.bounds, slot), Zero());
  }

  Mask Allowed(const Lanes* by) const {
    Lanes which = Zero();
    for (int64_t shape = 0; shape < d_.shapes; ++shape) {
      const uint32_t* w = table_ + at_.mask + shape * kShapeWords;
      Mask boxed = Equal(Zero(), Zero());
      Lanes square = Zero();
      for (int64_t axis = 0; axis < 3; ++axis) {
        Lanes sum = Set((uint32_t{1} << 31) + (uint32_t{1} << 14));
        for (int64_t k = 0; k < 3; ++k) sum = Add(sum, Multiply(by[k], Set(w[3 * axis + k])));
        const Lanes e = Subtract(Right<15>(sum), Set(1 << 16)), span = Set(w[12 + axis]);
        const Lanes from_low = Subtract(e, Set(w[9 + axis]));
        boxed = Both(boxed, NotAbove(from_low, span));
        const Lanes from_middle = Subtract(from_low, Right<1>(span));
        square = Add(square, Multiply(from_middle, from_middle));
      }
      which = AddWhere(Both(boxed, NotAbove(square, Set(w[15]))), which, Set(uint32_t{1} << shape));
    }
    const Lanes word = Gather(table_ + at_.truth, Right<5>(which));
    return Equal(And(RightEach(word, And(which, Set(31))), Set(1)), Set(1));
  }

  const Distances& d_;
  const uint32_t* table_;
  Sections at_;
  int64_t axes_, nodes_;
  Lanes least_, period_[3];
};

// The synapses of one row, into the sink.
template <class Sink>
class DistanceRow {
 public:
  DistanceRow(const DistanceTable& table, Sink& sink, uint32_t pre, Lanes k0, Lanes k1, Lanes origin, uint32_t n,
              bool autapses)
      : table_(table),
        sink_(sink),
        from_(table.PlaceOf(pre)),
        k0_(k0),
        k1_(k1),
        origin_(origin),
        last_(Set(n - 1)),
        leave_out_(Set(autapses ? ~uint32_t{0} : pre)) {}

  void Read() {
    alignas(64) uint32_t bounds[kLeaf];
    for (int64_t first = 0; first < table_.nodes(); first += kLanes) {
      const Lanes of_nodes = table_.NodeBounds(from_, first);
      uint32_t near = Bits(Less(table_.least(), of_nodes));
      if (table_.nodes() - first < kLanes) near &= (uint32_t{1} << (table_.nodes() - first)) - 1;
      for (; near; near &= near - 1) {
        const int64_t node = first + __builtin_ctz(near);
        for (int64_t part = 0; part < kLeaf; part += kLanes) {
          const Lanes of_leaves = table_.LeafBounds(from_, node * kLeaf + part);
          Store(bounds, Chance(of_leaves));
          for (uint32_t some = Bits(Less(table_.least(), of_leaves)); some; some &= some - 1) {
            const int64_t k = __builtin_ctz(some);
            if (!ReadLeaf(node * kLeaf + part + k, Set(bounds[k] - 1))) return;
          }
        }
      }
    }
    if (waiting_) Emit(waiting_);
  }

 private:
  // `last` is the largest word that may be a synapse. False where the sink is full.
  EVOPS_INLINE bool ReadLeaf(int64_t leaf, Lanes last) {
    for (int64_t part = 0; part < kLeaf; part += kLanes) {
      const uint32_t place = static_cast<uint32_t>(leaf * kLeaf + part);
      const Lanes id = Load(table_.ids() + place);
      const Lanes word = Right<1>(Word(Add(k0_, Multiply(id, Set(kWeyl))), k1_));
      const uint32_t hit = Bits(NotAbove(word, last));
      Store(id_ + waiting_, Squeeze(id, hit));
      Store(word_ + waiting_, Squeeze(word, hit));
      Store(place_ + waiting_, Squeeze(Add(Set(place), Count()), hit));
      waiting_ += __builtin_popcount(hit);
    }
    for (; waiting_ >= kLanes; waiting_ -= kLanes) {
      if (sink_.Full(kLanes)) return false;
      Emit(kLanes);
      // what is left is less than a leaf
      for (int64_t k = 0; k < kLeaf; k += kLanes) {
        Store(id_ + k, Load(id_ + k + kLanes));
        Store(word_ + k, Load(word_ + k + kLanes));
        Store(place_ + k, Load(place_ + k + kLanes));
      }
    }
    return true;
  }

  EVOPS_INLINE void Emit(int64_t count) {
    const Lanes id = Load(id_), word = Load(word_), some = Set(static_cast<uint32_t>(count));
    const Mask valid = Less(Count(), some);
    const Lanes place = Select(valid, Load(place_), Zero());
    Mask near;
    const Lanes p = table_.Probability(from_, place, &near);
    Mask hit = Both(Both(near, valid), Less(table_.least(), p));
    hit = Both(hit, NotAbove(Add(word, Set(1)), Chance(p)));
    hit = Except(Both(hit, NotAbove(id, last_)), Equal(id, leave_out_));
    const Lanes target = Add(origin_, id);
    sink_.Emit(target, target, Bits(hit));
  }

  const DistanceTable& table_;
  Sink& sink_;
  const DistanceTable::Place from_;
  const Lanes k0_, k1_, origin_, last_, leave_out_;
  int64_t waiting_ = 0;
  alignas(64) uint32_t id_[2 * kLeaf + kLanes], word_[2 * kLeaf + kLanes], place_[2 * kLeaf + kLanes];
};

template <class Sink>
EVOPS_OUTLINE void ReadDistances(const Tasks& tasks, Sink& sink) {
  const DistanceTable table(tasks);
  const bool autapses = tasks.scheme.exclude_autapses == 0;
  for (Groups groups(tasks); groups.Next();) {
    const Group& g = groups.group();
    sink.Begin(g, groups.first());
    for (int64_t l = 0; l < groups.lanes(); ++l) {
      const int64_t task = groups.first() + l;
      if (tasks.n[task] == 0) continue;
      sink.Focus(l);
      const Lanes which = Set(static_cast<uint32_t>(l));
      DistanceRow<Sink>(table, sink, tasks.pre[task], Pick(g.key.k0, which), Pick(g.key.k1, which),
                        Pick(g.origin, which), tasks.n[task], autapses)
          .Read();
    }
  }
}

}  // namespace
}  // namespace evops
