/* The steps of a strip, one run after the other. */
#ifndef MG_STEPS_H
#define MG_STEPS_H

#include "program/strip.h"

/* How many runs there are before the next that is not of rows of the table. */
static inline uint32_t mg_runs_of_steps(const mg_step_run *runs, uint32_t n_runs) {
    uint32_t n = 0;
    while (n < n_runs && runs[n].op > MG_TAKE && runs[n].op != MG_SUMS_RUN) n++;
    return n;
}

mg_status mg_steps_forward(mg_strip *strip, const mg_step_run *runs, uint32_t n_runs);
mg_status mg_steps_backward(mg_strip *strip, const mg_adjoint_plan *plan);

/* Whether an entry's value, or in the sweep its slopes, can be had at a point. */
mg_status mg_try_entry(const mg_entry *e, double a, double b, double y, int derivative);

/* The failure handler of a strip: note the first lane that has failed and say why, or MG_OK. */
mg_failure_handler mg_note_failure;

#endif
