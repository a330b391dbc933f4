/* The policy of a call; program/run.h says what it is. */
#include "program/run.h"

/* Nodes times rows from which on giving up the lock is worth it. */
#define LONG_REPLAY 2000

/* The tries of a call: others may write between reading and writing back in the first; only the
 * host's own check can in the second; nothing can in the last, which asks nobody, unless the
 * program has functions of the caller's. */
enum { UNLOCKED, LOCKED, ALONE, N_TRIES };

static mg_status ask_locked(void *context) {
    const mg_host *host = context;
    return host->check(host->context);
}

static mg_status ask_unlocked(void *context) {
    const mg_host *host = context;
    host->lock(host->context);
    const mg_status st = host->check(host->context);
    host->unlock(host->context);
    return st;
}

static mg_status replay(const mg_program *program, mg_workspace *workspace, const mg_batch *batch,
                        mg_host *host, int try, mg_replay_failure *failure) {
    const int unlocked = try == UNLOCKED && program->tape.n_functions == 0 &&
                         batch->n_rows * program->stats.n_nodes >= LONG_REPLAY;
    host->watch.ask = unlocked ? ask_unlocked : ask_locked;
    host->watch.context = host;
    if (unlocked) host->unlock(host->context);
    const mg_status st =
        mg_replay(program, workspace, batch, try == ALONE ? NULL : &host->watch, failure);
    if (unlocked) host->lock(host->context);
    return st;
}

/* Read, replay, write back. *done is 0 where the gradients are not those that were read. */
static mg_status attempt(const mg_program *program, mg_workspace *workspace, mg_arena *arena,
                         const mg_batch *batch, mg_host *host, int try, int *done,
                         mg_replay_failure *failure) {
    const int adds_up = mg_adds_up(batch);
    const mg_binding *binding = host->bind(host->context);
    *done = 1;
    if (!binding) return MG_NO_MEMORY;
    mg_workspace_load(workspace, program, binding, arena, adds_up && batch->add_to_parameters);
    if (batch->parameter_sums) mg_workspace_zero_gradients(workspace, program);
    const mg_status st = replay(program, workspace, batch, host, try, failure);
    if (st != MG_OK) return st;
    if (batch->parameter_sums) mg_workspace_gradients(workspace, program, batch->parameter_sums);
    if (!batch->add_to_parameters) return MG_OK;
    /* The parameters may have moved. */
    binding = host->bind(host->context);
    if (!binding) return MG_NO_MEMORY;
    if (adds_up)
        *done = mg_workspace_store(workspace, program, binding, arena);
    else
        mg_workspace_add_shares(workspace, program, batch->output, binding, arena);
    return MG_OK;
}

mg_status mg_program_run(mg_program *program, mg_arena *arena, const mg_batch *asked,
                         mg_host *host, mg_replay_failure *failure) {
    mg_batch one;
    const mg_batch *batch = asked;
    if (batch->n_rows == 0) return MG_OK;
    /* A row that chooses for itself may have other shares than those in the lanes. */
    if (batch->n_rows == 1 && batch->add_to_parameters && !program->has_choices) {
        one = *asked;
        one.leaves_shares = 1;
        batch = &one;
    }
    if (batch->backward && !mg_program_plan(program, batch->output)) return MG_NO_MEMORY;
    mg_workspace *workspace = mg_workspace_take(
        program, batch->output, mg_lanes_for(program, batch->output, batch->n_rows));
    if (!workspace) return MG_NO_MEMORY;
    mg_status st = MG_OK;
    int done = 0;
    for (int try = UNLOCKED; st == MG_OK && !done; try++)
        st = try == N_TRIES ? MG_INTERFERENCE
                            : attempt(program, workspace, arena, batch, host, try, &done, failure);
    mg_workspace_give(program, workspace);
    return st;
}

/* One direction, for all rows at once. */
static mg_status run_direction(const mg_program *program, mg_workspace *workspace,
                               const mg_batch *batch, mg_tangent *tangent, mg_host *host,
                               mg_replay_failure *failure) {
    mg_batch one = *batch;
    one.tangent = tangent;
    const mg_status st = replay(program, workspace, &one, host, UNLOCKED, failure);
    if (st == MG_OK && tangent->by_parameters)
        mg_workspace_gradients(tangent->dual, program, tangent->by_parameters);
    return st;
}

static mg_status run_directions(const mg_program *program, mg_workspace *workspace,
                                mg_workspace *dual, const mg_batch *batch,
                                const mg_directions *directions, mg_host *host,
                                mg_replay_failure *failure) {
    const size_t n_inputs = program->tape.n_inputs, n_parameters = program->tape.n_parameters;
    const int row_by_row = directions->input_products && directions->parameter_products;
    size_t n_rows = batch->n_rows; /* those that have not failed along an earlier direction */
    double *input_products = directions->input_products;
    double *parameter_products = directions->parameter_products;
    double *output_products = directions->output_products;
    mg_status found = MG_OK;
    for (size_t d = 0; n_rows > 0 && d < directions->n; d++) {
        mg_tangent tangent = {.dual = dual};
        if (directions->by_inputs) tangent.input_direction = directions->by_inputs + d * n_inputs;
        if (directions->by_parameters)
            tangent.parameter_direction = directions->by_parameters + d * n_parameters;
        for (size_t row = 0, n_at_once = row_by_row ? 1 : n_rows; row < n_rows; row += n_at_once) {
            mg_batch part = *batch;
            mg_replay_failure first;
            part.rows += (ptrdiff_t)row * batch->row_stride;
            part.n_rows = n_at_once;
            if (batch->seeds) part.seeds += row;
            tangent.by_inputs = input_products;
            tangent.by_parameters = parameter_products;
            tangent.of_values = output_products;
            const mg_status st = run_direction(program, workspace, &part, &tangent, host, &first);
            if (st == MG_NO_MEMORY || st == MG_CALLBACK) return st;
            if (st != MG_OK) { /* an earlier row may yet fail along another direction */
                found = st;
                *failure = first;
                n_rows = failure->row += row;
                break;
            }
            if (input_products) input_products += n_at_once * n_inputs;
            if (parameter_products) parameter_products += n_parameters;
            if (output_products) output_products += n_at_once * program->tape.n_outputs;
        }
    }
    return found;
}

mg_status mg_program_run_along(mg_program *program, mg_arena *arena, const mg_batch *batch,
                               const mg_directions *directions, mg_host *host,
                               mg_replay_failure *failure) {
    if (batch->n_rows == 0 || directions->n == 0) return MG_OK;
    if (!mg_program_plan(program, batch->output)) return MG_NO_MEMORY;
    /* The loops over derivatives want several lanes. */
    const size_t n_rows = batch->n_rows < 2 ? 2 : batch->n_rows;
    const size_t lanes = mg_lanes_for(program, batch->output, n_rows);
    mg_workspace *workspace = mg_workspace_take(program, batch->output, lanes);
    mg_workspace *dual = mg_workspace_take(program, batch->output, lanes);
    const mg_binding *binding = host->bind(host->context);
    mg_status st = MG_NO_MEMORY;
    if (workspace && dual && binding) {
        mg_workspace_load(workspace, program, binding, arena, 0);
        st = run_directions(program, workspace, dual, batch, directions, host, failure);
    }
    if (dual) mg_workspace_give(program, dual);
    if (workspace) mg_workspace_give(program, workspace);
    return st;
}
