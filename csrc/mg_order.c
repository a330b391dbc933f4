/* The walk itself; mg_order.h says what it promises. */
#include "mg_order.h"

/* The buffer with twice the room and *cap updated, or NULL with both unchanged. */
static void *grown(void *buffer, size_t *cap, size_t item_size) {
    size_t larger = *cap < 256 ? 256 : *cap * 2;
    void *moved = mg_realloc(buffer, larger * item_size);
    if (moved) *cap = larger;
    return moved;
}

static inline mg_status push(mg_order *order, size_t *depth, mg_node node, uint32_t next) {
    if (*depth == order->stack_cap) {
        mg_order_frame *moved = grown(order->stack, &order->stack_cap, sizeof *moved);
        if (!moved) return MG_NO_MEMORY;
        order->stack = moved;
    }
    order->stack[(*depth)++] = (mg_order_frame){node, next};
    return MG_OK;
}

static inline mg_status emit(mg_order *order, mg_node node) {
    if (order->n_nodes == order->nodes_cap) {
        mg_node *moved = grown(order->nodes, &order->nodes_cap, sizeof *moved);
        if (!moved) return MG_NO_MEMORY;
        order->nodes = moved;
    }
    order->nodes[order->n_nodes++] = node;
    return MG_OK;
}

/* Mark an operand as met. True if the walk must go down to it first. */
static inline int must_enter(const mg_arena *arena, mg_node operand, mg_order_scope scope) {
    if (arena->mark[operand] == arena->epoch) return 0;
    arena->mark[operand] = arena->epoch;
    const mg_meta meta = arena->meta[operand];
    return meta.arity != 0 || scope == MG_ORDER_ALL || (meta.flags & MG_CUSTOM);
}

mg_status mg_order_build(mg_arena *arena, mg_node root, mg_order_scope scope, mg_order *order) {
    mg_arena_next_epoch(arena);
    arena->mark[root] = arena->epoch;
    order->n_nodes = 0;

    /* The node being looked at stays out of the stack, which holds its unfinished users. */
    size_t depth = 0;
    mg_node node = root;
    uint32_t i = 0;
    for (;;) {
        const mg_node *operands;
        const uint32_t n_operands = mg_node_operands(arena, node, &operands);
        while (i < n_operands && !must_enter(arena, operands[i], scope)) i++;
        if (i < n_operands) {
            if (push(order, &depth, node, i + 1) != MG_OK) return MG_NO_MEMORY;
            node = operands[i];
            i = 0;
        } else {
            if (emit(order, node) != MG_OK) return MG_NO_MEMORY;
            if (depth == 0) return MG_OK;
            depth--;
            node = order->stack[depth].node;
            i = order->stack[depth].next;
        }
    }
}

void mg_order_free(mg_order *order) {
    mg_free(order->nodes);
    mg_free(order->stack);
    *order = (mg_order){0};
}
