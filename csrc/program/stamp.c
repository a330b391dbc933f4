/* Checking and stamping of formulas; program/stamp.h says what they are. */
#include "program/stamp.h"

#include <string.h>

/* Which entries are operands of others. NULL when memory is out. */
static uint8_t *find_used(const mg_tape *tape) {
    uint8_t *used = mg_calloc(tape->n_entries, 1);
    for (uint32_t i = 0; used && i < tape->n_entries; i++) {
        const mg_entry *e = &tape->entries[i];
        if (e->arity > 0) used[e->a] = 1;
        if (e->arity > 1) used[e->b] = 1;
    }
    return used;
}

static uint32_t first_use(const mg_tape *tape, uint32_t input) {
    for (uint32_t i = tape->n_inputs; i < tape->n_entries; i++) {
        const mg_entry *e = &tape->entries[i];
        if ((e->arity > 0 && e->a == input) || (e->arity > 1 && e->b == input)) return i;
    }
    return tape->n_entries;
}

/* Every candidate is there before the first use of what is picked. */
static int complete_pick(mg_formula *formula, mg_stamp_pick *pick) {
    const mg_tape *tape = &formula->tape;
    pick->first_use = first_use(tape, pick->input);
    if (pick->number >= formula->n_numbers || pick->n_candidates == 0) return 0;
    if (pick->first > tape->n_outputs || pick->n_candidates > tape->n_outputs - pick->first)
        return 0;
    for (uint32_t i = 0; i < pick->n_candidates; i++) {
        const uint32_t candidate = tape->outputs[pick->first + i];
        /* What another number has picked would have to be resolved before this. */
        if (candidate >= formula->n_values && candidate < tape->n_inputs) return 0;
        if (candidate >= pick->first_use) return 0;
    }
    return 1;
}

static void sort_by_first_use(mg_stamp_pick *picks, uint32_t n_picks) {
    for (uint32_t i = 1; i < n_picks; i++) {
        const mg_stamp_pick pick = picks[i];
        uint32_t place = i;
        for (; place > 0 && picks[place - 1].first_use > pick.first_use; place--)
            picks[place] = picks[place - 1];
        picks[place] = pick;
    }
}

static int results_are_own_nodes(const mg_formula *formula) {
    const mg_tape *tape = &formula->tape;
    uint8_t *met = mg_calloc(tape->n_entries, 1);
    int own = met != NULL && formula->n_results > 0;
    for (uint32_t i = tape->n_outputs - formula->n_results; own && i < tape->n_outputs; i++) {
        own = tape->outputs[i] >= tape->n_inputs && !met[tape->outputs[i]];
        met[tape->outputs[i]] = 1;
    }
    mg_free(met);
    return own;
}

int mg_formula_complete(mg_formula *formula) {
    const mg_tape *tape = &formula->tape;
    if (!mg_tape_is_sound(tape) || tape->n_parameters > 0 || tape->n_candidates > 0) return 0;
    if (tape->n_inputs != formula->n_values + formula->n_picks + formula->n_literals) return 0;
    if (formula->n_results > tape->n_outputs || !results_are_own_nodes(formula)) return 0;
    uint8_t *used = find_used(tape);
    int complete = used != NULL;
    const uint32_t first_literal = formula->n_values + formula->n_picks;
    for (uint32_t i = 0; complete && i < formula->n_literals; i++)
        complete = formula->literals[i].number < formula->n_numbers && used[first_literal + i];
    for (uint32_t i = 0; complete && i < formula->n_picks; i++) {
        mg_stamp_pick *pick = &formula->picks[i];
        pick->input = formula->n_values + i;
        complete = complete_pick(formula, pick);
        for (uint32_t k = 0; complete && k < pick->n_candidates; k++)
            formula->has_loose |= !used[tape->outputs[pick->first + k]];
    }
    mg_free(used);
    sort_by_first_use(formula->picks, formula->n_picks);
    return complete;
}

void mg_formula_free(mg_formula *formula) {
    mg_tape_free(&formula->tape);
    mg_free(formula->picks);
    mg_free(formula->literals);
    *formula = (mg_formula){0};
}

static int has_places(const mg_formula *formula, const mg_number *numbers) {
    for (uint32_t i = 0; i < formula->n_picks; i++) {
        const mg_number place = numbers[formula->picks[i].number];
        const double n_places = formula->picks[i].n_candidates;
        if (!place.is_int || !(place.value >= 0.0 && place.value < n_places)) return 0;
    }
    return 1;
}

static double literal_value(const mg_stamp_literal *literal, const mg_number *numbers) {
    const mg_number number = numbers[literal->number];
    double value = number.value;
    if (literal->negated) value = number.is_int ? 0.0 - value : -value;
    return literal->offset == 0.0 ? value : value + literal->offset;
}

/* MG_NO_NODE when memory is out, or with a status. */
static mg_node make_computed(mg_arena *arena, const mg_entry *e, const mg_node *places,
                             mg_status *st) {
    const mg_node a = places[e->a], b = e->arity == 2 ? places[e->b] : MG_NO_NODE;
    const double b_data = e->arity == 2 ? arena->data[b] : 0.0;
    const double value = mg_op_value((mg_op)e->op, arena->data[a], b_data, e->k, e->h, st);
    if (*st != MG_OK) return MG_NO_NODE;
    mg_node node;
    if (mg_ops[e->op].n_immediates == 2) {
        mg_extra *extra = mg_extra_new(0, 2);
        if (!extra) return MG_NO_NODE;
        extra->values[0] = e->k;
        extra->values[1] = e->h;
        node = mg_arena_node_extra(arena, (mg_op)e->op, a, extra, value);
        if (node == MG_NO_NODE) mg_free(extra);
    } else {
        node = mg_arena_node(arena, (mg_op)e->op, a, b, e->k, value);
        if (node != MG_NO_NODE) arena->meta[node].flags |= e->flags;
    }
    return node;
}

/* Likewise. Most entries are sums, products and leaves, which have a shorter way of their own. */
static inline mg_node make_entry(mg_arena *arena, const mg_entry *e, const mg_node *places,
                                 mg_status *st) {
    const double *const data = arena->data;
    if (e->op == MG_ADD) {
        const mg_node a = places[e->a], b = places[e->b];
        return mg_arena_node(arena, MG_ADD, a, b, e->k, data[a] + data[b]);
    }
    if (e->op == MG_MUL) {
        const mg_node a = places[e->a], b = places[e->b];
        return mg_arena_node(arena, MG_MUL, a, b, e->k, data[a] * data[b]);
    }
    if (e->op == MG_LEAF) return mg_arena_literal(arena, e->k);
    return make_computed(arena, e, places, st);
}

/* Free nodes that nothing but each other refers to. */
static void discard_all(mg_arena *arena, const mg_node *nodes, uint32_t n_nodes) {
    for (uint32_t i = 0; i < n_nodes; i++) arena->meta[nodes[i]].refs++;
    for (uint32_t i = 0; i < n_nodes; i++) mg_arena_release(arena, nodes[i]);
}

/* Free the candidates that were not picked, which nothing else needs. */
static void discard_loose(mg_arena *arena, const mg_formula *formula, const mg_node *places,
                          const mg_node *results) {
    const mg_tape *tape = &formula->tape;
    for (uint32_t i = 0; i < formula->n_results; i++) arena->meta[results[i]].refs++;
    const uint32_t n_candidates = tape->n_outputs - formula->n_results;
    /* A node can be a candidate twice: hold all of them while they are looked at. */
    for (uint32_t i = 0; i < n_candidates; i++) arena->meta[places[tape->outputs[i]]].refs++;
    for (uint32_t i = 0; i < n_candidates; i++) mg_arena_release(arena, places[tape->outputs[i]]);
    for (uint32_t i = 0; i < formula->n_results; i++) arena->meta[results[i]].refs--;
}

mg_status mg_formula_stamp(mg_arena *arena, const mg_formula *formula, const mg_node *values,
                           const mg_number *numbers, mg_node *places, mg_node *results) {
    const mg_tape *tape = &formula->tape;
    const uint32_t n_values = formula->n_values, n_entries = tape->n_entries;
    if (!has_places(formula, numbers)) return MG_DOMAIN;
    for (uint32_t i = 0; i < n_values; i++) places[i] = values[i];
    /* All from here on are ours. */
    const uint32_t first_own = n_values + formula->n_picks;
    const uint32_t n_inputs = first_own + formula->n_literals;
    const mg_stamp_literal *literal = formula->literals;
    const mg_stamp_pick *pick = formula->picks, *const no_pick = pick + formula->n_picks;
    mg_status st = MG_OK;
    uint32_t place = first_own;
    for (; place < n_inputs; place++, literal++) {
        const mg_node node = mg_arena_literal(arena, literal_value(literal, numbers));
        if (node == MG_NO_NODE) goto failed;
        places[place] = node;
    }
    for (; place < n_entries; place++) {
        for (; pick < no_pick && pick->first_use == place; pick++) {
            const uint32_t picked = pick->first + (uint32_t)numbers[pick->number].value;
            places[pick->input] = places[tape->outputs[picked]];
        }
        const mg_node node = make_entry(arena, &tape->entries[place], places, &st);
        if (node == MG_NO_NODE) goto failed;
        places[place] = node;
    }
    const uint32_t *const outputs = tape->outputs + tape->n_outputs - formula->n_results;
    for (uint32_t i = 0; i < formula->n_results; i++) results[i] = places[outputs[i]];
    if (formula->has_loose) discard_loose(arena, formula, places, results);
    return MG_OK;

failed:
    discard_all(arena, places + first_own, place - first_own);
    return st == MG_OK ? MG_NO_MEMORY : st;
}

mg_status mg_formula_stamp_sum(mg_arena *arena, const mg_formula *formula, const mg_node *values,
                               const mg_number *numbers, size_t n_rows, mg_node *places, int first,
                               mg_node *total, size_t *n_done) {
    mg_node sum = *total;
    for (size_t row = 0; row < n_rows; row++) {
        mg_node term;
        const mg_status st = mg_formula_stamp(arena, formula, values, numbers, places, &term);
        *n_done = row;
        if (st != MG_OK) {
            mg_arena_discard(arena, sum);
            return st;
        }
        sum = mg_sum_step(arena, sum, term, first && row == 0);
        if (sum == MG_NO_NODE) return MG_NO_MEMORY;
        values += formula->n_values;
        numbers += formula->n_numbers;
    }
    *n_done = n_rows;
    *total = sum;
    return MG_OK;
}
