/* Memory that is given back all at once. */
#ifndef MG_POOL_H
#define MG_POOL_H

#include <stddef.h>

typedef struct mg_pool {
    struct mg_pool_piece *pieces;
    size_t n_bytes;
    int failed; /* some piece was not to be had */
} mg_pool;

/* Zeroed room for `n_items`; NULL, with pool->failed set, when memory is out. */
void *mg_pool_take(mg_pool *pool, size_t n_items, size_t item_size);
void mg_pool_free(mg_pool *pool);

#endif
