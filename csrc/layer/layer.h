/* Fused layers: the neurons of one layer call as one record, with the bits of the scalar graph.
 *
 * In the scalar graph a neuron act(b + w[0]*x[0] + w[1]*x[1] + ...) is two nodes per weight. Here
 * it is a single MG_NEURON node. What its layer call shares is in one mg_call: the inputs, the
 * pre-activations, and where the weights are. Whoever looks inside (the operands of a neuron, a
 * second backward, a copy) makes the scalar nodes appear: mg_neuron_expand rewrites the neuron in
 * place into its scalar graph, with the data and gradients that those nodes would have had.
 *
 * Parameters of a layer are contiguous nodes of the arena, a mg_layer_block: row r holds the
 * weights of neuron r followed by its bias. They are ordinary leaves with MG_PARAMETER set; a
 * fused call does not count as a use of each. Instead, a parameter that nobody else references
 * stays, as a zombie, until the last call on its block is gone. What a pinned handle carries must
 * stay too, so while there are calls the block holds a reference on the handle of every pinned
 * parameter.
 *
 * Weights may be assigned after a call was made. Before the first such assignment the block's
 * rows are copied to the mg_weights that the calls so far share, so that expansion still finds
 * what the forward pass saw.
 *
 * Layouts: w_ri is row r, input i, with row stride n_in + 1; x_i is an input; arrays by row are
 * indexed from the call's first row.
 */
#ifndef MG_LAYER_H
#define MG_LAYER_H

#include "nodes/arena.h"

/* The weights as a group of calls saw them; rows is NULL while the columns still hold them. */
typedef struct {
    uint32_t refs;
    double *rows;
} mg_weights;

struct mg_call;

struct mg_layer_block {
    mg_node base;
    uint32_t n_rows, n_in;
    uint32_t n_alive;   /* parameters that are not freed yet */
    uint32_t n_zombies; /* parameters that only the calls keep */
    uint32_t n_pinned;  /* parameters with a pinned handle */
    uint32_t n_open;    /* rows that a traversal is inside of, see graph/order.c */
    uint32_t *open_rows;
    struct mg_call *calls; /* the live calls, a doubly linked list */
    mg_weights *weights;   /* what calls made now share, or NULL */
    int is_span;           /* the slots are a span, to be reused together */
    /* For the owner, who checks that nothing has changed since the block was laid out. */
    const void *owner;
    const void **row_owners;
    uint64_t version;
    mg_op activation; /* MG_LEAF for a linear layer */
    double activation_k;
};

typedef struct mg_call {
    mg_layer_block *block;
    struct mg_call *previous, *next;
    mg_weights *forward;  /* the weights at the time of the call */
    mg_weights *backward; /* the weights when the neurons propagated, or NULL */
    uint32_t first_row, n_rows, n_in;
    uint32_t n_live;     /* neurons that are still part of the call */
    uint32_t n_values;   /* inputs that are nodes */
    mg_op activation;    /* MG_LEAF for a linear layer */
    double activation_k; /* its immediate */
    uint32_t epoch;      /* the last traversal that met the call */
    uint32_t n_flagged;  /* inputs flagged MG_OPEN_INPUT by it */
    uint8_t shared;      /* that traversal had met an input elsewhere, or twice */
    uint8_t duplicates;  /* an input occurs twice */
    uint8_t counted;     /* ... and the call is open */
    double *x;           /* n_in, at the time of the call */
    double *pre;         /* n_rows, before the activation */
    double *inner_grad;  /* n_rows, the gradient of every inner node */
    mg_node *inputs;     /* n_in, MG_NO_NODE for plain numbers; NULL if all are */
    mg_node first_input; /* the inputs are this node and those after it, or MG_NO_NODE */
    mg_node *neurons;    /* n_rows, MG_NO_NODE for those that have left the call */
    uint8_t *propagated; /* n_rows */
} mg_call;

/* Tell the arena whom to ask about neurons and parameters. */
void mg_layer_attach(mg_arena *arena);

/* Declare that `n_rows * (n_in + 1)` leaves from `base` on are the rows of a layer. NULL when
 * memory is out. `is_span` says that they came from mg_arena_take_span. */
mg_layer_block *mg_layer_block_new(mg_arena *arena, mg_node base, uint32_t n_rows, uint32_t n_in,
                                   int is_span);

/* Make the parameters ordinary leaves again: expand every call and forget the block.
 * MG_NO_MEMORY leaves the block in place, with some calls expanded. */
mg_status mg_layer_block_dissolve(mg_arena *arena, mg_layer_block *block);

/* To be called when the handle of a parameter has been pinned, and before a pinned one goes. */
void mg_parameter_pinned(mg_arena *arena, mg_node node);
void mg_parameter_unpinned(mg_arena *arena, mg_node node);

/* Whether calls would miss the parameter's handle. */
int mg_parameter_in_use(const mg_arena *arena, mg_node node);

/* To be called before any parameter of the block is assigned. */
mg_status mg_layer_block_before_write(mg_arena *arena, mg_layer_block *block);

/* An empty call with room for its arrays; NULL when memory is out. Fill x and inputs (and
 * n_values), then hand it to mg_call_forward. */
mg_call *mg_call_new(mg_layer_block *block, uint32_t first_row, uint32_t n_rows, int with_values);
void mg_call_free(mg_call *call);

/* Note whether a node occurs twice among the inputs; the traversals' marks are used for it. */
void mg_call_find_duplicates(mg_arena *arena, mg_call *call);

/* Evaluate the rows and put a neuron each into call->neurons, without references yet. The call
 * takes a use of every input node. On failure *failed_pre is the pre-activation without a value,
 * nothing has changed, and the caller still owns the call. */
mg_status mg_call_forward(mg_arena *arena, mg_call *call, double *failed_pre);

/* Evaluate `n_rows` rows on `x` without a graph. */
mg_status mg_layer_block_values(const mg_arena *arena, const mg_layer_block *block,
                                const double *x, double *values, double *failed_pre);

/* Whether the neuron can take part in a fused sweep, or must be expanded first: it has propagated
 * before, or the weights have changed since other neurons of its call did. */
int mg_neuron_is_fresh(const mg_arena *arena, mg_node neuron);

/* Propagate `n` fresh neurons of a call, from row `high_row` (counted from the call's first)
 * down. MG_NO_MEMORY changes nothing. If an activation has no derivative at a neuron, the rows
 * above it have propagated, and *failed_pre is its pre-activation. */
mg_status mg_call_backward(mg_arena *arena, mg_call *call, uint32_t high_row, uint32_t n,
                           double *failed_pre);

/* Rewrite a neuron into its scalar graph. MG_NO_MEMORY leaves it as it was. */
mg_status mg_neuron_expand(mg_arena *arena, mg_node neuron);

/* The gradients of the neuron's parameters and inner nodes become 0. */
void mg_neuron_zero_grad(mg_arena *arena, mg_node neuron);

static inline uint32_t mg_neuron_row(const mg_arena *arena, mg_node neuron) {
    return arena->operands[neuron].a;
}

#endif
