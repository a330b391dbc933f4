/* Products with the Hessian: a tape's reverse sweep, differentiated along a direction.
 *
 * Forward-over-reverse on one row at a time: every value and every adjoint carries its derivative
 * by the step along the direction. The cost is a few times that of the gradient. The bits of the
 * result promise nothing. */
#ifndef MG_TANGENT_H
#define MG_TANGENT_H

#include "mg_strip.h"

typedef struct {
    const double *inputs, *parameters; /* where */
    /* Along which direction; NULL stands for zeros. */
    const double *input_direction, *parameter_direction;
    double seed;                       /* the gradient of the output */
    double *by_inputs, *by_parameters; /* grow by the product; NULL if not wanted */
} mg_tangent;

/* The numbers of scratch that a tape needs. */
size_t mg_tangent_scratch(const mg_tape *tape);

/* One row, from one output. On failure the row of *failure is not set. */
mg_status mg_tangent_row(const mg_tape *tape, uint32_t output, const mg_tangent *tangent,
                         double *scratch, mg_replay_failure *failure);

#endif
