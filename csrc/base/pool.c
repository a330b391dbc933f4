/* A list of allocations, each with a link in front. */
#include "base/pool.h"

#include "base/memory.h"

struct mg_pool_piece {
    struct mg_pool_piece *next;
    double room[];
};

void *mg_pool_take(mg_pool *pool, size_t n_items, size_t item_size) {
    const size_t n_bytes = sizeof(struct mg_pool_piece) + n_items * item_size;
    struct mg_pool_piece *piece = pool->failed ? NULL : mg_calloc(n_bytes, 1);
    if (!piece) {
        pool->failed = 1;
        return NULL;
    }
    piece->next = pool->pieces;
    pool->pieces = piece;
    pool->n_bytes += n_bytes;
    return piece->room;
}

void mg_pool_free(mg_pool *pool) {
    while (pool->pieces) {
        struct mg_pool_piece *piece = pool->pieces;
        pool->pieces = piece->next;
        mg_free(piece);
    }
    pool->n_bytes = 0;
}
