/* Deoptimisation: a fused neuron becomes the scalar graph that it stands for, in place, with the
 * data and gradients that those nodes would have had. */
#ifndef MG_EXPAND_H
#define MG_EXPAND_H

#include "layer/call.h"

/* MG_NO_MEMORY leaves the neuron as it was. */
mg_status mg_neuron_expand(mg_arena *arena, mg_node neuron);

#endif
