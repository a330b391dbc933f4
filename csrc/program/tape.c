/* Recording and checking of tapes; program/tape.h says what they are. */
#include "program/tape.h"

#include "nodes/take.h"

#include <string.h>

/* Where each node of the arena stands on the tape, plus 1; 0 where it does not yet. */
typedef struct {
    mg_arena *arena;
    mg_tape *tape;
    uint32_t *place;
    uint32_t *join_from; /* by node: the last JOIN that begins with it, plus 1 */
    mg_node *parameters;
    size_t entries_cap, parameters_cap, candidates_cap;
    mg_refused *refused;
    const mg_known_functions *functions; /* or NULL */
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

/* Make room for a list of candidates behind those that there are. */
static mg_status reserve_candidates(recorder *r, uint32_t n) {
    mg_tape *tape = r->tape;
    const size_t wanted = (size_t)tape->n_candidates + n;
    if (wanted >= UINT32_MAX) return MG_NO_MEMORY;
    if (wanted <= r->candidates_cap) return MG_OK;
    const size_t larger = wanted < 2 * r->candidates_cap ? 2 * r->candidates_cap : wanted;
    uint32_t *moved = mg_realloc(tape->candidates, larger * sizeof *moved);
    if (!moved) return MG_NO_MEMORY;
    tape->candidates = moved;
    r->candidates_cap = larger;
    return MG_OK;
}

/* Put a node's operands behind the lists that there are. */
static mg_status list_operands(recorder *r, mg_node node) {
    mg_tape *tape = r->tape;
    const mg_node *operands;
    const uint32_t n = mg_node_operands(r->arena, node, &operands);
    if (reserve_candidates(r, n) != MG_OK) return MG_NO_MEMORY;
    uint32_t *const list = tape->candidates + tape->n_candidates;
    for (uint32_t i = 0; i < n; i++) {
        list[i] = r->place[operands[i]] - 1;
        if (tape->entries[list[i]].op == MG_JOIN) *r->refused = (mg_refused){MG_HAS_NO_RULE, node};
    }
    return MG_OK;
}

/* A JOIN like one that is there already becomes that one. */
static mg_status record_join(recorder *r, mg_node node) {
    mg_tape *tape = r->tape;
    const mg_node *operands;
    const uint32_t n = mg_node_operands(r->arena, node, &operands);
    if (list_operands(r, node) != MG_OK) return MG_NO_MEMORY;
    const uint32_t *const list = tape->candidates + tape->n_candidates;
    uint32_t *const known = &r->join_from[operands[0]];
    if (*known != 0) {
        const mg_entry *like = &tape->entries[*known - 1];
        if (like->b == n && memcmp(tape->candidates + like->a, list, n * sizeof *list) == 0) {
            r->place[node] = *known;
            return MG_OK;
        }
    }
    const mg_entry entry = {.a = tape->n_candidates, .b = n, .op = MG_JOIN};
    const mg_status st = append(r, node, entry);
    if (st != MG_OK) return st;
    tape->n_candidates += n;
    *known = tape->n_entries;
    return MG_OK;
}

/* A node with a custom backward is one of the caller's functions, or refused. */
static mg_status record_custom(recorder *r, mg_node node) {
    const mg_meta meta = r->arena->meta[node];
    uint32_t function = UINT32_MAX;
    if (r->functions) {
        const mg_status st = r->functions->function_of(r->functions->context, node, &function);
        if (st != MG_OK) return st;
    }
    if (function == UINT32_MAX || meta.op != MG_LOCAL) {
        *r->refused = (mg_refused){MG_HAS_CLOSURE, node};
        return MG_OK;
    }
    if (meta.flags & MG_ASSIGNED) {
        *r->refused = (mg_refused){MG_HAS_DATA, node};
        return MG_OK;
    }
    if (list_operands(r, node) != MG_OK) return MG_NO_MEMORY;
    const mg_node *operands;
    const uint32_t n = mg_node_operands(r->arena, node, &operands);
    const mg_entry entry = {.k = function, .a = r->tape->n_candidates, .b = n, .op = MG_FUNCTION};
    const mg_status st = append(r, node, entry);
    if (st != MG_OK) return st;
    r->tape->n_candidates += n;
    if (function >= r->tape->n_functions) r->tape->n_functions = function + 1;
    return MG_OK;
}

/* Whether operands are JOINs where they may be and nowhere else; they are what Values show. */
static int has_rule(const recorder *r, const mg_entry *e) {
    const mg_entry *entries = r->tape->entries;
    if ((entries[e->a].op == MG_JOIN) != (e->op == MG_TAKE)) return 0;
    return e->arity < 2 || entries[e->b].op != MG_JOIN;
}

static mg_status record_node(recorder *r, mg_node node) {
    mg_arena *arena = r->arena;
    const mg_meta meta = arena->meta[node];
    if (mg_is_custom(arena, node)) return record_custom(r, node);
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
    if (meta.op == MG_JOIN) return record_join(r, node);
    const mg_operands pair = arena->operands[node];
    mg_entry entry = {.op = meta.op,
                      .arity = mg_ops[meta.op].arity,
                      .flags = meta.flags & (MG_FLOAT_POWER | MG_BOOL_POWER)};
    mg_node_immediates(arena, node, &entry.k, &entry.h);
    entry.a = r->place[pair.a] - 1;
    if (entry.arity == 2) entry.b = r->place[pair.b] - 1;
    if (!has_rule(r, &entry)) {
        *r->refused = (mg_refused){MG_HAS_NO_RULE, node};
        return MG_OK;
    }
    return append(r, node, entry);
}

static mg_status record_root(recorder *r, mg_node root, mg_order *order) {
    mg_status st = mg_order_build(r->arena, root, MG_ORDER_ALL, order);
    for (size_t i = 0; st == MG_OK && i < order->n_nodes; i++) {
        if (r->place[order->nodes[i]] == 0) st = record_node(r, order->nodes[i]);
        if (r->refused->refusal != MG_FREEZABLE) break;
    }
    if (r->arena->meta[root].op == MG_JOIN) *r->refused = (mg_refused){MG_HAS_NO_RULE, root};
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

/* So that who assigns data of such a node can be told that programs compute it. */
static void mark_as_frozen(const recorder *r, mg_node n_nodes) {
    for (mg_node node = 0; node < n_nodes; node++)
        if (r->place[node] != 0 && r->arena->meta[node].op != MG_LEAF)
            r->arena->meta[node].marks |= MG_FROZEN;
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
                         const mg_known_leaves *known, const mg_known_functions *functions,
                         mg_tape *tape, mg_node **parameters, mg_refused *refused) {
    *tape = (mg_tape){.n_outputs = n_roots, .n_inputs = known->n_inputs};
    *parameters = NULL;
    *refused = (mg_refused){MG_FREEZABLE, MG_NO_NODE};
    mg_order order = {0};
    recorder r = {.arena = arena, .tape = tape, .refused = refused, .functions = functions};
    mg_status st = MG_OK;
    /* Expanding makes nodes: let it happen before the places are laid out. */
    for (uint32_t i = 0; st == MG_OK && i < n_roots; i++)
        st = mg_order_build(arena, roots[i], MG_ORDER_ALL, &order);
    tape->outputs = mg_realloc(NULL, (n_roots + 1) * sizeof *tape->outputs);
    r.place = st == MG_OK ? mg_calloc(2 * (size_t)arena->top, sizeof *r.place) : NULL;
    r.join_from = r.place ? r.place + arena->top : NULL;
    if (!r.place || !tape->outputs)
        st = MG_NO_MEMORY;
    else
        st = record(&r, roots, n_roots, known, &order);
    if (st == MG_OK && refused->refusal == MG_FREEZABLE) mark_as_frozen(&r, arena->top);
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

/* Of a JOIN or a FUNCTION. */
static int list_is_sound(const mg_tape *tape, uint32_t i) {
    const mg_entry *e = &tape->entries[i];
    if (e->b == 0 || e->a > tape->n_candidates || e->b > tape->n_candidates - e->a) return 0;
    for (uint32_t j = 0; j < e->b; j++) {
        const uint32_t candidate = tape->candidates[e->a + j];
        if (candidate >= i || tape->entries[candidate].op == MG_JOIN) return 0;
    }
    return 1;
}

static int is_function(const mg_tape *tape, double number) {
    return number >= 0.0 && number < tape->n_functions && number == (uint32_t)number;
}

/* Of the entries before entry i. */
static int operands_are_sound(const mg_tape *tape, uint32_t i) {
    const mg_entry *e = &tape->entries[i];
    if (e->arity != mg_ops[e->op].arity || e->a >= i) return 0;
    if ((tape->entries[e->a].op == MG_JOIN) != (e->op == MG_TAKE)) return 0;
    return e->arity < 2 || (e->b < i && tape->entries[e->b].op != MG_JOIN);
}

int mg_tape_is_sound(const mg_tape *tape) {
    uint32_t n_parameters = 0;
    uint64_t n_listed = 0;
    if (tape->n_outputs == 0 || tape->n_inputs > tape->n_entries) return 0;
    for (uint32_t i = 0; i < tape->n_entries; i++) {
        const mg_entry entry = tape->entries[i];
        if (i < tape->n_inputs && (entry.op != MG_LEAF || entry.leaf != MG_INPUT)) return 0;
        if (entry.op == MG_LEAF) {
            if (entry.arity != 0 || entry.leaf > MG_FREE) return 0;
            if (entry.leaf == MG_INPUT && (i >= tape->n_inputs || entry.a != i)) return 0;
            if (entry.leaf == MG_FREE && entry.a != n_parameters++) return 0;
        } else if (entry.op == MG_JOIN || entry.op == MG_FUNCTION) {
            if (entry.arity != 0 || !list_is_sound(tape, i)) return 0;
            if (entry.op == MG_FUNCTION && !is_function(tape, entry.k)) return 0;
            n_listed += entry.b;
        } else {
            if (entry.op < MG_TAKE || entry.op >= MG_N_OPS) return 0;
            if (!operands_are_sound(tape, i)) return 0;
        }
    }
    /* Every list is one entry's, so that there is no more to do than there are numbers. */
    if (n_listed != tape->n_candidates) return 0;
    for (uint32_t i = 0; i < tape->n_outputs; i++)
        if (tape->outputs[i] >= tape->n_entries || tape->entries[tape->outputs[i]].op == MG_JOIN)
            return 0;
    return n_parameters == tape->n_parameters;
}

uint32_t mg_tape_walk(const mg_entry *entries, const uint32_t *candidates, uint32_t root,
                      uint32_t *order, uint32_t *n_visited, uint32_t *stack) {
    uint32_t n = 0, depth = 0;
    stack[depth++] = root;
    while (depth > 0) {
        const uint32_t i = stack[depth - 1];
        const uint32_t *operands;
        if (n_visited[i] < mg_entry_operands(&entries[i], candidates, &operands)) {
            const uint32_t operand = operands[n_visited[i]++];
            if (entries[operand].op != MG_LEAF && n_visited[operand] == 0)
                stack[depth++] = operand;
        } else {
            order[n++] = i;
            depth--;
        }
    }
    return n;
}

mg_status mg_tape_weighted(const mg_tape *tape, mg_tape *weighted) {
    const uint32_t n_inputs = tape->n_inputs, n_weights = tape->n_outputs;
    const uint64_t n_entries = (uint64_t)tape->n_entries + 3 * (uint64_t)n_weights - 1;
    *weighted = (mg_tape){.n_candidates = tape->n_candidates,
                          .n_functions = tape->n_functions,
                          .n_outputs = 1,
                          .n_inputs = n_inputs + n_weights,
                          .n_parameters = tape->n_parameters};
    if (n_entries >= UINT32_MAX) return MG_NO_MEMORY;
    weighted->entries = mg_calloc(n_entries, sizeof *weighted->entries);
    weighted->outputs = mg_calloc(1, sizeof *weighted->outputs);
    weighted->candidates = mg_calloc((size_t)tape->n_candidates + 1, sizeof(uint32_t));
    if (!weighted->entries || !weighted->outputs || !weighted->candidates) {
        mg_tape_free(weighted);
        return MG_NO_MEMORY;
    }
    /* Entries after the inputs move up by the number of weights. */
    const uint32_t moved = n_weights;
    mg_entry *const entries = weighted->entries;
    memcpy(entries, tape->entries, n_inputs * sizeof *entries);
    for (uint32_t i = 0; i < n_weights; i++)
        entries[n_inputs + i] = (mg_entry){.op = MG_LEAF, .leaf = MG_INPUT, .a = n_inputs + i};
    for (uint32_t i = n_inputs; i < tape->n_entries; i++) {
        mg_entry entry = tape->entries[i];
        if (entry.arity >= 1 && entry.a >= n_inputs) entry.a += moved;
        if (entry.arity == 2 && entry.b >= n_inputs) entry.b += moved;
        entries[i + moved] = entry;
    }
    for (uint32_t i = 0; i < tape->n_candidates; i++)
        weighted->candidates[i] =
            tape->candidates[i] + (tape->candidates[i] < n_inputs ? 0 : moved);
    uint32_t n = tape->n_entries + moved;
    for (uint32_t o = 0; o < n_weights; o++) {
        const uint32_t output = tape->outputs[o];
        entries[n++] = (mg_entry){.op = MG_MUL,
                                  .arity = 2,
                                  .a = output < n_inputs ? output : output + moved,
                                  .b = n_inputs + o};
        if (o == 0) continue;
        entries[n] = (mg_entry){.op = MG_ADD, .arity = 2, .a = n - 2, .b = n - 1};
        n++;
    }
    weighted->outputs[0] = n - 1;
    weighted->n_entries = n;
    return MG_OK;
}

void mg_tape_free(mg_tape *tape) {
    mg_free(tape->entries);
    mg_free(tape->candidates);
    mg_free(tape->outputs);
    *tape = (mg_tape){0};
}
