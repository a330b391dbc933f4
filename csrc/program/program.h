/* A tape made ready to be replayed: steps of one kind in runs, sums of products in blocks.
 *
 * A program is computed over lanes: each slot of a workspace holds one number for each of several
 * rows of the batch. Value slots are written once. Adjoint slots are used again as soon as their
 * node has propagated. Steps that no input reaches are done once a call, not once a strip.
 *
 * The bits are the scalar graph's because the order of accumulation is: a gradient that several
 * steps add to receives their shares in the order of the reverse sweep, and steps are grouped
 * only where that keeps it so. Leaves with several uses have a slot for each use, added up at the
 * end, lane by lane.
 *
 * A TAKE is a step of its own kind (program/takes.h): it costs the same however many candidates it
 * has. Candidates that are leaves have no lanes but a number each, beside the weights.
 *
 * A FUNCTION is another one (program/functions.h): the caller computes it, row by row or a column
 * at a time. It is neither folded nor shared.
 *
 * A *sum* is start + w[0]*x[0] + w[1]*x[1] + ..., from left to right, whose w are leaves. Sums of
 * the same x make a block: the neurons of a layer, be it a layer or written by hand.
 */
#ifndef MG_PROGRAM_H
#define MG_PROGRAM_H

#include "base/pool.h"
#include "loops/loops.h"
#include "program/tape.h"

/* How batches of rows are computed. */
typedef enum {
    MG_EXACT_ARITHMETIC, /* the graph's bits */
    MG_FAST_ARITHMETIC,  /* fused products and sums, functions made for lanes */
    MG_SINGLE_ARITHMETIC /* the same, and sums of products in single precision */
} mg_arithmetic;

/* Adjoint slots with a meaning of their own: what a first share is added to (0.0, or -0.0, which
 * keeps the share's own sign), and where shares go that nobody wants. */
enum { MG_ADJOINT_ZERO, MG_ADJOINT_MINUS_ZERO, MG_ADJOINT_UNWANTED, MG_N_SPECIAL_ADJOINTS };

/* The operation of a run that is not one of steps, but block number `first`. */
enum { MG_SUMS_RUN = MG_N_OPS };
_Static_assert(MG_SUMS_RUN < 256, "the kind of a run is stored in one byte");

typedef struct {
    uint32_t n_rows, n_in;
    mg_slot out;          /* of the first row; the others follow */
    mg_slot *x;           /* n_in */
    mg_slot x_first;      /* where they follow each other, or MG_NO_SLOT */
    uint32_t weights;     /* offset of the first row; n_in + 1 numbers a row, start last */
    mg_slot *start;       /* n_rows, or NULL if all are in the weights */
    const uint32_t *tops; /* n_rows entries of the tape */
} mg_sums;

typedef struct {
    uint32_t n_rows, n_in;
    uint32_t first_row; /* among the rows of all blocks of the way back */
    mg_slot *x;
    mg_slot x_first;
    uint32_t *weights;      /* n_rows offsets, in the order of the sweep */
    mg_slot *g;             /* n_rows */
    mg_slot *x_to, *x_from; /* n_in; NULL if no share of x is wanted */
    mg_slot x_to_first;     /* where x_to follow each other and are all fresh, or MG_NO_SLOT */
    int x_inputs_only;      /* the x are inputs of the program, or constants */
    mg_slot *start_to, *start_from; /* n_rows, or NULL */
    mg_slot *w_to; /* n_rows * (n_in + 1) slots of uses; NULL: add up at the weights' places */
} mg_back_sums;

/* Where the value of a listed operand is: one number for each lane, or a weight's place. */
typedef struct {
    uint32_t at; /* slot, or place */
    int in_lanes;
} mg_source;

/* A FUNCTION on its way back. */
typedef struct {
    uint32_t entry, n_operands;
    mg_slot g;          /* the node's adjoint */
    mg_slot *to, *from; /* each operand's adjoint becomes `from` plus the share */
} mg_back_function;

/* A TAKE on its way back. */
typedef struct {
    uint32_t entry;
    mg_slot index;  /* value */
    mg_slot g;      /* the node's adjoint */
    mg_slot kept;   /* where it is kept for the shares of parameters, or MG_NO_SLOT */
    mg_slot *to;    /* of each candidate, or MG_ADJOINT_UNWANTED; NULL if no slot is wanted */
    mg_slot *fresh; /* those that get their first share here, or 0 */
    uint32_t n_fresh;
} mg_back_take;

/* A share of a parameter that is a candidate of some JOIN: one that it always gets, or one that
 * goes to whichever candidate is chosen. */
typedef struct {
    uint32_t parameter; /* UINT32_MAX for the latter */
    mg_slot share;
    uint32_t take; /* entry */
    mg_slot index; /* value */
} mg_chosen_use;

/* The slots whose sum, in order, is a leaf's gradient. */
typedef struct {
    uint32_t leaf; /* number of the input or parameter */
    uint32_t first, n;
} mg_uses;

/* The way back from one output. */
typedef struct {
    mg_pool pool; /* everything that follows */
    mg_step_run *runs;
    uint32_t n_runs;
    mg_back_step *steps;
    mg_back_sums *sums;
    mg_back_take *takes;
    mg_back_function *functions;
    mg_slot n_slots, root;
    mg_slot *use_slots;
    mg_uses *parameters, *inputs;
    uint32_t n_parameters, n_inputs;
    mg_chosen_use *chosen; /* in the order of the sweep: all shares of candidates */
    uint32_t n_chosen;
    mg_slot *input_slots; /* n_inputs of the program: its adjoint, or MG_NO_SLOT */
} mg_adjoint_plan;

typedef struct {
    uint32_t n_nodes, n_steps, n_sums, n_blocks, n_runs;
    uint32_t n_folded, n_shared, n_dropped;
    size_t n_bytes;
} mg_program_stats;

typedef struct {
    mg_tape tape; /* owned */
    mg_pool pool; /* everything that follows */

    mg_entry *entries;         /* the tape's, with constants folded, and what the outputs needed */
    mg_immediates *immediates; /* theirs */
    mg_source *sources;        /* of the tape's candidates, where what lists them is needed */
    mg_step_run *runs;         /* n_uniform, then n_variable */
    uint32_t n_uniform, n_variable;
    mg_step *steps;
    mg_sums *sums;
    mg_slot n_slots;
    mg_slot *outputs;

    /* Leaves that have lanes: constants and parameters. */
    mg_slot *constant_slots, *parameter_slots;
    double *constants;
    uint32_t *lane_parameters;
    uint32_t n_constants, n_lane_parameters;

    /* Numbers at the weights' places: a parameter, or (UINT32_MAX) the constant beside it. */
    uint32_t n_weights;
    uint32_t *weight_parameters;
    double *weight_constants;
    uint32_t *parameter_weight; /* where its gradient adds up, or UINT32_MAX: in its uses */
    uint32_t *loose_parameters; /* of the latter kind */
    uint32_t n_loose_parameters;

    int has_choices; /* program/choices.h */
    mg_arithmetic arithmetic;
    uint32_t largest_block; /* the most numbers that a block's rows or inputs are */
    mg_program_stats stats;

    /* The ways back from each of n_outputs, NULL where nobody has asked for it yet, and what the
     * making of them needs to know, NULL once there are all. */
    mg_adjoint_plan **adjoint_plans;
    uint32_t n_adjoint_plans;
    struct mg_schedule *schedule;

    struct mg_workspace *spare; /* workspaces that no replay uses */
} mg_program;

/* Make a program of a sound tape, which it takes over (also on failure). NULL when memory is
 * out. About O(n log n) in the entries, however many outputs there are. */
mg_program *mg_program_new(mg_tape *tape, mg_arithmetic arithmetic);
void mg_program_free(mg_program *program);

/* The way back from an output, which is made when it is first asked for: about O(n log n) in the
 * entries. NULL, with the program as it was, when memory is out. Replays that run meanwhile do
 * not mind. */
const mg_adjoint_plan *mg_program_plan(mg_program *program, uint32_t output);

#endif
