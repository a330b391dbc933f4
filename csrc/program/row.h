/* One row of a strip by itself: what a way through the tape in the order of the graph needs, be it
 * to find why a strip has failed (program/diagnose.h) or because each row chooses for itself
 * (program/choices.h). */
#ifndef MG_ROW_H
#define MG_ROW_H

#include "program/functions.h"

typedef struct {
    const mg_tape *tape;
    const mg_batch *batch;
    const double *inputs;     /* of the row */
    const double *parameters; /* as the workspace has them */
    double *values;           /* by entry */
} mg_row;

/* What the parameters were when the workspace was loaded. */
void mg_row_parameters(const mg_program *program, const mg_workspace *workspace,
                       double *parameters);

/* The inputs of all rows of a strip, one row after the other. They are taken from the lanes, as
 * others may write to the caller's meanwhile. */
void mg_row_inputs(const mg_strip *strip, double *inputs);

double mg_row_leaf(const mg_row *row, const mg_entry *leaf);

/* The candidate that a row chooses in a TAKE, or UINT32_MAX. */
uint32_t mg_row_chosen(const mg_row *row, const mg_entry *take);

/* A part of a FUNCTION, entry `i`: as many results as it has. On a status that is not MG_OK, which
 * `failure` tells of, they are zeros. */
mg_status mg_row_function(const mg_row *row, uint32_t i, mg_function_part part, double *results,
                          mg_replay_failure *failure);

/* How many operands a FUNCTION of a tape has at most. */
uint32_t mg_row_most_operands(const mg_tape *tape);

/* Why an index is the place of no candidate. */
mg_replay_failure mg_row_bad_index(const mg_row *row, uint32_t take);

#endif
