/* Growth and release of the columns; see nodes/arena.h for the invariants. */
#include "nodes/arena.h"

#include <string.h>

void mg_arena_init(mg_arena *arena) {
    memset(arena, 0, sizeof *arena);
    arena->free = MG_NO_NODE;
    arena->spans = MG_NO_NODE;
    arena->dying = MG_NO_NODE;
}

void mg_arena_destroy(mg_arena *arena) {
    for (mg_node node = 0; node < arena->top; node++) {
        mg_meta *meta = &arena->meta[node];
        if (meta->refs > 0 && (meta->flags & MG_HAS_EXTRA)) mg_free(arena->aux[node].extra);
    }
    mg_free(arena->data);
    mg_free(arena->grad);
    mg_free(arena->operands);
    mg_free(arena->meta);
    mg_free(arena->aux);
    mg_free(arena->handle);
    mg_free(arena->mark);
    mg_arena_init(arena);
}

size_t mg_arena_node_bytes(void) {
    mg_arena *columns = NULL;
    return sizeof *columns->data + sizeof *columns->grad + sizeof *columns->operands +
           sizeof *columns->meta + sizeof *columns->aux + sizeof *columns->handle +
           sizeof *columns->mark;
}

static mg_node grown_capacity(mg_node cap) {
#ifdef MG_TESTING
    if (cap < 512) return cap + 1; /* every allocation moves the columns */
#endif
    const mg_node smallest = 1024, largest = MG_NO_NODE - 1;
    if (cap < smallest) return smallest;
    return cap > largest / 2 ? largest : cap * 2;
}

mg_status mg_arena_grow(mg_arena *arena) {
    mg_node cap = grown_capacity(arena->cap);
    if (cap == arena->cap) return MG_NO_MEMORY;
    /* A column that has grown before a later one fails stays longer than cap: harmless. */
#define GROW(column)                                                                              \
    do {                                                                                          \
        void *moved = mg_realloc(arena->column, (size_t)cap * sizeof *arena->column);             \
        if (!moved) return MG_NO_MEMORY;                                                          \
        arena->column = moved;                                                                    \
    } while (0)
    GROW(data);
    GROW(grad);
    GROW(operands);
    GROW(meta);
    GROW(aux);
    GROW(handle);
    GROW(mark);
#undef GROW
    arena->cap = cap;
    return MG_OK;
}

mg_status mg_arena_reserve(mg_arena *arena, mg_node n_nodes) {
    while (arena->cap - arena->top < n_nodes)
        if (mg_arena_grow(arena) != MG_OK) return MG_NO_MEMORY;
    return MG_OK;
}

/* Free slots and spans of them */

enum {
    SMALLEST_SPAN = 4,
    MOST_SPANS_SEARCHED = 64, /* so that many small layers do not make it slow */
};

void mg_arena_give_span(mg_arena *arena, mg_node first, mg_node n_nodes) {
    if (n_nodes < SMALLEST_SPAN) {
        while (n_nodes-- > 0) mg_arena_give(arena, first + n_nodes);
        return;
    }
    arena->operands[first] = (mg_operands){arena->spans, n_nodes};
    arena->spans = first;
}

mg_status mg_arena_make_room(mg_arena *arena) {
    const mg_node first = arena->spans;
    if (first == MG_NO_NODE) return mg_arena_grow(arena);
    mg_node n_nodes = arena->operands[first].b;
    arena->spans = arena->operands[first].a;
    while (n_nodes-- > 0) mg_arena_give(arena, first + n_nodes);
    return MG_OK;
}

/* The smallest span of at least `n_nodes` near the head of the list, or MG_NO_NODE. */
static mg_node find_span(mg_arena *arena, mg_node n_nodes) {
    mg_node *best = NULL, *link = &arena->spans;
    for (int i = 0; i < MOST_SPANS_SEARCHED && *link != MG_NO_NODE; i++) {
        const mg_node length = arena->operands[*link].b;
        if (length >= n_nodes && (!best || length < arena->operands[*best].b)) best = link;
        if (length == n_nodes) break;
        link = &arena->operands[*link].a;
    }
    if (!best) return MG_NO_NODE;
    const mg_node first = *best, length = arena->operands[first].b;
    *best = arena->operands[first].a;
    mg_arena_give_span(arena, first + n_nodes, length - n_nodes);
    return first;
}

/* Sort the free slots anew: at least `n_nodes` side by side are a span. O(top). */
static void gather_spans(mg_arena *arena, mg_node n_nodes) {
    mg_arena_next_epoch(arena);
    for (mg_node node = arena->free; node != MG_NO_NODE; node = arena->operands[node].a)
        arena->mark[node] = arena->epoch;
    for (mg_node span = arena->spans; span != MG_NO_NODE; span = arena->operands[span].a)
        for (mg_node i = 0; i < arena->operands[span].b; i++) arena->mark[span + i] = arena->epoch;
    arena->free = arena->spans = MG_NO_NODE;
    /* Downwards, so that the lists begin low. */
    for (mg_node end = arena->top; end > 0;) {
        mg_node first = end;
        while (first > 0 && arena->mark[first - 1] == arena->epoch) first--;
        if (end - first >= n_nodes)
            mg_arena_give_span(arena, first, end - first);
        else
            for (mg_node node = end; node-- > first;) mg_arena_give(arena, node);
        end = first > 0 ? first - 1 : 0;
    }
}

mg_node mg_arena_take_span(mg_arena *arena, mg_node n_nodes) {
    mg_node first = find_span(arena, n_nodes);
    /* Where half of the slots are free there should be some side by side. */
    if (first == MG_NO_NODE && arena->cap - arena->top < n_nodes &&
        arena->n_live < arena->top / 2) {
        gather_spans(arena, n_nodes);
        first = find_span(arena, n_nodes);
    }
    if (first == MG_NO_NODE) {
        if (mg_arena_reserve(arena, n_nodes) != MG_OK) return MG_NO_NODE;
        first = arena->top;
        memset(arena->mark + first, 0, n_nodes * sizeof *arena->mark);
        arena->top += n_nodes;
    }
    arena->n_live += n_nodes;
    return first;
}

mg_extra *mg_extra_new(uint32_t n_operands, uint32_t n_values) {
    mg_extra *extra =
        mg_realloc(NULL, sizeof *extra + n_values * sizeof(double) + n_operands * sizeof(mg_node));
    if (extra) {
        extra->n_operands = n_operands;
        extra->n_values = n_values;
    }
    return extra;
}

void mg_arena_acquire_handle(mg_arena *arena, mg_node node) {
    arena->handle_acquire(arena->handle[node]);
}

mg_node mg_arena_node_extra(mg_arena *arena, mg_op op, mg_node a, mg_extra *extra, double value) {
    mg_node node = mg_arena_take(arena);
    if (node == MG_NO_NODE) return node;
    int nary = extra->n_operands > 0 || a == MG_NO_NODE;
    arena->data[node] = value;
    arena->grad[node] = 0.0;
    arena->operands[node] = (mg_operands){a, MG_NO_NODE};
    arena->meta[node] = (mg_meta){0, (uint8_t)op, nary ? MG_NARY : 1, MG_HAS_EXTRA, 0};
    arena->aux[node].extra = extra;
    arena->handle[node] = NULL;
    const mg_node *operands;
    uint32_t n_operands = mg_node_operands(arena, node, &operands);
    for (uint32_t i = 0; i < n_operands; i++) mg_arena_use(arena, operands[i]);
    return node;
}

/* One reference fewer; a node that loses its last one joins the dying. */
static inline void drop_reference(mg_arena *arena, mg_node node) {
    if (--arena->meta[node].refs == 0) {
        if ((arena->meta[node].flags & MG_PARAMETER) && !arena->parameter_may_die(arena, node))
            return;
        arena->meta[node].refs = arena->dying;
        arena->dying = node;
    }
}

/* One use fewer of an operand whose user is gone. */
static inline void drop_use(mg_arena *arena, mg_node operand) {
    void *const handle = arena->meta[operand].flags & MG_PINNED ? arena->handle[operand] : NULL;
    drop_reference(arena, operand);
    if (handle) arena->handle_drop(handle);
}

/* A node that has more to it than one or two operands: an extra record, a layer call, a block. */
static void free_special(mg_arena *arena, mg_node node, mg_meta meta) {
    const mg_operands pair = arena->operands[node];
    mg_extra *extra = meta.flags & MG_HAS_EXTRA ? arena->aux[node].extra : NULL;
    if (meta.arity == MG_FUSED) arena->neuron_leave(arena, node);
    if (!(meta.flags & MG_PARAMETER) || !arena->parameter_died(arena, node))
        mg_arena_give(arena, node);
    if (meta.arity == MG_NARY) {
        const mg_node *operands = mg_extra_operands(extra);
        for (uint32_t i = 0; i < extra->n_operands; i++) drop_use(arena, operands[i]);
    } else if (meta.arity == 1) {
        drop_use(arena, pair.a);
    }
    if (extra) mg_free(extra);
}

/* Free the dying one by one. A hook may release further nodes: they join the list and the loop
 * that is already running takes them, so that no chain recurses.
 *
 * The heads of the lists are in registers; they go back to the arena around anything that could
 * use it. */
static void free_dying(mg_arena *arena) {
    if (arena->releasing || arena->dying == MG_NO_NODE) return;
    arena->releasing = 1;
    mg_node dying = arena->dying, free_list = arena->free, n_freed = 0;
#define HAND_OVER(statement)                                                                      \
    do {                                                                                          \
        arena->dying = dying;                                                                     \
        arena->free = free_list;                                                                  \
        arena->n_live -= n_freed;                                                                 \
        n_freed = 0;                                                                              \
        statement;                                                                                \
        dying = arena->dying;                                                                     \
        free_list = arena->free;                                                                  \
    } while (0)
#define DROP(operand)                                                                             \
    do {                                                                                          \
        mg_meta *const used = &arena->meta[operand];                                              \
        if (used->flags & (MG_PINNED | MG_PARAMETER)) {                                           \
            HAND_OVER(drop_use(arena, operand));                                                  \
        } else if (--used->refs == 0) {                                                           \
            used->refs = dying;                                                                   \
            dying = operand;                                                                      \
        }                                                                                         \
    } while (0)
    while (dying != MG_NO_NODE) {
        const mg_node node = dying;
        const mg_meta meta = arena->meta[node];
        dying = meta.refs;
        arena->meta[node].refs = 0;
        n_freed++;
        if (meta.arity > 2 || (meta.flags & (MG_HAS_EXTRA | MG_PARAMETER))) {
            HAND_OVER(free_special(arena, node, meta));
            continue;
        }
        const mg_operands pair = arena->operands[node];
        arena->meta[node].flags = 0;
        arena->operands[node].a = free_list;
        free_list = node;
        if (meta.arity > 0) DROP(pair.a);
        if (meta.arity > 1) DROP(pair.b);
    }
    HAND_OVER((void)0);
#undef DROP
#undef HAND_OVER
    arena->releasing = 0;
    /* Nobody is left whose place the next nodes could take: they are to lie side by side again. */
    if (arena->n_live == 0) {
        arena->free = arena->spans = MG_NO_NODE;
        arena->top = 0;
    }
}

void mg_arena_release_use(mg_arena *arena, mg_node node) {
    drop_use(arena, node);
    free_dying(arena);
}

void mg_arena_release_last(mg_arena *arena, mg_node node) {
    drop_reference(arena, node);
    free_dying(arena);
}

void mg_arena_exchange(mg_arena *arena, mg_node one, mg_node other) {
    const uint8_t content_flags =
        MG_HAS_EXTRA | MG_FLOAT_POWER | MG_BOOL_POWER | MG_LITERAL | MG_ASSIGNED;
    const double data = arena->data[one], grad = arena->grad[one];
    const mg_operands operands = arena->operands[one];
    const mg_aux aux = arena->aux[one];
    mg_meta *const meta = &arena->meta[one], *const other_meta = &arena->meta[other];
    const mg_meta kept = *meta;

    arena->data[one] = arena->data[other];
    arena->grad[one] = arena->grad[other];
    arena->operands[one] = arena->operands[other];
    arena->aux[one] = arena->aux[other];
    meta->op = other_meta->op;
    meta->arity = other_meta->arity;
    meta->flags = (meta->flags & ~content_flags) | (other_meta->flags & content_flags);

    arena->data[other] = data;
    arena->grad[other] = grad;
    arena->operands[other] = operands;
    arena->aux[other] = aux;
    other_meta->op = kept.op;
    other_meta->arity = kept.arity;
    other_meta->flags = (other_meta->flags & ~content_flags) | (kept.flags & content_flags);
}

void mg_arena_discard(mg_arena *arena, mg_node node) {
    arena->meta[node].refs = 1;
    mg_arena_release(arena, node);
}

static void forget_marks(mg_arena *arena) {
    if (arena->top > 0) memset(arena->mark, 0, arena->top * sizeof *arena->mark);
    arena->epoch = 1;
}

void mg_arena_next_epoch(mg_arena *arena) {
    if (++arena->epoch == 0) forget_marks(arena);
}

uint32_t mg_arena_begin_counts(mg_arena *arena) {
    if (++arena->epoch > UINT32_MAX / 2) forget_marks(arena);
    return arena->epoch;
}
