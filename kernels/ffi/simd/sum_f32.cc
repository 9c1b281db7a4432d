// Sums of one element type: three files, since each takes the compiler long.
#include "sum.h"

namespace evops {

void EVOPS_SYMBOL(sum)(const Tasks& tasks, const Summation<float>& s) { Sum(tasks, s); }

}  // namespace evops
