/* The builds of mg_tiles.inc whose products and sums are fused where the machine can. */
#include "mg_tiles.h"

#include <string.h>

#define MG_FAST_BUILDS
#define MG_BUILD "mg_tiles.inc"
#include "mg_builds.inc"

const mg_tiles *mg_tiles_fast(size_t build) {
    static const mg_tiles *const builds[] = BUILDS_OF(tiles);
    return builds[build];
}
