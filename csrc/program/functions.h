/* Steps whose functions are the caller's (mg_functions): columns of numbers go out, and columns
 * come back. Here they are gathered from the lanes of a strip and put there again. */
#ifndef MG_FUNCTIONS_H
#define MG_FUNCTIONS_H

#include "program/strip.h"

/* How many results a part has for each row. */
static inline size_t mg_function_results(mg_function_part part, size_t n_operands) {
    if (part == MG_FUNCTION_VALUE) return 1;
    return part == MG_FUNCTION_SLOPES ? n_operands : n_operands * n_operands;
}

/* MG_OK; or MG_FUNCTION_FAILED, with the strip's failure set; or what ends the replay at once.
 * What no input reaches is computed for one row. */
mg_status mg_functions_forward(mg_strip *strip, const mg_step *steps, uint32_t n, int is_uniform);
mg_status mg_functions_backward(mg_strip *strip, const mg_back_function *functions, uint32_t n);

/* The derivatives along a direction. A failure is noted in the strip, as for other steps: a slope
 * is asked for where an operand moves, and on the way back always; a second derivative where an
 * operand moves. */
void mg_functions_tangents(mg_strip *strip, const mg_step *steps, uint32_t n);
void mg_functions_backward_tangents(mg_strip *strip, const mg_back_function *functions,
                                    uint32_t n);

#endif
