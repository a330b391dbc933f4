/* Forward-over-reverse on a strip; program/tangent.h says what it gives. */
#include "program/tangent.h"

#include "program/blocks.h"
#include "program/functions.h"
#include "program/steps.h"
#include "program/takes.h"

#include <string.h>

/* What has failed in a lane, of that which counts there: a slope, going forward where an operand
 * moves, and always on the way back; then a second derivative, where an operand moves. */
static mg_status what_failed(const mg_strip *strip, const mg_entry *e, mg_slot a, mg_slot b,
                             double y, mg_slot g, size_t lane, mg_replay_failure *failure) {
    const mg_workspace *dual = strip->batch->tangent->dual;
    const size_t lanes = dual->lanes;
    const int a_moves = dual->values[a * lanes + lane] != 0.0;
    const int b_moves = e->arity == 2 && dual->values[b * lanes + lane] != 0.0;
    if (g == MG_NO_SLOT && !a_moves && !b_moves) return MG_OK;
    mg_status st = mg_try_entry(e, failure->a, failure->b, y, 1);
    failure->derivative = 1;
    if (st != MG_OK || g == MG_NO_SLOT) return st;
    failure->derivative = 2;
    mg_op_second((mg_op)e->op, failure->a, failure->b, e->k, e->h, y, a_moves, b_moves, &st);
    return st;
}

/* A step has failed in some lane. The others go on, because an earlier row may yet fail in a later
 * step. */
static mg_status note_failure(void *context, uint32_t entry, mg_slot a, mg_slot b, mg_slot y,
                              mg_slot g) {
    mg_strip *const strip = context;
    const mg_entry *e = &strip->program->entries[entry];
    const double *const values = strip->workspace->values;
    const size_t lanes = strip->workspace->lanes;
    if (e->arity < 2) b = a;
    for (size_t l = 0; l < strip->n_rows; l++) {
        const size_t row = strip->first_row + l;
        if (strip->tangent_status != MG_OK && row >= strip->failure.row) break;
        const double other = e->arity == 2 ? values[b * lanes + l] : e->k;
        mg_replay_failure failure = {row, entry, values[a * lanes + l], other, 0};
        const mg_status found = what_failed(strip, e, a, b, values[y * lanes + l], g, l, &failure);
        if (found == MG_OK) continue;
        strip->failure = failure;
        strip->tangent_status = found;
    }
    return MG_OK;
}

static void fill(double *numbers, mg_slot slot, size_t lanes, double number) {
    for (size_t l = 0; l < lanes; l++) numbers[slot * lanes + l] = number;
}

void mg_tangent_begin(const mg_program *program, const mg_tangent *tangent) {
    mg_workspace *dual = tangent->dual;
    const size_t lanes = dual->lanes;
    const double *const inputs = tangent->input_direction;
    const double *const parameters = tangent->parameter_direction;
    for (uint32_t place = 0; place < program->n_weights; place++) {
        const uint32_t p = program->weight_parameters[place];
        dual->weights[place] = parameters && p != UINT32_MAX ? parameters[p] : 0.0;
    }
    for (uint32_t i = 0; i < program->tape.n_inputs; i++)
        fill(dual->values, i, lanes, inputs ? inputs[i] : 0.0);
    for (uint32_t i = 0; i < program->n_constants; i++)
        fill(dual->values, program->constant_slots[i], lanes, 0.0);
    for (uint32_t i = 0; i < program->n_lane_parameters; i++)
        fill(dual->values, program->parameter_slots[i], lanes,
             parameters ? parameters[program->lane_parameters[i]] : 0.0);
    fill(dual->adjoints, MG_ADJOINT_ZERO, lanes, 0.0);
    fill(dual->adjoints, MG_ADJOINT_MINUS_ZERO, lanes, 0.0);
    mg_workspace_zero_gradients(dual, program);
}

/* The derivative of a sum is that of its products' two factors. */
static void forward_block(mg_strip *strip, const mg_sums *block) {
    const mg_workspace *workspace = strip->workspace;
    const mg_tangent *tangent = strip->batch->tangent;
    const mg_workspace *dual = tangent->dual;
    const size_t lanes = workspace->lanes, n_in = block->n_in, stride = n_in + 1;
    const double *const w = workspace->weights + block->weights;
    const double *const w_dot = dual->weights + block->weights;
    const double *x = mg_sums_gather(workspace->values, block->x, block->x_first, n_in, lanes,
                                     workspace->scratch);
    const double *x_dot =
        mg_sums_gather(dual->values, block->x, block->x_first, n_in, lanes, dual->scratch);
    double *const out = dual->values + block->out * lanes;
    for (size_t r = 0; r < block->n_rows; r++) {
        const double *start = block->start ? dual->values + block->start[r] * lanes : NULL;
        for (size_t l = 0; l < lanes; l++)
            out[r * lanes + l] = start ? start[l] : w_dot[r * stride + n_in];
    }
    strip->tiles->sum_rows(w, stride, block->n_rows, x_dot, lanes, n_in, out, dual->tile_room);
    if (tangent->parameter_direction)
        strip->tiles->sum_rows(w_dot, stride, block->n_rows, x, lanes, n_in, out, dual->tile_room);
}

static void take_gradients(const double *adjoints, const mg_back_sums *block, size_t lanes,
                           double *g) {
    for (size_t r = 0; r < block->n_rows; r++)
        memcpy(g + r * lanes, adjoints + block->g[r] * lanes, lanes * sizeof(double));
}

/* The derivatives of the weights' gradients x * g: in their uses, or added up at their places. */
static void give_weight_shares(const mg_strip *strip, const mg_back_sums *block, const double *x,
                               const double *x_dot, const double *g, const double *g_dot,
                               double *room) {
    const mg_workspace *dual = strip->batch->tangent->dual;
    const size_t lanes = dual->lanes, n_in = block->n_in;
    if (block->w_to) {
        const mg_slot *to = block->w_to;
        for (size_t r = 0; r < block->n_rows; r++, to += n_in + 1) {
            for (size_t i = 0; i < n_in; i++)
                for (size_t l = 0; l < lanes; l++)
                    dual->adjoints[to[i] * lanes + l] = x[i * lanes + l] * g_dot[r * lanes + l] +
                                                        x_dot[i * lanes + l] * g[r * lanes + l];
            memcpy(dual->adjoints + to[n_in] * lanes, g_dot + r * lanes, lanes * sizeof(double));
        }
        return;
    }
    const size_t n_lanes = strip->n_rows;
    size_t stride = mg_sums_transpose(x, n_in, lanes, n_lanes, 1.0, room);
    strip->tiles->add_to_weights(dual->gradients, block->weights, block->n_rows, g_dot, lanes,
                                 room, stride, n_in + 1, n_lanes, dual->tile_room);
    stride = mg_sums_transpose(x_dot, n_in, lanes, n_lanes, 0.0, room);
    strip->tiles->add_to_weights(dual->gradients, block->weights, block->n_rows, g, lanes, room,
                                 stride, n_in + 1, n_lanes, dual->tile_room);
}

/* The derivatives first: what they need of the gradients is overwritten with those. */
static void backward_block(mg_strip *strip, const mg_back_sums *block) {
    const mg_workspace *workspace = strip->workspace;
    const mg_tangent *tangent = strip->batch->tangent;
    mg_workspace *dual = tangent->dual;
    const size_t lanes = workspace->lanes, n_in = block->n_in, n_rows = block->n_rows;
    double *const g = workspace->scratch, *const g_dot = dual->scratch;
    take_gradients(workspace->adjoints, block, lanes, g);
    take_gradients(dual->adjoints, block, lanes, g_dot);
    for (size_t r = 0; block->start_to && r < n_rows; r++) {
        const double *from = dual->adjoints + block->start_from[r] * lanes;
        double *to = dual->adjoints + block->start_to[r] * lanes;
        for (size_t l = 0; l < lanes; l++) to[l] = from[l] + g_dot[r * lanes + l];
    }
    const double *x = mg_sums_gather(workspace->values, block->x, block->x_first, n_in, lanes,
                                     g + n_rows * lanes);
    double *room = g_dot + n_rows * lanes;
    const double *x_dot =
        mg_sums_gather(dual->values, block->x, block->x_first, n_in, lanes, room);
    room += n_in * lanes;
    if (tangent->by_parameters) give_weight_shares(strip, block, x, x_dot, g, g_dot, room);
    if (block->x_to && (!block->x_inputs_only || tangent->by_inputs)) {
        mg_sums_gather(dual->adjoints, block->x_from, MG_NO_SLOT, n_in, lanes, room);
        strip->tiles->add_to_inputs(workspace->weights, block->weights, n_rows, g_dot, lanes, room,
                                    n_in, dual->tile_room);
        if (tangent->parameter_direction)
            strip->tiles->add_to_inputs(dual->weights, block->weights, n_rows, g, lanes, room,
                                        n_in, dual->tile_room);
        for (size_t i = 0; i < n_in; i++)
            memcpy(dual->adjoints + block->x_to[i] * lanes, room + i * lanes,
                   lanes * sizeof(double));
    }
    mg_backward_block(strip, block);
}

/* A choice is linear in its candidates. */
static void backward_takes(mg_strip *strip, const mg_back_take *takes, uint32_t n) {
    mg_takes_backward(strip, strip->batch->tangent->dual->adjoints, takes, n);
    mg_takes_backward(strip, strip->workspace->adjoints, takes, n);
}

static void forward(mg_strip *strip, const mg_lanes *in, const mg_step_run *runs,
                    uint32_t n_runs) {
    const mg_program *program = strip->program;
    for (uint32_t i = 0, n = 0; i < n_runs; i += n) {
        n = mg_runs_of_steps(runs + i, n_runs - i);
        if (n > 0) {
            mg_loops_current()->tangents->forward(in, runs + i, n, program->steps);
            continue;
        }
        n = 1;
        if (runs[i].op == MG_TAKE)
            mg_takes_tangents(strip, program->steps + runs[i].first, runs[i].n);
        else if (runs[i].op == MG_FUNCTION)
            mg_functions_tangents(strip, program->steps + runs[i].first, runs[i].n);
        else
            forward_block(strip, &program->sums[runs[i].first]);
    }
}

static void backward(mg_strip *strip, const mg_lanes *in, const mg_adjoint_plan *plan) {
    for (uint32_t i = 0, n = 0; i < plan->n_runs; i += n) {
        const mg_step_run *const runs = plan->runs + i;
        n = mg_runs_of_steps(runs, plan->n_runs - i);
        if (n > 0) {
            mg_loops_current()->tangents->backward(in, runs, n, plan->steps);
            continue;
        }
        n = 1;
        if (runs->op == MG_TAKE)
            backward_takes(strip, plan->takes + runs->first, runs->n);
        else if (runs->op == MG_FUNCTION)
            mg_functions_backward_tangents(strip, plan->functions + runs->first, runs->n);
        else
            backward_block(strip, &plan->sums[runs->first]);
    }
}

static mg_lanes lanes_of(mg_strip *strip) {
    mg_lanes lanes = strip->lanes;
    if (!strip->batch->goes_on) lanes.on_failure = note_failure;
    return lanes;
}

mg_status mg_tangent_forward(mg_strip *strip) {
    const mg_program *program = strip->program;
    const mg_lanes lanes = lanes_of(strip);
    strip->tangent_status = MG_OK;
    if (!strip->uniform_tangents) forward(strip, &lanes, program->runs, program->n_uniform);
    strip->uniform_tangents = strip->tangent_status == MG_OK;
    forward(strip, &lanes, program->runs + program->n_uniform, program->n_variable);
    return strip->tangent_status;
}

mg_status mg_tangent_strip(mg_strip *strip, const mg_adjoint_plan *plan) {
    const mg_lanes lanes = lanes_of(strip);
    mg_tangent_forward(strip);
    fill(strip->batch->tangent->dual->adjoints, plan->root, strip->workspace->lanes, 0.0);
    backward(strip, &lanes, plan);
    return strip->tangent_status;
}
