/* Calling a program: the parameters are read, a replay runs, gradients are written back, all or
 * nothing.
 *
 * The arena, the program and its workspaces are guarded by a lock of the caller's. A long replay
 * gives it up, as it works on copies. What others have done to the gradients meanwhile is found at
 * the end: the call then starts over, and keeps the lock, so that it ends however often they do.
 *
 * A program with functions of the caller's keeps the lock, as these want it. What they do to the
 * gradients is found in the same way; MG_INTERFERENCE says that they do it every time. */
#ifndef MG_RUN_H
#define MG_RUN_H

#include "program/replay.h"

/* What a run needs of its caller, whose lock it holds at first and at last. */
typedef struct {
    void *context;
    /* With the lock: where the parameters are now. NULL when memory is out. */
    const mg_binding *(*bind)(void *context);
    void (*unlock)(void *context);
    void (*lock)(void *context);
    /* With the lock, every now and then: MG_OK to go on, MG_CALLBACK to give up. Whatever it does
     * to the parameters counts as done by others. */
    mg_status (*check)(void *context);

    /* How often. One host for many short runs is asked as often as for a long one. */
    mg_watch watch;
} mg_host;

/* Directions for products with the Hessian, for each what mg_tangent says. */
typedef struct {
    size_t n;
    const double *by_inputs, *by_parameters; /* n * n_inputs, n * n_parameters, or NULL */
    /* Every row has a product of its own, n * n_rows * n_inputs and n * n_rows * n_parameters;
     * but the products by parameters are summed over the rows, n * n_parameters, where there are
     * none by inputs. NULL for those that are not wanted. */
    double *input_products, *parameter_products;
    /* Instead of products with the Hessian, the derivatives of all outputs, n * n_rows *
     * n_outputs; the batch does not go back then. */
    double *output_products;
} mg_directions;

/* MG_OK; MG_NO_MEMORY; why the first row that fails does; or MG_CALLBACK, as the host said. No
 * gradient of a parameter has been touched then. `batch` wants no tangent. */
mg_status mg_program_run(mg_program *program, mg_arena *arena, const mg_batch *batch,
                         mg_host *host, mg_replay_failure *failure);

/* Products with the Hessian of the batch's output, all at the same parameters. Writes what the
 * directions say, and nothing else that `batch` could want. */
mg_status mg_program_run_along(mg_program *program, mg_arena *arena, const mg_batch *batch,
                               const mg_directions *directions, mg_host *host,
                               mg_replay_failure *failure);

#endif
