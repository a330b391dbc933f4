# What the crossing uses of csrc/ops.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from micrograd_fast._core.csrc.base cimport *


cdef extern from "ops/ops.h":
    ctypedef enum mg_op:
        MG_LEAF
        MG_LOCAL
        MG_NEURON
        MG_JOIN
        MG_FUNCTION
        MG_TAKE
        MG_ADD
        MG_MUL
        MG_POW_CONST
        MG_POW
        MG_EXP
        MG_LOG
        MG_RELU
        MG_ABS
        MG_MAXIMUM
        MG_DETACH
        MG_N_OPS

    ctypedef struct mg_immediate:
        const char *name
        double otherwise

    ctypedef struct mg_op_info:
        const char *name
        const char *label
        const char *wanted
        const char *doc
        mg_immediate immediates[2]
        uint8_t arity
        uint8_t n_immediates
        uint8_t value_errors
        uint8_t slope_errors

    int MG_ERROR_BIT(mg_status status)
    const mg_op_info mg_ops[]

    uint32_t mg_place(double index, uint32_t n)
    double mg_pow(double base, double exponent, mg_status *st)
    double mg_div(double a, double b, mg_status *st)
    void mg_hypot_adds_halves(bint yes)
    double mg_op_value(mg_op op, double a, double b, double k, double h, mg_status *st)
