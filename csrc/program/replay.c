/* Replays, strip by strip; program/replay.h says what they are. */
#include "program/replay.h"

#include "base/inline.h"
#include "program/choices.h"
#include "program/diagnose.h"
#include "program/steps.h"
#include "program/takes.h"
#include "program/tangent.h"

#include <string.h>
#include <time.h>

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

static void seed(const mg_strip *strip, const mg_adjoint_plan *plan) {
    const mg_batch *batch = strip->batch;
    const size_t lanes = strip->workspace->lanes;
    double *root = strip->workspace->adjoints + plan->root * lanes;
    for (size_t l = 0; l < lanes; l++) {
        root[l] = 0.0;
        if (l < strip->n_rows)
            root[l] = batch->seeds ? batch->seeds[strip->first_row + l] : batch->seed;
    }
}

/* One row's gradient of a leaf that has several uses, on top of `start`. */
static double add_uses(const mg_strip *strip, const mg_adjoint_plan *plan, const mg_uses *uses,
                       size_t lane, double start) {
    const mg_slot *slots = plan->use_slots + uses->first;
    const double *adjoints = strip->workspace->adjoints + lane;
    for (uint32_t u = 0; u < uses->n; u++) start += adjoints[slots[u] * strip->workspace->lanes];
    return start;
}

static void give_input_gradients(const mg_strip *strip, const mg_adjoint_plan *plan) {
    const mg_workspace *workspace = strip->workspace;
    const uint32_t n_inputs = strip->program->tape.n_inputs;
    double *out = strip->batch->input_gradients + strip->first_row * n_inputs;
    for (size_t l = 0; l < strip->n_rows; l++) {
        for (uint32_t i = 0; i < n_inputs; i++) {
            const mg_slot slot = plan->input_slots[i];
            out[l * n_inputs + i] =
                slot == MG_NO_SLOT ? 0.0 : workspace->adjoints[slot * workspace->lanes + l];
        }
    }
    for (uint32_t i = 0; i < plan->n_inputs; i++)
        for (size_t l = 0; l < strip->n_rows; l++)
            out[l * n_inputs + plan->inputs[i].leaf] =
                add_uses(strip, plan, &plan->inputs[i], l, 0.0);
}

/* Candidates get the shares of a row one after the other, in the order of the sweep. The indices
 * are those of `values`. */
static void give_chosen_shares(const mg_strip *strip, const mg_adjoint_plan *plan,
                               const double *values) {
    const mg_program *program = strip->program;
    const mg_batch *batch = strip->batch;
    const size_t lanes = strip->workspace->lanes, n_parameters = program->tape.n_parameters;
    for (size_t l = 0; l < strip->n_rows; l++) {
        double *row = batch->parameter_rows;
        if (row) row += (strip->first_row + l) * n_parameters;
        for (uint32_t c = 0; c < plan->n_chosen; c++) {
            const mg_chosen_use *use = &plan->chosen[c];
            uint32_t parameter = use->parameter;
            if (parameter == UINT32_MAX)
                parameter =
                    mg_chosen_parameter(program, use->take, values[use->index * lanes + l]);
            if (parameter == UINT32_MAX) continue;
            const double share = strip->workspace->adjoints[use->share * lanes + l];
            if (mg_adds_up(batch)) strip->workspace->sums[parameter] += share;
            if (row) row[parameter] += share;
        }
    }
}

static void give_parameter_gradients(const mg_strip *strip, const mg_adjoint_plan *plan,
                                     const double *values) {
    const mg_batch *batch = strip->batch;
    const size_t n_parameters = strip->program->tape.n_parameters;
    for (uint32_t i = 0; i < plan->n_parameters; i++) {
        const mg_uses *uses = &plan->parameters[i];
        for (size_t l = 0; l < strip->n_rows; l++) {
            if (mg_adds_up(batch))
                strip->workspace->sums[uses->leaf] =
                    add_uses(strip, plan, uses, l, strip->workspace->sums[uses->leaf]);
            if (batch->parameter_rows)
                batch->parameter_rows[(strip->first_row + l) * n_parameters + uses->leaf] =
                    add_uses(strip, plan, uses, l, 0.0);
        }
    }
    if (mg_adds_up(batch) || batch->parameter_rows) give_chosen_shares(strip, plan, values);
}

/* The derivatives of the gradients, given as those are. */
static mg_status run_tangent(mg_strip *strip, const mg_adjoint_plan *plan) {
    const mg_tangent *tangent = strip->batch->tangent;
    const mg_batch batch = {.input_gradients = tangent->by_inputs,
                            .parameter_sums = tangent->by_parameters};
    const mg_status st = mg_tangent_strip(strip, plan);
    if (st != MG_OK) return st;
    mg_strip dual = *strip;
    dual.workspace = tangent->dual;
    dual.batch = &batch;
    if (batch.input_gradients) give_input_gradients(&dual, plan);
    if (batch.parameter_sums) give_parameter_gradients(&dual, plan, strip->workspace->values);
    return MG_OK;
}

/* The derivatives of the outputs, given as those are. */
static mg_status run_tangent_forward(mg_strip *strip) {
    const mg_tangent *tangent = strip->batch->tangent;
    const mg_batch batch = {.values = tangent->of_values};
    const mg_status st = mg_tangent_forward(strip);
    if (st != MG_OK) return st;
    mg_strip dual = *strip;
    dual.workspace = tangent->dual;
    dual.batch = &batch;
    give_values(&dual);
    return MG_OK;
}

static mg_status run_values(mg_strip *strip) {
    const mg_program *program = strip->program;
    mg_status st = MG_OK;
    if (!strip->uniform_values) st = mg_steps_forward(strip, program->runs, program->n_uniform);
    strip->uniform_values = st == MG_OK;
    if (st == MG_OK)
        st = mg_steps_forward(strip, program->runs + program->n_uniform, program->n_variable);
    if (st == MG_OK && strip->batch->values) give_values(strip);
    return st;
}

static mg_status run_strip(mg_strip *strip) {
    const mg_program *program = strip->program;
    strip->failure.derivative = 0;
    load_rows(strip);
    mg_status st = run_values(strip);
    if (st != MG_OK) return st;
    if (!strip->batch->backward) return strip->batch->tangent ? run_tangent_forward(strip) : MG_OK;
    const mg_adjoint_plan *plan = program->adjoint_plans[strip->batch->output];
    seed(strip, plan);
    if (strip->batch->tangent) return run_tangent(strip, plan);
    strip->failure.derivative = 1;
    st = mg_steps_backward(strip, plan);
    if (st != MG_OK) return st;
    if (strip->batch->input_gradients) give_input_gradients(strip, plan);
    give_parameter_gradients(strip, plan, strip->workspace->values);
    return MG_OK;
}

/* Set the numbers that stay the same for all strips. */
static void fill_lanes(mg_workspace *workspace, const mg_program *program) {
    const size_t lanes = workspace->lanes;
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

/* How many nodes times rows are done between two looks at the clock. */
#define LOOK_AFTER (1 << 16)

static double seconds(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static mg_status ask(mg_watch *watch, size_t n_done) {
    watch->n_done += n_done;
    if (watch->n_done < LOOK_AFTER) return MG_OK;
    watch->n_done = 0;
    const double now = seconds();
    if (watch->asked_at == 0.0) watch->asked_at = now;
    /* After the clock was set back, too. */
    const int is_due = now - watch->asked_at >= watch->every || now < watch->asked_at;
    if (!is_due) return MG_OK;
    watch->asked_at = now;
    return watch->ask(watch->context);
}

/* Take the loops that a program's arithmetic wants from the instruction set in use. */
static void choose_loops(mg_strip *strip) {
    const mg_loops *const loops = mg_loops_current();
    const mg_fast_loops *const fast = loops->fast;
    const mg_arithmetic arithmetic = strip->program->arithmetic;
    const int single_lane = strip->workspace->lanes == 1;
    if (arithmetic == MG_EXACT_ARITHMETIC) {
        strip->tiles = &loops->tiles;
        strip->steps = single_lane ? &mg_single_lane : loops->steps;
    } else {
        strip->tiles = arithmetic == MG_SINGLE_ARITHMETIC ? &fast->single_tiles : &fast->tiles;
        strip->steps = single_lane ? fast->single_lane : fast->steps;
    }
}

static mg_status overlook(void *context, uint32_t entry, mg_slot a, mg_slot b, mg_slot y,
                          mg_slot g) {
    (void)context, (void)entry, (void)a, (void)b, (void)y, (void)g;
    return MG_OK;
}

/* A strip of a program without choices has ended with a status that is not MG_OK. */
static MG_NEVER_INLINE mg_status find_reason(const mg_strip *strip, mg_status st,
                                             mg_replay_failure *failure) {
    if (strip->tangent_status != MG_OK) *failure = strip->failure;
    if (strip->tangent_status != MG_OK || st == MG_CALLBACK || st == MG_NO_MEMORY) return st;
    return mg_find_failure(strip, st, failure);
}

mg_status mg_replay(const mg_program *program, mg_workspace *workspace, const mg_batch *batch,
                    mg_watch *watch, mg_replay_failure *failure) {
    const size_t lanes = workspace->lanes;
    const mg_workspace *const dual = batch->tangent ? batch->tangent->dual : NULL;
    /* One by one: to clear the whole record takes as long as a small program. */
    mg_strip strip;
    strip.program = program;
    strip.workspace = workspace;
    strip.batch = batch;
    strip.failure = (mg_replay_failure){0};
    strip.tangent_status = MG_OK;
    strip.uniform_values = strip.uniform_tangents = 0;
    choose_loops(&strip);
    strip.lanes = (mg_lanes){.values = workspace->values,
                             .adjoints = workspace->adjoints,
                             .value_dots = dual ? dual->values : NULL,
                             .adjoint_dots = dual ? dual->adjoints : NULL,
                             .immediates = program->immediates,
                             .lanes = lanes,
                             .on_failure = batch->goes_on ? overlook : mg_note_failure,
                             .context = &strip};
    fill_lanes(workspace, program);
    if (batch->tangent) mg_tangent_begin(program, batch->tangent);
    const int has_choices = program->has_choices;
    mg_totals totals = {0};
    mg_status st = has_choices ? mg_totals_new(program, batch, &totals) : MG_OK;
    for (size_t row = 0; row < batch->n_rows && st == MG_OK; row += lanes) {
        strip.first_row = row;
        strip.n_rows = batch->n_rows - row < lanes ? batch->n_rows - row : lanes;
        if (has_choices) mg_totals_keep(&strip, &totals);
        st = run_strip(&strip);
        if (has_choices)
            st = mg_settle_choices(&strip, &totals, st, failure);
        else if (st != MG_OK)
            st = find_reason(&strip, st, failure);
        if (st == MG_OK && watch) st = ask(watch, program->stats.n_nodes * lanes);
    }
    if (has_choices) mg_totals_free(&totals);
    return st;
}
