/* Colourings of derivatives; program/colour.h says what they are. */
#include "program/colour.h"

#include "base/memory.h"

/* The rows of a matrix: row i has indices[starts[i]] to indices[starts[i + 1] - 1]. */
typedef struct {
    uint32_t *starts, *indices;
    uint32_t n;
} lists;

static void free_lists(lists *l) {
    mg_free(l->starts);
    mg_free(l->indices);
    *l = (lists){0};
}

/* Entry k in list keys[k], in the order of the entries: members[k]. */
static int make_lists(const uint32_t *keys, const uint32_t *members, size_t n_entries, uint32_t n,
                      lists *l) {
    *l = (lists){mg_calloc((size_t)n + 2, sizeof(uint32_t)),
                 mg_calloc(n_entries + 1, sizeof(uint32_t)), n};
    if (!l->starts || !l->indices) return 0;
    /* Where the list after the next begins, until all are filled. */
    for (size_t k = 0; k < n_entries; k++) l->starts[keys[k] + 2]++;
    for (uint32_t i = 2; i <= n; i++) l->starts[i] += l->starts[i - 1];
    for (size_t k = 0; k < n_entries; k++) l->indices[l->starts[keys[k] + 1]++] = members[k];
    return 1;
}

/* The columns of a matrix as lists of rows, which ascend whatever the order in the rows was. */
static int transpose(const lists *rows, uint32_t n_columns, lists *columns) {
    const uint32_t n = rows->starts[rows->n];
    uint32_t *row_of = mg_calloc((size_t)n + 1, sizeof *row_of);
    if (!row_of) return 0;
    for (uint32_t i = 0; i < rows->n; i++)
        for (uint32_t k = rows->starts[i]; k < rows->starts[i + 1]; k++) row_of[k] = i;
    const int done = make_lists(rows->indices, row_of, n, n_columns, columns);
    mg_free(row_of);
    return done;
}

/* The least colour that `vertex` has not met; *n_colours grows if there is none. */
static uint32_t least_colour(uint32_t vertex, const uint32_t *last_met, uint32_t *n_colours) {
    uint32_t colour = 0;
    while (colour < *n_colours && last_met[colour] == vertex) colour++;
    if (colour == *n_colours) ++*n_colours;
    return colour;
}

/* Colours for columns, so that no row has two of one. Returns how many there are. */
static uint32_t colour_columns(const lists *rows, const lists *columns, uint32_t *colour,
                               uint32_t *last_met) {
    uint32_t n_colours = 0;
    for (uint32_t j = 0; j < columns->n; j++) last_met[j] = MG_NO_COLUMN;
    for (uint32_t j = 0; j < columns->n; j++) {
        for (uint32_t p = columns->starts[j]; p < columns->starts[j + 1]; p++) {
            const uint32_t row = columns->indices[p];
            for (uint32_t q = rows->starts[row]; q < rows->starts[row + 1]; q++)
                if (rows->indices[q] < j) last_met[colour[rows->indices[q]]] = j;
        }
        colour[j] = least_colour(j, last_met, &n_colours);
    }
    return n_colours;
}

/* Colours for a symmetric matrix with its whole diagonal. */
static uint32_t colour_stars(const lists *matrix, uint32_t *colour, uint32_t *last_met) {
    uint32_t n_colours = 0;
    for (uint32_t v = 0; v < matrix->n; v++) last_met[v] = MG_NO_COLUMN;
    for (uint32_t v = 0; v < matrix->n; v++) {
        for (uint32_t p = matrix->starts[v]; p < matrix->starts[v + 1]; p++) {
            const uint32_t w = matrix->indices[p];
            if (w == v) continue;
            if (w < v) last_met[colour[w]] = v;
            for (uint32_t q = matrix->starts[w]; q < matrix->starts[w + 1]; q++) {
                const uint32_t x = matrix->indices[q];
                if (x >= v || x == w) continue;
                if (w > v || colour[x] < colour[w]) last_met[colour[x]] = v;
            }
        }
        colour[v] = least_colour(v, last_met, &n_colours);
    }
    return n_colours;
}

static int make_rooms(mg_sparse_plan *plan, uint32_t n_groups) {
    const size_t n = (size_t)plan->n + 1;
    plan->n_groups = n_groups;
    plan->colours = mg_calloc(n, sizeof *plan->colours);
    plan->places = mg_calloc(n, sizeof *plan->places);
    plan->groups = mg_calloc((size_t)n_groups + 1, sizeof *plan->groups);
    return plan->colours && plan->places && plan->groups;
}

/* Take the rows of the matrix, which the plan owns from now on. */
static void take_rows(mg_sparse_plan *plan, lists *rows) {
    plan->starts = rows->starts;
    plan->indices = rows->indices;
    plan->n_rows = rows->n;
    plan->n = rows->starts[rows->n];
    *rows = (lists){0};
}

void mg_sparse_plan_free(mg_sparse_plan *plan) {
    mg_free(plan->starts);
    mg_free(plan->indices);
    mg_free(plan->colours);
    mg_free(plan->places);
    mg_free(plan->groups);
    *plan = (mg_sparse_plan){0};
}

static int plan_jacobian(const lists *rows, const lists *columns, mg_sparse_plan *plan) {
    const size_t n_most = (size_t)rows->n + columns->n + 1;
    uint32_t *of_columns = mg_calloc(3 * n_most, sizeof *of_columns);
    if (!of_columns) return 0;
    uint32_t *const of_rows = of_columns + n_most, *const last_met = of_rows + n_most;
    const uint32_t n_of_columns = colour_columns(rows, columns, of_columns, last_met);
    const uint32_t n_of_rows = colour_columns(columns, rows, of_rows, last_met);
    plan->n = rows->starts[rows->n];
    plan->by_rows = n_of_rows < n_of_columns;
    plan->n_colours = plan->by_rows ? n_of_rows : n_of_columns;
    const int made = make_rooms(plan, plan->by_rows ? rows->n : columns->n);
    for (uint32_t i = 0; made && i < plan->n_groups; i++)
        plan->groups[i] = plan->by_rows ? of_rows[i] : of_columns[i];
    for (uint32_t i = 0; made && i < rows->n; i++) {
        for (uint32_t k = rows->starts[i]; k < rows->starts[i + 1]; k++) {
            const uint32_t j = rows->indices[k];
            plan->colours[k] = plan->by_rows ? of_rows[i] : of_columns[j];
            plan->places[k] = plan->by_rows ? j : i;
        }
    }
    mg_free(of_columns);
    return made;
}

mg_status mg_plan_jacobian(const mg_tape *tape, mg_columns columns, mg_sparse_plan *plan) {
    mg_places places;
    lists by_column = {0}, by_row = {0};
    *plan = (mg_sparse_plan){0};
    if (mg_jacobian_places(tape, columns, &places) != MG_OK) return MG_NO_MEMORY;
    /* The places are output by output, so that the rows in a column ascend. */
    int done = places.n < UINT32_MAX &&
               make_lists(places.columns, places.rows, places.n, columns.n, &by_column) &&
               transpose(&by_column, tape->n_outputs, &by_row) &&
               plan_jacobian(&by_row, &by_column, plan);
    mg_free(places.rows);
    mg_free(places.columns);
    if (done) take_rows(plan, &by_row);
    free_lists(&by_row);
    free_lists(&by_column);
    if (done) return MG_OK;
    mg_sparse_plan_free(plan);
    return MG_NO_MEMORY;
}

/* Both triangles of a matrix whose lower one is given, sorted; with its whole diagonal if `full`.
 */
static int mirrored(const mg_places *places, uint32_t n, int full, lists *matrix) {
    const size_t most = 2 * places->n + n;
    lists unsorted = {0};
    if (most >= UINT32_MAX) return 0;
    uint32_t *rows = mg_calloc(2 * most + 1, sizeof *rows), *const columns = rows + most;
    if (!rows) return 0;
    uint32_t m = 0;
    for (size_t k = 0; k < places->n; k++) {
        const uint32_t i = places->rows[k], j = places->columns[k];
        if (i == j && full) continue;
        rows[m] = i;
        columns[m++] = j;
        if (i == j) continue;
        rows[m] = j;
        columns[m++] = i;
    }
    for (uint32_t i = 0; full && i < n; i++) {
        rows[m] = i;
        columns[m++] = i;
    }
    /* Its own transpose, in which the order ascends. */
    const int done = make_lists(rows, columns, m, n, &unsorted) && transpose(&unsorted, n, matrix);
    free_lists(&unsorted);
    mg_free(rows);
    return done;
}

/* Where each entry is taken from. The product with a colour has at i the entry of i's only
 * neighbour of that colour, or a sum: of (i, j) and (j, i) one is alone, and both are taken from
 * there. `whole` has the matrix with its diagonal. */
static int plan_hessian(const lists *rows, const lists *whole, mg_sparse_plan *plan) {
    const uint32_t n = rows->n;
    uint32_t *room = mg_calloc(3 * (size_t)n + 1, sizeof *room);
    plan->n = rows->starts[n];
    if (!room || !make_rooms(plan, n)) {
        mg_free(room);
        return 0;
    }
    uint32_t *const last_met = room, *const counts = room + n, *const next = counts + n;
    const uint32_t *const colour = plan->groups;
    plan->n_colours = colour_stars(whole, plan->groups, last_met);
    for (uint32_t i = 0; i < n; i++) next[i] = rows->starts[i];
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t p = whole->starts[i]; p < whole->starts[i + 1]; p++)
            counts[colour[whole->indices[p]]]++;
        for (uint32_t k = rows->starts[i]; k < rows->starts[i + 1]; k++) {
            const uint32_t j = rows->indices[k];
            if (j < i) continue;
            const int alone = counts[colour[j]] == 1;
            plan->colours[k] = alone ? colour[j] : colour[i];
            plan->places[k] = alone ? i : j;
            if (j == i) continue;
            /* Row j's entries of columns below j come in the order of those columns. */
            plan->colours[next[j]] = plan->colours[k];
            plan->places[next[j]++] = plan->places[k];
        }
        for (uint32_t p = whole->starts[i]; p < whole->starts[i + 1]; p++)
            counts[colour[whole->indices[p]]] = 0;
    }
    mg_free(room);
    return 1;
}

mg_status mg_plan_hessian(const mg_tape *tape, mg_columns columns, mg_sparse_plan *plan) {
    mg_places places;
    lists rows = {0}, whole = {0};
    *plan = (mg_sparse_plan){0};
    if (mg_hessian_places(tape, columns, &places) != MG_OK) return MG_NO_MEMORY;
    const int done = mirrored(&places, columns.n, 0, &rows) &&
                     mirrored(&places, columns.n, 1, &whole) && plan_hessian(&rows, &whole, plan);
    mg_free(places.rows);
    mg_free(places.columns);
    if (done) take_rows(plan, &rows);
    free_lists(&rows);
    free_lists(&whole);
    if (done) return MG_OK;
    mg_sparse_plan_free(plan);
    return MG_NO_MEMORY;
}
