/* Optimizer steps over parameters, given as spans of neighbouring nodes: the parameters of a layer
 * are one. */
#ifndef MG_OPTIM_H
#define MG_OPTIM_H

#include "layer/block.h"
#include "loops/rules.h"

/* Nodes first, first + 1, ... */
typedef struct {
    mg_node first;
    uint32_t n_nodes;
} mg_span;

/* To be called before the data of the nodes is assigned. MG_OK or MG_NO_MEMORY. */
mg_status mg_span_before_write(mg_arena *arena, mg_span span);

/* Set every gradient to 0. */
void mg_span_zero_grad(mg_arena *arena, mg_span span);

/* Negate every gradient: a step that maximizes is one between two calls of this. */
void mg_span_negate_grad(mg_arena *arena, mg_span span);

/* A step of a rule, which loops/rules.h describes. */
void mg_sgd_step(mg_arena *arena, mg_span span, const mg_sgd *rule, double *velocity, int first);
void mg_adam_step(mg_arena *arena, mg_span span, const mg_adam *rule, double *m, double *v,
                  double *largest);
void mg_rmsprop_step(mg_arena *arena, mg_span span, const mg_rmsprop *rule, double *buffer,
                     double *square, double *mean);
void mg_adagrad_step(mg_arena *arena, mg_span span, const mg_adagrad *rule, double *sum);

/* MG_OVERFLOW, with *n_good nodes before it, where the square of a gradient is too large for a
 * float. The gradient is the one with weight decay, which is given negated for a step that
 * maximizes: all of it has the other sign then, and the same square. */
mg_status mg_squares_check(const mg_arena *arena, mg_span span, double weight_decay,
                           size_t *n_good);

#endif
