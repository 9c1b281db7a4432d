// Batches: members of one tile side by side, for stored_tiles.h, and back.
#pragma once
#include <emmintrin.h>

#include <algorithm>
#include <vector>

#include "parallel.h"
#include "spikes.h"
#include "stored_rows.h"
#include "stored_tiles.h"

namespace evops {

constexpr int64_t kMostMembers = 16, kRowsAtOnce = 256;

// Members of the next tile of T, where `left` are left: 1 is a member alone.
template <class T>
int64_t WidthOf(int64_t left) {
  const int64_t most = 64 / sizeof(T);  // a line of memory
  int64_t width = left == 1 ? 1 : 4;
  while (width > 1 && width < left && width < most) width *= 2;
  return width;
}

// Room for the values of tiles: what lies side by side fills whole lines of memory.
template <class T>
class TileRoom {
 public:
  explicit TileRoom(int64_t size) : room_(size > 0 ? size + kLine / sizeof(T) : 0) {}
  T* get() const { return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(room_.get()) + kLine - 1) & -kLine); }

 private:
  static constexpr uintptr_t kLine = 64;
  Room<T> room_;
};

// A tile's members: their first entries, null beyond the last of the batch, and how far their next entries are. Members
// are rows of an array of `n` columns, or columns of an array.
template <class X>
struct Group {
  Group(X* rows, int64_t n, int64_t width, int64_t left) : Group(rows, n, 1, width, left) {}
  Group(X* first, int64_t apart, int64_t stride, int64_t width, int64_t left)
      : width(width), members(std::min(width, left)), stride(stride) {
    for (int64_t m = 0; m < members; ++m) of[m] = first + m * apart;
  }
  const int64_t width, members, stride;
  X* of[kMostMembers] = {};
};

template <class T>
void MultiplyOnAnyLevel(const StoredTile<T>& tile, Pattern& m) {
  const auto kernel = Element<T>::Stored();
  (kernel ? kernel : &MultiplyTile<T>)(tile, m);
}

// 16 bytes of as many rows: lane b of row a becomes lane a of row b.
template <class T>
void Turn(__m128* rows) {
  if constexpr (sizeof(T) == 4) {
    _MM_TRANSPOSE4_PS(rows[0], rows[1], rows[2], rows[3]);
  } else {
    const __m128d a = _mm_castps_pd(rows[0]), b = _mm_castps_pd(rows[1]);
    rows[0] = _mm_castpd_ps(_mm_unpacklo_pd(a, b));
    rows[1] = _mm_castpd_ps(_mm_unpackhi_pd(a, b));
  }
}

// (a call of memcpy takes longer than the few bytes)
template <class T>
void CopyMembers(const T* from, int64_t members, T* to) {
  constexpr int64_t kLanes = 16 / sizeof(T);
  int64_t m = 0;
  for (; members - m >= kLanes; m += kLanes)
    _mm_storeu_ps(reinterpret_cast<float*>(to + m), _mm_loadu_ps(reinterpret_cast<const float*>(from + m)));
  for (; m < members; ++m) to[m] = from[m];
}

// to[(i - begin) * width + m] = x.of[m][i * stride], for i from begin to end.
template <class X, class T>
void Interleave(const Group<X>& x, int64_t begin, int64_t end, T* to) {
  if constexpr (std::is_same_v<const X, const T>)
    if (x.stride > 1) {  // columns: members lie side by side already
      for (int64_t i = begin; i < end; ++i, to += x.width) {
        CopyMembers(x.of[0] + i * x.stride, x.members, to);
        for (int64_t m = x.members; m < x.width; ++m) to[m] = T(0);
      }
      return;
    }
  constexpr int64_t kLanes = 16 / sizeof(T);
  for (int64_t m = 0; m < x.width; m += kLanes) {
    int64_t i = begin;
    if constexpr (sizeof(X) == sizeof(T))
      for (; m + kLanes <= x.members && end - i >= kLanes; i += kLanes) {
        __m128 block[kLanes];
        for (int64_t a = 0; a < kLanes; ++a) block[a] = _mm_loadu_ps(reinterpret_cast<const float*>(x.of[m + a] + i));
        Turn<T>(block);
        for (int64_t a = 0; a < kLanes; ++a)
          _mm_storeu_ps(reinterpret_cast<float*>(to + (i - begin + a) * x.width + m), block[a]);
      }
    for (; i < end; ++i)
      for (int64_t a = m; a < m + kLanes; ++a)
        to[(i - begin) * x.width + a] = a < x.members ? static_cast<T>(x.of[a][i]) : T(0);
  }
}

// y.of[m][i * stride] = from[(i - begin) * width + m], for i from begin to end.
template <class T>
void Separate(const T* from, int64_t begin, int64_t end, const Group<T>& y) {
  if (y.stride > 1) {
    for (int64_t i = begin; i < end; ++i, from += y.width) CopyMembers(from, y.members, y.of[0] + i * y.stride);
    return;
  }
  constexpr int64_t kLanes = 16 / sizeof(T);
  for (int64_t m = 0; m < y.members; m += kLanes) {
    int64_t i = begin;
    for (; m + kLanes <= y.members && end - i >= kLanes; i += kLanes) {
      __m128 block[kLanes];
      for (int64_t a = 0; a < kLanes; ++a)
        block[a] = _mm_loadu_ps(reinterpret_cast<const float*>(from + (i - begin + a) * y.width + m));
      Turn<T>(block);
      for (int64_t a = 0; a < kLanes; ++a) _mm_storeu_ps(reinterpret_cast<float*>(y.of[m + a] + i), block[a]);
    }
    for (; i < end; ++i)
      for (int64_t a = m; a < std::min(m + kLanes, y.members); ++a) y.of[a][i] = from[(i - begin) * y.width + a];
  }
}

// Whether a row that one of the members needs is needed by two on average, among some of the rows. Below that, members
// alone are faster.
template <class X>
bool RowsAreShared(const Group<X>& x, int64_t rows) {
  constexpr int64_t kSome = 64;
  int64_t needed = 0, read = 0;
  for (int64_t s = 0; s < kSome; ++s) {
    int64_t members = 0;
    for (int64_t m = 0; m < x.members; ++m) members += x.of[m][rows * s / kSome] != X(0);
    needed += members;
    read += members > 0;
  }
  return needed >= 2 * read && read > 0;
}

}  // namespace evops
