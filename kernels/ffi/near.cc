// Partners of neurons in proportion to a kernel of distance: evops/connectivity/near.py, which says what is drawn, and
// draws the same. Additions and products of float64 are those of NumPy, in its order.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "format.h"
#include "handler.h"
#include "parallel.h"

namespace evops {

// What is drawn from, as evops/engine/near.py hands it over; sizes first, then arrays.
struct NearRequest {
  int64_t n, others, axes, tile, tiles, breaks, slots, pieces, knots, shapes;
  int64_t backwards, autapses, multapses, role, total;
  uint64_t furthest;
  double unit;
  const uint32_t* key;       // 2
  const int64_t* own;        // (n, axes)
  const int64_t* periods;    // (axes,)
  const int64_t* points;     // (axes, others)
  const int64_t* order;      // (others,)
  const int64_t* boxes;      // (axes, 2, tiles)
  const uint64_t* break_at;  // (breaks,)
  const int64_t* begins;     // (pieces * slots,)
  const int64_t* bits;       // (pieces * slots,)
  const double* knot;        // (knots,)
  const double* bounds;      // (slots,)
  const double* shape;       // (shapes, axes * axes + 2 * axes + 1)
  const uint8_t* truth;      // (2^shapes,)
  const uint64_t* powers;    // (1024 + 1,)
  const int64_t* k;          // (n,)
  int32_t* found;            // (total,)
  int64_t* counts;           // (n,)
};

namespace {

constexpr int64_t kRounds = 24, kTileBits = 20, kSumBits = 40;
constexpr double kNone = std::numeric_limits<double>::infinity();

uint32_t Mix(uint32_t x) {
  x = (x ^ x >> 16) * kMultiply1;
  x = (x ^ x >> 15) * kMultiply2;
  return x ^ x >> 15;
}
struct Key {
  uint32_t k0, k1;
  uint32_t Word(uint32_t i) const {
    uint32_t x = k0 + i * kWeyl;
    x = (x ^ x >> 16) * kMultiply1 ^ k1;
    x = (x ^ x >> 15) * kMultiply2;
    x = (x ^ x >> 15) * kMultiply3;
    return x ^ x >> 16;
  }
};
Key Feistel(uint32_t a, uint32_t b, const uint32_t* t) {
  a ^= Mix(b + t[0] + kPi0);
  b ^= Mix(a + t[1] + kPi1);
  a ^= Mix(b + t[0] + kPi2);
  b ^= Mix(a + t[1] + kPi3);
  return {a, b};
}

int64_t Displaced(int64_t a, int64_t b, int64_t period) {
  int64_t by = b - a;
  if (!period) return by;
  if (by < 0) by += period;
  return by > period / 2 ? by - period : by;
}

uint64_t Share(uint64_t word, uint64_t total) { return ((word * (total & 0xFFFFFFFF)) >> 32) + word * (total >> 32); }

// The draws of the neurons of one thread.
class NearDraws {
 public:
  explicit NearDraws(const NearRequest& r) : r_(r), largest_(r.tiles), ends_(r.tiles), left_(r.tiles) {
    if (r.multapses) return;
    places_.resize(r.others);
    for (int64_t place = 0; place < r.others; ++place) places_[place] = static_cast<int32_t>(place);
    taken_.resize(r.others);
    tree_.resize(r.tiles + 1);
  }

  // Partners of neuron i, up to k of them; how many there are.
  int64_t Of(int64_t i, int64_t k, int32_t* found) {
    i_ = i;
    key_ = Feistel(static_cast<uint32_t>(i), static_cast<uint32_t>(r_.role), r_.key);
    summed_ = false;
    logs_.clear();
    FindTiles();
    if (!r_.multapses) PlantTree();
    int64_t count = 0;
    for (; count < k; ++count) {
      const int64_t place = Draw(static_cast<uint32_t>(count));
      if (place < 0) break;
      found[count] = static_cast<int32_t>(r_.order[place]);
    }
    if (!r_.multapses) PutBack();
    return count;
  }

 private:
  uint64_t Power(double x) const {
    x = std::min(x, 63.0);
    const double steps = x * 1024.0, whole = std::floor(steps);
    const uint64_t part = static_cast<uint64_t>((steps - whole) * 1048576.0), at = static_cast<uint64_t>(whole);
    const uint64_t a = r_.powers[at & 1023], b = r_.powers[(at & 1023) + 1];
    return (a - (((a - b) * part) >> 20)) << 30 >> (at >> 10);
  }
  // 2^-(log - nearest), and nothing for what is infinite.
  uint64_t Weight(double log) const { return log == kNone ? 0 : Power(log - nearest_); }

  static int64_t SlotOf(uint64_t square, uint64_t* many) {
    const uint64_t above = square >> (kDistanceBits + 1);
    *many = above ? 64 - __builtin_clzll(above) : 0;
    return static_cast<int64_t>((*many << kDistanceBits) + (square >> *many));
  }
  double LogAt(uint64_t square) const {
    if (square > r_.furthest) return kNone;
    uint64_t many;
    int64_t slot = SlotOf(square, &many), piece = 0;
    for (int64_t b = 0; b < r_.breaks; ++b) piece += square >= r_.break_at[b];
    slot += piece * r_.slots;
    const uint64_t rest = many - static_cast<uint64_t>(r_.bits[slot]);
    const uint64_t within = square & ((uint64_t{1} << many) - 1);
    const int64_t k = std::min(r_.begins[slot] + static_cast<int64_t>(within >> rest), r_.knots - 2);
    const uint64_t left = within & ((uint64_t{1} << rest) - 1);
    const double a = r_.knot[k], b = r_.knot[k + 1];
    if (left == 0) return a;
    const double between = a + (b - a) * (static_cast<double>(left) / static_cast<double>(uint64_t{1} << rest));
    return std::isnan(between) ? kNone : between;
  }
  double LeastAt(uint64_t square) const {
    if (square > r_.furthest) return kNone;
    uint64_t many;
    return r_.bounds[SlotOf(square, &many)];
  }

  bool Allowed(const int64_t* by) const {
    const double unit = r_.backwards ? -r_.unit : r_.unit;
    const int64_t axes = r_.axes;
    int64_t which = 0;
    for (int64_t s = 0; s < r_.shapes; ++s) {
      const double* turn = r_.shape + s * (axes * axes + 2 * axes + 1);
      const double *centre = turn + axes * axes, *half = centre + axes, most = half[axes];
      bool inside = true;
      double square = 0;
      for (int64_t j = 0; j < axes; ++j) {
        double e = 0;
        for (int64_t k = 0; k < axes; ++k) e += static_cast<double>(by[k]) * unit * turn[j * axes + k];
        e -= centre[j];
        inside = inside && std::abs(e) <= half[j];
        square += e * e;
      }
      which |= int64_t{inside && square <= most} << s;
    }
    return r_.truth[which] != 0;
  }

  double LogOf(int64_t place) const {
    const int64_t* here = r_.own + i_ * r_.axes;
    int64_t by[3];
    uint64_t square = 0;
    for (int64_t axis = 0; axis < r_.axes; ++axis) {
      by[axis] = Displaced(here[axis], r_.points[axis * r_.others + place], r_.periods[axis]);
      const uint64_t apart = static_cast<uint64_t>(std::abs(by[axis]));
      square += apart * apart;
    }
    if (!r_.autapses && r_.order[place] == i_) return kNone;
    if (r_.shapes && !Allowed(by)) return kNone;
    return LogAt(square);
  }

  void FindTiles() {
    const int64_t* here = r_.own + i_ * r_.axes;
    bounds_.resize(r_.tiles);
    nearest_ = kNone;
    for (int64_t t = 0; t < r_.tiles; ++t) {
      uint64_t square = 0;
      for (int64_t axis = 0; axis < r_.axes; ++axis) {
        const int64_t low = r_.boxes[2 * axis * r_.tiles + t], high = r_.boxes[(2 * axis + 1) * r_.tiles + t];
        const int64_t at = here[axis], period = r_.periods[axis];
        if (at >= low && at <= high) continue;
        const int64_t apart = std::min(std::abs(Displaced(at, low, period)), std::abs(Displaced(at, high, period)));
        square += static_cast<uint64_t>(apart) * static_cast<uint64_t>(apart);
      }
      bounds_[t] = LeastAt(square);
      nearest_ = std::min(nearest_, bounds_[t]);
    }
    total_ = 0;
    for (int64_t t = 0; t < r_.tiles; ++t) {
      const uint64_t least = Weight(bounds_[t]);
      largest_[t] = least ? (least >> (62 - kTileBits)) + 1 : 0;
      left_[t] = std::min(r_.tile, r_.others - t * r_.tile);
      total_ += largest_[t] * static_cast<uint64_t>(left_[t]);
      ends_[t] = total_;
    }
    if (!r_.multapses) return;
    // where to begin among the ends, for each of as many parts of the total
    guide_.resize(r_.tiles + 1);
    for (int64_t g = 0, t = 0; g <= r_.tiles; ++g) {
      const uint64_t from = static_cast<uint64_t>(g) * (total_ / static_cast<uint64_t>(r_.tiles));
      while (t < r_.tiles - 1 && ends_[t] <= from) ++t;
      guide_[g] = static_cast<int32_t>(t);
    }
  }

  // Tiles whose partners are taken out have their masses in a Fenwick tree.
  void PlantTree() {
    for (int64_t t = 0; t < r_.tiles; ++t) tree_[t + 1] = largest_[t] * static_cast<uint64_t>(left_[t]);
    for (int64_t t = 1; t <= r_.tiles; ++t)
      if (const int64_t above = t + (t & -t); above <= r_.tiles) tree_[above] += tree_[t];
  }
  int64_t TileInTree(uint64_t mass) const {
    int64_t t = 0;
    for (int64_t step = int64_t{1} << (63 - __builtin_clzll(r_.tiles)); step; step >>= 1) {
      if (t + step > r_.tiles || tree_[t + step] > mass) continue;
      t += step;
      mass -= tree_[t];
    }
    return t;
  }
  void Take(int64_t t, int64_t member) {
    int32_t* places = places_.data() + t * r_.tile;
    std::swap(places[member], places[--left_[t]]);
    taken_[places[left_[t]]] = true;
    touched_.push_back(t);
    total_ -= largest_[t];
    for (int64_t at = t + 1; at <= r_.tiles; at += at & -at) tree_[at] -= largest_[t];
  }
  void PutBack() {
    for (const int64_t t : touched_) {
      const int64_t begin = t * r_.tile, end = std::min(begin + r_.tile, r_.others);
      for (int64_t place = begin; place < end; ++place) {
        places_[place] = static_cast<int32_t>(place);
        taken_[place] = false;
      }
    }
    touched_.clear();
  }

  int64_t TileOf(uint64_t mass) const {
    if (!r_.multapses) return TileInTree(mass);
    const uint64_t part = total_ / static_cast<uint64_t>(r_.tiles);
    int64_t t = part ? guide_[std::min<uint64_t>(mass / part, r_.tiles)] : 0;
    while (ends_[t] <= mass) ++t;
    return t;
  }

  // The place of a partner; -1 where none is left.
  int64_t Draw(uint32_t m) {
    const Key key{key_.Word(2 * m), key_.Word(2 * m + 1)};
    for (uint32_t round = 0; round < kRounds && total_; ++round) {
      const int64_t t = TileOf(Share(key.Word(3 * round), total_));
      const uint64_t count = static_cast<uint64_t>(left_[t]);
      const int64_t member = static_cast<int64_t>((key.Word(3 * round + 1) * count) >> 32);
      const int64_t place = r_.multapses ? t * r_.tile + member : places_[t * r_.tile + member];
      const uint64_t share = (Weight(LogOf(place)) >> (30 - kTileBits)) / largest_[t];
      if (key.Word(3 * round + 2) >= share) continue;
      if (!r_.multapses) Take(t, member);
      return place;
    }
    if (!r_.multapses || !summed_) Sum();
    summed_ = true;
    const int64_t place = PickedBy(key.Word(3 * kRounds), key.Word(3 * kRounds + 1));
    if (place >= 0 && !r_.multapses) {
      const int64_t t = place / r_.tile;
      const int32_t* places = places_.data() + t * r_.tile;
      Take(t, std::find(places, places + left_[t], static_cast<int32_t>(place)) - places);
    }
    return place;
  }

  // Adds up the weights of all partners that are left.
  void Sum() {
    if (logs_.empty()) {
      logs_.resize(r_.others);
      for (int64_t place = 0; place < r_.others; ++place) logs_[place] = LogOf(place);
      sums_.resize(r_.others);
    }
    const auto log_of = [&](int64_t place) { return !r_.multapses && taken_[place] ? kNone : logs_[place]; };
    double least = kNone;
    for (int64_t place = 0; place < r_.others; ++place) least = std::min(least, log_of(place));
    any_ = least != kNone;
    uint64_t sum = 0;
    for (int64_t place = 0; place < r_.others; ++place) {
      const double log = log_of(place);
      if (log != kNone) sum += Power(log - least) >> (62 - kSumBits);
      sums_[place] = sum;
    }
  }
  int64_t PickedBy(uint64_t high, uint64_t low) const {
    if (!any_) return -1;
    const unsigned __int128 word = static_cast<unsigned __int128>(high << 32 | low) * sums_.back();
    const uint64_t at = static_cast<uint64_t>(word >> 64);
    return std::upper_bound(sums_.begin(), sums_.end(), at) - sums_.begin();
  }

  const NearRequest& r_;
  int64_t i_ = 0;
  Key key_{};
  double nearest_ = 0;
  uint64_t total_ = 0;
  bool summed_ = false, any_ = false;
  std::vector<double> bounds_, logs_;
  std::vector<uint64_t> largest_, ends_, sums_, tree_;
  std::vector<int64_t> left_, touched_;  // partners left in each tile; tiles of which some are taken
  std::vector<int32_t> guide_, places_;
  std::vector<uint8_t> taken_;
};

bool InRange(const NearRequest& r) {
  const auto between = [](int64_t x, int64_t low, int64_t high) { return low <= x && x <= high; };
  if (!between(r.n, 1, kMaxSynapses) || !between(r.others, 1, kMaxSynapses) || !between(r.axes, 1, 3)) return false;
  if (!between(r.tile, 1, 1 << 12) || r.tiles != (r.others + r.tile - 1) / r.tile) return false;
  if (!between(r.breaks, 0, kMaxBreaks) || r.pieces != r.breaks + 1 || !between(r.knots, 2, kMaxSynapses)) return false;
  if (!between(r.slots, 1, 4096) || !between(r.shapes, 0, kMaxShapes) || r.furthest >> 63) return false;
  const int64_t many = r.furthest >> (kDistanceBits + 1) ? 64 - __builtin_clzll(r.furthest >> (kDistanceBits + 1)) : 0;
  if ((many << kDistanceBits) + static_cast<int64_t>(r.furthest >> many) >= r.slots) return false;
  for (int64_t s = 0; s < r.pieces * r.slots; ++s) {
    const int64_t slot = s % r.slots, width = std::max<int64_t>((slot >> kDistanceBits) - 1, 0);
    if (!between(r.bits[s], 0, width) || !between(r.begins[s], 0, r.knots - 1)) return false;
  }
  for (int64_t k = 0; k <= 1024; ++k)
    if (r.powers[k] > uint64_t{1} << 32 || (k && r.powers[k] > r.powers[k - 1])) return false;
  for (int64_t p = 0; p < r.others; ++p)
    if (!between(r.order[p], 0, r.others - 1)) return false;
  int64_t total = 0;
  for (int64_t i = 0; i < r.n; ++i) {
    if (!between(r.k[i], 0, kMaxSynapses)) return false;
    total += r.k[i];
    if (total > kMaxSynapses) return false;
  }
  return total == r.total;
}

}  // namespace
}  // namespace evops

// Draws partners: 0 on success, 1 where an argument is out of range, 2 without memory. Those of neuron i stand in
// `found` where those that the neurons before may have at most end; `counts` says how many there are.
EVOPS_EXPORT int evops_draw_near(const evops::NearRequest* request) {
  return evops::GuardedStatus([&] {
    const evops::NearRequest& r = *request;
    if (!evops::InRange(r)) return 1;
    std::vector<int64_t> starts(r.n + 1);
    for (int64_t i = 0; i < r.n; ++i) starts[i + 1] = starts[i] + r.k[i];
    evops::Helpers helpers;
    const double work = static_cast<double>(r.total) * 16 + static_cast<double>(r.n) * static_cast<double>(r.tiles) * 2;
    const int64_t parts = evops::Parts(helpers, work), piece = 64;
    std::atomic<int64_t> next{0};
    evops::Parallel(helpers, parts, [&](int64_t) {
      evops::NearDraws draws(r);
      for (int64_t first; (first = next.fetch_add(piece)) < r.n;)
        for (int64_t i = first; i < std::min(first + piece, r.n); ++i)
          r.counts[i] = draws.Of(i, r.k[i], r.found + starts[i]);
    });
    return 0;
  });
}
