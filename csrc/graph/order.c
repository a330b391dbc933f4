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

/* Neurons in the order.
 *
 * A fused neuron gives all its operands their shares at its own place. In its scalar graph the
 * share of input i comes later: after whatever is first met under the inputs behind i. That makes
 * a difference only if something met there adds to the same gradients. So while the walk is
 * inside such an input, the inputs that the neuron has passed carry MG_OPEN_INPUT and its row is
 * counted in open_rows; meeting one of them again ends the walk with a conflict, as does a custom
 * backward, which could see the difference, and a node without a derivative, at which the sweep
 * will end before its time. The order is then made again with neurons expanded.
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

/* An operand is met while some neuron has passed inputs. */
static void check_open(walk *w, mg_node operand) {
    const mg_arena *arena = w->arena;
    const uint8_t flags = arena->meta[operand].flags;
    if (flags & MG_OPEN_INPUT) w->conflict = 1;
    if ((flags & MG_PARAMETER) && arena->aux[operand].block->n_open > 0) w->conflict = 1;
}

/* Whether the sweep will end at this node for want of a derivative. That depends on data alone,
 * which nothing but a custom backward can change before the sweep comes here. */
static int will_fail(const mg_arena *arena, mg_node node) {
    const mg_meta meta = arena->meta[node];
    const mg_operands pair = arena->operands[node];
    const double y = arena->data[node];
    mg_status st = MG_OK;
    double k, h;
    if (meta.arity == MG_FUSED) {
        const mg_call *call = arena->aux[node].call;
        const double pre = call->pre[mg_neuron_row(arena, node)];
        mg_op_adjoint_a(call->activation, pre, 0.0, call->activation_k, 0.0, y, 1.0, &st);
        return st != MG_OK;
    }
    if (meta.arity == 0 || meta.arity == MG_NARY) return 0;
    const double a = arena->data[pair.a], b = meta.arity == 2 ? arena->data[pair.b] : 0.0;
    mg_node_immediates(arena, node, &k, &h);
    mg_op_adjoint_a((mg_op)meta.op, a, b, k, h, y, 1.0, &st);
    if (meta.arity == 2) mg_op_adjoint_b((mg_op)meta.op, a, b, k, h, y, 1.0, &st);
    return st != MG_OK;
}

/* Mark an operand as met. True if the walk must go down to it first. */
static inline int must_enter(walk *w, mg_node operand) {
    const mg_arena *arena = w->arena;
    if (w->n_open > 0) check_open(w, operand);
    if (arena->mark[operand] == arena->epoch) return 0;
    arena->mark[operand] = arena->epoch;
    const mg_meta meta = arena->meta[operand];
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
        if (call->inputs[i] != MG_NO_NODE) arena->meta[call->inputs[i]].flags &= ~MG_OPEN_INPUT;
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
    const mg_layer_block *block = call->block;
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

/* Look at a neuron's inputs from `*i` on: the one to go down to, or MG_NO_NODE when done. */
static mg_node look_at_inputs(walk *w, mg_node neuron, uint32_t *i) {
    const mg_call *call = w->arena->aux[neuron].call;
    if (*i == 0 && !enter_neuron(w, neuron)) return MG_NO_NODE;
    *i = next_input(w, neuron, *i);
    if (*i < call->n_in) {
        open_neuron(w, neuron, *i);
        return call->inputs[*i];
    }
    close_neuron(w, neuron);
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

/* One walk; w->conflict says that the order must not be used. */
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
            return MG_NO_MEMORY;
        operand = arena->meta[node].arity == MG_FUSED ? look_at_inputs(w, node, &i)
                                                      : look_at_operands(w, node, &i);
        if (operand != MG_NO_NODE) {
            if (push(order, &w->depth, node, i + 1) != MG_OK) return MG_NO_MEMORY;
            node = operand;
            i = 0;
        } else {
            /* A closure may look at any gradient: neurons must have the scalar order. */
            if (arena->meta[node].flags & MG_CUSTOM) w->conflict = 1;
            if (w->n_open > 0 && will_fail(arena, node)) w->conflict = 1;
            if (emit(order, node) != MG_OK) return MG_NO_MEMORY;
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

mg_status mg_order_build(mg_arena *arena, mg_node root, mg_order_scope scope, mg_order *order) {
    if (run_ordinary(arena, root, scope, order)) return MG_OK;
    walk w = {.arena = arena, .order = order, .scope = scope, .expand = scope == MG_ORDER_ALL};
    mg_status st = visit_all(&w, root);
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
    return visit_all(&w, root);
}

void mg_order_free(mg_order *order) {
    mg_free(order->nodes);
    mg_free(order->stack);
    *order = (mg_order){0};
}
