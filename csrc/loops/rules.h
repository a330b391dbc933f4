/* What the rules of optimizers do with the numbers of parameters side by side.
 *
 * Every line has the order of operations of the same line written in Python, and therefore its
 * bits; powers are Python's. Arrays have a number for each parameter and do not overlap. */
#ifndef MG_RULES_H
#define MG_RULES_H

#include <stddef.h>

typedef struct {
    double lr, momentum, dampening, weight_decay;
    int nesterov;
} mg_sgd;

typedef struct {
    double lr, beta1, beta2, eps, weight_decay;
    int decoupled; /* weight decay acts on the parameter (AdamW), not on the gradient */
    double correction1, correction2; /* 1 - beta ** step */
} mg_adam;

typedef struct {
    /* p -= lr * g, after weight decay and momentum. `velocity` is NULL without momentum; `first`
     * says that it has no content yet. */
    void (*sgd)(const mg_sgd *rule, size_t n, double *data, const double *grad, double *velocity,
                int first);

    /* m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g ** 2
     * p -= lr * (m / correction1) / ((v / correction2) ** 0.5 + eps)
     * v must not be negative, and the square of g must be a float. */
    void (*adam)(const mg_adam *rule, size_t n, double *data, const double *grad, double *m,
                 double *v);
} mg_rule_loops;

#endif
