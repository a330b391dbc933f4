/* The steps of a strip, one after the other: one build per instruction set, and for each of them
 * one more that may round otherwise, which is faster. */
#ifndef MG_STEPS_H
#define MG_STEPS_H

#include "program/strip.h"

typedef struct {
    mg_status (*forward)(mg_strip *strip, const mg_step_run *runs, uint32_t n_runs);
    mg_status (*backward)(mg_strip *strip, const mg_adjoint_plan *plan);
} mg_steps;

/* The build for the instruction set that loops/kernels.h has in use. */
const mg_steps *mg_steps_for(mg_arithmetic arithmetic);

/* Of those that may round otherwise, that of this number. */
const mg_steps *mg_steps_fast(size_t build);

/* Whether an entry's value, or in the sweep its slopes, can be had at a point. */
mg_status mg_try_entry(const mg_entry *e, double a, double b, double y, int in_sweep);

/* A step may have failed in some lane: note the first and say why it has, or MG_OK. */
mg_status mg_note_failure(mg_strip *strip, uint32_t entry, mg_slot a, mg_slot b, mg_slot y);

#endif
