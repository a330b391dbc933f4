/* Blocks of sums in a strip: where their numbers come from and go to. The loops themselves are
 * handed in, for lanes; a single lane uses the layers' kernels. */
#ifndef MG_BLOCKS_H
#define MG_BLOCKS_H

#include "mg_strip.h"

typedef void (*mg_sum_rows)(const double *w, size_t stride, size_t n_rows, const double *x,
                            size_t lanes, size_t n_in, double *out);
typedef void (*mg_add_to_inputs)(const double *w, const uint32_t *offsets, size_t n_rows,
                                 const double *g, size_t lanes, double *to, size_t n_in);
typedef void (*mg_add_to_weights)(double *gradients, const uint32_t *offsets, size_t n_rows,
                                  const double *g, size_t lanes, const double *x, size_t stride,
                                  size_t n_in, size_t n_lanes);

void mg_forward_block(mg_strip *strip, const mg_sums *block, mg_sum_rows sum_rows);
void mg_backward_block(mg_strip *strip, const mg_back_sums *block, mg_add_to_inputs add_to_inputs,
                       mg_add_to_weights add_to_weights);

#endif
