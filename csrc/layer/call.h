/* Calls of fused layers: the neurons of one call as one record, with the bits of the scalar graph.
 *
 * A neuron is a single MG_NEURON node. What the neurons of a call share is in one mg_call: the
 * inputs, the pre-activations, and where the weights are (layer/block.h). Whoever looks inside
 * (the operands of a neuron, a second backward, a copy) makes the scalar nodes appear, by
 * layer/expand.h.
 *
 * Layouts: x_i is an input; arrays by row are indexed from the call's first row.
 */
#ifndef MG_CALL_H
#define MG_CALL_H

#include "layer/block.h"

/* What the weighted sums of a layer go through: an operation with its immediate, or MG_LEAF for
 * nothing. */
typedef struct {
    mg_op op;
    double k;
} mg_activation;

/* What layer/fusion.c notes at a call during a traversal. */
typedef struct {
    uint32_t epoch; /* the last traversal that met the call */
    uint32_t
        n_flagged;   /* inputs flagged MG_OPEN_INPUT by it; 0 unless one of the neurons is open */
    uint8_t shared;  /* that traversal had met an input elsewhere, or twice */
    uint8_t counted; /* a neuron is open and counted among those with shared inputs */
} mg_open_call;

typedef struct mg_call {
    mg_layer_block *block;
    struct mg_call *previous, *next;
    mg_weights *forward;  /* the weights at the time of the call */
    mg_weights *backward; /* the weights when the neurons propagated, or NULL */
    uint32_t first_row, n_rows, n_in;
    uint32_t n_live; /* neurons that are still part of the call */
    mg_activation activation;
    mg_open_call open;
    uint8_t duplicates;  /* an input occurs twice */
    double *x;           /* n_in, at the time of the call */
    double *pre;         /* n_rows, before the activation */
    double *inner_grad;  /* n_rows, the gradient of every inner node */
    mg_node *inputs;     /* n_in, MG_NO_NODE for plain numbers; NULL if all are */
    mg_node first_input; /* the inputs are this node and those after it, or MG_NO_NODE */
    mg_node *neurons;    /* n_rows, MG_NO_NODE for those that have left the call */
    uint8_t *propagated; /* n_rows */
} mg_call;

/* An empty call with room for its arrays; NULL when memory is out. Fill x and inputs, then hand it
 * to mg_call_forward. */
mg_call *mg_call_new(mg_layer_block *block, uint32_t first_row, uint32_t n_rows,
                     mg_activation activation, int with_values);

/* Give a call back that has no neurons yet. */
void mg_call_free(mg_call *call);

/* Note whether a node occurs twice among the inputs; the traversals' marks are used for it. */
void mg_call_find_duplicates(mg_arena *arena, mg_call *call);

/* Evaluate the rows and put a neuron each into call->neurons, without references yet. The call
 * takes a use of every input node. On failure *failed_pre is the pre-activation without a value,
 * nothing has changed, and the caller still owns the call. */
mg_status mg_call_forward(mg_arena *arena, mg_call *call, double *failed_pre);

/* Free a call that no neuron is part of any more. May call handle_drop. */
void mg_call_end(mg_arena *arena, mg_call *call);

/* One neuron is no longer part of the call; the last one takes the call with it. May run the
 * owner's code, when nothing depends on the call any more. */
static inline void mg_call_leave(mg_arena *arena, mg_call *call, uint32_t row) {
    call->neurons[row] = MG_NO_NODE;
    if (--call->n_live == 0) mg_call_end(arena, call);
}

/* Evaluate rows on `x` without a graph; the failure is as above. */
mg_status mg_call_values(const mg_arena *arena, const mg_layer_block *block, uint32_t first_row,
                         uint32_t n_rows, mg_activation activation, const double *x,
                         double *values, double *failed_pre);

/* Whether the neuron can take part in a fused sweep, or must be expanded first: it has propagated
 * before, or the weights have changed since other neurons of its call did. */
int mg_neuron_is_fresh(const mg_arena *arena, mg_node neuron);

/* Propagate `n` fresh neurons of a call, from row `high_row` (counted from the call's first)
 * down. MG_NO_MEMORY changes nothing. If an activation has no derivative at a neuron, the rows
 * above it have propagated, and *failed_pre is its pre-activation. */
mg_status mg_call_backward(mg_arena *arena, mg_call *call, uint32_t high_row, uint32_t n,
                           double *failed_pre);

/* The gradients of the neuron's parameters and inner nodes become 0. */
void mg_neuron_zero_grad(mg_arena *arena, mg_node neuron);

static inline uint32_t mg_neuron_row(const mg_arena *arena, mg_node neuron) {
    return arena->operands[neuron].a;
}

#endif
