# What the crossing uses of csrc/loops.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from micrograd_fast._core.csrc.base cimport *
from micrograd_fast._core.csrc.ops cimport *


cdef extern from "loops/kernels.h":
    ctypedef enum mg_arithmetic:
        MG_EXACT_ARITHMETIC
        MG_FAST_ARITHMETIC
        MG_SINGLE_ARITHMETIC

    ctypedef struct mg_kernels:
        const char *name

    const mg_kernels *const *mg_kernels_available(size_t *n)
    const mg_kernels *mg_kernels_current()
    int mg_kernels_select(const char *name)
