// Lists of synapses by hand, for most readers: bit-identical to kernels/draw.py.
#include "readers.h"

namespace evops {
namespace {

// The arguments of a draw kernel (kernels/draw.py).
struct Arguments {
  explicit Arguments(const RuntimeContext* context) : arrays(static_cast<const Array*>(context->arguments)) {}
  const Array* arrays;
  template <class T>
  T* Data(int k) const {
    return static_cast<T*>(arrays[k].data);
  }
  Tasks tasks() const {
    return {Data<uint32_t>(0), Data<uint32_t>(1), Data<uint32_t>(2),      Data<uint32_t>(3), Data<uint32_t>(4),
            Data<uint32_t>(5), arrays[5].size,    *Data<const Scheme>(6), Data<uint32_t>(7)};
  }
};

class List {
 public:
  explicit List(const Arguments& c)
      : target_(c.Data<uint32_t>(8)),
        owner_(c.Data<uint8_t>(9)),
        produced_(c.Data<int32_t>(11)),
        capacity_(c.arrays[8].size) {}
  ~List() { *produced_ = static_cast<int32_t>(at_); }

  void Begin(const Group&, int64_t first) {
    first_ = static_cast<uint32_t>(first);
    Unfocus();
  }
  void Unfocus() { focus_ = Add(Count(), Set(first_)); }
  void Focus(int64_t lane) { focus_ = Set(first_ + static_cast<uint32_t>(lane)); }
  bool Full(int64_t count) const { return at_ + count > capacity_; }
  static constexpr bool kTakesRows = false;  // rows come in order
  EVOPS_INLINE void EmitNumbered(Lanes target, Lanes counter, uint32_t hit, int) { Emit(target, counter, hit); }
  EVOPS_INLINE void Emit(Lanes target, Lanes, uint32_t hit) {
    // Store unconditionally and advance by the hits: a branch on random data mispredicts every other time.
    Store(target_ + at_, Squeeze(target, hit));
    StoreBytes(owner_ + at_, Squeeze(focus_, hit));
    at_ += __builtin_popcount(hit);
  }

 private:
  uint32_t* target_;
  uint8_t* owner_;
  int32_t* produced_;
  int64_t capacity_, at_ = 0;
  uint32_t first_ = 0;
  Lanes focus_;
};

void Draw(RuntimeContext* context) {
  const Arguments c(context);
  List list(c);
  ReadTasks(c.tasks(), list);
}

}  // namespace

extern "C" {
void EVOPS_SYMBOL(draw_geometric_gaps)(RuntimeContext* context) { Draw(context); }
void EVOPS_SYMBOL(draw_dense_blocks)(RuntimeContext* context) { Draw(context); }
void EVOPS_SYMBOL(draw_equal_rows)(RuntimeContext* context) { Draw(context); }
void EVOPS_SYMBOL(draw_counted_rows)(RuntimeContext* context) { Draw(context); }
void EVOPS_SYMBOL(draw_grid_offsets)(RuntimeContext* context) { Draw(context); }
void EVOPS_SYMBOL(draw_distances)(RuntimeContext* context) { Draw(context); }
void EVOPS_SYMBOL(draw_typed_pairs)(RuntimeContext* context) { Draw(context); }
}

}  // namespace evops
