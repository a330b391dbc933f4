/* A second way through a program, one row at a time; program/diagnose.h says what for. */
#include "program/diagnose.h"

#include "base/memory.h"
#include "program/steps.h"

/* What the parameters were when the workspace was loaded. */
static void collect_parameters(const mg_program *program, const mg_workspace *workspace,
                               double *parameters) {
    for (uint32_t i = 0; i < program->n_weights; i++)
        if (program->weight_parameters[i] != UINT32_MAX)
            parameters[program->weight_parameters[i]] = workspace->weights[i];
    for (uint32_t i = 0; i < program->n_lane_parameters; i++)
        parameters[program->lane_parameters[i]] = workspace->parameters[i];
}

/* What going through a strip in the order of the graph needs. */
typedef struct {
    const mg_tape *tape;
    double *parameters; /* as the workspace has them */
    double *values;     /* by entry */
    uint8_t *needed;    /* by an output; a tape from elsewhere may have more */
    uint32_t *order;    /* entries above leaves, operands before users, from the output */
    uint32_t n_order;
} recount;

static void find_needed(recount *c) {
    const mg_tape *tape = c->tape;
    for (uint32_t o = 0; o < tape->n_outputs; o++) c->needed[tape->outputs[o]] = 1;
    for (uint32_t i = tape->n_entries; i-- > 0;) {
        const mg_entry *e = &tape->entries[i];
        if (c->needed[i] && e->arity > 0) c->needed[e->a] = 1;
        if (c->needed[i] && e->arity > 1) c->needed[e->b] = 1;
    }
}

/* Compute one row in the order of the graph, to find what fails first in it. */
static mg_status recount_row(const recount *c, const double *inputs, int backward,
                             mg_replay_failure *failure) {
    const mg_tape *tape = c->tape;
    double *const values = c->values;
    mg_status st = MG_OK;
    for (uint32_t i = 0; i < tape->n_entries; i++) {
        const mg_entry *e = &tape->entries[i];
        if (!c->needed[i]) continue;
        if (e->op == MG_LEAF) {
            values[i] = e->leaf == MG_INPUT  ? inputs[e->a]
                        : e->leaf == MG_FREE ? c->parameters[e->a]
                                             : e->k;
            continue;
        }
        const double a = values[e->a], b = e->arity == 2 ? values[e->b] : e->k;
        values[i] = mg_op_value((mg_op)e->op, a, b, e->k, e->h, &st);
        if (st != MG_OK) {
            *failure = (mg_replay_failure){.entry = i, .a = a, .b = b};
            return st;
        }
    }
    for (uint32_t p = c->n_order; backward && p-- > 0;) {
        const uint32_t i = c->order[p];
        const mg_entry *e = &tape->entries[i];
        const double a = values[e->a], b = e->arity == 2 ? values[e->b] : e->k;
        st = mg_try_entry(e, a, b, values[i], 1);
        if (st != MG_OK) {
            *failure = (mg_replay_failure){.entry = i, .a = a, .b = b, .in_sweep = 1};
            return st;
        }
    }
    return MG_OK;
}

mg_status mg_find_failure(const mg_strip *strip, mg_status st, mg_replay_failure *failure) {
    const mg_tape *tape = &strip->program->tape;
    const mg_workspace *workspace = strip->workspace;
    const size_t n_inputs = tape->n_inputs, n_rows = strip->n_rows, n = tape->n_entries;
    double *rows = mg_calloc(n_inputs * n_rows + tape->n_parameters + n, sizeof *rows);
    uint32_t *places = mg_calloc(2 * n, sizeof *places);
    uint8_t *marks = mg_calloc(2 * n, sizeof *marks);
    *failure = strip->failure;
    if (!rows || !places || !marks) {
        st = MG_NO_MEMORY;
    } else {
        recount c = {.tape = tape,
                     .parameters = rows + n_inputs * n_rows,
                     .values = rows + n_inputs * n_rows + tape->n_parameters,
                     .needed = marks,
                     .order = places};
        find_needed(&c);
        for (size_t r = 0; r < n_rows; r++)
            for (size_t i = 0; i < n_inputs; i++)
                rows[r * n_inputs + i] = workspace->values[i * workspace->lanes + r];
        collect_parameters(strip->program, workspace, c.parameters);
        if (strip->batch->backward)
            c.n_order = mg_tape_walk(tape->entries, tape->outputs[strip->batch->output], c.order,
                                     marks + n, places + n);
        mg_status found = MG_OK;
        for (size_t r = 0; r < n_rows && found == MG_OK; r++) {
            found = recount_row(&c, rows + r * n_inputs, strip->batch->backward, failure);
            if (found != MG_OK) {
                failure->row = strip->first_row + r;
                st = found;
            }
        }
    }
    mg_free(marks);
    mg_free(places);
    mg_free(rows);
    return st;
}
