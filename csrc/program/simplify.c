/* What must be computed at all: constants are folded, what no output needs is dropped, sums of
 * products are found, and equal values are computed once. */
#include "program/schedule.h"

#include <string.h>

/* Products that a block must have to be faster than its steps one by one */
#define SMALLEST_BLOCK 16

static int is_constant(const mg_schedule *s, uint32_t i) { return s->kind[i] == MG_KIND_CONSTANT; }

/* Equal values */

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

static uint64_t mix_number(uint64_t hash, double number) {
    uint64_t word;
    memcpy(&word, &number, sizeof word);
    return mix(hash, word);
}

static int same_number(double one, double other) { return memcmp(&one, &other, sizeof one) == 0; }

/* An open table of entries by hash, with room for all. */
typedef struct {
    uint32_t *places; /* entry plus 1; 0 for none */
    size_t size;
} entry_table;

static entry_table new_table(mg_schedule *s, size_t n) {
    entry_table table = {NULL, 16};
    while (table.size < 2 * n) table.size *= 2;
    table.places = mg_pool_take(&s->work, table.size, sizeof *table.places);
    return table;
}

/* The first entry that is `same` as number i, which becomes it if there is none. */
static uint32_t first_like(const mg_schedule *s, entry_table *table, uint64_t hash, uint32_t i,
                           int (*same)(const mg_schedule *s, uint32_t one, uint32_t other)) {
    for (size_t at = hash & (table->size - 1);; at = (at + 1) & (table->size - 1)) {
        if (table->places[at] == 0) {
            table->places[at] = i + 1;
            return i;
        }
        if (same(s, table->places[at] - 1, i)) return table->places[at] - 1;
    }
}

static int same_constant(const mg_schedule *s, uint32_t one, uint32_t other) {
    return same_number(s->entry[one].k, s->entry[other].k);
}

/* A constant that was written several times is one entry. */
static void merge_constants(mg_schedule *s) {
    entry_table table = new_table(s, s->n);
    if (s->work.failed) return;
    for (uint32_t i = 0; i < s->n; i++) {
        mg_entry *e = &s->entry[i];
        s->twin[i] = i;
        if (is_constant(s, i))
            s->twin[i] = first_like(s, &table, mix_number(0, e->k), i, same_constant);
        if (e->arity > 0) e->a = is_constant(s, e->a) ? s->twin[e->a] : e->a;
        if (e->arity > 1) e->b = is_constant(s, e->b) ? s->twin[e->b] : e->b;
    }
    for (uint32_t j = 0; j < s->program->tape.n_candidates; j++)
        s->candidates[j] = s->twin[s->candidates[j]];
}

static int same_step(const mg_schedule *s, uint32_t one, uint32_t other) {
    const mg_entry *p = &s->entry[one], *q = &s->entry[other];
    return p->op == q->op && s->twin[p->a] == s->twin[q->a] &&
           (p->arity < 2 || s->twin[p->b] == s->twin[q->b]) && same_number(p->k, q->k) &&
           same_number(p->h, q->h);
}

/* Equal values are computed once; their gradients stay apart. */
static void share(mg_schedule *s) {
    entry_table table = new_table(s, s->n);
    if (s->work.failed) return;
    for (uint32_t i = 0; i < s->n; i++) {
        s->twin[i] = i;
        const mg_entry *e = &s->entry[i];
        if (s->kind[i] != MG_KIND_STEP || e->op == MG_FUNCTION) continue;
        const uint64_t operands = mix(mix(e->op, s->twin[e->a]), e->arity > 1 ? s->twin[e->b] : 0);
        s->twin[i] =
            first_like(s, &table, mix_number(mix_number(operands, e->k), e->h), i, same_step);
        s->n_shared += s->twin[i] != i;
    }
}

/* An operation on constants becomes one, unless it would raise: that is for the call to say. */
static void fold(mg_schedule *s, uint32_t i) {
    mg_entry *e = &s->entry[i];
    if (!is_constant(s, e->a) || (e->arity == 2 && !is_constant(s, e->b))) return;
    const double a = s->entry[e->a].k, b = e->arity == 2 ? s->entry[e->b].k : 0.0;
    mg_status st = MG_OK;
    const double y = mg_op_value((mg_op)e->op, a, b, e->k, e->h, &st);
    if (st == MG_OK) mg_op_adjoint_a((mg_op)e->op, a, b, e->k, e->h, y, 1.0, &st);
    if (st == MG_OK && e->arity == 2) mg_op_adjoint_b((mg_op)e->op, a, b, e->k, e->h, y, 1.0, &st);
    if (st != MG_OK) return;
    *e = (mg_entry){.k = y, .op = MG_LEAF, .leaf = MG_CONSTANT};
    s->kind[i] = MG_KIND_CONSTANT;
    s->n_folded++;
}

static void classify(mg_schedule *s, uint32_t n_entries) {
    static const mg_kind kinds[] = {[MG_CONSTANT] = MG_KIND_CONSTANT,
                                    [MG_INPUT] = MG_KIND_INPUT,
                                    [MG_FREE] = MG_KIND_PARAMETER};
    for (uint32_t i = 0; i < n_entries; i++) {
        if (s->entry[i].op == MG_LEAF) {
            s->kind[i] = kinds[s->entry[i].leaf];
        } else if (s->entry[i].op == MG_JOIN) {
            s->kind[i] = MG_KIND_JOIN;
        } else {
            s->kind[i] = MG_KIND_STEP;
            if (s->entry[i].op != MG_FUNCTION) fold(s, i);
        }
    }
}

/* Every output is a step: one that is a leaf goes through a multiplication by 1, which keeps
 * every bit. */
static void give_outputs(mg_schedule *s) {
    const mg_tape *tape = &s->program->tape;
    for (uint32_t o = 0; o < tape->n_outputs; o++) {
        uint32_t i = tape->outputs[o];
        if (mg_is_leaf(s, i)) {
            s->entry[s->n] = (mg_entry){.k = 1.0, .op = MG_LEAF, .leaf = MG_CONSTANT};
            s->kind[s->n++] = MG_KIND_CONSTANT;
            s->entry[s->n] = (mg_entry){.a = i, .b = s->n - 1, .op = MG_MUL, .arity = 2};
            s->kind[s->n] = MG_KIND_STEP;
            i = s->n++;
        }
        s->outputs[o] = i;
        s->is_output[i] = 1;
    }
}

static void drop_unused(mg_schedule *s) {
    for (uint32_t i = s->n; i-- > 0;) {
        const mg_entry *e = &s->entry[i];
        if (s->is_output[i]) s->n_uses[i]++;
        if (s->n_uses[i] == 0) {
            if (s->kind[i] != MG_KIND_INPUT) s->kind[i] = MG_KIND_UNUSED;
            continue;
        }
        const uint32_t *operands;
        const uint32_t n_operands = mg_operands_of(s, i, &operands);
        for (uint32_t j = 0; j < n_operands; j++) {
            s->n_uses[operands[j]]++;
            if (e->op == MG_JOIN) s->joined[operands[j]] = 1;
        }
    }
}

/* A step on constants alone is one that may raise, because it was not folded: its slopes are
 * computed like those that somebody wants, for the call to say so. */
static int is_unfolded(const mg_schedule *s, uint32_t i) {
    const uint32_t *operands;
    const uint32_t n_operands = mg_operands_of(s, i, &operands);
    for (uint32_t j = 0; j < n_operands; j++)
        if (!is_constant(s, operands[j])) return 0;
    return 1;
}

static void mark_dependence(mg_schedule *s) {
    for (uint32_t i = 0; i < s->n; i++) {
        const mg_entry *e = &s->entry[i];
        s->variable[i] = s->kind[i] == MG_KIND_INPUT;
        s->active[i] = s->kind[i] == MG_KIND_INPUT || s->kind[i] == MG_KIND_PARAMETER ||
                       (s->kind[i] == MG_KIND_STEP && is_unfolded(s, i));
        const uint32_t *operands;
        const uint32_t n_operands = mg_operands_of(s, i, &operands);
        for (uint32_t j = 0; s->kind[i] >= MG_KIND_JOIN && j < n_operands; j++) {
            s->variable[i] |= s->variable[operands[j]];
            /* No gradient goes to an index. */
            if (e->op != MG_TAKE || j == 0) s->active[i] |= s->active[operands[j]];
        }
    }
}

/* Sums of products */

static int used_once(const mg_schedule *s, uint32_t i) {
    return s->kind[i] == MG_KIND_STEP && s->n_uses[i] == 1 && !s->is_output[i];
}

/* Whether an entry is w * x with a leaf w that has its place among the weights: a parameter
 * rather than a constant. */
static int is_product(const mg_schedule *s, uint32_t i, uint32_t *w, uint32_t *x) {
    const mg_entry *e = &s->entry[i];
    if (!used_once(s, i) || e->op != MG_MUL || e->a == e->b) return 0;
    const uint8_t a = s->kind[e->a], b = s->kind[e->b];
    const int b_is_w = b == MG_KIND_PARAMETER || (a != MG_KIND_PARAMETER && b == MG_KIND_CONSTANT);
    *w = b_is_w ? e->b : e->a;
    *x = b_is_w ? e->a : e->b;
    if (s->kind[*w] != MG_KIND_PARAMETER && s->kind[*w] != MG_KIND_CONSTANT) return 0;
    return s->kind[*x] != MG_KIND_PARAMETER;
}

/* Follow the additions from `top` down. Products come last to first. */
static uint32_t follow_sum(const mg_schedule *s, mg_sum *sum, uint32_t *products, uint32_t *x,
                           uint32_t *w) {
    uint32_t n = 0, i = sum->top;
    sum->first_addition = i;
    while (i == sum->top || (used_once(s, i) && s->entry[i].op == MG_ADD)) {
        const mg_entry *e = &s->entry[i];
        if (e->a == e->b) break;
        if (is_product(s, e->b, &w[n], &x[n])) {
            products[n++] = e->b;
            sum->first_addition = i;
            i = e->a;
        } else if (n > 0 && is_product(s, e->a, &w[n], &x[n])) {
            /* The sum that Python's `sum` begins: product + 0. */
            products[n++] = e->a;
            sum->first_addition = i;
            i = e->b;
            break;
        } else {
            break;
        }
    }
    sum->start = i;
    return n;
}

static int all_differ(mg_schedule *s, const mg_sum *sum, uint32_t *met) {
    int differ = 1;
    met[sum->start] = sum->top;
    for (uint32_t j = 0; j < sum->n_in; j++) {
        if (met[sum->x[j]] == sum->top && s->kind[sum->x[j]] != MG_KIND_CONSTANT) differ = 0;
        met[sum->x[j]] = sum->top;
    }
    return differ;
}

static void claim(mg_schedule *s, mg_sum *sum) {
    const uint32_t number = s->n_sums;
    uint32_t i = sum->top;
    s->kind[i] = MG_KIND_SUM;
    s->sum_of[i] = number;
    while (i != sum->first_addition) {
        i = s->entry[i].a;
        s->kind[i] = MG_KIND_INNER;
        s->sum_of[i] = number;
    }
    for (uint32_t j = 0; j < sum->n_in; j++) {
        s->kind[sum->products[j]] = MG_KIND_INNER;
        s->sum_of[sum->products[j]] = number;
    }
}

/* Whether sums can be rows of one block. */
static int same_group(const mg_schedule *s, uint32_t one, uint32_t other) {
    const mg_sum *p = &s->sums[one], *q = &s->sums[other];
    return p->n_in == q->n_in && p->alone == q->alone &&
           mg_start_is_weight(s, p) == mg_start_is_weight(s, q) &&
           memcmp(p->x, q->x, p->n_in * sizeof *p->x) == 0;
}

static void group_sums(mg_schedule *s) {
    entry_table table = new_table(s, s->n_sums);
    if (s->work.failed) return;
    for (uint32_t i = 0; i < s->n_sums; i++) {
        mg_sum *sum = &s->sums[i];
        uint64_t hash =
            mix(sum->n_in, (uint64_t)sum->alone << 1 | (uint64_t)mg_start_is_weight(s, sum));
        for (uint32_t j = 0; j < sum->n_in; j++) hash = mix(hash, sum->x[j]);
        const uint32_t first = first_like(s, &table, hash, i, same_group);
        sum->group = first == i ? s->n_groups++ : s->sums[first].group;
    }
}

static void find_sums(mg_schedule *s) {
    uint32_t *products = mg_pool_take(&s->work, s->n, sizeof *products);
    uint32_t *x = mg_pool_take(&s->work, s->n, sizeof *x);
    uint32_t *w = mg_pool_take(&s->work, s->n, sizeof *w);
    uint32_t *met = mg_pool_take(&s->work, s->n, sizeof *met);
    /* At least two products and their additions each. */
    s->sums = mg_pool_take(&s->columns, s->n / 4 + 1, sizeof *s->sums);
    if (mg_schedule_failed(s)) return;
    for (uint32_t top = s->n; top-- > 0;) {
        if (s->kind[top] != MG_KIND_STEP || s->entry[top].op != MG_ADD) continue;
        mg_sum sum = {.top = top};
        sum.n_in = follow_sum(s, &sum, products, x, w);
        if (sum.n_in < 2) continue;
        uint32_t *room = mg_pool_take(&s->columns, 3 * (size_t)sum.n_in, sizeof *room);
        if (!room) return;
        sum.x = room;
        sum.w = room + sum.n_in;
        sum.products = room + 2 * (size_t)sum.n_in;
        for (uint32_t j = 0; j < sum.n_in; j++) {
            sum.x[j] = x[sum.n_in - 1 - j];
            sum.w[j] = w[sum.n_in - 1 - j];
            sum.products[j] = products[sum.n_in - 1 - j];
        }
        sum.apart = !all_differ(s, &sum, met);
        claim(s, &sum);
        s->sums[s->n_sums++] = sum;
    }
}

/* Which sums' parameters are used nowhere else, so that their gradients can be added up in
 * place. */
static void mark_alone(mg_schedule *s) {
    for (uint32_t i = 0; i < s->n_sums; i++) {
        mg_sum *sum = &s->sums[i];
        sum->alone = !sum->apart;
        for (uint32_t j = 0; j <= sum->n_in; j++) {
            const uint32_t leaf = j < sum->n_in ? sum->w[j] : sum->start;
            if (s->kind[leaf] == MG_KIND_PARAMETER && s->n_uses[leaf] > 1) sum->alone = 0;
        }
    }
}

/* A small group is not worth a block: its nodes become steps again. */
static void dissolve_small_groups(mg_schedule *s) {
    uint32_t *n_rows = mg_pool_take(&s->work, s->n_groups, sizeof *n_rows);
    if (!n_rows) return;
    for (uint32_t i = 0; i < s->n_sums; i++) n_rows[s->sums[i].group]++;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->kind[i] != MG_KIND_SUM && s->kind[i] != MG_KIND_INNER) continue;
        const mg_sum *sum = &s->sums[s->sum_of[i]];
        if ((uint64_t)sum->n_in * n_rows[sum->group] < SMALLEST_BLOCK) s->kind[i] = MG_KIND_STEP;
    }
}

void mg_simplify(mg_schedule *s) {
    const uint32_t n_entries = s->n;
    classify(s, n_entries);
    merge_constants(s);
    if (mg_schedule_failed(s)) return;
    give_outputs(s);
    drop_unused(s);
    mark_dependence(s);
    find_sums(s);
    if (mg_schedule_failed(s)) return;
    mg_adjoint_plan_check_sums(s);
    if (mg_schedule_failed(s)) return;
    mark_alone(s);
    group_sums(s);
    if (mg_schedule_failed(s)) return;
    dissolve_small_groups(s);
    if (mg_schedule_failed(s)) return;
    share(s);
}
