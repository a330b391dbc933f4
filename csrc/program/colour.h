/* How the entries of a sparse derivative are found with few products: columns, or rows, that do
 * not meet have one colour, and one product with the sum of their unit vectors has the entries of
 * all.
 */
#ifndef MG_COLOUR_H
#define MG_COLOUR_H

#include "program/pattern.h"

/* A matrix in rows (CSR), and where its entries stand among the products: entry k is number
 * places[k] of the product with colour colours[k]. */
typedef struct {
    uint32_t *starts, *indices; /* n_rows + 1, and n in the order of rows and columns */
    uint32_t *colours, *places; /* n */
    uint32_t *groups;           /* the colours of the columns, or of the rows where by_rows */
    uint32_t n_rows, n_groups, n_colours, n;
    int by_rows;
} mg_sparse_plan;

/* Outputs by columns. Columns or rows are coloured, whichever takes fewer colours, so that no row
 * (or column) has two of one colour: Curtis, Powell and Reid, "On the Estimation of Sparse
 * Jacobian Matrices" (1974). MG_OK, or MG_NO_MEMORY with nothing to free. */
mg_status mg_plan_jacobian(const mg_tape *tape, mg_columns columns, mg_sparse_plan *plan);

/* Columns by columns, of the first output. An entry (i, j) may be taken from column i instead of
 * j: no two neighbours have one colour, and no path of four vertices has only two (a star
 * colouring: algorithm 4.1 of Gebremedhin, Manne and Pothen, "What Color Is Your Jacobian?",
 * 2005). */
mg_status mg_plan_hessian(const mg_tape *tape, mg_columns columns, mg_sparse_plan *plan);

void mg_sparse_plan_free(mg_sparse_plan *plan);

#endif
