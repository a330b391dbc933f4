/* Blocks; layer/block.h says what they are and what must stay true. */
#include "layer/block.h"

#include "layer/expand.h"

#include <string.h>

/* Weights shared by calls */

mg_weights *mg_current_weights(mg_layer_block *block) {
    if (!block->weights) {
        block->weights = mg_realloc(NULL, sizeof *block->weights);
        if (block->weights) *block->weights = (mg_weights){0, NULL};
    }
    return block->weights;
}

void mg_drop_weights(mg_layer_block *block, mg_weights *weights) {
    if (!weights || --weights->refs > 0) return;
    if (block->weights == weights) block->weights = NULL;
    mg_free(weights->rows);
    mg_free(weights);
}

mg_status mg_layer_block_before_write(mg_arena *arena, mg_layer_block *block) {
    mg_weights *weights = block->weights;
    if (!weights) return MG_OK;
    size_t n_bytes = (size_t)block->n_rows * mg_row_length(block) * sizeof(double);
    weights->rows = mg_realloc(NULL, n_bytes);
    if (!weights->rows) return MG_NO_MEMORY;
    memcpy(weights->rows, arena->data + block->base, n_bytes);
    block->weights = NULL;
    return MG_OK;
}

const double *mg_weight_rows(const mg_arena *arena, const mg_layer_block *block,
                             const mg_weights *weights) {
    return weights->rows ? weights->rows : arena->data + block->base;
}

/* Blocks */

mg_layer_block *mg_layer_block_new(mg_arena *arena, mg_node base, uint32_t n_rows, uint32_t n_in,
                                   int is_span) {
    mg_layer_block *block = mg_realloc(NULL, sizeof *block);
    uint32_t *open_rows = mg_realloc(NULL, n_rows * sizeof *open_rows);
    if (!block || !open_rows) {
        mg_free(block);
        mg_free(open_rows);
        return NULL;
    }
    memset(open_rows, 0, n_rows * sizeof *open_rows);
    *block = (mg_layer_block){.base = base,
                              .n_rows = n_rows,
                              .n_in = n_in,
                              .n_alive = n_rows * (n_in + 1),
                              .open.rows = open_rows,
                              .is_span = is_span};
    for (mg_node node = base; node < base + block->n_alive; node++) {
        arena->meta[node].flags |= MG_PARAMETER;
        arena->aux[node].block = block;
        if (arena->meta[node].flags & MG_PINNED) block->n_pinned++;
    }
    return block;
}

static uint32_t span_length(const mg_layer_block *block) {
    return block->n_rows * mg_row_length(block);
}

static uint64_t n_changes;

uint64_t mg_block_changes(void) { return n_changes; }

/* The block's slots stay together where they were a span. */
static void free_block(mg_arena *arena, mg_layer_block *block) {
    n_changes++;
    if (block->is_span) mg_arena_give_span(arena, block->base, span_length(block));
    mg_free(block->open.rows);
    if (block->weights) mg_free(block->weights);
    mg_free(block);
}

static int is_parameter_of(const mg_arena *arena, mg_node node, const mg_layer_block *block) {
    return (arena->meta[node].flags & MG_PARAMETER) && arena->aux[node].block == block;
}

/* Handles of pinned parameters, which must outlive the calls */

static void hold_handle(mg_arena *arena, mg_node node) {
    if (!(arena->meta[node].flags & MG_PINNED) || (arena->meta[node].marks & MG_HELD)) return;
    arena->meta[node].marks |= MG_HELD;
    arena->handle_acquire(arena->handle[node]);
}

void mg_hold_handles(mg_arena *arena, const mg_layer_block *block) {
    if (block->n_pinned == 0) return;
    for (mg_node node = block->base; node < block->base + span_length(block); node++)
        if (is_parameter_of(arena, node, block)) hold_handle(arena, node);
}

void **mg_let_go_of_handles(mg_arena *arena, const mg_layer_block *block, uint32_t *n) {
    *n = 0;
    if (block->n_pinned == 0) return NULL;
    void **handles = mg_realloc(NULL, block->n_pinned * sizeof *handles);
    if (!handles) return NULL;
    for (mg_node node = block->base; node < block->base + span_length(block); node++) {
        if (!is_parameter_of(arena, node, block) || !(arena->meta[node].marks & MG_HELD)) continue;
        arena->meta[node].marks &= (uint8_t)~MG_HELD;
        handles[(*n)++] = arena->handle[node];
    }
    return handles;
}

void mg_drop_handles(mg_arena *arena, void **handles, uint32_t n) {
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
    void **handles = mg_let_go_of_handles(arena, block, &n_handles);
    if (!handles && block->n_pinned > 0) return MG_NO_MEMORY;
    while (block->calls) {
        mg_call *call = block->calls;
        uint32_t row = 0;
        while (call->neurons[row] == MG_NO_NODE) row++;
        /* The last neuron takes the call with it. */
        if (mg_neuron_expand(arena, call->neurons[row]) != MG_OK) {
            mg_hold_handles(arena, block);
            mg_drop_handles(arena, handles, n_handles);
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
    mg_drop_handles(arena, handles, n_handles);
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
    n_changes++;
    if (--block->n_alive == 0 && !block->calls) free_block(arena, block);
    return is_span;
}

void mg_free_zombies(mg_arena *arena, mg_layer_block *block) {
    mg_node node = block->base, end = node + span_length(block);
    for (; block->n_zombies > 0 && node < end; node++) {
        if (!is_parameter_of(arena, node, block) || arena->meta[node].refs > 0) continue;
        block->n_zombies--;
        int last = block->n_alive == 1;
        mg_arena_discard(arena, node);
        if (last) return;
    }
}

void mg_parameter_revive(mg_arena *arena, mg_node node) {
    if (arena->meta[node].refs == 0) arena->aux[node].block->n_zombies--;
}

static void neuron_leave(mg_arena *arena, mg_node neuron) {
    mg_call_leave(arena, arena->aux[neuron].call, mg_neuron_row(arena, neuron));
}

void mg_layer_attach(mg_arena *arena) {
    arena->neuron_leave = neuron_leave;
    arena->parameter_may_die = parameter_may_die;
    arena->parameter_died = parameter_died;
}
