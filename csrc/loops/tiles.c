/* The builds of loops/tiles.inc that give the graph's bits, and the choice between all. */
#include "loops/tiles.h"

#include <string.h>

#define MG_BUILD "loops/tiles.inc"
#include "loops/builds.inc"

const mg_tiles *mg_tiles_for(mg_arithmetic arithmetic) {
    static const mg_tiles *const builds[] = BUILDS_OF(tiles);
    const size_t build = mg_build_number(arithmetic);
    if (arithmetic == MG_FAST_ARITHMETIC) return mg_tiles_fast(build);
    if (arithmetic == MG_SINGLE_ARITHMETIC) return mg_tiles_single(build);
    return builds[build];
}
