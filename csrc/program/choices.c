/* Rows that choose for themselves; program/choices.h says when. */
#include "program/choices.h"

#include "base/memory.h"
#include "program/row.h"

#include <math.h>
#include <string.h>

int mg_tape_has_choices(const mg_tape *tape) {
    for (uint32_t i = 0; i < tape->n_entries; i++) {
        const mg_entry *e = &tape->entries[i];
        if (e->op == MG_KEEP) return 1;
        if (e->op != MG_TAKE) continue;
        const mg_entry *join = &tape->entries[e->a];
        for (uint32_t j = 0; j < join->b; j++)
            if (tape->entries[tape->candidates[join->a + j]].op != MG_LEAF) return 1;
    }
    return 0;
}

/* Sums before a strip */

/* Where the gradients of the parameters add up, or their derivatives along a direction. */
static mg_workspace *adding_up(const mg_workspace *workspace, const mg_batch *batch) {
    if (batch->tangent) return batch->tangent->by_parameters ? batch->tangent->dual : NULL;
    return batch->backward && mg_adds_up(batch) ? (mg_workspace *)workspace : NULL;
}

mg_status mg_totals_new(const mg_program *program, const mg_batch *batch, mg_totals *totals) {
    const size_t n_gradients = program->n_weights, n_sums = program->tape.n_parameters;
    *totals = (mg_totals){0};
    const int adds_up = batch->tangent ? batch->tangent->by_parameters != NULL
                                       : batch->backward && mg_adds_up(batch);
    if (!adds_up) return MG_OK;
    totals->gradients = mg_calloc(n_gradients + n_sums + 1, sizeof(double));
    totals->sums = totals->gradients + n_gradients;
    return totals->gradients ? MG_OK : MG_NO_MEMORY;
}

void mg_totals_keep(const mg_strip *strip, mg_totals *totals) {
    const mg_program *program = strip->program;
    const mg_workspace *from = adding_up(strip->workspace, strip->batch);
    if (!from) return;
    memcpy(totals->gradients, from->gradients, program->n_weights * sizeof(double));
    memcpy(totals->sums, from->sums, program->tape.n_parameters * sizeof(double));
}

void mg_totals_free(mg_totals *totals) { mg_free(totals->gradients); }

static void put_back(const mg_strip *strip, const mg_totals *totals) {
    const mg_program *program = strip->program;
    mg_workspace *to = adding_up(strip->workspace, strip->batch);
    if (!to) return;
    memcpy(to->gradients, totals->gradients, program->n_weights * sizeof(double));
    memcpy(to->sums, totals->sums, program->tape.n_parameters * sizeof(double));
}

/* What has become nan */

static int has_nan(const double *numbers, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (isnan(numbers[i])) return 1;
    return 0;
}

/* Rows that the strip has written, of so many numbers each. */
static int rows_have_nan(const mg_strip *strip, const double *rows, size_t n) {
    return rows && has_nan(rows + strip->first_row * n, strip->n_rows * n);
}

static int became_nan(const double *before, const double *now, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (isnan(now[i]) && !isnan(before[i])) return 1;
    return 0;
}

/* Values are not looked at: a closed KEEP has another value than nan, whatever it would keep. */
static int some_derivative_became_nan(const mg_strip *strip, const mg_totals *totals) {
    const mg_tape *tape = &strip->program->tape;
    const mg_batch *batch = strip->batch;
    const mg_tangent *tangent = batch->tangent;
    const mg_workspace *sums = adding_up(strip->workspace, batch);
    if (sums && (became_nan(totals->gradients, sums->gradients, strip->program->n_weights) ||
                 became_nan(totals->sums, sums->sums, tape->n_parameters)))
        return 1;
    if (tangent)
        return rows_have_nan(strip, tangent->by_inputs, tape->n_inputs) ||
               (!batch->backward && rows_have_nan(strip, tangent->of_values, tape->n_outputs));
    return batch->backward && (rows_have_nan(strip, batch->input_gradients, tape->n_inputs) ||
                               rows_have_nan(strip, batch->parameter_rows, tape->n_parameters));
}

/* One row */

typedef struct {
    mg_row row;
    const mg_strip *strip;
    size_t number; /* of the row, in the batch */

    uint8_t *computed;  /* entries whose value the row needs, and has */
    uint32_t *next;     /* of a FUNCTION whose operands are being computed: which is next */
    uint32_t *stack;    /* entries that wait for an operand */
    uint32_t *sequence; /* those that are computed, operands before users */
    uint32_t n_sequence;
    uint32_t first_failed;      /* the first entry of the tape that has failed, or UINT32_MAX */
    mg_status status;           /* what it has failed with */
    mg_replay_failure *failure; /* and why */

    uint32_t *order; /* the sweep's, backwards, from the batch's output */
    uint32_t n_order;
    uint8_t *reached;            /* entries that the sweep comes to */
    double *adjoints;            /* by entry */
    double *dots, *adjoint_dots; /* derivatives of values and adjoints; by entry */
    double *slopes, *seconds;    /* of a FUNCTION, by its operands */
} chooser;

/* A row fails with what fails first in the order of the graph. */
static void note_failure(chooser *c, mg_status st, mg_replay_failure failure) {
    if (st == MG_OK || c->strip->batch->goes_on || failure.entry >= c->first_failed) return;
    c->first_failed = failure.entry;
    c->status = st;
    *c->failure = failure;
}

static int ends_at_once(mg_status st) { return st == MG_NO_MEMORY || st == MG_CALLBACK; }

static int is_closed(const chooser *c, const mg_entry *e) {
    return e->op == MG_KEEP && c->row.values[e->b] == 0.0;
}

/* The next operand that an entry needs and that is not computed yet, or UINT32_MAX. What decides
 * comes before what it decides about. */
static uint32_t next_operand(chooser *c, uint32_t i) {
    const mg_entry *e = &c->row.tape->entries[i];
    const uint8_t *computed = c->computed;
    switch (e->op) {
    case MG_LEAF:
    case MG_JOIN:
        return UINT32_MAX;
    case MG_KEEP:
        if (!computed[e->b]) return e->b;
        return is_closed(c, e) || computed[e->a] ? UINT32_MAX : e->a;
    case MG_TAKE: {
        if (!computed[e->b]) return e->b;
        const uint32_t candidate = mg_row_chosen(&c->row, e);
        return candidate == UINT32_MAX || computed[candidate] ? UINT32_MAX : candidate;
    }
    case MG_FUNCTION: {
        const uint32_t *operands = c->row.tape->candidates + e->a;
        for (; c->next[i] < e->b; c->next[i]++)
            if (!computed[operands[c->next[i]]]) return operands[c->next[i]];
        return UINT32_MAX;
    }
    default:
        if (!computed[e->a]) return e->a;
        return e->arity == 2 && !computed[e->b] ? e->b : UINT32_MAX;
    }
}

/* Behind a failure the caller's functions are called no more. */
static mg_status compute_function(chooser *c, uint32_t i) {
    c->row.values[i] = NAN;
    if (c->first_failed != UINT32_MAX) return MG_OK;
    mg_replay_failure failure;
    double value;
    const mg_status st = mg_row_function(&c->row, i, MG_FUNCTION_VALUE, &value, &failure);
    if (st == MG_OK) c->row.values[i] = value;
    if (!ends_at_once(st)) note_failure(c, st, failure);
    return ends_at_once(st) ? st : MG_OK;
}

static mg_status compute_entry(chooser *c, uint32_t i) {
    const mg_entry *e = &c->row.tape->entries[i];
    double *const values = c->row.values;
    mg_status st = MG_OK;
    c->computed[i] = 1;
    c->sequence[c->n_sequence++] = i;
    if (e->op == MG_FUNCTION) return compute_function(c, i);
    if (e->op == MG_LEAF) {
        values[i] = mg_row_leaf(&c->row, e);
    } else if (e->op == MG_TAKE) {
        const uint32_t candidate = mg_row_chosen(&c->row, e);
        values[i] = candidate == UINT32_MAX ? NAN : values[candidate];
        if (candidate == UINT32_MAX) note_failure(c, MG_INDEX, mg_row_bad_index(&c->row, i));
    } else if (is_closed(c, e)) {
        values[i] = -0.0;
    } else {
        const double a = values[e->a], b = e->arity == 2 ? values[e->b] : e->k;
        values[i] = mg_op_value((mg_op)e->op, a, b, e->k, e->h, &st);
        note_failure(c, st, (mg_replay_failure){.entry = i, .a = a, .b = b});
    }
    return MG_OK;
}

/* Compute an entry and what it needs. */
static mg_status compute(chooser *c, uint32_t root) {
    mg_status st = MG_OK;
    uint32_t depth = 0;
    if (c->computed[root]) return MG_OK;
    c->stack[depth++] = root;
    while (depth > 0 && st == MG_OK) {
        const uint32_t i = c->stack[depth - 1], operand = next_operand(c, i);
        if (operand != UINT32_MAX) {
            c->stack[depth++] = operand;
        } else {
            depth--;
            st = compute_entry(c, i);
        }
    }
    return st;
}

static mg_status compute_outputs(chooser *c) {
    const mg_tape *tape = c->row.tape;
    const mg_batch *batch = c->strip->batch;
    mg_status st = MG_OK;
    memset(c->computed, 0, tape->n_entries);
    memset(c->next, 0, tape->n_entries * sizeof *c->next);
    c->n_sequence = 0;
    c->first_failed = UINT32_MAX;
    c->status = MG_OK;
    for (uint32_t o = 0; o < tape->n_outputs && st == MG_OK; o++)
        st = compute(c, tape->outputs[o]);
    if (st != MG_OK) return st;
    for (uint32_t o = 0; batch->values && o < tape->n_outputs; o++)
        batch->values[c->number * tape->n_outputs + o] = c->row.values[tape->outputs[o]];
    return c->status;
}

/* The way back of a row */

/* Where the gradient of a parameter adds up. */
static double *total_of(const mg_program *program, mg_workspace *workspace, uint32_t parameter) {
    const uint32_t place = program->parameter_weight[parameter];
    return place == UINT32_MAX ? &workspace->sums[parameter] : &workspace->gradients[place];
}

/* What an entry gets of a user: its share, and along a direction the derivative of that. */
static void give(chooser *c, uint32_t to, double share, double share_dot) {
    const mg_tape *tape = c->row.tape;
    const mg_batch *batch = c->strip->batch;
    const mg_entry *e = &tape->entries[to];
    if (e->op == MG_LEAF && e->leaf == MG_FREE) {
        mg_workspace *sums = adding_up(c->strip->workspace, batch);
        if (sums) *total_of(c->strip->program, sums, e->a) += batch->tangent ? share_dot : share;
        if (!batch->tangent && batch->parameter_rows)
            batch->parameter_rows[c->number * tape->n_parameters + e->a] += share;
        return;
    }
    c->reached[to] = 1;
    c->adjoints[to] += share;
    if (batch->tangent) c->adjoint_dots[to] += share_dot;
}

/* A derivative need not exist where it is multiplied by 0. */
static double times(double factor, double derivative) {
    return factor != 0.0 ? derivative * factor : 0.0;
}

static mg_status function_back(chooser *c, uint32_t i) {
    const mg_entry *e = &c->row.tape->entries[i];
    const uint32_t *operands = c->row.tape->candidates + e->a;
    const double g = c->adjoints[i];
    const mg_status st = mg_row_function(&c->row, i, MG_FUNCTION_SLOPES, c->slopes, c->failure);
    for (uint32_t j = 0; j < e->b && st == MG_OK; j++) give(c, operands[j], c->slopes[j] * g, 0.0);
    return st;
}

/* An operation of the table. */
static mg_status step_back(chooser *c, uint32_t i) {
    const mg_entry *e = &c->row.tape->entries[i];
    const double *const values = c->row.values;
    const double a = values[e->a], b = e->arity == 2 ? values[e->b] : e->k;
    const double y = values[i], g = c->adjoints[i];
    const mg_op op = (mg_op)e->op;
    mg_status st = MG_OK;
    const double share_a = mg_op_adjoint_a(op, a, b, e->k, e->h, y, g, &st);
    const double share_b = e->arity == 2 ? mg_op_adjoint_b(op, a, b, e->k, e->h, y, g, &st) : 0.0;
    if (st != MG_OK && !c->strip->batch->goes_on) {
        *c->failure = (mg_replay_failure){.entry = i, .a = a, .b = b, .derivative = 1};
        return st;
    }
    give(c, e->a, share_a, 0.0);
    if (e->arity == 2) give(c, e->b, share_b, 0.0);
    return MG_OK;
}

static mg_status function_back_along(chooser *c, uint32_t i) {
    const mg_entry *e = &c->row.tape->entries[i];
    const uint32_t *operands = c->row.tape->candidates + e->a;
    const double g = c->adjoints[i], g_dot = c->adjoint_dots[i];
    int moves = 0;
    for (uint32_t j = 0; j < e->b; j++) moves |= c->dots[operands[j]] != 0.0;
    mg_status st = mg_row_function(&c->row, i, MG_FUNCTION_SLOPES, c->slopes, c->failure);
    memset(c->seconds, 0, (size_t)e->b * e->b * sizeof *c->seconds);
    if (st == MG_OK && moves)
        st = mg_row_function(&c->row, i, MG_FUNCTION_SECONDS, c->seconds, c->failure);
    for (uint32_t j = 0; j < e->b && st == MG_OK; j++) {
        double turn = 0.0;
        for (uint32_t k = 0; k < e->b; k++)
            turn += times(c->dots[operands[k]], c->seconds[(size_t)j * e->b + k]);
        give(c, operands[j], times(g, c->slopes[j]), times(g_dot, c->slopes[j]) + times(g, turn));
    }
    return st;
}

static mg_status step_back_along(chooser *c, uint32_t i) {
    const mg_entry *e = &c->row.tape->entries[i];
    const double *const values = c->row.values;
    const int two = e->arity == 2;
    const double a = values[e->a], b = two ? values[e->b] : e->k, y = values[i];
    const double g = c->adjoints[i], g_dot = c->adjoint_dots[i];
    const double a_dot = c->dots[e->a], b_dot = two ? c->dots[e->b] : 0.0;
    const mg_op op = (mg_op)e->op;
    mg_status st = MG_OK, second_st = MG_OK;
    const double slope_a = mg_op_adjoint_a(op, a, b, e->k, e->h, y, 1.0, &st);
    const double slope_b = two ? mg_op_adjoint_b(op, a, b, e->k, e->h, y, 1.0, &st) : 0.0;
    mg_second second = {0};
    if (a_dot != 0.0 || b_dot != 0.0)
        second = mg_op_second(op, a, b, e->k, e->h, y, a_dot != 0.0, b_dot != 0.0, &second_st);
    if ((st != MG_OK || second_st != MG_OK) && !c->strip->batch->goes_on) {
        *c->failure =
            (mg_replay_failure){.entry = i, .a = a, .b = b, .derivative = st != MG_OK ? 1 : 2};
        return st != MG_OK ? st : second_st;
    }
    const double turn_a = times(a_dot, second.aa) + times(b_dot, second.ab);
    const double turn_b = times(a_dot, second.ab) + times(b_dot, second.bb);
    give(c, e->a, times(g, slope_a), times(g_dot, slope_a) + times(g, turn_a));
    if (two) give(c, e->b, times(g, slope_b), times(g_dot, slope_b) + times(g, turn_b));
    return MG_OK;
}

static mg_status back(chooser *c, uint32_t i) {
    const mg_entry *e = &c->row.tape->entries[i];
    const int along = c->strip->batch->tangent != NULL;
    if (e->op == MG_TAKE) {
        /* What the index is computed from gets nothing, and is not gone through. */
        const uint32_t candidate = mg_row_chosen(&c->row, e);
        if (candidate != UINT32_MAX)
            give(c, candidate, c->adjoints[i], along ? c->adjoint_dots[i] : 0.0);
        return MG_OK;
    }
    if (is_closed(c, e)) {
        give(c, e->b, -0.0, -0.0);
        return MG_OK;
    }
    if (e->op == MG_FUNCTION) return along ? function_back_along(c, i) : function_back(c, i);
    return along ? step_back_along(c, i) : step_back(c, i);
}

/* The gradients of the inputs, or their derivatives along a direction. */
static void give_inputs(const chooser *c) {
    const mg_tape *tape = c->row.tape;
    const mg_tangent *tangent = c->strip->batch->tangent;
    double *const to = tangent ? tangent->by_inputs : c->strip->batch->input_gradients;
    const double *const from = tangent ? c->adjoint_dots : c->adjoints;
    /* The inputs are the first entries. */
    if (to) memcpy(to + c->number * tape->n_inputs, from, tape->n_inputs * sizeof *to);
}

static mg_status sweep(chooser *c) {
    const mg_tape *tape = c->row.tape;
    const mg_batch *batch = c->strip->batch;
    const double seed = batch->seeds ? batch->seeds[c->number] : batch->seed;
    mg_status st = MG_OK;
    memset(c->reached, 0, tape->n_entries);
    memset(c->adjoints, 0, tape->n_entries * sizeof *c->adjoints);
    if (batch->tangent) memset(c->adjoint_dots, 0, tape->n_entries * sizeof *c->adjoint_dots);
    if (batch->parameter_rows)
        memset(batch->parameter_rows + c->number * tape->n_parameters, 0,
               tape->n_parameters * sizeof *batch->parameter_rows);
    give(c, tape->outputs[batch->output], seed, 0.0);
    for (uint32_t p = c->n_order; p-- > 0 && st == MG_OK;)
        if (c->reached[c->order[p]]) st = back(c, c->order[p]);
    if (st == MG_OK) give_inputs(c);
    return st;
}

/* The way forward along a direction */

static mg_status function_dot(chooser *c, uint32_t i) {
    const mg_entry *e = &c->row.tape->entries[i];
    const uint32_t *operands = c->row.tape->candidates + e->a;
    int moves = 0;
    c->dots[i] = 0.0;
    for (uint32_t j = 0; j < e->b; j++) moves |= c->dots[operands[j]] != 0.0;
    if (!moves) return MG_OK;
    const mg_status st = mg_row_function(&c->row, i, MG_FUNCTION_SLOPES, c->slopes, c->failure);
    for (uint32_t j = 0; j < e->b && st == MG_OK; j++)
        c->dots[i] += times(c->dots[operands[j]], c->slopes[j]);
    return st;
}

static mg_status step_dot(chooser *c, uint32_t i) {
    const mg_entry *e = &c->row.tape->entries[i];
    const double *const values = c->row.values;
    const double a = values[e->a], b = e->arity == 2 ? values[e->b] : e->k;
    const double a_dot = c->dots[e->a], b_dot = e->arity == 2 ? c->dots[e->b] : 0.0;
    const mg_op op = (mg_op)e->op;
    mg_status st = MG_OK;
    double dot = 0.0;
    if (a_dot != 0.0) dot = a_dot * mg_op_adjoint_a(op, a, b, e->k, e->h, values[i], 1.0, &st);
    if (b_dot != 0.0) dot += b_dot * mg_op_adjoint_b(op, a, b, e->k, e->h, values[i], 1.0, &st);
    c->dots[i] = dot;
    if (st == MG_OK || c->strip->batch->goes_on) return MG_OK;
    *c->failure = (mg_replay_failure){.entry = i, .a = a, .b = b, .derivative = 1};
    return st;
}

static double leaf_dot(const chooser *c, const mg_entry *e) {
    const mg_tangent *tangent = c->strip->batch->tangent;
    const double *const direction = e->leaf == MG_INPUT  ? tangent->input_direction
                                    : e->leaf == MG_FREE ? tangent->parameter_direction
                                                         : NULL;
    return direction ? direction[e->a] : 0.0;
}

static mg_status go_along(chooser *c) {
    const mg_tape *tape = c->row.tape;
    const mg_batch *batch = c->strip->batch;
    mg_status st = MG_OK;
    for (uint32_t s = 0; s < c->n_sequence && st == MG_OK; s++) {
        const uint32_t i = c->sequence[s];
        const mg_entry *e = &tape->entries[i];
        if (e->op == MG_LEAF)
            c->dots[i] = leaf_dot(c, e);
        else if (e->op == MG_TAKE && mg_row_chosen(&c->row, e) != UINT32_MAX)
            c->dots[i] = c->dots[mg_row_chosen(&c->row, e)];
        else if (e->op == MG_TAKE || is_closed(c, e))
            c->dots[i] = 0.0;
        else
            st = e->op == MG_FUNCTION ? function_dot(c, i) : step_dot(c, i);
    }
    for (uint32_t o = 0; st == MG_OK && !batch->backward && o < tape->n_outputs; o++)
        batch->tangent->of_values[c->number * tape->n_outputs + o] = c->dots[tape->outputs[o]];
    return st;
}

static mg_status compute_row(chooser *c) {
    mg_status st = compute_outputs(c);
    if (st == MG_OK && c->strip->batch->tangent) st = go_along(c);
    return st == MG_OK && c->strip->batch->backward ? sweep(c) : st;
}

/* All rows of a strip */

static mg_status compute_rows(chooser *c, const double *inputs) {
    mg_status st = MG_OK;
    for (size_t r = 0; r < c->strip->n_rows && st == MG_OK; r++) {
        c->number = c->strip->first_row + r;
        c->row.inputs = inputs + r * c->row.tape->n_inputs;
        st = compute_row(c);
        c->failure->row = c->number;
    }
    return st;
}

static mg_status compute_strip(mg_strip *strip, mg_replay_failure *failure) {
    const mg_tape *tape = &strip->program->tape;
    const size_t n = tape->n_entries, n_rows = strip->n_rows;
    const size_t most = mg_row_most_operands(tape);
    const size_t n_inputs = n_rows * tape->n_inputs;
    double *numbers =
        mg_calloc(n_inputs + tape->n_parameters + 4 * n + most + most * most, sizeof *numbers);
    uint32_t *places = mg_calloc(6 * n, sizeof *places);
    uint8_t *marks = mg_calloc(2 * n, sizeof *marks);
    mg_status st = MG_NO_MEMORY;
    if (numbers && places && marks) {
        double *const parameters = numbers + n_inputs;
        double *const values = parameters + tape->n_parameters;
        chooser c = {.row = {.tape = tape,
                             .batch = strip->batch,
                             .parameters = parameters,
                             .values = values},
                     .strip = strip,
                     .computed = marks,
                     .next = places,
                     .stack = places + n,
                     .sequence = places + 2 * n,
                     .failure = failure,
                     .order = places + 3 * n,
                     .reached = marks + n,
                     .adjoints = values + n,
                     .dots = values + 2 * n,
                     .adjoint_dots = values + 3 * n,
                     .slopes = values + 4 * n,
                     .seconds = values + 4 * n + most};
        mg_row_inputs(strip, numbers);
        mg_row_parameters(strip->program, strip->workspace, parameters);
        if (strip->batch->backward)
            c.n_order =
                mg_tape_walk(tape->entries, tape->candidates, tape->outputs[strip->batch->output],
                             c.order, places + 4 * n, places + 5 * n);
        st = compute_rows(&c, numbers);
    }
    mg_free(marks);
    mg_free(places);
    mg_free(numbers);
    return st;
}

mg_status mg_settle_choices(mg_strip *strip, const mg_totals *totals, mg_status st,
                            mg_replay_failure *failure) {
    if (ends_at_once(st)) return st;
    if (st == MG_OK && !some_derivative_became_nan(strip, totals)) return MG_OK;
    strip->tangent_status = MG_OK;
    put_back(strip, totals);
    return compute_strip(strip, failure);
}
