/* Calls and their expansion: fused neurons against the scalar graph that they stand for. */
#include "base/memory.h"
#include "loops/loops.h"
#include "tests/layer/make_layer.h"

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
            expand_all(scalar.arena, scalar.root);
            for (int round = 0; round < 3; round++) {
                go_backward(fused.arena, fused.root);
                go_backward(scalar.arena, scalar.root);
                same_gradients(&fused, &scalar);
            }
            free_layer(&fused);
            free_layer(&scalar);
        }
    }
}

/* Whichever allocation fails, the neuron is as it was or has become its scalar graph. */
static void expansion_is_all_or_nothing(void) {
    double numbers[MAX_ROWS * (MAX_IN + 1) + MAX_IN];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) numbers[i] = test_random();
    int n_failures = 0, expanded = 0;
    for (long nth = 1; !expanded; nth++) {
        layer l = make_layer(5, 3, MG_TANH, numbers, 0);
        const mg_node neuron = l.call->neurons[1], n_live = l.arena->n_live;
        mg_testing_fail_allocation(nth);
        expanded = mg_neuron_expand(l.arena, neuron) == MG_OK;
        mg_testing_fail_allocation(0);
        n_failures += !expanded;
        if (!expanded) {
            CHECK(l.arena->n_live == n_live && l.call->n_live == 3);
            CHECK(l.call->neurons[1] == neuron && l.arena->meta[neuron].arity == MG_FUSED);
        } else {
            CHECK(l.call->neurons[1] == MG_NO_NODE && l.arena->meta[neuron].op == MG_TANH);
        }
        free_layer(&l);
    }
    CHECK(n_failures > 0);
}

/* Whichever allocation fails, a call that cannot be made leaves nothing behind. */
static void a_call_is_all_or_nothing(void) {
    const double numbers[4] = {1.0, 2.0, 3.0, 4.0};
    int n_failures = 0, made = 0;
    for (long nth = 1; !made; nth++) {
        mg_arena *arena = test_arena_new();
        const mg_node base = make_leaves(arena, numbers, 4, 1);
        mg_layer_block *block = mg_layer_block_new(arena, base, 2, 1, 1);
        mg_call *call = mg_call_new(block, 0, 2, (mg_activation){MG_RELU, 0.0}, 0);
        double failed;
        call->x[0] = 1.0;
        mg_testing_fail_allocation(nth);
        made = mg_call_forward(arena, call, &failed) == MG_OK;
        mg_testing_fail_allocation(0);
        n_failures += !made;
        CHECK(arena->n_live == (made ? 6u : 4u) && (block->calls == call) == made);
        if (made)
            for (int r = 0; r < 2; r++) mg_arena_discard(arena, base + 4 + r);
        else
            mg_call_free(call);
        for (mg_node i = 0; i < 4; i++) mg_arena_release(arena, base + i);
        test_arena_end(arena);
    }
    CHECK(n_failures > 0);
}

void test_call(void) {
    size_t n;
    const mg_loops *const *sets = mg_loops_available(&n);
    CHECK(n >= 1);
    for (size_t i = 0; i < n; i++) {
        CHECK(mg_loops_select(sets[i]->name));
        for (int in_order = 0; in_order < 2; in_order++) {
            fused_is_scalar(MG_LEAF, in_order);
            fused_is_scalar(MG_RELU, in_order);
            fused_is_scalar(MG_TANH, in_order);
        }
    }
    CHECK(!mg_loops_select("no such set"));
    mg_loops_select(sets[0]->name);
    expansion_is_all_or_nothing();
    a_call_is_all_or_nothing();
}
