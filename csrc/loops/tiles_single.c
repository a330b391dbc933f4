/* The builds of loops/tiles_single.inc, and the room that they need. */
#include "loops/tiles.h"

/* Numbers that a tile is wide, and columns rounded up to that. */
#define SINGLE_TILE 16
static inline size_t single_width(size_t n) {
    return (n + SINGLE_TILE - 1) / SINGLE_TILE * SINGLE_TILE;
}

#define MG_FAST_BUILDS
#define MG_BUILD "loops/tiles_single.inc"
#include "loops/builds.inc"

const mg_tiles *mg_tiles_single(size_t build) {
    static const mg_tiles *const builds[] = BUILDS_OF(tiles);
    return builds[build];
}

size_t mg_tiles_single_room(size_t largest_block, size_t lanes) {
    const size_t longest = single_width(largest_block + 1), wide = single_width(lanes);
    const size_t most_rows = 8;
    return (longest * wide + most_rows * (longest + wide)) / 2;
}
