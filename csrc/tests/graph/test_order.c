/* The order against its recursive definition, and when memory runs out. */
#include "base/memory.h"
#include "tests/check.h"

#include <string.h>

enum { N_LEAVES = 5, N_NODES = 200 };

static int met[N_LEAVES + N_NODES];
static mg_node expected[N_LEAVES + N_NODES];
static size_t n_expected;

static void visit(const mg_arena *arena, mg_node node) {
    if (met[node]) return;
    met[node] = 1;
    const mg_node *operands;
    uint32_t n = mg_node_operands(arena, node, &operands);
    for (uint32_t i = 0; i < n; i++) visit(arena, operands[i]);
    expected[n_expected++] = node;
}

static void order_is_depth_first_post_order(void) {
    for (int trial = 0; trial < 50; trial++) {
        mg_arena *arena = test_arena_new();
        mg_node nodes[N_LEAVES + N_NODES];
        for (int i = 0; i < N_LEAVES; i++) {
            nodes[i] = mg_arena_leaf(arena, test_random());
            arena->meta[nodes[i]].refs++;
        }
        for (int i = N_LEAVES; i < N_LEAVES + N_NODES; i++) {
            mg_node a = nodes[(int)((test_random() + 2.0) / 4.0 * i)];
            mg_node b = nodes[(int)((test_random() + 2.0) / 4.0 * i)];
            nodes[i] = mg_arena_node(arena, MG_ADD, a, b, 0.0, arena->data[a] + arena->data[b]);
            arena->meta[nodes[i]].refs++;
        }
        mg_node root = nodes[N_LEAVES + N_NODES - 1];
        memset(met, 0, sizeof met);
        n_expected = 0;
        visit(arena, root);

        mg_order order = {0};
        /* The counter of traversals may wrap around. */
        if (trial == 25) arena->epoch = UINT32_MAX;
        CHECK(mg_order_build(arena, root, MG_ORDER_ALL, &order) == MG_OK);
        CHECK(order.n_nodes == n_expected);
        CHECK(memcmp(order.nodes, expected, n_expected * sizeof *expected) == 0);

        CHECK(mg_order_build(arena, root, MG_ORDER_ACTIVE, &order) == MG_OK);
        size_t n_active = 0;
        for (size_t i = 0; i < n_expected; i++) n_active += arena->meta[expected[i]].arity > 0;
        CHECK(order.n_nodes == n_active && order.nodes[n_active - 1] == root);
        mg_order_free(&order);
        for (int i = 0; i < N_LEAVES + N_NODES; i++) mg_arena_release(arena, nodes[i]);
        test_arena_end(arena);
    }
}

/* Whichever allocation fails, the next attempt in the same workspace has the order. */
static void memory_may_run_out(void) {
    mg_arena *arena = test_arena_new();
    mg_node root = mg_arena_leaf(arena, 1.0);
    for (int i = 0; i < 1000; i++) root = mg_arena_node(arena, MG_EXP, root, MG_NO_NODE, 0.0, 1.0);
    arena->meta[root].refs++;
    for (long nth = 1; nth < 10; nth++) {
        mg_order order = {0};
        mg_testing_fail_allocation(nth);
        const mg_status st = mg_order_build(arena, root, MG_ORDER_ALL, &order);
        mg_testing_fail_allocation(0);
        CHECK(st == MG_OK || mg_order_build(arena, root, MG_ORDER_ALL, &order) == MG_OK);
        CHECK(order.n_nodes == 1001 && order.nodes[1000] == root);
        mg_order_free(&order);
    }
    mg_arena_release(arena, root);
    test_arena_end(arena);
}

void test_order(void) {
    order_is_depth_first_post_order();
    memory_may_run_out();
}
