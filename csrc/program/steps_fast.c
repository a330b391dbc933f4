/* The builds of program/steps.inc that may round otherwise than the graph: products and sums are
 * fused where the machine can, and the functions that have a form for many lanes take it. */
#include "program/steps.h"

#include "program/blocks.h"

/* What the rows of ops.def call, in the form of the build that is being made */
#define mg_div(a, b, st) ((a) / (b))
#define mg_pow(a, n, st) KERNEL(pow)(a, n, st)
#define mg_exp(a, st) KERNEL(exp)(a)
#define mg_expm1(a, st) KERNEL(expm1)(a)
#define mg_log(a, st) KERNEL(log)(a)
#define mg_sqrt(a, st) sqrt(a)
#define mg_tanh(a, st) KERNEL(tanh)(a)
#define mg_sigmoid(a, st) KERNEL(sigmoid)(a)
#define mg_silu_slope(a, st) KERNEL(silu_slope)(a)
#define mg_softplus(a, st) KERNEL(softplus)(a)

#define MG_FAST_BUILDS
#define MG_BUILD "program/steps.inc"
#include "loops/builds.inc"

const mg_steps *mg_steps_fast(size_t build) {
    static const mg_steps *const builds[] = BUILDS_OF(steps);
    return builds[build];
}
