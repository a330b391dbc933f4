/* Going through a batch, strip by strip: rows of numbers in; values, gradients and sums of
 * gradients out. program/run.h is how a program is called; this is what one run of it does. */
#ifndef MG_REPLAY_H
#define MG_REPLAY_H

#include "program/workspace.h"

/* A direction, and what to do with the derivatives along it; see program/tangent.h. */
typedef struct {
    mg_workspace *dual;                                  /* of as many lanes as the replay's own */
    const double *input_direction, *parameter_direction; /* NULL stands for zeros */
    double *by_inputs;                                   /* n_rows * n_inputs, or NULL */
    double *by_parameters; /* n_parameters, or NULL: they add up in the dual, as gradients do */
    double *of_values;     /* n_rows * n_outputs of a batch that does not go back, or NULL */
} mg_tangent;

/* What can be asked of a function of the caller's: its value, the derivative by each operand, the
 * second derivative by each two of them. */
typedef enum { MG_FUNCTION_VALUE, MG_FUNCTION_SLOPES, MG_FUNCTION_SECONDS } mg_function_part;

/* One call of such a function: operand i of row r is operands[i * n_rows + r], result j is
 * results[j * n_rows + r], where the second derivative by operands i and j is number
 * i * n_operands + j. */
typedef struct {
    uint32_t function;
    mg_function_part part;
    size_t n_rows;
    const double *operands;
    double *results; /* zeros */
    int goes_on;     /* a row that has no result has nan, and is no failure */
    size_t row,
        reason; /* of a failure: the first row that has one, and the caller's number of it */
} mg_function_call;

/* The functions of a program. `call` answers MG_OK; MG_FUNCTION_FAILED; or MG_NO_MEMORY or
 * MG_CALLBACK, which end the replay at once. A function may be called again for a row that it has
 * been called for: what it gives must depend on the operands alone. */
typedef struct {
    mg_status (*call)(void *context, mg_function_call *call);
    void *context;
} mg_functions;

/* What is asked for. */
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
    double *parameter_sums;    /* n_parameters: the gradients of all rows, added up from 0; or */
    int add_to_parameters;     /* added to those that the parameters have */
    int16_t leaves_shares;     /* the only row of a batch, which does not add up: see below */
    int16_t goes_on;           /* what fails is what C makes of it, inf or nan, and no error */
    const mg_tangent *tangent; /* products with the Hessian instead of gradients, or NULL */
    const mg_functions *functions; /* where the program has some */
} mg_batch;

/* Ask for nothing yet. Field by field: compilers clear a whole record of this size with an
 * instruction that takes as long as a small program. */
static inline void mg_batch_clear(mg_batch *batch) {
    batch->rows = NULL;
    batch->row_stride = batch->column_stride = 0;
    batch->n_rows = 0;
    batch->values = NULL;
    batch->backward = 0;
    batch->output = 0;
    batch->seeds = NULL;
    batch->seed = 0.0;
    batch->input_gradients = batch->parameter_rows = batch->parameter_sums = NULL;
    batch->add_to_parameters = batch->leaves_shares = batch->goes_on = 0;
    batch->tangent = NULL;
    batch->functions = NULL;
}

/* The first row that fails, and the first entry that does in it. */
typedef struct {
    size_t row;
    uint32_t entry;
    double a, b;    /* of a caller's function, a is the reason */
    int derivative; /* 0 of the value, 1 of a slope, 2 of a second derivative */
} mg_replay_failure;

/* Who is asked, now and then between two strips, whether to go on: MG_OK, or MG_CALLBACK. */
typedef struct {
    mg_status (*ask)(void *context);
    void *context;
    double every;  /* seconds, or 0: whenever it could be */
    size_t n_done; /* nodes times rows since the clock was looked at */
    double asked_at;
} mg_watch;

/* Whether gradients of parameters add up, row after row, in the workspace. The only row of a batch
 * may leave its shares where mg_workspace_add_shares finds them: nothing is copied back and forth.
 */
static inline int mg_adds_up(const mg_batch *batch) {
    return batch->parameter_sums || (batch->add_to_parameters && !batch->leaves_shares);
}

/* MG_OK; why the first row that fails does; or what `watch` answered, if it is not NULL. The ways
 * back that the batch needs have been made. */
mg_status mg_replay(const mg_program *program, mg_workspace *workspace, const mg_batch *batch,
                    mg_watch *watch, mg_replay_failure *failure);

#endif
