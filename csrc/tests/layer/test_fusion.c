/* Which neurons may stay fused: two layers, and something that adds to the same gradients between
 * a neuron and its place in the scalar graph. */
#include "base/memory.h"
#include "tests/layer/make_layer.h"

enum { N_IN = 3, N_HIDDEN = 4, N_OUT = 2 };

typedef struct {
    mg_arena *arena;
    mg_layer_block *hidden, *out;
    mg_node x, first_parameter[2], root;
} network;

/* out(hidden(x)), or with the first input of `out` under the second as well. */
static network make_network(const double *numbers, int crossing) {
    network net = {.arena = test_arena_new()};
    net.x = make_leaves(net.arena, numbers, N_IN, 0);
    net.first_parameter[0] = make_leaves(net.arena, numbers + 3, N_HIDDEN * (N_IN + 1), 1);
    net.first_parameter[1] = make_leaves(net.arena, numbers + 5, N_OUT * (N_HIDDEN + 1), 1);
    net.hidden = mg_layer_block_new(net.arena, net.first_parameter[0], N_HIDDEN, N_IN, 1);
    net.out = mg_layer_block_new(net.arena, net.first_parameter[1], N_OUT, N_HIDDEN, 1);
    mg_node inputs[N_IN], hidden[N_HIDDEN];
    for (uint32_t i = 0; i < N_IN; i++) inputs[i] = net.x + i;
    const mg_call *call = make_call(net.arena, net.hidden, MG_TANH, inputs);
    for (uint32_t i = 0; i < N_HIDDEN; i++) hidden[i] = call->neurons[i];
    if (crossing)
        hidden[1] = mg_arena_node(net.arena, MG_MUL, hidden[1], hidden[0], 0.0,
                                  net.arena->data[hidden[1]] * net.arena->data[hidden[0]]);
    call = make_call(net.arena, net.out, MG_LEAF, hidden);
    net.root = mg_arena_node(net.arena, MG_MUL, call->neurons[0], call->neurons[1], 0.0, 1.0);
    net.arena->meta[net.root].refs++;
    return net;
}

static void free_network(network *net) {
    const uint32_t n[2] = {N_HIDDEN * (N_IN + 1), N_OUT * (N_HIDDEN + 1)};
    for (uint32_t i = 0; i < N_IN; i++) mg_arena_release(net->arena, net->x + i);
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; i < n[k]; i++)
            mg_arena_release(net->arena, net->first_parameter[k] + i);
    mg_arena_release(net->arena, net->root);
    test_arena_end(net->arena);
}

static int n_fused(const network *net) {
    int n = 0;
    for (mg_node node = 0; node < net->arena->top; node++)
        n += net->arena->meta[node].refs > 0 && net->arena->meta[node].arity == MG_FUSED;
    return n;
}

static void nothing_is_open(const network *net) {
    CHECK(net->hidden->open.n_open == 0 && net->out->open.n_open == 0);
    for (uint32_t r = 0; r < N_HIDDEN; r++) CHECK(net->hidden->open.rows[r] == 0);
    for (uint32_t r = 0; r < N_OUT; r++) CHECK(net->out->open.rows[r] == 0);
    for (mg_node node = 0; node < net->arena->top; node++)
        if (net->arena->meta[node].refs > 0)
            CHECK(!(net->arena->meta[node].flags & MG_OPEN_INPUT));
}

static void same_gradients(const network *net, const network *scalar) {
    const uint32_t n[2] = {N_HIDDEN * (N_IN + 1), N_OUT * (N_HIDDEN + 1)};
    for (uint32_t i = 0; i < N_IN; i++)
        CHECK(net->arena->grad[net->x + i] == scalar->arena->grad[scalar->x + i]);
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; i < n[k]; i++)
            CHECK(net->arena->grad[net->first_parameter[k] + i] ==
                  scalar->arena->grad[scalar->first_parameter[k] + i]);
}

static void neurons_stay_fused_where_nobody_can_tell(int crossing) {
    double numbers[64];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) numbers[i] = test_random();
    network net = make_network(numbers, crossing), scalar = make_network(numbers, crossing);
    expand_all(scalar.arena, scalar.root);
    CHECK(n_fused(&scalar) == 0);
    go_backward(net.arena, net.root);
    go_backward(scalar.arena, scalar.root);
    CHECK((n_fused(&net) == N_HIDDEN + N_OUT) == !crossing);
    nothing_is_open(&net);
    same_gradients(&net, &scalar);
    free_network(&net);
    free_network(&scalar);
}

/* Whichever allocation fails, no neuron stays open. */
static void memory_may_run_out_anywhere(int crossing) {
    double numbers[64];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) numbers[i] = test_random();
    network scalar = make_network(numbers, crossing);
    expand_all(scalar.arena, scalar.root);
    go_backward(scalar.arena, scalar.root);
    int n_failures = 0, built = 0;
    for (long nth = 1; !built; nth++) {
        network net = make_network(numbers, crossing);
        mg_order order = {0};
        mg_testing_fail_allocation(nth);
        built = mg_order_build(net.arena, net.root, MG_ORDER_ACTIVE, &order) == MG_OK;
        mg_testing_fail_allocation(0);
        n_failures += !built;
        mg_order_free(&order);
        nothing_is_open(&net);
        go_backward(net.arena, net.root);
        same_gradients(&net, &scalar);
        free_network(&net);
    }
    CHECK(n_failures > 0);
    free_network(&scalar);
}

void test_fusion(void) {
    for (int crossing = 0; crossing < 2; crossing++) {
        neurons_stay_fused_where_nobody_can_tell(crossing);
        memory_may_run_out_anywhere(crossing);
    }
}
