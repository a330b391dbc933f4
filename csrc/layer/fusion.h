/* Which neurons may stay fused in a backward pass: the rule of open inputs.
 *
 * A fused neuron gives all its operands their shares at its own place in the order. In its scalar
 * graph the share of input i comes later: after whatever is first met under the inputs behind i.
 * That makes a difference only if something met there adds to the same gradients. So while a
 * traversal is inside such an input, the neuron is *open*: the inputs that it has passed carry
 * MG_OPEN_INPUT, and its row is counted in the block's open rows. Meeting one of them again is a
 * conflict, as is a custom backward, which could see the difference, a node without a derivative,
 * at which the sweep will end before its time, and a TAKE. The order is then made again with
 * neurons expanded.
 *
 * Only the first neuron of a call to be met looks at the inputs: for the others there is nothing
 * new under them.
 *
 * A traversal (graph/order.c) tells what it meets; marks are those of its epoch. What has to be
 * remembered is kept in the blocks and calls themselves, as `open`, and belongs to this file. */
#ifndef MG_FUSION_H
#define MG_FUSION_H

#include "layer/call.h"

typedef struct {
    mg_arena *arena;
    int watching;           /* otherwise no neuron is ever open: the order is not for a sweep */
    int conflict;           /* some neuron may have to be expanded */
    uint32_t n_open;        /* open neurons */
    uint32_t n_open_shared; /* ... of which an input had been met before */
} mg_fusion;

/* How often the neuron's row is open. */
static inline uint32_t *mg_openings(const mg_arena *arena, mg_node neuron) {
    const mg_call *call = arena->aux[neuron].call;
    return &call->block->open.rows[call->first_row + mg_neuron_row(arena, neuron)];
}

/* While some neuron is open; see mg_fusion_meet. */
static inline void mg_fusion_check_operand(mg_fusion *fusion, mg_node operand) {
    const mg_arena *arena = fusion->arena;
    const uint8_t flags = arena->meta[operand].flags;
    if (flags & MG_OPEN_INPUT) fusion->conflict = 1;
    if ((flags & MG_PARAMETER) && arena->aux[operand].block->open.n_open > 0) fusion->conflict = 1;
}

void mg_fusion_check_node(mg_fusion *fusion, mg_node node);

/* The traversal meets an operand, for the first time or not. */
static inline void mg_fusion_meet(mg_fusion *fusion, mg_node operand) {
    if (fusion->n_open > 0) mg_fusion_check_operand(fusion, operand);
}

/* The traversal is done with everything under a node. */
static inline void mg_fusion_emit(mg_fusion *fusion, mg_node node) {
    if (fusion->arena->meta[node].flags & MG_CUSTOM) fusion->conflict = 1;
    if (fusion->n_open > 0) mg_fusion_check_node(fusion, node);
}

/* The traversal comes to a neuron. True if it must look at the inputs. */
static inline int mg_fusion_enter(mg_fusion *fusion, mg_node neuron) {
    const mg_arena *arena = fusion->arena;
    mg_call *call = arena->aux[neuron].call;
    if (fusion->n_open > 0 && *mg_openings(arena, neuron) > 0) fusion->conflict = 1;
    if (call->open.epoch == arena->epoch) {
        if (fusion->n_open_shared > 0) fusion->conflict = 1;
        return 0;
    }
    call->open.epoch = arena->epoch;
    call->open.shared = 0;
    return call->inputs != NULL;
}

/* It meets an input of a neuron's call; to be called before the node is marked. */
static inline void mg_fusion_meet_input(mg_fusion *fusion, mg_call *call, mg_node input) {
    if (fusion->arena->mark[input] == fusion->arena->epoch) call->open.shared = 1;
}

/* It goes down into input number `i`, having passed those before: the neuron is open. */
static inline void mg_fusion_descend(mg_fusion *fusion, mg_node neuron, uint32_t i) {
    mg_arena *arena = fusion->arena;
    mg_call *call = arena->aux[neuron].call;
    if (!fusion->watching || i == 0) return;
    if (call->open.n_flagged == 0) {
        fusion->n_open++;
        call->block->open.n_open++;
        ++*mg_openings(arena, neuron);
    }
    if (call->open.shared && !call->open.counted) {
        call->open.counted = 1;
        fusion->n_open_shared++;
    }
    for (; call->open.n_flagged < i; call->open.n_flagged++) {
        mg_node input = call->inputs[call->open.n_flagged];
        if (input == MG_NO_NODE) continue;
        if (arena->meta[input].flags & MG_OPEN_INPUT) fusion->conflict = 1;
        arena->meta[input].flags |= MG_OPEN_INPUT;
    }
}

/* It is done with the inputs, or has been given up. */
void mg_fusion_close_open(mg_fusion *fusion, mg_node neuron);
static inline void mg_fusion_close(mg_fusion *fusion, mg_node neuron) {
    if (fusion->arena->aux[neuron].call->open.n_flagged > 0) mg_fusion_close_open(fusion, neuron);
}

#endif
