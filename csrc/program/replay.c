/* Replays, strip by strip; program/replay.h says what they are. */
#include "program/replay.h"

#include "program/steps.h"
#include "program/tangent.h"

#include <string.h>

/* Put rows into the lanes of the input slots; lanes beyond the last row repeat it. */
static void load_rows(mg_strip *strip) {
    const mg_batch *batch = strip->batch;
    const size_t lanes = strip->workspace->lanes, n_rows = strip->n_rows;
    const ptrdiff_t row_stride = batch->row_stride;
    const char *const rows = batch->rows + (ptrdiff_t)strip->first_row * row_stride;
    for (uint32_t i = 0; i < strip->program->tape.n_inputs; i++) {
        double *const values = strip->workspace->values + i * lanes;
        const char *number = rows + (ptrdiff_t)i * batch->column_stride;
        for (size_t l = 0; l < n_rows; l++, number += row_stride)
            memcpy(&values[l], number, sizeof(double));
        for (size_t l = n_rows; l < lanes; l++) values[l] = values[n_rows - 1];
    }
}

static void give_values(const mg_strip *strip) {
    const mg_program *program = strip->program;
    const size_t lanes = strip->workspace->lanes, n_rows = strip->n_rows;
    const size_t n_outputs = program->tape.n_outputs;
    for (size_t o = 0; o < n_outputs; o++) {
        const double *values = strip->workspace->values + program->outputs[o] * lanes;
        double *out = strip->batch->values + strip->first_row * n_outputs + o;
        for (size_t l = 0; l < n_rows; l++, out += n_outputs) *out = values[l];
    }
}

static void seed(const mg_strip *strip, const mg_adjoint_plan *plan) {
    const mg_batch *batch = strip->batch;
    const size_t lanes = strip->workspace->lanes;
    double *root = strip->workspace->adjoints + plan->root * lanes;
    for (size_t l = 0; l < lanes; l++) {
        root[l] = 0.0;
        if (l < strip->n_rows)
            root[l] = batch->seeds ? batch->seeds[strip->first_row + l] : batch->seed;
    }
}

/* One row's gradient of a leaf that has several uses, on top of `start`. */
static double add_uses(const mg_strip *strip, const mg_adjoint_plan *plan, const mg_uses *uses,
                       size_t lane, double start) {
    const mg_slot *slots = plan->use_slots + uses->first;
    const double *adjoints = strip->workspace->adjoints + lane;
    for (uint32_t u = 0; u < uses->n; u++) start += adjoints[slots[u] * strip->workspace->lanes];
    return start;
}

static void give_input_gradients(const mg_strip *strip, const mg_adjoint_plan *plan) {
    const mg_workspace *workspace = strip->workspace;
    const uint32_t n_inputs = strip->program->tape.n_inputs;
    double *out = strip->batch->input_gradients + strip->first_row * n_inputs;
    for (size_t l = 0; l < strip->n_rows; l++) {
        for (uint32_t i = 0; i < n_inputs; i++) {
            const mg_slot slot = plan->input_slots[i];
            out[l * n_inputs + i] =
                slot == MG_NO_SLOT ? 0.0 : workspace->adjoints[slot * workspace->lanes + l];
        }
    }
    for (uint32_t i = 0; i < plan->n_inputs; i++)
        for (size_t l = 0; l < strip->n_rows; l++)
            out[l * n_inputs + plan->inputs[i].leaf] =
                add_uses(strip, plan, &plan->inputs[i], l, 0.0);
}

static void give_parameter_gradients(const mg_strip *strip, const mg_adjoint_plan *plan) {
    const mg_batch *batch = strip->batch;
    const size_t n_parameters = strip->program->tape.n_parameters;
    for (uint32_t i = 0; i < plan->n_parameters; i++) {
        const mg_uses *uses = &plan->parameters[i];
        for (size_t l = 0; l < strip->n_rows; l++) {
            if (batch->add_up && !batch->keep_shares)
                strip->workspace->sums[uses->leaf] =
                    add_uses(strip, plan, uses, l, strip->workspace->sums[uses->leaf]);
            if (batch->parameter_rows)
                batch->parameter_rows[(strip->first_row + l) * n_parameters + uses->leaf] =
                    add_uses(strip, plan, uses, l, 0.0);
        }
    }
}

/* The derivatives of the gradients, given as those are. */
static mg_status run_tangent(mg_strip *strip, const mg_adjoint_plan *plan) {
    const mg_tangent *tangent = strip->batch->tangent;
    const mg_batch batch = {.input_gradients = tangent->by_inputs,
                            .add_up = tangent->by_parameters};
    const mg_status st = mg_tangent_strip(strip, plan);
    if (st != MG_OK) return st;
    mg_strip dual = *strip;
    dual.workspace = tangent->dual;
    dual.batch = &batch;
    if (batch.input_gradients) give_input_gradients(&dual, plan);
    if (batch.add_up) give_parameter_gradients(&dual, plan);
    return MG_OK;
}

static mg_status run_strip(mg_strip *strip) {
    const mg_program *program = strip->program;
    const int first = strip->first_row == 0;
    strip->failure.in_sweep = 0;
    mg_status st = MG_OK;
    load_rows(strip);
    if (first) st = mg_steps_forward(strip, program->runs, program->n_uniform);
    if (st == MG_OK)
        st = mg_steps_forward(strip, program->runs + program->n_uniform, program->n_variable);
    if (st != MG_OK) return st;
    if (strip->batch->values) give_values(strip);
    if (!strip->batch->backward) return MG_OK;
    const mg_adjoint_plan *plan = &program->adjoint_plans[strip->batch->output];
    seed(strip, plan);
    if (strip->batch->tangent) return run_tangent(strip, plan);
    strip->failure.in_sweep = 1;
    st = mg_steps_backward(strip, plan);
    if (st != MG_OK) return st;
    if (strip->batch->input_gradients) give_input_gradients(strip, plan);
    give_parameter_gradients(strip, plan);
    return MG_OK;
}

/* Set the numbers that stay the same for all strips. */
static void fill_lanes(mg_workspace *workspace, const mg_program *program) {
    const size_t lanes = workspace->lanes;
    for (uint32_t i = 0; i < program->n_constants; i++)
        for (size_t l = 0; l < lanes; l++)
            workspace->values[program->constant_slots[i] * lanes + l] = program->constants[i];
    for (uint32_t i = 0; i < program->n_lane_parameters; i++)
        for (size_t l = 0; l < lanes; l++)
            workspace->values[program->parameter_slots[i] * lanes + l] = workspace->parameters[i];
    for (size_t l = 0; l < lanes; l++) {
        workspace->adjoints[MG_ADJOINT_ZERO * lanes + l] = 0.0;
        workspace->adjoints[MG_ADJOINT_MINUS_ZERO * lanes + l] = -0.0;
    }
}

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
    uint32_t *sweep;    /* entries above leaves, operands before users, from the output */
    uint32_t n_sweep;
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

/* The depth-first post-order from an output. `next` and `stack` have room for every entry. */
static void find_order(recount *c, uint32_t root, uint8_t *next, uint32_t *stack) {
    uint32_t depth = 0;
    stack[depth++] = root;
    while (depth > 0) {
        const uint32_t i = stack[depth - 1];
        const mg_entry *e = &c->tape->entries[i];
        if (next[i] < e->arity) {
            const uint32_t operand = next[i]++ == 0 ? e->a : e->b;
            if (next[operand] == 0 && c->tape->entries[operand].arity > 0)
                stack[depth++] = operand;
        } else {
            c->sweep[c->n_sweep++] = i;
            depth--;
        }
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
            *failure = (mg_replay_failure){0, i, a, b, 0};
            return st;
        }
    }
    for (uint32_t p = c->n_sweep; backward && p-- > 0;) {
        const uint32_t i = c->sweep[p];
        const mg_entry *e = &tape->entries[i];
        const double a = values[e->a], b = e->arity == 2 ? values[e->b] : e->k;
        st = mg_try_entry(e, a, b, values[i], 1);
        if (st != MG_OK) {
            *failure = (mg_replay_failure){0, i, a, b, 1};
            return st;
        }
    }
    return MG_OK;
}

/* A strip has failed with `st`: go through its rows one by one for the first that does. Where
 * none does, because `fast` has rounded otherwise, it is the strip's own account that counts. The
 * rows are taken from the lanes, as others may write to the caller's meanwhile. */
static mg_status find_failure(const mg_strip *strip, mg_status st, mg_replay_failure *failure) {
    const mg_tape *tape = &strip->program->tape;
    const mg_workspace *workspace = strip->workspace;
    const size_t n_inputs = tape->n_inputs, n_rows = strip->n_rows, n = tape->n_entries;
    double *room = mg_calloc(n_inputs * n_rows + tape->n_parameters + n, sizeof *room);
    uint32_t *sweep = mg_calloc(2 * n, sizeof *sweep);
    uint8_t *marks = mg_calloc(2 * n, sizeof *marks);
    *failure = strip->failure;
    if (!room || !sweep || !marks) {
        st = MG_NO_MEMORY;
    } else {
        double *const parameters = room + n_inputs * n_rows;
        recount c = {tape, parameters, parameters + tape->n_parameters, marks, sweep, 0};
        find_needed(&c);
        for (size_t r = 0; r < n_rows; r++)
            for (size_t i = 0; i < n_inputs; i++)
                room[r * n_inputs + i] = workspace->values[i * workspace->lanes + r];
        collect_parameters(strip->program, workspace, parameters);
        if (strip->batch->backward)
            find_order(&c, tape->outputs[strip->batch->output], marks + n, sweep + n);
        mg_status found = MG_OK;
        for (size_t r = 0; r < n_rows && found == MG_OK; r++) {
            found = recount_row(&c, room + r * n_inputs, strip->batch->backward, failure);
            if (found != MG_OK) {
                failure->row = strip->first_row + r;
                st = found;
            }
        }
    }
    mg_free(marks);
    mg_free(sweep);
    mg_free(room);
    return st;
}

/* Take the loops that a program's arithmetic wants from the instruction set in use. */
static void choose_loops(mg_strip *strip) {
    const mg_loops *const loops = mg_loops_current();
    const mg_fast_loops *const fast = loops->fast;
    const mg_arithmetic arithmetic = strip->program->arithmetic;
    const int single_lane = strip->workspace->lanes == 1;
    if (arithmetic == MG_EXACT_ARITHMETIC) {
        strip->tiles = &loops->tiles;
        strip->steps = single_lane ? &mg_single_lane : loops->steps;
    } else {
        strip->tiles = arithmetic == MG_SINGLE_ARITHMETIC ? &fast->single_tiles : &fast->tiles;
        strip->steps = single_lane ? fast->single_lane : fast->steps;
    }
}

mg_status mg_replay(const mg_program *program, mg_workspace *workspace, const mg_batch *batch,
                    mg_replay_failure *failure) {
    const size_t lanes = workspace->lanes;
    mg_strip strip = {.program = program, .workspace = workspace, .batch = batch};
    choose_loops(&strip);
    strip.lanes = (mg_lanes){.values = workspace->values,
                             .adjoints = workspace->adjoints,
                             .immediates = program->immediates,
                             .lanes = lanes};
    if (batch->tangent) {
        strip.lanes.value_dots = batch->tangent->dual->values;
        strip.lanes.adjoint_dots = batch->tangent->dual->adjoints;
    }
    fill_lanes(workspace, program);
    if (batch->tangent) mg_tangent_begin(program, batch->tangent);
    for (size_t row = 0; row < batch->n_rows; row += lanes) {
        strip.first_row = row;
        strip.n_rows = batch->n_rows - row < lanes ? batch->n_rows - row : lanes;
        const mg_status st = run_strip(&strip);
        if (strip.tangent_status != MG_OK) *failure = strip.failure;
        if (strip.tangent_status != MG_OK) return st;
        if (st != MG_OK) return find_failure(&strip, st, failure);
    }
    return MG_OK;
}
