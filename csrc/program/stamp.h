/* Stamping: the nodes of a formula, made in the arena as often as wanted.
 *
 * A formula is recorded once, on stand-ins for its arguments. Its tape then says which nodes it
 * makes, whatever the data are; stamping is the inverse of recording, with other operands each
 * time. An argument is a Value, whose node is an operand, or a number. A number becomes a leaf at
 * each of its uses (mg_stamp_literal), or chooses one of several nodes (mg_stamp_pick).
 */
#ifndef MG_STAMP_H
#define MG_STAMP_H

#include "program/tape.h"

/* An argument that is a number. Python's ints know no negative zero. */
typedef struct {
    double value;
    int is_int;
} mg_number;

/* A leaf: an argument, or its negative, plus an offset that is 0 where there is none. */
typedef struct {
    uint32_t number; /* which of the numbers */
    int negated;
    double offset;
} mg_stamp_literal;

/* One of several nodes, candidates[number]. */
typedef struct {
    uint32_t number;              /* which of the numbers */
    uint32_t first, n_candidates; /* outputs of the tape */
    uint32_t input;               /* the input of the tape that stands for what was picked */
    uint32_t first_use;           /* the first entry that needs it */
} mg_stamp_pick;

/* Inputs of the tape are the Values, then what is picked, then the literals; outputs are all
 * candidates, then the results. */
typedef struct {
    mg_tape tape;
    mg_stamp_pick *picks;
    mg_stamp_literal *literals;
    uint32_t n_values, n_picks, n_literals, n_numbers, n_results;
    int has_loose; /* some candidates have no use but to be picked */
} mg_formula;

/* Complete a formula of which everything but `input`, `first_use` and `has_loose` is filled in.
 * False if it cannot be stamped: its numbers make no sense, it has TAKEs, leaves of its own that
 * are no literals, a literal without a use, or a result that is not a node of its own. */
int mg_formula_complete(mg_formula *formula);

/* Make the nodes of a formula. `values` and `numbers` are its arguments; `places` has room for as
 * many nodes as the tape has entries. results[i] have no reference yet. On failure nothing has
 * changed: MG_NO_MEMORY, or another status where the formula itself would fail, too: in an
 * operation, or because a number is not the place of a candidate. Runs no hook but
 * handle_acquire, and none at all that could use the arena. */
mg_status mg_formula_stamp(mg_arena *arena, const mg_formula *formula, const mg_node *values,
                           const mg_number *numbers, mg_node *places, mg_node *results);

/* Make the nodes of a formula of one result for rows of arguments, one after the other, and of the
 * sum of its results, which goes on from *total as in mg_sum_step. On failure, likewise, nothing
 * has changed but that the total is gone; *n_done says how many rows did not fail. */
mg_status mg_formula_stamp_sum(mg_arena *arena, const mg_formula *formula, const mg_node *values,
                               const mg_number *numbers, size_t n_rows, mg_node *places, int first,
                               mg_node *total, size_t *n_done);

void mg_formula_free(mg_formula *formula);

/* Python's sum, step by step: `total` was a literal, the 0 that it starts from, if this is the
 * `first` step, and has no reference. The new total, or MG_NO_NODE when memory is out; then the
 * total is gone, and the term if nothing else refers to it. A term that is MG_NO_NODE already
 * counts as memory that ran out. */
static inline mg_node mg_sum_step(mg_arena *arena, mg_node total, mg_node term, int first) {
    mg_node sum = MG_NO_NODE;
    if (total != MG_NO_NODE && term != MG_NO_NODE) {
        const mg_node a = first ? term : total, b = first ? total : term;
        sum = mg_arena_node(arena, MG_ADD, a, b, 0.0, arena->data[a] + arena->data[b]);
    }
    if (sum == MG_NO_NODE) {
        if (total != MG_NO_NODE) mg_arena_discard(arena, total);
        if (term != MG_NO_NODE && arena->meta[term].refs == 0) mg_arena_discard(arena, term);
    }
    return sum;
}

#endif
