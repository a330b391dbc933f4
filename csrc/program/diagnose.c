/* A second way through a program, one row at a time; program/diagnose.h says what for. */
#include "program/diagnose.h"

#include "base/memory.h"
#include "program/row.h"
#include "program/steps.h"

#include <string.h>

/* What going through a strip in the order of the graph needs. */
typedef struct {
    mg_row row;
    uint8_t *needed;  /* by an output; a tape from elsewhere may have more */
    uint8_t *reached; /* entries that the sweep of a row comes to */
    double *results;  /* of the largest function's slopes */
    uint32_t *order;  /* entries above leaves, operands before users, from the output */
    uint32_t n_order;
} recount;

static void find_needed(recount *c) {
    const mg_tape *tape = c->row.tape;
    for (uint32_t o = 0; o < tape->n_outputs; o++) c->needed[tape->outputs[o]] = 1;
    for (uint32_t i = tape->n_entries; i-- > 0;) {
        const uint32_t *operands;
        const uint32_t n = mg_entry_operands(&tape->entries[i], tape->candidates, &operands);
        for (uint32_t j = 0; c->needed[i] && j < n; j++) c->needed[operands[j]] = 1;
    }
}

/* Go through the sweep of one row. */
static mg_status recount_sweep(const recount *c, mg_replay_failure *failure) {
    const mg_tape *tape = c->row.tape;
    const double *const values = c->row.values;
    memset(c->reached, 0, tape->n_entries);
    if (c->n_order > 0) c->reached[c->order[c->n_order - 1]] = 1;
    for (uint32_t p = c->n_order; p-- > 0;) {
        const uint32_t i = c->order[p];
        const mg_entry *e = &tape->entries[i];
        if (!c->reached[i]) continue;
        if (e->op == MG_TAKE) {
            c->reached[mg_row_chosen(&c->row, e)] = 1;
            continue;
        }
        const uint32_t *operands;
        const uint32_t n_operands = mg_entry_operands(e, tape->candidates, &operands);
        for (uint32_t j = 0; j < n_operands; j++) c->reached[operands[j]] = 1;
        if (e->op == MG_FUNCTION) {
            const mg_status st =
                mg_row_function(&c->row, i, MG_FUNCTION_SLOPES, c->results, failure);
            if (st != MG_OK) return st;
            continue;
        }
        const double a = values[e->a], b = e->arity == 2 ? values[e->b] : e->k;
        const mg_status st = mg_try_entry(e, a, b, values[i], 1);
        if (st == MG_OK) continue;
        *failure = (mg_replay_failure){.entry = i, .a = a, .b = b, .derivative = 1};
        return st;
    }
    return MG_OK;
}

/* Compute one row in the order of the graph, to find what fails first in it. */
static mg_status recount_row(const recount *c, mg_replay_failure *failure) {
    const mg_tape *tape = c->row.tape;
    double *const values = c->row.values;
    mg_status st = MG_OK;
    for (uint32_t i = 0; i < tape->n_entries && st == MG_OK; i++) {
        const mg_entry *e = &tape->entries[i];
        if (!c->needed[i] || e->op == MG_JOIN) continue;
        if (e->op == MG_LEAF) {
            values[i] = mg_row_leaf(&c->row, e);
        } else if (e->op == MG_FUNCTION) {
            st = mg_row_function(&c->row, i, MG_FUNCTION_VALUE, &values[i], failure);
        } else if (e->op == MG_TAKE) {
            const uint32_t candidate = mg_row_chosen(&c->row, e);
            if (candidate != UINT32_MAX) {
                values[i] = values[candidate];
                continue;
            }
            *failure = mg_row_bad_index(&c->row, i);
            st = MG_INDEX;
        } else {
            const double a = values[e->a], b = e->arity == 2 ? values[e->b] : e->k;
            values[i] = mg_op_value((mg_op)e->op, a, b, e->k, e->h, &st);
            if (st != MG_OK) *failure = (mg_replay_failure){.entry = i, .a = a, .b = b};
        }
    }
    return st == MG_OK && c->row.batch->backward ? recount_sweep(c, failure) : st;
}

mg_status mg_find_failure(const mg_strip *strip, mg_status st, mg_replay_failure *failure) {
    const mg_tape *tape = &strip->program->tape;
    const size_t n_inputs = tape->n_inputs, n_rows = strip->n_rows, n = tape->n_entries;
    const uint32_t n_results = mg_row_most_operands(tape);
    double *rows = mg_calloc(n_inputs * n_rows + tape->n_parameters + n + n_results, sizeof *rows);
    uint32_t *places = mg_calloc(3 * n, sizeof *places);
    uint8_t *marks = mg_calloc(2 * n, sizeof *marks);
    *failure = strip->failure;
    if (!rows || !places || !marks) {
        st = MG_NO_MEMORY;
    } else {
        double *const parameters = rows + n_inputs * n_rows;
        double *const values = parameters + tape->n_parameters;
        recount c = {.row = {.tape = tape,
                             .batch = strip->batch,
                             .parameters = parameters,
                             .values = values},
                     .needed = marks,
                     .reached = marks + n,
                     .results = values + n,
                     .order = places};
        find_needed(&c);
        mg_row_inputs(strip, rows);
        mg_row_parameters(strip->program, strip->workspace, parameters);
        if (strip->batch->backward)
            c.n_order =
                mg_tape_walk(tape->entries, tape->candidates, tape->outputs[strip->batch->output],
                             c.order, places + n, places + 2 * n);
        mg_status found = MG_OK;
        for (size_t r = 0; r < n_rows && found == MG_OK; r++) {
            c.row.inputs = rows + r * n_inputs;
            found = recount_row(&c, failure);
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
