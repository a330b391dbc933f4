/* Blocks: what becomes of the slots, and of the calls when a block ends. */
#include "base/memory.h"
#include "tests/layer/make_layer.h"

static void spans_are_reused(void) {
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

/* Whichever allocation fails, what is not expanded yet stays fused, and trying again ends it. */
static void dissolving_can_be_tried_again(void) {
    double numbers[MAX_ROWS * (MAX_IN + 1) + MAX_IN];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) numbers[i] = test_random();
    int n_failures = 0, dissolved = 0;
    for (long nth = 1; !dissolved; nth++) {
        layer l = make_layer(4, 3, MG_RELU, numbers, 1),
              twin = make_layer(4, 3, MG_RELU, numbers, 1);
        const mg_node base = l.block->base;
        mg_testing_fail_allocation(nth);
        dissolved = mg_layer_block_dissolve(l.arena, l.block) == MG_OK;
        mg_testing_fail_allocation(0);
        n_failures += !dissolved;
        CHECK(dissolved == !(l.arena->meta[base].flags & MG_PARAMETER));
        if (!dissolved) CHECK(mg_layer_block_dissolve(l.arena, l.block) == MG_OK);
        go_backward(l.arena, l.root);
        go_backward(twin.arena, twin.root);
        for (uint32_t i = 0; i < 3 * 5; i++)
            CHECK(l.arena->grad[base + i] == twin.arena->grad[base + i]);
        for (uint32_t i = 0; i < 4; i++) mg_arena_release(l.arena, l.inputs[i]);
        for (uint32_t i = 0; i < 3 * 5; i++) mg_arena_release(l.arena, base + i);
        mg_arena_release(l.arena, l.root);
        test_arena_end(l.arena);
        free_layer(&twin);
    }
    CHECK(n_failures > 0);
}

void test_block(void) {
    spans_are_reused();
    dissolving_can_be_tried_again();
}
