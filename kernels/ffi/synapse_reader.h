// The synapses of rows: cut into tasks, drawn by the compiled readers, handed out in lists or added up at once.
//
// The way of a spike, from the handler to the loop that draws its synapses (evops_scatter, AVX2 or AVX-512):
//
//    evops_scatter -> Guarded -> its call     handler.h: no exception gets out
//      Scatter                                product.cc: reads and checks the operands
//        ScatterMatrices                      lists the neurons that fire; shares them out
//          Parallel -> its body               parallel.h: a part of them on each thread
//            ScatterRows                      a Row for each, with what it adds
//              RowBuffer::Add, Flush          row_buffers.h: up to 512 rows at a time
//                SynapseReader::Accumulate    here: rows -> tasks, a block of targets each
//                  Sum                        simd/sum.h: one pass , through a buffer in registers and L1
//                    ReadTasks                simd/readers.h: which reader
//                      ReadGapBlocks          groups of tasks, one for every lane
//                        ReadManyGaps         the loop; every synapse goes to Sums::Emit
//
//   row     the synapses of one pre neuron of one matrix
//   block   2^B targets in a row of W, or 1024 synapses where a row has them by number
//   task    one block of one row: what a reader is asked for at a time
//   list    the synapses of up to 64 tasks: target, owner (which task), variate, delay
//
// Without SIMD kernels, and for readers that have none, Accumulate goes through lists (Next), as do products from the
// other side and edges.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "schemes.h"
#include "scratch.h"

namespace evops {

// The synapses of a pre neuron of one matrix. Nothing is initialised by itself: buffers hold hundreds.
struct Row {
  uint32_t t0, t1, pre;
  int64_t origin, n_post;  // post neurons 0 … n_post - 1 lie at origin … origin + n_post - 1
  uint32_t base_slot;      // slot of the ring that a drawn delay of 0 means
  const uint32_t* indptr;  // running counts of the synapses of the rows of its matrix; null: the reader's table
};

// Room for a list.
struct Lists {
  Lists() = default;
  Lists(size_t capacity, bool variates, bool delays)
      : target(capacity),
        delay(delays ? capacity : 0),
        owner(capacity),
        z(variates ? capacity : 0),
        capacity(capacity) {}
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

// What synapses of a row add: x (a + b z) with their variates z; without such a law b is 0.
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

class SynapseReader {
 public:
  struct Table {
    const void* data;
    int64_t size;
  };

  // With a `ramp` the variates of SIMD kernels need no table (MatrixSpec).
  SynapseReader(const Scheme& scheme, Law law, Table table, Table quantiles, bool ramp = false, Delays delays = {})
      : scheme_(scheme),
        law_(law),
        table_(table),
        quantiles_(quantiles),
        looked_up_(ramp ? nullptr : static_cast<const int32_t*>(quantiles.data)),
        delays_(delays),
        draw_(KernelOf(scheme, law)) {}

  // Adds to sums[i] what `x` has at every synapse of row i, of `count` rows, times a + b z if `addend` says so; where x
  // is 0 nothing is added, whatever the weight.
  template <Addend addend, class T>
  void Collect(const Row* rows, int64_t count, const T* x, T a, T b, T* sums) {
    constexpr int64_t kSums = (kMaxTasks + kGroup - 1) / kGroup * kGroup;
    const auto dot = Element<T>::Dot();
    const bool in_one_pass = dot && IsSummable<T>();
    Begin(rows, count);
    Synapses list;
    while (in_one_pass ? NextTasks(kMaxTasks) : Next(&list)) {
      T of_task[kSums] = {};
      if (in_one_pass) {
        dot(TasksNow(), {x, of_task, a, b, looked_up_, addend});
      } else {
        const auto term = [&](int64_t j) -> T {
          const T value = x[list.target[j]];
          if constexpr (addend == Addend::kOne) return value;
          if (value == T(0)) return T(0);
          if constexpr (addend == Addend::kValue) return a * value;
          return (a + b * Cast<T>(list.z[j])) * value;
        };
        if (IsNumbered(scheme_)) {
          for (int64_t j = 0; j < list.count;) {
            const uint8_t task = list.owner[j];
            T strands[kStrands] = {};
            for (int64_t i = 0; j < list.count && list.owner[j] == task; ++i, ++j) strands[i % kStrands] += term(j);
            of_task[task] += SumOfStrands(strands);
          }
        } else {
          for (int64_t j = 0; j < list.count; ++j) of_task[list.owner[j]] += term(j);
        }
      }
      for (int64_t t = 0; t < tasks_; ++t) sums[row_[t]] += of_task[t];
    }
  }

  // Adds to `out` at every synapse of `count` rows: 1, or what values[i] says of row i. With delays (not for ones),
  // `out` is their ring.
  template <Addend addend, class T>
  void Accumulate(const Row* rows, const Value<T>* values, int64_t count, T* out) {
    const auto sum = Element<T>::Sum();
    const bool in_one_pass = sum && IsSummable<T>();
    delays_.base_slot = base_slot_;
    Begin(rows, count);
    Addends<T> addends;
    Synapses list;
    if (!in_one_pass) {
      while (Next(&list)) {
        const bool splits = LookUp<addend>(values, &addends);
        Add<addend>(list, addends, splits, out);
      }
      return;
    }
    while (NextTasks(IsPublished(scheme_) ? kGroup : kMaxTasks)) {
      if (LookUp<addend>(values, &addends)) {
        sum(TasksNow(), {out, addends.a, addends.b, looked_up_, addend, delays_});
      } else {  // a term would overflow on the way: drawn into a list, it is not taken apart
        list = Draw(Capacity(n_[0], tasks_));
        Add<addend>(list, addends, false, out);
      }
    }
  }

  // Starts with these rows, which must stay until the last list has come.
  void Begin(const Row* rows, int64_t count) {
    rows_ = rows;
    count_ = count;
    row_at_ = block_at_ = blocks_ = 0;
    // where rows differ in their targets or synapses, they may in their blocks
    alike_ = !IsCounted(scheme_);
    for (int64_t i = 1; i < count && alike_; ++i) alike_ = rows[i].n_post == rows[0].n_post;
    for (int64_t i = 0; i < (alike_ ? std::min<int64_t>(count, 1) : count); ++i)
      blocks_ = std::max(blocks_, BlocksOfRow(rows[i]));
  }

  // The next list; false after the last one. The synapses of a row come in the order of the sampler, those of different
  // rows may be mixed.
  bool Next(Synapses* list) {
    const int64_t at_once = IsInOneTask(scheme_) ? 1 : IsSparse(scheme_) ? kMaxTasks : kMaxTasks / 8;
    if (!NextTasks(at_once)) return false;
    *list = Draw(Capacity(n_[0], at_once));
    return true;
  }

 private:
  // kernels read whole groups of tasks; a block of targets rarely has more synapses, and kernels look at the room left
  // only after they wrote kSlack.
  static constexpr int64_t kGroup = 16, kBlockSynapses = 4096, kSlack = 64;

  // What the tasks of a list add: x a and x b, and both apart.
  template <class T>
  struct Addends {
    T a[kMaxTasks], b[kMaxTasks];
    Value<T> apart[kMaxTasks];
  };

  // Whether SIMD kernels add up in one pass: they have no integer weights that are drawn, nor any from a line's stream.
  template <class T>
  bool IsSummable() const {
    return (law_ == Law::kConstant || (law_ == Law::kQuantiles && std::is_floating_point_v<T>)) &&
           HasSum(scheme_.reader);
  }
  Tasks TasksNow() const {
    return {t0_, t1_, pre_, block_, origin_, n_, tasks_, scheme_, static_cast<const uint32_t*>(TableOfTasks().data)};
  }

  // Looks up what the tasks add; whether it splits into x a + x b z.
  template <Addend addend, class T>
  bool LookUp(const Value<T>* values, Addends<T>* addends) const {
    bool splits = true;
    if constexpr (addend != Addend::kOne) {
      for (int64_t j = 0; j < tasks_; ++j) {
        const Value<T> v = addends->apart[j] = values[row_[j]];
        addends->a[j] = v.x * v.a;
        addends->b[j] = v.x * v.b;
        if (addend == Addend::kVariate) splits = splits && v.Splits();
      }
    }
    return splits;
  }

  template <Addend addend, class T>
  void Add(const Synapses& list, const Addends<T>& addends, bool splits, T* out) const {
    for (int64_t j = 0; j < list.count; ++j) {
      const uint8_t task = list.owner[j];
      size_t at = list.target[j];
      if (list.delay) {
        const uint32_t slot = base_slot_[task] + std::min(list.delay[j], delays_.slots - 1);
        at += size_t{slot < delays_.slots ? slot : slot - delays_.slots} * delays_.width;
      }
      if constexpr (addend == Addend::kOne) ++out[at];
      if constexpr (addend == Addend::kValue) out[at] += addends.a[task];
      if constexpr (addend == Addend::kVariate) {
        const T z = Cast<T>(list.z[j]);
        const Value<T>& v = addends.apart[task];
        out[at] += splits ? addends.a[task] + addends.b[task] * z : v.x * (v.a + v.b * z);
      }
    }
  }

  // Lists of the braintaichi scheme are as long as a row, others as their blocks and what a kernel may write past the
  // end of a list before it looks.
  size_t Capacity(int64_t n_post, int64_t tasks) const {
    return tasks * (IsInOneTask(scheme_) ? n_post : kBlockSynapses) + kSlack;
  }

  // Where a row and the next one start among the synapses of a counted matrix.
  const uint32_t* StartsOf(const Row& row) const {
    return (row.indptr ? row.indptr : static_cast<const uint32_t*>(table_.data)) + row.pre;
  }
  // Synapses of a row whose number is known before they are drawn. A table at run time may be wrong: its counts may
  // fall, or be too large.
  int64_t CountOf(const Row& row) const {
    if (!IsCounted(scheme_)) return SynapsesOfRow(scheme_);
    const uint32_t* starts = StartsOf(row);
    return starts[1] > starts[0] ? std::min<int64_t>(starts[1] - starts[0], kMaxSynapses) : 0;
  }

  // What readers look up: the rule's table, or first synapse and number of synapses of each counted task.
  Table TableOfTasks() const { return IsCounted(scheme_) ? Table{counted_, 2 * tasks_} : table_; }

  int64_t BlocksOfRow(const Row& row) const {
    return row.n_post <= 0 ? 0 : BlocksOf(scheme_, row.n_post, CountOf(row));
  }

  // Cuts the next blocks into tasks, `most` of them at most; false where there are none left. All rows come block by
  // block, so that the targets of a block stay in the cache.
  bool NextTasks(int64_t most) {
    tasks_ = 0;
    for (; block_at_ < blocks_; ++block_at_, row_at_ = 0) {
      for (; row_at_ < count_; ++row_at_) {
        if (tasks_ == most) return Padded();
        if (alike_ || block_at_ < BlocksOfRow(rows_[row_at_])) AddTask(rows_[row_at_]);
      }
    }
    return Padded();
  }
  bool Padded() {
    for (int64_t j = tasks_; j % kGroup != 0; ++j)
      t0_[j] = t1_[j] = pre_[j] = block_[j] = origin_[j] = n_[j] = base_slot_[j] = 0;
    return tasks_ > 0;
  }
  void AddTask(const Row& row) {
    t0_[tasks_] = row.t0;
    t1_[tasks_] = row.t1;
    pre_[tasks_] = row.pre;
    block_[tasks_] = static_cast<uint32_t>(block_at_);
    origin_[tasks_] = static_cast<uint32_t>(row.origin);
    n_[tasks_] = static_cast<uint32_t>(row.n_post);
    base_slot_[tasks_] = row.base_slot;
    if (IsCounted(scheme_)) {
      counted_[2 * tasks_] = *StartsOf(row);
      counted_[2 * tasks_ + 1] = static_cast<uint32_t>(CountOf(row));
    }
    row_[tasks_++] = row_at_;
  }

  // The synapses of the tasks as a list, in room for `capacity` of them.
  Synapses Draw(size_t capacity) {
    const bool delayed = delays_.table != nullptr;
    if (lists_.capacity < capacity) {
      lists_ = {};  // before there is another
      lists_ = Lists(capacity, law_ != Law::kConstant, delayed);
    }
    int32_t produced = 0;
    Call(draw_, Array(t0_, tasks_), Array(t1_, tasks_), Array(pre_, tasks_), Array(block_, tasks_),
         Array(origin_, tasks_), Array(n_, tasks_), Array(scheme_.words(), kSchemeWords),
         Array(TableOfTasks().data, TableOfTasks().size), Array(lists_.target.get(), capacity),
         Array(lists_.owner.get(), capacity), Array(lists_.z.get(), lists_.z ? lists_.capacity : 0),
         Array(&produced, 1));
    if (law_ == Law::kQuantiles || delayed) {
      uint32_t shift[kMaxTasks];
      Shift(shift);
      if (law_ == Law::kQuantiles)
        CallWithSynapses(ActiveKernels().variate, shift, produced, Array(quantiles_.data, quantiles_.size),
                         Array(lists_.z.get(), produced));
      if (delayed)
        CallWithSynapses(ActiveKernels().delay, shift, produced, Array(delays_.table, int64_t{1} << delays_.bits),
                         Array(&delays_.bits, 1), Array(lists_.delay.get(), produced));
    }
    return {lists_.target.get(),
            lists_.owner.get(),
            lists_.z.get(),
            delayed ? lists_.delay.get() : nullptr,
            produced,
            row_,
            tasks_};
  }
  template <class... Rest>
  void CallWithSynapses(Kernel kernel, const uint32_t* shift, int64_t produced, const Rest&... rest) const {
    const uint32_t by_rank = IsByRank(scheme_);
    Call(kernel, Array(t0_, tasks_), Array(t1_, tasks_), Array(pre_, tasks_), Array(shift, tasks_), Array(&by_rank, 1),
         Array(lists_.target.get(), produced), Array(lists_.owner.get(), produced), rest...);
  }

  // What to take off the targets of each task, or off places in the list, to have the counters of variates: synapses by
  // number stand in the list one after another.
  void Shift(uint32_t* shift) const {
    uint32_t place = 0;
    for (int64_t j = 0; j < kMaxTasks; ++j) {
      shift[j] = 0;
      if (j >= tasks_) continue;
      shift[j] = origin_[j];
      if (!IsByRank(scheme_)) continue;
      const int64_t begin = block_[j] * kSynapsesPerBlock;
      shift[j] = place - static_cast<uint32_t>(begin);
      const int64_t count = IsCounted(scheme_) ? counted_[2 * j + 1] : SynapsesOfRow(scheme_);
      place += static_cast<uint32_t>(std::min(kSynapsesPerBlock, count - begin));
    }
  }

  Scheme scheme_;
  Law law_;
  Table table_, quantiles_;
  const int32_t* looked_up_;
  Delays delays_;
  Kernel draw_;
  Lists lists_;
  const Row* rows_ = nullptr;
  int64_t count_ = 0, blocks_ = 0, row_at_ = 0, block_at_ = 0;  // of the rows, and the next of them
  bool alike_ = false;                                          // all rows have so many blocks
  int64_t tasks_ = 0, row_[kMaxTasks];
  uint32_t t0_[kMaxTasks], t1_[kMaxTasks], pre_[kMaxTasks], block_[kMaxTasks], origin_[kMaxTasks], n_[kMaxTasks],
      base_slot_[kMaxTasks], counted_[2 * kMaxTasks];
};

}  // namespace evops
