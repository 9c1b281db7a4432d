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

// Work (synapses) of a thread for which it pays to wake it, which takes 20 to 60 µs; and the work that a thread's own
// sums cost, each: they are cleared and added to those of the others, from another core's cache.
constexpr double kWorkOfAThread = 1 << 16, kWorkOfASum = 0.25;

// How often the caller looks whether the others are done before it sleeps: about as long as waking takes.
constexpr int kSpins = 2000;

// Into how many parts to split `work`, where each part has so many sums of its own.
inline int64_t Parts(const xla::ffi::ThreadPool& pool, double work, int64_t sums = 0) {
  const double each = kWorkOfAThread + kWorkOfASum * static_cast<double>(sums);
  const double wanted = std::min<double>(work / each, static_cast<double>(pool.num_threads()));
  return wanted < 2 ? 1 : static_cast<int64_t>(wanted);
}

// Steps that run one after another, each in parts that any thread may take.
template <size_t kCount>
class Steps {
 public:
  explicit Steps(const int64_t (&parts)[kCount]) { std::copy_n(parts, kCount, parts_); }

  // Does what is left to do. Whoever waits for the parts of a step gives up after some time, unless it is the `caller`:
  // no thread sleeps between two steps, since to wake it would take longer than most steps.
  template <class Body>
  void Work(const Body& body, bool caller) noexcept {
    for (size_t step = 0; step < kCount; ++step) {
      for (int64_t part; (part = next_[step].fetch_add(1)) < parts_[step];) {
        try {
          if (!failed_.load()) body(step, part);
        } catch (...) {
          std::lock_guard<std::mutex> lock(mutex_);
          if (!failed_.exchange(true)) error_ = std::current_exception();
        }
        if (done_[step].fetch_add(1) + 1 == parts_[step]) {
          std::lock_guard<std::mutex> lock(mutex_);
          finished_.notify_all();
        }
      }
      if (!caller && step + 1 == kCount) return;
      for (int spin = 0; spin < kSpins && !Done(step); ++spin) _mm_pause();
      if (Done(step)) continue;
      if (!caller) return;
      std::unique_lock<std::mutex> lock(mutex_);
      finished_.wait(lock, [&] { return Done(step); });
    }
  }

  // Throws what a part has thrown.
  void Check() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!error_) return;
    const std::exception_ptr error = std::exchange(error_, nullptr);  // not for helpers that still hold the steps
    lock.unlock();
    std::rethrow_exception(error);
  }

 private:
  bool Done(size_t step) const { return done_[step].load() == parts_[step]; }

  int64_t parts_[kCount];
  std::atomic<int64_t> next_[kCount] = {}, done_[kCount] = {};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
  std::mutex mutex_;
  std::condition_variable finished_;
};

// Calls body(step, part) for every part of every step, on `threads` threads. The caller works too: a pool whose threads
// are all busy delays nothing, and helpers that start late return at once: all parts are taken. The first exception
// that a part throws is thrown again here, when nobody uses the body any more. Parts that would begin after it are left
// out.
template <size_t kCount, class Body>
void ParallelSteps(xla::ffi::ThreadPool& pool, const int64_t (&parts)[kCount], int64_t threads, const Body& body) {
  if (threads == 1) {
    for (size_t step = 0; step < kCount; ++step)
      for (int64_t part = 0; part < parts[step]; ++part) body(step, part);
    return;
  }
  auto steps = std::make_shared<Steps<kCount>>(parts);
  try {
    // a helper that starts when all is done must not touch the body, which is gone then: it finds no part
    for (int64_t helper = 1; helper < threads; ++helper) pool.Schedule([steps, &body] { steps->Work(body, false); });
  } catch (...) {  // no memory for one more: the others do its work
  }
  steps->Work(body, true);
  steps->Check();
}

// Calls body(part) for every part in [0, parts), on `threads` threads (0: as many as parts).
template <class Body>
void Parallel(xla::ffi::ThreadPool& pool, int64_t parts, const Body& body, int64_t threads = 0) {
  ParallelSteps(pool, {parts}, parts == 1 ? 1 : threads ? threads : parts, [&](size_t, int64_t part) { body(part); });
}

// Sums for every part of a call, which are added up in out[0, n) at the end. `out`, which is zero before, itself serves
// the first part.
template <class T>
class SumsOfParts {
 public:
  SumsOfParts(int64_t parts, T* out, int64_t n) : out_(out), n_(n), own_(parts) {
    for (int64_t part = 1; part < parts; ++part) own_[part] = ZeroSums<T>(n);
  }

  // Calls add(part, its sums) for every part, adds up all sums, and calls finish(sums, n) for pieces of the result.
  template <class Add, class Finish>
  void Run(xla::ffi::ThreadPool& pool, const Add& add, const Finish& finish) {
    constexpr int64_t kPiece = 1 << 13;  // less is not worth to be shared
    const int64_t parts = own_.size(), pieces = std::clamp<int64_t>(n_ / kPiece, 1, parts);
    ParallelSteps(pool, {parts, pieces}, parts, [&](size_t step, int64_t i) {
      if (step == 0) return add(i, i == 0 ? out_ : own_[i].get());
      const int64_t begin = n_ * i / pieces, end = n_ * (i + 1) / pieces;
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
