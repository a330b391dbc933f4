/* What is asked of a replay, and the part of it that is in the lanes at a time. */
#ifndef MG_STRIP_H
#define MG_STRIP_H

#include "program/workspace.h"

/* A direction, and what to do with the derivatives along it; see program/tangent.h. */
typedef struct {
    mg_workspace *dual;                                  /* of as many lanes as the replay's own */
    const double *input_direction, *parameter_direction; /* NULL stands for zeros */
    double *by_inputs;                                   /* n_rows * n_inputs, or NULL */
    int by_parameters;                                   /* add up in the dual, as gradients do */
} mg_tangent;

typedef struct {
    const char *rows;                    /* of doubles */
    ptrdiff_t row_stride, column_stride; /* in bytes */
    size_t n_rows;
    double *values; /* n_rows * n_outputs */
    int backward;
    uint32_t output;           /* where the sweep starts */
    const double *seeds;       /* its gradient for each row, or NULL: */
    double seed;               /* the same for all */
    double *input_gradients;   /* n_rows * n_inputs, or NULL */
    double *parameter_rows;    /* n_rows * n_parameters of zeros, or NULL */
    int add_up;                /* sum the parameters' gradients in the workspace */
    int keep_shares;           /* of the only row, for mg_workspace_add_shares */
    const mg_tangent *tangent; /* products with the Hessian instead of gradients, or NULL */
} mg_batch;

typedef struct {
    size_t row;
    uint32_t entry;
    double a, b;
    int in_sweep;
} mg_replay_failure;

/* The part of a batch that is in the lanes. */
typedef struct {
    const mg_program *program;
    mg_workspace *workspace;
    const mg_batch *batch;
    const mg_tile_loops *tiles;
    const mg_step_loops *steps;
    mg_lanes lanes; /* of the workspace, for loops over steps */
    size_t first_row, n_rows;
    mg_replay_failure failure;
    mg_status tangent_status; /* what failed there, if it was in the derivatives */
} mg_strip;

#endif
