// The two shelves of the library. They outlive whatever still runs when the process ends.
#include "scratch.h"

#include "handler.h"

namespace evops {

Shelf& Shelf::Zeros() {
  static Shelf* shelf = new Shelf(true);
  return *shelf;
}
Shelf& Shelf::Lists() {
  static Shelf* shelf = new Shelf(false);
  return *shelf;
}

}  // namespace evops

// Bytes that are kept for the next call, the most that are kept, and how to have them freed.
EVOPS_EXPORT uint64_t evops_scratch_kept() { return evops::Shelf::Zeros().kept() + evops::Shelf::Lists().kept(); }
EVOPS_EXPORT uint64_t evops_scratch_limit() { return 2 * evops::Shelf::kMost; }
EVOPS_EXPORT void evops_scratch_free() {
  evops::Shelf::Zeros().Clear();
  evops::Shelf::Lists().Clear();
}
