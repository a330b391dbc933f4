/* The C library's allocation, or one that fails on demand. */
#include "base/memory.h"

#include <stdlib.h>

#ifdef MG_TESTING
static long allocations_left;

void mg_testing_fail_allocation(long nth) { allocations_left = nth; }
#endif

void *mg_realloc(void *block, size_t size) {
#ifdef MG_TESTING
    if (allocations_left > 0 && --allocations_left == 0) return NULL;
#endif
    return realloc(block, size);
}

void *mg_calloc(size_t n_items, size_t item_size) {
#ifdef MG_TESTING
    if (allocations_left > 0 && --allocations_left == 0) return NULL;
#endif
    return calloc(n_items ? n_items : 1, item_size);
}

void mg_free(void *block) { free(block); }
