/* Optimizer steps over parameters, given as spans of neighbouring nodes: the parameters of a layer
 * are one.
 *
 * Every line has the order of operations of the same line written in Python, and therefore its
 * bits; powers are Python's. */
#ifndef MG_OPTIM_H
#define MG_OPTIM_H

#include "layer/block.h"

/* Nodes first, first + 1, ... */
typedef struct {
    mg_node first;
    uint32_t n_nodes;
} mg_span;

/* To be called before the data of the nodes is assigned. MG_OK or MG_NO_MEMORY. */
mg_status mg_span_before_write(mg_arena *arena, mg_span span);

/* Set every gradient to 0. */
void mg_span_zero_grad(mg_arena *arena, mg_span span);

typedef struct {
    double lr, momentum, dampening, weight_decay;
    int nesterov;
} mg_sgd;

typedef struct {
    double lr, beta1, beta2, eps, weight_decay;
    int decoupled; /* weight decay acts on the parameter (AdamW), not on the gradient */
    double correction1, correction2; /* 1 - beta ** step */
} mg_adam;

/* p -= lr * g, after weight decay and momentum. `velocity` has an entry for each node, or is NULL
 * without momentum; `first` says that it has no content yet. */
void mg_sgd_step(mg_arena *arena, mg_span span, const mg_sgd *rule, double *velocity, int first);

/* m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g ** 2
 * p -= lr * (m / correction1) / ((v / correction2) ** 0.5 + eps)
 * v must not be negative, and mg_adam_check must have been content. */
void mg_adam_step(mg_arena *arena, mg_span span, const mg_adam *rule, double *m, double *v);

/* MG_OVERFLOW, with *n_good nodes before it, where Python's power overflows in a step. */
mg_status mg_adam_check(const mg_arena *arena, mg_span span, const mg_adam *rule, size_t *n_good);

#endif
