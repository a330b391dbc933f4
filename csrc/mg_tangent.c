/* Forward-over-reverse on a tape; mg_tangent.h says what it gives. */
#include "mg_tangent.h"

#include <string.h>

typedef struct {
    double *value, *value_dot, *adjoint, *adjoint_dot; /* by entry */
} columns;

size_t mg_tangent_scratch(const mg_tape *tape) { return 4 * (size_t)tape->n_entries; }

static double at(const double *numbers, uint32_t i) { return numbers ? numbers[i] : 0.0; }

static void place_leaf(const mg_entry *e, const mg_tangent *t, double *value, double *dot) {
    *dot = 0.0;
    if (e->leaf == MG_CONSTANT) {
        *value = e->k;
    } else if (e->leaf == MG_INPUT) {
        *value = t->inputs[e->a];
        *dot = at(t->input_direction, e->a);
    } else {
        *value = t->parameters[e->a];
        *dot = at(t->parameter_direction, e->a);
    }
}

/* An entry's operands and first derivatives. */
typedef struct {
    double a, b, y, slope_a, slope_b;
} point;

static point point_of(const mg_entry *e, const columns *c, uint32_t i, mg_status *st) {
    point p = {.a = c->value[e->a], .b = e->arity == 2 ? c->value[e->b] : 0.0, .y = c->value[i]};
    p.slope_a = mg_op_adjoint_a((mg_op)e->op, p.a, p.b, e->k, e->h, p.y, 1.0, st);
    if (e->arity == 2)
        p.slope_b = mg_op_adjoint_b((mg_op)e->op, p.a, p.b, e->k, e->h, p.y, 1.0, st);
    return p;
}

/* The tangent of a value: nothing is asked of a slope whose operand stands still. */
static mg_status forward(const mg_tape *tape, const mg_tangent *t, const columns *c, uint32_t *i) {
    for (*i = 0; *i < tape->n_entries; ++*i) {
        const mg_entry *e = &tape->entries[*i];
        if (e->op == MG_LEAF) {
            place_leaf(e, t, &c->value[*i], &c->value_dot[*i]);
            continue;
        }
        const double a = c->value[e->a], b = e->arity == 2 ? c->value[e->b] : 0.0;
        const double a_dot = c->value_dot[e->a], b_dot = e->arity == 2 ? c->value_dot[e->b] : 0.0;
        mg_status st = MG_OK;
        c->value[*i] = mg_op_value((mg_op)e->op, a, b, e->k, e->h, &st);
        c->value_dot[*i] = 0.0;
        if (st == MG_OK && (a_dot != 0.0 || b_dot != 0.0)) {
            const point p = point_of(e, c, *i, &st);
            c->value_dot[*i] = p.slope_a * a_dot + p.slope_b * b_dot;
        }
        if (st != MG_OK) return st;
    }
    return MG_OK;
}

static mg_status backward(const mg_tape *tape, uint32_t root, const columns *c, uint32_t *i) {
    for (*i = root + 1; (*i)-- > 0;) {
        const mg_entry *e = &tape->entries[*i];
        const double g = c->adjoint[*i], g_dot = c->adjoint_dot[*i];
        if (e->op == MG_LEAF || (g == 0.0 && g_dot == 0.0)) continue;
        mg_status st = MG_OK;
        const point p = point_of(e, c, *i, &st);
        const mg_second second = mg_op_second((mg_op)e->op, p.a, p.b, e->k, e->h, p.y, &st);
        if (st != MG_OK) return st;
        const double a_dot = c->value_dot[e->a];
        const double b_dot = e->arity == 2 ? c->value_dot[e->b] : 0.0;
        c->adjoint[e->a] += p.slope_a * g;
        c->adjoint_dot[e->a] += p.slope_a * g_dot + (second.aa * a_dot + second.ab * b_dot) * g;
        if (e->arity == 2) {
            c->adjoint[e->b] += p.slope_b * g;
            c->adjoint_dot[e->b] +=
                p.slope_b * g_dot + (second.ab * a_dot + second.bb * b_dot) * g;
        }
    }
    return MG_OK;
}

mg_status mg_tangent_row(const mg_tape *tape, uint32_t output, const mg_tangent *tangent,
                         double *scratch, mg_replay_failure *failure) {
    const size_t n = tape->n_entries;
    const columns c = {scratch, scratch + n, scratch + 2 * n, scratch + 3 * n};
    const uint32_t root = tape->outputs[output];
    uint32_t i = 0;
    mg_status st = forward(tape, tangent, &c, &i);
    failure->in_sweep = st == MG_OK;
    if (st == MG_OK) {
        memset(c.adjoint, 0, 2 * n * sizeof(double));
        c.adjoint[root] = tangent->seed;
        st = backward(tape, root, &c, &i);
    }
    if (st != MG_OK) {
        const mg_entry *e = &tape->entries[i];
        failure->entry = i;
        failure->a = c.value[e->a];
        failure->b = e->arity == 2 ? c.value[e->b] : e->k;
        return st;
    }
    for (i = 0; i < tape->n_entries; i++) {
        const mg_entry *e = &tape->entries[i];
        if (e->op != MG_LEAF) continue;
        if (e->leaf == MG_INPUT && tangent->by_inputs)
            tangent->by_inputs[e->a] += c.adjoint_dot[i];
        if (e->leaf == MG_FREE && tangent->by_parameters)
            tangent->by_parameters[e->a] += c.adjoint_dot[i];
    }
    return MG_OK;
}
