/* The loops for processors with AVX-512 that may round otherwise. */
#include "loops/sets.h"

#if MG_X86
MG_BEGIN_TARGET(MG_AVX512)
MG_BEGIN_FUSED
#define WIDTH 8
#define TILE_ROWS 8
#define FAST_SET mg_fast_loops_avx512
#define FAST_SINGLE_LANE mg_fast_single_lane
#include "loops/fast.inc"
MG_END_FUSED
MG_END_TARGET
#endif
