// Splits a call over XLA's threads.
#pragma once
#include <emmintrin.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include "scratch.h"
#include "xla/ffi/api/ffi.h"

namespace evops {

// Work (synapses) of a thread for which it pays to wake it: that takes 20 to 40 µs.
constexpr double kWorkOfAThread = 1 << 16;

// How often the caller looks whether the others are done before it sleeps: about as long as waking takes.
constexpr int kSpins = 2000;

// Into how many parts to split `work`.
inline int64_t Parts(const xla::ffi::ThreadPool& pool, double work) {
  const double wanted = std::min<double>(work / kWorkOfAThread, static_cast<double>(pool.num_threads()));
  return wanted < 2 ? 1 : static_cast<int64_t>(wanted);
}

// Calls body(part) for every part in [0, parts), on `threads` threads (0: as many as parts). The caller works too: a
// pool whose threads are all busy delays nothing, and helpers that start late return at once: all parts are taken. The
// first exception that a part throws is thrown again here, when nobody uses the body any more. Parts that would begin
// after it are left out.
template <class Body>
void Parallel(xla::ffi::ThreadPool& pool, int64_t parts, const Body& body, int64_t threads = 0) {
  if (parts == 1) return body(0);
  struct State {
    std::atomic<int64_t> next{0}, done{0};
    std::atomic<bool> failed{false};
    std::exception_ptr error;
    std::mutex mutex;
    std::condition_variable finished;
  };
  auto state = std::make_shared<State>();
  const auto work = [parts, &body](State& s) noexcept {
    for (int64_t part; (part = s.next.fetch_add(1)) < parts;) {
      try {
        if (!s.failed.load()) body(part);
      } catch (...) {
        std::lock_guard<std::mutex> lock(s.mutex);
        if (!s.failed.exchange(true)) s.error = std::current_exception();
      }
      if (s.done.fetch_add(1) + 1 == parts) {
        std::lock_guard<std::mutex> lock(s.mutex);
        s.finished.notify_one();
      }
    }
  };
  const int64_t helpers = (threads ? threads : parts) - 1;
  try {
    for (int64_t helper = 0; helper < helpers; ++helper) pool.Schedule([state, work] { work(*state); });
  } catch (...) {  // no memory for one more: the others do its work
  }
  work(*state);
  for (int spin = 0; spin < kSpins && state->done.load() < parts; ++spin) _mm_pause();
  std::unique_lock<std::mutex> lock(state->mutex);
  state->finished.wait(lock, [&] { return state->done.load() == parts; });
  if (!state->error) return;
  const std::exception_ptr error = std::exchange(state->error, nullptr);  // not for helpers that still hold the state
  lock.unlock();
  std::rethrow_exception(error);
}

// Sums for every part of a call, which are added up in out[0, n) at the end. `out`, which is zero before, itself serves
// the first part.
template <class T>
class SumsOfParts {
 public:
  SumsOfParts(int64_t parts, T* out, int64_t n) : out_(out), n_(n), own_(parts) {
    for (int64_t part = 1; part < parts; ++part) own_[part] = ZeroSums<T>(n);
  }

  T* Of(int64_t part) { return part == 0 ? out_ : own_[part].get(); }

  // Adds them up, and calls finish(sums, n) for pieces of the result.
  template <class Finish>
  void AddUp(xla::ffi::ThreadPool& pool, const Finish& finish) {
    constexpr int64_t kManySums = 1 << 17;  // worth waking a thread again
    const int64_t parts = own_.size(), pieces = n_ < kManySums ? 1 : parts;
    Parallel(pool, pieces, [&](int64_t piece) {
      const int64_t begin = n_ * piece / pieces, end = n_ * (piece + 1) / pieces;
      T* __restrict__ out = out_;
      for (int64_t part = 1; part < parts; ++part) {
        T* __restrict__ sums = own_[part].get();
        for (int64_t j = begin; j < end; ++j) out[j] += sums[j];
        std::memset(sums + begin, 0, (end - begin) * sizeof(T));
      }
      finish(out + begin, end - begin);
    });
    for (ZeroSums<T>& sums : own_) sums.Keep();
  }

 private:
  T* out_;
  int64_t n_;
  std::vector<ZeroSums<T>> own_;
};

}  // namespace evops
