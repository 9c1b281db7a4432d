// The scatter kernel by hand: bit-identical to kernels/scatter.py.
//
// What the compiled Taichi kernel cannot do: lanes of lines that have ended are squeezed out by one
// permutation, so that the end of a line costs no branch. Lists are padded to whole groups (row_buffers.h).
#include "../kernels.h"
#include "lanes.h"

namespace evops {
namespace {

constexpr int64_t kBuffer = 1024;

// Lines side by side, each at its next position.
class Walk {
 public:
  Walk(const UniformGaps& gaps, const uint32_t* seed, const uint32_t* index, const uint32_t* base, const uint32_t* stop)
      : length_(Set(gaps.clen)), multiplier_(Set(gaps.reciprocal)) {
    const Lanes line = evops::Add(Load(seed), Load(index));
    if (gaps.hashed) {
      s1_ = Mix(line);
      s2_ = Mix(evops::Add(line, Set(kPi0)));
      s3_ = Mix(evops::Add(line, Set(kPi1)));
    } else {
      s1_ = evops::Add(line, Set(1));
      s2_ = evops::Add(line, Set(7));
      s3_ = evops::Add(line, Set(15));
    }
    at_ = Subtract(Load(base), Set(1));
    stop_ = Load(stop);
    Advance();
  }

  Lanes at() const { return at_; }

  // Lines that have not ended.
  uint32_t Alive() const {
    const Lanes sign = Set(0x80000000u);  // signed numbers are compared
    return Bits(Less(Xor(at_, sign), Xor(stop_, sign)));
  }

  void Advance() {
    s1_ = Xor(Left<13>(Right<1>(s1_)), Right<19>(Xor(Left<13>(s1_), s1_)));
    s2_ = Xor(Left<7>(Right<3>(s2_)), Right<25>(Xor(Left<2>(s2_), s2_)));
    s3_ = Xor(Left<21>(Right<4>(s3_)), Right<11>(Xor(Left<3>(s3_), s3_)));
    const Lanes word = Xor(Xor(s1_, s2_), s3_);
    // the remainder of kernels/sampler_ti.py: an estimate of the quotient, right or one too small
    const Lanes rest = Subtract(word, Multiply(High(word, multiplier_), length_));
    const Lanes gap = Lesser(rest, Subtract(rest, length_));
    at_ = evops::Add(at_, evops::Add(gap, Set(1)));
  }

  // A line that has ended stays at its end.
  void Hold() { at_ = Lesser(at_, stop_); }

 private:
  Lanes length_, multiplier_, s1_, s2_, s3_, at_, stop_;
};

template <class T>
void Scatter(RuntimeContext* context) {
  const Array* arrays = static_cast<const Array*>(context->arguments);
  const auto words = [&](int k) { return static_cast<const uint32_t*>(arrays[k].data); };
  const T* value = static_cast<const T*>(arrays[4].data);
  T* out = static_cast<T*>(arrays[6].data);
  uint32_t target[kBuffer], lane[kBuffer];
  for (int64_t first = 0; first < arrays[4].size; first += kLanes) {
    Walk walk(static_cast<const Scheme*>(arrays[5].data)->uniform_gaps, words(0) + first, words(1) + first,
              words(2) + first, words(3) + first);
    T v[kLanes];
    for (int64_t l = 0; l < kLanes; ++l) v[l] = value[first + l];
    uint32_t alive;
    while ((alive = walk.Alive()) == kAllLanes) {
      Store(target, walk.at());
      walk.Advance();
      for (int64_t l = 0; l < kLanes; ++l) out[target[l]] += v[l];
    }
    int64_t count = 0;
    const auto flush = [&] {
      for (int64_t k = 0; k < count; ++k) out[target[k]] += v[lane[k]];
      count = 0;
    };
    for (; alive; alive = walk.Alive()) {
      Store(target + count, Squeeze(walk.at(), alive));
      Store(lane + count, Squeeze(Count(), alive));
      count += __builtin_popcount(alive);
      if (count > kBuffer - kLanes) flush();
      walk.Hold();
      walk.Advance();
    }
    flush();
  }
}

}  // namespace

extern "C" {
void EVOPS_SYMBOL(scatter_i32)(RuntimeContext* context) { Scatter<int32_t>(context); }
void EVOPS_SYMBOL(scatter_f32)(RuntimeContext* context) { Scatter<float>(context); }
void EVOPS_SYMBOL(scatter_f64)(RuntimeContext* context) { Scatter<double>(context); }
}

}  // namespace evops
