/* A second way through a program, one row at a time; program/diagnose.h says what for. */
#include "program/diagnose.h"

#include "base/memory.h"
#include "program/functions.h"
#include "program/steps.h"

#include <math.h>
#include <string.h>

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
    const mg_batch *batch;
    double *parameters; /* as the workspace has them */
    double *values;     /* by entry */
    uint8_t *needed;    /* by an output; a tape from elsewhere may have more */
    uint8_t *reached;   /* entries that the sweep of a row comes to */
    int by_choice;      /* whether a row needs only what its choices lead to */
    uint8_t *states;    /* by entry: the first failure of each, in a row that goes on behind it */
    int excused;        /* whether a failure was found that its row does not need */
    uint32_t *order;    /* entries above leaves, operands before users, from the output */
    uint32_t n_order;
} recount;

static void find_needed(recount *c) {
    const mg_tape *tape = c->tape;
    for (uint32_t o = 0; o < tape->n_outputs; o++) c->needed[tape->outputs[o]] = 1;
    for (uint32_t i = tape->n_entries; i-- > 0;) {
        const uint32_t *operands;
        const uint32_t n = mg_entry_operands(&tape->entries[i], tape->candidates, &operands);
        for (uint32_t j = 0; c->needed[i] && j < n; j++) c->needed[operands[j]] = 1;
    }
}

/* The candidate that a row chooses, or UINT32_MAX. */
static uint32_t chosen(const recount *c, const mg_entry *take) {
    const mg_entry *join = &c->tape->entries[take->a];
    const uint32_t place = mg_place(c->values[take->b], join->b);
    return place == join->b ? UINT32_MAX : c->tape->candidates[join->a + place];
}

static mg_status recount_take(const recount *c, uint32_t i, mg_replay_failure *failure) {
    const mg_entry *e = &c->tape->entries[i];
    const uint32_t candidate = chosen(c, e);
    if (candidate == UINT32_MAX) {
        *failure =
            (mg_replay_failure){.entry = i, .a = c->values[e->b], .b = c->tape->entries[e->a].b};
        return MG_INDEX;
    }
    c->values[i] = c->values[candidate];
    return MG_OK;
}

static mg_status recount_function(const recount *c, uint32_t i, mg_function_part part,
                                  mg_replay_failure *failure) {
    const mg_entry *e = &c->tape->entries[i];
    double *const room = mg_calloc(e->b + mg_function_results(part, e->b), sizeof *room);
    if (!room) return MG_NO_MEMORY;
    for (uint32_t j = 0; j < e->b; j++) room[j] = c->values[c->tape->candidates[e->a + j]];
    mg_function_call call = {.function = (uint32_t)e->k,
                             .part = part,
                             .n_rows = 1,
                             .operands = room,
                             .results = room + e->b,
                             .goes_on = c->batch->goes_on};
    const mg_status st = c->batch->functions->call(c->batch->functions->context, &call);
    if (st == MG_OK && part == MG_FUNCTION_VALUE) c->values[i] = *call.results;
    *failure = (mg_replay_failure){
        .entry = i, .a = (double)call.reason, .derivative = part != MG_FUNCTION_VALUE};
    mg_free(room);
    return st;
}

/* Go through the sweep of one row. */
static mg_status recount_sweep(const recount *c, mg_replay_failure *failure) {
    const mg_tape *tape = c->tape;
    const double *const values = c->values;
    memset(c->reached, 0, tape->n_entries);
    if (c->n_order > 0) c->reached[c->order[c->n_order - 1]] = 1;
    for (uint32_t p = c->n_order; p-- > 0;) {
        const uint32_t i = c->order[p];
        const mg_entry *e = &tape->entries[i];
        if (!c->reached[i]) continue;
        if (e->op == MG_TAKE) {
            c->reached[chosen(c, e)] = 1;
            continue;
        }
        const uint32_t *operands;
        const uint32_t n_operands = mg_entry_operands(e, tape->candidates, &operands);
        for (uint32_t j = 0; j < n_operands; j++) c->reached[operands[j]] = 1;
        if (e->op == MG_FUNCTION) {
            const mg_status st = recount_function(c, i, MG_FUNCTION_SLOPES, failure);
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

static double leaf_value(const recount *c, const mg_entry *e, const double *inputs) {
    return e->leaf == MG_INPUT ? inputs[e->a] : e->leaf == MG_FREE ? c->parameters[e->a] : e->k;
}

/* Mark what a row needs, whose values are known, as `reached`. */
static void find_chosen(const recount *c) {
    const mg_tape *tape = c->tape;
    memset(c->reached, 0, tape->n_entries);
    for (uint32_t o = 0; o < tape->n_outputs; o++) c->reached[tape->outputs[o]] = 1;
    for (uint32_t i = tape->n_entries; i-- > 0;) {
        const mg_entry *e = &tape->entries[i];
        if (!c->reached[i]) continue;
        if (e->op == MG_TAKE) {
            const uint32_t candidate = chosen(c, e);
            c->reached[e->b] = 1;
            if (candidate != UINT32_MAX) c->reached[candidate] = 1;
            continue;
        }
        const uint32_t *operands;
        const uint32_t n_operands = mg_entry_operands(e, tape->candidates, &operands);
        const int is_closed = e->op == MG_KEEP && c->values[e->b] == 0.0;
        for (uint32_t j = is_closed; j < n_operands; j++) c->reached[operands[j]] = 1;
    }
}

/* Compute one row to its end, and find what fails first among what it needs. */
static mg_status recount_by_choice(recount *c, const double *inputs, mg_replay_failure *failure) {
    const mg_tape *tape = c->tape;
    double *const values = c->values;
    for (uint32_t i = 0; i < tape->n_entries; i++) {
        const mg_entry *e = &tape->entries[i];
        mg_status st = MG_OK;
        if (!c->needed[i] || e->op == MG_JOIN) {
            values[i] = 0.0;
        } else if (e->op == MG_LEAF) {
            values[i] = leaf_value(c, e, inputs);
        } else if (e->op == MG_TAKE) {
            const uint32_t candidate = chosen(c, e);
            values[i] = candidate == UINT32_MAX ? NAN : values[candidate];
            if (candidate == UINT32_MAX) st = MG_INDEX;
        } else {
            const double b = e->arity == 2 ? values[e->b] : e->k;
            values[i] = mg_op_value((mg_op)e->op, values[e->a], b, e->k, e->h, &st);
        }
        c->states[i] = (uint8_t)st;
    }
    find_chosen(c);
    for (uint32_t i = 0; i < tape->n_entries; i++) {
        const mg_entry *e = &tape->entries[i];
        const mg_status st = (mg_status)c->states[i];
        if (st == MG_OK) continue;
        if (!c->reached[i]) {
            c->excused = 1;
            continue;
        }
        *failure =
            e->op == MG_TAKE
                ? (mg_replay_failure){.entry = i, .a = values[e->b], .b = tape->entries[e->a].b}
                : (mg_replay_failure){
                      .entry = i, .a = values[e->a], .b = e->arity == 2 ? values[e->b] : e->k};
        return st;
    }
    return MG_OK;
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
            values[i] = leaf_value(c, e, inputs);
            continue;
        }
        if (e->op == MG_JOIN) continue;
        if (e->op == MG_TAKE) {
            st = recount_take(c, i, failure);
            if (st != MG_OK) return st;
            continue;
        }
        if (e->op == MG_FUNCTION) {
            st = recount_function(c, i, MG_FUNCTION_VALUE, failure);
            if (st != MG_OK) return st;
            continue;
        }
        const double a = values[e->a], b = e->arity == 2 ? values[e->b] : e->k;
        values[i] = mg_op_value((mg_op)e->op, a, b, e->k, e->h, &st);
        if (st != MG_OK) {
            *failure = (mg_replay_failure){.entry = i, .a = a, .b = b};
            return st;
        }
    }
    return backward ? recount_sweep(c, failure) : MG_OK;
}

mg_status mg_find_failure(const mg_strip *strip, mg_status st, mg_replay_failure *failure) {
    const mg_tape *tape = &strip->program->tape;
    const mg_workspace *workspace = strip->workspace;
    const size_t n_inputs = tape->n_inputs, n_rows = strip->n_rows, n = tape->n_entries;
    double *rows = mg_calloc(n_inputs * n_rows + tape->n_parameters + n, sizeof *rows);
    uint32_t *places = mg_calloc(3 * n, sizeof *places);
    uint8_t *marks = mg_calloc(3 * n, sizeof *marks);
    *failure = strip->failure;
    if (!rows || !places || !marks) {
        st = MG_NO_MEMORY;
    } else {
        recount c = {.tape = tape,
                     .batch = strip->batch,
                     .parameters = rows + n_inputs * n_rows,
                     .values = rows + n_inputs * n_rows + tape->n_parameters,
                     .needed = marks,
                     .reached = marks + n,
                     .states = marks + 2 * n,
                     .by_choice = !strip->batch->backward && !strip->batch->tangent &&
                                  tape->n_functions == 0,
                     .order = places};
        find_needed(&c);
        for (size_t r = 0; r < n_rows; r++)
            for (size_t i = 0; i < n_inputs; i++)
                rows[r * n_inputs + i] = workspace->values[i * workspace->lanes + r];
        collect_parameters(strip->program, workspace, c.parameters);
        if (strip->batch->backward)
            c.n_order =
                mg_tape_walk(tape->entries, tape->candidates, tape->outputs[strip->batch->output],
                             c.order, places + n, places + 2 * n);
        mg_status found = MG_OK;
        for (size_t r = 0; r < n_rows && found == MG_OK; r++) {
            const double *const row = rows + r * n_inputs;
            found = c.by_choice ? recount_by_choice(&c, row, failure)
                                : recount_row(&c, row, strip->batch->backward, failure);
            if (found != MG_OK) {
                failure->row = strip->first_row + r;
                st = found;
            }
        }
        if (found == MG_OK && c.excused) st = MG_OK;
    }
    mg_free(marks);
    mg_free(places);
    mg_free(rows);
    return st;
}
