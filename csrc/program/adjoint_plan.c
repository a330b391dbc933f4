/* The way back from one output: who gives shares to whom, in which order, and where they go.
 *
 * The scalar graph's sweep is the depth-first post-order, reversed. Steps may leave their place
 * in it as long as every gradient still receives its shares in that order: the key of a step is
 * not below that of the last step before it that gave to the same gradient, nor below that of the
 * last one that gave to its own. */
#include "program/schedule.h"

#include <stdlib.h>
#include <string.h>

static int is_interior(const mg_schedule *s, uint32_t i) { return s->kind[i] >= MG_KIND_STEP; }

/* Fill s->sweep and s->position: UINT32_MAX where the output does not depend on an entry. */
static void find_sweep(mg_schedule *s, uint32_t root) {
    uint32_t depth = 0, n = 0;
    memset(s->position, 0xff, s->n * sizeof *s->position);
    s->position[root] = 0;
    s->visits[depth++] = (struct mg_visit){root, 0};
    while (depth > 0) {
        struct mg_visit *visit = &s->visits[depth - 1];
        const mg_entry *e = &s->entry[visit->entry];
        if (visit->next < e->arity) {
            const uint32_t operand = visit->next++ == 0 ? e->a : e->b;
            if (!is_interior(s, operand) || s->position[operand] != UINT32_MAX) continue;
            s->position[operand] = 0;
            s->visits[depth++] = (struct mg_visit){operand, 0};
        } else {
            s->sweep[n++] = visit->entry;
            depth--;
        }
    }
    s->n_sweep = n;
    for (uint32_t i = 0; i < n / 2; i++) {
        const uint32_t late = s->sweep[n - 1 - i];
        s->sweep[n - 1 - i] = s->sweep[i];
        s->sweep[i] = late;
    }
    for (uint32_t i = 0; i < n; i++) s->position[s->sweep[i]] = i;
}

/* A sum gives all its shares at its top. That is too early for a share that another entry's must
 * come before: one that stands between the top and the sum's own product. */
static void check_sums(mg_schedule *s, uint32_t root, uint32_t *last) {
    find_sweep(s, root);
    memset(last, 0xff, s->n * sizeof *last);
    for (uint32_t p = 0; p < s->n_sweep; p++) {
        const uint32_t i = s->sweep[p];
        const mg_entry *e = &s->entry[i];
        for (uint8_t j = 0; j < e->arity; j++) {
            const uint32_t operand = j == 0 ? e->a : e->b;
            if (s->kind[operand] == MG_KIND_INNER) continue;
            if (s->kind[i] == MG_KIND_INNER && last[operand] != UINT32_MAX) {
                mg_sum *sum = &s->sums[s->sum_of[i]];
                if (last[operand] > s->position[sum->top]) sum->apart = 1;
            }
            last[operand] = p;
        }
    }
}

void mg_adjoint_plan_check_sums(mg_schedule *s) {
    uint32_t *last = mg_pool_take(&s->work, s->n, sizeof *last);
    s->position = mg_pool_take(&s->work, s->n, sizeof *s->position);
    s->sweep = mg_pool_take(&s->work, s->n, sizeof *s->sweep);
    s->visits = mg_pool_take(&s->work, s->n, sizeof *s->visits);
    if (s->work.failed || s->n_sums == 0) return;
    for (uint32_t o = 0; o < s->program->tape.n_outputs; o++) check_sums(s, s->outputs[o], last);
}

/* One share of a leaf that has several, and where it stands in the order. */
typedef struct {
    uint32_t leaf; /* entry */
    uint32_t order;
    mg_slot slot;
} use;

typedef struct {
    mg_schedule *s;
    mg_adjoint_plan *plan;
    uint8_t *adds_up;   /* inputs whose shares come in order into one slot */
    uint64_t *last_key; /* of the last share that an entry is given */
    mg_slot *adjoint;
    mg_slot *free;
    uint32_t n_free;
    use *uses;
    uint32_t n_uses;
    uint32_t n_steps, n_blocks, n_runs;
} planner;

static int goes_back_whole(const mg_schedule *s, uint32_t i) {
    return s->kind[i] == MG_KIND_SUM && !s->sums[s->sum_of[i]].apart;
}

/* Whether the shares of an entry come into one slot, in order. */
static int adds_in_order(const planner *p, uint32_t i) {
    return is_interior(p->s, i) || (p->s->kind[i] == MG_KIND_INPUT && p->adds_up[i]);
}

static uint64_t latest(const planner *p, uint32_t i, uint64_t key) {
    if (!adds_in_order(p, i) || p->last_key[i] < key) return key;
    return p->last_key[i];
}

static uint64_t backward_key(planner *p, uint32_t i) {
    const mg_schedule *s = p->s;
    const mg_entry *e = &s->entry[i];
    uint64_t least = p->last_key[i], key;
    if (!goes_back_whole(s, i)) {
        for (uint8_t j = 0; j < e->arity; j++) least = latest(p, j == 0 ? e->a : e->b, least);
        key = mg_key_at_least(least, e->op);
        for (uint8_t j = 0; j < e->arity; j++) p->last_key[j == 0 ? e->a : e->b] = key;
        return key;
    }
    const mg_sum *sum = &s->sums[s->sum_of[i]];
    const uint32_t kind = mg_run_kind(s, i);
    for (uint32_t j = 0; j < sum->n_in; j++) least = latest(p, sum->x[j], least);
    least = latest(p, sum->start, least);
    key = mg_key_at_least(least, kind);
    /* All rows of a block go back at once: their own gradients must be there before. */
    if (key == p->last_key[i]) key = mg_key_at_least(key + 1, kind);
    for (uint32_t j = 0; j < sum->n_in; j++) p->last_key[sum->x[j]] = key;
    p->last_key[sum->start] = key;
    return key;
}

static mg_slot take_slot(planner *p) {
    return p->n_free > 0 ? p->free[--p->n_free] : p->plan->n_slots++;
}

static mg_slot take_use(planner *p, uint32_t leaf, uint32_t order) {
    const mg_slot slot = p->plan->n_slots++;
    p->uses[p->n_uses++] = (use){leaf, order, slot};
    return slot;
}

/* Where a share of an operand goes, and what it is added to. `follow` takes slots that follow
 * each other. */
static mg_slot target(planner *p, uint32_t operand, uint32_t order, int follow, mg_slot *from) {
    const mg_schedule *s = p->s;
    *from = MG_ADJOINT_ZERO;
    if (s->kind[operand] == MG_KIND_CONSTANT || !s->active[operand]) return MG_ADJOINT_UNWANTED;
    if (!adds_in_order(p, operand)) {
        *from = MG_ADJOINT_MINUS_ZERO;
        return take_use(p, operand, order);
    }
    if (p->adjoint[operand] == MG_NO_SLOT)
        p->adjoint[operand] = follow ? p->plan->n_slots++ : take_slot(p);
    else
        *from = p->adjoint[operand];
    return p->adjoint[operand];
}

static void emit_back_step(planner *p, uint32_t i, mg_back_step *step) {
    mg_schedule *s = p->s;
    const mg_entry *e = &s->entry[i];
    const uint32_t order = 2 * s->position[i];
    *step = (mg_back_step){.entry = i, .g = p->adjoint[i], .a = mg_value_slot(s, e->a)};
    if (s->kind[i] != MG_KIND_INNER) step->y = mg_value_slot(s, i);
    step->a_to = target(p, e->a, order, 0, &step->a_from);
    if (e->arity == 2) {
        step->b = mg_value_slot(s, e->b);
        step->b_to = target(p, e->b, order + 1, 0, &step->b_from);
    }
    p->free[p->n_free++] = p->adjoint[i];
}

/* Where the share of a weight stands in the order. */
static uint32_t weight_order(const mg_schedule *s, const mg_sum *sum, uint32_t j) {
    const uint32_t i = j < sum->n_in ? sum->products[j] : sum->first_addition;
    const uint32_t leaf = j < sum->n_in ? sum->w[j] : sum->start;
    return 2 * s->position[i] + (s->entry[i].a != leaf);
}

static void give_weights_slots(planner *p, const mg_sum *sum, mg_slot *w_to) {
    const mg_schedule *s = p->s;
    for (uint32_t j = 0; j <= sum->n_in; j++) {
        const uint32_t leaf = j < sum->n_in ? sum->w[j] : sum->start;
        w_to[j] = s->kind[leaf] == MG_KIND_PARAMETER ? take_use(p, leaf, weight_order(s, sum, j))
                                                     : MG_ADJOINT_UNWANTED;
    }
}

static void emit_back_block(planner *p, const mg_unit *units, uint32_t n, mg_back_sums *block) {
    mg_schedule *s = p->s;
    mg_pool *keep = s->keep;
    const mg_sum *first = &s->sums[s->sum_of[units[0].entry]];
    const uint32_t n_in = first->n_in;
    const int start_varies = !mg_start_is_weight(s, first);
    *block = (mg_back_sums){.n_rows = n, .n_in = n_in, .x_inputs_only = 1};
    block->x = mg_pool_take(keep, n_in, sizeof(mg_slot));
    block->weights = mg_pool_take(keep, n, sizeof(uint32_t));
    block->g = mg_pool_take(keep, n, sizeof(mg_slot));
    block->x_to = mg_pool_take(keep, n_in, sizeof(mg_slot));
    block->x_from = mg_pool_take(keep, n_in, sizeof(mg_slot));
    if (start_varies) {
        block->start_to = mg_pool_take(keep, n, sizeof(mg_slot));
        block->start_from = mg_pool_take(keep, n, sizeof(mg_slot));
    }
    if (!first->alone) block->w_to = mg_pool_take(keep, (size_t)n * (n_in + 1), sizeof(mg_slot));
    if (keep->failed) return;

    int wanted = 0, fresh = 1;
    for (uint32_t j = 0; j < n_in; j++) {
        const uint32_t x = first->x[j];
        block->x[j] = mg_value_slot(s, x);
        if (is_interior(s, x)) block->x_inputs_only = 0;
        block->x_to[j] = target(p, x, 0, 1, &block->x_from[j]);
        if (block->x_to[j] != MG_ADJOINT_UNWANTED) wanted = 1;
        if (block->x_from[j] != MG_ADJOINT_ZERO) fresh = 0;
    }
    block->x_first = mg_first_of_run(block->x, n_in);
    block->x_to_first = fresh ? mg_first_of_run(block->x_to, n_in) : MG_NO_SLOT;
    if (!wanted) block->x_to = NULL;
    for (uint32_t r = 0; r < n; r++) {
        const mg_sum *sum = &s->sums[s->sum_of[units[r].entry]];
        block->weights[r] = sum->weights;
        block->g[r] = p->adjoint[sum->top];
        if (block->w_to) give_weights_slots(p, sum, block->w_to + (size_t)r * (n_in + 1));
        if (start_varies)
            block->start_to[r] =
                target(p, sum->start, weight_order(s, sum, n_in), 0, &block->start_from[r]);
    }
    for (uint32_t r = 0; r < n; r++) p->free[p->n_free++] = block->g[r];
}

static int compare_uses(const void *one, const void *other) {
    const use *a = one, *b = other;
    if (a->leaf != b->leaf) return a->leaf < b->leaf ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* Lists of slots, leaf by leaf, in the order in which they are to be added up. */
static void list_uses(planner *p) {
    const mg_schedule *s = p->s;
    mg_adjoint_plan *plan = p->plan;
    qsort(p->uses, p->n_uses, sizeof *p->uses, compare_uses);
    plan->use_slots = mg_pool_take(s->keep, p->n_uses, sizeof(mg_slot));
    plan->parameters = mg_pool_take(s->keep, s->program->tape.n_parameters, sizeof(mg_uses));
    plan->inputs = mg_pool_take(s->keep, s->program->tape.n_inputs, sizeof(mg_uses));
    if (s->keep->failed) return;
    for (uint32_t first = 0, end; first < p->n_uses; first = end) {
        const uint32_t leaf = p->uses[first].leaf;
        for (end = first; end < p->n_uses && p->uses[end].leaf == leaf; end++)
            plan->use_slots[end] = p->uses[end].slot;
        const mg_uses uses = {s->entry[leaf].a, first, end - first};
        if (s->kind[leaf] == MG_KIND_PARAMETER)
            plan->parameters[plan->n_parameters++] = uses;
        else
            plan->inputs[plan->n_inputs++] = uses;
    }
}

static void emit(planner *p, const mg_unit *units, uint32_t n_units) {
    mg_schedule *s = p->s;
    mg_adjoint_plan *plan = p->plan;
    for (uint32_t first = 0, end; first < n_units && !s->keep->failed; first = end) {
        for (end = first; end < n_units && units[end].key == units[first].key; end++);
        mg_step_run *run = &plan->runs[p->n_runs++];
        if (goes_back_whole(s, units[first].entry)) {
            *run = (mg_step_run){p->n_blocks, 1, MG_SUMS_RUN};
            emit_back_block(p, units + first, end - first, &plan->sums[p->n_blocks++]);
        } else {
            *run = (mg_step_run){p->n_steps, end - first, s->entry[units[first].entry].op};
            for (uint32_t u = first; u < end; u++)
                emit_back_step(p, units[u].entry, &plan->steps[p->n_steps++]);
        }
    }
    plan->n_runs = p->n_runs;
}

void mg_adjoint_plan_make(mg_schedule *s, uint32_t output) {
    mg_adjoint_plan *plan = &s->program->adjoint_plans[output];
    const uint32_t root = s->outputs[output], n_inputs = s->program->tape.n_inputs;
    planner p = {.s = s, .plan = plan};
    mg_unit *units = mg_pool_take(&s->work, s->n, sizeof *units);
    p.adds_up = mg_pool_take(&s->work, s->n, sizeof *p.adds_up);
    p.last_key = mg_pool_take(&s->work, s->n, sizeof *p.last_key);
    p.adjoint = mg_pool_take(&s->work, s->n, sizeof *p.adjoint);
    p.free = mg_pool_take(&s->work, s->n, sizeof *p.free);
    p.uses = mg_pool_take(&s->work, 2 * (size_t)s->n, sizeof *p.uses);
    if (s->work.failed) return;
    memset(p.adjoint, 0xff, s->n * sizeof *p.adjoint);
    for (uint32_t i = 0; i < s->n_sums; i++)
        for (uint32_t j = 0; goes_back_whole(s, s->sums[i].top) && j < s->sums[i].n_in; j++)
            p.adds_up[s->sums[i].x[j]] = 1;

    find_sweep(s, root);
    uint32_t n_units = 0, n_sums = 0;
    for (uint32_t i = 0; i < s->n_sweep; i++) {
        const uint32_t entry = s->sweep[i];
        if (!s->active[entry]) continue;
        if (s->kind[entry] == MG_KIND_INNER && !s->sums[s->sum_of[entry]].apart) continue;
        n_sums += goes_back_whole(s, entry);
        units[n_units++] = (mg_unit){backward_key(&p, entry), i, entry};
    }
    mg_sort_units(units, n_units);
    plan->runs = mg_pool_take(s->keep, n_units, sizeof(mg_step_run));
    plan->steps = mg_pool_take(s->keep, n_units - n_sums, sizeof(mg_back_step));
    plan->sums = mg_pool_take(s->keep, n_sums, sizeof(mg_back_sums));
    plan->input_slots = mg_pool_take(s->keep, n_inputs, sizeof(mg_slot));
    if (s->keep->failed) return;
    plan->n_slots = MG_N_SPECIAL_ADJOINTS;
    plan->root = p.adjoint[root] = plan->n_slots++;
    emit(&p, units, n_units);
    if (s->keep->failed) return;
    for (uint32_t i = 0; i < n_inputs; i++) plan->input_slots[i] = p.adjoint[i];
    list_uses(&p);
}
