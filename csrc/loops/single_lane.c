/* Steps in a single lane that give the graph's bits, for every instruction set. */
#include "loops/sets.h"

#define FAST 0
#define LANES(lanes) 1
#define STEP_LOOPS const mg_step_loops mg_single_lane
#include "loops/steps.inc"
