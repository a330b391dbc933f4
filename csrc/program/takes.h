/* TAKEs in a strip: each lane chooses for itself, whatever the number of candidates. */
#ifndef MG_TAKES_H
#define MG_TAKES_H

#include "program/strip.h"

/* MG_OK; or MG_INDEX, with the strip's failure set, for an index that is the place of none. */
mg_status mg_takes_forward(mg_strip *strip, const mg_step *steps, uint32_t n);

/* Add each lane's adjoint to that of its candidate, in the adjoints of a workspace: the strip's
 * own, or those of a direction. */
void mg_takes_backward(const mg_strip *strip, double *adjoints, const mg_back_take *takes,
                       uint32_t n);

/* The derivatives of the values along a direction. */
void mg_takes_tangents(const mg_strip *strip, const mg_step *steps, uint32_t n);

/* The parameter that a row chooses in a TAKE, by its number, or UINT32_MAX. */
static inline uint32_t mg_chosen_parameter(const mg_program *program, uint32_t take,
                                           double index) {
    const mg_entry *join = &program->entries[program->entries[take].a];
    const uint32_t place = mg_place(index, join->b);
    if (place == join->b) return UINT32_MAX;
    const mg_source source = program->sources[join->a + place];
    return source.in_lanes ? UINT32_MAX : program->weight_parameters[source.at];
}

#endif
