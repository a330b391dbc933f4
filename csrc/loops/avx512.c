/* The loops for processors with AVX-512. */
#define MG_HAS_FMA
#include "loops/sets.h"

#if MG_X86
MG_BEGIN_TARGET(MG_AVX512)
#define WIDTH 8
#define TILE_ROWS 8
#define NAME "avx512"
#define SET mg_loops_avx512
#define FAST_SET mg_fast_loops_avx512
#define THEIR_TANGENTS mg_tangents_avx2
#include "loops/exact.inc"
MG_END_TARGET
#endif
