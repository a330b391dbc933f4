/* Sums of products, many at a time. */
#ifndef MG_NODES_PRODUCTS_H
#define MG_NODES_PRODUCTS_H

#include "nodes/arena.h"

/* Add the product of each pair, one after the other, to a total that is the leaf 0.0 (`first`) or
 * the last such sum, as Python's sum does: the first product of all stands before the 0.0. Room
 * for two nodes a pair has been promised. The new total, with one reference; it has taken over
 * that of the old one. */
mg_node mg_arena_add_products(mg_arena *arena, mg_node total, const mg_operands *pairs,
                              mg_node n_pairs, int first);

#endif
