/* Stamping is the inverse of recording, for other operands, and all or nothing. */
#include "program/stamp.h"

#include <string.h>

#include "tests/check.h"

enum { N_VALUES = 3, N_NUMBERS = 2, N_STEPS = 24, MOST_PLACES = 256 };

static mg_node held(mg_arena *arena, mg_node node) {
    arena->meta[node].refs++;
    return node;
}

static mg_node computed(mg_arena *arena, mg_op op, mg_node a, mg_node b) {
    mg_status st = MG_OK;
    const double b_data = b == MG_NO_NODE ? 0.0 : arena->data[b];
    const double k = op == MG_POW_CONST ? 2.0 : 0.5;
    const double value = mg_op_value(op, arena->data[a], b_data, k, 1.5, &st);
    CHECK(st == MG_OK);
    if (mg_ops[op].n_immediates < 2) return mg_arena_node(arena, op, a, b, k, value);
    mg_extra *extra = mg_extra_new(0, 2);
    extra->values[0] = k;
    extra->values[1] = 1.5;
    return mg_arena_node_extra(arena, op, a, extra, value);
}

/* Leaves that stand for Values and for what numbers become. */
typedef struct {
    mg_node values[N_VALUES], literals[N_NUMBERS];
} arguments;

static const mg_stamp_literal literals[N_NUMBERS] = {{0, 1, 0.0}, {1, 1, 1.0}};

/* -number and 1 - number */
static arguments new_arguments(mg_arena *arena, const mg_number *numbers) {
    arguments given;
    for (int i = 0; i < N_VALUES; i++)
        given.values[i] = held(arena, mg_arena_leaf(arena, test_random()));
    given.literals[0] = held(arena, mg_arena_literal(arena, -numbers[0].value));
    given.literals[1] = held(arena, mg_arena_literal(arena, 1.0 - numbers[1].value));
    return given;
}

static void drop_arguments(mg_arena *arena, const arguments *given) {
    for (int i = 0; i < N_VALUES; i++) mg_arena_release(arena, given->values[i]);
    for (int i = 0; i < N_NUMBERS; i++) mg_arena_release(arena, given->literals[i]);
}

/* Some graph over the arguments, the same one for the same seed, with two roots. */
static void build(mg_arena *arena, const arguments *given, unsigned seed, mg_node *roots) {
    static const mg_op ops[] = {MG_ADD,     MG_MUL,  MG_POW_CONST, MG_TANH,
                                MG_MAXIMUM, MG_CLIP, MG_MUL,       MG_LEAKY_RELU};
    mg_node pool[N_VALUES + N_NUMBERS + N_STEPS];
    int n = 0;
    for (int i = 0; i < N_VALUES; i++) pool[n++] = given->values[i];
    for (int i = 0; i < N_NUMBERS; i++) pool[n++] = given->literals[i];
    for (int i = 0; i < N_STEPS; i++) {
        seed = seed * 1103515245u + 12345u;
        const mg_op op = ops[(seed >> 16) % 8];
        const mg_node a = pool[(seed >> 8) % n], b = pool[(seed >> 4) % n];
        const int by_number = (seed >> 24) % 4 == 0;
        const mg_node other = by_number ? mg_arena_literal(arena, 0.25 * i) : b;
        if (mg_ops[op].arity == 2) {
            pool[n++] = computed(arena, op, a, other);
        } else {
            if (by_number) mg_arena_discard(arena, other);
            pool[n] = computed(arena, op, a, MG_NO_NODE);
            if (op == MG_POW_CONST && by_number) arena->meta[pool[n]].flags |= MG_FLOAT_POWER;
            n++;
        }
    }
    /* Every literal has a use. */
    pool[n - 1] = computed(arena, MG_ADD, pool[n - 1], given->literals[0]);
    pool[n - 1] = computed(arena, MG_MUL, pool[n - 1], given->literals[1]);
    roots[0] = held(arena, pool[n - 1]);
    roots[1] = held(arena, pool[n - 3]);
    for (int i = N_VALUES + N_NUMBERS; i < n; i++)
        if (arena->meta[pool[i]].refs == 0) mg_arena_discard(arena, pool[i]);
}

static mg_tape recorded(mg_arena *arena, const arguments *given, const mg_node *roots,
                        uint32_t n_roots, int n_literals) {
    mg_node inputs[N_VALUES + N_NUMBERS];
    memcpy(inputs, given->values, sizeof given->values);
    memcpy(inputs + N_VALUES, given->literals, n_literals * sizeof *inputs);
    mg_tape tape;
    mg_node *parameters;
    mg_refused refused;
    const mg_known_leaves known = {.inputs = inputs, .n_inputs = N_VALUES + n_literals};
    CHECK(mg_tape_record(arena, roots, n_roots, &known, NULL, &tape, &parameters, &refused) ==
          MG_OK);
    CHECK(refused.refusal == MG_FREEZABLE);
    mg_free(parameters);
    return tape;
}

/* A formula with copies of the literals and picks; the rest is for the caller to spoil. */
static mg_formula formula_of(mg_tape tape, uint32_t n_literals, const mg_stamp_pick *pick) {
    mg_formula formula = {.tape = tape,
                          .n_values = N_VALUES,
                          .n_literals = n_literals,
                          .n_picks = pick != NULL,
                          .n_numbers = N_NUMBERS,
                          .n_results = tape.n_outputs - (pick ? pick->n_candidates : 0)};
    formula.literals = mg_calloc(N_NUMBERS, sizeof *formula.literals);
    memcpy(formula.literals, literals, n_literals * sizeof *literals);
    formula.picks = mg_calloc(1, sizeof *formula.picks);
    if (pick) formula.picks[0] = *pick;
    return formula;
}

static int same_tape(const mg_tape *one, const mg_tape *other) {
    int same = one->n_entries == other->n_entries && one->n_outputs == other->n_outputs;
    for (uint32_t i = 0; same && i < one->n_outputs; i++)
        same = one->outputs[i] == other->outputs[i];
    for (uint32_t i = 0; same && i < one->n_entries; i++) {
        const mg_entry *p = &one->entries[i], *q = &other->entries[i];
        same = p->op == q->op && p->leaf == q->leaf && p->arity == q->arity &&
               p->flags == q->flags && memcmp(&p->k, &q->k, sizeof p->k) == 0 &&
               memcmp(&p->h, &q->h, sizeof p->h) == 0;
        same = same && (p->arity < 1 || p->a == q->a) && (p->arity < 2 || p->b == q->b);
    }
    return same;
}

static void what_is_stamped_is_what_was_recorded(void) {
    const mg_number numbers[N_NUMBERS] = {{0.75, 0}, {0.5, 0}};
    int n_flagged = 0;
    for (unsigned seed = 1; seed < 60; seed++) {
        mg_arena *arena = test_arena_new();
        mg_node roots[2], places[MOST_PLACES], results[2], wanted[2];
        arguments first = new_arguments(arena, numbers);
        build(arena, &first, seed, roots);
        mg_formula formula =
            formula_of(recorded(arena, &first, roots, 2, N_NUMBERS), N_NUMBERS, NULL);
        const int has_results = roots[0] != roots[1];
        CHECK(mg_formula_complete(&formula) == has_results);
        for (int i = 0; i < 2; i++) mg_arena_release(arena, roots[i]);
        drop_arguments(arena, &first);
        CHECK(arena->n_live == 0);

        arguments given = new_arguments(arena, numbers);
        build(arena, &given, seed, wanted);
        CHECK(mg_formula_stamp(arena, &formula, given.values, numbers, places, results) == MG_OK);
        /* The stamped leaves take the places of those that were given to the graph by hand. */
        arguments stamped = given;
        for (int i = 0; i < N_NUMBERS; i++) {
            stamped.literals[i] = places[N_VALUES + i];
            CHECK(arena->data[stamped.literals[i]] == arena->data[given.literals[i]]);
            CHECK(arena->meta[stamped.literals[i]].flags == MG_LITERAL);
        }
        for (int i = 0; i < 2; i++) {
            held(arena, results[i]);
            CHECK(memcmp(&arena->data[results[i]], &arena->data[wanted[i]], sizeof(double)) == 0);
        }
        mg_tape again = recorded(arena, &stamped, results, 2, N_NUMBERS);
        CHECK(same_tape(&formula.tape, &again));
        for (uint32_t i = 0; i < again.n_entries; i++)
            n_flagged += again.entries[i].flags == MG_FLOAT_POWER;
        mg_tape_free(&again);
        for (int i = 0; i < 2; i++) {
            mg_arena_release(arena, results[i]);
            mg_arena_release(arena, wanted[i]);
        }
        /* A literal that the graph does not use is not under its roots. */
        for (int i = 0; i < N_NUMBERS; i++)
            if (arena->n_live > N_VALUES + N_NUMBERS && arena->meta[stamped.literals[i]].refs == 0)
                mg_arena_discard(arena, stamped.literals[i]);
        drop_arguments(arena, &given);
        mg_formula_free(&formula);
        test_arena_end(arena);
    }
    CHECK(n_flagged > 5);
}

/* pick(tanh(v) for each value, number 0) * value 0, whose candidates nothing else uses; or, with
 * `used`, plus the sum of all candidates. */
static mg_formula picking_formula(mg_arena *arena, int used) {
    const mg_number numbers[N_NUMBERS] = {{0.0, 1}, {0.0, 1}};
    arguments given = new_arguments(arena, numbers);
    mg_node outputs[N_VALUES + 1], picked = held(arena, mg_arena_leaf(arena, 0.0));
    for (int i = 0; i < N_VALUES; i++)
        outputs[i] = held(arena, computed(arena, MG_TANH, given.values[i], MG_NO_NODE));
    mg_node root = computed(arena, MG_MUL, picked, given.values[0]);
    for (int i = 0; used && i < N_VALUES; i++) root = computed(arena, MG_ADD, root, outputs[i]);
    outputs[N_VALUES] = held(arena, root);

    const mg_node inputs[] = {given.values[0], given.values[1], given.values[2], picked};
    mg_tape tape;
    mg_node *parameters;
    mg_refused refused;
    const mg_known_leaves known = {.inputs = inputs, .n_inputs = N_VALUES + 1};
    CHECK(mg_tape_record(arena, outputs, N_VALUES + 1, &known, NULL, &tape, &parameters,
                         &refused) == MG_OK);
    mg_free(parameters);
    for (int i = 0; i <= N_VALUES; i++) mg_arena_release(arena, outputs[i]);
    mg_arena_release(arena, picked);
    drop_arguments(arena, &given);
    CHECK(arena->n_live == 0);
    const mg_stamp_pick pick = {.number = 0, .first = 0, .n_candidates = N_VALUES};
    return formula_of(tape, 0, &pick);
}

static void a_number_picks_one_of_several_nodes(void) {
    for (int used = 0; used < 2; used++) {
        mg_arena *arena = test_arena_new();
        mg_formula formula = picking_formula(arena, used);
        CHECK(mg_formula_complete(&formula));
        CHECK(formula.has_loose == !used);
        mg_number numbers[N_NUMBERS] = {{0.0, 1}, {0.0, 1}};
        arguments given = new_arguments(arena, numbers);
        const mg_node n_before = arena->n_live;
        mg_node places[MOST_PLACES], root;
        for (int k = 0; k < N_VALUES; k++) {
            numbers[0].value = k;
            CHECK(mg_formula_stamp(arena, &formula, given.values, numbers, places, &root) ==
                  MG_OK);
            held(arena, root);
            double wanted = tanh(arena->data[given.values[k]]) * arena->data[given.values[0]];
            for (int i = 0; used && i < N_VALUES; i++)
                wanted += tanh(arena->data[given.values[i]]);
            CHECK(arena->data[root] == wanted);
            /* The others are gone where nothing else needs them. */
            CHECK(arena->n_live == n_before + (used ? 2 * N_VALUES + 1 : 2));
            mg_arena_release(arena, root);
            CHECK(arena->n_live == n_before);
        }
        const mg_number outside[] = {{-1.0, 1}, {N_VALUES, 1}, {1.0, 0}, {1e300, 1}, {NAN, 1}};
        for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
            numbers[0] = outside[i];
            CHECK(mg_formula_stamp(arena, &formula, given.values, numbers, places, &root) ==
                  MG_DOMAIN);
            CHECK(arena->n_live == n_before);
        }
        drop_arguments(arena, &given);
        mg_formula_free(&formula);
        test_arena_end(arena);
    }
}

static void a_number_becomes_the_leaf_that_python_makes_of_it(void) {
    mg_arena *arena = test_arena_new();
    const mg_number any[N_NUMBERS] = {{1.0, 0}, {1.0, 0}};
    arguments given = new_arguments(arena, any);
    mg_node root = held(
        arena, computed(arena, MG_MUL, computed(arena, MG_ADD, given.values[0], given.literals[0]),
                        given.literals[1]));
    mg_formula formula = formula_of(recorded(arena, &given, &root, 1, N_NUMBERS), N_NUMBERS, NULL);
    CHECK(mg_formula_complete(&formula));
    const mg_number zeros[][N_NUMBERS] = {{{0.0, 0}, {0.0, 0}}, {{0.0, 1}, {1.0, 1}}};
    for (int is_int = 0; is_int < 2; is_int++) {
        mg_node places[MOST_PLACES], result;
        CHECK(mg_formula_stamp(arena, &formula, given.values, zeros[is_int], places, &result) ==
              MG_OK);
        /* An int has no negative zero. */
        const double negated = arena->data[places[N_VALUES]];
        CHECK(negated == 0.0 && signbit(negated) == !is_int);
        CHECK(arena->data[places[N_VALUES + 1]] == 1.0 - zeros[is_int][1].value);
        mg_arena_discard(arena, result);
    }
    mg_arena_release(arena, root);
    drop_arguments(arena, &given);
    mg_formula_free(&formula);
    test_arena_end(arena);
}

static void running_out_of_memory_leaves_nothing(void) {
    const mg_number numbers[N_NUMBERS] = {{0.75, 0}, {0.5, 0}};
    int n_failed = 0, n_done = 0;
    for (unsigned seed = 3; seed < 6; seed++) {
        mg_arena *other = test_arena_new();
        mg_node roots[2], places[MOST_PLACES], results[2];
        arguments first = new_arguments(other, numbers);
        build(other, &first, seed, roots);
        mg_formula formula =
            formula_of(recorded(other, &first, roots, 2, N_NUMBERS), N_NUMBERS, NULL);
        CHECK(mg_formula_complete(&formula));
        for (long nth = 1; nth < 300; nth++) {
            /* Nothing is free in this one, so that every node has to be allocated. */
            mg_arena *arena = test_arena_new();
            mg_node values[N_VALUES];
            for (int i = 0; i < N_VALUES; i++)
                values[i] = held(arena, mg_arena_leaf(arena, other->data[first.values[i]]));
            mg_testing_fail_allocation(nth);
            mg_status st = mg_formula_stamp(arena, &formula, values, numbers, places, results);
            mg_testing_fail_allocation(0);
            CHECK(st == MG_OK || st == MG_NO_MEMORY);
            n_failed += st != MG_OK;
            n_done += st == MG_OK;
            if (st != MG_OK) {
                CHECK(arena->n_live == N_VALUES);
                for (int i = 0; i < N_VALUES; i++) CHECK(arena->meta[values[i]].refs == 1);
                /* What has become free is free once, and can be had again. */
                st = mg_formula_stamp(arena, &formula, values, numbers, places, results);
                CHECK(st == MG_OK);
            }
            for (int i = 0; i < 2; i++) {
                held(arena, results[i]);
                CHECK(arena->data[results[i]] == other->data[roots[i]]);
            }
            for (int i = 0; i < 2; i++) mg_arena_release(arena, results[i]);
            for (int i = 0; i < N_VALUES; i++) mg_arena_release(arena, values[i]);
            test_arena_end(arena);
        }
        for (int i = 0; i < 2; i++) mg_arena_release(other, roots[i]);
        drop_arguments(other, &first);
        mg_formula_free(&formula);
        test_arena_end(other);
    }
    CHECK(n_failed > 100 && n_done > 100);
}

static void an_operation_that_fails_leaves_nothing(void) {
    /* exp(a) + log(b) of which each may fail, after nodes that do not. */
    mg_arena *arena = test_arena_new();
    const mg_number numbers[N_NUMBERS] = {{1.0, 0}, {1.0, 0}};
    arguments given = new_arguments(arena, numbers);
    arena->data[given.values[0]] = arena->data[given.values[1]] = 1.0;
    mg_node root =
        held(arena, computed(arena, MG_ADD, computed(arena, MG_EXP, given.values[0], MG_NO_NODE),
                             computed(arena, MG_LOG, given.values[1], MG_NO_NODE)));
    mg_formula formula = formula_of(recorded(arena, &given, &root, 1, 0), 0, NULL);
    CHECK(mg_formula_complete(&formula));
    const mg_node n_before = arena->n_live;
    mg_node places[MOST_PLACES], result;
    arena->data[given.values[1]] = 0.0;
    CHECK(mg_formula_stamp(arena, &formula, given.values, numbers, places, &result) == MG_DOMAIN);
    CHECK(arena->n_live == n_before && arena->meta[given.values[0]].refs == 2);
    arena->data[given.values[0]] = 1e3;
    CHECK(mg_formula_stamp(arena, &formula, given.values, numbers, places, &result) ==
          MG_OVERFLOW);
    CHECK(arena->n_live == n_before && arena->meta[given.values[0]].refs == 2);
    mg_arena_release(arena, root);
    drop_arguments(arena, &given);
    mg_formula_free(&formula);
    test_arena_end(arena);
}

/* exp(a) * number 0, of which a row may fail. */
static void a_sum_over_rows_is_that_of_what_each_gives(void) {
    enum { N_ROWS = 4 };
    mg_arena *arena = test_arena_new();
    const mg_number any[N_NUMBERS] = {{1.0, 0}, {1.0, 0}};
    arguments given = new_arguments(arena, any);
    mg_node root =
        held(arena, computed(arena, MG_MUL, computed(arena, MG_EXP, given.values[0], MG_NO_NODE),
                             given.literals[0]));
    mg_formula formula = formula_of(recorded(arena, &given, &root, 1, 1), 1, NULL);
    CHECK(mg_formula_complete(&formula));
    mg_arena_release(arena, root);

    mg_node leaves[N_ROWS], values[N_ROWS * N_VALUES], places[MOST_PLACES];
    mg_number numbers[N_ROWS * N_NUMBERS];
    for (int r = 0; r < N_ROWS; r++) {
        leaves[r] = held(arena, mg_arena_leaf(arena, test_random()));
        for (int i = 0; i < N_VALUES; i++) values[r * N_VALUES + i] = leaves[r];
        numbers[r * N_NUMBERS] = (mg_number){test_random(), 0};
        numbers[r * N_NUMBERS + 1] = any[1];
    }
    const mg_node n_before = arena->n_live;
    size_t n_done = 0;
    for (int failing = N_ROWS; failing >= 0; failing--) {
        /* The rows one by one, and their sum as Python makes it. */
        mg_node total = mg_arena_literal(arena, 0.0), wanted = mg_arena_literal(arena, 0.0);
        for (int r = 0; r < N_ROWS; r++) {
            mg_node term;
            const mg_status st = mg_formula_stamp(arena, &formula, values + r * N_VALUES,
                                                  numbers + r * N_NUMBERS, places, &term);
            CHECK(st == MG_OK);
            wanted = mg_sum_step(arena, wanted, term, r == 0);
        }
        const double at = failing < N_ROWS ? arena->data[leaves[failing]] : 0.0;
        if (failing < N_ROWS) arena->data[leaves[failing]] = 1e3;
        mg_status st =
            mg_formula_stamp_sum(arena, &formula, values, numbers, 2, places, 1, &total, &n_done);
        if (st == MG_OK)
            st = mg_formula_stamp_sum(arena, &formula, values + 2 * N_VALUES,
                                      numbers + 2 * N_NUMBERS, N_ROWS - 2, places, 0, &total,
                                      &n_done);
        if (failing < N_ROWS) {
            CHECK(st == MG_OVERFLOW && n_done == (size_t)failing % 2);
            arena->data[leaves[failing]] = at;
        } else {
            CHECK(st == MG_OK && n_done == N_ROWS - 2);
            CHECK(memcmp(&arena->data[total], &arena->data[wanted], sizeof(double)) == 0);
            /* Each time the zero, and for a row a leaf, an exponential, a product and a sum. */
            CHECK(arena->n_live == n_before + 2 * (1 + 4 * N_ROWS));
            mg_arena_discard(arena, total);
        }
        mg_arena_discard(arena, wanted);
        CHECK(arena->n_live == n_before);
    }
    for (int r = 0; r < N_ROWS; r++) mg_arena_release(arena, leaves[r]);
    drop_arguments(arena, &given);
    mg_formula_free(&formula);
    test_arena_end(arena);
}

static void what_cannot_be_stamped_is_refused(void) {
    mg_arena *arena = test_arena_new();
    enum { N_SPOILED = 10 };
    for (int spoiled = 0; spoiled < N_SPOILED; spoiled++) {
        mg_formula formula = picking_formula(arena, 1);
        mg_tape *tape = &formula.tape;
        switch (spoiled) {
        case 0:
            formula.n_results = 0;
            break;
        case 1:
            formula.n_results = tape->n_outputs + 1;
            break;
        case 2:
            tape->outputs[tape->n_outputs - 1] = 0;
            break;
        case 3:
            formula.picks[0].number = N_NUMBERS;
            break;
        case 4:
            formula.picks[0].n_candidates = 0;
            break;
        case 5:
            formula.picks[0].first = tape->n_outputs;
            break;
        case 6:
            tape->outputs[0] = tape->n_entries - 1;
            break; /* after the use of the pick */
        case 7:
            tape->outputs[0] = N_VALUES;
            break; /* the pick itself */
        case 8:
            /* A literal without a use, in the place of a Value. */
            formula.n_values--;
            formula.n_literals = 1;
            break;
        case 9:
            tape->entries[tape->n_entries - 1].a = tape->n_entries;
            break;
        }
        CHECK(!mg_formula_complete(&formula));
        mg_formula_free(&formula);
    }
    test_arena_end(arena);
}

void test_stamp(void) {
    what_is_stamped_is_what_was_recorded();
    a_number_picks_one_of_several_nodes();
    a_number_becomes_the_leaf_that_python_makes_of_it();
    running_out_of_memory_leaves_nothing();
    an_operation_that_fails_leaves_nothing();
    a_sum_over_rows_is_that_of_what_each_gives();
    what_cannot_be_stamped_is_refused();
}
