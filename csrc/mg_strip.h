/* What is asked of a replay, and the part of it that is in the lanes at a time. */
#ifndef MG_STRIP_H
#define MG_STRIP_H

#include "mg_tiles.h"
#include "mg_workspace.h"

typedef struct {
    const char *rows;                    /* of doubles */
    ptrdiff_t row_stride, column_stride; /* in bytes */
    size_t n_rows;
    double *values; /* n_rows * n_outputs */
    int backward;
    uint32_t output;         /* where the sweep starts */
    const double *seeds;     /* its gradient for each row, or NULL: */
    double seed;             /* the same for all */
    double *input_gradients; /* n_rows * n_inputs, or NULL */
    double *parameter_rows;  /* n_rows * n_parameters of zeros, or NULL */
    int add_up;              /* sum the parameters' gradients in the workspace */
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
    const mg_kernels *kernels;
    const mg_tiles *tiles;
    size_t first_row, n_rows;
    mg_replay_failure failure;
} mg_strip;

#endif
