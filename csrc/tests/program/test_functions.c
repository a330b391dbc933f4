/* Functions of the caller's against rows of the table that compute the same. */
#include "tests/check.h"

#include "program/run.h"

#include <string.h>

enum { N_INPUTS = 2, MOST_ROWS = 70 };

static mg_entry leaf_entry(mg_leaf_kind kind, uint32_t number) {
    return (mg_entry){.a = number, .k = 3.0, .op = MG_LEAF, .leaf = (uint8_t)kind};
}

/* tanh(x0 * p) * (x0 * p) * x1 + 3 * 3, whose products are function number 0 or steps. NULL when
 * memory is out. */
static mg_program *product_program(int as_functions) {
    const mg_entry entries[] = {
        leaf_entry(MG_INPUT, 0),
        leaf_entry(MG_INPUT, 1),
        leaf_entry(MG_FREE, 0),
        leaf_entry(MG_CONSTANT, 0),
        {.a = 0, .b = 2, .op = MG_MUL, .arity = 2},
        {.a = 4, .op = MG_TANH, .arity = 1},
        {.a = 5, .b = 4, .op = MG_MUL, .arity = 2},
        {.a = 6, .b = 1, .op = MG_MUL, .arity = 2},
        {.a = 3, .b = 3, .op = MG_MUL, .arity = 2},
        {.a = 7, .b = 8, .op = MG_ADD, .arity = 2},
    };
    const uint32_t n = sizeof entries / sizeof *entries;
    mg_tape tape = {.n_entries = n, .n_inputs = N_INPUTS, .n_parameters = 1, .n_outputs = 1};
    tape.entries = mg_calloc(n, sizeof *tape.entries);
    tape.outputs = mg_calloc(1, sizeof *tape.outputs);
    tape.candidates = mg_calloc(2 * (size_t)n, sizeof *tape.candidates);
    if (!tape.entries || !tape.outputs || !tape.candidates) {
        mg_tape_free(&tape);
        return NULL;
    }
    memcpy(tape.entries, entries, sizeof entries);
    tape.outputs[0] = n - 1;
    for (uint32_t i = 0; as_functions && i < n; i++) {
        mg_entry *e = &tape.entries[i];
        if (e->op != MG_MUL) continue;
        tape.candidates[tape.n_candidates] = e->a;
        tape.candidates[tape.n_candidates + 1] = e->b;
        *e = (mg_entry){.a = tape.n_candidates, .b = 2, .op = MG_FUNCTION};
        tape.n_candidates += 2;
        tape.n_functions = 1;
    }
    CHECK(mg_tape_is_sound(&tape));
    return mg_program_new(&tape, MG_EXACT_ARITHMETIC);
}

/* A caller that multiplies, and fails at an operand. */
typedef struct {
    double fails_at;
    mg_function_part failing_part;
    mg_status status;
    size_t n_rows; /* that it has been asked for */
} multiplier;

static mg_status multiply(void *context, mg_function_call *call) {
    multiplier *m = context;
    const double *const a = call->operands, *const b = a + call->n_rows;
    double *const results = call->results;
    const size_t n = call->n_rows;
    CHECK(call->function == 0 && n > 0);
    m->n_rows += n;
    for (size_t r = 0; r < n; r++) {
        if (a[r] == m->fails_at && call->part == m->failing_part) {
            call->row = r;
            call->reason = 7;
            return m->status;
        }
        switch (call->part) {
        case MG_FUNCTION_VALUE:
            results[r] = a[r] * b[r];
            break;
        case MG_FUNCTION_SLOPES:
            results[r] = b[r];
            results[n + r] = a[r];
            break;
        case MG_FUNCTION_SECONDS:
            for (size_t j = 0; j < 4; j++) results[j * n + r] = j == 1 || j == 2;
            break;
        }
    }
    return MG_OK;
}

/* A program with its only parameter. */
typedef struct {
    mg_arena *arena;
    mg_node parameter;
    mg_program *program;
    mg_binding binding;
    int n_unlocked;
} fixture;

static const mg_binding *bind(void *context) { return &((fixture *)context)->binding; }
static void unlock(void *context) { ((fixture *)context)->n_unlocked++; }
static void lock(void *context) { (void)context; }
static mg_status check(void *context) {
    (void)context;
    return MG_OK;
}

static mg_host host_for(fixture *f) {
    return (mg_host){.context = f, .bind = bind, .unlock = unlock, .lock = lock, .check = check};
}

static int begin(fixture *f, int as_functions) {
    *f = (fixture){.arena = test_arena_new()};
    f->parameter = mg_arena_leaf(f->arena, 0.7);
    if (f->parameter == MG_NO_NODE) return 0;
    f->arena->meta[f->parameter].refs++;
    f->program = product_program(as_functions);
    mg_node *nodes = mg_calloc(1, sizeof *nodes);
    if (nodes) *nodes = f->parameter;
    if (f->program && nodes && mg_binding_set(&f->binding, f->program, nodes) == MG_OK) return 1;
    mg_free(nodes);
    return 0;
}

static void end(fixture *f) {
    mg_binding_free(&f->binding);
    if (f->program) mg_program_free(f->program);
    if (f->parameter != MG_NO_NODE) mg_arena_release(f->arena, f->parameter);
    test_arena_end(f->arena);
}

typedef struct {
    double values[MOST_ROWS], gradients[MOST_ROWS][N_INPUTS], sum;
    double products[MOST_ROWS][N_INPUTS], tangents[MOST_ROWS];
} results;

static mg_batch batch_of(const double *rows, size_t n_rows, const mg_functions *functions) {
    return (mg_batch){.rows = (const char *)rows,
                      .row_stride = N_INPUTS * sizeof(double),
                      .column_stride = sizeof(double),
                      .n_rows = n_rows,
                      .seed = 1.0,
                      .backward = 1,
                      .functions = functions};
}

/* Everything that can be asked of a program. */
static mg_status run_all(fixture *f, const double *rows, size_t n_rows, multiplier *m,
                         results *found, mg_replay_failure *failure) {
    static const double direction[] = {1.0, -0.5};
    const mg_functions functions = {multiply, m};
    mg_host host = host_for(f);
    mg_batch batch = batch_of(rows, n_rows, &functions);
    batch.values = found->values;
    batch.input_gradients = found->gradients[0];
    batch.add_to_parameters = 1;
    mg_status st = mg_program_run(f->program, f->arena, &batch, &host, failure);
    if (st != MG_OK) return st;
    found->sum = f->arena->grad[f->parameter];
    const mg_batch second = batch_of(rows, n_rows, &functions);
    const mg_directions products = {
        .n = 1, .by_inputs = direction, .input_products = found->products[0]};
    st = mg_program_run_along(f->program, f->arena, &second, &products, &host, failure);
    if (st != MG_OK) return st;
    mg_batch forward = batch_of(rows, n_rows, &functions);
    forward.backward = 0;
    const mg_directions tangents = {
        .n = 1, .by_inputs = direction, .output_products = found->tangents};
    return mg_program_run_along(f->program, f->arena, &forward, &tangents, &host, failure);
}

static void random_rows(double *rows, size_t n_rows) {
    for (size_t i = 0; i < n_rows * N_INPUTS; i++) rows[i] = test_random();
}

static void functions_have_the_bits_of_steps(void) {
    static const size_t batches[] = {1, 2, 8, 9, MOST_ROWS};
    for (int b = 0; b < 5; b++) {
        fixture f[2];
        results found[2];
        double rows[MOST_ROWS * N_INPUTS];
        random_rows(rows, batches[b]);
        memset(found, 0, sizeof found);
        for (int as_functions = 0; as_functions < 2; as_functions++) {
            multiplier m = {.fails_at = NAN};
            mg_replay_failure failure;
            CHECK(begin(&f[as_functions], as_functions));
            CHECK(run_all(&f[as_functions], rows, batches[b], &m, &found[as_functions],
                          &failure) == MG_OK);
            CHECK((m.n_rows > 0) == as_functions);
            end(&f[as_functions]);
        }
        CHECK(memcmp(found[0].values, found[1].values, sizeof found[0].values) == 0);
        CHECK(memcmp(found[0].gradients, found[1].gradients, sizeof found[0].gradients) == 0);
        CHECK(found[0].sum == found[1].sum);
        for (size_t r = 0; r < batches[b]; r++) {
            CHECK(fabs(found[0].tangents[r] - found[1].tangents[r]) < 1e-14);
            for (int i = 0; i < N_INPUTS; i++)
                CHECK(fabs(found[0].products[r][i] - found[1].products[r][i]) < 1e-14);
        }
    }
}

static void failures_say_the_row_and_the_reason(void) {
    for (int part = MG_FUNCTION_VALUE; part <= MG_FUNCTION_SECONDS; part++) {
        for (int at_once = 0; at_once < 2; at_once++) {
            fixture f;
            results found;
            mg_replay_failure failure = {0};
            double rows[MOST_ROWS * N_INPUTS];
            multiplier m = {.fails_at = 1.25,
                            .failing_part = (mg_function_part)part,
                            .status = at_once ? MG_CALLBACK : MG_FUNCTION_FAILED};
            random_rows(rows, MOST_ROWS);
            rows[66 * N_INPUTS] = rows[69 * N_INPUTS] = 1.25;
            CHECK(begin(&f, 1));
            CHECK(run_all(&f, rows, MOST_ROWS, &m, &found, &failure) == m.status);
            if (!at_once) CHECK(failure.row == 66 && failure.a == 7.0);
            if (!at_once) CHECK(failure.entry == 4 && failure.derivative == part);
            if (part != MG_FUNCTION_SECONDS) CHECK(f.arena->grad[f.parameter] == 0.0);
            end(&f);
        }
    }
}

static void the_lock_is_kept(void) {
    fixture f;
    enum { N_ROWS = 5000 };
    static double rows[N_ROWS * N_INPUTS], values[N_ROWS];
    multiplier m = {.fails_at = NAN};
    const mg_functions functions = {multiply, &m};
    mg_replay_failure failure;
    CHECK(begin(&f, 1));
    mg_host host = host_for(&f);
    mg_batch batch = batch_of(rows, N_ROWS, &functions);
    batch.backward = 0;
    batch.values = values;
    CHECK(mg_program_run(f.program, f.arena, &batch, &host, &failure) == MG_OK);
    CHECK(f.n_unlocked == 0);
    /* Of 3 * 3, which no input reaches, there is one row. */
    CHECK(m.n_rows == 3 * N_ROWS + 1);
    end(&f);
}

/* A function that assigns the gradient that is being added to. */
static mg_status interfere(void *context, mg_function_call *call) {
    fixture *f = context;
    multiplier m = {.fails_at = NAN};
    f->arena->grad[f->parameter] += 1.0;
    return multiply(&m, call);
}

static void a_function_that_always_interferes_is_an_error(void) {
    fixture f;
    double rows[3 * N_INPUTS] = {0};
    mg_replay_failure failure;
    CHECK(begin(&f, 1));
    const mg_functions functions = {interfere, &f};
    mg_host host = host_for(&f);
    mg_batch batch = batch_of(rows, 3, &functions);
    batch.add_to_parameters = 1;
    CHECK(mg_program_run(f.program, f.arena, &batch, &host, &failure) == MG_INTERFERENCE);
    end(&f);
}

static void running_out_of_memory_leaves_nothing(void) {
    int n_failed = 0;
    for (long nth = 1; nth < 120; nth++) {
        fixture f;
        results found;
        mg_replay_failure failure;
        double rows[9 * N_INPUTS];
        multiplier m = {.fails_at = NAN};
        random_rows(rows, 9);
        mg_testing_fail_allocation(nth);
        const mg_status st =
            begin(&f, 1) ? run_all(&f, rows, 9, &m, &found, &failure) : MG_NO_MEMORY;
        mg_testing_fail_allocation(0);
        CHECK(st == MG_OK || st == MG_NO_MEMORY);
        n_failed += st == MG_NO_MEMORY;
        end(&f);
    }
    CHECK(n_failed > 30 && n_failed < 119);
}

void test_functions(void) {
    functions_have_the_bits_of_steps();
    failures_say_the_row_and_the_reason();
    the_lock_is_kept();
    a_function_that_always_interferes_is_an_error();
    running_out_of_memory_leaves_nothing();
}
