/* The builds of mg_kernels.inc that round otherwise. */
#include "mg_kernels.h"

#include <string.h>

#define MG_FAST_BUILDS
#define MG_BUILD "mg_kernels.inc"
#include "mg_builds.inc"

const mg_kernels *mg_kernels_fast(const char *name) {
    static const mg_kernels *const builds[] = {
#ifdef MG_X86_BUILDS
        &fast_avx512_kernels,
        &fast_avx2_kernels,
#endif
        &fast_baseline_kernels,
    };
    size_t i = 0;
    while (strcmp(builds[i]->name, name) != 0) i++;
    return builds[i];
}
