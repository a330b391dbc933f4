/* Slots, references, pins, and what happens when memory runs out. */
#include "tests/check.h"

#include "nodes/products.h"

#include <stdlib.h>

static mg_node held(mg_arena *arena, mg_node node) {
    arena->meta[node].refs++;
    return node;
}

static void a_long_chain_is_freed_without_recursion(void) {
    mg_arena *arena = test_arena_new();
    mg_node node = held(arena, mg_arena_leaf(arena, 1.0));
    for (int i = 0; i < 300000; i++) {
        mg_node next = held(arena, mg_arena_node(arena, MG_ADD, node, node, 0.0, 1.0));
        mg_arena_release(arena, node);
        node = next;
    }
    CHECK(arena->n_live == 300001);
    mg_arena_release(arena, node);
    test_arena_end(arena);
}

static void a_rebuilt_graph_gets_its_slots_back(void) {
    mg_arena *arena = test_arena_new();
    mg_node first[3];
    for (int round = 0; round < 3; round++) {
        mg_node a = held(arena, mg_arena_leaf(arena, 1.0));
        mg_node b = mg_arena_node(arena, MG_EXP, a, MG_NO_NODE, 0.0, 2.0);
        mg_node c = held(arena, mg_arena_node(arena, MG_MUL, a, b, 0.0, 2.0));
        if (round == 0) first[0] = a, first[1] = b, first[2] = c;
        CHECK(arena->top == 3 && arena->n_live == 3);
        CHECK(arena->meta[a].refs == 3 && arena->meta[b].refs == 1);
        mg_arena_release(arena, a);
        mg_arena_release(arena, c);
        CHECK(arena->n_live == 0);
    }
    CHECK(first[0] == 0 && first[1] == 1 && first[2] == 2);
    test_arena_end(arena);
}

static void an_empty_arena_begins_anew(void) {
    mg_arena *arena = test_arena_new();
    mg_node nodes[4];
    for (int i = 0; i < 4; i++) {
        nodes[i] = held(arena, mg_arena_leaf(arena, 1.0));
        arena->mark[nodes[i]] = 1;
    }
    const int freed[4] = {1, 3, 0, 2};
    for (int i = 0; i < 4; i++) mg_arena_release(arena, nodes[freed[i]]);
    for (mg_node i = 0; i < 4; i++) {
        nodes[i] = held(arena, mg_arena_leaf(arena, 1.0));
        CHECK(nodes[i] == i && arena->mark[i] == 0);
    }
    for (int i = 0; i < 4; i++) mg_arena_release(arena, nodes[i]);
    test_arena_end(arena);
}

static int n_acquired, n_dropped;
static mg_arena *hooked;

static void acquire(void *handle) {
    (void)handle;
    n_acquired++;
}

/* A destructor that uses the arena itself. */
static void drop(void *handle) {
    (void)handle;
    n_dropped++;
    mg_node leaf = held(hooked, mg_arena_leaf(hooked, 3.0));
    mg_arena_release(hooked, held(hooked, mg_arena_node(hooked, MG_ABS, leaf, MG_NO_NODE, 0, 3)));
    mg_arena_release(hooked, leaf);
}

static void pinned_handles_are_held_by_each_use(void) {
    mg_arena *arena = hooked = test_arena_new();
    int handle;
    arena->handle_acquire = acquire;
    arena->handle_drop = drop;
    n_acquired = n_dropped = 0;
    mg_node a = held(arena, mg_arena_leaf(arena, 1.0));
    arena->handle[a] = &handle;
    arena->meta[a].flags |= MG_PINNED;
    mg_node b = held(arena, mg_arena_node(arena, MG_MUL, a, a, 0.0, 1.0));
    mg_node c = held(arena, mg_arena_node(arena, MG_EXP, a, MG_NO_NODE, 0.0, 1.0));
    CHECK(n_acquired == 3);
    mg_arena_release(arena, b);
    CHECK(n_dropped == 2);
    mg_arena_release(arena, c);
    CHECK(n_dropped == 3);
    mg_arena_release(arena, a);
    test_arena_end(arena);
}

static void extra_records_go_with_their_node(void) {
    mg_arena *arena = test_arena_new();
    mg_node a = held(arena, mg_arena_leaf(arena, 1.0)), b = held(arena, mg_arena_leaf(arena, 2.0));
    mg_extra *extra = mg_extra_new(2, 2);
    extra->values[0] = 3.0, extra->values[1] = 4.0;
    mg_extra_operands(extra)[0] = a, mg_extra_operands(extra)[1] = b;
    mg_node local = held(arena, mg_arena_node_extra(arena, MG_LOCAL, MG_NO_NODE, extra, 5.0));
    arena->grad[local] = 2.0;
    mg_failure failure;
    CHECK(mg_backward_node(arena, local, &failure) == MG_OK);
    CHECK(arena->grad[a] == 6.0 && arena->grad[b] == 8.0);
    arena->meta[local].flags |= MG_ASSIGNED;
    mg_arena_exchange(arena, local, a);
    CHECK(arena->data[a] == 5.0 && arena->meta[a].arity == MG_NARY);
    CHECK((arena->meta[a].flags & MG_ASSIGNED) && !(arena->meta[local].flags & MG_LITERAL));
    mg_arena_exchange(arena, local, a);
    mg_arena_release(arena, a);
    mg_arena_release(arena, b);
    mg_arena_release(arena, local);
    test_arena_end(arena);
}

static void failed_growth_changes_nothing(void) {
    for (long nth = 1; nth < 40; nth++) {
        mg_arena *arena = test_arena_new();
        mg_node a = held(arena, mg_arena_leaf(arena, 1.0));
        mg_order order = {0};
        mg_node node = held(arena, mg_arena_node(arena, MG_EXP, a, MG_NO_NODE, 0.0, 1.0));
        mg_testing_fail_allocation(nth);
        mg_node made = mg_arena_node(arena, MG_EXP, node, MG_NO_NODE, 0.0, 1.0);
        if (made == MG_NO_NODE) {
            CHECK(arena->n_live == 2 && arena->meta[node].refs == 1);
        } else {
            mg_status st = mg_order_build(arena, made, MG_ORDER_ACTIVE, &order);
            CHECK(st == MG_NO_MEMORY || order.n_nodes == 2);
            mg_testing_fail_allocation(0);
            CHECK(mg_order_build(arena, made, MG_ORDER_ALL, &order) == MG_OK);
            CHECK(order.n_nodes == 3 && order.nodes[0] == a && order.nodes[2] == made);
            mg_arena_discard(arena, made);
        }
        mg_testing_fail_allocation(0);
        mg_order_free(&order);
        mg_arena_release(arena, node);
        mg_arena_release(arena, a);
        test_arena_end(arena);
    }
}

/* Room that has been promised is there, some of it in free slots, and no column moves. */
static void promised_nodes_need_no_memory(void) {
    enum { N_PRODUCTS = 50 };
    for (long nth = 1; nth < 400; nth += 7) {
        mg_arena *arena = test_arena_new();
        const mg_node w = held(arena, mg_arena_leaf(arena, 2.0));
        const mg_node x = held(arena, mg_arena_leaf(arena, 3.0));
        const mg_node span = mg_arena_take_span(arena, 9);
        for (mg_node node = span; node < span + 9; node++)
            arena->meta[node] = (mg_meta){0, MG_LEAF, 0, 0, 0};
        mg_arena_give_span(arena, span, 9);
        arena->n_live -= 9;
        mg_testing_fail_allocation(nth);
        const mg_status st = mg_arena_promise(arena, 2 * N_PRODUCTS + 1);
        mg_testing_fail_allocation(0);
        if (st == MG_OK) {
            const mg_node cap = arena->cap;
            mg_node total = held(arena, mg_arena_literal(arena, 0.0));
            mg_testing_fail_allocation(1);
            mg_operands pairs[N_PRODUCTS / 2];
            for (int i = 0; i < N_PRODUCTS / 2; i++) pairs[i] = (mg_operands){w, x};
            total = mg_arena_add_products(arena, total, pairs, N_PRODUCTS / 2, 1);
            total = mg_arena_add_products(arena, total, pairs, N_PRODUCTS / 2, 0);
            mg_testing_fail_allocation(0);
            CHECK(arena->cap == cap && arena->data[total] == 6.0 * N_PRODUCTS);
            CHECK(arena->n_live == 3 + 2 * N_PRODUCTS && arena->meta[w].refs == 1 + N_PRODUCTS);
            mg_arena_release(arena, total);
        }
        CHECK(arena->n_live == 2);
        mg_arena_release(arena, w);
        mg_arena_release(arena, x);
        test_arena_end(arena);
    }
}

/* Spans of changing lengths, with nodes made and freed in between: the columns stop growing. */
static void spans_of_any_length_share_the_columns(void) {
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

void test_arena(void) {
    a_long_chain_is_freed_without_recursion();
    a_rebuilt_graph_gets_its_slots_back();
    an_empty_arena_begins_anew();
    pinned_handles_are_held_by_each_use();
    extra_records_go_with_their_node();
    failed_growth_changes_nothing();
    promised_nodes_need_no_memory();
    spans_of_any_length_share_the_columns();
}
