/* realloc, calloc and free of everything in csrc; a test build can make the nth call fail. */
#ifndef MG_MEMORY_H
#define MG_MEMORY_H

#include <stddef.h>

void *mg_realloc(void *block, size_t size);
void *mg_calloc(size_t n_items, size_t item_size);
void mg_free(void *block);

#ifdef MG_TESTING
/* The nth allocation from now fails (0: none does). Small arenas grow by one node at a time. */
void mg_testing_fail_allocation(long nth);
#endif

#endif
