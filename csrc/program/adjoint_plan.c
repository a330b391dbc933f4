/* The way back from one output: who gives shares to whom, in which order, and where they go.
 *
 * The scalar graph's sweep is the depth-first post-order, reversed. Steps may leave their place
 * in it as long as every gradient still receives its shares in that order: the key of a step is
 * not below that of the last step before it that gave to the same gradient, nor below that of the
 * last one that gave to its own. */
#include "base/memory.h"
#include "program/schedule.h"

#include <stdlib.h>
#include <string.h>

static int is_interior(const mg_schedule *s, uint32_t i) { return s->kind[i] >= MG_KIND_STEP; }

/* The reverse sweep from an output: its entries, root first, and where each stands in it. */
typedef struct {
    uint32_t *entries, n;
    uint32_t *position;  /* by entry; UINT32_MAX where the output does not depend on it */
    uint32_t *n_visited; /* of mg_tape_walk */
    uint32_t *stack;
} sweep;

static sweep new_sweep(const mg_schedule *s, mg_pool *pool) {
    sweep w = {.entries = mg_pool_take(pool, s->n, sizeof *w.entries),
               .position = mg_pool_take(pool, s->n, sizeof *w.position),
               .n_visited = mg_pool_take(pool, s->n, sizeof *w.n_visited),
               .stack = mg_pool_take(pool, s->n, sizeof *w.stack)};
    if (!pool->failed) memset(w.position, 0xff, s->n * sizeof *w.position);
    return w;
}

/* The time is that of the entries that the root depends on. */
static void find_sweep(const mg_schedule *s, uint32_t root, sweep *w) {
    for (uint32_t i = 0; i < w->n; i++) {
        w->n_visited[w->entries[i]] = 0;
        w->position[w->entries[i]] = UINT32_MAX;
    }
    w->n = mg_tape_walk(s->entry, s->candidates, root, w->entries, w->n_visited, w->stack);
    for (uint32_t i = 0; i < w->n / 2; i++) {
        const uint32_t late = w->entries[w->n - 1 - i];
        w->entries[w->n - 1 - i] = w->entries[i];
        w->entries[i] = late;
    }
    for (uint32_t i = 0; i < w->n; i++) w->position[w->entries[i]] = i;
}

/* What an entry gives shares to; those of a TAKE's JOIN are the TAKE's. */
static uint32_t shares_of(const mg_schedule *s, uint32_t i, const uint32_t **operands) {
    const uint32_t n = mg_operands_of(s, i, operands);
    return s->kind[i] == MG_KIND_JOIN ? 0 : n;
}

/* A sum gives all its shares at its top. That is too early for a share that another entry's must
 * come before: one that stands between the top and the sum's own product. `last` is where an
 * entry was last given a share, UINT32_MAX for none, before and after. */
static void check_sums_in_sweep(mg_schedule *s, const sweep *w, uint32_t *last) {
    for (uint32_t p = 0; p < w->n; p++) {
        const uint32_t i = w->entries[p];
        const uint32_t *operands;
        const uint32_t n_operands = shares_of(s, i, &operands);
        for (uint32_t j = 0; j < n_operands; j++) {
            const uint32_t operand = operands[j];
            if (s->kind[operand] == MG_KIND_INNER) continue;
            if (s->kind[i] == MG_KIND_INNER && last[operand] != UINT32_MAX) {
                mg_sum *sum = &s->sums[s->sum_of[i]];
                if (last[operand] > w->position[sum->top]) sum->apart = 1;
            }
            last[operand] = p;
        }
    }
    for (uint32_t p = 0; p < w->n; p++) {
        const uint32_t *operands;
        const uint32_t n_operands = shares_of(s, w->entries[p], &operands);
        for (uint32_t j = 0; j < n_operands; j++) last[operands[j]] = UINT32_MAX;
    }
}

/* The same without a sweep, for all outputs at once, and on the safe side. A share in between
 * comes from below one of the sum's operands to another of them, which is then the lower one: no
 * such share where all are of one height above the leaves. */
static void check_sums_by_height(mg_schedule *s, uint32_t *height) {
    for (uint32_t i = 0; i < s->n; i++) {
        const uint32_t *operands;
        const uint32_t n_operands = mg_operands_of(s, i, &operands);
        height[i] = 0;
        for (uint32_t j = 0; j < n_operands; j++)
            if (height[operands[j]] >= height[i]) height[i] = height[operands[j]] + 1;
    }
    for (uint32_t i = 0; i < s->n_sums; i++) {
        mg_sum *sum = &s->sums[i];
        uint32_t one = UINT32_MAX;
        for (uint32_t j = 0; j <= sum->n_in; j++) {
            const uint32_t operand = j < sum->n_in ? sum->x[j] : sum->start;
            if (s->kind[operand] == MG_KIND_CONSTANT || s->kind[operand] == MG_KIND_PARAMETER)
                continue;
            if (one != UINT32_MAX && height[operand] != one) sum->apart = 1;
            one = height[operand];
        }
    }
}

/* Where TAKEs give their shares is not known before the rows are: no sum whose operands may be
 * chosen gives all its shares at once. Those of leaves are added up in order anyway. */
static void set_joined_apart(mg_schedule *s) {
    for (uint32_t i = 0; i < s->n_sums; i++) {
        mg_sum *sum = &s->sums[i];
        for (uint32_t j = 0; j <= sum->n_in; j++) {
            const uint32_t operand = j < sum->n_in ? sum->x[j] : sum->start;
            if (s->joined[operand] && !mg_is_weight(s, operand)) sum->apart = 1;
        }
    }
}

/* How many times the entries of the tape the sweeps that check its sums may be long. */
#define MOST_SWEEPS 8

void mg_adjoint_plan_check_sums(mg_schedule *s) {
    if (s->n_sums == 0) return;
    if (s->program->tape.n_candidates > 0) set_joined_apart(s);
    uint32_t *last = mg_pool_take(&s->work, s->n, sizeof *last);
    sweep w = new_sweep(s, &s->work);
    if (s->work.failed) return;
    memset(last, 0xff, s->n * sizeof *last);
    const uint32_t n_outputs = s->program->tape.n_outputs;
    uint64_t left = (uint64_t)MOST_SWEEPS * s->n;
    uint32_t o = 0;
    for (; o < n_outputs && w.n <= left; o++) {
        find_sweep(s, s->outputs[o], &w);
        check_sums_in_sweep(s, &w, last);
        left -= w.n < left ? w.n : left;
    }
    if (o < n_outputs) check_sums_by_height(s, last);
}

/* One share of a leaf that has several, or of a TAKE, and where it stands in the order. */
typedef struct {
    uint32_t leaf; /* entry; that of the TAKE */
    mg_slot slot;
    uint64_t order;
} use;

typedef struct {
    const mg_schedule *s;
    mg_adjoint_plan *plan;
    mg_pool work;
    sweep sweep;
    uint8_t *adds_up;     /* inputs whose shares come in order into one slot */
    uint8_t *reached;     /* entries that some share may come to */
    mg_run_key *last_key; /* of the last share that an entry is given */
    mg_slot *adjoint;
    mg_slot *free;
    uint32_t n_free;
    use *uses;
    uint32_t n_uses;
    /* By JOIN: whether a TAKE has come, where its shares go, whether some are of parameters. */
    uint8_t *met_join, *has_parameters;
    mg_slot **to;
    uint8_t *chosen; /* parameters that are candidates of TAKEs of the way back */
    uint32_t n_steps, n_blocks, n_takes, n_functions, n_runs, n_rows;
} planner;

/* Where the share of an entry's operand stands among all shares. */
static uint64_t order_of(const planner *p, uint32_t i, uint32_t operand) {
    return (uint64_t)p->sweep.position[i] << 32 | operand;
}

/* Whether the shares of an entry come into one slot, in order. */
static int adds_in_order(const planner *p, uint32_t i) {
    return is_interior(p->s, i) || (p->s->kind[i] == MG_KIND_INPUT && p->adds_up[i]);
}

/* The later of `latest` and the run that last gave an operand a share. */
static mg_run_key later(const planner *p, uint32_t operand, mg_run_key latest) {
    if (!adds_in_order(p, operand)) return latest;
    return mg_run_is_before(latest, p->last_key[operand]) ? p->last_key[operand] : latest;
}

/* A TAKE may give its share to any candidate. */
static mg_run_key run_after_candidates(planner *p, const mg_entry *e, mg_run_key latest) {
    const mg_entry *join = &p->s->entry[e->a];
    const uint32_t *candidates = p->s->candidates + join->a;
    for (uint32_t j = 0; j < join->b; j++) latest = later(p, candidates[j], latest);
    const mg_run_key run = mg_run_not_before(latest, MG_TAKE);
    for (uint32_t j = 0; j < join->b; j++) p->last_key[candidates[j]] = run;
    return run;
}

/* The first run in which an entry can give its shares: after those that it is given, and not
 * before those that its operands were given earlier in the sweep. */
static mg_run_key run_after_shares(planner *p, uint32_t i) {
    const mg_schedule *s = p->s;
    const mg_entry *e = &s->entry[i];
    mg_run_key latest = p->last_key[i];
    if (e->op == MG_TAKE) return run_after_candidates(p, e, latest);
    if (!mg_goes_back_whole(s, i)) {
        const uint32_t *operands;
        const uint32_t n_operands = mg_operands_of(s, i, &operands);
        for (uint32_t j = 0; j < n_operands; j++) latest = later(p, operands[j], latest);
        const mg_run_key run = mg_run_not_before(latest, e->op);
        for (uint32_t j = 0; j < n_operands; j++) p->last_key[operands[j]] = run;
        return run;
    }
    const mg_sum *sum = &s->sums[s->sum_of[i]];
    for (uint32_t j = 0; j < sum->n_in; j++) latest = later(p, sum->x[j], latest);
    latest = later(p, sum->start, latest);
    mg_run_key run = mg_run_not_before(latest, mg_run_kind(s, i));
    /* All rows of a block go back at once: their own gradients must be there before. */
    if (mg_same_run(run, p->last_key[i])) run.level++;
    for (uint32_t j = 0; j < sum->n_in; j++) p->last_key[sum->x[j]] = run;
    p->last_key[sum->start] = run;
    return run;
}

/* The slot of a value: the forward pass has given it one. */
static mg_slot value_slot(const mg_schedule *s, uint32_t i) { return s->slot[s->twin[i]]; }

static mg_slot take_slot(planner *p) {
    return p->n_free > 0 ? p->free[--p->n_free] : p->plan->n_slots++;
}

static mg_slot take_use(planner *p, uint32_t leaf, uint64_t order) {
    const mg_slot slot = p->plan->n_slots++;
    p->uses[p->n_uses++] = (use){leaf, slot, order};
    return slot;
}

/* Where a share of an operand goes, and what it is added to. `follow` takes slots that follow
 * each other. */
static mg_slot target(planner *p, uint32_t operand, uint64_t order, int follow, mg_slot *from) {
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
    const mg_schedule *s = p->s;
    const mg_entry *e = &s->entry[i];
    *step = (mg_back_step){.entry = i, .g = p->adjoint[i], .a = value_slot(s, e->a)};
    if (s->kind[i] != MG_KIND_INNER) step->y = value_slot(s, i);
    step->a_to = target(p, e->a, order_of(p, i, 0), 0, &step->a_from);
    if (e->arity == 2) {
        step->b = value_slot(s, e->b);
        step->b_to = target(p, e->b, order_of(p, i, 1), 0, &step->b_from);
    }
    p->free[p->n_free++] = p->adjoint[i];
}

static void emit_back_function(planner *p, uint32_t i, mg_back_function *function) {
    const mg_schedule *s = p->s;
    const uint32_t *operands;
    const uint32_t n = mg_operands_of(s, i, &operands);
    *function = (mg_back_function){.entry = i, .n_operands = n, .g = p->adjoint[i]};
    function->to = mg_pool_take(&p->plan->pool, n, sizeof *function->to);
    function->from = mg_pool_take(&p->plan->pool, n, sizeof *function->from);
    if (p->plan->pool.failed) return;
    for (uint32_t j = 0; j < n; j++)
        function->to[j] = target(p, operands[j], order_of(p, i, j), 0, &function->from[j]);
    p->free[p->n_free++] = p->adjoint[i];
}

/* The slots of a JOIN's candidates, of which some are taken now: by the first TAKE on the way
 * back. NULL if no candidate wants one. */
static mg_slot *take_candidates_slots(planner *p, const mg_entry *join, mg_back_take *take) {
    const mg_schedule *s = p->s;
    const uint32_t *candidates = s->candidates + join->a;
    uint32_t n_wanted = 0;
    for (uint32_t j = 0; j < join->b; j++)
        n_wanted += s->active[candidates[j]] && adds_in_order(p, candidates[j]);
    if (n_wanted == 0) return NULL;
    mg_slot *to = mg_pool_take(&p->plan->pool, join->b, sizeof *to);
    take->fresh = mg_pool_take(&p->plan->pool, n_wanted, sizeof *take->fresh);
    if (p->plan->pool.failed) return NULL;
    for (uint32_t j = 0; j < join->b; j++) {
        const uint32_t candidate = candidates[j];
        to[j] = MG_ADJOINT_UNWANTED;
        if (!s->active[candidate] || !adds_in_order(p, candidate)) continue;
        if (p->adjoint[candidate] == MG_NO_SLOT)
            p->adjoint[candidate] = take->fresh[take->n_fresh++] = take_slot(p);
        to[j] = p->adjoint[candidate];
    }
    return to;
}

/* Whether a JOIN has parameters among its candidates; they are marked. */
static int choose_parameters(planner *p, const mg_entry *join) {
    const mg_schedule *s = p->s;
    int found = 0;
    for (uint32_t j = 0; j < join->b; j++) {
        const uint32_t candidate = s->candidates[join->a + j];
        if (s->kind[candidate] != MG_KIND_PARAMETER) continue;
        found = 1;
        p->chosen[candidate] = 1;
    }
    return found;
}

static void emit_back_take(planner *p, uint32_t i, mg_back_take *take) {
    const mg_schedule *s = p->s;
    const mg_entry *e = &s->entry[i];
    const mg_entry *join = &s->entry[e->a];
    *take = (mg_back_take){
        .entry = i, .index = value_slot(s, e->b), .g = p->adjoint[i], .kept = MG_NO_SLOT};
    if (!p->met_join[e->a]) {
        p->met_join[e->a] = 1;
        p->to[e->a] = take_candidates_slots(p, join, take);
        p->has_parameters[e->a] = choose_parameters(p, join);
    }
    take->to = p->to[e->a];
    if (p->has_parameters[e->a]) take->kept = take_use(p, i, order_of(p, i, 0));
    p->free[p->n_free++] = p->adjoint[i];
}

/* Where the share of a weight stands in the order. */
static uint64_t weight_order(const planner *p, const mg_sum *sum, uint32_t j) {
    const mg_schedule *s = p->s;
    const uint32_t i = j < sum->n_in ? sum->products[j] : sum->first_addition;
    const uint32_t leaf = j < sum->n_in ? sum->w[j] : sum->start;
    return order_of(p, i, s->entry[i].a != leaf);
}

static void give_weights_slots(planner *p, const mg_sum *sum, mg_slot *w_to) {
    const mg_schedule *s = p->s;
    for (uint32_t j = 0; j <= sum->n_in; j++) {
        const uint32_t leaf = j < sum->n_in ? sum->w[j] : sum->start;
        w_to[j] = s->kind[leaf] == MG_KIND_PARAMETER ? take_use(p, leaf, weight_order(p, sum, j))
                                                     : MG_ADJOINT_UNWANTED;
    }
}

static void emit_back_block(planner *p, const mg_unit *units, uint32_t n, mg_back_sums *block) {
    const mg_schedule *s = p->s;
    mg_pool *keep = &p->plan->pool;
    const mg_sum *first = &s->sums[s->sum_of[units[0].entry]];
    const uint32_t n_in = first->n_in;
    const int start_varies = !mg_start_is_weight(s, first);
    *block = (mg_back_sums){.n_rows = n, .n_in = n_in, .first_row = p->n_rows, .x_inputs_only = 1};
    p->n_rows += n;
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
        block->x[j] = value_slot(s, x);
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
                target(p, sum->start, weight_order(p, sum, n_in), 0, &block->start_from[r]);
    }
    for (uint32_t r = 0; r < n; r++) p->free[p->n_free++] = block->g[r];
}

static int compare_uses(const void *one, const void *other) {
    const use *a = one, *b = other;
    if (a->leaf != b->leaf) return a->leaf < b->leaf ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static int compare_orders(const void *one, const void *other) {
    const use *a = one, *b = other;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* Move the shares of candidates to the end of the uses, in the order of the sweep, and list them.
 */
static void list_chosen(planner *p) {
    const mg_schedule *s = p->s;
    mg_adjoint_plan *plan = p->plan;
    uint32_t n = 0;
    for (uint32_t u = 0; u < p->n_uses; u++)
        plan->n_chosen += s->kind[p->uses[u].leaf] == MG_KIND_STEP || p->chosen[p->uses[u].leaf];
    if (plan->n_chosen == 0) return;
    use *chosen = mg_pool_take(&p->work, plan->n_chosen, sizeof *chosen);
    plan->chosen = mg_pool_take(&plan->pool, plan->n_chosen, sizeof *plan->chosen);
    if (p->work.failed || plan->pool.failed) return;
    plan->n_chosen = 0;
    for (uint32_t u = 0; u < p->n_uses; u++) {
        const use one = p->uses[u];
        if (s->kind[one.leaf] == MG_KIND_STEP || p->chosen[one.leaf])
            chosen[plan->n_chosen++] = one;
        else
            p->uses[n++] = one;
    }
    p->n_uses = n;
    qsort(chosen, plan->n_chosen, sizeof *chosen, compare_orders);
    for (uint32_t c = 0; c < plan->n_chosen; c++) {
        const uint32_t i = chosen[c].leaf;
        plan->chosen[c] = (mg_chosen_use){.parameter = UINT32_MAX, .share = chosen[c].slot};
        if (s->kind[i] == MG_KIND_STEP) {
            plan->chosen[c].take = i;
            plan->chosen[c].index = value_slot(s, s->entry[i].b);
        } else {
            plan->chosen[c].parameter = s->entry[i].a;
        }
    }
}

/* Lists of slots, leaf by leaf, in the order in which they are to be added up. */
static void list_uses(planner *p) {
    const mg_schedule *s = p->s;
    mg_adjoint_plan *plan = p->plan;
    list_chosen(p);
    if (plan->pool.failed) return;
    qsort(p->uses, p->n_uses, sizeof *p->uses, compare_uses);
    plan->use_slots = mg_pool_take(&plan->pool, p->n_uses, sizeof(mg_slot));
    uint32_t n_parameters = 0, n_inputs = 0;
    for (uint32_t u = 0; u < p->n_uses; u++) {
        if (u > 0 && p->uses[u].leaf == p->uses[u - 1].leaf) continue;
        *(s->kind[p->uses[u].leaf] == MG_KIND_PARAMETER ? &n_parameters : &n_inputs) += 1;
    }
    plan->parameters = mg_pool_take(&plan->pool, n_parameters, sizeof(mg_uses));
    plan->inputs = mg_pool_take(&plan->pool, n_inputs, sizeof(mg_uses));
    if (plan->pool.failed) return;
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
    const mg_schedule *s = p->s;
    mg_adjoint_plan *plan = p->plan;
    for (uint32_t first = 0, end; first < n_units && !plan->pool.failed; first = end) {
        end = first + mg_units_of_run(units + first, n_units - first);
        mg_step_run *run = &plan->runs[p->n_runs++];
        if (mg_goes_back_whole(s, units[first].entry)) {
            *run = (mg_step_run){p->n_blocks, 1, MG_SUMS_RUN};
            emit_back_block(p, units + first, end - first, &plan->sums[p->n_blocks++]);
        } else if (s->entry[units[first].entry].op == MG_TAKE) {
            *run = (mg_step_run){p->n_takes, end - first, MG_TAKE};
            for (uint32_t u = first; u < end && !plan->pool.failed; u++)
                emit_back_take(p, units[u].entry, &plan->takes[p->n_takes++]);
        } else if (s->entry[units[first].entry].op == MG_FUNCTION) {
            *run = (mg_step_run){p->n_functions, end - first, MG_FUNCTION};
            for (uint32_t u = first; u < end && !plan->pool.failed; u++)
                emit_back_function(p, units[u].entry, &plan->functions[p->n_functions++]);
        } else {
            *run = (mg_step_run){p->n_steps, end - first, s->entry[units[first].entry].op};
            for (uint32_t u = first; u < end; u++)
                emit_back_step(p, units[u].entry, &plan->steps[p->n_steps++]);
        }
    }
    plan->n_runs = p->n_runs;
}

static void take_rooms(planner *p) {
    const size_t n = p->s->n;
    p->sweep = new_sweep(p->s, &p->work);
    p->adds_up = mg_pool_take(&p->work, n, sizeof *p->adds_up);
    p->last_key = mg_pool_take(&p->work, n, sizeof *p->last_key);
    p->adjoint = mg_pool_take(&p->work, n, sizeof *p->adjoint);
    p->free = mg_pool_take(&p->work, n, sizeof *p->free);
    p->uses = mg_pool_take(&p->work, 2 * n + p->s->program->tape.n_candidates, sizeof *p->uses);
    p->reached = mg_pool_take(&p->work, n, sizeof *p->reached);
    p->met_join = mg_pool_take(&p->work, n, sizeof *p->met_join);
    p->has_parameters = mg_pool_take(&p->work, n, sizeof *p->has_parameters);
    p->to = mg_pool_take(&p->work, n, sizeof *p->to);
    p->chosen = mg_pool_take(&p->work, n, sizeof *p->chosen);
    if (p->work.failed) return;
    memset(p->adjoint, 0xff, n * sizeof *p->adjoint);
}

/* Mark what an entry gives shares to: a TAKE gives none to its index. */
static void reach_operands(planner *p, uint32_t i) {
    const uint32_t *operands;
    const uint32_t n_operands = mg_operands_of(p->s, i, &operands);
    if (p->s->entry[i].op == MG_TAKE)
        p->reached[operands[0]] = 1;
    else
        for (uint32_t j = 0; j < n_operands; j++) p->reached[operands[j]] = 1;
}

/* Inputs that some TAKE may choose have one slot, to which it can add. */
static void mark_joined_inputs(planner *p) {
    const mg_schedule *s = p->s;
    for (uint32_t i = 0; i < s->program->tape.n_inputs; i++)
        if (s->joined[i]) p->adds_up[i] = 1;
}

/* How many of the units are of a kind of their own. */
typedef struct {
    uint32_t sums, takes, functions;
} special_units;

/* The units that give shares, run by run. */
static mg_unit *find_units(planner *p, uint32_t root, uint32_t *n_units, special_units *special) {
    const mg_schedule *s = p->s;
    find_sweep(s, root, &p->sweep);
    mark_joined_inputs(p);
    p->reached[root] = 1;
    mg_unit *units = mg_pool_take(&p->work, p->sweep.n, sizeof *units);
    mg_unit *room = mg_pool_take(&p->work, p->sweep.n, sizeof *room);
    if (p->work.failed) return NULL;
    for (uint32_t i = 0; i < s->n_sums; i++)
        for (uint32_t j = 0; mg_goes_back_whole(s, s->sums[i].top) && j < s->sums[i].n_in; j++)
            p->adds_up[s->sums[i].x[j]] = 1;
    for (uint32_t i = 0; i < p->sweep.n; i++) {
        const uint32_t entry = p->sweep.entries[i];
        if (!s->active[entry] || !p->reached[entry]) continue;
        reach_operands(p, entry);
        if (s->kind[entry] == MG_KIND_JOIN) continue;
        if (s->kind[entry] == MG_KIND_INNER && !s->sums[s->sum_of[entry]].apart) continue;
        special->sums += mg_goes_back_whole(s, entry);
        special->takes += s->entry[entry].op == MG_TAKE;
        special->functions += s->entry[entry].op == MG_FUNCTION;
        units[(*n_units)++] = (mg_unit){.key = run_after_shares(p, entry), .entry = entry};
    }
    mg_sort_units(units, *n_units, room);
    return units;
}

static void make(planner *p, uint32_t root) {
    mg_adjoint_plan *plan = p->plan;
    const uint32_t n_inputs = p->s->program->tape.n_inputs;
    take_rooms(p);
    if (p->work.failed) return;
    uint32_t n_units = 0;
    special_units special = {0};
    const mg_unit *units = find_units(p, root, &n_units, &special);
    if (!units) return;
    plan->runs = mg_pool_take(&plan->pool, n_units, sizeof(mg_step_run));
    const uint32_t n_special = special.sums + special.takes + special.functions;
    plan->steps = mg_pool_take(&plan->pool, n_units - n_special, sizeof(mg_back_step));
    plan->sums = mg_pool_take(&plan->pool, special.sums, sizeof(mg_back_sums));
    plan->takes = mg_pool_take(&plan->pool, special.takes, sizeof(mg_back_take));
    plan->functions = mg_pool_take(&plan->pool, special.functions, sizeof(mg_back_function));
    plan->input_slots = mg_pool_take(&plan->pool, n_inputs, sizeof(mg_slot));
    if (plan->pool.failed) return;
    plan->n_slots = MG_N_SPECIAL_ADJOINTS;
    plan->root = p->adjoint[root] = plan->n_slots++;
    emit(p, units, n_units);
    if (plan->pool.failed) return;
    for (uint32_t i = 0; i < n_inputs; i++) plan->input_slots[i] = p->adjoint[i];
    list_uses(p);
}

mg_adjoint_plan *mg_adjoint_plan_new(const mg_schedule *s, uint32_t output) {
    mg_adjoint_plan *plan = mg_calloc(1, sizeof *plan);
    if (!plan) return NULL;
    planner p = {.s = s, .plan = plan};
    make(&p, s->outputs[output]);
    const int failed = p.work.failed || plan->pool.failed;
    mg_pool_free(&p.work);
    if (!failed) return plan;
    mg_adjoint_plan_free(plan);
    return NULL;
}

void mg_adjoint_plan_free(mg_adjoint_plan *plan) {
    mg_pool_free(&plan->pool);
    mg_free(plan);
}
