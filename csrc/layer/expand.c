/* The nodes of the scalar graph, in the order in which Python would make them. */
#include "layer/expand.h"

mg_status mg_neuron_expand(mg_arena *arena, mg_node neuron) {
    mg_call *call = arena->aux[neuron].call;
    const mg_layer_block *block = call->block;
    const uint32_t row = mg_neuron_row(arena, neuron), n_in = call->n_in;
    const uint32_t block_row = call->first_row + row;
    /* A product, a sum and perhaps a leaf for each input. */
    if (mg_arena_reserve(arena, 3 * n_in) != MG_OK) return MG_NO_MEMORY;

    const size_t offset = (size_t)block_row * mg_row_length(block);
    const double *w = mg_weight_rows(arena, block, call->forward) + offset;
    const int propagated = call->propagated[row];
    const double g = call->inner_grad[row];
    const double *w_back =
        propagated ? mg_weight_rows(arena, block, call->backward) + offset : NULL;
    const int linear = call->activation.op == MG_LEAF;
    mg_node sum = mg_parameter(block, block_row, n_in);
    double value = w[n_in];

    mg_parameter_revive(arena, sum);
    mg_node last_a = MG_NO_NODE, last_b = MG_NO_NODE;
    for (uint32_t i = 0; i < n_in; i++) {
        mg_node weight = mg_parameter(block, block_row, i);
        mg_node x = call->inputs ? call->inputs[i] : MG_NO_NODE;
        if (x == MG_NO_NODE) {
            x = mg_arena_literal(arena, call->x[i]);
            if (propagated) arena->grad[x] = 0.0 + w_back[i] * g;
        }
        mg_parameter_revive(arena, weight);
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
    arena->meta[neuron].op = linear ? MG_ADD : (uint8_t)call->activation.op;
    arena->meta[neuron].arity = linear ? 2 : 1;
    arena->aux[neuron].immediate = call->activation.k;
    mg_arena_use(arena, last_a);
    if (linear) mg_arena_use(arena, last_b);
    mg_call_leave(arena, call, row);
    return MG_OK;
}
