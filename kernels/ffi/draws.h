// Synapses of lines, drawn block by block by the compiled readers (kernels/draw.py) and handed out in lists.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "kernels.h"
#include "scratch.h"

namespace evops {

inline Law LawOf(const MatrixSpec& spec) { return static_cast<Law>(spec.law); }
inline bool IsPublished(const Scheme& s) { return s.reader == Reader::kUniformGaps; }
inline bool IsCounted(const Scheme& s) { return s.reader == Reader::kCountedRows; }
// Whether a block has a few synapses only.
inline bool IsSparse(const Scheme& s) { return s.reader == Reader::kGeometricGaps || s.reader == Reader::kDiagonal; }
// Whether variates belong to the synapses of a row by number, not by post neuron.
inline bool IsByRank(const Scheme& s) {
  return IsCounted(s) || (s.reader == Reader::kEqualRows && s.equal_rows.domain_bits == 0);
}

struct Line {
  uint32_t t0, t1, pre;
  int64_t origin, n;  // post neurons 0 … n - 1 lie at origin … origin + n - 1
  uint32_t late = 0;  // slot that a delay of 0 would mean (Delays)
  const uint32_t* starts = nullptr;  // of counted lines, where there are several matrices; else the table
};

// A list of synapses: target, owner (which of the lines in `line`), and variate and delay where they are drawn.
struct Synapses {
  const uint32_t* target;
  const uint8_t* owner;
  const float* z;
  const uint32_t* delay;
  int64_t count;
  const int64_t* line;
  int64_t lines;
};

// Room for a list.
struct Lists {
  Lists() = default;
  Lists(size_t capacity, bool variates, bool delays)
      : target(capacity), delay(delays ? capacity : 0), owner(capacity), z(variates ? capacity : 0), capacity(capacity) {}
  Room<uint32_t> target, delay;
  Room<uint8_t> owner;
  Room<float> z;
  size_t capacity = 0;
};

template <class T>
bool Finite(T x) {
  if constexpr (std::is_floating_point_v<T>) return std::isfinite(x);
  return true;
}

// A variate, which may be negative.
template <class T>
T Cast(float z) {
  using Signed = std::conditional_t<std::is_integral_v<T>, int32_t, T>;
  return static_cast<T>(static_cast<Signed>(z));
}

// What synapses of a line add: x (a + b z) with their variates z; without such a law b is 0.
template <class T>
struct Value {
  T x, a, b;

  // Whether x a + x b z is that for any z that a law gives, which is below 2^31: neither overflows on the way.
  bool Splits() const {
    if constexpr (std::is_floating_point_v<T>) {
      constexpr T kMost = std::numeric_limits<T>::max() / 4, kMostOfVariates = kMost / (int64_t{1} << 31);
      return std::abs(a) <= kMost && std::abs(x * a) <= kMost && std::abs(b) <= kMostOfVariates &&
             std::abs(x * b) <= kMostOfVariates;
    }
    return true;
  }
};

class Draws {
 public:
  static constexpr int64_t kMaxTasks = 64;  // in one list

  struct Table {
    const void* data;
    int64_t size;
  };

  Draws(const Scheme& scheme, Law law, Table table, Table quantiles, Delays delays = {})
      : scheme_(scheme), law_(law), table_(table), quantiles_(quantiles), delays_(delays),
        draw_(KernelOf(scheme, law)) {}

  // Adds to `out` at every synapse of lines [0, count): 1, or what the Value value(i) says for line i. With
  // delays (not for ones), `out` is their ring.
  template <Addend addend, class T, class LineOf, class ValueOf>
  void AddUp(int64_t count, LineOf line, ValueOf value, T* out) {
    const auto sum = Element<T>::Sum();
    const bool by_hand = sum && (law_ == Law::kConstant || std::is_floating_point_v<T>) &&
                         HasSum(scheme_.reader);
    Value<T> values[kMaxTasks];
    T a[kMaxTasks], b[kMaxTasks];
    // Looks up what the tasks of a list add; whether it splits.
    const auto look_up = [&] {
      bool splits = true;
      if constexpr (addend != Addend::kOne) {
        for (int64_t j = 0; j < tasks_; ++j) {
          const Value<T> v = values[j] = value(line_[j]);
          a[j] = v.x * v.a;
          b[j] = v.x * v.b;
          if (addend == Addend::kVariate) splits = splits && v.Splits();
        }
      }
      return splits;
    };
    const auto add = [&](const Synapses& list, bool splits) {
      for (int64_t j = 0; j < list.count; ++j) {
        const uint8_t l = list.owner[j];
        size_t at = list.target[j];
        if (list.delay) {
          const uint32_t slot = late_[l] + std::min(list.delay[j], delays_.slots - 1);
          at += size_t{slot < delays_.slots ? slot : slot - delays_.slots} * delays_.width;
        }
        if constexpr (addend == Addend::kOne) ++out[at];
        if constexpr (addend == Addend::kValue) out[at] += a[l];
        if constexpr (addend == Addend::kVariate) {
          const T z = Cast<T>(list.z[j]);
          out[at] += splits ? a[l] + b[l] * z : values[l].x * (values[l].a + values[l].b * z);
        }
      }
    };
    delays_.late = late_;
    if (!by_hand) return Run(count, line, [&](const Synapses& list) { add(list, look_up()); });
    ForEachList(count, line, kMaxTasks, [&](int64_t line_size) {
      if (!look_up()) return Draw(Capacity(line_size, tasks_), [&](const Synapses& list) { add(list, false); });
      sum({t0_, t1_, pre_, block_, origin_, n_, tasks_, scheme_, static_cast<const uint32_t*>(TableOfTasks().data)},
          {out, a, b, static_cast<const int32_t*>(quantiles_.data), addend, delays_});
    });
  }

  // Calls consume(Synapses) for all synapses of lines [0, count); line(i) gives line i. The synapses
  // of a line come in the order of the sampler; those of different lines may be mixed.
  template <class LineOf, class Consume>
  void Run(int64_t count, LineOf line, Consume consume) {
    const int64_t at_once = IsPublished(scheme_) ? 1 : IsSparse(scheme_) ? kMaxTasks : kMaxTasks / 8;
    ForEachList(count, line, at_once, [&](int64_t line_size) { Draw(Capacity(line_size, at_once), consume); });
  }

 private:
  static constexpr int64_t kGroup = 16, kLinesAtOnce = 512, kBlockSynapses = 4096, kSlack = 64;

  // Lists of the published scheme are as long as a line, others as their blocks and what a kernel may
  // write past the end of a list before it looks.
  size_t Capacity(int64_t line_size, int64_t tasks) const {
    return (IsPublished(scheme_) ? line_size : tasks * kBlockSynapses) + kSlack;
  }

  static Kernel KernelOf(const Scheme& scheme, Law law) {
    const Kernels& k = ActiveKernels();
    if (law == Law::kLfsrUniform) return k.draw_uniform_gaps_uniform;
    if (law == Law::kLfsrNormal) return k.draw_uniform_gaps_normal;
    switch (scheme.reader) {
      case Reader::kGeometricGaps: return k.draw_geometric_gaps;
      case Reader::kDenseBlocks: return k.draw_dense_blocks;
      case Reader::kEqualRows: return k.draw_equal_rows;
      case Reader::kDiagonal: return k.draw_diagonal;
      case Reader::kCountedRows: return k.draw_counted_rows;
      case Reader::kUniformGaps: return k.draw_uniform_gaps;
    }
    return nullptr;  // schemes have been checked
  }

  // Whether the kernels by hand draw and add up in one pass.
  static bool HasSum(Reader reader) {
    return reader == Reader::kGeometricGaps || reader == Reader::kDenseBlocks || reader == Reader::kCountedRows;
  }

  // Where a counted line and the next one start among the synapses of their matrix.
  const uint32_t* StartsOf(const Line& l) const {
    return (l.starts ? l.starts : static_cast<const uint32_t*>(table_.data)) + l.pre;
  }
  // Synapses of a line whose number is known before they are drawn.
  int64_t CountOf(const Line& l) const {
    if (!IsCounted(scheme_)) return scheme_.equal_rows.k;
    const uint32_t* starts = StartsOf(l);
    return starts[1] > starts[0] ? std::min<int64_t>(starts[1] - starts[0], kMaxSynapses) : 0;
  }

  // What readers look up: the table of the scheme, or first synapse and number of synapses of each counted task.
  Table TableOfTasks() const { return IsCounted(scheme_) ? Table{counted_, 2 * tasks_} : table_; }

  int64_t BlocksOf(const Line& line) const {
    if (line.n <= 0) return 0;
    switch (scheme_.reader) {
      case Reader::kDenseBlocks: {
        const DenseBlocks& dense = scheme_.dense_blocks;
        if (dense.threshold == 0 && dense.tie_threshold == 0) return 0;
        return ((line.n - 1) >> dense.block_bits) + 1;
      }
      case Reader::kGeometricGaps: return ((line.n - 1) >> scheme_.geometric_gaps.block_bits) + 1;
      case Reader::kEqualRows:
      case Reader::kCountedRows: return (CountOf(line) + kSynapsesPerBlock - 1) / kSynapsesPerBlock;
      default: return 1;
    }
  }

  void Put(const Line& l, int64_t block, int64_t i) {
    t0_[tasks_] = l.t0;
    t1_[tasks_] = l.t1;
    pre_[tasks_] = l.pre;
    block_[tasks_] = static_cast<uint32_t>(block);
    origin_[tasks_] = static_cast<uint32_t>(l.origin);
    n_[tasks_] = static_cast<uint32_t>(l.n);
    late_[tasks_] = l.late;
    if (IsCounted(scheme_)) {
      counted_[2 * tasks_] = *StartsOf(l);
      counted_[2 * tasks_ + 1] = static_cast<uint32_t>(CountOf(l));
    }
    line_[tasks_++] = i;
  }

  // Calls flush(n of a line) with each list of tasks; targets stay in the cache.
  template <class LineOf, class Flush>
  void ForEachList(int64_t count, LineOf line, int64_t at_once, Flush flush) {
    tasks_ = 0;
    int64_t n = 0;
    const auto pad_and_flush = [&] {
      if (tasks_ == 0) return;
      for (int64_t j = tasks_; j % kGroup != 0; ++j)  // kernels may read whole groups
        t0_[j] = t1_[j] = pre_[j] = block_[j] = origin_[j] = n_[j] = late_[j] = 0;
      flush(n);
      tasks_ = 0;
    };
    for (int64_t first = 0; first < count; first += kLinesAtOnce) {
      const int64_t last = std::min(count, first + kLinesAtOnce);
      int64_t blocks = 0;
      for (int64_t i = first; i < last; ++i) blocks = std::max(blocks, BlocksOf(line(i)));
      for (int64_t b = 0; b < blocks; ++b) {
        for (int64_t i = first; i < last; ++i) {
          const Line& l = line(i);
          if (b >= BlocksOf(l)) continue;
          Put(l, b, i);
          n = l.n;
          if (tasks_ == at_once) pad_and_flush();
        }
      }
      pad_and_flush();
    }
  }

  template <class Consume>
  void Draw(size_t capacity, Consume consume) {
    const bool delayed = delays_.table != nullptr;
    if (lists_.capacity < capacity) {
      lists_ = {};  // before there is another
      lists_ = Lists(capacity, law_ != Law::kConstant, delayed);
    }
    const Lists& lists = lists_;
    int32_t produced = 0;
    Call(draw_, Array(t0_, tasks_), Array(t1_, tasks_), Array(pre_, tasks_), Array(block_, tasks_),
         Array(origin_, tasks_), Array(n_, tasks_), Array(scheme_.words(), kSchemeWords),
         Array(TableOfTasks().data, TableOfTasks().size), Array(lists.target.get(), capacity),
         Array(lists.owner.get(), capacity), Array(lists.z.get(), lists.z ? lists.capacity : 0), Array(&produced, 1));
    if (law_ == Law::kQuantiles || delayed) {
      uint32_t shift[kMaxTasks];
      Shift(shift);
      const uint32_t by_place = IsByRank(scheme_);
      const auto draw = [&](Kernel kernel, auto... rest) {
        Call(kernel, Array(t0_, tasks_), Array(t1_, tasks_), Array(pre_, tasks_), Array(shift, tasks_),
             Array(&by_place, 1), Array(lists.target.get(), produced), Array(lists.owner.get(), produced), rest...);
      };
      if (law_ == Law::kQuantiles)
        draw(ActiveKernels().variate, Array(quantiles_.data, quantiles_.size), Array(lists.z.get(), produced));
      if (delayed)
        draw(ActiveKernels().delay, Array(delays_.table, int64_t{1} << delays_.bits), Array(&delays_.bits, 1),
             Array(lists.delay.get(), produced));
    }
    consume(Synapses{lists.target.get(), lists.owner.get(), lists.z.get(), delayed ? lists.delay.get() : nullptr,
                     produced, line_, tasks_});
  }

  // What to take off the targets of each task, or off places in the list, to have the counters of variates:
  // numbered synapses stand in the list one after another.
  void Shift(uint32_t* shift) const {
    uint32_t place = 0;
    for (int64_t j = 0; j < kMaxTasks; ++j) {
      shift[j] = 0;
      if (j >= tasks_) continue;
      shift[j] = origin_[j];
      if (!IsByRank(scheme_)) continue;
      const int64_t begin = block_[j] * kSynapsesPerBlock;
      shift[j] = place - static_cast<uint32_t>(begin);
      const int64_t count = IsCounted(scheme_) ? counted_[2 * j + 1] : scheme_.equal_rows.k;
      place += static_cast<uint32_t>(std::min(kSynapsesPerBlock, count - begin));
    }
  }

  Scheme scheme_;
  Law law_;
  Table table_, quantiles_;
  Delays delays_;
  Kernel draw_;
  Lists lists_;
  int64_t tasks_ = 0, line_[kMaxTasks];
  uint32_t t0_[kMaxTasks], t1_[kMaxTasks], pre_[kMaxTasks], block_[kMaxTasks], origin_[kMaxTasks],
      n_[kMaxTasks], late_[kMaxTasks], counted_[2 * kMaxTasks];
};

}  // namespace evops
