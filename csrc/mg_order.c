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

/* Neurons in the order.
 *
 * A fused neuron gives all its operands their shares at its own place. In its scalar graph the
 * share of input i comes later: after whatever is first met under the inputs behind i. That makes
 * a difference only if something met there adds to the same gradients. So while the walk is
 * inside such an input, the inputs that the neuron has passed carry MG_OPEN_INPUT and its row is
 * counted in open_rows; meeting one of them again ends the walk with a conflict, as does a custom
 * backward, which could see the difference. The order is then made again with neurons expanded.
 *
 * Only the first neuron of a call to be met walks the inputs: for the others there is nothing new
 * under them. */
typedef struct {
    mg_arena *arena;
    mg_order *order;
    mg_order_scope scope;
    size_t depth;
    int expand;             /* neurons are to be expanded as they are met */
    int conflict;           /* neurons may have to be expanded */
    uint32_t n_open;        /* neurons with passed inputs */
    uint32_t n_open_shared; /* ... of which some had been met before */
} walk;

/* Mark an operand as met. True if the walk must go down to it first. */
static inline int must_enter(walk *w, mg_node operand) {
    const mg_arena *arena = w->arena;
    const mg_meta meta = arena->meta[operand];
    if (w->n_open > 0) {
        if (meta.flags & MG_OPEN_INPUT) w->conflict = 1;
        if ((meta.flags & MG_PARAMETER) && arena->aux[operand].block->n_open > 0) w->conflict = 1;
    }
    if (arena->mark[operand] == arena->epoch) return 0;
    arena->mark[operand] = arena->epoch;
    return meta.arity != 0 || w->scope != MG_ORDER_ACTIVE || (meta.flags & MG_CUSTOM);
}

/* The neuron goes down into input `i`, having passed those before. */
static void open_neuron(walk *w, mg_node neuron, uint32_t i) {
    mg_arena *arena = w->arena;
    mg_call *call = arena->aux[neuron].call;
    if (w->scope != MG_ORDER_ACTIVE || i == 0) return;
    if (call->n_flagged == 0) {
        w->n_open++;
        call->block->n_open++;
        call->block->open_rows[call->first_row + mg_neuron_row(arena, neuron)]++;
    }
    if (call->shared && !call->counted) {
        call->counted = 1;
        w->n_open_shared++;
    }
    for (; call->n_flagged < i; call->n_flagged++) {
        mg_node input = call->inputs[call->n_flagged];
        if (input == MG_NO_NODE) continue;
        if (arena->meta[input].flags & MG_OPEN_INPUT) w->conflict = 1;
        arena->meta[input].flags |= MG_OPEN_INPUT;
    }
}

/* The neuron is done with its inputs, or the walk has been given up. */
static void close_neuron(walk *w, mg_node neuron) {
    mg_arena *arena = w->arena;
    mg_call *call = arena->aux[neuron].call;
    if (call->n_flagged == 0) return;
    for (uint32_t i = 0; i < call->n_flagged; i++)
        if (call->inputs[i] != MG_NO_NODE)
            arena->meta[call->inputs[i]].flags &= ~MG_OPEN_INPUT;
    call->n_flagged = 0;
    w->n_open--;
    call->block->n_open--;
    call->block->open_rows[call->first_row + mg_neuron_row(arena, neuron)]--;
    if (call->counted) w->n_open_shared--;
    call->counted = 0;
}

/* The first look at a neuron: true if the walk must look at the inputs. */
static int enter_neuron(walk *w, mg_node neuron) {
    const mg_arena *arena = w->arena;
    mg_call *call = arena->aux[neuron].call;
    const mg_block *block = call->block;
    if (w->n_open > 0 && block->open_rows[call->first_row + mg_neuron_row(arena, neuron)] > 0)
        w->conflict = 1;
    if (call->epoch == arena->epoch) {
        if (w->n_open_shared > 0) w->conflict = 1;
        return 0;
    }
    call->epoch = arena->epoch;
    call->shared = 0;
    return call->inputs != NULL;
}

/* The first input from `i` on that the walk must go down to, or n_in. */
static uint32_t next_input(walk *w, mg_node neuron, uint32_t i) {
    const mg_arena *arena = w->arena;
    mg_call *call = arena->aux[neuron].call;
    for (; i < call->n_in; i++) {
        mg_node input = call->inputs[i];
        if (input == MG_NO_NODE) continue;
        if (arena->mark[input] == arena->epoch) call->shared = 1;
        if (must_enter(w, input)) return i;
    }
    return i;
}

/* A neuron that cannot be fused becomes an ordinary node. */
static mg_status settle_neuron(walk *w, mg_node node) {
    const int fresh = mg_neuron_is_fresh(w->arena, node);
    if (w->scope == MG_ORDER_FUSED || (!w->expand && fresh)) return MG_OK;
    return mg_neuron_expand(w->arena, node);
}

/* One walk; w->conflict says that the order must not be used. */
static mg_status run(walk *w, mg_node root) {
    mg_arena *arena = w->arena;
    mg_order *order = w->order;
    mg_arena_next_epoch(arena);
    arena->mark[root] = arena->epoch;
    order->n_nodes = 0;

    /* The node being looked at stays out of the stack, which holds its unfinished users. */
    mg_node node = root;
    uint32_t i = 0;
    for (;;) {
        uint32_t n_operands;
        mg_node operand = MG_NO_NODE;
        if (arena->meta[node].arity == MG_FUSED && i == 0 &&
            settle_neuron(w, node) != MG_OK)
            return MG_NO_MEMORY;
        if (arena->meta[node].arity == MG_FUSED) {
            n_operands = arena->aux[node].call->n_in;
            if (i == 0 && !enter_neuron(w, node)) i = n_operands;
            i = next_input(w, node, i);
            if (i < n_operands) {
                operand = arena->aux[node].call->inputs[i];
                open_neuron(w, node, i);
            } else {
                close_neuron(w, node);
            }
        } else {
            const mg_node *operands;
            n_operands = mg_node_operands(arena, node, &operands);
            while (i < n_operands && !must_enter(w, operands[i])) i++;
            if (i < n_operands) operand = operands[i];
            /* A closure may look at any gradient: neurons must have the scalar order. */
            if (arena->meta[node].flags & MG_CUSTOM) w->conflict = 1;
        }
        if (operand != MG_NO_NODE) {
            if (push(order, &w->depth, node, i + 1) != MG_OK) return MG_NO_MEMORY;
            node = operand;
            i = 0;
        } else {
            if (emit(order, node) != MG_OK) return MG_NO_MEMORY;
            if (w->depth == 0) return MG_OK;
            w->depth--;
            node = order->stack[w->depth].node;
            i = order->stack[w->depth].next;
        }
    }
}

mg_status mg_order_build(mg_arena *arena, mg_node root, mg_order_scope scope, mg_order *order) {
    walk w = {.arena = arena, .order = order, .scope = scope, .expand = scope == MG_ORDER_ALL};
    mg_status st = run(&w, root);
    if (st != MG_OK) {
        /* Memory ran out inside: what is open is on the stack. */
        while (w.depth > 0) {
            mg_node node = order->stack[--w.depth].node;
            if (arena->meta[node].arity == MG_FUSED) close_neuron(&w, node);
        }
        return st;
    }
    if (!w.conflict || w.expand || scope != MG_ORDER_ACTIVE) return MG_OK;
    w = (walk){.arena = arena, .order = order, .scope = scope, .expand = 1};
    return run(&w, root);
}

void mg_order_free(mg_order *order) {
    mg_free(order->nodes);
    mg_free(order->stack);
    *order = (mg_order){0};
}
