# What the crossing uses of csrc/program.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from micrograd_fast._core.csrc.base cimport *
from micrograd_fast._core.csrc.ops cimport *
from micrograd_fast._core.csrc.loops cimport *
from micrograd_fast._core.csrc.nodes cimport *
from micrograd_fast._core.csrc.layer cimport *
from micrograd_fast._core.csrc.graph cimport *


cdef extern from "program/tape.h":
    ctypedef struct mg_entry:
        double k
        double h
        uint32_t a
        uint32_t b
        uint8_t op
        uint8_t leaf
        uint8_t arity
        uint8_t flags

    ctypedef struct mg_tape:
        mg_entry *entries
        uint32_t n_entries
        uint32_t *candidates
        uint32_t n_candidates
        uint32_t n_functions
        uint32_t *outputs
        uint32_t n_outputs
        uint32_t n_inputs
        uint32_t n_parameters

    int MG_FREE

    ctypedef enum mg_refusal:
        MG_FREEZABLE
        MG_HAS_CLOSURE
        MG_HAS_NO_RULE
        MG_HAS_DATA

    ctypedef struct mg_refused:
        mg_refusal refusal
        mg_node node

    ctypedef struct mg_known_leaves:
        const mg_node *inputs
        const mg_node *parameters
        uint32_t n_inputs
        uint32_t n_parameters

    ctypedef struct mg_known_functions:
        mg_status (*function_of)(void *context, mg_node node, uint32_t *function) noexcept
        void *context

    mg_status mg_tape_record(mg_arena *arena, const mg_node *roots, uint32_t n_roots,
                             const mg_known_leaves *known, const mg_known_functions *functions,
                             mg_tape *tape, mg_node **parameters, mg_refused *refused)
    int mg_tape_is_sound(const mg_tape *tape)
    mg_status mg_tape_weighted(const mg_tape *tape, mg_tape *weighted)
    void mg_tape_free(mg_tape *tape)


cdef extern from "program/stamp.h":
    ctypedef struct mg_number:
        double value
        int is_int

    ctypedef struct mg_stamp_literal:
        uint32_t number
        int negated
        double offset

    ctypedef struct mg_stamp_pick:
        uint32_t number
        uint32_t first
        uint32_t n_candidates

    ctypedef struct mg_formula:
        mg_tape tape
        mg_stamp_pick *picks
        mg_stamp_literal *literals
        uint32_t n_values
        uint32_t n_picks
        uint32_t n_literals
        uint32_t n_numbers
        uint32_t n_results

    int mg_formula_complete(mg_formula *formula)
    mg_status mg_formula_stamp(mg_arena *arena, const mg_formula *formula, const mg_node *values,
                               const mg_number *numbers, mg_node *places, mg_node *results)
    void mg_formula_free(mg_formula *formula)
    mg_status mg_formula_stamp_sum(mg_arena *arena, const mg_formula *formula,
                                   const mg_node *values, const mg_number *numbers, size_t n_rows,
                                   mg_node *places, bint first, mg_node *total, size_t *n_done)
    mg_node mg_sum_step(mg_arena *arena, mg_node total, mg_node term, int first)


cdef extern from "program/program.h":
    ctypedef enum mg_arithmetic:
        MG_EXACT_ARITHMETIC
        MG_FAST_ARITHMETIC
        MG_SINGLE_ARITHMETIC

    ctypedef struct mg_program_stats:
        uint32_t n_nodes
        uint32_t n_steps
        uint32_t n_sums
        uint32_t n_blocks
        uint32_t n_runs
        uint32_t n_folded
        uint32_t n_shared
        uint32_t n_dropped
        size_t n_bytes

    ctypedef struct mg_program:
        mg_tape tape
        mg_entry *entries
        mg_arithmetic arithmetic
        mg_program_stats stats

    mg_program *mg_program_new(mg_tape *tape, mg_arithmetic arithmetic)
    void mg_program_free(mg_program *program)


cdef extern from "program/workspace.h":
    ctypedef struct mg_binding:
        mg_node *nodes

    mg_status mg_binding_set(mg_binding *binding, const mg_program *program, mg_node *nodes)
    void mg_binding_free(mg_binding *binding)
    size_t mg_lanes_for(const mg_program *program, uint32_t output, size_t n_rows)


cdef extern from "program/replay.h":
    ctypedef enum mg_function_part:
        MG_FUNCTION_VALUE
        MG_FUNCTION_SLOPES
        MG_FUNCTION_SECONDS

    ctypedef struct mg_function_call:
        uint32_t function
        mg_function_part part
        size_t n_rows
        const double *operands
        double *results
        int goes_on
        size_t row
        size_t reason

    ctypedef struct mg_functions:
        mg_status (*call)(void *context, mg_function_call *call) noexcept
        void *context

    ctypedef struct mg_batch:
        const char *rows
        Py_ssize_t row_stride
        Py_ssize_t column_stride
        size_t n_rows
        double *values
        int backward
        uint32_t output
        const double *seeds
        double seed
        double *input_gradients
        double *parameter_rows
        double *parameter_sums
        int add_to_parameters
        int goes_on
        const mg_functions *functions

    ctypedef struct mg_replay_failure:
        size_t row
        uint32_t entry
        double a
        double b
        int derivative

    ctypedef struct mg_watch:
        double every
        size_t n_done
        double asked_at


cdef extern from "program/colour.h":
    const uint32_t MG_NO_COLUMN

    ctypedef struct mg_columns:
        const uint32_t *of_inputs
        const uint32_t *of_parameters
        uint32_t n

    ctypedef struct mg_sparse_plan:
        uint32_t *starts
        uint32_t *indices
        uint32_t *colours
        uint32_t *places
        uint32_t *groups
        uint32_t n_rows
        uint32_t n_groups
        uint32_t n_colours
        uint32_t n
        int by_rows

    mg_status mg_plan_jacobian(const mg_tape *tape, mg_columns columns, mg_sparse_plan *plan)
    mg_status mg_plan_hessian(const mg_tape *tape, mg_columns columns, mg_sparse_plan *plan)
    void mg_sparse_plan_free(mg_sparse_plan *plan)


cdef extern from "program/run.h":
    ctypedef struct mg_host:
        void *context
        const mg_binding *(*bind)(void *context) noexcept
        void (*unlock)(void *context) noexcept nogil
        void (*lock)(void *context) noexcept nogil
        mg_status (*check)(void *context) noexcept
        mg_watch watch

    ctypedef struct mg_directions:
        size_t n
        const double *by_inputs
        const double *by_parameters
        double *input_products
        double *parameter_products
        double *output_products

    void mg_batch_clear(mg_batch *batch)
    mg_status mg_program_run(mg_program *program, mg_arena *arena, const mg_batch *batch,
                             mg_host *host, mg_replay_failure *failure) noexcept
    mg_status mg_program_run_along(mg_program *program, mg_arena *arena, const mg_batch *batch,
                                   const mg_directions *directions, mg_host *host,
                                   mg_replay_failure *failure) noexcept
