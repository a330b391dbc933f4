/* The loops over sums of products in lanes: one build per instruction set, and for each of them
 * two more that are faster and round otherwise, with fused products and sums, in double or in
 * single precision. */
#ifndef MG_TILES_H
#define MG_TILES_H

#include "loops/kernels.h"

#include <stdint.h>

/* Arrays in lanes are x[i][l]; a row of weights is w_r[i]; `lanes` is a multiple of 8. `room` is
 * for single precision: mg_tiles_single_room numbers. */
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
} mg_tiles;

/* The build for the instruction set that loops/kernels.h has in use. */
const mg_tiles *mg_tiles_for(mg_arithmetic arithmetic);

/* Of those that round otherwise, that of this number. */
const mg_tiles *mg_tiles_fast(size_t build);
const mg_tiles *mg_tiles_single(size_t build);

/* Numbers of room for blocks of at most this many rows and inputs. */
size_t mg_tiles_single_room(size_t largest_block, size_t lanes);

#endif
