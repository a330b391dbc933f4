/* Choices in a strip: what only a branch needs that a row does not take cannot fail in that row,
 * and gives its gradients nothing, not even a nan.
 *
 * The loops over lanes compute every branch in every lane. A branch that is not taken gives its
 * shares as 0 there, and 0 times a slope is 0, or nan where the slope is not finite. So where
 * nothing fails and no derivative has become nan, what the lanes give is right. Otherwise the
 * strip is computed a second time, row by row, each by what its own choices lead to: in the order
 * of the graph, with the graph's bits, a scalar at a time. Programs without choices pay nothing.
 */
#ifndef MG_CHOICES_H
#define MG_CHOICES_H

#include "program/strip.h"

/* Whether a tape has a KEEP, or a TAKE with a candidate that is computed. */
int mg_tape_has_choices(const mg_tape *tape);

/* The sums of gradients as they were before a strip. */
typedef struct {
    double *gradients, *sums; /* NULL where nothing is added up */
} mg_totals;

/* Room for them; MG_OK, or MG_NO_MEMORY with nothing to free. */
mg_status mg_totals_new(const mg_program *program, const mg_batch *batch, mg_totals *totals);
void mg_totals_keep(const mg_strip *strip, mg_totals *totals);
void mg_totals_free(mg_totals *totals);

/* The lanes of a strip have ended with `st`, having begun with `totals`: see whether what they
 * give is right, and compute it row by row where it is not. MG_OK; why the first row that fails
 * does; or what ends the replay at once. */
mg_status mg_settle_choices(mg_strip *strip, const mg_totals *totals, mg_status st,
                            mg_replay_failure *failure);

#endif
