/* The loops of loops/loops.h, called on a strip. */
#include "program/steps.h"

#include "ops/power.h"
#include "program/blocks.h"
#include "program/functions.h"
#include "program/takes.h"

mg_status mg_try_entry(const mg_entry *e, double a, double b, double y, int derivative) {
    mg_status st = MG_OK;
    if (!derivative) {
        mg_op_value((mg_op)e->op, a, b, e->k, e->h, &st);
        return st;
    }
    mg_op_adjoint_a((mg_op)e->op, a, b, e->k, e->h, y, 1.0, &st);
    if (st == MG_OK && e->arity == 2) mg_op_adjoint_b((mg_op)e->op, a, b, e->k, e->h, y, 1.0, &st);
    return st;
}

mg_status mg_note_failure(void *context, uint32_t entry, mg_slot a, mg_slot b, mg_slot y,
                          mg_slot g) {
    (void)g;
    mg_strip *const strip = context;
    const mg_entry *e = &strip->program->entries[entry];
    const size_t lanes = strip->workspace->lanes;
    const double *const values = strip->workspace->values;
    const int derivative = strip->failure.derivative;
    for (size_t l = 0; l < strip->n_rows; l++) {
        const double at = values[a * lanes + l];
        const double other = e->arity == 2 ? values[b * lanes + l] : e->k;
        const mg_status st = mg_try_entry(e, at, other, values[y * lanes + l], derivative);
        if (st == MG_OK) continue;
        strip->failure = (mg_replay_failure){strip->first_row + l, entry, at, other, derivative};
        return st;
    }
    return MG_OK;
}

mg_status mg_steps_forward(mg_strip *strip, const mg_step_run *runs, uint32_t n_runs) {
    const mg_program *const program = strip->program;
    mg_status st = MG_OK;
    for (uint32_t i = 0, n = 0; i < n_runs && st == MG_OK; i += n) {
        n = mg_runs_of_steps(runs + i, n_runs - i);
        if (n > 0) {
            st = strip->steps->forward(&strip->lanes, runs + i, n, program->steps);
            continue;
        }
        n = 1;
        if (runs[i].op == MG_TAKE)
            st = mg_takes_forward(strip, program->steps + runs[i].first, runs[i].n);
        else if (runs[i].op == MG_FUNCTION)
            st = mg_functions_forward(strip, program->steps + runs[i].first, runs[i].n,
                                      runs + i < program->runs + program->n_uniform);
        else
            mg_forward_block(strip, &program->sums[runs[i].first]);
    }
    return st;
}

mg_status mg_steps_backward(mg_strip *strip, const mg_adjoint_plan *plan) {
    mg_status st = MG_OK;
    for (uint32_t i = 0, n = 0; i < plan->n_runs && st == MG_OK; i += n) {
        const mg_step_run *const runs = plan->runs + i;
        n = mg_runs_of_steps(runs, plan->n_runs - i);
        if (n > 0) {
            st = strip->steps->backward(&strip->lanes, runs, n, plan->steps);
            continue;
        }
        n = 1;
        if (runs->op == MG_TAKE)
            mg_takes_backward(strip, strip->workspace->adjoints, plan->takes + runs->first,
                              runs->n);
        else if (runs->op == MG_FUNCTION)
            st = mg_functions_backward(strip, plan->functions + runs->first, runs->n);
        else
            mg_backward_block(strip, &plan->sums[runs->first]);
    }
    return st;
}
