// Tiles at the levels above the base: the compiler makes vectors of the loops over members.
#include "../tiles.h"

#include "lanes.h"

namespace evops {

#define EVOPS_TILE(kind, type) \
  void EVOPS_SYMBOL(tile)(const kind<type>& tile) { Tile(tile); }
EVOPS_TILES(EVOPS_TILE)

}  // namespace evops
