// Dot products of one element type.
#include "dot.h"

namespace evops {

void EVOPS_SYMBOL(dot)(const Tasks& tasks, const DotProduct<float>& d) { Dot(tasks, d); }

}  // namespace evops
