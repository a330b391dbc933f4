/* Patterns of derivatives; program/pattern.h says what they are. */
#include "program/pattern.h"

#include <math.h>

#include "base/memory.h"

/* What an operation does to derivatives, whatever its operands are. */
typedef struct {
    uint8_t passes_a, passes_b; /* the slope by an operand is not always 0 */
    uint8_t aa, ab, bb;         /* nor is a second derivative */
} op_rule;

/* An expression of the table that is 0 whatever its numbers are is so for nan, too. */
static op_rule rule_of(mg_op op) {
    mg_status st = MG_OK;
    const double x = NAN;
    const mg_second second = mg_op_second(op, x, x, x, x, x, 1, 1, &st);
    return (op_rule){mg_op_adjoint_a(op, x, x, x, x, x, x, &st) != 0.0,
                     mg_op_adjoint_b(op, x, x, x, x, x, x, &st) != 0.0, second.aa != 0.0,
                     second.ab != 0.0, second.bb != 0.0};
}

/* The set of a symmetric pattern's places: a hash table of pairs, empty where a pair is EMPTY. */
#define EMPTY UINT64_MAX

typedef struct {
    uint64_t *pairs;
    size_t n, cap; /* a power of 2 */
} pair_set;

/* Columns that an entry depends on. */
typedef struct {
    uint32_t *columns;
    uint32_t n;
} column_list;

typedef struct {
    const mg_tape *tape;
    mg_columns columns;
    op_rule rules[MG_N_OPS];
    uint32_t *stack, *met; /* by entry; met in walk number `walk` */
    uint32_t walk;
    uint8_t *seen; /* by entry: the walk for second derivatives has come by */
    column_list lists[2];
    mg_places *places;
    pair_set set;
    int failed;
} search;

static uint32_t column_of(const search *s, uint32_t i) {
    const mg_entry *e = &s->tape->entries[i];
    if (e->op != MG_LEAF || e->leaf == MG_CONSTANT) return MG_NO_COLUMN;
    return e->leaf == MG_INPUT ? s->columns.of_inputs[e->a] : s->columns.of_parameters[e->a];
}

static int never_moves(const search *s, uint32_t i) {
    return s->tape->entries[i].op == MG_LEAF && column_of(s, i) == MG_NO_COLUMN;
}

/* The operands that an entry has a slope by. */
static uint32_t moving_operands(const search *s, uint32_t i, const uint32_t **operands) {
    const mg_entry *e = &s->tape->entries[i];
    uint32_t n = mg_entry_operands(e, s->tape->candidates, operands);
    if (e->op == MG_JOIN || e->op == MG_FUNCTION) return n;
    if (e->op == MG_TAKE) return 1; /* not by the index */
    if (n == 2 && !s->rules[e->op].passes_b) n = 1;
    if (n > 0 && !s->rules[e->op].passes_a) {
        ++*operands;
        n--;
    }
    return n;
}

/* List the columns that an entry depends on, each once. */
static void find_columns(search *s, uint32_t root, column_list *list) {
    uint32_t depth = 0;
    list->n = 0;
    s->walk++;
    s->met[root] = s->walk;
    s->stack[depth++] = root;
    while (depth > 0) {
        const uint32_t i = s->stack[--depth], column = column_of(s, i);
        const uint32_t *operands;
        const uint32_t n = moving_operands(s, i, &operands);
        if (column != MG_NO_COLUMN) list->columns[list->n++] = column;
        for (uint32_t j = 0; j < n; j++) {
            if (s->met[operands[j]] == s->walk) continue;
            s->met[operands[j]] = s->walk;
            s->stack[depth++] = operands[j];
        }
    }
}

static void add_place(search *s, uint32_t row, uint32_t column) {
    mg_places *places = s->places;
    if (places->n == places->cap) {
        const size_t cap = 2 * places->cap + 64;
        uint32_t *rows = mg_realloc(places->rows, cap * sizeof *rows);
        if (rows) places->rows = rows;
        uint32_t *columns = mg_realloc(places->columns, cap * sizeof *columns);
        if (columns) places->columns = columns;
        s->failed |= !rows || !columns;
        if (s->failed) return;
        places->cap = cap;
    }
    places->rows[places->n] = row;
    places->columns[places->n++] = column;
}

static uint64_t *find_pair(const pair_set *set, uint64_t pair) {
    size_t at = (size_t)((pair * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (set->cap - 1);
    while (set->pairs[at] != EMPTY && set->pairs[at] != pair) at = (at + 1) & (set->cap - 1);
    return &set->pairs[at];
}

/* Keep the set at most half full. */
static void make_room(search *s) {
    if (2 * (s->set.n + 1) <= s->set.cap) return;
    pair_set larger = {.n = s->set.n, .cap = s->set.cap ? 4 * s->set.cap : 64};
    larger.pairs = mg_realloc(NULL, larger.cap * sizeof *larger.pairs);
    s->failed |= !larger.pairs;
    if (s->failed) return;
    for (size_t i = 0; i < larger.cap; i++) larger.pairs[i] = EMPTY;
    for (size_t i = 0; i < s->set.cap; i++)
        if (s->set.pairs[i] != EMPTY) *find_pair(&larger, s->set.pairs[i]) = s->set.pairs[i];
    mg_free(s->set.pairs);
    s->set = larger;
}

static void add_pair(search *s, uint32_t one, uint32_t other) {
    const uint32_t row = one > other ? one : other, column = one > other ? other : one;
    const uint64_t pair = (uint64_t)row << 32 | column;
    make_room(s);
    if (s->failed) return;
    uint64_t *place = find_pair(&s->set, pair);
    if (*place == pair) return;
    *place = pair;
    s->set.n++;
    add_place(s, row, column);
}

/* Every column of one list with every one of the other. */
static void add_pairs(search *s, const column_list *one, const column_list *other) {
    for (uint32_t i = 0; i < one->n; i++)
        for (uint32_t j = one == other ? i : 0; j < other->n && !s->failed; j++)
            add_pair(s, one->columns[i], other->columns[j]);
}

static void visit_later(search *s, uint32_t i, uint32_t *stack, uint32_t *depth) {
    if (s->seen[i]) return;
    s->seen[i] = 1;
    stack[(*depth)++] = i;
}

/* What an entry that is not linear brings together. Below an operand with a second derivative of
 * its own there is nothing more to find. */
static void find_pairs(search *s, uint32_t i, uint32_t *stack, uint32_t *depth) {
    const mg_entry *e = &s->tape->entries[i];
    if (e->op == MG_LEAF) return;
    if (e->op == MG_FUNCTION) { /* of which nothing is known */
        find_columns(s, i, &s->lists[0]);
        add_pairs(s, &s->lists[0], &s->lists[0]);
        return;
    }
    if (e->op == MG_JOIN || e->op == MG_TAKE) {
        const uint32_t *operands;
        const uint32_t n = moving_operands(s, i, &operands);
        for (uint32_t j = 0; j < n; j++) visit_later(s, operands[j], stack, depth);
        return;
    }
    op_rule rule = s->rules[e->op];
    /* Most factors of products are constants or weights that stay. */
    if (rule.ab && (never_moves(s, e->a) || never_moves(s, e->b))) rule.ab = 0;
    if (rule.aa || rule.ab) find_columns(s, e->a, &s->lists[0]);
    if (rule.bb || rule.ab) find_columns(s, e->b, &s->lists[1]);
    if (rule.aa) add_pairs(s, &s->lists[0], &s->lists[0]);
    if (rule.ab) add_pairs(s, &s->lists[0], &s->lists[1]);
    if (rule.bb) add_pairs(s, &s->lists[1], &s->lists[1]);
    if (rule.passes_a && !rule.aa) visit_later(s, e->a, stack, depth);
    if (e->arity == 2 && rule.passes_b && !rule.bb) visit_later(s, e->b, stack, depth);
}

static mg_status find_places(const mg_tape *tape, mg_columns columns, mg_places *places,
                             void find(search *s)) {
    const size_t n = tape->n_entries, n_columns = (size_t)tape->n_inputs + tape->n_parameters + 1;
    search s = {.tape = tape, .columns = columns, .places = places};
    *places = (mg_places){0};
    for (int op = MG_TAKE + 1; op < MG_N_OPS; op++) s.rules[op] = rule_of((mg_op)op);
    s.stack = mg_calloc(2 * n, sizeof *s.stack);
    s.met = mg_calloc(n, sizeof *s.met);
    s.seen = mg_calloc(n, sizeof *s.seen);
    s.lists[0].columns = mg_calloc(2 * n_columns, sizeof(uint32_t));
    s.lists[1].columns = s.lists[0].columns ? s.lists[0].columns + n_columns : NULL;
    s.failed = !s.stack || !s.met || !s.seen || !s.lists[0].columns;
    if (!s.failed) find(&s);
    mg_free(s.stack);
    mg_free(s.met);
    mg_free(s.seen);
    mg_free(s.lists[0].columns);
    mg_free(s.set.pairs);
    if (!s.failed) return MG_OK;
    mg_free(places->rows);
    mg_free(places->columns);
    *places = (mg_places){0};
    return MG_NO_MEMORY;
}

static void find_first_order(search *s) {
    for (uint32_t o = 0; o < s->tape->n_outputs && !s->failed; o++) {
        find_columns(s, s->tape->outputs[o], &s->lists[0]);
        for (uint32_t c = 0; c < s->lists[0].n && !s->failed; c++)
            add_place(s, o, s->lists[0].columns[c]);
    }
}

static void find_second_order(search *s) {
    uint32_t *const stack = s->stack + s->tape->n_entries;
    uint32_t depth = 0;
    visit_later(s, s->tape->outputs[0], stack, &depth);
    while (depth > 0 && !s->failed) {
        const uint32_t i = stack[--depth];
        find_pairs(s, i, stack, &depth);
    }
}

mg_status mg_jacobian_places(const mg_tape *tape, mg_columns columns, mg_places *places) {
    return find_places(tape, columns, places, find_first_order);
}

mg_status mg_hessian_places(const mg_tape *tape, mg_columns columns, mg_places *places) {
    return find_places(tape, columns, places, find_second_order);
}
