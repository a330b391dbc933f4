# What the crossing uses of csrc/nodes.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from micrograd_fast._core.csrc.base cimport *
from micrograd_fast._core.csrc.ops cimport *
from micrograd_fast._core.csrc.loops cimport *


cdef extern from "nodes/arena.h":
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
        MG_ASSIGNED
        MG_FROZEN

    ctypedef struct mg_operands:
        mg_node a
        mg_node b

    ctypedef struct mg_meta:
        uint32_t refs
        uint8_t op
        uint8_t arity
        uint8_t flags
        uint8_t marks

    ctypedef struct mg_extra:
        uint32_t n_operands
        uint32_t n_values
        double *values

    ctypedef struct mg_layer_block:
        mg_node base
        uint32_t n_rows
        uint32_t n_in
        mg_call *calls

    ctypedef struct mg_activation:
        mg_op op
        double k

    ctypedef struct mg_call "struct mg_call":
        uint32_t n_rows
        uint32_t n_in
        mg_activation activation
        double *x
        mg_node *inputs
        mg_node *neurons

    ctypedef union mg_aux:
        double immediate
        mg_extra *extra
        mg_layer_block *block
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
        int (*node_has_hook)(mg_arena *arena, mg_node node) noexcept

    void mg_arena_next_epoch(mg_arena *arena)
    uint32_t mg_arena_begin_counts(mg_arena *arena)
    uint32_t mg_arena_count(mg_arena *arena, mg_node node, uint32_t first_count)
    void mg_arena_init(mg_arena *arena)
    mg_node mg_arena_take_span(mg_arena *arena, mg_node n_nodes)
    mg_extra *mg_extra_new(uint32_t n_operands, uint32_t n_values)
    mg_node *mg_extra_operands(mg_extra *extra)
    mg_status mg_arena_reserve(mg_arena *arena, mg_node n_nodes)
    mg_status mg_arena_promise(mg_arena *arena, mg_node n_nodes)
    mg_node mg_arena_leaf(mg_arena *arena, double data)
    mg_node mg_arena_literal(mg_arena *arena, double data)
    mg_node mg_arena_node(mg_arena *arena, mg_op op, mg_node a, mg_node b, double k, double value)
    mg_node mg_apply_known(mg_arena *arena, mg_op op, mg_node a, mg_node b)
    mg_node mg_apply(mg_arena *arena, mg_op op, mg_node a, mg_node b, double k, mg_status *st)
    mg_node mg_arena_node_extra(mg_arena *arena, mg_op op, mg_node a, mg_extra *extra,
                                double value)
    void mg_arena_release(mg_arena *arena, mg_node node)
    void mg_arena_exchange(mg_arena *arena, mg_node one, mg_node other)
    void mg_arena_discard(mg_arena *arena, mg_node node)
    uint32_t mg_node_operands(mg_arena *arena, mg_node node, const mg_node **operands)
    void mg_node_immediates(mg_arena *arena, mg_node node, double *k, double *h)
    size_t mg_arena_node_bytes()


cdef extern from "nodes/products.h":
    mg_node mg_arena_add_products(mg_arena *arena, mg_node total, const mg_operands *pairs,
                                  mg_node n_pairs, int first)


cdef extern from "nodes/take.h":
    uint32_t mg_candidates(const mg_arena *arena, mg_node take, const mg_node **candidates)
    mg_node mg_arena_join(mg_arena *arena, const mg_node *candidates, uint32_t n_candidates)
    mg_node mg_arena_take_one(mg_arena *arena, mg_node join, mg_node index)
