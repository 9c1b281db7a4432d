// Tasks in groups that fill the lanes, with the keys of their words.
#pragma once
#include <algorithm>

#include "../kernels.h"
#include "lanes.h"

namespace evops {
namespace {

inline uint32_t BlockBits(const Scheme& scheme) {
  return scheme.reader == Reader::kDenseBlocks ? scheme.dense_blocks.block_bits : scheme.geometric_gaps.block_bits;
}

// kLanes tasks; lists are padded to whole groups with rows of no targets (synapse_reader.h).
struct Group {
  Group() = default;
  Group(const Tasks& tasks, int64_t first) {
    const bool numbered = IsNumbered(tasks.scheme), by_rank = IsByRank(tasks.scheme);
    const __m128i bits = _mm_cvtsi32_si128(numbered ? 0 : static_cast<int>(BlockBits(tasks.scheme)));
    t0 = Load(tasks.t0 + first);
    t1 = Load(tasks.t1 + first);
    pre = Load(tasks.pre + first);
    origin = Load(tasks.origin + first);
    const Lanes block = Load(tasks.block + first), begin = Left(block, bits);
    key = Feistel(pre, numbered ? Zero() : block, t0, t1);
    base = Add(origin, begin);
    shift = by_rank ? Zero() : origin;
    size = Lesser(Left(Set(1), bits), Subtract(Load(tasks.n + first), begin));
    leave_out = tasks.scheme.exclude_autapses ? Subtract(pre, begin) : Set(~uint32_t{0});
  }
  Key key;
  Lanes t0, t1, pre, origin, base, size, leave_out;  // leave_out: the autapse, counted from the block's begin
  Lanes shift;                                       // between what variates count and the counters given to the sink
};

// Groups of kLanes tasks, one after another. Keys of several groups are hashed together: unlike the synapses of a
// block, they do not wait for each other.
class Groups {
 public:
  explicit Groups(const Tasks& tasks) : tasks_(tasks) {}

  // Goes to the next group; false after the last one.
  bool Next() {
    first_ += kLanes;
    if (first_ >= tasks_.count) return false;
    if (first_ == hashed_) {
      const int64_t end = std::min(tasks_.count, first_ + kGroups * kLanes);
      for (; hashed_ < end; hashed_ += kLanes) groups_[hashed_ / kLanes % kGroups] = Group(tasks_, hashed_);
    }
    return true;
  }
  const Group& group() const { return groups_[first_ / kLanes % kGroups]; }
  int64_t first() const { return first_; }
  int64_t lanes() const { return std::min(kLanes, tasks_.count - first_); }

 private:
  static constexpr int64_t kGroups = kMaxTasks / kLanes;
  const Tasks& tasks_;
  int64_t first_ = -kLanes, hashed_ = 0;
  Group groups_[kGroups];
};

}  // namespace
}  // namespace evops
