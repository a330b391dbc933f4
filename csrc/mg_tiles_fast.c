/* The builds of mg_tiles.inc whose products and sums are fused where the machine can. */
#include "mg_tiles.h"

#include <string.h>

#define MG_FAST_BUILDS
#define MG_BUILD "mg_tiles.inc"
#include "mg_builds.inc"

const mg_tiles *mg_tiles_fast(const char *name) {
    static const mg_tiles *const builds[] = {
#ifdef MG_X86_BUILDS
        &fast_avx512_tiles,
        &fast_avx2_tiles,
#endif
        &fast_baseline_tiles,
    };
    size_t i = 0;
    while (strcmp(builds[i]->name, name) != 0) i++;
    return builds[i];
}
