# What the crossing uses of csrc/layer.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from micrograd_fast._core.csrc.base cimport *
from micrograd_fast._core.csrc.ops cimport *
from micrograd_fast._core.csrc.loops cimport *
from micrograd_fast._core.csrc.nodes cimport *


cdef extern from "layer/block.h":
    void mg_layer_attach(mg_arena *arena)
    mg_layer_block *mg_layer_block_new(mg_arena *arena, mg_node base, uint32_t n_rows, uint32_t n_in, int is_span)
    mg_status mg_layer_block_dissolve(mg_arena *arena, mg_layer_block *block)
    void mg_parameter_pinned(mg_arena *arena, mg_node node) noexcept
    void mg_parameter_unpinned(mg_arena *arena, mg_node node) noexcept
    bint mg_parameter_in_use(const mg_arena *arena, mg_node node) noexcept
    uint64_t mg_block_changes()
    bint mg_block_is_whole(const mg_layer_block *block) noexcept
    mg_node mg_parameter(const mg_layer_block *block, uint32_t row, uint32_t i) noexcept
    mg_status mg_layer_block_before_write(mg_arena *arena, mg_layer_block *block)


cdef extern from "layer/call.h":
    mg_status mg_call_values(const mg_arena *arena, const mg_layer_block *block, uint32_t first_row,
                             uint32_t n_rows, mg_activation activation, const double *x,
                             double *values, double *failed_pre)
    mg_call *mg_call_new(mg_layer_block *block, uint32_t first_row, uint32_t n_rows,
                         mg_activation activation, int with_values)
    void mg_call_free(mg_call *call)
    void mg_call_find_duplicates(mg_arena *arena, mg_call *call)
    mg_status mg_call_forward(mg_arena *arena, mg_call *call, double *failed_pre)
    void mg_neuron_zero_grad(mg_arena *arena, mg_node neuron)


cdef extern from "layer/expand.h":
    mg_status mg_neuron_expand(mg_arena *arena, mg_node neuron)


cdef extern from "layer/optim.h":
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

    ctypedef struct mg_rmsprop:
        double lr
        double alpha
        double eps
        double weight_decay
        double momentum

    ctypedef struct mg_adagrad:
        double lr
        double eps
        double weight_decay

    ctypedef struct mg_span:
        mg_node first
        uint32_t n_nodes

    mg_status mg_span_before_write(mg_arena *arena, mg_span span)
    void mg_span_zero_grad(mg_arena *arena, mg_span span)
    void mg_span_negate_grad(mg_arena *arena, mg_span span)
    void mg_sgd_step(mg_arena *arena, mg_span span, const mg_sgd *rule, double *velocity, int first)
    void mg_adam_step(mg_arena *arena, mg_span span, const mg_adam *rule, double *m, double *v,
                      double *largest)
    void mg_rmsprop_step(mg_arena *arena, mg_span span, const mg_rmsprop *rule, double *buffer,
                         double *square, double *mean)
    void mg_adagrad_step(mg_arena *arena, mg_span span, const mg_adagrad *rule, double *sum)
    mg_status mg_squares_check(const mg_arena *arena, mg_span span, double weight_decay,
                               size_t *n_good)
