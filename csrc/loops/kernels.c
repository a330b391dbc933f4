/* One build of loops/kernels.inc per instruction set, and the choice between them. */
#include "loops/kernels.h"

#include <string.h>

#define MG_BUILD "loops/kernels.inc"
#include "loops/builds.inc"

static const mg_kernels *const all_builds[] = BUILDS_OF(kernels);

const mg_kernels *const *mg_kernels_available(size_t *n) {
    static const mg_kernels *builds[3];
    static size_t n_builds = 0;
    if (n_builds == 0) {
#ifdef MG_X86_BUILDS
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl"))
            builds[n_builds++] = &avx512_kernels;
        if (__builtin_cpu_supports("avx2")) builds[n_builds++] = &avx2_kernels;
#endif
        builds[n_builds++] = &baseline_kernels;
    }
    *n = n_builds;
    return builds;
}

static const mg_kernels *current;

const mg_kernels *mg_kernels_current(void) {
    if (!current) {
        size_t n;
        current = mg_kernels_available(&n)[0];
    }
    return current;
}

size_t mg_build_number(mg_arithmetic arithmetic) {
#ifdef MG_X86_BUILDS
    if (arithmetic != MG_EXACT_ARITHMETIC && !__builtin_cpu_supports("fma"))
        return sizeof all_builds / sizeof *all_builds - 1;
#endif
    (void)arithmetic;
    const mg_kernels *const in_use = mg_kernels_current();
    size_t i = 0;
    while (all_builds[i] != in_use) i++;
    return i;
}

int mg_kernels_select(const char *name) {
    size_t n;
    const mg_kernels *const *builds = mg_kernels_available(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(builds[i]->name, name) == 0) {
            current = builds[i];
            return 1;
        }
    }
    return 0;
}
