/* The loops for every processor that the library runs on. */
#include "loops/sets.h"

#define WIDTH 2
#define TILE_ROWS 2
#define NAME "baseline"
#define SET mg_loops_baseline
#define FAST_SET mg_fast_loops_baseline
#include "loops/exact.inc"
