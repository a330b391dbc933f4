/* Replays, strip by strip; mg_replay.h says what they are. */
#include "mg_replay.h"

#include "mg_blocks.h"
#include "mg_kernels.h"

#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
#define NO_DEPENDENCES _Pragma("GCC ivdep")
#elif defined(__clang__)
#define NO_DEPENDENCES _Pragma("clang loop vectorize(assume_safety)")
#else
#define NO_DEPENDENCES
#endif

#define MG_BUILD "mg_replay.inc"
#include "mg_builds.inc"

static const mg_replay_build *current_build(void) {
    static const mg_replay_build *const builds[] = {
#ifdef MG_X86_BUILDS
        &avx512_replay,
        &avx2_replay,
#endif
        &baseline_replay,
    };
    const char *name = mg_kernels_current()->name;
    size_t i = 0;
    while (strcmp(builds[i]->name, name) != 0) i++;
    return builds[i];
}

/* Put rows into the lanes of the input slots; lanes beyond the last row repeat it. */
static void load_rows(mg_strip *strip) {
    const mg_batch *batch = strip->batch;
    const size_t lanes = strip->workspace->lanes, n_rows = strip->n_rows;
    const ptrdiff_t row_stride = batch->row_stride;
    const char *const rows = batch->rows + (ptrdiff_t)strip->first_row * row_stride;
    for (uint32_t i = 0; i < strip->program->tape.n_inputs; i++) {
        double *const values = strip->workspace->values + i * lanes;
        const char *number = rows + (ptrdiff_t)i * batch->column_stride;
        for (size_t l = 0; l < n_rows; l++, number += row_stride)
            memcpy(&values[l], number, sizeof(double));
        for (size_t l = n_rows; l < lanes; l++) values[l] = values[n_rows - 1];
    }
}

static void give_values(const mg_strip *strip) {
    const mg_program *program = strip->program;
    const size_t lanes = strip->workspace->lanes, n_rows = strip->n_rows;
    const size_t n_outputs = program->tape.n_outputs;
    for (size_t o = 0; o < n_outputs; o++) {
        const double *values = strip->workspace->values + program->outputs[o] * lanes;
        double *out = strip->batch->values + strip->first_row * n_outputs + o;
        for (size_t l = 0; l < n_rows; l++, out += n_outputs) *out = values[l];
    }
}

static void seed(const mg_strip *strip, const mg_sweep *sweep) {
    const mg_batch *batch = strip->batch;
    const size_t lanes = strip->workspace->lanes;
    double *root = strip->workspace->adjoints + sweep->root * lanes;
    for (size_t l = 0; l < lanes; l++) {
        root[l] = 0.0;
        if (l < strip->n_rows)
            root[l] = batch->seeds ? batch->seeds[strip->first_row + l] : batch->seed;
    }
}

/* One row's gradient of a leaf that has several uses, on top of `start`. */
static double add_uses(const mg_strip *strip, const mg_sweep *sweep, const mg_uses *uses,
                       size_t lane, double start) {
    const mg_slot *slots = sweep->use_slots + uses->first;
    const double *adjoints = strip->workspace->adjoints + lane;
    for (uint32_t u = 0; u < uses->n; u++) start += adjoints[slots[u] * strip->workspace->lanes];
    return start;
}

static void give_input_gradients(const mg_strip *strip, const mg_sweep *sweep) {
    const mg_workspace *workspace = strip->workspace;
    const uint32_t n_inputs = strip->program->tape.n_inputs;
    double *out = strip->batch->input_gradients + strip->first_row * n_inputs;
    for (size_t l = 0; l < strip->n_rows; l++) {
        for (uint32_t i = 0; i < n_inputs; i++) {
            const mg_slot slot = sweep->input_slots[i];
            out[l * n_inputs + i] =
                slot == MG_NO_SLOT ? 0.0 : workspace->adjoints[slot * workspace->lanes + l];
        }
    }
    for (uint32_t i = 0; i < sweep->n_inputs; i++)
        for (size_t l = 0; l < strip->n_rows; l++)
            out[l * n_inputs + sweep->inputs[i].leaf] =
                add_uses(strip, sweep, &sweep->inputs[i], l, 0.0);
}

static void give_parameter_gradients(const mg_strip *strip, const mg_sweep *sweep) {
    const mg_batch *batch = strip->batch;
    const size_t n_parameters = strip->program->tape.n_parameters;
    for (uint32_t i = 0; i < sweep->n_parameters; i++) {
        const mg_uses *uses = &sweep->parameters[i];
        for (size_t l = 0; l < strip->n_rows; l++) {
            if (batch->add_up)
                strip->workspace->sums[uses->leaf] =
                    add_uses(strip, sweep, uses, l, strip->workspace->sums[uses->leaf]);
            if (batch->parameter_rows)
                batch->parameter_rows[(strip->first_row + l) * n_parameters + uses->leaf] =
                    add_uses(strip, sweep, uses, l, 0.0);
        }
    }
}

static mg_status run_strip(mg_strip *strip) {
    const mg_program *program = strip->program;
    const mg_replay_build *build = current_build();
    const int first = strip->first_row == 0;
    strip->failure.in_sweep = 0;
    mg_status st = MG_OK;
    load_rows(strip);
    if (first) st = build->forward(strip, program->runs, program->n_uniform);
    if (st == MG_OK)
        st = build->forward(strip, program->runs + program->n_uniform, program->n_variable);
    if (st != MG_OK) return st;
    if (strip->batch->values) give_values(strip);
    if (!strip->batch->backward) return MG_OK;
    const mg_sweep *sweep = &program->sweeps[strip->batch->output];
    seed(strip, sweep);
    strip->failure.in_sweep = 1;
    st = build->backward(strip, sweep);
    if (st != MG_OK) return st;
    if (strip->batch->input_gradients) give_input_gradients(strip, sweep);
    give_parameter_gradients(strip, sweep);
    return MG_OK;
}

/* Set the numbers that stay the same for all strips. */
static void fill_lanes(mg_workspace *workspace, const mg_program *program, size_t lanes) {
    workspace->lanes = lanes;
    for (uint32_t i = 0; i < program->n_constants; i++)
        for (size_t l = 0; l < lanes; l++)
            workspace->values[program->constant_slots[i] * lanes + l] = program->constants[i];
    for (uint32_t i = 0; i < program->n_lane_parameters; i++)
        for (size_t l = 0; l < lanes; l++)
            workspace->values[program->parameter_slots[i] * lanes + l] = workspace->parameters[i];
    for (size_t l = 0; l < lanes; l++) {
        workspace->adjoints[MG_ADJOINT_ZERO * lanes + l] = 0.0;
        workspace->adjoints[MG_ADJOINT_MINUS_ZERO * lanes + l] = -0.0;
    }
}

/* What the parameters were when the workspace was loaded. */
static void collect_parameters(const mg_program *program, const mg_workspace *workspace,
                               double *parameters) {
    for (uint32_t i = 0; i < program->n_weights; i++)
        if (program->weight_parameters[i] != UINT32_MAX)
            parameters[program->weight_parameters[i]] = workspace->weights[i];
    for (uint32_t i = 0; i < program->n_lane_parameters; i++)
        parameters[program->lane_parameters[i]] = workspace->parameters[i];
}

/* Compute one row in the order of the graph, to find what fails first in it. */
static mg_status fail_forward(const mg_strip *strip, size_t row, const double *parameters,
                              double *values, mg_replay_failure *failure) {
    const mg_tape *tape = &strip->program->tape;
    const mg_batch *batch = strip->batch;
    const char *numbers = batch->rows + (ptrdiff_t)row * batch->row_stride;
    for (uint32_t i = 0; i < tape->n_entries; i++) {
        const mg_entry *e = &tape->entries[i];
        if (e->op == MG_LEAF && e->leaf == MG_INPUT) {
            memcpy(&values[i], numbers + (ptrdiff_t)i * batch->column_stride, sizeof *values);
        } else if (e->op == MG_LEAF) {
            values[i] = e->leaf == MG_FREE ? parameters[e->a] : e->k;
        } else {
            const double a = values[e->a], b = e->arity == 2 ? values[e->b] : e->k;
            mg_status st = MG_OK;
            values[i] = mg_op_value((mg_op)e->op, a, b, e->k, e->h, &st);
            if (st != MG_OK) {
                *failure = (mg_replay_failure){row, i, a, b, 0};
                return st;
            }
        }
    }
    return MG_OK;
}

/* A strip has failed: go through its rows one by one for the first that does. */
static mg_status find_failure(mg_strip *strip, mg_replay_failure *failure) {
    const mg_program *program = strip->program;
    const mg_tape *tape = &program->tape;
    double *parameters =
        mg_calloc((size_t)tape->n_parameters + tape->n_entries, sizeof *parameters);
    if (!parameters) return MG_NO_MEMORY;
    collect_parameters(program, strip->workspace, parameters);
    mg_status st = MG_OK;
    mg_strip row = *strip;
    fill_lanes(strip->workspace, program, 1);
    row.n_rows = 1;
    if (strip->first_row > 0)
        st = current_build()->forward(&row, program->runs, program->n_uniform);
    for (size_t r = 0; r < strip->n_rows && st == MG_OK; r++) {
        row.first_row = strip->first_row + r;
        st = fail_forward(strip, row.first_row, parameters, parameters + tape->n_parameters,
                          failure);
        if (st == MG_OK) {
            st = run_strip(&row);
            *failure = row.failure;
            failure->row = row.first_row;
        }
    }
    mg_free(parameters);
    return st;
}

mg_status mg_replay(const mg_program *program, mg_workspace *workspace, const mg_batch *batch,
                    mg_replay_failure *failure) {
    const size_t lanes = workspace->lanes;
    mg_strip strip = {.program = program,
                      .workspace = workspace,
                      .batch = batch,
                      .tiles = mg_tiles_current(program->fast)};
    fill_lanes(workspace, program, lanes);
    for (size_t row = 0; row < batch->n_rows; row += lanes) {
        strip.first_row = row;
        strip.n_rows = batch->n_rows - row < lanes ? batch->n_rows - row : lanes;
        if (run_strip(&strip) != MG_OK) {
            mg_status st = find_failure(&strip, failure);
            workspace->lanes = lanes;
            return st;
        }
    }
    return MG_OK;
}
