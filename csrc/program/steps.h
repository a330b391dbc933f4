/* The steps of a strip, one run after the other. */
#ifndef MG_STEPS_H
#define MG_STEPS_H

#include "program/strip.h"

mg_status mg_steps_forward(mg_strip *strip, const mg_step_run *runs, uint32_t n_runs);
mg_status mg_steps_backward(mg_strip *strip, const mg_adjoint_plan *plan);

/* Whether an entry's value, or in the sweep its slopes, can be had at a point. */
mg_status mg_try_entry(const mg_entry *e, double a, double b, double y, int in_sweep);

/* A step may have failed in some lane: note the first and say why it has, or MG_OK. */
mg_status mg_note_failure(mg_strip *strip, uint32_t entry, mg_slot a, mg_slot b, mg_slot y);

#endif
