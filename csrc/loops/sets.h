/* The instruction sets: those of the processor that the library is compiled for, and on x86 those
 * that only some have. To add one: a file like avx2.c and one like avx2_fast.c, its names here,
 * and a line in choose.c. */
#ifndef MG_SETS_H
#define MG_SETS_H

/* What the loops use comes before any target. */
#include <string.h>

#include "loops/loops.h"
#include "loops/target.h"
#include "ops/power.h"

/* Numbers that a tile of single precision is wide, and columns rounded up to that. */
#define SINGLE_TILE 16

static inline size_t single_width(size_t n) {
    return (n + SINGLE_TILE - 1) / SINGLE_TILE * SINGLE_TILE;
}

extern const mg_loops mg_loops_baseline;
extern const mg_fast_loops mg_fast_loops_baseline;

#if MG_X86
/* Every processor with AVX2 has fused multiply-add, too, and is asked for both. */
#define MG_AVX2 "avx2,fma"
#define MG_AVX512 "avx512f,avx512dq,avx512vl,fma"
extern const mg_loops mg_loops_avx2, mg_loops_avx512;
extern const mg_fast_loops mg_fast_loops_avx2, mg_fast_loops_avx512;
extern const mg_step_loops mg_tangents_avx2;
#endif

#endif
