/* One build of mg_kernels.inc per instruction set, and the choice between them. */
#include "mg_kernels.h"

#include <string.h>

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define MG_X86_BUILDS 1

#define KERNEL(name) avx512_##name
#define KERNEL_NAME "avx512"
#define KERNEL_TARGET __attribute__((target("avx512f,avx512dq,avx512vl")))
#include "mg_kernels.inc"
#undef KERNEL
#undef KERNEL_NAME
#undef KERNEL_TARGET

#define KERNEL(name) avx2_##name
#define KERNEL_NAME "avx2"
#define KERNEL_TARGET __attribute__((target("avx2")))
#include "mg_kernels.inc"
#undef KERNEL
#undef KERNEL_NAME
#undef KERNEL_TARGET
#endif

#define KERNEL(name) baseline_##name
#define KERNEL_NAME "baseline"
#define KERNEL_TARGET
#include "mg_kernels.inc"
#undef KERNEL
#undef KERNEL_NAME
#undef KERNEL_TARGET

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
