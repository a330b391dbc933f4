/* The reverse sweep: from the gradient of a root to the gradients of everything under it. */
#ifndef MG_BACKWARD_H
#define MG_BACKWARD_H

#include "graph/order.h"

/* Called in its place in the order for a node with a hook. May build and free nodes, and may
 * start another sweep. Anything but MG_OK ends the sweep with that status. */
typedef mg_status (*mg_custom_backward)(void *context, mg_node node);

/* Where a sweep stopped, for the error message. */
typedef struct {
    mg_node node;
    double a, b; /* operand values at that moment */
} mg_failure;

/* Add every operand's share of grad[node]. Leaves and custom nodes have none to give here. On
 * failure the shares of earlier operands have been added, as in the reference. */
mg_status mg_backward_node(mg_arena *arena, mg_node node, mg_failure *failure);

/* Propagate through the whole order, last node first. The caller has set the root's gradient and
 * keeps the root alive. */
mg_status mg_backward_sweep(mg_arena *arena, const mg_order *order, mg_custom_backward custom,
                            void *context, mg_failure *failure);

/* The derivative of `node` by its operand number `index`; of a TAKE, by one of the candidates or,
 * behind them, the index. */
double mg_local_gradient(const mg_arena *arena, mg_node node, uint32_t index, mg_status *st);

#endif
