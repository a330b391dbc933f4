/* A graph as a list: what a frozen program is made from, and what is saved of it.
 *
 * Entries are numbered in depth-first post-order from the first output, then the next: operands
 * before users, operands left to right. The inputs come first, used or not, then the parameters
 * that were known before. The order of the operands and of the outputs is all that the order of
 * accumulation depends on, so a tape determines every bit that its program computes.
 *
 * The candidates of a JOIN (nodes/take.h) stand side by side in a list; only TAKEs have JOINs as
 * operands, each as its first one. JOINs of the same candidates are one entry.
 *
 * The operands of a FUNCTION are listed in the same place. What it computes is the business of
 * whoever calls the program, and the tape has its number alone.
 */
#ifndef MG_TAPE_H
#define MG_TAPE_H

#include "graph/order.h"

typedef enum {
    MG_CONSTANT, /* k is its value */
    MG_INPUT,    /* a is its number */
    MG_FREE,     /* a parameter; a is its number */
} mg_leaf_kind;

typedef struct {
    double k, h;   /* immediates; of a FUNCTION, which one it is */
    uint32_t a, b; /* operands; where they are listed, where the list begins and its length */
    uint8_t op;    /* MG_LEAF, MG_JOIN, MG_FUNCTION, MG_TAKE, or a row of the table */
    uint8_t leaf;  /* mg_leaf_kind of a leaf */
    uint8_t arity; /* 0 where the operands are listed */
    uint8_t flags; /* of the node: how the exponent of a power was written */
} mg_entry;

typedef struct {
    mg_entry *entries;
    uint32_t n_entries;
    uint32_t *candidates; /* entries: the lists of all JOINs and FUNCTIONs */
    uint32_t n_candidates;
    uint32_t n_functions;
    uint32_t *outputs; /* entries */
    uint32_t n_outputs, n_inputs, n_parameters;
} mg_tape;

/* Why a graph has no tape. */
typedef enum {
    MG_FREEZABLE,
    MG_HAS_CLOSURE, /* `node` has a custom backward */
    MG_HAS_NO_RULE, /* `node` has operands but no operation that could be done again */
    MG_HAS_DATA,    /* `node` was computed, and its data assigned since */
} mg_refusal;

typedef struct {
    mg_refusal refusal;
    mg_node node;
} mg_refused;

/* Leaves that are known before a graph is recorded: distinct, and under the roots or not. */
typedef struct {
    const mg_node *inputs, *parameters;
    uint32_t n_inputs, n_parameters;
} mg_known_leaves;

/* Which of the caller's functions a node with a custom backward is, or UINT32_MAX if it is none;
 * they are numbered from 0 on in the order in which they are met. MG_NO_MEMORY ends the record. */
typedef struct {
    mg_status (*function_of)(void *context, mg_node node, uint32_t *function);
    void *context;
} mg_known_functions;

/* Record the graph under some roots. *parameters are the known ones, then the other leaves in
 * order, without the literals; the caller frees them with mg_free. On MG_NO_MEMORY, or where
 * `refused` says why not, *tape and *parameters are empty. Neurons under the roots are expanded.
 * `functions` is NULL where there are none. */
mg_status mg_tape_record(mg_arena *arena, const mg_node *roots, uint32_t n_roots,
                         const mg_known_leaves *known, const mg_known_functions *functions,
                         mg_tape *tape, mg_node **parameters, mg_refused *refused);

/* What an entry is computed from, and how many these are. */
static inline uint32_t mg_entry_operands(const mg_entry *e, const uint32_t *candidates,
                                         const uint32_t **operands) {
    if (e->op == MG_JOIN || e->op == MG_FUNCTION) {
        *operands = candidates + e->a;
        return e->b;
    }
    *operands = &e->a; /* b stands beside it */
    return e->arity;
}

/* Whether the numbers of a tape from elsewhere make sense. */
int mg_tape_is_sound(const mg_tape *tape);

/* List the entries that `root` is computed from, and it, in depth-first post-order: operands
 * before users, left to right, without leaves. Returns how many there are. `order` and `stack`
 * have room for each entry; `n_visited` is 0 for each, and is left as the number of operands for
 * those in the list. */
uint32_t mg_tape_walk(const mg_entry *entries, const uint32_t *candidates, uint32_t root,
                      uint32_t *order, uint32_t *n_visited, uint32_t *stack);

/* The tape of the sum of the outputs, each times a weight: the weights are more inputs, after
 * those that there are. MG_OK, or MG_NO_MEMORY with an empty *weighted. */
mg_status mg_tape_weighted(const mg_tape *tape, mg_tape *weighted);

void mg_tape_free(mg_tape *tape);

#endif
