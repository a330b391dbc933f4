/* Optimizer steps over spans of nodes. */
#include "tests/check.h"

#include <math.h>
#include <string.h>

#include "layer/optim.h"

enum { N_NODES = 9 };

static mg_node leaves(mg_arena *arena, uint32_t n) {
    const mg_node first = mg_arena_take_span(arena, n);
    for (mg_node node = first; node < first + n; node++) {
        arena->data[node] = test_random();
        arena->grad[node] = test_random();
        arena->meta[node] = (mg_meta){1, MG_LEAF, 0, 0, 0};
        arena->handle[node] = NULL;
    }
    return first;
}

static void check_sgd(void) {
    const mg_sgd rules[] = {
        {.lr = 0.1}, {.lr = 0.1, .weight_decay = 0.3}, {.lr = 0.1, .momentum = 0.9}};
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++) {
        mg_arena *arena = test_arena_new();
        const mg_node first = leaves(arena, N_NODES);
        double before[N_NODES], velocity[N_NODES] = {0.0};
        for (mg_node i = 0; i < N_NODES; i++) before[i] = arena->data[first + i];
        /* All but the two at the ends. */
        const mg_span span = {first + 1, N_NODES - 2};
        mg_sgd_step(arena, span, &rules[k], rules[k].momentum != 0.0 ? velocity : NULL, 1);
        for (mg_node i = 0; i < N_NODES; i++) {
            double g = arena->grad[first + i], wanted = before[i];
            if (rules[k].weight_decay != 0.0) g = g + rules[k].weight_decay * before[i];
            if (i > 0 && i < N_NODES - 1) wanted = before[i] - rules[k].lr * g;
            CHECK(arena->data[first + i] == wanted);
        }
        mg_span_zero_grad(arena, span);
        for (mg_node i = 0; i < N_NODES; i++)
            CHECK((arena->grad[first + i] == 0.0) == (i > 0 && i < N_NODES - 1));
        for (mg_node i = 0; i < N_NODES; i++) mg_arena_discard(arena, first + i);
        test_arena_end(arena);
    }
}

/* Every gradient of the span, and no other, zeros included; twice is nothing. */
static void check_negated(void) {
    mg_arena *arena = test_arena_new();
    const mg_node first = leaves(arena, N_NODES);
    arena->grad[first + 1] = 0.0;
    arena->grad[first + 2] = -INFINITY;
    double before[N_NODES];
    memcpy(before, arena->grad + first, sizeof before);
    const mg_span span = {first + 1, N_NODES - 2};
    mg_span_negate_grad(arena, span);
    for (mg_node i = 0; i < N_NODES; i++) {
        const double wanted = i > 0 && i < N_NODES - 1 ? -before[i] : before[i];
        CHECK(memcmp(&arena->grad[first + i], &wanted, sizeof wanted) == 0);
    }
    mg_span_negate_grad(arena, span);
    CHECK(memcmp(before, arena->grad + first, sizeof before) == 0);
    for (mg_node i = 0; i < N_NODES; i++) mg_arena_discard(arena, first + i);
    test_arena_end(arena);
}

/* A call on the first row, whose weights are to be kept from the first assignment on. */
static mg_node call_block(mg_arena *arena, mg_layer_block *block) {
    mg_call *call = mg_call_new(block, 0, 1, (mg_activation){MG_LEAF, 0.0}, 0);
    for (uint32_t i = 0; i < block->n_in; i++) call->x[i] = 1.0;
    double failed;
    CHECK(mg_call_forward(arena, call, &failed) == MG_OK);
    arena->meta[call->neurons[0]].refs = 1;
    return call->neurons[0];
}

/* Assigning to `span` keeps the weights of these blocks, once. */
static void check_kept(mg_arena *arena, mg_span span, mg_layer_block *const *blocks) {
    const mg_weights *const weights[] = {blocks[0]->weights, blocks[1]->weights};
    CHECK(mg_span_before_write(arena, span) == MG_OK);
    for (int k = 0; k < 2; k++) {
        CHECK(weights[k]->rows && weights[k]->rows[0] == arena->data[blocks[k]->base]);
        CHECK(!blocks[k]->weights);
    }
    CHECK(mg_span_before_write(arena, span) == MG_OK);
    CHECK(!blocks[0]->weights && !blocks[1]->weights);
}

/* Two layers and a leaf between them in one span. */
static void check_neighbours(void) {
    mg_arena *arena = test_arena_new();
    const mg_node first = leaves(arena, N_NODES);
    mg_layer_block *const blocks[] = {mg_layer_block_new(arena, first, 2, 1, 0),
                                      mg_layer_block_new(arena, first + 5, 1, 3, 0)};
    const mg_node neurons[] = {call_block(arena, blocks[0]), call_block(arena, blocks[1])};
    check_kept(arena, (mg_span){first, N_NODES}, blocks);
    for (int k = 0; k < 2; k++) mg_arena_discard(arena, neurons[k]);
    for (mg_node i = 0; i < N_NODES; i++) mg_arena_discard(arena, first + i);
    test_arena_end(arena);
}

/* A layer that has got slots from inside an older one, whose parameters there are freed. */
static void check_successor(void) {
    mg_arena *arena = test_arena_new();
    const mg_node first = leaves(arena, N_NODES);
    mg_layer_block *const older = mg_layer_block_new(arena, first, 2, 1, 0);
    const mg_node neuron = call_block(arena, older);
    mg_layer_block *const last = mg_layer_block_new(arena, first + 5, 1, 3, 0);
    const mg_node last_neuron = call_block(arena, last);
    mg_arena_discard(arena, neuron);
    mg_arena_discard(arena, first + 2);
    mg_arena_discard(arena, first + 1);
    for (mg_node i = 1; i <= 2; i++) {
        CHECK(mg_arena_leaf(arena, 1.0) == first + i);
        arena->meta[first + i].refs = 1;
    }
    mg_layer_block *const newer = mg_layer_block_new(arena, first + 1, 1, 1, 0);
    const mg_node newer_neuron = call_block(arena, newer);
    check_kept(arena, (mg_span){first, N_NODES}, (mg_layer_block *[]){newer, last});
    mg_arena_discard(arena, newer_neuron);
    mg_arena_discard(arena, last_neuron);
    for (mg_node i = 0; i < N_NODES; i++) mg_arena_discard(arena, first + i);
    test_arena_end(arena);
}

void test_optim(void) {
    check_sgd();
    check_negated();
    check_neighbours();
    check_successor();
}
