/* The loops over contiguous numbers, built once for each instruction set and chosen at run time.
 *
 * They know of arrays, not of layers, graphs or programs. Lanes run across independent sums and
 * never inside one, so every instruction set gives the same bits; the loops that may round
 * otherwise are apart (mg_fast_loops).
 *
 * baseline.c, avx2.c and avx512.c make the sets, choose.c lists them. */
#ifndef MG_LOOPS_H
#define MG_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#include "loops/rules.h"
#include "ops/ops.h"

/* One row of weights on its way back: the gradients of row and inputs grow by multiples of it. */
typedef struct {
    const double *w;
    double *w_grad;
    double g; /* the gradient of the row's sum */
} mg_weight_row;

typedef struct {
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
} mg_row_loops;

/* Arrays in lanes are x[i][l]; a row of weights is w_r[i]; `lanes` is a multiple of 8. `room` is
 * for single precision: mg_single_tiles_room numbers. */
typedef struct {
    /* out[r][l] += w_r[0] * x[0][l] + w_r[1] * x[1][l] + ..., for rows `stride` apart. */
    void (*sum_rows)(const double *w, size_t stride, size_t n_rows, const double *x, size_t lanes,
                     size_t n_in, double *out, double *room);

    /* For the rows w + offsets[r] in turn: to[i][l] += w_r[i] * g[r][l]. */
    void (*add_to_inputs)(const double *w, const uint32_t *offsets, size_t n_rows, const double *g,
                          size_t lanes, double *to, size_t n_in, double *room);

    /* For each of n_lanes lanes in turn: gradients[offsets[r] + i] += x[l][i] * g[r][l], where x
     * has `stride` numbers a lane, of which 8 beyond i can be read. */
    void (*add_to_weights)(double *gradients, const uint32_t *offsets, size_t n_rows,
                           const double *g, size_t lanes, const double *x, size_t stride,
                           size_t n_in, size_t n_lanes, double *room);
} mg_tile_loops;

/* Numbers of room that single precision takes for at most this many rows and inputs. */
size_t mg_single_tiles_room(size_t largest_block, size_t lanes);

/* What steps compute with: slot s of an array begins at s * lanes. Slots are equal or disjoint. */
typedef uint32_t mg_slot;

#define MG_NO_SLOT UINT32_MAX
#define MG_MOST_LANES 64

typedef struct {
    double k, h;
} mg_immediates;

/* What to do about a step that may have failed in some lane: MG_OK to go on, or what to stop with.
 * `g` is MG_NO_SLOT on the way forward. */
typedef mg_status mg_failure_handler(void *context, uint32_t entry, mg_slot a, mg_slot b,
                                     mg_slot y, mg_slot g);

typedef struct {
    double *values, *adjoints;
    double *value_dots, *adjoint_dots; /* derivatives along a direction, for tangents alone */
    const mg_immediates *immediates;   /* of each entry */
    size_t lanes;
    mg_failure_handler *on_failure;
    void *context; /* the handler's */
} mg_lanes;

/* One operation on its way forward, and on its way back. */
typedef struct {
    mg_slot y, a, b; /* values */
    uint32_t entry;
} mg_step;

typedef struct {
    mg_slot y, a, b; /* values */
    uint32_t entry;
    mg_slot g;            /* the node's adjoint */
    mg_slot a_to, a_from; /* the operand's adjoint becomes a_from plus the share */
    mg_slot b_to, b_from;
} mg_back_step;

/* Steps [first, first + n), all of one operation. */
typedef struct {
    uint32_t first, n;
    uint8_t op;
} mg_step_run;

/* Compute runs of steps one after the other: MG_OK, or what the failure handler has stopped them
 * with. It is called when all lanes of a step are computed, in exact loops if one has failed, in
 * fast ones if one may have: it holds what is not finite.
 *
 * A call takes many runs, because it costs as much as a short step: it is indirect, and clears
 * the wide registers at its end. */
typedef struct {
    mg_status (*forward)(const mg_lanes *in, const mg_step_run *runs, size_t n_runs,
                         const mg_step *steps);
    mg_status (*backward)(const mg_lanes *in, const mg_step_run *runs, size_t n_runs,
                          const mg_back_step *steps);
} mg_step_loops;

/* The loops that may round otherwise: products and sums are fused where the machine can, and
 * functions are computed in lanes. */
typedef struct {
    mg_tile_loops tiles, single_tiles; /* the latter in single precision */
    const mg_step_loops *steps;        /* in a multiple of 8 lanes */
    const mg_step_loops *single_lane;
} mg_fast_loops;

/* The loops of one instruction set. */
typedef struct {
    const char *name;

    /* to[l][i] = x[i][l], where lanes of `to` are `stride` apart. The lanes up to the next
     * multiple of 4 beyond n_lanes may be written, too. */
    void (*transpose)(const double *x, size_t n, size_t lanes, size_t n_lanes, double *to,
                      size_t stride);

    mg_row_loops rows;
    mg_tile_loops tiles;
    mg_rule_loops rules;
    const mg_step_loops *steps;    /* in a multiple of 8 lanes */
    const mg_step_loops *tangents; /* derivatives of steps, likewise */
    const mg_fast_loops *fast;
} mg_loops;

/* Steps in a single lane, which need no instruction set; the fast ones do where fusing does. */
extern const mg_step_loops mg_single_lane, mg_fast_single_lane;

/* The sets that this machine runs, best first; *n of them. */
const mg_loops *const *mg_loops_available(size_t *n);

/* The set in use. */
const mg_loops *mg_loops_current(void);

/* Use the set of this name. 0 if this machine does not run it. */
int mg_loops_select(const char *name);

#endif
