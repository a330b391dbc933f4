/* Blocks, calls and neurons; layer/layer.h says what they are and what must stay true. */
#include "layer/layer.h"

#include "loops/kernels.h"

#include <string.h>

static uint32_t row_length(const mg_layer_block *block) { return block->n_in + 1; }

static mg_node parameter(const mg_layer_block *block, uint32_t row, uint32_t i) {
    return block->base + row * row_length(block) + i;
}

/* Weights shared by calls */

static mg_weights *current_weights(mg_layer_block *block) {
    if (!block->weights) {
        block->weights = mg_realloc(NULL, sizeof *block->weights);
        if (block->weights) *block->weights = (mg_weights){0, NULL};
    }
    return block->weights;
}

static void drop_weights(mg_layer_block *block, mg_weights *weights) {
    if (!weights || --weights->refs > 0) return;
    if (block->weights == weights) block->weights = NULL;
    mg_free(weights->rows);
    mg_free(weights);
}

mg_status mg_layer_block_before_write(mg_arena *arena, mg_layer_block *block) {
    mg_weights *weights = block->weights;
    if (!weights) return MG_OK;
    size_t n_bytes = (size_t)block->n_rows * row_length(block) * sizeof(double);
    weights->rows = mg_realloc(NULL, n_bytes);
    if (!weights->rows) return MG_NO_MEMORY;
    memcpy(weights->rows, arena->data + block->base, n_bytes);
    block->weights = NULL;
    return MG_OK;
}

static const double *weight_rows(const mg_arena *arena, const mg_layer_block *block,
                                 const mg_weights *weights) {
    return weights->rows ? weights->rows : arena->data + block->base;
}

/* Blocks */

mg_layer_block *mg_layer_block_new(mg_arena *arena, mg_node base, uint32_t n_rows, uint32_t n_in,
                                   int is_span) {
    mg_layer_block *block = mg_realloc(NULL, sizeof *block);
    uint32_t *open_rows = mg_realloc(NULL, n_rows * sizeof *open_rows);
    const void **row_owners = mg_realloc(NULL, n_rows * sizeof *row_owners);
    if (!block || !open_rows || !row_owners) {
        mg_free(block);
        mg_free(open_rows);
        mg_free(row_owners);
        return NULL;
    }
    memset(open_rows, 0, n_rows * sizeof *open_rows);
    memset(row_owners, 0, n_rows * sizeof *row_owners);
    *block = (mg_layer_block){.base = base,
                              .n_rows = n_rows,
                              .n_in = n_in,
                              .n_alive = n_rows * (n_in + 1),
                              .open_rows = open_rows,
                              .row_owners = row_owners,
                              .is_span = is_span};
    for (mg_node node = base; node < base + block->n_alive; node++) {
        arena->meta[node].flags |= MG_PARAMETER;
        arena->aux[node].block = block;
        if (arena->meta[node].flags & MG_PINNED) block->n_pinned++;
    }
    return block;
}

static uint32_t span_length(const mg_layer_block *block) {
    return block->n_rows * row_length(block);
}

/* The block's slots stay together where they were a span. */
static void free_block(mg_arena *arena, mg_layer_block *block) {
    if (block->is_span) mg_arena_give_span(arena, block->base, span_length(block));
    mg_free(block->open_rows);
    mg_free(block->row_owners);
    if (block->weights) mg_free(block->weights);
    mg_free(block);
}

static int is_parameter_of(const mg_arena *arena, mg_node node, const mg_layer_block *block) {
    return (arena->meta[node].flags & MG_PARAMETER) && arena->aux[node].block == block;
}

/* Handles of pinned parameters, which must outlive the calls */

static void hold_handle(mg_arena *arena, mg_node node) {
    if (!(arena->meta[node].flags & MG_PINNED) || arena->meta[node].held) return;
    arena->meta[node].held = 1;
    arena->handle_acquire(arena->handle[node]);
}

static void hold_handles(mg_arena *arena, const mg_layer_block *block) {
    if (block->n_pinned == 0) return;
    for (mg_node node = block->base; node < block->base + span_length(block); node++)
        if (is_parameter_of(arena, node, block)) hold_handle(arena, node);
}

/* Stop holding the handles: they are the caller's now, to be dropped by drop_handles when nothing
 * depends on the block any more, for that can run arbitrary code. NULL if there are none, or
 * memory is out and they stay held until the next time. */
static void **let_go_of_handles(mg_arena *arena, const mg_layer_block *block, uint32_t *n) {
    *n = 0;
    if (block->n_pinned == 0) return NULL;
    void **handles = mg_realloc(NULL, block->n_pinned * sizeof *handles);
    if (!handles) return NULL;
    for (mg_node node = block->base; node < block->base + span_length(block); node++) {
        if (!is_parameter_of(arena, node, block) || !arena->meta[node].held) continue;
        arena->meta[node].held = 0;
        handles[(*n)++] = arena->handle[node];
    }
    return handles;
}

static void drop_handles(mg_arena *arena, void **handles, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) arena->handle_drop(handles[i]);
    mg_free(handles);
}

void mg_parameter_pinned(mg_arena *arena, mg_node node) {
    mg_layer_block *block = arena->aux[node].block;
    block->n_pinned++;
    if (block->calls) hold_handle(arena, node);
}

void mg_parameter_unpinned(mg_arena *arena, mg_node node) { arena->aux[node].block->n_pinned--; }

int mg_parameter_in_use(const mg_arena *arena, mg_node node) {
    return (arena->meta[node].flags & MG_PARAMETER) && arena->aux[node].block->calls;
}

mg_status mg_layer_block_dissolve(mg_arena *arena, mg_layer_block *block) {
    /* First of all, so that nothing can happen to the block between one call and the next. */
    uint32_t n_handles;
    void **handles = let_go_of_handles(arena, block, &n_handles);
    if (!handles && block->n_pinned > 0) return MG_NO_MEMORY;
    while (block->calls) {
        mg_call *call = block->calls;
        uint32_t row = 0;
        while (call->neurons[row] == MG_NO_NODE) row++;
        /* The last neuron takes the call with it. */
        if (mg_neuron_expand(arena, call->neurons[row]) != MG_OK) {
            hold_handles(arena, block);
            drop_handles(arena, handles, n_handles);
            return MG_NO_MEMORY;
        }
    }
    for (mg_node node = block->base; node < block->base + span_length(block); node++) {
        if (is_parameter_of(arena, node, block)) {
            arena->meta[node].flags &= ~MG_PARAMETER;
            arena->aux[node].immediate = 0.0;
        } else if (block->is_span) {
            mg_arena_give(arena, node);
        }
    }
    block->is_span = 0;
    free_block(arena, block);
    drop_handles(arena, handles, n_handles);
    return MG_OK;
}

static int parameter_may_die(mg_arena *arena, mg_node node) {
    mg_layer_block *block = arena->aux[node].block;
    if (!block->calls) return 1;
    block->n_zombies++;
    return 0;
}

static int parameter_died(mg_arena *arena, mg_node node) {
    mg_layer_block *block = arena->aux[node].block;
    int is_span = block->is_span;
    arena->meta[node].flags = 0;
    block->version = 0; /* no more calls on what is left */
    if (--block->n_alive == 0 && !block->calls) free_block(arena, block);
    return is_span;
}

static void free_zombies(mg_arena *arena, mg_layer_block *block) {
    mg_node node = block->base, end = node + span_length(block);
    for (; block->n_zombies > 0 && node < end; node++) {
        if (!is_parameter_of(arena, node, block) || arena->meta[node].refs > 0) continue;
        block->n_zombies--;
        int last = block->n_alive == 1;
        mg_arena_discard(arena, node);
        if (last) return;
    }
}

/* Calls */

mg_call *mg_call_new(mg_layer_block *block, uint32_t first_row, uint32_t n_rows, int with_values) {
    const size_t n_in = block->n_in;
    size_t size = sizeof(mg_call) + (n_in + 2 * (size_t)n_rows) * sizeof(double) +
                  (n_rows + (with_values ? n_in : 0)) * sizeof(mg_node) + n_rows;
    mg_call *call = mg_realloc(NULL, size);
    if (!call) return NULL;
    *call = (mg_call){.block = block,
                      .first_row = first_row,
                      .n_rows = n_rows,
                      .n_in = block->n_in,
                      .activation = block->activation,
                      .activation_k = block->activation_k};
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
static mg_status activate(const mg_layer_block *block, const double *sums, uint32_t n,
                          double *values, double *failed_pre) {
    if (block->activation == MG_LEAF) {
        if (values != sums) memcpy(values, sums, n * sizeof *values);
        return MG_OK;
    }
    if (block->activation == MG_RELU) {
        for (uint32_t r = 0; r < n; r++) values[r] = sums[r] < 0 ? 0.0 : sums[r];
        return MG_OK;
    }
    for (uint32_t r = 0; r < n; r++) {
        mg_status st = MG_OK;
        double sum = sums[r];
        values[r] = mg_op_value(block->activation, sum, 0.0, block->activation_k, 0.0, &st);
        if (st != MG_OK) {
            *failed_pre = sum;
            return st;
        }
    }
    return MG_OK;
}

mg_status mg_layer_block_values(const mg_arena *arena, const mg_layer_block *block,
                                const double *x, double *values, double *failed_pre) {
    mg_kernels_current()->forward(arena->data + block->base, row_length(block), block->n_rows, x,
                                  block->n_in, values);
    return activate(block, values, block->n_rows, values, failed_pre);
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
    mg_kernels_current()->forward(arena->data + parameter(block, call->first_row, 0),
                                  row_length(block), n, call->x, call->n_in, call->pre);
    /* The values wait in inner_grad until their nodes exist. */
    mg_status st = activate(block, call->pre, n, call->inner_grad, failed_pre);
    if (st != MG_OK) return st;
    if (mg_arena_reserve(arena, n) != MG_OK || !current_weights(block)) return MG_NO_MEMORY;

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
        hold_handles(arena, block);
    block->calls = call;
    return MG_OK;
}

/* One neuron fewer; the last one takes the call with it. */
static void leave_call(mg_arena *arena, mg_call *call, uint32_t row) {
    call->neurons[row] = MG_NO_NODE;
    if (--call->n_live > 0) return;
    mg_layer_block *block = call->block;
    if (call->previous)
        call->previous->next = call->next;
    else
        block->calls = call->next;
    if (call->next) call->next->previous = call->previous;
    drop_weights(block, call->forward);
    drop_weights(block, call->backward);
    mg_node *inputs = call->inputs;
    uint32_t n_handles = 0;
    void **handles = block->calls ? NULL : let_go_of_handles(arena, block, &n_handles);
    if (!block->calls && block->n_zombies > 0) free_zombies(arena, block);
    if (inputs)
        for (uint32_t i = 0; i < call->n_in; i++)
            if (inputs[i] != MG_NO_NODE) mg_arena_release_use(arena, inputs[i]);
    mg_call_free(call);
    drop_handles(arena, handles, n_handles);
}

static void neuron_leave(mg_arena *arena, mg_node neuron) {
    leave_call(arena, arena->aux[neuron].call, mg_neuron_row(arena, neuron));
}

void mg_layer_attach(mg_arena *arena) {
    arena->neuron_leave = neuron_leave;
    arena->parameter_may_die = parameter_may_die;
    arena->parameter_died = parameter_died;
}

/* Neurons */

int mg_neuron_is_fresh(const mg_arena *arena, mg_node neuron) {
    const mg_call *call = arena->aux[neuron].call;
    return !call->propagated[mg_neuron_row(arena, neuron)] &&
           (!call->backward || call->backward == call->block->weights);
}

void mg_neuron_zero_grad(mg_arena *arena, mg_node neuron) {
    mg_call *call = arena->aux[neuron].call;
    const uint32_t row = mg_neuron_row(arena, neuron);
    const mg_node first = parameter(call->block, call->first_row + row, 0);
    arena->grad[neuron] = 0.0;
    call->inner_grad[row] = 0.0;
    call->propagated[row] = 0;
    memset(arena->grad + first, 0, row_length(call->block) * sizeof(double));
}

/* A parameter that only calls have kept is about to be used again. */
static void revive(mg_arena *arena, mg_node node) {
    if (arena->meta[node].refs == 0) arena->aux[node].block->n_zombies--;
}

mg_status mg_neuron_expand(mg_arena *arena, mg_node neuron) {
    mg_call *call = arena->aux[neuron].call;
    const mg_layer_block *block = call->block;
    const uint32_t row = mg_neuron_row(arena, neuron), n_in = call->n_in;
    const uint32_t block_row = call->first_row + row;
    /* A product, a sum and perhaps a leaf for each input. */
    if (mg_arena_reserve(arena, 3 * n_in) != MG_OK) return MG_NO_MEMORY;

    const size_t offset = (size_t)block_row * row_length(block);
    const double *w = weight_rows(arena, block, call->forward) + offset;
    const int propagated = call->propagated[row];
    const double g = call->inner_grad[row];
    const double *w_back = propagated ? weight_rows(arena, block, call->backward) + offset : NULL;
    const int linear = call->activation == MG_LEAF;
    mg_node sum = parameter(block, block_row, n_in);
    double value = w[n_in];

    revive(arena, sum);
    mg_node last_a = MG_NO_NODE, last_b = MG_NO_NODE;
    for (uint32_t i = 0; i < n_in; i++) {
        mg_node weight = parameter(block, block_row, i);
        mg_node x = call->inputs ? call->inputs[i] : MG_NO_NODE;
        if (x == MG_NO_NODE) {
            x = mg_arena_literal(arena, call->x[i]);
            if (propagated) arena->grad[x] = 0.0 + w_back[i] * g;
        }
        revive(arena, weight);
        mg_node product = mg_arena_node(arena, MG_MUL, weight, x, 0.0, w[i] * call->x[i]);
        if (propagated) arena->grad[product] = g;
        value += w[i] * call->x[i];
        if (linear && i == n_in - 1) {
            last_a = sum;
            last_b = product;
        } else {
            sum = mg_arena_node(arena, MG_ADD, sum, product, 0.0, value);
            if (propagated) arena->grad[sum] = g;
        }
    }
    if (!linear) last_a = sum;

    arena->operands[neuron] = (mg_operands){last_a, last_b};
    arena->meta[neuron].op = linear ? MG_ADD : (uint8_t)call->activation;
    arena->meta[neuron].arity = linear ? 2 : 1;
    arena->aux[neuron].immediate = call->activation_k;
    mg_arena_use(arena, last_a);
    if (linear) mg_arena_use(arena, last_b);
    leave_call(arena, call, row);
    return MG_OK;
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
        mg_kernels_current()->backward(rows, n_rows, x, x_grad, call->n_in);
        return;
    }
    if (call->inputs) {
        x_grad = scratch.x_grad;
        for (uint32_t i = 0; i < call->n_in; i++)
            x_grad[i] = call->inputs[i] != MG_NO_NODE ? arena->grad[call->inputs[i]] : 0.0;
    }
    mg_kernels_current()->backward(rows, n_rows, x, x_grad, call->n_in);
    if (call->inputs)
        for (uint32_t i = 0; i < call->n_in; i++)
            if (call->inputs[i] != MG_NO_NODE) arena->grad[call->inputs[i]] = x_grad[i];
}

mg_status mg_call_backward(mg_arena *arena, mg_call *call, uint32_t high_row, uint32_t n,
                           double *failed_pre) {
    mg_layer_block *block = call->block;
    const uint32_t n_in = call->n_in;
    mg_status st = MG_OK;
    if (reserve_scratch(n_in, n) != MG_OK || !current_weights(block)) return MG_NO_MEMORY;
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
        if (call->activation == MG_LEAF)
            g = g_out;
        else if (call->activation == MG_RELU)
            g = (y > 0) * g_out;
        else
            g = mg_op_adjoint_a(call->activation, pre, 0.0, call->activation_k, 0.0, y, g_out,
                                &st);
        if (st != MG_OK) {
            *failed_pre = pre;
            break;
        }
        const mg_node first = parameter(block, call->first_row + row, 0);
        /* A linear neuron of one input is itself the node that adds the bias. */
        const int bias_directly = call->activation == MG_LEAF && n_in == 1;
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
