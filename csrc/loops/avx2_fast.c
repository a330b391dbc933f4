/* The loops for processors with AVX2 that may round otherwise. */
#include "loops/sets.h"

#if MG_X86
MG_BEGIN_TARGET(MG_AVX2)
MG_BEGIN_FUSED
#define WIDTH 4
#define TILE_ROWS 4
#define FAST_SET mg_fast_loops_avx2
#define FAST_SINGLE_LANE mg_fast_single_lane
#include "loops/fast.inc"
MG_END_FUSED
MG_END_TARGET
#endif
