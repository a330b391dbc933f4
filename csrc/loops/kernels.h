/* The inner loops over contiguous numbers, built once per instruction set and chosen at run time.
 *
 * Lanes run across independent sums (rows in the forward pass, inputs in the backward pass) and
 * never inside one, so every build gives the same bits. */
#ifndef MG_KERNELS_H
#define MG_KERNELS_H

#include <stddef.h>

/* How programs compute batches of rows. */
typedef enum {
    MG_EXACT_ARITHMETIC, /* the graph's bits */
    MG_FAST_ARITHMETIC,  /* fused products and sums, functions made for lanes */
    MG_SINGLE_ARITHMETIC /* the same, and sums of products in single precision */
} mg_arithmetic;

/* One row of weights on its way back: the gradients of row and inputs grow by multiples of it. */
typedef struct {
    const double *w;
    double *w_grad;
    double g; /* the gradient of the row's sum */
} mg_weight_row;

typedef struct {
    const char *name;

    /* sums[r] = w_r[n_in] + w_r[0] * x[0] + w_r[1] * x[1] + ..., from left to right, for rows
     * `stride` apart. */
    void (*forward)(const double *w, size_t stride, size_t n_rows, const double *x, size_t n_in,
                    double *sums);

    /* For each row in turn: w_grad[i] += x[i] * g, and x_grad[i] += w[i] * g unless x_grad is
     * NULL. */
    void (*backward)(const mg_weight_row *rows, size_t n_rows, const double *x, double *x_grad,
                     size_t n_in);

    /* The same for x_grad alone. */
    void (*backward_inputs)(const mg_weight_row *rows, size_t n_rows, double *x_grad, size_t n_in);
} mg_kernels;

/* The builds that this machine runs, best first; *n of them. */
const mg_kernels *const *mg_kernels_available(size_t *n);

/* The build in use. */
const mg_kernels *mg_kernels_current(void);

/* Which build of the other loops an arithmetic uses, among all, best first: that of the
 * instruction set in use, unless the processor lacks the fused multiply-add that it wants. */
size_t mg_build_number(mg_arithmetic arithmetic);

/* Use the build of this name. 0 if this machine does not run it. */
int mg_kernels_select(const char *name);

#endif
