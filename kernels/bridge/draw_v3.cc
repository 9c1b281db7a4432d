// The readers of gaps and of dense blocks by hand for x86-64-v3: kernels/draw.py to the bit, in AVX2.
//
// Gaps: eight blocks side by side, one in each lane; lanes whose draw names no synapse, or whose block has
// ended, are squeezed out by one permutation. Dense: 32 targets at once. No branch depends on a draw, but
// for the ends of blocks and the bytes that need a second word.
#include <algorithm>

#include "avx2.h"
#include "kernels.h"

namespace evops {
namespace {

// The arguments of a draw kernel (kernels/draw.py).
struct Arguments {
  explicit Arguments(const RuntimeContext* context) : arrays(static_cast<const Array*>(context->arguments)) {}
  const Array* arrays;
  const uint32_t *t0 = Words(0), *t1 = Words(1), *pre = Words(2), *block = Words(3), *origin = Words(4),
                 *n = Words(5), *scheme = Words(6), *table = Words(7);
  int32_t tasks() const { return arrays[5].size; }
  uint32_t* target() const { return static_cast<uint32_t*>(arrays[8].data); }
  int64_t capacity() const { return arrays[8].size; }
  uint8_t* owner() const { return static_cast<uint8_t*>(arrays[9].data); }
  void Produced(int64_t count) const { *static_cast<int32_t*>(arrays[11].data) = static_cast<int32_t>(count); }
  const uint32_t* Words(int k) const { return static_cast<const uint32_t*>(arrays[k].data); }
};

// An alias table of 2**bits outcomes.
class AliasTable {
 public:
  AliasTable(const uint32_t* table, uint32_t bits)
      : table_(reinterpret_cast<const int*>(table)), shift_(_mm_cvtsi32_si128(32 - bits)),
        low_(Set((uint32_t{1} << (32 - bits)) - 1)) {}

  __m256i Draw(__m256i word) const {
    const __m256i entry = _mm256_i32gather_epi32(table_, _mm256_srl_epi32(word, shift_), 4);
    const __m256i keep = _mm256_cmpgt_epi32(_mm256_and_si256(entry, low_), _mm256_and_si256(word, low_));
    return _mm256_srl_epi32(_mm256_blendv_epi8(entry, word, keep), shift_);
  }

 private:
  const int* table_;
  __m128i shift_;
  __m256i low_;
};

inline uint32_t Bits(__m256i mask) {
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(mask)));
}

// Eight tasks; lists are padded to whole groups with lines of no targets (draws.h).
struct Group {
  Group() = default;
  Group(const Arguments& c, int32_t first) {
    const __m128i bits = _mm_cvtsi32_si128(static_cast<int>(c.scheme[2]));
    const __m256i pre = Load(c.pre + first), block = Load(c.block + first);
    const __m256i begin = _mm256_sll_epi32(block, bits);
    key = Feistel(pre, block, Load(c.t0 + first), Load(c.t1 + first));
    base = Add(Load(c.origin + first), begin);
    size = _mm256_min_epu32(_mm256_sll_epi32(Set(1), bits), _mm256_sub_epi32(Load(c.n + first), begin));
    leave_out = c.scheme[1] ? _mm256_sub_epi32(pre, begin) : Set(~uint32_t{0});
  }
  Key key;
  __m256i base, size, leave_out;  // leave_out: the autapse, counted from the block's begin
};

template <bool kTwoDigits, bool kAutapses>
int64_t DrawGaps(const Arguments& c, const Group& g, int32_t first, int64_t at) {
  const uint32_t high = c.scheme[3], low = c.scheme[4];
  const AliasTable high_table(c.table, high), low_table(c.table + (int64_t{1} << high), kTwoDigits ? low : 10);
  const __m256i restart = Set((uint32_t{1} << high) - 1), one = Set(1), weyl = Set(kWeyl);
  const __m128i low_shift = _mm_cvtsi32_si128(static_cast<int>(low));
  __m256i counter = g.key.k0, next = _mm256_setzero_si256();
  const uint64_t owners_of_first = 0x0101010101010101 * static_cast<uint64_t>(first);
  uint32_t alive;
  uint32_t* target = c.target();
  uint8_t* owner = c.owner();
  // counts inside a block are below 2**24: signed comparisons do
  while ((alive = Bits(_mm256_cmpgt_epi32(g.size, next))) != 0 && at + kLanes <= c.capacity()) {
    __m256i gap = high_table.Draw(Word(counter, g.key.k1));
    const __m256i nothing = _mm256_cmpeq_epi32(gap, restart);
    counter = Add(counter, weyl);
    if (kTwoDigits) {
      const __m256i part = low_table.Draw(Word(counter, g.key.k1));
      counter = Add(counter, weyl);
      gap = Add(_mm256_sll_epi32(gap, low_shift), _mm256_andnot_si256(nothing, part));
    }
    const __m256i post = Add(next, gap);
    __m256i hit = _mm256_andnot_si256(nothing, _mm256_cmpgt_epi32(g.size, post));
    if (!kAutapses) hit = _mm256_andnot_si256(_mm256_cmpeq_epi32(post, g.leave_out), hit);
    // one past the synapse, or as far as nothing was found; a block that has ended stays there
    next = _mm256_min_epu32(Add(post, Add(one, nothing)), Set(uint32_t{1} << 23));
    const uint32_t mask = Bits(hit);
    // always: a branch on what was drawn would cost more
    Store(target + at, _mm256_permutevar8x32_epi32(Add(g.base, post), Load(kKeep.lanes[mask])));
    const uint64_t owners = owners_of_first + kKeep.bytes[mask];
    __builtin_memcpy(owner + at, &owners, 8);
    at += _mm_popcnt_u32(mask);
  }
  return at;
}

int64_t DrawDense(const Arguments& c, const Group& g, int32_t first, int64_t at) {
  const uint32_t whole = c.scheme[3], rest = c.scheme[4];
  alignas(32) uint32_t k0[kLanes], k1[kLanes], base[kLanes], size[kLanes], leave_out[kLanes];
  Store(k0, g.key.k0);
  Store(k1, g.key.k1);
  Store(base, g.base);
  Store(size, g.size);
  Store(leave_out, g.leave_out);
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i step = _mm256_mullo_epi32(lanes, Set(kWeyl));
  const __m256i threshold = _mm256_set1_epi8(static_cast<char>(whole)), all = Set(whole > 255 ? ~uint32_t{0} : 0);
  uint32_t* target = c.target();
  uint8_t* owner = c.owner();
  for (int64_t l = 0; l < std::min<int64_t>(kLanes, c.tasks() - first); ++l) {
    __m256i counter = Add(Set(k0[l]), step);
    const __m256i key1 = Set(k1[l]);
    for (uint32_t j = 0; j < size[l] && at + 32 + kLanes <= c.capacity(); j += 32) {
      const __m256i word = Word(counter, key1);
      counter = Add(counter, Set(8 * kWeyl));
      const __m256i equal = _mm256_cmpeq_epi8(word, threshold);
      const __m256i reach = _mm256_cmpeq_epi8(_mm256_max_epu8(word, threshold), word);  // word >= threshold
      uint32_t hits = ~static_cast<uint32_t>(_mm256_movemask_epi8(reach));
      uint32_t ties = static_cast<uint32_t>(_mm256_movemask_epi8(equal));
      if (whole > 255) {
        hits = static_cast<uint32_t>(_mm256_movemask_epi8(all));
        ties = 0;
      }
      for (; ties; ties &= ties - 1) {
        const uint32_t bit = static_cast<uint32_t>(__builtin_ctz(ties));
        const __m256i tie = Word(Set(k0[l] + kTie + (j + bit) * kWeyl), key1);
        hits |= static_cast<uint32_t>(static_cast<uint32_t>(_mm256_cvtsi256_si32(tie)) < rest) << bit;
      }
      if (size[l] - j < 32) hits &= (uint32_t{1} << (size[l] - j)) - 1;
      if (leave_out[l] - j < 32) hits &= ~(uint32_t{1} << (leave_out[l] - j));
      for (uint32_t part = 0; part < 32; part += 8) {
        const uint32_t mask = hits >> part & 255;
        Store(target + at, Add(Set(base[l] + j + part), Load(kKeep.lanes[mask])));
        const uint64_t owners = 0x0101010101010101 * static_cast<uint64_t>(first + l);
        __builtin_memcpy(owner + at, &owners, 8);
        at += __builtin_popcount(mask);
      }
    }
  }
  return at;
}

using Reader = int64_t (*)(const Arguments&, const Group&, int32_t, int64_t);

// Keys come first, for many groups: they do not wait for each other, as synapses of a block do.
void DrawAll(RuntimeContext* context, Reader read) {
  constexpr int32_t kGroups = 8;
  const Arguments c(context);
  int64_t at = 0;
  for (int32_t first = 0; first < c.tasks(); first += kGroups * kLanes) {
    const int32_t last = std::min<int32_t>(c.tasks(), first + kGroups * kLanes);
    Group groups[kGroups];
    for (int32_t task = first; task < last; task += kLanes) groups[(task - first) / kLanes] = Group(c, task);
    for (int32_t task = first; task < last; task += kLanes)
      at = read(c, groups[(task - first) / kLanes], task, at);
  }
  c.Produced(at);
}

}  // namespace

extern "C" {
void evops_draw_gaps_x86_64_v3(RuntimeContext* context) {
  const Arguments c(context);
  const bool autapses = c.scheme[1] == 0;
  if (c.scheme[4]) return DrawAll(context, autapses ? DrawGaps<true, true> : DrawGaps<true, false>);
  DrawAll(context, autapses ? DrawGaps<false, true> : DrawGaps<false, false>);
}
void evops_draw_dense_x86_64_v3(RuntimeContext* context) { DrawAll(context, DrawDense); }
}

}  // namespace evops
