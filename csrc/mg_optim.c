/* The loops; mg_optim.h has the formulas. */
#include "mg_optim.h"

void mg_sgd_step(mg_arena *arena, const mg_node *nodes, size_t n_nodes, const mg_sgd *rule,
                 double *velocity, int first) {
    double *const data = arena->data, *const grad = arena->grad;
    for (size_t i = 0; i < n_nodes; i++) {
        const mg_node node = nodes[i];
        double g = grad[node];
        if (rule->weight_decay != 0.0) g = g + rule->weight_decay * data[node];
        if (velocity) {
            velocity[i] = first ? g : rule->momentum * velocity[i] + (1.0 - rule->dampening) * g;
            g = rule->nesterov ? g + rule->momentum * velocity[i] : velocity[i];
        }
        data[node] -= rule->lr * g;
    }
}

mg_status mg_adam_step(mg_arena *arena, const mg_node *nodes, size_t n_nodes, const mg_adam *rule,
                       double *m, double *v, size_t *n_done) {
    double *const data = arena->data, *const grad = arena->grad;
    mg_status st = MG_OK;
    for (size_t i = 0; i < n_nodes; i++) {
        const mg_node node = nodes[i];
        double g = grad[node], p = data[node];
        if (rule->weight_decay != 0.0) {
            if (rule->decoupled)
                p = p * (1.0 - rule->lr * rule->weight_decay);
            else
                g = g + rule->weight_decay * p;
        }
        const double square = mg_pow(g, 2.0, &st);
        const double next_v = rule->beta2 * v[i] + (1.0 - rule->beta2) * square;
        const double root = mg_pow(next_v / rule->correction2, 0.5, &st);
        if (st != MG_OK) {
            *n_done = i;
            return st;
        }
        m[i] = rule->beta1 * m[i] + (1.0 - rule->beta1) * g;
        v[i] = next_v;
        data[node] = p - rule->lr * (m[i] / rule->correction1) / (root + rule->eps);
    }
    *n_done = n_nodes;
    return MG_OK;
}
