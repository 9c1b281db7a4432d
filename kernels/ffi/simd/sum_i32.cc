// Sums of one element type: three files, since each takes the compiler long.
// Integers wrap around.
#include "sum.h"

namespace evops {

void EVOPS_SYMBOL(sum)(const Tasks& tasks, const Summation<uint32_t>& s) { Sum(tasks, s); }

}  // namespace evops
