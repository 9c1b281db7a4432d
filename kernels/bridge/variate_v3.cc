// The variates of a list by hand for x86-64-v3: kernels/draw.py's `variate` to the bit, in AVX2. Reads and
// writes whole groups of eight: lists have room for that (draws.h).
#include "avx2.h"
#include "kernels.h"

namespace evops {
namespace {

constexpr int64_t kTasks = 64;  // arrays of tasks have room for these

struct Pairs {  // two words each of eight entries, looked up together
  __m256i first, second;
};

inline Pairs LookUp(const void* pairs, __m256i at, __m256i from) {
  const long long* base = static_cast<const long long*>(pairs);
  const __m256i low = _mm256_i32gather_epi64(base, _mm256_castsi256_si128(at), 4);
  const __m256i high = _mm256_i32gather_epi64(base, _mm256_extracti128_si256(at, 1), 4);
  const __m256 a = _mm256_castsi256_ps(low), b = _mm256_castsi256_ps(high);
  // words of the pairs 0 1 4 5 | 2 3 6 7, then in order
  const __m256i first = _mm256_castps_si256(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)));
  const __m256i second = _mm256_castps_si256(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)));
  return {_mm256_permutevar8x32_epi32(first, from), _mm256_permutevar8x32_epi32(second, from)};
}

void Variate(const Array* arrays) {
  const auto words = [&](int k) { return static_cast<const uint32_t*>(arrays[k].data); };
  const uint8_t* owners = static_cast<const uint8_t*>(arrays[5].data);
  const int32_t* quantiles = static_cast<const int32_t*>(arrays[6].data);
  float* z = static_cast<float*>(arrays[7].data);
  const __m256i order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
  const __m256i last_slot = Set(1023), zero = _mm256_setzero_si256();
  // counter at post 0 and second key word of every task
  uint32_t key_of[kTasks][2], start[kLanes], second[kLanes], origin[kTasks] = {};
  bool shifted = false;
  for (int64_t j = 0; j < arrays[2].size; j += kLanes) {
    const Key key = Feistel(Load(words(2) + j), Set(kLine), Load(words(0) + j), Load(words(1) + j));
    Store(start, Add(key.k0, Set(kWeight)));
    Store(second, key.k1);
    for (int64_t l = 0; l < kLanes; ++l) {
      key_of[j + l][0] = start[l];
      key_of[j + l][1] = second[l];
      origin[j + l] = words(3)[j + l];
      shifted = shifted || origin[j + l] != 0;
    }
  }
  for (int64_t s = 0; s < arrays[4].size; s += kLanes) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(owners + s));
    const __m256i owner = _mm256_and_si256(_mm256_cvtepu8_epi32(bytes), Set(kTasks - 1));
    const Pairs key = LookUp(key_of, Left<1>(owner), order);
    __m256i post = Load(words(4) + s);
    if (shifted)
      post = _mm256_sub_epi32(post, _mm256_i32gather_epi32(reinterpret_cast<const int*>(origin), owner, 4));
    const __m256i word = Word(Add(key.first, _mm256_mullo_epi32(post, Set(kWeyl))), key.second);
    // the sampler's `slot` and `between`
    const __m256i main = Right<22>(word);
    const __m256i part = _mm256_and_si256(Right<12>(word), last_slot);
    const __m256i last = _mm256_cmpeq_epi32(main, last_slot);
    const __m256i tail = _mm256_or_si256(last, _mm256_cmpeq_epi32(main, zero));
    const __m256i in_tail = Add(part, Add(Set(1025), _mm256_and_si256(last, Set(1025))));
    const __m256i at = _mm256_blendv_epi8(main, in_tail, tail);
    const __m256i fine = _mm256_and_si256(Right<2>(word), last_slot);
    const __m256i share = _mm256_blendv_epi8(part, fine, tail);
    const Pairs knot = LookUp(quantiles, at, order);
    const __m256i rise = _mm256_mullo_epi32(_mm256_sub_epi32(knot.second, knot.first), share);
    _mm256_storeu_ps(z + s, _mm256_cvtepi32_ps(Add(knot.first, Right<10>(rise))));
  }
}

}  // namespace

extern "C" void evops_variate_x86_64_v3(RuntimeContext* context) {
  Variate(static_cast<const Array*>(context->arguments));
}

}  // namespace evops
