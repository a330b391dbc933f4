/* Blocks of sums in a strip: where their numbers come from and go to. A single lane uses the
 * layers' kernels. */
#ifndef MG_BLOCKS_H
#define MG_BLOCKS_H

#include "mg_strip.h"

void mg_forward_block(mg_strip *strip, const mg_sums *block);
void mg_backward_block(mg_strip *strip, const mg_back_sums *block);

#endif
