/* The parameters of a layer, side by side.
 *
 * In the scalar graph a neuron act(b + w[0]*x[0] + w[1]*x[1] + ...) is two nodes per weight. Here
 * it is a single MG_NEURON node of a call (layer/call.h), which finds its weights in a block: row
 * r holds the weights of neuron r followed by its bias, in contiguous nodes of the arena. They are
 * ordinary leaves with MG_PARAMETER set. A fused call does not count as a use of each. Instead, a
 * parameter that nobody else references stays, as a zombie, until the last call on its block is
 * gone. What a pinned handle carries must stay too, so while there are calls the block holds a
 * reference on the handle of every pinned parameter.
 *
 * Weights may be assigned after a call was made. Before the first such assignment the block's rows
 * are copied to the mg_weights that the calls so far share, so that expansion still finds what the
 * forward pass saw.
 *
 * Layouts: w_ri is row r, input i, with row stride n_in + 1.
 */
#ifndef MG_BLOCK_H
#define MG_BLOCK_H

#include "nodes/arena.h"

/* The weights as a group of calls saw them; rows is NULL while the columns still hold them. */
typedef struct {
    uint32_t refs;
    double *rows;
} mg_weights;

/* What layer/fusion.c notes at a block during a traversal. */
typedef struct {
    uint32_t n_open; /* rows that are open, with repetitions */
    uint32_t *rows;  /* how often each is */
} mg_open_rows;

struct mg_layer_block {
    mg_node base;
    uint32_t n_rows, n_in;
    uint32_t n_alive;      /* parameters that are not freed yet */
    uint32_t n_zombies;    /* parameters that only the calls keep */
    uint32_t n_pinned;     /* parameters with a pinned handle */
    struct mg_call *calls; /* the live calls, a doubly linked list */
    mg_weights *weights;   /* what calls made now share, or NULL */
    int is_span;           /* the slots are a span, to be reused together */
    mg_open_rows open;
};

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

/* How often the parameters of some block have become fewer, or a block has ended: what was found
 * out about blocks before may not be so any more. */
uint64_t mg_block_changes(void);

/* To be called before any parameter of the block is assigned. */
mg_status mg_layer_block_before_write(mg_arena *arena, mg_layer_block *block);

static inline uint32_t mg_row_length(const mg_layer_block *block) { return block->n_in + 1; }

/* The parameter of row `row` for input `i`, or with i == n_in the bias. */
static inline mg_node mg_parameter(const mg_layer_block *block, uint32_t row, uint32_t i) {
    return block->base + row * mg_row_length(block) + i;
}

/* Whether no parameter has been freed. */
static inline int mg_block_is_whole(const mg_layer_block *block) {
    return block->n_alive == block->n_rows * mg_row_length(block);
}

/* For the calls on a block. */

/* What calls made now share; NULL when memory is out. */
mg_weights *mg_current_weights(mg_layer_block *block);

/* One call fewer shares them. NULL is none. */
void mg_drop_weights(mg_layer_block *block, mg_weights *weights);

/* The rows as the sharers saw them. */
const double *mg_weight_rows(const mg_arena *arena, const mg_layer_block *block,
                             const mg_weights *weights);

/* The first call holds the handles of pinned parameters. The last one lets go of them: they are
 * the caller's then, to be dropped by mg_drop_handles when nothing depends on the block any more,
 * for that can run arbitrary code. NULL if there are none, or memory is out and they stay held
 * until the next time. */
void mg_hold_handles(mg_arena *arena, const mg_layer_block *block);
void **mg_let_go_of_handles(mg_arena *arena, const mg_layer_block *block, uint32_t *n);
void mg_drop_handles(mg_arena *arena, void **handles, uint32_t n);

/* Free what only the calls have kept, now that there are none; perhaps the block with it. */
void mg_free_zombies(mg_arena *arena, mg_layer_block *block);

/* A parameter that perhaps only calls have kept is about to be used again. */
void mg_parameter_revive(mg_arena *arena, mg_node node);

#endif
