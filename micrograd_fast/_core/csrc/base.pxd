# What the crossing uses of csrc/base.

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from "base/status.h":
    ctypedef enum mg_status:
        MG_OK
        MG_NO_MEMORY
        MG_ZERO_DIVISION
        MG_OVERFLOW
        MG_DOMAIN
        MG_INDEX
        MG_CALLBACK
        MG_FUNCTION_FAILED
        MG_INTERFERENCE


cdef extern from "base/memory.h":
    void *mg_realloc(void *block, size_t size)
    void *mg_calloc(size_t n_items, size_t item_size)
    void mg_free(void *block)
