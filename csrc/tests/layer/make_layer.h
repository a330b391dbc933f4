/* A layer of its own arena, called once on inputs that are leaves, for the tests of this folder.
 */
#ifndef MG_TESTS_MAKE_LAYER_H
#define MG_TESTS_MAKE_LAYER_H

#include "tests/check.h"

enum { MAX_IN = 21, MAX_ROWS = 19 };

typedef struct {
    mg_arena *arena;
    mg_layer_block *block;
    uint32_t n_in, n_rows;
    mg_node inputs[MAX_IN], root;
    mg_call *call;
} layer;

/* `numbers` are the parameters, then the inputs, whose nodes are neighbours in their order or not.
 * The root is ((n0 * n0) + n1) + ... over the neurons. */
layer make_layer(uint32_t n_in, uint32_t n_rows, mg_op activation, const double *numbers,
                 int in_order);

/* `n_nodes` leaves side by side, with a reference each. */
mg_node make_leaves(mg_arena *arena, const double *numbers, uint32_t n_nodes, int is_span);

/* A call of a whole block on `inputs`, its neurons without references. */
mg_call *make_call(mg_arena *arena, mg_layer_block *block, mg_op activation,
                   const mg_node *inputs);

void go_backward(mg_arena *arena, mg_node root);
void expand_all(mg_arena *arena, mg_node root);
void free_layer(layer *l);

#endif
