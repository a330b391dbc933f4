/* What of the rule is seldom asked; layer/fusion.h states it. */
#include "layer/fusion.h"

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
        if (!mg_ops[call->activation.op].slope_errors) return 0;
        const double pre = call->pre[mg_neuron_row(arena, node)];
        mg_op_adjoint_a(call->activation.op, pre, 0.0, call->activation.k, 0.0, y, 1.0, &st);
        return st != MG_OK;
    }
    if (!mg_ops[meta.op].slope_errors) return 0;
    const double a = arena->data[pair.a], b = meta.arity == 2 ? arena->data[pair.b] : 0.0;
    mg_node_immediates(arena, node, &k, &h);
    mg_op_adjoint_a((mg_op)meta.op, a, b, k, h, y, 1.0, &st);
    if (meta.arity == 2) mg_op_adjoint_b((mg_op)meta.op, a, b, k, h, y, 1.0, &st);
    return st != MG_OK;
}

void mg_fusion_check_node(mg_fusion *fusion, mg_node node) {
    /* A TAKE gives to candidates that were met under its JOIN, perhaps long before. */
    if (fusion->arena->meta[node].op == MG_TAKE || will_fail(fusion->arena, node))
        fusion->conflict = 1;
}

void mg_fusion_close_open(mg_fusion *fusion, mg_node neuron) {
    mg_arena *arena = fusion->arena;
    mg_call *call = arena->aux[neuron].call;
    for (uint32_t i = 0; i < call->open.n_flagged; i++)
        if (call->inputs[i] != MG_NO_NODE) arena->meta[call->inputs[i]].flags &= ~MG_OPEN_INPUT;
    call->open.n_flagged = 0;
    fusion->n_open--;
    call->block->open.n_open--;
    --*mg_openings(arena, neuron);
    if (call->open.counted) fusion->n_open_shared--;
    call->open.counted = 0;
}
