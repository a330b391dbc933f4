/* The loops; layer/optim.h has the formulas. */
#include "layer/optim.h"

#include <math.h>
#include <string.h>

mg_status mg_span_before_write(mg_arena *arena, mg_span span) {
    for (mg_node node = span.first, end = span.first + span.n_nodes; node < end;) {
        if (!(arena->meta[node].flags & MG_PARAMETER)) {
            node++;
            continue;
        }
        mg_layer_block *block = arena->aux[node].block;
        const uint32_t n_nodes = block->n_rows * (block->n_in + 1);
        if (mg_layer_block_before_write(arena, block) != MG_OK) return MG_NO_MEMORY;
        /* A slot of the block whose parameter is freed may be somebody else's by now. */
        node = block->n_alive == n_nodes ? block->base + n_nodes : node + 1;
    }
    return MG_OK;
}

void mg_span_zero_grad(mg_arena *arena, mg_span span) {
    memset(arena->grad + span.first, 0, span.n_nodes * sizeof *arena->grad);
}

/* A loop of its own for the plain rule, which the compiler can turn into vectors. */
static void descend(double *restrict data, const double *restrict grad, size_t n, double lr) {
    for (size_t i = 0; i < n; i++) data[i] -= lr * grad[i];
}

void mg_sgd_step(mg_arena *arena, mg_span span, const mg_sgd *rule, double *velocity, int first) {
    double *const data = arena->data + span.first, *const grad = arena->grad + span.first;
    if (!velocity && rule->weight_decay == 0.0) {
        descend(data, grad, span.n_nodes, rule->lr);
        return;
    }
    for (size_t i = 0; i < span.n_nodes; i++) {
        double g = grad[i];
        if (rule->weight_decay != 0.0) g = g + rule->weight_decay * data[i];
        if (velocity) {
            velocity[i] = first ? g : rule->momentum * velocity[i] + (1.0 - rule->dampening) * g;
            g = rule->nesterov ? g + rule->momentum * velocity[i] : velocity[i];
        }
        data[i] -= rule->lr * g;
    }
}

/* The gradient with the part of the weight decay that is not decoupled. */
static inline double decayed(const mg_adam *rule, double g, double p) {
    return rule->weight_decay != 0.0 && !rule->decoupled ? g + rule->weight_decay * p : g;
}

mg_status mg_adam_check(const mg_arena *arena, mg_span span, const mg_adam *rule, size_t *n_good) {
    const double *const data = arena->data + span.first, *const grad = arena->grad + span.first;
    mg_status st = MG_OK;
    for (size_t i = 0; i < span.n_nodes; i++) {
        const double g = decayed(rule, grad[i], data[i]);
        if (fabs(g) < 1e154) continue; /* its square is a float */
        mg_pow(g, 2.0, &st);
        if (st != MG_OK) {
            *n_good = i;
            return st;
        }
    }
    *n_good = span.n_nodes;
    return MG_OK;
}

void mg_adam_step(mg_arena *arena, mg_span span, const mg_adam *rule, double *m, double *v) {
    double *const data = arena->data + span.first, *const grad = arena->grad + span.first;
    mg_status st = MG_OK;
    for (size_t i = 0; i < span.n_nodes; i++) {
        double p = data[i];
        const double g = decayed(rule, grad[i], p);
        if (rule->weight_decay != 0.0 && rule->decoupled)
            p = p * (1.0 - rule->lr * rule->weight_decay);
        v[i] = rule->beta2 * v[i] + (1.0 - rule->beta2) * mg_pow(g, 2.0, &st);
        const double root = mg_pow(v[i] / rule->correction2, 0.5, &st);
        m[i] = rule->beta1 * m[i] + (1.0 - rule->beta1) * g;
        data[i] = p - rule->lr * (m[i] / rule->correction1) / (root + rule->eps);
    }
}
