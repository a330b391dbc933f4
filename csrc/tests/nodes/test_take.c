/* Choices: what they hold, where gradients go, and memory that runs out. */
#include "tests/check.h"

#include "nodes/take.h"

enum { N = 5 };

static void test_places(void) {
    CHECK(mg_place(0.0, 3) == 0 && mg_place(-0.0, 3) == 0 && mg_place(2.0, 3) == 2);
    const double outside[] = {3.0,    -1.0,     0.5,       2.0000000001, 1e300,
                              -1e300, INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        CHECK(mg_place(outside[i], 3) == 3);
    CHECK(mg_place(0.0, 0) == 0);
}

static void test_gradients(void) {
    mg_arena *arena = test_arena_new();
    mg_node leaves[N];
    for (int i = 0; i < N; i++) {
        leaves[i] = mg_arena_leaf(arena, 1.5 * i);
        arena->meta[leaves[i]].refs++;
    }
    const mg_node index = mg_arena_leaf(arena, 3.0);
    const mg_node join = mg_arena_join(arena, leaves, N);
    const mg_node one = mg_arena_take_one(arena, join, index);
    const mg_node other = mg_arena_take_one(arena, join, leaves[0]);
    CHECK(arena->data[one] == 4.5 && arena->data[other] == 0.0);
    arena->meta[one].refs++;
    arena->meta[other].refs++;

    mg_failure failure;
    arena->grad[one] = 2.0;
    CHECK(mg_backward_node(arena, one, &failure) == MG_OK);
    /* The index is read when the gradient comes. */
    arena->data[index] = 1.0;
    CHECK(mg_backward_node(arena, one, &failure) == MG_OK);
    arena->data[index] = 5.0;
    CHECK(mg_backward_node(arena, one, &failure) == MG_INDEX);
    CHECK(failure.a == 5.0 && failure.b == N);
    for (int i = 0; i < N; i++) CHECK(arena->grad[leaves[i]] == (i == 1 || i == 3 ? 2.0 : 0.0));
    CHECK(arena->grad[index] == 0.0 && arena->grad[join] == 0.0);

    mg_arena_release(arena, one);
    mg_arena_release(arena, other);
    for (int i = 0; i < N; i++) mg_arena_release(arena, leaves[i]);
    test_arena_end(arena);
}

static void test_memory_running_out(void) {
    int n_failed = 0;
    for (long nth = 1; nth < 20; nth++) {
        mg_arena *arena = test_arena_new();
        mg_node leaves[N];
        for (int i = 0; i < N; i++) {
            leaves[i] = mg_arena_leaf(arena, 0.0);
            arena->meta[leaves[i]].refs++;
        }
        mg_testing_fail_allocation(nth);
        const mg_node join = mg_arena_join(arena, leaves, N);
        mg_node taken = MG_NO_NODE;
        if (join != MG_NO_NODE) taken = mg_arena_take_one(arena, join, leaves[0]);
        mg_testing_fail_allocation(0);
        n_failed += taken == MG_NO_NODE;
        if (taken != MG_NO_NODE)
            mg_arena_discard(arena, taken);
        else if (join != MG_NO_NODE)
            mg_arena_discard(arena, join);
        for (int i = 0; i < N; i++) {
            CHECK(arena->meta[leaves[i]].refs == 1);
            mg_arena_release(arena, leaves[i]);
        }
        test_arena_end(arena);
    }
    CHECK(n_failed > 2 && n_failed < 19);
}

void test_take(void) {
    test_places();
    test_gradients();
    test_memory_running_out();
}
