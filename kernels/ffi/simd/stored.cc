// Tiles of products with stored matrices, for the levels above the first.
#include "../stored_tiles.h"
#include "lanes.h"

namespace evops {

void EVOPS_SYMBOL(stored)(const StoredTile<uint32_t>& tile, StoredRows& rows) { MultiplyTile(tile, rows); }
void EVOPS_SYMBOL(stored)(const StoredTile<float>& tile, StoredRows& rows) { MultiplyTile(tile, rows); }
void EVOPS_SYMBOL(stored)(const StoredTile<double>& tile, StoredRows& rows) { MultiplyTile(tile, rows); }

}  // namespace evops
