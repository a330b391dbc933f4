/* The choice between the instruction sets, and what they have in common. */
#include "loops/sets.h"

const mg_loops *const *mg_loops_available(size_t *n) {
    static const mg_loops *sets[3];
    static size_t n_sets = 0;
    if (n_sets == 0) {
#if MG_X86
        __builtin_cpu_init();
        const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl"))
            sets[n_sets++] = &mg_loops_avx512;
        if (avx2) sets[n_sets++] = &mg_loops_avx2;
#endif
        sets[n_sets++] = &mg_loops_baseline;
    }
    *n = n_sets;
    return sets;
}

static const mg_loops *current;

const mg_loops *mg_loops_current(void) {
    if (!current) {
        size_t n;
        current = mg_loops_available(&n)[0];
    }
    return current;
}

int mg_loops_select(const char *name) {
    size_t n;
    const mg_loops *const *sets = mg_loops_available(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(sets[i]->name, name) == 0) {
            current = sets[i];
            return 1;
        }
    }
    return 0;
}

size_t mg_single_tiles_room(size_t largest_block, size_t lanes) {
    const size_t longest = single_width(largest_block + 1), wide = single_width(lanes);
    const size_t most_rows = 8;
    return (longest * wide + most_rows * (longest + wide)) / 2;
}
