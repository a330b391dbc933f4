# What the crossing uses of csrc/loops.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from micrograd_fast._core.csrc.base cimport *
from micrograd_fast._core.csrc.ops cimport *


cdef extern from "loops/loops.h":
    ctypedef struct mg_loops:
        const char *name

    const mg_loops *const *mg_loops_available(size_t *n)
    const mg_loops *mg_loops_current()
    int mg_loops_select(const char *name)
