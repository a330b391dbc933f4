# What the crossing uses of csrc/graph.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from micrograd_fast._core.csrc.base cimport *
from micrograd_fast._core.csrc.ops cimport *
from micrograd_fast._core.csrc.loops cimport *
from micrograd_fast._core.csrc.nodes cimport *
from micrograd_fast._core.csrc.layer cimport *


cdef extern from "graph/order.h":
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


cdef extern from "graph/backward.h":
    ctypedef struct mg_failure:
        mg_node node
        double a
        double b

    ctypedef mg_status (*mg_custom_backward)(void *context, mg_node node) noexcept

    mg_status mg_backward_node(mg_arena *arena, mg_node node, mg_failure *failure)
    mg_status mg_backward_sweep(mg_arena *arena, mg_order *order, mg_custom_backward custom,
                                void *context, mg_failure *failure)
    double mg_local_gradient(mg_arena *arena, mg_node node, uint32_t index, mg_status *st)
