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
    double lr, alpha, eps, weight_decay, momentum;
} mg_rmsprop;

typedef struct {
    double lr, eps, weight_decay; /* lr after its decay */
} mg_adagrad;

typedef struct {
    /* p -= lr * g, after weight decay and momentum. `velocity` is NULL without momentum; `first`
     * says that it has no content yet. */
    void (*sgd)(const mg_sgd *rule, size_t n, double *data, const double *grad, double *velocity,
                int first);

    /* m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g ** 2
     * p -= lr * (m / correction1) / ((v / correction2) ** 0.5 + eps)
     * With `largest`, which is NULL but for AMSGrad: x = max(x, v) in the place of v there.
     * v and x must not be negative, and the square of g must be a float. */
    void (*adam)(const mg_adam *rule, size_t n, double *data, const double *grad, double *m,
                 double *v, double *largest);

    /* s = alpha * s + (1 - alpha) * g ** 2
     * a = alpha * a + (1 - alpha) * g;  variance = max(0, s - a ** 2), or s where `mean` is NULL
     * d = g / (variance ** 0.5 + eps);  b = momentum * b + d, or d where `buffer` is NULL
     * p -= lr * b
     * s must not be negative, and the square of g must be a float. */
    void (*rmsprop)(const mg_rmsprop *rule, size_t n, double *data, const double *grad,
                    double *buffer, double *square, double *mean);

    /* s = s + g ** 2;  p -= lr * (g / (s ** 0.5 + eps)). Likewise. */
    void (*adagrad)(const mg_adagrad *rule, size_t n, double *data, const double *grad,
                    double *sum);
} mg_rule_loops;

#endif
