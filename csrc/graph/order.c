/* The walk itself; graph/order.h says what it promises. */
#include "graph/order.h"

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

typedef struct {
    mg_arena *arena;
    mg_order *order;
    mg_order_scope scope;
    size_t depth;
    int expand;       /* neurons are to be expanded as they are met */
    mg_fusion fusion; /* whether they had to be */
} walk;

/* Mark an operand as met. True if the walk must go down to it first. */
static inline int must_enter(walk *w, mg_node operand) {
    const mg_arena *arena = w->arena;
    mg_fusion_meet(&w->fusion, operand);
    if (arena->mark[operand] == arena->epoch) return 0;
    arena->mark[operand] = arena->epoch;
    const mg_meta meta = arena->meta[operand];
    return meta.arity != 0 || w->scope != MG_ORDER_ACTIVE || (meta.flags & MG_CUSTOM);
}

/* A neuron that cannot be fused becomes an ordinary node. */
static mg_status settle_neuron(walk *w, mg_node node) {
    const int fresh = mg_neuron_is_fresh(w->arena, node);
    if (w->scope == MG_ORDER_FUSED || (!w->expand && fresh)) return MG_OK;
    return mg_neuron_expand(w->arena, node);
}

/* Look at a neuron's inputs from `*i` on: the one to go down to, or MG_NO_NODE when done. */
static mg_node look_at_inputs(walk *w, mg_node neuron, uint32_t *i) {
    mg_call *call = w->arena->aux[neuron].call;
    if (*i == 0 && !mg_fusion_enter(&w->fusion, neuron)) return MG_NO_NODE;
    for (; *i < call->n_in; ++*i) {
        const mg_node input = call->inputs[*i];
        if (input == MG_NO_NODE) continue;
        mg_fusion_meet_input(&w->fusion, call, input);
        if (!must_enter(w, input)) continue;
        mg_fusion_descend(&w->fusion, neuron, *i);
        return input;
    }
    mg_fusion_close(&w->fusion, neuron);
    return MG_NO_NODE;
}

/* Look at the operands of any other node likewise. */
static inline mg_node look_at_operands(walk *w, mg_node node, uint32_t *i) {
    const mg_arena *arena = w->arena;
    const mg_node *operands;
    const uint32_t n_operands = mg_node_operands(arena, node, &operands);
    for (; *i < n_operands; ++*i)
        if (must_enter(w, operands[*i])) return operands[*i];
    return MG_NO_NODE;
}

/* Memory has run out at `node`: no neuron stays open. */
static mg_status give_up(walk *w, mg_node node) {
    for (;;) {
        if (w->arena->meta[node].arity == MG_FUSED) mg_fusion_close(&w->fusion, node);
        if (w->depth == 0) return MG_NO_MEMORY;
        node = w->order->stack[--w->depth].node;
    }
}

/* One walk; w->fusion.conflict says that the order must not be used. */
static mg_status visit_all(walk *w, mg_node root) {
    mg_arena *arena = w->arena;
    mg_order *order = w->order;
    mg_arena_next_epoch(arena);
    arena->mark[root] = arena->epoch;
    order->n_nodes = 0;

    /* The node being looked at stays out of the stack, which holds its unfinished users. */
    mg_node node = root, operand;
    uint32_t i = 0;
    for (;;) {
        if (arena->meta[node].arity == MG_FUSED && i == 0 && settle_neuron(w, node) != MG_OK)
            return give_up(w, node);
        operand = arena->meta[node].arity == MG_FUSED ? look_at_inputs(w, node, &i)
                                                      : look_at_operands(w, node, &i);
        if (operand != MG_NO_NODE) {
            if (push(order, &w->depth, node, i + 1) != MG_OK) return give_up(w, node);
            node = operand;
            i = 0;
        } else {
            mg_fusion_emit(&w->fusion, node);
            if (emit(order, node) != MG_OK) return give_up(w, node);
            if (w->depth == 0) return MG_OK;
            w->depth--;
            node = order->stack[w->depth].node;
            i = order->stack[w->depth].next;
        }
    }
}

/* A walk over a graph of ordinary nodes only: what small graphs are. False if it met another
 * kind of node or memory ran out, and the order must be made by `visit_all`. */
static int run_ordinary(mg_arena *arena, mg_node root, mg_order_scope scope, mg_order *order) {
    mg_arena_next_epoch(arena);
    const mg_meta *const meta = arena->meta;
    const mg_operands *const operands = arena->operands;
    uint32_t *const mark = arena->mark;
    const uint32_t epoch = arena->epoch;
    const int leaves = scope != MG_ORDER_ACTIVE;
    size_t depth = 0;
    mg_node node = root;
    uint32_t i = 0;
    if (meta[root].arity > 2 || (meta[root].flags & MG_CUSTOM)) return 0;
    mark[root] = epoch;
    order->n_nodes = 0;
    for (;;) {
        const mg_operands pair = operands[node];
        const uint32_t arity = meta[node].arity;
        for (; i < arity; i++) {
            const mg_node operand = i == 0 ? pair.a : pair.b;
            if (mark[operand] == epoch) continue;
            mark[operand] = epoch;
            const mg_meta next = meta[operand];
            if (next.arity > 2 || (next.flags & MG_CUSTOM)) return 0;
            if (next.arity == 0 && !leaves) continue;
            if (push(order, &depth, node, i + 1) != MG_OK) return 0;
            node = operand;
            break;
        }
        if (i < arity) {
            i = 0;
            continue;
        }
        if (emit(order, node) != MG_OK) return 0;
        if (depth == 0) return 1;
        depth--;
        node = order->stack[depth].node;
        i = order->stack[depth].next;
    }
}

/* A walk over nodes of all kinds. */
static MG_NEVER_INLINE mg_status run_all(mg_arena *arena, mg_node root, mg_order_scope scope,
                                         mg_order *order) {
    const mg_fusion fusion = {.arena = arena, .watching = scope == MG_ORDER_ACTIVE};
    walk w = {arena, order, scope, .expand = scope == MG_ORDER_ALL, .fusion = fusion};
    mg_status st = visit_all(&w, root);
    if (st != MG_OK || !w.fusion.conflict || w.expand || !fusion.watching) return st;
    w = (walk){arena, order, scope, .expand = 1, .fusion = fusion};
    return visit_all(&w, root);
}

mg_status mg_order_build(mg_arena *arena, mg_node root, mg_order_scope scope, mg_order *order) {
    return run_ordinary(arena, root, scope, order) ? MG_OK : run_all(arena, root, scope, order);
}

void mg_order_free(mg_order *order) {
    mg_free(order->nodes);
    mg_free(order->stack);
    *order = (mg_order){0};
}
