// Dot products of one element type.
#include "dot.h"

namespace evops {

void EVOPS_SYMBOL(dot)(const Tasks& tasks, const DotProduct<uint32_t>& d) { Dot(tasks, d); }

}  // namespace evops
