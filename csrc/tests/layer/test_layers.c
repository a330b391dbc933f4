/* Fused neurons against the scalar graph that they stand for. */
#include "tests/check.h"

#include "loops/kernels.h"

#include <string.h>

enum { MAX_IN = 21, MAX_ROWS = 19 };

/* A layer of its own arena, with inputs that are leaves, neighbours in their order or not. */
typedef struct {
    mg_arena *arena;
    mg_layer_block *block;
    uint32_t n_in, n_rows;
    mg_node inputs[MAX_IN], root;
    mg_call *call;
} layer;

static layer make_layer(uint32_t n_in, uint32_t n_rows, mg_op activation, const double *numbers,
                        int in_order) {
    layer l = {.arena = test_arena_new(), .n_in = n_in, .n_rows = n_rows};
    const uint32_t n_parameters = n_rows * (n_in + 1);
    mg_node base = mg_arena_take_span(l.arena, n_parameters);
    for (uint32_t i = 0; i < n_parameters; i++) {
        l.arena->data[base + i] = numbers[i];
        l.arena->grad[base + i] = 0.0;
        l.arena->meta[base + i] = (mg_meta){1, MG_LEAF, 0, 0, 0};
        l.arena->handle[base + i] = NULL;
    }
    l.block = mg_layer_block_new(l.arena, base, n_rows, n_in, 1);
    l.block->activation = activation;
    for (uint32_t k = 0; k < n_in; k++) {
        const uint32_t i = in_order ? k : n_in - 1 - k;
        l.inputs[i] = mg_arena_leaf(l.arena, numbers[n_parameters + i]);
        l.arena->meta[l.inputs[i]].refs++;
    }
    l.call = mg_call_new(l.block, 0, n_rows, 1);
    for (uint32_t i = 0; i < n_in; i++) {
        l.call->x[i] = l.arena->data[l.inputs[i]];
        l.call->inputs[i] = l.inputs[i];
    }
    mg_call_find_duplicates(l.arena, l.call);
    double failed;
    CHECK(mg_call_forward(l.arena, l.call, &failed) == MG_OK);
    CHECK((l.call->first_input == l.inputs[0]) == (in_order || n_in == 1));
    /* root = ((n0 * n0) + n1) + ... */
    mg_node neurons[MAX_ROWS];
    memcpy(neurons, l.call->neurons, n_rows * sizeof *neurons);
    l.root = mg_arena_node(l.arena, MG_MUL, neurons[0], neurons[0], 0.0, 0.0);
    for (uint32_t r = 1; r < n_rows; r++)
        l.root = mg_arena_node(l.arena, MG_ADD, l.root, neurons[r], 0.0, 0.0);
    l.arena->meta[l.root].refs++;
    return l;
}

static void go_backward(layer *l) {
    mg_order order = {0};
    mg_failure failure;
    CHECK(mg_order_build(l->arena, l->root, MG_ORDER_ACTIVE, &order) == MG_OK);
    l->arena->grad[l->root] = 1.0;
    CHECK(mg_backward_sweep(l->arena, &order, NULL, NULL, &failure) == MG_OK);
    mg_order_free(&order);
}

static void expand_all(layer *l) {
    mg_order order = {0};
    CHECK(mg_order_build(l->arena, l->root, MG_ORDER_ALL, &order) == MG_OK);
    mg_order_free(&order);
}

static void free_layer(layer *l) {
    mg_node base = l->block->base;
    for (uint32_t i = 0; i < l->n_in; i++) mg_arena_release(l->arena, l->inputs[i]);
    /* The parameters lose their holders first: the calls keep them. */
    for (uint32_t i = 0; i < l->n_rows * (l->n_in + 1); i++) mg_arena_release(l->arena, base + i);
    mg_arena_release(l->arena, l->root);
    test_arena_end(l->arena);
}

static void same_gradients(const layer *a, const layer *b) {
    for (uint32_t i = 0; i < a->n_in; i++)
        CHECK(a->arena->grad[a->inputs[i]] == b->arena->grad[b->inputs[i]]);
    for (uint32_t i = 0; i < a->n_rows * (a->n_in + 1); i++)
        CHECK(a->arena->grad[a->block->base + i] == b->arena->grad[b->block->base + i]);
}

static void fused_is_scalar(mg_op activation, int in_order) {
    double numbers[MAX_ROWS * (MAX_IN + 1) + MAX_IN];
    for (uint32_t n_in = 1; n_in <= MAX_IN; n_in += 4) {
        for (uint32_t n_rows = 1; n_rows <= MAX_ROWS; n_rows += 3) {
            for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
                numbers[i] = test_random();
            layer fused = make_layer(n_in, n_rows, activation, numbers, in_order);
            layer scalar = make_layer(n_in, n_rows, activation, numbers, in_order);
            expand_all(&scalar);
            for (int round = 0; round < 3; round++) {
                go_backward(&fused);
                go_backward(&scalar);
                same_gradients(&fused, &scalar);
            }
            free_layer(&fused);
            free_layer(&scalar);
        }
    }
}

static void runs_are_reused(void) {
    mg_arena *arena = test_arena_new();
    mg_node first = mg_arena_take_span(arena, 12);
    for (int round = 0; round < 5; round++) {
        mg_node base = round == 0 ? first : mg_arena_take_span(arena, 12);
        CHECK(base == first);
        for (int i = 0; i < 12; i++) {
            arena->meta[base + i] = (mg_meta){1, MG_LEAF, 0, 0, 0};
            arena->handle[base + i] = NULL;
        }
        mg_layer_block *block = mg_layer_block_new(arena, base, 3, 3, 1);
        CHECK(block != NULL);
        for (int i = 0; i < 12; i++) mg_arena_release(arena, base + i);
        CHECK(arena->n_live == 0);
    }
    test_arena_end(arena);
}

/* Runs of changing lengths, with nodes made and freed in between: the columns stop growing. */
static void runs_of_any_length_share_the_columns(void) {
    mg_arena *arena = test_arena_new();
    mg_node settled = 0;
    for (int round = 0; round < 300; round++) {
        const mg_node n_nodes = 20 + (mg_node)(round * 7 % 13);
        mg_node nodes[9];
        for (int i = 0; i < 9; i++) {
            nodes[i] = mg_arena_leaf(arena, 1.0);
            arena->meta[nodes[i]].refs = 1;
        }
        const mg_node first = mg_arena_take_span(arena, n_nodes);
        CHECK(first != MG_NO_NODE && arena->n_live == n_nodes + 9);
        for (mg_node node = first; node < first + n_nodes; node++)
            arena->meta[node] = (mg_meta){0, MG_LEAF, 0, 0, 0};
        for (int i = 0; i < 9; i++) {
            CHECK(nodes[i] < first || nodes[i] >= first + n_nodes);
            mg_arena_release(arena, nodes[i]);
        }
        arena->n_live -= n_nodes;
        mg_arena_give_span(arena, first, n_nodes);
        if (round == 100) settled = arena->cap;
    }
    CHECK(arena->cap == settled);
    test_arena_end(arena);
}

void test_layers(void) {
    size_t n;
    const mg_kernels *const *builds = mg_kernels_available(&n);
    CHECK(n >= 1);
    for (size_t i = 0; i < n; i++) {
        CHECK(mg_kernels_select(builds[i]->name));
        for (int in_order = 0; in_order < 2; in_order++) {
            fused_is_scalar(MG_LEAF, in_order);
            fused_is_scalar(MG_RELU, in_order);
            fused_is_scalar(MG_TANH, in_order);
        }
    }
    CHECK(!mg_kernels_select("no such build"));
    mg_kernels_select(builds[0]->name);
    runs_are_reused();
    runs_of_any_length_share_the_columns();
}
