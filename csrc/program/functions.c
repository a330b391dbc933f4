/* From lanes to columns and back; program/functions.h says more. */
#include "program/functions.h"

#include "base/memory.h"

/* Some lanes of a step, dense, for one call. */
typedef struct {
    uint32_t lane[MG_MOST_LANES];
    size_t n;
} chosen_lanes;

/* A part for some lanes: `room` is to be freed, whatever the status. */
typedef struct {
    double *room;
    const double *results; /* result j of the r-th chosen lane at j * n + r */
    uint32_t failed_lane;
    size_t reason;
} outcome;

static chosen_lanes first_lanes(size_t n) {
    chosen_lanes chosen = {.n = n};
    for (size_t l = 0; l < n; l++) chosen.lane[l] = (uint32_t)l;
    return chosen;
}

static mg_status call(const mg_strip *strip, uint32_t entry, mg_function_part part,
                      const chosen_lanes *chosen, outcome *found) {
    const mg_program *program = strip->program;
    const mg_entry *e = &program->entries[entry];
    const mg_source *sources = program->sources + e->a;
    const size_t lanes = strip->workspace->lanes, n = chosen->n;
    *found = (outcome){0};
    if (n == 0) return MG_OK;
    double *const room = mg_calloc(e->b + mg_function_results(part, e->b), n * sizeof *room);
    if (!room) return MG_NO_MEMORY;
    for (uint32_t i = 0; i < e->b; i++)
        for (size_t r = 0; r < n; r++)
            room[i * n + r] = strip->workspace->values[sources[i].at * lanes + chosen->lane[r]];
    mg_function_call what = {.function = (uint32_t)e->k,
                             .part = part,
                             .n_rows = n,
                             .operands = room,
                             .results = room + e->b * n,
                             .goes_on = strip->batch->goes_on};
    const mg_functions *functions = strip->batch->functions;
    const mg_status st = functions->call(functions->context, &what);
    found->room = room;
    found->results = what.results;
    found->reason = what.reason;
    if (st == MG_FUNCTION_FAILED) found->failed_lane = chosen->lane[what.row];
    return st;
}

static mg_replay_failure failure_of(const mg_strip *strip, uint32_t entry, const outcome *found,
                                    int derivative) {
    return (mg_replay_failure){.row = strip->first_row + found->failed_lane,
                               .entry = entry,
                               .a = (double)found->reason,
                               .derivative = derivative};
}

mg_status mg_functions_forward(mg_strip *strip, const mg_step *steps, uint32_t n, int is_uniform) {
    const size_t lanes = strip->workspace->lanes;
    const chosen_lanes chosen = first_lanes(is_uniform ? 1 : strip->n_rows);
    mg_status st = MG_OK;
    for (const mg_step *step = steps; step < steps + n && st == MG_OK; step++) {
        double *const y = strip->workspace->values + step->y * lanes;
        outcome found;
        st = call(strip, step->entry, MG_FUNCTION_VALUE, &chosen, &found);
        /* Lanes beyond the last row repeat it. */
        for (size_t l = 0; st == MG_OK && l < lanes; l++)
            y[l] = found.results[l < chosen.n ? l : chosen.n - 1];
        if (st != MG_OK) strip->failure = failure_of(strip, step->entry, &found, 0);
        mg_free(found.room);
    }
    return st;
}

mg_status mg_functions_backward(mg_strip *strip, const mg_back_function *functions, uint32_t n) {
    const size_t lanes = strip->workspace->lanes;
    const chosen_lanes chosen = first_lanes(strip->n_rows);
    double *const adjoints = strip->workspace->adjoints;
    mg_status st = MG_OK;
    for (const mg_back_function *f = functions; f < functions + n && st == MG_OK; f++) {
        const double *const g = adjoints + f->g * lanes;
        outcome found;
        st = call(strip, f->entry, MG_FUNCTION_SLOPES, &chosen, &found);
        for (uint32_t i = 0; st == MG_OK && i < f->n_operands; i++) {
            const double *const slopes = found.results + i * chosen.n;
            const double *const from = adjoints + f->from[i] * lanes;
            double *const to = adjoints + f->to[i] * lanes;
            for (size_t l = 0; l < lanes; l++)
                to[l] = from[l] + slopes[l < chosen.n ? l : chosen.n - 1] * g[l];
        }
        if (st != MG_OK) strip->failure = failure_of(strip, f->entry, &found, 1);
        mg_free(found.room);
    }
    return st;
}

/* Whether the replay has ended: nothing more may be called. */
static int has_ended(const mg_strip *strip) {
    return strip->tangent_status == MG_CALLBACK || strip->tangent_status == MG_NO_MEMORY;
}

/* The first row that fails counts, in whichever step; what ends the replay, before all of them. */
static void note(mg_strip *strip, mg_status st, uint32_t entry, const outcome *found,
                 int derivative) {
    if (st == MG_OK) return;
    mg_replay_failure failure = failure_of(strip, entry, found, derivative);
    if (st != MG_FUNCTION_FAILED)
        failure.row = 0;
    else if (strip->tangent_status != MG_OK && failure.row >= strip->failure.row)
        return;
    strip->failure = failure;
    strip->tangent_status = st;
}

static int moves(const mg_strip *strip, uint32_t entry, size_t lane) {
    const mg_entry *e = &strip->program->entries[entry];
    const mg_source *sources = strip->program->sources + e->a;
    const mg_workspace *dual = strip->batch->tangent->dual;
    for (uint32_t i = 0; i < e->b; i++)
        if (dual->values[sources[i].at * dual->lanes + lane] != 0.0) return 1;
    return 0;
}

static chosen_lanes moving_lanes(const mg_strip *strip, uint32_t entry) {
    chosen_lanes chosen = {.n = 0};
    for (size_t l = 0; l < strip->n_rows; l++)
        if (moves(strip, entry, l)) chosen.lane[chosen.n++] = (uint32_t)l;
    return chosen;
}

/* A derivative need not exist where it is multiplied by 0. */
static double times(double factor, double derivative) {
    return factor != 0.0 ? derivative * factor : 0.0;
}

void mg_functions_tangents(mg_strip *strip, const mg_step *steps, uint32_t n) {
    const mg_workspace *dual = strip->batch->tangent->dual;
    const size_t lanes = dual->lanes;
    for (const mg_step *step = steps; step < steps + n && !has_ended(strip); step++) {
        const mg_entry *e = &strip->program->entries[step->entry];
        const mg_source *sources = strip->program->sources + e->a;
        const chosen_lanes chosen = moving_lanes(strip, step->entry);
        double *const y_dot = dual->values + step->y * lanes;
        outcome found;
        note(strip, call(strip, step->entry, MG_FUNCTION_SLOPES, &chosen, &found), step->entry,
             &found, 1);
        for (size_t l = 0; l < lanes; l++) y_dot[l] = 0.0;
        for (size_t r = 0; found.results && r < chosen.n; r++)
            for (uint32_t i = 0; i < e->b; i++)
                y_dot[chosen.lane[r]] +=
                    times(dual->values[sources[i].at * lanes + chosen.lane[r]],
                          found.results[i * chosen.n + r]);
        mg_free(found.room);
    }
}

/* What the slopes change by, for each operand in each lane: of the sum over all operands of second
 * derivatives times their movement. */
static void add_second_shares(const mg_strip *strip, const mg_back_function *f,
                              const chosen_lanes *chosen, const double *seconds, double *changes) {
    const mg_source *sources = strip->program->sources + strip->program->entries[f->entry].a;
    const mg_workspace *dual = strip->batch->tangent->dual;
    const size_t lanes = dual->lanes, n = f->n_operands;
    for (size_t r = 0; r < chosen->n; r++) {
        const size_t lane = chosen->lane[r];
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                changes[i * lanes + lane] += times(dual->values[sources[j].at * lanes + lane],
                                                   seconds[(i * n + j) * chosen->n + r]);
    }
}

/* The shares of one step and their derivatives, in lanes of rows; the others get nothing. */
static void give_shares(const mg_strip *strip, const mg_back_function *f, const double *slopes,
                        const double *changes) {
    double *const adjoints = strip->workspace->adjoints;
    double *const dots = strip->batch->tangent->dual->adjoints;
    const size_t lanes = strip->workspace->lanes, n_rows = strip->n_rows;
    const double *const g = adjoints + f->g * lanes, *const g_dot = dots + f->g * lanes;
    for (uint32_t i = 0; i < f->n_operands; i++) {
        const size_t from = f->from[i] * lanes, to = f->to[i] * lanes;
        for (size_t l = 0; l < lanes; l++) {
            double share = 0.0, share_dot = 0.0;
            if (l < n_rows) {
                const double slope = slopes[i * n_rows + l];
                share = times(g[l], slope);
                share_dot = times(g_dot[l], slope) + times(g[l], changes[i * lanes + l]);
            }
            adjoints[to + l] = adjoints[from + l] + share;
            dots[to + l] = dots[from + l] + share_dot;
        }
    }
}

void mg_functions_backward_tangents(mg_strip *strip, const mg_back_function *functions,
                                    uint32_t n) {
    const size_t lanes = strip->workspace->lanes;
    const chosen_lanes all = first_lanes(strip->n_rows);
    for (const mg_back_function *f = functions; f < functions + n && !has_ended(strip); f++) {
        const chosen_lanes chosen = moving_lanes(strip, f->entry);
        outcome slopes, seconds = {0};
        double *const changes = mg_calloc(f->n_operands, lanes * sizeof *changes);
        mg_status st = changes ? MG_OK : MG_NO_MEMORY;
        slopes = seconds;
        if (st == MG_OK) st = call(strip, f->entry, MG_FUNCTION_SLOPES, &all, &slopes);
        note(strip, st, f->entry, &slopes, 1);
        if (!has_ended(strip))
            note(strip, call(strip, f->entry, MG_FUNCTION_SECONDS, &chosen, &seconds), f->entry,
                 &seconds, 2);
        if (seconds.results) add_second_shares(strip, f, &chosen, seconds.results, changes);
        if (slopes.results) give_shares(strip, f, slopes.results, changes);
        mg_free(changes);
        mg_free(seconds.room);
        mg_free(slopes.room);
    }
}
