/* The builds of program/steps.inc that give the graph's bits, and the choice between all. */
#include "program/steps.h"

#include "loops/kernels.h"
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

#define MG_BUILD "program/steps.inc"
#include "loops/builds.inc"

const mg_steps *mg_steps_for(mg_arithmetic arithmetic) {
    static const mg_steps *const builds[] = BUILDS_OF(steps);
    const size_t build = mg_build_number(arithmetic);
    return arithmetic == MG_EXACT_ARITHMETIC ? builds[build] : mg_steps_fast(build);
}
