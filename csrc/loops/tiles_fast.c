/* The builds of loops/tiles.inc whose products and sums are fused where the machine can. */
#include "loops/tiles.h"

#include <string.h>

#define MG_FAST_BUILDS
#define MG_BUILD "loops/tiles.inc"
#include "loops/builds.inc"

const mg_tiles *mg_tiles_fast(size_t build) {
    static const mg_tiles *const builds[] = BUILDS_OF(tiles);
    return builds[build];
}
