/* Blocks of sums in a strip: where their numbers come from and go to. A single lane uses the
 * layers' kernels. */
#ifndef MG_BLOCKS_H
#define MG_BLOCKS_H

#include "program/strip.h"

/* The lanes of some slots, one after the other: in place if they are so already. */
const double *mg_sums_gather(const double *from, const mg_slot *slots, mg_slot first, size_t n,
                             size_t lanes, double *room);

/* x[i][l] as to[l][i], with a column of `last`, in room for all `lanes`. Returns the length of a
 * lane. */
size_t mg_sums_transpose(const double *x, size_t n_in, size_t lanes, size_t n_lanes, double last,
                         double *to);

void mg_forward_block(mg_strip *strip, const mg_sums *block);
void mg_backward_block(mg_strip *strip, const mg_back_sums *block);

#endif
