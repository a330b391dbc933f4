# What the crossing uses of csrc, and the handful of Python C functions that it calls with
# explicit reference counts.

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from "mg_ops.h":
    ctypedef enum mg_status:
        MG_OK
        MG_NO_MEMORY
        MG_ZERO_DIVISION
        MG_OVERFLOW
        MG_DOMAIN
        MG_CALLBACK

    ctypedef enum mg_op:
        MG_LEAF
        MG_LOCAL
        MG_NEURON
        MG_ADD
        MG_MUL
        MG_POW_CONST
        MG_POW
        MG_EXP
        MG_LOG
        MG_RELU
        MG_ABS
        MG_LEAKY_RELU
        MG_ELU
        MG_CLIP
        MG_MAXIMUM
        MG_DETACH
        MG_N_OPS

    ctypedef struct mg_op_info:
        const char *name
        const char *label
        const char *domain
        const char *doc
        uint8_t arity
        uint8_t n_immediates

    const mg_op_info mg_ops[]

    double mg_pow(double base, double exponent, mg_status *st)
    double mg_op_value(mg_op op, double a, double b, double k, double h, mg_status *st)


cdef extern from "mg_arena.h":
    ctypedef uint32_t mg_node
    const mg_node MG_NO_NODE
    const uint8_t MG_NARY
    const uint8_t MG_FUSED
    enum:
        MG_PINNED
        MG_CUSTOM
        MG_HAS_EXTRA
        MG_FLOAT_POWER
        MG_BOOL_POWER
        MG_PARAMETER
        MG_LITERAL

    ctypedef struct mg_operands:
        mg_node a
        mg_node b

    ctypedef struct mg_meta:
        uint32_t refs
        uint8_t op
        uint8_t arity
        uint8_t flags

    ctypedef struct mg_extra:
        uint32_t n_operands
        uint32_t n_values
        double *values

    ctypedef struct mg_block:
        mg_node base
        uint32_t n_rows
        uint32_t n_in
        mg_call *calls
        const void *owner
        const void **row_owners
        uint64_t version
        mg_op activation
        double activation_k

    ctypedef struct mg_call "struct mg_call":
        uint32_t n_rows
        mg_op activation
        double *x
        mg_node *inputs
        mg_node *neurons

    ctypedef union mg_aux:
        double immediate
        mg_extra *extra
        mg_block *block
        mg_call *call

    ctypedef struct mg_arena:
        double *data
        double *grad
        mg_operands *operands
        mg_meta *meta
        mg_aux *aux
        void **handle
        uint32_t *mark
        mg_node cap
        mg_node top
        mg_node dying
        mg_node n_live
        uint32_t epoch
        int negative_zero_grads
        void (*handle_acquire)(void *handle) noexcept
        void (*handle_drop)(void *handle) noexcept

    void mg_arena_next_epoch(mg_arena *arena)
    void mg_arena_init(mg_arena *arena)
    mg_node mg_arena_take_run(mg_arena *arena, mg_node n_nodes)
    mg_extra *mg_extra_new(uint32_t n_operands, uint32_t n_values)
    mg_node *mg_extra_operands(mg_extra *extra)
    void *mg_realloc(void *block, size_t size)
    void *mg_calloc(size_t n_items, size_t item_size)
    void mg_free(void *block)
    mg_status mg_arena_reserve(mg_arena *arena, mg_node n_nodes)
    mg_node mg_arena_leaf(mg_arena *arena, double data)
    mg_node mg_arena_literal(mg_arena *arena, double data)
    mg_node mg_arena_node(mg_arena *arena, mg_op op, mg_node a, mg_node b, double k, double value)
    mg_node mg_arena_node_extra(mg_arena *arena, mg_op op, mg_node a, mg_extra *extra,
                                double value)
    void mg_arena_release(mg_arena *arena, mg_node node)
    void mg_arena_exchange(mg_arena *arena, mg_node one, mg_node other)
    void mg_arena_discard(mg_arena *arena, mg_node node)
    uint32_t mg_node_operands(mg_arena *arena, mg_node node, const mg_node **operands)
    void mg_node_immediates(mg_arena *arena, mg_node node, double *k, double *h)
    size_t mg_arena_node_bytes()


cdef extern from "mg_kernels.h":
    ctypedef enum mg_arithmetic:
        MG_EXACT_ARITHMETIC
        MG_FAST_ARITHMETIC
        MG_SINGLE_ARITHMETIC

    ctypedef struct mg_kernels:
        const char *name

    const mg_kernels *const *mg_kernels_available(size_t *n)
    const mg_kernels *mg_kernels_current()
    int mg_kernels_select(const char *name)


cdef extern from "mg_layer.h":
    void mg_layer_attach(mg_arena *arena)
    mg_block *mg_block_new(mg_arena *arena, mg_node base, uint32_t n_rows, uint32_t n_in, int run)
    mg_status mg_block_dissolve(mg_arena *arena, mg_block *block)
    void mg_parameter_pinned(mg_arena *arena, mg_node node) noexcept
    void mg_parameter_unpinned(mg_arena *arena, mg_node node) noexcept
    bint mg_parameter_in_use(const mg_arena *arena, mg_node node) noexcept
    mg_status mg_block_before_write(mg_arena *arena, mg_block *block)
    mg_status mg_block_values(mg_arena *arena, mg_block *block, const double *x, double *values,
                              double *failed_pre)
    mg_call *mg_call_new(mg_block *block, uint32_t first_row, uint32_t n_rows, int with_values)
    void mg_call_free(mg_call *call)
    void mg_call_find_duplicates(mg_arena *arena, mg_call *call)
    mg_status mg_call_forward(mg_arena *arena, mg_call *call, double *failed_pre)
    mg_status mg_neuron_expand(mg_arena *arena, mg_node neuron)
    void mg_neuron_zero_grad(mg_arena *arena, mg_node neuron)


cdef extern from "mg_optim.h":
    ctypedef struct mg_sgd:
        double lr
        double momentum
        double dampening
        double weight_decay
        int nesterov

    ctypedef struct mg_adam:
        double lr
        double beta1
        double beta2
        double eps
        double weight_decay
        int decoupled
        double correction1
        double correction2

    ctypedef struct mg_run:
        mg_node first
        uint32_t n_nodes

    mg_status mg_run_before_write(mg_arena *arena, mg_run run)
    void mg_run_zero_grad(mg_arena *arena, mg_run run)
    void mg_sgd_step(mg_arena *arena, mg_run run, const mg_sgd *rule, double *velocity, int first)
    mg_status mg_adam_step(mg_arena *arena, mg_run run, const mg_adam *rule, double *m, double *v,
                           size_t *n_done)


cdef extern from "mg_order.h":
    ctypedef enum mg_order_scope:
        MG_ORDER_ACTIVE
        MG_ORDER_ALL
        MG_ORDER_FUSED

    ctypedef struct mg_order:
        mg_node *nodes
        size_t n_nodes
        size_t nodes_cap

    mg_status mg_order_build(mg_arena *arena, mg_node root, mg_order_scope scope,
                             mg_order *order)
    void mg_order_free(mg_order *order)


cdef extern from "mg_backward.h":
    ctypedef struct mg_failure:
        mg_node node
        double a
        double b

    ctypedef mg_status (*mg_custom_backward)(void *context, mg_node node) noexcept

    mg_status mg_backward_node(mg_arena *arena, mg_node node, mg_failure *failure)
    mg_status mg_backward_sweep(mg_arena *arena, mg_order *order, mg_custom_backward custom,
                                void *context, mg_failure *failure)
    double mg_local_gradient(mg_arena *arena, mg_node node, uint32_t index, mg_status *st)


cdef extern from "mg_tape.h":
    ctypedef struct mg_entry:
        double k
        double h
        uint32_t a
        uint32_t b
        uint8_t op
        uint8_t leaf
        uint8_t arity

    ctypedef struct mg_tape:
        mg_entry *entries
        uint32_t n_entries
        uint32_t *outputs
        uint32_t n_outputs
        uint32_t n_inputs
        uint32_t n_parameters

    ctypedef enum mg_refusal:
        MG_FREEZABLE
        MG_HAS_CLOSURE
        MG_HAS_NO_RULE
        MG_UNUSED_INPUT

    ctypedef struct mg_refused:
        mg_refusal refusal
        mg_node node
        uint32_t index

    mg_status mg_tape_record(mg_arena *arena, const mg_node *roots, uint32_t n_roots,
                             const mg_node *inputs, uint32_t n_inputs, int need_inputs,
                             mg_tape *tape, mg_node **parameters, mg_refused *refused)
    int mg_tape_is_sound(const mg_tape *tape)
    void mg_tape_free(mg_tape *tape)


cdef extern from "mg_program.h":
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

    mg_program *mg_program_new(mg_tape *tape)
    void mg_program_free(mg_program *program)


cdef extern from "mg_workspace.h":
    ctypedef struct mg_binding:
        mg_node *nodes

    mg_status mg_binding_set(mg_binding *binding, const mg_program *program, mg_node *nodes)
    void mg_binding_free(mg_binding *binding)

    ctypedef struct mg_workspace:
        mg_workspace *next
        size_t lanes

    mg_workspace *mg_workspace_new(const mg_program *program, size_t lanes)
    void mg_workspace_free(mg_workspace *workspace)
    size_t mg_lanes_for(const mg_program *program, size_t n_rows)
    void mg_workspace_load(mg_workspace *workspace, const mg_program *program,
                           const mg_binding *binding, const mg_arena *arena, int with_gradients)
    void mg_workspace_zero_gradients(mg_workspace *workspace, const mg_program *program)
    void mg_workspace_gradients(const mg_workspace *workspace, const mg_program *program,
                                double *gradients)
    void mg_workspace_add_shares(const mg_workspace *workspace, const mg_program *program,
                                 uint32_t output, const mg_binding *binding, mg_arena *arena)
    int mg_workspace_store(const mg_workspace *workspace, const mg_program *program,
                           const mg_binding *binding, mg_arena *arena)


cdef extern from "mg_strip.h":
    ctypedef struct mg_tangent:
        mg_workspace *dual
        const double *input_direction
        const double *parameter_direction
        double *by_inputs
        int by_parameters

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
        int add_up
        int keep_shares
        const mg_tangent *tangent

    ctypedef struct mg_replay_failure:
        size_t row
        uint32_t entry
        double a
        double b
        int in_sweep


cdef extern from "mg_replay.h":
    mg_status mg_replay(const mg_program *program, mg_workspace *workspace, const mg_batch *batch,
                        mg_replay_failure *failure) nogil
