// Splits a call over XLA's threads.
#pragma once
#include <emmintrin.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
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
template <class Pool>
int64_t Parts(const Pool& pool, double work, int64_t sums = 0) {
  const double each = kWorkOfAThread + kWorkOfASum * static_cast<double>(sums);
  const double wanted = std::min<double>(work / each, static_cast<double>(pool.num_threads()));
  return wanted < 2 ? 1 : static_cast<int64_t>(wanted);
}

// Threads for calls that come without XLA's pool: each is started when there is work for it.
class Helpers {
 public:
  int64_t num_threads() const { return std::max<int64_t>(std::thread::hardware_concurrency(), 1); }
  template <class Job>
  void Schedule(Job job) {
    std::thread(std::move(job)).detach();  // it holds what it needs, and touches no more than it takes
  }
};

// Where a thread waits a while for the next call before it goes back to XLA's pool: to wake it there takes as long as a
// step of 30,000 neurons. Calls of one program follow each other within microseconds.
class Lobby {
 public:
  using Job = std::function<void()>;

  // Gives a job to a thread that waits; whether there was one.
  bool Give(std::unique_ptr<Job>& job) {
    for (std::atomic<Job*>& seat : seats_) {
      Job* waiting = &waiting_;
      if (seat.load(std::memory_order_relaxed) != waiting || !seat.compare_exchange_strong(waiting, job.get()))
        continue;
      job.release();
      return true;
    }
    return false;
  }

  // Does the jobs that come until none comes for some time.
  void Wait() noexcept {
    while (std::unique_ptr<Job> job{Next()}) (*job)();
  }

  static Lobby& Get() {
    static Lobby* lobby = new Lobby;  // outlives whatever still runs when the process ends
    return *lobby;
  }

 private:
  Job* Next() noexcept {
    for (std::atomic<Job*>& seat : seats_) {
      Job* job = nullptr;
      if (seat.load(std::memory_order_relaxed) || !seat.compare_exchange_strong(job, &waiting_)) continue;
      for (int spin = 0; spin < kSpins && (job = seat.load()) == &waiting_; ++spin) _mm_pause();
      // What has come when the time is over is done as well.
      if (job != &waiting_ || !seat.compare_exchange_strong(job, nullptr)) seat.store(nullptr);
      return job == &waiting_ ? nullptr : job;
    }
    return nullptr;  // as many wait as there are seats
  }

  Job waiting_;  // stands in a seat whose thread waits
  std::atomic<Job*> seats_[64] = {};
};

// Steps that run one after another, each in parts that any thread may take.
template <size_t kCount>
class Steps {
 public:
  Steps(const int64_t (&parts)[kCount], int64_t threads) : threads_(threads) {
    std::copy_n(parts, kCount, parts_);
    for (size_t step = 0; step < kCount; ++step) taken_[step].reset(new std::atomic<bool>[parts[step]]());
  }

  // Does what is left to do, as one of the threads; number 0 is the caller. Whoever waits for the parts of a step gives
  // up after some time, unless it is the caller: no thread sleeps between two steps, since to wake it would take longer
  // than most steps.
  template <class Body>
  void Work(const Body& body, int64_t thread) noexcept {
    const bool caller = thread == 0;
    for (size_t step = 0; step < kCount; ++step) {
      for (int64_t k = 0; k < parts_[step]; ++k) {
        const int64_t part = Choice(step, thread, k);
        if (taken_[step][part].exchange(true)) continue;
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
  // The part that a thread tries as its k-th: first its own, in order, which the memory of its last call lies near;
  // then those of others, from their ends.
  int64_t Choice(size_t step, int64_t thread, int64_t k) const {
    const int64_t parts = parts_[step], begin = parts * thread / threads_,
                  own = parts * (thread + 1) / threads_ - begin;
    return k < own ? begin + k : (begin + own - 1 - k + parts) % parts;
  }
  bool Done(size_t step) const { return done_[step].load() == parts_[step]; }

  int64_t parts_[kCount];
  int64_t threads_;
  std::unique_ptr<std::atomic<bool>[]> taken_[kCount];
  std::atomic<int64_t> done_[kCount] = {};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
  std::mutex mutex_;
  std::condition_variable finished_;
};

// Calls body(step, part) for every part of every step, on `threads` threads. The caller works too: a pool whose threads
// are all busy delays nothing, and helpers that start late return at once: all parts are taken. The first exception
// that a part throws is thrown again here, when nobody uses the body any more. Parts that would begin after it are left
// out.
template <class Pool, size_t kCount, class Body>
void ParallelSteps(Pool& pool, const int64_t (&parts)[kCount], int64_t threads, const Body& body) {
  if (threads == 1) {
    for (size_t step = 0; step < kCount; ++step)
      for (int64_t part = 0; part < parts[step]; ++part) body(step, part);
    return;
  }
  auto steps = std::make_shared<Steps<kCount>>(parts, threads);
  try {
    // a helper that starts when all is done must not touch the body, which is gone then: it finds no part
    for (int64_t helper = 1; helper < threads; ++helper) {
      auto job = std::make_unique<Lobby::Job>([steps, &body, helper] { steps->Work(body, helper); });
      if (Lobby::Get().Give(job)) continue;
      pool.Schedule([job = std::shared_ptr<Lobby::Job>(std::move(job))] {
        (*job)();
        Lobby::Get().Wait();
      });
    }
  } catch (...) {  // no memory for one more: the others do its work
  }
  steps->Work(body, 0);
  steps->Check();
}

// Calls body(part) for every part in [0, parts), on `threads` threads (0: as many as parts).
template <class Pool, class Body>
void Parallel(Pool& pool, int64_t parts, const Body& body, int64_t threads = 0) {
  ParallelSteps<Pool, 1>(pool, {parts},
                         parts == 1 ? 1
                         : threads  ? threads
                                    : parts,
                         [&](size_t, int64_t part) { body(part); });
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
    ParallelSteps<xla::ffi::ThreadPool, 2>(pool, {parts, pieces}, parts, [&](size_t step, int64_t i) {
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
