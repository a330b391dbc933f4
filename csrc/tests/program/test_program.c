/* Programs against the graphs that they were made from, and with memory running out. */
#include "tests/check.h"

#include "nodes/take.h"
#include "program/colour.h"
#include "program/run.h"

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

/* One of three nodes, by a comparison. */
static mg_node taken(mg_arena *arena, const mg_node *pool, uint32_t n) {
    const mg_node candidates[] = {pool[below(n)], pool[below(N_INPUTS + N_PARAMETERS)],
                                  pool[below(n)]};
    const mg_node index = computed(arena, MG_LESS, pool[below(n)], pool[below(n)]);
    return mg_arena_take_one(arena, mg_arena_join(arena, candidates, 3), index);
}

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
        } else if (i % 7 == 0) {
            node = taken(arena, pool, n);
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
        if (arena->meta[node].arity > 2) continue;
        if (arena->meta[node].op == MG_TAKE) {
            arena->data[node] = arena->data[mg_taken(arena, node)];
            continue;
        }
        arena->data[node] =
            mg_op_value((mg_op)arena->meta[node].op, arena->data[pair.a], b, 0.0, 0.0, &st);
    }
    arena->grad[root] = 1.0;
    CHECK(mg_backward_sweep(arena, &order, NULL, NULL, &failure) == MG_OK);
    mg_order_free(&order);
    for (int i = 0; i < N_INPUTS; i++) input_gradients[i] = arena->grad[g->inputs[i]];
    return arena->data[root];
}

/* A caller of programs whose parameters stay where they are. What others do is done when the lock
 * is given up, and what signals do when the caller is asked. */
typedef struct {
    mg_binding binding;
    double *disturbed; /* a gradient that others assign, or NULL */
    int by_check;      /* also when asked */
    int n_unlocked, n_asked, n_assigned, gives_up;
} caller;

static const mg_binding *bind(void *context) { return &((caller *)context)->binding; }

static void assign(caller *c) {
    if (c->disturbed) *c->disturbed = ++c->n_assigned;
}

static void unlock(void *context) {
    caller *c = context;
    CHECK(c->n_unlocked++ == 0);
    assign(c);
}

static void lock(void *context) {
    caller *c = context;
    CHECK(--c->n_unlocked == 0);
}

static mg_status check(void *context) {
    caller *c = context;
    c->n_asked++;
    if (c->by_check) assign(c);
    return c->gives_up ? MG_CALLBACK : MG_OK;
}

static mg_host host_for(caller *c) {
    return (mg_host){.context = c, .bind = bind, .unlock = unlock, .lock = lock, .check = check};
}

/* A program, and a caller that knows where its parameters are. NULL when memory is out. */
static mg_program *recorded(mg_arena *arena, const mg_node *roots, uint32_t n_roots,
                            const mg_node *inputs, uint32_t n_inputs, mg_arithmetic arithmetic,
                            caller *c) {
    mg_tape tape;
    mg_node *parameters;
    mg_refused refused;
    const mg_known_leaves known = {.inputs = inputs, .n_inputs = n_inputs};
    if (mg_tape_record(arena, roots, n_roots, &known, NULL, &tape, &parameters, &refused) != MG_OK)
        return NULL;
    CHECK(refused.refusal == MG_FREEZABLE && mg_tape_is_sound(&tape));
    mg_program *program = mg_program_new(&tape, arithmetic);
    if (program && mg_binding_set(&c->binding, program, parameters) == MG_OK) return program;
    if (program) mg_program_free(program);
    mg_free(parameters);
    return NULL;
}

static mg_batch batch_of(const double *rows, size_t n_rows, uint32_t n_inputs) {
    return (mg_batch){.rows = (const char *)rows,
                      .row_stride = n_inputs * (ptrdiff_t)sizeof(double),
                      .column_stride = sizeof(double),
                      .n_rows = n_rows,
                      .seed = 1.0};
}

/* What a program needs from the beginning to the end; nothing is left where it fails. */
static mg_status replayed(const graph *g, mg_arithmetic arithmetic, const double *rows,
                          size_t n_rows, double *values, double *input_gradients) {
    caller c = {0};
    mg_host host = host_for(&c);
    mg_replay_failure failure;
    mg_program *program =
        recorded(g->arena, &g->steps[N_STEPS - 1], 1, g->inputs, N_INPUTS, arithmetic, &c);
    mg_status st = MG_NO_MEMORY;
    if (program) {
        mg_batch batch = batch_of(rows, n_rows, N_INPUTS);
        batch.values = values;
        batch.backward = 1;
        batch.input_gradients = input_gradients;
        batch.add_to_parameters = 1;
        st = mg_program_run(program, g->arena, &batch, &host, &failure);
        mg_program_free(program);
    }
    mg_binding_free(&c.binding);
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

/* Every step ends in a tanh, so that no rounding is magnified: what a value of at most 1 differs
 * by is some units in its last place, 1e-16 and 6e-8. Seeds are fixed: found are 7e-16 and 2.5e-7.
 */
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
        for (size_t r = 0; r < n_rows; r++) CHECK(fabs(values[r] - wanted[r]) < 1e-14);
        CHECK(replayed(&g, MG_SINGLE_ARITHMETIC, rows[0], n_rows, values, gradients[0]) == MG_OK);
        for (size_t r = 0; r < n_rows; r++) CHECK(fabs(values[r] - wanted[r]) < 1e-5);
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

static void several_outputs_run_out_of_memory_too(void) {
    enum { N_OUTPUTS = 5 };
    graph g = random_graph();
    double rows[9 * N_INPUTS] = {0}, gradients[N_OUTPUTS][9 * N_INPUTS], found[9 * N_INPUTS];
    int n_failed = 0;
    for (long nth = 0; nth < 600; nth += nth < 300 ? 1 : 3) {
        caller c = {0};
        mg_host host = host_for(&c);
        mg_replay_failure failure;
        mg_testing_fail_allocation(nth);
        mg_program *program = recorded(g.arena, &g.steps[N_STEPS - N_OUTPUTS], N_OUTPUTS, g.inputs,
                                       N_INPUTS, MG_EXACT_ARITHMETIC, &c);
        n_failed += !program;
        /* From the last output to the first, each of them again where memory was out. */
        for (uint32_t o = N_OUTPUTS; program && o-- > 0;) {
            mg_batch batch = batch_of(rows, 9, N_INPUTS);
            batch.backward = 1;
            batch.output = o;
            batch.input_gradients = nth == 0 ? gradients[o] : found;
            mg_status st = mg_program_run(program, g.arena, &batch, &host, &failure);
            n_failed += st == MG_NO_MEMORY;
            if (st == MG_NO_MEMORY) st = mg_program_run(program, g.arena, &batch, &host, &failure);
            CHECK(st == MG_OK);
            CHECK(nth == 0 || memcmp(found, gradients[o], sizeof found) == 0);
        }
        mg_testing_fail_allocation(0);
        CHECK(!program || !program->schedule);
        if (program) mg_program_free(program);
        mg_binding_free(&c.binding);
    }
    CHECK(n_failed > 100);
    drop(&g);
}

static void a_call_ends_whatever_others_do_to_its_gradients(void) {
    enum { N_ROWS = 20000 };
    static double rows[N_ROWS * N_INPUTS], sums[N_PARAMETERS];
    for (int by_check = 0; by_check < 2; by_check++) {
        graph g = random_graph();
        caller c = {.by_check = by_check};
        mg_host host = host_for(&c);
        mg_replay_failure failure;
        mg_program *program = recorded(g.arena, &g.steps[N_STEPS - 1], 1, g.inputs, N_INPUTS,
                                       MG_EXACT_ARITHMETIC, &c);
        mg_batch batch = batch_of(rows, N_ROWS, N_INPUTS);
        batch.backward = 1;
        batch.parameter_sums = sums;
        CHECK(mg_program_run(program, g.arena, &batch, &host, &failure) == MG_OK);
        CHECK(c.n_asked > 0);

        batch.parameter_sums = NULL;
        batch.add_to_parameters = 1;
        for (int i = 0; i < N_PARAMETERS; i++) g.arena->grad[g.parameters[i]] = 0.0;
        const mg_node watched = c.binding.nodes[0];
        c.disturbed = &g.arena->grad[watched];
        CHECK(mg_program_run(program, g.arena, &batch, &host, &failure) == MG_OK);
        CHECK(c.n_assigned >= 1 + by_check && c.n_unlocked == 0);
        for (uint32_t i = 0; i < program->tape.n_parameters; i++) {
            const mg_node node = c.binding.nodes[i];
            if (node != watched) CHECK(g.arena->grad[node] == sums[i]);
        }
        /* The same numbers, added up in the order in which they came. */
        CHECK(fabs(g.arena->grad[watched] - (c.n_assigned + sums[0])) <
              1e-9 * (1 + fabs(sums[0])));

        c.disturbed = NULL;
        c.gives_up = 1;
        double before[N_PARAMETERS];
        for (int i = 0; i < N_PARAMETERS; i++) before[i] = g.arena->grad[g.parameters[i]];
        CHECK(mg_program_run(program, g.arena, &batch, &host, &failure) == MG_CALLBACK);
        CHECK(c.n_unlocked == 0);
        for (int i = 0; i < N_PARAMETERS; i++) CHECK(before[i] == g.arena->grad[g.parameters[i]]);
        mg_program_free(program);
        mg_binding_free(&c.binding);
        drop(&g);
    }
}

static void a_failing_row_is_named(void) {
    mg_arena *arena = test_arena_new();
    mg_node x = held(arena, mg_arena_leaf(arena, 1.0));
    mg_node root = held(arena, computed(arena, MG_LOG, x, MG_NO_NODE));
    caller c = {0};
    mg_host host = host_for(&c);
    mg_program *program = recorded(arena, &root, 1, &x, 1, MG_EXACT_ARITHMETIC, &c);
    double rows[20], values[20];
    for (int i = 0; i < 20; i++) rows[i] = i == 13 || i == 17 ? -1.0 : 1.0;
    mg_batch batch = batch_of(rows, 20, 1);
    batch.values = values;
    mg_replay_failure failure;
    CHECK(mg_program_run(program, arena, &batch, &host, &failure) == MG_DOMAIN);
    CHECK(failure.row == 13 && failure.a == -1.0 && !failure.derivative);
    mg_program_free(program);
    mg_binding_free(&c.binding);
    mg_arena_release(arena, root);
    mg_arena_release(arena, x);
    test_arena_end(arena);
}

static void tangents_are_second_derivatives(void) {
    /* x * x * w, whose Hessian is [[2 w, 2 x], [2 x, 0]]. */
    enum { N_ROWS = 20 };
    mg_arena *arena = test_arena_new();
    mg_node x = held(arena, mg_arena_leaf(arena, 1.0)), w = held(arena, mg_arena_leaf(arena, 5.0));
    mg_node root = held(arena, computed(arena, MG_MUL, computed(arena, MG_MUL, x, x), w));
    caller c = {0};
    mg_host host = host_for(&c);
    mg_program *program = recorded(arena, &root, 1, &x, 1, MG_EXACT_ARITHMETIC, &c);
    double rows[N_ROWS], seeds[N_ROWS], by_x[2 * N_ROWS], by_w[2 * N_ROWS], sums[2];
    for (int i = 0; i < N_ROWS; i++) rows[i] = i - 7.0, seeds[i] = 2.0 + i;
    const double along_x[2] = {1.0, 0.5}, along_w[2] = {10.0, -3.0};
    mg_batch batch = batch_of(rows, N_ROWS, 1);
    batch.backward = 1;
    batch.seeds = seeds;
    mg_replay_failure failure;
    mg_directions directions = {.n = 2,
                                .by_inputs = along_x,
                                .by_parameters = along_w,
                                .input_products = by_x,
                                .parameter_products = by_w};
    CHECK(mg_program_run_along(program, arena, &batch, &directions, &host, &failure) == MG_OK);
    directions.input_products = NULL;
    directions.parameter_products = sums;
    CHECK(mg_program_run_along(program, arena, &batch, &directions, &host, &failure) == MG_OK);
    for (int d = 0; d < 2; d++) {
        double wanted = 0.0;
        for (int i = 0; i < N_ROWS; i++) {
            const double x_dot = along_x[d], w_dot = along_w[d];
            CHECK(by_x[d * N_ROWS + i] == seeds[i] * (2.0 * 5.0 * x_dot + 2.0 * rows[i] * w_dot));
            CHECK(by_w[d * N_ROWS + i] == seeds[i] * (2.0 * rows[i] * x_dot));
            wanted += seeds[i] * (2.0 * rows[i] * x_dot);
        }
        CHECK(sums[d] == wanted);
    }
    mg_program_free(program);
    mg_binding_free(&c.binding);
    mg_arena_release(arena, root);
    mg_arena_release(arena, w);
    mg_arena_release(arena, x);
    test_arena_end(arena);
}

/* Programs of several outputs: everything that their derivatives are planned with. */
static void plans_run_out_of_memory_and_leave_nothing(void) {
    graph g = random_graph();
    caller c = {0};
    mg_program *program =
        recorded(g.arena, &g.steps[N_STEPS - 3], 3, g.inputs, N_INPUTS, MG_EXACT_ARITHMETIC, &c);
    const mg_tape *tape = &program->tape;
    uint32_t columns[N_INPUTS + 64];
    for (uint32_t i = 0; i < N_INPUTS + 64; i++) columns[i] = i;
    const mg_columns by = {columns, columns + N_INPUTS, N_INPUTS + 64};
    CHECK(tape->n_parameters <= 64);
    int n_failed = 0;
    for (long nth = 0; nth < 60; nth++) {
        mg_sparse_plan first, second;
        mg_tape weighted;
        mg_testing_fail_allocation(nth);
        const mg_status of_first = mg_plan_jacobian(tape, by, &first);
        const mg_status of_second = mg_plan_hessian(tape, by, &second);
        const mg_status of_weighted = mg_tape_weighted(tape, &weighted);
        mg_testing_fail_allocation(0);
        n_failed += of_first != MG_OK || of_second != MG_OK || of_weighted != MG_OK;
        CHECK((of_first == MG_OK) == (first.groups != NULL));
        CHECK((of_second == MG_OK) == (second.groups != NULL));
        CHECK((of_weighted == MG_OK) == (weighted.entries != NULL));
        if (of_weighted == MG_OK) CHECK(mg_tape_is_sound(&weighted));
        mg_sparse_plan_free(&first);
        mg_sparse_plan_free(&second);
        mg_tape_free(&weighted);
    }
    CHECK(n_failed > 20 && n_failed < 60);
    mg_binding_free(&c.binding);
    mg_program_free(program);
    drop(&g);
}

static void a_cleared_batch_is_nothing_but_zeros(void) {
    mg_batch batch, zeros;
    memset(&batch, 0x5a, sizeof batch);
    memset(&zeros, 0, sizeof zeros);
    mg_batch_clear(&batch);
    CHECK(memcmp(&batch, &zeros, sizeof batch) == 0);
}

void test_program(void) {
    a_cleared_batch_is_nothing_but_zeros();
    plans_run_out_of_memory_and_leave_nothing();
    programs_have_the_bits_of_their_graphs();
    other_arithmetics_are_near();
    running_out_of_memory_leaves_nothing();
    several_outputs_run_out_of_memory_too();
    a_call_ends_whatever_others_do_to_its_gradients();
    a_failing_row_is_named();
    tangents_are_second_derivatives();
}
