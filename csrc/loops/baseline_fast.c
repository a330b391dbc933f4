/* The loops for every processor that may round otherwise. */
#include "loops/sets.h"

MG_BEGIN_FUSED
#define WIDTH 2
#define TILE_ROWS 2
#define FAST_SET mg_fast_loops_baseline
#if MG_X86
/* That of the others is fused. */
#define FAST_SINGLE_LANE mg_single_lane
#else
#define FAST_SINGLE_LANE mg_fast_single_lane
#endif
#include "loops/fast.inc"
MG_END_FUSED
