/* The arena: every node of every graph, as columns of equal length.
 *
 * A node is an index into the columns. It is alive while its reference count is above 0; a
 * reference is a handle (somebody outside who holds the node) or a use as an operand of a live
 * node. Operands always die after their users, so the graph is acyclic and needs no collector.
 *
 * Invariants
 *   - refs[node] == (handle[node] != NULL) + uses as operand by live nodes
 *   - a node with MG_PINNED has a handle, and every use holds one reference on that handle
 *   - free slots form a list through operands[].a; their refs is 0. Spans of contiguous ones, for
 *     layers, form another: operands[] of the first slot is the next span and the length
 *   - columns move when the arena grows: re-read the pointers after anything that can allocate
 *     or call a hook. Indices never change.
 */
#ifndef MG_ARENA_H
#define MG_ARENA_H

#include "base/memory.h"
#include "ops/ops.h"

typedef uint32_t mg_node;

#define MG_NO_NODE UINT32_MAX
#define MG_NARY 255  /* arity of a node whose operands live in its mg_extra */
#define MG_FUSED 254 /* arity of a neuron, whose operands live in its layer call */

enum {
    MG_PINNED = 1,      /* the handle must outlive the last outside reference to it */
    MG_CUSTOM = 2,      /* the owner may have a hook that backward calls: see mg_is_custom */
    MG_HAS_EXTRA = 4,   /* aux.extra is owned by this node */
    MG_FLOAT_POWER = 8, /* the exponent was written as a float: "**2.0", not "**2" */
    MG_BOOL_POWER = 16, /* the exponent was written as True or False */
    MG_PARAMETER = 32,  /* a leaf in a layer's block, see layer/block.h */
    MG_OPEN_INPUT = 64, /* an operand that an unfinished neuron has passed, see layer/fusion.h */
    MG_LITERAL = 128,   /* a leaf that was written as a plain number: a constant when frozen */
    MG_ASSIGNED = 128,  /* a computed node whose data was assigned: its operands do not give it */
};

/* In mg_meta.marks. */
enum {
    MG_HELD = 1,   /* a pinned parameter whose handle its block holds, see layer/block.h */
    MG_FROZEN = 2, /* a computed node that a program was made of */
};

typedef struct {
    mg_node a, b;
} mg_operands;

typedef struct {
    uint32_t refs;
    uint8_t op;    /* mg_op */
    uint8_t arity; /* 0, 1, 2, MG_NARY or MG_FUSED */
    uint8_t flags;
    uint8_t marks;
} mg_meta;

/* What does not fit a fixed row: operands beyond two, immediates beyond one. The operand list
 * follows the values in the same allocation. */
typedef struct {
    uint32_t n_operands;
    uint32_t n_values;
    double values[];
} mg_extra;

typedef struct mg_layer_block mg_layer_block; /* layer/block.h */
struct mg_call;

typedef union {
    double immediate;
    mg_extra *extra;
    mg_layer_block *block; /* of a parameter */
    struct mg_call *call;  /* of a neuron */
} mg_aux;

typedef struct mg_arena {
    /* columns */
    double *data;
    double *grad;
    mg_operands *operands;
    mg_meta *meta;
    mg_aux *aux;
    void **handle;  /* borrowed: the outside object that stands for the node, or NULL */
    uint32_t *mark; /* the last traversal that met the node, or its count there */

    mg_node cap;    /* length of every column */
    mg_node top;    /* slots from here on have never been used */
    mg_node free;   /* head of the free list, or MG_NO_NODE */
    mg_node spans;  /* head of the list of free spans, or MG_NO_NODE */
    uint32_t epoch; /* number of the current traversal */
    mg_node n_live;
    mg_node dying; /* nodes whose count has reached 0, linked through refs, or MG_NO_NODE */
    int releasing; /* the release loop is running further up the stack */

    /* The owner of the handles supplies these: take and drop one reference on a handle.
     * Dropping may run arbitrary code, which may use the arena. */
    void (*handle_acquire)(void *handle);
    void (*handle_drop)(void *handle);

    /* Likewise: whether the owner has a hook for a node with MG_CUSTOM at this moment. It may
     * clear the flag, and does nothing else. */
    int (*node_has_hook)(struct mg_arena *arena, mg_node node);

    /* Layers supply these: the last reference to a neuron is gone; whether a parameter without
     * references may be freed; a parameter is freed, true if its slot is theirs to reuse. */
    void (*neuron_leave)(struct mg_arena *arena, mg_node neuron);
    int (*parameter_may_die)(struct mg_arena *arena, mg_node node);
    int (*parameter_died)(struct mg_arena *arena, mg_node node);

    int negative_zero_grads; /* some gradient was assigned -0.0 */
} mg_arena;

/* An empty arena; allocates nothing. */
void mg_arena_init(mg_arena *arena);

/* Give the columns back. Live nodes are gone without any hook being called. */
void mg_arena_destroy(mg_arena *arena);

/* Make room for at least one more node. MG_OK, or MG_NO_MEMORY with the arena unchanged.
 * Amortised O(1) a node; moves the columns. */
mg_status mg_arena_grow(mg_arena *arena);

/* To be called when a node is wanted and there is none: frees a span, or grows. Likewise. */
mg_status mg_arena_make_room(mg_arena *arena);

/* Contiguous free slots: a free span, free slots that have come to lie side by side, or new ones.
 * MG_NO_NODE when memory is out. The caller makes them leaves. */
mg_node mg_arena_take_span(mg_arena *arena, mg_node n_nodes);

/* Give back the slots of a span together. */
void mg_arena_give_span(mg_arena *arena, mg_node first, mg_node n_nodes);

/* An n-ary record with room for the counts given, operands and values uninitialised; NULL when
 * memory is out. Freed with the node that owns it, or by mg_free before that. */
mg_extra *mg_extra_new(uint32_t n_operands, uint32_t n_values);

/* Give back the last reference and free whatever dies with it, with an explicit work list: no
 * recursion, O(nodes freed). May call handle_drop. */
void mg_arena_release_last(mg_arena *arena, mg_node node);

/* Take back one use of a node as an operand, with its reference on a pinned handle. */
void mg_arena_release_use(mg_arena *arena, mg_node node);

/* Add a use to a pinned node's handle; slow path of mg_arena_use. */
void mg_arena_acquire_handle(mg_arena *arena, mg_node node);

static inline mg_node *mg_extra_operands(mg_extra *extra) {
    return (mg_node *)(extra->values + extra->n_values);
}

/* Operands of a node as a pointer and a count; valid until the arena grows. A neuron shows none:
 * expand it first. */
static inline uint32_t mg_node_operands(const mg_arena *arena, mg_node node,
                                        const mg_node **operands) {
    uint8_t arity = arena->meta[node].arity;
    if (arity < MG_FUSED) {
        *operands = &arena->operands[node].a;
        return arity;
    }
    if (arity == MG_FUSED) {
        *operands = NULL;
        return 0;
    }
    *operands = mg_extra_operands(arena->aux[node].extra);
    return arena->aux[node].extra->n_operands;
}

/* Immediates of a node; 0 where its operation has none. */
static inline void mg_node_immediates(const mg_arena *arena, mg_node node, double *k, double *h) {
    if (arena->meta[node].flags & MG_HAS_EXTRA) {
        const mg_extra *extra = arena->aux[node].extra;
        *k = extra->n_values > 0 ? extra->values[0] : 0.0;
        *h = extra->n_values > 1 ? extra->values[1] : 0.0;
    } else {
        *k = arena->aux[node].immediate;
        *h = 0.0;
    }
}

/* Whether backward calls the owner's hook for the node, in place of its operation. */
static inline int mg_is_custom(mg_arena *arena, mg_node node) {
    return (arena->meta[node].flags & MG_CUSTOM) && arena->node_has_hook(arena, node);
}

/* Count one more use of `node` as an operand. */
static inline void mg_arena_use(mg_arena *arena, mg_node node) {
    arena->meta[node].refs++;
    if (arena->meta[node].flags & MG_PINNED) mg_arena_acquire_handle(arena, node);
}

/* Give back one reference; see mg_arena_release_last. */
static inline void mg_arena_release(mg_arena *arena, mg_node node) {
    if (arena->meta[node].refs > 1)
        arena->meta[node].refs--;
    else
        mg_arena_release_last(arena, node);
}

/* Make sure that `n_nodes` more nodes can be taken without growing. */
mg_status mg_arena_reserve(mg_arena *arena, mg_node n_nodes);

/* Put a slot on the free list. */
static inline void mg_arena_give(mg_arena *arena, mg_node node) {
    arena->meta[node].flags = 0;
    arena->operands[node].a = arena->free;
    arena->free = node;
}

/* A free slot, or MG_NO_NODE when memory is out. The caller fills every column but mark and
 * sets refs; until then the arena must not be used. */
static inline mg_node mg_arena_take(mg_arena *arena) {
    mg_node node = arena->free;
    if (node == MG_NO_NODE && arena->top == arena->cap) {
        if (mg_arena_make_room(arena) != MG_OK) return MG_NO_NODE;
        node = arena->free;
    }
    if (node != MG_NO_NODE) {
        arena->free = arena->operands[node].a;
    } else {
        node = arena->top++;
        arena->mark[node] = 0;
    }
    arena->n_live++;
    return node;
}

/* A leaf with no reference yet; MG_NO_NODE when memory is out. */
static inline mg_node mg_arena_leaf(mg_arena *arena, double data) {
    mg_node node = mg_arena_take(arena);
    if (node == MG_NO_NODE) return node;
    arena->data[node] = data;
    arena->grad[node] = 0.0;
    arena->meta[node] = (mg_meta){0, MG_LEAF, 0, 0, 0};
    arena->aux[node].immediate = 0.0;
    arena->handle[node] = NULL;
    return node;
}

/* A leaf for an operand that was given as a plain number; likewise. */
static inline mg_node mg_arena_literal(mg_arena *arena, double data) {
    mg_node node = mg_arena_leaf(arena, data);
    if (node != MG_NO_NODE) arena->meta[node].flags = MG_LITERAL;
    return node;
}

/* Put a computed node of one or two operands (b is MG_NO_NODE for one) and at most one
 * immediate into the arena, with no reference yet. The operands gain a use each. */
static inline mg_node mg_arena_node(mg_arena *arena, mg_op op, mg_node a, mg_node b, double k,
                                    double value) {
    mg_node node = mg_arena_take(arena);
    if (node == MG_NO_NODE) return node;
    arena->data[node] = value;
    arena->grad[node] = 0.0;
    arena->operands[node] = (mg_operands){a, b};
    arena->meta[node] = (mg_meta){0, (uint8_t)op, b == MG_NO_NODE ? 1 : 2, 0, 0};
    arena->aux[node].immediate = k;
    arena->handle[node] = NULL;
    mg_arena_use(arena, a);
    if (b != MG_NO_NODE) mg_arena_use(arena, b);
    return node;
}

/* Make sure that `n_nodes` more nodes can be taken, from wherever, and the columns stay where they
 * are meanwhile. */
static inline mg_status mg_arena_promise(mg_arena *arena, mg_node n_nodes) {
    while (arena->cap - arena->n_live < n_nodes)
        if (mg_arena_grow(arena) != MG_OK) return MG_NO_MEMORY;
    return MG_OK;
}

/* Evaluate a row of the table on the operands' data (b is MG_NO_NODE for one) and put the node
 * into the arena, with no reference yet. MG_NO_NODE and a status, with the arena unchanged, if it
 * has no value or memory is out. */
static inline mg_node mg_apply(mg_arena *arena, mg_op op, mg_node a, mg_node b, double k,
                               mg_status *st) {
    const double b_data = b == MG_NO_NODE ? 0.0 : arena->data[b];
    const double value = mg_op_value(op, arena->data[a], b_data, k, 0.0, st);
    if (*st != MG_OK) return MG_NO_NODE;
    const mg_node node = mg_arena_node(arena, op, a, b, k, value);
    if (node == MG_NO_NODE) *st = MG_NO_MEMORY;
    return node;
}

/* The same for a constant `op` of two operands that has a value always: MG_NO_NODE says that
 * memory is out. */
static MG_ALWAYS_INLINE mg_node mg_apply_known(mg_arena *arena, mg_op op, mg_node a, mg_node b) {
    const double value = mg_known_op_value(op, arena->data[a], arena->data[b], 0.0, 0.0, NULL);
    return mg_arena_node(arena, op, a, b, 0.0, value);
}

/* Put a LOCAL node into the arena, or (with one operand and values only in `extra`) a node of
 * `op` with two immediates. Takes over `extra` when it succeeds. */
mg_node mg_arena_node_extra(mg_arena *arena, mg_op op, mg_node a, mg_extra *extra, double value);

/* Exchange what two nodes contain: data, gradient, operation and operands. References, handles
 * and pins stay where they are. Neither may be under the other. */
void mg_arena_exchange(mg_arena *arena, mg_node one, mg_node other);

/* Free a node that nobody has come to reference, for undoing a half-finished construction. */
void mg_arena_discard(mg_arena *arena, mg_node node);

/* Start a new traversal: afterwards mark[node] == epoch says "met in this one". */
void mg_arena_next_epoch(mg_arena *arena);

/* Start a traversal that counts how often it meets each node: the first count, for
 * mg_arena_count. */
uint32_t mg_arena_begin_counts(mg_arena *arena);

/* The node is met once more; how often in this traversal. */
static inline uint32_t mg_arena_count(mg_arena *arena, mg_node node, uint32_t first_count) {
    uint32_t *const mark = &arena->mark[node];
    *mark = *mark < first_count ? first_count : *mark + 1;
    /* So that the marks of the next traversal are above all of these. */
    if (*mark > arena->epoch) arena->epoch = *mark;
    return *mark - first_count + 1;
}

/* Bytes that the columns occupy for each node. */
size_t mg_arena_node_bytes(void);

#endif
