/* Gathering and scattering around the loops over sums; program/blocks.h says more. */
#include "program/blocks.h"

#include <string.h>

const double *mg_sums_gather(const double *from, const mg_slot *slots, mg_slot first, size_t n,
                             size_t lanes, double *room) {
    if (first != MG_NO_SLOT) return from + first * lanes;
    for (size_t i = 0; i < n; i++)
        memcpy(room + i * lanes, from + slots[i] * lanes, lanes * sizeof(double));
    return room;
}

void mg_forward_block(mg_strip *strip, const mg_sums *block) {
    mg_workspace *workspace = strip->workspace;
    const size_t lanes = workspace->lanes, n_in = block->n_in, stride = n_in + 1;
    double *const w = workspace->weights + block->weights;
    double *const out = workspace->values + block->out * lanes;
    const double *x = mg_sums_gather(workspace->values, block->x, block->x_first, n_in, lanes,
                                     workspace->scratch);
    if (lanes == 1) {
        for (size_t r = 0; block->start && r < block->n_rows; r++)
            w[r * stride + n_in] = workspace->values[block->start[r]];
        mg_loops_current()->rows.forward(w, stride, block->n_rows, x, n_in, out);
        return;
    }
    for (size_t r = 0; r < block->n_rows; r++) {
        const double *start = block->start ? workspace->values + block->start[r] * lanes : NULL;
        for (size_t l = 0; l < lanes; l++)
            out[r * lanes + l] = start ? start[l] : w[r * stride + n_in];
    }
    strip->tiles->sum_rows(w, stride, block->n_rows, x, lanes, n_in, out, workspace->tile_room);
}

/* The gradients that the inner nodes have: each starts from 0. */
static void take_gradients(const mg_strip *strip, const mg_back_sums *block, double *g) {
    const size_t lanes = strip->workspace->lanes;
    for (size_t r = 0; r < block->n_rows; r++) {
        const double *from = strip->workspace->adjoints + block->g[r] * lanes;
        for (size_t l = 0; l < lanes; l++) g[r * lanes + l] = 0.0 + from[l];
    }
}

static void give_start_shares(const mg_strip *strip, const mg_back_sums *block, const double *g) {
    const size_t lanes = strip->workspace->lanes;
    double *const adjoints = strip->workspace->adjoints;
    for (size_t r = 0; r < block->n_rows; r++) {
        const double *from = adjoints + block->start_from[r] * lanes;
        double *to = adjoints + block->start_to[r] * lanes;
        for (size_t l = 0; l < lanes; l++) to[l] = from[l] + g[r * lanes + l];
    }
}

/* Each share of a weight into the slot of its use. */
static void give_weight_shares(const mg_strip *strip, const mg_back_sums *block, const double *x,
                               const double *g) {
    const size_t lanes = strip->workspace->lanes, n_in = block->n_in;
    double *const adjoints = strip->workspace->adjoints;
    const mg_slot *to = block->w_to;
    for (size_t r = 0; r < block->n_rows; r++, to += n_in + 1) {
        for (size_t i = 0; i < n_in; i++)
            for (size_t l = 0; l < lanes; l++)
                adjoints[to[i] * lanes + l] = x[i * lanes + l] * g[r * lanes + l];
        memcpy(adjoints + to[n_in] * lanes, g + r * lanes, lanes * sizeof(double));
    }
}

/* A gradient for each row and parameter. */
static void give_parameter_rows(const mg_strip *strip, const mg_back_sums *block, const double *x,
                                const double *g) {
    const mg_program *program = strip->program;
    const size_t lanes = strip->workspace->lanes, n_in = block->n_in;
    const size_t n_parameters = program->tape.n_parameters;
    double *const out = strip->batch->parameter_rows + strip->first_row * n_parameters;
    for (size_t r = 0; r < block->n_rows; r++) {
        for (size_t i = 0; i <= n_in; i++) {
            const uint32_t parameter = program->weight_parameters[block->weights[r] + i];
            if (parameter == UINT32_MAX) continue;
            for (size_t l = 0; l < strip->n_rows; l++)
                out[l * n_parameters + parameter] =
                    0.0 + (i < n_in ? x[i * lanes + l] : 1.0) * g[r * lanes + l];
        }
    }
}

size_t mg_sums_transpose(const double *x, size_t n_in, size_t lanes, size_t n_lanes, double last,
                         double *to) {
    const size_t stride = (n_in + 1 + 7) / 8 * 8;
    mg_loops_current()->transpose(x, n_in, lanes, n_lanes, to, stride);
    for (size_t l = 0; l < n_lanes; l++)
        for (size_t i = n_in; i < stride; i++) to[l * stride + i] = last;
    return stride;
}

static void backward_single(mg_strip *strip, const mg_back_sums *block, const double *x,
                            const double *g, double *x_gradient, mg_weight_row *rows) {
    const mg_workspace *workspace = strip->workspace;
    const size_t n_in = block->n_in;
    const mg_batch *batch = strip->batch;
    const int add_up = mg_adds_up(batch) && !block->w_to;
    for (size_t r = 0; r < block->n_rows; r++) {
        rows[r] = (mg_weight_row){workspace->weights + block->weights[r],
                                  workspace->gradients + block->weights[r], g[r]};
        if (add_up) rows[r].w_grad[n_in] += g[r];
        if (batch->leaves_shares) workspace->row_gradients[block->first_row + r] = g[r];
    }
    if (add_up)
        mg_loops_current()->rows.backward(rows, block->n_rows, x, x_gradient, n_in);
    else if (x_gradient)
        mg_loops_current()->rows.backward_inputs(rows, block->n_rows, x_gradient, n_in);
}

void mg_backward_block(mg_strip *strip, const mg_back_sums *block) {
    mg_workspace *workspace = strip->workspace;
    const mg_batch *batch = strip->batch;
    const size_t lanes = workspace->lanes, n_in = block->n_in;
    double *room = workspace->scratch, *const adjoints = workspace->adjoints;
    double *const g = room;
    room += block->n_rows * lanes;
    take_gradients(strip, block, g);
    if (block->start_to) give_start_shares(strip, block, g);
    const double *x =
        mg_sums_gather(workspace->values, block->x, block->x_first, n_in, lanes, room);
    room += n_in * lanes;
    if (block->w_to)
        give_weight_shares(strip, block, x, g);
    else if (batch->parameter_rows)
        give_parameter_rows(strip, block, x, g);

    const int for_inputs = block->x_to && (!block->x_inputs_only || batch->input_gradients);
    double *x_gradient = NULL;
    if (for_inputs && block->x_to_first != MG_NO_SLOT) {
        x_gradient = adjoints + block->x_to_first * lanes;
        memset(x_gradient, 0, n_in * lanes * sizeof(double));
    } else if (for_inputs) {
        x_gradient = room;
        mg_sums_gather(adjoints, block->x_from, MG_NO_SLOT, n_in, lanes, x_gradient);
        room += n_in * lanes;
    }
    if (lanes == 1) {
        backward_single(strip, block, x, g, x_gradient, (mg_weight_row *)room);
    } else {
        if (x_gradient)
            strip->tiles->add_to_inputs(workspace->weights, block->weights, block->n_rows, g,
                                        lanes, x_gradient, n_in, workspace->tile_room);
        if (mg_adds_up(batch) && !block->w_to) {
            const size_t stride = mg_sums_transpose(x, n_in, lanes, strip->n_rows, 1.0, room);
            strip->tiles->add_to_weights(workspace->gradients, block->weights, block->n_rows, g,
                                         lanes, room, stride, n_in + 1, strip->n_rows,
                                         workspace->tile_room);
        }
    }
    if (for_inputs && block->x_to_first == MG_NO_SLOT)
        for (size_t i = 0; i < n_in; i++)
            memcpy(adjoints + block->x_to[i] * lanes, x_gradient + i * lanes,
                   lanes * sizeof(double));
}
