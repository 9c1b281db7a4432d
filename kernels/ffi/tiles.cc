// Tiles at the base level.
#include "tiles.h"

#define EVOPS_SYMBOL(name) evops_##name##_x86_64

namespace evops {

#define EVOPS_TILE(kind, type) \
  void EVOPS_SYMBOL(tile)(const kind<type>& tile) { Tile(tile); }
EVOPS_TILES(EVOPS_TILE)

}  // namespace evops
