/* Rows that choose: log(x) * w where x is above 0, x * x * w elsewhere. */
#include "tests/check.h"

#include "program/run.h"

#include <math.h>
#include <string.h>

enum { N_ROWS = 70 };

static mg_entry leaf_entry(mg_leaf_kind kind) {
    return (mg_entry){.op = MG_LEAF, .leaf = (uint8_t)kind};
}

/* NULL when memory is out. */
static mg_program *choosing_program(void) {
    const mg_entry entries[] = {
        leaf_entry(MG_INPUT),
        leaf_entry(MG_FREE),
        leaf_entry(MG_CONSTANT),
        {.a = 2, .b = 0, .op = MG_LESS, .arity = 2},
        {.a = 3, .b = 2, .op = MG_EQUAL, .arity = 2},
        {.a = 0, .op = MG_LOG, .arity = 1},
        {.a = 5, .b = 1, .op = MG_MUL, .arity = 2},
        {.a = 6, .b = 3, .op = MG_KEEP, .arity = 2},
        {.a = 0, .b = 0, .op = MG_MUL, .arity = 2},
        {.a = 8, .b = 1, .op = MG_MUL, .arity = 2},
        {.a = 9, .b = 4, .op = MG_KEEP, .arity = 2},
        {.a = 7, .b = 10, .op = MG_ADD, .arity = 2},
    };
    const uint32_t n = sizeof entries / sizeof *entries;
    mg_tape tape = {.n_entries = n, .n_inputs = 1, .n_parameters = 1, .n_outputs = 1};
    tape.entries = mg_calloc(n, sizeof *tape.entries);
    tape.outputs = mg_calloc(1, sizeof *tape.outputs);
    if (!tape.entries || !tape.outputs) {
        mg_tape_free(&tape);
        return NULL;
    }
    memcpy(tape.entries, entries, sizeof entries);
    tape.outputs[0] = n - 1;
    CHECK(mg_tape_is_sound(&tape));
    return mg_program_new(&tape, MG_EXACT_ARITHMETIC);
}

typedef struct {
    mg_arena *arena;
    mg_node parameter;
    mg_program *program;
    mg_binding binding;
} fixture;

static const mg_binding *bind(void *context) { return &((fixture *)context)->binding; }
static void unlock(void *context) { (void)context; }
static void lock(void *context) { (void)context; }
static mg_status check(void *context) {
    (void)context;
    return MG_OK;
}

static mg_host host_for(fixture *f) {
    return (mg_host){.context = f, .bind = bind, .unlock = unlock, .lock = lock, .check = check};
}

static void begin(fixture *f) {
    *f = (fixture){.arena = test_arena_new()};
    f->parameter = mg_arena_leaf(f->arena, 2.0);
    f->arena->meta[f->parameter].refs++;
    f->program = choosing_program();
    mg_node *nodes = mg_calloc(1, sizeof *nodes);
    nodes[0] = f->parameter;
    CHECK(f->program && mg_binding_set(&f->binding, f->program, nodes) == MG_OK);
}

static void end(fixture *f) {
    mg_binding_free(&f->binding);
    mg_program_free(f->program);
    mg_arena_release(f->arena, f->parameter);
    test_arena_end(f->arena);
}

static mg_batch batch_of(const double *rows, size_t n_rows) {
    return (mg_batch){.rows = (const char *)rows,
                      .row_stride = sizeof(double),
                      .column_stride = sizeof(double),
                      .n_rows = n_rows,
                      .seed = 1.0,
                      .backward = 1};
}

/* Rows from -35 to 34. */
static void fill_rows(double *rows) {
    for (int i = 0; i < N_ROWS; i++) rows[i] = i - 35.0;
}

static void a_row_gets_the_derivatives_of_the_branch_that_it_takes(void) {
    fixture f;
    double rows[N_ROWS], values[N_ROWS], gradients[N_ROWS], products[N_ROWS], sum = 0.0;
    const double direction = 0.5;
    fill_rows(rows);
    for (size_t n_rows = 1; n_rows <= N_ROWS; n_rows += N_ROWS - 1) {
        begin(&f);
        mg_host host = host_for(&f);
        mg_batch batch = batch_of(rows, n_rows);
        mg_replay_failure failure;
        batch.values = values;
        batch.input_gradients = gradients;
        batch.add_to_parameters = 1;
        CHECK(mg_program_run(f.program, f.arena, &batch, &host, &failure) == MG_OK);
        const mg_batch second = batch_of(rows, n_rows);
        const mg_directions directions = {
            .n = 1, .by_inputs = &direction, .input_products = products};
        CHECK(mg_program_run_along(f.program, f.arena, &second, &directions, &host, &failure) ==
              MG_OK);
        sum = 0.0;
        for (size_t r = 0; r < n_rows; r++) {
            const double x = rows[r];
            CHECK(values[r] == (x > 0.0 ? log(x) * 2.0 : x * x * 2.0));
            CHECK(gradients[r] == (x > 0.0 ? 1.0 / x * 2.0 : 4.0 * x));
            CHECK(fabs(products[r] - (x > 0.0 ? -1.0 / (x * x) : 2.0)) < 1e-15);
            sum += x > 0.0 ? log(x) : x * x;
        }
        CHECK(f.arena->grad[f.parameter] == sum);
        end(&f);
    }
}

static void a_nan_of_a_branch_that_is_taken_stays(void) {
    fixture f;
    double rows[N_ROWS], gradients[N_ROWS];
    fill_rows(rows);
    begin(&f);
    f.arena->data[f.parameter] = INFINITY;
    rows[40] = NAN; /* is not above 0, and x * x * w does not fail */
    mg_host host = host_for(&f);
    mg_batch batch = batch_of(rows, N_ROWS);
    mg_replay_failure failure;
    batch.input_gradients = gradients;
    CHECK(mg_program_run(f.program, f.arena, &batch, &host, &failure) == MG_OK);
    CHECK(isnan(gradients[40]) && gradients[41] == INFINITY);
    end(&f);
}

/* Whatever is not there, either all gradients are as they were or all are right. */
static void memory_that_runs_out_leaves_everything_as_it_was(void) {
    double rows[N_ROWS], gradients[N_ROWS];
    const double direction = 1.0;
    int succeeded = 0;
    fill_rows(rows);
    for (long nth = 1; nth < 60 && succeeded < 2; nth++) {
        fixture f;
        begin(&f);
        mg_host host = host_for(&f);
        mg_batch batch = batch_of(rows, N_ROWS);
        const mg_directions directions = {
            .n = 1, .by_inputs = &direction, .input_products = gradients};
        mg_replay_failure failure;
        batch.add_to_parameters = 1;
        mg_testing_fail_allocation(nth);
        mg_status st = mg_program_run(f.program, f.arena, &batch, &host, &failure);
        CHECK(st == MG_OK || (st == MG_NO_MEMORY && f.arena->grad[f.parameter] == 0.0));
        if (st == MG_OK) {
            batch.add_to_parameters = 0;
            st = mg_program_run_along(f.program, f.arena, &batch, &directions, &host, &failure);
            CHECK(st == MG_OK || st == MG_NO_MEMORY);
        }
        succeeded += st == MG_OK;
        mg_testing_fail_allocation(0);
        end(&f);
    }
    CHECK(succeeded == 2);
}

void test_choices(void) {
    a_row_gets_the_derivatives_of_the_branch_that_it_takes();
    a_nan_of_a_branch_that_is_taken_stays();
    memory_that_runs_out_leaves_everything_as_it_was();
}
