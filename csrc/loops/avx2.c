/* The loops for processors with AVX2. */
#define MG_HAS_FMA
#include "loops/sets.h"

#if MG_X86
MG_BEGIN_TARGET(MG_AVX2)
#define WIDTH 4
#define TILE_ROWS 4
#define NAME "avx2"
#define SET mg_loops_avx2
#define FAST_SET mg_fast_loops_avx2
#include "loops/exact.inc"
const mg_step_loops mg_tangents_avx2 = {forward_tangent_runs, backward_tangent_runs};
MG_END_TARGET
#endif
