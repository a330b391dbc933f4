/* Programs against the graphs that they were made from, and with memory running out. */
#include "tests/check.h"

#include "program/replay.h"

#include <string.h>

enum { N_INPUTS = 3, N_PARAMETERS = 40, N_STEPS = 120, MOST_ROWS = 70 };

typedef struct {
    mg_arena *arena;
    mg_node inputs[N_INPUTS], parameters[N_PARAMETERS], steps[N_STEPS];
} graph;

static mg_node held(mg_arena *arena, mg_node node) {
    arena->meta[node].refs++;
    return node;
}

static mg_node computed(mg_arena *arena, mg_op op, mg_node a, mg_node b) {
    mg_status st = MG_OK;
    return mg_apply(arena, op, a, b, 0.0, &st);
}

static uint32_t below(uint32_t n) { return (uint32_t)((test_random() + 2.0) / 4.0 * n); }

/* Sums of products of the same nodes, like a layer's, and steps of all kinds between them. */
static graph random_graph(void) {
    graph g = {.arena = test_arena_new()};
    mg_arena *arena = g.arena;
    mg_node pool[N_INPUTS + N_PARAMETERS + N_STEPS];
    uint32_t n = 0;
    for (int i = 0; i < N_INPUTS; i++)
        pool[n++] = g.inputs[i] = held(arena, mg_arena_leaf(arena, test_random()));
    for (int i = 0; i < N_PARAMETERS; i++)
        pool[n++] = g.parameters[i] = held(arena, mg_arena_leaf(arena, test_random()));
    for (int i = 0; i < N_STEPS; i++) {
        mg_node node;
        if (i % 3 == 0) {
            node = g.parameters[i % N_PARAMETERS];
            for (uint32_t j = 0; j < 8; j++) {
                mg_node x = pool[j < N_INPUTS ? j : N_PARAMETERS + j];
                if (n <= N_PARAMETERS + j) x = g.inputs[j % N_INPUTS];
                mg_node w = g.parameters[(7 * (uint32_t)i + j) % N_PARAMETERS];
                node = computed(arena, MG_ADD, node, computed(arena, MG_MUL, w, x));
            }
        } else {
            static const mg_op ops[] = {MG_ADD, MG_MUL, MG_RELU, MG_TANH, MG_SIN, MG_MAXIMUM};
            const mg_op op = ops[below(6)];
            const mg_node a = pool[below(n)];
            node = computed(arena, op, a, mg_ops[op].arity == 2 ? pool[below(n)] : MG_NO_NODE);
        }
        node = computed(arena, MG_TANH, node, MG_NO_NODE);
        pool[n++] = g.steps[i] = held(arena, node);
    }
    return g;
}

static void drop(graph *g) {
    for (int i = 0; i < N_STEPS; i++) mg_arena_release(g->arena, g->steps[i]);
    for (int i = 0; i < N_PARAMETERS; i++) mg_arena_release(g->arena, g->parameters[i]);
    for (int i = 0; i < N_INPUTS; i++) mg_arena_release(g->arena, g->inputs[i]);
    test_arena_end(g->arena);
}

/* Compute every step anew from the leaves, and propagate from the last. */
static double eager(const graph *g, const double *row, double *input_gradients) {
    mg_arena *arena = g->arena;
    const mg_node root = g->steps[N_STEPS - 1];
    mg_order order = {0};
    mg_failure failure;
    for (int i = 0; i < N_INPUTS; i++) {
        arena->data[g->inputs[i]] = row[i];
        arena->grad[g->inputs[i]] = 0.0;
    }
    CHECK(mg_order_build(arena, root, MG_ORDER_ACTIVE, &order) == MG_OK);
    for (size_t i = 0; i < order.n_nodes; i++) {
        const mg_node node = order.nodes[i];
        const mg_operands pair = arena->operands[node];
        const double b = arena->meta[node].arity == 2 ? arena->data[pair.b] : 0.0;
        mg_status st = MG_OK;
        arena->grad[node] = 0.0;
        arena->data[node] =
            mg_op_value((mg_op)arena->meta[node].op, arena->data[pair.a], b, 0.0, 0.0, &st);
    }
    arena->grad[root] = 1.0;
    CHECK(mg_backward_sweep(arena, &order, NULL, NULL, &failure) == MG_OK);
    mg_order_free(&order);
    for (int i = 0; i < N_INPUTS; i++) input_gradients[i] = arena->grad[g->inputs[i]];
    return arena->data[root];
}

/* What a program needs from the beginning to the end; nothing is left where it fails. */
static mg_status replayed(const graph *g, mg_arithmetic arithmetic, const double *rows,
                          size_t n_rows, double *values, double *input_gradients) {
    mg_tape tape;
    mg_node *parameters;
    mg_refused refused;
    const mg_node root = g->steps[N_STEPS - 1];
    mg_status st =
        mg_tape_record(g->arena, &root, 1, g->inputs, N_INPUTS, 0, &tape, &parameters, &refused);
    if (st != MG_OK) return st;
    CHECK(refused.refusal == MG_FREEZABLE && mg_tape_is_sound(&tape));
    mg_program *program = mg_program_new(&tape);
    if (program) program->arithmetic = arithmetic;
    mg_binding binding = {0};
    mg_workspace *workspace = NULL;
    st = program ? mg_binding_set(&binding, program, parameters) : MG_NO_MEMORY;
    if (st != MG_OK) mg_free(parameters);
    if (st == MG_OK) workspace = mg_workspace_new(program, mg_lanes_for(program, n_rows));
    if (!workspace) st = MG_NO_MEMORY;
    if (st == MG_OK) {
        mg_replay_failure failure;
        const mg_batch batch = {.rows = (const char *)rows,
                                .row_stride = N_INPUTS * sizeof(double),
                                .column_stride = sizeof(double),
                                .n_rows = n_rows,
                                .values = values,
                                .backward = 1,
                                .seed = 1.0,
                                .input_gradients = input_gradients,
                                .add_up = 1,
                                .keep_shares = n_rows == 1};
        mg_workspace_load(workspace, program, &binding, g->arena, n_rows != 1);
        st = mg_replay(program, workspace, &batch, &failure);
        if (st == MG_OK && n_rows == 1)
            mg_workspace_add_shares(workspace, program, 0, &binding, g->arena);
        else if (st == MG_OK)
            CHECK(mg_workspace_store(workspace, program, &binding, g->arena));
    }
    if (workspace) mg_workspace_free(workspace);
    mg_binding_free(&binding);
    if (program) mg_program_free(program);
    return st;
}

static void programs_have_the_bits_of_their_graphs(void) {
    static const size_t batches[] = {1, 2, 8, 9, MOST_ROWS};
    for (int trial = 0; trial < 40; trial++) {
        graph g = random_graph();
        const size_t n_rows = batches[trial % 5];
        double rows[MOST_ROWS][N_INPUTS], values[MOST_ROWS], gradients[MOST_ROWS][N_INPUTS];
        double eager_value[MOST_ROWS], eager_gradients[MOST_ROWS][N_INPUTS];
        double wanted[N_PARAMETERS];
        for (size_t r = 0; r < n_rows; r++)
            for (int i = 0; i < N_INPUTS; i++) rows[r][i] = test_random();
        for (int i = 0; i < N_PARAMETERS; i++) g.arena->grad[g.parameters[i]] = 0.5;
        for (size_t r = 0; r < n_rows; r++)
            eager_value[r] = eager(&g, rows[r], eager_gradients[r]);
        for (int i = 0; i < N_PARAMETERS; i++) {
            wanted[i] = g.arena->grad[g.parameters[i]];
            g.arena->grad[g.parameters[i]] = 0.5;
        }
        CHECK(replayed(&g, MG_EXACT_ARITHMETIC, rows[0], n_rows, values, gradients[0]) == MG_OK);
        CHECK(memcmp(values, eager_value, n_rows * sizeof *values) == 0);
        CHECK(memcmp(gradients, eager_gradients, n_rows * sizeof *gradients) == 0);
        for (int i = 0; i < N_PARAMETERS; i++) CHECK(g.arena->grad[g.parameters[i]] == wanted[i]);
        drop(&g);
    }
}

static void other_arithmetics_are_near(void) {
    for (int trial = 0; trial < 20; trial++) {
        graph g = random_graph();
        const size_t n_rows = trial % 2 ? MOST_ROWS : 1;
        double rows[MOST_ROWS][N_INPUTS], gradients[MOST_ROWS][N_INPUTS];
        double wanted[MOST_ROWS], values[MOST_ROWS];
        for (size_t r = 0; r < n_rows; r++)
            for (int i = 0; i < N_INPUTS; i++) rows[r][i] = test_random();
        for (size_t r = 0; r < n_rows; r++) wanted[r] = eager(&g, rows[r], gradients[r]);
        CHECK(replayed(&g, MG_FAST_ARITHMETIC, rows[0], n_rows, values, gradients[0]) == MG_OK);
        for (size_t r = 0; r < n_rows; r++) CHECK(fabs(values[r] - wanted[r]) < 1e-9);
        CHECK(replayed(&g, MG_SINGLE_ARITHMETIC, rows[0], n_rows, values, gradients[0]) == MG_OK);
        for (size_t r = 0; r < n_rows; r++) CHECK(fabs(values[r] - wanted[r]) < 1e-2);
        drop(&g);
    }
}

static void running_out_of_memory_leaves_nothing(void) {
    graph g = random_graph();
    double rows[9 * N_INPUTS] = {0}, values[9], gradients[9 * N_INPUTS];
    int n_failed = 0;
    /* The walk over the graph has a second way when the first one finds no memory. */
    for (long nth = 1; nth < 400; nth++) {
        const mg_arithmetic arithmetic = nth % 2 ? MG_EXACT_ARITHMETIC : MG_SINGLE_ARITHMETIC;
        for (int i = 0; i < N_PARAMETERS; i++) g.arena->grad[g.parameters[i]] = 0.0;
        mg_testing_fail_allocation(nth);
        const mg_status st = replayed(&g, arithmetic, rows, 9, values, gradients);
        mg_testing_fail_allocation(0);
        CHECK(st == MG_OK || st == MG_NO_MEMORY);
        n_failed += st == MG_NO_MEMORY;
        for (int i = 0; st == MG_NO_MEMORY && i < N_PARAMETERS; i++)
            CHECK(g.arena->grad[g.parameters[i]] == 0.0);
    }
    CHECK(n_failed > 40 && n_failed < 390);
    drop(&g);
}

static void a_failing_row_is_named(void) {
    mg_arena *arena = test_arena_new();
    mg_node x = held(arena, mg_arena_leaf(arena, 1.0));
    mg_node root = held(arena, computed(arena, MG_LOG, x, MG_NO_NODE));
    mg_tape tape;
    mg_node *parameters;
    mg_refused refused;
    CHECK(mg_tape_record(arena, &root, 1, &x, 1, 1, &tape, &parameters, &refused) == MG_OK);
    mg_program *program = mg_program_new(&tape);
    mg_workspace *workspace = mg_workspace_new(program, 8);
    double rows[20], values[20];
    for (int i = 0; i < 20; i++) rows[i] = i == 13 || i == 17 ? -1.0 : 1.0;
    const mg_batch batch = {
        .rows = (const char *)rows, .row_stride = sizeof(double), .n_rows = 20, .values = values};
    mg_replay_failure failure;
    CHECK(mg_replay(program, workspace, &batch, &failure) == MG_DOMAIN);
    CHECK(failure.row == 13 && failure.a == -1.0 && !failure.in_sweep);
    mg_workspace_free(workspace);
    mg_program_free(program);
    mg_free(parameters);
    mg_arena_release(arena, root);
    mg_arena_release(arena, x);
    test_arena_end(arena);
}

static void tangents_are_second_derivatives(void) {
    /* x * x * w, whose Hessian is [[2 w, 2 x], [2 x, 0]]. */
    mg_arena *arena = test_arena_new();
    mg_node x = held(arena, mg_arena_leaf(arena, 1.0)), w = held(arena, mg_arena_leaf(arena, 5.0));
    mg_node root = held(arena, computed(arena, MG_MUL, computed(arena, MG_MUL, x, x), w));
    mg_tape tape;
    mg_node *parameters;
    mg_refused refused;
    CHECK(mg_tape_record(arena, &root, 1, &x, 1, 1, &tape, &parameters, &refused) == MG_OK);
    mg_program *program = mg_program_new(&tape);
    mg_binding binding = {0};
    CHECK(mg_binding_set(&binding, program, parameters) == MG_OK);
    mg_workspace *workspace = mg_workspace_new(program, 8), *dual = mg_workspace_new(program, 8);
    double rows[20], seeds[20], by_x[20], by_w, wanted = 0.0;
    for (int i = 0; i < 20; i++) rows[i] = i - 7.0, seeds[i] = 2.0 + i;
    const double along_x = 1.0, along_w = 10.0;
    const mg_tangent tangent = {dual, &along_x, &along_w, by_x, 1};
    const mg_batch batch = {.rows = (const char *)rows,
                            .row_stride = sizeof(double),
                            .n_rows = 20,
                            .backward = 1,
                            .seeds = seeds,
                            .tangent = &tangent};
    mg_replay_failure failure;
    mg_workspace_load(workspace, program, &binding, arena, 0);
    CHECK(mg_replay(program, workspace, &batch, &failure) == MG_OK);
    mg_workspace_gradients(dual, program, &by_w);
    for (int i = 0; i < 20; i++) {
        CHECK(by_x[i] == seeds[i] * (2.0 * 5.0 * along_x + 2.0 * rows[i] * along_w));
        wanted += seeds[i] * (2.0 * rows[i] * along_x);
    }
    CHECK(by_w == wanted);
    mg_workspace_free(dual);
    mg_workspace_free(workspace);
    mg_binding_free(&binding);
    mg_program_free(program);
    mg_arena_release(arena, root);
    mg_arena_release(arena, w);
    mg_arena_release(arena, x);
    test_arena_end(arena);
}

void test_program(void) {
    programs_have_the_bits_of_their_graphs();
    other_arithmetics_are_near();
    running_out_of_memory_leaves_nothing();
    a_failing_row_is_named();
    tangents_are_second_derivatives();
}
