/* What one replay needs for itself: the slots' lanes, the parameters as they were when it began,
 * the gradients that add up.
 *
 * Only mg_workspace_load and mg_workspace_store touch the arena. Between the two a workspace is
 * its caller's alone, and replays on different workspaces may run at once.
 */
#ifndef MG_WORKSPACE_H
#define MG_WORKSPACE_H

#include "program/program.h"

/* Where a program's parameters are in the arena, until the next time that one moves. */
typedef struct {
    mg_node *nodes; /* n_parameters */
    struct mg_bound_span *spans;
    uint32_t n_spans;
} mg_binding;

/* Neighbours in the arena that are neighbours among the weights. */
struct mg_bound_span {
    mg_node node;
    uint32_t place, n;
    int adds_up; /* their gradients add up at their places */
};

/* Take over `nodes`, of n_parameters; MG_NO_MEMORY leaves the binding as it was. */
mg_status mg_binding_set(mg_binding *binding, const mg_program *program, mg_node *nodes);
void mg_binding_free(mg_binding *binding);

typedef struct mg_workspace {
    struct mg_workspace *next;                      /* of those that are not in use */
    size_t lanes;                                   /* 1, or a multiple of 8 */
    size_t n_adjoints;                              /* slots */
    double *values, *adjoints;                      /* slots times lanes */
    double *weights, *gradients, *gradients_before; /* at the weights' places */
    double *sums, *sums_before; /* of parameters whose gradients add up from uses */
    double *parameters;         /* of those with lanes */
    double *row_gradients;      /* of the sums, where one row keeps its shares */
    double *scratch;            /* of a block */
    double *tile_room;          /* of its tiles */
} mg_workspace;

/* How many lanes to use for a batch. */
size_t mg_lanes_for(const mg_program *program, uint32_t output, size_t n_rows);

/* A workspace that nobody uses, with room for the way back from an output if that has been made;
 * give it back. NULL when memory is out. The program is the caller's alone meanwhile. */
mg_workspace *mg_workspace_take(mg_program *program, uint32_t output, size_t lanes);
void mg_workspace_give(mg_program *program, mg_workspace *workspace);
void mg_workspaces_free(mg_program *program);

/* Read the parameters, and their gradients if `with_gradients`. */
void mg_workspace_load(mg_workspace *workspace, const mg_program *program,
                       const mg_binding *binding, const mg_arena *arena, int with_gradients);

/* Let the gradients add up from 0 instead, and read what they have come to. */
void mg_workspace_zero_gradients(mg_workspace *workspace, const mg_program *program);
void mg_workspace_gradients(const mg_workspace *workspace, const mg_program *program,
                            double *gradients);

/* Write the gradients back, unless somebody has assigned one since they were read: then nothing
 * is written and the result is 0. */
int mg_workspace_store(const mg_workspace *workspace, const mg_program *program,
                       const mg_binding *binding, mg_arena *arena);

/* A replay of one row, which kept its shares: add them to the gradients as they are now. */
void mg_workspace_add_shares(const mg_workspace *workspace, const mg_program *program,
                             uint32_t output, const mg_binding *binding, mg_arena *arena);

#endif
