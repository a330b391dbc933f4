/* What the ways through single rows share; program/row.h says more. */
#include "program/row.h"

#include "base/memory.h"

#include <string.h>

void mg_row_parameters(const mg_program *program, const mg_workspace *workspace,
                       double *parameters) {
    for (uint32_t i = 0; i < program->n_weights; i++)
        if (program->weight_parameters[i] != UINT32_MAX)
            parameters[program->weight_parameters[i]] = workspace->weights[i];
    for (uint32_t i = 0; i < program->n_lane_parameters; i++)
        parameters[program->lane_parameters[i]] = workspace->parameters[i];
}

void mg_row_inputs(const mg_strip *strip, double *inputs) {
    const mg_workspace *workspace = strip->workspace;
    const size_t n_inputs = strip->program->tape.n_inputs;
    for (size_t r = 0; r < strip->n_rows; r++)
        for (size_t i = 0; i < n_inputs; i++)
            inputs[r * n_inputs + i] = workspace->values[i * workspace->lanes + r];
}

double mg_row_leaf(const mg_row *row, const mg_entry *leaf) {
    if (leaf->leaf == MG_INPUT) return row->inputs[leaf->a];
    return leaf->leaf == MG_FREE ? row->parameters[leaf->a] : leaf->k;
}

uint32_t mg_row_chosen(const mg_row *row, const mg_entry *take) {
    const mg_entry *join = &row->tape->entries[take->a];
    const uint32_t place = mg_place(row->values[take->b], join->b);
    return place == join->b ? UINT32_MAX : row->tape->candidates[join->a + place];
}

mg_status mg_row_function(const mg_row *row, uint32_t i, mg_function_part part, double *results,
                          mg_replay_failure *failure) {
    const mg_entry *e = &row->tape->entries[i];
    const size_t n_results = mg_function_results(part, e->b);
    memset(results, 0, n_results * sizeof *results);
    double *const room = mg_calloc(e->b + n_results, sizeof *room);
    if (!room) return MG_NO_MEMORY;
    for (uint32_t j = 0; j < e->b; j++) room[j] = row->values[row->tape->candidates[e->a + j]];
    mg_function_call call = {.function = (uint32_t)e->k,
                             .part = part,
                             .n_rows = 1,
                             .operands = room,
                             .results = room + e->b,
                             .goes_on = row->batch->goes_on};
    const mg_functions *functions = row->batch->functions;
    const mg_status st = functions->call(functions->context, &call);
    if (st == MG_OK) memcpy(results, call.results, n_results * sizeof *results);
    *failure = (mg_replay_failure){.entry = i, .a = (double)call.reason, .derivative = (int)part};
    mg_free(room);
    return st;
}

uint32_t mg_row_most_operands(const mg_tape *tape) {
    uint32_t most = 0;
    if (tape->n_functions == 0) return 0;
    for (uint32_t i = 0; i < tape->n_entries; i++)
        if (tape->entries[i].op == MG_FUNCTION && tape->entries[i].b > most)
            most = tape->entries[i].b;
    return most;
}

mg_replay_failure mg_row_bad_index(const mg_row *row, uint32_t take) {
    const mg_entry *e = &row->tape->entries[take];
    return (mg_replay_failure){
        .entry = take, .a = row->values[e->b], .b = row->tape->entries[e->a].b};
}
