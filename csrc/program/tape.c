/* Recording and checking of tapes; program/tape.h says what they are. */
#include "program/tape.h"

#include <string.h>

/* Where each node of the arena stands on the tape, plus 1; 0 where it does not yet. */
typedef struct {
    mg_arena *arena;
    mg_tape *tape;
    uint32_t *place;
    mg_node *parameters;
    size_t entries_cap, parameters_cap;
    mg_refused *refused;
} recorder;

static mg_status append(recorder *r, mg_node node, mg_entry entry) {
    mg_tape *tape = r->tape;
    if (tape->n_entries == r->entries_cap) {
        size_t larger = r->entries_cap < 64 ? 64 : 2 * r->entries_cap;
        mg_entry *moved = mg_realloc(tape->entries, larger * sizeof *moved);
        if (!moved) return MG_NO_MEMORY;
        tape->entries = moved;
        r->entries_cap = larger;
    }
    tape->entries[tape->n_entries++] = entry;
    r->place[node] = tape->n_entries;
    return MG_OK;
}

static mg_status append_parameter(recorder *r, mg_node node) {
    mg_tape *tape = r->tape;
    if (tape->n_parameters == r->parameters_cap) {
        size_t larger = r->parameters_cap < 64 ? 64 : 2 * r->parameters_cap;
        mg_node *moved = mg_realloc(r->parameters, larger * sizeof *moved);
        if (!moved) return MG_NO_MEMORY;
        r->parameters = moved;
        r->parameters_cap = larger;
    }
    r->parameters[tape->n_parameters] = node;
    mg_entry entry = {.a = tape->n_parameters, .op = MG_LEAF, .leaf = MG_FREE};
    mg_status st = append(r, node, entry);
    if (st == MG_OK) tape->n_parameters++;
    return st;
}

static mg_status record_node(recorder *r, mg_node node) {
    mg_arena *arena = r->arena;
    const mg_meta meta = arena->meta[node];
    if (mg_is_custom(arena, node)) {
        *r->refused = (mg_refused){MG_HAS_CLOSURE, node};
        return MG_OK;
    }
    if (meta.arity == 0 && meta.op == MG_LEAF) {
        if (!(meta.flags & MG_LITERAL)) return append_parameter(r, node);
        mg_entry entry = {.k = arena->data[node], .op = MG_LEAF, .leaf = MG_CONSTANT};
        return append(r, node, entry);
    }
    if (meta.op == MG_LOCAL || meta.op == MG_LEAF) {
        *r->refused = (mg_refused){MG_HAS_NO_RULE, node};
        return MG_OK;
    }
    if (meta.flags & MG_ASSIGNED) {
        *r->refused = (mg_refused){MG_HAS_DATA, node};
        return MG_OK;
    }
    const mg_operands pair = arena->operands[node];
    mg_entry entry = {.op = meta.op,
                      .arity = mg_ops[meta.op].arity,
                      .flags = meta.flags & (MG_FLOAT_POWER | MG_BOOL_POWER)};
    mg_node_immediates(arena, node, &entry.k, &entry.h);
    entry.a = r->place[pair.a] - 1;
    if (entry.arity == 2) entry.b = r->place[pair.b] - 1;
    return append(r, node, entry);
}

static mg_status record_root(recorder *r, mg_node root, mg_order *order) {
    mg_status st = mg_order_build(r->arena, root, MG_ORDER_ALL, order);
    for (size_t i = 0; st == MG_OK && i < order->n_nodes; i++) {
        if (r->place[order->nodes[i]] == 0) st = record_node(r, order->nodes[i]);
        if (r->refused->refusal != MG_FREEZABLE) break;
    }
    return st;
}

static mg_status record_known(recorder *r, const mg_known_leaves *known) {
    mg_status st = MG_OK;
    for (uint32_t i = 0; st == MG_OK && i < known->n_inputs; i++) {
        mg_entry entry = {.a = i, .op = MG_LEAF, .leaf = MG_INPUT};
        st = append(r, known->inputs[i], entry);
        if (mg_is_custom(r->arena, known->inputs[i]))
            *r->refused = (mg_refused){MG_HAS_CLOSURE, known->inputs[i]};
    }
    for (uint32_t i = 0; st == MG_OK && i < known->n_parameters; i++) {
        st = append_parameter(r, known->parameters[i]);
        if (mg_is_custom(r->arena, known->parameters[i]))
            *r->refused = (mg_refused){MG_HAS_CLOSURE, known->parameters[i]};
    }
    return st;
}

static mg_status record(recorder *r, const mg_node *roots, uint32_t n_roots,
                        const mg_known_leaves *known, mg_order *order) {
    mg_tape *tape = r->tape;
    mg_status st = record_known(r, known);
    for (uint32_t i = 0; st == MG_OK && r->refused->refusal == MG_FREEZABLE && i < n_roots; i++) {
        st = record_root(r, roots[i], order);
        tape->outputs[i] = r->place[roots[i]] - 1;
    }
    return st;
}

mg_status mg_tape_record(mg_arena *arena, const mg_node *roots, uint32_t n_roots,
                         const mg_known_leaves *known, mg_tape *tape, mg_node **parameters,
                         mg_refused *refused) {
    *tape = (mg_tape){.n_outputs = n_roots, .n_inputs = known->n_inputs};
    *parameters = NULL;
    *refused = (mg_refused){MG_FREEZABLE, MG_NO_NODE};
    mg_order order = {0};
    recorder r = {.arena = arena, .tape = tape, .refused = refused};
    mg_status st = MG_OK;
    /* Expanding makes nodes: let it happen before the places are laid out. */
    for (uint32_t i = 0; st == MG_OK && i < n_roots; i++)
        st = mg_order_build(arena, roots[i], MG_ORDER_ALL, &order);
    tape->outputs = mg_realloc(NULL, (n_roots + 1) * sizeof *tape->outputs);
    r.place = st == MG_OK ? mg_calloc(arena->top, sizeof *r.place) : NULL;
    if (!r.place || !tape->outputs)
        st = MG_NO_MEMORY;
    else
        st = record(&r, roots, n_roots, known, &order);
    mg_free(r.place);
    mg_order_free(&order);
    if (st != MG_OK || refused->refusal != MG_FREEZABLE) {
        mg_tape_free(tape);
        mg_free(r.parameters);
    } else {
        *parameters = r.parameters;
    }
    return st;
}

int mg_tape_is_sound(const mg_tape *tape) {
    uint32_t n_parameters = 0;
    if (tape->n_outputs == 0 || tape->n_inputs > tape->n_entries) return 0;
    for (uint32_t i = 0; i < tape->n_entries; i++) {
        const mg_entry entry = tape->entries[i];
        if (i < tape->n_inputs && (entry.op != MG_LEAF || entry.leaf != MG_INPUT)) return 0;
        if (entry.op == MG_LEAF) {
            if (entry.arity != 0 || entry.leaf > MG_FREE) return 0;
            if (entry.leaf == MG_INPUT && (i >= tape->n_inputs || entry.a != i)) return 0;
            if (entry.leaf == MG_FREE && entry.a != n_parameters++) return 0;
        } else {
            if (entry.op < MG_ADD || entry.op >= MG_N_OPS) return 0;
            if (entry.arity != mg_ops[entry.op].arity || entry.a >= i) return 0;
            if (entry.arity == 2 && entry.b >= i) return 0;
        }
    }
    for (uint32_t i = 0; i < tape->n_outputs; i++)
        if (tape->outputs[i] >= tape->n_entries) return 0;
    return n_parameters == tape->n_parameters;
}

uint32_t mg_tape_walk(const mg_entry *entries, uint32_t root, uint32_t *order, uint8_t *n_visited,
                      uint32_t *stack) {
    uint32_t n = 0, depth = 0;
    stack[depth++] = root;
    while (depth > 0) {
        const uint32_t i = stack[depth - 1];
        const mg_entry *e = &entries[i];
        if (n_visited[i] < e->arity) {
            const uint32_t operand = n_visited[i]++ == 0 ? e->a : e->b;
            if (entries[operand].arity > 0 && n_visited[operand] == 0) stack[depth++] = operand;
        } else {
            order[n++] = i;
            depth--;
        }
    }
    return n;
}

void mg_tape_free(mg_tape *tape) {
    mg_free(tape->entries);
    mg_free(tape->outputs);
    *tape = (mg_tape){0};
}
