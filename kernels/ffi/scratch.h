// Memory that calls borrow from each other: what the library keeps of it between calls is bounded.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>

namespace evops {

// Blocks of memory that were given back, for all threads. Nothing here lives in a thread: the C library ends the
// process where it finds no memory for that.
class Shelf {
 public:
#if defined(__SANITIZE_ADDRESS__) || defined(EVOPS_KEEPS_NOTHING)
  static constexpr size_t kMost = 0;  // every block has its own bounds
#else
  static constexpr size_t kMost = size_t{64} << 20;
#endif

  struct Block {
    void* data = nullptr;
    size_t bytes = 0;
  };

  explicit Shelf(bool zeros) : zeros_(zeros) {}

  // A block of at least so many bytes, all 0 on a shelf of zeros.
  Block Take(size_t bytes) {
    if (bytes == 0) return {};
    if (const Block block = TakeKept(bytes); block.data) return block;
    void* data = Allocate(bytes);
    if (!data) {  // what nobody uses may be enough
      Zeros().Clear();
      Lists().Clear();
      data = Allocate(bytes);
    }
    if (!data) throw std::bad_alloc();
    return {data, bytes};
  }

  // Keeps a block, or frees it; smaller ones make room for a larger.
  void Give(Block block) noexcept {
    std::lock_guard<std::mutex> lock(mutex_);
    while (block.data && (count_ == kBlocks || block.bytes > kMost - kept_)) {
      int64_t smallest = -1;
      for (int64_t k = 0; k < count_; ++k)
        if (smallest < 0 || blocks_[k].bytes < blocks_[smallest].bytes) smallest = k;
      if (block.bytes > kMost || smallest < 0 || blocks_[smallest].bytes >= block.bytes) {
        std::free(block.data);
        return;
      }
      std::free(Remove(smallest).data);
    }
    if (!block.data) return;
    blocks_[count_++] = block;
    kept_ += block.bytes;
  }

  void Clear() noexcept {
    std::lock_guard<std::mutex> lock(mutex_);
    while (count_ > 0) std::free(Remove(count_ - 1).data);
  }

  size_t kept() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return kept_;
  }

  static Shelf& Zeros();
  static Shelf& Lists();

 private:
  static constexpr int64_t kBlocks = 256;

  void* Allocate(size_t bytes) const { return zeros_ ? std::calloc(bytes, 1) : std::malloc(bytes); }

  // The smallest block that is large enough.
  Block TakeKept(size_t bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    int64_t best = -1;
    for (int64_t k = count_ - 1; k >= 0; --k) {
      if (blocks_[k].bytes >= bytes && (best < 0 || blocks_[k].bytes < blocks_[best].bytes)) best = k;
      if (best >= 0 && blocks_[best].bytes == bytes) break;
    }
    return best < 0 ? Block{} : Remove(best);
  }
  Block Remove(int64_t k) {
    const Block block = blocks_[k];
    kept_ -= block.bytes;
    blocks_[k] = blocks_[--count_];
    return block;
  }

  const bool zeros_;
  mutable std::mutex mutex_;
  Block blocks_[kBlocks];
  int64_t count_ = 0;
  size_t kept_ = 0;
};

// Room for a list. It is not cleared.
template <class T>
class Room {
 public:
  Room() = default;
  explicit Room(size_t size) : block_(Shelf::Lists().Take(size * sizeof(T))) {}
  Room(Room&& other) noexcept : block_(std::exchange(other.block_, {})) {}
  Room& operator=(Room&& other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Room() { Shelf::Lists().Give(block_); }
  T* get() const { return static_cast<T*>(block_.data); }
  explicit operator bool() const { return block_.data; }

 private:
  Shelf::Block block_;
};

// Sums that begin at 0. Whoever leaves them at 0 says so with Keep; otherwise, as after an exception, they are freed.
template <class T>
class ZeroSums {
 public:
  ZeroSums() = default;
  explicit ZeroSums(size_t size) : block_(Shelf::Zeros().Take(size * sizeof(T))) {}
  ZeroSums(ZeroSums&& other) noexcept : block_(std::exchange(other.block_, {})) {}
  ZeroSums& operator=(ZeroSums&& other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~ZeroSums() { std::free(block_.data); }
  T* get() const { return static_cast<T*>(block_.data); }
  void Keep() noexcept { Shelf::Zeros().Give(std::exchange(block_, {})); }

 private:
  Shelf::Block block_;
};

}  // namespace evops
