/* Which derivatives of a program may be other than 0, told from its tape alone. */
#ifndef MG_PATTERN_H
#define MG_PATTERN_H

#include <stddef.h>

#include "program/tape.h"

#define MG_NO_COLUMN UINT32_MAX

/* What is differentiated by: the column of each input and of each parameter, or MG_NO_COLUMN; and
 * how many there are. */
typedef struct {
    const uint32_t *of_inputs, *of_parameters;
    uint32_t n;
} mg_columns;

/* Places in a matrix, each of them once, in no order. */
typedef struct {
    uint32_t *rows, *columns; /* mg_free frees them */
    size_t n, cap;
} mg_places;

/* The places of the outputs' derivatives: outputs by columns. Takes time in proportion to what
 * each output is computed from. MG_OK, or MG_NO_MEMORY with nothing to free. */
mg_status mg_jacobian_places(const mg_tape *tape, mg_columns columns, mg_places *places);

/* The places of the second derivatives of the first output, with row >= column: those of columns
 * that meet in a product or below an operation that is not linear. */
mg_status mg_hessian_places(const mg_tape *tape, mg_columns columns, mg_places *places);

#endif
