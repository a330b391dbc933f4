/* Products with the Hessian: a replay's values and adjoints, each with its derivative by the step
 * along a direction.
 *
 * Forward-over-reverse; see Pearlmutter, "Fast exact multiplication by the Hessian", Neural
 * Computation 6 (1994). The derivatives are in a second workspace, at the places of what they are
 * derivatives of, and the same schedule computes them: the cost is a few times that of the
 * gradient. The bits of the result promise nothing. */
#ifndef MG_TANGENT_H
#define MG_TANGENT_H

#include "program/strip.h"

/* Set what is the same for all strips: the direction, zeros, sums from 0. */
void mg_tangent_begin(const mg_program *program, const mg_tangent *tangent);

/* The way forward alone, of a strip whose values are computed. */
mg_status mg_tangent_forward(mg_strip *strip);

/* One strip whose values are computed and whose root has its gradient, both ways. Where a slope or
 * second derivative does not exist but counts, the first such row is in the strip's failure. */
mg_status mg_tangent_strip(mg_strip *strip, const mg_adjoint_plan *plan);

#endif
