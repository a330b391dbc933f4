/* The sweep. */
#include "tests/check.h"

static mg_status count_calls(void *context, mg_node node) {
    *(mg_node *)context = node;
    return MG_CALLBACK;
}

static int hooks;

static int has_hook(mg_arena *arena, mg_node node) {
    (void)arena, (void)node;
    return hooks;
}

static void a_custom_backward_takes_the_place_of_the_operation(void) {
    mg_arena *arena = test_arena_new();
    const mg_node a = mg_arena_leaf(arena, 2.0);
    const mg_node root = mg_arena_node(arena, MG_MUL, a, a, 0.0, 4.0);
    mg_order order = {0};
    mg_failure failure;
    mg_node called = MG_NO_NODE;
    arena->meta[root].flags |= MG_CUSTOM;
    arena->node_has_hook = has_hook;
    arena->grad[root] = 1.0;
    CHECK(mg_order_build(arena, root, MG_ORDER_ACTIVE, &order) == MG_OK);
    hooks = 1;
    CHECK(mg_backward_sweep(arena, &order, count_calls, &called, &failure) == MG_CALLBACK);
    CHECK(called == root && arena->grad[a] == 0.0);
    /* The flag alone is no hook. */
    hooks = 0;
    CHECK(mg_backward_sweep(arena, &order, count_calls, &called, &failure) == MG_OK);
    CHECK(arena->grad[a] == 4.0);
    mg_order_free(&order);
    mg_arena_discard(arena, root);
    test_arena_end(arena);
}

static void a_missing_derivative_says_where(void) {
    mg_arena *arena = test_arena_new();
    mg_node a = mg_arena_leaf(arena, 0.0);
    mg_node root = mg_arena_node(arena, MG_SQRT, a, MG_NO_NODE, 0.0, 0.0);
    mg_order order = {0};
    mg_failure failure = {MG_NO_NODE, 1.0, 1.0};
    arena->grad[root] = 1.0;
    CHECK(mg_order_build(arena, root, MG_ORDER_ACTIVE, &order) == MG_OK);
    CHECK(mg_backward_sweep(arena, &order, count_calls, NULL, &failure) == MG_ZERO_DIVISION);
    CHECK(failure.node == root && failure.a == 0.0 && arena->grad[a] == 0.0);
    mg_order_free(&order);
    mg_arena_discard(arena, root);
    test_arena_end(arena);
}

/* (sqrt(0) kept by 0) + 0: the root has no slope, and must not be asked for one. */
static void a_closed_branch_is_not_gone_into(void) {
    mg_arena *arena = test_arena_new();
    const mg_node a = mg_arena_leaf(arena, 0.0), closed = mg_arena_leaf(arena, 0.0);
    const mg_node root = mg_arena_node(arena, MG_SQRT, a, MG_NO_NODE, 0.0, 0.0);
    const mg_node kept = mg_arena_node(arena, MG_KEEP, root, closed, 0.0, -0.0);
    const mg_node sum = mg_arena_node(arena, MG_ADD, kept, a, 0.0, 0.0);
    mg_order order = {0};
    mg_failure failure = {MG_NO_NODE, 1.0, 1.0};
    arena->grad[sum] = 1.0;
    CHECK(mg_order_build(arena, sum, MG_ORDER_ACTIVE, &order) == MG_OK);
    mg_testing_fail_allocation(1);
    CHECK(mg_backward_sweep(arena, &order, count_calls, NULL, &failure) == MG_NO_MEMORY);
    CHECK(failure.node == kept);
    mg_testing_fail_allocation(0);
    arena->grad[a] = arena->grad[kept] = arena->grad[root] = 0.0;
    CHECK(mg_backward_sweep(arena, &order, count_calls, NULL, &failure) == MG_OK);
    CHECK(arena->grad[a] == 1.0 && arena->grad[root] == 0.0);
    /* Open, it is. */
    arena->data[closed] = 1.0;
    CHECK(mg_backward_sweep(arena, &order, count_calls, NULL, &failure) == MG_ZERO_DIVISION);
    mg_order_free(&order);
    mg_arena_discard(arena, sum);
    test_arena_end(arena);
}

void test_backward(void) {
    a_closed_branch_is_not_gone_into();
    a_custom_backward_takes_the_place_of_the_operation();
    a_missing_derivative_says_where();
}
