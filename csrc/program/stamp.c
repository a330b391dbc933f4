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

/* MG_NO_NODE and a status on failure. */
static inline mg_node make_entry(mg_arena *arena, const mg_entry *e, const mg_node *places,
                                 mg_status *st) {
    mg_node node = MG_NO_NODE;
    if (e->op == MG_LEAF) {
        node = mg_arena_literal(arena, e->k);
    } else {
        const mg_node a = places[e->a], b = e->arity == 2 ? places[e->b] : MG_NO_NODE;
        const double b_data = e->arity == 2 ? arena->data[b] : 0.0;
        const double value = mg_op_value((mg_op)e->op, arena->data[a], b_data, e->k, e->h, st);
        if (*st != MG_OK) return MG_NO_NODE;
        if (mg_ops[e->op].n_immediates == 2) {
            mg_extra *extra = mg_extra_new(0, 2);
            if (extra) {
                extra->values[0] = e->k;
                extra->values[1] = e->h;
                node = mg_arena_node_extra(arena, (mg_op)e->op, a, extra, value);
                if (node == MG_NO_NODE) mg_free(extra);
            }
        } else {
            node = mg_arena_node(arena, (mg_op)e->op, a, b, e->k, value);
            if (node != MG_NO_NODE) arena->meta[node].flags |= e->flags;
        }
    }
    if (node == MG_NO_NODE) *st = MG_NO_MEMORY;
    return node;
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
    if (!has_places(formula, numbers)) return MG_DOMAIN;
    memcpy(places, values, formula->n_values * sizeof *places);
    /* All from here on are ours. */
    const uint32_t first_own = formula->n_values + formula->n_picks;
    mg_status st = MG_OK;
    uint32_t place = first_own, n_picked = 0;
    for (uint32_t i = 0; i < formula->n_literals; i++, place++) {
        places[place] = mg_arena_literal(arena, literal_value(&formula->literals[i], numbers));
        if (places[place] == MG_NO_NODE) {
            st = MG_NO_MEMORY;
            break;
        }
    }
    while (st == MG_OK && place < tape->n_entries) {
        for (; n_picked < formula->n_picks && formula->picks[n_picked].first_use == place;
             n_picked++) {
            const mg_stamp_pick *pick = &formula->picks[n_picked];
            const uint32_t picked = pick->first + (uint32_t)numbers[pick->number].value;
            places[pick->input] = places[tape->outputs[picked]];
        }
        places[place] = make_entry(arena, &tape->entries[place], places, &st);
        if (st == MG_OK) place++;
    }
    if (st != MG_OK) {
        discard_all(arena, places + first_own, place - first_own);
        return st;
    }
    const uint32_t *outputs = tape->outputs + tape->n_outputs - formula->n_results;
    for (uint32_t i = 0; i < formula->n_results; i++) results[i] = places[outputs[i]];
    if (formula->has_loose) discard_loose(arena, formula, places, results);
    return MG_OK;
}
