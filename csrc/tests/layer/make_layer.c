/* See make_layer.h. */
#include "tests/layer/make_layer.h"

mg_node make_leaves(mg_arena *arena, const double *numbers, uint32_t n_nodes, int is_span) {
    const mg_node first = is_span ? mg_arena_take_span(arena, n_nodes) : MG_NO_NODE;
    mg_node base = first;
    for (uint32_t i = 0; i < n_nodes; i++) {
        const mg_node node = is_span ? first + i : mg_arena_leaf(arena, 0.0);
        if (i == 0) base = node;
        CHECK(node == base + i);
        arena->data[node] = numbers[i];
        arena->grad[node] = 0.0;
        arena->meta[node] = (mg_meta){1, MG_LEAF, 0, 0, 0};
        arena->handle[node] = NULL;
    }
    return base;
}

mg_call *make_call(mg_arena *arena, mg_layer_block *block, mg_op activation,
                   const mg_node *inputs) {
    mg_call *call = mg_call_new(block, 0, block->n_rows, (mg_activation){activation, 0.0}, 1);
    CHECK(call != NULL);
    for (uint32_t i = 0; i < block->n_in; i++) {
        call->x[i] = arena->data[inputs[i]];
        call->inputs[i] = inputs[i];
    }
    mg_call_find_duplicates(arena, call);
    double failed;
    CHECK(mg_call_forward(arena, call, &failed) == MG_OK);
    return call;
}

layer make_layer(uint32_t n_in, uint32_t n_rows, mg_op activation, const double *numbers,
                 int in_order) {
    layer l = {.arena = test_arena_new(), .n_in = n_in, .n_rows = n_rows};
    const uint32_t n_parameters = n_rows * (n_in + 1);
    const mg_node base = make_leaves(l.arena, numbers, n_parameters, 1);
    l.block = mg_layer_block_new(l.arena, base, n_rows, n_in, 1);
    for (uint32_t k = 0; k < n_in; k++) {
        const uint32_t i = in_order ? k : n_in - 1 - k;
        l.inputs[i] = mg_arena_leaf(l.arena, numbers[n_parameters + i]);
        l.arena->meta[l.inputs[i]].refs++;
    }
    l.call = make_call(l.arena, l.block, activation, l.inputs);
    CHECK((l.call->first_input == l.inputs[0]) == (in_order || n_in == 1));
    mg_node neurons[MAX_ROWS];
    for (uint32_t r = 0; r < n_rows; r++) neurons[r] = l.call->neurons[r];
    l.root = mg_arena_node(l.arena, MG_MUL, neurons[0], neurons[0], 0.0, 0.0);
    for (uint32_t r = 1; r < n_rows; r++)
        l.root = mg_arena_node(l.arena, MG_ADD, l.root, neurons[r], 0.0, 0.0);
    l.arena->meta[l.root].refs++;
    return l;
}

void go_backward(mg_arena *arena, mg_node root) {
    mg_order order = {0};
    mg_failure failure;
    CHECK(mg_order_build(arena, root, MG_ORDER_ACTIVE, &order) == MG_OK);
    arena->grad[root] = 1.0;
    CHECK(mg_backward_sweep(arena, &order, NULL, NULL, &failure) == MG_OK);
    mg_order_free(&order);
}

void expand_all(mg_arena *arena, mg_node root) {
    mg_order order = {0};
    CHECK(mg_order_build(arena, root, MG_ORDER_ALL, &order) == MG_OK);
    mg_order_free(&order);
}

void free_layer(layer *l) {
    mg_node base = l->block->base;
    for (uint32_t i = 0; i < l->n_in; i++) mg_arena_release(l->arena, l->inputs[i]);
    /* The parameters lose their holders first: the calls keep them. */
    for (uint32_t i = 0; i < l->n_rows * (l->n_in + 1); i++) mg_arena_release(l->arena, base + i);
    mg_arena_release(l->arena, l->root);
    test_arena_end(l->arena);
}
