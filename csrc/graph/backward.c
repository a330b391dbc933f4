/* One switch over ops.def does the work; operands and values are read at this moment, so data
 * that was assigned after the forward pass counts, as in the reference. */
#include "graph/backward.h"

#include "nodes/take.h"

/* Inlined always: GCC 12 with -O2 takes the call of a function that it has made of it for one that
 * does nothing, and drops it. */
static MG_ALWAYS_INLINE void local_backward(mg_arena *arena, mg_node node) {
    mg_extra *extra = arena->aux[node].extra;
    if (extra->n_values == 0) return;
    const mg_node *operands = mg_extra_operands(extra);
    for (uint32_t i = 0; i < extra->n_operands; i++)
        arena->grad[operands[i]] += extra->values[i] * arena->grad[node];
}

static mg_status take_backward(mg_arena *arena, mg_node node, mg_failure *failure) {
    const mg_node taken = mg_taken(arena, node);
    if (taken == MG_NO_NODE) {
        const mg_node *candidates;
        const double n = mg_candidates(arena, node, &candidates);
        *failure = (mg_failure){node, arena->data[arena->operands[node].b], n};
        return MG_INDEX;
    }
    arena->grad[taken] += arena->grad[node];
    return MG_OK;
}

static MG_ALWAYS_INLINE mg_status propagate(mg_arena *arena, mg_node node, mg_failure *failure) {
    double *const data = arena->data, *const grad = arena->grad;
    const mg_operands pair = arena->operands[node];
    const mg_op op = (mg_op)arena->meta[node].op;
    mg_status st_value = MG_OK, *st = &st_value;
    double a = 0.0, b = 0.0, k, h;
    const double y = data[node], g = grad[node];

    switch (op) {
    case MG_LEAF:
    case MG_NEURON: /* in runs, by mg_call_backward */
    case MG_JOIN:
    case MG_FUNCTION:
    case MG_N_OPS:
        break;
    case MG_TAKE:
        return take_backward(arena, node, failure);
    case MG_LOCAL:
        local_backward(arena, node);
        break;
        /* The arity and the number of immediates are constants of the row: the tests fold away. */
#define OP(ID, name, label, arity, n_immediates, of_square, value, adjoint_a, adjoint_b, ...)     \
    case MG_##ID: {                                                                               \
        a = data[pair.a];                                                                         \
        if (arity == 2) b = data[pair.b];                                                         \
        if (n_immediates > 0) mg_node_immediates(arena, node, &k, &h);                            \
        const double s = of_square ? mg_pow(y, 2.0, st) : 0.0;                                    \
        (void)s;                                                                                  \
        double share = adjoint_a;                                                                 \
        if (st_value != MG_OK) break;                                                             \
        grad[pair.a] += share;                                                                    \
        if (arity == 2) {                                                                         \
            share = adjoint_b;                                                                    \
            if (st_value != MG_OK) break;                                                         \
            grad[pair.b] += share;                                                                \
        }                                                                                         \
        break;                                                                                    \
    }
#include "ops/ops.def"
#undef OP
    }
    if (st_value != MG_OK) *failure = (mg_failure){node, a, b};
    return st_value;
}

mg_status mg_backward_node(mg_arena *arena, mg_node node, mg_failure *failure) {
    return propagate(arena, node, failure);
}

/* A branch that is not taken, and a candidate that is not, is not gone through: nothing in it may
 * fail, and it gives no gradient anything, not even a nan. From the first closed branch or choice
 * on, a sweep remembers which nodes some propagated node goes on to, by number; NULL before, when
 * all are. */
typedef uint8_t *mg_needed;

static inline int is_closed(mg_arena *arena, mg_node node) {
    return arena->meta[node].op == MG_KEEP && !mg_is_custom(arena, node) &&
           arena->data[arena->operands[node].b] == 0.0;
}

/* Whether a node does not go on to all of its operands. */
static int leaves_out(mg_arena *arena, mg_node node) {
    return is_closed(arena, node) ||
           (arena->meta[node].op == MG_TAKE && !mg_is_custom(arena, node));
}

/* What an index is computed from gets no gradient of the TAKE. */
static void need_taken(mg_arena *arena, mg_node node, mg_needed needed) {
    const mg_node taken = mg_taken(arena, node);
    if (taken != MG_NO_NODE) needed[taken] = 1;
}

static void need_operands(mg_arena *arena, mg_node node, mg_needed needed) {
    if (arena->meta[node].op == MG_TAKE && !mg_is_custom(arena, node)) {
        need_taken(arena, node, needed);
        return;
    }
    if (arena->meta[node].arity == MG_FUSED) {
        const mg_call *call = arena->aux[node].call;
        for (uint32_t i = 0; call->inputs && i < call->n_in; i++)
            if (call->inputs[i] != MG_NO_NODE) needed[call->inputs[i]] = 1;
        return;
    }
    const mg_node *operands;
    const uint32_t n_operands = mg_node_operands(arena, node, &operands);
    for (uint32_t i = is_closed(arena, node); i < n_operands; i++) needed[operands[i]] = 1;
}

/* Propagate the neuron at position `i` of the order, and those before it that follow it in its
 * layer call, highest row first. Returns the position of the last of them. */
static size_t propagate_neurons(mg_arena *arena, const mg_order *order, size_t i,
                                const mg_needed needed, mg_status *st, mg_failure *failure) {
    mg_call *call = arena->aux[order->nodes[i]].call;
    const uint32_t high_row = mg_neuron_row(arena, order->nodes[i]);
    uint32_t n = 1;
    while (i > 0 && n <= high_row && order->nodes[i - 1] == call->neurons[high_row - n] &&
           (!needed || needed[order->nodes[i - 1]])) {
        n++;
        i--;
    }
    *failure = (mg_failure){order->nodes[i], 0.0, 0.0};
    *st = mg_call_backward(arena, call, high_row, n, &failure->a);
    return i;
}

/* The rest of a sweep from position `i` on, which has been propagated and leaves something out. */
static MG_NEVER_INLINE mg_status sweep_the_needed(mg_arena *arena, const mg_order *order, size_t i,
                                                  mg_custom_backward custom, void *context,
                                                  mg_failure *failure) {
    *failure = (mg_failure){order->nodes[i], 0.0, 0.0};
    mg_status st = MG_OK;
    const mg_needed needed = mg_calloc(arena->top, 1);
    if (!needed) return MG_NO_MEMORY;
    for (size_t j = order->n_nodes; j-- > i;) need_operands(arena, order->nodes[j], needed);
    while (i-- > 0 && st == MG_OK) {
        const mg_node node = order->nodes[i];
        if (!needed[node]) continue;
        if (mg_is_custom(arena, node))
            st = custom(context, node);
        else if (arena->meta[node].arity == MG_FUSED)
            i = propagate_neurons(arena, order, i, needed, &st, failure);
        else
            st = mg_backward_node(arena, node, failure);
        need_operands(arena, node, needed);
    }
    mg_free(needed);
    return st;
}

mg_status mg_backward_sweep(mg_arena *arena, const mg_order *order, mg_custom_backward custom,
                            void *context, mg_failure *failure) {
    mg_status st = MG_OK;
    for (size_t i = order->n_nodes; i-- > 0 && st == MG_OK;) {
        const mg_node node = order->nodes[i];
        const mg_meta meta = arena->meta[node];
        if ((meta.flags & MG_CUSTOM) && mg_is_custom(arena, node))
            st = custom(context, node);
        else if (meta.arity == MG_FUSED)
            i = propagate_neurons(arena, order, i, NULL, &st, failure);
        else
            st = propagate(arena, node, failure);
        if ((meta.op == MG_KEEP || meta.op == MG_TAKE) && st == MG_OK && leaves_out(arena, node))
            return sweep_the_needed(arena, order, i, custom, context, failure);
    }
    return st;
}

double mg_local_gradient(const mg_arena *arena, mg_node node, uint32_t index, mg_status *st) {
    const mg_op op = (mg_op)arena->meta[node].op;
    if (op == MG_LOCAL) return arena->aux[node].extra->values[index];
    if (op == MG_JOIN) return -0.0;
    if (op == MG_TAKE) {
        const mg_node *candidates;
        const uint32_t n = mg_candidates(arena, node, &candidates);
        const uint32_t place = mg_place(arena->data[arena->operands[node].b], n);
        if (place == n) *st = MG_INDEX;
        return index == place && index < n ? 1.0 : -0.0;
    }
    const mg_operands pair = arena->operands[node];
    double a = arena->data[pair.a], b = 0.0, y = arena->data[node], k, h;
    if (arena->meta[node].arity == 2) b = arena->data[pair.b];
    mg_node_immediates(arena, node, &k, &h);
    return index == 0 ? mg_op_adjoint_a(op, a, b, k, h, y, 1.0, st)
                      : mg_op_adjoint_b(op, a, b, k, h, y, 1.0, st);
}
