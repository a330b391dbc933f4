/* The loops of loops/loops.h, called on a strip. */
#include "program/steps.h"

#include "ops/power.h"
#include "program/blocks.h"

mg_status mg_try_entry(const mg_entry *e, double a, double b, double y, int in_sweep) {
    mg_status st = MG_OK;
    if (!in_sweep) {
        mg_op_value((mg_op)e->op, a, b, e->k, e->h, &st);
        return st;
    }
    mg_op_adjoint_a((mg_op)e->op, a, b, e->k, e->h, y, 1.0, &st);
    if (st == MG_OK && e->arity == 2) mg_op_adjoint_b((mg_op)e->op, a, b, e->k, e->h, y, 1.0, &st);
    return st;
}

mg_status mg_note_failure(mg_strip *strip, uint32_t entry, mg_slot a, mg_slot b, mg_slot y) {
    const mg_entry *e = &strip->program->entries[entry];
    const size_t lanes = strip->workspace->lanes;
    const double *const values = strip->workspace->values;
    const int in_sweep = strip->failure.in_sweep;
    for (size_t l = 0; l < strip->n_rows; l++) {
        const double at = values[a * lanes + l];
        const double other = e->arity == 2 ? values[b * lanes + l] : e->k;
        const mg_status st = mg_try_entry(e, at, other, values[y * lanes + l], in_sweep);
        if (st == MG_OK) continue;
        strip->failure = (mg_replay_failure){strip->first_row + l, entry, at, other, in_sweep};
        return st;
    }
    return MG_OK;
}

static mg_status forward(mg_strip *strip, const mg_step_run *run) {
    mg_step_loop *const loop = strip->steps->forward[run->op];
    const mg_step *step = strip->program->steps + run->first, *const end = step + run->n;
    while ((step += loop(&strip->lanes, step, (size_t)(end - step))) < end) {
        const mg_status st = mg_note_failure(strip, step->entry, step->a, step->b, step->y);
        if (st != MG_OK) return st;
        step++;
    }
    return MG_OK;
}

static mg_status backward(mg_strip *strip, const mg_step_run *run, const mg_back_step *step) {
    mg_back_step_loop *const loop = strip->steps->backward[run->op];
    const mg_back_step *const end = step + run->n;
    while ((step += loop(&strip->lanes, step, (size_t)(end - step))) < end) {
        const mg_status st = mg_note_failure(strip, step->entry, step->a, step->b, step->y);
        if (st != MG_OK) return st;
        step++;
    }
    return MG_OK;
}

mg_status mg_steps_forward(mg_strip *strip, const mg_step_run *runs, uint32_t n_runs) {
    for (uint32_t i = 0; i < n_runs; i++) {
        if (runs[i].op == MG_SUMS_RUN) {
            mg_forward_block(strip, &strip->program->sums[runs[i].first]);
            continue;
        }
        const mg_status st = forward(strip, &runs[i]);
        if (st != MG_OK) return st;
    }
    return MG_OK;
}

mg_status mg_steps_backward(mg_strip *strip, const mg_adjoint_plan *plan) {
    for (uint32_t i = 0; i < plan->n_runs; i++) {
        const mg_step_run *const run = &plan->runs[i];
        if (run->op == MG_SUMS_RUN) {
            mg_backward_block(strip, &plan->sums[run->first]);
            continue;
        }
        const mg_status st = backward(strip, run, plan->steps + run->first);
        if (st != MG_OK) return st;
    }
    return MG_OK;
}
