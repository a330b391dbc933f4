/* The rule, one function for each event of a traversal; layer/fusion.h states it. */
#include "layer/fusion.h"

/* How often the neuron's row is open. */
static uint32_t *openings(const mg_arena *arena, mg_node neuron) {
    const mg_call *call = arena->aux[neuron].call;
    return &call->block->open.rows[call->first_row + mg_neuron_row(arena, neuron)];
}

/* Whether a sweep will end at this node for want of a derivative. That depends on data alone,
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
        mg_op_adjoint_a(call->activation.op, pre, 0.0, call->activation.k, 0.0, y, 1.0, &st);
        return st != MG_OK;
    }
    if (meta.arity == 0 || meta.arity == MG_NARY) return 0;
    const double a = arena->data[pair.a], b = meta.arity == 2 ? arena->data[pair.b] : 0.0;
    mg_node_immediates(arena, node, &k, &h);
    mg_op_adjoint_a((mg_op)meta.op, a, b, k, h, y, 1.0, &st);
    if (meta.arity == 2) mg_op_adjoint_b((mg_op)meta.op, a, b, k, h, y, 1.0, &st);
    return st != MG_OK;
}

void mg_fusion_check_operand(mg_fusion *fusion, mg_node operand) {
    const mg_arena *arena = fusion->arena;
    const uint8_t flags = arena->meta[operand].flags;
    if (flags & MG_OPEN_INPUT) fusion->conflict = 1;
    if ((flags & MG_PARAMETER) && arena->aux[operand].block->open.n_open > 0) fusion->conflict = 1;
}

void mg_fusion_check_node(mg_fusion *fusion, mg_node node) {
    if (will_fail(fusion->arena, node)) fusion->conflict = 1;
}

int mg_fusion_enter(mg_fusion *fusion, mg_node neuron) {
    const mg_arena *arena = fusion->arena;
    mg_call *call = arena->aux[neuron].call;
    if (fusion->n_open > 0 && *openings(arena, neuron) > 0) fusion->conflict = 1;
    if (call->open.epoch == arena->epoch) {
        if (fusion->n_open_shared > 0) fusion->conflict = 1;
        return 0;
    }
    call->open.epoch = arena->epoch;
    call->open.shared = 0;
    return call->inputs != NULL;
}

void mg_fusion_descend(mg_fusion *fusion, mg_node neuron, uint32_t i) {
    mg_arena *arena = fusion->arena;
    mg_call *call = arena->aux[neuron].call;
    if (!fusion->watching || i == 0) return;
    if (call->open.n_flagged == 0) {
        fusion->n_open++;
        call->block->open.n_open++;
        ++*openings(arena, neuron);
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

void mg_fusion_close(mg_fusion *fusion, mg_node neuron) {
    mg_arena *arena = fusion->arena;
    mg_call *call = arena->aux[neuron].call;
    if (call->open.n_flagged == 0) return;
    for (uint32_t i = 0; i < call->open.n_flagged; i++)
        if (call->inputs[i] != MG_NO_NODE) arena->meta[call->inputs[i]].flags &= ~MG_OPEN_INPUT;
    call->open.n_flagged = 0;
    fusion->n_open--;
    call->block->open.n_open--;
    --*openings(arena, neuron);
    if (call->open.counted) fusion->n_open_shared--;
    call->open.counted = 0;
}
