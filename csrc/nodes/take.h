/* Choosing one of several nodes by an index that is itself a node.
 *
 * A TAKE has two operands: a JOIN, whose operands are the candidates, and the index. It has the
 * value of the candidate whose place among them the index's data is, read anew whenever it is
 * asked, and its gradient goes to that candidate alone: the JOIN and the index get none. A JOIN
 * computes nothing and stays hidden, so that several TAKEs can share it: what is shown of a TAKE
 * is the candidates and the index. */
#ifndef MG_NODES_TAKE_H
#define MG_NODES_TAKE_H

#include "nodes/arena.h"

/* The candidates of a TAKE and how many there are: 0 if its JOIN has been made something else. */
static inline uint32_t mg_candidates(const mg_arena *arena, mg_node take,
                                     const mg_node **candidates) {
    const mg_node join = arena->operands[take].a;
    *candidates = NULL;
    if (arena->meta[join].op != MG_JOIN) return 0;
    return mg_node_operands(arena, join, candidates);
}

/* The candidate that a TAKE chooses now, or MG_NO_NODE. */
static inline mg_node mg_taken(const mg_arena *arena, mg_node take) {
    const mg_node *candidates;
    const uint32_t n = mg_candidates(arena, take, &candidates);
    const uint32_t place = mg_place(arena->data[arena->operands[take].b], n);
    return place == n ? MG_NO_NODE : candidates[place];
}

/* A JOIN of some nodes, at least one, with no reference yet; MG_NO_NODE when memory is out. */
mg_node mg_arena_join(mg_arena *arena, const mg_node *candidates, uint32_t n_candidates);

/* A TAKE from a JOIN, likewise. The index must be the place of a candidate. */
mg_node mg_arena_take_one(mg_arena *arena, mg_node join, mg_node index);

#endif
