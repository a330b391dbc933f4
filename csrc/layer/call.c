/* Forward and backward of a call; layer/call.h has the contracts. */
#include "layer/call.h"

#include "loops/loops.h"

#include <string.h>

mg_call *mg_call_new(mg_layer_block *block, uint32_t first_row, uint32_t n_rows,
                     mg_activation activation, int with_values) {
    const size_t n_in = block->n_in;
    size_t size = sizeof(mg_call) + (n_in + 2 * (size_t)n_rows) * sizeof(double) +
                  (n_rows + (with_values ? n_in : 0)) * sizeof(mg_node) + n_rows;
    mg_call *call = mg_realloc(NULL, size);
    if (!call) return NULL;
    *call = (mg_call){.block = block,
                      .first_row = first_row,
                      .n_rows = n_rows,
                      .n_in = block->n_in,
                      .activation = activation};
    call->x = (double *)(call + 1);
    call->pre = call->x + n_in;
    call->inner_grad = call->pre + n_rows;
    call->neurons = (mg_node *)(call->inner_grad + n_rows);
    call->inputs = with_values ? call->neurons + n_rows : NULL;
    call->propagated = (uint8_t *)(call->neurons + n_rows + (with_values ? n_in : 0));
    return call;
}

void mg_call_free(mg_call *call) { mg_free(call); }

/* values[r] = activation(sums[r]); the two may be one array. */
static mg_status activate(mg_activation activation, const double *sums, uint32_t n, double *values,
                          double *failed_pre) {
    if (activation.op == MG_LEAF) {
        if (values != sums) memcpy(values, sums, n * sizeof *values);
        return MG_OK;
    }
    if (activation.op == MG_RELU) {
        for (uint32_t r = 0; r < n; r++)
            values[r] = mg_op_value(MG_RELU, sums[r], 0.0, 0.0, 0.0, NULL);
        return MG_OK;
    }
    for (uint32_t r = 0; r < n; r++) {
        mg_status st = MG_OK;
        double sum = sums[r];
        values[r] = mg_op_value(activation.op, sum, 0.0, activation.k, 0.0, &st);
        if (st != MG_OK) {
            *failed_pre = sum;
            return st;
        }
    }
    return MG_OK;
}

mg_status mg_call_values(const mg_arena *arena, const mg_layer_block *block, uint32_t first_row,
                         uint32_t n_rows, mg_activation activation, const double *x,
                         double *values, double *failed_pre) {
    mg_loops_current()->rows.forward(arena->data + mg_parameter(block, first_row, 0),
                                     mg_row_length(block), n_rows, x, block->n_in, values);
    return activate(activation, values, n_rows, values, failed_pre);
}

void mg_call_find_duplicates(mg_arena *arena, mg_call *call) {
    call->duplicates = 0;
    if (!call->inputs) return;
    mg_arena_next_epoch(arena);
    for (uint32_t i = 0; i < call->n_in; i++) {
        if (call->inputs[i] == MG_NO_NODE) continue;
        uint32_t *mark = &arena->mark[call->inputs[i]];
        if (*mark == arena->epoch) call->duplicates = 1;
        *mark = arena->epoch;
    }
}

/* The first of the inputs if they are neighbours, as the neurons of a call mostly are. */
static mg_node first_neighbour(const mg_call *call) {
    if (!call->inputs || call->inputs[0] == MG_NO_NODE) return MG_NO_NODE;
    for (uint32_t i = 1; i < call->n_in; i++)
        if (call->inputs[i] != call->inputs[0] + i) return MG_NO_NODE;
    return call->inputs[0];
}

mg_status mg_call_forward(mg_arena *arena, mg_call *call, double *failed_pre) {
    mg_layer_block *block = call->block;
    const uint32_t n = call->n_rows;
    mg_loops_current()->rows.forward(arena->data + mg_parameter(block, call->first_row, 0),
                                     mg_row_length(block), n, call->x, call->n_in, call->pre);
    /* The values wait in inner_grad until their nodes exist. */
    mg_status st = activate(call->activation, call->pre, n, call->inner_grad, failed_pre);
    if (st != MG_OK) return st;
    if (mg_arena_reserve(arena, n) != MG_OK || !mg_current_weights(block)) return MG_NO_MEMORY;

    for (uint32_t r = 0; r < n; r++) {
        mg_node neuron = mg_arena_take(arena);
        arena->data[neuron] = call->inner_grad[r];
        arena->grad[neuron] = 0.0;
        arena->operands[neuron] = (mg_operands){r, MG_NO_NODE};
        arena->meta[neuron] = (mg_meta){0, MG_NEURON, MG_FUSED, 0, 0};
        arena->aux[neuron].call = call;
        arena->handle[neuron] = NULL;
        call->neurons[r] = neuron;
        call->inner_grad[r] = 0.0;
        call->propagated[r] = 0;
    }
    if (call->inputs)
        for (uint32_t i = 0; i < call->n_in; i++)
            if (call->inputs[i] != MG_NO_NODE) mg_arena_use(arena, call->inputs[i]);
    call->first_input = first_neighbour(call);
    call->n_live = n;
    call->forward = block->weights;
    call->forward->refs++;
    call->next = block->calls;
    if (block->calls)
        block->calls->previous = call;
    else
        mg_hold_handles(arena, block);
    block->calls = call;
    return MG_OK;
}

void mg_call_end(mg_arena *arena, mg_call *call) {
    mg_layer_block *block = call->block;
    if (call->previous)
        call->previous->next = call->next;
    else
        block->calls = call->next;
    if (call->next) call->next->previous = call->previous;
    mg_drop_weights(block, call->forward);
    mg_drop_weights(block, call->backward);
    mg_node *inputs = call->inputs;
    uint32_t n_handles = 0;
    void **handles = block->calls ? NULL : mg_let_go_of_handles(arena, block, &n_handles);
    if (!block->calls && block->n_zombies > 0) mg_free_zombies(arena, block);
    if (inputs)
        for (uint32_t i = 0; i < call->n_in; i++)
            if (inputs[i] != MG_NO_NODE) mg_arena_release_use(arena, inputs[i]);
    mg_call_free(call);
    mg_drop_handles(arena, handles, n_handles);
}

int mg_neuron_is_fresh(const mg_arena *arena, mg_node neuron) {
    const mg_call *call = arena->aux[neuron].call;
    return !call->propagated[mg_neuron_row(arena, neuron)] &&
           (!call->backward || call->backward == call->block->weights);
}

void mg_neuron_zero_grad(mg_arena *arena, mg_node neuron) {
    mg_call *call = arena->aux[neuron].call;
    const uint32_t row = mg_neuron_row(arena, neuron);
    const mg_node first = mg_parameter(call->block, call->first_row + row, 0);
    arena->grad[neuron] = 0.0;
    call->inner_grad[row] = 0.0;
    call->propagated[row] = 0;
    memset(arena->grad + first, 0, mg_row_length(call->block) * sizeof(double));
}

/* Buffers of mg_call_backward, kept between calls: the interpreter lock serialises them. */
static struct {
    double *x, *x_grad;
    mg_weight_row *rows;
    size_t n_in, n_rows;
} scratch;

static mg_status reserve_scratch(size_t n_in, size_t n_rows) {
    if (n_in > scratch.n_in) {
        double *moved = mg_realloc(scratch.x, 2 * n_in * sizeof *moved);
        if (!moved) return MG_NO_MEMORY;
        scratch.x = moved;
        scratch.n_in = n_in;
    }
    scratch.x_grad = scratch.x + scratch.n_in;
    if (n_rows > scratch.n_rows) {
        mg_weight_row *moved = mg_realloc(scratch.rows, n_rows * sizeof *moved);
        if (!moved) return MG_NO_MEMORY;
        scratch.rows = moved;
        scratch.n_rows = n_rows;
    }
    return MG_OK;
}

/* One input at a time, as the scalar graph does: for inputs that occur twice. */
static void backward_in_order(mg_arena *arena, const mg_call *call, const mg_weight_row *rows,
                              uint32_t n_rows, const double *x) {
    for (uint32_t r = 0; r < n_rows; r++) {
        for (uint32_t i = call->n_in; i-- > 0;) {
            rows[r].w_grad[i] += x[i] * rows[r].g;
            if (call->inputs[i] != MG_NO_NODE)
                arena->grad[call->inputs[i]] += rows[r].w[i] * rows[r].g;
        }
    }
}

static void backward_fused(mg_arena *arena, const mg_call *call, const mg_weight_row *rows,
                           uint32_t n_rows, const double *x) {
    double *x_grad = NULL;
    if (call->first_input != MG_NO_NODE) {
        x_grad = arena->grad + call->first_input;
        mg_loops_current()->rows.backward(rows, n_rows, x, x_grad, call->n_in);
        return;
    }
    if (call->inputs) {
        x_grad = scratch.x_grad;
        for (uint32_t i = 0; i < call->n_in; i++)
            x_grad[i] = call->inputs[i] != MG_NO_NODE ? arena->grad[call->inputs[i]] : 0.0;
    }
    mg_loops_current()->rows.backward(rows, n_rows, x, x_grad, call->n_in);
    if (call->inputs)
        for (uint32_t i = 0; i < call->n_in; i++)
            if (call->inputs[i] != MG_NO_NODE) arena->grad[call->inputs[i]] = x_grad[i];
}

mg_status mg_call_backward(mg_arena *arena, mg_call *call, uint32_t high_row, uint32_t n,
                           double *failed_pre) {
    mg_layer_block *block = call->block;
    const uint32_t n_in = call->n_in;
    mg_status st = MG_OK;
    if (reserve_scratch(n_in, n) != MG_OK || !mg_current_weights(block)) return MG_NO_MEMORY;
    if (!call->backward) {
        call->backward = block->weights;
        call->backward->refs++;
    }

    /* The inputs as they are now; floats cannot have changed. */
    const double *x = call->x;
    if (call->first_input != MG_NO_NODE) {
        x = arena->data + call->first_input;
    } else if (call->inputs) {
        for (uint32_t i = 0; i < n_in; i++)
            scratch.x[i] =
                call->inputs[i] != MG_NO_NODE ? arena->data[call->inputs[i]] : call->x[i];
        x = scratch.x;
    }
    /* A row whose gradient is 0 adds only zeros, which change nothing as long as weights and
     * inputs are finite (a finite sum has only finite terms) and no gradient is -0.0. */
    const int may_skip = call->forward == block->weights && !arena->negative_zero_grads &&
                         (x == call->x || memcmp(x, call->x, n_in * sizeof *x) == 0);

    uint32_t n_rows = 0;
    for (uint32_t k = 0; k < n; k++) {
        const uint32_t row = high_row - k;
        const mg_node neuron = call->neurons[row];
        const double y = arena->data[neuron], g_out = arena->grad[neuron], pre = call->pre[row];
        double g;
        if (call->activation.op == MG_LEAF)
            g = g_out;
        else if (call->activation.op == MG_RELU)
            g = mg_op_adjoint_a(MG_RELU, pre, 0.0, 0.0, 0.0, y, g_out, NULL);
        else
            g = mg_op_adjoint_a(call->activation.op, pre, 0.0, call->activation.k, 0.0, y, g_out,
                                &st);
        if (st != MG_OK) {
            *failed_pre = pre;
            break;
        }
        const mg_node first = mg_parameter(block, call->first_row + row, 0);
        /* A linear neuron of one input is itself the node that adds the bias. */
        const int bias_directly = call->activation.op == MG_LEAF && n_in == 1;
        const double inner = 0.0 + g;
        arena->grad[first + n_in] += bias_directly ? g : inner;
        call->inner_grad[row] = inner;
        call->propagated[row] = 1;
        if (may_skip && inner == 0.0 && isfinite(pre)) continue;
        scratch.rows[n_rows++] = (mg_weight_row){arena->data + first, arena->grad + first, inner};
    }
    if (call->duplicates)
        backward_in_order(arena, call, scratch.rows, n_rows, x);
    else
        backward_fused(arena, call, scratch.rows, n_rows, x);
    return st;
}
