/* One build of mg_tiles.inc per instruction set, and the choice between them. */
#include "mg_tiles.h"

#include "mg_kernels.h"

#include <string.h>

#define MG_BUILD "mg_tiles.inc"
#include "mg_builds.inc"

/* The rest of the code is compiled with -ffp-contract=off, which these override. */
#if defined(MG_X86_BUILDS) && !defined(__clang__)
#define MG_FUSED_BUILDS 1

#define KERNEL(name) fused_avx512_##name
#define KERNEL_NAME "avx512"
#define KERNEL_TARGET                                                                             \
    __attribute__((target("avx512f,avx512dq,avx512vl"), optimize("fp-contract=fast")))
#define KERNEL_WIDTH 8
#define KERNEL_ROWS 8
#include "mg_tiles.inc"
#undef KERNEL
#undef KERNEL_NAME
#undef KERNEL_TARGET
#undef KERNEL_WIDTH
#undef KERNEL_ROWS

#define KERNEL(name) fused_avx2_##name
#define KERNEL_NAME "avx2"
#define KERNEL_TARGET __attribute__((target("avx2,fma"), optimize("fp-contract=fast")))
#define KERNEL_WIDTH 4
#define KERNEL_ROWS 4
#include "mg_tiles.inc"
#undef KERNEL
#undef KERNEL_NAME
#undef KERNEL_TARGET
#undef KERNEL_WIDTH
#undef KERNEL_ROWS
#endif

#ifdef MG_X86_BUILDS
static const mg_tiles *named(const char *name, const mg_tiles *const *builds, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(builds[i]->name, name) == 0) return builds[i];
    return NULL;
}
#endif

const mg_tiles *mg_tiles_current(int fast) {
    const mg_tiles *found = NULL;
    (void)fast;
#ifdef MG_X86_BUILDS
    static const mg_tiles *const exact[] = {&avx512_tiles, &avx2_tiles};
    found = named(mg_kernels_current()->name, exact, 2);
#endif
#ifdef MG_FUSED_BUILDS
    static const mg_tiles *const fused[] = {&fused_avx512_tiles, &fused_avx2_tiles};
    if (fast && found && __builtin_cpu_supports("fma")) found = named(found->name, fused, 2);
#endif
    return found ? found : &baseline_tiles;
}
