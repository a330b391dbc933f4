/* Making sums of products; nodes/products.h says more. */
#include "nodes/products.h"

/* The columns, which stay where they are, and the slots that come next: in registers. */
typedef struct {
    double *data, *grad;
    mg_operands *operands;
    mg_meta *meta;
    mg_aux *aux;
    void **handle;
    uint32_t *mark;
    mg_node free, top;
} columns;

static MG_ALWAYS_INLINE mg_node take(mg_arena *arena, columns *c) {
    mg_node node = c->free;
    if (node == MG_NO_NODE) {
        if (c->top < arena->cap) {
            node = c->top++;
            c->mark[node] = 0;
            return node;
        }
        /* The room that was promised lies in a span: there is nothing to allocate. */
        arena->free = MG_NO_NODE;
        mg_arena_make_room(arena);
        node = arena->free;
    }
    c->free = c->operands[node].a;
    return node;
}

/* A node of two operands with one reference already: that of a user to come. */
static MG_ALWAYS_INLINE mg_node put(mg_arena *arena, columns *c, mg_op op, mg_node a, mg_node b,
                                    double value) {
    const mg_node node = take(arena, c);
    c->data[node] = value;
    c->grad[node] = 0.0;
    c->operands[node] = (mg_operands){a, b};
    c->meta[node] = (mg_meta){1, (uint8_t)op, 2, 0, 0};
    c->aux[node].immediate = 0.0;
    c->handle[node] = NULL;
    return node;
}

mg_node mg_arena_add_products(mg_arena *arena, mg_node total, const mg_operands *pairs,
                              mg_node n_pairs, int first) {
    columns c = {arena->data,   arena->grad, arena->operands, arena->meta, arena->aux,
                 arena->handle, arena->mark, arena->free,     arena->top};
    double sum = c.data[total];
    for (mg_node i = 0; i < n_pairs; i++) {
        const mg_operands pair = pairs[i];
        const double value = c.data[pair.a] * c.data[pair.b];
        mg_arena_use(arena, pair.a);
        mg_arena_use(arena, pair.b);
        const mg_node product = put(arena, &c, MG_MUL, pair.a, pair.b, value);
        if (first) {
            sum = value + sum;
            total = put(arena, &c, MG_ADD, product, total, sum);
            first = 0;
        } else {
            sum = sum + value;
            total = put(arena, &c, MG_ADD, total, product, sum);
        }
    }
    arena->free = c.free;
    arena->top = c.top;
    arena->n_live += 2 * n_pairs;
    return total;
}
