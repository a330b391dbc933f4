/* The builds of mg_tiles.inc that give the graph's bits, and the choice between all. */
#include "mg_tiles.h"

#include "mg_kernels.h"

#include <string.h>

#define MG_BUILD "mg_tiles.inc"
#include "mg_builds.inc"

const mg_tiles *mg_tiles_for(mg_arithmetic arithmetic) {
    static const mg_tiles *const builds[] = {
#ifdef MG_X86_BUILDS
        &avx512_tiles,
        &avx2_tiles,
#endif
        &baseline_tiles,
    };
    if (arithmetic == MG_FAST_ARITHMETIC) return mg_tiles_fast(mg_kernels_for(arithmetic)->name);
    if (arithmetic == MG_SINGLE_ARITHMETIC)
        return mg_tiles_single(mg_kernels_for(arithmetic)->name);
    const char *name = mg_kernels_current()->name;
    size_t i = 0;
    while (strcmp(builds[i]->name, name) != 0) i++;
    return builds[i];
}
