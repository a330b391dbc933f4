/* Steps in a single lane that may round otherwise, for all instruction sets that fuse alike. */
#include "loops/sets.h"

#if MG_X86
MG_BEGIN_TARGET(MG_AVX2)
#endif
MG_BEGIN_FUSED
#include "loops/fast_functions.inc"

#define FAST 1
#define LANES(lanes) 1
#define STEP_LOOPS const mg_step_loops mg_fast_single_lane
#include "loops/steps.inc"
MG_END_FUSED
#if MG_X86
MG_END_TARGET
#endif
