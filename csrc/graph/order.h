/* Topological order: depth-first post-order from a root, operands left to right, with an
 * explicit stack. Reversed, it is the order in which gradients accumulate, and so part of the
 * promise that they have the reference's bits. */
#ifndef MG_ORDER_H
#define MG_ORDER_H

#include "layer/expand.h"
#include "layer/fusion.h"

typedef struct {
    mg_node node;
    uint32_t next; /* index of the operand to look at next */
} mg_order_frame;

/* A workspace that can be used again and again. Start from {0}. */
typedef struct {
    mg_node *nodes;
    size_t n_nodes, nodes_cap;
    mg_order_frame *stack;
    size_t stack_cap;
} mg_order;

typedef enum {
    MG_ORDER_ACTIVE, /* for backward: leave out leaves, which have nothing to propagate */
    MG_ORDER_ALL,    /* every node under the root, neurons expanded */
    MG_ORDER_FUSED,  /* every node but parameters of neurons, which stay as they are */
} mg_order_scope;

/* Fill order->nodes, operands before users and the root last (a leaf root is always included).
 * For MG_ORDER_ACTIVE, a neuron stays fused where firing it at its own place in the order gives
 * the bits of its scalar graph, and is expanded where it would not.
 * O(nodes + uses). MG_NO_MEMORY leaves a workspace that can be used again. */
mg_status mg_order_build(mg_arena *arena, mg_node root, mg_order_scope scope, mg_order *order);

/* Give back the buffers. */
void mg_order_free(mg_order *order);

#endif
