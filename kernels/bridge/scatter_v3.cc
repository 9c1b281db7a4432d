// The scatter kernel by hand for x86-64-v3: kernels/scatter.py to the bit, in AVX2 intrinsics.
//
// What the compiled Taichi kernel cannot do: lanes of lines that have ended are squeezed out by one
// permutation, so that the end of a line costs no branch. Lists are padded to whole groups (lines.h).
#include "avx2.h"
#include "kernels.h"

namespace evops {
namespace {

constexpr int64_t kBuffer = 1024;

// Eight lines side by side, each at its next position.
class Walk {
 public:
  Walk(const uint32_t* scheme, const uint32_t* seed, const uint32_t* index, const uint32_t* base,
       const uint32_t* stop)
      : length_(Set(scheme[0])), multiplier_(Set(scheme[1])) {
    const __m256i line = evops::Add(Load(seed), Load(index));
    if (scheme[2]) {
      s1_ = Mix(line);
      s2_ = Mix(evops::Add(line, Set(0x243F6A88)));
      s3_ = Mix(evops::Add(line, Set(0x05A308D3)));
    } else {
      s1_ = evops::Add(line, Set(1));
      s2_ = evops::Add(line, Set(7));
      s3_ = evops::Add(line, Set(15));
    }
    at_ = _mm256_sub_epi32(Load(base), Set(1));
    stop_ = Load(stop);
    Advance();
  }

  __m256i at() const { return at_; }

  // Lines that have not ended.
  uint32_t Alive() const {
    const __m256i sign = Set(0x80000000u);  // AVX2 compares signed numbers only
    const __m256i below = _mm256_cmpgt_epi32(Xor(stop_, sign), Xor(at_, sign));
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(below)));
  }

  void Advance() {
    s1_ = Xor(Left<13>(Right<1>(s1_)), Right<19>(Xor(Left<13>(s1_), s1_)));
    s2_ = Xor(Left<7>(Right<3>(s2_)), Right<25>(Xor(Left<2>(s2_), s2_)));
    s3_ = Xor(Left<21>(Right<4>(s3_)), Right<11>(Xor(Left<3>(s3_), s3_)));
    const __m256i word = Xor(Xor(s1_, s2_), s3_);
    // the remainder of kernels/walk.py: an estimate of the quotient, right or one too small
    const __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(word, multiplier_), 32);
    const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(word, 32), multiplier_);
    const __m256i quotient = _mm256_blend_epi32(even, odd, 0xAA);
    const __m256i rest = _mm256_sub_epi32(word, _mm256_mullo_epi32(quotient, length_));
    const __m256i gap = _mm256_min_epu32(rest, _mm256_sub_epi32(rest, length_));
    at_ = evops::Add(at_, evops::Add(gap, Set(1)));
  }

  // A line that has ended stays at its end.
  void Hold() { at_ = _mm256_min_epu32(at_, stop_); }

 private:
  __m256i length_, multiplier_, s1_, s2_, s3_, at_, stop_;
};

template <class T>
void Scatter(RuntimeContext* context) {
  const Array* arrays = static_cast<const Array*>(context->arguments);
  const auto words = [&](int k) { return static_cast<const uint32_t*>(arrays[k].data); };
  const T* value = static_cast<const T*>(arrays[4].data);
  T* out = static_cast<T*>(arrays[6].data);
  uint32_t target[kBuffer], lane[kBuffer];
  for (int64_t first = 0; first < arrays[4].size; first += kLanes) {
    Walk walk(words(5), words(0) + first, words(1) + first, words(2) + first, words(3) + first);
    T v[kLanes];
    for (int64_t l = 0; l < kLanes; ++l) v[l] = value[first + l];
    uint32_t alive;
    while ((alive = walk.Alive()) == 255) {
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
      const __m256i keep = Load(kKeep.lanes[alive]);
      Store(target + count, _mm256_permutevar8x32_epi32(walk.at(), keep));
      Store(lane + count, keep);
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
void evops_scatter_i32_x86_64_v3(RuntimeContext* context) { Scatter<int32_t>(context); }
void evops_scatter_f32_x86_64_v3(RuntimeContext* context) { Scatter<float>(context); }
void evops_scatter_f64_x86_64_v3(RuntimeContext* context) { Scatter<double>(context); }
}

}  // namespace evops
